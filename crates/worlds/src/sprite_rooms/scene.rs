//! What is where: a state as numbers, and what an action does to it.

use super::geometry::{CARRY, DOOR_RANGE, GRIP, NAME, Point, RADIUS, SPEED, WALL_RANGE, Wall, distance};
use crate::error::{Result, WorldError};
use crate::world::check_finite;

/// The most things of a world.
pub(super) const MAX_THINGS: usize = 2;
/// Numbers of a state before those of things.
pub(super) const HEAD: usize = 6;
/// Names of the numbers of a state.
pub(super) const NAMES: [&str; HEAD + 3 * MAX_THINGS] = [
    "agent x (px)",
    "agent y (px)",
    "agent's drawing",
    "wall x (px), 0: none",
    "door y (px)",
    "thing held, 0: none",
    "thing 1 x (px)",
    "thing 1 y (px)",
    "thing 1's drawing",
    "thing 2 x (px)",
    "thing 2 y (px)",
    "thing 2's drawing",
];

/// An agent or a thing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Body {
    pub at: Point,
    /// Which drawing.
    pub drawing: usize,
}

/// A state.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scene {
    pub agent: Body,
    pub wall: Wall,
    /// The thing that is held: it is beside the agent, [`CARRY`] away.
    pub held: Option<usize>,
    pub things: Vec<Body>,
}

impl Scene {
    pub fn to_numbers(&self) -> Vec<f64> {
        let (wall, door) = self.wall.at.unwrap_or((0.0, 0.0));
        let held = self.held.map_or(0.0, |thing| (thing + 1) as f64);
        let [x, y] = self.agent.at;
        let mut numbers = vec![x, y, self.agent.drawing as f64, wall, door, held];
        for thing in &self.things {
            numbers.extend([thing.at[0], thing.at[1], thing.drawing as f64]);
        }
        numbers
    }

    /// The scene of a state of `things` things, with `drawings` of agents and of things to choose from.
    ///
    /// # Errors
    /// A wrong length, NaN, drawings that are not there, bodies in walls, a thing that is held and is elsewhere.
    pub fn from_numbers(what: &str, numbers: &[f64], things: usize, drawings: (usize, usize)) -> Result<Self> {
        check_finite(NAME, what, HEAD + 3 * things, numbers)?;
        let fail = |why: String| Err(WorldError::State { origin: NAME, what: format!("{what}: {why}") });
        let whole = |at: usize, count: usize| {
            let value = numbers[at];
            match value >= 0.0 && value < count as f64 && value.fract() == 0.0 {
                true => Ok(value as usize),
                false => {
                    fail(format!("{} is {value}; whole numbers below {count} are possible", NAMES[at])).map(|_: Self| 0)
                }
            }
        };
        let wall = match (numbers[3], numbers[4]) {
            (0.0, 0.0) => Wall { at: None },
            (x, door) => {
                let ((l, r), (t, b)) = (WALL_RANGE, DOOR_RANGE);
                if !(l..=r).contains(&x) || !(t..=b).contains(&door) {
                    return fail(format!(
                        "the wall is at {x} with its door at {door}; {l} to {r} and {t} to {b} are possible, or 0 and 0"
                    ));
                }
                Wall { at: Some((x, door)) }
            }
        };
        let body = |at: usize, drawing: usize, count: usize| {
            let place = [numbers[at], numbers[at + 1]];
            let drawing = whole(drawing, count)?;
            match wall.is_free(place) {
                true => Ok(Body { at: place, drawing }),
                false => fail(format!("{} and y are {place:?}, in a wall or outside of the rooms", NAMES[at]))
                    .map(|_: Self| Body { at: place, drawing }),
            }
        };
        let agent = body(0, 2, drawings.0)?;
        let bodies =
            (0..things).map(|i| body(HEAD + 3 * i, HEAD + 3 * i + 2, drawings.1)).collect::<Result<Vec<_>>>()?;
        let held = whole(5, things + 1)?.checked_sub(1);
        if let Some(thing) = held {
            let at = bodies[thing].at;
            if at[1] != agent.at[1] || ((at[0] - agent.at[0]).abs() - CARRY).abs() > 1e-9 {
                return fail(format!("thing {} is held at {at:?}; it must be {CARRY} px beside the agent", thing + 1));
            }
        }
        Ok(Self { agent, wall, held, things: bodies })
    }

    /// On which side a held thing is: −1 left, 1 right.
    pub fn side_of(&self, thing: usize) -> f64 {
        if self.things[thing].at[0] < self.agent.at[0] { -1.0 } else { 1.0 }
    }

    /// Where the agent would hold a thing, if it can grip it from where it is.
    fn gripped_at(&self, thing: usize) -> Option<Point> {
        let at = self.things[thing].at;
        let near = (at[0] - self.agent.at[0]).abs() <= GRIP.0 && (at[1] - self.agent.at[1]).abs() <= GRIP.1;
        let to = [self.agent.at[0] + CARRY * self.side_of(thing), self.agent.at[1]];
        (near && self.wall.is_free(to)).then_some(to)
    }

