//! A plan, printed.

use super::Plan;
use std::fmt;

impl fmt::Display for Plan {
    /// The table of forward and backward kernels of every layer, including the skipped ones.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ledger = &self.ledger;
        let short = |kernels: &[String]| {
            kernels.iter().map(|name| name.replace("batch_norm", "bn")).collect::<Vec<_>>().join(" ")
        };
        writeln!(f, "{:<24} {:>9}  forward | backward (− = skipped, its layer is frozen)", "layer", "kept")?;
        // A folded batch norm has no row in the frozen plan, but has one in the unfrozen plan.
        //
        let full = self.unfrozen.as_deref().unwrap_or(ledger);
        let layers =
            full.layers.keys().chain(ledger.layers.keys().filter(|layer| !full.layers.contains_key(*layer)));
        for layer in layers {
            let row = ledger.layers.get(layer).cloned().unwrap_or_default();
            let forward = match row.forward_kernels.is_empty() {
                true if self.cached.contains(layer) => "(cached)".to_owned(),
                true => "(folded)".to_owned(),
                false => short(&row.forward_kernels),
            };
            let skipped = ledger.skipped_kernels(full, layer);
            write!(
                f,
                "{layer:<24} {:>9}  {forward} | {}",
                bytes(row.kept_bytes),
                short(&row.backward_kernels)
            )?;
            for kernel in skipped {
                write!(f, " −{}", kernel.replace("batch_norm", "bn"))?;
            }
            writeln!(f)?;
        }
        writeln!(f, "\n{:<34} {:>12} {:>12}", "a step", "this plan", "unfrozen")?;
        let counts = [
            ("forward dispatches", ledger.forward_dispatches, full.forward_dispatches),
            ("backward dispatches", ledger.backward_dispatches, full.backward_dispatches),
            ("update dispatches", ledger.update_dispatches, full.update_dispatches),
            ("million multiply-accumulates", ledger.step.macs / 1_000_000, full.step.macs / 1_000_000),
        ];
        for (name, mine, other) in counts {
            writeln!(f, "{name:<34} {mine:>12} {other:>12}")?;
        }
        let sizes = [
            (
                "read and written",
                ledger.step.bytes_read + ledger.step.bytes_written,
                full.step.bytes_read + full.step.bytes_written,
            ),
            ("activations kept for backward", ledger.kept_bytes, full.kept_bytes),
            ("pool", ledger.pool_bytes, full.pool_bytes),
            ("gradients", ledger.gradient_bytes, full.gradient_bytes),
            ("optimizer state", ledger.optimizer_bytes, full.optimizer_bytes),
            ("parameters", ledger.parameter_bytes, full.parameter_bytes),
        ];
        for (name, mine, other) in sizes {
            writeln!(f, "{name:<34} {:>12} {:>12}", bytes(mine), bytes(other))?;
        }
        write!(
            f,
            "{:<34} {:>12} {:>12}",
            "once, before the first step", ledger.prologue.dispatches, full.prologue.dispatches
        )
    }
}

/// Bytes for people.
fn bytes(count: u64) -> String {
    match count {
        0 => "-".to_owned(),
        1..=9_999 => format!("{count} B"),
        10_000..=999_999 => format!("{:.1} KiB", count as f64 / 1024.0),
        _ => format!("{:.2} MiB", count as f64 / (1 << 20) as f64),
    }
}
