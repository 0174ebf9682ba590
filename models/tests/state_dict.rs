//! Weights of every dialect into a model and out again; weights that do not fit, and their errors.

use frostline_engine::{Gpu, Graph, Params};
use frostline_loader::{HostTensor, StateDict};
use frostline_models::{Dialect, Error, LoadOptions, Model, state_dict};
use frostline_twin::filler;
use std::sync::Arc;

fn small(classes: usize) -> Model {
    Model::new("resnet10").unwrap().width(4).classes(classes)
}

fn params(model: &Model) -> Params {
    let gpu = Arc::new(Gpu::new().expect("an adapter (see README: `make setup`)"));
    let mut graph = Graph::new();
    let x = graph.input(1, 32, 32, model.input_channels());
    model.record(&mut graph, x).unwrap();
    Params::new(&gpu, &graph, 7).unwrap()
}

/// Distinct numbers for every tensor of `params`.
fn numbers(params: &Params) -> StateDict {
    let fill = |name: &str, shape: Vec<usize>| {
        let data = filler::fill(name, shape.iter().product(), -1.0, 1.0);
        (name.to_owned(), HostTensor { shape, data })
    };
    params.tensors().map(|(name, shape)| fill(name, shape.torch())).collect()
}

/// By name, because the order of a state dict does not matter when it is loaded.
fn sorted(state: &StateDict) -> Vec<(&String, &HostTensor)> {
    let mut all: Vec<_> = state.iter().collect();
    all.sort_by_key(|(name, _)| *name);
    all
}

fn assert_same(a: &StateDict, b: &StateDict) {
    assert!(sorted(a) == sorted(b), "values differ");
}

fn renamed(state: &StateDict, rename: impl Fn(&str) -> String) -> StateDict {
    state.iter().map(|(name, tensor)| (rename(name), tensor.clone())).collect()
}

fn mismatch(params: &Params, state: &StateDict, options: &LoadOptions) -> String {
    let before = state_dict::save(params).unwrap();
    let error = state_dict::load(params, state, options).unwrap_err();
    assert!(matches!(error, Error::Mismatch(_)), "{error}");
    assert_same(&before, &state_dict::save(params).unwrap());
    error.to_string()
}

#[test]
fn what_is_saved_can_be_loaded_and_is_in_torchvisions_order() {
    let params = params(&small(5));
    let state = numbers(&params);
    let report = state_dict::load(&params, &state, &LoadOptions::strict()).unwrap();
    assert_eq!(report.dialect, Dialect::Torchvision);
    assert_eq!(report.loaded.len(), state.len());
    assert!(report.missing.is_empty() && report.extra.is_empty() && report.skipped.is_empty());
    let saved = state_dict::save(&params).unwrap();
    assert_same(&saved, &state);
    let names: Vec<&str> = saved.keys().map(String::as_str).collect();
    assert_eq!(
        names[..6],
        [
            "conv1.weight",
            "bn1.weight",
            "bn1.bias",
            "bn1.running_mean",
            "bn1.running_var",
            "layer1.0.conv1.weight"
        ]
    );
    assert_eq!(names[names.len() - 3..], ["layer4.0.downsample.1.running_var", "fc.weight", "fc.bias"]);
}

#[test]
fn wrappers_and_counters_are_of_no_account() {
    let params = params(&small(5));
    let plain = numbers(&params);
    let mut state = renamed(&plain, |name| format!("_orig_mod.module.{name}"));
    for layer in ["bn1", "layer4.0.downsample.1"] {
        let counter = HostTensor { shape: vec![], data: vec![100.0] };
        state.insert(format!("_orig_mod.module.{layer}.num_batches_tracked"), counter);
    }
    let report = state_dict::load(&params, &state, &LoadOptions::strict()).unwrap();
    assert_eq!(report.loaded.len(), plain.len());
    assert_same(&state_dict::save(&params).unwrap(), &plain);
}

/// Hugging Face's names, from the table in the documentation of `microsoft/resnet-*`, written in the other
/// direction than in the crate: by replacing text in torchvision's.
fn hugging_face(name: &str) -> String {
    if let Some(leaf) = name.strip_prefix("fc.") {
        return format!("classifier.1.{leaf}");
    }
    let name = match name.strip_prefix("layer") {
        None => format!("resnet.embedder.embedder.{name}")
            .replace(".conv1.", ".convolution.")
            .replace(".bn1.", ".normalization."),
        Some(rest) => {
            let (stage, rest) = rest.split_once('.').unwrap();
            let (block, rest) = rest.split_once('.').unwrap();
            let stage = stage.parse::<usize>().unwrap() - 1;
            format!("resnet.encoder.stages.{stage}.layers.{block}.{rest}")
        }
    };
    let mut name = name
        .replace(".downsample.0.", ".shortcut.convolution.")
        .replace(".downsample.1.", ".shortcut.normalization.");
    for number in 1..=3 {
        name = name.replace(&format!(".conv{number}."), &format!(".layer.{}.convolution.", number - 1));
        name = name.replace(&format!(".bn{number}."), &format!(".layer.{}.normalization.", number - 1));
    }
    name
}

