//! Rotary position embeddings.

use vljepa_shaders::kernels::rope::{ROPE_3D, ROPE_HALF, Rope3dParams, RopeHalfParams};

use super::elementwise::need_f32;
use crate::error::{Error, Result};
use crate::launch::Launch;
use crate::tensor::{Dtype, Tensor};

pub use crate::reference::rope::{Rope3dForm, rope_3d_frequencies};

/// Llama 3's stretching of rotary frequencies to long contexts (`rope_scaling` of type `llama3` in `config.json`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Llama3Scaling {
    /// Divides the lowest frequencies.
    pub factor: f64,
    /// Wavelengths above `original_max_position_embeddings / low_freq_factor` are divided by `factor`.
    pub low_freq_factor: f64,
    /// Wavelengths below `original_max_position_embeddings / high_freq_factor` are kept.
    pub high_freq_factor: f64,
    /// Context length of the first training stage.
    pub original_max_position_embeddings: f64,
}

/// Frequencies of [`rope_half`]: `head_dim / 2` values `theta^(-2k / head_dim)`, stretched when `scaling` says so.
pub fn rope_half_frequencies(head_dim: usize, theta: f64, scaling: Option<&Llama3Scaling>) -> Vec<f32> {
    (0..head_dim / 2)
        .map(|k| {
            let inv = theta.powf(-2.0 * k as f64 / head_dim as f64);
            let Some(s) = scaling else { return inv as f32 };
            // Context lengths in wavelengths, so that the two thresholds are the factors themselves.
            let turns = s.original_max_position_embeddings * inv / std::f64::consts::TAU;
            let stretched = if turns > s.high_freq_factor {
                inv
            } else if turns < s.low_freq_factor {
                inv / s.factor
            } else {
                let t = (turns - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
                (1.0 - t) * inv / s.factor + t * inv
            };
            stretched as f32
        })
        .collect()
}

/// Options of [`rope_3d`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Rope3d<'a> {
    /// Heads in the last axis.
    pub heads: usize,
    /// Rows and columns of the patch grid of one frame (tubelet).
    pub grid: (usize, usize),
    /// Frequencies as [`rope_3d_frequencies`] gives them.
    pub inv_freq: &'a Tensor,
    /// Flat token ids, frame slowest: `[N]` for the whole batch or `[B, N]`; `None` is 0..N.
    pub ids: Option<&'a Tensor>,
    /// Which frequencies belong to a channel, and what rows and columns are multiplied by.
    pub form: Rope3dForm,
}

impl<'a> Rope3d<'a> {
    /// Every token of the grid in order.
    pub fn new(heads: usize, grid: (usize, usize), inv_freq: &'a Tensor) -> Self {
        Rope3d { heads, grid, inv_freq, ids: None, form: Rope3dForm::default() }
    }

    /// Tokens kept by a mask or sampled otherwise.
    pub fn ids(mut self, ids: Option<&'a Tensor>) -> Self {
        self.ids = ids;
        self
    }

    /// Another form than V-JEPA 2's.
    pub fn form(mut self, form: Rope3dForm) -> Self {
        self.form = form;
        self
    }
}

/// Options of [`rope_half`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RopeHalf<'a> {
    /// Heads in the last axis.
    pub heads: usize,
    /// Frequencies as [`rope_half_frequencies`] gives them.
    pub inv_freq: &'a Tensor,
    /// Position of the first token, where `positions` does not say otherwise.
    pub offset: usize,
    /// Positions: `[N]` for the whole batch or `[B, N]`; `None` is `offset..offset + N`.
    pub positions: Option<&'a Tensor>,
}

impl<'a> RopeHalf<'a> {
    /// Positions from zero.
    pub fn new(heads: usize, inv_freq: &'a Tensor) -> Self {
        RopeHalf { heads, inv_freq, offset: 0, positions: None }
    }

    /// Positions from `offset`.
    pub fn offset(mut self, offset: usize) -> Self {
        self.offset = offset;
        self
    }

    /// Explicit positions.
    pub fn positions(mut self, positions: Option<&'a Tensor>) -> Self {
        self.positions = positions;
        self
    }
}

/// Checks the operands; tokens, tokens per row of the batch, head dimension, and period of the ids.
fn sizes(
    op: &'static str,
    x: &Tensor,
    heads: usize,
    inv_freq: &Tensor,
    ids: Option<&Tensor>,
) -> Result<(usize, usize, usize)> {
    need_f32(op, &[x, inv_freq])?;
    let [.., n, width] = *x.shape() else {
        return Err(Error::shape(op, format!("{:?} is not [.., tokens, heads * head dim]", x.shape())));
    };
    if heads == 0 || !width.is_multiple_of(heads) || !(width / heads).is_multiple_of(2) {
        return Err(Error::shape(op, format!("a width of {width} does not split into {heads} heads of even size")));
    }
    let (tokens, _) = x.rows_cols();
    if let Some(ids) = ids {
        if ids.dtype() != Dtype::U32 {
            return Err(Error::Dtype { op, what: format!("positions are {:?}, u32 is needed", ids.dtype()) });
        }
        if ids.len() != n && ids.len() != tokens {
            return Err(Error::shape(op, format!("positions {:?} for tokens {:?}", ids.shape(), x.shape())));
        }
    }
    Ok((tokens, width / heads, ids.map_or(n, Tensor::len)))
}

