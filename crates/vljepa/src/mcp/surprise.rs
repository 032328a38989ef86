//! `surprise`: where a video stops being predictable, some windows a call.

use super::calls::{MOST_FORETOLD, Surprise};
use super::clips::{Opened, seek};
use super::error::Result;
use super::session::Session;
use super::task::Task;
use super::told::{Foretold, Surprises, score, seconds};
use crate::error::Error;
use crate::stream::{Moment, StreamOptions, Windows, peaks, surprise_while};

impl Session {
    /// Foretells the second half of each window from the first, which alone the encoder sees for that.
    ///
    /// # Errors
    /// A session without a model that foretells, a path that may not be read, what cannot be read, a part shorter than a window, and errors of the
    /// device.
    pub fn surprise(&mut self, call: &Surprise, task: &Task) -> Result<Surprises> {
        let path = self.input(&call.input)?;
        let model = self.foresight(task)?;
        let least = model.least_frames();
        if !call.frames.is_multiple_of(least) {
            let reason = format!("{} frames; the model takes a multiple of {least}", call.frames);
            return Err(Error::argument("frames", reason).into());
        }
        let mut reader = Opened::video(&path)?;
        let length = call.frames as f64 / call.rate;
        let windows = Windows { frames: call.frames, seconds: length, hz: 2.0 / length };
        StreamOptions::new(windows)?;
        let begun = call.resume_s.unwrap_or(0.0);
        seek(&mut reader, begun)?;
        // Each window begins in the middle of the one before.
        let span = call.max_s.min((MOST_FORETOLD + 1) as f64 * length / 2.0).max(length);
        let all = reader.facts().duration.map_or(span, |duration| (duration - begun).min(span)).max(1e-3);
        task.span(0.1, 1.0);
        let (mut first, mut is_more) = (None, false);
        let goes_on = &mut |time: f64| {
            let first = *first.get_or_insert(time);
            task.report((time - first) / all, "foretelling");
            // A frame before the end may still be needed to fill the last window.
            is_more = time > first + span + 1e-6;
            !is_more && !task.is_stopped()
        };
        let found = surprise_while(&model, &mut reader, windows, goes_on);
        task.check()?;
        let mut found = found?;
        found.truncate(MOST_FORETOLD);
        let resume = found.last().filter(|_| is_more).map(|last| last.start_s + length / 2.0);
        let top = peaks(&found, call.top).iter().map(foretold).collect();
        Ok(Surprises {
            input: path.display().to_string(),
            windows: found.iter().map(foretold).collect(),
            peaks: top,
            resume_s: resume.map(seconds),
            notes: reader.notes(),
        })
    }
}

fn foretold(moment: &Moment) -> Foretold {
    Foretold {
        start_s: seconds(moment.start_s),
        cut_s: seconds(moment.cut_s),
        end_s: seconds(moment.end_s),
        score: score(moment.score),
        z: score(moment.z),
    }
}
