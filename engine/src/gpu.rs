//! The device: how it is found, what it says when it fails, and reading back from it.

use crate::adapters::Adapter;
use crate::cache::CacheFile;
use crate::error::{Error, Result};
use crate::faults::{Fault, Faults, Place, Reached};
use crate::options::GpuOptions;
use crate::pipeline_cache::PipelineCache;
use crate::pipelines::Pipelines;
use crate::tuning::{self, Machine, Measured, Tuning};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A device with its queue, its compiled pipelines and the tuning that fits it.
#[derive(Debug)]
pub struct Gpu {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) pipelines: Pipelines,
    info: wgpu::AdapterInfo,
    machine: Machine,
    tuning: Tuning,
    tuning_reason: String,
    lost: Arc<Mutex<Option<String>>>,
    buffers: AtomicU64,
    submits: AtomicU64,
    waits: AtomicU64,
    faults: Faults,
}

/// What the host has asked of a device so far: a steady step adds one submit, and a wait for the step
/// before the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requests {
    /// Buffers and textures allocated.
    pub buffers: u64,
    /// Pipelines compiled.
    pub pipelines: u64,
    /// How long sessions waited for them.
    pub pipeline_time: Duration,
    /// Submissions.
    pub submits: u64,
    /// Waits for submissions.
    pub waits: u64,
}

impl Gpu {
    /// The best adapter of this machine, a software adapter where there is no other, with what the
    /// environment asks for: see [`GpuOptions::from_env`].
    pub fn new() -> Result<Self> {
        Self::with(&GpuOptions::from_env()?)
    }

    /// The best adapter of this machine, a software adapter where there is no other.
    pub fn with(options: &GpuOptions) -> Result<Self> {
        pollster::block_on(Self::request(options))
    }

    /// [`Gpu::with`] for callers that must not block, such as a browser.
    pub async fn request(options: &GpuOptions) -> Result<Self> {
        Self::on(&Adapter::best().await?, options).await
    }

