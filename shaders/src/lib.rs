//! The WGSL kernels of frostline and the few lines of Rust that join them.
//!
//! A kernel file is plain WGSL that a reader can open and any WGSL tool can check. Five expansions change it
//! before it reaches the driver, and none changes its line numbers:
//!
//! - `//!use shared/x.wgsl` appends a shared snippet **after** the file. `{share}` in the path is replaced by
//!   the [`Share`] variant, so that one source works on adapters with and without subgroups. `{M}` is
//!   replaced by the value of the constant `M`. A snippet may use others. Its line `//!enable x` makes the
//!   text start with `enable x;`.
//! - a line `const NAME: u32 = 8;` may get another value from the host. Register-tile sizes must
//!   be constants (WGSL has no run-time sized private arrays), so this is the one way to tune.
//! - a loop marked `//!unroll` is written out (see the module of that name for why).
//! - bindings that the host keeps in textures or as 16-bit floats are rewritten ([`Format`]).
//! - for Mesa's software driver, `Params` is read from storage (the reason is at [`stored_params()`]).
//!
//! Checked mode adds one more: loops count their turns ([`count_turns()`]).
#![forbid(unsafe_code)]

mod constants;
mod count_turns;
mod files;
mod format;
mod stored_params;
mod unroll;
mod words;
mod workbench;

pub use count_turns::count_turns;
pub use files::FILES;
pub use format::{Format, TEXELS_PER_ROW};
pub use stored_params::stored_params;
pub use words::{without_comments, words};
pub use workbench::{WORKBENCH, workbench};

/// How the lanes that need the same weights get them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Share {
    /// Every lane loads its own copy: runs everywhere.
    Portable,
    /// Each lane of a subgroup loads a part and `subgroupShuffle` hands it round.
    Subgroup,
}

impl Share {
    /// The word that stands for `{share}` in a `//!use` line.
    pub fn word(self) -> &'static str {
        match self {
            Share::Portable => "portable",
            Share::Subgroup => "subgroup",
        }
    }
}

/// What can be wrong with a request for a shader's text.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// No such file in `shaders/`.
    #[error("shaders: there is no file `{0}`")]
    NoFile(String),
    /// A constant was to be set that the file does not declare.
    #[error("shaders: `{file}` has no line `const {name}: u32 = …;` to set")]
    NoConstant {
        /// The shader file.
        file: String,
        /// The constant that was to be set.
        name: String,
    },
    /// The turns of a loop cannot be counted.
    #[error(
        "shaders: line {line}: the turns of loops cannot be counted here: a loop needs a body in braces, a `return` of an entry point no value"
    )]
    Loop {
        /// The line, counted from 1.
        line: usize,
    },
}

/// The text of `shaders/<path>`, unchanged.
pub fn raw(path: &str) -> Result<&'static str, Error> {
    FILES
        .iter()
        .find(|(name, _)| *name == path)
        .map(|(_, text)| *text)
        .ok_or_else(|| Error::NoFile(path.to_owned()))
}

/// Every kernel, as its file without `.wgsl` and its entry point: `("conv2d", "forward")`.
pub fn kernels() -> impl Iterator<Item = (&'static str, &'static str)> {
    let entry = |line: &'static str| line.strip_prefix("fn ")?.split_once('(').map(|(name, _)| name);
    FILES.iter().filter(|(path, _)| !path.starts_with("shared/")).flat_map(move |(path, text)| {
        let attributes =
            text.lines().zip(text.lines().skip(1)).filter(|(line, _)| line.starts_with("@compute"));
        attributes.filter_map(move |(_, next)| Some((path.strip_suffix(".wgsl")?, entry(next)?)))
    })
}

/// `path` with `{share}` and the names of constants replaced by what they stand for.
fn fill_in(path: &str, share: Share, constants: &std::collections::HashMap<&str, u32>) -> String {
    let path = path.replace("{share}", share.word());
    constants
        .iter()
        .fold(path, |path, (name, value)| path.replace(&format!("{{{name}}}"), &value.to_string()))
}

/// The text of `shaders/<file>.wgsl` as the driver gets it: constants set, snippets appended, the bindings of
/// `formats` rewritten, marked loops written out.
pub fn source(
    file: &str,
    constants: &[(&str, u32)],
    share: Share,
    formats: &[(&str, Format)],
) -> Result<String, Error> {
    let text = raw(&format!("{file}.wgsl"))?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for &(name, value) in constants {
        let declaration = format!("const {name}: u32 =");
        let line = lines
            .iter_mut()
            .find(|line| line.starts_with(&declaration))
            .ok_or_else(|| Error::NoConstant { file: file.to_owned(), name: name.to_owned() })?;
        let comment = line.split_once("//").map(|(_, rest)| format!(" //{rest}")).unwrap_or_default();
        *line = format!("{declaration} {value}u;{comment}");
    }
    let joined = lines.join("\n");
    let values = constants::evaluate(&joined);
    let mut text = with_snippets(&joined, &|path| fill_in(path, share, &values))?;
    text = format::rewrite(&text, formats);
    if formats.iter().any(|(_, format)| matches!(format, Format::Texture | Format::Aliased)) {
        text = text + "\n" + raw("shared/texel.wgsl")?;
    }
    if formats.iter().any(|(_, format)| *format == Format::Aliased) {
        text = text + "\n" + raw("shared/words.wgsl")?;
    }
    let enables: String = text
        .lines()
        .filter_map(|line| line.strip_prefix("//!enable "))
        .map(|name| format!("enable {name}; "))
        .collect();
    Ok(enables + &unroll::unroll(&text))
}

/// `text` and after it the snippets that it uses, and those that they use.
fn with_snippets(text: &str, fill_in: &impl Fn(&str) -> String) -> Result<String, Error> {
    let mut joined = text.to_owned();
    for path in text.lines().filter_map(|line| line.strip_prefix("//!use ")) {
        joined = joined + "\n" + &with_snippets(raw(&fill_in(path.trim()))?, fill_in)?;
    }
    Ok(joined)
}
