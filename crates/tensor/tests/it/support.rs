//! The shared device, test data and comparisons.

use std::sync::OnceLock;

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

pub fn upload(device: &Device, shape: &[usize], data: &[f32]) -> Tensor {
    Tensor::from_f32(device, shape, data).expect("upload")
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
