//! Long streams: what a camera would see that stands before Sprite World all day.

use super::scene::Scene;
use super::world::SpriteWorld;
use crate::Rgb8Image;
use crate::dice::{Dice, SampleKey};

/// Which stream of a key's random numbers draws how long nothing happens.
const HOLD: u64 = 15;

/// One scene of a stream, and the time after it in which nothing moves.
#[derive(Clone, Debug, PartialEq)]
pub struct Shot {
    /// The key that the scene was made by, for [captions](super::words::caption).
    pub key: SampleKey,
    /// What happens.
    pub scene: Scene,
    /// Number of its first frame in the stream.
    pub first: usize,
    /// Frames of the stream that show it, the still ones at the end included.
    pub frames: usize,
}

impl Shot {
    /// Frames in which things move.
    pub fn moving(&self) -> usize {
        self.scene.poses.len().min(self.frames)
    }

    /// The picture of one of its frames, from 0, at `side` pixels.
    pub fn picture(&self, world: &SpriteWorld, frame: usize, side: usize) -> Rgb8Image {
        world.picture(&self.scene, frame, side)
    }
}

/// The shots of a stream, without end: scenes one after the other, each followed by a still time of random length.
#[derive(Clone, Debug)]
pub struct SpriteStream<'a> {
    world: &'a SpriteWorld,
    key: SampleKey,
    /// Mean length of the still times, in frames.
    hold: f64,
    first: usize,
}

impl<'a> SpriteStream<'a> {
    /// The stream of a key. Still times are as long as those between events that come at random: exponentially distributed with a mean of
    /// `hold` frames, at most six times that.
    pub fn new(world: &'a SpriteWorld, key: SampleKey, hold: f64) -> Self {
        Self { world, key: SampleKey { index: key.index << 32, ..key }, hold: hold.clamp(0.0, 1e6), first: 0 }
    }
}

impl Iterator for SpriteStream<'_> {
    type Item = Shot;

    fn next(&mut self) -> Option<Shot> {
        let (key, first) = (self.key, self.first);
        let scene = self.world.scene(key);
        let mut dice = Dice::new(SampleKey { stream: HOLD, ..key });
        // Of 2^24 equal parts, so that the logarithm is finite.
        let share = f64::from(1 + dice.pick(1 << 24)) / f64::from(1 << 24);
        let still = (-share.ln()).min(6.0) * self.hold;
        let frames = scene.poses.len() + still.round() as usize;
        self.key.index += 1;
        self.first += frames;
        Some(Shot { key, scene, first, frames })
    }
}
