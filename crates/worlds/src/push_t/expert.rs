//! A directed pusher: the scripted policy of PushT.
//!
//! A push holds the agent at a spot of a face and drives it inward; without friction that turns the block about a fixed point of its
//! own. The pusher tries all spots in copies of the solver, two pushes deep, and takes what leaves the block nearest to the goal for
//! the steps it takes. It then goes around the block to where the push begins, pushes while the solver says that this helps, and
//! decides anew.

use super::collide::AGENT_RADIUS;
use super::geometry::{Point, Pose, SIDE, angle_between};
use super::roads::{Roads, View, distance, out_of};
use super::solver::{REACH, Solver};

/// Where a push begins, px between the rims of agent and block.
const GAP: f64 = 6.0;
/// The pusher is where a push begins, px.
const ARRIVED: f64 = 5.0;
/// Steps of a push, at most.
const PUSH_STEPS: usize = 9;
/// Target of a fast push beyond the agent, px.
const FAST: f64 = 50.0;
/// Targets of slow pushes, px, tried when the block is nearer to the goal than three times as much.
const SLOW: [f64; 2] = [15.0, 6.0];
/// How much a step costs, in px of distance to the goal, for each px that is near enough.
const STEP_COST: f64 = 0.1;
/// Steps before and after a push that are not its way: speeding up, slowing down, going back.
const TURNAROUND: f64 = 5.0;
/// How far the agent gets in a step on its way, px.
const STRIDE: f64 = 27.0;
/// First pushes that are followed by a second one in the search.
const KEPT: usize = 5;
/// A push must bring this much, in px for each px that is near enough; farther off than three times of that, anything is tried.
const GAIN: f64 = 0.125;
/// Steps after which a way to a push is thought over.
const PATIENCE: usize = 25;
/// Gyration radius of the T's area about its centroid: px that a radian is worth.
const GYRATION: f64 = 44.0;
/// The T's centroid, from which distances to the goal are measured, in the block's coordinates.
const CENTROID: Point = Point::new(0.0, 15.0 + 60.0 * 2700.0 / 6300.0);

/// A spot of the rim, with the direction that points out of the block.
#[derive(Clone, Copy, Debug)]
struct Spot {
    place: Point,
    outward: Point,
}

const UP: Point = Point::new(0.0, -1.0);
const DOWN: Point = Point::new(0.0, 1.0);
const LEFT: Point = Point::new(-1.0, 0.0);
const RIGHT: Point = Point::new(1.0, 0.0);

const fn spot(x: f64, y: f64, outward: Point) -> Spot {
    Spot { place: Point::new(x, y), outward }
}

/// Spots of all eight faces, where a disc fits.
const SPOTS: [Spot; 30] = [
    spot(-52.0, 0.0, UP),
    spot(-32.0, 0.0, UP),
    spot(-13.0, 0.0, UP),
    spot(0.0, 0.0, UP),
    spot(13.0, 0.0, UP),
    spot(32.0, 0.0, UP),
    spot(52.0, 0.0, UP),
    spot(60.0, 8.0, RIGHT),
    spot(60.0, 22.0, RIGHT),
    spot(-60.0, 8.0, LEFT),
    spot(-60.0, 22.0, LEFT),
    spot(33.0, 30.0, DOWN),
    spot(44.0, 30.0, DOWN),
    spot(56.0, 30.0, DOWN),
    spot(-33.0, 30.0, DOWN),
    spot(-44.0, 30.0, DOWN),
    spot(-56.0, 30.0, DOWN),
    spot(15.0, 48.0, RIGHT),
    spot(15.0, 64.0, RIGHT),
    spot(15.0, 82.0, RIGHT),
    spot(15.0, 100.0, RIGHT),
    spot(15.0, 115.0, RIGHT),
    spot(-15.0, 48.0, LEFT),
    spot(-15.0, 64.0, LEFT),
    spot(-15.0, 82.0, LEFT),
    spot(-15.0, 100.0, LEFT),
    spot(-15.0, 115.0, LEFT),
    spot(-9.0, 120.0, DOWN),
    spot(0.0, 120.0, DOWN),
    spot(9.0, 120.0, DOWN),
];