#[test]
fn hugging_face_weights_load_into_basic_blocks_and_bottlenecks() {
    assert_eq!(
        hugging_face("layer4.2.bn3.running_var"),
        "resnet.encoder.stages.3.layers.2.layer.2.normalization.running_var"
    );
    for model in [small(5), Model::new("resnet50").unwrap().width(4).classes(3)] {
        let params = params(&model);
        let plain = numbers(&params);
        let theirs = renamed(&plain, hugging_face);
        assert!(theirs.keys().all(|name| !plain.contains_key(name)));
        for prefix in ["", "module."] {
            let theirs = renamed(&theirs, |name| format!("{prefix}{name}"));
            let report = state_dict::load(&params, &theirs, &LoadOptions::strict()).unwrap();
            assert_eq!((report.dialect, report.loaded.len()), (Dialect::HuggingFace, plain.len()));
            assert_same(&state_dict::save(&params).unwrap(), &plain);
        }
        // Their model without a classifier has no `resnet.` in front.
        let body: StateDict = renamed(&theirs, |name| name.trim_start_matches("resnet.").to_owned());
        let body = body.into_iter().filter(|(name, _)| !name.starts_with("classifier")).collect();
        let report = state_dict::load(&params, &body, &LoadOptions::skip_head()).unwrap();
        assert_eq!(report.loaded.len(), plain.len() - 2);
    }
}

#[test]
fn a_new_head_is_left_as_it_is() {
    let params = params(&small(10));
    let fresh = state_dict::save(&params).unwrap();
    let mut state = numbers(&params);
    state.insert("fc.weight".to_owned(), HostTensor { shape: vec![1000, 32], data: vec![0.5; 32_000] });
    state.insert("fc.bias".to_owned(), HostTensor { shape: vec![1000], data: vec![0.5; 1000] });

    let error = mismatch(&params, &state, &LoadOptions::strict());
    assert!(error.contains("nothing was loaded; tensors of another shape: 2\n"), "{error}");
    assert!(error.contains("fc.weight: the model has (10, 32), the file (1000, 32)"), "{error}");
    assert!(
        error.contains("`LoadOptions::skip_head()` to start a new one of 10 classes, or keep the file's by `.classes(1000)`"),
        "{error}"
    );

    let report = state_dict::load(&params, &state, &LoadOptions::skip_head()).unwrap();
    assert_eq!(report.skipped, ["fc.weight", "fc.bias"]);
    let after = state_dict::save(&params).unwrap();
    for (name, tensor) in &after {
        let expected = if name.starts_with("fc.") { &fresh[name] } else { &state[name] };
        assert_eq!(tensor, expected, "{name}");
    }

    // The classifier of a file is also passed over when the model has none.
    let headless = self::params(&small(10).without_head());
    let report = state_dict::load(&headless, &state, &LoadOptions::skip_head()).unwrap();
    assert_eq!(report.skipped, ["fc.weight", "fc.bias"]);
}

#[test]
fn one_error_names_everything_that_does_not_fit() {
    let params = params(&small(5));
    let mut state = numbers(&params);
    state.shift_remove("layer2.0.bn1.running_mean");
    state.shift_remove("layer3.0.conv2.weight");
    state.insert("aux.weight\u{1b}[31m".to_owned(), HostTensor { shape: vec![2, 2], data: vec![0.0; 4] });
    state.insert("layer1.0.bn1.bias".to_owned(), HostTensor { shape: vec![6], data: vec![0.0; 6] });
    state.insert("module.bn1.bias".to_owned(), state["bn1.bias"].clone());
    let error = mismatch(&params, &state, &LoadOptions::strict());
    for part in [
        "layer1.0.bn1.bias: the model has (4,), the file (6,)",
        "missing  layer2.0.bn1.running_mean (8,)",
        "missing  layer3.0.conv2.weight (16, 16, 3, 3)",
        r#"extra    "aux.weight\u{1b}[31m" (2, 2)"#,
        r#"twice    "bn1.bias" and "module.bn1.bias" mean the same tensor"#,
    ] {
        assert!(error.contains(part), "`{part}` is not in:\n{error}");
    }
    assert!(!error.contains('\u{1b}'), "a file must not write to the terminal");
}

