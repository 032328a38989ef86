//! Plane geometry of the T: vectors, poses, the two convex parts, areas of overlap.

use std::ops::{Add, AddAssign, Mul, Neg, Sub};

/// A point or a direction: (x to the right, y down), in px.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// To the right.
    pub x: f64,
    /// Down.
    pub y: f64,
}

impl Point {
    /// The origin.
    pub const ZERO: Self = Self::new(0.0, 0.0);

    /// From its coordinates.
    pub const fn new(x: f64, y: f64) -> Self {
        Self { x, y }
    }

    /// The direction of an angle in radians: (cos, sin).
    pub fn direction(angle: f64) -> Self {
        Self::new(angle.cos(), angle.sin())
    }

    /// Scalar product.
    pub fn dot(self, other: Self) -> f64 {
        self.x * other.x + self.y * other.y
    }

    /// z of the cross product.
    pub fn cross(self, other: Self) -> f64 {
        self.x * other.y - self.y * other.x
    }

    /// A quarter turn from x toward y.
    pub fn turned(self) -> Self {
        Self::new(-self.y, self.x)
    }

    /// Turned by the angle whose direction is `by`.
    pub fn rotated(self, by: Self) -> Self {
        Self::new(self.x * by.x - self.y * by.y, self.x * by.y + self.y * by.x)
    }

    /// Turned back by the angle whose direction is `by`.
    pub fn unrotated(self, by: Self) -> Self {
        Self::new(self.x * by.x + self.y * by.y, self.y * by.x - self.x * by.y)
    }

    /// Euclidean length.
    pub fn length(self) -> f64 {
        self.dot(self).sqrt()
    }

    /// At length 1; the zero vector stays.
    pub fn unit(self) -> Self {
        self * (1.0 / (self.length() + f64::MIN_POSITIVE))
    }

    /// The point at `t` of the way to `other`.
    pub fn lerp(self, other: Self, t: f64) -> Self {
        self * (1.0 - t) + other * t
    }
}

impl Add for Point {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::new(self.x + other.x, self.y + other.y)
    }
}

impl AddAssign for Point {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Point {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self::new(self.x - other.x, self.y - other.y)
    }
}

impl Mul<f64> for Point {
    type Output = Self;
    fn mul(self, by: f64) -> Self {
        Self::new(self.x * by, self.y * by)
    }
}

impl Neg for Point {
    type Output = Self;
    fn neg(self) -> Self {
        Self::new(-self.x, -self.y)
    }
}

/// An axis-parallel box.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    /// Least coordinates.
    pub low: Point,
    /// Greatest coordinates.
    pub high: Point,
}

impl Bounds {
    /// Of points, with a margin on all sides.
    pub fn around(points: &[Point], margin: f64) -> Self {
        let mut low = Point::new(f64::INFINITY, f64::INFINITY);
        let mut high = -low;
        for p in points {
            low = Point::new(low.x.min(p.x), low.y.min(p.y));
            high = Point::new(high.x.max(p.x), high.y.max(p.y));
        }
        let margin = Point::new(margin, margin);
        Self { low: low - margin, high: high + margin }
    }

    /// Whether there is a common point; the rim counts.
    pub fn meets(&self, other: &Self) -> bool {
        self.low.x <= other.high.x
            && other.low.x <= self.high.x
            && self.low.y <= other.high.y
            && other.low.y <= self.high.y
    }

    /// Whether the other box lies in this one; the rim counts.
    pub fn holds(&self, other: &Self) -> bool {
        self.low.x <= other.low.x
            && self.high.x >= other.high.x
            && self.low.y <= other.low.y
            && self.high.y >= other.high.y
    }

    /// The least box around both.
    pub fn merged(&self, other: &Self) -> Self {
        Self {
            low: Point::new(self.low.x.min(other.low.x), self.low.y.min(other.low.y)),
            high: Point::new(self.high.x.max(other.high.x), self.high.y.max(other.high.y)),
        }
    }

