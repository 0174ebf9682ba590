//! Chapter 4: how much to freeze?
//!
//! *How many labelled images there are, and how like they are to what the network knows, decides how
//! much of it to freeze.* Four quadrants: a small and a large number of images (with twice the steps
//! and half the seeds), of a similar task (other kinds of clothes) and of a different one (digits). In
//! each, every freeze depth is trained: the head alone, all from `layer4` on, … everything.
//!
//! Below the frostline nothing changes, so the outputs of the frozen stages are computed once for all
//! seeds and sizes (`Learner::activations`), and training starts from them.
//!
//! Small and different tasks are said to want features of *earlier* layers: a softmax head on those of
//! an earlier and of the last stage (means of a 2 × 2 grid) tests that.
//!
//!     cargo run --release --example ch4_freezing -- --help

use frostline::charts::heatmap::{self, HeatMap, Place};
use frostline::charts::{Cell, Table, runs_bar};
use frostline::lesson::{self, Chapter, Error, FreezeDepth, NoFlags, Outline, Result, Run, Seen, Settings, Start, Task};
use frostline::lesson::{Track, Verdict, accuracies, draw_step, fit, gains, ledger, points, spread};
use frostline::trainer::{FitOptions, Length, ProbeOptions, linear_probe};

const OUTLINE: Outline = Outline {
    number: 4,
    title: "how much to freeze?",
    claim: "The number of images and their likeness to what the network knows decide how much of it to freeze.",
    defaults: Settings { images: &[50, 1000], seeds: 3, steps: 16, batch: 16, lr: 0.05 },
    quick: Settings { images: &[20, 100], seeds: 1, steps: 3, batch: 16, lr: 0.05 },
};

/// One cell of the 2 × 2 grid.
#[derive(Default)]
struct Quadrant {
    name: String,
    images: usize,
    /// A run for each seed, for each of the depths.
    runs: Vec<Vec<Run>>,
    /// Accuracies, in %, of a head on features of an earlier and of the last stage.
    probes: [Vec<f64>; 2],
    /// Everything from random weights; where the task is large and different.
    scratch: Vec<Run>,
}

fn main() -> std::process::ExitCode {
    lesson::run(&OUTLINE, |chapter, _: NoFlags| {
        let &[small, large] = chapter.flags.images.as_slice() else {
            return Err(Error::Flags("--images takes two numbers in this chapter, a small and a large one: 50,1000".to_owned()));
        };
        let track = Track::open(chapter)?;
        let depths = FreezeDepth::all(&track);
        let mut grid = measure(chapter, &track, &track.similar, "similar", [small, large])?;
        grid.extend(measure(chapter, &track, &track.different, "different", [small, large])?);
        grid.swap(1, 2); // the small ones first
        tables(chapter, &track, &depths, &grid)?;
        judge(chapter, &track, &depths, &grid);
        draw_grid(chapter, &depths, &grid)?;
        draw_step(chapter, &depths[2].from, track.input().crop)
    })
}

