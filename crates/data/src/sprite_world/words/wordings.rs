//! Every wording, and which of them are never trained on. `{p}` is the partner, `{d}` the direction, `{f}` the side something comes
//! from, `{e}` the side it leaves by, `{s}` the speed; a phrase brings its own space before it.

use super::super::action::{Action, Direction, Speed};

/// Which wordings a text is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wordings {
    /// Those that are trained on.
    #[default]
    Train,
    /// Those that never are.
    HeldOut,
}

/// Wordings of one meaning: those to train on, then those held out.
pub(super) struct Choice<T: 'static> {
    train: &'static [T],
    held_out: &'static [T],
}

impl<T> Choice<T> {
    pub(super) fn of(&self, wordings: Wordings) -> &'static [T] {
        match wordings {
            Wordings::Train => self.train,
            Wordings::HeldOut => self.held_out,
        }
    }
}

/// "jumps", and what follows "does it": "jump".
pub(super) type Verb = [&'static str; 2];

/// The verbs of an action. The first one to train on is its name in answers.
pub(super) const fn verbs(action: Action) -> Choice<Verb> {
    match action {
        Action::Move => Choice {
            train: &[["moves{d}{s}", "move{d}{s}"], ["goes{d}{s}", "go{d}{s}"], ["slides{d}{s}", "slide{d}{s}"]],
            held_out: &[["travels{d}{s}", "travel{d}{s}"], ["glides{d}{s}", "glide{d}{s}"]],
        },
        Action::Grow => Choice {
            train: &[["grows", "grow"], ["gets bigger", "get bigger"], ["becomes larger", "become larger"]],
            held_out: &[["expands", "expand"], ["swells up", "swell up"]],
        },
        Action::Shrink => Choice {
            train: &[["shrinks", "shrink"], ["gets smaller", "get smaller"], ["becomes tiny", "become tiny"]],
            held_out: &[["contracts", "contract"], ["loses size", "lose size"]],
        },
        Action::Spin => Choice {
            train: &[["spins", "spin"], ["turns around", "turn around"], ["rotates", "rotate"]],
            held_out: &[["twirls", "twirl"], ["whirls around", "whirl around"]],
        },
        Action::Shake => Choice {
            train: &[["shakes", "shake"], ["wobbles", "wobble"], ["jiggles", "jiggle"]],
            held_out: &[["trembles", "tremble"], ["shivers", "shiver"]],
        },
        Action::Jump => Choice {
            train: &[["jumps", "jump"], ["hops", "hop"], ["leaps up", "leap up"]],
            held_out: &[["springs into the air", "spring into the air"], ["takes a leap", "take a leap"]],
        },
        Action::Appear => Choice {
            train: &[["appears", "appear"], ["shows up", "show up"], ["fades in", "fade in"]],
            held_out: &[["materializes", "materialize"], ["pops up", "pop up"]],
        },
        Action::Vanish => Choice {
            train: &[["vanishes", "vanish"], ["disappears", "disappear"], ["fades away", "fade away"]],
            held_out: &[["dissolves", "dissolve"], ["fades out", "fade out"]],
        },
        Action::Enter => Choice {
            train: &[
                ["comes in{f}", "come in{f}"],
                ["enters the picture{f}", "enter the picture{f}"],
                ["moves in{f}", "move in{f}"],
            ],
            held_out: &[["arrives{f}", "arrive{f}"], ["slides into the picture{f}", "slide into the picture{f}"]],
        },
        Action::Leave => Choice {
            train: &[
                ["leaves{e}", "leave{e}"],
                ["goes out of the picture{e}", "go out of the picture{e}"],
                ["moves out{e}", "move out{e}"],
            ],
            held_out: &[["exits{e}", "exit{e}"], ["slides out of the picture{e}", "slide out of the picture{e}"]],
        },
        Action::Approach => Choice {
            train: &[
                ["approaches {p}", "approach {p}"],
                ["moves toward {p}", "move toward {p}"],
                ["comes up to {p}", "come up to {p}"],
            ],
            held_out: &[["draws near to {p}", "draw near to {p}"], ["closes in on {p}", "close in on {p}"]],
        },
        Action::Bump => Choice {
            train: &[["bumps into {p}", "bump into {p}"], ["hits {p}", "hit {p}"], ["runs into {p}", "run into {p}"]],
            held_out: &[["collides with {p}", "collide with {p}"], ["crashes into {p}", "crash into {p}"]],
        },
        Action::PassBehind => Choice {
            train: &[
                ["passes behind {p}", "pass behind {p}"],
                ["goes behind {p}", "go behind {p}"],
                ["moves behind {p}", "move behind {p}"],
            ],
            held_out: &[["slips behind {p}", "slip behind {p}"], ["crosses in back of {p}", "cross in back of {p}"]],
        },
        Action::Swap => Choice {
            train: &[
                ["swaps places with {p}", "swap places with {p}"],
                ["changes places with {p}", "change places with {p}"],
                ["trades places with {p}", "trade places with {p}"],
            ],
            held_out: &[
                ["exchanges positions with {p}", "exchange positions with {p}"],
                ["switches spots with {p}", "switch spots with {p}"],
            ],
        },
        Action::Carry => Choice {
            train: &[
                ["carries {p}{d}", "carry {p}{d}"],
                ["lifts {p} and takes it{d}", "lift {p} and take it{d}"],
                ["takes {p}{d} on its top", "take {p}{d} on its top"],
            ],
            held_out: &[["hauls {p}{d}", "haul {p}{d}"], ["transports {p}{d}", "transport {p}{d}"]],
        },
        Action::Push => Choice {
            train: &[
                ["pushes {p}{d}", "push {p}{d}"],
                ["shoves {p}{d}", "shove {p}{d}"],
                ["moves {p}{d} by pushing", "move {p}{d} by pushing"],
            ],
            held_out: &[["nudges {p}{d}", "nudge {p}{d}"], ["drives {p} before it{d}", "drive {p} before it{d}"]],
        },
    }
}

/// Which way.
pub(super) const fn ways(direction: Direction) -> Choice<&'static str> {
    match direction {
        Direction::Left => Choice { train: &[" left", " to the left"], held_out: &[" leftward"] },
        Direction::Right => Choice { train: &[" right", " to the right"], held_out: &[" rightward"] },
        Direction::Up => Choice { train: &[" up", " to the top"], held_out: &[" upward"] },
        Direction::Down => Choice { train: &[" down", " to the bottom"], held_out: &[" downward"] },
        Direction::UpLeft => {
            Choice { train: &[" up and left", " to the upper left"], held_out: &[" upward to the left"] }
        }
        Direction::UpRight => {
            Choice { train: &[" up and right", " to the upper right"], held_out: &[" upward to the right"] }
        }
        Direction::DownLeft => {
            Choice { train: &[" down and left", " to the lower left"], held_out: &[" downward to the left"] }
        }
        Direction::DownRight => {
            Choice { train: &[" down and right", " to the lower right"], held_out: &[" downward to the right"] }
        }
    }
}

