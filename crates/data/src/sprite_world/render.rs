//! A scene to pixels.

use super::cast::{Drawing, Level};
use super::scene::{Actor, Pose};

/// Draws a thing onto an RGB frame of `side` pixels.
pub(super) fn draw(frame: &mut [u8], side: usize, drawing: &Drawing, actor: &Actor, pose: &Pose) {
    let pixels = pose.size * side as f32;
    if pose.alpha <= 0.0 || pixels < 1.0 {
        return;
    }
    // The smallest level that need not be enlarged.
    let fits = |level: &&Level| level.width.max(level.height) as f32 >= pixels * 0.99;
    let Some(level) = drawing.levels.iter().rev().find(fits).or(drawing.levels.first()) else { return };
    let scale = level.width.max(level.height) as f32 / pixels;
    let (sin, cos) = pose.angle.sin_cos();
    let (cx, cy) = (pose.x * side as f32, pose.y * side as f32);
    let (half_width, half_height) = (level.width as f32 / scale / 2.0, level.height as f32 / scale / 2.0);
    let reach_x = half_width * cos.abs() + half_height * sin.abs() + 1.0;
    let reach_y = half_width * sin.abs() + half_height * cos.abs() + 1.0;
    let lines = |centre: f32, reach: f32| {
        let clamp = |v: f32| v.clamp(0.0, side as f32) as usize;
        clamp((centre - reach).floor())..clamp((centre + reach).ceil())
    };
    let mirror = if actor.mirrored { -1.0 } else { 1.0 };
    let alpha = (pose.alpha * 256.0) as u32;
    for y in lines(cy, reach_y) {
        let dy = y as f32 + 0.5 - cy;
        for x in lines(cx, reach_x) {
            let dx = x as f32 + 0.5 - cx;
            let u = (dx * cos + dy * sin) * scale * mirror + level.width as f32 / 2.0 - 0.5;
            let v = (dy * cos - dx * sin) * scale + level.height as f32 / 2.0 - 0.5;
            let Some(color) = level.sample(u, v) else { continue };
            let color = color.map(|c| c * alpha / 256);
            let through = 255 - color[3].min(255);
            let at = (y * side + x) * 3;
            for (slot, over) in frame[at..at + 3].iter_mut().zip(color) {
                *slot = (over + (u32::from(*slot) * through + 127) / 255).min(255) as u8;
            }
        }
    }
}

impl Level {
    /// Bilinear, with transparent pixels around; `None` where nothing is.
    fn sample(&self, u: f32, v: f32) -> Option<[u32; 4]> {
        if u <= -1.0 || v <= -1.0 || u >= self.width as f32 || v >= self.height as f32 {
            return None;
        }
        let (left, top) = (u.floor(), v.floor());
        let (fu, fv) = (((u - left) * 256.0) as u32, ((v - top) * 256.0) as u32);
        let (left, top) = (left as isize, top as isize);
        let at = |x: isize, y: isize| -> [u8; 4] {
            let inside = x >= 0 && y >= 0 && (x as usize) < self.width && (y as usize) < self.height;
            if inside { self.data[y as usize * self.width + x as usize] } else { [0; 4] }
        };
        let four = [at(left, top), at(left + 1, top), at(left, top + 1), at(left + 1, top + 1)];
        let weights = [(256 - fu) * (256 - fv), fu * (256 - fv), (256 - fu) * fv, fu * fv];
        let color: [u32; 4] = std::array::from_fn(|k| {
            let sum: u32 = four.iter().zip(weights).map(|(pixel, weight)| u32::from(pixel[k]) * weight).sum();
            (sum + 32_768) >> 16
        });
        (color[3] > 0).then_some(color)
    }
}
