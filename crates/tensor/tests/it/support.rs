//! The shared device, test data and comparisons.

use std::sync::OnceLock;

use vljepa_tensor::autograd::{self, Tape, Var};
use vljepa_tensor::{Device, DeviceOptions, Tensor};

/// The device of the whole run. Without an adapter the tests fail, they do not skip.
pub fn device() -> Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE
        .get_or_init(|| {
            let device = Device::open(DeviceOptions::default()).expect("the tests need a GPU adapter");
            eprintln!("adapter: {} ({:?})", device.info().name, device.capabilities());
            device
        })
        .clone()
}

/// Devices with each capability forced off in turn, and with all of them.
pub fn devices() -> Vec<(String, Device)> {
    static DEVICES: OnceLock<Vec<(String, Device)>> = OnceLock::new();
    DEVICES
        .get_or_init(|| {
            let mut all = vec![("everything on".to_owned(), device())];
            for off in ["subgroup", "software", "f16", "all"] {
                let mut options = DeviceOptions::default();
                options.disable = off.to_owned();
                let opened = Device::open(options).expect("a device with fewer capabilities");
                all.push((format!("{off} off"), opened));
            }
            all
        })
        .clone()
}

/// The device with everything on and the one with nothing: for kernels that have one variant only.
pub fn two_devices() -> [(String, Device); 2] {
    let mut options = DeviceOptions::default();
    options.disable = "all".to_owned();
    let plain = Device::open(options).expect("a device with fewer capabilities");
    [("everything on".to_owned(), device()), ("all off".to_owned(), plain)]
}

/// Repeatable numbers in [-1, 1) without symmetry.
pub fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32) / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// Logits of size ten around an offset that overflows exp when nothing is subtracted.
pub fn logits(seed: u64, len: usize) -> Vec<f32> {
    noise(seed, len).into_iter().map(|v| 10.0 * v + 300.0).collect()
}

/// `len` numbers from `low` to `high`, evenly spaced.
pub fn grid(low: f32, high: f32, len: usize) -> Vec<f32> {
    (0..len).map(|i| low + (high - low) * i as f32 / (len - 1) as f32).collect()
}

pub fn upload(device: &Device, shape: &[usize], data: &[f32]) -> Tensor {
    Tensor::from_f32(device, shape, data).expect("upload")
}

/// Leaves NaN in the memory that the next tensors of these lengths get, so that an element that a kernel forgets to write
/// shows.
pub fn poison(device: &Device, lens: &[usize]) {
    let tensors: Vec<Tensor> = lens.iter().map(|&len| upload(device, &[len], &vec![f32::NAN; len])).collect();
    device.synchronize().expect("synchronize");
    drop(tensors);
}

/// Passes when |got - want| <= abs + rel * |want| everywhere; infinities must be equal and NaN must meet NaN.
#[track_caller]
pub fn assert_close(what: &str, got: &[f32], want: &[f32], abs: f32, rel: f32) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    let bad: Vec<usize> = (0..got.len())
        .filter(|&i| {
            let (g, w) = (got[i], want[i]);
            !(g == w || (g.is_nan() && w.is_nan()) || (g - w).abs() <= abs + rel * w.abs())
        })
        .collect();
    if let Some(&worst) = bad.iter().max_by(|&&i, &&j| (got[i] - want[i]).abs().total_cmp(&(got[j] - want[j]).abs())) {
        panic!(
            "{what}: {} of {} differ; worst at {worst}: got {}, want {} (first at {})",
            bad.len(),
            got.len(),
            got[worst],
            want[worst],
            bad[0]
        );
    }
}

/// Tolerance of a sum of `len` products of numbers of size one in f32: rounding grows like the square root, with a
/// factor of 8 for unlucky orders.
pub fn sum_tolerance(len: usize) -> f32 {
    8.0 * f32::EPSILON * (len.max(1) as f32).sqrt()
}

