//! Sentences that say what a clip shows.

use super::super::scene::{Event, Scene};
use super::super::world::SpriteWorld;
use super::facts::{Facts, a, at_place, text, the};
use super::wordings::{EMPTY, LONG, SHORT, THEN, THEN_THEN, Wordings};
use crate::dice::{Dice, SampleKey};

/// How much a caption tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Length {
    /// The first event, at times without its direction.
    Short,
    /// All events.
    Medium,
    /// What is there and where, then all events.
    Long,
}

impl Length {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Short, Self::Medium, Self::Long];
}

/// A caption of a scene. A function of key, length and wordings; keys of other streams give other wordings.
pub fn caption(world: &SpriteWorld, scene: &Scene, length: Length, wordings: Wordings, key: SampleKey) -> String {
    let mut dice = Dice::new(SampleKey { stream: key.stream ^ 0x6361_7074 ^ length as u64, ..key });
    say(&Facts::of(world, scene), length, wordings, &mut dice)
}

pub(super) fn say(facts: &Facts, length: Length, wordings: Wordings, dice: &mut Dice) -> String {
    let mut met = vec![false; facts.things.len()];
    let listed = (length == Length::Long).then(|| list(facts, &mut met));
    let count = if length == Length::Short { 1 } else { facts.events.len() };
    let told = length != Length::Short || dice.chance(0.7);
    let events: Vec<String> =
        facts.events.iter().take(count).map(|e| event(facts, e, told, &mut met, wordings, dice)).collect();
    let happens = match events.as_slice() {
        [one] => one.clone(),
        [one, two] => text(THEN.of(wordings), dice).replace("{0}", one).replace("{1}", two),
        [one, two, three] => {
            let frame = text(THEN_THEN.of(wordings), dice);
            frame.replace("{0}", one).replace("{1}", two).replace("{2}", three)
        }
        _ => String::new(),
    };
    match listed {
        Some(listed) => text(LONG.of(wordings), dice).replace("{0}", &listed).replace("{1}", &happens),
        None => text(SHORT.of(wordings), dice).replace("{}", &happens),
    }
}

/// "a dog pushes the cat to the left"; things are new at their first mention.
fn event(facts: &Facts, event: &Event, told: bool, met: &mut [bool], wordings: Wordings, dice: &mut Dice) -> String {
    let mut name = |i: usize| {
        let label = &facts.things[i].label;
        if std::mem::replace(&mut met[i], true) { the(label) } else { a(label) }
    };
    let actor = name(event.actor);
    let [mut verb, _] = facts.verb(event, told, wordings, dice);
    if let Some(partner) = event.partner {
        verb = verb.replacen(&the(&facts.things[partner].label), &name(partner), 1);
    }
    format!("{actor} {verb}")
}

/// "a dog at the top left, a cat and an apple": what is there at first.
fn list(facts: &Facts, met: &mut [bool]) -> String {
    let mut items = Vec::new();
    for (i, fact) in facts.things.iter().enumerate().filter(|(_, fact)| fact.seen[0]) {
        met[i] = true;
        let place = fact.place[0].map_or(String::new(), |place| format!(" {}", at_place(place)));
        items.push(format!("{}{place}", a(&fact.label)));
    }
    match items.split_last() {
        None => EMPTY.to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}
