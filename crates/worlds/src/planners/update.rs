//! How candidates and their costs change the distribution that the next are drawn from.

/// Mean and standard deviation of each number of a plan.
#[derive(Clone, Debug)]
pub(super) struct Distribution {
    pub mean: Vec<f32>,
    pub std: Vec<f32>,
}

/// The numbers of the best candidates, the best first. Costs that are not finite are no candidates; of equal costs the earlier one
/// is the better.
pub(super) fn best(costs: &[f32], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..costs.len()).filter(|i| costs[*i].is_finite()).collect();
    order.sort_by(|a, b| costs[*a].total_cmp(&costs[*b]).then(a.cmp(b)));
    order.truncate(count);
    order
}

impl Distribution {
    /// Takes mean and unbiased standard deviation of the elites, of which `momentum` stays of the old. One elite has no deviation:
    /// the old one stays.
    pub fn fit(&mut self, candidates: &[f32], elites: &[usize], momentum: f32) {
        let (numbers, count) = (self.mean.len(), elites.len() as f64);
        let mix = |old: f32, new: f64| (f64::from(momentum) * f64::from(old) + f64::from(1.0 - momentum) * new) as f32;
        for at in 0..numbers {
            let value = |i: &usize| f64::from(candidates[i * numbers + at]);
            let mean = elites.iter().map(value).sum::<f64>() / count;
            if elites.len() > 1 {
                let squares = elites.iter().map(|i| (value(i) - mean).powi(2)).sum::<f64>();
                self.std[at] = mix(self.std[at], (squares / (count - 1.0)).sqrt());
            }
            self.mean[at] = mix(self.mean[at], mean);
        }
    }

    /// Takes the mean of the elites weighted by exp(−cost / temperature).
    pub fn weigh(&mut self, candidates: &[f32], costs: &[f32], elites: &[usize], temperature: f32) {
        let numbers = self.mean.len();
        let Some(first) = elites.first() else { return };
        let weight = |i: &usize| (-f64::from(costs[*i] - costs[*first]) / f64::from(temperature)).exp();
        let weights: Vec<f64> = elites.iter().map(weight).collect();
        let total: f64 = weights.iter().sum();
        for (at, mean) in self.mean.iter_mut().enumerate() {
            let sum: f64 = elites.iter().zip(&weights).map(|(i, w)| w * f64::from(candidates[i * numbers + at])).sum();
            *mean = (sum / total) as f32;
        }
    }
}
