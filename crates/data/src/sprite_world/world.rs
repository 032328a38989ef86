//! Clips by number.

use std::sync::Arc;

use super::action::Action;
use super::cast::{Cast, Thing};
use super::plan::{Wanted, alternative, plan, replay};
use super::render::draw;
use super::scene::{Actor, Event, Pose, Scene};
use crate::augment::backdrop;
use crate::dice::{Dice, SampleKey};
use crate::{DataError, Rgb8Image};

/// Tries to find things whose pairs with what they do are wanted.
const CASTINGS: usize = 200;
/// Which stream of a key's random numbers draws what.
const SCENE: u64 = 11;
const BACKDROP: u64 = 12;
const OTHERS: u64 = 13;
const ELSEWHERE: u64 = 14;

/// Which pairs of thing and action take part. A tenth of all pairs, by a hash of both, is never trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pairs {
    /// None that is held out.
    #[default]
    Seen,
    /// In the first event a pair that is held out.
    HeldOut,
}

/// What clips look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpriteOptions {
    /// Frames of a clip, 8 to 32.
    pub frames: usize,
    /// Fewest and most things, 1 to 4.
    pub things: [usize; 2],
    /// Most events in a row, 1 to 3; two need 8 frames, three need 12.
    pub events: usize,
    /// Which pairs of thing and action.
    pub pairs: Pairs,
}

impl Default for SpriteOptions {
    fn default() -> Self {
        Self { frames: 8, things: [1, 4], events: 2, pairs: Pairs::Seen }
    }
}

impl SpriteOptions {
    /// The first rule that they break: which, and in words.
    pub fn problem(&self) -> Option<(&'static str, String)> {
        let [least, most] = self.things;
        let rules = [
            ("frames", (8..=32).contains(&self.frames), format!("{} frames, expected 8 to 32", self.frames)),
            (
                "things",
                1 <= least && least <= most && most <= 4,
                format!("{least} to {most} things, expected 1 to 4, the fewest first"),
            ),
            (
                "events",
                1 <= self.events && self.events <= self.frames / 4 && self.events <= 3,
                format!("{} events, expected 1 to {} in {} frames", self.events, (self.frames / 4).min(3), self.frames),
            ),
        ];
        rules.into_iter().find(|(_, holds, _)| !holds).map(|(key, _, what)| (key, what))
    }
}

/// Whether a pair of thing and action is never trained on: a tenth of all, by a hash of the thing's key and the action's.
pub fn is_held_out(thing: &str, action: Action) -> bool {
    use sha2::Digest as _;
    let hash = sha2::Sha256::digest(format!("{thing}/{}", action.key()).as_bytes());
    let number = hash.iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    number.is_multiple_of(10)
}

/// Drawings in motion, and everything that is true of them: a clip for every number, always the same one.
#[derive(Clone, Debug)]
pub struct SpriteWorld {
    cast: Arc<Cast>,
    options: SpriteOptions,
    /// Whether drawings may be mirrored: where left and right are the same to every thing of the cast.
    mirror: bool,
}

impl SpriteWorld {
    /// A world of these things. `mirror` allows mirrored drawings.
    ///
    /// # Errors
    /// Options that break a rule, and so few things that none has a pair that is asked for.
    pub fn new(cast: impl Into<Arc<Cast>>, mirror: bool, options: SpriteOptions) -> Result<Self, DataError> {
        let cast = cast.into();
        let fault = |reason: String| Err(DataError::Shape { what: "Sprite World", reason });
        if let Some((_, reason)) = options.problem() {
            return fault(reason);
        }
        // Of few things, none may have a pair that is held out; then no clip could be drawn.
        let is_wanted = |action: &Action| {
            let held_out = options.pairs == Pairs::HeldOut;
            cast.things().iter().filter(|thing| is_held_out(&thing.key, *action) == held_out).count() > 0
        };
        let alone = |action: &Action| !action.has_partner();
        if !Action::ALL.iter().filter(|action| alone(action)).any(is_wanted) {
            return fault("no thing does what is held out; take more drawings".to_owned());
        }
        Ok(Self { cast, options, mirror })
    }

    /// The same things in clips that look otherwise.
    ///
    /// # Errors
    /// Options that break a rule.
    pub fn with(&self, options: SpriteOptions) -> Result<Self, DataError> {
        Self::new(Arc::clone(&self.cast), self.mirror, options)
    }

    /// The things.
    pub fn cast(&self) -> &Cast {
        &self.cast
    }

    /// What clips look like.
    pub fn options(&self) -> &SpriteOptions {
        &self.options
    }

    /// The thing that an actor is.
    pub fn thing(&self, actor: &Actor) -> &Thing {
        &self.cast.things()[actor.thing]
    }

