//! Time budgets, log lines, and paths that are not Unicode.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Place, SHORT, bytes, text};

#[test]
fn a_time_budget_is_kept_and_the_schedule_made_for_it() {
    let place = Place::new(10);
    place.weights();
    let start = Instant::now();
    let told = place.good(&format!("train photos {SHORT} --epochs 100000 --minutes 0.3 --out run --json"));
    let took = start.elapsed();
    assert!(took < Duration::from_secs(30), "18 seconds: {took:?}");
    let told: Value = serde_json::from_str(&told).unwrap();
    let steps = told["chosen"]["steps"].as_u64().unwrap();
    let reasons: Vec<&str> =
        told["choices"].as_array().unwrap().iter().filter_map(|c| c["why"].as_str()).collect();
    assert!(reasons.iter().any(|why| why.contains("fits into 0.3 minutes")), "{reasons:?}");
    assert!((10..600_000).contains(&steps), "{reasons:?}");

    let table = text(&bytes(&place.path("run/metrics.csv")));
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0], ["step", "from", "lr", "loss", "accuracy", "val_loss", "val_accuracy"]);
    let rates: Vec<f32> = rows.iter().skip(1).filter_map(|row| row[2].parse().ok()).collect();
    let highest = rates.iter().copied().fold(0.0, f32::max);
    assert!((0.019..=0.02).contains(&highest), "the whole rise: {highest}");
    // Unless the machine became slower than it was measured.
    if rates.len() as u64 == steps {
        assert!(rates.last().unwrap() < &0.001, "the whole fall: {:?}", rates.last());
    }
    assert!(rates.len() as u64 > steps / 3, "{} of {steps} steps", rates.len());
}

#[test]
fn without_time_for_a_step_the_probe_is_the_model() {
    let place = Place::new(10);
    place.weights();
    let told = place.good(&format!("train photos {SHORT} --minutes 1e-6 --out run"));
    assert!(told.contains("(the linear probe)"), "{told}");
    assert!(place.good("predict run photos/red/00.png").contains("red"), "the probe is a model");
    let before = crate::claims::contents(&place.path("run"));
    assert!(place.good("train --resume run").contains("nothing was changed"));
    assert!(crate::claims::contents(&place.path("run")) == before);
    let said = place.bad(2, &format!("train photos {SHORT} --no-probe --minutes 1e-6"));
    assert!(said.contains("not even one step fits") && said.contains("give --minutes 0."), "{said}");
    let said = place.bad(2, "train photos --minutes 0");
    assert!(said.contains("above 0"), "{said}");
}

/// One-time work, such as compiling kernels, was attributed to the outputs of frozen stages, of which there
/// are none, and multiplied by the number of photos.
#[test]
fn from_random_weights_a_short_time_is_enough_for_steps() {
    let place = Place::new(200);
    let flags = "--weights none --model resnet10 --size 16 --batch 4 --lr 0.02";
    let told = place.good(&format!("train photos {flags} --minutes 0.4 --out run --json"));
    let told: Value = serde_json::from_str(&told).unwrap();
    assert!(told["chosen"]["steps"].as_u64().unwrap() > 0, "{told}");
    assert!(told["report"]["step"].as_u64().unwrap() > 0, "{told}");
}

#[test]
fn rust_log_tells_the_phases() {
    let place = Place::new(6);
    place.weights();
    let mut command = place.command(&format!("train photos {SHORT} --epochs 1 --out run"));
    let said = text(&command.env("RUST_LOG", "frostline_cli=info").output().unwrap().stderr);
    for words in ["opening the device: ", "features: ", "linear probe: ", "step 3 of 3: ", "report: "] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    let said = text(&place.command("predict run photos").env("RUST_LOG", "error").output().unwrap().stderr);
    assert_eq!(said, "");
}

/// Names of files are bytes on Unix.
#[cfg(target_os = "linux")]
#[test]
fn paths_that_are_not_unicode_are_paths() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new(6);
    place.weights();
    let odd = |name: &[u8]| place.0.path().join(OsStr::from_bytes(name));
    std::fs::rename(place.path("photos"), odd(b"ph\xffotos")).unwrap();
    std::fs::rename(odd(b"ph\xffotos").join("red/00.png"), odd(b"ph\xffotos/red/\xfe.png")).unwrap();
    let good = |words: &str, paths: &[&[u8]]| {
        let mut command = place.command(words);
        let output = command.args(paths.iter().map(|path| OsStr::from_bytes(path))).output().unwrap();
        assert!(output.status.success(), "{words}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    good(&format!("train {SHORT} --epochs 1"), &[b"ph\xffotos", b"--out", b"r\xffun"]);
    std::fs::copy(odd(b"r\xffun/best.safetensors"), place.path("best.safetensors")).unwrap();
    let told = good("predict --json best.safetensors", &[b"ph\xffotos/red/\xfe.png"]);
    assert!(told.contains("\"class\": "), "{told}");
    good(
        "find-lr --weights weights.safetensors --no-probe --steps 10 --json",
        &[b"ph\xffotos", b"-o", b"\xff.png"],
    );
    std::fs::remove_file(odd(b"r\xffun/report.json")).unwrap();
    good("train", &[b"--resume", b"r\xffun", b"--data", b"ph\xffotos"]);
}
