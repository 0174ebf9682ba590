//! The device: choosing it, its failures, and reading back from it.

use crate::adapters::{Adapter, describe};
use crate::aliased;
use crate::blocking::block_on;
use crate::cache::CacheFile;
use crate::dispatch::ROW_BYTES;
use crate::error::{Error, Result};
use crate::faults::{Fault, Faults, Place, Reached};
use crate::in_flight::{InFlight, Submission, deadline};
use crate::missing;
use crate::options::GpuOptions;
use crate::pipeline_cache::PipelineCache;
use crate::pipelines::{Compiled, Pipelines, Rewrites};
use crate::plan::Plan;
use crate::reports::{Reports, one_line};
use crate::scopes;
use crate::tuning::{self, Machine, Measured, Tuning};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
    options: GpuOptions,
    warnings: Vec<String>,
    reports: Reports,
    in_flight: InFlight,
    deadline: Option<Duration>,
    buffers: AtomicU64,
    /// Bytes of memory that wgpu does not count, see [`aliased`].
    aliased: Arc<AtomicU64>,
    submits: AtomicU64,
    waits: AtomicU64,
    faults: Faults,
}

/// The host's calls to a device so far: a steady step adds one submit, and a wait for the step before the
/// previous one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requests {
    /// Buffers and textures allocated.
    pub buffers: u64,
    /// Pipelines compiled.
    pub pipelines: u64,
    /// The time that sessions waited for pipelines.
    pub pipeline_time: Duration,
    /// Submissions.
    pub submits: u64,
    /// Waits for submissions.
    pub waits: u64,
}

impl Gpu {
    /// The best adapter of this machine (a software adapter if there is no other), with the settings of the
    /// environment: see [`GpuOptions::from_env`].
    pub fn new() -> Result<Self> {
        Self::with(&GpuOptions::from_env()?)
    }

    /// The adapter that `options` choose, else the best of this machine, a software adapter where there is
    /// no other.
    pub fn with(options: &GpuOptions) -> Result<Self> {
        block_on(Self::request(options))
    }

    /// [`Gpu::with`] for callers that must not block, such as a browser.
    pub async fn request(options: &GpuOptions) -> Result<Self> {
        Self::on(&Adapter::choose(options.adapter.as_deref()).await?, options).await
    }

    /// A new device on the adapter of this one, by the same options: for use after [`Error::DeviceLost`].
    /// Sessions, parameters and optimisers belong to the lost device and must be created again, from a
    /// checkpoint.
    ///
    /// # Errors
    /// The errors of [`Gpu::with`].
    pub fn reopen(&self) -> Result<Self> {
        Self::with(&self.options)
    }

