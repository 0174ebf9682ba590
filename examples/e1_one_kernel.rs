//! Engine tour 1: one kernel, only with wgpu. `cargo run --release --example e1_one_kernel`
//!
//! Adds two tensors with `shaders/add.wgsl`, the file that the engine runs: adapter, device, buffers, bind
//! group, dispatch, and the result read back.

use std::error::Error;

use frostline::shaders::{Share, source};
use wgpu::BufferUsages as Usage;
use wgpu::util::{BufferInitDescriptor, DeviceExt};

fn main() -> Result<(), Box<dyn Error>> {
    let (rows, channels) = (16usize, 4);
    let a: Vec<f32> = (1..=rows * channels).map(|i| i as f32).collect();
    let b: Vec<f32> = a.iter().map(|value| 10.0 * value).collect();

    // An adapter is a GPU with its driver, or Mesa's llvmpipe; a device is a connection to it.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default()))?;
    let (device, queue) = pollster::block_on(adapter.request_device(&Default::default()))?;

    // Buffers are memory of the device. Copies fill and read them.
    let filled = |contents: &[u8], usage| {
        device.create_buffer_init(&BufferInitDescriptor { label: None, contents, usage })
    };
    let [a_buffer, b_buffer] = [&a, &b].map(|values| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        filled(&bytes, Usage::STORAGE)
    });
    let zeros = vec![0; 4 * a.len()];
    let y_buffer = filled(&zeros, Usage::STORAGE | Usage::COPY_SRC);
    let read_back = filled(&zeros, Usage::MAP_READ | Usage::COPY_DST);
    // `struct Params { rows: u32, c4: u32, items: u32 }`; one item is 8 rows of 4 channels.
    let items = rows.div_ceil(8) * channels / 4;
    let words = [rows as u32, channels as u32 / 4, items as u32];
    let params = filled(&words.map(u32::to_le_bytes).concat(), Usage::UNIFORM);

    // The driver compiles the text, here the file with the activations that it shares with others.
    let text = source("add", &[], Share::Portable, &[])?;
    let text = wgpu::ShaderSource::Wgsl(text.into());
    let module =
        device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some("add"), source: text });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("add.forward"),
        layout: None,
        module: &module,
        entry_point: Some("forward"),
        compilation_options: Default::default(),
        cache: None,
    });
    // A bind group assigns a buffer to each `@binding`.
    let bound = (0..).zip([&params, &a_buffer, &b_buffer, &y_buffer]);
    let entries: Vec<_> = bound
        .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
        .collect();
    let (layout, entries) = (&pipeline.get_bind_group_layout(0), &entries[..]);
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries });

    // A dispatch starts workgroups of 64 invocations, enough for all items.
    let workgroups = items.div_ceil(64) as u32;
    let mut encoder = device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    pass.set_pipeline(&pipeline);
    pass.set_bind_group(0, &group, &[]);
    pass.dispatch_workgroups(workgroups, 1, 1);
    drop(pass);
    encoder.copy_buffer_to_buffer(&y_buffer, 0, &read_back, 0, read_back.size());
    queue.submit([encoder.finish()]);

    read_back.slice(..).map_async(wgpu::MapMode::Read, |_| {});
    device.poll(wgpu::PollType::wait_indefinitely())?;
    let bytes = read_back.slice(..).get_mapped_range()?.to_vec();
    let float = |word: &[u8]| f32::from_le_bytes([word[0], word[1], word[2], word[3]]);
    let y: Vec<f32> = bytes.chunks_exact(4).map(float).collect();
    let right = (0..y.len()).filter(|&i| y[i] == a[i] + b[i]).count();
    println!("{workgroups} workgroup, {} + {} = {}, {right} sums are right", a[1], b[1], y[1]);
    Ok(())
}

// Prints:
//  1 workgroup, 2 + 20 = 22, 64 sums are right
