//! Frequent problems with other frameworks, each with a test that has the complaint's name.
//! `docs/complaints.md` describes them.

mod common;

use common::{BATCH, gpu, session, small_resnet, step, varied_params};
use frostline_engine::faults::{Fault, Place};
use frostline_engine::{
    BatchNormMode, Error, Freeze, Gpu, Graph, Optim, Optimizer, Params, Plan, Session, Storage, TensorId,
    Tuning,
};
use frostline_loader::{HostTensor, ImageSet, StateDict};
use frostline_models::{Dialect, LoadOptions, Model, state_dict};
use frostline_trainer::{FitOptions, Learner};
use frostline_twin::filler;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use wgpu::naga;

const MIB: u64 = 1 << 20;

fn recorded() -> (Graph, TensorId) {
    let mut graph = Graph::new();
    let (_, loss) = small_resnet(&mut graph).unwrap();
    (graph, loss)
}

/// A training step of `model` on `batch` images of its own size.
fn planned(model: &str, batch: usize, tuning: &Tuning) -> Plan {
    let model = Model::new(model).unwrap();
    let mut graph = Graph::new();
    let x = graph.input(batch, model.default_size(), model.default_size(), model.input_channels());
    let labels = graph.labels(batch);
    let output = model.record(&mut graph, x).unwrap().output();
    let loss = graph.cross_entropy(output, labels, 0.0).unwrap();
    Plan::training(&graph, loss, &Freeze::none(), &Optim::sgd(0.1).momentum(0.9), tuning).unwrap()
}

/// All tests of this file except the first few need only a training step of this network.
fn trained(gpu: &Arc<Gpu>, freeze: &Freeze) -> (Session, Optimizer) {
    let (graph, loss) = recorded();
    let plan = Plan::training(&graph, loss, freeze, &Optim::sgd(0.05), gpu.tuning()).unwrap();
    session(gpu, plan, &varied_params(gpu, &graph))
}

#[test]
fn burn_2260_conv_backward_costs_what_two_forward_passes_cost() {
    for tuning in [Tuning::gpu(), Tuning::portable(), Tuning::subgroup(8)] {
        let plan = planned("resnet50", 2, &tuning);
        for (name, layer) in plan.ledger().layers.iter().filter(|(_, layer)| layer.forward.macs > 0) {
            let (forward, backward) = (layer.forward.macs, layer.backward.macs);
            assert!(
                backward >= forward && backward <= 2 * forward,
                "{name}: {backward} after {forward}, {tuning:?}"
            );
        }
    }
    // These kernels are also the ones that run.
    let (mut session, mut optimizer) = trained(&gpu(), &Freeze::none());
    step(&mut session, &mut optimizer, 0.1);
    assert_eq!(session.executed(), session.plan().ledger().step);
}

#[test]
fn candle_1593_1851_gradients_pass_a_max_pool_whose_windows_overlap() {
    // All trained layers are below a 3x3 max-pool with a stride of 2, as in a ResNet.
    let (graph, _) = recorded();
    let (mut session, mut optimizer) = trained(&gpu(), &Freeze::all_but(&graph, "conv1").unwrap());
    let kernels = session.plan().dispatches().iter().map(|dispatch| dispatch.variant.kernel.name());
    assert_eq!(kernels.filter(|kernel| kernel == "max_pool2d.backward").count(), 1);
    step(&mut session, &mut optimizer, 0.0);
    let squared: f64 =
        session.read_gradient("conv1.weight").unwrap().iter().map(|&value| f64::from(value).powi(2)).sum();
    // A short way down the gradient, the loss falls by rate·|gradient|².
    let rate = 1e-3 / squared;
    step(&mut session, &mut optimizer, rate as f32);
    step(&mut session, &mut optimizer, 0.0);
    let history = session.read_history(3, 3).unwrap();
    let fall = f64::from(history[1].loss - history[2].loss) / (rate * squared);
    assert!(
        (0.9..1.1).contains(&fall),
        "the loss fell by {fall} of the prediction by the gradient: \
                                         {history:?}"
    );
}

