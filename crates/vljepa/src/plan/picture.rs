//! Episodes as moving pictures: what happened, and beside it what was imagined.

use vljepa_data::Rgb8Image;
use vljepa_data::encode_webp_animation;
use vljepa_worlds::World;

use super::agent::{Agent, distance};
use super::episode::Outcome;
use super::guide::Guide;
use crate::error::Result;

/// Side of each picture, pixels.
const SIDE: usize = 224;
/// Pixels between two pictures.
const GAP: usize = 8;
/// Milliseconds of a frame.
const MILLIS: u32 = 80;
/// Frames that the last one stays.
const STAY: usize = 12;
/// Colour between the pictures.
const PAPER: u8 = 244;

/// The episode as an animated WebP: what happened, what the plan of that time foretold, and the goal. What was foretold is a latent; it is
/// shown as the place, among those that the episode and the `guide` saw, whose latent is nearest.
///
/// # Errors
/// States that the world refuses, what the device reports.
pub fn animation(agent: &Agent, world: &dyn World, episode: &Outcome, guide: Option<&Guide>) -> Result<Vec<u8>> {
    let draw = |state: &[f64]| -> Result<Vec<u8>> {
        let mut rgb = vec![0; 3 * SIDE * SIDE];
        world.draw(state, SIDE, &mut rgb)?;
        Ok(rgb)
    };
    let mut goal = vec![0; 3 * SIDE * SIDE];
    world.render_goal(SIDE, &mut goal)?;
    let skip = agent.config().frameskip;
    // What imagined latents are recognised by.
    let mut known: Vec<(Vec<f32>, Vec<f64>)> =
        guide.map(|guide| guide.all().map(|p| (p.latent.to_vec(), p.state.to_vec())).collect()).unwrap_or_default();
    let pictures = episode.states.iter().map(|state| agent.picture(world, state)).collect::<Result<Vec<_>>>()?;
    known.extend(agent.latents(&pictures)?.into_iter().zip(episode.states.iter().cloned()));
    let mut imagined: Vec<(usize, Vec<Vec<f32>>)> = Vec::with_capacity(episode.rounds.len());
    for round in &episode.rounds {
        let Some(picture) = pictures.get(round.step) else { continue };
        let seen = agent.latents(std::slice::from_ref(picture))?;
        imagined.push((round.step, agent.imagine(&seen, &round.plan)?.concat()));
    }
    let mut frames = Vec::with_capacity(episode.states.len() + STAY);
    for (step, state) in episode.states.iter().enumerate() {
        let plan = imagined.iter().rev().find(|(from, _)| *from <= step);
        let block = plan.and_then(|(from, latents)| latents.get(((step - from) / skip).min(latents.len() - 1)));
        let nearest = block.and_then(|latent| {
            let near = |a: &&(Vec<f32>, Vec<f64>), b: &&(Vec<f32>, Vec<f64>)| {
                distance(&a.0, latent).total_cmp(&distance(&b.0, latent))
            };
            known.iter().min_by(near)
        });
        let dreamt = match nearest {
            Some((_, state)) => draw(state)?,
            None => vec![PAPER; 3 * SIDE * SIDE],
        };
        frames.push(beside(&[&draw(state)?, &dreamt, &goal]));
    }
    moving(frames)
}

/// The states of an episode as an animated WebP, the goal beside them.
///
/// # Errors
/// States that the world refuses.
pub fn played(world: &dyn World, states: &[Vec<f64>]) -> Result<Vec<u8>> {
    let mut goal = vec![0; 3 * SIDE * SIDE];
    world.render_goal(SIDE, &mut goal)?;
    let frame = |state: &Vec<f64>| -> Result<Rgb8Image> {
        let mut rgb = vec![0; 3 * SIDE * SIDE];
        world.draw(state, SIDE, &mut rgb)?;
        Ok(beside(&[&rgb, &goal]))
    };
    moving(states.iter().map(frame).collect::<Result<_>>()?)
}

/// Frames as an animated WebP, of which the last one stays for a while.
fn moving(mut frames: Vec<Rgb8Image>) -> Result<Vec<u8>> {
    if let Some(last) = frames.last().cloned() {
        frames.extend(std::iter::repeat_n(last, STAY));
    }
    Ok(encode_webp_animation(&frames, MILLIS)?)
}

/// Pictures side by side.
fn beside(pictures: &[&[u8]]) -> Rgb8Image {
    let width = pictures.len() * SIDE + (pictures.len() - 1) * GAP;
    let mut data = vec![PAPER; 3 * width * SIDE];
    for (i, picture) in pictures.iter().enumerate() {
        let left = 3 * i * (SIDE + GAP);
        for (row, pixels) in picture.chunks_exact(3 * SIDE).enumerate() {
            data[row * 3 * width + left..][..3 * SIDE].copy_from_slice(pixels);
        }
    }
    Rgb8Image { width: width as u32, height: SIDE as u32, data }
}
