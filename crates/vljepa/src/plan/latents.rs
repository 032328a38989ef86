//! What a world model's latents are good for, apart from plans: how far they foretell, how straight they run, what they tell of states, and
//! whether what cannot happen surprises them (LeWM, arXiv 2603.19312, sections on probing and on violated expectations).

use serde::Serialize;
use vljepa_train::metrics::roc_area;
use vljepa_worlds::trajectories::{Trajectories, Window};
use vljepa_worlds::{Random, World};

use super::agent::{Agent, distance};
use super::probe::{LinearProbe, pearson};
use crate::error::{Error, Result};

/// How latents are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatentOptions {
    /// Windows of episodes, half of which the probes learn from.
    pub windows: usize,
    /// Blocks that are foretold.
    pub horizon: usize,
    /// Seed of what is drawn.
    pub seed: u64,
}

impl Default for LatentOptions {
    fn default() -> Self {
        Self { windows: 400, horizon: 5, seed: 0 }
    }
}

/// What latents are good for. Distances are mean squares over a latent's components.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LatentReport {
    /// The world.
    pub suite: String,
    /// Windows.
    pub windows: usize,
    /// By how many blocks were foretold from predictions, from 1.
    pub roll_out: Vec<RollOut>,
    /// Mean cosine of one block's change of the latent and the next one's.
    pub straightness: f64,
    /// The same of states.
    pub state_straightness: f64,
    /// What a linear map tells of each number of the state.
    pub probe: Vec<Probed>,
    /// What should surprise.
    pub surprise: Surprise,
}

/// Distances from the latent that came, so many blocks ahead.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RollOut {
    /// Blocks ahead.
    pub blocks: usize,
    /// Of what the model foretells.
    pub model: f64,
    /// Of the latent at the start.
    pub copy_last: f64,
    /// Of the line through the latent at the start and the one before.
    pub linear: f64,
}

/// A number of the state as a linear map of the latent tells it, on windows that the map did not learn from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Probed {
    /// What the number is.
    pub state: String,
    /// Root of the mean squared error, in the state's unit.
    pub rmse: f64,
    /// The same of always telling the mean.
    pub floor: f64,
    /// Pearson's correlation.
    pub pearson: f64,
}

/// Areas under ROC curves: how probable it is that a picture that cannot follow is farther from what was foretold than one that did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Surprise {
    /// The state of another episode in place of the one that followed.
    pub teleport: f64,
    /// The picture that followed with red and blue exchanged.
    pub recolour: f64,
    /// Transitions of each kind.
    pub n: usize,
}