/// The small and the large quadrant of a task.
fn measure(chapter: &Chapter, track: &Track, task: &Task, kind: &str, sizes: [usize; 2]) -> Result<Vec<Quadrant>> {
    let (flags, depths, probed) = (&chapter.flags, FreezeDepth::all(track), probed(track));
    let quadrant = |(size, images)| {
        let name = format!("{size}, {kind}: {images}");
        Quadrant { name, images, runs: vec![vec![]; depths.len()], ..Quadrant::default() }
    };
    let mut grid: Vec<Quadrant> = ["small", "large"].iter().zip(sizes).map(quadrant).collect();
    let seeds = [flags.seeds, flags.seeds.min(2)];
    let options = |large: usize, seed| {
        let options = flags.fit_options(sizes[large], seed);
        let length = if let Length::Steps(steps) = options.length { Length::Steps(steps << large) } else { options.length };
        FitOptions { length, ..options }
    };
    let test = task.some_tests(if flags.quick { 80 } else { 200 })?;
    let bar = runs_bar(&task.name, depths.len() as u64 * (seeds[0] + seeds[1]));
    let task = &Task { pool: task.draw((4 * sizes[1]).min(task.pool.len()), 0)?, ..task.clone() };
    // From the image up: what a stage gives is computed from what the one before gave.
    let (mut pool, mut tests) = (Seen::Images(task.pool.clone()), Seen::Images(test.clone()));
    for (place, depth) in depths.iter().enumerate().rev() {
        if let Some(stage) = &depth.below {
            let mut frozen = track.learner(task, Start::Pretrained, 0)?;
            (pool, tests) = (pool.through(&mut frozen, stage)?, tests.through(&mut frozen, stage)?);
        }
        for (large, quadrant) in grid.iter_mut().enumerate() {
            for seed in 0..seeds[large] {
                let mut learner = track.learner(task, Start::Pretrained, seed)?;
                learner.freeze_below(&depth.from)?;
                let train = pool.draw(task, quadrant.images, seed)?;
                let name = format!("{}, {} images, {}, seed {seed}", task.name, quadrant.images, depth.label);
                quadrant.runs[place].push(fit(&mut learner, train.source(), tests.source(), &options(large, seed), &name)?);
                bar.inc(1);
            }
        }
    }
    for (large, quadrant) in grid.iter_mut().enumerate() {
        for seed in 0..seeds[large] {
            let train = task.draw(quadrant.images, seed)?;
            if large == 1 && kind == "different" {
                let mut learner = track.learner(task, Start::Scratch, seed)?;
                quadrant.scratch.push(fit(&mut learner, &train, &test, &options(large, seed), "from scratch")?);
            }
            let mut learner = track.learner(task, Start::Pretrained, seed)?;
            for (stage, found) in probed.iter().zip(&mut quadrant.probes) {
                let features = (learner.features(&train, stage, 2)?, learner.features(&test, stage, 2)?);
                let options = ProbeOptions { seed, batch: Some(quadrant.images.min(64)), ..ProbeOptions::default() };
                found.push(100.0 * linear_probe(&chapter.gpu, &features.0, &features.1, &options)?.test.accuracy);
            }
        }
    }
    bar.finish_and_clear();
    Ok(grid)
}

/// The stages whose features are compared: one half way up, and the last.
fn probed(track: &Track) -> [String; 2] {
    let body = track.body();
    [body[body.len() / 2].clone(), body[body.len() - 1].clone()]
}

/// The lesson's advice: the head or a part; small and different: earlier layers on; large: everything.
fn advised(quadrant: usize, depths: &[FreezeDepth]) -> Vec<usize> {
    match quadrant {
        0 => vec![0, 1],
        1 => (2..depths.len() - 2).collect(),
        _ => vec![depths.len() - 1],
    }
}

fn tables(chapter: &mut Chapter, track: &Track, depths: &[FreezeDepth], grid: &[Quadrant]) -> Result<()> {
    let heads: Vec<&str> = grid.iter().map(|quadrant| quadrant.name.as_str()).collect();
    let mut table = Table::new("test accuracy in %, mean ± standard deviation over seeds", &heads);
    for (place, depth) in depths.iter().enumerate() {
        table.row(&depth.label, grid.iter().map(|quadrant| Cell::spread(&accuracies(&quadrant.runs[place]))));
    }
    table.row("everything, from scratch", grid.iter().map(|quadrant| Cell::spread(&accuracies(&quadrant.scratch))));
    for (at, stage) in probed(track).iter().enumerate() {
        table.row(format!("softmax on {stage}, 2 × 2"), grid.iter().map(|quadrant| Cell::spread(&quadrant.probes[at])));
    }
    chapter.table(table);
    let times = |place: usize| grid.iter().flat_map(|quadrant| quadrant.runs[place].iter().map(Run::step_milliseconds)).collect();
    let times: Vec<_> = (0..depths.len()).map(times).collect();
    let (mut learner, options) = (track.learner(&track.similar, Start::Pretrained, 0)?, chapter.flags.fit_options(usize::MAX, 0));
    chapter.table(ledger(&mut learner, depths, &options, &times)?);
    Ok(())
}

