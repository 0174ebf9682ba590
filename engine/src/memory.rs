//! Memory: the assignment of virtual buffers to pool buffers, from first write to last use.
//!
//! Lifetimes follow from the finished list of dispatches; no op declares them. A frozen stage frees its
//! activations as soon as the next stage has run, because no recorded dispatch reads them again. (The same
//! idea as tinygrad's `schedule/memory.py`.)

use crate::dispatch::{Buffer, Dispatch, Home, Memory};
use std::cmp::Reverse;

/// First and last dispatch that use a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime {
    pub first: usize,
    pub last: usize,
}

/// Slots of the pool, and the slot of each virtual buffer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    /// Bytes of each slot, and its kind of memory.
    pub slots: Vec<(u64, Memory)>,
    /// Slot of each virtual buffer that is in the pool.
    pub slot_of: Vec<Option<usize>>,
}

impl Pool {
    pub fn bytes(&self) -> u64 {
        self.slots.iter().map(|(bytes, _)| bytes).sum()
    }

    /// The same buffers, each in its own slot.
    pub fn unshared(&self, buffers: &[Buffer]) -> Self {
        let mut pool = Self { slots: vec![], slot_of: vec![None; buffers.len()] };
        for (id, buffer) in buffers.iter().enumerate().filter(|(id, _)| self.slot_of[*id].is_some()) {
            pool.slot_of[id] = Some(pool.slots.len());
            pool.slots.push((buffer.bytes, buffer.memory()));
        }
        pool
    }
}

/// The lifetime of each virtual buffer.
pub(crate) fn lifetimes(buffers: &[Buffer], dispatches: &[Dispatch]) -> Vec<Option<Lifetime>> {
    let mut lifetimes: Vec<Option<Lifetime>> = vec![None; buffers.len()];
    for (at, dispatch) in dispatches.iter().enumerate() {
        for id in dispatch.used() {
            lifetimes[id.index()].get_or_insert(Lifetime { first: at, last: at }).last = at;
        }
    }
    lifetimes
}

/// Gives every pool buffer a slot that is free throughout its lifetime: the smallest such, or a new
/// one. The largest buffers come first, so that no slot grows; among equal ones, the longest-lived comes
/// first (Pisarchyk & Lee 2020, "greedy by size for shared objects").
pub(crate) fn assign(buffers: &[Buffer], lifetimes: &[Option<Lifetime>]) -> Pool {
    let pooled = lifetimes.iter().enumerate().filter(|(id, _)| buffers[*id].home == Home::Pool);
    let mut pooled: Vec<(usize, Lifetime)> =
        pooled.filter_map(|(id, lifetime)| Some((id, (*lifetime)?))).collect();
    pooled.sort_by_key(|&(id, Lifetime { first, last })| {
        (Reverse(buffers[id].bytes), Reverse(last - first), id)
    });
    let mut pool = Pool { slots: vec![], slot_of: vec![None; buffers.len()] };
    let mut taken: Vec<Vec<Lifetime>> = vec![];
    for (id, lifetime) in pooled {
        let (bytes, memory) = (buffers[id].bytes, buffers[id].memory());
        let free = |slot: &usize| {
            taken[*slot].iter().all(|other| other.last < lifetime.first || lifetime.last < other.first)
        };
        let alike = (0..taken.len()).filter(|slot| pool.slots[*slot].1 == memory);
        let slot = alike.filter(free).min_by_key(|slot| pool.slots[*slot].0).unwrap_or_else(|| {
            pool.slots.push((bytes, memory));
            taken.push(vec![]);
            taken.len() - 1
        });
        taken[slot].push(lifetime);
        pool.slot_of[id] = Some(slot);
    }
    pool
}

#[cfg(test)]
mod tests {
    use super::*;
    use frostline_shaders::Format;

    #[test]
    fn buffers_alive_together_never_share_a_slot() {
        let buffer = |bytes| Buffer { label: String::new(), bytes, home: Home::Pool, format: Format::Single };
        let life = |first, last| Some(Lifetime { first, last });
        let pool = assign(&[64, 32, 64, 128].map(buffer), &[life(0, 1), life(1, 2), life(2, 3), life(3, 4)]);
        let [first, second, third, fourth] = [0, 1, 2, 3].map(|id| pool.slot_of[id]);
        assert_eq!(first, fourth, "the largest makes the slot, and the first is gone when it starts");
        assert!(second != first && second != third, "the second is alive with both its neighbours");
        assert_ne!(third, fourth);
        assert_eq!(pool.bytes(), 128 + 64 + 32);
    }
}
