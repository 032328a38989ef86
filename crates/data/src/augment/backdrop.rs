//! What lies behind a drawing.

use super::color::ColorMatrix;
use super::options::AugmentOptions;
use super::warp::{Source, Warp};
use crate::Rgba8Image;
use crate::dice::Dice;

type Opaque = Vec<[f32; 3]>;

/// Draws a background: plain, of one colour, a gradient, soft noise, or a piece of another picture.
pub(super) fn draw(size: usize, other: Option<&Rgba8Image>, options: &AugmentOptions, dice: &mut Dice) -> Opaque {
    let kind = dice.unit();
    let base = dice.color();
    let area = size * size;
    let [solid, gradient, noise, picture] = options.backdrops;
    let mut limit = solid;
    if kind < limit {
        return vec![base; area];
    }
    limit += gradient;
    if kind < limit {
        return self::gradient(size, base, dice);
    }
    limit += noise;
    if kind < limit {
        return self::noise(size, base, [0.2, 1.0], dice);
    }
    limit += picture;
    match other {
        Some(other) if kind < limit => piece(size, other, base, options, dice),
        _ => vec![[1.0; 3]; area],
    }
}

/// A background that things stand out from: of one colour, a gradient, or soft noise of little contrast.
pub(crate) fn quiet(size: usize, dice: &mut Dice) -> Opaque {
    let kind = dice.unit();
    let base = dice.color().map(|v| 0.25 + 0.75 * v);
    match kind {
        k if k < 0.3 => vec![base; size * size],
        k if k < 0.65 => gradient(size, base, dice),
        _ => noise(size, base, [0.1, 0.45], dice),
    }
}

fn mix(a: [f32; 3], b: [f32; 3], t: f32) -> [f32; 3] {
    std::array::from_fn(|k| a[k] + (b[k] - a[k]) * t)
}

fn gradient(size: usize, base: [f32; 3], dice: &mut Dice) -> Opaque {
    let end = dice.color();
    let (sin, cos) = (dice.unit() * std::f32::consts::TAU).sin_cos();
    let at = |k: usize| (k as f32 + 0.5) / size as f32 - 0.5;
    let t = |x: usize, y: usize| (0.5 + 0.75 * (at(x) * cos + at(y) * sin)).clamp(0.0, 1.0);
    (0..size * size).map(|i| mix(base, end, t(i % size, i / size))).collect()
}

/// A coarse grid of random colours, interpolated; they differ from `base` by a share between `depths`.
fn noise(size: usize, base: [f32; 3], depths: [f32; 2], dice: &mut Dice) -> Opaque {
    let cells = 2 + dice.pick(10) as usize;
    let depth = dice.between(depths[0], depths[1]);
    let knots: Opaque = (0..(cells + 1) * (cells + 1)).map(|_| mix(base, dice.color(), depth)).collect();
    let place = |k: usize| {
        let at = (k as f32 + 0.5) / size as f32 * cells as f32;
        let cell = (at as usize).min(cells - 1);
        (cell, at - cell as f32)
    };
    let mut out = Vec::with_capacity(size * size);
    for y in 0..size {
        let (row, fy) = place(y);
        for x in 0..size {
            let (column, fx) = place(x);
            let knot = row * (cells + 1) + column;
            let upper = mix(knots[knot], knots[knot + 1], fx);
            let lower = mix(knots[knot + cells + 1], knots[knot + cells + 2], fx);
            out.push(mix(upper, lower, fy));
        }
    }
    out
}

/// A magnified piece of another picture, its colours changed, faded toward one colour so that it stays behind.
fn piece(size: usize, other: &Rgba8Image, base: [f32; 3], options: &AugmentOptions, dice: &mut Dice) -> Opaque {
    let zoomed = AugmentOptions { scale: [1.5, 4.0], shift: 0.5, any_hue: 0.5, ..options.clone() };
    let plane = Warp::draw(&zoomed, true, dice).run(&Source::new(other, 1.0), size);
    let color = ColorMatrix::draw(&zoomed, false, dice);
    let fade = dice.between(0.3, 0.8);
    let over = |pixel: [f32; 4]| {
        let [r, g, b, a] = color.apply(pixel);
        let seen = [r + base[0] * (1.0 - a), g + base[1] * (1.0 - a), b + base[2] * (1.0 - a)];
        mix(seen, base, fade)
    };
    plane.into_iter().map(over).collect()
}
