//! Loop turns, counted on the device: an expansion for checked mode.
//!
//! A plan declares how many turns the loops of one invocation take at most; a driver may end longer loops
//! without an error. In checked mode every invocation counts its turns, and the largest count of a dispatch
//! is stored in a separate buffer:
//!
//! ```wgsl
//! for (var k = 0u; k < p.c4; k++) {     for (var k = 0u; k < p.c4; k++) { turns_taken += 1u;
//!     …                                     …
//! if i >= p.items { return; }           if i >= p.items { { atomicMax(&most_turns, turns_taken); return; } }
//! ```

use crate::Error;
use crate::words::{without_comments, words};

const DECLARED: &str =
    "var<private> turns_taken: u32; @group(1) @binding(0) var<storage, read_write> most_turns: atomic<u32>;";
const TURN: &str = " turns_taken += 1u;";
const MOST: &str = "atomicMax(&most_turns, turns_taken);";

/// Rewrites `text`, whose marked loops are written out already, so that it counts the turns of all
/// loops that are left: after a dispatch, `most_turns` is at least the largest count of an invocation.
/// It is the only binding of group 1. Lines stay where they are.
///
/// # Errors
/// [`Error::Loop`] if a loop, a `return` or an entry point has another form than the shaders here.
pub fn count_turns(text: &str) -> Result<String, Error> {
    let code = without_comments(text);
    let fail = |at: usize| Error::Loop { line: 1 + code[..at].matches('\n').count() };
    let mut added: Vec<(usize, String)> = vec![];
    for (at, word) in words(&code) {
        if matches!(word, "for" | "while" | "loop") {
            let open = code[at..].find('{').ok_or_else(|| fail(at))?;
            added.push((at + open + 1, TURN.to_owned()));
        }
    }
    for (at, _) in code.match_indices("@compute") {
        let open = at + code[at..].find('{').ok_or_else(|| fail(at))?;
        let close = open + closing_brace(&code[open..]).ok_or_else(|| fail(at))?;
        for (back, _) in words(&code[open..close]).filter(|(_, word)| *word == "return") {
            let back = open + back;
            let end = back + "return".len();
            if !code[end..].trim_start().starts_with(';') {
                return Err(fail(back));
            }
            added.push((back, format!("{{ {MOST} ")));
            added.push((end + code[end..].find(';').ok_or_else(|| fail(back))? + 1, " }".to_owned()));
        }
        added.push((close, format!("{MOST} ")));
    }
    added.sort_by_key(|(at, _)| *at);
    let (mut counted, mut from) = (String::with_capacity(2 * text.len()), 0);
    for (at, addition) in added {
        counted += &text[from..at];
        counted += &addition;
        from = at;
    }
    Ok(counted + &text[from..] + "\n" + DECLARED)
}

/// Offset of the brace that closes the one `code` starts with.
fn closing_brace(code: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "fn help(n: u32) -> u32 {\n  var s = 0u;\n  for (var i = 0u; i < n; i++) { s += i; } // for ever {\n  \
                        return s;\n}\n@compute @workgroup_size(1)\nfn main() {\n  if help(3u) > 1u { return; }\n  loop\n  { break; }\n}";

    #[test]
    fn every_loop_counts_and_every_way_out_tells_the_count() {
        let counted = count_turns(TEXT).unwrap();
        assert_eq!(counted.matches(TURN).count(), 2, "{counted}");
        assert!(
            counted.contains("i++) { turns_taken += 1u; s += i; } // for ever {\n  return s;"),
            "{counted}"
        );
        assert!(counted.contains("> 1u { { atomicMax(&most_turns, turns_taken); return; } }"), "{counted}");
        assert!(
            counted.contains("{ turns_taken += 1u; break; }\natomicMax(&most_turns, turns_taken); }"),
            "{counted}"
        );
        assert_eq!(counted.lines().count(), TEXT.lines().count() + 1, "lines stay where they are");
    }

    #[test]
    fn a_form_that_is_not_recognised_is_an_error_with_its_line() {
        assert_eq!(count_turns("fn a() {\n}\nfn b() { while true"), Err(Error::Loop { line: 3 }));
        assert_eq!(count_turns("@compute\nfn a() {\n  return 1u; }"), Err(Error::Loop { line: 3 }));
        assert_eq!(count_turns("\n@compute\nfn a() { {}"), Err(Error::Loop { line: 2 }));
    }
}
