//! Matrix products, timed.

use std::time::Instant;

use serde::Serialize;
use vljepa_tensor::{Device, Tensor, ops};

use super::noise::Noise;
use crate::error::{Error, Result};

/// Largest size of a matrix product; the operands of a square product of this size take 1 GiB each.
pub const MAX_SIZE: usize = 16_384;

/// The timing of one operator.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Name of the operator.
    pub op: &'static str,
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Inner size.
    pub k: usize,
    /// Element type.
    pub dtype: &'static str,
    /// Median milliseconds of one run.
    pub ms: f64,
    /// 2·m·n·k divided by the time, in 10⁹ operations per second.
    pub gflops: f64,
}

/// Times square f32 matrix products `a · b` with operands on the device. Each time is the median of several series of
/// runs; a series is long enough that the cost of submitting work is negligible.
///
/// # Errors
/// A size of zero or above [`MAX_SIZE`], and errors of the device.
pub fn matmul(device: &Device, sizes: &[usize], seed: u64) -> Result<Vec<Row>> {
    matmul_with(device, sizes, seed, &mut |_| ())
}

/// [`matmul`]; `progress` receives the number of sizes that are done.
///
/// # Errors
/// As [`matmul`].
pub fn matmul_with(device: &Device, sizes: &[usize], seed: u64, progress: &mut dyn FnMut(usize)) -> Result<Vec<Row>> {
    if let Some(bad) = sizes.iter().find(|&&n| n == 0 || n > MAX_SIZE) {
        return Err(Error::argument("sizes", format!("{bad} is not between 1 and {MAX_SIZE}")));
    }
    let mut rows = Vec::new();
    for &n in sizes {
        let a = Tensor::from_f32(device, &[n, n], &numbers(seed, n * n))?;
        let b = Tensor::from_f32(device, &[n, n], &numbers(seed ^ u64::MAX, n * n))?;
        let time_runs = |runs: usize| -> Result<f64> {
            device.synchronize()?;
            let start = Instant::now();
            for _ in 0..runs {
                ops::matmul(&a, &b, &ops::Matmul::nn())?;
            }
            device.synchronize()?;
            Ok(start.elapsed().as_secs_f64() / runs as f64)
        };
        time_runs(1)?; // compiles the pipeline
        let once = time_runs(1)?;
        let runs = ((0.05 / once) as usize).clamp(1, 1000);
        let mut times = (0..5).map(|_| time_runs(runs)).collect::<Result<Vec<_>>>()?;
        times.sort_by(f64::total_cmp);
        let seconds = times[times.len() / 2];
        let flops = 2.0 * (n as f64).powi(3);
        rows.push(Row { op: "matmul", m: n, n, k: n, dtype: "f32", ms: seconds * 1e3, gflops: flops / seconds * 1e-9 });
        progress(rows.len());
    }
    Ok(rows)
}

/// Random operands.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    Noise::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)).take(count).collect()
}
