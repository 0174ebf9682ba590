//! One of each figure, written to `target/tmp/gallery` for inspection: small, and the same every time.

use frostline_charts::bars::{self, Bar, Bars};
use frostline_charts::confusion::{self, ConfusionMatrix};
use frostline_charts::figure::{self, Curve, Panel};
use frostline_charts::forest::{self, Forest};
use frostline_charts::grid::{self, Grid, RgbImage, Tile, heat};
use frostline_charts::heatmap::{self, HeatMap, Place};
use frostline_charts::scatter::{self, Scatter};
use frostline_charts::timeline::{self, Span, Timeline};
use frostline_charts::{Files, RangeStep, range_test};
use std::path::{Path, PathBuf};

/// Largest SVG, in bytes.
const MOST: usize = 100_000;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("gallery").join(name)
}

/// Draws a figure twice and checks its files against the rules.
fn check(name: &str, draw: impl Fn(&Path) -> frostline_charts::Result<Files>) {
    let files = draw(&path(name)).unwrap();
    let svg = std::fs::read(&files.svg).unwrap();
    let png = std::fs::read(&files.png).unwrap();
    println!("{name}: SVG {} KiB, PNG {} KiB", svg.len() / 1024, png.len() / 1024);
    assert!(svg.len() <= MOST, "{name}: {} bytes", svg.len());
    let text = String::from_utf8(svg.clone()).unwrap();
    assert!(!text.contains("NaN") && !text.contains("inf"), "{name}");
    let number = |of: &str| text.split_once(of).unwrap().1.split('"').next().unwrap().parse::<u32>().unwrap();
    let drawn = image::load_from_memory(&png).unwrap();
    assert_eq!(
        (drawn.width(), drawn.height()),
        (2 * number(" width=\""), 2 * number(" height=\"")),
        "{name}"
    );
    draw(&path(name)).unwrap();
    assert_eq!(
        (std::fs::read(&files.svg).unwrap(), std::fs::read(&files.png).unwrap()),
        (svg, png),
        "{name}"
    );
}

/// Numbers that look random, from 0 to 1.
fn noise(i: usize) -> f64 {
    (i as f64 * 12.9898).sin().mul_add(43758.5453, 0.0).rem_euclid(1.0)
}

#[test]
fn curves() {
    let sizes = [20.0, 50.0, 100.0, 200.0];
    let by_size = |name: &str, color, from: f64| {
        let point = |(i, x): (usize, &f64)| (*x, from + 9.0 * i as f64, 5.0 - i as f64);
        Curve::new(name, color, sizes.iter().enumerate().map(point))
    };
    let intervals = (0..8).map(|i| {
        (f64::from(i), 60.0 + 3.0 * f64::from(i), 50.0 + 3.0 * f64::from(i), 63.0 + 4.0 * f64::from(i))
    });
    let by_step = |seed: usize, color: usize| {
        let name = format!("{}, seed {seed}", if color == 0 { "scratch" } else { "pretrained" });
        let points = (0..800).map(move |i| {
            let x = i as f64;
            (x, 30.0 + 30.0 * color as f64 + 30.0 * (1.0 - (-x / 200.0).exp()) + 8.0 * noise(i + 1000 * seed))
        });
        Curve::new(name, color, points)
    };
    let panel = |title: &str, x: &str, log_x, range, curves| Panel {
        title: title.to_owned(),
        x: x.to_owned(),
        y: "test accuracy, %".to_owned(),
        log_x,
        range,
        curves,
    };
    let sizes = vec![by_size("scratch", 0, 41.0), by_size("pretrained", 1, 62.0)];
    let stages = vec![
        Curve::new("digits, 95 % intervals", 2, intervals),
        Curve::new("chance", 4, [(0.0, 10.0), (7.0, 10.0)]).dashed(),
    ];
    let seeds = (0..3).flat_map(|seed| [by_step(seed, 0), by_step(seed, 1)]).collect();
    let panels = [
        panel(
            "photos: ImageNet's features and a ResNet from scratch",
            "labelled images",
            true,
            (20.0, 100.0),
            sizes,
        ),
        panel(
            "A title that is much too long for one line because it says all that there is to say of it",
            "stage",
            false,
            (0.0, 100.0),
            stages,
        ),
        panel("by step", "step", false, (20.0, 100.0), seeds),
        panel("nothing was measured", "step", false, (0.0, 1.0), vec![]),
    ];
    check("curves", |path| figure::draw(path, 2, &panels));
}

