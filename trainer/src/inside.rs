//! Intermediate values of a network: the output of every stage for every image, and the pixels on which a
//! value in it depends.

use frostline_engine::blocking::block_on;
use frostline_engine::{Plan, Session};
use frostline_loader::{Preprocessing, eval_batches};

use crate::error::{Error, Result};
use crate::features::Features;
use crate::learner::{Cut, Learner, record};
use crate::prefix::Activations;
use crate::source::{Source, normalized};

/// The output of a stage for an image.
#[derive(Clone, Copy, Debug)]
pub struct Map<'a> {
    /// Index of the stage among those that were requested.
    pub stage: usize,
    /// Index of the image.
    pub image: usize,
    /// Height, width, channels.
    pub shape: [usize; 3],
    /// The values, in this order.
    pub values: &'a [f32],
}

/// One value in a stage's output: a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its channel.
    pub channel: usize,
    /// Its row.
    pub y: usize,
    /// Its column.
    pub x: usize,
}

impl Map<'_> {
    /// The values of `channel`, row by row.
    pub fn channel(&self, channel: usize) -> impl Iterator<Item = f32> {
        self.values.iter().skip(channel).step_by(self.shape[2]).copied()
    }

    /// The mean of every channel.
    pub fn means(&self) -> impl Iterator<Item = f32> {
        let [height, width, channels] = self.shape;
        (0..channels).map(move |channel| self.channel(channel).sum::<f32>() / (height * width) as f32)
    }

    /// The largest value of every channel, with its position.
    pub fn peaks(&self) -> impl Iterator<Item = (f32, Unit)> {
        let [_, width, channels] = self.shape;
        (0..channels).map(move |channel| {
            let better = |best: (usize, f32), (at, value): (usize, f32)| {
                if value > best.1 { (at, value) } else { best }
            };
            let (at, value) = self.channel(channel).enumerate().fold((0, f32::NEG_INFINITY), better);
            (value, Unit { channel, y: at / width, x: at % width })
        })
    }
}

impl Learner {
    /// Runs every image through the network once, as in evaluation, and calls `see` with the output of each
    /// of `stages` (in their order in the network, without the last layer). Stage by stage, and within a
    /// stage image by image.
    ///
    /// # Errors
    /// As [`Learner::activations`]; for a stage that does not come after the one before it.
    pub fn walk(
        &mut self,
        source: &dyn Source,
        stages: &[impl AsRef<str>],
        mut see: impl FnMut(Map<'_>),
    ) -> Result<()> {
        let mut reached: Option<Activations> = None;
        for (stage, name) in stages.iter().enumerate() {
            let outputs = match &reached {
                None => self.activations(source, name.as_ref())?,
                Some(outputs) => self.activations(outputs, name.as_ref())?,
            };
            let shape = outputs.shape();
            (0..outputs.len())
                .for_each(|image| see(Map { stage, image, shape, values: outputs.image(image) }));
            reached = Some(outputs);
        }
        Ok(())
    }

    /// [`Learner::features`] with one mean per channel, for several stages at the cost of the last.
    ///
    /// # Errors
    /// As [`Learner::walk`].
    pub fn features_by_depth(
        &mut self,
        source: &dyn Source,
        stages: &[impl AsRef<str>],
    ) -> Result<Vec<Features>> {
        let mut values: Vec<Vec<f32>> = vec![vec![]; stages.len()];
        self.walk(source, stages, |map| values[map.stage].extend(map.means()))?;
        Ok(values.into_iter().map(|values| Features::new(source, values)).collect())
    }

    /// For each of `units` (an image and a value in the output of `stage`): the gradient of that value with
    /// respect to the image's normalised pixels, (height, width, channels). Where it is large, the value
    /// depends on the pixel (Simonyan et al. 2013, "Deep Inside Convolutional Networks"). Running statistics
    /// are used, as in evaluation.
    ///
    /// # Errors
    /// As [`Learner::features`]; [`Error::Setting`] for a unit that the stage does not have.
    pub fn input_gradients(
        &mut self,
        source: &dyn Source,
        stage: &str,
        units: &[(usize, Unit)],
    ) -> Result<Vec<Vec<f32>>> {
        block_on(self.input_gradients_async(source, stage, units))
    }

    /// [`Learner::input_gradients`] for callers that must not block.
    ///
    /// # Errors
    /// As [`Learner::input_gradients`].
    pub async fn input_gradients_async(
        &mut self,
        source: &dyn Source,
        stage: &str,
        units: &[(usize, Unit)],
    ) -> Result<Vec<Vec<f32>>> {
        self.check_shape(source.shape())?;
        let [c, h, w] = self.stage_shape(stage)?;
        if let Some((_, unit)) =
            units.iter().find(|(_, unit)| unit.channel >= c || unit.y >= h || unit.x >= w)
        {
            let reason = "the stage's output has fewer channels, rows or columns";
            return Err(Error::Setting { name: "unit", value: format!("{unit:?}"), reason });
        }
        if units.is_empty() {
            return Err(Error::NoImages { purpose: "compute gradients of" });
        }
        let batch = self.evaluation_batch.min(units.len());
        // Images of floats, because bytes have no gradient.
        let (mut graph, recorded) = record(&self.model, self.size(), batch)?;
        let output = self.output_at(&mut graph, &recorded, &Cut::Stage(stage.to_owned()))?;
        let plan = Plan::input_gradient(&graph, output, self.gpu.tuning())?;
        let mut session = Session::open(&self.gpu, plan, &self.params, None).await?;
        let Preprocessing { mean, std, .. } = &self.preprocessing;
        let mut gradients = vec![];
        for eval in eval_batches(units.len(), batch)? {
            let wanted: Vec<(usize, Unit)> = eval.indices.iter().map(|&i| units[i]).collect();
            let indices: Vec<usize> = wanted.iter().map(|(image, _)| *image).collect();
            let mut seed = vec![0.0; batch * c * h * w];
            for (row, (_, Unit { channel, y, x })) in wanted.iter().enumerate() {
                seed[((row * c + channel) * h + y) * w + x] = 1.0;
            }
            session.write_input(&normalized(source, &indices, mean, std)?)?;
            session.write_grad_output(&seed)?;
            session.run_async().await?;
            let values = session.read_input_gradient_async().await?;
            gradients.extend(values.chunks_exact(values.len() / batch).take(eval.count).map(<[f32]>::to_vec));
        }
        Ok(gradients)
    }
}