#[test]
fn burn_2042_4792_training_holds_the_same_memory_at_every_step() {
    let gpu = Arc::new(Gpu::new().unwrap());
    let (mut session, mut optimizer) = trained(&gpu, &Freeze::none());
    let mut most = [0; 2];
    for at in 0..400 {
        session.write_input(&filler::fill(&format!("batch {at}"), BATCH * 8 * 8 * 3, -2.0, 2.0)).unwrap();
        step(&mut session, &mut optimizer, 0.01);
        if at % 10 == 9 {
            session.read_summary().unwrap();
        }
        let later = usize::from(at >= 100);
        most[later] = gpu.memory_in_use().unwrap_or(0).max(most[later]);
    }
    assert!(most[1] <= most[0], "{most:?} bytes");
    assert!(most[0] > 0 || gpu.memory_in_use().is_none(), "nothing was counted");
}

#[test]
fn burn_717_3465_no_memory_is_an_error_that_says_how_much_and_the_next_plan_runs() {
    let gpu = Arc::new(Gpu::new().unwrap());
    let before = gpu.reached().allocations;
    drop(trained(&gpu, &Freeze::none()));
    let allocations = gpu.reached().allocations - before;
    let (graph, loss) = recorded();
    let params = varied_params(&gpu, &graph);
    for nth in [1, 2, allocations / 2] {
        gpu.fail(Fault::OutOfMemory, Place::Allocation, nth);
        let plan = Plan::training(&graph, loss, &Freeze::none(), &Optim::sgd(0.05), gpu.tuning()).unwrap();
        let text = match Session::new(&gpu, plan, &params, None) {
            Err(error @ Error::OutOfMemory { .. }) => error.to_string(),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("allocation {nth} of {allocations} failed without an error"),
        };
        assert!(text.contains("bytes were requested for") && text.contains("smaller batch"), "{text}");
        let (mut session, mut optimizer) = trained(&gpu, &Freeze::none());
        step(&mut session, &mut optimizer, 0.1);
        assert!(session.read_summary().unwrap().loss.is_finite());
    }
}

#[test]
fn burn_5162_a_parameter_alone_gets_the_gradient_that_it_gets_among_all() {
    let (graph, loss) = recorded();
    let gpu = gpu();
    let names: Vec<&str> = graph.parameter_names();
    let gradients = |frozen: &[&str], storage: Storage| -> BTreeMap<String, Vec<u32>> {
        let mut freeze = Freeze::names(frozen.iter().copied());
        freeze.batch_norm = BatchNormMode::Running;
        let plan =
            Plan::training(&graph, loss, &freeze, &Optim::sgd(0.05), &gpu.tuning().with_storage(storage))
                .unwrap();
        let (mut session, mut optimizer) = session(&gpu, plan, &varied_params(&gpu, &graph));
        session.poison();
        step(&mut session, &mut optimizer, 0.0);
        let trained: Vec<String> = session.plan().trainable_names().map(str::to_owned).collect();
        let bits =
            |name: &String| session.read_gradient(name).unwrap().into_iter().map(f32::to_bits).collect();
        trained.iter().map(|name| (name.clone(), bits(name))).collect()
    };
    let storages = [Some(Storage::F32), gpu.has_f16().then(Storage::f16)];
    for storage in storages.into_iter().flatten() {
        let all = gradients(&[], storage);
        assert!(all.values().flatten().all(|bits| f32::from_bits(*bits).is_finite()), "{storage:?}");
        assert!(
            all.values().all(|gradient| gradient.iter().any(|bits| f32::from_bits(*bits) != 0.0)),
            "{storage:?}"
        );
        for alone in &names {
            let others: Vec<&str> = names.iter().copied().filter(|name| name != alone).collect();
            let gradient = gradients(&others, storage);
            assert_eq!(gradient.keys().collect::<Vec<_>>(), [alone]);
            if storage == Storage::F32 {
                assert!(gradient[*alone] == all[*alone], "{alone} alone");
                continue;
            }
            // Frozen layers are fused, so that some intermediate values are not rounded to 16 bits.
            let pairs = gradient[*alone]
                .iter()
                .zip(&all[*alone])
                .map(|(a, b)| [a, b].map(|bits| f64::from(f32::from_bits(*bits))));
            let [off, size] = pairs
                .fold([0.0; 2], |[off, size], [a, b]| [off + (a - b).powi(2), size + b * b])
                .map(f64::sqrt);
            assert!(off < 0.05 * size, "{alone} alone, {storage:?}: {off} off a gradient of {size}");
        }
    }
}