/// Looks at the latents of `episodes`, which the model must not have been trained on.
///
/// # Errors
/// Episodes too short for the horizon or too few, what the world and the device report.
pub fn latents(
    agent: &Agent,
    world: &dyn World,
    episodes: &Trajectories,
    options: LatentOptions,
) -> Result<LatentReport> {
    let LatentOptions { windows: count, horizon, seed } = options;
    let (skip, d) = (agent.config().frameskip, agent.config().hidden_size as f64);
    // The frame before the start, the start, and one for each block.
    let frames = horizon.max(1) + 2;
    let all = episodes.windows(frames, skip)?;
    if count < 4 || all.len() < count {
        let what = format!(
            "{} windows of {frames} frames in all, {count} (4 at least) are asked for; take more episodes or a shorter horizon",
            all.len()
        );
        return Err(Error::invalid(what));
    }
    // Evenly over all, in order: the first half and the second are of different episodes, but for one.
    let windows: Vec<Window> = (0..count).map(|i| all[i * all.len() / count]).collect();
    let outside = || Error::invalid("a window reaches beyond its episode");
    let mut states = Vec::with_capacity(count * frames);
    for window in &windows {
        for i in 0..frames {
            states.push(episodes.frame(*window, i, skip).ok_or_else(outside)?.to_vec());
        }
    }
    let side = agent.config().image_size;
    let pixels = |state: &Vec<f64>| -> Result<Vec<u8>> {
        let mut rgb = vec![0; 3 * side * side];
        world.draw(state, side, &mut rgb)?;
        Ok(rgb)
    };
    let encoded = |change: &dyn Fn(&mut [u8]), states: &[Vec<f64>]| -> Result<Vec<Vec<f32>>> {
        let mut latents = Vec::with_capacity(states.len());
        for part in states.chunks(256) {
            let picture = |state: &Vec<f64>| {
                pixels(state).map(|mut rgb| {
                    change(&mut rgb);
                    agent.picture_of(&rgb)
                })
            };
            latents.extend(agent.latents(&part.iter().map(picture).collect::<Result<Vec<_>>>()?)?);
        }
        Ok(latents)
    };
    let seen = encoded(&|_| (), &states)?;
    let frame = |window: usize, i: usize| &seen[window * frames + i];
    // What is foretold from the second frame on by what was done.
    let mut actions = Vec::new();
    for window in &windows {
        for i in 0..horizon.max(1) {
            actions.extend_from_slice(episodes.block(*window, i + 1, skip).ok_or_else(outside)?);
        }
    }
    agent.normalise(&mut actions);
    let starts: Vec<Vec<f32>> = (0..count).map(|w| frame(w, 1).clone()).collect();
    let foretold = agent.imagine(&starts, &actions)?;
    let mean = |of: &dyn Fn(usize) -> f64| (0..count).map(of).sum::<f64>() / count as f64;
    let off = |a: &[f32], b: &[f32]| f64::from(distance(a, b)) / d;
    let roll_out = (1..=horizon.max(1)).map(|blocks| RollOut {
        blocks,
        model: mean(&|w| off(&foretold[w][blocks - 1], frame(w, 1 + blocks))),
        copy_last: mean(&|w| off(frame(w, 1), frame(w, 1 + blocks))),
        linear: mean(&|w| {
            let (before, now) = (frame(w, 0), frame(w, 1));
            let line: Vec<f32> = now.iter().zip(before).map(|(b, a)| b + blocks as f32 * (b - a)).collect();
            off(&line, frame(w, 1 + blocks))
        }),
    });
    let turn = |at: &dyn Fn(usize) -> Vec<f64>| {
        let [a, b, c] = [at(0), at(1), at(2)];
        let step = |from: &[f64], to: &[f64]| to.iter().zip(from).map(|(t, f)| t - f).collect::<Vec<f64>>();
        let (first, second) = (step(&a, &b), step(&b, &c));
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        dot(&first, &second) / (dot(&first, &first) * dot(&second, &second)).sqrt().max(f64::MIN_POSITIVE)
    };
    let long = |latent: &[f32]| latent.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
    let straightness = mean(&|w| turn(&|i| long(frame(w, i))));
    let state_straightness = mean(&|w| turn(&|i| states[w * frames + i].clone()));
    let next: Vec<Vec<f64>> = (0..count).map(|w| states[w * frames + 2].clone()).collect();
    let recoloured = encoded(&|rgb| rgb.chunks_exact_mut(3).for_each(|pixel| pixel.swap(0, 2)), &next)?;
    let surprise_of = |w: usize, came: &[f32]| off(&foretold[w][0], came);
    let normal: Vec<f64> = (0..count).map(|w| surprise_of(w, frame(w, 2))).collect();
    let strange: Vec<f64> = (0..count).map(|w| surprise_of(w, &recoloured[w])).collect();
    let mut random = Random::new(seed, 0);
    let elsewhere: Vec<f64> = (0..count)
        .map(|w| {
            // A window of another episode.
            let mut other = random.below(count);
            while windows[other].episode == windows[w].episode && windows[0].episode != windows[count - 1].episode {
                other = random.below(count);
            }
            surprise_of(w, frame(other, 2))
        })
        .collect();
    let area = |strange: &[f64]| roc_area(strange, &normal).unwrap_or(0.5);
    let surprise = Surprise { teleport: area(&elsewhere), recolour: area(&strange), n: count };
    let roll_out = roll_out.collect();
    let probe = probed(world, &seen, &states)?;
    Ok(LatentReport {
        suite: world.name().to_owned(),
        windows: count,
        roll_out,
        straightness,
        state_straightness,
        probe,
        surprise,
    })
}

/// A linear map fitted on the first half, measured on the second.
fn probed(world: &dyn World, latents: &[Vec<f32>], states: &[Vec<f64>]) -> Result<Vec<Probed>> {
    let half = latents.len() / 2;
    let probe = LinearProbe::fit(&latents[..half], &states[..half], 1e-6)
        .ok_or_else(|| Error::invalid("the latents determine no linear map; take more windows"))?;
    let told: Vec<Vec<f64>> = latents[half..].iter().map(|latent| probe.of(latent)).collect();
    let of = |(k, name): (usize, &&'static str)| {
        let pairs: Vec<(f64, f64)> =
            told.iter().zip(&states[half..]).map(|(told, state)| (told[k], state[k])).collect();
        let n = pairs.len().max(1) as f64;
        let mean = states[..half].iter().map(|state| state[k]).sum::<f64>() / half.max(1) as f64;
        let root =
            |of: &dyn Fn(&(f64, f64)) -> f64| (pairs.iter().map(|pair| of(pair).powi(2)).sum::<f64>() / n).sqrt();
        Probed {
            state: (*name).to_owned(),
            rmse: root(&|(told, is)| told - is),
            floor: root(&|(_, is)| mean - is),
            pearson: pearson(&pairs),
        }
    };
    Ok(world.state_names().iter().enumerate().map(of).collect())
}
