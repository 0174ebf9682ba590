//! Checks that data fit a learner's model.

use super::Learner;
use crate::error::{Error, Result};
use crate::source::Source;

impl Learner {
    /// Fails unless images and labels of `source` fit this model's input and classes.
    pub(crate) fn check_source(&self, source: &dyn Source) -> Result<()> {
        self.check_images(source)?;
        self.check_labels(source)
    }

    /// Fails unless the labels of `source` are classes of this model.
    pub(crate) fn check_labels(&self, source: &dyn Source) -> Result<()> {
        let classes = self.model.class_count().ok_or_else(|| self.no_classes())?;
        if source.classes().len() != classes {
            return Err(Error::Classes { data: source.classes().len(), model: classes });
        }
        let labels = source.labels();
        match labels.iter().position(|&label| label as usize >= classes) {
            None => Ok(()),
            Some(index) => Err(Error::Label { index, label: labels[index], classes }),
        }
    }

    pub(crate) fn check_shape(&self, got: [usize; 3]) -> Result<()> {
        let expected = [self.size(), self.size(), self.model.input_channels()];
        if got == expected { Ok(()) } else { Err(Error::ImageShape { expected, got }) }
    }

    pub(crate) fn no_classes(&self) -> Error {
        Error::NoClasses { model: self.model.name().to_owned() }
    }
}