    /// Its area.
    pub fn area(&self) -> f64 {
        (self.high.x - self.low.x) * (self.high.y - self.low.y)
    }
}

/// Where the T is: the place of its origin, the middle of the bar's outer edge, and its angle in radians.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pose {
    /// Origin of the block.
    pub origin: Point,
    /// Radians, x toward y.
    pub angle: f64,
}

impl Pose {
    /// From (x, y, angle).
    pub const fn new(x: f64, y: f64, angle: f64) -> Self {
        Self { origin: Point::new(x, y), angle }
    }

    /// Where a point of the block is in the room.
    pub fn place(&self, local: Point) -> Point {
        local.rotated(Point::direction(self.angle)) + self.origin
    }

    /// Which point of the block is at a place of the room.
    pub fn local(&self, place: Point) -> Point {
        (place - self.origin).unrotated(Point::direction(self.angle))
    }

    /// Bar and stem.
    pub fn parts(&self) -> [Polygon; 2] {
        let turn = Point::direction(self.angle);
        PARTS.map(|part| Polygon::new(part, self.origin, turn))
    }
}

/// Side of the room, px.
pub const SIDE: f64 = 512.0;

/// Vertices of bar and stem in the block's own coordinates, in px, x toward y.
pub const PARTS: [[Point; 4]; 2] = [
    [Point::new(-60.0, 0.0), Point::new(60.0, 0.0), Point::new(60.0, 30.0), Point::new(-60.0, 30.0)],
    [Point::new(-15.0, 30.0), Point::new(15.0, 30.0), Point::new(15.0, 120.0), Point::new(-15.0, 120.0)],
];

/// Outward normals of the edges from vertex i to i + 1; the same for both parts, which are rectangles.
const NORMALS: [Point; 4] = [Point::new(0.0, -1.0), Point::new(1.0, 0.0), Point::new(0.0, 1.0), Point::new(-1.0, 0.0)];

/// Area of the T, in px².
pub const AREA: f64 = 120.0 * 30.0 + 30.0 * 90.0;

/// A part of the block in the room.
#[derive(Clone, Copy, Debug)]
pub struct Polygon {
    /// In turn, from x toward y.
    pub vertices: [Point; 4],
    /// Outward, of the edge from vertex i to vertex i + 1.
    pub normals: [Point; 4],
}

impl Polygon {
    /// A part at an origin, turned by the angle whose direction is `turn`.
    pub fn new(part: [Point; 4], origin: Point, turn: Point) -> Self {
        Self { vertices: part.map(|v| v.rotated(turn) + origin), normals: NORMALS.map(|n| n.rotated(turn)) }
    }

    /// Its box.
    pub fn bounds(&self) -> Bounds {
        Bounds::around(&self.vertices, 0.0)
    }

    /// Distance from a point; negative inside, by the way to the nearest edge.
    pub fn distance(&self, point: Point) -> f64 {
        let depth = (0..4).map(|i| (point - self.vertices[i]).dot(self.normals[i])).fold(f64::NEG_INFINITY, f64::max);
        if depth <= 0.0 {
            return depth;
        }
        let to_edge = |i: usize| {
            let (a, b) = (self.vertices[i], self.vertices[(i + 1) % 4]);
            let along = ((point - a).dot(b - a) / (b - a).dot(b - a)).clamp(0.0, 1.0);
            (a.lerp(b, along) - point).length()
        };
        (0..4).map(to_edge).fold(f64::INFINITY, f64::min)
    }
}

