//! Matrix products of the models and a square sweep.

use std::process::ExitCode;

use vljepa_benches::harness::{Harness, noise_tensor, sets};
use vljepa_benches::shapes::{self, MATMULS};
use vljepa_benches::{Case, Work};
use vljepa_tensor::ops::{self, Matmul};

fn main() -> ExitCode {
    let mut harness = Harness::new("matmul");
    for shape in MATMULS {
        let small = harness.small();
        let shape = if small { shape.small() } else { *shape };
        let case = Case {
            name: shape.name.into(),
            shape: shapes::text(&[shape.m, shape.n, shape.k]),
            work: Work::Flops(shape.flops()),
        };
        let mut options = Matmul::default();
        options.layout = shape.layout;
        harness.case(
            case,
            |device| {
                let [a, b] = shape.operands();
                (0..sets(shape.bytes(), small))
                    .map(|i| Ok((noise_tensor(device, 2 * i, &a)?, noise_tensor(device, 2 * i + 1, &b)?)))
                    .collect::<vljepa_benches::Result<Vec<_>>>()
            },
            |_, operands, i| {
                let (a, b) = &operands[i % operands.len()];
                ops::matmul(a, b, &options)?;
                Ok(())
            },
        );
    }
    harness.finish()
}