fn images() -> ImageSet {
    let pixels = filler::fill("images", 12 * 8 * 8, 0.0, 255.9);
    ImageSet {
        height: 8,
        width: 8,
        channels: 1,
        images: pixels.into_iter().map(|value| value as u8).collect(),
        labels: (0..12).map(|image| image % 3).collect(),
        classes: ["a", "b", "c"].map(str::to_owned).to_vec(),
    }
}

#[test]
fn pytorch_86590_keras_9965_a_frozen_batch_norm_keeps_its_statistics_and_what_drifts_is_told() {
    let set = images();
    let gpu = gpu();
    let frozen_below_layer3 = || {
        let mut learner =
            Learner::new(&gpu, Model::new("resnet10").unwrap().width(4).classes(3), 8, 1).unwrap();
        learner.freeze_below("layer3").unwrap();
        learner
    };
    let below = |learner: &Learner| -> Vec<(String, Vec<u32>)> {
        let tensors = learner.params().to_host().unwrap().into_iter();
        let frozen = tensors
            .filter(|(name, ..)| !["layer3", "layer4", "fc"].iter().any(|open| name.starts_with(open)));
        frozen.map(|(name, _, values)| (name, values.into_iter().map(f32::to_bits).collect())).collect()
    };
    let options = FitOptions::steps(6).batch(4).lr(0.05).validate(&set, 6);
    let fit = |learner: &mut Learner| {
        let history = learner.fit(&set, &options, |_| ControlFlow::Continue(())).unwrap();
        history.evaluations[0].1.drift.clone()
    };

    let mut learner = frozen_below_layer3();
    let before = below(&learner);
    assert!(before.iter().any(|(name, _)| name == "layer2.0.bn2.running_var"));
    assert_eq!(fit(&mut learner), None);
    assert!(below(&learner) == before, "a value below the frostline changed");

    // The behaviour of other frameworks, if requested: parameters frozen, statistics not. The drift alarm
    // reports it.
    let mut learner = frozen_below_layer3();
    learner.set_batch_norm(BatchNormMode::Batch);
    let drift = fit(&mut learner).expect("an alarm");
    let norms = before.iter().filter(|(name, _)| name.ends_with("running_var")).count();
    assert_eq!(drift.layers.len(), norms);
    assert!(drift.layers.iter().all(|layer| layer.max_change > Some(0.0)), "{drift}");
}

#[test]
fn candle_344_any_adapter_will_do_and_no_vendors_toolkit_is_linked() {
    let lock = include_str!("../Cargo.lock");
    let packages: BTreeSet<&str> =
        lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    assert!(packages.contains("wgpu"));
    let toolkits = [
        "cudarc",
        "cust",
        "cuda",
        "rocm",
        "hip",
        "tch",
        "torch-sys",
        "onnxruntime",
        "ort",
        "mkl",
        "openblas",
        "cudnn",
    ];
    let linked = packages
        .iter()
        .filter(|name| toolkits.iter().any(|toolkit| name.split(['-', '_']).any(|part| part == *toolkit)));
    assert_eq!(linked.collect::<Vec<_>>(), Vec::<&&str>::new());
    // All kernels together, for every class of adapters.
    let bytes: usize = frostline_shaders::FILES.iter().map(|(_, text)| text.len()).sum();
    assert!(bytes < 1 << 20, "{bytes} bytes of WGSL");
    println!("{bytes} bytes of WGSL; here they run on {}", gpu().describe());
}

#[test]
fn burn_3463_nothing_is_measured_before_the_first_step() {
    let gpu = Arc::new(Gpu::new().unwrap());
    let (mut session, mut optimizer) = trained(&gpu, &Freeze::none());
    let ready = gpu.requests();
    assert_eq!(ready.submits, 0, "something ran before the first step");
    let variants: BTreeSet<String> =
        session.plan().dispatches().iter().map(|dispatch| format!("{:?}", dispatch.variant)).collect();
    assert_eq!(
        ready.pipelines,
        variants.len() as u64,
        "one for each kernel that the step runs, and none to compare"
    );
    step(&mut session, &mut optimizer, 0.1);
    assert_eq!((gpu.requests().submits, gpu.requests().pipelines), (1, ready.pipelines));
}

