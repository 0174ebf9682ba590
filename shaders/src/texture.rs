//! Storage as textures: the second expansion.
//!
//! llvmpipe reads a storage buffer one lane and one component at a time; without AVX-512 a `vec4f`
//! costs about 225 ns a subgroup that way, and 24 ns when it comes from a texture. So on that
//! adapter activations live in textures of 1,024 texels a row, and for a binding that does, the
//! declaration and its uses are rewritten:
//!
//! ```wgsl
//! var<storage, read> x: array<vec4f>;         var x: texture_2d<f32>;
//! var<storage, read_write> y: array<vec4f>;   var y: texture_storage_2d<rgba32float, write>;
//! x[i]                                        textureLoad(x, texel(i), 0)
//! y[i] = v;                                   textureStore(y, texel(i), v);
//! ```

/// Texels of a row; `shared/texel.wgsl` says the same.
pub const TEXELS_PER_ROW: u32 = 1024;

/// Rewrites `text` so that the bindings `names` are textures.
pub(crate) fn textures(text: &str, names: &[&str]) -> String {
    let lines = text.lines().map(|line| {
        let (code, comment) = line.split_once("//").map_or((line, None), |(code, comment)| (code, Some(comment)));
        let mut code = code.to_owned();
        for name in names {
            code = declaration(&code, name).unwrap_or_else(|| uses(&code, name));
        }
        comment.map_or(code.clone(), |comment| format!("{code}//{comment}"))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn declaration(code: &str, name: &str) -> Option<String> {
    let read = format!("var<storage, read> {name}: array<vec4f>");
    let write = format!("var<storage, read_write> {name}: array<vec4f>");
    if code.contains(&read) {
        Some(code.replace(&read, &format!("var {name}: texture_2d<f32>")))
    } else if code.contains(&write) {
        Some(code.replace(&write, &format!("var {name}: texture_storage_2d<rgba32float, write>")))
    } else {
        None
    }
}

/// Every `name[index]` of a line, nested ones included; a statement ends on its line.
fn uses(code: &str, name: &str) -> String {
    let Some(at) = find(code, name) else { return code.to_owned() };
    let open = at + name.len();
    let Some(close) = matching(&code[open..]).map(|offset| open + offset) else { return code.to_owned() };
    let index = uses(&code[open + 1..close], name);
    let rest = &code[close + 1..];
    let stored = rest.trim_start().strip_prefix("= ").and_then(|value| value.split_once(';'));
    match stored {
        Some((value, after)) => {
            let value = uses(value, name);
            format!("{}textureStore({name}, texel({index}), {value});{}", &code[..at], uses(after, name))
        }
        None => format!("{}textureLoad({name}, texel({index}), 0){}", &code[..at], uses(rest, name)),
    }
}

/// Where `name[` stands as a word of its own.
fn find(code: &str, name: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = code[from..].find(name).map(|at| from + at) {
        let before = code[..at].chars().next_back();
        let word = before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.');
        if !word && code[at + name.len()..].starts_with('[') {
            return Some(at);
        }
        from = at + name.len();
    }
    None
}

/// Offset of the bracket that closes the one `text` starts with.
fn matching(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
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

    #[test]
    fn reads_and_writes_become_loads_and_stores() {
        let text =
            "@group(0) @binding(1) var<storage, read> x: array<vec4f>;  // (N)\n    if i < n { y[i] = dx[i] + x[x[i].y]; } // y[i] stays";
        assert_eq!(
            textures(text, &["x", "y"]),
            "@group(0) @binding(1) var x: texture_2d<f32>;  // (N)\n    if i < n { textureStore(y, texel(i), dx[i] + \
             textureLoad(x, texel(textureLoad(x, texel(i), 0).y), 0)); } // y[i] stays"
        );
    }
}
