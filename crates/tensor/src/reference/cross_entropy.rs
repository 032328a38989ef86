//! Cross-entropy, in f64 throughout so that finite differences can be taken of it.

use super::softmax::log_sum_exp;

/// Mean cross-entropy of rows of `cols` logits, and its gradient.
pub fn cross_entropy(
    logits: &[f64],
    cols: usize,
    targets: &[u32],
    smoothing: f64,
    ignore: Option<u32>,
) -> (f64, Vec<f64>) {
    let count = targets.iter().filter(|&&t| Some(t) != ignore).count().max(1) as f64;
    let (mut loss, mut grad) = (0.0, vec![0.0; logits.len()]);
    for ((row, g), &t) in logits.chunks(cols).zip(grad.chunks_mut(cols)).zip(targets) {
        if Some(t) == ignore {
            continue;
        }
        let lse = log_sum_exp(row.iter().copied());
        for (c, v) in row.iter().enumerate() {
            let want = smoothing / cols as f64 + if c == t as usize { 1.0 - smoothing } else { 0.0 };
            loss -= want * (v - lse) / count;
            g[c] = ((v - lse).exp() - want) / count;
        }
    }
    (loss, grad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::differences::{check, wave};

    #[test]
    fn gradients_match_differences() {
        let x = wave(12, 0.1);
        for (smoothing, ignore, targets) in [(0.0, None, [2, 3, 0]), (0.3, Some(9), [2, 9, 0])] {
            let run = |x: &[f64]| cross_entropy(x, 4, &targets, smoothing, ignore);
            check("cross-entropy", &x, &run(&x).1, |x| run(x).0);
        }
    }
}
