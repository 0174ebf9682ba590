//! Every shader passes naga's validation, in every shape that the host gives it. No GPU needed.

use frostline_shaders::{Error, FILES, Format, Share, kernels, raw, source, stored_params};
use naga::valid::{Capabilities, SubgroupOperationSet, ValidationFlags, Validator};

/// Parses and validates one text; panics with naga's own message, which names line and column.
fn validate(file: &str, constants: &[(&str, u32)], share: Share) -> naga::Module {
    validate_with(file, constants, share, &[])
}

fn validate_with(
    file: &str,
    constants: &[(&str, u32)],
    share: Share,
    formats: &[(&str, Format)],
) -> naga::Module {
    let text = source(file, constants, share, formats).expect("the source");
    let stored = stored_params(&text);
    assert!(
        !stored.contains("var<uniform>"),
        "{file} has uniforms that Mesa's software driver would build it anew for"
    );
    validate_text(&stored, &format!("{file} {constants:?} {share:?} with stored parameters"), share);
    validate_text(&text, &format!("{file} {constants:?} {share:?}"), share)
}

fn validate_text(text: &str, what: &str, share: Share) -> naga::Module {
    let module = naga::front::wgsl::parse_str(text)
        .unwrap_or_else(|error| panic!("{what}\n{}", error.emit_to_string(text)));
    let mut capabilities = Capabilities::empty();
    if share == Share::Subgroup {
        capabilities |= Capabilities::SUBGROUP;
    }
    if text.contains("vec2<u64>") {
        capabilities |= Capabilities::SHADER_INT64;
    }
    // Only such a text may need 16-bit floats, or matrices held by a subgroup.
    for (enable, capability) in [
        ("enable f16;", Capabilities::SHADER_FLOAT16),
        ("enable wgpu_cooperative_matrix;", Capabilities::COOPERATIVE_MATRIX),
    ] {
        if text.lines().next().is_some_and(|line| line.contains(enable)) {
            capabilities |= capability;
        }
    }
    Validator::new(ValidationFlags::all(), capabilities)
        .subgroup_operations(SubgroupOperationSet::all())
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .validate(&module)
        .unwrap_or_else(|error| panic!("{what}\n{}", error.emit_to_string(text)));
    module
}

fn kernel_files() -> impl Iterator<Item = &'static str> {
    FILES
        .iter()
        .filter_map(|(path, _)| path.strip_suffix(".wgsl"))
        .filter(|path| !path.starts_with("shared/"))
}

#[test]
fn every_shader_is_valid_as_it_lies_on_disk() {
    for file in kernel_files() {
        let module = validate(file, &[], Share::Subgroup);
        assert!(!module.entry_points.is_empty(), "{file} has no entry point");
    }
}

/// Read off the lines of the text, and by naga: the same.
#[test]
fn kernels_are_the_entry_points() {
    let parsed = kernel_files().flat_map(|file| {
        let entries = validate(file, &[], Share::Subgroup).entry_points;
        entries.into_iter().map(move |entry| (file, entry.name))
    });
    let listed: Vec<(&str, String)> = kernels().map(|(file, entry)| (file, entry.to_owned())).collect();
    assert_eq!(listed, parsed.collect::<Vec<_>>());
}

#[test]
fn portable_shaders_need_no_capability() {
    for file in kernel_files() {
        let constants: &[(&str, u32)] = match file {
            "conv2d" => &[("S", 1), ("WG", 64)],
            "winograd" => &[("S", 1), ("WG", 64), ("B", 64)],
            _ => &[],
        };
        validate(file, constants, Share::Portable);
    }
}

#[test]
fn conv2d_is_valid_for_every_tile_and_kernel() {
    for (kw, stride) in [(1, 1), (1, 2), (3, 1), (3, 2), (5, 1), (5, 3), (7, 2)] {
        for (tm, pw, u) in [(4, 2, 1), (8, 4, 2), (16, 7, 2), (32, 7, 1)] {
            for (share, s, wg) in [(Share::Subgroup, 8, 8), (Share::Subgroup, 4, 4), (Share::Portable, 1, 64)]
            {
                let overlap = u32::saturating_sub(kw, stride);
                let u = if overlap == 0 { 1 } else { u };
                let constants = [
                    ("S", s),
                    ("WG", wg),
                    ("TM", tm),
                    ("PW", pw),
                    ("U", u),
                    ("KW", kw),
                    ("STRIDE", stride),
                    ("OVERLAP", overlap),
                ];
                validate("conv2d", &constants, share);
            }
        }
    }
}

