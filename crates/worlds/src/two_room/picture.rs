//! Pictures of TwoRoom.
//!
//! At 224 the published formula is followed operation by operation in 32 bits. At other sides a pixel is the mean over its area.
//! Both factors of the blob depend on one coordinate, and what is white is a sum of two such products: bands × bands less the wall
//! × what is not door. So the mean over an area is made of means over intervals.

use std::sync::{Arc, Mutex, PoisonError};

use super::geometry::{DOOR_HALF, NAME, RADIUS, SIDE, WALL, WALL_HALF};
use crate::error::Result;
use crate::world::check_picture;

/// The border's lines, px: first and last of the two that run each way.
const LINES: [(usize, usize); 2] = [(10, 13), (210, 213)];
/// Where the blob of the published formula ends, px: what it adds there is lost in the rounding of 32 bits.
const REACH_EXACT: f32 = 44.0;
/// Where the blob ends in pictures of other sides, px: five standard deviations, 0.001 of a level.
const REACH: f64 = 5.0 * RADIUS as f64;
/// Backgrounds that are kept: as many sides as a program draws at a time.
const KEPT: usize = 4;

/// Draws, and keeps what no agent changes.
#[derive(Debug)]
pub(super) struct Pictures {
    door: f32,
    kept: Mutex<Vec<Arc<Background>>>,
}

impl Clone for Pictures {
    fn clone(&self) -> Self {
        Self { door: self.door, kept: Mutex::new(self.kept().clone()) }
    }
}

/// A picture without agent, and the means over the intervals of its pixels.
#[derive(Debug)]
struct Background {
    side: usize,
    /// (side, side): levels.
    white: Vec<u8>,
    /// For each pixel of an axis: which of the 224 it covers, and how much of its length is each.
    cover: Vec<Vec<(usize, f64)>>,
}

impl Pictures {
    pub fn new(door: f32) -> Self {
        Self { door, kept: Mutex::default() }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Background>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn background(&self, side: usize) -> Arc<Background> {
        let mut kept = self.kept();
        if let Some(at) = kept.iter().position(|background| background.side == side) {
            return Arc::clone(&kept[at]);
        }
        let made = Arc::new(Background::new(side, self.door));
        kept.insert(0, Arc::clone(&made));
        kept.truncate(KEPT);
        made
    }

    pub fn draw(&self, agent: [f32; 2], side: usize, rgb: &mut [u8]) -> Result<()> {
        check_picture(NAME, side, rgb)?;
        let background = self.background(side);
        for (pixel, white) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(&background.white) {
            *pixel = [*white; 3];
        }
        match side {
            SIDE => exact_blob(agent, &background.white, rgb),
            _ => background.blob(agent, self.door, rgb),
        }
        Ok(())
    }
}

/// Whether a line of the border runs at this column or row.
fn is_line(at: usize) -> bool {
    LINES.iter().any(|(first, last)| (*first..=*last).contains(&at))
}

fn is_wall(x: usize) -> bool {
    (x as f32 - WALL).abs() <= WALL_HALF
}

fn is_door(y: usize, door: f32) -> bool {
    (y as f32 - door).abs() <= DOOR_HALF
}

/// Parts of what is white, each of one coordinate: white = free(x) · free(y) − wall(x) · beside(y).
fn free(at: usize) -> f64 {
    f64::from(u8::from(!is_line(at)))
}

fn wall(x: usize) -> f64 {
    f64::from(u8::from(is_wall(x)))
}

fn beside(y: usize, door: f32) -> f64 {
    f64::from(u8::from(!is_door(y, door) && !is_line(y)))
}

impl Background {
    fn new(side: usize, door: f32) -> Self {
        let scale = SIDE as f64 / side as f64;
        let cover: Vec<Vec<(usize, f64)>> = (0..side)
            .map(|i| {
                let (low, high) = (i as f64 * scale, (i + 1) as f64 * scale);
                let last = (high.ceil() as usize).min(SIDE);
                let part = |k: usize| high.min((k + 1) as f64) - low.max(k as f64);
                (low as usize..last).map(|k| (k, part(k) / scale)).filter(|(_, part)| *part > 1e-12).collect()
            })
            .collect();
        let mean = |i: usize, of: &dyn Fn(usize) -> f64| cover[i].iter().map(|(k, part)| part * of(*k)).sum::<f64>();
        let axis = |of: &dyn Fn(usize) -> f64| (0..side).map(|i| mean(i, of)).collect::<Vec<f64>>();
        let (open, walls, besides) = (axis(&free), axis(&wall), axis(&|y| beside(y, door)));
        let level = |x: usize, y: usize| (255.0 * (open[x] * open[y] - walls[x] * besides[y])).round() as u8;
        let white = (0..side * side).map(|i| level(i % side, i / side)).collect();
        Self { side, white, cover }
    }

