//! Puts the results of `scripts/gpu-check.sh` together: `gpu_report FOLDER SECONDS` reads the files that the
//! script's steps wrote into the folder and writes `gpu-check.json` and `gpu-check.md` there.
//!
//! The script calls it. A step that failed or is missing is a line in the report, not an error.

use frostline::bench::{KernelSum, KernelTime, by_kernel};
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Peak rates in TFLOP/s of f32 multiply-adds outside of matrix units, from the makers' data sheets, by
/// a part of the adapter's name.
const PEAKS: [(&str, f64); 14] = [
    ("H100 PCIe", 51.2),
    ("H100", 66.9),
    ("H200", 66.9),
    ("A100", 19.5),
    ("L40", 90.5),
    ("L4", 30.3),
    ("T4", 8.1),
    ("RTX 5090", 104.8),
    ("RTX 5070 Ti", 43.9),
    ("RTX 5070", 30.9),
    ("RTX 4090", 82.6),
    ("RTX 3090", 35.6),
    ("RTX 3050", 9.1),
    ("7900 XTX", 61.4),
];

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, seconds] = arguments.as_slice() else {
        eprintln!("usage: gpu_report FOLDER SECONDS");
        return ExitCode::from(2);
    };
    match run(Path::new(folder), seconds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(folder: &Path, seconds: &str) -> Outcome<()> {
    let doctor = read(&folder.join("doctor.json"));
    let steps = steps(&folder.join("steps"))?;
    // The device of the steps; the self-test covers all devices of the machine.
    let adapter =
        steps.iter().find_map(|(_, step)| step["adapter"].as_str()).unwrap_or("no adapter").to_owned();
    let peak = PEAKS.iter().find(|(part, _)| adapter.contains(part)).map(|(_, peak)| *peak);
    let tests = tests(&folder.join("tests"))?;
    let torch = read(&folder.join("torch.json"));
    let tune = read(&folder.join("tune.json"));

    let mut text = format!("# GPU check: {adapter}\n\n");
    if let Ok(smi) = std::fs::read_to_string(folder.join("nvidia-smi.txt")) {
        writeln!(text, "Card, driver, memory, highest clock, power limit: {}\n", smi.trim())?;
    }
    writeln!(text, "frostline {}, {seconds} s in all.\n", env!("CARGO_PKG_VERSION"))?;
    adapters(&mut text, &doctor)?;
    writeln!(
        text,
        "\n## Engine tests\n\n| kernels | binaries | passed tests | failed binaries |\n|---|---:|---:|---|"
    )?;
    for (class, result) in &tests {
        let failed: Vec<&str> =
            result["failed"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        writeln!(
            text,
            "| {class} | {} | {} | {} |",
            result["binaries"],
            result["passed"],
            failed.join(", ")
        )?;
    }
    table(&mut text, &steps, &torch, peak)?;
    kernels(&mut text, &steps)?;
    tiles(&mut text, &tune)?;
    std::fs::write(folder.join("gpu-check.md"), &text)?;

    let steps: Map<String, Value> = steps.into_iter().collect();
    let tests: Map<String, Value> = tests.into_iter().collect();
    let report = json!({
        "adapter": adapter,
        "frostline": env!("CARGO_PKG_VERSION"),
        "peak_tflops": peak,
        "doctor": doctor,
        "tests": tests,
        "steps": steps,
        "torch": torch,
        "tune": tune,
    });
    std::fs::write(folder.join("gpu-check.json"), serde_json::to_string(&report)?)?;
    println!("{text}");
    Ok(())
}

/// A file of JSON; null if there is none or it is not JSON.
fn read(path: &Path) -> Value {
    std::fs::read_to_string(path)
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or(Value::Null)
}

/// The files of `folder` with this extension, by name.
fn files(folder: &Path, extension: &str) -> Outcome<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Outcome<_>>()?;
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    Ok(files)
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The output of `frostline bench --json` for each step: its only row, with the model.
fn steps(folder: &Path) -> Outcome<Vec<(String, Value)>> {
    let mut steps = vec![];
    for path in files(folder, "json")? {
        let bench = read(&path);
        let mut step = bench["steps"][0].clone();
        if let Some(step) = step.as_object_mut() {
            for name in ["model", "batch", "size", "f16", "adapter"] {
                step.insert(name.to_owned(), bench[name].clone());
            }
        } else {
            let why = std::fs::read_to_string(path.with_extension("err")).unwrap_or_default();
            step = json!({ "error": why.lines().last().unwrap_or("it ran out of time") });
        }
        steps.push((stem(&path), step));
    }
    Ok(steps)
}

/// Passed tests and failed binaries by class of kernels. A class that the adapter cannot run is reported in
/// every binary, and counts as left out.
fn tests(folder: &Path) -> Outcome<Vec<(String, Value)>> {
    let mut classes: Vec<(String, u64, u64, Vec<String>)> = vec![];
    for path in files(folder, "code")? {
        let name = stem(&path);
        let (class, binary) = name.split_once('-').unwrap_or(("", &name));
        let log = std::fs::read_to_string(path.with_extension("log")).unwrap_or_default();
        let at = classes.iter().position(|(known, ..)| known == class).unwrap_or_else(|| {
            classes.push((class.to_owned(), 0, 0, vec![]));
            classes.len() - 1
        });
        let (_, binaries, passed, failed) = &mut classes[at];
        *binaries += 1;
        let summary =
            log.lines().filter_map(|line| line.strip_prefix("test result: ")?.split_once(". ")).next();
        let count = summary.and_then(|(_, rest)| rest.split_once(" passed")?.0.parse::<u64>().ok());
        *passed += count.unwrap_or(0);
        if std::fs::read_to_string(&path)?.trim() != "0" {
            let refused = log.contains("this adapter has no") || log.contains("this adapter multiplies no");
            let late = std::fs::read_to_string(&path)?.trim() == "124";
            failed.push(match (refused, late) {
                (true, _) => format!("{binary} (the adapter has none)"),
                (_, true) => format!("{binary} (out of time)"),
                _ => binary.to_owned(),
            });
        }
    }
    let json = |(class, binaries, passed, failed)| {
        (class, json!({ "binaries": binaries, "passed": passed, "failed": failed }))
    };
    Ok(classes.into_iter().map(json).collect())
}

fn adapters(text: &mut String, doctor: &Value) -> Outcome<()> {
    writeln!(
        text,
        "## Adapters\n\n| adapter | kind | kernels | subgroups | workgroup memory | self-test | worst share of the bound |"
    )?;
    writeln!(text, "|---|---|---|---|---:|---|---:|")?;
    for adapter in doctor.as_array().into_iter().flatten() {
        let checks: Vec<&Value> = adapter["self_test"]["checks"].as_array().into_iter().flatten().collect();
        let passed = checks.iter().filter(|check| check["passed"] == true).count();
        let worst = checks.iter().filter_map(|check| check["of_tolerance"].as_f64()).fold(0.0, f64::max);
        let sizes = &adapter["subgroup_sizes"];
        writeln!(
            text,
            "| {} | {}, {} | {} | {} to {} | {} | {passed} of {} | {worst:.2} |",
            word(&adapter["name"]),
            word(&adapter["kind"]),
            word(&adapter["backend"]),
            word(&adapter["kernels"]),
            sizes[0],
            sizes[1],
            adapter["workgroup_bytes"],
            checks.len()
        )?;
    }
    Ok(())
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

/// The steps, compared with PyTorch's.
fn table(text: &mut String, steps: &[(String, Value)], torch: &Value, peak: Option<f64>) -> Outcome<()> {
    let reference = match torch["torch"].as_str() {
        Some(version) => format!("PyTorch {version} on {}", word(&torch["device"])),
        None => "PyTorch was not available".to_owned(),
    };
    let peak_text =
        peak.map_or("not known".to_owned(), |peak| format!("{peak} TFLOP/s by the maker's data sheet"));
    writeln!(text, "\n## Steps\n\nMilliseconds of a step on a batch that is on the device; {reference}.")?;
    writeln!(text, "Peak of f32 outside of matrix units: {peak_text}.\n")?;
    writeln!(
        text,
        "| step | ms | images/s | TFLOP/s | of peak | with upload, ms | first, ms | PyTorch f32 | PyTorch TF32 |"
    )?;
    writeln!(text, "|---|---:|---:|---:|---:|---:|---:|---:|---:|")?;
    for (name, step) in steps {
        if let Some(error) = step["error"].as_str() {
            writeln!(text, "| {name} | {error} | | | | | | | |")?;
            continue;
        }
        let number = |field: &str| step[field].as_f64().unwrap_or(f64::NAN);
        let resident = number("resident_milliseconds");
        let tflops = number("gflops") * number("milliseconds") / resident / 1e3;
        let images = 1e3 * step["batch"].as_f64().unwrap_or(f64::NAN) / resident;
        // It is not the peak of f16 or of matrix units.
        let share = peak.filter(|_| step["f16"] != true);
        let share = share.map_or("-".to_owned(), |peak| format!("{:.0}%", 100.0 * tflops / peak));
        let kind = if step["step"] == "infer" { "infer" } else { "full" };
        let theirs = |precision: &str| {
            let same = |row: &&Value| {
                ["model", "batch", "size"].iter().all(|field| row[*field] == step[*field])
                    && row["precision"] == precision
            };
            let row = torch["rows"].as_array().into_iter().flatten().find(same);
            row.and_then(|row| row[kind].as_f64()).map_or("-".to_owned(), |ms| format!("{ms:.2}"))
        };
        writeln!(
            text,
            "| {name} | {resident:.2} | {images:.0} | {tflops:.2} | {share} | {:.2} | {:.0} | {} | {} |",
            number("milliseconds"),
            number("first_milliseconds"),
            theirs("f32"),
            theirs("tf32")
        )?;
    }
    Ok(())
}

/// The time of a full step, by kernel.
fn kernels(text: &mut String, steps: &[(String, Value)]) -> Outcome<()> {
    for (name, step) in steps.iter().filter(|(name, _)| name.contains("full")) {
        let Ok(kernels) = serde_json::from_value::<Vec<KernelTime>>(step["kernels"].clone()) else {
            continue;
        };
        let sums = by_kernel(&kernels);
        let total: f64 = sums.iter().map(|sum| sum.milliseconds).sum();
        writeln!(
            text,
            "\n### Kernels of {name}: {} dispatches, {total:.2} ms by timestamps\n",
            kernels.len()
        )?;
        writeln!(
            text,
            "| kernel | dispatches | ms | share | TFLOP/s | GB/s |\n|---|---:|---:|---:|---:|---:|"
        )?;
        for sum in sums.iter().take(12) {
            let (tflops, gigabytes, share) =
                (sum.gflops() / 1e3, sum.gigabytes(), 100.0 * sum.milliseconds / total);
            let KernelSum { kernel, count, milliseconds, .. } = sum;
            writeln!(
                text,
                "| {kernel} | {count} | {milliseconds:.3} | {share:.1}% | {tflops:.2} | {gigabytes:.0} |"
            )?;
        }
    }
    Ok(())
}

/// The gain of tiles other than the table's, as judged in separate rounds.
fn tiles(text: &mut String, tune: &Value) -> Outcome<()> {
    let Some(passes) = tune["passes"].as_array() else { return Ok(()) };
    writeln!(text, "\n## Tiles: where another than the table's is faster by 10% or more\n")?;
    let kept: Vec<&Value> = passes.iter().filter(|pass| pass["kept"] == true).collect();
    writeln!(text, "{} of {} passes of convolutions that were measured.", kept.len(), passes.len())?;
    if kept.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n| convolution | pass | table's | ms | best | ratio |\n|---|---|---|---:|---|---:|")?;
    for pass in kept {
        let (layer, table, best) = (word(&pass["layer"]), tile(&pass["table"]), tile(&pass["best"]));
        let number = |field: &str| pass[field].as_f64().unwrap_or(f64::NAN);
        let (ms, ratio) = (number("milliseconds"), number("ratio"));
        writeln!(
            text,
            "| {layer} | {} | {table} | {ms:.3} | {best} | {ratio:.2} |",
            word(&pass["conv"]["pass"])
        )?;
    }
    Ok(())
}

fn tile(algorithm: &Value) -> String {
    let tiles = &algorithm["tiled"];
    if tiles.is_null() {
        return algorithm.to_string();
    }
    let double = if tiles["buffers"] == 2 { " double" } else { "" };
    format!("{}×{}×{}/{}×{}{double}", tiles["bm"], tiles["bn"], tiles["bk"], tiles["rm"], tiles["rn"])
}
