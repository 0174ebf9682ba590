//! Safetensors: written files are read back, here and by the reference implementation; foreign files are
//! accepted or refused with a reason, with one test for each kind of damage.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::LazyLock;

use ::safetensors::tensor as reference;
use frostline_loader::safetensors::{Dtype, ReadOptions, parse, parse_with, read, write};
use frostline_loader::{Error, HostTensor, StateDict};
use half::{bf16, f16};
use proptest::prelude::*;

fn tensor(shape: &[usize], data: &[f32]) -> HostTensor {
    HostTensor::new(shape.to_vec(), data.to_vec()).unwrap()
}

fn weights() -> StateDict {
    StateDict::from([
        ("conv1.weight".to_owned(), tensor(&[2, 1, 1, 3], &[0.5, -1.0, 2.0, 0.1, 1e-30, 1e30])),
        ("bn1.num_batches_tracked".to_owned(), tensor(&[], &[1125.0])),
        ("bn1.bias".to_owned(), tensor(&[3], &[0.0, -0.0, 3.25])),
        ("empty".to_owned(), tensor(&[0, 4], &[])),
        ("a.first.by.name".to_owned(), tensor(&[1], &[1.0])),
    ])
}

fn metadata() -> BTreeMap<String, String> {
    BTreeMap::from([("maker".to_owned(), "frost\"line\n".to_owned())])
}

/// A file made by hand: the length, the header, the data.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// The error of reading these bytes as `net.safetensors`; the text must name the file.
#[track_caller]
fn failure(bytes: &[u8]) -> Error {
    let error = parse(bytes, Path::new("net.safetensors")).unwrap_err();
    assert!(error.to_string().contains("net.safetensors"), "{error}");
    error
}

#[test]
fn round_trip_in_f32_keeps_every_bit_name_and_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    write(&path, &weights(), &metadata(), Dtype::F32).unwrap();
    let back = read(&path).unwrap();
    assert_eq!(back.metadata, metadata());
    // The 8-byte counter moves to the front, so that it is aligned.
    let names: Vec<_> = back.tensors.keys().map(String::as_str).collect();
    assert_eq!(names, ["bn1.num_batches_tracked", "conv1.weight", "bn1.bias", "empty", "a.first.by.name"]);
    assert_eq!(back.tensors, weights());
    assert_eq!(back.tensors["bn1.bias"].data[1].to_bits(), (-0.0f32).to_bits());
    assert_eq!(back.dtypes["bn1.num_batches_tracked"], Dtype::I64);
    assert_eq!(back.dtypes["bn1.bias"], Dtype::F32);
    // From memory as from disk, and the same bytes each time.
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(parse(&bytes, &path).unwrap(), back);
    write(&path, &weights(), &metadata(), Dtype::F32).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn round_trip_in_half_precision_rounds_to_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    let values: Vec<f32> = (0..1000).map(|i| (i as f32 - 500.0) * 0.37).collect();
    let dict = StateDict::from([("w".to_owned(), tensor(&[1000], &values))]);
    for dtype in [Dtype::F16, Dtype::Bf16] {
        write(&path, &dict, &BTreeMap::new(), dtype).unwrap();
        let back = read(&path).unwrap();
        let rounded = values.iter().map(|&v| match dtype {
            Dtype::F16 => f16::from_f32(v).to_f32(),
            _ => bf16::from_f32(v).to_f32(),
        });
        assert!(back.tensors["w"].data.iter().copied().eq(rounded));
        assert_eq!(back.dtypes["w"], dtype);
    }
}

#[test]
fn the_reference_implementation_reads_what_we_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    write(&path, &weights(), &metadata(), Dtype::F16).unwrap_err();
    write(&path, &weights(), &metadata(), Dtype::F32).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let theirs = reference::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(theirs.len(), weights().len());
    for (name, tensor) in weights() {
        let view = theirs.tensor(&name).unwrap();
        assert_eq!(view.shape(), tensor.shape);
        let values: Vec<u8> = match view.dtype() {
            reference::Dtype::I64 => 1125i64.to_le_bytes().to_vec(),
            _ => tensor.data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        };
        assert_eq!(view.data(), values);
    }
    let (_, header) = reference::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().as_ref().unwrap()["maker"], "frost\"line\n");
}

