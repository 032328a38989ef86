//! A scene from random numbers: who is there, what happens, and a layout in which it can.

use super::action::{Action, Direction, Speed};
use super::motion::{outside, poses_in};
use super::scene::{Event, Pose, Script};
use crate::dice::Dice;

/// Layouts that are tried for a list of events before other events are taken.
const LAYOUTS: usize = 800;
/// Lists of events that are tried before the last resort, which fits anywhere.
const LISTS: usize = 20;

/// What is asked of a scene.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub frames: usize,
    /// Fewest and most things.
    pub things: [usize; 2],
    /// Most events.
    pub events: usize,
}

/// A scene without its things.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub script: Script,
    pub events: Vec<Event>,
    pub poses: Vec<Vec<Pose>>,
}

/// Draws a plan.
pub(super) fn plan(wanted: &Wanted, dice: &mut Dice) -> Plan {
    let [least, most] = wanted.things;
    let count = least + dice.pick((most - least + 1) as u32) as usize;
    for _ in 0..LISTS {
        let (script, actions) = actions(wanted, count, dice);
        let Some(events) = cast_events(&actions, script, count, wanted.frames, dice) else { continue };
        for _ in 0..LAYOUTS {
            let Some(start) = layout(&events, count, dice) else { continue };
            if let Some(poses) = run(&events, &start, wanted.frames) {
                return Plan { script, events, poses };
            }
        }
    }
    last_resort(count, wanted.frames, dice)
}

/// What is seen of things in a frame, coarsely: two ends that are alike cannot be told apart.
fn alike(one: &[Pose], two: &[Pose]) -> bool {
    let near = |a: f32, b: f32| (a - b).abs() < 0.03;
    one.iter().zip(two).all(|(a, b)| match (a.is_seen(), b.is_seen()) {
        (true, true) => near(a.x, b.x) && near(a.y, b.y) && near(a.size, b.size),
        (false, false) => true,
        _ => false,
    })
}

/// Another event of the same things from the same layout, with an end that is unlike all of `ends`: what else could have happened.
/// `None` where nothing was found.
pub(super) fn alternative(start: &[Pose], ends: &[&[Pose]], frames: usize, dice: &mut Dice) -> Option<Plan> {
    let count = start.len();
    let present: Vec<usize> = (0..count).filter(|&i| start[i].is_seen()).collect();
    for _ in 0..LISTS * 4 {
        let action = Action::ALL[dice.pick(Action::ALL.len() as u32) as usize];
        if !action.leaves_a_trace() || matches!(action, Action::Appear | Action::Enter) || present.is_empty() {
            continue;
        }
        let actor = present[dice.pick(present.len() as u32) as usize];
        let others: Vec<usize> = present.iter().copied().filter(|&i| i != actor).collect();
        if action.has_partner() && others.is_empty() {
            continue;
        }
        let partner = action.has_partner().then(|| others[dice.pick(others.len() as u32) as usize]);
        let [first, last] = span(0, 1, frames, dice);
        let event = event(action, actor, partner, [first, last], dice);
        let homes: Vec<[f32; 2]> = start.iter().map(|pose| [pose.x, pose.y]).collect();
        let layout = Layout { poses: start.to_vec(), homes };
        let poses = run(&[event], &layout, frames);
        let differs =
            |poses: &Vec<Vec<Pose>>| poses.last().is_some_and(|end| !ends.iter().any(|other| alike(end, other)));
        if let Some(poses) = poses.filter(differs) {
            return Some(Plan { script: Script::Single, events: vec![event], poses });
        }
    }
    None
}

/// The same events of the same things from another layout. `None` where none was found.
pub(super) fn replay(events: &[Event], count: usize, frames: usize, dice: &mut Dice) -> Option<Plan> {
    let mut layouts = (0..LAYOUTS * 4).filter_map(|_| layout(events, count, dice));
    let poses = layouts.find_map(|start| run(events, &start, frames))?;
    Some(Plan { script: Script::Single, events: events.to_vec(), poses })
}

/// Which actions, in order, and how they belong together.
fn actions(wanted: &Wanted, count: usize, dice: &mut Dice) -> (Script, Vec<Action>) {
    let fits = |action: &Action| count > 1 || !action.has_partner();
    let all: Vec<Action> = Action::ALL.into_iter().filter(fits).collect();
    let triggers: Vec<Action> =
        all.iter().copied().filter(|a| a.consequence().is_some_and(|next| fits(&next))).collect();
    let kind = dice.unit();
    let long = wanted.events >= 2;
    if kind < 0.15 && long {
        let trigger = triggers[dice.pick(triggers.len() as u32) as usize];
        if let Some(next) = trigger.consequence() {
            return (Script::Routine, vec![trigger, next]);
        }
    }
    let any = |dice: &mut Dice| all[dice.pick(all.len() as u32) as usize];
    if kind < 0.6 || !long {
        return (Script::Single, vec![any(dice)]);
    }
    let events = 2 + dice.pick(wanted.events as u32 - 1) as usize;
    (Script::Free, (0..events).map(|_| any(dice)).collect())
}

