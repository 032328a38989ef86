//! What did not happen, and nearly did: one fact of the truth changed.

use serde::{Deserialize, Serialize};

use super::super::action::{Action, Direction, Speed};
use super::super::scene::{Event, Scene};
use super::super::world::{Pairs, SpriteWorld, is_held_out};
use super::captions::{Length, say};
use super::facts::{Facts, pick, text};
use super::wordings::{COUNTED, NUMBERS, Wordings};
use crate::dice::{Dice, SampleKey};

/// What a wrong text has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Who does it: another thing of the clip.
    Subject,
    /// What is done.
    Action,
    /// Which way.
    Direction,
    /// What comes first.
    Order,
    /// How many things there are.
    Count,
}

/// Whether one who sees the clip could say that an event happens: it does, or something does that holds it, as leaving the picture
/// holds moving.
pub(super) fn seems_to(facts: &Facts, said: &Event) -> bool {
    let holds = |happened: Action| match said.action {
        Action::Move => matches!(happened, Action::Enter | Action::Leave) || happened.has_partner(),
        Action::Appear => happened == Action::Enter,
        Action::Enter => happened == Action::Appear,
        Action::Vanish => happened == Action::Leave,
        Action::Leave => happened == Action::Vanish,
        Action::Approach => happened.has_partner(),
        Action::Bump => matches!(happened, Action::Push | Action::Carry),
        Action::Push => happened == Action::Bump,
        _ => false,
    };
    let moved = |e: &Event| matches!(e.action, Action::Push | Action::Carry | Action::Swap | Action::Bump);
    facts.events.iter().any(|e| {
        let same = e.action == said.action && (e.partner == said.partner || e.partner.is_none());
        let own = e.actor == said.actor && (same || holds(e.action));
        own || (e.partner == Some(said.actor) && (said.action == Action::Move && moved(e) || e.action == Action::Swap))
    })
}

impl Change {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Subject, Self::Action, Self::Direction, Self::Order, Self::Count];

    /// Its name in files: `subject`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Action => "action",
            Self::Direction => "direction",
            Self::Order => "order",
            Self::Count => "count",
        }
    }
}

/// An event that does not happen and differs from one that does by its subject, action or direction.
/// `told` says whether directions will be told; without them none is changed.
pub(super) fn changed(
    world: &SpriteWorld,
    facts: &Facts,
    event: &Event,
    told: bool,
    dice: &mut Dice,
) -> Option<(Event, Change)> {
    let allowed = |actor: usize, action: Action| {
        world.options().pairs == Pairs::HeldOut || !is_held_out(&facts.things[actor].key, action)
    };
    // Each that is possible as often as the others.
    for _ in 0..24 {
        let (other, change) = match dice.pick(3) {
            0 => {
                let actor = dice.pick(facts.things.len() as u32) as usize;
                if actor == event.actor || Some(actor) == event.partner {
                    continue;
                }
                (Event { actor, ..*event }, Change::Subject)
            }
            1 => {
                let alike = |a: &Action| a.has_partner() == event.action.has_partner() && *a != event.action;
                let actions: Vec<Action> = Action::ALL.into_iter().filter(alike).collect();
                let action = *pick(&actions, dice)?;
                let way = Direction::ALL[dice.pick(if action.is_straight() { 4 } else { 8 }) as usize];
                let direction = action.has_direction().then_some(way);
                let speed = if dice.chance(0.5) { Speed::Slow } else { Speed::Quick };
                let speed = (action == Action::Move).then_some(speed);
                (Event { action, direction, speed, ..*event }, Change::Action)
            }
            _ => {
                let Some(right) = event.direction.filter(|_| told) else { continue };
                let way = Direction::ALL[dice.pick(if event.action.is_straight() { 4 } else { 8 }) as usize];
                let ([a, b], [c, d]) = (way.vector(), right.vector());
                // Up is no clear opposite of up and left.
                if a * c + b * d > 0.5 {
                    continue;
                }
                return Some((Event { direction: Some(way), ..*event }, Change::Direction));
            }
        };
        if allowed(other.actor, other.action) && !seems_to(facts, &other) {
            return Some((other, change));
        }
    }
    None
}

/// Two captions that are true of a scene, in different words, and one that is nearly the same and false.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HardNegative {
    /// Two true captions.
    pub right: [String; 2],
    /// A false one.
    pub wrong: String,
    /// What is false in it.
    pub change: Change,
}

/// A triple for the rule that both true captions must be nearer than the false one. `None` where a change does not fit.
pub fn hard_negative(
    world: &SpriteWorld,
    scene: &Scene,
    change: Change,
    wordings: Wordings,
    key: SampleKey,
) -> Option<HardNegative> {
    let mut dice = Dice::new(SampleKey { stream: key.stream ^ 0x6e65_6700 ^ change as u64, ..key });
    let facts = Facts::of(world, scene);
    let mut wrong = facts.clone();
    let length = Length::Medium;
    match change {
        Change::Order => {
            if facts.events.len() < 2 || facts.events[0].actor == facts.events[1].actor {
                return None;
            }
            wrong.events.reverse();
        }
        Change::Count => {
            let count = facts.things.iter().filter(|fact| fact.seen[0]).count();
            let right = NUMBERS.get(count.checked_sub(1)?)?;
            let others: Vec<&&str> = NUMBERS.iter().filter(|number| *number != right).collect();
            let wrong = pick(&others, &mut dice)?;
            let first = say(&facts, length, wordings, &mut dice);
            let second = other_words(&facts, length, wordings, &first, &mut dice);
            let frame = text(COUNTED.of(wordings), &mut dice);
            let of = |number: &str, text: &str| text_of(frame, number, text);
            let (wrong, right) = (of(wrong, &first), [of(right, &first), of(right, &second)]);
            return Some(HardNegative { right, wrong, change });
        }
        Change::Subject | Change::Action | Change::Direction => {
            let at = dice.pick(facts.events.len() as u32) as usize;
            let mut tries = (0..40).filter_map(|_| changed(world, &facts, &facts.events[at], true, &mut dice));
            let (event, _) = tries.find(|(_, found)| *found == change)?;
            wrong.events[at] = event;
        }
    }
    // The false one shares the wording of the first true one.
    let mut same = dice.clone();
    let first = say(&facts, length, wordings, &mut dice);
    let second = other_words(&facts, length, wordings, &first, &mut dice);
    Some(HardNegative { right: [first, second], wrong: say(&wrong, length, wordings, &mut same), change })
}

/// A caption in other words than `first`, where there are any.
fn other_words(facts: &Facts, length: Length, wordings: Wordings, first: &str, dice: &mut Dice) -> String {
    let other = (0..8).map(|_| say(facts, length, wordings, dice)).find(|other| other != first);
    other.unwrap_or_else(|| first.to_owned())
}

/// A caption with how many things there are at first.
fn text_of(frame: &str, number: &str, caption: &str) -> String {
    let things = if number == NUMBERS[0] { "one thing".to_owned() } else { format!("{number} things") };
    frame.replace("{n}", &things).replace("{}", caption)
}