    /// A device on `adapter`.
    pub(crate) async fn on(adapter: &Adapter, options: &GpuOptions) -> Result<Self> {
        let adapter = adapter.wgpu();
        let info = adapter.get_info();
        let (required_features, experimental_features) = tuning::adapter::features(adapter, options.kernels);
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("frostline"),
                required_features,
                experimental_features,
                // The defaults are the smallest any browser has: ask for all that this adapter can do.
                required_limits: adapter.limits(),
                ..Default::default()
            })
            .await
            .map_err(|error| Error::NoDevice { adapter: info.name.clone(), reason: error.to_string() })?;
        let lost = Arc::new(Mutex::new(None));
        let reason = lost.clone();
        device.set_device_lost_callback(move |why, message| {
            // What came before the loss is likely its cause.
            reason.lock().expect("no panic while the reason is written").get_or_insert(format!("{why:?}: {message}"));
        });
        let reason = lost.clone();
        // Errors outside a scope panic by default; they surface at the next `check` instead.
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            reason.lock().expect("no panic while the reason is written").get_or_insert(error.to_string());
        }));
        let mut tuning = tuning::adapter::pick(adapter, &device, options.kernels)?;
        let tuning_reason = tuning::adapter::reason(&info, options.kernels, tuning.class);
        let machine = Machine::new(&info, tuning.class);
        if options.measured != CacheFile::Off {
            tuning.measured = Some(Arc::new(Measured::load(&machine.file(&options.measured)?, &machine, &tuning)?));
        }
        let cache = PipelineCache::open(&device, &info, &options.pipelines);
        Ok(Self {
            pipelines: Pipelines::new(info.device_type == wgpu::DeviceType::Cpu, cache),
            device,
            queue,
            tuning,
            tuning_reason,
            machine,
            info,
            lost,
            buffers: AtomicU64::new(0),
            submits: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            faults: Faults::default(),
        })
    }

    /// Name, driver and kind of the adapter, for people; and whether measured choices are in use.
    pub fn describe(&self) -> String {
        let info = &self.info;
        let adapter = format!("{} ({:?}, {:?}, {} {})", info.name, info.device_type, info.backend, info.driver, info.driver_info);
        match &self.tuning.measured {
            None => adapter,
            Some(measured) => format!("{adapter}; measured choices: {}", measured.len()),
        }
    }

    /// What choices that are measured here are for.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The kernel shapes that fit this adapter.
    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// Why it is those.
    pub fn tuning_reason(&self) -> &str {
        &self.tuning_reason
    }

    /// The largest part of a buffer that a kernel can be given, in bytes.
    pub fn largest_binding(&self) -> u64 {
        let limits = self.device.limits();
        limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)
    }

    /// How many workgroups one dimension of a dispatch can have.
    pub(crate) fn largest_grid(&self) -> u32 {
        self.device.limits().max_compute_workgroups_per_dimension
    }

    /// Whether the adapter is a driver that computes on the processor, such as llvmpipe.
    pub fn is_software(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }

    /// Whether activations can be stored as 16-bit floats.
    pub fn has_f16(&self) -> bool {
        self.device.features().contains(wgpu::Features::SHADER_F16)
    }

    /// Whether kernels can be timed one by one.
    pub fn has_timestamps(&self) -> bool {
        self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES)
    }

    /// Destroys the device as a driver reset would: every later call gives [`Error::DeviceLost`].
    pub fn lose(&self) {
        self.device.destroy();
        // The callback that says so comes once the work in flight is done.
        let _ = self.device.poll(wgpu::PollType::wait_indefinitely());
    }

    /// An error if the device was lost or refused something since the last call.
    pub(crate) fn check(&self) -> Result<()> {
        match &*self.lost.lock().expect("no panic while the reason is written") {
            Some(reason) => Err(Error::DeviceLost { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// A zeroed buffer of `bytes` for `purpose`, or an error that says how many bytes it was about.
    pub(crate) fn buffer(&self, purpose: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        let limit = self.device.limits().max_buffer_size;
        if bytes > limit {
            return Err(Error::TooLarge { tensor: purpose.to_owned(), bytes, limited: "this adapter allocates", limit });
        }
        let descriptor = wgpu::BufferDescriptor { label: Some(purpose), size: bytes.max(256), usage, mapped_at_creation: false };
        self.allocate(purpose, bytes, || self.device.create_buffer(&descriptor))
    }

    /// A texture of `vec4f` texels, or an error that says how many bytes it was about.
    pub(crate) fn texture(&self, purpose: &str, width: u32, height: u32) -> Result<wgpu::Texture> {
        let descriptor = wgpu::TextureDescriptor {
            label: Some(purpose),
            size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba32Float,
            usage: wgpu::TextureUsages::TEXTURE_BINDING
                | wgpu::TextureUsages::STORAGE_BINDING
                | wgpu::TextureUsages::COPY_DST
                | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        };
        self.allocate(purpose, 16 * u64::from(width) * u64::from(height), || self.device.create_texture(&descriptor))
    }

    fn allocate<T>(&self, purpose: &str, bytes: u64, create: impl FnOnce() -> T) -> Result<T> {
        self.check()?;
        self.buffers.fetch_add(1, Ordering::Relaxed);
        let fault = self.faults.strike(Place::Allocation);
        if fault == Some(Fault::DeviceLost) {
            self.device.destroy();
        }
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let created = create();
        let refused = pollster::block_on(validation.pop()).is_some();
        let failed = pollster::block_on(memory.pop()).is_some() || refused || fault == Some(Fault::OutOfMemory);
        match failed {
            false => Ok(created),
            true => Err(self.explain(Error::OutOfMemory { bytes, purpose: purpose.to_owned(), in_use: self.memory_in_use() })),
        }
    }

    /// `error`, or the loss of the device where that is behind it.
    pub(crate) fn explain(&self, error: Error) -> Error {
        // A loss is told once the work in flight is done.
        let _ = self.device.poll(wgpu::PollType::wait_indefinitely());
        self.check().err().unwrap_or(error)
    }

    /// Bytes of device memory in use now, by what this device holds; nothing where the backend does
    /// not count them (all but Vulkan and DX12).
    pub fn memory_in_use(&self) -> Option<u64> {
        Some(self.device.generate_allocator_report()?.total_allocated_bytes)
    }

    /// Plans a failure; see [`crate::faults`].
    #[doc(hidden)]
    pub fn fail(&self, fault: Fault, place: Place, nth: u64) {
        self.faults.plan(fault, place, nth);
    }

    /// How often each place was reached where a failure can be planned.
    #[doc(hidden)]
    pub fn reached(&self) -> Reached {
        self.faults.reached()
    }

    /// Where the device is given up if that is planned.
    pub(crate) fn risk(&self, place: Place) {
        let Some(fault) = self.faults.strike(place) else { return };
        self.device.destroy();
        if fault == Fault::OutOfMemory {
            let mut reason = self.lost.lock().expect("no panic while the reason is written");
            reason.get_or_insert(wgpu::Error::OutOfMemory { source: "planned".into() }.to_string());
        }
    }

    /// Storage that the host can write and read.
    pub(crate) fn storage(&self, purpose: &str, bytes: u64) -> Result<wgpu::Buffer> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        self.buffer(purpose, bytes, usage)
    }

    pub(crate) fn submit(&self, encoder: wgpu::CommandEncoder) -> wgpu::SubmissionIndex {
        self.submits.fetch_add(1, Ordering::Relaxed);
        self.risk(Place::Submit);
        let index = self.queue.submit([encoder.finish()]);
        // Without it a lost device would not be noticed before the next read.
        let _ = self.device.poll(wgpu::PollType::Poll);
        index
    }

    /// What has been asked of the device so far.
    pub fn requests(&self) -> Requests {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Requests {
            buffers: load(&self.buffers),
            pipelines: self.pipelines.len() as u64,
            pipeline_time: self.pipelines.time(),
            submits: load(&self.submits),
            waits: load(&self.waits),
        }
    }

    pub(crate) fn write(&self, buffer: &wgpu::Buffer, offset: u64, values: &[f32]) {
        self.write_bytes(buffer, offset, bytemuck::cast_slice(values));
    }

    pub(crate) fn write_bytes(&self, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) {
        self.risk(Place::Write);
        self.queue.write_buffer(buffer, offset, bytes);
    }

    /// Waits for all work submitted so far.
    pub fn wait(&self) -> Result<()> {
        self.wait_for(None)
    }

    /// Waits for the work up to a submission, or for all of it.
    pub(crate) fn wait_for(&self, submission_index: Option<wgpu::SubmissionIndex>) -> Result<()> {
        self.waits.fetch_add(1, Ordering::Relaxed);
        let wait = wgpu::PollType::Wait { submission_index, timeout: None };
        self.device.poll(wait).map_err(|error| Error::DeviceLost { reason: error.to_string() })?;
        self.check()
    }

    /// `count` values of `buffer` from byte `offset` on; waits for the work before it.
    pub(crate) fn read(&self, buffer: &wgpu::Buffer, offset: u64, count: usize) -> Result<Vec<f32>> {
        Ok(bytemuck::cast_slice(&self.read_bytes(buffer, offset, 4 * count as u64)?).to_vec())
    }

    pub(crate) fn read_bytes(&self, buffer: &wgpu::Buffer, offset: u64, bytes: u64) -> Result<Vec<u8>> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = self.buffer("a read-back", bytes, usage)?;
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, bytes);
        self.submit(encoder);
        let (sender, receiver) = flume::bounded(1);
        staging.map_async(wgpu::MapMode::Read, 0..bytes, move |result| {
            let _ = sender.send(result);
        });
        self.wait()?;
        let lost = |reason: String| Error::DeviceLost { reason };
        receiver.recv().map_err(|error| lost(error.to_string()))?.map_err(|error| lost(error.to_string()))?;
        let view = staging.get_mapped_range(0..bytes).map_err(|error| lost(error.to_string()))?;
        Ok(view.to_vec())
    }
}
