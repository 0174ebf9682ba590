//! Measured choices and compiled pipelines in files: used when requested, refused when they are not for this
//! adapter, and never needed.

use frostline_engine::tuning::{Algorithm, Class, Conv, Machine, Measured, Pass};
use frostline_engine::{CacheFile, Gpu, GpuOptions, Graph, Kernels, Padding, Params, Plan, Session, Tuning};
use std::path::Path;
use std::sync::Arc;

/// A 3×3 convolution of 32 channels on 8 × 8 pixels, and how its forward pass looks to the table.
fn convolution() -> (Graph, frostline_engine::TensorId, Conv) {
    let mut graph = Graph::new();
    let x = graph.input(1, 8, 8, 32);
    let y = graph.conv2d(x, "conv", 32, 3, 1, Padding::all(1)).unwrap();
    let conv = Conv { pass: Pass::Forward, kh: 3, kw: 3, stride: 1, c_in: 32, c_out: 32, width: 8, rows: 8 };
    (graph, y, conv)
}

fn machine(class: Class) -> Machine {
    Machine {
        adapter: "an adapter".to_owned(),
        driver: "a driver".to_owned(),
        driver_info: "1.2".to_owned(),
        class,
    }
}

/// For the class of the convolution above, the last of the candidates: far from the table's choice.
fn measured(tuning: &Tuning) -> (Measured, Algorithm) {
    let (_, _, conv) = convolution();
    let fits = |algorithm: &Algorithm| tuning.suits_class(&conv, *algorithm);
    let algorithm = tuning.candidates(&conv).into_iter().rfind(fits).unwrap();
    assert_ne!(algorithm, tuning.table(&conv));
    let mut measured = Measured::default();
    measured.insert(&conv, algorithm);
    (measured, algorithm)
}

#[test]
fn choices_come_back_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    for tuning in [Tuning::subgroup(8), Tuning::portable(), Tuning::gpu()] {
        let (path, machine) = (folder.path().join("choices.json"), machine(tuning.class));
        let (measured, _) = measured(&tuning);
        measured.save(&path, &machine).unwrap();
        assert_eq!(Measured::load(&path, &machine, &tuning).unwrap(), measured);
    }
}

/// What is said when the file of [`measured`], changed by `change`, is read.
fn refusal(change: impl Fn(String) -> String) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (path, tuning) = (folder.path().join("choices.json"), Tuning::subgroup(8));
    measured(&tuning).0.save(&path, &machine(tuning.class)).unwrap();
    let text = change(std::fs::read_to_string(&path).unwrap());
    std::fs::write(&path, text).unwrap();
    let error = Measured::load(&path, &machine(tuning.class), &tuning).unwrap_err().to_string();
    assert!(error.contains("choices.json") && error.contains("make tune"), "{error}");
    error
}

#[test]
fn a_file_for_something_else_is_refused_with_the_reason() {
    let replaced = |from: &'static str, to: &'static str| {
        refusal(move |text| {
            assert!(text.contains(from), "{text}");
            text.replacen(from, to, 1)
        })
    };
    for (from, to) in
        [("an adapter", "another"), ("a driver", "another"), ("1.2", "1.3"), ("\"size\": 8", "\"size\": 16")]
    {
        assert!(replaced(from, to).contains("measured on"), "{from}");
    }
    assert!(replaced("\"version\": 1", "\"version\": 2").contains("version 2"));
    assert!(replaced("\"frostline\": \"", "\"frostline\": \"9.").contains("frostline 9."));
    assert!(replaced("\"tm\": 4", "\"tm\": 5").contains("not a candidate"), "a tile that nobody offers");
    assert!(replaced("\"rows\": 8", "\"rows\": 7").contains("not a candidate"), "not the class's name");
    for size in ["0", "9223372036854775809", "18446744073709551615"] {
        let rows = format!("\"rows\": {size}");
        assert!(refusal(|text| text.replacen("\"rows\": 8", &rows, 1)).contains("not a candidate"), "{rows}");
    }
    // A tile of no pixels would be divided by.
    let (_, _, conv) = convolution();
    let (mut none, machine) = (Measured::default(), machine(Class::Portable));
    let Algorithm::Direct(tile) = Tuning::portable().candidates(&Conv { c_in: 4, ..conv })[0] else {
        panic!("few channels")
    };
    none.insert(&conv, Algorithm::Direct(frostline_engine::tuning::Tile { pw: 0, ..tile }));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.json");
    none.save(&path, &machine).unwrap();
    let error = Measured::load(&path, &machine, &Tuning::portable()).unwrap_err().to_string();
    assert!(error.contains("not a candidate"), "{error}");
}

