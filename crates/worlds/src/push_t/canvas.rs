//! A picture of 512 x 512 as integers draw it, of which only the pixels are kept that a smaller picture is made from.
//!
//! A linear resize reads two rows and two columns of the large picture for each pixel of the small one: for 64 x 64, a sixteenth
//! of it. Shapes are filled row by row, so that the rest costs nothing and the result is the same to the last bit.

use std::ops::Range;

/// Side of the large picture, in px.
const SIDE: i64 = super::geometry::SIDE as i64;

/// A color as 0xRRGGBB.
pub type Color = u32;

/// A place on the large picture.
pub type Pixel = (i64, i64);

/// The two coordinates that a coordinate of the small picture lies between, as places among those kept.
struct Tap {
    first: usize,
    second: usize,
    /// Weights of both, which sum to [`SCALE`].
    weights: [u32; 2],
}

/// Weights are fixed-point numbers, as in OpenCV's resize.
const SCALE: f32 = 2048.0;

/// The kept part of the large picture.
pub struct Canvas {
    /// The coordinates that are kept, rising; the same for rows and columns.
    kept: Vec<i64>,
    /// How many kept coordinates are below each coordinate.
    below: Vec<usize>,
    taps: Vec<Tap>,
    pixels: Vec<Color>,
}

impl Canvas {
    /// An empty canvas for pictures of `side` x `side`, in one color.
    pub fn new(side: usize, color: Color) -> Self {
        let scale = super::geometry::SIDE / side as f64;
        let places: Vec<(i64, f32)> = (0..side)
            .map(|i| {
                let place = ((i as f64 + 0.5) * scale - 0.5) as f32;
                let first = place.floor();
                match first as i64 {
                    ..0 => (0, 0.0),
                    first if first >= SIDE - 1 => (SIDE - 1, 0.0),
                    whole => (whole, place - first),
                }
            })
            .collect();
        let mut needed = [false; SIDE as usize];
        for (first, part) in &places {
            needed[*first as usize] = true;
            needed[(*first as usize + usize::from(*part > 0.0)).min(SIDE as usize - 1)] = true;
        }
        let kept: Vec<i64> = (0..SIDE).filter(|c| needed[*c as usize]).collect();
        let mut below = vec![0; SIDE as usize + 1];
        for (c, needed) in needed.iter().enumerate() {
            below[c + 1] = below[c] + usize::from(*needed);
        }
        let tap = |(first, part): &(i64, f32)| {
            let index = below[*first as usize];
            let weights = [((1.0 - part) * SCALE).round_ties_even() as u32, (part * SCALE).round_ties_even() as u32];
            Tap { first: index, second: index + usize::from(*part > 0.0), weights }
        };
        let taps = places.iter().map(tap).collect();
        let pixels = vec![color; kept.len() * kept.len()];
        Self { kept, below, taps, pixels }
    }

    /// The kept coordinates of a range of coordinates, ends included.
    fn among(&self, from: i64, to: i64) -> Range<usize> {
        let place = |c: i64| self.below[c.clamp(0, SIDE) as usize];
        place(from)..place(to.saturating_add(1)).max(place(from))
    }

    /// Fills columns `from` to `to` of a kept row.
    fn span(&mut self, row: usize, from: i64, to: i64, color: Color) {
        let (columns, width) = (self.among(from, to), self.kept.len());
        self.pixels[row * width..][columns].fill(color);
    }

    /// Fills a rectangle, ends included.
    fn block(&mut self, from: Pixel, to: Pixel, color: Color) {
        for row in self.among(from.1, to.1) {
            self.span(row, from.0, to.0, color);
        }
    }

    /// Fills a polygon of at most eight corners, its rim included: row by row between the places where edges cross the row.
    pub fn polygon(&mut self, corners: &[Pixel], color: Color) {
        let rows = corners.iter().map(|c| c.1);
        let (Some(top), Some(bottom)) = (rows.clone().min(), rows.max()) else { return };
        let edges = || (0..corners.len()).map(|i| (corners[i], corners[(i + 1) % corners.len()]));
        if top == bottom {
            let columns = corners.iter().map(|c| c.0);
            if let (Some(from), Some(to)) = (columns.clone().min(), columns.max()) {
                self.block((from, top), (to, top), color);
            }
            return;
        }
        for row in self.among(top, bottom) {
            let y = self.kept[row];
            let (mut crossings, mut count) = ([0; 8], 0);
            for (a, b) in edges() {
                let ((x1, y1), (x2, y2)) = if a.1 < b.1 { (a, b) } else { (b, a) };
                // The lower end belongs to the next edge, except on the last row.
                if y1 < y2 && ((y1 <= y && y < y2) || (y == bottom && y2 == bottom)) && count < crossings.len() {
                    crossings[count] = ((y - y1) * (x2 - x1)).div_euclid(y2 - y1) + x1;
                    count += 1;
                }
            }
            crossings[..count].sort_unstable();
            for pair in crossings[..count].chunks_exact(2) {
                self.span(row, pair[0], pair[1], color);
            }
        }
        for (a, b) in edges() {
            if a.1 == b.1 && top < a.1 && a.1 < bottom {
                self.block((a.0.min(b.0), a.1), (a.0.max(b.0), a.1), color);
            }
        }
    }

