//! Names, shapes and order of every network's tensors, its stages, and refused settings. No GPU.

use frostline_engine::tensor::Role;
use frostline_engine::{Freeze, Graph, Shape};
use frostline_loader::{HostTensor, StateDict};
use frostline_models::{Error, Model, NAMES, POOLED, guess, looks_like};
use frostline_twin::filler::name_hash;

/// Name and shape of every parameter and statistic, in the order their ops were recorded.
fn tensors(graph: &Graph) -> Vec<(String, Vec<usize>)> {
    let weights = graph.nodes().iter().flat_map(|node| &node.inputs).map(|&id| graph.tensor(id));
    weights
        .filter(|tensor| matches!(tensor.role, Role::Parameter(_) | Role::Statistic(_)))
        .map(|tensor| (tensor.name.clone(), tensor.shape.torch()))
        .collect()
}

fn recorded(model: &Model, size: usize) -> (Graph, frostline_models::Recorded) {
    let mut graph = Graph::new();
    let x = graph.input(1, size, size, model.input_channels());
    let recorded = model.record(&mut graph, x).unwrap();
    (graph, recorded)
}

fn state_of(model: &Model) -> StateDict {
    let host = |shape: Vec<usize>| HostTensor { data: vec![0.0; shape.iter().product()], shape };
    tensors(&recorded(model, 32).0).into_iter().map(|(name, shape)| (name, host(shape))).collect()
}

/// Computed from torchvision 0.29's `resnet.py`: entries of the state dict, those that are not
/// `num_batches_tracked`, parameters, and FNV-1a of the lines `name (d0, d1, …)\n` of the latter.
const TORCHVISION: [(&str, usize, usize, usize, u64); 5] = [
    ("resnet18", 122, 102, 11_689_512, 0x5567_9562_2A03_F450),
    ("resnet34", 218, 182, 21_797_672, 0x6826_76E1_E359_7BF6),
    ("resnet50", 320, 267, 25_557_032, 0x265B_5FFC_3430_310A),
    ("resnet101", 626, 522, 44_549_160, 0x8C7D_257C_BDA3_1DD2),
    ("resnet152", 932, 777, 60_192_808, 0x8EBB_9609_7946_2FCD),
];

#[test]
fn resnets_have_torchvisions_tensors_in_its_order() {
    for (name, entries, without_counters, parameters, digest) in TORCHVISION {
        let (graph, _) = recorded(&Model::new(name).unwrap(), 32);
        let tensors = tensors(&graph);
        let counters = tensors.iter().filter(|(name, _)| name.ends_with("running_mean")).count();
        assert_eq!((tensors.len() + counters, tensors.len()), (entries, without_counters), "{name}");
        let is_parameter = |name: &str| !name.contains(".running_");
        let count: usize = tensors
            .iter()
            .filter(|(name, _)| is_parameter(name))
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum();
        assert_eq!(count, parameters, "{name}");
        let line = |(name, shape): &(String, Vec<usize>)| {
            let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
            format!("{name} ({})\n", shape.join(", "))
        };
        let lines: String = tensors.iter().map(line).collect();
        assert_eq!(name_hash(&lines), digest, "{name}:\n{lines}");
        // The engine's order of parameters, which freezing below a layer relies on, is the same.
        let in_order: Vec<&str> =
            tensors.iter().map(|(name, _)| name.as_str()).filter(|name| is_parameter(name)).collect();
        assert_eq!(graph.parameter_names(), in_order, "{name}");
    }
}

#[test]
fn shipped_weights_have_the_networks_tensors_in_its_order() {
    for (file, model) in [
        ("resnet10_fashion", Model::new("resnet10").unwrap().classes(6)),
        ("efficientnet_lite0", Model::new("efficientnet_lite0").unwrap().without_head()),
    ] {
        let path = format!("{}/../assets/{file}.safetensors", env!("CARGO_MANIFEST_DIR"));
        let weights = frostline_loader::safetensors::read(path).unwrap().tensors;
        let expected: Vec<(String, Vec<usize>)> =
            weights.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect();
        assert_eq!(tensors(&recorded(&model, 64).0), expected, "{file}");
        assert_eq!(guess(&weights), Some(model), "{file}");
    }
}

#[test]
fn small_resnets_have_the_parameters_their_papers_count() {
    // resnet10: what assets/README.md counts. resnet20: 0.27 M in He et al., whose shortcuts have
    // no parameters; 1×1 convolutions with batch norm add 16·32 + 64 + 32·64 + 128 = 2,752.
    for (model, parameters) in [
        (Model::new("resnet10").unwrap().classes(6), 308_022),
        (Model::new("resnet20").unwrap(), 269_722 + 2_752),
    ] {
        let (graph, _) = recorded(&model, model.default_size());
        let count: usize = tensors(&graph)
            .iter()
            .filter(|(name, _)| !name.contains(".running_"))
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum();
        assert_eq!(count, parameters, "{model}");
    }
}

