//! One inverse warp: affine, with a low wave on top, bilinear, in premultiplied colour.

use super::options::AugmentOptions;
use crate::Rgba8Image;
use crate::dice::Dice;

/// Premultiplied 0..1 pixels of a square, row-major.
pub(super) type Plane = Vec<[f32; 4]>;

/// A source with a transparent border of one pixel, so that sampling needs no edge cases.
pub(super) struct Source {
    width: usize,
    height: usize,
    data: Plane,
}

impl Source {
    /// `gamma` bends the tone curve of the colours.
    pub fn new(picture: &Rgba8Image, gamma: f32) -> Self {
        let table: [f32; 256] = std::array::from_fn(|value| (value as f32 / 255.0).powf(gamma));
        let (width, height) = (picture.width as usize + 2, picture.height as usize + 2);
        let mut data = vec![[0.0; 4]; width * height];
        for (y, row) in picture.data.chunks_exact(picture.width as usize * 4).enumerate() {
            let line = &mut data[(y + 1) * width + 1..][..picture.width as usize];
            for (slot, pixel) in line.iter_mut().zip(row.chunks_exact(4)) {
                let alpha = f32::from(pixel[3]) / 255.0;
                let premultiplied = |channel: usize| table[usize::from(pixel[channel])] * alpha;
                *slot = [premultiplied(0), premultiplied(1), premultiplied(2), alpha];
            }
        }
        Self { width, height, data }
    }

    /// The value at a position in pixels of the unpadded source, pixel centres at .5.
    fn sample(&self, x: f32, y: f32) -> [f32; 4] {
        let x = (x + 0.5).clamp(0.0, (self.width - 1) as f32 - 0.001);
        let y = (y + 0.5).clamp(0.0, (self.height - 1) as f32 - 0.001);
        let (left, top) = (x as usize, y as usize);
        let (fx, fy) = (x - left as f32, y - top as f32);
        let start = top * self.width + left;
        let (a, b) = (self.data[start], self.data[start + 1]);
        let (c, d) = (self.data[start + self.width], self.data[start + self.width + 1]);
        std::array::from_fn(|k| {
            let upper = a[k] + (b[k] - a[k]) * fx;
            let lower = c[k] + (d[k] - c[k]) * fx;
            upper + (lower - upper) * fy
        })
    }
}

/// Where each output pixel comes from. Coordinates are fractions of the frame, its centre at zero.
#[derive(Clone, Debug)]
pub(super) struct Warp {
    /// Output to source, 2x2.
    inverse: [[f32; 2]; 2],
    shift: [f32; 2],
    /// Amplitude, frequency and phase of the wave in x along y, and in y along x.
    waves: [[f32; 3]; 2],
}

impl Warp {
    pub fn draw(options: &AugmentOptions, mirror_allowed: bool, dice: &mut Dice) -> Self {
        let [low, high] = options.scale;
        let scale = (dice.between(low.ln(), high.ln())).exp();
        let stretch = dice.spread(options.stretch).exp();
        let small = dice.bell(options.rotation);
        let wide = dice.spread(options.far_rotation);
        let degrees = if dice.chance(options.far) { wide } else { small };
        let (sin, cos) = degrees.to_radians().sin_cos();
        let shear = [dice.spread(options.shear), dice.spread(options.shear)];
        let mirror = dice.chance(options.mirror) && mirror_allowed;
        let sx = scale * stretch * if mirror { -1.0 } else { 1.0 };
        let sy = scale / stretch;
        // Forward: scale, shear, rotate.
        let sheared = [[sx, shear[0] * sy], [shear[1] * sx, sy]];
        let row = |a: f32, b: f32| [a * sheared[0][0] + b * sheared[1][0], a * sheared[0][1] + b * sheared[1][1]];
        let forward = [row(cos, -sin), row(sin, cos)];
        let determinant = forward[0][0] * forward[1][1] - forward[0][1] * forward[1][0];
        // Strong shears can nearly flatten the picture; such a draw becomes the plain scale.
        let inverse = if determinant.abs() < 0.2 * scale * scale {
            [[1.0 / scale, 0.0], [0.0, 1.0 / scale]]
        } else {
            [
                [forward[1][1] / determinant, -forward[0][1] / determinant],
                [-forward[1][0] / determinant, forward[0][0] / determinant],
            ]
        };
        let shift = [dice.bell(options.shift), dice.bell(options.shift)];
        let waves = std::array::from_fn(|_| {
            let amplitude = dice.bell(options.wave);
            [amplitude, dice.between(0.5, 1.5), dice.unit()]
        });
        Self { inverse, shift, waves }
    }

    /// Draws the source into a square of `size` pixels.
    pub fn run(&self, source: &Source, size: usize) -> Plane {
        let wave = |index: usize, samples: usize| -> Vec<f32> {
            let [amplitude, frequency, phase] = self.waves[index];
            let turns = |k: usize| frequency * (k as f32 + 0.5) / samples as f32 + phase;
            (0..samples).map(|k| amplitude * (turns(k) * std::f32::consts::TAU).sin()).collect()
        };
        let (width, height) = ((source.width - 2) as f32, (source.height - 2) as f32);
        // Shrinking by more than this skips source pixels, so four samples are averaged.
        let step = self.inverse.iter().flatten().map(|v| v * v).sum::<f32>().sqrt() / std::f32::consts::SQRT_2;
        let grid = if step * width.max(height) / size as f32 > 1.35 { 2 } else { 1 };
        let fine = size * grid;
        let (along_y, along_x) = (wave(0, fine), wave(1, fine));
        let weight = 1.0 / (grid * grid) as f32;
        let mut out = vec![[0.0; 4]; size * size];
        for fy in 0..fine {
            let y = (fy as f32 + 0.5) / fine as f32 - 0.5 - self.shift[1];
            let line = &mut out[fy / grid * size..][..size];
            for fx in 0..fine {
                let px = (fx as f32 + 0.5) / fine as f32 - 0.5 - self.shift[0] + along_y[fy];
                let py = y + along_x[fx];
                let sx = self.inverse[0][0] * px + self.inverse[0][1] * py;
                let sy = self.inverse[1][0] * px + self.inverse[1][1] * py;
                let value = source.sample((sx + 0.5) * width, (sy + 0.5) * height);
                let slot = &mut line[fx / grid];
                for k in 0..4 {
                    slot[k] += value[k] * weight;
                }
            }
        }
        out
    }
}
