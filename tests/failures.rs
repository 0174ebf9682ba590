//! A failure is an error that states what to do: never a panic, never a hang.

mod common;

use common::{BATCH, gpu, session, small_resnet, step, varied_params};
use frostline_engine::faults::{Fault, Place};
use frostline_engine::ops::{Add, BatchNorm, Conv2d, Linear};
use frostline_engine::tensor::Init;
use frostline_engine::{
    Error, Freeze, Gpu, GpuOptions, Graph, Kernels, Optim, Optimizer, Padding, Params, Plan, Result, Session,
    Shape, TensorId,
};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

fn recorded() -> (Graph, TensorId) {
    let mut graph = Graph::new();
    let (_, loss) = small_resnet(&mut graph).unwrap();
    (graph, loss)
}

fn plan(graph: &Graph, loss: TensorId, freeze: &Freeze) -> Result<Plan> {
    Plan::training(graph, loss, freeze, &Optim::sgd(0.1), gpu().tuning())
}

fn text<T>(result: Result<T>) -> String {
    result.err().expect("an error").to_string()
}

/// Each of `parts` is in `message`.
fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{message:?} does not contain {part:?}");
    }
}

// Shapes.

#[test]
fn shape_errors_name_the_layer_and_both_shapes() {
    let mut graph = Graph::new();
    let x = graph.input(1, 8, 8, 256);
    let w = graph
        .parameter("w", Shape::Filter { kh: 3, kw: 3, c_in: 64, c_out: 128 }, Init::KaimingNormal)
        .unwrap();
    let conv = Conv2d { stride: 1, padding: Padding::all(1), ..Default::default() };
    assert_eq!(
        text(graph.record(conv.clone(), "layer2.0.conv1", &[x, w])),
        "conv2d layer2.0.conv1: weight (128, 64, 3, 3) expects 64 input channels, got 256 (input (1, 256, 8, 8))"
    );
    let small = graph.input(1, 2, 2, 64);
    let message =
        text(graph.record(Conv2d { padding: Padding::default(), ..conv }, "layer4.1.conv2", &[small, w]));
    assert_says(&message, &["conv2d layer4.1.conv2", "3x3", "(1, 64, 2, 2)"]);

    let matrix =
        graph.parameter("m", Shape::Matrix { c_in: 512, c_out: 10 }, Init::Uniform { fan_in: 512 }).unwrap();
    let bias = graph.parameter("b", Shape::Vector { c: 10 }, Init::Constant(0.0)).unwrap();
    assert_says(
        &text(graph.record(Linear, "fc", &[x, matrix, bias])),
        &["linear fc", "(10, 512)", "(1, 256, 8, 8)"],
    );
    assert_says(
        &text(graph.record(Add, "layer1.0.add", &[x, small])),
        &["add layer1.0.add", "(1, 256, 8, 8)", "(1, 64, 2, 2)"],
    );
    let message = text(graph.record(BatchNorm::default(), "bn1", &[x, bias, bias, bias, bias]));
    assert_says(&message, &["batch_norm bn1", "(10)", "256 channels", "(1, 256, 8, 8)"]);
    assert_says(
        &text(graph.max_pool2d(small, "maxpool", 5, 2, 0)),
        &["max_pool2d maxpool", "5x5", "(1, 64, 2, 2)"],
    );

    let labels = graph.labels(3);
    let features = graph.global_avg_pool(x, "avgpool").unwrap();
    assert_says(
        &text(graph.cross_entropy(features, labels, 0.0)),
        &["cross_entropy loss", "(1, 256, 1, 1)", "(3)"],
    );
}

#[test]
fn a_name_cannot_be_used_twice() {
    let mut graph = Graph::new();
    let x = graph.input(1, 8, 8, 4);
    graph.conv2d(x, "conv1", 4, 3, 1, Padding::all(1)).unwrap();
    assert_says(&text(graph.conv2d(x, "conv1", 4, 3, 1, Padding::all(1))), &["conv1.weight"]);
}

// Names, and what to train.

