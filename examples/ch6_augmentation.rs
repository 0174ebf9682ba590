//! Chapter 6: augmentation.
//!
//! *Label-preserving augmentation makes small data big.* Every epoch sees other crops, flips,
//! rotations and colours of the same images, made on the device by one kernel; a label must be right
//! for all of them. Three things are measured, several seeds each:
//!
//! - **Clothes**, few of them, as they are and shifted by up to a fifth of their side, from scratch and from pretrained weights
//!   (of which `layer3` and what is above trains). Test images are as they are, or moved by up to 6 of
//!   28 pixels: something that augmented training has seen and plain training has not.
//! - **Digits**, with an augmentation that keeps labels and with two that do not: upside down, and turned by
//!   up to 180 degrees, a 6 is a 9.
//! - **Normalisation**, forgotten when testing, or always: a softmax head on features of the frozen
//!   pretrained network.
//!
//!     cargo run --release --example ch6_augmentation -- --help

use frostline::charts::bars::{self, Bar, Bars};
use frostline::charts::figure::{Curve, Panel, draw};
use frostline::charts::{Cell, Spread, Table, runs_bar};
use frostline::lesson::{self, Chapter, NoFlags, Outline, Result, Settings, Start, Track, Verdict};
use frostline::lesson::{Scores, contact_sheet, fit, shifted, signed};
use frostline::trainer::{Augment, FitOptions, ProbeOptions, linear_probe};

const OUTLINE: Outline = Outline {
    number: 6,
    title: "augmentation",
    claim: "Label-preserving augmentation makes small data big; one that breaks labels hurts, and so does forgetting to normalise.",
    defaults: Settings { images: &[200], seeds: 3, steps: 50, batch: 16, lr: 0.03 },
    quick: Settings { images: &[50], seeds: 1, steps: 16, batch: 16, lr: 0.03 },
};
/// How far test images are moved, in pixels of an image of 28.
const SHIFTS: [usize; 4] = [0, 2, 4, 6];
const STARTS: [(Start, &str); 2] = [(Start::Scratch, "from scratch"), (Start::Pretrained, "pretrained")];
/// Digits to learn from, where labels are broken.
const DIGITS: usize = 200;

/// Where clothes may be and stay what they are. In this set all shoes point left and nothing is turned:
/// flips, crops and rotations would be right as well, but no test image looks like that, and in this few steps
/// they cost more than they give.
fn keeping_clothes() -> Augment {
    Augment::none().translate(0.2)
}

fn main() -> std::process::ExitCode {
    lesson::run(&OUTLINE, |chapter, _: NoFlags| {
        let track = Track::open(chapter)?;
        contact_sheet(chapter, &track.different.test)?;
        moved_images(chapter, &track)?;
        broken_labels(chapter, &track)?;
        normalisation(chapter, &track)
    })
}

