//! Loops that end: an expansion for texts that may be wrong.
//!
//! An endless loop would keep the driver busy until it resets the device; a software driver would never
//! return. So all loops end after [`TURNS`] turns of one invocation, and the loop of the last turn stores its
//! line:
//!
//! ```wgsl
//! while i < p.size {     while i < p.size { marking_turns += 1u; if marking_turns > 20000u {
//!                            if marking_turns == 20001u { marking_endless = 12u; } break; }
//! ```

use frostline_shaders::{without_comments, words};

/// Turns that one invocation may take, of all its loops together. Mesa's llvmpipe ends loops without a word
/// after 65,535, and counts more as turns than stands in the text.
pub const TURNS: u32 = 20_000;

/// Rewrites `text`, which is valid WGSL. The line of a loop that took too many turns is written to the
/// only binding of group 1, a `u32`. Lines stay where they are.
pub fn bounded(text: &str) -> String {
    let code = without_comments(text);
    let mut rewritten = String::with_capacity(2 * text.len());
    let mut from = 0;
    for (start, _) in words(&code).filter(|(_, word)| matches!(*word, "for" | "while" | "loop")) {
        let Some(open) = code[start..].find('{') else { break };
        let line = 1 + code[..start].matches('\n').count();
        let end = start + open + 1;
        rewritten += &code[from..end];
        rewritten += &format!(
            " marking_turns += 1u; if marking_turns > {TURNS}u {{ \
             if marking_turns == {TURNS}u + 1u {{ marking_endless = {line}u; }} break; }}"
        );
        from = end;
    }
    rewritten
        + &code[from..]
        + "\nvar<private> marking_turns: u32; @group(1) @binding(0) var<storage, read_write> marking_endless: u32;"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_are_bounded_and_comments_are_none() {
        let text = "/* for all { /* while */ { */ fn f() { // loop {\n  for (var i = 0; i < 3; i++)\n  \
                    { loop { break; } }\n}";
        let rewritten = bounded(text);
        assert_eq!(rewritten.matches("marking_turns += 1u").count(), 2, "{rewritten}");
        assert!(rewritten.contains("marking_endless = 2u") && rewritten.contains("marking_endless = 3u"));
        assert_eq!(rewritten.lines().count(), text.lines().count() + 1);
        naga::front::wgsl::parse_str(&rewritten).unwrap();
    }
}
