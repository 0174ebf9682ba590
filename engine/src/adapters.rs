//! Which adapters this machine has, and what each can do.

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::options::GpuOptions;
use serde::Serialize;

/// An adapter, on which no device was opened yet.
#[derive(Debug)]
pub struct Adapter(wgpu::Adapter);

/// What an adapter says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdapterReport {
    /// Its name.
    pub name: String,
    /// Discrete, integrated or virtual GPU, or `Cpu` for software.
    pub kind: String,
    /// The interface it is reached by: Vulkan, Metal or DX12.
    pub backend: String,
    /// Its driver, and the driver's version.
    pub driver: String,
    /// Lanes of its subgroups, smallest and largest; zeros where it has none.
    pub subgroup_sizes: [u32; 2],
    /// Bytes that one buffer may have.
    pub buffer_bytes: u64,
    /// Bytes of a buffer that one kernel can be given.
    pub binding_bytes: u64,
    /// Bytes of memory that a workgroup shares.
    pub workgroup_bytes: u32,
    /// Threads of a workgroup.
    pub workgroup_threads: u32,
    /// Workgroups in one dimension of a dispatch.
    pub grid: u32,
    /// What kernels here can make use of, and whether it has it.
    pub features: Vec<(&'static str, bool)>,
}

/// All adapters of this machine that kernels can run on, software ones too.
///
/// # Errors
/// [`Error::NoAdapter`] if there is none.
pub fn adapters() -> Result<Vec<Adapter>> {
    let all = pollster::block_on(instance().enumerate_adapters(BACKENDS));
    if all.is_empty() {
        return Err(Error::NoAdapter { reason: "no driver offers one".to_owned() });
    }
    Ok(all.into_iter().map(Adapter).collect())
}

/// Mesa offers its software device through GL too, where it has no subgroups.
const BACKENDS: wgpu::Backends = wgpu::Backends::PRIMARY;

fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = BACKENDS;
    wgpu::Instance::new(descriptor)
}

impl Adapter {
    /// The best one of this machine, a software adapter where there is no other.
    ///
    /// # Errors
    /// [`Error::NoAdapter`].
    pub async fn best() -> Result<Self> {
        let best = wgpu::RequestAdapterOptions { power_preference: wgpu::PowerPreference::HighPerformance, ..Default::default() };
        let adapter = instance().request_adapter(&best).await;
        adapter.map(Self).map_err(|error| Error::NoAdapter { reason: error.to_string() })
    }

    /// Opens it.
    ///
    /// # Errors
    /// [`Error::NoDevice`]; [`Error::Setting`] if `options` ask for what it cannot do.
    pub fn open(&self, options: &GpuOptions) -> Result<Gpu> {
        pollster::block_on(Gpu::on(self, options))
    }

    /// What it says of itself.
    pub fn report(&self) -> AdapterReport {
        let (info, limits, features) = (self.0.get_info(), self.0.limits(), self.0.features());
        let has = |feature| features.contains(feature);
        AdapterReport {
            name: info.name,
            kind: format!("{:?}", info.device_type),
            backend: format!("{:?}", info.backend),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            subgroup_sizes: if has(wgpu::Features::SUBGROUP) { [info.subgroup_min_size, info.subgroup_max_size] } else { [0, 0] },
            buffer_bytes: limits.max_buffer_size,
            binding_bytes: limits.max_storage_buffer_binding_size,
            workgroup_bytes: limits.max_compute_workgroup_storage_size,
            workgroup_threads: limits.max_compute_invocations_per_workgroup,
            grid: limits.max_compute_workgroups_per_dimension,
            features: vec![
                ("subgroups", has(wgpu::Features::SUBGROUP)),
                ("16-bit floats", has(wgpu::Features::SHADER_F16)),
                ("timestamps", has(wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES)),
                ("pipeline cache", has(wgpu::Features::PIPELINE_CACHE)),
                ("matrix units (experimental)", has(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX)),
            ],
        }
    }

    pub(crate) fn wgpu(&self) -> &wgpu::Adapter {
        &self.0
    }
}
