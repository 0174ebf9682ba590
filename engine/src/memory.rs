//! Memory: which pool buffer holds what, from first write to last use.
//!
//! Lifetimes are read off the finished list of dispatches; nobody declares them. A frozen stage
//! frees its activations as soon as the next stage has run, because no recorded dispatch reads
//! them again. (The same idea as tinygrad's `schedule/memory.py`.)

use crate::kernel::reflect;
use crate::record::{Buffer, BufferId, Dispatch, Home, NOTHING};

/// First and last dispatch that touch a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime {
    pub first: usize,
    pub last: usize,
}

/// Slots of the pool, and which of them each virtual buffer is in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    /// Bytes of each slot, and whether it is a texture.
    pub slots: Vec<(u64, bool)>,
    /// Slot of each virtual buffer that lives in the pool.
    pub slot_of: Vec<Option<usize>>,
}

impl Pool {
    pub fn bytes(&self) -> u64 {
        self.slots.iter().map(|(bytes, _)| bytes).sum()
    }
}

/// Whether `dispatch` writes its binding `name`.
pub(crate) fn writes(dispatch: &Dispatch, name: &str) -> bool {
    reflect(dispatch.variant.kernel).is_ok_and(|reflection| reflection.written.contains(name))
}

/// When each virtual buffer is in use.
pub(crate) fn lifetimes(buffers: &[Buffer], dispatches: &[Dispatch]) -> Vec<Option<Lifetime>> {
    let mut lifetimes: Vec<Option<Lifetime>> = vec![None; buffers.len()];
    for (at, dispatch) in dispatches.iter().enumerate() {
        for &(_, BufferId(id)) in dispatch.bindings.iter().filter(|(_, id)| *id != NOTHING) {
            lifetimes[id as usize].get_or_insert(Lifetime { first: at, last: at }).last = at;
        }
    }
    lifetimes
}

/// Gives every pool buffer a slot that is free throughout its lifetime: the smallest that is large
/// enough, else the largest free one, grown, else a new one.
pub(crate) fn assign(buffers: &[Buffer], lifetimes: &[Option<Lifetime>], dispatches: usize) -> Pool {
    let mut pool = Pool { slots: vec![], slot_of: vec![None; buffers.len()] };
    let mut starts: Vec<Vec<usize>> = vec![vec![]; dispatches];
    let mut ends: Vec<Vec<usize>> = vec![vec![]; dispatches];
    for (id, lifetime) in lifetimes.iter().enumerate() {
        if let (Some(lifetime), Home::Pool) = (lifetime, &buffers[id].home) {
            starts[lifetime.first].push(id);
            ends[lifetime.last].push(id);
        }
    }
    let mut free: Vec<usize> = vec![];
    for at in 0..dispatches {
        // The largest first: it is the hardest to place.
        starts[at].sort_by_key(|&id| (std::cmp::Reverse(buffers[id].bytes), id));
        for &id in &starts[at] {
            let (bytes, texture) = (buffers[id].bytes, buffers[id].is_texture());
            let alike = || free.iter().copied().filter(|&slot| pool.slots[slot].1 == texture);
            let fitting = alike().filter(|&slot| pool.slots[slot].0 >= bytes).min_by_key(|&slot| (pool.slots[slot], slot));
            let slot = fitting.or_else(|| alike().max_by_key(|&slot| (pool.slots[slot], slot))).unwrap_or_else(|| {
                pool.slots.push((bytes, texture));
                pool.slots.len() - 1
            });
            free.retain(|&other| other != slot);
            pool.slots[slot].0 = pool.slots[slot].0.max(bytes);
            pool.slot_of[id] = Some(slot);
        }
        free.extend(ends[at].iter().filter_map(|&id| pool.slot_of[id]));
    }
    pool
}

#[cfg(test)]
mod tests {
    use super::*;
    use frostline_shaders::Format;

    #[test]
    fn buffers_alive_together_never_share_a_slot() {
        let buffers: Vec<Buffer> = [64, 32, 64, 128]
            .iter()
            .map(|&bytes| Buffer { label: String::new(), bytes, home: Home::Pool, format: Format::Single })
            .collect();
        let life = |first, last| Some(Lifetime { first, last });
        let pool = assign(&buffers, &[life(0, 1), life(1, 2), life(2, 3), life(3, 4)], 5);
        assert_eq!(pool.slot_of[0], pool.slot_of[2], "the first is free when the third starts");
        assert_ne!(pool.slot_of[0], pool.slot_of[1]);
        assert_ne!(pool.slot_of[2], pool.slot_of[3]);
        assert_eq!(pool.bytes(), 64 + 128, "the second's slot grew for the fourth");
    }
}
