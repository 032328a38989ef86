//! The plan of Sprite Rooms, in pixels of a square of 64: x to the right, y down.

/// The name of the world.
pub(super) const NAME: &str = "sprite-rooms";
/// Side of the world, px.
pub(super) const SIDE: f64 = 64.0;
/// Thickness of the border, px.
pub(super) const BORDER: f64 = 2.0;
/// Radius of agent and things, px.
pub(super) const RADIUS: f64 = 4.0;
/// Half of the wall's thickness, px.
pub(super) const WALL_HALF: f64 = 2.0;
/// Half of the door's height, px.
pub(super) const DOOR_HALF: f64 = 9.0;
/// Where the wall can be, px: in each room a thing can be gripped from one side at least.
pub(super) const WALL_RANGE: (f64, f64) = (30.0, 34.0);
/// Where the middle of the door can be, px.
pub(super) const DOOR_RANGE: (f64, f64) = (BORDER + DOOR_HALF, SIDE - BORDER - DOOR_HALF);
/// Where middles of agent and things can be, px.
pub(super) const INSIDE: (f64, f64) = (BORDER + RADIUS, SIDE - BORDER - RADIUS);
/// Length of a step of action 1 along an axis, px.
pub(super) const SPEED: f64 = 3.0;
/// How far beside the agent a thing is carried, px from middle to middle.
pub(super) const CARRY: f64 = 2.0 * RADIUS + 0.5;
/// How far beside, and how far above or below, a thing may be that is gripped, px.
pub(super) const GRIP: (f64, f64) = (12.0, 5.0);

/// A position.
pub(super) type Point = [f64; 2];

pub(super) fn distance(a: Point, b: Point) -> f64 {
    let [x, y] = [a[0] - b[0], a[1] - b[1]];
    (x * x + y * y).sqrt()
}

/// The wall from top to bottom, with a door; there may be none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wall {
    /// Middle of the wall and middle of its door.
    pub at: Option<(f64, f64)>,
}

/// A rectangle: least x and y, greatest x and y.
pub(super) type Rect = [f64; 4];

impl Wall {
    /// The two parts of the wall.
    pub fn parts(&self) -> impl Iterator<Item = Rect> {
        self.at.into_iter().flat_map(|(x, door)| {
            let (left, right) = (x - WALL_HALF, x + WALL_HALF);
            [[left, 0.0, right, door - DOOR_HALF], [left, door + DOOR_HALF, right, SIDE]]
        })
    }

    /// Where no middle of a body can be: the parts, larger by a radius.
    fn zones(&self) -> impl Iterator<Item = Rect> {
        self.parts().map(|[l, t, r, b]| [l - RADIUS, t - RADIUS, r + RADIUS, b + RADIUS])
    }

    /// Whether a body can be there.
    pub fn is_free(&self, at: Point) -> bool {
        let inside = |v: f64| (INSIDE.0..=INSIDE.1).contains(&v);
        let zone = |[l, t, r, b]: Rect| l < at[0] && at[0] < r && t < at[1] && at[1] < b;
        inside(at[0]) && inside(at[1]) && !self.zones().any(zone)
    }

    /// Where a body comes that is moved from a free place: first along x, then along y, each as far as nothing is in the way.
    pub fn slide(&self, from: Point, by: Point) -> Point {
        let mut at = from;
        for axis in [0, 1] {
            let (other, before) = (1 - axis, at[axis]);
            let mut to = (before + by[axis]).clamp(INSIDE.0, INSIDE.1);
            for zone in self.zones() {
                let (low, high) = (zone[axis], zone[axis + 2]);
                if zone[other] < at[other] && at[other] < zone[other + 2] {
                    if before <= low && to > low {
                        to = low;
                    } else if before >= high && to < high {
                        to = high;
                    }
                }
            }
            at[axis] = to;
        }
        at
    }
}
