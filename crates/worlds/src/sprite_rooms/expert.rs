//! The scripted policy.

use std::collections::VecDeque;

use super::fact::{Corner, Fact, NEAR, Who};
use super::geometry::{CARRY, INSIDE, Point, RADIUS, SIDE, SPEED, distance};
use super::route;
use super::scene::Scene;
use crate::random::Random;

/// How near to its place the expert puts a thing, px.
const EXACT: f64 = 1.5;
/// How far beside a thing the expert stands to grip it, px, where there is room.
const APPROACH: f64 = CARRY + 1.0;
/// And where there is not.
const CLOSE: f64 = CARRY + 0.1;
/// How far beside a thing its neighbour is put, px.
pub(super) const NEIGHBOUR: f64 = 2.0 * RADIUS + 1.5;
/// Bodies nearer than this touch, px.
const TOUCH: f64 = 2.0 * RADIUS + 0.2;
/// Distance of the places that are tried where a thing is put down for the time being, px.
const STAGING: f64 = 2.0;
/// What a way costs more that leads through things, px.
const THROUGH: f64 = 200.0;

/// Where a thing may be put, and on which side of the agent it can be then; 0 is either.
type Target = (Point, f64);

fn beside(at: Point, by: f64) -> Point {
    [at[0] + by, at[1]]
}

fn toward(scene: &Scene, to: Point, grip: f64) -> [f64; 3] {
    let by = [0, 1].map(|axis| ((to[axis] - scene.agent.at[axis]) / SPEED).clamp(-1.0, 1.0));
    [by[0], by[1], grip]
}

const REST: [f64; 3] = [0.0, 0.0, -1.0];

/// How many scenes the policy remembers, to notice that it goes in a circle.
const REMEMBERED: usize = 24;
/// Steps that it then walks anywhere.
const WANDER: u8 = 4;

/// What the policy remembers of an episode. Things that it pushes can end where each step undoes the one before; then it walks a few
/// steps anywhere and begins again.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    recent: VecDeque<Scene>,
    wander: Option<(u8, Point)>,
}

impl Memory {
    /// The next action toward the goal.
    pub fn act(&mut self, scene: &Scene, goal: &Scene, fact: Fact, random: &mut Random) -> [f64; 3] {
        if fact.holds(scene, goal) {
            *self = Self::default();
            return act(scene, goal, fact);
        }
        if self.wander.is_none() && self.recent.contains(scene) {
            self.recent.clear();
            self.wander = Some((WANDER, [random.between(-1.0, 1.0), random.between(-1.0, 1.0)]));
        }
        if let Some((steps, way)) = self.wander {
            self.wander = (steps > 1).then(|| (steps - 1, way));
            return [way[0], way[1], -1.0];
        }
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(scene.clone());
        act(scene, goal, fact)
    }
}

/// The next action toward the goal, from the scene alone.
fn act(scene: &Scene, goal: &Scene, fact: Fact) -> [f64; 3] {
    match fact {
        Fact::Picture => picture(scene, goal),
        Fact::At { who: Who::Agent, place } => go(scene, &[place]),
        Fact::In { who: Who::Agent, corner } => go(scene, &[corner.place()]),
        Fact::Beside { who: Who::Agent, of } => go(scene, &neighbours(scene, of).map(|(place, _)| place)),
        Fact::At { who: Who::Thing(thing), place } => put(scene, thing, &[(place, 0.0)]),
        Fact::In { who: Who::Thing(thing), corner } => put(scene, thing, &in_corner(corner)),
        Fact::Beside { who: Who::Thing(thing), of } => unite(scene, thing, of),
        Fact::Holds { thing } => hold(scene, thing),
    }
}

/// Left and right of a thing. What is put there has its agent on the far side.
fn neighbours(scene: &Scene, of: usize) -> [Target; 2] {
    let at = scene.things[of].at;
    [(beside(at, -NEIGHBOUR), 1.0), (beside(at, NEIGHBOUR), -1.0)]
}

