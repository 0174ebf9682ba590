//! The regression behind the linear probe at sizes that folders of photos have, for
//! `benches/regression.py`, which repeats it with scikit-learn and compares time and result.
//!
//! ```sh
//! cargo bench --bench regression -- out/regression 150 2000 10000 100000     # rows
//! /usr/bin/python3 benches/regression.py out/regression
//! ```
//!
//! Features are drawn: 1,280 of them, not negative and of different sizes, as a network's are; ten classes
//! that a linear head recognises in part.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use common::{Outcome, or_exit};
use frostline::loader::safetensors::{self, Dtype};
use frostline::loader::{HostTensor, StateDict};
use frostline::trainer::{Features, cross_validate, regression};

const WIDTH: usize = 1280;
const CLASSES: usize = 10;
/// The strength that is timed alone.
const C: f64 = 0.03;
/// Up to so many rows the choice of the strength is timed as well.
const CHOSEN: usize = 10_000;

fn main() {
    or_exit(run());
}

fn run() -> Outcome<()> {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let folder = words.next().ok_or("give a folder, and numbers of rows")?;
    std::fs::create_dir_all(&folder)?;
    for rows in words {
        let rows: usize = rows.parse()?;
        let features = drawn(rows);
        let start = Instant::now();
        let found = regression(&features, C)?;
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{rows} rows: {seconds:.2} s, {} iterations, largest derivative {:.1e}",
            found.iterations, found.gradient
        );
        let mut metadata = BTreeMap::from([
            ("c".to_owned(), C.to_string()),
            ("seconds".to_owned(), seconds.to_string()),
            ("iterations".to_owned(), found.iterations.to_string()),
        ]);
        if rows <= CHOSEN {
            let start = Instant::now();
            let chosen = cross_validate(&features, 0)?;
            let seconds = start.elapsed().as_secs_f64();
            println!("  strength by cross-validation: {seconds:.2} s, C = {}", chosen.regression.c);
            metadata.insert("chosen".to_owned(), chosen.regression.c.to_string());
            metadata.insert("seconds_chosen".to_owned(), seconds.to_string());
            metadata.insert("folds".to_owned(), chosen.folds.to_string());
        }
        let (weight, bias) = found.head.raw();
        let labels = features.labels.iter().map(|&label| label as f32).collect();
        let deviation = vec![found.head.standardization.deviation[0]];
        let tensors = StateDict::from_iter([
            ("features".to_owned(), HostTensor::new(vec![rows, WIDTH], features.values)?),
            ("labels".to_owned(), HostTensor::new(vec![rows], labels)?),
            ("weight".to_owned(), HostTensor::new(vec![CLASSES, WIDTH], weight)?),
            ("bias".to_owned(), HostTensor::new(vec![CLASSES], bias)?),
            ("deviation".to_owned(), HostTensor::new(vec![1], deviation)?),
        ]);
        let path = Path::new(&folder).join(format!("{rows}.safetensors"));
        safetensors::write(&path, &tensors, &metadata, Dtype::F32)?;
    }
    Ok(())
}

/// `rows` rows of drawn features, with labels from a drawn linear head and noise.
fn drawn(rows: usize) -> Features {
    let mut state = 1u64;
    let mut uniform = move || {
        // Knuth's MMIX generator.
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u32 << 24) as f32
    };
    // The sum of four uniform numbers, moved to mean 0 and deviation 1: normal enough.
    let mut normal = move || (uniform() + uniform() + uniform() + uniform() - 2.0) * 3f32.sqrt();
    let scales: Vec<f32> = (0..WIDTH).map(|_| normal().exp()).collect();
    let head: Vec<f32> = (0..CLASSES * WIDTH).map(|_| 0.1 * normal()).collect();
    let (mut values, mut labels) = (Vec::with_capacity(rows * WIDTH), Vec::with_capacity(rows));
    for _ in 0..rows {
        let row: Vec<f32> = (0..WIDTH).map(|_| normal().max(0.0)).collect();
        let logit =
            |class: usize| -> f32 { row.iter().zip(&head[class * WIDTH..]).map(|(x, w)| x * w).sum() };
        let logits: Vec<f32> = (0..CLASSES).map(|class| logit(class) + 1.5 * normal()).collect();
        let best = (0..CLASSES).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or(0);
        labels.push(best as u32);
        values.extend(row.iter().zip(&scales).map(|(x, scale)| x * scale));
    }
    let classes = (0..CLASSES).map(|class| class.to_string()).collect();
    Features { width: WIDTH, values, labels, classes }
}
