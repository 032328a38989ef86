//! Windows of frames that a model is trained on.

use super::set::Trajectories;
use crate::error::{Result, WorldError};

/// Where a window begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window {
    /// The episode.
    pub episode: u32,
    /// The row of its first frame.
    pub step: u32,
}

impl Trajectories {
    /// Every window of `frames` frames that are `frameskip` rows apart, with the actions between them: of an episode of T steps those
    /// that begin at rows 0 to T − (frames − 1) · frameskip.
    ///
    /// # Errors
    /// No frames, a frameskip of 0, more episodes or steps than 32 bits count.
    pub fn windows(&self, frames: usize, frameskip: usize) -> Result<Vec<Window>> {
        let fail = |what: String| Err(WorldError::Trajectories(what));
        if frames == 0 || frameskip == 0 {
            return fail(format!("windows of {frames} frames, {frameskip} rows apart; both are at least 1"));
        }
        let Some(span) = (frames - 1).checked_mul(frameskip) else {
            return fail(format!("windows of {frames} frames, {frameskip} rows apart, are too long"));
        };
        let mut windows = Vec::new();
        for episode in 0..self.episodes.len() {
            let rows = (self.steps(episode) + 1).saturating_sub(span);
            let (Ok(number), Ok(rows)) = (u32::try_from(episode), u32::try_from(rows)) else {
                return fail(format!("episode {episode} is out of what 32 bits count"));
            };
            windows.extend((0..rows).map(|step| Window { episode: number, step }));
        }
        Ok(windows)
    }

    /// State of a window's frame `number`, `frameskip` rows apart; `None` where there is none.
    pub fn frame(&self, window: Window, number: usize, frameskip: usize) -> Option<&[f64]> {
        self.state(window.episode as usize, window.step as usize + number * frameskip)
    }

    /// The actions that lead from frame `number` to the next: (frameskip, action_size), one block; `None` where the episode ends before.
    pub fn block(&self, window: Window, number: usize, frameskip: usize) -> Option<&[f32]> {
        self.actions(window.episode as usize, window.step as usize + number * frameskip, frameskip)
    }
}
