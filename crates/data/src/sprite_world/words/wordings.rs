//! Every wording, and which of them are never trained on. `{p}` is the partner, `{d}` the direction, `{f}` the side something comes
//! from, `{e}` the side it leaves by, `{s}` the speed; a phrase brings its own space before it.

use super::super::action::{Action, Direction, Speed};

/// Which wordings a text is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wordings {
    /// Those that are trained on.
    #[default]
    Train,
    /// Those that are not trained on, to choose settings by.
    Validation,
    /// Those that neither a weight nor a setting was chosen by.
    HeldOut,
}

impl Wordings {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::HeldOut];
}

/// Wordings of one meaning.
pub(super) struct Choice<T: 'static> {
    train: &'static [T],
    validation: &'static [T],
    held_out: &'static [T],
}

impl<T> Choice<T> {
    pub(super) fn of(&self, wordings: Wordings) -> &'static [T] {
        match wordings {
            Wordings::Train => self.train,
            Wordings::Validation => self.validation,
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
            train: &[
                ["moves{d}{s}", "move{d}{s}"],
                ["goes{d}{s}", "go{d}{s}"],
                ["slides{d}{s}", "slide{d}{s}"],
                ["shifts{d}{s}", "shift{d}{s}"],
                ["drifts{d}{s}", "drift{d}{s}"],
                ["walks{d}{s}", "walk{d}{s}"],
                ["floats{d}{s}", "float{d}{s}"],
                ["moves along{d}{s}", "move along{d}{s}"],
                ["keeps moving{d}{s}", "keep moving{d}{s}"],
            ],
            validation: &[["wanders{d}{s}", "wander{d}{s}"], ["runs{d}{s}", "run{d}{s}"]],
            held_out: &[["travels{d}{s}", "travel{d}{s}"], ["glides{d}{s}", "glide{d}{s}"]],
        },
        Action::Grow => Choice {
            train: &[
                ["grows", "grow"],
                ["gets bigger", "get bigger"],
                ["becomes larger", "become larger"],
                ["increases in size", "increase in size"],
                ["enlarges", "enlarge"],
                ["becomes bigger and bigger", "become bigger and bigger"],
                ["inflates", "inflate"],
                ["becomes huge", "become huge"],
            ],
            validation: &[["gets larger", "get larger"], ["puffs up", "puff up"]],
            held_out: &[["expands", "expand"], ["swells up", "swell up"]],
        },
        Action::Shrink => Choice {
            train: &[
                ["shrinks", "shrink"],
                ["gets smaller", "get smaller"],
                ["becomes tiny", "become tiny"],
                ["decreases in size", "decrease in size"],
                ["becomes smaller and smaller", "become smaller and smaller"],
                ["diminishes", "diminish"],
                ["dwindles", "dwindle"],
                ["becomes little", "become little"],
            ],
            validation: &[["becomes small", "become small"], ["gets reduced", "get reduced"]],
            held_out: &[["contracts", "contract"], ["loses size", "lose size"]],
        },
        Action::Spin => Choice {
            train: &[
                ["spins", "spin"],
                ["turns around", "turn around"],
                ["rotates", "rotate"],
                ["revolves", "revolve"],
                ["makes a full turn", "make a full turn"],
                ["turns round and round", "turn round and round"],
                ["turns about itself", "turn about itself"],
                ["spins around", "spin around"],
            ],
            validation: &[["pirouettes", "pirouette"], ["does a spin", "do a spin"]],
            held_out: &[["twirls", "twirl"], ["whirls around", "whirl around"]],
        },
        Action::Shake => Choice {
            train: &[
                ["shakes", "shake"],
                ["wobbles", "wobble"],
                ["jiggles", "jiggle"],
                ["vibrates", "vibrate"],
                ["rocks from side to side", "rock from side to side"],
                ["quivers", "quiver"],
                ["jitters", "jitter"],
                ["shakes back and forth", "shake back and forth"],
                ["sways", "sway"],
            ],
            validation: &[["wiggles", "wiggle"], ["quakes", "quake"]],
            held_out: &[["trembles", "tremble"], ["shivers", "shiver"]],
        },
        Action::Jump => Choice {
            train: &[
                ["jumps", "jump"],
                ["hops", "hop"],
                ["leaps up", "leap up"],
                ["bounces up", "bounce up"],
                ["makes a jump", "make a jump"],
                ["jumps up and lands", "jump up and land"],
                ["hops up and down", "hop up and down"],
                ["jumps high", "jump high"],
            ],
            validation: &[["bounds up", "bound up"], ["does a hop", "do a hop"]],
            held_out: &[["springs into the air", "spring into the air"], ["takes a leap", "take a leap"]],
        },
        Action::Appear => Choice {
            train: &[
                ["appears", "appear"],
                ["shows up", "show up"],
                ["fades in", "fade in"],
                ["becomes visible", "become visible"],
                ["turns up", "turn up"],
                ["emerges", "emerge"],
                ["appears out of nothing", "appear out of nothing"],
            ],
            validation: &[["comes into existence", "come into existence"], ["starts to be seen", "start to be seen"]],
            held_out: &[["materializes", "materialize"], ["pops up", "pop up"]],
        },
        Action::Vanish => Choice {
            train: &[
                ["vanishes", "vanish"],
                ["disappears", "disappear"],
                ["fades away", "fade away"],
                ["becomes invisible", "become invisible"],
                ["melts away", "melt away"],
                ["vanishes into nothing", "vanish into nothing"],
                ["disappears from sight", "disappear from sight"],
            ],
            validation: &[["evaporates", "evaporate"], ["stops being seen", "stop being seen"]],
            held_out: &[["dissolves", "dissolve"], ["fades out", "fade out"]],
        },
        Action::Enter => Choice {
            train: &[
                ["comes in{f}", "come in{f}"],
                ["enters the picture{f}", "enter the picture{f}"],
                ["moves in{f}", "move in{f}"],
                ["comes into the picture{f}", "come into the picture{f}"],
                ["walks in{f}", "walk in{f}"],
                ["enters{f}", "enter{f}"],
                ["moves into the frame{f}", "move into the frame{f}"],
                ["steps in{f}", "step in{f}"],
            ],
            validation: &[
                ["comes into the frame{f}", "come into the frame{f}"],
                ["goes into the picture{f}", "go into the picture{f}"],
            ],
            held_out: &[["arrives{f}", "arrive{f}"], ["slides into the picture{f}", "slide into the picture{f}"]],
        },
        Action::Leave => Choice {
            train: &[
                ["leaves{e}", "leave{e}"],
                ["goes out of the picture{e}", "go out of the picture{e}"],
                ["moves out{e}", "move out{e}"],
                ["leaves the picture{e}", "leave the picture{e}"],
                ["walks out{e}", "walk out{e}"],
                ["goes away{e}", "go away{e}"],
                ["moves out of the frame{e}", "move out of the frame{e}"],
                ["departs{e}", "depart{e}"],
            ],
            validation: &[["goes off{e}", "go off{e}"], ["steps out of the picture{e}", "step out of the picture{e}"]],
            held_out: &[["exits{e}", "exit{e}"], ["slides out of the picture{e}", "slide out of the picture{e}"]],
        },
        Action::Approach => Choice {
            train: &[
                ["approaches {p}", "approach {p}"],
                ["moves toward {p}", "move toward {p}"],
                ["comes up to {p}", "come up to {p}"],
                ["gets close to {p}", "get close to {p}"],
                ["comes near {p}", "come near {p}"],
                ["nears {p}", "near {p}"],
                ["goes up to {p}", "go up to {p}"],
                ["walks to {p}", "walk to {p}"],
            ],
            validation: &[["comes closer to {p}", "come closer to {p}"], ["advances on {p}", "advance on {p}"]],
            held_out: &[["draws near to {p}", "draw near to {p}"], ["closes in on {p}", "close in on {p}"]],
        },
        Action::Bump => Choice {
            train: &[
                ["bumps into {p}", "bump into {p}"],
                ["hits {p}", "hit {p}"],
                ["runs into {p}", "run into {p}"],
                ["strikes {p}", "strike {p}"],
                ["knocks against {p}", "knock against {p}"],
                ["slams into {p}", "slam into {p}"],
                ["bounces off {p}", "bounce off {p}"],
                ["smashes into {p}", "smash into {p}"],
            ],
            validation: &[["bangs into {p}", "bang into {p}"], ["rams {p}", "ram {p}"]],
            held_out: &[["collides with {p}", "collide with {p}"], ["crashes into {p}", "crash into {p}"]],
        },
        Action::PassBehind => Choice {
            train: &[
                ["passes behind {p}", "pass behind {p}"],
                ["goes behind {p}", "go behind {p}"],
                ["moves behind {p}", "move behind {p}"],
                ["walks behind {p}", "walk behind {p}"],
                ["gets behind {p}", "get behind {p}"],
                ["moves past {p} at the back", "move past {p} at the back"],
                ["goes by behind {p}", "go by behind {p}"],
                ["hides behind {p} for a moment", "hide behind {p} for a moment"],
            ],
            validation: &[
                ["runs behind {p}", "run behind {p}"],
                ["gets hidden by {p} for a moment", "get hidden by {p} for a moment"],
            ],
            held_out: &[["slips behind {p}", "slip behind {p}"], ["crosses in back of {p}", "cross in back of {p}"]],
        },
        Action::Swap => Choice {
            train: &[
                ["swaps places with {p}", "swap places with {p}"],
                ["changes places with {p}", "change places with {p}"],
                ["trades places with {p}", "trade places with {p}"],
                ["swaps with {p}", "swap with {p}"],
                ["swaps its place with {p}", "swap its place with {p}"],
                ["trades its place with {p}", "trade its place with {p}"],
                ["changes seats with {p}", "change seats with {p}"],
                ["changes sides with {p}", "change sides with {p}"],
            ],
            validation: &[
                ["interchanges with {p}", "interchange with {p}"],
                ["flips places with {p}", "flip places with {p}"],
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
                ["bears {p}{d}", "bear {p}{d}"],
                ["picks up {p} and moves it{d}", "pick up {p} and move it{d}"],
                ["moves {p}{d} on its back", "move {p}{d} on its back"],
                ["takes {p} along{d}", "take {p} along{d}"],
                ["holds {p} up and goes{d}", "hold {p} up and go{d}"],
            ],
            validation: &[["totes {p}{d}", "tote {p}{d}"], ["brings {p} on its head{d}", "bring {p} on its head{d}"]],
            held_out: &[["hauls {p}{d}", "haul {p}{d}"], ["transports {p}{d}", "transport {p}{d}"]],
        },
        Action::Push => Choice {
            train: &[
                ["pushes {p}{d}", "push {p}{d}"],
                ["shoves {p}{d}", "shove {p}{d}"],
                ["moves {p}{d} by pushing", "move {p}{d} by pushing"],
                ["thrusts {p}{d}", "thrust {p}{d}"],
                ["presses {p}{d}", "press {p}{d}"],
                ["forces {p}{d}", "force {p}{d}"],
                ["pushes against {p} and moves it{d}", "push against {p} and move it{d}"],
                ["slides {p}{d}", "slide {p}{d}"],
            ],
            validation: &[["propels {p}{d}", "propel {p}{d}"], ["prods {p}{d}", "prod {p}{d}"]],
            held_out: &[["nudges {p}{d}", "nudge {p}{d}"], ["drives {p} before it{d}", "drive {p} before it{d}"]],
        },
    }
}

