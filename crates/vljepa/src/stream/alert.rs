//! Texts that are waited for: scored against the silent state, without decoding.

use serde::Serialize;

/// States that a history needs before it tells what is usual.
const LEAST: usize = 12;
/// Share of a new score in the running mean and deviation.
const PACE: f64 = 0.02;
/// The same while the alert is on: what is unusual becomes usual only where it lasts.
const PACE_ON: f64 = 0.004;
/// Smallest deviation of cosines that is believed.
const LEAST_DEVIATION: f64 = 0.01;

/// Where an alert begins and where it ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Thresholds {
    /// At these cosines.
    Cosine {
        /// It begins above this.
        on: f64,
        /// It ends below this.
        off: f64,
    },
    /// At so many standard deviations above what the stream has shown so far.
    Deviations {
        /// It begins above this.
        on: f64,
        /// It ends below this.
        off: f64,
    },
}

impl Default for Thresholds {
    fn default() -> Self {
        Self::Deviations { on: 3.0, off: 1.5 }
    }
}

impl Thresholds {
    /// From the cosines of examples that should raise the alert and of others that should not: it begins where the share of the first above,
    /// less that of the others above, is greatest, and ends a quarter of the way down to the mean of the others. `None` without examples
    /// of both.
    pub fn between(examples: &[f64], others: &[f64]) -> Option<Self> {
        if examples.is_empty() || others.is_empty() {
            return None;
        }
        let mut all: Vec<f64> = examples.iter().chain(others).copied().collect();
        all.sort_by(f64::total_cmp);
        let share = |values: &[f64], above: f64| {
            values.iter().filter(|value| **value > above).count() as f64 / values.len() as f64
        };
        let middle = |pair: &[f64]| (pair[0] + pair[1]) / 2.0;
        let right = |at: &f64| share(examples, *at) - share(others, *at);
        let on = all.windows(2).map(middle).max_by(|a, b| right(a).total_cmp(&right(b)))?;
        let mean = others.iter().sum::<f64>() / others.len() as f64;
        Some(Self::Cosine { on, off: on - 0.25 * (on - mean).max(0.0) })
    }
}

/// A time during which an alert was on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// The text.
    pub text: String,
    /// When it began, in seconds.
    pub start_s: f64,
    /// When it ended.
    pub end_s: f64,
    /// When the score was highest.
    pub peak_s: f64,
    /// The highest cosine.
    pub score: f64,
}

/// What an alert says of a state.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// The cosine of state and text.
    pub score: f64,
    /// Whether the alert is on.
    pub on: bool,
    /// Whether this is the state with the highest score so far of the event that is on.
    pub is_peak: bool,
    /// The event that has ended with this state.
    pub ended: Option<Event>,
}

/// A text that is waited for.
#[derive(Clone, Debug)]
pub struct Alert {
    text: String,
    row: Vec<f32>,
    thresholds: Thresholds,
    mean: f64,
    variance: f64,
    seen: usize,
    open: Option<Event>,
}

impl Alert {
    /// Waits for `text`, whose embedding is `row`, of unit length.
    pub fn new(text: String, row: Vec<f32>, thresholds: Thresholds) -> Self {
        Self { text, row, thresholds, mean: 0.0, variance: 0.0, seen: 0, open: None }
    }

