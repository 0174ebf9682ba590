//! The pipelines compiled so far, by variant.

use crate::error::{Error, Result};
use crate::kernel::{Access, Variant, reflect};
use crate::pipeline_cache::PipelineCache;
use frostline_shaders::Format;
use std::collections::{HashMap, HashSet};
use std::fmt;
#[cfg(not(target_family = "wasm"))]
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use web_time::Instant;

/// What is done to the text of every kernel of a device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rewrites {
    /// `Params` is read from storage (see the shaders' module of that name).
    pub stored_params: bool,
    /// Loops count their turns (see [`frostline_shaders::count_turns()`]), and naga adds its checks of
    /// indices, divisors and endless loops.
    pub checked: bool,
}

/// Compiled pipelines of one device.
#[derive(Debug)]
pub(crate) struct Pipelines {
    rewrites: Rewrites,
    cache: Option<PipelineCache>,
    compiled: Mutex<HashMap<Variant, wgpu::ComputePipeline>>,
    nanoseconds: AtomicU64,
    /// Called after each pipeline is compiled.
    pub observer: Observer,
}

/// A pipeline that was compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// Its kernel, such as `conv2d.forward`.
    pub kernel: String,
    /// How many of those that a caller waits for are compiled.
    pub done: usize,
    /// How many that caller waits for.
    pub total: usize,
    /// How long this one took.
    pub time: Duration,
}

type Observe = Arc<dyn Fn(&Compiled) + Send + Sync>;

/// What is called after each pipeline.
#[derive(Default)]
pub(crate) struct Observer(Mutex<Option<Observe>>);

impl Observer {
    pub fn set(&self, observe: Observe) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(observe);
    }

    fn tell(&self, variant: &Variant, done: usize, total: usize, time: Duration) {
        let observe = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(observe) = observe {
            observe(&Compiled { kernel: variant.kernel.name(), done, total, time });
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

impl Pipelines {
    /// None yet.
    pub fn new(rewrites: Rewrites, cache: Option<PipelineCache>) -> Self {
        let nanoseconds = AtomicU64::new(0);
        Self { rewrites, cache, compiled: Mutex::default(), nanoseconds, observer: Observer::default() }
    }

    /// Compiles those of `variants` that are not there yet.
    pub async fn compile<'v>(
        &self,
        device: &wgpu::Device,
        variants: impl Iterator<Item = &'v Variant>,
    ) -> Result<()> {
        let start = Instant::now();
        let missing: Vec<&Variant> = {
            let compiled = self.compiled.lock().expect("no panic while compiling");
            let mut seen = HashSet::new();
            variants.filter(|variant| !compiled.contains_key(*variant) && seen.insert(*variant)).collect()
        };
        let outcome = self.compile_all(device, &missing).await;
        if let (Some(cache), false) = (&self.cache, missing.is_empty()) {
            cache.save();
        }
        self.nanoseconds.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        outcome
    }

    /// One after another: a browser compiles in another process, and has compiled one when its scope ends.
    #[cfg(target_family = "wasm")]
    async fn compile_all(&self, device: &wgpu::Device, missing: &[&Variant]) -> Result<()> {
        for (at, &variant) in missing.iter().enumerate() {
            let start = Instant::now();
            let pipeline = compile(device, variant, self.rewrites, self.cache.as_ref()).await?;
            self.compiled.lock().expect("no panic while compiling").insert(variant.clone(), pipeline);
            self.observer.tell(variant, at + 1, missing.len(), start.elapsed());
        }
        Ok(())
    }

    /// On all cores at once.
    #[cfg(not(target_family = "wasm"))]
    async fn compile_all(&self, device: &wgpu::Device, missing: &[&Variant]) -> Result<()> {
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || -> Result<()> {
            while let Some(&variant) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                let start = Instant::now();
                let pipeline =
                    pollster::block_on(compile(device, variant, self.rewrites, self.cache.as_ref()))?;
                self.compiled.lock().expect("no panic while compiling").insert(variant.clone(), pipeline);
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                self.observer.tell(variant, done, missing.len(), start.elapsed());
            }
            Ok(())
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            // A thread that cannot be had is no error: this one does its work.
            let spawn = |_| std::thread::Builder::new().spawn_scoped(scope, work).ok();
            let helpers: Vec<_> = (1..cores.min(missing.len())).filter_map(spawn).collect();
            let mine = work();
            helpers
                .into_iter()
                .map(|helper| helper.join().expect("no panic while compiling"))
                .fold(mine, Result::and)
        })
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

async fn compile(
    device: &wgpu::Device,
    variant: &Variant,
    rewrites: Rewrites,
    cache: Option<&PipelineCache>,
) -> Result<wgpu::ComputePipeline> {
    let kernel = variant.kernel;
    let fail = |reason: String| Error::Shader { kernel: kernel.name(), reason };
    let text = frostline_shaders::source(kernel.file, &variant.constants, variant.share, &variant.formats)
        .map_err(|e| fail(e.to_string()))?;
    let text = if rewrites.stored_params { frostline_shaders::stored_params(&text) } else { text };
    let text = if rewrites.checked {
        frostline_shaders::count_turns(&text).map_err(|error| fail(error.to_string()))?
    } else {
        text
    };
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let descriptor = wgpu::ShaderModuleDescriptor {
        label: Some(kernel.file),
        source: wgpu::ShaderSource::Wgsl(text.into()),
    };
    let module = if rewrites.checked {
        device.create_shader_module(descriptor)
    } else {
        // SAFETY: every index in our kernels is bounded by `Params` and by constants, and every loop ends.
        // The op tests check this: there is a guard behind each buffer (see `guard`), since drivers hide what
        // is read and written past the end of a binding, and in checked mode they run with all of naga's
        // checks. Bounding of loops alone costs a quarter of the speed on llvmpipe.
        unsafe { device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
    };
    let reflection = reflect(kernel)?;
    let entries: Vec<wgpu::BindGroupLayoutEntry> = reflection
        .bindings
        .iter()
        .map(|(name, &(binding, access))| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: binding_type(access, rewrites.stored_params, variant.format(name)),
            count: None,
        })
        .collect();
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(kernel.file),
        entries: &entries,
    });
    let turns = turns_layout(device);
    let layouts = [Some(&layout), Some(&turns)];
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(kernel.file),
        bind_group_layouts: if rewrites.checked { &layouts } else { &layouts[..1] },
        immediate_size: 0,
    });
    let label = kernel.name();
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(&label),
        layout: Some(&layout),
        module: &module,
        entry_point: Some(kernel.entry),
        // Kernels write workgroup memory before they read it: zeros would be written for nothing.
        compilation_options: wgpu::PipelineCompilationOptions {
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        },
        cache: cache.map(PipelineCache::get),
    });
    match scope.pop().await {
        Some(error) => Err(fail(error.to_string())),
        None => Ok(pipeline),
    }
}

