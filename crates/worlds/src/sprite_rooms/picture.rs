//! Pictures of Sprite Rooms: every pixel the mean over its area.

use super::geometry::{BORDER, NAME, Point, SIDE};
use super::scene::Scene;
use super::sprite::Summed;
use crate::error::Result;
use crate::world::check_picture;

const FLOOR: [f64; 3] = [240.0, 234.0, 220.0];
const WALLS: [f64; 3] = [72.0, 76.0, 92.0];
const BAR: [f64; 3] = [24.0, 24.0, 24.0];
/// Half of a drawing's side, px of 64.
const HALF: f64 = 5.5;
/// Half of the bar's length and thickness between the agent and what it holds, px of 64.
const BAR_HALF: (f64, f64) = (2.0, 1.0);

/// A picture being drawn.
struct Canvas<'a> {
    side: usize,
    rgb: &'a mut [u8],
}

impl Canvas<'_> {
    /// Blends what `color` gives, premultiplied color and opacity in 0..1, into each pixel that a rectangle of the world touches.
    /// `color` sees the pixel's left, top, right and bottom in the world.
    fn blend(&mut self, [l, t, r, b]: [f64; 4], color: impl Fn([f64; 4]) -> [f64; 4]) {
        let scale = SIDE / self.side as f64;
        let first = |v: f64| ((v / scale).floor().max(0.0) as usize).min(self.side);
        let last = |v: f64| ((v / scale).ceil().max(0.0) as usize).min(self.side);
        for y in first(t)..last(b) {
            for x in first(l)..last(r) {
                let (left, top) = (x as f64 * scale, y as f64 * scale);
                let [red, green, blue, opacity] = color([left, top, left + scale, top + scale]);
                let at = 3 * (y * self.side + x);
                for (level, value) in self.rgb[at..at + 3].iter_mut().zip([red, green, blue]) {
                    let blended = f64::from(*level) * (1.0 - opacity) + 255.0 * value;
                    *level = (blended + 0.5) as u8;
                }
            }
        }
    }

    fn rectangle(&mut self, rect: [f64; 4], color: [f64; 3]) {
        let [l, t, r, b] = rect;
        self.blend(rect, |[left, top, right, bottom]| {
            let over = |low: f64, high: f64, from: f64, to: f64| (high.min(to) - low.max(from)).max(0.0) / (high - low);
            let share = over(left, right, l, r) * over(top, bottom, t, b);
            let [red, green, blue] = color.map(|v| v / 255.0 * share);
            [red, green, blue, share]
        });
    }

    fn drawing(&mut self, drawing: &Summed, [x, y]: Point) {
        let (left, top) = (x - HALF, y - HALF);
        let part = |v: f64, from: f64| (v - from) / (2.0 * HALF);
        self.blend([left, top, x + HALF, y + HALF], |[l, t, r, b]| {
            drawing.mean(part(l, left), part(t, top), part(r, left), part(b, top))
        });
    }
}

/// Draws a scene with the drawings of agents and of things.
pub(super) fn draw(scene: &Scene, drawings: (&[Summed], &[Summed]), side: usize, rgb: &mut [u8]) -> Result<()> {
    check_picture(NAME, side, rgb)?;
    for pixel in rgb.as_chunks_mut::<3>().0 {
        *pixel = FLOOR.map(|v| v as u8);
    }
    let mut canvas = Canvas { side, rgb };
    for part in scene.wall.parts() {
        canvas.rectangle(part, WALLS);
    }
    let inner = SIDE - BORDER;
    for line in [[0.0, 0.0, SIDE, BORDER], [0.0, inner, SIDE, SIDE], [0.0, 0.0, BORDER, SIDE], [inner, 0.0, SIDE, SIDE]]
    {
        canvas.rectangle(line, WALLS);
    }
    for thing in &scene.things {
        if let Some(drawing) = drawings.1.get(thing.drawing) {
            canvas.drawing(drawing, thing.at);
        }
    }
    if let Some(drawing) = drawings.0.get(scene.agent.drawing) {
        canvas.drawing(drawing, scene.agent.at);
    }
    if let Some(held) = scene.held.and_then(|thing| scene.things.get(thing)) {
        let [x, y] = [0, 1].map(|axis| 0.5 * (held.at[axis] + scene.agent.at[axis]));
        let (w, h) = BAR_HALF;
        canvas.rectangle([x - w, y - h, x + w, y + h], BAR);
    }
    Ok(())
}
