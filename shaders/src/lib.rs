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
//! - a binding that the host keeps in a texture or as 16-bit floats gets another declaration and another
//!   accessor, such as `load_x(i)` ([`Format`]).
//! - for Mesa's software driver, `Params` is read from storage (the reason is at [`stored_params()`]).
//!
//! Checked mode adds one more: loops count their turns ([`count_turns()`]).
//!
//! An expansion that is asked for and that the file has no place for is an error, and so is every other `//!`
//! within the code.
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
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
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
    /// A binding was to have another format, and the file lacks one of the lines that formats exchange.
    #[error(
        "shaders: to store `{name}` in another format, `{file}` needs its declaration as an array of vec4f and \
         the line `fn load_{name}(i: u32) -> vec4f {{ return {name}[i]; }}` or \
         `fn store_{name}(i: u32, value: vec4f) {{ {name}[i] = value; }}`"
    )]
    NoAccessor {
        /// The shader file.
        file: String,
        /// The binding.
        name: String,
    },
    /// A marker that is unknown, or that cannot be expanded.
    #[error(
        "shaders: `{file}`: the marker of `{line}` cannot be expanded. `//!use` and `//!enable` begin a line. \
         `//!unroll` ends a line `for (var i = START; i < END; i++) {{` with constant START and END; the loop \
         has no `break` and no `continue`, and its `}}` has its own line"
    )]
    Marker {
        /// The shader file.
        file: String,
        /// The line with the marker.
        line: String,
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

/// The text of `shaders/<file>.wgsl` as the driver gets it: constants set, snippets appended, the lines of
/// the bindings of `formats` exchanged, marked loops written out.
///
/// # Errors
/// [`Error::NoFile`], [`Error::NoConstant`], [`Error::NoAccessor`] and [`Error::Marker`].
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
    text = unroll::unroll(file, &format::exchange(file, &text, formats)?)?;
    // An `enable` must come first, and a separate line for it would change the numbers of the other lines.
    let f16 = formats.iter().any(|(_, format)| *format == Format::Half).then_some("f16");
    let marked = text.lines().filter_map(|line| line.strip_prefix("//!enable "));
    let enables: String = f16.into_iter().chain(marked).map(|name| format!("enable {name}; ")).collect();
    Ok(enables + &text)
}

/// `text` and after it the snippets that it uses, and those that they use.
fn with_snippets(text: &str, fill_in: &impl Fn(&str) -> String) -> Result<String, Error> {
    let mut joined = text.to_owned();
    for path in text.lines().filter_map(|line| line.strip_prefix("//!use ")) {
        joined = joined + "\n" + &with_snippets(raw(&fill_in(path.trim()))?, fill_in)?;
    }
    Ok(joined)
}