/// Puts a thing beside another, which is moved first where there is no room at either of its sides.
fn unite(scene: &Scene, thing: usize, of: usize) -> [f64; 3] {
    let has_room = |at: Point, side: f64| {
        let neighbour = beside(at, -side * NEIGHBOUR);
        scene.wall.is_free(neighbour) && scene.wall.is_free(beside(neighbour, -side * CARRY))
    };
    let is_open = |at: Point| has_room(at, 1.0) || has_room(at, -1.0);
    if scene.held != Some(of) && is_open(scene.things[of].at) {
        return put(scene, thing, &neighbours(scene, of));
    }
    put(scene, of, &near(scene, scene.things[of].at, is_open))
}

/// Places in a corner for either side of the agent.
fn in_corner(corner: Corner) -> [Target; 2] {
    let place = corner.place();
    let inward = if place[0] < 0.5 * SIDE { 1.0 } else { -1.0 };
    [(place, -inward), (beside(place, 4.0 * inward), inward)]
}

fn picture(scene: &Scene, goal: &Scene) -> [f64; 3] {
    for (thing, (body, wanted)) in scene.things.iter().zip(&goal.things).enumerate() {
        let held = scene.held == Some(thing);
        if distance(body.at, wanted.at) > 0.6 * NEAR || (held && distance(body.at, wanted.at) > EXACT) {
            return put(scene, thing, &[(wanted.at, 0.0)]);
        }
    }
    go(scene, &[goal.agent.at])
}

/// Goes to the place that is the shortest way off.
fn go(scene: &Scene, places: &[Point]) -> [f64; 3] {
    let ways = places.iter().filter_map(|place| walk(scene, *place));
    match ways.min_by(|a, b| a.1.total_cmp(&b.1)) {
        Some((next, _)) => toward(scene, next, -1.0),
        None => REST,
    }
}

/// The way of the agent alone: around things, or through them where there is no other.
fn walk(scene: &Scene, to: Point) -> Option<(Point, f64)> {
    let from = scene.agent.at;
    let in_way = |at: Point| {
        scene.things.iter().any(|thing| distance(at, thing.at) < TOUCH && distance(from, thing.at) >= TOUCH)
    };
    route::next(from, to, |at| scene.wall.is_free(at) && !in_way(at))
        .or_else(|| through(route::next(from, to, |at| scene.wall.is_free(at))))
}

fn through(way: Option<(Point, f64)>) -> Option<(Point, f64)> {
    way.map(|(next, length)| (next, length + THROUGH))
}

/// The way of the agent at `from` with a thing at its side `side`.
fn carry(scene: &Scene, thing: usize, from: Point, side: f64, to: Point) -> Option<(Point, f64)> {
    let held = beside(from, side * CARRY);
    let others = || scene.things.iter().enumerate().filter(|(other, _)| *other != thing).map(|(_, body)| body.at);
    let touches = |a: Point, b: Point| distance(a, b) < TOUCH;
    let in_way = |at: Point| {
        let with = beside(at, side * CARRY);
        others().any(|other| {
            (touches(at, other) && !touches(from, other)) || (touches(with, other) && !touches(held, other))
        })
    };
    let is_free = |at: Point| scene.wall.is_free(at) && scene.wall.is_free(beside(at, side * CARRY));
    route::next(from, to, |at| is_free(at) && !in_way(at)).or_else(|| through(route::next(from, to, is_free)))
}

/// The best target that can be reached from `from` with the thing at `side`: the next place of the agent, and the length of the way.
fn best_carry(scene: &Scene, thing: usize, from: Point, side: f64, targets: &[Target]) -> Option<(Point, f64)> {
    let fits = targets.iter().filter(|(_, wanted)| *wanted == 0.0 || *wanted == side);
    let ways = fits.filter_map(|(place, _)| carry(scene, thing, from, side, beside(*place, -side * CARRY)));
    ways.min_by(|a, b| a.1.total_cmp(&b.1))
}

