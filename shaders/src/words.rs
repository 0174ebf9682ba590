//! Words of a WGSL text, for expansions that look for them: comments are none.

/// `text` with spaces in place of its comments, `// such` and `/* such, /* one in the other */ */`. Every offset
/// and every line stays.
pub fn without_comments(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let (mut depth, mut line_comment) = (0, false);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (taken, shown) = match &rest.as_bytes()[..rest.len().min(2)] {
            _ if c == '\n' => {
                line_comment = false;
                (1, true)
            }
            _ if line_comment => (c.len_utf8(), false),
            b"/*" => {
                depth += 1;
                (2, false)
            }
            b"*/" if depth > 0 => {
                depth -= 1;
                (2, false)
            }
            b"//" if depth == 0 => {
                line_comment = true;
                (2, false)
            }
            _ => (c.len_utf8(), depth == 0),
        };
        match shown {
            true => code.push(c),
            false => code.extend(std::iter::repeat_n(' ', taken)),
        }
        rest = &rest[taken..];
    }
    code
}

/// Every word of `code` with its offset.
pub fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let part = |c: char| !(c.is_alphanumeric() || c == '_');
    let start = code.as_ptr() as usize;
    code.split(part).filter(|word| !word.is_empty()).map(move |word| (word.as_ptr() as usize - start, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_and_lines_stay_where_comments_were() {
        let text = "a /* é /* b\n */ c */ d // e /* f\ng";
        let code = without_comments(text);
        assert_eq!(code.len(), text.len());
        assert_eq!(words(&code).map(|(_, word)| word).collect::<String>(), "adg");
        assert!(words(&code).all(|(at, word)| text[at..].starts_with(word)));
        assert_eq!(code.lines().count(), 3);
    }
}