    /// The pixels of an axis that the blob reaches.
    fn reached(&self, at: f64) -> std::ops::Range<usize> {
        let pixel = |v: f64| (v.clamp(0.0, SIDE as f64) * self.side as f64 / SIDE as f64) as usize;
        pixel(at - REACH)..(pixel(at + REACH) + 1).min(self.side)
    }

    fn blob(&self, agent: [f32; 2], door: f32, rgb: &mut [u8]) {
        let [x, y] = agent.map(f64::from);
        let variance = f64::from(RADIUS * RADIUS);
        // The blob is one at the pixel of the 224 that is next to its middle.
        let value = |k: usize, at: f64| {
            let (here, middle) = (k as f64 - at, at.round() - at);
            ((middle * middle - here * here) / (2.0 * variance)).exp()
        };
        let means = |at: f64, of: &dyn Fn(usize) -> [f64; 2]| -> Vec<[f64; 3]> {
            let mean = |i: usize| {
                self.cover[i].iter().fold([0.0; 3], |[all, a, b], (k, part)| {
                    let blob = part * value(*k, at);
                    let [of_a, of_b] = of(*k);
                    [all + blob, a + blob * of_a, b + blob * of_b]
                })
            };
            self.reached(at).map(mean).collect()
        };
        let (columns, rows) = (means(x, &|k| [free(k), wall(k)]), means(y, &|k| [free(k), beside(k, door)]));
        let (first_x, first_y) = (self.reached(x).start, self.reached(y).start);
        // The background again, not yet rounded.
        let axis = |first: usize, i: usize, of: &dyn Fn(usize) -> f64| -> f64 {
            self.cover[first + i].iter().map(|(k, part)| part * of(*k)).sum()
        };
        let plain_x: Vec<[f64; 2]> =
            (0..columns.len()).map(|i| [axis(first_x, i, &free), axis(first_x, i, &wall)]).collect();
        for (j, [blob_y, free_y, beside_y]) in rows.iter().enumerate() {
            let (plain_free, plain_beside) = (axis(first_y, j, &free), axis(first_y, j, &|k| beside(k, door)));
            let start = 3 * ((first_y + j) * self.side + first_x);
            let row = rgb[start..].as_chunks_mut::<3>().0;
            for ((pixel, [blob_x, free_x, wall_x]), [open, walls]) in row.iter_mut().zip(&columns).zip(&plain_x) {
                let white = open * plain_free - walls * plain_beside;
                let other = white - (free_x * free_y - wall_x * beside_y);
                let red = other + blob_x * blob_y;
                *pixel = [red, other, other].map(|v| (255.0 * v).round() as u8);
            }
        }
    }
}

/// The published blob: red, one at its greatest value, blended and cut to 8 bits.
fn exact_blob(agent: [f32; 2], white: &[u8], rgb: &mut [u8]) {
    let near = |at: f32| {
        let (low, high) = ((at - REACH_EXACT).max(0.0), (at + REACH_EXACT).min(SIDE as f32 - 1.0));
        low as usize..high as usize + 1
    };
    let (columns, rows) = (near(agent[0]), near(agent[1]));
    let dot = |x: usize, y: usize| {
        let [dx, dy] = [x as f32 - agent[0], y as f32 - agent[1]];
        (-(dx * dx + dy * dy) / (2.0 * RADIUS * RADIUS)).exp()
    };
    // The greatest value is at one of the pixels around the middle.
    let around = |at: f32| [at.floor() as usize, (at.floor() as usize + 1).min(SIDE - 1)];
    let greatest =
        around(agent[1]).into_iter().flat_map(|y| around(agent[0]).map(|x| dot(x, y))).fold(0.0f32, f32::max);
    for y in rows {
        for x in columns.clone() {
            let alpha = (dot(x, y) / greatest).clamp(0.0, 1.0);
            let at = y * SIDE + x;
            let below = f32::from(white[at]) * (1.0 - alpha);
            rgb[3 * at..3 * at + 3].copy_from_slice(&[(below + 255.0 * alpha) as u8, below as u8, below as u8]);
        }
    }
}