    /// Fills a disc of at most 16 px radius whose middle is the upper left corner of a pixel, by the midpoint rule.
    pub fn disc(&mut self, (x, y): Pixel, radius: i64, color: Color) {
        let mut half = [0; 16];
        let (mut a, mut b, mut error, mut step) = (0, radius.min(16), 1 - radius, -2 * radius);
        while a < b {
            if error >= 0 {
                b -= 1;
                step += 2;
                error += step;
            }
            a += 1;
            error += 2 * a + 1;
            for (row, width) in [(b - 1, if error >= 0 { a } else { 0 }), (a - 1, b)] {
                if let Some(slot) = half.get_mut(row.max(0) as usize) {
                    *slot = width.max(*slot);
                }
            }
        }
        for row in self.among(y - radius, y + radius - 1) {
            let from_middle = self.kept[row] - y;
            let half = half[from_middle.max(-1 - from_middle) as usize];
            if half > 0 {
                self.span(row, x - half, x + half - 1, color);
            }
        }
    }

    /// A line four px thick, measured along the axis that it crosses more steeply.
    pub fn line(&mut self, from: Pixel, to: Pixel, color: Color) {
        let ((mut x, mut y), (dx, dy)) = (from, ((to.0 - from.0).abs(), (to.1 - from.1).abs()));
        let (sx, sy) = ((to.0 - from.0).signum(), (to.1 - from.1).signum());
        let steep = dx <= dy;
        if dx == 0 || dy == 0 {
            let (low, high) = ((x.min(to.0), y.min(to.1)), (x.max(to.0), y.max(to.1)));
            let (before, after) = if steep { ((1, 0), (2, 0)) } else { ((0, 1), (0, 2)) };
            return self.block((low.0 - before.0, low.1 - before.1), (high.0 + after.0, high.1 + after.1), color);
        }
        let mut error = (if dx > dy { dx } else { -dy }) / 2;
        for _ in 0..=dx.max(dy) {
            let (low, high) = if steep { ((x - 1, y), (x + 2, y)) } else { ((x, y - 1), (x, y + 2)) };
            self.block(low, high, color);
            let before = error;
            if before > -dx {
                error -= dy;
                x += sx;
            }
            if before < dy {
                error += dx;
                y += sy;
            }
        }
    }

    /// A thin line whose rim is blended with what lies under it.
    pub fn thin_line(&mut self, from: Pixel, to: Pixel, color: Color) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let steep = dy.abs() > dx.abs();
        let long = dx.abs().max(dy.abs());
        for i in 0..=long {
            let share = if long == 0 { 0.0 } else { i as f64 / long as f64 };
            let (x, y) = (from.0 as f64 + dx as f64 * share, from.1 as f64 + dy as f64 * share);
            let across = if steep { x } else { y };
            let part = across - across.floor();
            for (offset, weight) in [(0, 1.0 - part), (1, part)] {
                let place =
                    if steep { (x.floor() as i64 + offset, y as i64) } else { (x as i64, y.floor() as i64 + offset) };
                if weight > 0.0 {
                    self.mix(place, color, weight);
                }
            }
        }
    }

    fn mix(&mut self, (x, y): Pixel, color: Color, weight: f64) {
        for row in self.among(y, y) {
            for column in self.among(x, x) {
                let pixel = &mut self.pixels[row * self.kept.len() + column];
                let under = channels(*pixel);
                let mixed = channels(color).map(f64::from).into_iter().zip(under);
                *pixel = mixed
                    .fold(0, |all, (new, old)| (all << 8) | (new * weight + f64::from(old) * (1.0 - weight)) as u32);
            }
        }
    }

    /// Writes the small picture: (side, side, 3).
    pub fn resize(&self, rgb: &mut [u8]) {
        let (side, width) = (self.taps.len(), self.kept.len());
        for (y, line) in self.taps.iter().zip(rgb.chunks_exact_mut(3 * side)) {
            let upper = &self.pixels[y.first * width..][..width];
            let lower = &self.pixels[y.second * width..][..width];
            for (x, out) in self.taps.iter().zip(line.chunks_exact_mut(3)) {
                let four = [upper[x.first], upper[x.second], lower[x.first], lower[x.second]];
                let value = if four.iter().all(|c| *c == four[0]) { channels(four[0]) } else { blend(four, x, y) };
                out.copy_from_slice(&value);
            }
        }
    }
}

fn channels(color: Color) -> [u8; 3] {
    [(color >> 16) as u8, (color >> 8) as u8, color as u8]
}

/// First along x, then along y, with the bits dropped in between that OpenCV drops.
fn blend(four: [Color; 4], x: &Tap, y: &Tap) -> [u8; 3] {
    let [a, b, c, d] = four.map(channels);
    std::array::from_fn(|i| {
        let upper = u32::from(a[i]) * x.weights[0] + u32::from(b[i]) * x.weights[1];
        let lower = u32::from(c[i]) * x.weights[0] + u32::from(d[i]) * x.weights[1];
        let share = |row: u32, weight: u32| ((row >> 4) * weight) >> 16;
        ((share(upper, y.weights[0]) + share(lower, y.weights[1]) + 2) >> 2) as u8
    })
}
