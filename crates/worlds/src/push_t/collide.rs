//! Where shapes touch: nearest points of a disc or a wall and a convex part, and the contacts that follow.
//!
//! Both cases look at the same figure, the part minus the other shape's spine (a point or a segment): a convex polygon whose
//! distance from the origin is the distance of the shapes. Outside, the nearest points give the normal; inside, the shortest way
//! out does. Signs, normals and the choice of edges are those of Chipmunk 7, so that contacts appear and last as they do there.

use super::geometry::{Bounds, Point, Polygon};

/// Radius of the agent, in px.
pub const AGENT_RADIUS: f64 = 15.0;
/// Half the thickness of a wall, in px.
pub const WALL_RADIUS: f64 = 2.0;

/// The spines of the four walls: left, top, right, bottom.
pub const WALLS: [[Point; 2]; 4] = [
    [Point::new(5.0, 506.0), Point::new(5.0, 5.0)],
    [Point::new(5.0, 5.0), Point::new(506.0, 5.0)],
    [Point::new(506.0, 5.0), Point::new(506.0, 506.0)],
    [Point::new(5.0, 506.0), Point::new(506.0, 506.0)],
];

/// The box of a wall.
pub fn wall_bounds(wall: usize) -> Bounds {
    Bounds::around(&WALLS[wall], WALL_RADIUS)
}

/// Two points that push each other apart.
#[derive(Clone, Copy, Debug, Default)]
pub struct Touch {
    /// On the rim of the disc or wall, in the room.
    pub first: Point,
    /// On the rim of the part, in the room.
    pub second: Point,
    /// Which corners met. A contact of the same pair and feature in the next step is the same contact.
    pub feature: u8,
}

/// The contacts of a pair of shapes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Touches {
    /// From the disc or wall to the part, of length 1.
    pub normal: Point,
    list: [Touch; 2],
    count: usize,
}

impl Touches {
    /// The contacts: none, one or two.
    pub fn list(&self) -> &[Touch] {
        &self.list[..self.count]
    }

    fn push(&mut self, first: Point, second: Point, feature: u8) {
        if let Some(slot) = self.list.get_mut(self.count) {
            *slot = Touch { first, second, feature };
            self.count += 1;
        }
    }
}

struct Nearest {
    first: Point,
    second: Point,
    normal: Point,
    distance: f64,
}

/// One edge of the difference figure, with the points of both shapes that its ends come from.
fn to_edge(first: [Point; 2], second: [Point; 2], best: &mut Option<(f64, Nearest)>) {
    let (from, to) = (second[0] - first[0], second[1] - first[1]);
    let along = to - from;
    // -1 at the first end, 1 at the second: rounding is then the same for both.
    let t = -(along.dot(from + to) / (along.dot(along) + f64::MIN_POSITIVE)).clamp(-1.0, 1.0);
    let blend = |a: Point, b: Point| a * (0.5 - 0.5 * t) + b * (0.5 + 0.5 * t);
    let point = blend(from, to);
    let squared = point.dot(point);
    if best.as_ref().is_some_and(|(least, _)| *least <= squared) {
        return;
    }
    // The figure runs from x toward y, so that this normal points into it.
    let inward = along.turned().unit();
    let depth = inward.dot(point);
    let (normal, distance) =
        if depth <= 0.0 || (-1.0 < t && t < 1.0) { (inward, depth) } else { (point.unit(), squared.sqrt()) };
    *best = Some((
        squared,
        Nearest { first: blend(first[0], first[1]), second: blend(second[0], second[1]), normal, distance },
    ));
}

/// Nearest points of a spine of one or two points and a part.
fn nearest(spine: &[Point], part: &Polygon) -> Option<Nearest> {
    // Which end of the spine the figure's edge with this normal comes from.
    let end = |i: usize| {
        let normal = part.normals[i % 4];
        spine.iter().copied().reduce(|a, b| if b.dot(normal) < a.dot(normal) { b } else { a })
    };
    let mut best = None;
    for i in 0..4 {
        let (Some(here), Some(next)) = (end(i), end(i + 1)) else { return None };
        let (vertex, following) = (part.vertices[i], part.vertices[(i + 1) % 4]);
        to_edge([here, here], [vertex, following], &mut best);
        if here != next {
            to_edge([here, next], [following, following], &mut best);
        }
    }
    best.map(|(_, nearest)| nearest)
}

/// Contacts of the agent's disc with a part: at most one.
pub fn disc_and_part(center: Point, part: &Polygon) -> Touches {
    let mut touches = Touches::default();
    if let Some(found) = nearest(&[center], part)
        && found.distance <= AGENT_RADIUS
    {
        touches.normal = found.normal;
        touches.push(found.first + found.normal * AGENT_RADIUS, found.second, 0);
    }
    touches
}