#[test]
fn stages_shrink_as_they_should() {
    let image = |n, side, c| Shape::Image { n, h: side, w: side, c };
    let expected = [
        (
            "resnet50",
            224,
            vec![
                ("stem", 56, 64),
                ("layer1", 56, 256),
                ("layer2", 28, 512),
                ("layer3", 14, 1024),
                ("layer4", 7, 2048),
                (POOLED, 1, 2048),
            ],
        ),
        (
            "resnet10",
            28,
            vec![
                ("stem", 28, 16),
                ("layer1", 28, 16),
                ("layer2", 14, 32),
                ("layer3", 7, 64),
                ("layer4", 4, 128),
                (POOLED, 1, 128),
            ],
        ),
        (
            "resnet20",
            32,
            vec![
                ("stem", 32, 16),
                ("layer1", 32, 16),
                ("layer2", 16, 32),
                ("layer3", 8, 64),
                (POOLED, 1, 64),
            ],
        ),
    ];
    for (name, size, stages) in expected {
        let (graph, recorded) = recorded(&Model::new(name).unwrap(), size);
        let got: Vec<(&str, Shape)> =
            recorded.stages.iter().map(|(name, &id)| (name.as_str(), graph.shape(id))).collect();
        let mut wanted: Vec<(&str, Shape)> =
            stages.into_iter().map(|(name, side, c)| (name, image(1, side, c))).collect();
        wanted.push(("fc", graph.shape(recorded.logits.unwrap())));
        assert_eq!(got, wanted, "{name}");
    }
    let (graph, lite) = recorded(&Model::new("efficientnet_lite0").unwrap().without_head(), 97);
    assert_eq!(graph.shape(lite.stages["stem"]), image(1, 49, 32), "SAME: half, rounded up");
    assert_eq!(graph.shape(lite.stages["blocks.15"]), image(1, 4, 320));
    assert_eq!(graph.shape(lite.output()), image(1, 1, 1280));
}