fn moved_images(chapter: &mut Chapter, track: &Track) -> Result<()> {
    let flags = chapter.flags.clone();
    let pixels = SHIFTS.map(|pixels| pixels * track.input().crop / 28);
    let some = track.similar.some_tests(200)?;
    let tests = pixels.map(|pixels| shifted(&some, pixels));
    let bar = runs_bar(&track.similar.name, 4 * flags.images.len() as u64 * flags.seeds);
    let columns = pixels.map(|pixels| format!("{pixels} px"));
    let title = format!("{}: test accuracy in %, by how far the test images are moved", track.similar.name);
    let mut table = Table::new(title, &columns.each_ref().map(String::as_str));
    let (mut panels, mut results) = (vec![], vec![]);
    for &n in &flags.images {
        for (start, name) in STARTS {
            let mut pair = [Scores::default(), Scores::default()];
            for seed in 0..flags.seeds {
                let train = track.similar.draw(n, seed)?;
                for (augment, all) in [None, Some(keeping_clothes())].into_iter().zip(&mut pair) {
                    let mut learner = track.learner(&track.similar, start, seed)?;
                    if start == Start::Pretrained {
                        learner.freeze_below("layer3")?;
                    }
                    let options = FitOptions { augment, ..flags.fit_options(n, seed) };
                    let run = fit(&mut learner, &train, &tests[0], &options, &format!("{name}, {n} images, seed {seed}"))?;
                    let mut row = vec![100.0 * run.accuracy];
                    for test in &tests[1..] {
                        row.push(100.0 * learner.evaluate(test)?.accuracy);
                    }
                    all.push(row);
                    bar.inc(1);
                }
            }
            let mut curves = vec![];
            for (color, (what, all)) in ["plain", "augmented"].into_iter().zip(&pair).enumerate() {
                table.row(format!("{name}, {n} images, {what}"), (0..4).map(|i| all.cell(i)));
                let point = |i| Spread::of(&all.test(i)).map(|s| (pixels[i] as f64, s.mean, s.deviation));
                curves.push(Curve::new(what, color, (0..4).filter_map(point)));
            }
            let (x, y) = ("test images moved by, pixels".to_owned(), "test accuracy, %".to_owned());
            let title = format!("{}, {n} images, {name}", track.similar.name);
            panels.push(Panel { title, x, y, log_x: false, range: (0.0, 100.0), curves });
            results.push((n, start, name, pair));
        }
    }
    bar.finish_and_clear();
    chapter.table(table);
    for (start, name) in STARTS {
        for (i, what) in [(3, format!("moved by {} px", pixels[3])), (0, "as they are".to_owned())] {
            let of = || results.iter().filter(|result| result.1 == start);
            let all: Vec<f64> = of().flat_map(|(.., [plain, more])| more.over(plain, i)).collect();
            let each: Vec<String> = of().map(|(n, .., [plain, more])| format!("{} at {n}", signed(&more.over(plain, i)))).collect();
            let claim = format!("Augmentation helps a network {name} on test images {what}");
            chapter.claim(claim, Verdict::of(&all), format!("gain in points by number of images: {}", each.join(", ")));
        }
    }
    draw(&chapter.figure("moved.png", "Accuracy by how far the test images are moved; bars: standard deviation over seeds."), 2, &panels)?;
    Ok(())
}

fn broken_labels(chapter: &mut Chapter, track: &Track) -> Result<()> {
    let flags = chapter.flags.clone();
    let small = || Augment::none().bilinear().rotation(10.0).translate(0.04);
    let recipes = [
        ("no augmentation", None),
        ("rotation up to 10°, shift", Some(small())),
        ("and vertical flip", Some(small().vertical_flip(0.5))),
        ("rotation up to 180°, shift", Some(small().rotation(180.0))),
    ];
    let (pool, n, test) = (&track.different.test, DIGITS.min(track.different.pool.len()), track.different.some_tests(200)?);
    let sixes_and_nines: Vec<usize> = (0..pool.len()).filter(|&i| [6, 9].contains(&pool.labels[i])).collect();
    let turning = pool.subset(&sixes_and_nines)?;
    let bar = runs_bar("digits", recipes.len() as u64 * flags.seeds);
    let mut table = Table::new(format!("digits, {n} images, pretrained: test accuracy in %"), &["all digits", "6", "9"]);
    let (mut results, mut rows) = (Vec::<Scores>::new(), vec![]);
    for (name, augment) in recipes {
        let mut all = Scores::default();
        for seed in 0..flags.seeds {
            let train = track.different.draw(n, seed)?;
            let mut learner = track.learner(&track.different, Start::Pretrained, seed)?;
            learner.freeze_below("layer3")?;
            let options = FitOptions { augment: augment.clone(), ..flags.fit_options(n, seed) };
            let run = fit(&mut learner, &train, &test, &options, &format!("digits, {name}, seed {seed}"))?;
            let classes = learner.evaluate(&turning)?.per_class();
            let mut row = vec![100.0 * run.accuracy];
            row.extend([6, 9].into_iter().filter_map(|class| classes.get(class).copied().flatten()).map(|share| 100.0 * share));
            all.push(row);
            bar.inc(1);
        }
        table.row(name, [0, 1, 2].map(|i| all.cell(i)));
        let mean = |i| Spread::of(&all.test(i)).map_or(0.0, |spread| spread.mean);
        let bars = [0, 1, 2].map(|series| Bar { series, value: mean(series), text: all.cell(series).to_string() });
        rows.push(bars::Row { label: name.to_owned(), bars: bars.to_vec() });
        results.push(all);
    }
    bar.finish_and_clear();
    let chart = Bars {
        title: "Augmentations that keep labels, and that break them".to_owned(),
        note: format!("{}; mean ± standard deviation over seeds", table.title),
        axis: "test accuracy, %".to_owned(),
        series: table.columns.clone(),
        rows,
    };
    bars::draw(&chapter.figure("digits.png", "Digits under label-keeping and label-breaking augmentation."), &chart)?;
    chapter.table(table);
    let [none, good, flip, turn] = &results[..] else { return Ok(()) };
    let on_turning = |one: &Scores, other| format!("{} on 6, {} on 9", signed(&one.over(other, 1)), signed(&one.over(other, 2)));
    for (what, bad) in [("flipped upside down", flip), ("turned by up to 180°", turn)] {
        let evidence = format!("{} points in all, {}", signed(&bad.over(good, 0)), on_turning(bad, good));
        chapter.claim(format!("Digits {what} lose their label, and that hurts"), Verdict::of(&good.over(bad, 0)), evidence);
    }
    let (kept, broken) = (signed(&good.over(none, 0)), signed(&flip.over(none, 0)));
    chapter.quiz(
        "Which augmentation suits a set?",
        format!("One that leaves labels right. Small rotations and shifts changed digits by {kept} points; with vertical flips besides, {broken}."),
    );
    Ok(())
}

