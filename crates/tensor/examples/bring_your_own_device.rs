//! Run our operators on a device that your application made, and your own commands on our tensors.

use vljepa_tensor::{Device, Tensor, ops, wgpu};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // An application's own set-up: any adapter, any features.
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::PRIMARY;
    let instance = wgpu::Instance::new(descriptor);
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))?;
    let (raw, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default()))?;

    let device = Device::from_wgpu(raw, queue)?;
    println!("{}: {:?}", device.info().name, device.capabilities());
    let a = Tensor::from_f32(&device, &[2, 2], &[1.0, 2.0, 3.0, 4.0])?;
    let b = ops::matmul(&a, &a, &ops::Matmul::nn())?;

    // Our commands are recorded; flush before yours read the buffer.
    device.flush()?;
    let staging = device.wgpu_device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("mine"),
        size: 16,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut encoder = device.wgpu_device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    encoder.copy_buffer_to_buffer(b.wgpu_buffer(), 0, &staging, 0, 16);
    device.wgpu_queue().submit([encoder.finish()]);
    staging.map_async(wgpu::MapMode::Read, .., |_| {});
    device.wgpu_device().poll(wgpu::PollType::wait_indefinitely())?;
    let view = staging.get_mapped_range(..)?;
    let values: Vec<f32> = bytemuck::pod_collect_to_vec(&view[..]);
    println!("{values:?}");
    assert_eq!(values, [7.0, 10.0, 15.0, 22.0]);
    Ok(())
}
