//! What stands in for frames that cannot be decoded, where that is wanted: the last whole one before them, else the first after.
//!
//! A frame that cannot be decoded takes with it those that are decoded after it, up to the next sync sample: they may refer to
//! it. So what is shown depends on the file alone, and not on the order in which frames are asked for.

use std::collections::BTreeSet;
use std::ops::Range;

use super::options::Damaged;
use super::yuv::YuvFrame;
use crate::DataError;

#[derive(Default)]
pub(super) struct Concealment {
    wanted: bool,
    /// Samples that are known to be lost.
    lost: Vec<Range<u32>>,
    /// The last frame that stood in for another, and its place among those shown.
    stand_in: Option<(usize, YuvFrame)>,
    /// Places of the frames that another stands in for.
    concealed: BTreeSet<usize>,
    /// What was wrong with the first of them.
    reason: String,
}

impl Concealment {
    pub fn new(damaged: Damaged) -> Self {
        Self { wanted: damaged == Damaged::Conceal, ..Self::default() }
    }

    /// Takes an error in; gives it back where it is not of the kind that is concealed.
    pub fn takes(&mut self, error: DataError) -> Result<(), DataError> {
        match error {
            DataError::Corrupt { reason, .. } if self.wanted => {
                if self.reason.is_empty() {
                    self.reason = reason;
                }
                Ok(())
            }
            error => Err(error),
        }
    }

    pub fn lose(&mut self, samples: Range<u32>) {
        self.lost.push(samples);
    }

    pub fn is_lost(&self, sample: u32) -> bool {
        self.lost.iter().any(|range| range.contains(&sample))
    }

    /// What was wrong first.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    pub fn stand_in(&self, place: usize) -> Option<YuvFrame> {
        self.stand_in.as_ref().filter(|(held, _)| *held == place).map(|(_, frame)| frame.clone())
    }

    pub fn keep(&mut self, place: usize, frame: &YuvFrame) {
        self.stand_in = Some((place, frame.clone()));
    }

    pub fn conceal(&mut self, place: usize) {
        self.concealed.insert(place);
    }

    pub fn note(&self, total: usize) -> Option<String> {
        let count = self.concealed.len();
        (count > 0).then(|| {
            format!("damaged: another frame stands in for {count} of {total} frames ({reason})", reason = self.reason)
        })
    }
}
