//! `Params` in storage: an expansion for Mesa's software driver.
//!
//! Lavapipe (seen in Mesa 22.3, in `update_inline_shader_state`) compiles a large kernel again at every
//! dispatch, with the values of its uniforms as constants, if it can then unroll loops. It keeps every result
//! as long as the pipeline exists: this costs about 1 MiB per training step, and milliseconds for each such
//! dispatch. It happens for uniforms only. So on this driver `Params` is read from a storage buffer, once at
//! the start, which costs nothing that could be measured:
//!
//! ```wgsl
//! var<uniform> p: Params;       var<storage, read> stored: Params; var<private> p: Params;
//! fn forward(…) {               fn forward(…) { p = stored;
//! ```

const UNIFORM: &str = "var<uniform> p: Params;";
const STORED: &str = "var<storage, read> stored: Params; var<private> p: Params;";

/// Rewrites `text` so that `Params` is bound as read-only storage instead of a uniform.
pub fn stored_params(text: &str) -> String {
    let Some((before, after)) = text.split_once(UNIFORM) else { return text.to_owned() };
    let mut parts = after.split("@compute");
    let mut rewritten = format!("{before}{STORED}{}", parts.next().unwrap_or_default());
    for entry_point in parts {
        let (head, body) = entry_point.split_once('{').unwrap_or((entry_point, ""));
        rewritten += &format!("@compute{head}{{ p = stored;{body}");
    }
    rewritten
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_points_start_by_reading_and_lines_stay_where_they_are() {
        let text = "@group(0) @binding(0) var<uniform> p: Params;\nfn help() {}\n@compute @workgroup_size(1)\nfn a(\n id: u32) {\n  x();\n}\n@compute\nfn b() {}\n";
        let rewritten = stored_params(text);
        assert_eq!(rewritten.lines().count(), text.lines().count());
        assert!(rewritten.contains(
            "@binding(0) var<storage, read> stored: Params; var<private> p: Params;\nfn help() {}"
        ));
        assert!(
            rewritten.contains(" id: u32) { p = stored;\n  x();")
                && rewritten.contains("fn b() { p = stored;}"),
            "{rewritten}"
        );
    }
}
