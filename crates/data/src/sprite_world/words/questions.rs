//! Questions about a clip, with the right answer and wrong ones.

use serde::{Deserialize, Serialize};

use super::super::action::{Action, Direction, Place};
use super::super::color::Color;
use super::super::scene::{Event, Scene, Script};
use super::super::world::SpriteWorld;
use super::changes::{changed, seems_to};
use super::facts::{Facts, action_name, at_place, pick, text, the};
use super::wordings::{NUMBERS, Wordings, asked};
use crate::dice::{Dice, SampleKey};

/// What a question asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// What a thing does: one of 16 actions.
    Action,
    /// Which way it goes: one of eight.
    Direction,
    /// How many things are seen at the start or at the end: one to four.
    Count,
    /// Whether something happens; as often yes as no.
    YesNo,
    /// What happens first or last, of four things that could.
    Order,
    /// Which thing does something, of four: those in the clip, then others.
    What,
    /// Which of two things in the clip does something.
    Which,
    /// Where a thing is at the start or at the end: one of nine places.
    Where,
    /// Which thing is at a place at the start or at the end, of four: those in the clip, then others.
    There,
    /// Which colour a thing has.
    Color,
    /// What follows: one of the eight consequences.
    Next,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::Action,
        Self::Direction,
        Self::Count,
        Self::YesNo,
        Self::Order,
        Self::What,
        Self::Which,
        Self::Where,
        Self::There,
        Self::Color,
        Self::Next,
    ];

    /// Its name in files: `yes_no`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Direction => "direction",
            Self::Count => "count",
            Self::YesNo => "yes_no",
            Self::Order => "order",
            Self::What => "what",
            Self::Which => "which",
            Self::Where => "where",
            Self::There => "there",
            Self::Color => "color",
            Self::Next => "next",
        }
    }
}

/// A question about a clip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// What it asks for.
    pub kind: Kind,
    /// The question.
    pub text: String,
    /// The right answer.
    pub answer: String,
    /// Wrong answers, all different; the hardest first.
    pub others: Vec<String>,
}

/// Candidates of a question for things or events.
const CANDIDATES: usize = 4;

/// A question of each kind that the scene allows, in the order of [`Kind::ALL`]. A function of key and wordings.
pub fn questions(world: &SpriteWorld, scene: &Scene, wordings: Wordings, key: SampleKey) -> Vec<Question> {
    let facts = Facts::of(world, scene);
    let of = |kind: Kind| {
        let mut dice = Dice::new(SampleKey { stream: key.stream ^ 0x6173_6b00 ^ kind as u64, ..key });
        let asking = Asking { facts: &facts, world, wordings };
        asking.question(kind, &mut dice)
    };
    Kind::ALL.into_iter().filter_map(of).collect()
}

struct Asking<'a> {
    facts: &'a Facts,
    world: &'a SpriteWorld,
    wordings: Wordings,
}

/// The answer, and all that could be.
fn among(kind: Kind, text: String, answer: &str, all: impl IntoIterator<Item = String>) -> Question {
    let others = all.into_iter().filter(|other| other != answer).collect();
    Question { kind, text, answer: answer.to_owned(), others }
}

