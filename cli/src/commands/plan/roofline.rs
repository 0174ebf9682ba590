//! `frostline plan --roofline CARD`: the kernels of a step on a graphics card, which need not be in this
//! machine.

use frostline_engine::roofline::{KernelBound, PublishedCard};

/// The card that a flag's value names.
pub fn card(name: &str) -> Result<PublishedCard, String> {
    let all = PublishedCard::ALL.map(|card| card.name).join(", ");
    PublishedCard::named(name).ok_or(format!("no such card; known cards: {all}"))
}

/// One line per kernel, and their sum.
pub fn table(card: &PublishedCard, bounds: &[KernelBound]) -> String {
    let PublishedCard { name, cores, tflops, gbytes, .. } = card;
    let mut lines = vec![
        format!("{name}: {cores} cores, {tflops} TFLOP/s, {gbytes} GB/s; {} workgroups fill it", card.fill()),
        String::new(),
        format!(
            "{:<31} {:>10} {:>9} {:>12} {:>9} {:>9} {:>9} {:>9}",
            "kernel", "dispatches", "too small", "workgroups", "GFLOP", "MB", "least ms", "whole ms"
        ),
    ];
    let mut bounds = bounds.to_vec();
    bounds.sort_by(|a, b| b.seconds_of_busiest_core.total_cmp(&a.seconds_of_busiest_core));
    for bound in &bounds {
        lines.push(line(bound, &format!("{}..{}", bound.least_workgroups, bound.most_workgroups)));
    }
    let mut sum = KernelBound::none("a step");
    bounds.iter().for_each(|bound| sum += bound);
    lines.push(line(&sum, ""));
    lines.push(String::new());
    lines
        .push("least ms: every core busy to the end. whole ms: a core computes whole workgroups.".to_owned());
    lines.push("Both leave out the launch of dispatches, and the other work of a kernel.".to_owned());
    lines.join("\n")
}

fn line(bound: &KernelBound, workgroups: &str) -> String {
    let (flops, bytes) = (2e-9 * bound.macs as f64, 1e-6 * bound.bytes as f64);
    format!(
        "{:<31} {:>10} {:>9} {workgroups:>12} {flops:>9.2} {bytes:>9.1} {:>9.3} {:>9.3}",
        bound.kernel,
        bound.dispatches,
        bound.too_small,
        1e3 * bound.seconds,
        1e3 * bound.seconds_of_busiest_core
    )
}
