//! Parameters and running statistics on the device: two flat buffers, shared by all plans.

use crate::blocking::block_on;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::graph::Graph;
use crate::layout::{Layout, Slice};
use crate::tensor::{Init, Role};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal, Uniform};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Name, PyTorch's shape and values of a tensor.
pub type HostValues = (String, Vec<usize>, Vec<f32>);

/// All parameters and statistics of a model, by torchvision's names. A clone is another handle on the same
/// values.
#[derive(Clone, Debug)]
pub struct Params {
    gpu: Arc<Gpu>,
    pub(crate) version: Version,
    pub(crate) parameters: (Layout, wgpu::Buffer),
    pub(crate) statistics: (Layout, wgpu::Buffer),
}

/// A number that increases whenever a parameter or a statistic changes, so that a session can detect when
/// values that it computed from them are out of date.
#[derive(Clone, Debug, Default)]
pub(crate) struct Version(Arc<AtomicU64>);

impl Version {
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Advances the number, and returns the previous one.
    pub fn advance(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

impl Params {
    /// The parameters of `graph`, freshly initialised from `seed`.
    pub fn new(gpu: &Arc<Gpu>, graph: &Graph, seed: u64) -> Result<Self> {
        let (parameters, statistics) = (Layout::parameters(graph), Layout::statistics(graph));
        let params = Self {
            gpu: gpu.clone(),
            version: Version::default(),
            parameters: (parameters.clone(), gpu.storage("parameters", parameters.bytes())?),
            statistics: (statistics.clone(), gpu.storage("running statistics", statistics.bytes())?),
        };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for tensor in &graph.tensors {
            let values = match tensor.role {
                Role::Parameter(init) => {
                    first_values(init, tensor.shape.count(), tensor.shape.fan_out(), &mut rng)
                }
                Role::Statistic(first) => vec![first; tensor.shape.count()],
                _ => continue,
            };
            params.set(&tensor.name, &values)?;
        }
        Ok(params)
    }

    /// Names of all parameters and statistics, in model order, and their shapes.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, crate::shape::Shape)> {
        self.parameters.0.iter().chain(self.statistics.0.iter()).map(|(name, slice)| (name, slice.shape))
    }

    /// Whether there is a tensor `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// The values of `name`, in PyTorch's order.
    pub fn get(&self, name: &str) -> Result<Vec<f32>> {
        block_on(self.get_async(name))
    }

    /// [`Params::get`] for callers that must not block.
    pub async fn get_async(&self, name: &str) -> Result<Vec<f32>> {
        let (slice, buffer) = self.find(name)?;
        let values = self.gpu.read_async(buffer, slice.offset, slice.shape.padded_count()).await?;
        Ok(slice.shape.unpack(&values))
    }

    /// Sets `name` from values in PyTorch's order.
    pub fn set(&self, name: &str, values: &[f32]) -> Result<()> {
        let (slice, buffer) = self.find(name)?;
        if values.len() != slice.shape.count() {
            return Err(Error::data(name, &slice.shape, format!("{} values", values.len())));
        }
        self.gpu.write(buffer, slice.offset, &slice.shape.pack(values));
        self.version.advance();
        Ok(())
    }

    /// All values by name, in model order, read in two transfers.
    pub fn to_host(&self) -> Result<Vec<HostValues>> {
        block_on(self.to_host_async())
    }

    /// [`Params::to_host`] for callers that must not block.
    pub async fn to_host_async(&self) -> Result<Vec<HostValues>> {
        let mut all = self.read(&self.parameters).await?;
        all.extend(self.read(&self.statistics).await?);
        Ok(all)
    }

    /// The running statistics by name, in model order, read in one transfer.
    pub fn statistics_to_host(&self) -> Result<Vec<HostValues>> {
        block_on(self.statistics_to_host_async())
    }

    /// [`Params::statistics_to_host`] for callers that must not block.
    pub async fn statistics_to_host_async(&self) -> Result<Vec<HostValues>> {
        self.read(&self.statistics).await
    }

    async fn read(&self, (layout, buffer): &(Layout, wgpu::Buffer)) -> Result<Vec<HostValues>> {
        if layout.is_empty() {
            return Ok(vec![]);
        }
        let flat = self.gpu.read_async(buffer, 0, (layout.bytes() / 4) as usize).await?;
        let values = |(name, slice): (&str, Slice)| {
            let at = (slice.offset / 4) as usize;
            (
                name.to_owned(),
                slice.shape.torch(),
                slice.shape.unpack(&flat[at..at + slice.shape.padded_count()]),
            )
        };
        Ok(layout.iter().map(values).collect())
    }

    fn find(&self, name: &str) -> Result<(Slice, &wgpu::Buffer)> {
        for (layout, buffer) in [&self.parameters, &self.statistics] {
            if let Some(slice) = layout.get(name) {
                return Ok((slice, buffer));
            }
        }
        let known: Vec<&str> = self.tensors().map(|(name, _)| name).take(8).collect();
        Err(Error::Unknown {
            what: "parameter",
            name: name.to_owned(),
            known: format!("{} …", known.join(", ")),
        })
    }
}

fn first_values(init: Init, count: usize, fan_out: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    match init {
        Init::Constant(value) => vec![value; count],
        Init::KaimingNormal => {
            let std = (2.0 / fan_out as f32).sqrt();
            StandardNormal.sample_iter(rng).take(count).map(|z: f32| z * std).collect()
        }
        Init::Uniform { fan_in } => {
            let bound = 1.0 / (fan_in as f32).sqrt();
            let range = Uniform::new_inclusive(-bound, bound).expect("the bound is a positive number");
            range.sample_iter(rng).take(count).collect()
        }
    }
}
