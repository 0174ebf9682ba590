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

use crate::Error;
use crate::constants::{evaluate, expression_value};
use crate::words::words;
use std::collections::HashMap;
use std::ops::Range;

/// Expands every marked loop of `text`, the text of `file`.
///
/// # Errors
/// [`Error::Marker`] for a marker that is unknown or is on a line of another form.
pub(crate) fn unroll(file: &str, text: &str) -> Result<String, Error> {
    let constants = evaluate(text);
    let lines: Vec<&str> = text.lines().collect();
    let fail = |line: &str| Error::Marker { file: file.to_owned(), line: line.trim().to_owned() };
    expand(&lines, &constants).map(|lines| lines.join("\n")).map_err(fail)
}

/// `lines` with their loops written out, or the line whose marker cannot be expanded.
fn expand<'a>(lines: &[&'a str], constants: &HashMap<&str, u32>) -> Result<Vec<String>, &'a str> {
    let mut out = Vec::with_capacity(lines.len());
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        if !line.contains("//!") || is_header(line) {
            out.push(line.to_owned());
            at += 1;
            continue;
        }
        let (name, range) = marked_loop(line, constants).ok_or(line)?;
        let end = at + closing_brace(&lines[at..]).ok_or(line)?;
        let body = expand(&lines[at + 1..end], constants)?;
        let body = body.iter().map(|line| without_comment(line)).collect::<Vec<_>>().join(" ");
        // They would act on the loop around the copies.
        if words(&body).any(|(_, word)| matches!(word, "break" | "continue")) {
            return Err(line);
        }
        let copies: Vec<String> =
            range.map(|i| format!("{{ {} }}", replace_word(&body, name, &format!("{i}u")))).collect();
        out.push(copies.join(" "));
        out.extend(std::iter::repeat_n(String::new(), end - at));
        at = end + 1;
    }
    Ok(out)
}

/// Whether `line` is of a file's header, or one of the markers that stand there.
fn is_header(line: &str) -> bool {
    ["//!use ", "//!enable ", "//! "].iter().any(|start| line.starts_with(start)) || line == "//!"
}

/// Variable and range of a line `for (var NAME = START; NAME < END; NAME++) { //!unroll`.
fn marked_loop<'a>(line: &'a str, constants: &HashMap<&str, u32>) -> Option<(&'a str, Range<u32>)> {
    let head = line.trim().strip_suffix(") { //!unroll")?.strip_prefix("for (var ")?;
    let (name, rest) = head.split_once(" = ")?;
    let (start, rest) = rest.split_once("; ")?;
    let (end, step) = rest.strip_prefix(name)?.strip_prefix(" < ")?.split_once("; ")?;
    (step.strip_suffix("++")? == name).then_some(())?;
    Some((name, expression_value(start, constants)?..expression_value(end, constants)?))
}

/// Index of the line that closes the block opened on the first line. The block ends at the end of that line.
fn closing_brace(lines: &[&str]) -> Option<usize> {
    let mut depth = 0i32;
    for (index, line) in lines.iter().enumerate() {
        let code = without_comment(line);
        depth += code.matches('{').count() as i32 - code.matches('}').count() as i32;
        if depth <= 0 {
            return (code == "}").then_some(index);
        }
    }
    None
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
        let out = unroll("file", text).unwrap();
        assert_eq!(out.lines().count(), text.lines().count());
        assert_eq!(
            out.lines().nth(1).unwrap().split_whitespace().collect::<String>(),
            "{{a[0u]+=seq[0u];}{a[0u]+=seq[1u];}}{{a[1u]+=seq[0u];}{a[1u]+=seq[1u];}}"
        );
        assert_eq!(out.lines().last(), Some("end"));
    }

    #[test]
    fn a_marker_that_cannot_be_expanded_is_an_error() {
        let expanded = |text: &str| unroll("file", &format!("const N: u32 = 2u;\n{text}"));
        let marked = "for (var q = 0u; q < N; q++) { //!unroll";
        assert!(expanded(&format!("{marked}\n  a[q] = q;\n}}")).is_ok());
        for head in [
            "for (var q = 0u; q < M; q++) { //!unroll",
            "for (var q = 0u; q <= N; q++) { //!unroll",
            "for (var q = 0u; r < N; q++) { //!unroll",
            "for (var q = 0u; q < N; q += 2u) { //!unroll",
            "for (var q = 0u; q < N; q++) //!unroll",
            "while q < N { //!unroll",
            "a[0] = 0u; //!unroll",
            "for (var q = 0u; q < N; q++) { //!unrol",
            "//!unroll",
            "//!uses shared/finite.wgsl",
            "    //!use shared/finite.wgsl",
            "let a = 1u; //! why",
        ] {
            let error = Error::Marker { file: "file".to_owned(), line: head.trim().to_owned() };
            assert_eq!(expanded(&format!("{head}\n  a[q] = q;\n}}")), Err(error), "{head}");
        }
        let error = Error::Marker { file: "file".to_owned(), line: marked.to_owned() };
        for body in ["a[q] = q;", "a[q] = q; }", "if a[q] > 1u { continue; }\n}", "break;\n}"] {
            assert_eq!(expanded(&format!("{marked}\n{body}")), Err(error.clone()), "{body}");
        }
    }
}