fn judge(chapter: &mut Chapter, track: &Track, depths: &[FreezeDepth], grid: &[Quadrant]) {
    let best = |quadrant: &Quadrant, among: Vec<usize>| {
        let mean = |place: &usize| spread(&quadrant.runs[*place]).mean;
        among.into_iter().max_by(|a, b| mean(a).total_cmp(&mean(b))).unwrap_or_default()
    };
    let last = depths.len() - 1;
    let claims = [
        ("Small and similar: train the head or the layers next to it, not everything", last),
        ("Small and different: train from earlier layers on, not the head alone", 0),
        ("Large and similar: train everything, not the last stage alone", 1),
        ("Large and different: train everything, not the head alone", 0),
    ];
    for (place, (quadrant, (claim, other))) in grid.iter().zip(claims).enumerate() {
        let chosen = best(quadrant, advised(place, depths));
        let gained = gains(&quadrant.runs[chosen], &quadrant.runs[other]);
        let [ours, theirs] = [chosen, other].map(|place| format!("{} {}", depths[place].label, spread(&quadrant.runs[place])));
        chapter.claim(claim, Verdict::of(&gained), format!("{ours}, {theirs}: {} with {} images", points(&gained), quadrant.images));
    }
    let ([early, late], [from, to]) = (&grid[1].probes, probed(track));
    let gained: Vec<f64> = early.iter().zip(late).map(|(early, late)| early - late).collect();
    let evidence = format!("a head on features of {from} {}, of {to} {}: {}", Cell::spread(early), Cell::spread(late), points(&gained));
    chapter.claim("Small and different: an earlier layer's features are better than the last's", Verdict::of(&gained), evidence);
    let lead = gains(&grid[3].scratch, &grid[3].runs[last]);
    let (within, evidence) = (lead.iter().map(|lead| lead + 1.0), format!("from scratch less pretrained: {}", points(&lead)));
    chapter.claim("Large and different: from scratch is as good, within a point", Verdict::of(&within.collect::<Vec<_>>()), evidence);
    let answer = |quadrant: &Quadrant| {
        let place = best(quadrant, (0..=last).collect());
        format!("{} images: {}, {:.1}%", quadrant.name, depths[place].label, spread(&quadrant.runs[place]).mean)
    };
    chapter.quiz("How much of the network should train?", grid.iter().map(answer).collect::<Vec<_>>().join("; "));
}

fn draw_grid(chapter: &mut Chapter, depths: &[FreezeDepth], grid: &[Quadrant]) -> Result<()> {
    let top = |quadrant: &Quadrant| quadrant.runs.iter().map(|runs| spread(runs).mean).fold(f64::NEG_INFINITY, f64::max);
    let place = |row: usize, column: usize| {
        let found = spread(&grid[column].runs[row]);
        let value = found.mean - top(&grid[column]);
        let dotted = advised(column, depths).contains(&row);
        Place { text: Cell::Spread(found).to_string(), value, framed: value >= 0.0, dotted }
    };
    let map = HeatMap {
        title: "How much to train: test accuracy by depth in the four quadrants".to_owned(),
        note: "in %, mean ± standard deviation over seeds; below the trained layers all is frozen".to_owned(),
        row_axis: "what trains".to_owned(),
        column_axis: "number of images, and their likeness to what the network knows".to_owned(),
        rows: depths.iter().map(|depth| depth.label.clone()).collect(),
        columns: grid.iter().map(|quadrant| (quadrant.name.clone(), "images".to_owned())).collect(),
        places: (0..depths.len()).map(|row| (0..grid.len()).map(|column| place(row, column)).collect()).collect(),
        scale: "points off the best".to_owned(),
        range: (-12.0, 0.0),
        marks: ("best measured".to_owned(), "the lesson's advice".to_owned()),
    };
    heatmap::draw(&chapter.figure("grid.png", "Accuracy by freeze depth in the four quadrants."), &map)?;
    Ok(())
}
