//! Intervals of figures by drawing what they are over anew, with replacement (the bootstrap's percentiles).

use rayon::prelude::*;
use serde::Serialize;

use crate::random::{Purpose, Stream};

/// A figure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Measured {
    /// Its value: a fraction in 0..=1, or a rank from 1.
    pub value: f64,
    /// Where 95 % of the values over resampled rows lie; null without resamples.
    pub interval: Option<[f64; 2]>,
    /// The value of a random order.
    pub chance: f64,
    /// The value of always giving what is right most often in this part of the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub majority: Option<f64>,
}

/// A figure over a list.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sampled<'a> {
    /// The mean of values.
    Mean(&'a [f64]),
    /// Their median.
    Median(&'a [f64]),
}

impl Sampled<'_> {
    fn values(&self) -> &[f64] {
        match self {
            Self::Mean(values) | Self::Median(values) => values,
        }
    }

    /// The figure of the values at `drawn`; `held` is room for them.
    fn over(&self, drawn: impl Iterator<Item = usize>, held: &mut Vec<f64>) -> f64 {
        let values = self.values();
        held.clear();
        held.extend(drawn.filter_map(|i| values.get(i)));
        match self {
            Self::Mean(_) => held.iter().sum::<f64>() / held.len().max(1) as f64,
            Self::Median(_) => median(held),
        }
    }
}

/// The middle value, or the mean of the two in the middle; 0 of none. Orders the values anew.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    if values.is_empty() {
        return 0.0;
    }
    let even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    match below.iter().copied().max_by(f64::total_cmp) {
        Some(lower) if even => f64::midpoint(lower, upper),
        _ => upper,
    }
}

/// The figures of lists of one length, with the interval that holds 95 % of them over `resamples` draws; each draw is the same for
/// all lists, and a function of `seed`.
pub(crate) fn intervals(lists: &[Sampled<'_>], resamples: usize, seed: u64) -> Vec<Measured> {
    let count = lists.iter().map(|list| list.values().len()).min().unwrap_or_default();
    let of_draw = |held: &mut Vec<f64>, draw: usize| -> Vec<f64> {
        let mut dice = Stream::new(seed, Purpose::Resample, draw as u64);
        let drawn: Vec<usize> = (0..count).map(|_| dice.below(count)).collect();
        lists.iter().map(|list| list.over(drawn.iter().copied(), held)).collect()
    };
    let draws: Vec<Vec<f64>> = (0..resamples).into_par_iter().map_init(Vec::new, of_draw).collect();
    let mut held = Vec::with_capacity(count);
    let measured = |(place, list): (usize, &Sampled<'_>)| {
        let mut figures: Vec<f64> = draws.iter().filter_map(|draw| draw.get(place).copied()).collect();
        figures.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = share * figures.len().saturating_sub(1) as f64;
            let (low, high) = (figures.get(place.floor() as usize)?, figures.get(place.ceil() as usize)?);
            Some(low + (high - low) * place.fract())
        };
        let interval = at(0.025).zip(at(0.975)).map(|(low, high)| [low, high]);
        Measured { value: list.over(0..count, &mut held), interval, ..Measured::default() }
    };
    lists.iter().enumerate().map(measured).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!((median(&mut []), median(&mut [7.0])), (0.0, 7.0));
    }

    #[test]
    fn intervals_are_those_of_a_binomial() {
        // 100 rows, 30 of them right: the standard error is sqrt(0.3 * 0.7 / 100) = 0.0458, 95 % lie within 1.96 of it.
        let values: Vec<f64> = (0..100).map(|i| f64::from(u8::from(i < 30))).collect();
        let [found] = intervals(&[Sampled::Mean(&values)], 2000, 1)[..] else { panic!() };
        let [low, high] = found.interval.unwrap();
        assert!((found.value - 0.3).abs() < 1e-12);
        assert!((low - 0.21).abs() < 0.02 && (high - 0.39).abs() < 0.02, "{low} {high}");
        assert_eq!(intervals(&[Sampled::Mean(&values)], 2000, 1), [found]);
        assert_ne!(intervals(&[Sampled::Mean(&values)], 2000, 2)[0].interval, found.interval);
        assert_eq!(intervals(&[Sampled::Median(&values)], 0, 1)[0].interval, None);
    }
}
