//! What is frozen, by parameter name.

use crate::error::{Error, Result};
use crate::graph::Graph;
use std::collections::BTreeSet;

/// Which statistics batch norm layers use while training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchNormMode {
    /// A layer whose weight and bias are both frozen uses its running statistics, others the batch's.
    #[default]
    FollowFreeze,
    /// Every layer uses the batch's statistics and updates its running ones.
    Batch,
    /// Every layer uses its running statistics.
    Running,
}

/// The set of frozen parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freeze {
    frozen: BTreeSet<String>,
    /// The statistics with which batch norm layers normalise.
    pub batch_norm: BatchNormMode,
}

/// Whether `parameter` is `group` or is below it: `layer1.0.bn1.weight` in `layer1` and `layer1.0`.
pub fn in_group(parameter: &str, group: &str) -> bool {
    parameter.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

impl Freeze {
    /// Nothing is frozen.
    pub fn none() -> Self {
        Self::default()
    }

    /// Everything before `group` in the model is frozen.
    pub fn below(graph: &Graph, group: &str) -> Result<Self> {
        let names = graph.parameter_names();
        let first =
            names.iter().position(|name| in_group(name, group)).ok_or_else(|| unknown_group(graph, group))?;
        Ok(Self::names(names[..first].iter().copied()))
    }

    /// Everything except `group` is frozen.
    pub fn all_but(graph: &Graph, group: &str) -> Result<Self> {
        let names = graph.parameter_names();
        if !names.iter().any(|name| in_group(name, group)) {
            return Err(unknown_group(graph, group));
        }
        Ok(Self::names(names.into_iter().filter(|name| !in_group(name, group))))
    }

    /// Only these parameters are frozen.
    pub fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            frozen: names.into_iter().map(str::to_owned).collect(),
            batch_norm: BatchNormMode::FollowFreeze,
        }
    }

    /// Freezes `group` as well.
    pub fn freeze(&mut self, graph: &Graph, group: &str) -> Result<()> {
        let names: Vec<String> = group_names(graph, group)?;
        self.frozen.extend(names);
        Ok(())
    }

    /// Lets `group` train again.
    pub fn unfreeze(&mut self, graph: &Graph, group: &str) -> Result<()> {
        for name in group_names(graph, group)? {
            self.frozen.remove(&name);
        }
        Ok(())
    }

    /// Freezes every batch norm layer: weights, biases and running statistics.
    pub fn freeze_batch_norm(&mut self, graph: &Graph) {
        for node in graph.nodes() {
            if node.op.name() == "batch_norm" {
                self.frozen.extend(node.inputs[1..3].iter().map(|&id| graph.tensor(id).name.clone()));
            }
        }
    }

    /// Whether the parameter `name` is frozen.
    pub fn is_frozen(&self, name: &str) -> bool {
        self.frozen.contains(name)
    }

    /// The frozen parameters.
    pub fn frozen_names(&self) -> impl Iterator<Item = &str> {
        self.frozen.iter().map(String::as_str)
    }
}

fn group_names(graph: &Graph, group: &str) -> Result<Vec<String>> {
    let names: Vec<String> =
        graph.parameter_names().into_iter().filter(|name| in_group(name, group)).map(str::to_owned).collect();
    if names.is_empty() { Err(unknown_group(graph, group)) } else { Ok(names) }
}

fn unknown_group(graph: &Graph, group: &str) -> Error {
    let mut known: Vec<&str> =
        graph.parameter_names().iter().filter_map(|name| name.split('.').next()).collect();
    known.dedup();
    Error::Unknown { what: "group of layers", name: group.to_owned(), known: known.join(", ") }
}