/// A push at a spot: at which speed, and where it shall bring the block.
#[derive(Clone, Copy, Debug)]
struct Push {
    spot: Spot,
    /// How far beyond the agent its target lies, px.
    drive: f64,
    aim: Pose,
}

impl Push {
    /// Where the agent is when the push begins, in the block's coordinates.
    fn start(&self) -> Point {
        self.spot.place + self.spot.outward * (AGENT_RADIUS + GAP)
    }

    /// Target of a step that pushes by a share of the drive: inward, and along the face back to the spot.
    fn target(&self, solver: &Solver, share: f64) -> Point {
        let (block, along) = (solver.block(), self.spot.outward.turned());
        let from_spot = block.local(solver.agent()) - self.spot.place;
        let gap = (from_spot.dot(self.spot.outward) - AGENT_RADIUS).max(0.0);
        let aside = (from_spot.dot(along) * -2.0).clamp(-30.0, 30.0);
        let local = along * aside - self.spot.outward * (self.drive * share + gap);
        solver.agent() + local.rotated(Point::direction(block.angle))
    }

    /// Target of a step that ends the push.
    fn back(&self, solver: &Solver) -> Point {
        solver.agent() + (self.spot.outward * 40.0).rotated(Point::direction(solver.block().angle))
    }
}

/// What the pusher is to do.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// Where the block shall be.
    pub goal: Pose,
    /// Where the agent shall be at last, if that counts.
    pub agent: Option<Point>,
    /// How near the block must come, px: root mean square over its area.
    pub near: f64,
}

impl Task {
    fn off(&self, block: &Pose) -> f64 {
        off_goal(block, &self.goal)
    }

    fn step_cost(&self) -> f64 {
        STEP_COST * self.near
    }

    fn worth(&self, tried: &Tried) -> f64 {
        tried.off + self.step_cost() * tried.steps
    }
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Decide,
    /// On the way to where a push begins, with the steps left for it.
    Approach(Plan, usize),
    /// Pushing, with the steps so far.
    Push(Plan, usize),
}

/// A push, and the one that is to follow, if that is settled.
#[derive(Clone, Copy, Debug)]
struct Plan {
    push: Push,
    then: Option<Push>,
}

/// The scripted policy and what it is about to do.
#[derive(Clone, Debug)]
pub struct Pusher {
    roads: Roads,
    phase: Phase,
    /// From which corners each push's beginning is reached.
    views: [View; SPOTS.len()],
}

/// A push that was tried: what it costs, what it leads to.
struct Tried {
    push: Push,
    after: Solver,
    off: f64,
    steps: f64,
}

impl Pusher {
    /// A policy that has decided nothing yet.
    pub fn new() -> Self {
        let start = |spot: &Spot| spot.place + spot.outward * (AGENT_RADIUS + GAP);
        Self {
            roads: Roads::new(),
            phase: Phase::Decide,
            views: SPOTS.each_ref().map(|spot| Roads::arriving(start(spot))),
        }
    }

    /// Drops what was decided.
    pub fn forget(&mut self) {
        self.phase = Phase::Decide;
    }

