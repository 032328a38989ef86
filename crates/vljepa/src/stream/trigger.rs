//! When to speak: where the meaning of a stream has changed and settled.

use std::collections::VecDeque;

/// How a [`Trigger`] decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TriggerOptions {
    /// States that the variance is taken over.
    pub window: usize,
    /// A change begins where the variance rises above this: the mean squared distance of unit states to their mean, 0 to 1.
    pub high: f64,
    /// It is over where the variance falls below this.
    pub low: f64,
    /// A settled state is told where it differs from what was told last by this much: 1 − cosine.
    pub novelty: f64,
    /// States after which a change that does not end is told all the same.
    pub patience: usize,
    /// Least time between two decodings, in seconds.
    pub gap: f64,
    /// Most decodings a second over the long run; `None`: no bound.
    pub budget: Option<f64>,
}

impl Default for TriggerOptions {
    fn default() -> Self {
        Self { window: 4, high: 0.12, low: 0.06, novelty: 0.15, patience: 8, gap: 0.0, budget: None }
    }
}

/// What a trigger makes of a state.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// The variance over the last states.
    pub variance: f64,
    /// How far the mean of the last states is from what was told last: 1 − cosine; 1 before anything was told.
    pub novelty: f64,
    /// Where it is time to speak: the state to decode, of unit length.
    pub speak: Option<Vec<f32>>,
}

/// Watches the states of a stream, one by one.
#[derive(Clone, Debug)]
pub struct Trigger {
    options: TriggerOptions,
    last: VecDeque<Vec<f32>>,
    told: Option<(f64, Vec<f32>)>,
    /// States since a change began.
    changing: Option<usize>,
    /// A change has ended that was not told yet.
    due: bool,
    /// Decodings that the budget allows now, and when that was counted.
    saved: (f64, Option<f64>),
    /// The last novelty.
    novelty: f64,
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    if norms > 0.0 { dot(a, b) / norms } else { 0.0 }
}

