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
//! A binding that may have another format has two lines in its file, its declaration and an accessor. Kernels
//! call the accessor. [`exchange`] replaces these two lines and nothing else:
//!
//! ```wgsl
//! @group(0) @binding(1) var<storage, read> x: array<vec4f>;        // (N, H·W, C/4)
//! @group(0) @binding(2) var<storage, read_write> y: array<vec4f>;  // (N, H·W, C/4)
//! fn load_x(i: u32) -> vec4f { return x[i]; }
//! fn store_y(i: u32, value: vec4f) { y[i] = value; }
//! ```

use crate::Error;

/// Texels of a row; the accessors of textures have the same number.
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

/// What a kernel does with a binding that may have another format.
#[derive(Clone, Copy)]
enum Access {
    Load,
    Store,
}

impl Format {
    /// The declaration, without its `@group` and `@binding`, and the accessor of the binding `name`.
    fn lines(self, access: Access, name: &str) -> [String; 2] {
        let (declaration, accessor) = match (access, self) {
            (Access::Load, Format::Single) => (
                "var<storage, read> NAME: array<vec4f>;",
                "fn load_NAME(i: u32) -> vec4f { return NAME[i]; }",
            ),
            (Access::Load, Format::Half) => (
                "var<storage, read> NAME: array<vec4<f16>>;",
                "fn load_NAME(i: u32) -> vec4f { return vec4f(NAME[i]); }",
            ),
            (Access::Load, Format::Texture | Format::Aliased) => (
                "var NAME: texture_storage_2d<rgba32float, read>;",
                "fn load_NAME(i: u32) -> vec4f { return textureLoad(NAME, vec2u(i & 1023u, i >> 10u)); }",
            ),
            (Access::Store, Format::Single) => (
                "var<storage, read_write> NAME: array<vec4f>;",
                "fn store_NAME(i: u32, value: vec4f) { NAME[i] = value; }",
            ),
            (Access::Store, Format::Half) => (
                "var<storage, read_write> NAME: array<vec4<f16>>;",
                "fn store_NAME(i: u32, value: vec4f) { NAME[i] = vec4<f16>(value); }",
            ),
            (Access::Store, Format::Texture) => (
                "var NAME: texture_storage_2d<rgba32float, write>;",
                "fn store_NAME(i: u32, value: vec4f) \
                 { textureStore(NAME, vec2u(i & 1023u, i >> 10u), value); }",
            ),
            // A driver that stores one word at a time stores two of 64 bits instead of four of 32.
            (Access::Store, Format::Aliased) => (
                "var<storage, read_write> NAME: array<vec2<u64>>;",
                "fn store_NAME(i: u32, value: vec4f) { let word = vec4<u64>(bitcast<vec4u>(value)); \
                 NAME[i] = vec2<u64>(word.x | (word.y << 32u), word.z | (word.w << 32u)); }",
            ),
        };
        [declaration, accessor].map(|line| line.replace("NAME", name))
    }
}

/// `text`, the text of `file`, with the declaration and the accessor of each binding of `formats` in its
/// format. Lines stay where they are.
///
/// # Errors
/// [`Error::NoAccessor`] if one of the two lines is not in `text`.
pub(crate) fn exchange(file: &str, text: &str, formats: &[(&str, Format)]) -> Result<String, Error> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for &(name, format) in formats {
        let found = [Access::Load, Access::Store].into_iter().find_map(|access| {
            let [declaration, accessor] = Format::Single.lines(access, name);
            let declared = lines.iter().position(|line| declares(line, &declaration))?;
            let accessed = lines.iter().position(|line| *line == accessor)?;
            Some((access, declaration, declared, accessed))
        });
        let missing = || Error::NoAccessor { file: file.to_owned(), name: name.to_owned() };
        let (access, old, declared, accessed) = found.ok_or_else(missing)?;
        let [declaration, accessor] = format.lines(access, name);
        lines[declared] = lines[declared].replacen(&old, &declaration, 1);
        lines[accessed] = accessor;
    }
    Ok(lines.join("\n"))
}

