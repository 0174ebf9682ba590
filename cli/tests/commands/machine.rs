//! plan, doctor and bench.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::{TRAINED, command, frostline, frostline_with};

#[test]
fn plan_tells_what_every_depth_costs() {
    let arguments =
        ["plan", "--model", "resnet18", "--batch", "2", "--size", "64", "--freeze-below", "layer4"];
    let text = frostline(arguments).text();
    assert!(
        text.contains("what if frozen") && text.contains("below layer4") && text.contains("conv2d"),
        "{text}"
    );
    let value = frostline(arguments.into_iter().chain(["--json"])).json();
    let rows = value["what_if"].as_array().unwrap();
    let number = |row: usize, key: &str| rows[row][key].as_u64().unwrap();
    assert_eq!(rows[0]["freeze_below"], "stem");
    assert!((1..rows.len()).all(|row| number(row, "macs") < number(row - 1, "macs")), "{rows:?}");
    // The row of this plan is this plan.
    let below = rows.iter().position(|row| row["freeze_below"] == "layer4").unwrap();
    assert_eq!(
        (number(below, "macs"), number(below, "kept_bytes")),
        (value["step"]["macs"].as_u64().unwrap(), value["kept_bytes"].as_u64().unwrap())
    );
    assert_eq!(number(0, "macs"), value["unfrozen"]["step"]["macs"].as_u64().unwrap());
}

#[test]
fn plan_names_what_there_is_not() {
    frostline(["plan", "--model", "resnet9"]).error(&["resnet9", "resnet18"]);
    frostline(["plan", "--model", "resnet18", "--freeze-below", "layer9"]).error(&["layer9", "layer4"]);
    assert_eq!(frostline(["plan", "--batch", "0"]).code, Some(2));
}

/// Nothing is measured: the figures follow from the plan and the card's published rates.
#[test]
fn plan_bounds_a_step_on_a_card_that_is_not_there() {
    let arguments = ["plan", "--model", "resnet18", "--batch", "8", "--roofline"];
    let text = frostline(arguments.into_iter().chain(["RTX 4070"])).text();
    assert!(
        text.contains("92 workgroups fill it") && text.contains("conv2d_tiled.backward_weight"),
        "{text}"
    );
    let value = frostline(arguments.into_iter().chain(["h100", "--json"])).json();
    let kernels = value["kernels"].as_array().unwrap();
    let sum = |key: &str| kernels.iter().map(|kernel| kernel[key].as_f64().unwrap()).sum::<f64>();
    // Three products of 1.8 billion multiply-accumulates an image, but for the first layer's input.
    assert!((sum("macs") / 8.0 / 1.81e9 - 2.93).abs() < 0.05, "{}", sum("macs"));
    assert!(
        sum("seconds") >= 2.0 * sum("macs") / 66.9e12 && sum("seconds_of_busiest_core") >= sum("seconds")
    );
    let unknown = frostline(arguments.into_iter().chain(["voodoo"]));
    assert!(unknown.code == Some(2) && unknown.stderr.contains("no such card"), "{unknown:#?}");
}

/// The self-test itself is tested beside its code.
#[test]
fn doctor_tells_every_adapter() {
    let found = frostline(["doctor", "--no-self-test", "--json"]).json();
    let adapters = found.as_array().unwrap();
    assert!(!adapters.is_empty());
    for adapter in adapters {
        assert!(
            adapter["kernels"].is_string() && adapter["reason"].is_string() && adapter["error"].is_null(),
            "{adapter}"
        );
        assert!(adapter["binding_bytes"].as_u64().unwrap() >= 128 << 20, "WebGPU's smallest: {adapter}");
    }
    let text = frostline(["doctor", "--no-self-test"]).text();
    assert!(text.contains("kernels: ") && text.contains("because"), "{text}");
    let portable =
        frostline_with(["doctor", "--no-self-test", "--json"], &[("FROSTLINE_TUNING", "portable")]).json();
    assert_eq!(
        (portable[0]["kernels"].as_str(), portable[0]["reason"].as_str()),
        (Some("portable"), Some("Portable kernels were requested"))
    );
}

/// The self-test is slow, and a driver may hang in it.
#[test]
fn doctor_tells_an_adapter_before_its_self_test() {
    let mut child = command(["doctor"], &[]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let described = lines.find(|line| line.as_ref().unwrap().contains("kernels: "));
    let ended = child.try_wait().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(described.is_some() && ended.is_none(), "{ended:?}");
}

/// No software adapter multiplies matrices.
#[test]
fn kernels_that_an_adapter_cannot_run_are_told_by_the_variable_that_asks_for_them() {
    let wanted = [("FROSTLINE_TUNING", "cooperative"), ("FROSTLINE_ADAPTER", "software")];
    frostline_with(["predict", &TRAINED.model(), &TRAINED.photos()], &wanted).error(&[
        "FROSTLINE_TUNING",
        "cooperative",
        "multiplies no matrices",
    ]);
    frostline_with(["doctor"], &[("FROSTLINE_TUNING", "fast")]).error(&["FROSTLINE_TUNING = fast"]);
}

#[test]
fn an_adapter_is_chosen_by_its_index_or_an_error_lists_them() {
    let first = frostline(["doctor", "--no-self-test", "--json", "--adapter", "0"]).json();
    assert_eq!((first.as_array().unwrap().len(), first[0]["index"].as_u64()), (1, Some(0)));
    let name = first[0]["name"].as_str().unwrap();
    for arguments in [&["bench", "--adapter", "no such"][..], &["doctor", "--adapter", "no such"]] {
        frostline(arguments).error(&["`no such`", "0: ", name, "software"]);
    }
    frostline_with(["bench"], &[("FROSTLINE_ADAPTER", "99")]).error(&["`99`", "0: ", name]);
    // The flag has precedence over the variable.
    let chosen =
        frostline_with(["doctor", "--no-self-test", "--adapter", "0"], &[("FROSTLINE_ADAPTER", "99")]).text();
    assert!(chosen.starts_with(&format!("0: {name}")), "{chosen}");
}

/// The Vulkan loader reads its drivers from where this variable says.
#[cfg(target_os = "linux")]
#[test]
fn doctor_says_how_to_get_an_adapter() {
    let none = [("VK_DRIVER_FILES", "/nonexistent.json"), ("VK_ICD_FILENAMES", "/nonexistent.json")];
    frostline_with(["doctor"], &none).error(&["no GPU adapter", "mesa-vulkan-drivers"]);
}

#[test]
fn bench_measures_every_kind_of_step() {
    let arguments = ["bench", "--model", "resnet10", "--size", "8", "--batch", "2", "--seconds", "0"];
    let value = frostline(arguments.into_iter().chain(["--json"])).json();
    let steps = value["steps"].as_array().unwrap();
    let names: Vec<&str> = steps.iter().map(|row| row["step"].as_str().unwrap()).collect();
    assert_eq!(names, ["infer", "full", "layer4", "head", "features"]);
    for row in steps {
        let (rate, time) =
            (row["images_per_second"].as_f64().unwrap(), row["milliseconds"].as_f64().unwrap());
        assert!(time > 0.0 && (rate * time / 2000.0 - 1.0).abs() < 1e-9 && row["samples"] == 3, "{row}");
    }
    frostline(["bench", "--model", "vgg16"]).error(&["vgg16"]);
    assert_eq!(frostline(["bench", "--seconds", "-1"]).code, Some(2));
}