    /// What is waited for.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Scores the state, of unit length, of a window `[start, end]` in seconds. Of a state that is not new nothing is learned.
    pub fn push(&mut self, [start, end]: [f64; 2], state: &[f32], is_new: bool) -> Scored {
        let score: f64 = state.iter().zip(&self.row).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        let was_on = self.open.is_some();
        let [on, off] = match self.thresholds {
            Thresholds::Cosine { on, off } => [Some(on), Some(off)],
            Thresholds::Deviations { on, off } => {
                let deviation = self.variance.sqrt().max(LEAST_DEVIATION);
                [on, off].map(|by| (self.seen >= LEAST).then_some(self.mean + by * deviation))
            }
        };
        let is_on = if was_on { off.is_some_and(|off| score >= off) } else { on.is_some_and(|on| score > on) };
        if is_new {
            self.learn(score, if is_on { PACE_ON } else { PACE });
        }
        let mut ended = None;
        let mut is_peak = false;
        match (&mut self.open, is_on) {
            (None, true) => {
                is_peak = true;
                self.open = Some(Event {
                    text: self.text.clone(),
                    start_s: start,
                    end_s: end,
                    peak_s: (start + end) / 2.0,
                    score,
                });
            }
            (Some(event), true) => {
                event.end_s = end;
                if score > event.score {
                    is_peak = true;
                    (event.score, event.peak_s) = (score, (start + end) / 2.0);
                }
            }
            (Some(_), false) => ended = self.open.take(),
            (None, false) => {}
        }
        Scored { score, on: is_on, is_peak, ended }
    }

    /// The stream has ended: the event that is on, if one is.
    pub fn finish(&mut self) -> Option<Event> {
        self.open.take()
    }

    fn learn(&mut self, score: f64, pace: f64) {
        self.seen += 1;
        let share = pace.max(1.0 / self.seen as f64);
        let apart = score - self.mean;
        self.mean += share * apart;
        self.variance = (1.0 - share) * (self.variance + share * apart * apart);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(cosine: f64) -> Vec<f32> {
        vec![cosine as f32, (1.0 - cosine * cosine).sqrt() as f32]
    }

    fn events(thresholds: Thresholds, cosines: &[f64]) -> Vec<Event> {
        let mut alert = Alert::new("a dog".into(), vec![1.0, 0.0], thresholds);
        let mut found = Vec::new();
        for (i, cosine) in cosines.iter().enumerate() {
            found.extend(alert.push([i as f64, i as f64 + 2.0], &state(*cosine), true).ended);
        }
        found.extend(alert.finish());
        found
    }

    #[test]
    fn an_event_has_one_beginning_one_peak_and_one_end() {
        let found = events(Thresholds::Cosine { on: 0.5, off: 0.3 }, &[0.1, 0.55, 0.4, 0.8, 0.45, 0.2, 0.1, 0.6]);
        let first = Event { text: "a dog".into(), start_s: 1.0, end_s: 6.0, peak_s: 4.0, score: 0.8 };
        assert_eq!(found.len(), 2);
        assert!((found[0].score - first.score).abs() < 1e-6);
        assert_eq!(Event { score: 0.8, ..found[0].clone() }, first);
        assert_eq!((found[1].start_s, found[1].end_s), (7.0, 9.0));
    }

    #[test]
    fn what_is_usual_is_learned_from_the_stream() {
        let mut cosines: Vec<f64> = (0..40).map(|i| 0.2 + 0.02 * f64::from(i % 3)).collect();
        cosines.extend([0.5, 0.55, 0.5, 0.21, 0.22]);
        let found = events(Thresholds::default(), &cosines);
        assert_eq!(found.iter().map(|event| (event.start_s, event.end_s)).collect::<Vec<_>>(), [(40.0, 44.0)]);
        // What lasts becomes usual: of a lasting change the alert ends.
        cosines.truncate(40);
        cosines.extend([0.5; 400]);
        let lasting = events(Thresholds::default(), &cosines);
        assert!(lasting.len() == 1 && lasting[0].end_s < 400.0, "{lasting:?}");
        // A first state is never unusual.
        assert_eq!(events(Thresholds::default(), &[0.9, 0.9, 0.1]), []);
    }

    #[test]
    fn thresholds_lie_between_examples_and_others() {
        let found = Thresholds::between(&[0.6, 0.7, 0.5], &[0.1, 0.2, 0.3]);
        assert_eq!(found, Some(Thresholds::Cosine { on: 0.4, off: 0.4 - 0.25 * 0.2 }));
        assert_eq!(Thresholds::between(&[], &[0.1]), None);
    }
}
