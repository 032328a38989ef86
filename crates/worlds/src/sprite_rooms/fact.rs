//! What can be true of a scene, and the sentence that says it.

use super::geometry::{Point, SIDE, distance};
use super::scene::Scene;

/// How near to a place is at it, px.
pub(super) const NEAR: f64 = 5.0;
/// How far apart the middles of neighbours are at most, along x and along y, px. Across a wall they are farther apart.
const BESIDE: (f64, f64) = (11.5, 4.0);
/// How far a corner reaches, px.
const CORNER: f64 = 22.0;

/// The agent or a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// The agent.
    Agent,
    /// A thing by its number, from 0.
    Thing(usize),
}

/// A corner of the whole world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Corner {
    /// Left above.
    TopLeft,
    /// Right above.
    TopRight,
    /// Left below.
    BottomLeft,
    /// Right below.
    BottomRight,
}

impl Corner {
    /// All corners.
    pub const ALL: [Self; 4] = [Self::TopLeft, Self::TopRight, Self::BottomLeft, Self::BottomRight];

    fn words(self) -> &'static str {
        match self {
            Self::TopLeft => "top left",
            Self::TopRight => "top right",
            Self::BottomLeft => "bottom left",
            Self::BottomRight => "bottom right",
        }
    }

    /// Distances along x and y from the corner.
    fn from(self, at: Point) -> Point {
        let right = matches!(self, Self::TopRight | Self::BottomRight);
        let bottom = matches!(self, Self::BottomLeft | Self::BottomRight);
        let of = |value: f64, far: bool| if far { SIDE - value } else { value };
        [of(at[0], right), of(at[1], bottom)]
    }

    /// A place well inside of the corner.
    pub(super) fn place(self) -> Point {
        self.from([0.6 * CORNER; 2])
    }
}

/// Something that is true of a scene or not. A thing that is held is nowhere: only [`Fact::Holds`] is true of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fact {
    /// Agent and things are where another scene has them, within 5 px each.
    Picture,
    /// Something is within 5 px of a place.
    At {
        /// Who.
        who: Who,
        /// The place, px.
        place: [f64; 2],
    },
    /// Something is left or right of a thing, next to it.
    Beside {
        /// Who.
        who: Who,
        /// Next to which thing.
        of: usize,
    },
    /// Something is in a corner.
    In {
        /// Who.
        who: Who,
        /// The corner.
        corner: Corner,
    },
    /// The agent holds a thing.
    Holds {
        /// The thing.
        thing: usize,
    },
}

/// Numbers of a fact in a goal.
pub(super) const CODE: usize = 5;

fn at(scene: &Scene, who: Who) -> Option<Point> {
    match who {
        Who::Agent => Some(scene.agent.at),
        Who::Thing(thing) if scene.held != Some(thing) => scene.things.get(thing).map(|body| body.at),
        Who::Thing(_) => None,
    }
}

impl Fact {
    /// Whether the fact is true. `goal` is the scene that [`Fact::Picture`] means.
    pub(super) fn holds(&self, scene: &Scene, goal: &Scene) -> bool {
        match *self {
            Self::Picture => {
                let pairs = scene.things.iter().zip(&goal.things);
                distance(scene.agent.at, goal.agent.at) < NEAR
                    && pairs.into_iter().all(|(a, b)| distance(a.at, b.at) < NEAR)
            }
            Self::At { who, place } => at(scene, who).is_some_and(|at| distance(at, place) < NEAR),
            Self::Beside { who, of } => {
                let near = |a: Point, b: Point| (a[0] - b[0]).abs() <= BESIDE.0 && (a[1] - b[1]).abs() <= BESIDE.1;
                // Right above or below is not beside.
                let apart = |a: Point, b: Point| (a[0] - b[0]).abs() > BESIDE.1;
                match (at(scene, who), at(scene, Who::Thing(of))) {
                    (Some(a), Some(b)) => who != Who::Thing(of) && near(a, b) && apart(a, b),
                    _ => false,
                }
            }
            Self::In { who, corner } => at(scene, who).is_some_and(|at| corner.from(at).iter().all(|v| *v <= CORNER)),
            Self::Holds { thing } => scene.held == Some(thing),
        }
    }