#[test]
fn an_unknown_group_lists_the_known_ones() {
    let (graph, loss) = recorded();
    let known = ["`layer9`", "conv1, bn1, layer1, layer2, fc"];
    assert_says(&text(Freeze::below(&graph, "layer9")), &known);
    assert_says(&text(Freeze::all_but(&graph, "layer9")), &known);
    assert_says(&text(Freeze::none().freeze(&graph, "layer9")), &known);
    assert_says(&text(Freeze::none().unfreeze(&graph, "layer9")), &known);
    // `layer` is a prefix of two names and not a name.
    assert_says(&text(Freeze::below(&graph, "layer")), &["`layer`"]);
    let frozen = frostline_engine::Group {
        members: vec!["layer9".to_owned()],
        rate: 1.0,
        weight_decay: 0.0,
        frozen: true,
    };
    assert_says(
        &text(Plan::training(&graph, loss, &Freeze::none(), &Optim::sgd(0.1).group(frozen), gpu().tuning())),
        &known,
    );
}

#[test]
fn all_frozen_is_nothing_to_train() {
    let (graph, loss) = recorded();
    let all = Freeze::names(graph.parameter_names());
    assert!(matches!(plan(&graph, loss, &all), Err(Error::NothingToTrain)));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let (graph, loss) = recorded();
    for (optim, name) in [
        (Optim::sgd(f32::NAN), "learning rate"),
        (Optim::sgd(-1.0), "learning rate"),
        (Optim::sgd(0.1).momentum(1.0), "momentum"),
        (Optim::adamw(0.1).weight_decay(f32::INFINITY), "weight decay"),
    ] {
        assert_says(&text(Plan::training(&graph, loss, &Freeze::none(), &optim, gpu().tuning())), &[name]);
    }
}

// Data.

#[test]
fn data_of_the_wrong_length_is_refused() {
    let (graph, loss) = recorded();
    let gpu = gpu();
    let params = varied_params(&gpu, &graph);
    let (session, _) = session(&gpu, plan(&graph, loss, &Freeze::none()).unwrap(), &params);
    assert_says(&text(session.write_input(&[0.0; 7])), &["input", "(2, 3, 8, 8)", "7 values"]);
    assert_says(&text(session.write_input(&[])), &["(2, 3, 8, 8)", "0 values"]);
    assert_says(&text(session.write_labels(&[0; 3])), &["labels", "2 labels", "3"]);
    assert_says(&text(session.write_labels(&[0, 5])), &["labels", "classes 0 to 4", "5 for image 1"]);
    session.write_labels(&[0, frostline_engine::ops::cross_entropy::IGNORED]).unwrap();
    assert_says(&text(params.set("fc.weight", &[0.0; 4])), &["fc.weight", "(5, 8)", "4 values"]);
    assert_says(&text(params.get("fc.wait")), &["fc.wait", "conv1.weight"]);
    assert_says(&text(session.read_gradient("fc.wait")), &["gradient", "fc.wait", "fc.weight"]);
    assert_says(&text(session.write_grad_output(&[0.0])), &["gradient"]);
}

#[test]
fn parameters_of_another_model_are_refused() {
    let (graph, loss) = recorded();
    let gpu = gpu();
    let mut other = Graph::new();
    let x = other.input(1, 4, 4, 4);
    other.conv2d(x, "conv1", 8, 3, 1, Padding::all(1)).unwrap();
    let params = Params::new(&gpu, &other, 1).unwrap();
    let plan = plan(&graph, loss, &Freeze::none()).unwrap();
    let optimizer = Optimizer::new(&gpu, &plan).unwrap();
    assert_says(&text(Session::new(&gpu, plan, &params, Some(&optimizer))), &["conv1.weight"]);
}

// Values that are not numbers.

