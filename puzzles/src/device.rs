//! Bare dispatches: a device, a pipeline from a text, buffers that are bound by name.
//!
//! Nothing here plans or caches anything, in contrast to the engine. Calls that wait are `async`, so that a
//! browser can make them; elsewhere a future is ready once the device has been polled.

use crate::bounded::bounded;
use crate::interface::{Access, Interface};
use std::time::Duration;
use web_time::Instant;
use wgpu::BufferUsages as Usage;

/// How long one submission may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why nothing was computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// There is no adapter, or it gives no device.
    #[error("no device: {0}; on Linux `make setup` installs a software driver")]
    NoDevice(String),
    /// The driver or wgpu refused something.
    #[error("the device refuses it: {0}")]
    Refused(String),
    /// The kernel has a binding, or `Params` has a field, that the host does not provide.
    #[error("there is no {what} `{name}` here; there is {known}")]
    Unknown {
        /// `binding` or `field of Params`.
        what: &'static str,
        /// Its name in the text.
        name: String,
        /// What there is.
        known: String,
    },
    /// The device did not answer.
    #[error("the device did not finish within {} seconds", PATIENCE.as_secs())]
    Silent,
}

/// A device with its queue.
#[derive(Debug)]
pub struct Device {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
}

/// A value of `Params`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    /// `u32`
    Whole(u32),
    /// `f32`
    Float(f32),
}

/// A compiled entry point.
#[derive(Debug)]
pub struct Program {
    pipeline: wgpu::ComputePipeline,
    interface: Interface,
    bounded: bool,
}

/// A program with its buffers: what can be dispatched.
#[derive(Debug)]
pub struct Bound<'p> {
    program: &'p Program,
    group: wgpu::BindGroup,
    endless: Option<(wgpu::BindGroup, wgpu::Buffer)>,
    workgroups: [u32; 3],
}

impl Program {
    /// Invocations of a workgroup, in x, y and z.
    pub fn workgroup(&self) -> [u32; 3] {
        self.interface.workgroup
    }
}

impl Device {
    /// The best adapter of this machine with all that it can do, a software adapter where there is no other.
    ///
    /// # Errors
    /// [`Trouble::NoDevice`].
    pub async fn open() -> Result<Self, Trouble> {
        let none = |error: &dyn std::fmt::Display| Trouble::NoDevice(error.to_string());
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = instance.request_adapter(&options).await.map_err(|error| none(&error))?;
        let descriptor = wgpu::DeviceDescriptor { required_limits: adapter.limits(), ..Default::default() };
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(|error| none(&error))?;
        Ok(Self { device, queue, info: adapter.get_info() })
    }

    /// The adapter's name, and its driver if it reports one.
    pub fn describe(&self) -> String {
        [&*self.info.name, &*self.info.driver, &*self.info.driver_info].join(" ").trim().to_owned()
    }

    /// Whether the adapter is Mesa's software driver.
    pub fn is_lavapipe(&self) -> bool {
        // The number that Khronos gave to Mesa.
        self.info.device_type == wgpu::DeviceType::Cpu && self.info.vendor == 0x1_0005
    }

    /// Compiles the entry point `entry` of `text`, which has this interface: a text of this repository, whose
    /// indices stay in their arrays. Nothing is checked as it runs.
    ///
    /// # Errors
    /// [`Trouble::Refused`] with the driver's or wgpu's message.
    pub async fn program(&self, text: &str, entry: &str, interface: Interface) -> Result<Program, Trouble> {
        self.compile(text.to_owned(), entry, interface, false).await
    }

    /// As [`Device::program`], for texts that may be wrong: loops end, and no index leaves its buffer.
    ///
    /// # Errors
    /// As [`Device::program`].
    pub async fn checked_program(
        &self,
        text: &str,
        entry: &str,
        interface: Interface,
    ) -> Result<Program, Trouble> {
        self.compile(bounded(text), entry, interface, true).await
    }