/// Which way.
pub(super) const fn ways(direction: Direction) -> Choice<&'static str> {
    match direction {
        Direction::Left => Choice {
            train: &[" left", " to the left", " toward the left", " to the left side"],
            validation: &[" over to the left"],
            held_out: &[" leftward"],
        },
        Direction::Right => Choice {
            train: &[" right", " to the right", " toward the right", " to the right side"],
            validation: &[" over to the right"],
            held_out: &[" rightward"],
        },
        Direction::Up => Choice {
            train: &[" up", " to the top", " toward the top", " to the upper side"],
            validation: &[" up to the top"],
            held_out: &[" upward"],
        },
        Direction::Down => Choice {
            train: &[" down", " to the bottom", " toward the bottom", " to the lower side"],
            validation: &[" down to the bottom"],
            held_out: &[" downward"],
        },
        Direction::UpLeft => Choice {
            train: &[
                " up and left",
                " to the upper left",
                " to the top left",
                " up and to the left",
                " toward the upper left corner",
            ],
            validation: &[" left and up"],
            held_out: &[" upward to the left"],
        },
        Direction::UpRight => Choice {
            train: &[
                " up and right",
                " to the upper right",
                " to the top right",
                " up and to the right",
                " toward the upper right corner",
            ],
            validation: &[" right and up"],
            held_out: &[" upward to the right"],
        },
        Direction::DownLeft => Choice {
            train: &[
                " down and left",
                " to the lower left",
                " to the bottom left",
                " down and to the left",
                " toward the lower left corner",
            ],
            validation: &[" left and down"],
            held_out: &[" downward to the left"],
        },
        Direction::DownRight => Choice {
            train: &[
                " down and right",
                " to the lower right",
                " to the bottom right",
                " down and to the right",
                " toward the lower right corner",
            ],
            validation: &[" right and down"],
            held_out: &[" downward to the right"],
        },
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
        Speed::Slow => Choice {
            train: &[" slowly", " a little", " at a slow pace", " without haste"],
            validation: &[" unhurriedly"],
            held_out: &[" gently"],
        },
        Speed::Quick => Choice {
            train: &[" quickly", " fast", " at a fast pace", " in a hurry", " swiftly"],
            validation: &[" with speed"],
            held_out: &[" rapidly"],
        },
    }
}

