//! What the adapter can do at best, measured: bytes copied and multiply-adds per second.

use std::time::Duration;

use vljepa_tensor::shaders::{Access, Kernel, Params, params};
use vljepa_tensor::{Device, Dtype, Launch, Tensor};

use crate::error::Result;
use crate::timing::{STRETCH, median, runs_per_stretch, stretch};
use crate::work::Work;

params! {
    /// As in `fma_peak.wgsl`.
    FmaPeakParams { trips: u32, factor: f32, term: f32 }
}

const FMA_PEAK: Kernel = Kernel {
    name: "bench_fma_peak",
    file: "fma_peak.wgsl",
    bindings: &[Access::ReadWrite],
    params: FmaPeakParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

/// Floating-point operations of one trip of the kernel.
const FLOPS_PER_TRIP: u64 = 96;

/// Measured limits of one adapter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roofline {
    /// Billions of bytes per second of a copy from device memory to device memory, read and written counted.
    pub gbps: f64,
    /// Billions of floating-point operations per second of f32 multiply-adds in registers.
    pub gflops: f64,
}

impl Roofline {
    /// Measures both. `small` runs once with little work, to show that it works.
    ///
    /// # Errors
    /// What allocating and running report.
    pub fn measure(device: &Device, small: bool) -> Result<Self> {
        let len = if small { 1 << 12 } else { 1 << 24 };
        let (from, to) = (Tensor::zeros(device, &[len], Dtype::F32)?, Tensor::zeros(device, &[len], Dtype::F32)?);
        let copy = best(device, small, &mut |_| Ok(to.copy_from(&from)?))?;
        let (count, trips) = if small { (64, 2) } else { (1 << 16, 512) };
        let fma = best(device, small, &mut |_| fma_sums(device, count, trips, 0.5, 1.0).map(|_| ()))?;
        Ok(Roofline {
            gbps: 2.0 * 4.0 * len as f64 / copy * 1e-9,
            gflops: (FLOPS_PER_TRIP * u64::from(trips) * count as u64) as f64 / fma * 1e-9,
        })
    }

    /// The share of the roof that a rate reaches.
    pub fn fraction(&self, work: Work, seconds: f64) -> Option<f64> {
        let rate = work.rate(seconds)?;
        match work {
            Work::Flops(_) => Some(rate / self.gflops),
            Work::Bytes(_) => Some(rate / self.gbps),
            Work::Items(_) | Work::Time => None,
        }
    }
}

/// Seconds of one run, the best of five stretches: a roof is what is possible.
fn best(device: &Device, small: bool, run: &mut dyn FnMut(usize) -> Result<()>) -> Result<f64> {
    let (shortest, tries) = if small { (Duration::ZERO, 1) } else { (5 * STRETCH, 5) };
    let count = runs_per_stretch(device, shortest, run)?;
    let times: Result<Vec<f64>> =
        (0..tries).map(|_| Ok(stretch(device, 0, count, run)?.as_secs_f64() / count as f64)).collect();
    let times = times?;
    Ok(times.iter().copied().min_by(f64::total_cmp).or_else(|| median(&times)).unwrap_or(f64::NAN))
}

fn fma_sums(device: &Device, count: usize, trips: u32, factor: f32, term: f32) -> Result<Tensor> {
    let sums = Tensor::uninitialized(device, &[count], Dtype::F32)?;
    let params = FmaPeakParams { trips, factor, term };
    Launch::new(&FMA_PEAK, [Some(&sums)])
        .text(include_str!("fma_peak.wgsl"))
        .work(FLOPS_PER_TRIP * u64::from(trips) * count as u64)
        .record_elements(device, &params, count as u64)?;
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vljepa_tensor::DeviceOptions;

    #[test]
    fn the_peak_kernel_runs_every_trip() {
        let device = Device::open(DeviceOptions::default()).unwrap();
        // Doubling four times a trip: 2^(4·2) times the start, plus no term.
        let sums = fma_sums(&device, 3, 2, 2.0, 0.0).unwrap().to_f32().unwrap();
        let start = |at: f32| [at, 1.0, 2.0, 3.0].iter().map(|x| x + (x + 4.0) + (x + 8.0)).sum::<f32>();
        assert_eq!(sums, [0.0, 1.0, 2.0].map(|at| 256.0 * start(at)));
        let roof = Roofline::measure(&device, true).unwrap();
        assert!(roof.gbps > 0.0 && roof.gflops > 0.0, "{roof:?}");
    }

    #[test]
    fn fractions_are_of_the_matching_roof() {
        let roof = Roofline { gbps: 10.0, gflops: 100.0 };
        assert_eq!(roof.fraction(Work::Flops(50e9), 1.0), Some(0.5));
        assert_eq!(roof.fraction(Work::Bytes(5e9), 0.5), Some(1.0));
        assert_eq!(roof.fraction(Work::Time, 1.0), None);
        assert_eq!(roof.fraction(Work::Items(5.0), 1.0), None);
    }
}