fn run_3d(x: &Tensor, options: &Rope3d<'_>, backward: bool) -> Result<Tensor> {
    const OP: &str = "rope_3d";
    let (tokens, head_dim, ids_len) = sizes(OP, x, options.heads, options.inv_freq, options.ids)?;
    let (rows, cols) = options.grid;
    if rows == 0 || cols == 0 {
        return Err(Error::shape(OP, format!("a patch grid of {rows} by {cols}")));
    }
    if head_dim < 6 || options.inv_freq.len() != head_dim / 3 / 2 {
        return Err(Error::shape(
            OP,
            format!("{} frequencies for a head dimension of {head_dim} (6 at least)", options.inv_freq.len()),
        ));
    }
    let (row_scale, col_scale) = options.form.scale;
    if !row_scale.is_finite() || !col_scale.is_finite() {
        return Err(Error::Invalid(format!("{OP}: rows scaled by {row_scale} and columns by {col_scale}")));
    }
    let y = Tensor::empty(x.device(), x.shape(), Dtype::F32)?;
    let params = Rope3dParams {
        tokens: tokens as u32,
        heads: options.heads as u32,
        head_dim: head_dim as u32,
        ids_len: ids_len as u32,
        grid_cols: cols as u32,
        grid_area: (rows * cols) as u32,
        row_scale,
        col_scale,
    };
    Launch::op(&ROPE_3D, [Some(x), Some(options.inv_freq), options.ids, Some(&y)])
        .overrides(&[
            ("HAS_IDS", options.ids.is_some().into()),
            ("BACKWARD", backward.into()),
            ("PAIRED", options.form.paired.into()),
        ])
        .record_elements(x.device(), &params, (tokens * head_dim / 2) as u64)?;
    Ok(y)
}

/// V-JEPA 2's rotary embedding (or V-JEPA 2.1's, by the form) of queries or keys `[.., N, heads * head_dim]`, f32. The last
/// `head_dim - 6 * floor(floor(head_dim / 3) / 2)` channels of each head stay as they are.
///
/// # Errors
/// [`Error::Shape`] when the width does not split into heads of even size, or the ids, the grid or the frequencies do
/// not fit; [`Error::Invalid`] for a scale that is not finite; [`Error::Dtype`].
pub fn rope_3d(x: &Tensor, options: &Rope3d<'_>) -> Result<Tensor> {
    run_3d(x, options, false)
}

/// Gradient of [`rope_3d`] with respect to `x`, from the gradient of its result.
///
/// # Errors
/// As [`rope_3d`].
pub fn rope_3d_backward(grad: &Tensor, options: &Rope3d<'_>) -> Result<Tensor> {
    run_3d(grad, options, true)
}

fn run_half(x: &Tensor, options: &RopeHalf<'_>, backward: bool) -> Result<Tensor> {
    const OP: &str = "rope_half";
    let (tokens, head_dim, ids_len) = sizes(OP, x, options.heads, options.inv_freq, options.positions)?;
    if options.inv_freq.len() != head_dim / 2 {
        return Err(Error::shape(
            OP,
            format!("{} frequencies for a head dimension of {head_dim}", options.inv_freq.len()),
        ));
    }
    let y = Tensor::empty(x.device(), x.shape(), Dtype::F32)?;
    let params = RopeHalfParams {
        tokens: tokens as u32,
        heads: options.heads as u32,
        head_dim: head_dim as u32,
        ids_len: ids_len as u32,
        offset: options.offset as u32,
    };
    Launch::op(&ROPE_HALF, [Some(x), Some(options.inv_freq), options.positions, Some(&y)])
        .overrides(&[("HAS_IDS", options.positions.is_some().into()), ("BACKWARD", backward.into())])
        .record_elements(x.device(), &params, (tokens * head_dim / 2) as u64)?;
    Ok(y)
}

/// Half-split rotary embedding of queries or keys `[.., N, heads * head_dim]`, f32.
///
/// # Errors
/// [`Error::Shape`] when the width does not split into heads of even size, or positions or frequencies do not fit;
/// [`Error::Dtype`].
pub fn rope_half(x: &Tensor, options: &RopeHalf<'_>) -> Result<Tensor> {
    run_half(x, options, false)
}

/// Gradient of [`rope_half`] with respect to `x`, from the gradient of its result.
///
/// # Errors
/// As [`rope_half`].
pub fn rope_half_backward(grad: &Tensor, options: &RopeHalf<'_>) -> Result<Tensor> {
    run_half(grad, options, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn near(got: f32, want: f64) {
        assert!((f64::from(got) - want).abs() <= 2e-6 * want.abs(), "{got} {want}");
    }

    #[test]
    fn llama_3_2_frequencies_equal_the_reference() {
        let scaling = Llama3Scaling {
            factor: 32.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192.0,
        };
        let scaled = rope_half_frequencies(64, 500_000.0, Some(&scaling));
        let plain = rope_half_frequencies(64, 500_000.0, None);
        assert_eq!(scaled.len(), 32);
        for (k, want) in [
            (0, 1.0),
            (1, 0.6636012),
            (7, 5.666962e-2),
            (14, 3.211446e-3),
            (15, 1.290548e-3),
            (16, 4.295568e-4),
            (17, 9.708288e-5),
            (18, 1.946164e-5),
            (31, 9.418307e-8),
        ] {
            near(scaled[k], want);
        }
        assert_eq!(scaled[..15], plain[..15]);
        assert!((15..18).all(|k| scaled[k] < plain[k] && scaled[k] > plain[k] / 32.0));
        assert!((18..32).all(|k| (scaled[k] * 32.0 - plain[k]).abs() <= 1e-6 * plain[k]));
    }

    #[test]
    fn vjepa_frequencies_equal_the_reference() {
        let got = rope_3d_frequencies(64);
        let want = [1.0, 0.398107, 0.158489, 0.063096, 0.025119, 0.01, 0.003981, 0.001585, 0.000631, 0.000251];
        assert_eq!(got.len(), want.len());
        assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-6));
        assert_eq!((rope_3d_frequencies(80).len(), rope_3d_frequencies(32).len()), (13, 5));
    }
}
