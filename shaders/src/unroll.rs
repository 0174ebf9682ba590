//! `//!unroll`: loops written out.
//!
//! Software Vulkan drivers do not unroll loops over private arrays, and an array that is indexed by a
//! variable is stored in memory instead of in registers. So a loop header that ends in `//!unroll` is written
//! out, its variable replaced by literals:
//!
//! ```wgsl
//! for (var q = 0u; q < PW; q++) { //!unroll
//!     sum += xs[q];
//! }
//! ```
//! becomes `{ sum += xs[0u]; } { sum += xs[1u]; } …`. The file stays valid WGSL without it. The
//! copies go on the header's own line, so that line numbers in compiler messages still match.

use crate::constants::{evaluate, expression_value};
use std::collections::HashMap;
use std::ops::Range;

/// Expands every marked loop of `text`.
pub(crate) fn unroll(text: &str) -> String {
    let constants = evaluate(text);
    let lines: Vec<&str> = text.lines().collect();
    expand(&lines, &constants).join("\n")
}

fn expand(lines: &[&str], constants: &HashMap<&str, u32>) -> Vec<String> {
    let mut out = Vec::with_capacity(lines.len());
    let mut at = 0;
    while at < lines.len() {
        let Some((name, range)) = header(lines[at], constants) else {
            out.push(lines[at].to_owned());
            at += 1;
            continue;
        };
        let end = at + closing_brace(&lines[at..]);
        let body = expand(&lines[at + 1..end], constants);
        let body = body.iter().map(|line| without_comment(line)).collect::<Vec<_>>().join(" ");
        let copies: Vec<String> =
            range.map(|i| format!("{{ {} }}", replace_word(&body, name, &format!("{i}u")))).collect();
        out.push(copies.join(" "));
        out.extend(std::iter::repeat_n(String::new(), end - at));
        at = end + 1;
    }
    out
}

/// Variable and range of a marked `for (var NAME = START; NAME < BOUND; NAME++) { //!unroll`.
fn header<'a>(line: &'a str, constants: &HashMap<&str, u32>) -> Option<(&'a str, Range<u32>)> {
    let head = line.trim().strip_suffix("//!unroll")?;
    let (name, rest) = head.trim_start().strip_prefix("for (var ")?.split_once('=')?;
    let (start, rest) = rest.split_once(';')?;
    let bound = rest.split_once('<')?.1.split_once(';')?.0;
    Some((name.trim(), expression_value(start, constants)?..expression_value(bound, constants)?))
}

/// Index of the line that closes the block opened on the first line.
fn closing_brace(lines: &[&str]) -> usize {
    let mut depth = 0i32;
    for (index, line) in lines.iter().enumerate() {
        let code = without_comment(line);
        depth += code.matches('{').count() as i32 - code.matches('}').count() as i32;
        if depth == 0 {
            return index;
        }
    }
    lines.len() - 1
}

fn without_comment(line: &str) -> &str {
    line.split("//").next().unwrap_or(line).trim()
}

fn replace_word(text: &str, word: &str, value: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let before = rest[..at].chars().next_back().or_else(|| out.chars().next_back().filter(|_| at == 0));
        let after = rest[at + word.len()..].chars().next();
        out.push_str(&rest[..at]);
        out.push_str(if before.is_some_and(is_word) || after.is_some_and(is_word) { word } else { value });
        rest = &rest[at + word.len()..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_loops_become_literals_on_the_same_line() {
        let text = "const N: u32 = 2u;\nfor (var q = 0u; q < N; q++) { //!unroll\n  for (var r = 0u; r < N; r++) { //!unroll\n    a[q] += seq[r]; // why\n  }\n}\nend";
        let out = unroll(text);
        assert_eq!(out.lines().count(), text.lines().count());
        assert_eq!(
            out.lines().nth(1).unwrap().split_whitespace().collect::<String>(),
            "{{a[0u]+=seq[0u];}{a[0u]+=seq[1u];}}{{a[1u]+=seq[0u];}{a[1u]+=seq[1u];}}"
        );
        assert_eq!(out.lines().last(), Some("end"));
    }
}
