//! What keeps a file's weights from fitting a model, all of it in one text.

use crate::dialect::Dialect;
use frostline_loader::shape_text;
use std::fmt;

/// Longest name or shape of a file that is printed in full. Files can hold anything.
const LONGEST: usize = 120;

/// The differences between the tensors of a model and those of a file.
///
/// Prints as one text: what is wrong, tensor by tensor, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diff {
    /// Whose names the file uses.
    pub dialect: Dialect,
    /// The model's tensors that the file does not have: name and shape.
    pub missing: Vec<(String, Vec<usize>)>,
    /// The file's tensors that the model does not have: the file's name and shape.
    pub extra: Vec<(String, Vec<usize>)>,
    /// Tensors that both have and that do not fit.
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
    /// How many values came with it.
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
        for wrong in &self.wrong_shape {
            write!(
                f,
                "\n  shape    {}: the model has {}, the file {}",
                wrong.name,
                shape_text(&wrong.model),
                clip(shape_text(&wrong.file))
            )?;
            if wrong.file == wrong.model {
                write!(f, " with {} values", wrong.values)?;
            }
        }
        for (name, shape) in &self.missing {
            write!(f, "\n  missing  {name} {}", shape_text(shape))?;
        }
        for (name, shape) in &self.extra {
            write!(f, "\n  extra    {} {}", quoted(name), clip(shape_text(shape)))?;
        }
        for [first, second] in &self.ambiguous {
            write!(f, "\n  twice    {} and {} mean the same tensor", quoted(first), quoted(second))?;
        }
        write!(f, "\n{}", self.advice)
    }
}

/// A name out of a file: quoted and escaped, so that it cannot write to a terminal but text.
pub(crate) fn quoted(name: &str) -> String {
    clip(format!("{name:?}"))
}

fn clip(text: String) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