/// Grips a thing and puts it at one of the targets.
fn put(scene: &Scene, thing: usize, targets: &[Target]) -> [f64; 3] {
    let at = scene.things[thing].at;
    if let Some(held) = scene.held {
        if held != thing {
            return REST;
        }
        let side = scene.side_of(thing);
        let is_there = |(place, wanted): &Target| distance(at, *place) <= EXACT && (*wanted == 0.0 || *wanted == side);
        if targets.iter().any(is_there) {
            return REST;
        }
        if let Some((next, _)) = best_carry(scene, thing, scene.agent.at, side, targets) {
            return toward(scene, next, 1.0);
        }
        // Only from the other side: put it down where it can be gripped from there.
        if is_staging(scene, at) {
            return REST;
        }
        return match best_carry(scene, thing, scene.agent.at, side, &near(scene, at, |place| is_staging(scene, place)))
        {
            Some((next, _)) => toward(scene, next, 1.0),
            None => REST,
        };
    }
    let sides = [1.0, -1.0].map(|side| {
        let stand = stand(scene, at, side)?;
        let (next, way) = walk(scene, stand)?;
        let gripped = beside(at, -side * CARRY);
        let on = best_carry(scene, thing, gripped, side, targets).map(|(_, length)| length);
        Some((side, stand, next, way, on))
    });
    let direct = sides.iter().flatten().filter_map(|(side, stand, next, way, on)| {
        let total = way + (*on)?;
        Some((*side, *stand, *next, total))
    });
    let any = || sides.iter().flatten().map(|(side, stand, next, way, _)| (*side, *stand, *next, *way));
    let Some((side, stand, next, _)) =
        direct.min_by(|a, b| a.3.total_cmp(&b.3)).or_else(|| any().min_by(|a, b| a.3.total_cmp(&b.3)))
    else {
        return REST;
    };
    grip(scene, thing, side, stand, next)
}

/// Grips a thing.
fn hold(scene: &Scene, thing: usize) -> [f64; 3] {
    if let Some(held) = scene.held {
        return if held == thing { [0.0, 0.0, 1.0] } else { REST };
    }
    let at = scene.things[thing].at;
    let ways = [1.0, -1.0].into_iter().filter_map(|side| {
        let stand = stand(scene, at, side)?;
        let (next, way) = walk(scene, stand)?;
        Some((side, stand, next, way))
    });
    match ways.min_by(|a, b| a.3.total_cmp(&b.3)) {
        Some((side, stand, next, _)) => grip(scene, thing, side, stand, next),
        None => REST,
    }
}

/// Where the agent stands to grip what is at `at` and hold it at `side`.
fn stand(scene: &Scene, at: Point, side: f64) -> Option<Point> {
    [APPROACH, CLOSE].map(|by| beside(at, -side * by)).into_iter().find(|place| scene.wall.is_free(*place))
}

/// Walks on to the place from which a thing is gripped at `side`, and grips it there; closer where another would be gripped.
fn grip(scene: &Scene, thing: usize, side: f64, stand: Point, next: Point) -> [f64; 3] {
    let there = distance(scene.agent.at, stand) <= EXACT && scene.side_of(thing) == side;
    match scene.would_grip() {
        Some((gripped, _)) if there && gripped == thing => [0.0, 0.0, 1.0],
        Some(_) if there => toward(scene, scene.things[thing].at, -1.0),
        _ => toward(scene, next, -1.0),
    }
}

/// Whether a thing at a place can be gripped from both sides.
fn is_staging(scene: &Scene, at: Point) -> bool {
    [-CLOSE, CLOSE, 0.0].iter().all(|by| scene.wall.is_free(beside(at, *by)))
}

/// The places that are nearest to `at` of those that will do.
fn near(scene: &Scene, at: Point, will_do: impl Fn(Point) -> bool) -> Vec<Target> {
    let steps = || (0..=((INSIDE.1 - INSIDE.0) / STAGING) as usize).map(|i| INSIDE.0 + i as f64 * STAGING);
    let all = steps().flat_map(|y| steps().map(move |x| [x, y]));
    let mut places: Vec<Point> = all.filter(|place| scene.wall.is_free(*place) && will_do(*place)).collect();
    places.sort_by(|a, b| distance(*a, at).total_cmp(&distance(*b, at)));
    places.truncate(12);
    places.into_iter().map(|place| (place, 0.0)).collect()
}
