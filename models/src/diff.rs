//! All differences between a file's weights and a model, in one text.

use crate::dialect::Dialect;
use frostline_loader::shape_text;
use std::fmt;

/// Maximum length of a printed name or shape; a file can contain names of any length.
const LONGEST: usize = 120;
/// The number of differences that are shown. Weights of another network have hundreds, and ten are enough to
/// recognise that.
const SHOWN: usize = 10;

/// The differences between the tensors of a model and those of a file.
///
/// `Display` gives one text: the errors, tensor by tensor, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diff {
    /// The naming convention of the file.
    pub dialect: Dialect,
    /// The model's tensors that the file does not have: name and shape.
    pub missing: Vec<(String, Vec<usize>)>,
    /// The file's tensors that the model does not have: the file's name and shape.
    pub extra: Vec<(String, Vec<usize>)>,
    /// Tensors that both have but whose shapes differ.
    pub wrong_shape: Vec<WrongShape>,
    /// Names of the file that mean the same tensor.
    pub ambiguous: Vec<[String; 2]>,
    /// What to do.
    pub advice: String,
}

/// A tensor that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongShape {
    /// The model's name of it.
    pub name: String,
    /// The model's shape.
    pub model: Vec<usize>,
    /// The file's shape.
    pub file: Vec<usize>,
    /// The number of its values in the file.
    pub values: usize,
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            ("of another shape", self.wrong_shape.len()),
            ("missing", self.missing.len()),
            ("extra", self.extra.len()),
            ("given twice", self.ambiguous.len()),
        ];
        let counts = counts.iter().filter(|(_, count)| *count > 0);
        let counts: Vec<String> = counts.map(|(what, count)| format!("{what}: {count}")).collect();
        write!(
            f,
            "the weights ({} names) do not fit the model, and nothing was loaded; tensors {}",
            self.dialect,
            counts.join(", ")
        )?;
        let shapes = self.wrong_shape.iter().map(WrongShape::to_string);
        let missing =
            self.missing.iter().map(|(name, shape)| format!("missing  {name} {}", shape_text(shape)));
        let extra = self
            .extra
            .iter()
            .map(|(name, shape)| format!("extra    {} {}", quoted(name), clip(shape_text(shape))));
        let twice = self.ambiguous.iter().map(|[first, second]| {
            format!("twice    {} and {} mean the same tensor", quoted(first), quoted(second))
        });
        let lines: Vec<String> = shapes.chain(missing).chain(extra).chain(twice).collect();
        for line in lines.iter().take(SHOWN) {
            write!(f, "\n  {line}")?;
        }
        if lines.len() > SHOWN {
            write!(f, "\n  and {} more", lines.len() - SHOWN)?;
        }
        write!(f, "\n{}", self.advice)
    }
}

impl fmt::Display for WrongShape {
    /// Such as `shape    fc.weight: the model has (5, 32), the file (7, 32)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, model, file, values } = self;
        write!(
            f,
            "shape    {name}: the model has {}, the file {}",
            shape_text(model),
            clip(shape_text(file))
        )?;
        if file == model { write!(f, " with {values} values") } else { Ok(()) }
    }
}

/// A name from a file: quoted and escaped, so that only text reaches a terminal.
pub(crate) fn quoted(name: &str) -> String {
    clip(format!("{name:?}"))
}

fn clip(text: String) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