#[test]
fn wgpu_2554_no_submission_exceeds_the_work_that_drivers_wait_for_and_a_loss_is_an_error() {
    let gpu = Arc::new(Gpu::new().unwrap());
    let (graph, loss) = recorded();
    let params = varied_params(&gpu, &graph);
    // A time limit that no two dispatches fit into: from the second step on, which the time of the first
    // determines, each has a separate submission. `engine/src/pace.rs` tests the cuts between that and one.
    let tuning = Tuning { submit_time: Some(Duration::from_nanos(1)), ..gpu.tuning().clone() };
    let plan = Plan::training(&graph, loss, &Freeze::none(), &Optim::sgd(0.05), &tuning).unwrap();
    let dispatches = plan.ledger().step.dispatches;
    let (mut session, mut optimizer) = session(&gpu, plan, &params);
    step(&mut session, &mut optimizer, 0.1);
    let first = gpu.requests().submits;
    step(&mut session, &mut optimizer, 0.1);
    assert_eq!(gpu.requests().submits - first, dispatches);
    // No single dispatch of a ResNet-50 with this batch takes a second on a small GPU, of 2·10¹⁰
    // multiply-accumulates per second.
    let plan = planned("resnet50", 64, &Tuning::gpu());
    assert!(plan.dispatches().iter().all(|dispatch| dispatch.macs < 20_000_000_000));

    gpu.fail(Fault::DeviceLost, Place::Submit, 1);
    session.begin_step(&mut optimizer, 0.1).unwrap();
    let lost = session.run().err().or(session.read_summary().err());
    assert!(matches!(lost, Some(Error::DeviceLost { .. })), "{lost:?}");
}

