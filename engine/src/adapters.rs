//! Which adapters this machine has, and what each can do.

use crate::blocking::block_on;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::options::GpuOptions;
use serde::Serialize;

/// An adapter, on which no device was opened yet.
#[derive(Debug)]
pub struct Adapter {
    adapter: wgpu::Adapter,
    /// Its index in [`adapters()`], if it was taken from there.
    index: Option<usize>,
}

/// What an adapter reports about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdapterReport {
    /// Its index in the order of [`adapters()`], as used in `FROSTLINE_ADAPTER`; `None` for the best one.
    pub index: Option<usize>,
    /// Its name.
    pub name: String,
    /// Discrete, integrated or virtual GPU, or `Cpu` for software.
    pub kind: String,
    /// Its graphics API: Vulkan, Metal or DX12.
    pub backend: String,
    /// Its driver, and the driver's version.
    pub driver: String,
    /// Lanes of its subgroups, smallest and largest; zeros if it has none.
    pub subgroup_sizes: [u32; 2],
    /// Maximum size of a buffer in bytes.
    pub buffer_bytes: u64,
    /// Maximum size of a binding in bytes.
    pub binding_bytes: u64,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Maximum number of threads of a workgroup.
    pub workgroup_threads: u32,
    /// Maximum number of workgroups in one dimension of a dispatch.
    pub grid: u32,
    /// Optional features that kernels here use, and whether it has them.
    pub features: Vec<(&'static str, bool)>,
}

/// All adapters of this machine that kernels can run on, including software adapters.
///
/// # Errors
/// [`Error::NoAdapter`] if there is none.
pub fn adapters() -> Result<Vec<Adapter>> {
    block_on(all())
}

async fn all() -> Result<Vec<Adapter>> {
    let all = instance().enumerate_adapters(BACKENDS).await;
    if all.is_empty() {
        return Err(Error::NoAdapter { reason: "no driver offers one".to_owned() });
    }
    let indexed = all.into_iter().enumerate();
    Ok(indexed.map(|(index, adapter)| Adapter { adapter, index: Some(index) }).collect())
}

/// The index of the adapter that `wanted` names, among the descriptions of all adapters.
fn find(wanted: &str, all: &[(String, wgpu::DeviceType)]) -> Option<usize> {
    use wgpu::DeviceType::{Cpu, DiscreteGpu, IntegratedGpu, Other, VirtualGpu};
    let of = |kind| all.iter().position(|(_, is)| *is == kind);
    let word = wanted.trim().to_lowercase();
    match word.as_str() {
        "software" => of(Cpu),
        "gpu" => [DiscreteGpu, IntegratedGpu, VirtualGpu, Other].into_iter().find_map(of),
        // A small number is always an index; a large one, such as 4090, is a part of a name.
        _ => match word.parse::<usize>() {
            Ok(index) if index < 100 => (index < all.len()).then_some(index),
            _ => all.iter().position(|(name, _)| name.to_lowercase().contains(&word)),
        },
    }
}

/// Name, kind, backend and driver, for people.
pub(crate) fn describe(info: &wgpu::AdapterInfo) -> String {
    format!(
        "{} ({:?}, {:?}, {} {})",
        info.name, info.device_type, info.backend, info.driver, info.driver_info
    )
}

/// Mesa offers its software device through GL too, where it has no subgroups.
const BACKENDS: wgpu::Backends = wgpu::Backends::PRIMARY;

/// With the settings of wgpu's own variables, such as WGPU_BACKEND and WGPU_DX12_COMPILER.
fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    descriptor.backends &= BACKENDS;
    wgpu::Instance::new(descriptor)
}

impl Adapter {
    /// The best one of this machine, a software adapter if there is no other.
    ///
    /// # Errors
    /// [`Error::NoAdapter`].
    pub async fn best() -> Result<Self> {
        let best = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = instance().request_adapter(&best).await;
        let adapter = adapter.map_err(|error| Error::NoAdapter { reason: error.to_string() })?;
        Ok(Self { adapter, index: None })
    }

    /// [`Adapter::choose`] for callers that can wait.
    ///
    /// # Errors
    /// The same.
    pub fn find(wanted: Option<&str>) -> Result<Self> {
        block_on(Self::choose(wanted))
    }

