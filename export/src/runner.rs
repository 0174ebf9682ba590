//! Running an exported graph.

use crate::error::{Error, Result};
use frostline_loader::RgbImage8;
use std::sync::Arc;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::InferenceModelExt;

/// An exported graph in tract. tract plans for one size of photo at a time, and the last plan is kept:
/// photos of one camera need one.
pub struct Runner {
    model: InferenceModel,
    planned: Option<([usize; 2], Arc<TypedRunnableModel>)>,
}

impl Runner {
    /// Reads the bytes of an ONNX file.
    ///
    /// # Errors
    /// [`Error::Runtime`].
    pub fn new(bytes: &[u8]) -> Result<Self> {
        let model = tract_onnx::onnx().model_for_read(&mut &*bytes).map_err(runtime)?;
        Ok(Self { model, planned: None })
    }

    /// The probabilities of the classes for a photo of any size.
    ///
    /// # Errors
    /// [`Error::Runtime`].
    pub fn probabilities(&mut self, photo: &RgbImage8) -> Result<Vec<f32>> {
        let size = [photo.height, photo.width];
        let plan = match &self.planned {
            Some((planned, plan)) if *planned == size => plan.clone(),
            _ => {
                let plan = self.plan(size).map_err(runtime)?;
                self.planned = Some((size, plan.clone()));
                plan
            }
        };
        let run = || {
            let image = Tensor::from_shape(&[photo.height, photo.width, 3], &photo.data)?;
            let output = plan.run(tvec!(image.into_tvalue()))?;
            Ok(output[0].try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
        };
        run().map_err(runtime)
    }

    fn plan(&self, [height, width]: [usize; 2]) -> TractResult<Arc<TypedRunnableModel>> {
        let fact = InferenceFact::dt_shape(u8::datum_type(), [height, width, 3]);
        self.model.clone().with_input_fact(0, fact)?.into_optimized()?.into_runnable()
    }
}

fn runtime(error: TractError) -> Error {
    Error::Runtime(format!("{error:#}"))
}