/// The side that something leaves by which moves in a direction; of the four straight ones.
pub(super) const fn by_side(direction: Direction) -> &'static str {
    match direction {
        Direction::Left => " on the left",
        Direction::Right => " on the right",
        Direction::Up => " at the top",
        _ => " at the bottom",
    }
}

/// The side that something comes from which moves in a direction; of the four straight ones.
pub(super) const fn from_side(direction: Direction) -> &'static str {
    match direction {
        Direction::Left => " from the right",
        Direction::Right => " from the left",
        Direction::Up => " from below",
        _ => " from above",
    }
}

/// How fast.
pub(super) const fn speeds(speed: Speed) -> Choice<&'static str> {
    match speed {
        Speed::Slow => Choice { train: &[" slowly", " a little"], held_out: &[" gently"] },
        Speed::Quick => Choice { train: &[" quickly", " fast"], held_out: &[" rapidly"] },
    }
}

/// A caption of what happens: `{}`.
pub(super) const SHORT: Choice<&str> =
    Choice { train: &["{}", "a clip in which {}", "here {}"], held_out: &["in this video {}", "we see how {}"] };

/// Two events, `{0}` and `{1}`.
pub(super) const THEN: Choice<&str> = Choice {
    train: &["{0}, then {1}", "{0} and then {1}", "first {0}, after that {1}"],
    held_out: &["to begin with {0}, and next {1}", "{0}; later on {1}"],
};

