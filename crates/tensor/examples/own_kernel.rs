//! Write a kernel of your own and run it among ours: WGSL beside this file, a parameter struct, a launch.

use vljepa_tensor::shaders::{Access, Kernel, Params, params};
use vljepa_tensor::{Device, DeviceOptions, Dtype, Launch, Tensor};

params! {
    /// As in `own_kernel.wgsl`.
    PolynomialParams { len: u32, c0: f32, c1: f32, c2: f32 }
}

const POLYNOMIAL: Kernel = Kernel {
    name: "example_polynomial",
    file: "own_kernel.wgsl",
    bindings: &[Access::Read, Access::ReadWrite],
    params: PolynomialParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

fn polynomial(x: &Tensor, [c0, c1, c2]: [f32; 3]) -> vljepa_tensor::Result<Tensor> {
    let y = Tensor::uninitialized(x.device(), x.shape(), Dtype::F32)?;
    let params = PolynomialParams { len: x.len() as u32, c0, c1, c2 };
    Launch::new(&POLYNOMIAL, [Some(x), Some(&y)]).text(include_str!("own_kernel.wgsl")).record_elements(
        x.device(),
        &params,
        x.len() as u64,
    )?;
    Ok(y)
}

fn main() -> vljepa_tensor::Result<()> {
    let device = Device::open(DeviceOptions::default())?;
    let x = Tensor::from_f32(&device, &[4], &[0.0, 1.0, 2.0, 3.0])?;
    let y = polynomial(&x, [1.0, 0.5, 2.0])?.to_f32()?;
    println!("{y:?}");
    assert_eq!(y, [1.0, 3.5, 10.0, 20.5]);
    Ok(())
}