/// Frames of the event `index` of `count`.
fn span(index: usize, count: usize, frames: usize, dice: &mut Dice) -> [usize; 2] {
    let border = |i: usize| i * (frames - 1) / count;
    let (begin, end) = (border(index), border(index + 1));
    let slack = (end - begin).saturating_sub(3);
    let rest = |dice: &mut Dice| dice.pick((slack / 2 + 1) as u32) as usize / if slack > 4 { 2 } else { 1 };
    let (lead, tail) = (rest(dice), rest(dice));
    [begin + lead, end - tail.min(slack - lead.min(slack))]
}

fn event(action: Action, actor: usize, partner: Option<usize>, [first, last]: [usize; 2], dice: &mut Dice) -> Event {
    let choices = if action.is_straight() { 4 } else { 8 };
    let way = Direction::ALL[dice.pick(choices) as usize];
    let speed = if dice.chance(0.5) { Speed::Slow } else { Speed::Quick };
    Event {
        action,
        actor,
        partner,
        direction: action.has_direction().then_some(way),
        speed: (action == Action::Move).then_some(speed),
        first,
        last,
    }
}

/// Who does what: nobody acts who is not there, and whoever comes was not there before.
fn cast_events(actions: &[Action], script: Script, count: usize, frames: usize, dice: &mut Dice) -> Option<Vec<Event>> {
    let comes = |action: Action| matches!(action, Action::Appear | Action::Enter);
    let mut events: Vec<Event> = Vec::new();
    let mut gone = vec![false; count];
    for (index, &action) in actions.iter().enumerate() {
        let earlier = |i: usize| events.iter().any(|e| e.actor == i || e.partner == Some(i));
        let actor = match script {
            Script::Routine if index > 0 => events[0].actor,
            _ => dice.pick(count as u32) as usize,
        };
        // Whoever comes was not there before.
        if gone[actor] || (comes(action) && earlier(actor)) {
            return None;
        }
        let last = events.iter().rev().find(|e: &&Event| e.actor == actor);
        if last.and_then(|e| e.action.consequence()).is_some_and(|next| next != action) {
            return None;
        }
        let partner = match (action.has_partner(), events.first().and_then(|e| e.partner)) {
            (false, _) => None,
            (true, Some(same)) if script == Script::Routine => Some(same),
            (true, _) => {
                let other = dice.pick(count as u32 - 1) as usize;
                Some(if other >= actor { other + 1 } else { other })
            }
        };
        if partner.is_some_and(|p| gone[p]) {
            return None;
        }
        gone[actor] |= matches!(action, Action::Vanish | Action::Leave);
        let frames = span(index, actions.len(), frames, dice);
        let event = event(action, actor, partner, frames, dice);
        let again = |e: &Event| (e.action, e.actor, e.partner) == (action, actor, partner);
        if events.iter().any(again) {
            return None;
        }
        events.push(event);
    }
    Some(events)
}

/// Where everything is before the first event, and where it stands that comes later.
#[derive(Clone, Debug)]
struct Layout {
    poses: Vec<Pose>,
    homes: Vec<[f32; 2]>,
}

fn layout(events: &[Event], count: usize, dice: &mut Dice) -> Option<Layout> {
    let [small, large] = match count {
        1 => [0.28, 0.46],
        2 => [0.24, 0.36],
        3 => [0.22, 0.3],
        _ => [0.19, 0.27],
    };
    let mut poses: Vec<Pose> = Vec::with_capacity(count);
    for i in 0..count {
        let does = |action: Action| events.iter().any(|e| e.actor == i && e.action == action);
        let size = dice.between(small, large)
            * if does(Action::Grow) {
                0.75
            } else if does(Action::Shrink) {
                1.2
            } else {
                1.0
            };
        let edge = size * 0.45;
        let (x, y) = (dice.between(edge, 1.0 - edge), dice.between(edge, 1.0 - edge));
        let pose = Pose { x, y, size, angle: 0.0, alpha: 1.0, behind: false };
        if poses.iter().any(|p| p.distance(&pose) < (p.radius() + pose.radius()) * 1.05) {
            return None;
        }
        poses.push(pose);
    }
    let homes = poses.iter().map(|pose| [pose.x, pose.y]).collect();
    for event in events {
        let pose = &mut poses[event.actor];
        match (event.action, event.direction) {
            (Action::Appear, _) => pose.alpha = 0.0,
            (Action::Enter, Some(direction)) => [pose.x, pose.y] = outside(pose, direction),
            _ => {}
        }
    }
    Some(Layout { poses, homes })
}

