//! Drawings.

use super::geometry::NAME;
use crate::error::{Result, WorldError};

const MAX_SIDE: usize = 1024;

/// A drawing, as it comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sprite {
    /// What it shows, as it stands in sentences: "dog".
    pub name: String,
    /// Pixels of a side.
    pub side: usize,
    /// (side, side, 4): red, green, blue and opacity, not multiplied.
    pub rgba: Vec<u8>,
}

impl Sprite {
    /// Checks name and sizes.
    ///
    /// # Errors
    /// A name that is empty or has spaces at its ends, a side of 0 or above 1024, another length than 4 · side².
    pub(super) fn check(&self) -> Result<()> {
        let fail = |what: String| Err(WorldError::Options { origin: NAME, what });
        if self.name.is_empty() || self.name.trim() != self.name {
            return fail(format!("the name of a drawing is `{}`; it must not be empty or end in spaces", self.name));
        }
        if !(1..=MAX_SIDE).contains(&self.side) {
            return fail(format!("`{}` has a side of {} pixels; 1 to {MAX_SIDE} are possible", self.name, self.side));
        }
        let (expected, found) = (4 * self.side * self.side, self.rgba.len());
        if expected != found {
            let what = format!("the drawing `{}`", self.name);
            return Err(WorldError::Length { origin: NAME, what, expected, found });
        }
        Ok(())
    }
}

/// A drawing of which any part's mean is at hand: sums over all pixels above and to the left.
#[derive(Clone, Debug)]
pub(super) struct Summed {
    side: usize,
    /// (side + 1, side + 1): red, green, blue times opacity, and opacity, each up to 1.
    sums: Vec<[f64; 4]>,
}

impl Summed {
    pub fn new(sprite: &Sprite) -> Self {
        let side = sprite.side;
        let mut sums = vec![[0.0; 4]; (side + 1) * (side + 1)];
        for y in 0..side {
            let mut row = [0.0; 4];
            for x in 0..side {
                let at = 4 * (y * side + x);
                let [r, g, b, a] = [0, 1, 2, 3].map(|c| f64::from(sprite.rgba[at + c]) / 255.0);
                let above = sums[y * (side + 1) + x + 1];
                for (c, value) in [r * a, g * a, b * a, a].into_iter().enumerate() {
                    row[c] += value;
                    sums[(y + 1) * (side + 1) + x + 1][c] = above[c] + row[c];
                }
            }
        }
        Self { side, sums }
    }

    /// The sum over everything above and left of a point, given in pixels.
    fn sum(&self, x: f64, y: f64) -> [f64; 4] {
        let limit = self.side as f64;
        let (x, y) = (x.clamp(0.0, limit), y.clamp(0.0, limit));
        let (i, j) = ((x as usize).min(self.side - 1), (y as usize).min(self.side - 1));
        let (u, v) = (x - i as f64, y - j as f64);
        let at = |i: usize, j: usize| &self.sums[j * (self.side + 1) + i];
        let corners = [at(i, j), at(i + 1, j), at(i, j + 1), at(i + 1, j + 1)];
        [0, 1, 2, 3].map(|c| {
            let [a, b, d, e] = corners.map(|corner| corner[c]);
            (a * (1.0 - u) + b * u) * (1.0 - v) + (d * (1.0 - u) + e * u) * v
        })
    }

    /// The mean over a part, given in 0..1 of the drawing's sides; what is outside of the drawing is clear.
    pub fn mean(&self, left: f64, top: f64, right: f64, bottom: f64) -> [f64; 4] {
        let side = self.side as f64;
        let [l, t, r, b] = [left, top, right, bottom].map(|v| v * side);
        let area = (r - l) * (b - t);
        let corners = [self.sum(r, b), self.sum(l, b), self.sum(r, t), self.sum(l, t)];
        [0, 1, 2, 3].map(|c| (corners[0][c] - corners[1][c] - corners[2][c] + corners[3][c]) / area)
    }
}

/// A number that differs where drawings differ: FNV-1a over names, sizes and pixels.
pub(super) fn fingerprint<'a>(sprites: impl Iterator<Item = &'a Sprite>) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut eat = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    for sprite in sprites {
        sprite.name.bytes().chain([0]).chain((sprite.side as u64).to_le_bytes()).for_each(&mut eat);
        sprite.rgba.iter().copied().for_each(&mut eat);
    }
    hash
}