impl Asking<'_> {
    fn question(&self, kind: Kind, dice: &mut Dice) -> Option<Question> {
        match kind {
            Kind::Action => self.action(dice),
            Kind::Direction => self.direction(dice),
            Kind::Count => self.count(dice),
            Kind::YesNo => self.yes_no(dice),
            Kind::Order => self.order(dice),
            Kind::What => self.what(dice),
            Kind::Which => self.which(dice),
            Kind::Where => self.place(dice),
            Kind::There => self.there(dice),
            Kind::Color => self.color(dice),
            Kind::Next => self.next(dice),
        }
    }

    fn label(&self, thing: usize) -> String {
        self.facts.things.get(thing).map(|fact| the(&fact.label)).unwrap_or_default()
    }

    /// An event whose actor takes part in no other.
    fn lone_event(&self, fits: impl Fn(&Event) -> bool, dice: &mut Dice) -> Option<Event> {
        let lone = |e: &&Event| self.facts.acts_once(e.actor) && fits(e);
        let events: Vec<Event> = self.facts.events.iter().filter(lone).copied().collect();
        pick(&events, dice).copied()
    }

    fn action(&self, dice: &mut Dice) -> Option<Question> {
        let event = self.lone_event(|_| true, dice)?;
        let question = text(asked::ACTION.of(self.wordings), dice).replace("{x}", &self.label(event.actor));
        Some(among(Kind::Action, question, &action_name(event.action), Action::ALL.map(action_name)))
    }

    fn direction(&self, dice: &mut Dice) -> Option<Question> {
        let moves = |e: &Event| matches!(e.action, Action::Move | Action::Carry | Action::Push);
        let events: Vec<Event> = self.facts.events.iter().filter(|e| moves(e)).copied().collect();
        let event = *pick(&events, dice)?;
        // Who carries or pushes goes to its partner first; the partner goes one way.
        let who = event.partner.unwrap_or(event.actor);
        if !self.facts.acts_once(who) {
            return None;
        }
        let question = text(asked::DIRECTION.of(self.wordings), dice).replace("{x}", &self.label(who));
        let all = Direction::ALL.map(|direction| direction.name().to_owned());
        Some(among(Kind::Direction, question, event.direction?.name(), all))
    }

    fn count(&self, dice: &mut Dice) -> Option<Question> {
        let end = usize::from(dice.chance(0.5));
        let count = self.facts.things.iter().filter(|fact| fact.seen[end]).count();
        let asked = if end == 0 { asked::COUNT_BEFORE } else { asked::COUNT_AFTER };
        let answer = NUMBERS.get(count.checked_sub(1)?)?;
        let question = text(asked.of(self.wordings), dice).to_owned();
        Some(among(Kind::Count, question, answer, NUMBERS.map(str::to_owned)))
    }

    fn yes_no(&self, dice: &mut Dice) -> Option<Question> {
        let event = *pick(&self.facts.events, dice)?;
        let frame = text(asked::YES_NO.of(self.wordings), dice);
        let truth = dice.chance(0.5);
        let told = dice.chance(0.7);
        let said = if truth { event } else { changed(self.world, self.facts, &event, told, dice)?.0 };
        let [third, base] = self.facts.verb(&said, told, self.wordings, dice);
        let question = frame.replace("{x}", &self.label(said.actor)).replace("{v}", &third).replace("{b}", &base);
        let answers = ["yes", "no"].map(str::to_owned);
        Some(among(Kind::YesNo, question, if truth { "yes" } else { "no" }, answers))
    }

    fn order(&self, dice: &mut Dice) -> Option<Question> {
        let events = &self.facts.events;
        if events.len() < 2 || self.facts.script != Script::Free {
            return None;
        }
        let first = dice.chance(0.5);
        let right = if first { events.first() } else { events.last() }?;
        let answer = self.facts.named(right);
        let mut others: Vec<String> = Vec::new();
        for event in events.iter().filter(|e| *e != right) {
            others.push(self.facts.named(event));
        }
        for _ in 0..40 {
            if others.len() + 1 >= CANDIDATES {
                break;
            }
            let Some(event) = pick(events, dice) else { break };
            let Some((event, _)) = changed(self.world, self.facts, event, false, dice) else { continue };
            let name = self.facts.named(&event);
            let happens = events.iter().any(|e| self.facts.named(e) == name);
            if !happens && !others.contains(&name) {
                others.push(name);
            }
        }
        let asked = if first { asked::FIRST } else { asked::LAST };
        let distinct = others.iter().all(|other| *other != answer);
        (distinct && others.len() + 1 == CANDIDATES).then(|| Question {
            kind: Kind::Order,
            text: text(asked.of(self.wordings), dice).to_owned(),
            answer,
            others,
        })
    }

    /// An event that nothing else in the clip seems to do.
    fn own_event(&self, dice: &mut Dice) -> Option<Event> {
        let alone = |e: &&Event| {
            let others = (0..self.facts.things.len()).filter(|&i| i != e.actor);
            others.into_iter().all(|actor| !seems_to(self.facts, &Event { actor, ..**e }))
        };
        let events: Vec<Event> = self.facts.events.iter().filter(alone).copied().collect();
        pick(&events, dice).copied()
    }

    fn what(&self, dice: &mut Dice) -> Option<Question> {
        let event = self.own_event(dice)?;
        let told = dice.chance(0.5);
        let [third, _] = self.facts.verb(&event, told, self.wordings, dice);
        let question = text(asked::WHAT.of(self.wordings), dice).replace("{v}", &third);
        let answer = self.facts.things.get(event.actor)?.label.clone();
        let others = self.other_things(|i| i != event.actor && Some(i) != event.partner, dice)?;
        Some(Question { kind: Kind::What, text: question, answer, others })
    }

    /// Labels of three things: those of the clip that may stand there, then others.
    fn other_things(&self, may: impl Fn(usize) -> bool, dice: &mut Dice) -> Option<Vec<String>> {
        let things = self.facts.things.iter().enumerate();
        let mut others: Vec<String> = things.filter(|(i, _)| may(*i)).map(|(_, fact)| fact.label.clone()).collect();
        while others.len() + 1 < CANDIDATES {
            let label = &pick(self.world.cast().things(), dice)?.label;
            if !others.contains(label) && !self.facts.things.iter().any(|fact| fact.label == *label) {
                others.push(label.clone());
            }
        }
        Some(others)
    }

    fn there(&self, dice: &mut Dice) -> Option<Question> {
        let end = usize::from(dice.chance(0.5));
        let place = |i: usize| self.facts.things.get(i).and_then(|fact| fact.place[end]);
        // Whatever else is seen must stand clearly elsewhere.
        let alone = |i: &usize| {
            let apart =
                |j: usize| j == *i || !self.facts.things[j].seen[end] || place(j).is_some_and(|p| Some(p) != place(*i));
            place(*i).is_some() && (0..self.facts.things.len()).all(apart)
        };
        let things: Vec<usize> = (0..self.facts.things.len()).filter(alone).collect();
        let thing = *pick(&things, dice)?;
        let asked = if end == 0 { asked::THERE_BEFORE } else { asked::THERE_AFTER };
        let question = text(asked.of(self.wordings), dice).replace("{p}", &at_place(place(thing)?));
        let others = self.other_things(|i| i != thing, dice)?;
        let answer = self.facts.things.get(thing)?.label.clone();
        Some(Question { kind: Kind::There, text: question, answer, others })
    }

    fn which(&self, dice: &mut Dice) -> Option<Question> {
        let event = self.own_event(dice)?;
        let fits = |i: &usize| *i != event.actor && Some(*i) != event.partner;
        let bystanders: Vec<usize> = (0..self.facts.things.len()).filter(fits).collect();
        let other = *pick(&bystanders, dice)?;
        let told = dice.chance(0.5);
        let [third, _] = self.facts.verb(&event, told, self.wordings, dice);
        let (right, wrong) = (&self.facts.things[event.actor].label, &self.facts.things[other].label);
        let (x, y) = if dice.chance(0.5) { (right, wrong) } else { (wrong, right) };
        let question = text(asked::WHICH.of(self.wordings), dice).replace("{v}", &third);
        let question = question.replace("{x}", &the(x)).replace("{y}", &the(y));
        Some(Question { kind: Kind::Which, text: question, answer: right.clone(), others: vec![wrong.clone()] })
    }

    fn place(&self, dice: &mut Dice) -> Option<Question> {
        let end = usize::from(dice.chance(0.5));
        let things: Vec<_> = self.facts.things.iter().filter(|fact| fact.place[end].is_some()).collect();
        let fact = pick(&things, dice)?;
        let asked = if end == 0 { asked::WHERE_BEFORE } else { asked::WHERE_AFTER };
        let question = text(asked.of(self.wordings), dice).replace("{x}", &the(&fact.label));
        let all = Place::ALL.map(|place| place.name().to_owned());
        Some(among(Kind::Where, question, fact.place[end]?.name(), all))
    }

    fn color(&self, dice: &mut Dice) -> Option<Question> {
        let things: Vec<_> = self.facts.things.iter().filter(|fact| fact.color.is_some()).collect();
        let fact = pick(&things, dice)?;
        let question = text(asked::COLOR.of(self.wordings), dice).replace("{x}", &the(&fact.label));
        let all = Color::ALL.map(|color| color.name().to_owned());
        Some(among(Kind::Color, question, fact.color?.name(), all))
    }

    fn next(&self, dice: &mut Dice) -> Option<Question> {
        let event = self.facts.events.last()?;
        let answer = action_name(event.action.consequence()?);
        let question = text(asked::NEXT.of(self.wordings), dice).replace("{x}", &self.label(event.actor));
        let all = Action::ALL.into_iter().filter_map(Action::consequence).map(action_name);
        Some(among(Kind::Next, question, &answer, all))
    }
}
