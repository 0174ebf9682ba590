//! Deliberately wrong kernels are detected: a read past the end of a buffer gives NaN, a write there is an
//! error, and so are loops with more turns than declared.

mod common;

use frostline_engine::kernel::Scalar;
use frostline_engine::{Error, Gpu, GpuOptions, Graph, Kernels, Params, Plan, Session, Tuning};
use std::sync::{Arc, LazyLock};

fn open(options: GpuOptions) -> Arc<Gpu> {
    Arc::new(Gpu::with(&options).expect("an adapter"))
}

static CHECKED: LazyLock<Arc<Gpu>> =
    LazyLock::new(|| open(GpuOptions { checked: true, ..GpuOptions::from_env().expect("settings") }));

static PLAIN: LazyLock<Arc<Gpu>> =
    LazyLock::new(|| open(GpuOptions { checked: false, ..GpuOptions::from_env().expect("settings") }));

/// relu, then the average over 3×3 pixels, of one image with 8 channels of ones: all between is in the
/// pool. `wrong` sets fields of the kernel of that name. The turns declared are those of the right
/// kernels: of relu 8 rows, of the average one block and 9 pixels.
fn run(gpu: &Arc<Gpu>, tuning: &Tuning, wrong: Option<(&str, &[&str], u32)>) -> (Result<(), Error>, Session) {
    let mut graph = Graph::new();
    let x = graph.input(1, 3, 3, 8);
    let y = graph.relu(x, "relu").expect("an image");
    let features = graph.global_avg_pool(y, "avgpool").expect("an image");
    let mut plan = Plan::inference(&graph, features, tuning).expect("a plan");
    let mut changed = 0;
    for dispatch in plan.dispatches_mut() {
        let name = dispatch.variant.kernel.name();
        dispatch.turns = match name.as_str() {
            "relu.forward" => 8,
            "global_avg_pool.forward" => 10,
            _ => dispatch.turns,
        };
        for (known, now) in &mut dispatch.params {
            if let Some((_, _, value)) =
                wrong.filter(|(kernel, fields, _)| *kernel == name && fields.contains(known))
            {
                *now = Scalar::U32(value);
                changed += 1;
            }
        }
    }
    assert_eq!(changed, wrong.map_or(0, |(_, fields, _)| fields.len()), "such fields of such a kernel");
    let params = Params::new(gpu, &graph, 0).expect("nothing");
    let mut session = Session::new(gpu, plan, &params, None).expect("a session");
    session.write_input(&[1.0; 9 * 8]).expect("nine pixels");
    session.poison();
    (session.run(), session)
}

/// Buffers, and textures where the adapter keeps activations there.
fn tunings() -> [Tuning; 2] {
    [Tuning::portable(), common::GPU.tuning().clone()]
}

#[test]
fn what_is_right_passes() {
    for gpu in [&*common::GPU, &*CHECKED] {
        for tuning in tunings() {
            let (ran, session) = run(gpu, &tuning, None);
            ran.expect("a correct run");
            assert_eq!(session.read_output().expect("features"), [1.0; 8], "{tuning:?}");
        }
    }
}

#[test]
fn a_read_past_the_end_gives_nan() {
    for tuning in tunings() {
        let wrong = Some(("global_avg_pool.forward", &["pixels", "per_part"][..], 10));
        let (ran, session) = run(&common::GPU, &tuning, wrong);
        // If turns are declared and counted, that error comes first.
        if !common::GPU.is_checked() {
            ran.expect("a read is no error");
        }
        assert!(session.read_output().expect("features").iter().all(|value| value.is_nan()), "{tuning:?}");
    }
}

#[test]
fn a_write_past_the_end_is_an_error_with_buffer_and_kernel() {
    for tuning in tunings() {
        // Nine rows of two vec4, and the kernel writes a tenth.
        let (ran, mut session) = run(&common::GPU, &tuning, Some(("relu.forward", &["rows"][..], 10)));
        let error = ran.expect_err("a write");
        let Error::OutOfBounds { buffer, bytes, past, kernels } = &error else { panic!("{error}") };
        assert_eq!((*bytes, *past), (16 * 18, 0), "{error}");
        assert!(buffer.contains("relu") && kernels.contains("relu.forward of relu"), "{error}");
        // The tail was filled again for the next run, which damages it again.
        assert!(matches!(session.run(), Err(Error::OutOfBounds { .. })));
    }
}

#[test]
fn turns_are_counted_and_compared_with_what_is_declared() {
    for tuning in tunings() {
        let at = |session: &Session| {
            let all = session.plan().dispatches();
            all.iter().position(|dispatch| dispatch.variant.kernel.file == "global_avg_pool").expect("a pool")
        };
        let (_, session) = run(&CHECKED, &tuning, None);
        let right = session.counted_turns().expect("counts").expect("a checked device")[at(&session)];
        // One turn for the only block of pixels, one for each pixel.
        assert_eq!(right, 10);
        let wrong = Some(("global_avg_pool.forward", &["pixels", "per_part"][..], 1000));
        let (ran, _) = run(&CHECKED, &tuning, wrong);
        let error = ran.expect_err("more turns than declared");
        let Error::Turns { kernel, layer, counted, declared } = &error else { panic!("{error}") };
        assert_eq!((kernel.as_str(), layer.as_str()), ("global_avg_pool.forward", "avgpool"));
        assert_eq!((*counted, *declared), (1000u64.div_ceil(32) + 1000, 10));
    }
}

#[test]
fn without_a_guard_nothing_is_looked_for() {
    let (ran, session) = run(&PLAIN, &Tuning::portable(), Some(("relu.forward", &["rows"][..], 10)));
    ran.expect("nobody looks");
    assert_eq!(session.counted_turns().expect("nothing to read"), None);
    assert!(PLAIN.warnings().is_empty() || PLAIN.is_software());
    let options = GpuOptions { kernels: Kernels::Portable, ..GpuOptions::default() };
    assert!(!open(options).is_checked());
}