#[test]
fn missing_and_extra_can_be_allowed_but_shapes_cannot() {
    let params = params(&small(5));
    let fresh = state_dict::save(&params).unwrap();
    let mut state = numbers(&params);
    state.shift_remove("layer2.0.bn1.running_mean");
    state.insert("aux".to_owned(), HostTensor { shape: vec![1], data: vec![0.0] });
    let error = mismatch(&params, &state, &LoadOptions::strict());
    assert!(error.contains("lenient()"), "{error}");
    let report = state_dict::load(&params, &state, &LoadOptions::strict().lenient()).unwrap();
    assert_eq!(report.missing, ["layer2.0.bn1.running_mean"]);
    assert_eq!(report.extra, ["aux"]);
    let after = state_dict::save(&params).unwrap();
    assert_eq!(after["layer2.0.bn1.running_mean"], fresh["layer2.0.bn1.running_mean"]);
    assert_eq!(after["conv1.weight"], state["conv1.weight"]);

    // The number of values may differ from the shape, because both fields are public.
    state["conv1.weight"].data.pop();
    let error = mismatch(&params, &state, &LoadOptions::strict().lenient());
    assert!(
        error.contains("conv1.weight: the model has (4, 1, 3, 3), the file (4, 1, 3, 3) with 35 values"),
        "{error}"
    );

    let options = LoadOptions::strict().lenient().skip("conv1");
    assert_eq!(state_dict::load(&params, &state, &options).unwrap().skipped, ["conv1.weight"]);
    let error =
        state_dict::load(&params, &state, &LoadOptions::strict().skip("layr1")).unwrap_err().to_string();
    assert!(error.contains("\"layr1\"") && error.contains("layer1, layer2"), "{error}");
}

#[test]
fn errors_name_the_network_the_file_is_for() {
    let params = params(&small(5));
    let other = |model: Model| numbers(&self::params(&model));
    let resnet20 = other(Model::new("resnet20").unwrap().in_channels(1).width(4).classes(5));
    let error = mismatch(&params, &resnet20, &LoadOptions::strict());
    assert!(
        error.contains(
            "The file is for resnet20 (width 4, 1 channel, 5 classes), the model is resnet10 (width 4,"
        ),
        "{error}"
    );
    let error = mismatch(&params, &other(small(5).width(8)), &LoadOptions::strict());
    assert!(error.contains("is for resnet10 (width 8, 1 channel, 5 classes)"), "{error}");
    let error = mismatch(&params, &other(small(5).in_channels(3)), &LoadOptions::strict());
    assert!(error.contains("images of 3 channels, the model for 1: use `.in_channels(3)`"), "{error}");
    let error = mismatch(&params, &other(small(5).without_head()), &LoadOptions::strict());
    assert!(error.contains("missing  fc.weight (5, 32)") && error.contains("skip_head()"), "{error}");
    let error = mismatch(&params, &StateDict::new(), &LoadOptions::skip_head());
    assert!(error.contains("tensors missing: 60\n"), "{error}");
}

#[test]
fn comparing_needs_no_device_and_says_what_loading_does() {
    let model = small(5);
    let params = params(&model);
    let state = renamed(&numbers(&params), hugging_face);
    for options in [LoadOptions::strict(), LoadOptions::skip_head()] {
        let loaded = state_dict::load(&params, &state, &options).unwrap();
        assert_eq!(state_dict::compare(&model, &state, &options).unwrap(), loaded);
    }
    let other = small(7);
    let error = state_dict::compare(&other, &state, &LoadOptions::strict()).unwrap_err();
    assert_eq!(error.to_string(), mismatch(&self::params(&other), &state, &LoadOptions::strict()));
}

/// Names as in damaged, foreign or hostile files: a result or an error of readable length for each, and never
/// a panic.
#[test]
fn damaged_names_are_answered() {
    let model = small(3);
    let sound = numbers(&params(&model));
    let huggingface =
        frostline_models::convert(&sound, Dialect::HuggingFace).unwrap_or_else(|_| sound.clone());
    let pieces = [
        "",
        ".",
        "..",
        "module.",
        "_orig_mod.",
        "layer9.",
        "18446744073709551616",
        "-1",
        "\u{0}",
        "é\u{301}",
        "running_mean",
        "\n",
        "🦀",
    ];
    let mut state = 1u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    let (mut loaded, mut refused) = (0, 0);
    for case in 0..2000 {
        let from = if case % 2 == 0 { &sound } else { &huggingface };
        let mut names: Vec<(String, HostTensor)> =
            from.iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
        for _ in 0..draw(4) {
            let at = draw(names.len());
            let other = names[draw(names.len())].0.clone();
            let name = &mut names[at].0;
            let cuts: Vec<usize> = name.char_indices().map(|(i, _)| i).chain([name.len()]).collect();
            let cut = cuts[draw(cuts.len())];
            match draw(5) {
                0 => name.truncate(cut),
                1 => name.insert_str(cut, pieces[draw(pieces.len())]),
                2 => *name = name.repeat(1 + draw(300)),
                3 => *name = other,
                _ => names[at].1.shape.rotate_left(1),
            }
        }
        let state: StateDict = names.into_iter().collect();
        let _ = (Dialect::detect(state.keys().map(String::as_str)), frostline_models::guess(&state));
        for options in [LoadOptions::strict(), LoadOptions::skip_head()] {
            match state_dict::compare(&model, &state, &options) {
                Ok(_) => loaded += 1,
                Err(error) => {
                    refused += 1;
                    let told = error.to_string();
                    assert!(!told.is_empty() && told.len() < 64 << 10, "case {case}: {} bytes", told.len());
                }
            }
        }
    }
    assert!(loaded > 500 && refused > 500, "{loaded} loaded, {refused} refused");
}
