//! The texts that count their loop turns: valid, and with a count in every loop that naga sees.

use frostline_shaders::{FILES, Share, count_turns, source, stored_params};
use naga::valid::{Capabilities, SubgroupOperationSet, ValidationFlags, Validator};
use naga::{Block, Statement};

/// Loops of a block, those inside others too.
fn loops(block: &Block) -> usize {
    let inner = |statement: &Statement| match statement {
        Statement::Block(block) => loops(block),
        Statement::If { accept, reject, .. } => loops(accept) + loops(reject),
        Statement::Switch { cases, .. } => cases.iter().map(|case| loops(&case.body)).sum(),
        Statement::Loop { body, continuing, .. } => 1 + loops(body) + loops(continuing),
        _ => 0,
    };
    block.iter().map(inner).sum()
}

fn parse(text: &str, what: &str) -> naga::Module {
    let module = naga::front::wgsl::parse_str(text)
        .unwrap_or_else(|error| panic!("{what}\n{}", error.emit_to_string(text)));
    let wanted = [
        ("enable f16;", Capabilities::SHADER_FLOAT16),
        ("enable wgpu_cooperative_matrix;", Capabilities::COOPERATIVE_MATRIX),
    ];
    let first = text.lines().next().unwrap_or_default();
    let capabilities =
        wanted.iter().filter(|(enable, _)| first.contains(enable)).map(|(_, capability)| *capability);
    Validator::new(ValidationFlags::all(), capabilities.fold(Capabilities::SUBGROUP, |all, one| all | one))
        .subgroup_operations(SubgroupOperationSet::all())
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .validate(&module)
        .unwrap_or_else(|error| panic!("{what}\n{}", error.emit_to_string(text)));
    module
}

#[test]
fn every_loop_of_every_kernel_is_counted() {
    let tiled: [&[(&str, u32)]; 3] = [
        &[],
        &[("BUFFERS", 1)],
        &[("FRAGMENT", 8), ("S", 32), ("BM", 64), ("BN", 64), ("BK", 16), ("RM", 32), ("RN", 32)],
    ];
    for (path, _) in FILES.iter().filter(|(path, _)| !path.starts_with("shared/")) {
        let file = path.strip_suffix(".wgsl").expect("a WGSL file");
        for share in [Share::Portable, Share::Subgroup] {
            for constants in if file == "conv2d_tiled" { &tiled[..] } else { &tiled[..1] } {
                let text = source(file, constants, share, &[]).expect("the source");
                for text in [stored_params(&text), text] {
                    let what = format!("{file} {constants:?} {share:?}");
                    let before = parse(&text, &what);
                    let counted = count_turns(&text).unwrap_or_else(|error| panic!("{what}: {error}"));
                    let after = parse(&counted, &what);
                    let all = |module: &naga::Module| -> usize {
                        let functions = module.functions.iter().map(|(_, function)| &function.body);
                        functions
                            .chain(module.entry_points.iter().map(|entry| &entry.function.body))
                            .map(loops)
                            .sum()
                    };
                    assert_eq!(all(&before), all(&after), "{what}: a loop came or went");
                    assert_eq!(counted.matches("turns_taken += 1u").count(), all(&before), "{what}");
                    let entries = before.entry_points.len();
                    assert!(
                        counted.matches("atomicMax(").count() >= entries,
                        "{what}: an entry point keeps its count"
                    );
                }
            }
        }
    }
}