#[test]
fn after_a_loss_that_is_no_number_the_weights_stay_and_the_layer_is_named() {
    let (graph, loss) = recorded();
    let gpu = gpu();
    let bits = |params: &Params| -> Vec<(String, Vec<u32>)> {
        let all = params.to_host().unwrap().into_iter();
        all.map(|(name, _, values)| (name, values.into_iter().map(f32::to_bits).collect())).collect()
    };
    for (bad, layer, place) in
        [(f32::NAN, "layer1.0.conv2", 5), (f32::INFINITY, "layer2.0.downsample.0", 0), (f32::NAN, "fc", 39)]
    {
        let params = varied_params(&gpu, &graph);
        let name = format!("{layer}.weight");
        let good = params.get(&name).unwrap();
        let mut weight = good.clone();
        weight[place] = bad;
        params.set(&name, &weight).unwrap();
        let optim = Optim::adamw(0.1).weight_decay(0.1);
        let plan = Plan::training(&graph, loss, &Freeze::none(), &optim, gpu.tuning()).unwrap();
        let (mut session, mut optimizer) = session(&gpu, plan, &params);
        let before = bits(&params);
        step(&mut session, &mut optimizer, 0.1);
        assert!(!session.read_summary().unwrap().loss.is_finite());
        for ((name, old), (_, new)) in before.iter().zip(bits(&params)) {
            let spoiled =
                new.iter().zip(old).any(|(new, old)| new != old && !f32::from_bits(*new).is_finite());
            assert!(!spoiled, "{name} took over a value that is not finite");
            assert!(name.contains("running") || new == *old, "{name} was changed by a step without a loss");
        }
        assert_eq!(session.first_not_finite().unwrap().as_deref(), Some(layer));
        // With the weight restored, training continues normally.
        params.set(&name, &good).unwrap();
        step(&mut session, &mut optimizer, 0.1);
        assert!(session.read_summary().unwrap().loss.is_finite());
        assert_eq!(session.first_not_finite().unwrap(), None);
    }
}

// The device's limits.

#[test]
fn a_tensor_larger_than_a_binding_is_refused_with_its_size_and_the_limit() {
    let gpu = gpu();
    let limit = gpu.largest_binding();
    let mut graph = Graph::new();
    let side = ((limit / 16) as f64).sqrt() as usize + 1;
    let x = graph.input(1, side, side, 4);
    let y = graph.relu(x, "relu").unwrap();
    let features = graph.global_avg_pool(y, "avgpool").unwrap();
    let logits = graph.linear(features, "fc", 3).unwrap();
    let plan = Plan::inference(&graph, logits, gpu.tuning()).unwrap();
    let params = Params::new(&gpu, &graph, 1).unwrap();
    match Session::new(&gpu, plan, &params, None) {
        Err(Error::TooLarge { bytes, limit: said, .. }) => {
            assert_eq!((bytes, said), (16 * (side * side) as u64, limit))
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("{side} × {side} pixels in one binding"),
    }
}

#[test]
fn a_size_beyond_all_numbers_is_too_large_and_no_overflow() {
    let gpu = gpu();
    let mut graph = Graph::new();
    let x = graph.input(1 << 20, 1 << 30, 1 << 30, 3);
    let features = graph.global_avg_pool(x, "avgpool").unwrap();
    let logits = graph.linear(features, "fc", 3).unwrap();
    let error = Plan::inference(&graph, logits, gpu.tuning()).err().unwrap();
    assert!(matches!(error, Error::TooLarge { limit: 0xffff_ffff, .. }));
    assert_says(&error.to_string(), &["kernels index at most 4294967295", "smaller batch"]);
}

/// The action of a test that is run as its own child process, and its start as one.
fn child(test: &str, command: &mut Command) -> Output {
    let output = command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("FROSTLINE_TEST_CHILD", "1")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert!(output.status.success(), "{:?}\n{stderr}", output.status);
    output
}

fn is_child() -> bool {
    std::env::var_os("FROSTLINE_TEST_CHILD").is_some()
}

/// Linux can limit the memory of a process. The memory of a GPU may be of any size, and its driver does not
/// start with so little memory: there the failure is a planned one.
#[cfg(target_os = "linux")]
#[test]
fn memory_that_cannot_be_had_is_an_error_with_its_size() {
    if is_child() || !gpu().is_software() {
        let gpu = Arc::new(Gpu::new().unwrap());
        // 64 MiB per activation, each kept for backward: 32 GiB in total.
        let mut graph = Graph::new();
        let (side, layers) = if gpu.is_software() { (1024, 512) } else { (256, 4) };
        let mut x = graph.input(1, side, side, 16);
        for layer in 0..layers {
            x = graph.conv2d(x, &format!("conv{layer}"), 16, 1, 1, Padding::default()).unwrap();
        }
        let features = graph.global_avg_pool(x, "avgpool").unwrap();
        let logits = graph.linear(features, "fc", 2).unwrap();
        let labels = graph.labels(1);
        let loss = graph.cross_entropy(logits, labels, 0.0).unwrap();
        let plan = Plan::training(&graph, loss, &Freeze::none(), &Optim::sgd(0.1), gpu.tuning()).unwrap();
        let params = Params::new(&gpu, &graph, 1).unwrap();
        let optimizer = Optimizer::new(&gpu, &plan).unwrap();
        if !gpu.is_software() {
            gpu.fail(Fault::OutOfMemory, Place::Allocation, 1);
            let message = text(Session::new(&gpu, plan, &params, Some(&optimizer)));
            return assert_says(&message, &["out of GPU memory: ", "activations", "smaller batch"]);
        }
        println!("child: {}", text(Session::new(&gpu, plan, &params, Some(&optimizer))));
        return;
    }
    let program = std::env::current_exe().unwrap();
    let mut limited = Command::new("sh");
    // 12 GiB of address space, of which a driver and its compiler need one or two.
    limited.args(["-c", "ulimit -v 12582912 && exec \"$0\" \"$@\""]).arg(program);
    let output = child("memory_that_cannot_be_had_is_an_error_with_its_size", &mut limited);
    assert_says(
        &String::from_utf8_lossy(&output.stdout),
        &["child: out of GPU memory: 67108864 bytes", "activations", "smaller batch"],
    );
}

// The device itself.

#[test]
fn without_an_adapter_the_error_says_what_to_install() {
    if is_child() {
        println!("child: {}", text(Gpu::new()));
        return;
    }
    let nowhere = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].map(|name| (name, "/nonexistent"));
    let mut command = Command::new(std::env::current_exe().unwrap());
    if cfg!(not(target_os = "linux")) {
        return assert!(Gpu::new().is_ok(), "Metal and DX12 cannot be taken away by an environment variable");
    }
    let output = child("without_an_adapter_the_error_says_what_to_install", command.envs(nowhere));
    assert_says(
        &String::from_utf8_lossy(&output.stdout),
        &["child: no GPU adapter was found", "mesa-vulkan-drivers"],
    );
}

