//! What is true of a clip, in words of the language: the state that texts are made from.

use super::super::action::{Action, Direction, Place};
use super::super::color::Color;
use super::super::scene::{Actor, Event, Scene, Script};
use super::super::world::SpriteWorld;
use super::wordings::{Verb, Wordings, by_side, from_side, speeds, verbs, ways};
use crate::dice::Dice;

/// A thing of a clip.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub key: String,
    pub label: String,
    pub color: Option<Color>,
    pub seen: [bool; 2],
    /// Where it is in the first and in the last frame.
    pub place: [Option<Place>; 2],
}

/// Everything that texts speak of.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub things: Vec<Fact>,
    pub events: Vec<Event>,
    pub script: Script,
}

/// One of several.
pub(super) fn pick<'a, T>(choices: &'a [T], dice: &mut Dice) -> Option<&'a T> {
    choices.get(dice.pick(choices.len() as u32) as usize)
}

/// One wording.
pub(super) fn text(choices: &'static [&'static str], dice: &mut Dice) -> &'static str {
    pick(choices, dice).copied().unwrap_or_default()
}

/// "a dog", "an apple".
pub(super) fn a(label: &str) -> String {
    let vowel = label.chars().next().is_some_and(|c| "aeiouAEIOU".contains(c));
    let plural = label.ends_with('s') && !label.ends_with("ss") && !label.ends_with("us");
    match (plural, vowel) {
        (true, _) => label.to_owned(),
        (_, true) => format!("an {label}"),
        _ => format!("a {label}"),
    }
}

/// "the dog".
pub(super) fn the(label: &str) -> String {
    format!("the {label}")
}

/// "at the top left", "in the middle".
pub(super) fn at_place(place: Place) -> String {
    match place {
        Place::Middle => "in the middle".to_owned(),
        Place::Left | Place::Right => format!("on the {}", place.name()),
        _ => format!("at the {}", place.name()),
    }
}

impl Facts {
    pub fn of(world: &SpriteWorld, scene: &Scene) -> Self {
        let (before, after) = (scene.before(), scene.after());
        let fact = |(i, actor): (usize, &Actor)| {
            let thing = world.thing(actor);
            let ends = [before.get(i), after.get(i)];
            Fact {
                key: thing.key.clone(),
                label: thing.label.clone(),
                color: thing.drawings.get(actor.drawing).and_then(|d| d.color).filter(|_| !thing.names_a_color),
                seen: ends.map(|pose| pose.is_some_and(|pose| pose.is_seen())),
                place: ends.map(|pose| pose.and_then(|pose| pose.place())),
            }
        };
        Self {
            things: scene.actors.iter().enumerate().map(fact).collect(),
            events: scene.events.clone(),
            script: scene.script,
        }
    }

    /// Whether a thing does something, or has it done to it, in no event but this one.
    pub fn acts_once(&self, actor: usize) -> bool {
        self.events.iter().filter(|e| e.actor == actor || e.partner == Some(actor)).count() == 1
    }

    /// "pushes the cat to the left" and "push the cat to the left". `told` says whether direction and speed are told.
    pub fn verb(&self, event: &Event, told: bool, wordings: Wordings, dice: &mut Dice) -> [String; 2] {
        let nothing: Verb = ["", ""];
        let verb = pick(verbs(event.action).of(wordings), dice).copied().unwrap_or(nothing);
        let way = event.direction.filter(|_| told);
        let direction = way.map_or("", |way| text(ways(way).of(wordings), dice));
        let speed = event.speed.filter(|_| told).map_or("", |speed| text(speeds(speed).of(wordings), dice));
        let [from, by] = [from_side as fn(Direction) -> &'static str, by_side].map(|side| way.map_or("", side));
        let partner = event.partner.and_then(|partner| self.things.get(partner)).map(|fact| the(&fact.label));
        let partner = partner.unwrap_or_else(|| "something".to_owned());
        verb.map(|text| {
            let text = text.replace("{p}", &partner).replace("{d}", direction).replace("{s}", speed);
            text.replace("{f}", from).replace("{e}", by)
        })
    }

    /// "the dog pushes the cat": an event as an answer, in its first wording.
    pub fn named(&self, event: &Event) -> String {
        let actor = self.things.get(event.actor).map(|fact| the(&fact.label)).unwrap_or_default();
        let partner = event.partner.and_then(|partner| self.things.get(partner)).map(|fact| the(&fact.label));
        let verb = verbs(event.action).of(Wordings::Train)[0][0];
        let partner = partner.unwrap_or_default();
        format!("{actor} {}", bare(verb).replace("{p}", &partner))
    }
}

/// A verb without direction and speed.
fn bare(verb: &str) -> String {
    ["{d}", "{s}", "{f}", "{e}"].iter().fold(verb.to_owned(), |text, slot| text.replace(slot, ""))
}

/// "it pushes something": an action as an answer.
pub fn action_name(action: Action) -> String {
    format!("it {}", bare(verbs(action).of(Wordings::Train)[0][0]).replace("{p}", "something"))
}
