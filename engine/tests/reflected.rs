//! `engine/src/reflected.json`, the declarations of kernels for browsers, equals naga's reflection of the
//! WGSL. `FROSTLINE_WRITE=1` writes the file again.

use frostline_engine::kernel::{Kernel, Reflection, reflect};
use std::collections::BTreeMap;
use std::path::Path;

#[test]
fn browsers_get_what_naga_reads() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/reflected.json");
    let kernels = || frostline_shaders::kernels().map(|(file, entry)| Kernel { file, entry });
    if std::env::var("FROSTLINE_WRITE").is_ok() {
        let line = |kernel: Kernel| {
            let reflection = serde_json::to_string(&*reflect(kernel).unwrap()).unwrap();
            format!("  \"{}\": {reflection}", kernel.name())
        };
        let lines: Vec<String> = kernels().map(line).collect();
        std::fs::write(&path, format!("{{\n{}\n}}\n", lines.join(",\n"))).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let mut written: BTreeMap<String, Reflection> = serde_json::from_str(&text).unwrap();
    for kernel in kernels() {
        let advice =
            "a shader has changed: FROSTLINE_WRITE=1 cargo test -p frostline-engine --test reflected";
        let known = written.remove(&kernel.name()).unwrap_or_else(|| panic!("{}: {advice}", kernel.name()));
        assert_eq!(*reflect(kernel).unwrap(), known, "{}: {advice}", kernel.name());
    }
    assert!(written.is_empty(), "there are no kernels {:?}", written.keys());
}
