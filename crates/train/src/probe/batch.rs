//! The features of a step.

use std::collections::BTreeMap;

use super::data::ProbePart;
use crate::error::{Result, TrainError};
use crate::random::{Purpose, Stream, seen_at};

/// Clips of a step with as many tokens and the same weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Tokens of each clip.
    pub tokens: usize,
    /// `[clips, tokens, width]`.
    pub features: Vec<f32>,
    /// Class of each clip.
    pub classes: Vec<u32>,
    /// Part of the step's loss that is the mean loss of these clips.
    pub share: f32,
}

/// The clips of a step: pictures and clips of several lengths stand in groups of their own.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeBatch {
    /// The step.
    pub step: u64,
    /// Numbers of a token.
    pub width: usize,
    /// The groups; their shares are 1 together.
    pub groups: Vec<Group>,
}

impl ProbeBatch {
    /// The clips of a step, a function of seed and step alone: each clip once an epoch, one of its views.
    ///
    /// # Errors
    /// Features that cannot be read or have another width.
    pub fn new(part: &ProbePart, width: usize, seed: u64, step: u64, batch: usize) -> Result<Self> {
        let seen = seen_at(seed, step, batch, part.len());
        let mut dice = Stream::new(seed, Purpose::View, step);
        let mut groups: BTreeMap<(usize, u32), Group> = BTreeMap::new();
        let total: f32 = seen.iter().filter_map(|&i| part.examples.get(i as usize)).map(|e| e.weight).sum();
        for i in seen {
            let Some(example) = part.examples.get(i as usize) else { continue };
            let features = part.features.view(i as usize, &mut |views| dice.below(views))?;
            if features.width != width || features.views == 0 {
                let (views, has) = (features.views, features.width);
                let what =
                    format!("{}: features of {views} views and width {has}, width {width} is needed", example.origin);
                return Err(TrainError::Invalid(what));
            }
            let new = || Group { tokens: features.tokens, features: Vec::new(), classes: Vec::new(), share: 0.0 };
            let group = groups.entry((features.tokens, example.weight.to_bits())).or_insert_with(new);
            group.features.extend_from_slice(&features.values);
            group.classes.push(example.class);
            group.share += example.weight / total;
        }
        Ok(Self { step, width, groups: groups.into_values().collect() })
    }
}
