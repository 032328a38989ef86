//! Ways around the block that do not touch it, in the block's own coordinates.

use super::geometry::{PARTS, Point};

/// How far from the block's edges the corners of roads lie, px: the agent's radius and room to drift.
const ASIDE: f64 = 19.0;
/// How near the middle of the agent may come on its way, px.
const CLEAR: f64 = 16.5;
/// A way that begins nearer must gain this much per px.
const SLOPE: f64 = 0.3;
/// A way that ends nearer may be as near in its last px.
const LAST: f64 = 40.0;
/// Distance of the places that are looked at along a way, px.
const STRIDE: f64 = 3.0;
/// This near to a corner the agent is there, px.
const AT_CORNER: f64 = 3.0;
const CORNERS: usize = 8;

/// Corners outside of the T, and in its two pockets.
const PLACES: [Point; CORNERS] = [
    Point::new(-60.0 - ASIDE, -ASIDE),
    Point::new(60.0 + ASIDE, -ASIDE),
    Point::new(60.0 + ASIDE, 30.0 + ASIDE),
    Point::new(15.0 + ASIDE, 30.0 + ASIDE),
    Point::new(15.0 + ASIDE, 120.0 + ASIDE),
    Point::new(-15.0 - ASIDE, 120.0 + ASIDE),
    Point::new(-15.0 - ASIDE, 30.0 + ASIDE),
    Point::new(-60.0 - ASIDE, 30.0 + ASIDE),
];

/// Distance of a place from the T; negative inside of it.
pub fn distance(place: Point) -> f64 {
    let from_part = |part: &[Point; 4]| {
        let (low, high) = (part[0], part[2]);
        let out = Point::new((low.x - place.x).max(place.x - high.x), (low.y - place.y).max(place.y - high.y));
        if out.x <= 0.0 && out.y <= 0.0 { out.x.max(out.y) } else { out.x.max(0.0).hypot(out.y.max(0.0)) }
    };
    from_part(&PARTS[0]).min(from_part(&PARTS[1]))
}

/// Whether the agent can go straight from one place to another.
fn is_open(from: Point, to: Point) -> bool {
    let length = (to - from).length();
    let (near_from, near_to) = (distance(from), distance(to));
    let strides = (length / STRIDE).ceil().max(1.0) as usize;
    (1..strides).all(|i| {
        let gone = length * i as f64 / strides as f64;
        let end = if length - gone < LAST { near_to - 1e-6 } else { CLEAR };
        let needed = CLEAR.min(near_from + SLOPE * gone).min(end);
        distance(from.lerp(to, i as f64 / strides as f64)) >= needed
    })
}

/// The next place of a way, and how long the whole way is.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Where to go straight, in the block's coordinates.
    pub next: Point,
    /// Whether that is the end.
    pub is_last: bool,
    /// Length of the way, px; infinite where there is none.
    pub length: f64,
}

/// Shortest ways between the corners.
#[derive(Clone, Debug)]
pub struct Roads {
    lengths: [[f64; CORNERS]; CORNERS],
    /// The corner that comes next on the way from one to another.
    hops: [[usize; CORNERS]; CORNERS],
}

/// How far each corner is from a place, in px; infinite where the block is in between.
pub type View = [f64; CORNERS];

impl Roads {
    /// Measures the ways between all corners.
    pub fn new() -> Self {
        let mut lengths = PLACES.map(Self::leaving);
        let mut hops = [std::array::from_fn(|to| to); CORNERS];
        for via in 0..CORNERS {
            for from in 0..CORNERS {
                for to in 0..CORNERS {
                    let length = lengths[from][via] + lengths[via][to];
                    if length < lengths[from][to] {
                        lengths[from][to] = length;
                        hops[from][to] = hops[from][via];
                    }
                }
            }
        }
        Self { lengths, hops }
    }

    /// The corners to which the agent can go from a place.
    pub fn leaving(place: Point) -> View {
        PLACES.map(|corner| if is_open(place, corner) { (corner - place).length() } else { f64::INFINITY })
    }

    /// The corners from which the agent can go to a place.
    pub fn arriving(place: Point) -> View {
        PLACES.map(|corner| if is_open(corner, place) { (corner - place).length() } else { f64::INFINITY })
    }

    /// The way from a place to another, with the corners that leave the one and arrive at the other.
    pub fn way(&self, (from, seen): (Point, &View), (to, near): (Point, &View)) -> Way {
        if is_open(from, to) {
            return Way { next: to, is_last: true, length: (to - from).length() };
        }
        let mut best = Way { next: to, is_last: true, length: f64::INFINITY };
        for (i, first) in seen.iter().enumerate() {
            for (j, last) in near.iter().enumerate() {
                let length = first + self.lengths[i][j] + last;
                if length < best.length {
                    // At a corner the way goes on.
                    let (next, is_last) = match (*first < AT_CORNER, i == j) {
                        (false, _) => (PLACES[i], false),
                        (true, false) => (PLACES[self.hops[i][j]], false),
                        (true, true) => (to, true),
                    };
                    best = Way { next, is_last, length };
                }
            }
        }
        best
    }
}

/// Where to go from a place that is too near to the block to go anywhere else: straight away from it.
pub fn out_of(place: Point) -> Point {
    let step = 1e-3;
    let slope = Point::new(
        distance(place + Point::new(step, 0.0)) - distance(place - Point::new(step, 0.0)),
        distance(place + Point::new(0.0, step)) - distance(place - Point::new(0.0, step)),
    );
    place + slope.unit() * (ASIDE - distance(place)).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_lead_around_the_block() {
        let roads = Roads::new();
        assert!(roads.lengths.iter().flatten().all(|length| length.is_finite()));
        // From above the bar to the left pocket: around the bar's left end, not its right one.
        let (from, to) = (Point::new(-10.0, -40.0), Point::new(-40.0, 60.0));
        let way = roads.way((from, &Roads::leaving(from)), (to, &Roads::arriving(to)));
        assert_eq!((way.next, way.is_last), (PLACES[0], false));
        let around = (PLACES[0] - from).length() + (PLACES[7] - PLACES[0]).length() + (to - PLACES[7]).length();
        assert!((way.length - around).abs() < 1.0, "{way:?}, {around}");
        let straight = roads.way((from, &Roads::leaving(from)), (from + Point::new(-50.0, 0.0), &[0.0; CORNERS]));
        assert!(straight.is_last && (straight.length - 50.0).abs() < 1e-9);
    }

    #[test]
    fn distances_are_signed() {
        assert_eq!(distance(Point::new(0.0, -5.0)), 5.0);
        assert_eq!(distance(Point::new(20.0, 80.0)), 5.0);
        assert_eq!(distance(Point::new(50.0, 10.0)), -10.0);
        assert!((distance(Point::new(63.0, 34.0)) - 5.0).abs() < 1e-12);
        let out = out_of(Point::new(0.0, -15.0));
        assert!((out - Point::new(0.0, -ASIDE)).length() < 1e-6, "{out:?}");
    }
}
