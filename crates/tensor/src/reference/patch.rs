//! Patches of pictures and clips.

use crate::error::{Error, Result};

/// Options of [`conv2d_patches`]: pairs of rows (y) and columns (x).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conv2dPatches {
    /// Height and width of a patch.
    pub kernel: [usize; 2],
    /// Step between patches.
    pub stride: [usize; 2],
    /// Zeros around the picture, on each side.
    pub padding: [usize; 2],
}

impl Conv2dPatches {
    /// Square patches.
    pub fn new(kernel: usize, stride: usize, padding: usize) -> Self {
        Conv2dPatches { kernel: [kernel; 2], stride: [stride; 2], padding: [padding; 2] }
    }

    /// Number of patches along y and x of a picture of this height and width.
    ///
    /// # Errors
    /// [`Error::Shape`] for an empty kernel, a stride of zero, or a padded picture smaller than the kernel.
    pub fn grid(&self, height: usize, width: usize) -> Result<[usize; 2]> {
        let bad = || Error::shape("conv2d_patches", format!("{self:?} over a picture of {height} x {width}"));
        let one = |size: usize, i: usize| {
            let padded = self.padding[i].checked_mul(2).and_then(|p| p.checked_add(size)).ok_or_else(bad)?;
            if self.kernel[i] == 0 || self.stride[i] == 0 || self.padding[i] >= self.kernel[i] || size == 0 {
                return Err(bad());
            }
            padded.checked_sub(self.kernel[i]).map(|rest| rest / self.stride[i] + 1).ok_or_else(bad)
        };
        Ok([one(height, 0)?, one(width, 1)?])
    }
}

/// Calls `f(patch element, picture element)` for every pair inside the picture. `grid` is the number of patches in y, x.
fn each_pair(shape: [usize; 4], grid: [usize; 2], options: &Conv2dPatches, mut f: impl FnMut(usize, usize)) {
    let [batch, height, width, channels] = shape;
    let ([kh, kw], [sy, sx], [py, px]) = (options.kernel, options.stride, options.padding);
    for b in 0..batch {
        for oy in 0..grid[0] {
            for ox in 0..grid[1] {
                for ky in 0..kh {
                    for kx in 0..kw {
                        let (iy, ix) = ((oy * sy + ky).wrapping_sub(py), (ox * sx + kx).wrapping_sub(px));
                        if iy >= height || ix >= width {
                            continue;
                        }
                        for c in 0..channels {
                            let patch = (b * grid[0] + oy) * grid[1] + ox;
                            let from = ((b * height + iy) * width + ix) * channels + c;
                            f(((patch * kh + ky) * kw + kx) * channels + c, from);
                        }
                    }
                }
            }
        }
    }
}

/// Patches of a picture `[batch, height, width, channels]`; `grid` is the number of patches in y and x.
pub fn conv2d_patches(x: &[f32], shape: [usize; 4], grid: [usize; 2], options: &Conv2dPatches) -> Vec<f32> {
    let row = options.kernel[0] * options.kernel[1] * shape[3];
    let mut y = vec![0.0; shape[0] * grid[0] * grid[1] * row];
    each_pair(shape, grid, options, |to, from| y[to] = x[from]);
    y
}

/// Gradient of [`conv2d_patches`] with respect to the picture.
pub fn conv2d_patches_backward(dy: &[f32], shape: [usize; 4], grid: [usize; 2], options: &Conv2dPatches) -> Vec<f32> {
    let mut dx = vec![0.0f64; shape.iter().product()];
    each_pair(shape, grid, options, |to, from| dx[from] += f64::from(dy[to]));
    dx.into_iter().map(|v| v as f32).collect()
}

/// Tubelets of a clip `[batch, frames, channels, height, width]`, tokens by t, h, w, elements by c, t, h, w.
pub fn tubelet_patches(x: &[f32], clip: [usize; 5], tubelet: usize, patch: usize) -> Vec<f32> {
    let [batch, frames, channels, height, width] = clip;
    let mut y = Vec::with_capacity(x.len());
    for b in 0..batch {
        for t in (0..frames).step_by(tubelet) {
            for h in (0..height).step_by(patch) {
                for w in (0..width).step_by(patch) {
                    for c in 0..channels {
                        for dt in 0..tubelet {
                            for dh in 0..patch {
                                for dw in 0..patch {
                                    let frame = (b * frames + t + dt) * channels + c;
                                    y.push(x[(frame * height + h + dh) * width + w + dw]);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    y
}
