//! The order in which pairs of shapes are looked at.
//!
//! Ten rounds of impulses do not converge where several contacts push, so that trajectories depend on the order of the contacts.
//! Chipmunk's comes from a tree of widened boxes over the moving shapes: which leaf was replaced when, and where it came to hang.
//! This is the same bookkeeping for the three moving shapes of PushT (bar, stem, agent) and its walls.

use super::collide::wall_bounds;
use super::geometry::{Bounds, Point};

/// The agent among the moving shapes; 0 is the bar, 1 the stem. Leaves are refreshed in the order of these numbers.
pub const AGENT: usize = 2;

/// The walls as a search of their tree meets them.
const WALLS: [usize; 4] = [3, 2, 1, 0];

/// Pairs of shapes that can push each other: 0 and 1 the agent with bar and stem, 2 + w wall w with the bar, 6 + w with the stem.
pub const PAIRS: usize = 10;

/// A box is widened by this share of its size and by this many seconds of its way. Single precision, as there.
const MARGIN: f64 = 0.1_f32 as f64;

/// A list of pairs, at most one entry each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    list: [u8; PAIRS],
    count: usize,
}

impl Pairs {
    /// The pairs in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = usize> + '_ {
        self.list[..self.count].iter().map(|pair| usize::from(*pair))
    }

    /// Adds a pair at the end.
    pub fn push(&mut self, pair: usize) {
        if let Some(slot) = self.list.get_mut(self.count) {
            *slot = pair as u8;
            self.count += 1;
        }
    }
}

/// Two moving shapes or a wall and one, whose widened boxes met when the later of them was replaced.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Index in [`Pairs`].
    pair: u8,
    /// The moving shapes of it, as bits.
    shapes: u8,
    /// The shape at whose turn the pair is looked at.
    turn: u8,
}

/// The tree: a root over one leaf and a fork of two.
#[derive(Clone, Copy, Debug)]
struct Tree {
    lone: usize,
    lone_first: bool,
    fork: [usize; 2],
}

/// The widened boxes of the moving shapes, their tree, and the pairs known.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    boxes: [Bounds; 3],
    /// When a leaf was last replaced.
    stamps: [u64; 3],
    now: u64,
    tree: Tree,
    known: [Known; PAIRS],
    known_count: usize,
}

impl Order {
    /// A tree in which agent, bar and stem were put in this order.
    pub fn new(bounds: [Bounds; 3]) -> Self {
        // Until the stem comes, the root holds the bar and the agent.
        let tree = Tree { lone: AGENT, lone_first: false, fork: [1, 0] };
        let boxes = bounds.map(|bounds| widened(&bounds, Point::ZERO));
        let mut order =
            Self { boxes, stamps: [1, 2, 0], now: 2, tree, known: [Known::default(); PAIRS], known_count: 0 };
        // Where they are put in, bar and agent are apart.
        order.hang(1, [0, AGENT]);
        order.visit(1, &mut Pairs::default());
        order.now += 1;
        order
    }

    /// Takes the boxes of the moving shapes after they moved, with their velocities; the pairs whose widened boxes meet, in order.
    pub fn update(&mut self, bounds: &[Bounds; 3], velocities: &[Point; 3]) -> Pairs {
        for shape in 0..3 {
            if !self.boxes[shape].holds(&bounds[shape]) {
                self.boxes[shape] = widened(&bounds[shape], velocities[shape]);
                let rest = self.without(shape);
                self.hang(shape, rest);
                self.forget(shape);
                self.stamps[shape] = self.now;
            }
        }
        let mut pairs = Pairs::default();
        for shape in self.leaves() {
            if self.stamps[shape] == self.now {
                self.visit(shape, &mut pairs);
            } else {
                // The latest first.
                for known in
                    self.known[..self.known_count].iter().rev().filter(|known| usize::from(known.turn) == shape)
                {
                    pairs.push(usize::from(known.pair));
                }
            }
        }
        self.now += 1;
        pairs
    }

