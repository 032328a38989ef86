//! How each action moves things.

use std::f32::consts::{PI, TAU};

use super::action::{Action, Direction, Speed};
use super::scene::{Event, Pose};

/// Share of an event in which an actor goes to its partner, before it takes it along.
const MEETING: f32 = 0.45;
/// How far things go that move during a whole clip.
const SLOW: f32 = 0.25;
const QUICK: f32 = 0.6;
/// How far something is carried or pushed.
const TAKEN: f32 = 0.28;
/// How near things come that touch: a share of the sum of their radii.
const TOUCH: f32 = 0.95;

fn add(a: [f32; 2], b: [f32; 2], times: f32) -> [f32; 2] {
    [a[0] + b[0] * times, a[1] + b[1] * times]
}

fn mix(a: [f32; 2], b: [f32; 2], t: f32) -> [f32; 2] {
    [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t]
}

fn at(pose: &Pose) -> [f32; 2] {
    [pose.x, pose.y]
}

fn put(pose: &mut Pose, to: [f32; 2]) {
    [pose.x, pose.y] = to;
}

/// Unit vector from one point to another; up where they are the same.
fn toward(from: [f32; 2], to: [f32; 2]) -> [f32; 2] {
    let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
    let length = (dx * dx + dy * dy).sqrt();
    if length < 1e-6 { [0.0, -1.0] } else { [dx / length, dy / length] }
}

/// How far outside the picture something stands that is not in it.
fn beyond(pose: &Pose, direction: Direction) -> [f32; 2] {
    let edge = 0.5 + pose.size * 0.75;
    let [dx, dy] = direction.vector();
    let pick = |d: f32, v: f32| if d == 0.0 { v } else { 0.5 + d * edge };
    [pick(dx, pose.x), pick(dy, pose.y)]
}

/// Where something stands before it comes in to `home`.
pub(super) fn outside(home: &Pose, direction: Direction) -> [f32; 2] {
    let back = match direction {
        Direction::Left => Direction::Right,
        Direction::Right => Direction::Left,
        Direction::Up => Direction::Down,
        _ => Direction::Up,
    };
    beyond(home, back)
}

/// Poses `step` frames into an event of a clip of `frames`, from those at its start. `home` is where a thing that comes in goes.
pub(super) fn poses_in(event: &Event, from: &[Pose], home: [f32; 2], step: usize, frames: usize) -> Vec<Pose> {
    let steps = event.last.saturating_sub(event.first).max(1);
    let step = step.min(steps);
    let u = step as f32 / steps as f32;
    let mut poses = from.to_vec();
    let Some(&a) = from.get(event.actor) else { return poses };
    let direction = event.direction.map_or([0.0, 0.0], Direction::vector);
    let actor = |poses: &mut Vec<Pose>, change: &dyn Fn(&mut Pose)| {
        if let Some(pose) = poses.get_mut(event.actor) {
            change(pose);
        }
    };
    match event.action {
        Action::Move => {
            let rate = if event.speed == Some(Speed::Slow) { SLOW } else { QUICK };
            let far = rate * step as f32 / frames.saturating_sub(1).max(1) as f32;
            actor(&mut poses, &|pose| put(pose, add(at(&a), direction, far)));
        }
        Action::Grow => actor(&mut poses, &|pose| pose.size = a.size * (1.0 + 0.9 * u)),
        Action::Shrink => actor(&mut poses, &|pose| pose.size = a.size * (1.0 - 0.5 * u)),
        Action::Spin => {
            let turn = if u < 1.0 { TAU * u } else { 0.0 };
            actor(&mut poses, &|pose| pose.angle = a.angle + turn);
        }
        Action::Shake => {
            // Sides alternate by whole frames, so that no rate of frames hides it.
            let swing = (steps / 8).max(1);
            let side = if step == 0 || step == steps { 0.0 } else { 1.0 - 2.0 * ((step / swing) % 2) as f32 };
            actor(&mut poses, &|pose| pose.x = a.x + 0.06 * side);
        }
        Action::Jump => {
            let hops = if steps < 10 { 1.0 } else { 2.0 };
            let v = if u < 1.0 { (u * hops).fract() } else { 0.0 };
            actor(&mut poses, &|pose| pose.y = a.y - 0.9 * v * (1.0 - v));
        }
        Action::Appear => actor(&mut poses, &|pose| pose.alpha = u),
        Action::Vanish => actor(&mut poses, &|pose| pose.alpha = 1.0 - u),
        Action::Enter => actor(&mut poses, &|pose| put(pose, mix(at(&a), home, u))),
        Action::Leave => {
            let out = event.direction.map_or(at(&a), |direction| beyond(&a, direction));
            actor(&mut poses, &|pose| put(pose, mix(at(&a), out, u)));
        }
        _ => with_partner(event, from, &mut poses, direction, [step, steps]),
    }
    poses
}

/// The actions of two.
fn with_partner(event: &Event, from: &[Pose], poses: &mut [Pose], direction: [f32; 2], [step, steps]: [usize; 2]) {
    let pair = event.partner.and_then(|partner| Some((partner, *from.get(event.actor)?, *from.get(partner)?)));
    let Some((partner, a, b)) = pair else { return };
    let (start, goal) = (at(&a), at(&b));
    let way = toward(start, goal);
    let reach = (a.radius() + b.radius()) * TOUCH;
    let contact = add(goal, way, -reach);
    let u = step as f32 / steps as f32;
    // They meet in a whole step, so that some frame shows it.
    let meet = ((steps as f32 * MEETING).round() as usize).clamp(1, steps.saturating_sub(1).max(1));
    let first = (step as f32 / meet as f32).min(1.0);
    let then = step.saturating_sub(meet) as f32 / (steps - meet).max(1) as f32;
    let (mut own, mut other) = (start, goal);
    match event.action {
        Action::Approach => own = mix(start, add(goal, way, -reach - 0.05), u),
        Action::Bump => {
            own = mix(mix(start, contact, first), start, then * 0.7);
            other = add(goal, way, 0.05 * (then * 2.0).min(1.0));
        }
        Action::PassBehind => {
            own = mix(start, add(goal, way, a.distance(&b)), u);
            poses[event.actor].behind = u < 1.0;
        }
        Action::Swap => {
            let middle = mix(start, goal, 0.5);
            let turned = |from: [f32; 2]| {
                let (sin, cos) = (PI * u).sin_cos();
                let (dx, dy) = (from[0] - middle[0], from[1] - middle[1]);
                [middle[0] + dx * cos - dy * sin, middle[1] + dx * sin + dy * cos]
            };
            (own, other) = if u < 1.0 { (turned(start), turned(goal)) } else { (goal, start) };
        }
        Action::Carry => {
            let under = [goal[0], goal[1] + reach];
            own = add(mix(start, under, first), direction, TAKEN * then);
            other = add(goal, direction, TAKEN * then);
        }
        Action::Push => {
            let behind = add(goal, direction, -reach);
            own = add(mix(start, behind, first), direction, TAKEN * then);
            other = add(goal, direction, TAKEN * then);
        }
        _ => {}
    }
    put(&mut poses[event.actor], own);
    put(&mut poses[partner], other);
}
