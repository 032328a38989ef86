//! Scenes and goals that episodes begin with.

use serde::{Deserialize, Serialize};

use super::expert::NEIGHBOUR;
use super::fact::{Corner, Fact, Who};
use super::geometry::{CARRY, DOOR_RANGE, INSIDE, Point, RADIUS, WALL_RANGE, Wall, distance};
use super::scene::{Body, Scene};
use crate::random::Random;

/// How far bodies are apart at the start, px.
const APART: f64 = 2.0 * RADIUS + 2.0;
/// How often a goal is tried again that turns out not to be possible.
pub(super) const TRIES: usize = 1000;

/// A kind of goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// The agent at a place.
    Reach,
    /// A thing at a place.
    Place,
    /// A thing beside the other one. Needs two things.
    Beside,
    /// The agent beside a thing.
    Visit,
    /// The agent or a thing in a corner.
    Corner,
    /// The agent holds a thing.
    Hold,
}

impl Task {
    /// All kinds.
    pub const ALL: [Self; 6] = [Self::Reach, Self::Place, Self::Beside, Self::Visit, Self::Corner, Self::Hold];

    fn fact(self, things: usize, wall: &Wall, random: &mut Random) -> Fact {
        let thing = random.below(things);
        match self {
            Self::Reach => Fact::At { who: Who::Agent, place: free_place(wall, random) },
            Self::Place => Fact::At { who: Who::Thing(thing), place: free_place(wall, random) },
            Self::Beside => Fact::Beside { who: Who::Thing(thing), of: (thing + 1) % things },
            Self::Visit => Fact::Beside { who: Who::Agent, of: thing },
            Self::Hold => Fact::Holds { thing },
            Self::Corner => {
                let who = if random.below(2) == 0 { Who::Agent } else { Who::Thing(thing) };
                Fact::In { who, corner: Corner::ALL[random.below(4)] }
            }
        }
    }
}

fn free_place(wall: &Wall, random: &mut Random) -> Point {
    loop {
        let place = [(); 2].map(|()| random.between(INSIDE.0, INSIDE.1));
        if wall.is_free(place) {
            return place;
        }
    }
}

/// A scene with bodies anywhere, apart from each other; things have different drawings where there are enough.
pub(super) fn scene(things: usize, drawings: (usize, usize), wall_share: f64, random: &mut Random) -> Scene {
    loop {
        let has_wall = random.unit() < wall_share;
        let [wall, door] = [WALL_RANGE, DOOR_RANGE].map(|(low, high)| random.between(low, high));
        let wall = Wall { at: has_wall.then_some((wall, door)) };
        let agent = Body { at: free_place(&wall, random), drawing: random.below(drawings.0) };
        let mut shown = random.choose(things, drawings.1);
        if random.below(2) == 1 {
            shown.reverse();
        }
        let body = |i: usize, random: &mut Random| {
            let drawing = shown.get(i).copied().unwrap_or_else(|| random.below(drawings.1));
            Body { at: free_place(&wall, random), drawing }
        };
        let things = (0..things).map(|i| body(i, random)).collect();
        let scene = Scene { agent, wall, held: None, things };
        if are_apart(&scene, APART) {
            return scene;
        }
    }
}

fn are_apart(scene: &Scene, least: f64) -> bool {
    let bodies: Vec<Point> = std::iter::once(scene.agent.at).chain(scene.things.iter().map(|thing| thing.at)).collect();
    (1..bodies.len()).all(|i| bodies[..i].iter().all(|other| distance(*other, bodies[i]) >= least))
}

/// A goal of a kind for a scene in which it is not reached yet, and a scene in which it is; `None` where this draw is not possible.
pub(super) fn goal(task: Task, start: &Scene, random: &mut Random) -> Option<(Fact, Scene)> {
    let fact = task.fact(start.things.len(), &start.wall, random);
    let goal = imagine(start, fact, random)?;
    (!fact.holds(start, &goal)).then_some((fact, goal))
}

/// The scene with as little changed as makes a fact true, the agent beside what it moved; `None` where this draw is not possible.
pub(super) fn imagine(start: &Scene, fact: Fact, random: &mut Random) -> Option<Scene> {
    let mut scene = start.clone();
    scene.held = None;
    let side = if random.below(2) == 0 { -1.0 } else { 1.0 };
    let beside = |at: Point, by: f64| [at[0] + by, at[1]];
    let in_corner = |corner: Corner, random: &mut Random| {
        let reach = corner.place()[0].min(64.0 - corner.place()[0]);
        let middle = corner.place();
        [0, 1].map(|axis| (middle[axis] + random.between(-0.4, 0.4) * reach).clamp(INSIDE.0, INSIDE.1))
    };
    let (who, place) = match fact {
        Fact::Picture => return Some(scene),
        Fact::At { who, place } => (who, place),
        Fact::Beside { who, of } => (who, beside(start.things.get(of)?.at, side * NEIGHBOUR)),
        Fact::In { who, corner } => (who, in_corner(corner, random)),
        Fact::Holds { thing } => {
            let at = start.things.get(thing)?.at;
            scene.held = Some(thing);
            (Who::Agent, beside(at, -side * CARRY))
        }
    };
    match who {
        Who::Agent => scene.agent.at = place,
        Who::Thing(thing) => {
            scene.things.get_mut(thing)?.at = place;
            // Beside another thing the agent is on the far side.
            let far = if matches!(fact, Fact::Beside { .. }) { side } else { -side };
            scene.agent.at = beside(place, far * CARRY);
        }
    }
    let bodies = std::iter::once(&scene.agent).chain(&scene.things);
    let free = bodies.into_iter().all(|body| scene.wall.is_free(body.at));
    (free && are_apart(&scene, 2.0 * RADIUS) && fact.holds(&scene, &scene)).then_some(scene)
}
