//! A picture that shows every action.

use super::action::Action;
use super::world::{SpriteOptions, SpriteWorld};
use crate::{DataError, Rgb8Image, SampleKey};

/// Clips of an action beside each other.
const COLUMNS: usize = 2;
/// Pixels between frames, and between clips.
const GAP: usize = 2;
const WIDE_GAP: usize = 8;
/// Clips that are looked through for an action.
const MOST: u64 = 4000;

/// A contact sheet: a row for each of [`Action::ALL`] with clips of one event, frame by frame at `side` pixels, on white.
///
/// # Errors
/// Options of the world that allow no clip of one event.
pub fn sheet(world: &SpriteWorld, seed: u64, side: usize) -> Result<Rgb8Image, DataError> {
    let world = world.with(SpriteOptions { events: 1, ..*world.options() })?;
    let frames = world.options().frames;
    let clip = frames * (side + GAP) + WIDE_GAP;
    let (width, height) = (COLUMNS * clip - WIDE_GAP - GAP, Action::ALL.len() * (side + GAP) - GAP);
    let mut data = vec![255; width * height * 3];
    let mut shown = [0; Action::ALL.len()];
    for index in 0..MOST {
        let scene = world.scene(SampleKey { seed, epoch: 0, index, stream: 0 });
        let Some(row) = scene.events.first().map(|event| event.action as usize) else { continue };
        let column = shown[row];
        if column == COLUMNS {
            continue;
        }
        shown[row] += 1;
        for (frame, picture) in world.render(&scene, side).chunks_exact(side * side * 3).enumerate() {
            let left = column * clip + frame * (side + GAP);
            for (y, line) in picture.chunks_exact(side * 3).enumerate() {
                let at = ((row * (side + GAP) + y) * width + left) * 3;
                data[at..at + line.len()].copy_from_slice(line);
            }
        }
    }
    Rgb8Image::new(width as u32, height as u32, data)
}