    /// The thing that a closing grip takes, the nearest that it can, and where it is then held.
    pub fn would_grip(&self) -> Option<(usize, Point)> {
        let away = |thing: usize| distance(self.things[thing].at, self.agent.at);
        let reached = (0..self.things.len()).filter_map(|thing| Some((thing, self.gripped_at(thing)?)));
        reached.min_by(|a, b| away(a.0).total_cmp(&away(b.0)))
    }

    /// One step: opens or closes the grip, moves, and pushes what is in the way.
    pub fn act(&mut self, action: [f64; 3]) {
        if action[2] <= 0.0 {
            self.held = None;
        } else if self.held.is_none()
            && let Some((thing, at)) = self.would_grip()
        {
            self.things[thing].at = at;
            self.held = Some(thing);
        }
        let by = [action[0] * SPEED, action[1] * SPEED];
        match self.held {
            None => {
                let to = self.wall.slide(self.agent.at, by);
                let back = self.push(self.agent.at, to, None);
                self.agent.at = self.wall.slide(to, back);
            }
            Some(thing) => self.carry(thing, by),
        }
    }

    /// Moves the agent and the thing that it holds, as far as both can.
    fn carry(&mut self, thing: usize, by: Point) {
        let (agent, held) = (self.agent.at, self.things[thing].at);
        let side = self.side_of(thing);
        let to = self.slide_pair([agent, held], by);
        let first = self.push(agent, to, Some(thing));
        let second = self.push(held, [to[0] + CARRY * side, to[1]], Some(thing));
        // Back from what a wall stopped, as far as the farther of both.
        let back = [0, 1].map(|axis| if first[axis].abs() > second[axis].abs() { first[axis] } else { second[axis] });
        let end = self.slide_pair([to, [to[0] + CARRY * side, to[1]]], back);
        self.agent.at = end;
        self.things[thing].at = [end[0] + CARRY * side, end[1]];
    }

    /// Where the first of two bodies comes that move together: along one axis and then along the other, as far as both can.
    fn slide_pair(&self, pair: [Point; 2], by: Point) -> Point {
        let mut moved = [0.0; 2];
        for axis in [0, 1] {
            let mut step = [0.0; 2];
            step[axis] = by[axis];
            let gone = |from: Point| {
                let start = [from[0] + moved[0], from[1] + moved[1]];
                self.wall.slide(start, step)[axis] - start[axis]
            };
            let (a, b) = (gone(pair[0]), gone(pair[1]));
            moved[axis] = if a.abs() < b.abs() { a } else { b };
        }
        [pair[0][0] + moved[0], pair[0][1] + moved[1]]
    }

    /// Pushes things out of the way of a body that moved; how far the body itself must go back from things that a wall stopped.
    fn push(&mut self, from: Point, to: Point, held: Option<usize>) -> Point {
        let motion = [to[0] - from[0], to[1] - from[1]];
        let length = distance(from, to);
        let mut back = [0.0; 2];
        for thing in 0..self.things.len() {
            if held == Some(thing) {
                continue;
            }
            let Some((unit, amount)) = overlap(from, to, self.things[thing].at, motion, length) else { continue };
            let before = self.things[thing].at;
            let after = self.wall.slide(before, [unit[0] * amount, unit[1] * amount]);
            self.things[thing].at = after;
            // What is pushed pushes on.
            for other in (0..self.things.len()).filter(|other| *other != thing && held != Some(*other)) {
                let moved = [after[0] - before[0], after[1] - before[1]];
                let place = self.things[other].at;
                if let Some((unit, amount)) = overlap(before, after, place, moved, distance(before, after)) {
                    self.things[other].at = self.wall.slide(place, [unit[0] * amount, unit[1] * amount]);
                }
            }
            let went = (after[0] - before[0]) * unit[0] + (after[1] - before[1]) * unit[1];
            let left = amount - went;
            if left > 1e-9 {
                back = [back[0] - unit[0] * left, back[1] - unit[1] * left];
            }
        }
        back
    }
}

/// In what direction and how far a body that moved from `from` to `to` pushes another at `at`; nothing when they are apart, or when it
/// moves away. Bodies that already overlap are not thrown apart: the push is no longer than the motion.
fn overlap(from: Point, to: Point, at: Point, motion: Point, length: f64) -> Option<(Point, f64)> {
    let ahead = motion[0] * (at[0] - from[0]) + motion[1] * (at[1] - from[1]);
    let apart = distance(at, to);
    let amount = (2.0 * RADIUS - apart).min(length);
    if ahead <= 0.0 || amount <= 0.0 {
        return None;
    }
    let unit = match apart > 1e-9 {
        true => [(at[0] - to[0]) / apart, (at[1] - to[1]) / apart],
        false => [motion[0] / length, motion[1] / length],
    };
    Some((unit, amount))
}
