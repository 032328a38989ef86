//! What a first answer costs: opening the device, and the first product with the compilation of its pipeline.
//! Drivers keep compiled pipelines on disk; delete that cache to measure the very first run.

use std::process::ExitCode;

use vljepa_benches::harness::{Harness, noise, options};
use vljepa_benches::{Case, Work};
use vljepa_tensor::ops::{self, Matmul};
use vljepa_tensor::{Device, Tensor};

fn case(name: &str) -> Case {
    Case { name: name.into(), shape: String::new(), work: Work::Time }
}

fn main() -> ExitCode {
    let mut harness = Harness::new("startup");
    harness.case(
        case("open_device"),
        |_| Ok(()),
        |_, (), _| {
            Device::open(options())?.synchronize()?;
            Ok(())
        },
    );
    let data = noise(0, 64 * 64);
    harness.case(
        case("open_device_and_first_product"),
        |_| Ok(()),
        |_, (), _| {
            let device = Device::open(options())?;
            let x = Tensor::from_f32(&device, &[64, 64], &data)?;
            ops::matmul(&x, &x, &Matmul::nt())?.to_f32()?;
            Ok(())
        },
    );
    harness.finish()
}
