//! The shortest possible time of a plan on a card (Williams, Waterman & Patterson 2009, "Roofline"), and
//! which of its dispatches are too small to fill the card. It is counted from the plan and from the rates
//! that the card's maker publishes; nothing runs.

use crate::dispatch::{Dispatch, Phase};
use crate::plan::Plan;

use crate::tuning::{Card, Maker, Tuning};
use indexmap::IndexMap;
use serde::Serialize;
use std::ops::AddAssign;

/// The published figures of a card.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PublishedCard {
    /// Its name.
    pub name: &'static str,
    /// The maker whose table of tiles its kernels use.
    pub maker: Maker,
    /// Multiprocessors, Xe cores or GPU cores: the units that run workgroups.
    pub cores: u32,
    /// Operations per second in f32 without matrix units, in 10¹²; a multiply-add counts as two.
    pub tflops: f64,
    /// Bytes per second from and to memory, in 10⁹.
    pub gbytes: f64,
}

impl PublishedCard {
    /// The cards that [`PublishedCard::named`] finds: peak rates at the boost clock, from the makers' data sheets
    /// (NVIDIA H100 and GeForce RTX 4070, Apple M3 with 10 GPU cores at 1.4 GHz, Intel Arc A770 16 GB).
    pub const ALL: [Self; 4] = [
        Self { name: "H100", maker: Maker::Nvidia, cores: 132, tflops: 66.9, gbytes: 3350.0 },
        Self { name: "RTX 4070", maker: Maker::Nvidia, cores: 46, tflops: 29.1, gbytes: 504.0 },
        Self { name: "M3", maker: Maker::Apple, cores: 10, tflops: 3.6, gbytes: 100.0 },
        Self { name: "Arc A770", maker: Maker::Intel, cores: 32, tflops: 19.7, gbytes: 560.0 },
    ];

    /// The card whose name contains `part`, in upper or lower case.
    pub fn named(part: &str) -> Option<Self> {
        let part = part.to_lowercase();
        Self::ALL.into_iter().find(|card| card.name.to_lowercase().contains(&part))
    }

    fn card(&self) -> Card {
        Card { maker: self.maker, cores: self.cores }
    }

    /// The kernels that it runs.
    pub fn tuning(&self) -> Tuning {
        self.card().fitted(Tuning::gpu())
    }

    /// Workgroups that fill it: two per core, so that one computes while the other loads.
    pub fn fill(&self) -> u64 {
        self.card().fill() as u64
    }

    /// A bound for every kernel of a step of `plan`, in the order of their first dispatch.
    pub fn bounds(&self, plan: &Plan) -> Vec<KernelBound> {
        let mut bounds = IndexMap::<String, KernelBound>::new();
        for dispatch in plan.dispatches().iter().filter(|dispatch| dispatch.phase != Phase::Prologue) {
            let bound = self.bound(dispatch);
            *bounds.entry(bound.kernel.clone()).or_insert_with(|| KernelBound::none(&bound.kernel)) += &bound;
        }
        bounds.into_values().collect()
    }

    fn bound(&self, dispatch: &Dispatch) -> KernelBound {
        let workgroups: u64 = dispatch.grid.iter().map(|&side| u64::from(side)).product();
        let (macs, bytes) = (dispatch.macs, dispatch.bytes_read + dispatch.bytes_written);
        let computing = 2.0 * macs as f64 / (self.tflops * 1e12);
        let moving = bytes as f64 / (self.gbytes * 1e9);
        let busiest = workgroups.div_ceil(u64::from(self.cores)) as f64 / workgroups as f64;
        KernelBound {
            kernel: dispatch.variant.kernel.name(),
            dispatches: 1,
            too_small: u64::from(workgroups < self.fill()),
            least_workgroups: workgroups,
            most_workgroups: workgroups,
            macs,
            bytes,
            seconds: computing.max(moving),
            seconds_of_busiest_core: (computing * busiest * f64::from(self.cores)).max(moving),
        }
    }
}

/// The sum over all dispatches of one kernel in a step on a card.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KernelBound {
    /// The kernel, such as `conv2d.forward`.
    pub kernel: String,
    /// How often it runs.
    pub dispatches: u64,
    /// How many of these have too few workgroups to fill the card.
    pub too_small: u64,
    /// Workgroups of the smallest dispatch.
    pub least_workgroups: u64,
    /// Workgroups of the largest.
    pub most_workgroups: u64,
    /// Multiply-accumulates, of the definition.
    pub macs: u64,
    /// Bytes read and written, each operand once per dispatch.
    pub bytes: u64,
    /// The least time, with every core busy: for each dispatch, the larger of the times for computing and for
    /// moving data.
    pub seconds: f64,
    /// The same with whole workgroups: the time of the core with the most workgroups. Launching is not
    /// counted.
    pub seconds_of_busiest_core: f64,
}

impl KernelBound {
    /// No dispatches, to which others are added.
    pub fn none(kernel: &str) -> Self {
        Self {
            kernel: kernel.to_owned(),
            dispatches: 0,
            too_small: 0,
            least_workgroups: u64::MAX,
            most_workgroups: 0,
            macs: 0,
            bytes: 0,
            seconds: 0.0,
            seconds_of_busiest_core: 0.0,
        }
    }
}

impl AddAssign<&KernelBound> for KernelBound {
    fn add_assign(&mut self, other: &KernelBound) {
        self.dispatches += other.dispatches;
        self.too_small += other.too_small;
        self.least_workgroups = self.least_workgroups.min(other.least_workgroups);
        self.most_workgroups = self.most_workgroups.max(other.most_workgroups);
        self.macs += other.macs;
        self.bytes += other.bytes;
        self.seconds += other.seconds;
        self.seconds_of_busiest_core += other.seconds_of_busiest_core;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Graph, Padding};

    #[test]
    fn a_bound_is_the_larger_of_computing_and_moving() {
        let mut graph = Graph::new();
        let x = graph.input(1, 8, 8, 64);
        let y = graph.conv2d(x, "conv", 64, 3, 1, Padding::all(1)).unwrap();
        let card = PublishedCard::named("m3").unwrap();
        let plan = Plan::inference(&graph, y, &card.tuning()).unwrap();
        let bounds = card.bounds(&plan);
        assert_eq!(bounds.iter().map(|bound| bound.macs).sum::<u64>(), 64 * 64 * 9 * 64);
        let bytes: u64 = bounds.iter().map(|bound| bound.bytes).sum();
        assert!(bytes >= 4 * (2 * 64 * 64 + 9 * 64 * 64), "x, y and w are {bytes} bytes");
        for bound in &bounds {
            let (computing, moving) = (2.0 * bound.macs as f64 / 3.6e12, bound.bytes as f64 / 100e9);
            assert_eq!(bound.dispatches, 1, "{bound:?}");
            assert!((bound.seconds - computing.max(moving)).abs() < 1e-12, "{bound:?}");
            let groups = bound.most_workgroups as f64;
            let busiest = computing * (groups / 10.0).ceil() / (groups / 10.0);
            assert!((bound.seconds_of_busiest_core - busiest.max(moving)).abs() < 1e-12, "{bound:?}");
            assert_eq!(bound.too_small == 1, bound.most_workgroups < 20, "{bound:?}");
        }
        assert!(PublishedCard::named("h100").is_some() && PublishedCard::named("voodoo").is_none());
    }
}
