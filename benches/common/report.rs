//! Figures for people and for programs: markdown, JSON and a bar chart.

use super::{Outcome, median};
use frostline::charts::bars::{self, Bar, Bars, Row as BarRow};
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;

/// The folder of all benchmarks' output.
pub const FOLDER: &str = "out/bench";

/// One pass of one op of one size.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The first network that has it.
    pub network: &'static str,
    pub op: &'static str,
    pub shape: String,
    pub pass: &'static str,
    /// How many layers of each network are of this size.
    pub layers: Vec<usize>,
    /// Median time of its dispatches.
    pub milliseconds: f64,
    /// Operations (two a multiply-accumulate) or bytes in it, in units of 10⁹.
    pub work: f64,
    /// `GFLOP/s` or `GB/s`.
    pub unit: &'static str,
    pub rate: f64,
    /// The best rate of the machine between the same samples.
    pub roofline: f64,
    /// Rate over roofline.
    pub share: f64,
    pub samples: usize,
}

/// The results of a run of the kernel benchmark.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub adapter: String,
    /// What the roofline is.
    pub roofline: String,
    /// Medians over the whole run, of the matrix product and the copy, if they were needed.
    pub product_gflops: Option<f64>,
    pub copy_gbytes: Option<f64>,
    /// `device timestamps` or `host clock`.
    pub clock: &'static str,
    pub networks: Vec<&'static str>,
    /// Whether each network's convolutions were all measured.
    pub complete: Vec<bool>,
    pub rows: Vec<Row>,
}

impl Report {
    /// Writes `kernels.json`, `kernels.md` and the figure `kernels`, and prints the table.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self) -> Outcome<()> {
        let folder = Path::new(FOLDER);
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("kernels.json"), serde_json::to_string_pretty(self)?)?;
        let table = self.markdown();
        std::fs::write(folder.join("kernels.md"), &table)?;
        bars::draw(&folder.join("kernels.png"), &self.chart())?;
        println!("\n{table}");
        Ok(())
    }

    /// Operations and passes as rows and columns.
    fn markdown(&self) -> String {
        let mut text = format!("## Kernels\n\nAdapter: {}. Clock: {}.\n", self.adapter, self.clock);
        let _ = writeln!(text, "Roofline: {}: {}, medians of this run.", self.roofline, self.limits());
        let columns = [
            ("GFLOP/s", &["forward", "backward_input", "backward_weight"][..]),
            ("GB/s", &["forward", "backward", "update"]),
        ];
        for (unit, passes) in columns {
            let rows: Vec<&Row> = self.rows.iter().filter(|row| row.unit == unit).collect();
            if rows.is_empty() {
                continue;
            }
            let _ = write!(text, "\nMilliseconds, {unit}, share of the roofline.\n\n| {:<52} |", "");
            let _ =
                writeln!(text, "{}", passes.iter().map(|pass| format!(" {pass:>24} |")).collect::<String>());
            let _ = writeln!(
                text,
                "|{}|{}",
                "-".repeat(54),
                format!("{}:|", "-".repeat(25)).repeat(passes.len())
            );
            let mut done: Vec<String> = vec![];
            for row in &rows {
                let name = row.name();
                if done.contains(&name) {
                    continue;
                }
                let cell = |pass: &str| {
                    let found = rows.iter().find(|other| other.name() == name && other.pass == pass);
                    found.map_or(String::new(), |row| cell(row.milliseconds, row.rate, row.share))
                };
                let _ = writeln!(
                    text,
                    "| {name:<52} |{}",
                    passes.iter().map(|pass| format!(" {:>24} |", cell(pass))).collect::<String>()
                );
                done.push(name);
            }
            if unit == "GFLOP/s" {
                for (network, name) in
                    self.networks.iter().enumerate().filter(|(network, _)| self.complete[*network])
                {
                    let cells = passes
                        .iter()
                        .map(|pass| format!(" {:>24} |", self.total(network, pass)))
                        .collect::<String>();
                    let _ = writeln!(text, "| {:<52} |{cells}", format!("**all convolutions of {name}**"));
                }
            }
        }
        text
    }

    /// All convolutions of a network, each as often as it has it.
    fn total(&self, network: usize, pass: &str) -> String {
        let rows: Vec<&Row> =
            self.rows.iter().filter(|row| row.unit == "GFLOP/s" && row.pass == pass).collect();
        let sum = |value: &dyn Fn(&Row) -> f64| {
            rows.iter().map(|row| row.layers[network] as f64 * value(row)).sum::<f64>()
        };
        let (milliseconds, work) = (sum(&|row| row.milliseconds), sum(&|row| row.work));
        // The time at the roofline's rate, row by row, at the rate measured beside that row.
        let best = sum(&|row| 1e3 * row.work / row.roofline);
        cell(milliseconds, 1e3 * work / milliseconds, best / milliseconds)
    }

    fn limits(&self) -> String {
        let product = self.product_gflops.map(|rate| format!("{rate:.0} GFLOP/s"));
        let copy = self.copy_gbytes.map(|rate| format!("{rate:.1} GB/s"));
        [product, copy].into_iter().flatten().collect::<Vec<_>>().join(" and ")
    }

    fn chart(&self) -> Bars {
        let mut rows: Vec<BarRow> = vec![];
        let colors = ["forward", "backward_input", "backward_weight", "backward", "update"];
        for row in &self.rows {
            let color = colors.iter().position(|pass| *pass == row.pass).unwrap_or_default();
            let text = format!("{:.0}% · {} {}", 100.0 * row.share, significant(row.rate), row.unit);
            let bar = Bar { series: color, value: 100.0 * row.share, text };
            match rows.last_mut() {
                Some(last) if last.label == row.name() => last.bars.push(bar),
                _ => rows.push(BarRow { label: row.name(), bars: vec![bar] }),
            }
        }
        Bars {
            title: format!("Kernels: share of the roofline ({})", self.limits()),
            note: self.adapter.clone(),
            axis: "% of the matrix product's rate (convolutions) or of the copy's (others)".to_owned(),
            series: colors.map(str::to_owned).to_vec(),
            rows,
        }
    }
}

impl Row {
    fn name(&self) -> String {
        format!("{} {} ({})", self.op, self.shape, self.network)
    }
}

fn cell(milliseconds: f64, rate: f64, share: f64) -> String {
    format!("{} · {} · {:.0}%", significant(milliseconds), significant(rate), 100.0 * share)
}

/// Three significant digits.
pub fn significant(value: f64) -> String {
    let digits = if value >= 100.0 || !value.is_finite() {
        0
    } else {
        (2.0 - value.abs().max(1e-3).log10().floor()).clamp(0.0, 5.0) as usize
    };
    format!("{value:.digits$}")
}

/// Rate and share of `work`·10⁹ from samples in seconds, beside samples of the roofline.
pub fn rate(seconds: &[f64], work: f64, roofline: &[f64]) -> (f64, f64, f64) {
    let (time, best) = (median(seconds), median(roofline));
    (1e3 * time, work / time, work / time / best)
}