    /// The sentence, with the names of the agent and of the things; none for places that have no name.
    pub(super) fn sentence(&self, agent: &str, things: &[&str]) -> Option<String> {
        let name = |who: Who| match who {
            Who::Agent => Some(agent),
            Who::Thing(thing) => things.get(thing).copied(),
        };
        match *self {
            Self::Picture | Self::At { .. } => None,
            Self::Beside { who, of } => Some(format!("the {} is beside the {}", name(who)?, things.get(of)?)),
            Self::In { who, corner } => Some(format!("the {} is in the {} corner", name(who)?, corner.words())),
            Self::Holds { thing } => Some(format!("the {agent} holds the {}", things.get(thing)?)),
        }
    }

    /// Every fact that has a sentence, of a scene with `things` things.
    pub(super) fn with_sentences(things: usize) -> Vec<Self> {
        let whos = || std::iter::once(Who::Agent).chain((0..things).map(Who::Thing));
        let beside = whos().flat_map(|who| (0..things).map(move |of| Self::Beside { who, of }));
        let beside = beside.filter(|fact| !matches!(fact, Self::Beside { who: Who::Thing(a), of } if a == of));
        let corners = whos().flat_map(|who| Corner::ALL.map(|corner| Self::In { who, corner }));
        beside.chain(corners).chain((0..things).map(|thing| Self::Holds { thing })).collect()
    }

    /// (kind, who, of, x, y): 0 is the agent, things count from 1.
    pub(super) fn to_numbers(self) -> [f64; CODE] {
        let number = |who: Who| match who {
            Who::Agent => 0.0,
            Who::Thing(thing) => (thing + 1) as f64,
        };
        match self {
            Self::Picture => [0.0; CODE],
            Self::At { who, place } => [1.0, number(who), 0.0, place[0], place[1]],
            Self::Beside { who, of } => [2.0, number(who), (of + 1) as f64, 0.0, 0.0],
            Self::In { who, corner } => [3.0, number(who), corner as usize as f64, 0.0, 0.0],
            Self::Holds { thing } => [4.0, (thing + 1) as f64, 0.0, 0.0, 0.0],
        }
    }

    /// The fact of [`Fact::to_numbers`]; `None` where there is none of these numbers.
    pub(super) fn from_numbers(numbers: [f64; CODE], things: usize) -> Option<Self> {
        let [kind, who, of, x, y] = numbers;
        let count = |value: f64| (value.fract() == 0.0 && (0.0..64.0).contains(&value)).then_some(value as usize);
        let thing = |value: f64| count(value)?.checked_sub(1).filter(|thing| *thing < things);
        let who_of = |value: f64| if value == 0.0 { Some(Who::Agent) } else { thing(value).map(Who::Thing) };
        let fact = match count(kind)? {
            0 => Self::Picture,
            1 if [x, y].iter().all(|v| (0.0..=SIDE).contains(v)) => Self::At { who: who_of(who)?, place: [x, y] },
            2 => Self::Beside { who: who_of(who)?, of: thing(of)? },
            3 => Self::In { who: who_of(who)?, corner: *Corner::ALL.get(count(of)?)? },
            4 => Self::Holds { thing: thing(who)? },
            _ => return None,
        };
        let itself = matches!(fact, Self::Beside { who: Who::Thing(a), of } if a == of);
        (!itself && fact.to_numbers() == numbers).then_some(fact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_numbers_and_back() {
        let mut facts = Fact::with_sentences(2);
        // Agent and things beside things 2 + 2, twelve corners, two that are held.
        assert_eq!(facts.len(), 4 + 12 + 2);
        facts.push(Fact::Picture);
        facts.push(Fact::At { who: Who::Thing(1), place: [10.5, 20.25] });
        for fact in &facts {
            assert_eq!(Fact::from_numbers(fact.to_numbers(), 2), Some(*fact));
        }
        for odd in [
            [5.0, 0.0, 0.0, 0.0, 0.0],
            [0.5, 0.0, 0.0, 0.0, 0.0],
            [-1.0, 0.0, 0.0, 0.0, 0.0],
            [2.0, 3.0, 1.0, 0.0, 0.0],
            [2.0, 1.0, 1.0, 0.0, 0.0],
            [2.0, 1.0, 0.0, 0.0, 0.0],
            [3.0, 0.0, 4.0, 0.0, 0.0],
            [1.0, 0.0, 0.0, -3.0, 0.0],
            [4.0, 0.0, 0.0, 0.0, 0.0],
            [4.0, 1.0, 7.0, 0.0, 0.0],
            [f64::NAN, 0.0, 0.0, 0.0, 0.0],
        ] {
            assert_eq!(Fact::from_numbers(odd, 2), None, "{odd:?}");
        }
    }
}