#[test]
fn a_range_test() {
    let step = |i: usize| {
        let rate = 1e-6 * 10f64.powf(i as f64 / 14.0);
        let smoothed = 2.0 - 1.6 / (1.0 + (-(rate.log10() + 3.0) * 3.0).exp()) + (rate * 3.0).powi(4);
        RangeStep { rate, loss: smoothed + 0.3 * (noise(i) - 0.5), smoothed }
    };
    let steps: Vec<RangeStep> = (0..88).map(step).collect();
    let marks = [("valley", 1.4e-3), ("steep", 9e-4), ("minimum / 10", 1e-2)];
    check("range_test", |path| figure::draw(path, 1, &[range_test(&steps, 100, &marks)]));
}

#[test]
fn groups_of_bars() {
    let row = |i: usize| {
        let bar = |series: usize| {
            let value = 100.0 * noise(3 * i + series);
            Bar { series, value, text: format!("{value:.1}±{:.1}", 4.0 * noise(i)) }
        };
        bars::Row {
            label: format!("approach {i}: full tuning, frozen statistics"),
            bars: (0..3).map(bar).collect(),
        }
    };
    let chart = Bars {
        title: "Every approach on test images, on the same moved, on old classes".to_owned(),
        note: "mean ± standard deviation over 5 seeds".to_owned(),
        axis: "accuracy, %".to_owned(),
        series: ["test images", "moved", "old classes, old head", "not shown"].map(str::to_owned).to_vec(),
        rows: (0..6).map(row).collect(),
    };
    check("bars", |path| bars::draw(path, &chart));
}

#[test]
fn a_heat_map() {
    let place = |row: usize, column: usize| {
        let value = if row == 2 && column == 1 { f64::NAN } else { -20.0 * noise(row * 4 + column) };
        let text = if value.is_nan() { "-".to_owned() } else { format!("{:.1}±1.2", 90.0 + value) };
        Place {
            value,
            text,
            framed: (row + column).is_multiple_of(5),
            dotted: (row + column).is_multiple_of(4),
        }
    };
    let map = HeatMap {
        title: "Accuracy by freeze depth in the four quadrants".to_owned(),
        note: "colour: points below the best of the column".to_owned(),
        row_axis: "trains from".to_owned(),
        column_axis: "how many labelled images, and of which task".to_owned(),
        rows: ["conv1", "layer2", "layer3", "layer4", "fc"].map(str::to_owned).to_vec(),
        columns: ["similar, few", "similar, many", "different, few", "different, many"]
            .map(|name| (name.to_owned(), "20 images".to_owned()))
            .to_vec(),
        places: (0..5).map(|row| (0..4).map(|column| place(row, column)).collect()).collect(),
        scale: "points".to_owned(),
        range: (-20.0, 0.0),
        marks: ("the best depth on average".to_owned(), "not told from the best by these seeds".to_owned()),
    };
    check("heatmap", |path| heatmap::draw(path, &map));
}

#[test]
fn a_forest() {
    let row = |label: &str, mean: f64, half: f64, verdict: &str, color| forest::Row {
        label: label.to_owned(),
        mean,
        low: mean - half,
        high: mean + half,
        verdict: verdict.to_owned(),
        color,
    };
    let forest = Forest {
        title: "Chapter 3: what the claims came to".to_owned(),
        note: "Mean over 5 seeds with its 95 % interval; grey: differences below one point count as none."
            .to_owned(),
        axis: "difference in test accuracy, points".to_owned(),
        margin: 1.0,
        digits: 1,
        rows: vec![
            row("Fine-tuning beats the head alone", 6.2, 1.4, "holds", 2),
            row(
                "Frozen batch norms help full tuning when images are moved by three pixels",
                0.7,
                2.1,
                "not decided",
                4,
            ),
            row("A head trained first helps full tuning", -0.1, 0.6, "no difference that matters", 1),
            row("A hundredfold rate is harmless", -9.4, 3.0, "refuted", 0),
            row("It is also true of a network that was never run", f64::NAN, 1.0, "not measured", 4),
        ],
    };
    check("forest", |path| forest::draw(path, &forest));
}

#[test]
fn points_of_classes() {
    let classes: Vec<String> =
        ["birds", "boats", "flowers", "fungi", "insects", "vehicles"].map(str::to_owned).to_vec();
    let point = |i: usize| {
        let class = i % 6;
        let (x, y) = (10.0 * (class as f64).cos(), 10.0 * (class as f64 * 2.0).sin());
        (x + 8.0 * (noise(i) - 0.5), y + 8.0 * (noise(i + 5000) - 0.5), class)
    };
    let panel = |title: &str| Scatter {
        title: title.to_owned(),
        x: "first principal component, 31 % of the variance".to_owned(),
        y: "second, 12 %".to_owned(),
        classes: classes.clone(),
        points: (0..360).map(point).collect(),
    };
    check("scatter", |path| {
        scatter::draw(path, &[panel("photos by their pixels"), panel("photos by their features")])
    });
}