#[test]
fn stages_and_groups_say_what_can_be_frozen() {
    let model = Model::new("resnet18").unwrap();
    assert_eq!(model.stages(), ["stem", "layer1", "layer2", "layer3", "layer4", "fc"]);
    assert_eq!(model.groups(), ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"]);
    assert_eq!(model.members("stem").unwrap(), ["conv1", "bn1"]);
    for name in NAMES {
        let model = Model::new(name).unwrap();
        let (graph, _) = recorded(&model, 32);
        let names = graph.parameter_names();
        let mut below = 0;
        for stage in model.stages() {
            let groups = model.members(&stage).unwrap();
            let freeze = Freeze::below(&graph, &groups[0]).unwrap();
            assert_eq!(freeze.frozen_names().count(), below, "{name} {stage}");
            for group in &groups {
                below += names.iter().filter(|name| frostline_engine::freeze::in_group(name, group)).count();
            }
        }
        assert_eq!(below, names.len(), "{name}: every parameter belongs to one stage");
    }
}

#[test]
fn what_comes_after_a_stage_is_the_rest_of_the_network() {
    for model in [Model::new("resnet50").unwrap(), Model::new("efficientnet_lite0").unwrap().classes(5)] {
        let (whole, recorded) = recorded(&model, 64);
        let all = tensors(&whole);
        let mut shorter = all.len();
        for (stage, &output) in &recorded.stages {
            if stage == "fc" {
                continue;
            }
            let Shape::Image { n, h, w, c } = whole.shape(output) else { panic!("{stage} gives images") };
            let mut graph = Graph::new();
            let x = graph.input(n, h, w, c);
            let rest = model.record_from(&mut graph, stage, x).unwrap();
            let tensors = tensors(&graph);
            assert!(all.ends_with(&tensors), "{stage}");
            assert!(tensors.len() < shorter || stage == POOLED, "{stage}");
            shorter = tensors.len();
            assert_eq!(graph.shape(rest.output()), whole.shape(recorded.output()), "{stage}");
        }
        assert_eq!(shorter, 2, "only fc is left after {POOLED}");
    }
}

#[test]
fn weights_tell_their_network() {
    for name in NAMES {
        let model = Model::new(name).unwrap().classes(7);
        // No weight determines which convolution of a block has the stride.
        let guessed = guess(&state_of(&model)).unwrap();
        assert!(guessed.name() == name || name == format!("{}_v1", guessed.name()), "{name}");
        assert_eq!(guessed.called(name), Some(model), "{name}");
    }
    let photos = Model::new("resnet10").unwrap().in_channels(3).width(8).without_head();
    assert_eq!(guess(&state_of(&photos)), Some(photos));
    let mut other = state_of(&Model::new("resnet18").unwrap());
    other.shift_remove("layer3.1.conv1.weight");
    assert_eq!(guess(&other), None, "2-2-1-2 blocks are nobody's");
    assert_eq!(guess(&StateDict::new()), None);
}

/// Each of these has a ResNet's names, and one distinguishing property.
#[test]
fn networks_of_a_resnets_names_are_told_apart() {
    for name in NAMES {
        assert_eq!(looks_like(&state_of(&Model::new(name).unwrap())), None, "{name}");
    }
    let changed = |change: &dyn Fn(&mut StateDict)| {
        let mut state = state_of(&Model::new("resnet50").unwrap().width(8));
        change(&mut state);
        looks_like(&state)
    };
    let tensor =
        |shape: &[usize]| HostTensor { shape: shape.to_vec(), data: vec![0.0; shape.iter().product()] };
    let added = |name: &str, shape: &[usize]| {
        changed(&|state| drop(state.insert(name.to_owned(), tensor(shape)))).unwrap()
    };
    assert!(added("layer1.0.se.fc1.weight", &[2, 8, 1, 1]).starts_with("an SE-ResNet-50"));
    assert!(added("conv1.0.weight", &[4, 3, 3, 3]).starts_with("a ResNet-50-D"));
    assert!(added("layer2.0.downsample.1.weight", &[64, 32, 1, 1]).starts_with("a ResNet-50-D"));
    assert_eq!(added("layer1.0.conv2.weight", &[8, 2, 3, 3]), "a ResNeXt-50 (4x2d: convolutions in groups)");
    assert_eq!(added("layer1.0.conv1.weight", &[16, 8, 1, 1]), "a wide ResNet-50 (2 times the width)");
    let one = |name: &str| looks_like(&StateDict::from_iter([(name.to_owned(), tensor(&[1]))]));
    assert_eq!(one("blocks.0.attn.qkv.weight").unwrap(), "a vision transformer");
    assert_eq!(one("features.0.weight").unwrap(), "a VGG, an AlexNet or a SqueezeNet");
    assert_eq!((one("x"), looks_like(&StateDict::new())), (None, None));
}

#[test]
fn errors_say_what_would_be_right() {
    let text = |error: Error| error.to_string();
    let error = text(Model::new("resnet19").unwrap_err());
    assert!(
        error.contains("\"resnet19\"") && error.contains("resnet18") && error.contains("efficientnet_lite0"),
        "{error}"
    );

    let mut graph = Graph::new();
    let grey = graph.input(2, 32, 32, 1);
    let record = |model: Model, graph: &mut Graph| text(model.record(graph, grey).unwrap_err());
    let resnet18 = || Model::new("resnet18").unwrap();
    let error = record(resnet18(), &mut graph);
    assert_eq!(
        error,
        "resnet18: the input takes images of 3 channels, got (2, 1, 32, 32) (N, C, H, W); use \
         `.in_channels(…)`, or give images with that number of channels"
    );
    let error = record(resnet18().classes(0), &mut graph);
    assert_eq!(error, "resnet18: classes = 0: it must be in 1..=65536");
    let error = record(Model::new("efficientnet_lite0").unwrap().width(8), &mut graph);
    assert!(error.starts_with("efficientnet_lite0: width = 8: only ResNets"), "{error}");
    for model in [resnet18().width(usize::MAX), resnet18().stem_stride(0), resnet18().in_channels(0)] {
        model.stages();
        assert!(matches!(model.record(&mut graph, grey), Err(Error::Setting { .. })));
    }

    let error = text(resnet18().record_from(&mut graph, "layer5", grey).unwrap_err());
    assert_eq!(
        error,
        "resnet18 has no stage \"layer5\" here; there are: stem, layer1, layer2, layer3, layer4, avgpool"
    );
    let error = text(resnet18().record_from(&mut graph, "layer2", grey).unwrap_err());
    assert!(
        error.contains("what comes after layer2 takes images of 128 channels, got (2, 1, 32, 32)"),
        "{error}"
    );
    let headless = resnet18().without_head();
    assert!(headless.record_from(&mut graph, POOLED, grey).is_err(), "nothing comes after the features");
    assert!(headless.members("fc").is_err());
}
