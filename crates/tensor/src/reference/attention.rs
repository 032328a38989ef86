//! Scaled dot-product attention and its analytic gradient.

use super::dropout::{Dropout, drop_factor};

/// Sizes and visibility of [`attention`], the meaning as in [`crate::ops::Attention`].
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct AttentionSpec<'a> {
    pub batch: usize,
    pub nq: usize,
    pub nk: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub scale: f64,
    pub causal: bool,
    pub key_mask: Option<&'a [u32]>,
    pub window: Option<usize>,
    pub dropout: Option<Dropout>,
}

impl AttentionSpec<'_> {
    fn visible(&self, b: usize, i: usize, j: usize) -> bool {
        let (at, j_at) = (i as i64 + self.nk as i64 - self.nq as i64, j as i64);
        (!self.causal || j_at <= at)
            && self.window.is_none_or(|w| (at - j_at).abs() < w as i64)
            && self.key_mask.is_none_or(|m| m[b * self.nk + j] != 0)
    }

    fn q_at(&self, b: usize, i: usize, h: usize) -> usize {
        ((b * self.nq + i) * self.heads + h) * self.head_dim
    }

    fn kv_at(&self, b: usize, j: usize, h: usize) -> usize {
        ((b * self.nk + j) * self.kv_heads + h / (self.heads / self.kv_heads)) * self.head_dim
    }

    /// What the dropout multiplies a probability by.
    fn kept(&self, (b, h, i): (usize, usize, usize), j: usize) -> f64 {
        let place = ((b * self.heads + h) * self.nq + i) * self.nk + j;
        self.dropout.map_or(1.0, |dropout| drop_factor(place as u32, &dropout))
    }

    /// Visible keys of a query with their scores.
    fn scores(&self, q: &[f64], k: &[f64], (b, h, i): (usize, usize, usize)) -> Vec<(usize, f64)> {
        let q = &q[self.q_at(b, i, h)..][..self.head_dim];
        (0..self.nk)
            .filter(|&j| self.visible(b, i, j))
            .map(|j| (j, self.scale * dot(q, &k[self.kv_at(b, j, h)..][..self.head_dim])))
            .collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Result `[batch, nq, heads, head_dim]` and log-sum-exp `[batch, heads, nq]`, both zero where a query sees no key.
pub fn attention(q: &[f64], k: &[f64], v: &[f64], spec: &AttentionSpec<'_>) -> (Vec<f64>, Vec<f64>) {
    let mut o = vec![0.0; q.len()];
    let mut lse = vec![0.0; spec.batch * spec.heads * spec.nq];
    for b in 0..spec.batch {
        for h in 0..spec.heads {
            for i in 0..spec.nq {
                let scores = spec.scores(q, k, (b, h, i));
                let Some(top) = scores.iter().map(|s| s.1).reduce(f64::max) else { continue };
                let sum: f64 = scores.iter().map(|s| (s.1 - top).exp()).sum();
                lse[(b * spec.heads + h) * spec.nq + i] = top + sum.ln();
                let at = spec.q_at(b, i, h);
                for (j, s) in scores {
                    let p = spec.kept((b, h, i), j) * (s - top).exp() / sum;
                    for c in 0..spec.head_dim {
                        o[at + c] += p * v[spec.kv_at(b, j, h) + c];
                    }
                }
            }
        }
    }
    (o, lse)
}

/// Gradients for `q`, `k`, `v` of `sum(attention * grad)`.
pub fn attention_backward(q: &[f64], k: &[f64], v: &[f64], grad: &[f64], spec: &AttentionSpec<'_>) -> [Vec<f64>; 3] {
    let (o, lse) = attention(q, k, v, spec);
    let (mut dq, mut dk, mut dv) = (vec![0.0; q.len()], vec![0.0; k.len()], vec![0.0; v.len()]);
    let d = spec.head_dim;
    for b in 0..spec.batch {
        for h in 0..spec.heads {
            for i in 0..spec.nq {
                let at = spec.q_at(b, i, h);
                let delta = dot(&o[at..at + d], &grad[at..at + d]);
                for (j, s) in spec.scores(q, k, (b, h, i)) {
                    let kv = spec.kv_at(b, j, h);
                    let p = (s - lse[(b * spec.heads + h) * spec.nq + i]).exp();
                    let kept = spec.kept((b, h, i), j);
                    let ds = p * (kept * dot(&grad[at..at + d], &v[kv..kv + d]) - delta) * spec.scale;
                    for c in 0..d {
                        dq[at + c] += ds * k[kv + c];
                        dk[kv + c] += ds * q[at + c];
                        dv[kv + c] += kept * p * grad[at + c];
                    }
                }
            }
        }
    }
    [dq, dk, dv]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_analytic_gradient_matches_differences() {
        let mask = [1, 1, 0, 1, 1, 1, 1, 0, 1, 1];
        let plain = AttentionSpec {
            batch: 2,
            nq: 4,
            nk: 5,
            heads: 4,
            kv_heads: 2,
            head_dim: 3,
            scale: 0.7,
            causal: true,
            key_mask: Some(&mask),
            window: Some(4),
            dropout: None,
        };
        let numbers = |seed: u32, len: usize| -> Vec<f64> {
            (0..len)
                .map(|i| f64::from(((i as u32).wrapping_mul(2_654_435_761) ^ seed) >> 8) / f64::from(1 << 23) - 1.0)
                .collect()
        };
        let inputs = [numbers(1, 96), numbers(77, 60), numbers(4242, 60)];
        let seed = numbers(9, 96);
        for spec in [plain, AttentionSpec { dropout: Some(Dropout::new(0.4, 7, 3)), ..plain }] {
            let value = |x: &[Vec<f64>; 3]| dot(&attention(&x[0], &x[1], &x[2], &spec).0, &seed);
            let grads = attention_backward(&inputs[0], &inputs[1], &inputs[2], &seed, &spec);
            for which in 0..3 {
                for at in (0..inputs[which].len()).step_by(7) {
                    let h = 1e-5;
                    let (mut up, mut down) = (inputs.clone(), inputs.clone());
                    up[which][at] += h;
                    down[which][at] -= h;
                    let want = (value(&up) - value(&down)) / (2.0 * h);
                    assert!((grads[which][at] - want).abs() < 1e-8, "input {which} at {at}");
                }
            }
        }
    }
}