/// A caption of what happens: `{}`.
pub(super) const SHORT: Choice<&str> = Choice {
    train: &[
        "{}",
        "a clip in which {}",
        "here {}",
        "the video shows that {}",
        "a short film: {}",
        "you can see that {}",
        "in the clip {}",
        "this is what happens: {}",
    ],
    validation: &["what you see is that {}", "look: {}"],
    held_out: &["in this video {}", "we see how {}"],
};

/// Two events, `{0}` and `{1}`.
pub(super) const THEN: Choice<&str> = Choice {
    train: &[
        "{0}, then {1}",
        "{0} and then {1}",
        "first {0}, after that {1}",
        "{0}. then {1}",
        "{0}, and afterwards {1}",
        "at first {0}, then {1}",
        "{0}; after this {1}",
        "{0} before {1}",
    ],
    validation: &["first {0}, second {1}", "{0}, followed by this: {1}"],
    held_out: &["to begin with {0}, and next {1}", "{0}; later on {1}"],
};

/// Three events.
pub(super) const THEN_THEN: Choice<&str> = Choice {
    train: &[
        "{0}, then {1}, then {2}",
        "first {0}, then {1}, and at last {2}",
        "{0}. then {1}. then {2}",
        "{0}, after that {1}, and then {2}",
        "at first {0}, then {1}, in the end {2}",
        "{0} and then {1}; after this {2}",
    ],
    validation: &["first {0}, second {1}, third {2}"],
    held_out: &["to begin with {0}, next {1}, and finally {2}"],
};

