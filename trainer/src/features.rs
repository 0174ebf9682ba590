//! Features: the output of a stage for every image, computed once and kept.
//!
//! Below the frostline nothing changes from epoch to epoch. Where only a head is trained, the
//! frozen body therefore runs once per image and not once per image and epoch.

use frostline_engine::blocking::block_on;

use crate::error::{Error, Result};
use crate::learner::{Cut, Learner};
use crate::source::{Source, normalized};

/// One row of values per image, with its label.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// Values of one image.
    pub width: usize,
    /// (images, width).
    pub values: Vec<f32>,
    /// The class of each image.
    pub labels: Vec<u32>,
    /// Names of the classes.
    pub classes: Vec<String>,
}

impl Features {
    /// The normalised pixels themselves, as a baseline without a network.
    ///
    /// # Errors
    /// As [`Learner::features`].
    pub fn pixels(source: &dyn Source, mean: &[f32], std: &[f32]) -> Result<Self> {
        check(source)?;
        let indices: Vec<usize> = (0..source.labels().len()).collect();
        Ok(Self::new(source, normalized(source, &indices, mean, std)?))
    }

    pub(crate) fn new(source: &dyn Source, values: Vec<f32>) -> Self {
        let (labels, classes) = (source.labels().to_vec(), source.classes().to_vec());
        Self { width: values.len() / labels.len(), values, labels, classes }
    }

    /// These rows, then those of `others`, which are of the same width and classes.
    pub fn followed_by(mut self, others: &Self) -> Self {
        self.values.extend(&others.values);
        self.labels.extend(&others.labels);
        self
    }

    /// Fails without images, or with a label beyond the classes.
    pub(crate) fn check_labels(&self, purpose: &'static str) -> Result<()> {
        let classes = self.classes.len();
        if self.labels.is_empty() {
            return Err(Error::NoImages { purpose });
        }
        match self.labels.iter().position(|&label| label as usize >= classes) {
            Some(index) => Err(Error::Label { index, label: self.labels[index], classes }),
            None => Ok(()),
        }
    }

    /// The values of image `i`.
    ///
    /// # Panics
    /// If there is no image `i`, as indexing does.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.width..][..self.width]
    }

    /// The features of these images, in this order.
    ///
    /// # Panics
    /// If there is no such image, as indexing does.
    pub fn subset(&self, indices: &[usize]) -> Self {
        Self {
            width: self.width,
            values: indices.iter().flat_map(|&i| self.row(i)).copied().collect(),
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
            classes: self.classes.clone(),
        }
    }
}

impl Learner {
    /// The output of `stage` (`stem`, `layer1` …, `avgpool`) for every image, as in evaluation: with running
    /// statistics, independent of what is frozen.
    ///
    /// Each channel is averaged over `grid` × `grid` cells of the image, as PyTorch's
    /// `adaptive_avg_pool2d` does; 1 keeps no position. Rows are (channels, grid, grid).
    ///
    /// # Errors
    /// [`Error::StochasticCache`] for a source that changes its images at random,
    /// [`Error::UnknownGroup`] for an unknown stage, [`Error::Setting`] for a grid finer than the
    /// stage's output; [`Error::ImageShape`], [`Error::NoImages`], [`Error::Engine`].
    pub fn features(&mut self, source: &dyn Source, stage: &str, grid: usize) -> Result<Features> {
        block_on(self.features_async(source, stage, grid))
    }

    /// [`Learner::features`] for callers that must not block.
    ///
    /// # Errors
    /// As [`Learner::features`].
    pub async fn features_async(
        &mut self,
        source: &dyn Source,
        stage: &str,
        grid: usize,
    ) -> Result<Features> {
        check(source)?;
        let [channels, height, width] = self.stage_shape(stage)?;
        if !(1..=height.min(width)).contains(&grid) {
            return Err(Error::Setting {
                name: "grid",
                value: grid.to_string(),
                reason: "it must be at least 1, and at most the height and width of the stage's output",
            });
        }
        let reached = source.activations().filter(|outputs| outputs.stage() == stage);
        if let (Some(outputs), [1, 1]) = (reached, [height, width]) {
            self.check_images(source)?;
            return Ok(Features::new(source, outputs.values().to_vec()));
        }
        if grid == 1 {
            // The mean is computed on the device, so that far less is read back.
            return Ok(Features::new(source, self.infer_async(source, Cut::Pooled(stage.to_owned())).await?));
        }
        let values = self.infer_async(source, Cut::Stage(stage.to_owned())).await?;
        let planes = values.chunks_exact(height * width);
        debug_assert_eq!(planes.len(), channels * source.labels().len());
        let pooled = planes.flat_map(|plane| pool(plane, (height, width), grid)).collect();
        Ok(Features::new(source, pooled))
    }
}

fn check(source: &dyn Source) -> Result<()> {
    if let Some(what) = source.stochastic() {
        return Err(Error::StochasticCache { what: what.to_owned() });
    }
    if source.labels().is_empty() {
        return Err(Error::NoImages { purpose: "compute features of" });
    }
    Ok(())
}

/// Means of the `grid` × `grid` cells of a plane. Cells overlap by a row or column if the side is not a
/// multiple of `grid`.
fn pool(plane: &[f32], (height, width): (usize, usize), grid: usize) -> Vec<f32> {
    let cell = |i: usize, side: usize| i * side / grid..((i + 1) * side).div_ceil(grid);
    let mut means = vec![];
    for (i, j) in (0..grid).flat_map(|i| (0..grid).map(move |j| (i, j))) {
        let (rows, columns) = (cell(i, height), cell(j, width));
        let count = (rows.len() * columns.len()) as f32;
        let sum: f32 = rows.flat_map(|y| &plane[y * width..][columns.clone()]).sum();
        means.push(sum / count);
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.nn.functional.adaptive_avg_pool2d(torch.arange(15.).reshape(1, 1, 3, 5), 2)`.
    #[test]
    fn cells_are_pytorchs() {
        let plane: Vec<f32> = (0..15).map(|i| i as f32).collect();
        assert_eq!(pool(&plane, (3, 5), 2), [3.5, 5.5, 8.5, 10.5]);
    }
}