#[test]
fn conv2d_is_valid_for_images_of_few_channels() {
    for (kw, stride, overlap) in [(3, 1, 2), (7, 2, 5)] {
        for (ci, (share, s, wg)) in
            [(1, (Share::Subgroup, 8, 8)), (3, (Share::Subgroup, 8, 8)), (3, (Share::Portable, 1, 64))]
        {
            let constants =
                [("S", s), ("WG", wg), ("KW", kw), ("STRIDE", stride), ("OVERLAP", overlap), ("CI", ci)];
            validate("conv2d", &constants, share);
        }
    }
}

#[test]
fn conv2d_tiled_is_valid_for_every_tile() {
    let registers =
        [[128, 16, 16, 8, 4], [64, 16, 8, 4, 4], [32, 32, 32, 4, 4], [64, 64, 16, 8, 4], [128, 64, 16, 8, 8]];
    for [bm, bn, bk, rm, rn] in registers {
        for buffers in [1, 2] {
            let constants =
                [("BM", bm), ("BN", bn), ("BK", bk), ("RM", rm), ("RN", rn), ("BUFFERS", buffers)];
            validate("conv2d_tiled", &constants, Share::Portable);
        }
    }
    for [fragment, s, bm, bn, bk, rm, rn] in [
        [4, 1, 32, 32, 8, 8, 8],
        [8, 32, 64, 64, 16, 32, 32],
        [16, 32, 128, 64, 32, 64, 32],
        [16, 64, 64, 64, 16, 32, 32],
    ] {
        let constants =
            [("FRAGMENT", fragment), ("S", s), ("BM", bm), ("BN", bn), ("BK", bk), ("RM", rm), ("RN", rn)];
        validate("conv2d_tiled", &constants, Share::Portable);
        validate_formats("conv2d_tiled", &constants, Share::Portable);
    }
}

#[test]
fn winograd_is_valid_for_every_tile() {
    for (m, tm, p, q) in [(2, 8, 2, 1), (2, 32, 4, 2), (4, 4, 1, 1), (4, 16, 7, 1), (4, 32, 4, 2)] {
        for (share, s, wg) in [(Share::Subgroup, 8, 8), (Share::Subgroup, 4, 4), (Share::Portable, 1, 64)] {
            let constants = [("M", m), ("S", s), ("WG", wg), ("TM", tm), ("B", p * wg), ("Q", q)];
            validate("winograd", &constants, share);
        }
    }
}

/// Arrays of `vec4f` that are plain buffers in every plan: what the host reads, parameters with their
/// gradients and moments, and running statistics.
const PLAIN: [&str; 14] = [
    "bias",
    "dbias",
    "dweight",
    "exp_avg",
    "exp_avg_sq",
    "gradient",
    "history",
    "momentum_buffer",
    "parameter",
    "running_mean",
    "running_var",
    "summary",
    "summary_out",
    "weight",
];

/// The arrays of `vec4f` that may have another format: all of the file but plain buffers.
fn arrays(file: &str) -> Vec<&'static str> {
    let text = raw(&format!("{file}.wgsl")).expect("the file");
    let names = text.lines().filter(|line| line.contains(": array<vec4f>;")).filter_map(|line| {
        let name = line.split_once("> ")?.1.split_once(':')?.0;
        (!PLAIN.contains(&name)).then_some(name)
    });
    names.collect()
}