/// Group 1 of kernels that count their turns: one `u32`, at a separate offset for each dispatch.
pub(crate) fn turns_layout(device: &wgpu::Device) -> wgpu::BindGroupLayout {
    let ty = wgpu::BufferBindingType::Storage { read_only: false };
    let ty = wgpu::BindingType::Buffer { ty, has_dynamic_offset: true, min_binding_size: None };
    let entry =
        wgpu::BindGroupLayoutEntry { binding: 0, visibility: wgpu::ShaderStages::COMPUTE, ty, count: None };
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some("turns"),
        entries: &[entry],
    })
}

fn binding_type(access: Access, stored_params: bool, format: Format) -> wgpu::BindingType {
    let view_dimension = wgpu::TextureViewDimension::D2;
    let buffer = |ty| wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None };
    match (access, format) {
        (Access::Params, _) if stored_params => buffer(wgpu::BufferBindingType::Storage { read_only: true }),
        (Access::Params, _) => buffer(wgpu::BufferBindingType::Uniform),
        (Access::Read, Format::Single | Format::Half) => {
            buffer(wgpu::BufferBindingType::Storage { read_only: true })
        }
        (Access::Write, Format::Single | Format::Half | Format::Aliased) => {
            buffer(wgpu::BufferBindingType::Storage { read_only: false })
        }
        (access, Format::Texture | Format::Aliased) => {
            let access = match access {
                Access::Write => wgpu::StorageTextureAccess::WriteOnly,
                _ => wgpu::StorageTextureAccess::ReadOnly,
            };
            let format = wgpu::TextureFormat::Rgba32Float;
            wgpu::BindingType::StorageTexture { access, format, view_dimension }
        }
    }
}