#[test]
fn pictures_in_rows() {
    let wave = |i: usize, side: usize| -> Vec<f32> {
        let value = |p: usize| {
            ((p % side) as f32 / side as f32 * 7.0 + i as f32).sin()
                * ((p / side) as f32 / side as f32 * 5.0).cos()
        };
        (0..side * side).map(value).collect()
    };
    let map = |i: usize, side| Tile::new(format!("channel {i}"), heat(&wave(i, side), side, [0.0, 1.0]));
    let photo = RgbImage::from_fn(224, 160, |x, y| {
        image::Rgb([(x % 256) as u8, (y % 256) as u8, ((x + y) % 256) as u8])
    });
    let rows = vec![
        grid::Row {
            label: "the photo".to_owned(),
            tiles: vec![Tile::new("fire salamander, 97 %, and more words than fit", photo)],
        },
        grid::Row {
            label: "layer1\n64 channels\n56×56".to_owned(),
            tiles: (0..8).map(|i| map(i, 56)).collect(),
        },
        grid::Row {
            label: "layer4\n512 channels\n7×7".to_owned(),
            tiles: (0..8).map(|i| map(i, 7)).collect(),
        },
    ];
    let grid = Grid {
        title: "What the stages of a network make of a photo".to_owned(),
        note: "The eight channels of every stage with the highest peaks, each map on its own scale."
            .to_owned(),
        side: 84,
        rows,
        scale: Some(["0 and below".to_owned(), "peak of the map".to_owned()]),
    };
    check("grid", |path| grid::draw(path, &grid));
}

#[test]
fn a_confusion_matrix() {
    let few: Vec<String> =
        ["cat", "dog", "red fire salamander of the mountains", "horse"].map(str::to_owned).to_vec();
    let rows: Vec<&[u64]> = vec![&[40, 3, 0, 1], &[5, 30, 0, 2], &[0, 0, 12, 0], &[1, 9, 0, 22]];
    let matrix = ConfusionMatrix {
        title: "Validation photos: 83.2% of 125 recognised".to_owned(),
        classes: &few,
        rows,
    };
    check("confusion", |path| confusion::draw(path, &matrix));
    let many: Vec<String> = (0..40).map(|i| format!("class {i}")).collect();
    let counts: Vec<Vec<u64>> = (0..40)
        .map(|i| (0..40).map(|j| if i == j { 20 } else { (7.0 * noise(i * 40 + j)) as u64 / 6 }).collect())
        .collect();
    let rows = counts.iter().map(Vec::as_slice).collect();
    let matrix = ConfusionMatrix { title: "Forty classes".to_owned(), classes: &many, rows };
    check("confusion_many", |path| confusion::draw(path, &matrix));
}

#[test]
fn a_step_over_time() {
    let names: Vec<String> =
        ["conv1", "layer1.0", "layer1.1", "layer2.0", "layer2.1", "layer3.0", "layer4.0", "fc", "loss"]
            .map(str::to_owned)
            .to_vec();
    let span = |row: usize, series, part, i: usize| Span {
        row,
        series,
        part,
        milliseconds: 0.4 + 3.0 * noise(i),
        ghost: part > 0 && row < 6,
    };
    let forward = (0..27).map(|i| span(i / 3, if i % 3 == 0 { 1 } else { 4 }, 0, i));
    let backward = (0..36).rev().map(|i| span(i / 4, [0, 2, 4, 4][i % 4], 1, i + 100));
    let update = (0..3).map(|i| Span { milliseconds: 0.3, ..span(6 + i, 3, 2, i) });
    let series = ["input gradients", "forward", "weight gradients", "update of the weights", "all else"];
    let timeline = Timeline {
        title: "A training step of resnet18 frozen below layer4: 39 kernels ran; 24 were left out".to_owned(),
        note: "an adapter".to_owned(),
        frozen: 6,
        series: series.map(str::to_owned).to_vec(),
        parts: ["forward", "backward", "update"].map(str::to_owned).to_vec(),
        spans: forward.chain(backward).chain(update).collect(),
        rows: names,
    };
    check("timeline", |path| timeline::draw(path, &timeline));
}