    /// Looks for all that a replaced leaf meets: walls, then the rest of the tree from the leaf up to the root. What hangs on the
    /// left of it is looked at now; what hangs on the right, at its own turn.
    fn visit(&mut self, shape: usize, pairs: &mut Pairs) {
        if shape != AGENT {
            for wall in WALLS {
                if self.boxes[shape].meets(&wall_bounds(wall)) {
                    self.learn(2 + 4 * shape + wall, 1 << shape, shape);
                    pairs.push(2 + 4 * shape + wall);
                }
            }
        }
        for (other, right) in self.around(shape) {
            let Some(pair) = pair_of(shape, other) else { continue };
            if !self.boxes[shape].meets(&self.boxes[other]) {
                continue;
            }
            let both = (1 << shape) | (1 << other);
            if right {
                self.learn(pair, both, other);
            } else {
                if self.stamps[other] < self.stamps[shape] {
                    self.learn(pair, both, shape);
                }
                pairs.push(pair);
            }
        }
    }

    /// The other leaves from a leaf up to the root, each with whether it hangs to the right of it.
    fn around(&self, shape: usize) -> [(usize, bool); 2] {
        let Tree { lone, lone_first, fork: [a, b] } = self.tree;
        if shape == lone {
            [(a, lone_first), (b, lone_first)]
        } else if shape == a {
            [(b, true), (lone, !lone_first)]
        } else {
            [(a, false), (lone, !lone_first)]
        }
    }

    /// The leaves from left to right.
    fn leaves(&self) -> [usize; 3] {
        let Tree { lone, lone_first, fork: [a, b] } = self.tree;
        if lone_first { [lone, a, b] } else { [a, b, lone] }
    }

    /// The two leaves that are left without one, from left to right.
    fn without(&self, shape: usize) -> [usize; 2] {
        let mut rest = [0; 2];
        for (slot, leaf) in rest.iter_mut().zip(self.leaves().into_iter().filter(|leaf| *leaf != shape)) {
            *slot = leaf;
        }
        rest
    }

    /// Hangs a leaf beside the one of two with which it makes the smaller tree.
    fn hang(&mut self, shape: usize, [left, right]: [usize; 2]) {
        let of = |leaf: usize| &self.boxes[leaf];
        let new = of(shape);
        let mut cost_left = of(right).area() + of(left).merged(new).area();
        let mut cost_right = of(left).area() + of(right).merged(new).area();
        if cost_left == cost_right {
            (cost_left, cost_right) = (apart(of(left), new), apart(of(right), new));
        }
        self.tree = if cost_right < cost_left {
            Tree { lone: left, lone_first: true, fork: [shape, right] }
        } else {
            Tree { lone: right, lone_first: false, fork: [shape, left] }
        };
    }

    fn learn(&mut self, pair: usize, shapes: u8, turn: usize) {
        if let Some(slot) = self.known.get_mut(self.known_count) {
            *slot = Known { pair: pair as u8, shapes, turn: turn as u8 };
            self.known_count += 1;
        }
    }

    /// Drops the pairs of a shape, in place.
    fn forget(&mut self, shape: usize) {
        let mut kept = 0;
        for i in 0..self.known_count {
            if self.known[i].shapes & (1 << shape) == 0 {
                self.known[kept] = self.known[i];
                kept += 1;
            }
        }
        self.known_count = kept;
    }
}

/// The pair of two moving shapes; the parts of the block do not push each other.
fn pair_of(a: usize, b: usize) -> Option<usize> {
    match (a, b) {
        (AGENT, part) | (part, AGENT) => Some(part),
        _ => None,
    }
}

/// A box that a shape does not leave at once.
fn widened(bounds: &Bounds, velocity: Point) -> Bounds {
    let size = (bounds.high - bounds.low) * MARGIN;
    let way = velocity * MARGIN;
    Bounds {
        low: bounds.low + Point::new((-size.x).min(way.x), (-size.y).min(way.y)),
        high: bounds.high + Point::new(size.x.max(way.x), size.y.max(way.y)),
    }
}

/// Twice the distance of the middles, along the axes.
fn apart(a: &Bounds, b: &Bounds) -> f64 {
    (a.low.x + a.high.x - b.low.x - b.high.x).abs() + (a.low.y + a.high.y - b.low.y - b.high.y).abs()
}