#[test]
fn we_read_what_the_reference_implementation_writes() {
    let f16s: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
    let bf16s: Vec<u8> = [1e30f32].iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect();
    let count = 7i64.to_le_bytes();
    let view =
        |dtype, shape: &[usize], data| reference::TensorView::new(dtype, shape.to_vec(), data).unwrap();
    let tensors = [
        ("half", view(reference::Dtype::F16, &[2], &f16s)),
        ("brain", view(reference::Dtype::BF16, &[1, 1], &bf16s)),
        ("bn.num_batches_tracked", view(reference::Dtype::I64, &[], &count)),
    ];
    let notes = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = ::safetensors::serialize(tensors, Some(notes)).unwrap();
    let ours = parse(&bytes, Path::new("theirs")).unwrap();
    assert_eq!(ours.tensors["half"], tensor(&[2], &[1.5, -2.0]));
    assert_eq!(ours.tensors["brain"], tensor(&[1, 1], &[bf16::from_f32(1e30).to_f32()]));
    assert_eq!(ours.tensors["bn.num_batches_tracked"], tensor(&[], &[7.0]));
    assert_eq!(ours.metadata["format"], "pt");
}

#[test]
fn a_missing_file_is_named() {
    let error = read("/no/such/net.safetensors").unwrap_err();
    assert!(error.to_string().contains("/no/such/net.safetensors"), "{error}");
    assert!(matches!(read("/"), Err(Error::NotAFile { .. })));
}

#[test]
fn a_file_cut_short_anywhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    write(&path, &weights(), &metadata(), Dtype::F32).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for length in 0..bytes.len() {
        let error = failure(&bytes[..length]);
        let in_header = length < bytes.len() - (8 + 6 * 4 + 3 * 4 + 4);
        match error {
            Error::Truncated { actual, .. } if in_header => assert_eq!(actual, length as u64),
            Error::TensorOutOfRange { .. } if !in_header => {}
            other => panic!("cut to {length} bytes: {other}"),
        }
    }
}

#[test]
fn bytes_after_the_end_are_refused() {
    let header = r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    assert!(parse(&file(header, &[0; 4]), Path::new("x")).is_ok());
    let error = failure(&file(header, &[0; 9]));
    assert!(matches!(error, Error::TrailingBytes { extra: 5, .. }), "{error}");
}

#[test]
fn a_header_longer_than_the_file_is_refused() {
    let mut bytes = 1_000_000u64.to_le_bytes().to_vec();
    bytes.extend(b"{}");
    let error = failure(&bytes);
    assert!(matches!(error, Error::Truncated { needed: 1_000_008, .. }), "{error}");
}