/// Contacts of a wall with a part: two where an edge lies along the wall.
pub fn wall_and_part(wall: usize, part: &Polygon) -> Touches {
    let mut touches = Touches::default();
    let spine = WALLS[wall];
    let Some(found) = nearest(&spine, part) else { return touches };
    if found.distance > WALL_RADIUS {
        return touches;
    }
    let normal = found.normal;
    touches.normal = normal;

    // The side of the wall, and the edge of the part, that face each other; ends are numbered for the feature.
    let side = -(spine[1] - spine[0]).unit().turned();
    let (a, b) = if side.dot(normal) > 0.0 { ((spine[0], 0), (spine[1], 1)) } else { ((spine[1], 1), (spine[0], 0)) };
    let (c, d) = facing_edge(part, -normal);

    // Places across the normal; each end is projected onto the other edge, and touches where it is at or past it.
    let across = [a.0, b.0, c.0, d.0].map(|p| p.cross(normal));
    let first_scale = 1.0 / (across[1] - across[0] + f64::MIN_POSITIVE);
    let second_scale = 1.0 / (across[3] - across[2] + f64::MIN_POSITIVE);
    for (first_end, second_end, from_second, from_first) in [(a, d, across[3], across[0]), (b, c, across[2], across[1])]
    {
        let first = normal * WALL_RADIUS + a.0.lerp(b.0, ((from_second - across[0]) * first_scale).clamp(0.0, 1.0));
        let second = c.0.lerp(d.0, ((from_first - across[2]) * second_scale).clamp(0.0, 1.0));
        if (second - first).dot(normal) <= 0.0 {
            touches.push(first, second, (first_end.1 * 4 + second_end.1) as u8);
        }
    }
    touches
}

/// The ends, with their numbers, of the edge that faces a direction most: one of the two at the farthest vertex.
fn facing_edge(part: &Polygon, direction: Point) -> ((Point, usize), (Point, usize)) {
    let mut far = 0;
    for i in 1..4 {
        if part.vertices[i].dot(direction) > part.vertices[far].dot(direction) {
            far = i;
        }
    }
    let before = (far + 3) % 4;
    let start = if direction.dot(part.normals[before]) > direction.dot(part.normals[far]) { before } else { far };
    let end = (start + 1) % 4;
    ((part.vertices[start], start), (part.vertices[end], end))
}

#[cfg(test)]
mod tests {
    use super::super::geometry::Pose;
    use super::*;

    fn near(a: Point, x: f64, y: f64) -> bool {
        (a - Point::new(x, y)).length() < 1e-12
    }

    #[test]
    fn a_disc_beside_an_edge_a_corner_and_inside() {
        let [bar, _] = Pose::new(0.0, 0.0, 0.0).parts();
        let above = disc_and_part(Point::new(10.0, -14.0), &bar);
        assert_eq!(above.list().len(), 1);
        let touch = above.list()[0];
        assert!(near(above.normal, 0.0, 1.0) && near(touch.first, 10.0, 1.0) && near(touch.second, 10.0, 0.0));
        let corner = disc_and_part(Point::new(66.0, 38.0), &bar);
        assert!(near(corner.normal, -0.6, -0.8) && near(corner.list()[0].second, 60.0, 30.0), "{corner:?}");
        // Five px under the outer edge: the shortest way out is back through it.
        let inside = disc_and_part(Point::new(10.0, 5.0), &bar);
        assert!(near(inside.normal, 0.0, 1.0) && near(inside.list()[0].first, 10.0, 20.0), "{inside:?}");
        assert!(disc_and_part(Point::new(10.0, -15.1), &bar).list().is_empty());
    }

    #[test]
    fn an_edge_along_a_wall_touches_twice_and_a_corner_once() {
        let flat = Pose::new(256.0, 6.5, 0.0).parts();
        let touches = wall_and_part(1, &flat[0]);
        assert!(near(touches.normal, 0.0, 1.0) && touches.list().len() == 2, "{touches:?}");
        assert_ne!(touches.list()[0].feature, touches.list()[1].feature);
        for (touch, x) in touches.list().iter().zip([316.0, 196.0]) {
            assert!(near(touch.first, x, 7.0) && near(touch.second, x, 6.5), "{touch:?}");
        }
        let tilted = Pose::new(256.0, 20.0, 0.3).parts();
        let touches = wall_and_part(1, &tilted[0]);
        assert_eq!(touches.list().len(), 1);
        assert!(wall_and_part(3, &tilted[0]).list().is_empty());
    }
}
