//! The silent state of a stream: frames in, windows to encode out; embeddings in, what they mean out.

use vljepa_data::Preprocess;
use vljepa_data::video::Frame;

use super::alert::{Alert, Event, Scored};
use super::gate::{Gate, GateOptions, Need};
use super::trigger::{Trigger, TriggerOptions};
use super::window::{MAX_TICKS, Sliding, Window, Windows};
use crate::error::{Error, Result};

/// How a stream is watched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StreamOptions {
    /// Its windows.
    pub windows: Windows,
    /// Which of them need no encoder.
    pub gate: GateOptions,
    /// When to speak.
    pub trigger: TriggerOptions,
}

impl StreamOptions {
    /// The usual gate and trigger.
    ///
    /// # Errors
    /// Windows without frames, and times that are not positive numbers.
    pub fn new(windows: Windows) -> Result<Self> {
        let Windows { frames, seconds, hz } = windows;
        if frames == 0 {
            return Err(Error::argument("window", "a window of no frames"));
        }
        for (name, value, most) in [("window", seconds, 3600.0), ("hz", hz, 1000.0)] {
            if !(value.is_finite() && value > 0.0 && value <= most) {
                return Err(Error::argument(name, format!("{value} is not above 0 and at most {most}")));
            }
        }
        let most = MAX_TICKS / windows.step();
        if hz > most {
            let reason = format!("{hz} windows of {frames} frames in {seconds} s a second: at most {most} are made");
            return Err(Error::argument("hz", reason));
        }
        Ok(Self { windows, gate: GateOptions::default(), trigger: TriggerOptions::default() })
    }
}

/// A window whose turn it is, with what the gate says of it.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The window.
    pub window: Window,
    /// Whether it is to be encoded.
    pub need: Need,
    /// How much it has changed since the last window that was encoded, 0 to 1.
    pub change: f32,
}

/// What a window has brought.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// When it begins, in seconds of the source.
    pub start: f64,
    /// When it ends.
    pub end: f64,
    /// How much it has changed in pixels since the last window that was encoded.
    pub change: f32,
    /// Whether its embedding is the state; else the state is that of the last window for which this is so.
    pub encoded: bool,
    /// How far the state is from what was told last: 1 − cosine.
    pub novelty: f64,
    /// The variance of the last states.
    pub variance: f64,
    /// The state to decode, where it is time to speak.
    pub speak: Option<Vec<f32>>,
    /// One for each alert, in their order.
    pub alerts: Vec<Scored>,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Windows that came.
    pub windows: u64,
    /// Windows that were encoded.
    pub encoded: u64,
    /// Windows that were skipped, and encoded all the same to measure what that costs.
    pub audited: u64,
    /// Mean cosine of the kept state and that of an audited window; without audits `None`.
    pub fidelity: Option<f64>,
    /// The least of these cosines.
    pub worst: Option<f64>,
    /// States that were to be decoded.
    pub spoken: u64,
}

/// One stream. It owns no thread, no device and no clock: a caller reads frames, encodes the windows that need it, of one stream or of
/// many in one batch, and gives back their embeddings in order.
#[derive(Clone, Debug)]
pub struct Stream {
    sliding: Sliding,
    gate: Gate,
    trigger: Trigger,
    alerts: Vec<Alert>,
    state: Option<Vec<f32>>,
    summary: Summary,
    agreed: f64,
    last: Option<Update>,
}

impl Stream {
    /// Nothing seen. `to` prepares frames for the model.
    pub fn new(options: StreamOptions, to: Preprocess, alerts: Vec<Alert>) -> Self {
        Self {
            sliding: Sliding::new(options.windows, to),
            gate: Gate::new(options.gate),
            trigger: Trigger::new(options.trigger),
            alerts,
            state: None,
            summary: Summary::default(),
            agreed: 0.0,
            last: None,
        }
    }

    /// The next frame, in the order of time; gives the windows that are complete with it.
    ///
    /// # Errors
    /// A frame that cannot be scaled.
    pub fn push(&mut self, frame: &Frame) -> Result<Vec<Pending>> {
        let windows = self.sliding.push(frame)?;
        let of = |window: Window| {
            let (need, change) = self.gate.push(window.look.clone());
            Pending { window, need, change }
        };
        Ok(windows.into_iter().map(of).collect())
    }

    /// Takes the embedding of a window, of unit length, where [`Pending::need`] asked for one. Windows are given back in the order in which
    /// they came.
    ///
    /// # Errors
    /// A window that is to be encoded without an embedding.
    pub fn update(&mut self, pending: &Pending, embedding: Option<Vec<f32>>) -> Result<Update> {
        let Window { start, end, .. } = pending.window;
        self.summary.windows += 1;
        match (pending.need, embedding) {
            (Need::Encode, Some(embedding)) => {
                self.summary.encoded += 1;
                self.state = Some(embedding);
            }
            // The state stays, so that what is measured is how far it drifts until the next window is encoded.
            (Need::Audit, Some(embedding)) => {
                let dot = |(a, b): (&f32, &f32)| f64::from(*a) * f64::from(*b);
                let cosine: f64 = self.state.iter().flatten().zip(&embedding).map(dot).sum();
                self.summary.audited += 1;
                self.agreed += cosine;
                self.summary.fidelity = Some(self.agreed / self.summary.audited as f64);
                self.summary.worst = Some(self.summary.worst.map_or(cosine, |worst| worst.min(cosine)));
            }
            (Need::Skip, _) if self.state.is_some() => {}
            _ => {
                let reason = format!("the window from {start:.2} s on is to be encoded, and has no embedding");
                return Err(Error::argument("embedding", reason));
            }
        }
        let state = self.state.as_deref().unwrap_or_default();
        let heard = self.trigger.push(end, state);
        let encoded = pending.need == Need::Encode;
        let alerts = self.alerts.iter_mut().map(|alert| alert.push([start, end], state, encoded)).collect();
        self.summary.spoken += u64::from(heard.speak.is_some());
        let update = Update {
            start,
            end,
            change: pending.change,
            encoded,
            novelty: heard.novelty,
            variance: heard.variance,
            speak: heard.speak,
            alerts,
        };
        // What has ended is told once.
        let alerts =
            update.alerts.iter().map(|alert| Scored { ended: None, is_peak: false, ..alert.clone() }).collect();
        self.last = Some(Update { speak: None, alerts, ..update.clone() });
        Ok(update)
    }

    /// The embedding of what goes on now; `None` before the first window.
    pub fn state(&self) -> Option<&[f32]> {
        self.state.as_deref()
    }

    /// What has happened so far.
    pub fn summary(&self) -> Summary {
        self.summary
    }

    /// Frames that were given, and of them those that were left out because their times are none or go back.
    pub fn frames(&self) -> [u64; 2] {
        self.sliding.counts()
    }

    /// The stream has ended: its last window once more where that is still to be told, and the events that were on.
    pub fn finish(&mut self) -> (Option<Update>, Vec<Event>) {
        let speak = self.trigger.finish();
        let last = self.last.take().filter(|_| speak.is_some());
        self.summary.spoken += u64::from(last.is_some());
        let last = last.map(|last| Update { speak, ..last });
        (last, self.alerts.iter_mut().filter_map(Alert::finish).collect())
    }
}