#[test]
fn a_lost_device_is_an_error_everywhere_and_never_a_hang() {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (graph, loss) = recorded();
        let gpu = Arc::new(Gpu::new().unwrap());
        let params = varied_params(&gpu, &graph);
        let plan = plan(&graph, loss, &Freeze::none()).unwrap();
        let (mut session, mut optimizer) = session(&gpu, plan.clone(), &params);
        step(&mut session, &mut optimizer, 0.1);
        gpu.lose();
        let lost = |what: &'static str, error: Option<Error>| {
            assert!(matches!(error, Some(Error::DeviceLost { .. })), "{what}: {error:?}");
        };
        lost("run", session.run().err());
        lost("read_output", session.read_output().err());
        lost("read_summary", session.read_summary().err());
        lost("read_history", session.read_history(1, 1).err());
        lost("read_gradient", session.read_gradient("fc.weight").err());
        lost("first_not_finite", session.first_not_finite().err());
        lost("profile", session.profile().err().or(session.run().err()));
        lost("wait", gpu.wait().err());
        lost("get", params.get("fc.weight").err());
        lost("to_host", params.to_host().err());
        lost("new params", Params::new(&gpu, &graph, 1).err());
        lost("optimizer to_host", optimizer.to_host().err());
        lost("new optimizer", Optimizer::new(&gpu, &plan).err());
        lost("new session", Session::new(&gpu, plan, &params, Some(&optimizer)).err());
        // These calls wait for nothing, so the loss may not have been reported yet; they must not panic.
        let _ = session.write_input(&[0.0; BATCH * 8 * 8 * 3]);
        let _ = session.write_labels(&[0; BATCH]);
        let _ = session.begin_step(&mut optimizer, 0.1);
        let _ = params.set("fc.bias", &[0.0; 5]);
        session.poison();
        assert_says(&text(session.run()), &["device was lost", "checkpoint"]);
        sender.send(()).unwrap();
    });
    receiver.recv_timeout(Duration::from_secs(120)).expect("no panic and no hang, see above");
}