/// Whether `line` is `@group(…) @binding(…) <declaration>` with or without a comment.
fn declares(line: &str, declaration: &str) -> bool {
    let attributes = line.strip_prefix("@group(").and_then(|rest| rest.split_once(") @binding("));
    let rest = attributes.and_then(|(_, rest)| rest.split_once(") "));
    let after = rest.and_then(|(_, rest)| rest.strip_prefix(declaration));
    after.is_some_and(|after| after.trim().is_empty() || after.trim_start().starts_with("//"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
        @group(0) @binding(1) var<storage, read> x: array<vec4f>;  // (N)\n\
        @group(0) @binding(2) var<storage, read_write> y: array<vec4f>;\n\
        fn load_x(i: u32) -> vec4f { return x[i]; }\n\
        fn store_y(i: u32, value: vec4f) { y[i] = value; }\n\
        store_y(i, load_x(i));";

    /// The lines of `TEXT` that the formats change.
    fn exchanged(x: Format, y: Format) -> Vec<String> {
        let text = exchange("file", TEXT, &[("x", x), ("y", y)]).unwrap();
        assert_eq!(text.lines().count(), TEXT.lines().count());
        let pairs = text.lines().zip(TEXT.lines());
        pairs.filter(|(line, original)| line != original).map(|(line, _)| line.to_owned()).collect()
    }

    #[test]
    fn single_changes_nothing() {
        assert_eq!(exchanged(Format::Single, Format::Single), Vec::<String>::new());
    }

    #[test]
    fn textures_are_loaded_from_and_stored_to() {
        assert_eq!(
            exchanged(Format::Texture, Format::Texture),
            [
                "@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;  // (N)",
                "@group(0) @binding(2) var y: texture_storage_2d<rgba32float, write>;",
                "fn load_x(i: u32) -> vec4f { return textureLoad(x, vec2u(i & 1023u, i >> 10u)); }",
                "fn store_y(i: u32, value: vec4f) { textureStore(y, vec2u(i & 1023u, i >> 10u), value); }",
            ]
        );
        assert_eq!((TEXELS_PER_ROW - 1, TEXELS_PER_ROW.trailing_zeros()), (1023, 10));
    }

    #[test]
    fn aliased_memory_is_read_as_a_texture_and_written_as_a_buffer() {
        let lines = exchanged(Format::Aliased, Format::Aliased);
        assert_eq!(lines[0], "@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;  // (N)");
        assert_eq!(lines[1], "@group(0) @binding(2) var<storage, read_write> y: array<vec2<u64>>;");
        assert!(lines[2].contains("textureLoad(x, ") && lines[3].contains("y[i] = vec2<u64>("), "{lines:?}");
    }

    #[test]
    fn halves_are_widened_when_read_and_rounded_when_written() {
        assert_eq!(
            exchanged(Format::Half, Format::Half),
            [
                "@group(0) @binding(1) var<storage, read> x: array<vec4<f16>>;  // (N)",
                "@group(0) @binding(2) var<storage, read_write> y: array<vec4<f16>>;",
                "fn load_x(i: u32) -> vec4f { return vec4f(x[i]); }",
                "fn store_y(i: u32, value: vec4f) { y[i] = vec4<f16>(value); }",
            ]
        );
    }

    #[test]
    fn a_binding_without_both_lines_is_an_error() {
        let missing = |text: &str, name: &str| {
            let error = Error::NoAccessor { file: "file".to_owned(), name: name.to_owned() };
            assert_eq!(exchange("file", text, &[(name, Format::Half)]), Err(error));
        };
        missing(TEXT, "z");
        for (line, _) in TEXT.lines().zip(0..4) {
            let name = if line.contains("x: ") || line.contains("_x(") { "x" } else { "y" };
            missing(&TEXT.replace(line, ""), name);
            missing(&TEXT.replace(line, &format!("// {line}")), name);
        }
        missing(&TEXT.replace("load_x(i: u32)", "load_x(at: u32)"), "x");
        missing(&TEXT.replace("return x[i];", "return 2.0 * x[i];"), "x");
        missing(&TEXT.replace("read> x: array<vec4f>", "read_write> x: array<vec4f>"), "x");
    }
}