    /// Where to draw the agent in the next tenth of a second.
    pub fn target(&mut self, solver: &Solver, task: &Task) -> Point {
        // Each phase leads to the next at most once a step.
        for _ in 0..4 {
            match self.phase {
                Phase::Decide => match self.decide(solver, task) {
                    Some(plan) => self.phase = Phase::Approach(plan, PATIENCE),
                    None => return self.finish(solver, task.agent),
                },
                Phase::Approach(plan, left) => {
                    if (solver.block().local(solver.agent()) - plan.push.start()).length() < ARRIVED {
                        self.phase = Phase::Push(plan, 0);
                    } else if left == 0 {
                        self.phase = Phase::Decide;
                    } else {
                        self.phase = Phase::Approach(plan, left - 1);
                        return self.toward(solver, plan.push.start());
                    }
                }
                Phase::Push(plan, done) => {
                    let share =
                        if done < 2 * PUSH_STEPS { best_share(solver, &plan.push, task, done == 0) } else { None };
                    match (share, plan.then) {
                        (Some(share), _) => {
                            self.phase = Phase::Push(plan, done + 1);
                            return plan.push.target(solver, share);
                        }
                        (None, Some(push)) => self.phase = Phase::Approach(Plan { push, then: None }, PATIENCE),
                        (None, None) => self.phase = Phase::Decide,
                    }
                }
            }
        }
        out_of_block(solver)
    }

    /// To the place where the agent shall be at last, or out of the block's way.
    fn finish(&self, solver: &Solver, agent_goal: Option<Point>) -> Point {
        let Some(place) = agent_goal.map(|place| solver.block().local(place)) else { return out_of_block(solver) };
        // Where the block is in the way, beside it: going on would push it.
        let place = if distance(place) < AGENT_RADIUS + 1.0 { out_of(place) } else { place };
        self.toward(solver, place)
    }

    /// One step on the way to a place, given in the block's coordinates.
    fn toward(&self, solver: &Solver, place: Point) -> Point {
        let block = solver.block();
        let agent = block.local(solver.agent());
        let way = self.roads.way((agent, &Roads::leaving(agent)), (place, &Roads::arriving(place)));
        if !way.length.is_finite() {
            return out_of_block(solver);
        }
        arrive(solver, block.place(way.next), if way.is_last { 0.7 } else { 1.0 })
    }

    /// The best push; none where the block is near enough, or hardly gets nearer.
    fn decide(&self, solver: &Solver, task: &Task) -> Option<Plan> {
        let off = task.off(&solver.block());
        if off < task.near {
            return None;
        }
        let mut first = self.tries(solver, task, false);
        first.sort_by(|a, b| task.worth(a).total_cmp(&task.worth(b)));
        let mut best: Option<(f64, Push)> = None;
        for (i, tried) in first.iter().enumerate() {
            let mut value = task.worth(tried);
            if i < KEPT && tried.off > task.near {
                let then =
                    self.tries(&tried.after, task, false).iter().map(|t| task.worth(t)).fold(f64::INFINITY, f64::min);
                value = value.min(then + task.step_cost() * tried.steps);
            }
            if best.is_none_or(|(least, _)| value < least) {
                best = Some((value, tried.push));
            }
        }
        match best {
            Some((value, push)) if value < off - GAIN * task.near => Some(Plan { push, then: None }),
            _ if off > 3.0 * task.near => self.detour(solver, task, off),
            _ => None,
        }
    }

    /// Two pushes of which the first leads anywhere and both together nearer to the goal, whatever they cost.
    fn detour(&self, solver: &Solver, task: &Task, off: f64) -> Option<Plan> {
        let mut best: Option<(f64, Plan)> = None;
        for first in self.tries(solver, task, true) {
            for then in self.tries(&first.after, task, false) {
                if then.off < best.as_ref().map_or(off - GAIN * task.near, |(least, _)| *least) {
                    best = Some((then.off, Plan { push: first.push, then: Some(then.push) }));
                }
            }
        }
        best.map(|(_, plan)| plan)
    }

