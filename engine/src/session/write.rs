//! The values that the host gives to a session.

use super::Session;
use crate::dispatch::BufferId;
use crate::error::{Error, Result};
use crate::ops::augment::{self, Transform};
use crate::ops::cross_entropy::IGNORED;
use crate::ops::mixup::{self, Mix};
use crate::plan::Input;
use crate::shape::Shape;
use crate::tensor::InputKind;
use std::borrow::Cow;

impl Session {
    /// Writes the batch of a [`crate::Graph::input`]: floats in NHWC order without padding.
    ///
    /// # Errors
    /// [`Error::Data`] for another number of values, or a graph whose inputs are bytes.
    pub fn write_input(&self, values: &[f32]) -> Result<()> {
        let Input { buffer, shape, .. } = self.images()?;
        if matches!(shape, Shape::Pixels { .. }) {
            let got = "floats where the graph has bytes: use `write_pixels`".to_owned();
            return Err(Error::data("input", &shape, got));
        }
        if values.len() != shape.count() {
            return Err(Error::data("input", &shape, format!("{} values", values.len())));
        }
        self.write(buffer, bytemuck::cast_slice(&shape.pack_nhwc(values)))
    }

    /// Writes the batch of a [`crate::Graph::pixels`]: images of bytes in NHWC order, the order of decoders
    /// and data sets.
    ///
    /// # Errors
    /// [`Error::Data`] for another number of bytes, or a graph whose inputs are floats.
    pub fn write_pixels(&self, bytes: &[u8]) -> Result<()> {
        let Input { buffer, shape, .. } = self.images()?;
        if !matches!(shape, Shape::Pixels { .. }) {
            let got = "bytes where the graph has floats: use `write_input`".to_owned();
            return Err(Error::data("input", &shape, got));
        }
        if bytes.len() != shape.count() {
            return Err(Error::data("input", &shape, format!("{} bytes", bytes.len())));
        }
        // Copies are of whole words.
        let mut words = Cow::from(bytes);
        if !bytes.len().is_multiple_of(4) {
            words.to_mut().resize(bytes.len().next_multiple_of(4), 0);
        }
        self.write(buffer, &words)
    }

    /// Sets the changes of each image of the batch by [`crate::ops::Augment`].
    ///
    /// # Errors
    /// [`Error::Graph`] for a graph that augments nothing, [`Error::Data`] unless there is a valid one for
    /// each image.
    pub fn write_transforms(&self, transforms: &[Transform]) -> Result<()> {
        let images = |kind| match kind {
            InputKind::Transforms { images } => Some(images),
            _ => None,
        };
        let (input, images) = self.input(images, "this graph does not augment its images")?;
        self.write(input.buffer, bytemuck::cast_slice(&augment::pack(transforms, images)?))
    }

    /// Sets the partner and share of each image of the batch, and of its label, for [`crate::ops::Mixup`] and
    /// [`crate::ops::CrossEntropy`].
    ///
    /// # Errors
    /// [`Error::Graph`] for a graph that mixes nothing, [`Error::Data`] unless there is one for each image,
    /// with a partner in the batch and a share of 0 to 1.
    pub fn write_mixes(&self, mixes: &[Mix]) -> Result<()> {
        let (input, ()) = self.input(is(InputKind::Mixes), "this graph does not mix its images")?;
        self.write(input.buffer, bytemuck::cast_slice(&mixup::pack(mixes, input.shape.rows())?))
    }

    /// Writes the batch's labels; [`crate::ops::cross_entropy::IGNORED`] leaves a row out.
    pub fn write_labels(&self, labels: &[u32]) -> Result<()> {
        let (input, ()) = self.input(is(InputKind::Labels), "this graph has no labels")?;
        let (n, classes) = (input.shape.count(), self.plan.classes);
        let wrong = |expected, got| Err(Error::Data { tensor: "labels".to_owned(), expected, got });
        if labels.len() != n {
            return wrong(format!("{n} labels"), labels.len().to_string());
        }
        let outside = |label: u32| label != IGNORED && label as usize >= classes;
        if let Some((row, label)) = labels.iter().enumerate().find(|(_, label)| outside(**label)) {
            let got = format!("{label} for image {row} of the batch");
            return wrong(format!("classes 0 to {}", classes - 1), got);
        }
        self.write(input.buffer, bytemuck::cast_slice(labels))
    }

    /// The first input for which `of` returns a value, and that value.
    fn input<T>(&self, of: impl Fn(InputKind) -> Option<T>, missing: &str) -> Result<(Input, T)> {
        let found = self.plan.inputs.iter().find_map(|input| Some((*input, of(input.kind)?)));
        found.ok_or_else(|| Error::Graph(missing.to_owned()))
    }

    fn images(&self) -> Result<Input> {
        Ok(self.input(is(InputKind::Images), "this graph has no input")?.0)
    }

    fn write(&self, buffer: BufferId, bytes: &[u8]) -> Result<()> {
        self.store(buffer)?.write(&self.gpu, bytes);
        Ok(())
    }

    /// Writes the gradient of the output of a [`crate::Plan::gradient`] or [`crate::Plan::input_gradient`],
    /// in PyTorch's order.
    pub fn write_grad_output(&self, values: &[f32]) -> Result<()> {
        let missing = || Error::Graph("this plan takes no gradient from outside".to_owned());
        let (_, shape) = self.plan.grad_output.ok_or_else(missing)?;
        if values.len() != shape.count() {
            return Err(Error::data("the output's gradient", &shape, format!("{} values", values.len())));
        }
        self.write_packed_grad_output(&shape.pack(values))
    }

    /// Like [`Session::write_grad_output`], with values in the order that kernels read: NHWC, channels
    /// padded to a multiple of 4. For benchmarks, whose values are arbitrary.
    #[doc(hidden)]
    pub fn write_packed_grad_output(&self, packed: &[f32]) -> Result<()> {
        let missing = || Error::Graph("this plan takes no gradient from outside".to_owned());
        let (buffer, shape) = self.plan.grad_output.ok_or_else(missing)?;
        if packed.len() != shape.padded_count() {
            return Err(Error::data(
                "the output's gradient",
                &shape,
                format!("{} packed values", packed.len()),
            ));
        }
        let store = self.store(buffer)?;
        match &self.loss_scaler {
            None => store.write(&self.gpu, bytemuck::cast_slice(packed)),
            Some((scale, scaler)) => {
                let largest = packed.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
                let state = scale.for_gradient(largest);
                self.gpu.write_bytes(scaler, 0, bytemuck::cast_slice(&state.to_words()));
                let scaled: Vec<f32> = packed.iter().map(|value| value * state.scale as f32).collect();
                store.write(&self.gpu, bytemuck::cast_slice(&scaled));
            }
        }
        Ok(())
    }
}

fn is(wanted: InputKind) -> impl Fn(InputKind) -> Option<()> {
    move |kind| (kind == wanted).then_some(())
}