/// The poses of all frames; `None` where things leave the picture or get in each other's way.
fn run(events: &[Event], layout: &Layout, frames: usize) -> Option<Vec<Vec<Pose>>> {
    let mut now = layout.poses.clone();
    let mut all = Vec::with_capacity(frames);
    for event in events {
        while all.len() <= event.first {
            all.push(now.clone());
        }
        if !is_clear(event, &now) {
            return None;
        }
        let home = layout.homes[event.actor];
        let from = now.clone();
        for step in 1..=event.last - event.first {
            now = poses_in(event, &from, home, step, frames);
            if !is_free(event, &now) {
                return None;
            }
            all.push(now.clone());
        }
    }
    while all.len() < frames {
        all.push(now.clone());
    }
    all.truncate(frames);
    Some(all)
}

/// Whether an event will look like what it is called from these poses.
fn is_clear(event: &Event, poses: &[Pose]) -> bool {
    let actor = &poses[event.actor];
    let cosine = |other: &Pose, way: [f32; 2]| {
        let (dx, dy) = (other.x - actor.x, other.y - actor.y);
        (dx * way[0] + dy * way[1]) / (dx * dx + dy * dy).sqrt().max(1e-6)
    };
    let way = event.direction.map_or([0.0, 0.0], Direction::vector);
    let Some(partner) = event.partner.and_then(|partner| poses.get(partner)) else {
        // Moving at something looks like approaching it.
        let at = |(i, other): (usize, &Pose)| {
            i != event.actor && other.is_seen() && cosine(other, way) > 0.9 && actor.distance(other) < 0.75
        };
        return event.action != Action::Move || !poses.iter().enumerate().any(at);
    };
    let between = actor.distance(partner);
    let gap = between - actor.radius() - partner.radius();
    if !partner.is_seen() || !actor.is_seen() {
        return false;
    }
    match event.action {
        Action::Approach => gap > 0.25,
        Action::Bump => gap > 0.15,
        Action::PassBehind => gap > 0.03 && between < 0.5,
        Action::Swap => between > 0.35,
        // Not through the partner.
        Action::Carry => gap > 0.05 && actor.y > partner.y,
        Action::Push => gap > 0.05 && cosine(partner, way) > 0.85,
        _ => true,
    }
}

/// Whether everything that takes part stays in the picture and clear of what does not.
fn is_free(event: &Event, poses: &[Pose]) -> bool {
    let takes_part = |i: usize| i == event.actor || event.partner == Some(i);
    let crosses_the_edge = matches!(event.action, Action::Enter | Action::Leave);
    for (i, pose) in poses.iter().enumerate().filter(|(i, _)| takes_part(*i)) {
        let edge = pose.radius();
        let inside = |v: f32| (edge - 0.03..=1.03 - edge).contains(&v);
        let stays = inside(pose.x) && inside(pose.y);
        if !(stays || crosses_the_edge) {
            return false;
        }
        let hits = |(j, other): (usize, &Pose)| {
            j != i
                && !takes_part(j)
                && other.alpha > 0.0
                && pose.distance(other) < (pose.radius() + other.radius()) * 0.95
        };
        if poses.iter().enumerate().any(hits) {
            return false;
        }
    }
    true
}

/// Things in a row, of which one turns: fits for every count.
fn last_resort(count: usize, frames: usize, dice: &mut Dice) -> Plan {
    let at = |i: usize| (i as f32 + 0.5) / count as f32;
    let size = (0.8 / count as f32).min(0.4);
    let poses: Vec<Pose> =
        (0..count).map(|i| Pose { x: at(i), y: 0.5, size, angle: 0.0, alpha: 1.0, behind: false }).collect();
    let actor = dice.pick(count as u32) as usize;
    let event = event(Action::Spin, actor, None, [0, frames - 1], dice);
    let home = [poses[actor].x, poses[actor].y];
    let poses = (0..frames).map(|step| poses_in(&event, &poses, home, step, frames)).collect();
    Plan { script: Script::Single, events: vec![event], poses }
}
