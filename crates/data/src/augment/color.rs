//! Colour changes as one 3x4 matrix. In premultiplied colour `c * a` the offset is scaled by `a`, so the matrix can be
//! applied after the warp without dividing.

use super::options::AugmentOptions;
use crate::dice::Dice;

/// `out = matrix * color + offset * alpha`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ColorMatrix {
    pub matrix: [[f32; 3]; 3],
    pub offset: [f32; 3],
}

const IDENTITY: [[f32; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
/// Rec. 601 luma.
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

impl ColorMatrix {
    /// Applies `next` after what is there.
    fn then(&mut self, next: [[f32; 3]; 3], offset: [f32; 3]) {
        let old = *self;
        for row in 0..3 {
            let dot = |column: [f32; 3]| (0..3).map(|k| next[row][k] * column[k]).sum::<f32>();
            for column in 0..3 {
                self.matrix[row][column] = dot(std::array::from_fn(|k| old.matrix[k][column]));
            }
            self.offset[row] = dot(old.offset) + offset[row];
        }
    }

    /// With `bound`, colours keep their names: no far hues, no grey, no swaps, no negative.
    pub fn draw(options: &AugmentOptions, bound: bool, dice: &mut Dice) -> Self {
        let mut all = Self { matrix: IDENTITY, offset: [0.0; 3] };
        let small = dice.bell(options.hue);
        let any = dice.spread(0.5);
        let turn = if dice.chance(options.any_hue) && !bound { any } else { small };
        all.then(hue(turn), [0.0; 3]);
        let amount = dice.between(1.0 - options.saturation, 1.0 + options.saturation);
        let grey = dice.chance(options.grey) && !bound;
        all.then(saturation(if grey { 0.0 } else { amount.max(if bound { 0.6 } else { 0.0 }) }), [0.0; 3]);
        let order = dice.pick(6);
        if dice.chance(options.swap_channels) && !bound {
            all.then(permutation(order), [0.0; 3]);
        }
        let gains: [f32; 3] = std::array::from_fn(|_| 1.0 + dice.spread(options.gain));
        all.then(diagonal(gains), [0.0; 3]);
        let contrast = 1.0 + dice.spread(options.contrast);
        let shift = dice.spread(options.brightness);
        all.then(diagonal([contrast; 3]), [0.5 - 0.5 * contrast + shift; 3]);
        if dice.chance(options.invert) && !bound {
            all.then(diagonal([-1.0; 3]), [1.0; 3]);
        }
        all
    }

    pub fn apply(&self, pixel: [f32; 4]) -> [f32; 4] {
        let [r, g, b, a] = pixel;
        let row = |k: usize| {
            let m = self.matrix[k];
            (m[0] * r + m[1] * g + m[2] * b + self.offset[k] * a).clamp(0.0, a)
        };
        [row(0), row(1), row(2), a]
    }
}

fn diagonal(gains: [f32; 3]) -> [[f32; 3]; 3] {
    [[gains[0], 0.0, 0.0], [0.0, gains[1], 0.0], [0.0, 0.0, gains[2]]]
}

fn saturation(amount: f32) -> [[f32; 3]; 3] {
    std::array::from_fn(|row| {
        std::array::from_fn(|column| amount * IDENTITY[row][column] + (1.0 - amount) * LUMA[column])
    })
}

/// Turns colours around the grey axis; `turn` is in whole turns.
fn hue(turn: f32) -> [[f32; 3]; 3] {
    let (sin, cos) = (turn * std::f32::consts::TAU).sin_cos();
    let third = (1.0 - cos) / 3.0;
    let side = (1.0f32 / 3.0).sqrt() * sin;
    [
        [cos + third, third - side, third + side],
        [third + side, cos + third, third - side],
        [third - side, third + side, cos + third],
    ]
}

fn permutation(order: u32) -> [[f32; 3]; 3] {
    const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    ORDERS[order as usize % 6].map(|source| IDENTITY[source])
}
