//! The statistic of SIGReg (LeJEPA, arXiv 2511.08544): how far samples lie from a standard normal distribution.

use vljepa_shaders::kernels::loss::{
    SIGREG, SIGREG_GRAD, SIGREG_SUMS, SigregGradParams, SigregParams, SigregSumsParams,
};

use super::elementwise::need_f32;
use super::reduce::mean;
use crate::caps::Capabilities;
use crate::error::{Error, Result};
use crate::launch::Launch;
use crate::reference::sigreg_knots;
use crate::tensor::{Dtype, Tensor};

const OP: &str = "sigreg";
/// Knots that one invocation of `loss/sigreg_sums.wgsl` keeps the sums of.
const BLOCK: usize = 16;

/// Result of [`sigreg`].
#[derive(Clone, Debug)]
pub struct Sigreg {
    /// The statistic, `[1]`.
    pub value: Tensor,
    /// `[groups, knots - 1, 2, directions]`: how far the characteristic functions are off, weighted, for the gradient.
    pub pulls: Tensor,
}

/// How many of `rows` samples one invocation adds up, where there are `lines` sums of them: all on software adapters, on GPUs
/// so few that the adapter is filled, though not fewer than 32.
pub fn choose_sigreg_stretch(caps: &Capabilities, rows: usize, lines: usize) -> usize {
    const INVOCATIONS: usize = 32 * 1024;
    const LEAST: usize = 32;
    let stretches = if caps.software { 1 } else { (INVOCATIONS / lines.max(1)).clamp(1, rows.div_ceil(LEAST).max(1)) };
    rows.div_ceil(stretches).max(1)
}

/// Sizes and the distance of knots, checked.
fn sizes(h: &Tensor, knots: usize, last: f32) -> Result<([usize; 3], f32)> {
    need_f32(OP, &[h])?;
    let &[groups, rows, cols] = h.shape() else {
        return Err(Error::shape(OP, format!("{:?} is not [groups, samples, directions]", h.shape())));
    };
    if h.is_empty() {
        return Err(Error::shape(OP, format!("{:?} has no samples", h.shape())));
    }
    if !(2..=1 << 16).contains(&knots) || !last.is_finite() || last <= 0.0 {
        return Err(Error::Invalid(format!(
            "{OP}: {knots} knots from 0 to {last}: at least 2 are needed, at most 65,536, and the last one beyond 0"
        )));
    }
    Ok(([groups, rows, cols], (f64::from(last) / (knots - 1) as f64) as f32))
}

/// Number of the normal distribution, weight in the statistic and weight in the gradient of each knot but 0.
fn table(rows: usize, knots: usize, last: f32) -> Vec<f32> {
    let of = |[t, normal, weight]: [f64; 3]| [normal, rows as f64 * weight * normal, 2.0 * weight * normal * t];
    sigreg_knots(knots, last.into()).into_iter().skip(1).flat_map(of).map(|v| v as f32).collect()
}

/// For samples `h [groups, samples, directions]`, f32, the mean over groups and directions of
/// samples · Σ_j w_j e^(−t_j²/2) ((mean cos t_j h − e^(−t_j²/2))² + (mean sin t_j h)²), the means over samples: t_j are `knots`
/// knots evenly from 0 to `last`, w the weights of the trapezoid rule over both halves.
///
/// # Errors
/// [`Error::Shape`] when `h` has other axes or is empty, [`Error::Invalid`] for fewer than two knots or a last one that is
/// not beyond 0, [`Error::Dtype`].
pub fn sigreg(h: &Tensor, knots: usize, last: f32) -> Result<Sigreg> {
    let ([groups, rows, cols], spacing) = sizes(h, knots, last)?;
    let device = h.device();
    let count = knots - 1;
    let blocks = count.div_ceil(BLOCK);
    let stretch = choose_sigreg_stretch(device.capabilities(), rows, groups * blocks * cols);
    let stretches = rows.div_ceil(stretch);
    let sums = Tensor::empty(device, &[stretches, groups, count, 2, cols], Dtype::F32)?;
    let params = SigregSumsParams {
        groups: groups as u32,
        rows: rows as u32,
        cols: cols as u32,
        knots: count as u32,
        spacing,
        stretch: stretch as u32,
        stretches: stretches as u32,
    };
    Launch::op(&SIGREG_SUMS, [Some(h), Some(&sums)])
        .overrides(&[("SEVERAL", (blocks > 1).into())])
        .work(8 * h.len() as u64 * count as u64)
        .record_elements(device, &params, (stretches * groups * blocks * cols) as u64)?;
    let table = Tensor::from_f32(device, &[count, 3], &table(rows, knots, last))?;
    let stats = Tensor::empty(device, &[groups, cols], Dtype::F32)?;
    let pulls = Tensor::empty(device, &[groups, count, 2, cols], Dtype::F32)?;
    let params = SigregParams {
        groups: groups as u32,
        rows: rows as u32,
        cols: cols as u32,
        knots: count as u32,
        stretches: stretches as u32,
    };
    Launch::op(&SIGREG, [Some(&sums), Some(&table), Some(&stats), Some(&pulls)])
        .work(4 * sums.len() as u64)
        .record_elements(device, &params, stats.len() as u64)?;
    Ok(Sigreg { value: mean(&stats)?, pulls })
}

/// Gradient of [`sigreg`] with respect to `h`, from that of its value, `[1]`, and its pulls.
///
/// # Errors
/// As [`sigreg`]; also when gradient or pulls do not fit `h`.
pub fn sigreg_backward(grad: &Tensor, h: &Tensor, pulls: &Tensor, knots: usize, last: f32) -> Result<Tensor> {
    let ([groups, rows, cols], spacing) = sizes(h, knots, last)?;
    need_f32(OP, &[grad, pulls])?;
    if grad.len() != 1 || pulls.len() != groups * (knots - 1) * 2 * cols {
        return Err(Error::shape(
            OP,
            format!("gradient {:?}, pulls {:?} for samples {:?}", grad.shape(), pulls.shape(), h.shape()),
        ));
    }
    let dh = Tensor::empty(h.device(), h.shape(), Dtype::F32)?;
    let params = SigregGradParams {
        groups: groups as u32,
        rows: rows as u32,
        cols: cols as u32,
        knots: (knots - 1) as u32,
        spacing,
        factor: 1.0 / (groups * cols) as f32,
    };
    Launch::op(&SIGREG_GRAD, [Some(grad), Some(h), Some(pulls), Some(&dh)])
        .work(8 * h.len() as u64 * (knots - 1) as u64)
        .record_elements(h.device(), &params, (groups * rows.div_ceil(4) * cols) as u64)?;
    Ok(dh)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_split_where_that_fills_a_gpu() {
        let mut caps = Capabilities::none();
        for (rows, lines, want) in
            [(1, 1, 1), (31, 6, 31), (128, 4096, 32), (128, 40_000, 128), (1000, 16_384, 500), (4096, 64, 32)]
        {
            assert_eq!(choose_sigreg_stretch(&caps, rows, lines), want, "{rows} {lines}");
        }
        caps.software = true;
        assert_eq!(choose_sigreg_stretch(&caps, 4096, 64), 4096);
    }
}