/// The mean of rows, of unit length.
pub fn unit_mean<'a>(rows: impl IntoIterator<Item = &'a [f32]>) -> Vec<f32> {
    let mut sum: Vec<f64> = Vec::new();
    for row in rows {
        sum.resize(row.len(), 0.0);
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    let norm = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
    sum.into_iter().map(|value| if norm > 0.0 { (value / norm) as f32 } else { 0.0 }).collect()
}

/// The mean squared distance of rows to their mean.
fn variance(rows: &VecDeque<Vec<f32>>) -> f64 {
    let (count, width) = (rows.len() as f64, rows.front().map_or(0, Vec::len));
    let of = |i: usize| {
        let values = || rows.iter().map(|row| f64::from(row[i]));
        let mean = values().sum::<f64>() / count;
        values().map(|value| (value - mean).powi(2)).sum::<f64>() / count
    };
    (0..width).map(of).sum()
}

impl Trigger {
    /// Nothing seen, nothing told.
    pub fn new(options: TriggerOptions) -> Self {
        let options = TriggerOptions { window: options.window.max(2), ..options };
        Self {
            options,
            last: VecDeque::new(),
            told: None,
            changing: None,
            due: false,
            saved: (1.0, None),
            novelty: 1.0,
        }
    }

    /// The next state, of unit length, and its time in seconds. Times that go back count as no time passed.
    pub fn push(&mut self, time: f64, state: &[f32]) -> Heard {
        let o = self.options;
        if self.last.front().is_some_and(|row| row.len() != state.len()) {
            self.last.clear();
        }
        self.last.push_back(state.to_vec());
        if self.last.len() > o.window {
            self.last.pop_front();
        }
        let variance = variance(&self.last);
        match self.changing {
            // What was still to be told has passed.
            None if variance > o.high => (self.changing, self.due) = (Some(0), false),
            Some(_) if variance < o.low => (self.changing, self.due) = (None, true),
            Some(states) if states >= o.patience => (self.changing, self.due) = (Some(0), true),
            Some(states) => self.changing = Some(states + 1),
            None => {}
        }
        // What has settled: the newer half.
        let settled = unit_mean(self.last.iter().skip(self.last.len() / 2).map(Vec::as_slice));
        let novelty = self.told.as_ref().map_or(1.0, |(_, told)| 1.0 - cosine(&settled, told));
        let full = self.last.len() >= o.window;
        let wanted = match &self.told {
            None => full && (self.changing.is_none() || self.due),
            Some(_) if self.due => novelty >= o.novelty,
            Some(_) => self.changing.is_none() && variance < o.low && novelty >= o.novelty,
        };
        if self.due && !wanted {
            self.due = false;
        }
        self.novelty = novelty;
        let speak = (wanted && self.may(time)).then(|| {
            let told = if time.is_finite() { time } else { self.told.as_ref().map_or(0.0, |(then, _)| *then) };
            (self.due, self.told) = (false, Some((told, settled.clone())));
            self.saved.0 -= 1.0;
            settled
        });
        Heard { variance, novelty, speak }
    }

    /// The stream has ended: the state to decode, where nothing was told yet, or a change was under way or still to be told.
    pub fn finish(&mut self) -> Option<Vec<f32>> {
        let last = std::mem::take(&mut self.last);
        let new = (self.due || self.changing.is_some()) && self.novelty >= self.options.novelty;
        let wanted = !last.is_empty() && (self.told.is_none() || new);
        wanted.then(|| unit_mean(last.iter().skip(last.len() / 2).map(Vec::as_slice)))
    }

    /// Whether gap and budget allow to speak now.
    fn may(&mut self, time: f64) -> bool {
        if let Some(rate) = self.options.budget {
            let passed = self.saved.1.map_or(0.0, |then| (time - then).max(0.0));
            // Ten that were saved may be spent at once.
            self.saved = ((self.saved.0 + rate * passed).min(10.0), Some(time));
            if self.saved.0 < 1.0 {
                return false;
            }
        }
        // A time that is none counts as no time passed.
        self.told.as_ref().is_none_or(|(then, _)| (time - then).max(0.0) >= self.options.gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(angle: f32) -> Vec<f32> {
        vec![angle.cos(), angle.sin(), 0.0]
    }

    fn told(trigger: &mut Trigger, angles: impl IntoIterator<Item = f32>) -> Vec<usize> {
        let times = (0..).map(f64::from);
        let spoken = times.zip(angles).map(|(time, angle)| trigger.push(time, &at(angle)).speak.is_some());
        spoken.enumerate().filter_map(|(i, spoken)| spoken.then_some(i)).collect()
    }

    fn steps(changes: &[(usize, f32)]) -> Vec<f32> {
        changes.iter().flat_map(|(count, angle)| std::iter::repeat_n(*angle, *count)).collect()
    }

    #[test]
    fn a_stream_that_stands_still_is_told_once() {
        assert_eq!(told(&mut Trigger::new(TriggerOptions::default()), steps(&[(60, 0.3)])), [3]);
    }

    #[test]
    fn a_change_is_told_when_it_has_settled() {
        let found = told(&mut Trigger::new(TriggerOptions::default()), steps(&[(10, 0.0), (10, 1.5), (10, 3.0)]));
        assert_eq!(found, [3, 13, 23]);
    }

    #[test]
    fn what_comes_back_to_what_was_told_is_not_told_again() {
        let found = told(&mut Trigger::new(TriggerOptions::default()), steps(&[(10, 0.0), (1, 1.5), (20, 0.0)]));
        assert_eq!(found, [3]);
    }

    #[test]
    fn a_slow_drift_is_told_though_no_two_states_differ_much() {
        let drift = (0..200).map(|i| i as f32 * 0.02);
        let found = told(&mut Trigger::new(TriggerOptions::default()), drift);
        assert!(found.len() >= 4, "{found:?}");
    }

    #[test]
    fn a_change_without_end_is_told_now_and_then() {
        let whirl = (0..60).map(|i| i as f32 * 1.1);
        let found = told(&mut Trigger::new(TriggerOptions { window: 4, ..TriggerOptions::default() }), whirl);
        assert!((2..=8).contains(&found.len()), "{found:?}");
        let after = steps(&[(6, 0.0)]).into_iter().chain((0..60).map(|i| 0.9 * i as f32));
        assert!(told(&mut Trigger::new(TriggerOptions::default()), after).len() >= 3);
    }

    #[test]
    fn gap_and_budget_bound_the_number_of_decodings() {
        let busy = || (0..40).flat_map(|i| std::iter::repeat_n(1.4 * i as f32, 6));
        let free = told(&mut Trigger::new(TriggerOptions::default()), busy()).len();
        assert!(free > 30, "{free}");
        let gap = told(&mut Trigger::new(TriggerOptions { gap: 20.0, ..TriggerOptions::default() }), busy());
        assert!(gap.windows(2).all(|pair| pair[1] - pair[0] >= 20) && gap.len() > 6, "{gap:?}");
        let options = TriggerOptions { budget: Some(0.05), ..TriggerOptions::default() };
        let budget = told(&mut Trigger::new(options), busy()).len();
        assert!((8..=13).contains(&budget), "{budget}");
    }

    #[test]
    fn a_short_stream_is_told_at_its_end() {
        let mut trigger = Trigger::new(TriggerOptions::default());
        assert!(told(&mut trigger, [0.1, 0.2]).is_empty());
        let state = trigger.finish().unwrap();
        assert!((1.0 - cosine(&state, &at(0.2))).abs() < 1e-6);
        assert_eq!(trigger.finish(), None);
        let mut long = Trigger::new(TriggerOptions::default());
        told(&mut long, steps(&[(9, 0.1)]));
        assert_eq!(long.finish(), None);
        // A change that has not settled.
        let mut late = Trigger::new(TriggerOptions::default());
        assert_eq!(told(&mut late, steps(&[(9, 0.1), (2, 1.6)])), [3]);
        let state = late.finish().unwrap();
        assert!((1.0 - cosine(&state, &at(1.6))).abs() < 1e-6);
    }

    #[test]
    fn a_small_step_is_told_too() {
        // 1 − cosine of 0.6 is 0.17: above what is told, and its variance never rises to that of a change.
        let found = told(&mut Trigger::new(TriggerOptions::default()), steps(&[(10, 0.0), (10, 0.6), (10, 0.9)]));
        assert_eq!(found, [3, 13]);
    }

    #[test]
    fn times_that_go_back_and_states_of_another_width_are_taken() {
        let mut trigger = Trigger::new(TriggerOptions { budget: Some(1.0), ..TriggerOptions::default() });
        for time in [5.0, 4.0, 3.0, f64::NAN, 2.0, 9.0] {
            assert!(trigger.push(time, &at(1.0)).variance.abs() < 1e-12);
        }
        // It goes on speaking.
        let later = (0..6).filter(|i| trigger.push(1.0 + f64::from(*i), &at(2.5)).speak.is_some()).count();
        assert_eq!(later, 1);
        assert_eq!(trigger.push(10.0, &[1.0, 0.0]).variance, 0.0);
    }
}
