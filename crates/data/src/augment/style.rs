//! What sets one vendor's drawing of a thing apart from another's: shading, outlines, inner lines, shadows, holes.

use super::options::AugmentOptions;
use super::warp::Plane;
use crate::dice::Dice;

/// Light that falls off across the drawing, and a soft highlight: makes flat drawings look shaded.
pub(super) fn shade(plane: &mut Plane, size: usize, options: &AugmentOptions, dice: &mut Dice) {
    let (sin, cos) = (dice.unit() * std::f32::consts::TAU).sin_cos();
    let slope = dice.between(0.1, 1.0) * options.shade_depth;
    let center = [dice.between(0.15, 0.85), dice.between(0.1, 0.6)];
    let radius = dice.between(0.1, 0.5);
    let shine = dice.between(0.0, 0.7) * f32::from(u8::from(dice.chance(0.6)));
    let rim = dice.between(-0.6, 0.6) * options.shade_depth;
    for y in 0..size {
        let v = (y as f32 + 0.5) / size as f32;
        for x in 0..size {
            let u = (x as f32 + 0.5) / size as f32;
            let pixel = &mut plane[y * size + x];
            let alpha = pixel[3];
            if alpha <= 0.0 {
                continue;
            }
            let (dx, dy) = (u - 0.5, v - 0.5);
            let light = 1.0 + slope * 2.0 * (dx * cos + dy * sin) + rim * (4.0 * (dx * dx + dy * dy) - 0.5);
            let distance = ((u - center[0]).powi(2) + (v - center[1]).powi(2)) / (radius * radius);
            let glow = shine / (1.0 + 2.0 * distance).powi(2);
            for value in &mut pixel[..3] {
                let lit = (*value * light).clamp(0.0, alpha);
                *value = lit + (alpha - lit) * glow;
            }
        }
    }
}

/// A line around the drawing, of one colour, one to three pixels wide.
pub(super) fn outline(plane: &mut Plane, size: usize, dice: &mut Dice) {
    const AROUND: [(isize, isize); 8] = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)];
    let bright = dice.chance(0.35);
    let tint = dice.color().map(|c| if bright { 1.0 - 0.1 * c } else { 0.25 * c });
    let reach = 1 + dice.pick(2) as isize * (size as isize / 48).max(1);
    let alpha: Vec<f32> = plane.iter().map(|pixel| pixel[3]).collect();
    let end = size as isize;
    for y in 0..end {
        for x in 0..end {
            let here = (y * end + x) as usize;
            let mut most = alpha[here];
            for (dx, dy) in AROUND {
                let (nx, ny) = (x + dx * reach, y + dy * reach);
                if (0..end).contains(&nx) && (0..end).contains(&ny) {
                    most = most.max(alpha[(ny * end + nx) as usize]);
                }
            }
            let line = most - alpha[here];
            let pixel = &mut plane[here];
            for k in 0..3 {
                pixel[k] += tint[k] * line;
            }
            pixel[3] = most;
        }
    }
}

/// Dark lines where colours meet inside the drawing.
pub(super) fn ink(plane: &mut Plane, size: usize, dice: &mut Dice) {
    let strength = dice.between(0.4, 1.0);
    let gain = dice.between(1.5, 4.0);
    let luma: Vec<f32> = plane.iter().map(|p| 0.3 * p[0] + 0.6 * p[1] + 0.1 * p[2]).collect();
    for y in 0..size - 1 {
        for x in 0..size - 1 {
            let here = y * size + x;
            let edge = (luma[here + 1] - luma[here]).abs() + (luma[here + size] - luma[here]).abs();
            let keep = 1.0 - strength * (edge * gain - 0.15).clamp(0.0, 1.0);
            for value in &mut plane[here][..3] {
                *value *= keep;
            }
        }
    }
}

/// Removes a rectangle of the drawing.
pub(super) fn hole(plane: &mut Plane, size: usize, options: &AugmentOptions, dice: &mut Dice) {
    let side =
        |dice: &mut Dice| ((dice.between(0.1, options.hole_side.max(0.1)) * size as f32) as usize).clamp(1, size);
    let (width, height) = (side(dice), side(dice));
    let left = dice.pick((size - width + 1) as u32) as usize;
    let top = dice.pick((size - height + 1) as u32) as usize;
    for y in top..top + height {
        plane[y * size + left..][..width].fill([0.0; 4]);
    }
}

/// Darkening of the background below a shifted copy of the drawing, for each pixel: 1 where there is none.
pub(super) fn shadow(plane: &Plane, size: usize, dice: &mut Dice) -> Vec<f32> {
    let depth = dice.between(0.15, 0.5);
    let reach = (size as u32 / 16).max(1);
    let dx = dice.pick(2 * reach + 1) as isize - reach as isize;
    let dy = dice.pick(reach + 1) as isize + 1;
    let end = size as isize;
    let mut out = vec![1.0; size * size];
    for y in 0..end {
        for x in 0..end {
            let (sx, sy) = (x - dx, y - dy);
            if (0..end).contains(&sx) && (0..end).contains(&sy) {
                out[(y * end + x) as usize] = 1.0 - depth * plane[(sy * end + sx) as usize][3];
            }
        }
    }
    out
}

/// Separable Gaussian blur of an opaque picture; `sigma` in pixels.
pub(super) fn blur(picture: &mut Vec<[f32; 3]>, size: usize, sigma: f32) {
    let radius = (2.5 * sigma).ceil().max(1.0) as usize;
    let mut taps: Vec<f32> =
        (0..=2 * radius).map(|k| (-((k as f32 - radius as f32) / sigma).powi(2) / 2.0).exp()).collect();
    let total: f32 = taps.iter().sum();
    taps.iter_mut().for_each(|tap| *tap /= total);
    let last = size - 1;
    for stride in [1, size] {
        let other = size + 1 - stride;
        let mut out = vec![[0.0; 3]; size * size];
        for line in 0..size {
            for at in 0..size {
                let mut sum = [0.0; 3];
                for (k, tap) in taps.iter().enumerate() {
                    let from = (at + k).saturating_sub(radius).min(last);
                    let pixel = picture[line * other + from * stride];
                    for c in 0..3 {
                        sum[c] += pixel[c] * tap;
                    }
                }
                out[line * other + at * stride] = sum;
            }
        }
        *picture = out;
    }
}