/// Three events.
pub(super) const THEN_THEN: Choice<&str> = Choice {
    train: &["{0}, then {1}, then {2}", "first {0}, then {1}, and at last {2}"],
    held_out: &["to begin with {0}, next {1}, and finally {2}"],
};

/// Who is there, `{0}`, and what happens, `{1}`.
pub(super) const LONG: Choice<&str> = Choice {
    train: &["there is {0}. {1}", "{0}: {1}", "the picture shows {0}, and {1}"],
    held_out: &["one can see {0}; {1}", "with {0} in the picture, {1}"],
};

/// How many things there are, `{n}`, and a caption, `{}`.
pub(super) const COUNTED: Choice<&str> = Choice { train: &["{n}: {}"], held_out: &["of {n}: {}"] };

/// Names of numbers, from one.
pub(super) const NUMBERS: [&str; 4] = ["one", "two", "three", "four"];

/// Nobody is there at first.
pub(super) const EMPTY: &str = "an empty place";

/// Questions. `{x}` is a thing, `{y}` another one, `{v}` "jumps", `{b}` "jump", `{p}` "at the top".
pub(super) mod asked {
    use super::Choice;

    pub const ACTION: Choice<&str> = Choice {
        train: &["what does {x} do?", "what happens with {x}?", "what is {x} doing?"],
        held_out: &["describe what {x} does", "tell me what goes on with {x}"],
    };
    pub const DIRECTION: Choice<&str> = Choice {
        train: &["which way does {x} move?", "in which direction does {x} go?", "where does {x} move to?"],
        held_out: &["which way is {x} heading?", "name the direction of {x}"],
    };
    pub const COUNT_BEFORE: Choice<&str> = Choice {
        train: &["how many things are there at the start?", "how many things do you see at first?"],
        held_out: &["count the things at the beginning"],
    };
    pub const COUNT_AFTER: Choice<&str> = Choice {
        train: &["how many things are there at the end?", "how many things do you see at last?"],
        held_out: &["count the things that are left in the end"],
    };
    pub const YES_NO: Choice<&str> = Choice {
        train: &["does {x} {b}?", "is it true that {x} {v}?", "do you see {x} {b}?"],
        held_out: &["would you say that {x} {v}?", "{x} {v}, right?"],
    };
    pub const FIRST: Choice<&str> = Choice {
        train: &["what happens first?", "what do you see first?"],
        held_out: &["which of these comes first?"],
    };
    pub const LAST: Choice<&str> = Choice {
        train: &["what happens last?", "what do you see in the end?"],
        held_out: &["which of these comes last?"],
    };
    pub const WHAT: Choice<&str> = Choice {
        train: &["what {v}?", "which thing {v}?", "what is it that {v}?"],
        held_out: &["name the thing that {v}", "tell me what {v}"],
    };
    pub const WHICH: Choice<&str> = Choice {
        train: &["which one {v}, {x} or {y}?", "what {v}: {x} or {y}?"],
        held_out: &["of {x} and {y}, which {v}?"],
    };
    pub const WHERE_BEFORE: Choice<&str> = Choice {
        train: &["where is {x} at the start?", "where do you see {x} at first?"],
        held_out: &["in which part of the picture does {x} begin?"],
    };
    pub const WHERE_AFTER: Choice<&str> = Choice {
        train: &["where is {x} at the end?", "where do you see {x} at last?"],
        held_out: &["in which part of the picture does {x} end up?"],
    };
    pub const THERE_BEFORE: Choice<&str> = Choice {
        train: &["what is {p} at the start?", "what do you see {p} at first?"],
        held_out: &["name the thing {p} in the beginning"],
    };
    pub const THERE_AFTER: Choice<&str> = Choice {
        train: &["what is {p} at the end?", "what do you see {p} at last?"],
        held_out: &["name the thing {p} when it is over"],
    };
    pub const COLOR: Choice<&str> =
        Choice { train: &["what color is {x}?", "which color does {x} have?"], held_out: &["name the color of {x}"] };
    pub const NEXT: Choice<&str> = Choice {
        train: &["what happens next?", "what will {x} do next?", "what comes after this?"],
        held_out: &["what do you expect {x} to do next?", "how will it go on?"],
    };
}