#[test]
fn a_header_over_100_mb_is_refused_unread() {
    for length in [100_000_001, u64::MAX, u64::MAX - 7] {
        let error = failure(&[&length.to_le_bytes(), b"{}".as_slice()].concat());
        assert!(matches!(error, Error::HeaderTooLarge { .. }), "{error}");
    }
    // Files that are loaded by mistake also give a huge number, and are named by their kind.
    for (bytes, name) in [
        (b"PK\x03\x04 a torch.save file".as_slice(), "a PyTorch file"),
        (b"\x80\x02\x8a\nl\xfc\x9cF an old one", "a PyTorch file"),
        (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
        (b"\n<!DOCTYPE html>", "a web page"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a photo"),
        (b"\x89PNG\r\n\x1a\n", "a photo"),
        (b"RIFF\x10\0\0\0WEBP", "a photo"),
        (b"{\"architecture\": 1}", "JSON"),
        (b"GGUF\x03\0\0\0", "a GGUF file"),
    ] {
        let error = failure(bytes);
        assert!(matches!(error, Error::NotWeights { .. }), "{error}");
        assert!(error.to_string().contains(&format!("net.safetensors: this is {name}")), "{error}");
    }
}

#[test]
fn a_header_that_is_no_json_is_refused() {
    for header in ["", "{", "[]", "null", "{\"w\":3}", "\u{1b}[31m", "{\"__metadata__\":{\"a\":1}}", "{} x"] {
        assert!(matches!(failure(&file(header, &[])), Error::Header { .. }), "{header}");
    }
    let bytes = [&2u64.to_le_bytes(), [0xff, 0xfe].as_slice()].concat();
    assert!(matches!(failure(&bytes), Error::Header { .. }));
    // Deep nesting must not exhaust the stack.
    let deep = format!("{{\"w\":{}", "[".repeat(1_000_000));
    assert!(matches!(failure(&file(&deep, &[])), Error::Header { .. }));
}

#[test]
fn headers_meant_to_fill_memory_are_refused() {
    let many: Vec<String> =
        (0..70_000).map(|i| format!(r#""{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#)).collect();
    let error = failure(&file(&format!("{{{}}}", many.join(",")), &[]));
    assert!(error.to_string().contains("65536 tensors"), "{error}");

    let dimensions = vec!["1"; 1000].join(",");
    let header = format!(r#"{{"w":{{"dtype":"F32","shape":[{dimensions}],"data_offsets":[0,4]}}}}"#);
    assert!(matches!(failure(&file(&header, &[0; 4])), Error::Header { .. }));

    let name = "n".repeat(2000);
    let header = format!(r#"{{"{name}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#);
    let text = failure(&file(&header, &[0; 4])).to_string();
    assert!(text.contains("2000 bytes") && text.len() < 300, "{text}");
}

#[test]
fn offsets_outside_the_file_are_refused() {
    for (begin, end) in [(0, 8), (4, 8), (4, 0), (u64::MAX - 3, u64::MAX)] {
        let header = format!(r#"{{"w":{{"dtype":"F32","shape":[1],"data_offsets":[{begin},{end}]}}}}"#);
        let error = failure(&file(&header, &[0; 4]));
        assert!(matches!(error, Error::TensorOutOfRange { .. }), "{error}");
        assert!(error.to_string().contains("\"w\""), "{error}");
    }
}

#[test]
fn overlaps_and_holes_are_refused() {
    for (begin, end) in [(0, 4), (2, 6), (8, 12)] {
        let header = format!(
            r#"{{"a":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}},"b":{{"dtype":"F32","shape":[1],"data_offsets":[{begin},{end}]}}}}"#
        );
        let error = failure(&file(&header, &[0; 12]));
        assert!(matches!(error, Error::TensorOverlap { expected: 4, .. }), "{error}");
    }
}

#[test]
fn a_shape_that_does_not_fit_its_bytes_is_refused() {
    for shape in
        ["[2]", "[0]", "[]", "[18446744073709551615,18446744073709551615]", "[18446744073709551615,2,0]"]
    {
        let header = format!(r#"{{"w":{{"dtype":"F16","shape":{shape},"data_offsets":[0,6]}}}}"#);
        let error = failure(&file(&header, &[0; 6]));
        assert!(matches!(error, Error::TensorSize { actual: 6, .. }), "{error}");
    }
}

#[test]
fn a_name_that_comes_twice_is_refused() {
    let entry = r#""w":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}"#;
    let error = failure(&file(&format!("{{{entry},{entry}}}"), &[]));
    assert!(matches!(&error, Error::DuplicateTensor { tensor, .. } if tensor == "w"), "{error}");
}

#[test]
fn other_number_types_are_refused_by_name() {
    for (name, dtype, shape) in [
        ("fc.weight", "F64", "[1]"),
        ("fc.weight", "I64", "[1]"),
        ("bn.num_batches_tracked", "I64", "[2]"),
        ("mask", "BOOL", "[8]"),
        ("q", "F8_E4M3", "[8]"),
        ("?", "no such type", "[8]"),
    ] {
        let header = format!(r#"{{"{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,8]}}}}"#);
        let error = failure(&file(&header, &[0; 8]));
        assert!(matches!(error, Error::UnsupportedDtype { .. }), "{error}");
        assert!(error.to_string().contains(name) && error.to_string().contains(dtype), "{error}");
    }
}

#[test]
fn nan_and_infinity_are_refused_unless_asked_for() {
    let f32s = |values: [f32; 3]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let f32_header = r#"{"fc.bias":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}"#;
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let bytes = file(f32_header, &f32s([0.0, bad, bad]));
        let error = failure(&bytes);
        assert!(
            matches!(&error, Error::NonFinite { tensor, index: 1, .. } if tensor == "fc.bias"),
            "{error}"
        );
        let options = ReadOptions { allow_non_finite: true };
        let kept = parse_with(&bytes, Path::new("x"), options).unwrap();
        assert_eq!(kept.tensors["fc.bias"].data[1].to_bits(), bad.to_bits());
    }
    for (dtype, bits) in [("F16", f16::NAN.to_bits()), ("BF16", bf16::INFINITY.to_bits())] {
        let header = format!(r#"{{"w":{{"dtype":"{dtype}","shape":[1],"data_offsets":[0,2]}}}}"#);
        assert!(matches!(failure(&file(&header, &bits.to_le_bytes())), Error::NonFinite { .. }));
    }
}

#[test]
fn text_from_a_file_cannot_control_the_terminal() {
    let header = "{\"\\u001b[2Jx\":{\"dtype\":\"\\u001b[31m\",\"shape\":[1],\"data_offsets\":[0,4]}}";
    let text = failure(&file(header, &[0; 4])).to_string();
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn what_could_not_be_read_back_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    write(&path, &weights(), &metadata(), Dtype::F32).unwrap();
    let old = std::fs::read(&path).unwrap();

    let refuse = |name: &str, tensor: HostTensor, dtype| {
        let dict = StateDict::from([(name.to_owned(), tensor)]);
        let error = write(&path, &dict, &BTreeMap::new(), dtype).unwrap_err();
        assert_eq!(std::fs::read(&path).unwrap(), old, "the old file is untouched");
        error
    };
    let error = refuse("w", tensor(&[2], &[0.0, f32::NAN]), Dtype::F32);
    assert!(matches!(error, Error::NonFinite { index: 1, .. }), "{error}");
    let error = refuse("w", tensor(&[2], &[65504.0, 65520.0]), Dtype::F16);
    assert!(matches!(error, Error::TooLargeForHalf { index: 1, .. }), "{error}");
    let error = refuse("w", tensor(&[1], &[f32::MAX]), Dtype::Bf16);
    assert!(matches!(error, Error::TooLargeForHalf { index: 0, .. }), "{error}");
    let error = refuse("w", HostTensor { shape: vec![3], data: vec![0.0] }, Dtype::F32);
    assert!(matches!(error, Error::ElementCount { .. }), "{error}");
    let error = refuse("__metadata__", tensor(&[1], &[0.0]), Dtype::F32);
    assert!(matches!(error, Error::ReservedName { .. }), "{error}");
    let error = refuse("w", tensor(&[1], &[0.0]), Dtype::I64);
    assert!(matches!(error, Error::UnsupportedDtype { .. }), "{error}");
}

/// Runs by itself only as the child of the next test, which limits how much it may write.
#[test]
#[ignore = "a helper of a_full_disk_leaves_the_old_file"]
fn write_a_megabyte() {
    let path = std::env::var_os("FROSTLINE_TEST_PATH").expect("set by the parent test");
    let dict = StateDict::from([("big".to_owned(), tensor(&[1 << 18], &vec![1.0; 1 << 18]))]);
    let error = write(Path::new(&path), &dict, &BTreeMap::new(), Dtype::F32).unwrap_err();
    assert!(matches!(error, Error::Io { action: "write", .. }), "{error}");
}

/// A process that may write only a few blocks gets the same error as on a full disk: a write that fails half
/// way.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    write(&path, &weights(), &metadata(), Dtype::F32).unwrap();
    let old = std::fs::read(&path).unwrap();
    // Ignoring SIGXFSZ turns the limit into an error of `write` instead of the process's end.
    let status = std::process::Command::new("sh")
        .args(["-c", r#"trap '' XFSZ; ulimit -f 64; exec "$0" --exact write_a_megabyte --ignored"#])
        .arg(std::env::current_exe().unwrap())
        .env("FROSTLINE_TEST_PATH", &path)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(std::fs::read(&path).unwrap(), old);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
}

static VALID: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    write(&path, &weights(), &metadata(), Dtype::F32).unwrap();
    std::fs::read(&path).unwrap()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Damaged files are read or refused; what is read is consistent, and the reference
    /// implementation agrees that the file is well-formed.
    #[test]
    fn mutated_files_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut bytes = VALID.clone();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(file) = parse(&bytes, Path::new("mutated")) {
            let theirs = reference::SafeTensors::deserialize(&bytes);
            prop_assert!(theirs.is_ok(), "{:?}", theirs.err());
            for (name, tensor) in &file.tensors {
                prop_assert_eq!(tensor.shape.iter().product::<usize>(), tensor.data.len());
                prop_assert!(tensor.data.iter().all(|v| v.is_finite()));
                let theirs = theirs.as_ref().unwrap().tensor(name).unwrap();
                prop_assert_eq!(theirs.shape(), tensor.shape.as_slice());
            }
        }
    }

    /// Any numbers in an otherwise well-formed header.
    #[test]
    fn headers_with_any_numbers_never_panic(
        tensors in prop::collection::vec((0usize..4, prop::collection::vec(number(), 0..4), number(), number()), 0..4),
        data in 0usize..64,
    ) {
        let dtypes = ["F32", "F16", "BF16", "I64"];
        let entries: Vec<String> = tensors
            .iter()
            .enumerate()
            .map(|(i, (dtype, shape, begin, end))| {
                format!(r#""{i}.num_batches_tracked":{{"dtype":"{}","shape":{shape:?},"data_offsets":[{begin},{end}]}}"#, dtypes[*dtype])
            })
            .collect();
        let bytes = file(&format!("{{{}}}", entries.join(",")), &vec![0; data]);
        if let Ok(file) = parse(&bytes, Path::new("made up")) {
            let total: usize = file.tensors.iter().map(|(n, t)| t.data.len() * file.dtypes[n].size()).sum();
            prop_assert_eq!(total, data);
        }
    }
}

/// Numbers at the edges of arithmetic, and small ones that may happen to fit.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..16, Just(u64::MAX), Just(1 << 63), Just(1 << 62), Just((1 << 61) - 1), any::<u64>()]
}
