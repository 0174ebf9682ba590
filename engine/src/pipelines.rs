//! The pipelines compiled so far, by variant.

use crate::error::{Error, Result};
use crate::kernel::{Access, Variant, reflect};
use crate::pipeline_cache::PipelineCache;
use frostline_shaders::Format;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use web_time::Instant;

/// Compiled pipelines of one device.
#[derive(Debug)]
pub(crate) struct Pipelines {
    stored_params: bool,
    cache: Option<PipelineCache>,
    compiled: Mutex<HashMap<Variant, wgpu::ComputePipeline>>,
    nanoseconds: AtomicU64,
}

impl Pipelines {
    /// None yet; with `stored_params`, for lavapipe, kernels read `Params` from storage (see the
    /// shaders' module of that name).
    pub fn new(stored_params: bool, cache: Option<PipelineCache>) -> Self {
        Self { stored_params, cache, compiled: Mutex::default(), nanoseconds: AtomicU64::new(0) }
    }

    /// Compiles those of `variants` that are not there yet, on all cores at once.
    pub fn compile<'v>(&self, device: &wgpu::Device, variants: impl Iterator<Item = &'v Variant>) -> Result<()> {
        let start = Instant::now();
        let missing: Vec<&Variant> = {
            let compiled = self.compiled.lock().expect("no panic while compiling");
            let mut seen = HashSet::new();
            variants.filter(|variant| !compiled.contains_key(*variant) && seen.insert(*variant)).collect()
        };
        let next = AtomicUsize::new(0);
        let work = || -> Result<()> {
            while let Some(&variant) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                let pipeline = compile(device, variant, self.stored_params, self.cache.as_ref())?;
                self.compiled.lock().expect("no panic while compiling").insert(variant.clone(), pipeline);
            }
            Ok(())
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let outcome = std::thread::scope(|scope| {
            // A thread that cannot be had is no error: this one does its work.
            let spawn = |_| std::thread::Builder::new().spawn_scoped(scope, work).ok();
            let helpers: Vec<_> = (1..cores.min(missing.len())).filter_map(spawn).collect();
            let mine = work();
            helpers.into_iter().map(|helper| helper.join().expect("no panic while compiling")).fold(mine, Result::and)
        });
        if let (Some(cache), false) = (&self.cache, missing.is_empty()) {
            cache.save();
        }
        self.nanoseconds.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        outcome
    }

    /// The pipeline of `variant`, if it was compiled.
    pub fn get(&self, variant: &Variant) -> Option<wgpu::ComputePipeline> {
        self.compiled.lock().expect("no panic while compiling").get(variant).cloned()
    }

    /// How many there are: a steady step adds none.
    pub fn len(&self) -> usize {
        self.compiled.lock().expect("no panic while compiling").len()
    }

    /// How long callers waited for them.
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed))
    }
}

fn compile(device: &wgpu::Device, variant: &Variant, stored_params: bool, cache: Option<&PipelineCache>) -> Result<wgpu::ComputePipeline> {
    let kernel = variant.kernel;
    let fail = |reason: String| Error::Shader { kernel: kernel.name(), reason };
    let text =
        frostline_shaders::source(kernel.file, &variant.constants, variant.share, &variant.formats).map_err(|e| fail(e.to_string()))?;
    let text = if stored_params { frostline_shaders::stored_params(&text) } else { text };
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let descriptor = wgpu::ShaderModuleDescriptor { label: Some(kernel.file), source: wgpu::ShaderSource::Wgsl(text.into()) };
    // SAFETY: every index in our kernels is bounded by `Params`, and the tests run them with the
    // checks of the software driver on. Loop bounding alone costs a quarter of the speed there.
    let module = unsafe { device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) };
    let reflection = reflect(kernel)?;
    let entries: Vec<wgpu::BindGroupLayoutEntry> = reflection
        .bindings
        .iter()
        .map(|(name, &(binding, access))| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: binding_type(access, stored_params, variant.format(name)),
            count: None,
        })
        .collect();
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(kernel.file), entries: &entries });
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(kernel.file),
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let label = kernel.name();
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(&label),
        layout: Some(&layout),
        module: &module,
        entry_point: Some(kernel.entry),
        // Kernels write workgroup memory before they read it: zeros would be written for nothing.
        compilation_options: wgpu::PipelineCompilationOptions { zero_initialize_workgroup_memory: false, ..Default::default() },
        cache: cache.map(PipelineCache::get),
    });
    match pollster::block_on(scope.pop()) {
        Some(error) => Err(fail(error.to_string())),
        None => Ok(pipeline),
    }
}

fn binding_type(access: Access, stored_params: bool, format: Format) -> wgpu::BindingType {
    let view_dimension = wgpu::TextureViewDimension::D2;
    let buffer = |ty| wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None };
    match (access, format) {
        (Access::Params, _) if stored_params => buffer(wgpu::BufferBindingType::Storage { read_only: true }),
        (Access::Params, _) => buffer(wgpu::BufferBindingType::Uniform),
        (Access::Read, Format::Single | Format::Half) => buffer(wgpu::BufferBindingType::Storage { read_only: true }),
        (Access::Write, Format::Single | Format::Half) => buffer(wgpu::BufferBindingType::Storage { read_only: false }),
        (Access::Read, Format::Texture) => wgpu::BindingType::Texture {
            sample_type: wgpu::TextureSampleType::Float { filterable: false },
            view_dimension,
            multisampled: false,
        },
        (Access::Write, Format::Texture) => {
            let (access, format) = (wgpu::StorageTextureAccess::WriteOnly, wgpu::TextureFormat::Rgba32Float);
            wgpu::BindingType::StorageTexture { access, format, view_dimension }
        }
    }
}