/// An agent and eight things of plain shapes, for where there are no drawings at hand.
pub(super) fn shapes() -> (Vec<Sprite>, Vec<Sprite>) {
    const SIDE: usize = 48;
    let draw = |name: &str, color: [u8; 3], inside: &dyn Fn(f64, f64) -> bool| {
        let mut rgba = Vec::with_capacity(4 * SIDE * SIDE);
        for i in 0..SIDE * SIDE {
            let [x, y] = [i % SIDE, i / SIDE].map(|v| (v as f64 + 0.5) / SIDE as f64 * 2.0 - 1.0);
            let [r, g, b] = color;
            rgba.extend([r, g, b, if inside(x, y) { 255 } else { 0 }]);
        }
        Sprite { name: name.to_owned(), side: SIDE, rgba }
    };
    let disc = |x: f64, y: f64| x * x + y * y < 0.9;
    let square = |x: f64, y: f64| x.abs().max(y.abs()) < 0.85;
    let triangle = |x: f64, y: f64| y < 0.85 && x.abs() < 0.5 * (y + 0.95);
    let cross = |x: f64, y: f64| x.abs().min(y.abs()) < 0.3 && x.abs().max(y.abs()) < 0.95;
    let (red, blue) = ([214, 48, 49], [41, 98, 219]);
    let robot = |x: f64, y: f64| {
        let eye = |middle: f64| (x - middle).abs() < 0.18 && (y + 0.25).abs() < 0.18;
        x.abs().max(y.abs()) < 0.95 && !eye(-0.42) && !eye(0.42)
    };
    let things =
        [("disc", &disc as &dyn Fn(f64, f64) -> bool), ("square", &square), ("triangle", &triangle), ("cross", &cross)]
            .into_iter()
            .flat_map(|(name, inside)| {
                [("red", red), ("blue", blue)].map(|(c, color)| draw(&format!("{c} {name}"), color, inside))
            })
            .collect();
    (vec![draw("robot", [52, 58, 64], &robot)], things)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_those_of_the_pixels() {
        let rgba = (0..5 * 5 * 4).map(|i| (i * 37 % 256) as u8).collect();
        let sprite = Sprite { name: "noise".to_owned(), side: 5, rgba };
        let summed = Summed::new(&sprite);
        // By hand over a grid of tenths of a pixel.
        let (left, top, right, bottom) = (0.14, 0.3, 0.72, 0.56);
        let mut sums = [0.0; 4];
        let (mut count, steps) = (0.0, 50);
        for j in 0..steps {
            for i in 0..steps {
                let (u, v) = ((i as f64 + 0.5) / steps as f64, (j as f64 + 0.5) / steps as f64);
                if (left..right).contains(&u) && (top..bottom).contains(&v) {
                    let at = 4 * ((v * 5.0) as usize * 5 + (u * 5.0) as usize);
                    let [r, g, b, a] = [0, 1, 2, 3].map(|c| f64::from(sprite.rgba[at + c]) / 255.0);
                    for (sum, value) in sums.iter_mut().zip([r * a, g * a, b * a, a]) {
                        *sum += value;
                    }
                    count += 1.0;
                }
            }
        }
        let mean = summed.mean(left, top, right, bottom);
        for (a, b) in mean.iter().zip(sums) {
            assert!((a - b / count).abs() < 1e-9, "{mean:?} {sums:?} {count}");
        }
        // Twice as wide as the drawing, half of it beside: half of the opacity.
        let (whole, wide) = (summed.mean(0.0, 0.0, 1.0, 1.0), summed.mean(-1.0, 0.0, 1.0, 1.0));
        assert!((whole[3] - 2.0 * wide[3]).abs() < 1e-12);
    }

    #[test]
    fn other_drawings_have_another_fingerprint() {
        let (_, things) = shapes();
        let of = |count: usize| fingerprint(things[..count].iter());
        assert_eq!(of(3), of(3));
        assert_ne!(of(3), of(4));
        let mut changed = things.clone();
        changed[0].rgba[7] ^= 1;
        assert_ne!(fingerprint(changed.iter()), fingerprint(things.iter()));
    }
}
