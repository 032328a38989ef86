//! Learning-rate schedules: a factor in 0..=1 for every step.

use serde::{Deserialize, Serialize};

/// Shape of the factor after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Shape {
    /// 1 until the end.
    Constant,
    /// Half a cosine from 1 to `end`.
    #[default]
    Cosine,
    /// 1, then a straight line to `end` over the last `decay` of the run (warm-up, stable, decay).
    Wsd,
}

/// `[schedule]` of a training configuration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// Shape after the warm-up.
    pub kind: Shape,
    /// Linear warm-up: a fraction of the run.
    pub warmup: f64,
    /// Fraction of the run in which [`Shape::Wsd`] decays.
    pub decay: f64,
    /// Factor at the end of the run.
    pub end: f64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { kind: Shape::Cosine, warmup: 0.04, decay: 0.2, end: 0.0 }
    }
}

impl Schedule {
    /// Factor of the learning rates at step `step` (from 0) of `steps`.
    ///
    /// With progress p = step / steps: min(1, (step + 1) / (warmup · steps)) times the shape's value at p.
    pub fn factor(&self, step: u64, steps: u64) -> f64 {
        let total = steps.max(1) as f64;
        let progress = step as f64 / total;
        let warm = if self.warmup > 0.0 { ((step + 1) as f64 / (self.warmup * total)).min(1.0) } else { 1.0 };
        let shape = match self.kind {
            Shape::Constant => 1.0,
            Shape::Cosine => {
                let after = ((progress - self.warmup) / (1.0 - self.warmup).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
                self.end + (1.0 - self.end) * (0.5 + 0.5 * (std::f64::consts::PI * after).cos())
            }
            Shape::Wsd => {
                let into = if self.decay > 0.0 { (progress - (1.0 - self.decay)) / self.decay } else { 0.0 };
                1.0 - (1.0 - self.end) * into.clamp(0.0, 1.0)
            }
        };
        warm * shape
    }
}

/// Seconds for people: `42 s`, `3:07 min`, `1:30 h`.
pub(crate) fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0) as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{}:{:02} min", s / 60, s % 60),
        _ => format!("{}:{:02} h", s / 3600, s / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    }

    #[test]
    fn cosine_warms_up_and_ends_at_its_end() {
        let s = Schedule { kind: Shape::Cosine, warmup: 0.1, decay: 0.0, end: 0.1 };
        near(s.factor(0, 100), 0.1);
        near(s.factor(4, 100), 0.5);
        near(s.factor(9, 100), 1.0);
        near(s.factor(10, 100), 1.0);
        near(s.factor(55, 100), 0.55);
        near(s.factor(100, 100), 0.1);
        // One third of the way: cos(60°) = 1/2.
        near(s.factor(40, 100), 0.1 + 0.9 * 0.75);
    }

    #[test]
    fn the_shapes_differ_only_after_their_corner() {
        let wsd = Schedule { kind: Shape::Wsd, warmup: 0.0, decay: 0.25, end: 0.0 };
        near(wsd.factor(0, 80), 1.0);
        near(wsd.factor(60, 80), 1.0);
        near(wsd.factor(70, 80), 0.5);
        near(wsd.factor(80, 80), 0.0);
        let flat = Schedule { kind: Shape::Constant, warmup: 0.5, ..wsd };
        near(flat.factor(19, 80), 0.5);
        near(flat.factor(79, 80), 1.0);
    }

    #[test]
    fn no_length_divides_by_zero() {
        for shape in [Shape::Constant, Shape::Cosine, Shape::Wsd] {
            let s = Schedule { kind: shape, warmup: 1.0, decay: 0.0, end: 0.0 };
            for (step, steps) in [(0, 0), (0, 1), (1, 1), (7, 3)] {
                assert!(s.factor(step, steps).is_finite(), "{shape:?} {step}/{steps}");
            }
        }
    }
}
