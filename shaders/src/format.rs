//! Storage formats: bindings that are not kept as the arrays of `vec4f` that a file declares.
//!
//! - **Textures.** llvmpipe reads a storage buffer one lane and one component at a time; a `vec4f` costs a
//!   subgroup 45 ns that way (without AVX-512: 225), and 8 ns when it comes from a storage texture. Stores
//!   are the other way round: 18 ns to a buffer (16 as two 64-bit words), 32 to a texture. So on that adapter
//!   activations are stored in memory that is both, a texture of 1,024 texels per row to read and a buffer to
//!   write; or in a texture alone.
//! - **Halves.** If the user requests it, activations are stored as 16-bit floats: half the memory and half
//!   the traffic. A value is widened as it is loaded and rounded as it is stored; all arithmetic stays f32.
//!
//! For such a binding the declaration and its uses are rewritten:
//!
//! ```wgsl
//! // the file                                 texture                                              half
//! var<storage, read> x: array<vec4f>;         var x: texture_storage_2d<rgba32float, read>;        … x: array<vec4<f16>>;
//! var<storage, read_write> y: array<vec4f>;   var y: texture_storage_2d<rgba32float, write>;       … y: array<vec4<f16>>;
//! x[i]                                        textureLoad(x, texel(i))                             vec4f(x[i])
//! y[i] = v;                                   textureStore(y, texel(i), v);                        y[i] = vec4<f16>(v);
//! ```
//!
//! Memory that is both is read as a texture. It is written as an array of `vec2<u64>`, two words in place of four
//! components: `y[i] = words(v);`.

/// Texels of a row; `shared/texel.wgsl` has the same number.
pub const TEXELS_PER_ROW: u32 = 1024;

/// How the device keeps an array of `vec4f`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// A storage buffer of f32, as declared in the file.
    #[default]
    Single,
    /// A storage buffer of f16; the adapter needs the feature `shader-f16`.
    Half,
    /// A texture of f32, 1,024 texels a row.
    Texture,
    /// Memory that is such a texture to read, and a storage buffer of f32 to write.
    Aliased,
}

/// Rewrites `text` so that each binding of `formats` has its format.
pub(crate) fn rewrite(text: &str, formats: &[(&str, Format)]) -> String {
    let lines = text.lines().map(|line| {
        let (code, comment) =
            line.split_once("//").map_or((line, None), |(code, comment)| (code, Some(comment)));
        let mut code = code.to_owned();
        for &(name, format) in formats.iter().filter(|(_, format)| *format != Format::Single) {
            code = declaration(&code, name, format).unwrap_or_else(|| uses(&code, name, format));
        }
        comment.map_or(code.clone(), |comment| format!("{code}//{comment}"))
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    // An `enable` must come first, and a separate line for it would change the numbers of the other lines.
    if formats.iter().any(|(_, format)| *format == Format::Half) {
        format!("enable f16; {text}")
    } else {
        text
    }
}

fn declaration(code: &str, name: &str, format: Format) -> Option<String> {
    let read = format!("var<storage, read> {name}: array<vec4f>");
    let write = format!("var<storage, read_write> {name}: array<vec4f>");
    let declared = [&read, &write].into_iter().find(|declared| code.contains(*declared))?;
    let rewritten = match (format, *declared == read) {
        (Format::Single, _) => return None,
        (Format::Half, _) => declared.replace("array<vec4f>", "array<vec4<f16>>"),
        (Format::Texture | Format::Aliased, true) => {
            format!("var {name}: texture_storage_2d<rgba32float, read>")
        }
        (Format::Texture, false) => format!("var {name}: texture_storage_2d<rgba32float, write>"),
        (Format::Aliased, false) => declared.replace("array<vec4f>", "array<vec2<u64>>"),
    };
    Some(code.replace(declared, &rewritten))
}

/// Every `name[index]` of a line, nested ones included; a statement ends on its line.
fn uses(code: &str, name: &str, format: Format) -> String {
    let Some(at) = find(code, name) else { return code.to_owned() };
    let open = at + name.len();
    let Some(close) = matching(&code[open..]).map(|offset| open + offset) else { return code.to_owned() };
    let before = &code[..at];
    let index = uses(&code[open + 1..close], name, format);
    let rest = &code[close + 1..];
    let stored = rest.trim_start().strip_prefix("= ").and_then(|value| value.split_once(';'));
    match stored {
        Some((value, after)) => {
            let (value, after) = (uses(value, name, format), uses(after, name, format));
            match format {
                Format::Texture => format!("{before}textureStore({name}, texel({index}), {value});{after}"),
                Format::Aliased => format!("{before}{name}[{index}] = words({value});{after}"),
                Format::Single => format!("{before}{name}[{index}] = {value};{after}"),
                Format::Half => format!("{before}{name}[{index}] = vec4<f16>({value});{after}"),
            }
        }
        None => {
            let rest = uses(rest, name, format);
            match format {
                Format::Texture | Format::Aliased => {
                    format!("{before}textureLoad({name}, texel({index})){rest}")
                }
                Format::Single => format!("{before}{name}[{index}]{rest}"),
                Format::Half => format!("{before}vec4f({name}[{index}]){rest}"),
            }
        }
    }
}

/// Where `name[` is a separate word.
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

    const TEXT: &str = "@group(0) @binding(1) var<storage, read> x: array<vec4f>;  // (N)\n    if i < n { y[i] = dx[i] + x[x[i].y]; } // y[i] stays";

    #[test]
    fn reads_and_writes_of_textures_become_loads_and_stores() {
        assert_eq!(
            rewrite(TEXT, &[("x", Format::Texture), ("y", Format::Texture), ("dx", Format::Single)]),
            "@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;  // (N)\n    if i < n { \
             textureStore(y, texel(i), dx[i] + textureLoad(x, texel(textureLoad(x, texel(i)).y))); } // y[i] stays"
        );
    }

    #[test]
    fn aliased_memory_is_read_as_a_texture_and_written_as_a_buffer() {
        assert_eq!(
            rewrite(
                "var<storage, read> x: array<vec4f>;\nvar<storage, read_write> y: array<vec4f>;\ny[i] = x[x[i].y];",
                &[("x", Format::Aliased), ("y", Format::Aliased)]
            ),
            "var x: texture_storage_2d<rgba32float, read>;\nvar<storage, read_write> y: array<vec2<u64>>;\ny[i] = \
             words(textureLoad(x, texel(textureLoad(x, texel(i)).y)));"
        );
    }

    #[test]
    fn halves_are_widened_when_read_and_rounded_when_written() {
        assert_eq!(
            rewrite(TEXT, &[("x", Format::Half), ("y", Format::Half)]),
            "enable f16; @group(0) @binding(1) var<storage, read> x: array<vec4<f16>>;  // (N)\n    if i < n { y[i] = \
             vec4<f16>(dx[i] + vec4f(x[vec4f(x[i]).y])); } // y[i] stays"
        );
    }

    #[test]
    fn formats_mix_within_a_statement() {
        assert_eq!(
            rewrite("y[i] = x[i];", &[("x", Format::Half), ("y", Format::Texture)]),
            "enable f16; textureStore(y, texel(i), vec4f(x[i]));"
        );
    }
}
