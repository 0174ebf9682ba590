//! The roofline: the highest rates of multiplication and copying on this machine, measured beside the
//! kernels.
//!
//! A software adapter computes on the processor, so its limits are the processor's: a matrix product
//! by the `gemm` crate and a copy by `memcpy`, both on all cores. A GPU has no such external reference here.
//! Its limits are measured rates: this engine's own matrix product (a large 1×1 convolution, a lower bound of
//! what the chip can do), and the driver's copy between two buffers.

use super::timer::Timer;
use super::{Outcome, wall};
use frostline::engine::{Gpu, Graph, Padding, Plan};
use std::sync::Arc;

/// Side of the processor's square matrices.
const SIDE: usize = 1024;
/// Pixels and channels of the GPU's 1×1 convolution.
const PIXELS: usize = 8192;
const CHANNELS: usize = 2048;
/// Bytes of each copied buffer: several times the largest caches.
const COPIED: usize = 128 << 20;
/// Copies in one submission, so that its overhead does not count.
const COPIES: u32 = 16;

/// The source of the rates.
pub enum Roofline {
    /// The processor, for software adapters.
    Processor { a: Vec<f32>, b: Vec<f32>, c: Vec<f32>, from: Vec<u8>, to: Vec<u8> },
    /// The adapter itself.
    Adapter { product: Box<Timer>, flops: f64, copy: DeviceCopy },
}

impl Roofline {
    /// The roofline that fits `gpu`.
    pub fn new(gpu: &Arc<Gpu>) -> Outcome<Self> {
        let copy = DeviceCopy::new()?;
        if copy.software {
            let matrix =
                |seed: usize| (0..SIDE * SIDE).map(|i| ((i * seed) % 101) as f32 / 101.0 - 0.5).collect();
            // Written once, so that the first copy does not also fetch the pages.
            let (from, to) = (vec![1; COPIED], vec![2; COPIED]);
            return Ok(Self::Processor { a: matrix(7), b: matrix(13), c: vec![0.0; SIDE * SIDE], from, to });
        }
        let mut graph = Graph::new();
        let x = graph.input(1, PIXELS / 64, 64, CHANNELS);
        let y = graph.conv2d(x, "product", CHANNELS, 1, 1, Padding::default())?;
        let plan = Plan::inference(&graph, y, gpu.tuning())?;
        let flops = 2.0 * plan.ledger().forward_macs as f64;
        Ok(Self::Adapter { product: Box::new(Timer::new(gpu, &graph, plan, |_| true)?), flops, copy })
    }

    /// What the two limits are, for people.
    pub fn describe(&self) -> String {
        match self {
            Self::Processor { .. } => {
                let cores = std::thread::available_parallelism().map_or(1, usize::from);
                format!(
                    "the processor's sgemm {SIDE}×{SIDE}×{SIDE} (gemm crate) and memcpy of {} MiB, on {cores} threads",
                    COPIED >> 20
                )
            }
            Self::Adapter { .. } => format!(
                "this engine's own 1×1 convolution of {PIXELS} pixels, {CHANNELS} to {CHANNELS} channels (no outside sgemm was run), \
                 and the adapter's copy of {} MiB from buffer to buffer",
                COPIED >> 20
            ),
        }
    }

    /// GFLOP/s of one matrix product.
    pub fn product(&mut self) -> Outcome<f64> {
        let (seconds, flops) = match self {
            Self::Processor { a, b, c, .. } => {
                (wall(|| multiply(a, b, c)).as_secs_f64(), 2.0 * (SIDE as f64).powi(3))
            }
            Self::Adapter { product, flops, .. } => (product.sample()?.as_secs_f64(), *flops),
        };
        Ok(flops / seconds / 1e9)
    }

    /// GB/s of one copy, bytes read and bytes written.
    pub fn copy(&mut self) -> Outcome<f64> {
        match self {
            Self::Processor { from, to, .. } => {
                Ok(2.0 * COPIED as f64 / wall(|| copy(from, to)).as_secs_f64() / 1e9)
            }
            Self::Adapter { copy, .. } => copy.rate(),
        }
    }
}

/// c = a·b on all cores.
fn multiply(a: &[f32], b: &[f32], c: &mut [f32]) {
    let (n, row) = (SIDE, SIDE as isize);
    assert!(a.len() == n * n && b.len() == n * n && c.len() == n * n);
    // SAFETY: three row-major n × n matrices, checked above, with row stride n and column stride 1;
    // c is borrowed mutably, so it overlaps neither a nor b.
    unsafe {
        let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
        gemm::gemm(
            n,
            n,
            n,
            c,
            1,
            row,
            false,
            a,
            1,
            row,
            b,
            1,
            row,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::Rayon(0),
        );
    }
    std::hint::black_box(c);
}

/// Copies `from` to `to`, every core a part.
fn copy(from: &[u8], to: &mut [u8]) {
    let part = from.len().div_ceil(std::thread::available_parallelism().map_or(1, usize::from));
    std::thread::scope(|scope| {
        for (from, to) in from.chunks(part).zip(to.chunks_mut(part)) {
            scope.spawn(move || std::hint::black_box(to).copy_from_slice(from));
        }
    });
}

/// Copies between two buffers of a separate device, because the engine's buffers are not public.
pub struct DeviceCopy {
    device: wgpu::Device,
    queue: wgpu::Queue,
    buffers: [wgpu::Buffer; 2],
    /// Whether the adapter is software.
    software: bool,
}

impl DeviceCopy {
    /// On the same adapter as the engine.
    fn new() -> Outcome<Self> {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = wgpu::Backends::PRIMARY;
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = pollster::block_on(wgpu::Instance::new(descriptor).request_adapter(&options))?;
        let software = adapter.get_info().device_type == wgpu::DeviceType::Cpu;
        let (device, queue) = pollster::block_on(adapter.request_device(&Default::default()))?;
        let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let bytes = if software { 4 } else { COPIED as u64 };
        let buffer = |_| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: bytes,
                usage,
                mapped_at_creation: false,
            })
        };
        let buffers = [0, 1].map(buffer);
        Ok(Self { device, queue, buffers, software })
    }

    fn rate(&self) -> Outcome<f64> {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        for copy in 0..COPIES {
            // To and fro: each copy waits for the one before.
            let [from, to] = if copy % 2 == 0 { [0, 1] } else { [1, 0] }.map(|i: usize| &self.buffers[i]);
            encoder.copy_buffer_to_buffer(from, 0, to, 0, COPIED as u64);
        }
        let commands = encoder.finish();
        self.device.poll(wgpu::PollType::wait_indefinitely())?;
        let time = wall(|| {
            self.queue.submit([commands]);
            self.device.poll(wgpu::PollType::wait_indefinitely())
        });
        Ok(2.0 * COPIED as f64 * f64::from(COPIES) / time.as_secs_f64() / 1e9)
    }
}
