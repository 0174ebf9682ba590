//! Every puzzle's solution passes, and every planted mistake is caught with a message that names its place.

use frostline_puzzles::device::Device;
use frostline_puzzles::{Complaint, PUZZLES, Puzzle, YOUR_LINES, mark};
use std::path::Path;
use std::sync::LazyLock;

static DEVICE: LazyLock<Device> = LazyLock::new(|| pollster::block_on(Device::open()).unwrap());

/// The lines that solve `puzzle`.
fn body(puzzle: &Puzzle) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/solutions");
    std::fs::read_to_string(folder.join(format!("{}.wgsl", puzzle.name))).unwrap()
}

/// The template with these lines.
fn filled_in(puzzle: &Puzzle, body: &str) -> String {
    assert_eq!(puzzle.template.matches(YOUR_LINES).count(), 1, "{}", puzzle.name);
    puzzle.template.replace(YOUR_LINES, body)
}

fn solution(puzzle: &Puzzle) -> String {
    filled_in(puzzle, &body(puzzle))
}

fn marked(puzzle: &Puzzle, text: &str, seed: u64) -> Result<Vec<String>, Complaint> {
    pollster::block_on(mark(&DEVICE, puzzle, text, "mine.wgsl", seed))
}

#[test]
fn every_solution_passes_at_several_seeds() {
    assert!(PUZZLES.len() >= 12);
    for puzzle in PUZZLES {
        for seed in 0..3 {
            let shapes = marked(puzzle, &solution(puzzle), seed);
            let shapes = shapes.unwrap_or_else(|complaint| panic!("{}: {complaint}", puzzle.name));
            assert!(shapes.len() >= 5, "{}: {shapes:?}", puzzle.name);
        }
    }
}

#[test]
fn every_template_compiles_and_is_called_empty() {
    for puzzle in PUZZLES {
        let complaint = marked(puzzle, puzzle.template, 0).unwrap_err();
        assert!(matches!(complaint, Complaint::Empty(_)), "{}: {complaint}", puzzle.name);
        for line in puzzle.template.lines() {
            assert!(line.chars().count() <= 100, "{}: more than 100 columns in `{line}`", puzzle.name);
        }
        assert!(puzzle.hints.iter().all(|hint| hint.len() > 20), "{}", puzzle.name);
    }
}