    async fn compile(
        &self,
        text: String,
        entry: &str,
        interface: Interface,
        bounded: bool,
    ) -> Result<Program, Trouble> {
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let source = wgpu::ShaderSource::Wgsl(text.into());
        let descriptor = wgpu::ShaderModuleDescriptor { label: Some(entry), source };
        let module = if bounded {
            self.device.create_shader_module(descriptor)
        } else {
            let unchecked = wgpu::ShaderRuntimeChecks::unchecked();
            // SAFETY: such texts compare every index with `Params` before they use it, and their loops end;
            // the tests run them at sizes that fill no tile.
            #[allow(unsafe_code)]
            unsafe {
                self.device.create_shader_module_trusted(descriptor, unchecked)
            }
        };
        let layout_of = |entries: &[wgpu::BindGroupLayoutEntry]| {
            let descriptor = wgpu::BindGroupLayoutDescriptor { label: Some(entry), entries };
            self.device.create_bind_group_layout(&descriptor)
        };
        let entries: Vec<_> =
            interface.bindings.iter().map(|binding| layout_entry(binding.index, binding.access)).collect();
        let (first, second) = (layout_of(&entries), layout_of(&[layout_entry(0, Access::Write)]));
        let layouts = [Some(&first), Some(&second)];
        let layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(entry),
            bind_group_layouts: if bounded { &layouts } else { &layouts[..1] },
            immediate_size: 0,
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry),
            layout: Some(&layout),
            module: &module,
            entry_point: Some(entry),
            compilation_options: Default::default(),
            cache: None,
        });
        match scope.pop().await {
            Some(error) => Err(Trouble::Refused(error.to_string())),
            None => Ok(Program { pipeline, interface, bounded }),
        }
    }

    /// A buffer of these words, which kernels read and write.
    pub fn upload(&self, words: &[u32]) -> wgpu::Buffer {
        self.filled(words, Usage::STORAGE | Usage::COPY_SRC)
    }

    fn filled(&self, words: &[u32], usage: Usage) -> wgpu::Buffer {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes.len().max(16) as u64,
            usage: usage | Usage::COPY_DST,
            mapped_at_creation: false,
        });
        self.queue.write_buffer(&buffer, 0, &bytes);
        buffer
    }

    /// `program` with the buffers and the values of `Params` that it needs, by name, for this grid.
    ///
    /// # Errors
    /// [`Trouble::Unknown`] if it needs others.
    pub fn bind<'p>(
        &self,
        program: &'p Program,
        buffers: &[(&str, &wgpu::Buffer)],
        params: &[(&str, Scalar)],
        workgroups: [u32; 3],
    ) -> Result<Bound<'p>, Trouble> {
        let interface = &program.interface;
        let uniform = self.filled(&params_of(interface, params)?, Usage::UNIFORM | Usage::STORAGE);
        let mut entries = vec![];
        for binding in &interface.bindings {
            let known = buffers.iter().find(|(name, _)| *name == binding.name).map(|(_, buffer)| *buffer);
            let buffer = match binding.access {
                Access::Params | Access::StoredParams => &uniform,
                _ => known.ok_or_else(|| {
                    unknown("binding", &binding.name, buffers.iter().map(|(name, _)| *name))
                })?,
            };
            let resource = buffer.as_entire_binding();
            entries.push(wgpu::BindGroupEntry { binding: binding.index, resource });
        }
        let group_of = |index, entries: &[wgpu::BindGroupEntry<'_>]| {
            let layout = &program.pipeline.get_bind_group_layout(index);
            self.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries })
        };
        let endless = program.bounded.then(|| {
            let line = self.upload(&[0]);
            let entry = wgpu::BindGroupEntry { binding: 0, resource: line.as_entire_binding() };
            (group_of(1, &[entry]), line)
        });
        Ok(Bound { program, group: group_of(0, &entries), endless, workgroups })
    }

    /// Dispatches `step` one after the other, `times` times in one submission.
    pub fn dispatch(&self, step: &[&Bound<'_>], times: usize) {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for bound in std::iter::repeat_n(step, times).flatten() {
                pass.set_pipeline(&bound.program.pipeline);
                pass.set_bind_group(0, &bound.group, &[]);
                if let Some((group, _)) = &bound.endless {
                    pass.set_bind_group(1, group, &[]);
                }
                let [x, y, z] = bound.workgroups;
                pass.dispatch_workgroups(x, y, z);
            }
        }
        self.queue.submit([encoder.finish()]);
    }

    /// Waits for what was dispatched. Does nothing in a browser, where reading waits.
    ///
    /// # Errors
    /// [`Trouble::Silent`].
    pub fn wait(&self) -> Result<(), Trouble> {
        let all = wgpu::PollType::Wait { submission_index: None, timeout: Some(PATIENCE) };
        self.device.poll(all).map_or(Err(Trouble::Silent), |_| Ok(()))
    }

    /// The median time in seconds of one `step`, over so many samples: by the host's clock, of submissions
    /// with so many repetitions that submitting doesn't count. 0 if there are no samples.
    ///
    /// # Errors
    /// [`Trouble::Silent`].
    pub fn time(&self, step: &[&Bound<'_>], samples: usize) -> Result<f64, Trouble> {
        let of = |times| -> Result<f64, Trouble> {
            let start = Instant::now();
            self.dispatch(step, times);
            self.wait()?;
            Ok(start.elapsed().as_secs_f64())
        };
        if samples == 0 {
            return Ok(0.0);
        }
        self.wait()?;
        let once = of(1)?;
        let times = (0.05 / once.max(1e-6)).ceil().clamp(1.0, 1000.0) as usize;
        let mut seconds =
            (0..samples).map(|_| Ok(of(times)? / times as f64)).collect::<Result<Vec<_>, _>>()?;
        seconds.sort_by(f64::total_cmp);
        Ok(seconds[seconds.len() / 2])
    }

    /// The words of `buffer`, after what was dispatched.
    ///
    /// # Errors
    /// [`Trouble::Silent`].
    pub async fn read(&self, buffer: &wgpu::Buffer) -> Result<Vec<u32>, Trouble> {
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: buffer.size(),
            usage: Usage::MAP_READ | Usage::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size());
        self.queue.submit([encoder.finish()]);
        let (sender, receiver) = flume::bounded(1);
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            let _ = sender.send(result);
        });
        self.wait()?;
        let mapped = receiver.recv_async().await;
        mapped.map_err(|_| Trouble::Silent)?.map_err(|error| Trouble::Refused(error.to_string()))?;
        let view = staging.get_mapped_range(..).map_err(|error| Trouble::Refused(error.to_string()))?;
        let words = view.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        Ok(words.collect())
    }

    /// The line of a loop that was ended because it took too many turns.
    ///
    /// # Errors
    /// [`Trouble::Silent`].
    pub async fn endless(&self, bound: &Bound<'_>) -> Result<Option<u32>, Trouble> {
        let Some((_, line)) = &bound.endless else { return Ok(None) };
        Ok(self.read(line).await?.first().copied().filter(|line| *line > 0))
    }
}