/// Who is there, `{0}`, and what happens, `{1}`.
pub(super) const LONG: Choice<&str> = Choice {
    train: &[
        "there is {0}. {1}",
        "{0}: {1}",
        "the picture shows {0}, and {1}",
        "you see {0}. {1}",
        "here is {0}, and {1}",
        "at the start there is {0}; {1}",
        "{0} can be seen. {1}",
    ],
    validation: &["we start from {0}. {1}"],
    held_out: &["one can see {0}; {1}", "with {0} in the picture, {1}"],
};

/// How many things there are, `{n}`, and a caption, `{}`.
pub(super) const COUNTED: Choice<&str> = Choice {
    train: &["{n}: {}", "at first {n}: {}", "{n} at the start, and {}", "it starts with {n}: {}"],
    validation: &["a clip that begins with {n}: {}"],
    held_out: &["of {n}: {}"],
};

/// Names of numbers, from one.
pub(super) const NUMBERS: [&str; 4] = ["one", "two", "three", "four"];

/// Nobody is there at first.
pub(super) const EMPTY: &str = "an empty place";

/// Questions. `{x}` is a thing, `{y}` another one, `{v}` "jumps", `{b}` "jump", `{p}` "at the top".
pub(super) mod asked {
    use super::Choice;

    pub const ACTION: Choice<&str> = Choice {
        train: &[
            "what does {x} do?",
            "what happens with {x}?",
            "what is {x} doing?",
            "what happens to {x}?",
            "what is it that {x} does?",
            "say what {x} does",
            "what did {x} do?",
            "explain what {x} is doing",
            "what can you see {x} do?",
            "the action of {x}?",
        ],
        validation: &["what has {x} done?", "report what {x} does"],
        held_out: &["describe what {x} does", "tell me what goes on with {x}"],
    };
    pub const DIRECTION: Choice<&str> = Choice {
        train: &[
            "which way does {x} move?",
            "in which direction does {x} go?",
            "where does {x} move to?",
            "where is {x} going?",
            "to which side does {x} move?",
            "which way did {x} go?",
            "say which way {x} moves",
            "in what direction is {x} moving?",
        ],
        validation: &["which way has {x} gone?", "toward which side is {x} moving?"],
        held_out: &["which way is {x} heading?", "name the direction of {x}"],
    };
    pub const COUNT_BEFORE: Choice<&str> = Choice {
        train: &[
            "how many things are there at the start?",
            "how many things do you see at first?",
            "what is the number of things at the start?",
            "at the start, how many things can be seen?",
            "how many objects are there in the first picture?",
            "say how many things there are at first",
            "how many things do we start with?",
            "how many things were there initially?",
        ],
        validation: &["what number of objects is there at first?", "how many things does the clip open with?"],
        held_out: &["count the things at the beginning"],
    };
    pub const COUNT_AFTER: Choice<&str> = Choice {
        train: &[
            "how many things are there at the end?",
            "how many things do you see at last?",
            "what is the number of things at the end?",
            "at the end, how many things can be seen?",
            "how many objects are there in the last picture?",
            "say how many things there are at last",
            "how many things remain?",
            "how many things were there finally?",
        ],
        validation: &["what number of objects is there at last?", "how many things does the clip close with?"],
        held_out: &["count the things that are left in the end"],
    };
    pub const YES_NO: Choice<&str> = Choice {
        train: &[
            "does {x} {b}?",
            "is it true that {x} {v}?",
            "do you see {x} {b}?",
            "did {x} {b}?",
            "can you see {x} {b}?",
            "yes or no: {x} {v}?",
            "is this right: {x} {v}?",
            "is it correct that {x} {v}?",
            "{x} {v}: yes or no?",
            "does it happen that {x} {v}?",
        ],
        validation: &["do you agree that {x} {v}?", "{x} {v}, or not?"],
        held_out: &["would you say that {x} {v}?", "{x} {v}, right?"],
    };
    pub const FIRST: Choice<&str> = Choice {
        train: &[
            "what happens first?",
            "what do you see first?",
            "what is the first thing that happens?",
            "what happens at the start?",
            "what takes place first?",
            "which event is the first?",
            "say what happens first",
            "how does the clip start?",
            "what occurs before everything else?",
        ],
        validation: &["what is the earliest event?", "which of the events was first?"],
        held_out: &["which of these comes first?"],
    };
    pub const LAST: Choice<&str> = Choice {
        train: &[
            "what happens last?",
            "what do you see in the end?",
            "what is the last thing that happens?",
            "what happens at the end?",
            "what takes place last?",
            "which event is the last?",
            "say what happens last",
            "how does the clip end?",
            "what occurs after everything else?",
        ],
        validation: &["what is the final event?", "which of the events was last?"],
        held_out: &["which of these comes last?"],
    };
    pub const WHAT: Choice<&str> = Choice {
        train: &[
            "what {v}?",
            "which thing {v}?",
            "what is it that {v}?",
            "which object {v}?",
            "say which thing {v}",
            "what is the thing that {v}?",
            "which one {v}?",
            "what do you see that {v}?",
        ],
        validation: &["identify what {v}", "which is the object that {v}?"],
        held_out: &["name the thing that {v}", "tell me what {v}"],
    };
    pub const WHICH: Choice<&str> = Choice {
        train: &[
            "which one {v}, {x} or {y}?",
            "what {v}: {x} or {y}?",
            "is it {x} or {y} that {v}?",
            "{x} or {y}: which one {v}?",
            "say which {v}, {x} or {y}",
            "which of the two {v}: {x} or {y}?",
        ],
        validation: &["between {x} and {y}, what {v}?"],
        held_out: &["of {x} and {y}, which {v}?"],
    };
    pub const WHERE_BEFORE: Choice<&str> = Choice {
        train: &[
            "where is {x} at the start?",
            "where do you see {x} at first?",
            "at the start, where is {x}?",
            "what is the place of {x} at the start?",
            "where does {x} stand at first?",
            "say where {x} is at first",
            "where was {x} initially?",
            "in which corner or side is {x} at the start?",
        ],
        validation: &["what is the position of {x} in the first picture?"],
        held_out: &["in which part of the picture does {x} begin?"],
    };
    pub const WHERE_AFTER: Choice<&str> = Choice {
        train: &[
            "where is {x} at the end?",
            "where do you see {x} at last?",
            "at the end, where is {x}?",
            "what is the place of {x} at the end?",
            "where does {x} stand at last?",
            "say where {x} is at last",
            "where was {x} finally?",
            "in which corner or side is {x} at the end?",
        ],
        validation: &["what is the position of {x} in the last picture?"],
        held_out: &["in which part of the picture does {x} end up?"],
    };
    pub const THERE_BEFORE: Choice<&str> = Choice {
        train: &[
            "what is {p} at the start?",
            "what do you see {p} at first?",
            "which thing is {p} at the start?",
            "at the start, what is {p}?",
            "say what is {p} at first",
            "what stands {p} at first?",
            "which object was {p} initially?",
        ],
        validation: &["which object is {p} in the first picture?"],
        held_out: &["name the thing {p} in the beginning"],
    };
    pub const THERE_AFTER: Choice<&str> = Choice {
        train: &[
            "what is {p} at the end?",
            "what do you see {p} at last?",
            "which thing is {p} at the end?",
            "at the end, what is {p}?",
            "say what is {p} at last",
            "what stands {p} at last?",
            "which object was {p} finally?",
        ],
        validation: &["which object is {p} in the last picture?"],
        held_out: &["name the thing {p} when it is over"],
    };
    pub const COLOR: Choice<&str> = Choice {
        train: &[
            "what color is {x}?",
            "which color does {x} have?",
            "of what color is {x}?",
            "say what color {x} is",
            "what color do you see on {x}?",
            "in which color is {x} drawn?",
            "how is {x} colored?",
        ],
        validation: &["what is the main color that {x} has?"],
        held_out: &["name the color of {x}"],
    };
    pub const NEXT: Choice<&str> = Choice {
        train: &[
            "what happens next?",
            "what will {x} do next?",
            "what comes after this?",
            "what is going to happen next?",
            "what will happen then?",
            "what does {x} do after this?",
            "say what happens next",
            "what follows?",
            "what will come next?",
        ],
        validation: &["what is {x} about to do?", "guess what comes afterwards"],
        held_out: &["what do you expect {x} to do next?", "how will it go on?"],
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Of wordings of one meaning none is of two kinds, and none is there twice.
    fn apart<T: Copy + Ord + std::fmt::Debug>(choice: &Choice<T>) -> usize {
        let mut all: Vec<T> = Wordings::ALL.iter().flat_map(|wordings| choice.of(*wordings).iter().copied()).collect();
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count, "{all:?}");
        assert!(Wordings::ALL.iter().all(|wordings| !choice.of(*wordings).is_empty()), "{all:?}");
        count
    }