    /// All pushes from a state, each as long as it helps; with `any`, as long as it leads nearest.
    fn tries(&self, solver: &Solver, task: &Task, any: bool) -> Vec<Tried> {
        let block = solver.block();
        let off = task.off(&block);
        let mut agent = block.local(solver.agent());
        let mut seen = Roads::leaving(agent);
        if seen.iter().all(|length| !length.is_finite()) {
            agent = out_of(agent);
            seen = Roads::leaving(agent);
        }
        let drives = std::iter::once(FAST).chain(SLOW.into_iter().filter(|drive| !any && off < 3.0 * drive));
        let mut all = Vec::new();
        for (spot, view) in SPOTS.iter().zip(&self.views) {
            let begin = spot.place + spot.outward * (AGENT_RADIUS + GAP);
            let place = block.place(begin);
            let way = self.roads.way((agent, &seen), (begin, view)).length;
            if !way.is_finite() || !(0.0..=SIDE).contains(&place.x) || !(0.0..=SIDE).contains(&place.y) {
                continue;
            }
            for drive in drives.clone() {
                let push = Push { spot: *spot, drive, aim: task.goal };
                if let Some((after, steps)) = outcome(solver, &push, place, task, any) {
                    let off = task.off(&after.block());
                    let push = Push { aim: after.block(), ..push };
                    all.push(Tried { push, after, off, steps: steps as f64 + TURNAROUND + way / STRIDE });
                }
            }
        }
        all
    }
}

impl Default for Pusher {
    fn default() -> Self {
        Self::new()
    }
}

/// Pushes from a spot until it no longer helps: the best state on the way and the steps to it.
fn outcome(solver: &Solver, push: &Push, place: Point, task: &Task, any: bool) -> Option<(Solver, usize)> {
    let mut run = solver.clone();
    run.set_agent(place, Point::ZERO);
    let mut least = if any { f64::INFINITY } else { task.off(&run.block()) };
    let mut best = None;
    for step in 1..=PUSH_STEPS {
        run.drive(push.target(&run, 1.0));
        // The first step may only close the gap.
        let off = task.off(&run.block()) + task.step_cost();
        if off < least && !(any && step < 3) {
            least = off;
            best = Some((run.clone(), step));
        } else if off > least + 25.0 {
            break;
        }
    }
    best
}

/// By which share of its drive a push goes on, so that it ends nearest to its aim; `None` where it should end.
fn best_share(solver: &Solver, push: &Push, task: &Task, first: bool) -> Option<f64> {
    let end = |mut run: Solver| {
        run.drive(push.back(&run));
        off_goal(&run.block(), &push.aim)
    };
    let mut best = (end(solver.clone()) - task.near / 16.0, None);
    for share in [1.0, 0.6, 0.3] {
        // The first step may only close the gap, so that two are tried.
        let mut run = solver.clone();
        for _ in 0..2 {
            run.drive(push.target(&run, share));
            let off = end(run.clone());
            if off < best.0 {
                best = (off, Some(share));
            }
        }
    }
    if first { best.1.or(Some(1.0)) } else { best.1 }
}

/// Distance of two poses of the T: root mean square over the points of its area, for small angles.
fn off_goal(block: &Pose, goal: &Pose) -> f64 {
    let apart = (block.place(CENTROID) - goal.place(CENTROID)).length();
    apart.hypot(GYRATION * angle_between(block.angle, goal.angle))
}

fn out_of_block(solver: &Solver) -> Point {
    let block = solver.block();
    let agent = block.local(solver.agent());
    if distance(agent) > AGENT_RADIUS + GAP { solver.agent() } else { block.place(out_of(agent)) }
}

/// The target that brings the agent to a place in one step, or goes `share` of the way.
fn arrive(solver: &Solver, place: Point, share: f64) -> Point {
    let ahead = place - solver.agent() - solver.agent_velocity() * DRIFT;
    let asked = ahead * (share / RESPONSE);
    let longest = asked.x.abs().max(asked.y.abs());
    solver.agent() + if longest > REACH { asked * (REACH / longest) } else { asked }
}

/// Share of the way to its target that the agent goes in a step from rest.
const RESPONSE: f64 = 0.2957;
/// Seconds of its velocity that it drifts in a step.
const DRIFT: f64 = 0.0299;
