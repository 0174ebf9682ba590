//! Failures on purpose. No driver fails when a test needs a failure. So the tests plan a failure at any place
//! where the device may fail, and check how the engine handles it.

use std::sync::{Mutex, PoisonError};

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The device has no memory left. wgpu survives that while a buffer is created; anywhere else it
    /// gives the device up.
    OutOfMemory,
    /// The device goes away: `Device::destroy`, which is a real loss.
    DeviceLost,
    /// The device refuses a wrong command, and continues: a real validation error.
    Refused,
}

/// Where it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A buffer or texture is created.
    Allocation,
    /// Values are given to one, for which wgpu allocates as well.
    Write,
    /// Work is submitted.
    Submit,
}

/// A failure, and the number of the visit to its place at which it occurs.
type Planned = (Fault, Place, u64);

/// How often each place was reached, and the failure that is planned.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<(Reached, Option<Planned>)>);

/// How often each place was reached so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Buffers and textures created.
    pub allocations: u64,
    /// Writes to them.
    pub writes: u64,
    /// Submissions.
    pub submits: u64,
}

impl Reached {
    /// The count of `place`.
    pub fn at(mut self, place: Place) -> u64 {
        *self.count(place)
    }

    fn count(&mut self, place: Place) -> &mut u64 {
        match place {
            Place::Allocation => &mut self.allocations,
            Place::Write => &mut self.writes,
            Place::Submit => &mut self.submits,
        }
    }
}

impl Faults {
    /// `fault` occurs when `place` is reached for the `nth` time after this call, counted from 1.
    pub fn plan(&self, fault: Fault, place: Place, nth: u64) {
        let (reached, planned) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *planned = Some((fault, place, reached.at(place) + nth));
    }

    /// Counts, and returns the failure if it is due.
    pub fn strike(&self, place: Place) -> Option<Fault> {
        let (reached, planned) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = reached.count(place);
        *count += 1;
        let now = |&(_, at, nth): &Planned| at == place && nth == *count;
        planned.take_if(|fault| now(fault)).map(|(fault, ..)| fault)
    }

    /// The counts so far.
    pub fn reached(&self) -> Reached {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_once_at_its_place() {
        let faults = Faults::default();
        faults.strike(Place::Submit);
        faults.plan(Fault::DeviceLost, Place::Submit, 2);
        assert_eq!(faults.strike(Place::Allocation), None);
        assert_eq!(faults.strike(Place::Allocation), None);
        let strikes = [0; 3].map(|_| faults.strike(Place::Submit));
        assert_eq!(strikes, [None, Some(Fault::DeviceLost), None]);
        assert_eq!(faults.reached(), Reached { allocations: 2, writes: 0, submits: 4 });
    }
}
