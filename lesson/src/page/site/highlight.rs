//! WGSL and Rust as HTML with numbered lines and simple syntax highlighting.

use crate::page::html::{add, text};

/// The words of both languages that are coloured as keywords.
const KEYWORDS: &[&str] = &[
    "array", "as", "async", "await", "break", "const", "continue", "else", "enum", "false", "fn", "for",
    "if", "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub", "ref", "return", "self",
    "static", "struct", "switch", "true", "type", "use", "var", "where", "while",
];

/// A line, and whether it ends within a string.
#[derive(Clone, Copy)]
struct State {
    in_string: bool,
}

/// All lines of `code`, each with the number as its anchor: `#L12`. If `name` returns a name for a line, the
/// line has that name as an anchor as well.
pub(super) fn listing(code: &str, name: impl Fn(&str) -> Option<String>) -> String {
    let mut html = "<pre class=\"listing\" tabindex=\"0\"><code>".to_owned();
    let mut state = State { in_string: false };
    for (at, line) in code.lines().enumerate() {
        let number = at + 1;
        let anchor = name(line).map_or(String::new(), |name| format!("<a id=\"{}\"></a>", text(&name)));
        add(&mut html, format_args!("<span class=\"line\" id=\"L{number}\">{anchor}"));
        state = words(&mut html, line, state);
        html.push_str("</span>\n");
    }
    html + "</code></pre>\n"
}

/// One line, and whether a string goes on after it.
fn words(html: &mut String, line: &str, mut state: State) -> State {
    let mut rest = line;
    while !rest.is_empty() {
        let (kind, length) = word(rest, state);
        let (found, after) = rest.split_at(length);
        match kind {
            "" => html.push_str(&text(found)),
            kind => add(html, format_args!("<span class=\"{kind}\">{}</span>", text(found))),
        }
        if kind == "s" {
            state.in_string = !ends_string(found, state.in_string);
        }
        rest = after;
    }
    state
}

/// The class of the first word of `rest`, and its bytes.
fn word(rest: &str, state: State) -> (&'static str, usize) {
    let while_ = |from: usize, test: fn(char) -> bool| {
        from + rest[from..].find(|sign| !test(sign)).unwrap_or(rest.len() - from)
    };
    let first = rest.chars().next().unwrap_or(' ');
    if state.in_string || first == '"' {
        return ("s", string_length(rest, state.in_string));
    }
    if rest.starts_with("//") {
        return ("c", rest.len());
    }
    if first == '@' {
        return ("a", while_(1, |sign| sign.is_alphanumeric() || sign == '_'));
    }
    if first.is_ascii_digit() {
        return ("n", while_(0, |sign| sign.is_ascii_alphanumeric() || sign == '_'));
    }
    if first.is_alphabetic() || first == '_' {
        let length = while_(0, |sign| sign.is_alphanumeric() || sign == '_');
        return (if KEYWORDS.contains(&&rest[..length]) { "k" } else { "" }, length);
    }
    ("", first.len_utf8())
}

/// Bytes of the string that `rest` begins with, or goes on with.
fn string_length(rest: &str, goes_on: bool) -> usize {
    let mut escaped = false;
    for (at, sign) in rest.char_indices().skip(usize::from(!goes_on)) {
        match sign {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn ends_string(found: &str, goes_on: bool) -> bool {
    let length = string_length(found, goes_on);
    found.ends_with('"') && length == found.len() && (goes_on || found.len() > 1) && !ends_escaped(found)
}

/// Whether the last quote of `found` belongs to the string.
fn ends_escaped(found: &str) -> bool {
    let before = &found[..found.len() - 1];
    (before.len() - before.trim_end_matches('\\').len()) % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_stays_and_is_escaped() {
        let code = "fn f(x: vec4f) { // <b>\n    let s = \"a \\\" // no comment \\\n  goes on\"; return x * \
            2.5; }\n@compute";
        let html = listing(code, |line| line.strip_prefix("fn ").map(|_| "f".to_owned()));
        assert!(html.contains(
            "<span class=\"line\" id=\"L1\"><a id=\"f\"></a><span class=\"k\">fn</span> \
            f("
        ));
        assert!(html.contains("<span class=\"c\">// &lt;b&gt;</span>"));
        assert!(html.contains("<span class=\"s\">&quot;a \\&quot; // no comment \\</span>"));
        assert!(html.contains("<span class=\"s\">  goes on&quot;</span>; <span class=\"k\">return</span>"));
        assert!(html.contains("<span class=\"n\">2</span>.<span class=\"n\">5</span>"));
        assert!(html.contains("<span class=\"a\">@compute</span>"));
    }
}