/// Checks value and gradients of `graph` against `twin` and its central differences. The operator stands in the middle:
/// its inputs are scaled leaves and its result is weighted unevenly, so that a gradient that ignores either is caught.
/// `tolerance` is relative to the largest gradient of each input.
#[track_caller]
pub fn check_gradients(
    what: &str,
    device: &Device,
    inputs: &[(&[usize], Vec<f32>)],
    graph: impl Fn(&[Var]) -> Var,
    twin: impl Fn(&[Vec<f32>]) -> Vec<f32>,
    tolerance: f32,
) {
    const FACTOR: f32 = 0.75;
    const STEP: f32 = 1.0 / 128.0;
    let scaled =
        |inputs: &[Vec<f32>]| twin(&inputs.iter().map(|x| x.iter().map(|v| v * FACTOR).collect()).collect::<Vec<_>>());
    let tape = Tape::new();
    let leaves: Vec<Var> = inputs.iter().map(|(shape, data)| tape.leaf(upload(device, shape, data))).collect();
    let scaled_leaves: Vec<Var> = leaves.iter().map(|l| autograd::scale(l, FACTOR).expect("scale")).collect();
    let y = graph(&scaled_leaves);
    let mut points: Vec<Vec<f32>> = inputs.iter().map(|(_, data)| data.clone()).collect();
    let want = scaled(&points);
    let size = |v: &[f32]| v.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
    assert_close(&format!("{what}: value"), &y.value().to_f32().expect("value"), &want, 1e-5 * size(&want), 0.0);
    let seed: Vec<f32> = noise(99, want.len()).iter().map(|v| v + 0.3).collect();
    let grads = tape.backward(&y, Some(upload(device, y.shape(), &seed))).expect("backward");
    for i in 0..points.len() {
        let loss = |at: usize, value: f32, points: &mut Vec<Vec<f32>>| {
            points[i][at] = value;
            scaled(points).iter().zip(&seed).map(|(&y, &s)| f64::from(y) * f64::from(s)).sum::<f64>()
        };
        let numeric: Vec<f32> = (0..points[i].len())
            .map(|at| {
                let x = points[i][at];
                let rise = loss(at, x + STEP, &mut points) - loss(at, x - STEP, &mut points);
                points[i][at] = x;
                (rise / f64::from(2.0 * STEP)) as f32
            })
            .collect();
        let got = grads.get(&leaves[i]).expect("a gradient");
        assert_eq!(got.shape(), leaves[i].shape(), "{what}: shape of gradient {i}");
        let got = got.to_f32().expect("gradient");
        assert_close(&format!("{what}: gradient {i}"), &got, &numeric, tolerance * size(&numeric), 0.0);
    }
}

/// The devices that differ to row-wise operators: one invocation per row, and shared rows.
pub fn row_devices() -> Vec<(String, Device)> {
    devices().into_iter().filter(|(name, _)| ["everything on", "software off"].contains(&name.as_str())).collect()
}

pub fn widen(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| v.into()).collect()
}

pub fn narrow(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&v| v as f32).collect()
}

/// `a [m, k] · b [k, n]` in f64, for graphs that finite differences are taken of.
pub fn matmul64(a: &[f64], b: &[f64], (m, n, k): (usize, usize, usize)) -> Vec<f64> {
    let at = |i: usize| (0..k).map(|l| a[i / n * k + l] * b[l * n + i % n]).sum();
    (0..m * n).map(at).collect()
}

/// Central differences of `f` at `x`.
pub fn differences(x: &[f64], step: f64, f: impl Fn(&[f64]) -> f64) -> Vec<f32> {
    let mut x = x.to_vec();
    (0..x.len())
        .map(|i| {
            let old = x[i];
            x[i] = old + step;
            let up = f(&x);
            x[i] = old - step;
            let down = f(&x);
            x[i] = old;
            ((up - down) / (2.0 * step)) as f32
        })
        .collect()
}
