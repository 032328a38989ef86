//! Rounding to other element types.

use half::f16;

/// Rounded to half precision and back.
pub fn round_f16(x: &[f32]) -> Vec<f32> {
    x.iter().map(|&x| f16::from_f32(x).to_f32()).collect()
}

/// What rows of `cols` numbers are as signed bytes with a scale each (twin of [`crate::Dtype::I8`]): multiples of the row's
/// largest magnitude over 127, NaN where a number of the row is not finite.
pub fn round_i8(x: &[f32], cols: usize) -> Vec<f32> {
    let row = |row: &[f32]| -> Vec<f32> {
        if !row.iter().all(|v| v.is_finite()) {
            return vec![f32::NAN; row.len()];
        }
        let top = row.iter().fold(0.0f32, |top, v| top.max(v.abs()));
        let scale = top / 127.0;
        let byte = |v: &f32| (f64::from(*v) / f64::from(scale)).round_ties_even();
        row.iter().map(|v| if scale > 0.0 { (f64::from(scale) * byte(v)) as f32 } else { 0.0 }).collect()
    };
    x.chunks(cols.max(1)).flat_map(row).collect()
}
