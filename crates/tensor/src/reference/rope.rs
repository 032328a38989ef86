//! Rotary position embeddings.

/// Frequencies of [`rope_3d`] for one head dimension: `s / 2` values `10000^(-k / (s / 2))` with
/// `s = 2 * floor(floor(head_dim / 3) / 2)`, to be uploaded once and shared by every layer.
pub fn rope_3d_frequencies(head_dim: usize) -> Vec<f32> {
    let count = head_dim / 3 / 2;
    (0..count).map(|k| 10_000f64.powf(-(k as f64) / count as f64) as f32).collect()
}

/// In what V-JEPA 2.1 differs from V-JEPA 2; the default is V-JEPA 2's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope3dForm {
    /// Whether the two channels of a pair turn by one angle (V-JEPA 2.1). Otherwise the frequencies are tiled twice over
    /// the channels of an axis, whatever the pairs (V-JEPA 2).
    pub paired: bool,
    /// Factors of a token's row and column (V-JEPA 2.1); frames are not scaled.
    pub scale: (f32, f32),
}

impl Default for Rope3dForm {
    fn default() -> Self {
        Self { paired: false, scale: (1.0, 1.0) }
    }
}

/// [`crate::ops::rope_3d`] of `x: [tokens, heads, head_dim]` with one flat id per token; `transpose` applies the
/// transposed map, which the gradient needs. Angles are rounded to f32, as the definition says.
pub fn rope_3d(
    x: &[f32],
    (heads, head_dim): (usize, usize),
    grid: (usize, usize),
    inv_freq: &[f32],
    ids: &[u32],
    form: Rope3dForm,
    transpose: bool,
) -> Vec<f32> {
    let h = inv_freq.len();
    let mut y = x.to_vec();
    for (token, &id) in ids.iter().enumerate() {
        let id = id as usize;
        let in_frame = id % (grid.0 * grid.1);
        let positions = [
            (id / (grid.0 * grid.1)) as f32,
            (in_frame / grid.1) as f32 * form.scale.0,
            (in_frame % grid.1) as f32 * form.scale.1,
        ];
        for head in 0..heads {
            for (axis, &p) in positions.iter().enumerate() {
                for i in 0..h {
                    let e = 2 * i;
                    let at = (token * heads + head) * head_dim + axis * 2 * h + e;
                    let frequencies = if form.paired { (i, i) } else { (e % h, (e + 1) % h) };
                    let even = f64::from(p * inv_freq[frequencies.0]);
                    let odd = f64::from(p * inv_freq[frequencies.1]);
                    let (a, b) = (f64::from(x[at]), f64::from(x[at + 1]));
                    let (u, v) = if transpose {
                        (a * even.cos() + b * odd.sin(), b * odd.cos() - a * even.sin())
                    } else {
                        (a * even.cos() - b * even.sin(), b * odd.cos() + a * odd.sin())
                    };
                    (y[at], y[at + 1]) = (u as f32, v as f32);
                }
            }
        }
    }
    y
}

/// [`crate::ops::rope_half`] of `x: [tokens, heads, head_dim]` with one position per token; `transpose` turns back.
pub fn rope_half(
    x: &[f32],
    (heads, head_dim): (usize, usize),
    inv_freq: &[f32],
    positions: &[u32],
    transpose: bool,
) -> Vec<f32> {
    let half = head_dim / 2;
    let mut y = x.to_vec();
    for (token, &p) in positions.iter().enumerate() {
        for head in 0..heads {
            for (k, &frequency) in inv_freq.iter().enumerate() {
                let at = (token * heads + head) * head_dim + k;
                let angle = f64::from(p as f32 * frequency) * if transpose { -1.0 } else { 1.0 };
                let (a, b) = (f64::from(x[at]), f64::from(x[at + half]));
                y[at] = (a * angle.cos() - b * angle.sin()) as f32;
                y[at + half] = (b * angle.cos() + a * angle.sin()) as f32;
            }
        }
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_vector_of_v_jepa_2() {
        // Head dimension 60 has the 20 channels of head dimension 64 per axis and no tail; id 3 of a 1 x 1 grid is frame 3.
        let x: Vec<f32> = (0..60).map(|k| 0.1 * (k + 1) as f32).collect();
        let want = [
            -0.127223, 0.166526, 0.083622, 0.449303, 0.453410, 0.614728, 0.690396, 0.803319, 0.898106, 1.000678,
            -1.258336, 1.464136, 0.514946, 1.619601, 1.375287, 1.644273, 1.678381, 1.808063, 1.896211, 2.001431,
        ];
        let inv_freq = rope_3d_frequencies(60);
        let y = rope_3d(&x, (1, 60), (1, 1), &inv_freq, &[3], Rope3dForm::default(), false);
        assert!(y.iter().zip(want).all(|(y, w)| (y - w).abs() < 1e-6), "{y:?}");
        // Row and column are zero, so their channels stay.
        assert_eq!(y[20..], x[20..]);
    }
}
