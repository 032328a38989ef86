//! The true state of a clip: who is in it, what happens, and where everything is in every frame.

use serde::{Deserialize, Serialize};

use super::action::{Action, Direction, Place, Speed};

/// A thing in a clip.
#[derive(Clone, Debug, PartialEq)]
pub struct Actor {
    /// Index into [`super::Cast::things`].
    pub thing: usize,
    /// Which of its drawings.
    pub drawing: usize,
    /// Whether it is drawn mirrored.
    pub mirrored: bool,
}

/// Where a thing is and how it looks in one frame. Lengths are fractions of the picture's side, y points down.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pose {
    /// Its centre.
    pub x: f32,
    /// Its centre.
    pub y: f32,
    /// Its longer side.
    pub size: f32,
    /// Turned clockwise by, in radians.
    pub angle: f32,
    /// 0 is not there, 1 is opaque.
    pub alpha: f32,
    /// Whether it is drawn before the others.
    pub behind: bool,
}

impl Pose {
    /// Whether it is to be seen: more there than not, with its centre in the picture.
    pub fn is_seen(&self) -> bool {
        self.alpha > 0.5 && (0.0..1.0).contains(&self.x) && (0.0..1.0).contains(&self.y)
    }

    /// Radius of the circle that stands for it where things meet.
    pub(super) fn radius(&self) -> f32 {
        self.size * 0.45
    }

    pub(super) fn distance(&self, other: &Self) -> f32 {
        let (dx, dy) = (other.x - self.x, other.y - self.y);
        (dx * dx + dy * dy).sqrt()
    }

    /// The ninth of the picture that it stands in, where that is clear.
    pub fn place(&self) -> Option<Place> {
        Place::of(self.x, self.y, 0.04).filter(|_| self.is_seen())
    }
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What.
    pub action: Action,
    /// Who does it: an index into [`Scene::actors`].
    pub actor: usize,
    /// With whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partner: Option<usize>,
    /// Which way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// How fast.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<Speed>,
    /// The last frame before it shows.
    pub first: usize,
    /// The first frame at which it is complete.
    pub last: usize,
}

/// How the events of a clip belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Script {
    /// One event.
    Single,
    /// Several, in any order.
    Free,
    /// An event that has a [consequence](Action::consequence), and the consequence.
    Routine,
}

/// What a clip shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// How its events belong together.
    pub script: Script,
    /// The things in it.
    pub actors: Vec<Actor>,
    /// What happens, in order.
    pub events: Vec<Event>,
    /// Of each frame the pose of each actor.
    pub poses: Vec<Vec<Pose>>,
    /// What the background is drawn from.
    pub(super) backdrop: u64,
}

impl Scene {
    /// How many things are seen in a frame; 0 beyond the last.
    pub fn seen_in(&self, frame: usize) -> usize {
        self.poses.get(frame).map_or(0, |poses| poses.iter().filter(|pose| pose.is_seen()).count())
    }

    /// The poses of the first frame.
    pub fn before(&self) -> &[Pose] {
        self.poses.first().map_or(&[], Vec::as_slice)
    }

    /// A clip of the same length that shows the first frame, then the last one.
    pub fn ends(&self) -> Self {
        let count = self.poses.len();
        let of = |frame: usize| if frame < count / 2 { self.before() } else { self.after() };
        Self { poses: (0..count).map(|frame| of(frame).to_vec()).collect(), ..self.clone() }
    }

    /// The poses of the last frame.
    pub fn after(&self) -> &[Pose] {
        self.poses.last().map_or(&[], Vec::as_slice)
    }
}
