//! naga, which translates WGSL for native drivers, accepts every text in every language.
//!
//! | language | version | for |
//! |---|---|---|
//! | SPIR-V | 1.3; 1.6 for matrices of subgroups | Vulkan |
//! | HLSL | 5.1 (FXC), 6.0 (DXC) | DirectX 12 |
//! | MSL | 2.0, 2.3, 3.0 | Metal |
//!
//! Each with naga's checks of bounds, loops and divisions and without them, as in the engine. A feature that
//! a language lacks must be refused: DirectX and old versions of Metal have no matrices of subgroups.

use frostline_texts::{Text, texts, tunings};
use naga::back::{hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Language {
    Spirv(u8, u8),
    Hlsl(hlsl::ShaderModel),
    Metal(u8, u8),
}

use Language::{Hlsl, Metal, Spirv};

const LANGUAGES: [Language; 7] = [
    Spirv(1, 3),
    Spirv(1, 6),
    Hlsl(hlsl::ShaderModel::V5_1),
    Hlsl(hlsl::ShaderModel::V6_0),
    Metal(2, 0),
    Metal(2, 3),
    Metal(3, 0),
];

impl Language {
    /// Whether drivers of this language get such texts at all.
    fn concerns(self, text: &Text) -> bool {
        match self {
            Spirv(1, 3) => !text.cooperative,
            Spirv(..) => text.cooperative,
            // `Params` are in storage for a Vulkan driver.
            _ => !text.stored_params,
        }
    }

    /// The start of the expected refusal of `text`.
    fn refusal(self, text: &Text) -> Option<&'static str> {
        match self {
            Hlsl(_) if text.cooperative => Some("write_value_type CooperativeMatrix"),
            Metal(major, minor) if text.cooperative && (major, minor) < (2, 3) => {
                Some("cooperative matrix is not supported prior to MSL 2.3")
            }
            _ => None,
        }
    }

    /// The size of `module` in this language in bytes, or why it cannot be written.
    fn write(self, module: &naga::Module, info: &ModuleInfo, checked: bool) -> Result<usize, String> {
        let policy = if checked { BoundsCheckPolicy::Restrict } else { BoundsCheckPolicy::Unchecked };
        let policies = BoundsCheckPolicies {
            index: policy,
            buffer: policy,
            image_load: policy,
            binding_array: BoundsCheckPolicy::Unchecked,
        };
        match self {
            Spirv(major, minor) => {
                let options = spv::Options {
                    lang_version: (major, minor),
                    bounds_check_policies: policies,
                    force_loop_bounding: checked,
                    emit_int_div_checks: checked,
                    zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
                    fake_missing_bindings: true,
                    ..Default::default()
                };
                spv::write_vec(module, info, &options, None)
                    .map(|words| 4 * words.len())
                    .map_err(|error| error.to_string())
            }
            Hlsl(shader_model) => {
                let options = hlsl::Options {
                    shader_model,
                    restrict_indexing: checked,
                    force_loop_bounding: checked,
                    zero_initialize_workgroup_memory: false,
                    // If a kernel reads the number of workgroups, wgpu gives it these constants.
                    special_constants_binding: Some(hlsl::BindTarget::default()),
                    ..Default::default()
                };
                let mut written = String::new();
                let pipeline = hlsl::PipelineOptions::default();
                let report = hlsl::Writer::new(&mut written, &options, &pipeline).write(module, info, None);
                let report = report.map_err(|error| error.to_string())?;
                for name in report.entry_point_names {
                    name.map_err(|error| error.to_string())?;
                }
                Ok(written.len())
            }
            Metal(major, minor) => {
                let options = msl::Options {
                    lang_version: (major, minor),
                    bounds_check_policies: policies,
                    force_loop_bounding: checked,
                    emit_int_div_checks: checked,
                    zero_initialize_workgroup_memory: false,
                    ..Default::default()
                };
                let (written, report) =
                    msl::write_string(module, info, &options, &msl::PipelineOptions::default())
                        .map_err(|error| error.to_string())?;
                for name in report.entry_point_names {
                    name.map_err(|error| error.to_string())?;
                }
                Ok(written.len())
            }
        }
    }
}

fn parse(text: &Text) -> Result<(naga::Module, ModuleInfo), String> {
    let module =
        naga::front::wgsl::parse_str(&text.text).map_err(|error| error.emit_to_string(&text.text))?;
    let mut capabilities = Capabilities::empty();
    for (wanted, capability) in [
        (text.subgroups, Capabilities::SUBGROUP),
        (text.f16, Capabilities::SHADER_FLOAT16),
        (text.cooperative, Capabilities::COOPERATIVE_MATRIX),
    ] {
        capabilities.set(capability, wanted);
    }
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .subgroup_operations(SubgroupOperationSet::all())
        .subgroup_stages(ShaderStages::COMPUTE)
        .validate(&module)
        .map_err(|error| error.emit_to_string(&text.text))?;
    Ok((module, info))
}

/// The result for `text`: for every language whether it was written, or was refused as expected; else the
/// error.
fn translate(text: &Text) -> Result<Vec<(Language, bool)>, String> {
    let (module, info) = parse(text)?;
    let mut outcomes = vec![];
    for language in LANGUAGES.into_iter().filter(|language| language.concerns(text)) {
        for checked in [false, true] {
            let attempt = catch_unwind(AssertUnwindSafe(|| language.write(&module, &info, checked)));
            let outcome = attempt.unwrap_or_else(|_| Err("naga panicked, see above".to_owned()));
            let written = match (outcome, language.refusal(text)) {
                (Ok(bytes), None) if bytes > 0 => true,
                (Err(error), Some(refusal)) if error.starts_with(refusal) => false,
                (outcome, refusal) => {
                    return Err(format!(
                        "{language:?}, checked {checked}: {outcome:?}, expected refusal: {refusal:?}"
                    ));
                }
            };
            outcomes.push((language, written));
        }
    }
    Ok(outcomes)
}

#[test]
fn every_text_is_written_in_every_language() {
    let texts = texts(&tunings());
    let (next, counts, errors) =
        (AtomicUsize::new(0), Mutex::new([[0; 2]; LANGUAGES.len()]), Mutex::new(vec![]));
    let work = || {
        while let Some(text) = texts.get(next.fetch_add(1, Ordering::Relaxed)) {
            match translate(text) {
                Ok(outcomes) => {
                    let mut counts = counts.lock().expect("no panic while counting");
                    for (language, written) in outcomes {
                        let at = LANGUAGES.iter().position(|one| *one == language).expect("one of them");
                        counts[at][usize::from(written)] += 1;
                    }
                }
                Err(error) => errors
                    .lock()
                    .expect("no panic while noting")
                    .push(format!("{} of {:?}: {error}", text.name, text.tunings)),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let errors = errors.into_inner().expect("all threads ended");
    println!("{} texts", texts.len());
    for (language, [refused, written]) in
        LANGUAGES.iter().zip(counts.into_inner().expect("all threads ended"))
    {
        println!("{language:?}: {written} written, {refused} refused as expected");
    }
    assert!(errors.is_empty(), "{} of {} texts fail:\n{}", errors.len(), texts.len(), errors.join("\n"));
}