/// A puzzle, what stands in its solution, what to put there, and words of the message.
type Mistake = (&'static str, &'static str, &'static str, &'static [&'static str]);

/// Missing barriers are seen because llvmpipe runs the 64 invocations of a workgroup 8 at a time.
const MISTAKES: &[Mistake] = &[
    (
        "add.forward",
        "if i < p.size { y[i] = a[i] + b[i]; }",
        "y[i] = a[i] + b[i];",
        &["y[256], while it has 256 elements"],
    ),
    ("add.forward", "a[i] + b[i]", "a[i] - b[i]", &["`y` at image 1", "expected", "found"]),
    (
        "add.forward",
        "a[i] + b[i]",
        "a[i + 1u] + b[i + 1u]",
        &["is expected at image 0, row 0, column 0, channel 1"],
    ),
    (
        "add.forward",
        "i < p.size",
        "i < p.size - 1u",
        &["image 1, row 3, column 3, channel 7", "never written"],
    ),
    ("add.forward", "let i = id.x;", "let i = id.x % 64u;", &["192 elements are never written"]),
    ("add.forward", "{ y[i] = a[i] + b[i]; }", "{ y[0] = a[i] + b[i]; }", &["elements are never written"]),
    ("add.forward", "i < p.size", "i < 256u", &["image of 1×1 pixels", "behind its end"]),
    ("relu.forward", "max(x[i], 0.0)", "min(x[i], 0.0)", &["`y` at image"]),
    ("relu.forward", "max(x[i], 0.0)", "abs(x[i])", &["`y` at image", "expected 0.000000"]),
    ("relu.backward", "y[i] > 0.0", "y[i] >= 0.0", &["`dx` at image", "expected 0.000000"]),
    ("relu.backward", "y[i] > 0.0", "dy[i] > 0.0", &["`dx` at image"]),
    (
        "global_avg_pool.forward",
        "sum / f32(p.pixels)",
        "sum",
        &["16.000 times too large", "the number of pixels"],
    ),
    ("global_avg_pool.forward", "sum += x", "sum = x", &["No element is right"]),
    (
        "global_avg_pool.forward",
        "(n * p.pixels + k) * p.channels + c",
        "(n * p.channels + c) * p.pixels + k",
        &["`y` at image"],
    ),
    ("global_avg_pool.forward", "k < p.pixels", "k < p.pixels - 1u", &["No element is right"]),
    ("global_avg_pool.forward", "k++", "", &["the loop at line 22", "does not end"]),
    ("global_avg_pool.backward", " / f32(p.pixels)", "", &["16.000 times too large", "the number of pixels"]),
    (
        "global_avg_pool.backward",
        "i / p.channels / p.pixels",
        "i / p.channels % p.images",
        &["`dx` at image"],
    ),
    ("linear.forward", "bias[o]", "0.0", &["Elements of one output are all off by the same amount"]),
    ("linear.forward", "w[k * p.outputs + o]", "w[o * p.inputs + k]", &["`y` at row"]),
    ("linear.forward", "k < p.inputs", "k <= p.inputs", &["`y` at row"]),
    ("linear.forward", "let o = i % p.outputs", "let o = i % p.rows", &["3 outputs"]),
    (
        "linear.backward_bias",
        "sums[lane] = sum;\n    workgroupBarrier();",
        "sums[lane] = sum;",
        &["`dbias` at output"],
    ),
    (
        "linear.backward_bias",
        "if lane == 0u { dbias[group.x] = sums[0]; }",
        "dbias[group.x] = sums[lane];",
        &["`dbias` at output"],
    ),
    ("linear.backward_bias", "row += 64u", "row += 63u", &["`dbias` at output"]),
    ("linear.backward_bias", "var half = 32u", "var half = 16u", &["`dbias` at output"]),
    (
        "linear.backward_bias",
        "row < p.rows; row += 64u",
        "row < 64u; row += 64u",
        &["1 row", "found NaN", "behind the end"],
    ),
    ("matmul.tiled", "        workgroupBarrier(); // all is copied\n", "", &["`c` at row"]),
    ("matmul.tiled", "        workgroupBarrier(); // all is used\n", "", &["`c` at row", "Right at the "]),
    ("matmul.tiled", "if row < p.rows && first + local.x < p.inner {", "{", &["`c` at row", "Right at the "]),
    ("matmul.tiled", "if row < p.rows && column < p.columns {", "{", &["Right at the "]),
    ("matmul.tiled", "tile_a[local.y * 8u + k]", "tile_a[k * 8u + local.y]", &["`c` at row"]),
    (
        "cross_entropy.forward",
        "largest = max(largest, logits[first + k])",
        "largest = 0.0",
        &["comes from an overflow", "Right at the "],
    ),
    (
        "cross_entropy.forward",
        "exp(logits[first + k] - largest)",
        "exp(logits[first + k])",
        &["`loss` at row"],
    ),
    (
        "cross_entropy.forward",
        "log(sum) - (logits[first + labels[row]] - largest)",
        "log(sum) - logits[first + labels[row]]",
        &["`loss` at row"],
    ),
    ("cross_entropy.forward", "var k = 0u", "var k = 1u", &["`loss` at row"]),
    ("cross_entropy.forward", "let first = row * p.classes", "let first = row", &["`loss` at row"]),
    ("cross_entropy.backward", " / f32(p.rows)", "", &["8.000 times too large", "the number of rows"]),
    (
        "cross_entropy.backward",
        "select(0.0, 1.0, i % p.classes == labels[row])",
        "0.0",
        &["`dlogits` at row"],
    ),
    ("cross_entropy.backward", "i % p.classes == labels[row]", "i == labels[row]", &["`dlogits` at row"]),
    ("max_pool2d.forward", "var best = -3.4028234e38", "var best = 0.0", &["found 0.000000"]),
    (
        "max_pool2d.forward",
        "if ih >= 0 && ih < i32(p.h_in) && iw >= 0 && iw < i32(p.w_in) {",
        "{",
        &["`y` at image", "Right at the "],
    ),
    ("max_pool2d.forward", "iw < i32(p.w_in)", "iw <= i32(p.w_in)", &["column", "Right at the "]),
    (
        "max_pool2d.forward",
        " - i32(p.padding);\n            let iw",
        ";\n            let iw",
        &["`y` at image", "Right at the "],
    ),
    ("max_pool2d.backward", "sum += dy[at]", "sum = dy[at]", &["`dx` at image", "Right at the "]),
    ("max_pool2d.backward", "|| u32(right) % p.stride != 0u", "", &["`dx` at image"]),
    ("max_pool2d.backward", "kh * p.kernel + kw", "kw * p.kernel + kh", &["`dx` at image"]),
    (
        "batch_norm.statistics",
        "squares += deviation * deviation",
        "squares += deviation * (x[row * p.channels + c] + mean)",
        &["statistic 1"],
    ),
    (
        "batch_norm.statistics",
        "squares / f32(p.rows)",
        "squares / f32(p.rows - 1u)",
        &["All wrong elements are in statistic 1"],
    ),
    ("batch_norm.statistics", "stats[p.channels + c]", "stats[c + 1u]", &["never written"]),
    ("batch_norm.forward", " + beta[c]", "", &["Elements of one channel are all off by the same amount"]),
    ("batch_norm.forward", "i % p.channels", "i / p.rows", &["`y` at image"]),
    ("batch_norm.forward", "sqrt(variance[c] + p.eps)", "(variance[c] + p.eps)", &["`y` at image"]),
    ("batch_norm.backward_input", " + normalised * dgamma[c]", "", &["`dx` at image"]),
    (
        "batch_norm.backward_input",
        "(dbeta[c] + normalised * dgamma[c])",
        "normalised * dgamma[c]",
        &["all off by the same amount"],
    ),
    ("batch_norm.backward_input", " / f32(p.rows)", "", &["`dx` at image"]),
    (
        "conv2d.forward",
        "if ih < 0 || ih >= i32(p.h_in) || iw < 0 || iw >= i32(p.w_in) { continue; }",
        "",
        &["at the border of the image"],
    ),
    ("conv2d.forward", "ih >= i32(p.h_in)", "ih > i32(p.h_in)", &["row 5 (the last)"]),
    ("conv2d.forward", "(kh * p.kernel + kw)", "(kw * p.kernel + kh)", &["`y` at image"]),
    ("conv2d.forward", "oh * p.stride + kh", "oh + kh", &["stride 2", "Right at the "]),
    ("conv2d.forward", "x[pixel * p.c_in + ci]", "x[pixel * p.c_out + ci]", &["`y` at image"]),
    ("matmul.tiled", "first += 8u", "first += 0u", &["the loop at line", "does not end"]),
    (
        "matmul.tiled",
        "    var sum = 0.0;",
        "    if row >= p.rows || column >= p.columns { return; }\n    var sum = 0.0;",
        &["Right at the 2 shapes before", "returned before a workgroupBarrier()"],
    ),
    ("conv2d.forward", "kw++", "", &["the loop at line", "does not end"]),
    ("conv2d.forward", "kh++", "kh += 0u", &["the loop at line", "does not end"]),
    ("conv2d.forward", "sum += x", "sum = x", &["`y` at image"]),
    ("conv2d.backward_input", "u32(down) % p.stride != 0u || ", "", &["stride 2", "Right at the "]),
    ("conv2d.backward_input", "oh >= p.h_out || ow >= p.w_out", "ow >= p.w_out", &["`dx` at image"]),
    (
        "conv2d.backward_input",
        "p.c_in + ci) * p.c_out + co]",
        "p.c_out + co) * p.c_in + ci]",
        &["`dx` at image"],
    ),
    ("conv2d.backward_weight", "n < p.images", "n < 1u", &["2 images", "Right at the "]),
    ("conv2d.backward_weight", "sum += x", "sum = x", &["`dw` at tap row"]),
    ("conv2d.backward_weight", "n * p.h_out + oh", "n * p.h_out + ow", &["`dw` at tap row"]),
];

#[test]
fn every_planted_mistake_is_caught_and_placed() {
    assert!(PUZZLES.iter().all(|puzzle| MISTAKES.iter().any(|(name, ..)| *name == puzzle.name)));
    let mut missed = vec![];
    for &(name, from, to, words) in MISTAKES {
        let puzzle = Puzzle::find(name).unwrap();
        let right = body(puzzle);
        assert!(right.contains(from), "{name} has no `{from}`");
        let text = filled_in(puzzle, &right.replacen(from, to, 1));
        for seed in 0..3 {
            if marked(puzzle, &text, seed).is_ok() {
                missed.push(format!("{name}: `{to}` in place of `{from}` passes at seed {seed}"));
            }
        }
        match marked(puzzle, &text, 7) {
            Ok(_) => missed.push(format!("{name}: `{to}` in place of `{from}` passes")),
            Err(complaint) => {
                let message = complaint.to_string();
                println!("--- {name}: `{to}` in place of `{from}`\n{message}\n");
                if let Some(word) = words.iter().find(|word| !message.contains(**word)) {
                    missed.push(format!("{name}: `{to}` in place of `{from}`: no `{word}` in\n{message}"));
                }
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n\n"));
}

#[test]
fn what_the_compiler_refuses_is_shown_at_its_line() {
    let puzzle = Puzzle::find("add.forward").unwrap();
    let complain = |from: &str, to: &str| {
        marked(puzzle, &solution(puzzle).replace(from, to), 0).unwrap_err().to_string()
    };
    let unknown = complain("a[i]", "z[i]");
    assert!(unknown.contains("mine.wgsl:17:") && unknown.contains("z"), "{unknown}");
    let types = complain("a[i] + b[i]", "a[i] + 1u");
    assert!(types.contains("mine.wgsl:17:"), "{types}");
    let entry = complain("fn forward", "fn foreward");
    assert_eq!(entry, "the file has no entry point `forward`; it has foreward");
    let binding = complain("> a: array", "> c: array").replace("z[", "c[");
    assert!(binding.contains("no definition in scope for identifier: `a`"), "{binding}");
    let renamed = solution(puzzle).replace("> a: array", "> c: array").replace("a[i]", "c[i]");
    let renamed = marked(puzzle, &renamed, 0).unwrap_err().to_string();
    assert_eq!(renamed, "there is no binding `c` here; there is a, b, y");
    let tiled = Puzzle::find("matmul.tiled").unwrap();
    let larger = solution(tiled).replace("@workgroup_size(8, 8)", "@workgroup_size(16, 4)");
    let larger = marked(tiled, &larger, 0).unwrap_err().to_string();
    assert_eq!(larger, "@workgroup_size must stay at (8, 8), it is (16, 4)");
}

#[test]
fn the_tour_shows_what_a_missing_division_is_answered() {
    let puzzle = Puzzle::find("global_avg_pool.forward").unwrap();
    let undivided = body(puzzle).replace("sum / f32(p.pixels)", "sum");
    let said = marked(puzzle, &filled_in(puzzle, &undivided), 7).unwrap_err().to_string();
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/tour.md")).unwrap();
    assert!(page.contains(&format!("```text\n{said}\n```")), "docs/tour.md lacks:\n{said}");
}