/// Else another format would be an error of the compiler, or of `source`, on the adapters that use it.
#[test]
fn an_array_that_may_have_another_format_is_used_by_its_accessor_alone() {
    for file in kernel_files() {
        let module = validate(file, &[], Share::Subgroup);
        let entries = module.entry_points.iter().map(|entry| (&entry.name, &entry.function));
        let functions = module.functions.iter().filter_map(|(_, f)| Some((f.name.as_ref()?, f)));
        let all: Vec<(&String, &naga::Function)> = functions.chain(entries).collect();
        let arrays = arrays(file);
        for (handle, variable) in module.global_variables.iter() {
            let name = variable.name.as_deref().unwrap_or_default();
            let uses = |function: &naga::Function| {
                let mut expressions = function.expressions.iter();
                expressions
                    .any(|(_, e)| matches!(e, naga::Expression::GlobalVariable(used) if *used == handle))
            };
            let users: Vec<&str> =
                all.iter().filter(|(_, f)| uses(f)).map(|(user, _)| user.as_str()).collect();
            if arrays.contains(&name) {
                let accessors = [format!("load_{name}"), format!("store_{name}")];
                assert!(
                    users.len() == 1 && accessors.contains(&users[0].to_owned()),
                    "{file}, {name}: {users:?}"
                );
            }
        }
    }
}

#[test]
fn a_format_that_the_file_has_no_lines_for_is_an_error() {
    for (file, name) in [("sgd", "parameter"), ("add", "c"), ("relu", "mask")] {
        let error = Error::NoAccessor { file: file.to_owned(), name: name.to_owned() };
        assert_eq!(source(file, &[], Share::Portable, &[(name, Format::Half)]), Err(error));
    }
}

/// Validates `file` with its arrays as textures, as halves, and with both by turns.
fn validate_formats(file: &str, constants: &[(&str, u32)], share: Share) {
    use Format::{Aliased, Half, Texture};
    for pattern in [[Texture, Texture], [Aliased, Aliased], [Half, Half], [Half, Texture], [Texture, Aliased]]
    {
        let names = arrays(file);
        let formats: Vec<_> = names.iter().copied().zip(pattern.into_iter().cycle()).collect();
        validate_with(file, constants, share, &formats);
    }
}

#[test]
fn every_shader_is_valid_with_its_arrays_in_every_format() {
    for file in kernel_files() {
        validate_formats(file, &[], Share::Subgroup);
    }
    for (kw, stride, overlap) in [(1, 1, 0), (1, 2, 0), (3, 2, 1), (7, 2, 5)] {
        let constants = [("KW", kw), ("STRIDE", stride), ("OVERLAP", overlap)];
        validate_formats("conv2d", &constants, Share::Subgroup);
        validate_formats("conv2d", &[&constants[..], &[("S", 1), ("WG", 64)]].concat(), Share::Portable);
    }
    for mask in 0..4 {
        validate_formats("batch_norm", &[("ACT", 1), ("MASK", mask), ("RESIDUAL", 1)], Share::Subgroup);
    }
    validate_formats("max_pool2d", &[("ARGMAX", 1)], Share::Portable);
}

#[test]
fn every_flag_is_valid() {
    for flags in 0..8 {
        let constants = [("WEIGHTED", flags % 2), ("MIXED", flags / 2 % 2), ("SCALED", flags / 4)];
        validate("cross_entropy", &constants, Share::Portable);
        validate_formats("cross_entropy", &constants, Share::Portable);
    }
    for file in ["multi_margin", "sgd", "adamw"] {
        validate(file, &[("SCALED", 1)], Share::Portable);
    }
    for act in 0..4 {
        validate("add", &[("ACT", act)], Share::Portable);
        validate("relu", &[("ACT", act.clamp(1, 2)), ("BITS", act % 2)], Share::Portable);
        for mask in 0..4 {
            validate(
                "batch_norm",
                &[("ACT", act), ("MASK", mask), ("WEIGHT", act % 2), ("BIAS", mask % 2)],
                Share::Portable,
            );
        }
    }
}

#[test]
fn every_kernel_has_a_header_and_every_binding_ends_in_its_shape() {
    for (path, text) in FILES {
        if path.starts_with("shared/") {
            continue;
        }
        assert!(text.starts_with("//! "), "{path} starts with a header");
        for line in text.lines().filter(|line| line.contains("var<storage")) {
            assert!(line.contains("// "), "{path}: no shape at the end of `{line}`");
        }
    }
}