    /// A device on `adapter`.
    pub(crate) async fn on(adapter: &Adapter, options: &GpuOptions) -> Result<Self> {
        let same = adapter.index().or(options.adapter.clone());
        let adapter = adapter.wgpu();
        let info = adapter.get_info();
        let (required_features, experimental_features) = tuning::adapter::features(adapter, options.kernels);
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("frostline"),
                required_features,
                experimental_features,
                // The defaults are the smallest limits of any browser, so all limits of this adapter are
                // requested.
                required_limits: adapter.limits(),
                ..Default::default()
            })
            .await
            .map_err(|error| Error::NoDevice { adapter: info.name.clone(), reason: error.to_string() })?;
        let reports = Reports::default();
        let lost = reports.clone();
        device.set_device_lost_callback(move |why, message| {
            let gap = if message.is_empty() { "" } else { ": " };
            // The error that contains the message ends with a full stop.
            lost.lose(format!("{why:?}{gap}{}", message.trim_end_matches('.')));
        });
        let refused = reports.clone();
        // Errors outside a scope panic by default; here the next `check` returns them instead.
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            refused.refuse("earlier work".to_owned(), &error);
        }));
        let mut tuning = tuning::adapter::pick(adapter, &device, options.kernels)?;
        let tuning_reason = tuning::adapter::reason(&info, options.kernels, tuning.class);
        let machine = Machine::new(&info, tuning.class);
        if options.measured != CacheFile::Off {
            tuning.measured =
                Some(Arc::new(Measured::load(&machine.file(&options.measured)?, &machine, &tuning)?));
        }
        let cache = PipelineCache::open(&device, &info, &options.pipelines);
        let software = info.device_type == wgpu::DeviceType::Cpu;
        let rewrites =
            Rewrites { stored_params: tuning::adapter::is_lavapipe(&info), checked: options.checked };
        let hint = if software && options.adapter.is_none() { missing::hint("/".as_ref()) } else { None };
        Ok(Self {
            pipelines: Pipelines::new(rewrites, cache),
            device,
            queue,
            tuning,
            tuning_reason,
            machine,
            info,
            options: GpuOptions { adapter: same, ..options.clone() },
            warnings: hint.into_iter().collect(),
            reports,
            in_flight: InFlight::default(),
            deadline: deadline(options.deadline, software),
            buffers: AtomicU64::new(0),
            aliased: Arc::default(),
            submits: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            faults: Faults::default(),
        })
    }

    /// Name, driver and kind of the adapter, for people; and whether measured choices are in use.
    pub fn describe(&self) -> String {
        let adapter = describe(&self.info);
        match &self.tuning.measured {
            None => adapter,
            Some(measured) => format!("{adapter}; measured choices: {}", measured.len()),
        }
    }

    /// Warnings about this device that a person should read before it is used, such as a GPU of this machine
    /// that no driver offers.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether kernels run with bounds checks and count their loop turns ([`GpuOptions::checked`]).
    pub fn is_checked(&self) -> bool {
        self.options.checked
    }

    /// Whether accesses past the end of a buffer are detected ([`GpuOptions::guard`]).
    pub(crate) fn is_guarded(&self) -> bool {
        self.options.guard || self.options.checked
    }

    /// The machine that choices measured here are valid for.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The kernel shapes for this adapter.
    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// Why these kernel shapes were chosen.
    pub fn tuning_reason(&self) -> &str {
        &self.tuning_reason
    }

    /// The maximum size of a binding, in bytes.
    pub fn largest_binding(&self) -> u64 {
        let limits = self.device.limits();
        limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)
    }

    /// The maximum number of workgroups in one dimension of a dispatch.
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
        self.device
            .features()
            .contains(wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES)
    }

    /// Destroys the device as a driver reset would: every later call returns [`Error::DeviceLost`].
    pub fn lose(&self) {
        self.device.destroy();
        // The callback that reports it is called when the submitted work is done.
        self.settle();
    }

    /// The reason, once the device is lost; the other calls return it as [`Error::DeviceLost`].
    pub async fn lost(&self) -> String {
        self.reports.lost().await
    }

    /// An error if the device was lost, or refused something since the last call.
    pub(crate) fn check(&self) -> Result<()> {
        if self.reports.has_refusal() {
            // A device that is being lost also refuses calls, and reports the loss when its work is done.
            self.settle();
        }
        self.reports.check()
    }

    /// The result of `act`, or [`Error::Refused`] with `what` if the device refused it.
    pub(crate) fn scoped<T>(&self, what: &str, act: impl FnOnce() -> T) -> Result<T> {
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let done = act();
        let (reports, later) = (self.reports.clone(), what.to_owned());
        match scopes::error(scope.pop(), move |error| reports.refuse(later, &error)) {
            None => Ok(done),
            Some(error) => {
                Err(self.explain(Error::Refused { what: what.to_owned(), reason: one_line(&error) }))
            }
        }
    }

    /// A zeroed buffer of `bytes` for `purpose`, or an error that contains the number of bytes.
    pub(crate) fn buffer(
        &self,
        purpose: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer> {
        let limit = self.device.limits().max_buffer_size;
        if bytes > limit {
            return Err(Error::TooLarge {
                tensor: purpose.to_owned(),
                bytes,
                limited: "this adapter allocates",
                limit,
            });
        }
        let descriptor = wgpu::BufferDescriptor {
            label: Some(purpose),
            size: bytes.max(256),
            usage,
            mapped_at_creation: false,
        };
        self.allocate(purpose, bytes, || self.device.create_buffer(&descriptor))
    }

    /// A texture of `vec4f` texels, or an error that contains the number of bytes.
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
        self.allocate(purpose, 16 * u64::from(width) * u64::from(height), || {
            self.device.create_texture(&descriptor)
        })
    }

    /// Memory of `rows` rows of texels that is read as a texture and written as a buffer.
    pub(crate) fn aliased(&self, purpose: &str, rows: u32) -> Result<(wgpu::Buffer, wgpu::Texture)> {
        let bytes = ROW_BYTES * u64::from(rows);
        let create = || aliased::create(&self.device, purpose, rows, &self.aliased);
        self.allocate(purpose, bytes, create)?.ok_or_else(|| {
            let (purpose, in_use) = (purpose.to_owned(), self.memory_in_use());
            self.explain(Error::OutOfMemory { bytes, purpose, in_use })
        })
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
        if fault == Some(Fault::Refused) {
            self.ask_too_much();
        }
        let what = format!("{bytes} bytes for {purpose}");
        let (reports, later) = (self.reports.clone(), what.clone());
        let refused = scopes::error(validation.pop(), move |error| reports.refuse(later, &error));
        let (reports, later) = (self.reports.clone(), purpose.to_owned());
        let full = scopes::error(memory.pop(), move |_| reports.fill(later, bytes)).is_some()
            || fault == Some(Fault::OutOfMemory);
        match refused {
            _ if full => {
                let (purpose, in_use) = (purpose.to_owned(), self.memory_in_use());
                Err(self.explain(Error::OutOfMemory { bytes, purpose, in_use }))
            }
            Some(error) => Err(self.explain(Error::Refused { what, reason: one_line(&error) })),
            None => Ok(created),
        }
    }

    /// `error`, or the loss of the device if that is its cause.
    pub(crate) fn explain(&self, error: Error) -> Error {
        // A loss is reported when the submitted work is done.
        self.settle();
        self.check().err().unwrap_or(error)
    }

    /// Bytes of device memory that this device uses now; `None` if the backend does not count them (all
    /// except Vulkan and DX12).
    pub fn memory_in_use(&self) -> Option<u64> {
        let of_wgpu = self.device.generate_allocator_report()?.total_allocated_bytes;
        Some(of_wgpu + self.aliased.load(Ordering::Relaxed))
    }

    /// Plans a failure; see [`crate::faults`].
    #[doc(hidden)]
    pub fn fail(&self, fault: Fault, place: Place, nth: u64) {
        self.faults.plan(fault, place, nth);
    }

    /// How often each place for planned failures was reached.
    #[doc(hidden)]
    pub fn reached(&self) -> Reached {
        self.faults.reached()
    }

    /// The place at which the device is destroyed if that is planned.
    pub(crate) fn risk(&self, place: Place) {
        let Some(fault) = self.faults.strike(place) else { return };
        if fault == Fault::Refused {
            return self.ask_too_much();
        }
        self.device.destroy();
        if fault == Fault::OutOfMemory {
            self.reports.lose(wgpu::Error::OutOfMemory { source: "planned".into() }.to_string());
        }
    }

    /// A write past the end of a buffer, which wgpu refuses.
    fn ask_too_much(&self) {
        let usage = wgpu::BufferUsages::COPY_DST;
        let small =
            wgpu::BufferDescriptor { label: Some("planned"), size: 4, usage, mapped_at_creation: false };
        self.queue.write_buffer(&self.device.create_buffer(&small), 0, &[0; 8]);
    }

    /// Storage that the host can write and read.
    pub(crate) fn storage(&self, purpose: &str, bytes: u64) -> Result<wgpu::Buffer> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        self.buffer(purpose, bytes, usage)
    }

    /// Submits the commands recorded in `encoder`. `what` describes them in the error if the device refuses
    /// them or does not finish them in time.
    pub(crate) fn submit(&self, encoder: wgpu::CommandEncoder, what: impl Into<String>) -> Submission {
        self.submits.fetch_add(1, Ordering::Relaxed);
        let what = what.into();
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        self.risk(Place::Submit);
        let submission = self.in_flight.submit(&self.queue, encoder.finish(), what.clone());
        let reports = self.reports.clone();
        let refuse = move |error| reports.refuse(what, &error);
        if let Some(error) = scopes::error(scope.pop(), refuse.clone()) {
            refuse(error);
        }
        // Without this a lost device would not be detected before the next read.
        let _ = self.poll(wgpu::PollType::Poll);
        submission
    }

    /// Compiles the kernels of `plan`, before a [`crate::Session`] needs them.
    ///
    /// # Errors
    /// [`Error::Shader`]; [`Error::DeviceLost`].
    pub async fn compile(&self, plan: &Plan) -> Result<()> {
        let variants = plan.dispatches.iter().map(|dispatch| &dispatch.variant);
        self.pipelines.compile(&self.device, variants).await.map_err(|error| self.explain(error))
    }

    /// Calls `observe` after each pipeline that is compiled later, on any thread.
    pub fn on_compile(&self, observe: impl Fn(&Compiled) + Send + Sync + 'static) {
        self.pipelines.observer.set(Arc::new(observe));
    }

    /// The calls to the device so far.
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
    ///
    /// # Errors
    /// [`Error::Deadline`] if one submission takes longer than [`GpuOptions::deadline`] after the previous
    /// one was done; a later call waits for it again. [`Error::DeviceLost`], and [`Error::Refused`] if the
    /// device refused something since the last error.
    pub fn wait(&self) -> Result<()> {
        block_on(self.wait_async())
    }

    /// [`Gpu::wait`] for callers that must not block, such as a browser.
    ///
    /// # Errors
    /// The errors of [`Gpu::wait`], [`Error::Deadline`] only natively.
    pub async fn wait_async(&self) -> Result<()> {
        self.waits.fetch_add(1, Ordering::Relaxed);
        for submission in self.in_flight.all() {
            self.wait_for_submission(&submission).await?;
        }
        // Values that were written after the last submission, and read-backs that became ready.
        #[cfg(not(target_family = "wasm"))]
        self.wait_for(None, "writing values")?;
        self.check()
    }

    /// Waits for the work up to `submission`, with the errors of [`Gpu::wait`].
    pub(crate) async fn wait_until(&self, submission: &Submission) -> Result<()> {
        self.waits.fetch_add(1, Ordering::Relaxed);
        self.wait_for_submission(submission).await?;
        self.check()
    }

    async fn wait_for_submission(&self, submission: &Submission) -> Result<()> {
        #[cfg(not(target_family = "wasm"))]
        self.wait_for(Some(submission.index.clone()), &submission.what)?;
        #[cfg(target_family = "wasm")]
        submission.done().await;
        self.in_flight.remove(submission);
        Ok(())
    }

    #[cfg(not(target_family = "wasm"))]
    fn wait_for(&self, submission_index: Option<wgpu::SubmissionIndex>, what: &str) -> Result<()> {
        match (self.poll(wgpu::PollType::Wait { submission_index, timeout: self.deadline }), self.deadline) {
            (Err(wgpu::PollError::Timeout), Some(deadline)) => {
                self.check()?;
                Err(Error::Deadline { seconds: deadline.as_secs_f64(), what: what.to_owned() })
            }
            // The submission does not exist, because the device is lost or refused it: see `check`.
            _ => Ok(()),
        }
    }

    /// Waits, as long as the deadline allows, so that pending errors are reported.
    fn settle(&self) {
        let _ = self.poll(wgpu::PollType::Wait { submission_index: None, timeout: self.deadline });
    }

    /// wgpu panics if the driver reports a loss while it is polled; the callback has received the reason by
    /// then.
    fn poll(&self, how: wgpu::PollType) -> Result<(), wgpu::PollError> {
        match catch_unwind(AssertUnwindSafe(|| self.device.poll(how))) {
            Ok(polled) => polled.map(|_| ()),
            Err(_) => {
                self.reports.lose("the driver reported it".to_owned());
                Ok(())
            }
        }
    }

    /// `count` values of `buffer` from byte `offset` on; waits for the work before it.
    pub(crate) async fn read_async(
        &self,
        buffer: &wgpu::Buffer,
        offset: u64,
        count: usize,
    ) -> Result<Vec<f32>> {
        Ok(bytemuck::pod_collect_to_vec(&self.read_bytes_async(buffer, offset, 4 * count as u64).await?))
    }

    pub(crate) fn read_bytes(&self, buffer: &wgpu::Buffer, offset: u64, bytes: u64) -> Result<Vec<u8>> {
        block_on(self.read_bytes_async(buffer, offset, bytes))
    }

    pub(crate) async fn read_bytes_async(
        &self,
        buffer: &wgpu::Buffer,
        offset: u64,
        bytes: u64,
    ) -> Result<Vec<u8>> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = self.buffer("a read-back", bytes, usage)?;
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, bytes);
        self.submit(encoder, "a read-back");
        let (sender, receiver) = flume::bounded(1);
        staging.map_async(wgpu::MapMode::Read, 0..bytes, move |result| {
            let _ = sender.send(result);
        });
        self.wait_async().await?;
        let lost = |reason: String| Error::DeviceLost { reason };
        let mapped = receiver.recv_async().await.map_err(|error| lost(error.to_string()))?;
        self.check()?;
        mapped.map_err(|error| lost(error.to_string()))?;
        let view = staging.get_mapped_range(0..bytes).map_err(|error| lost(error.to_string()))?;
        let values = view.to_vec();
        drop(view);
        staging.destroy();
        Ok(values)
    }
}