#[test]
fn another_device_works_after_one_was_lost() {
    let (graph, loss) = recorded();
    let first = Arc::new(Gpu::new().unwrap());
    first.lose();
    let gpu = Arc::new(Gpu::new().unwrap());
    let params = varied_params(&gpu, &graph);
    let (mut session, mut optimizer) = session(&gpu, plan(&graph, loss, &Freeze::none()).unwrap(), &params);
    step(&mut session, &mut optimizer, 0.1);
    assert!(session.read_summary().unwrap().loss.is_finite());
}

#[test]
fn a_refusal_is_told_once_with_what_was_refused_and_the_device_goes_on() {
    let (graph, loss) = recorded();
    let gpu = Arc::new(Gpu::new().unwrap());
    let params = varied_params(&gpu, &graph);
    let (mut session, mut optimizer) = session(&gpu, plan(&graph, loss, &Freeze::none()).unwrap(), &params);
    step(&mut session, &mut optimizer, 0.1);

    gpu.fail(Fault::Refused, Place::Submit, 1);
    session.begin_step(&mut optimizer, 0.1).unwrap();
    let message = text(session.run());
    assert_says(
        &message,
        &["the GPU refused", "dispatches, ", " of conv1 to ", "8 bytes", "device still works"],
    );
    assert!(!message.contains("lost") && !message.contains('\n'), "{message}");

    // Values are sent without waiting for an answer: the next call returns the error.
    gpu.fail(Fault::Refused, Place::Write, 1);
    session.write_labels(&[0; BATCH]).unwrap();
    assert_says(&text(session.run()), &["the GPU refused earlier work", "8 bytes"]);

    gpu.fail(Fault::Refused, Place::Allocation, 1);
    assert_says(&text(Params::new(&gpu, &graph, 1)), &["the GPU refused", "bytes for parameters"]);

    step(&mut session, &mut optimizer, 0.1);
    assert!(session.read_summary().unwrap().loss.is_finite());
    gpu.wait().unwrap();
}

#[test]
fn a_submission_that_takes_too_long_is_an_error_that_names_it_and_can_be_waited_for() {
    // 16 × 112 × 112 pixels, 3 × 3 taps of 64 · 64 channels: 7·10⁹ multiply-accumulates.
    let options = GpuOptions { deadline: Some(Duration::from_nanos(1)), ..GpuOptions::from_env().unwrap() };
    let gpu = Arc::new(Gpu::with(&options).unwrap());
    let mut graph = Graph::new();
    let x = graph.input(16, 112, 112, 64);
    let y = graph.conv2d(x, "conv1", 64, 3, 1, Padding::all(1)).unwrap();
    let features = graph.global_avg_pool(y, "avgpool").unwrap();
    let plan = Plan::inference(&graph, features, gpu.tuning()).unwrap();
    let params = Params::new(&gpu, &graph, 1).unwrap();
    let mut session = Session::new(&gpu, plan, &params, None).unwrap();
    session.run().unwrap();
    let message = text(gpu.wait());
    assert_says(
        &message,
        &["did not finish within 0.000000001 s", " of conv1 to ", "FROSTLINE_DEADLINE", "smaller batch"],
    );
    let start = std::time::Instant::now();
    while let Err(error) = gpu.wait() {
        assert!(matches!(error, Error::Deadline { .. }), "{error}");
        assert!(start.elapsed() < Duration::from_secs(300), "{error}");
        std::thread::sleep(Duration::from_millis(10));
    }
    session.run().unwrap();
}

#[test]
fn a_device_is_opened_again_by_the_same_options() {
    let options = GpuOptions { kernels: Kernels::Portable, ..GpuOptions::default() };
    let first = Gpu::with(&options).unwrap();
    first.lose();
    assert_says(&text(first.wait()), &["device was lost"]);
    let again = first.reopen().unwrap();
    again.wait().unwrap();
    assert_eq!((again.describe(), again.tuning()), (first.describe(), first.tuning()));
}