    #[test]
    fn a_wording_has_one_kind_and_a_verb_one_action() {
        let mut owners: BTreeMap<String, Action> = BTreeMap::new();
        let mut count = 0;
        for action in Action::ALL {
            let choice = verbs(action);
            count += apart(&choice);
            for [third, base] in Wordings::ALL.iter().flat_map(|wordings| choice.of(*wordings)) {
                let bare =
                    ["{d}", "{s}", "{f}", "{e}"].iter().fold((*third).to_owned(), |text, slot| text.replace(slot, ""));
                assert_eq!(owners.insert(bare, action), None, "{third}");
                let slots = |text: &str| text.chars().filter(|c| *c == '{').count();
                assert!(slots(third) == slots(base) && third != base, "{third}, {base}");
                assert_eq!(third.contains("{p}"), action.has_partner(), "{third}");
            }
        }
        count += Direction::ALL.map(|direction| apart(&ways(direction))).iter().sum::<usize>();
        count += [Speed::Slow, Speed::Quick].map(|speed| apart(&speeds(speed))).iter().sum::<usize>();
        let frames = [SHORT, THEN, THEN_THEN, LONG, COUNTED];
        let questions = [
            asked::ACTION,
            asked::DIRECTION,
            asked::COUNT_BEFORE,
            asked::COUNT_AFTER,
            asked::YES_NO,
            asked::FIRST,
            asked::LAST,
            asked::WHAT,
            asked::WHICH,
            asked::WHERE_BEFORE,
            asked::WHERE_AFTER,
            asked::THERE_BEFORE,
            asked::THERE_AFTER,
            asked::COLOR,
            asked::NEXT,
        ];
        count += frames.iter().chain(&questions).map(apart).sum::<usize>();
        assert!(count > 400, "{count}");
    }
}