fn layout_entry(binding: u32, access: Access) -> wgpu::BindGroupLayoutEntry {
    let ty = match access {
        Access::Params => wgpu::BufferBindingType::Uniform,
        Access::Read | Access::StoredParams => wgpu::BufferBindingType::Storage { read_only: true },
        Access::Write => wgpu::BufferBindingType::Storage { read_only: false },
    };
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    }
}

/// The words of `Params`.
fn params_of(interface: &Interface, params: &[(&str, Scalar)]) -> Result<Vec<u32>, Trouble> {
    let mut words = vec![0; interface.params_bytes.div_ceil(4) as usize];
    for field in &interface.fields {
        let known = params.iter().find(|(name, _)| *name == field.name).map(|(_, value)| *value);
        words[field.offset as usize / 4] = match (known, field.float) {
            (Some(Scalar::Whole(value)), false) => value,
            (Some(Scalar::Float(value)), true) => value.to_bits(),
            _ => return Err(unknown("field of Params", &field.name, params.iter().map(|(name, _)| *name))),
        };
    }
    Ok(words)
}

fn unknown<'a>(what: &'static str, name: &str, known: impl Iterator<Item = &'a str>) -> Trouble {
    let known = known.collect::<Vec<_>>().join(", ");
    Trouble::Unknown { what, name: name.to_owned(), known }
}