    /// The adapter that `wanted` names: an index in the order of [`adapters()`], a part of a name, driver or
    /// backend, `gpu` or `software`. Without it, the best one.
    ///
    /// # Errors
    /// [`Error::NoAdapter`]; [`Error::NoSuchAdapter`] with a list of the existing ones.
    pub async fn choose(wanted: Option<&str>) -> Result<Self> {
        let Some(wanted) = wanted else { return Self::best().await };
        let mut all = all().await?;
        let described: Vec<_> =
            all.iter().map(|adapter| (adapter.describe(), adapter.adapter.get_info().device_type)).collect();
        match find(wanted, &described) {
            Some(index) => Ok(all.swap_remove(index)),
            None => {
                let known = described.iter().enumerate().map(|(index, (name, _))| format!("{index}: {name}"));
                Err(Error::NoSuchAdapter {
                    wanted: wanted.to_owned(),
                    known: known.collect::<Vec<_>>().join("; "),
                })
            }
        }
    }

    /// Name, kind, backend and driver, for people.
    pub fn describe(&self) -> String {
        describe(&self.adapter.get_info())
    }

    /// Opens it.
    ///
    /// # Errors
    /// [`Error::NoDevice`]; [`Error::Setting`] if the adapter cannot do what `options` require.
    pub fn open(&self, options: &GpuOptions) -> Result<Gpu> {
        block_on(Gpu::on(self, options))
    }

    /// What the adapter reports about itself.
    pub fn report(&self) -> AdapterReport {
        let (info, limits, features) =
            (self.adapter.get_info(), self.adapter.limits(), self.adapter.features());
        let has = |feature| features.contains(feature);
        AdapterReport {
            index: self.index,
            name: info.name,
            kind: format!("{:?}", info.device_type),
            backend: format!("{:?}", info.backend),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            subgroup_sizes: if has(wgpu::Features::SUBGROUP) {
                [info.subgroup_min_size, info.subgroup_max_size]
            } else {
                [0, 0]
            },
            buffer_bytes: limits.max_buffer_size,
            binding_bytes: limits.max_storage_buffer_binding_size,
            workgroup_bytes: limits.max_compute_workgroup_storage_size,
            workgroup_threads: limits.max_compute_invocations_per_workgroup,
            grid: limits.max_compute_workgroups_per_dimension,
            features: vec![
                ("subgroups", has(wgpu::Features::SUBGROUP)),
                ("16-bit floats", has(wgpu::Features::SHADER_F16)),
                (
                    "timestamps",
                    has(wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES),
                ),
                ("pipeline cache", has(wgpu::Features::PIPELINE_CACHE)),
                ("matrix units (experimental)", has(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX)),
            ],
        }
    }

    pub(crate) fn wgpu(&self) -> &wgpu::Adapter {
        &self.adapter
    }

    /// The options that choose it again.
    pub(crate) fn index(&self) -> Option<String> {
        self.index.map(|index| index.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_is_chosen_by_index_kind_or_a_part_of_its_name() {
        use wgpu::DeviceType::{Cpu, DiscreteGpu, IntegratedGpu};
        let all = [
            ("llvmpipe (LLVM 19) (Cpu, Vulkan, llvmpipe)".to_owned(), Cpu),
            ("Intel UHD 630 (IntegratedGpu, Vulkan, Mesa)".to_owned(), IntegratedGpu),
            ("NVIDIA GeForce RTX 3090 (DiscreteGpu, Vulkan, NVIDIA 570)".to_owned(), DiscreteGpu),
        ];
        let chosen =
            [("0", 0), ("2", 2), ("software", 0), ("GPU", 2), ("uhd", 1), ("3090", 2), ("nvidia", 2)];
        for (wanted, index) in chosen {
            assert_eq!(find(wanted, &all), Some(index), "{wanted}");
        }
        assert_eq!(find("amd", &all), None);
        assert_eq!(find("15", &all), None, "not an index, even if a driver's version contains it");
        assert_eq!(find("gpu", &all[..1]), None, "software is not a GPU");
    }
}