fn normalisation(chapter: &mut Chapter, track: &Track) -> Result<()> {
    let (task, n) = (&track.similar, chapter.flags.images.iter().copied().max().unwrap_or(DIGITS));
    let (test, channels) = (task.some_tests(400)?, track.input().channels);
    let mut learner = track.learner(task, Start::Pretrained, 0)?;
    let mut features = vec![];
    for (mean, std) in [(track.input().mean.clone(), track.input().std.clone()), (vec![0.0; channels], vec![1.0; channels])] {
        learner.normalization(&mean, &std)?;
        let mut draw = |seed| Ok(learner.features(&task.draw(n, seed)?, "avgpool", 1)?);
        let trains = (0..chapter.flags.seeds).map(&mut draw).collect::<Result<Vec<_>>>()?;
        features.push((trains, learner.features(&test, "avgpool", 1)?));
    }
    let [(right_train, right_test), (raw_train, raw_test)] = &features[..] else { return Ok(()) };
    let mut scores = Scores::default();
    for (seed, (right, raw)) in right_train.iter().zip(raw_train).enumerate() {
        let options = ProbeOptions { seed: seed as u64, ..ProbeOptions::default() };
        let probe = |train, test| Ok(100.0 * linear_probe(&chapter.gpu, train, test, &options)?.test.accuracy);
        let row: Result<_> =
            [(right, right_test), (right, raw_test), (raw, raw_test)].into_iter().map(|(train, test)| probe(train, test)).collect();
        scores.push(row?);
    }
    let mut table = Table::new(format!("{}, {n} images, softmax head on frozen features: test accuracy in %", task.name), &["accuracy"]);
    for (i, name) in ["normalised as the weights expect", "forgotten when testing", "forgotten always"].into_iter().enumerate() {
        table.row(name, [scores.cell(i)]);
    }
    chapter.table(table);
    for (i, name) in [(1, "when testing"), (2, "in training and testing")] {
        let lost: Vec<f64> = scores.test(0).into_iter().zip(scores.test(i)).map(|(right, wrong)| right - wrong).collect();
        let evidence = format!("{} % as it should be; {} points lost", Cell::spread(&scores.test(0)), signed(&lost));
        chapter.claim(format!("Forgetting to normalise {name} costs accuracy"), Verdict::of(&lost), evidence);
    }
    Ok(())
}
