//! Records gradients, and sums several contributions to one.
//!
//! A gradient with several contributions is a chain of sums, each in its own buffer: buffers are written once.

use crate::activation::Activation;
use crate::context::Backward;
use crate::dispatch::{BufferId, Home, Phase};
use crate::error::Result;
use crate::recorder::Recorder;
use crate::request::{copy, sum};
use crate::tensor::{Role, TensorId};

impl Backward<'_, '_> {
    /// Records the computation of the gradient of input `i`, unless that input needs none. Freezing is
    /// implemented by this rule. `compute` gets the buffer to write and, if another op has already
    /// contributed to this gradient, the buffer to add to what it writes.
    ///
    /// For a parameter there is never a buffer to add: `compute` writes this op's contribution, now or by a
    /// dispatch recorded later in the same backward, and `Recorder::add_contributions` sums the
    /// contributions.
    pub fn grad(
        &mut self,
        i: usize,
        compute: impl FnOnce(&mut Self, BufferId, Option<BufferId>) -> Result<()>,
    ) -> Result<()> {
        self.grad_of(self.inputs[i], compute)
    }

    fn grad_of(
        &mut self,
        id: TensorId,
        compute: impl FnOnce(&mut Self, BufferId, Option<BufferId>) -> Result<()>,
    ) -> Result<()> {
        if !self.recorder.used(id).wanted {
            return Ok(());
        }
        let tensor = self.recorder.tensor(id);
        let parameter = matches!(tensor.role, Role::Parameter(_));
        let home = match tensor.role {
            Role::Parameter(_) if self.recorder.used(id).readers == 1 => Home::Gradient(tensor.name.clone()),
            Role::Input(_) => Home::Plan,
            _ => Home::Pool,
        };
        let gradient = self.recorder.tensor_buffer(format!("grad {}", tensor.name), id, home);
        if parameter {
            compute(self, gradient, None)?;
            self.recorder.contributions.push((id, gradient));
        } else {
            let earlier = self.recorder.gradients.get(&id).copied();
            compute(self, gradient, earlier)?;
            self.recorder.gradients.insert(id, gradient);
        }
        Ok(())
    }

    /// The gradient of input `i` is `gradient` itself. Buffers are written once, so sharing one between
    /// branches is safe; the sum with a second contribution goes into a new buffer.
    pub fn pass(&mut self, i: usize, gradient: BufferId) -> Result<()> {
        self.pass_to(self.inputs[i], gradient)
    }

    /// [`Backward::pass`] to the residual, if one is fused.
    pub fn pass_to_residual(&mut self, gradient: BufferId) -> Result<()> {
        self.fused.residual.map_or(Ok(()), |id| self.pass_to(id, gradient))
    }

    fn pass_to(&mut self, id: TensorId, gradient: BufferId) -> Result<()> {
        if !self.recorder.used(id).wanted {
            return Ok(());
        }
        if matches!(self.recorder.tensor(id).role, Role::Parameter(_)) {
            self.recorder.contributions.push((id, gradient));
            return Ok(());
        }
        let Some(earlier) = self.recorder.gradients.get(&id).copied() else {
            self.recorder.gradients.insert(id, gradient);
            return Ok(());
        };
        let shape = self.recorder.tensor(id).shape;
        self.grad_of(id, |b, total, _| b.dispatch(sum(shape, earlier, gradient, total, Activation::None)))
    }

    /// [`Backward::grad`] for a kernel that cannot add an earlier contribution itself: `compute`
    /// gets the buffer to write, and the sum is recorded here.
    pub fn accumulate(
        &mut self,
        i: usize,
        compute: impl FnOnce(&mut Self, BufferId) -> Result<()>,
    ) -> Result<()> {
        let shape = self.shape(i);
        self.grad(i, |b, gradient, earlier| {
            let Some(earlier) = earlier else { return compute(b, gradient) };
            let part = b.scratch_activation("gradient contribution", shape);
            compute(b, part)?;
            b.dispatch(sum(shape, earlier, part, gradient, Activation::None))
        })
    }
}

impl Recorder<'_> {
    /// Adds what an op of `layer` contributed to the gradients of parameters to what other ops, and the
    /// same op through another input, contributed before. Called once the op has recorded its backward:
    /// a kernel may write several contributions.
    pub fn add_contributions(&mut self, layer: &str) -> Result<()> {
        for (id, part) in std::mem::take(&mut self.contributions) {
            let Some(&earlier) = self.gradients.get(&id) else {
                self.gradients.insert(id, part);
                continue;
            };
            let tensor = self.tensor(id);
            let total = self.buffer(format!("grad {}", tensor.name), tensor.shape.bytes(), Home::Pool);
            let request = sum(tensor.shape, earlier, part, total, Activation::None);
            self.dispatch(layer, Phase::Backward, request)?;
            self.gradients.insert(id, total);
        }
        Ok(())
    }

    /// Copies the gradients of parameters that are in other buffers into the flat buffer, and those of images
    /// to memory that the host can read. The gradient of a weight with one reader is written there at once;
    /// other gradients may be another op's buffer, passed on, or a sum.
    pub fn bring_gradients_home(&mut self) -> Result<()> {
        for (index, tensor) in self.tensors.iter().enumerate() {
            let id = TensorId(index as u32);
            let Some(&gradient) = self.gradients.get(&id) else { continue };
            let home = match tensor.role {
                Role::Parameter(_) => Home::Gradient(tensor.name.clone()),
                Role::Input(_) => Home::Plan,
                _ => continue,
            };
            if self.buffers[gradient.index()].home != home {
                let bytes = tensor.shape.bytes();
                let flat = self.buffer(format!("grad {}", tensor.name), bytes, home);
                self.dispatch(&tensor.name, Phase::Backward, copy(gradient, flat, bytes))?;
                self.gradients.insert(id, flat);
            }
        }
        Ok(())
    }
}
