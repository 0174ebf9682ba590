//! Compiled pipelines on disk, for drivers that compile slowly and have no cache.

use crate::cache::{self, CacheFile};
use std::path::PathBuf;

/// Pipelines that a driver has compiled, and their file, which outlives this process.
#[derive(Debug)]
pub(crate) struct PipelineCache {
    cache: wgpu::PipelineCache,
    path: PathBuf,
}

impl PipelineCache {
    /// Opens the file that `place` names. `None` if the adapter has no such caches, and by default on
    /// software adapters: Mesa compiles at the first dispatch, the data that it returns contains no code, and
    /// it has its own cache.
    pub fn open(device: &wgpu::Device, info: &wgpu::AdapterInfo, place: &CacheFile) -> Option<Self> {
        let software = info.device_type == wgpu::DeviceType::Cpu;
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE)
            || (software && *place == CacheFile::Default)
        {
            return None;
        }
        let path = place.path(&wgpu::util::pipeline_cache_key(info)?)?;
        let data = std::fs::read(&path).ok();
        // SAFETY: the bytes must come from `get_data`. Only `save` writes this file, and it replaces it
        // atomically. wgpu checks its own header (adapter, driver, length) and the driver another one, and
        // both then start empty (`fallback`). A forged file in the user's cache directory remains possible,
        // but a process that can write it can also replace the programs that the user starts.
        let cache = unsafe {
            device.create_pipeline_cache(&wgpu::PipelineCacheDescriptor {
                label: Some("frostline"),
                data: data.as_deref(),
                fallback: true,
            })
        };
        Some(Self { cache, path })
    }

    /// The cache for compiling pipelines.
    pub fn get(&self) -> &wgpu::PipelineCache {
        &self.cache
    }

    /// Writes the file. A run does not depend on the file, so a failure to write it is not reported.
    pub fn save(&self) {
        if let Some(data) = self.cache.get_data() {
            let _ = cache::replace(&self.path, &data);
        }
    }
}
