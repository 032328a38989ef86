//! Normalisations and elementwise operators: bytes that must cross memory, compared with the rate of a copy.

use std::process::ExitCode;

use vljepa_benches::harness::{Harness, noise_tensor, sets};
use vljepa_benches::shapes::{self, ROWS};
use vljepa_benches::{Case, Result, Work};
use vljepa_tensor::ops::{self, RmsNorm};
use vljepa_tensor::{Activation, Tensor};

/// Name, how often the rows cross memory, and the run on rows, a gradient and a weight.
type Op = (&'static str, f64, fn(&Tensor, &Tensor, &Tensor) -> vljepa_tensor::Result<()>);

const OPS: &[Op] = &[
    ("copy", 2.0, |x, _, _| x.copy().map(|_| ())),
    ("layer_norm", 2.0, |x, _, w| ops::layer_norm(x, Some(w), Some(w), 1e-6).map(|_| ())),
    ("rms_norm", 2.0, |x, _, w| ops::rms_norm(x, Some(w), &RmsNorm::plain(1e-5)).map(|_| ())),
    ("batch_norm", 2.0, |x, _, w| ops::batch_norm(x, Some(w), Some(w), 1e-5).map(|_| ())),
    ("l2_normalize", 2.0, |x, _, _| ops::l2_normalize(x, 1e-12).map(|_| ())),
    ("gelu", 2.0, |x, _, _| ops::activate(x, Activation::Gelu).map(|_| ())),
    ("add", 3.0, |x, y, _| ops::add(x, y).map(|_| ())),
];

fn main() -> ExitCode {
    let mut harness = Harness::new("norm");
    for &(rows, [count, width]) in ROWS {
        let small = harness.small();
        let shape = if small { [count.min(5), width.min(67)] } else { [count, width] };
        let bytes = 4 * (shape[0] * shape[1]) as u64;
        for &(op, crossings, run) in OPS {
            let case = Case {
                name: format!("{op}_{rows}"),
                shape: shapes::text(&shape),
                work: Work::Bytes(crossings * bytes as f64),
            };
            harness.case(
                case,
                |device| {
                    let rows = (0..sets(2 * bytes, small)).map(|i| noise_tensor(device, i, &shape));
                    Ok((rows.collect::<Result<Vec<_>>>()?, noise_tensor(device, 77, &shape[1..])?))
                },
                |_, (rows, weight), i| Ok(run(&rows[i % rows.len()], &rows[(i + 1) % rows.len()], weight)?),
            );
        }
    }
    harness.finish()
}
