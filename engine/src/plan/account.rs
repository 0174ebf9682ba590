//! The cost of a plan, summed from its list of dispatches.

use super::Plan;
use crate::dispatch::{Binding, Dispatch, Home, Phase};
use crate::ledger::Ledger;
use crate::tensor::InputKind;

impl Plan {
    /// Sums the ledger from the list of dispatches.
    pub(super) fn account(&self) -> Ledger {
        let mut ledger = Ledger {
            pool_bytes: self.pool.bytes(),
            parameter_bytes: self.parameters.bytes(),
            gradient_bytes: self.trainable.bytes(),
            optimizer_bytes: self.trainable.bytes()
                * self.optim.as_ref().map_or(0, |optim| optim.slots().len() as u64),
            ..Ledger::default()
        };
        for dispatch in &self.dispatches {
            ledger.add(dispatch);
        }
        for (layer, bytes) in self.kept() {
            ledger.kept_bytes += bytes;
            if let Some(row) = ledger.layers.get_mut(&layer) {
                row.kept_bytes += bytes;
            }
        }
        ledger
    }

    /// Layer and bytes of every buffer that is computed (or given) before backward and that backward reads.
    fn kept(&self) -> Vec<(String, u64)> {
        let mut writer: Vec<Option<&Dispatch>> = vec![None; self.buffers.len()];
        let mut read = vec![false; self.buffers.len()];
        for dispatch in self.dispatches.iter().filter(|dispatch| dispatch.phase != Phase::Update) {
            for &Binding { buffer, written, .. } in &dispatch.bindings {
                let Some(id) = buffer else { continue };
                match dispatch.phase {
                    Phase::Forward if written => writer[id.index()] = Some(dispatch),
                    Phase::Backward => read[id.index()] = true,
                    _ => {}
                }
            }
        }
        let mut kept = vec![];
        for (id, buffer) in
            self.buffers.iter().enumerate().filter(|(id, _)| read[*id] && !self.weight_copies.contains(id))
        {
            let input =
                self.inputs.iter().any(|input| input.kind == InputKind::Images && input.buffer.index() == id);
            match (writer[id], &buffer.home) {
                (Some(dispatch), Home::Pool) => kept.push((dispatch.layer.clone(), buffer.bytes)),
                _ if input => kept.push(("input".to_owned(), buffer.bytes)),
                _ => {}
            }
        }
        kept
    }
}