#[test]
fn a_broken_file_is_an_error_and_no_panic() {
    for cut in [0, 1, 20, 200] {
        refusal(|text| text[..cut].to_owned());
    }
    for text in ["[]", "{}", "null", "{\"version\": 1}", "\u{0}", "{\"version\": [[[["] {
        refusal(|_| text.to_owned());
    }
    let missing = Measured::load(
        Path::new("no such folder/choices.json"),
        &machine(Class::Portable),
        &Tuning::portable(),
    );
    assert!(missing.unwrap_err().to_string().contains("no such folder"));
}

#[test]
fn a_device_uses_measured_choices_if_it_is_asked_to_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("choices.json");
    let plain = GpuOptions { kernels: Kernels::Portable, ..GpuOptions::default() };
    let gpu = Gpu::with(&plain).unwrap();
    let (measured, algorithm) = measured(gpu.tuning());
    measured.save(&path, gpu.machine()).unwrap();
    let options = GpuOptions { measured: CacheFile::At(path), ..plain };
    let tuned = Gpu::with(&options).unwrap();
    let (graph, y, conv) = convolution();
    assert_eq!(
        (tuned.tuning().conv(&conv), tuned.tuning().table(&conv)),
        (algorithm, gpu.tuning().conv(&conv))
    );
    assert!(tuned.describe().contains("; measured choices: 1"), "{}", tuned.describe());
    assert!(!gpu.describe().contains("measured"), "{}", gpu.describe());
    let kernels = |gpu: &Gpu| -> Vec<_> {
        let plan = Plan::inference(&graph, y, gpu.tuning()).unwrap();
        plan.dispatches().iter().map(|dispatch| dispatch.variant.clone()).collect()
    };
    assert_ne!(kernels(&tuned), kernels(&gpu));
    let other = GpuOptions { kernels: Kernels::Fitting, ..options };
    if gpu.tuning().class != Gpu::with(&GpuOptions::default()).unwrap().tuning().class {
        assert!(
            Gpu::with(&other).unwrap_err().to_string().contains("measured on"),
            "choices of another class"
        );
    }
}

/// Puts the convolution on a device that keeps its pipelines at `path`.
fn compile(path: &Path) {
    let options = GpuOptions { pipelines: CacheFile::At(path.to_owned()), ..GpuOptions::default() };
    let gpu = Arc::new(Gpu::with(&options).unwrap());
    let (graph, y, _) = convolution();
    let params = Params::new(&gpu, &graph, 0).unwrap();
    let plan = Plan::inference(&graph, y, gpu.tuning()).unwrap();
    let mut session = Session::new(&gpu, plan, &params, None).unwrap();
    session.write_input(&vec![1.0; 8 * 8 * 32]).unwrap();
    session.run().unwrap();
    assert!(session.read_output().unwrap().iter().all(|value| value.is_finite()));
    let requests = gpu.requests();
    assert!(requests.pipelines > 0 && !requests.pipeline_time.is_zero(), "{requests:?}");
}

#[test]
fn compiled_pipelines_are_kept_and_a_bad_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipelines");
    compile(&path);
    let kept = match std::fs::read(&path) {
        Ok(kept) => kept,
        // Only Vulkan has them.
        Err(_) if cfg!(any(target_vendor = "apple", windows)) => return,
        Err(error) => panic!("nothing was kept: {error}"),
    };
    assert!(!kept.is_empty());
    compile(&path);
    for bad in [b"".as_slice(), b"no pipelines at all", &kept[..kept.len() / 2]] {
        std::fs::write(&path, bad).unwrap();
        compile(&path);
        assert_ne!(std::fs::read(&path).unwrap(), bad, "it was not replaced");
    }
    compile(&path.join("no folder"));
}

/// Where kernels are not known to run one after the other, memory that is a texture and a buffer would give wrong
/// results: wgpu puts no barrier between the two.
#[test]
fn memory_that_is_a_texture_and_a_buffer_is_refused_elsewhere() {
    let (graph, y, _) = convolution();
    let gpu =
        Arc::new(Gpu::with(&GpuOptions { kernels: Kernels::Portable, ..GpuOptions::default() }).unwrap());
    assert!(!gpu.tuning().aliased);
    let params = Params::new(&gpu, &graph, 0).unwrap();
    let tuning = Tuning { aliased: true, ..Tuning::subgroup(8) };
    let plan = Plan::inference(&graph, y, &tuning).unwrap();
    let error = Session::new(&gpu, plan, &params, None).err().unwrap().to_string();
    assert!(error.contains("a texture and a buffer"), "{error}");
}
