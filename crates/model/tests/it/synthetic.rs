//! Tensors that are made from their names instead of stored: the twin of `synthetic` in `fixtures/make_vision.py`.

use vljepa_model::{ParamSource, Result};

/// Uniform numbers of the given deviation; without one, what `make_vision.py` gives a parameter of this name and shape.
pub fn synthetic(name: &str, shape: &[usize], scale: Option<f64>) -> Vec<f32> {
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let width = scale.unwrap_or(if shape.len() >= 2 { 0.08 } else { 0.1 });
    let shift = if scale.is_none() && shape.len() == 1 && name.ends_with("weight") { 1.0 } else { 0.0 };
    let number = |i: usize| {
        let z = seed.wrapping_add((i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let z = z ^ (z >> 31);
        let unit = ((z >> 40) as f64 / 8_388_608.0 - 1.0) as f32;
        unit * (width * 3f64.sqrt()) as f32 + shift
    };
    (0..shape.iter().product()).map(number).collect()
}

/// Every parameter from its name.
pub struct Synthetic;

impl ParamSource for Synthetic {
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        Ok(synthetic(name, shape, None))
    }
}