/// Area that two convex polygons share: the first clipped by each edge of the second, then the shoelace rule.
fn shared_area(a: &Polygon, b: &Polygon) -> f64 {
    if !a.bounds().meets(&b.bounds()) {
        return 0.0;
    }
    // A clip by a line adds at most one vertex.
    let (mut points, mut count) = ([Point::ZERO; 8], 4);
    points[..4].copy_from_slice(&a.vertices);
    for (anchor, normal) in b.vertices.iter().zip(&b.normals) {
        let (mut kept, mut left) = ([Point::ZERO; 8], 0);
        for i in 0..count {
            let (from, to) = (points[i], points[(i + 1) % count]);
            let (outside, next) = ((from - *anchor).dot(*normal), (to - *anchor).dot(*normal));
            if outside <= 0.0 && left < 8 {
                kept[left] = from;
                left += 1;
            }
            if (outside < 0.0) != (next < 0.0) && outside != 0.0 && next != 0.0 && left < 8 {
                kept[left] = from.lerp(to, outside / (outside - next));
                left += 1;
            }
        }
        (points, count) = (kept, left);
    }
    let twice: f64 = (1..count.max(2) - 1).map(|i| (points[i] - points[0]).cross(points[i + 1] - points[0])).sum();
    twice.abs() / 2.0
}

/// Share of the goal T's area that the block covers: 0 to 1. The parts of a T touch without overlap, so that areas add up.
pub fn coverage(block: &Pose, goal: &Pose) -> f64 {
    let (block, goal) = (block.parts(), goal.parts());
    let shared: f64 = block.iter().flat_map(|b| goal.iter().map(move |g| shared_area(b, g))).sum();
    shared / AREA
}

/// Difference of two angles in radians: 0 to π.
pub fn angle_between(a: f64, b: f64) -> f64 {
    let turn = (a - b).abs() % std::f64::consts::TAU;
    turn.min(std::f64::consts::TAU - turn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_covers_itself_and_a_shifted_one_by_hand() {
        let goal = Pose::new(256.0, 256.0, 0.7);
        assert!((coverage(&goal, &goal) - 1.0).abs() < 1e-12);
        // Ten px along the bar: the bar shares 110 x 30, the stem 20 x 90; nothing else meets.
        let shifted = Pose { origin: goal.place(Point::new(10.0, 0.0)), angle: 0.7 };
        assert!((coverage(&shifted, &goal) - (110.0 * 30.0 + 20.0 * 90.0) / AREA).abs() < 1e-12);
        // Thirty px across it: the bar on the stem's root, 30 x 30, and the stem on itself, 30 x 60.
        let shifted = Pose { origin: goal.place(Point::new(0.0, 30.0)), angle: 0.7 };
        assert!((coverage(&shifted, &goal) - (900.0 + 1800.0) / AREA).abs() < 1e-12);
        let away = Pose::new(600.0, 256.0, 0.7);
        assert_eq!(coverage(&away, &goal), 0.0);
    }

    #[test]
    fn a_square_turned_in_a_square_shares_an_octagon() {
        let square = |angle: f64| {
            let corners = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)].map(|(x, y)| Point::new(x, y));
            Polygon::new(corners, Point::ZERO, Point::direction(angle))
        };
        let octagon = 8.0 * (2.0_f64.sqrt() - 1.0);
        assert!((shared_area(&square(0.0), &square(std::f64::consts::FRAC_PI_4)) - octagon).abs() < 1e-12);
    }

    #[test]
    fn angles_wrap() {
        let tau = std::f64::consts::TAU;
        assert!((angle_between(0.1, tau - 0.1) - 0.2).abs() < 1e-12);
        assert!((angle_between(-tau - 1.0, 1.0) - 2.0).abs() < 1e-12);
        assert!((angle_between(0.0, std::f64::consts::PI) - std::f64::consts::PI).abs() < 1e-12);
    }

    #[test]
    fn distances_are_to_edges_and_corners() {
        let bar = Polygon::new(PARTS[0], Point::ZERO, Point::direction(0.0));
        assert_eq!(bar.distance(Point::new(0.0, -7.0)), 7.0);
        assert_eq!(bar.distance(Point::new(63.0, 34.0)), 5.0);
        assert_eq!(bar.distance(Point::new(0.0, 4.0)), -4.0);
    }
}
