mod common;
use common::*;
use frostline_engine::*;
use std::sync::Arc;
fn rss() -> usize {
    let s = std::fs::read_to_string("/proc/self/statm").unwrap();
    s.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4
}
#[test]
fn probe() {
    let gpu = Arc::new(Gpu::new().unwrap());
    let mode = std::env::var("MODE").unwrap_or_default();
    let mut graph = Graph::new();
    let (_, loss) = small_resnet(&mut graph).unwrap();
    let tuning = if mode.contains('p') { Tuning::portable() } else { gpu.tuning() };
    let plan = Plan::training(&graph, loss, &Freeze::none(), &Optim::sgd(0.05), tuning).unwrap();
    println!("dispatches {}", plan.dispatches().len());
    let params = Params::new(&gpu, &graph, 1).unwrap();
    let (mut session, mut optimizer) = session(&gpu, plan, &params);
    if mode == "profile" {
        for _ in 0..3 { session.run().unwrap(); }
        let mut rows = session.profile().unwrap();
        rows.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (label, ms) in &rows { println!("{ms:9.3} {label}"); }
        return;
    }
    for at in 0..600 {
        if mode.contains('b') { session.begin_step(&mut optimizer, 0.1).unwrap(); }
        if mode.contains('r') { session.run().unwrap(); }
        if mode.contains('w') { gpu.wait().unwrap(); }
        if at % 100 == 99 { gpu.wait().unwrap(); println!("{mode} {at} {} KB", rss()); }
    }
}
