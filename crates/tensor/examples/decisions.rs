//! Print what an adapter can do and which kernels that makes us choose.

use vljepa_tensor::{Capabilities, Device, DeviceOptions, Dtype, ops};

fn main() -> vljepa_tensor::Result<()> {
    let device = Device::open(DeviceOptions::default())?;
    println!("{} ({})", device.info().name, device.info().driver_info);
    for (what, caps) in [("as it is", device.capabilities().clone()), ("plain WebGPU", Capabilities::none())] {
        println!("\n{what}: {caps:?}");
        println!("  matmul     {:?}", ops::choose_matmul(&caps, ops::Layout::Nt, [256, 1024, 1024], Dtype::F32));
        for head_dim in [32, 64, 128, 256] {
            println!("  attention  head dimension {head_dim}: {:?}", ops::choose_attention(&caps, head_dim, false));
        }
    }
    Ok(())
}