    /// What the clip of a key shows. A function of the key alone.
    pub fn scene(&self, key: SampleKey) -> Scene {
        let mut dice = Dice::new(SampleKey { stream: SCENE, ..key });
        let SpriteOptions { frames, things, events, .. } = self.options;
        let wanted = Wanted { frames, things, events };
        loop {
            let plan = plan(&wanted, &mut dice);
            let Some(actors) = self.castings(&plan.events, plan.poses[0].len(), &mut dice) else { continue };
            let backdrop = u64::from(dice.bits());
            return Scene { script: plan.script, actors, events: plan.events, poses: plan.poses, backdrop };
        }
    }

    /// Different things for a plan, whose pairs with what they do are wanted.
    fn castings(&self, events: &[Event], count: usize, dice: &mut Dice) -> Option<Vec<Actor>> {
        let things = self.cast.things();
        let mut actors: Vec<Actor> = Vec::with_capacity(count);
        for i in 0..count {
            let fits = |thing: usize, actors: &[Actor]| {
                let own = events.iter().enumerate().filter(|(_, e)| e.actor == i);
                let wanted = |(at, event): (usize, &Event)| {
                    let held_out = is_held_out(&things[thing].key, event.action);
                    held_out == (at == 0 && self.options.pairs == Pairs::HeldOut)
                };
                !actors.iter().any(|a| a.thing == thing) && own.into_iter().all(wanted)
            };
            let mut tries = (0..CASTINGS).map(|_| dice.pick(things.len() as u32) as usize);
            let thing = tries.find(|&thing| fits(thing, &actors))?;
            let drawing = dice.pick(things[thing].drawings.len() as u32) as usize;
            actors.push(Actor { thing, drawing, mirrored: dice.chance(0.5) && self.mirror });
        }
        Some(actors)
    }

    /// The same things in the same places, and something else that happens to them: up to `count` scenes whose ends are all to be told
    /// apart.
    pub fn alternatives(&self, scene: &Scene, key: SampleKey, count: usize) -> Vec<Scene> {
        let mut dice = Dice::new(SampleKey { stream: OTHERS, ..key });
        let mut found: Vec<Scene> = Vec::with_capacity(count);
        while found.len() < count {
            let ends: Vec<&[Pose]> = std::iter::once(scene).chain(&found).map(Scene::after).collect();
            let other = alternative(scene.before(), &ends, scene.poses.len(), &mut dice);
            let Some(other) = other else { break };
            found.push(Scene { script: other.script, events: other.events, poses: other.poses, ..scene.clone() });
        }
        found
    }

    /// The same things and events in other places, in other drawings where there are some, on another background. `None` where no
    /// layout was found.
    pub fn elsewhere(&self, scene: &Scene, key: SampleKey) -> Option<Scene> {
        let mut dice = Dice::new(SampleKey { stream: ELSEWHERE, ..key });
        let plan = replay(&scene.events, scene.actors.len(), scene.poses.len(), &mut dice)?;
        let other = |actor: &Actor, dice: &mut Dice| {
            let count = self.thing(actor).drawings.len() as u32;
            Actor { drawing: dice.pick(count) as usize, mirrored: dice.chance(0.5) && self.mirror, ..actor.clone() }
        };
        let actors = scene.actors.iter().map(|actor| other(actor, &mut dice)).collect();
        let backdrop = u64::from(dice.bits());
        Some(Scene { script: scene.script, actors, events: plan.events, poses: plan.poses, backdrop })
    }

    /// The frames of a scene at `side` pixels, RGB, `[frames, side, side, 3]`. What is seen does not depend on the side.
    pub fn render(&self, scene: &Scene, side: usize) -> Vec<u8> {
        let behind = backdrop(scene, side);
        let mut out = Vec::with_capacity(behind.len() * scene.poses.len());
        for poses in &scene.poses {
            let start = out.len();
            out.extend_from_slice(&behind);
            self.draw(&mut out[start..], side, scene, poses);
        }
        out
    }

    /// One frame of a scene at `side` pixels; the last one for a number beyond it.
    pub fn picture(&self, scene: &Scene, frame: usize, side: usize) -> Rgb8Image {
        let mut data = backdrop(scene, side);
        if let Some(poses) = scene.poses.get(frame).or(scene.poses.last()) {
            self.draw(&mut data, side, scene, poses);
        }
        Rgb8Image { width: side as u32, height: side as u32, data }
    }

    fn draw(&self, frame: &mut [u8], side: usize, scene: &Scene, poses: &[Pose]) {
        let (behind, before): (Vec<usize>, Vec<usize>) = (0..poses.len()).partition(|&i| poses[i].behind);
        for i in behind.into_iter().chain(before) {
            let actor = &scene.actors[i];
            draw(frame, side, &self.thing(actor).drawings[actor.drawing], actor, &poses[i]);
        }
    }
}

fn backdrop(scene: &Scene, side: usize) -> Vec<u8> {
    let mut dice = Dice::new(SampleKey { seed: scene.backdrop, epoch: 0, index: 0, stream: BACKDROP });
    let colors = backdrop::quiet(side, &mut dice);
    colors.into_iter().flatten().map(|v| (v * 255.0 + 0.5).clamp(0.0, 255.0) as u8).collect()
}