#[test]
fn wgpu_6221_the_adapters_limits_are_asked_for_and_used() {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::PRIMARY;
    let best = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..Default::default()
    };
    let adapter = pollster::block_on(wgpu::Instance::new(descriptor).request_adapter(&best)).unwrap();
    let limits = adapter.limits();
    let gpu = Gpu::new().unwrap();
    assert_eq!(gpu.largest_binding(), limits.max_storage_buffer_binding_size.min(limits.max_buffer_size));

    // One MiB more than a binding has by default; where the adapter has no more, the error says so.
    let gpu = Arc::new(gpu);
    let mut graph = Graph::new();
    let x = graph.input(129, 256, 256, 4);
    let x = graph.relu(x, "relu").unwrap();
    let features = graph.global_avg_pool(x, "avgpool").unwrap();
    let logits = graph.linear(features, "fc", 3).unwrap();
    let plan = Plan::inference(&graph, logits, gpu.tuning()).unwrap();
    let params = Params::new(&gpu, &graph, 1).unwrap();
    match Session::new(&gpu, plan, &params, None) {
        Ok(mut session) => {
            assert!(gpu.largest_binding() >= 129 * MIB);
            session.run().unwrap();
            let bias = params.get("fc.bias").unwrap();
            assert_eq!(session.read_output().unwrap()[128 * 3..], bias, "the last of 129 black images");
        }
        Err(Error::TooLarge { bytes, limit, .. }) => {
            assert_eq!((bytes, limit), (129 * MIB, gpu.largest_binding()))
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn burn_1254_candle_2391_training_kernels_are_plain_webgpu() {
    // What every browser with WebGPU has: the standard's default limits, and no extension of WGSL.
    let limits = wgpu::Limits::default();
    let mut seen = BTreeSet::new();
    for dispatch in ["resnet18", "resnet50", "efficientnet_lite0"].iter().flat_map(|model| dispatches(model))
    {
        let variant = &dispatch.variant;
        let what = format!("{} of {}", variant.kernel.name(), dispatch.layer);
        let groups = limits.max_compute_workgroups_per_dimension;
        assert!(dispatch.grid.iter().all(|count| *count <= groups), "{what}: {:?} workgroups", dispatch.grid);
        if !seen.insert(format!("{variant:?}")) {
            continue;
        }
        let text = frostline_shaders::source(
            variant.kernel.file,
            &variant.constants,
            variant.share,
            &variant.formats,
        )
        .unwrap();
        let module = naga::front::wgsl::parse_str(&text)
            .unwrap_or_else(|error| panic!("{what}: {}", error.emit_to_string(&text)));
        let mut validator = naga::valid::Validator::new(
            naga::valid::ValidationFlags::all(),
            naga::valid::Capabilities::empty(),
        );
        let info =
            validator.validate(&module).unwrap_or_else(|error| panic!("{what} needs an extension: {error}"));
        let (module, info) = (&module, &info);
        let at = module.entry_points.iter().position(|entry| entry.name == variant.kernel.entry).unwrap();
        let used = |space: fn(&naga::AddressSpace) -> bool| {
            let globals = module.global_variables.iter();
            globals.filter(move |(handle, global)| {
                space(&global.space) && !info.get_entry_point(at)[*handle].is_empty()
            })
        };
        let storage = used(|space| matches!(space, naga::AddressSpace::Storage { .. })).count();
        assert!(
            storage <= limits.max_storage_buffers_per_shader_stage as usize,
            "{what} binds {storage} storage buffers"
        );
        let shared: u32 = used(|space| *space == naga::AddressSpace::WorkGroup)
            .map(|(_, v)| module.types[v.ty].inner.size(module.to_ctx()))
            .sum();
        assert!(shared <= limits.max_compute_workgroup_storage_size, "{what} shares {shared} bytes");
        let threads: u32 = module.entry_points[at].workgroup_size.iter().product();
        assert!(threads <= limits.max_compute_invocations_per_workgroup, "{what} has {threads} threads");
    }
    assert!(seen.len() > 20, "{} kernels", seen.len());
}

fn dispatches(model: &str) -> Vec<frostline_engine::dispatch::Dispatch> {
    planned(model, 2, &Tuning::portable()).dispatches().to_vec()
}

#[test]
fn burn_4043_names_of_other_libraries_load_and_a_mismatch_lists_every_difference() {
    let model = Model::new("resnet18").unwrap().width(4).classes(3);
    let mut graph = Graph::new();
    let x = graph.input(1, 32, 32, 3);
    model.record(&mut graph, x).unwrap();
    let gpu = gpu();
    let params = Params::new(&gpu, &graph, 1).unwrap();
    let ours = state_dict::save(&varied_params(&gpu, &graph)).unwrap();
    let theirs: StateDict = ours
        .iter()
        .map(|(name, tensor)| (format!("module.{}", hugging_face(name)), tensor.clone()))
        .collect();
    let report = state_dict::load(&params, &theirs, &LoadOptions::strict()).unwrap();
    assert_eq!((report.dialect, report.loaded.len()), (Dialect::HuggingFace, ours.len()));
    let loaded = state_dict::save(&params).unwrap();
    assert!(ours.iter().all(|(name, tensor)| loaded[name] == *tensor));

    let mut wrong = ours.clone();
    wrong.shift_remove("layer3.1.conv2.weight");
    wrong.insert("layer5.0.conv1.weight".to_owned(), HostTensor::new(vec![2], vec![0.0; 2]).unwrap());
    wrong.insert("layer1.0.bn1.bias".to_owned(), HostTensor::new(vec![7], vec![0.0; 7]).unwrap());
    let text = state_dict::load(&params, &wrong, &LoadOptions::strict()).unwrap_err().to_string();
    let differences = [
        "nothing was loaded",
        "layer3.1.conv2.weight",
        "layer5.0.conv1.weight",
        "layer1.0.bn1.bias: the model has (4,), the file (7,)",
    ];
    for part in differences {
        assert!(text.contains(part), "{text}");
    }
    assert!(state_dict::save(&params).unwrap() == loaded, "a refused file changed something");
}

/// `microsoft/resnet-18`'s name of a tensor.
fn hugging_face(name: &str) -> String {
    let layer = |rest: &str| {
        let parts: Vec<&str> = rest.split('.').collect();
        let what = match parts[0] {
            "conv1" => "layer.0.convolution",
            "bn1" => "layer.0.normalization",
            "conv2" => "layer.1.convolution",
            "bn2" => "layer.1.normalization",
            _ => ["shortcut.convolution", "shortcut.normalization"][parts[1].parse::<usize>().unwrap()],
        };
        format!("{what}.{}", parts[parts.len() - 1])
    };
    match name.split_once('.').unwrap() {
        ("conv1", leaf) => format!("resnet.embedder.embedder.convolution.{leaf}"),
        ("bn1", leaf) => format!("resnet.embedder.embedder.normalization.{leaf}"),
        ("fc", leaf) => format!("classifier.1.{leaf}"),
        (stage, rest) => {
            let (block, rest) = rest.split_once('.').unwrap();
            let stage = stage.strip_prefix("layer").unwrap().parse::<usize>().unwrap() - 1;
            format!("resnet.encoder.stages.{stage}.layers.{block}.{}", layer(rest))
        }
    }
}
