//! The training loss against PyTorch's (`infonce.safetensors`).

use vljepa_model::weights::{SafeTensors, WeightSource, read_f32};
use vljepa_tensor::autograd::{self, InfoNce, Tape};
use vljepa_tensor::{Device, DeviceOptions, Tensor};

use crate::fixtures;

#[track_caller]
fn close(what: &str, got: &Tensor, want: &[f32], scale: f32) {
    let got = got.to_f32().unwrap();
    assert_eq!(got.len(), want.len(), "{what}");
    let size = want.iter().fold(0.0f32, |m, w| m.max(w.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        // Two f32 computations with exponents of up to 14: 14 * 2^-23 each, and some more for sums of eight.
        assert!((g * scale - w).abs() <= 5e-6 * size, "{what} {i}: {} for {w}", g * scale);
    }
}

#[test]
fn loss_and_gradients_equal_the_reference() {
    let bytes = fixtures::bytes("infonce.safetensors");
    let file = SafeTensors::parse("infonce.safetensors", &bytes).unwrap();
    let read = |name: &str| {
        let shape = file.tensor(name).unwrap().shape.to_vec();
        (read_f32(&file, name, &shape).unwrap(), shape)
    };
    let device = Device::open(DeviceOptions::default()).expect("the tests need a GPU adapter");
    let tape = Tape::new();
    let leaf = |name: &str| {
        let (data, shape) = read(name);
        tape.leaf(Tensor::from_f32(&device, &shape, &data).unwrap())
    };
    let (p, y, t) = (leaf("input.prediction"), leaf("input.target"), leaf("input.logit_scale"));
    let out = autograd::info_nce(&p, &y, &t, &InfoNce::bidirectional()).unwrap();
    close("loss", out.loss.value(), &read("out.loss").0, 1.0);
    close("logits", out.cosine.value(), &read("out.logits").0, read("input.logit_scale").0[0].exp());
    let grads = tape.backward(&out.loss, None).unwrap();
    for (name, leaf) in [("prediction", &p), ("target", &y)] {
        close(name, grads.get(leaf).unwrap(), &read(&format!("grad.{name}")).0, 1.0);
    }
    let (got, want) = (grads.get(&t).unwrap().to_f32().unwrap()[0], read("grad.logit_scale").0[0]);
    let bound =
        scale_gradient_error(&read("out.logits").0, read("input.prediction").1[1], read("input.logit_scale").0[0]);
    assert!(f64::from((got - want).abs()) <= bound, "logit_scale: {got} for {want}, at most {bound:e} apart");
    // It still tells a gradient that is wrong in a thousandth of itself.
    assert!(bound < 1e-3 * f64::from(want.abs()), "{bound:e} beside {want}");
}

/// How far two f32 computations of dL/dt may lie apart, for logits l `[B, B]` of vectors of `dim` numbers and the scale
/// s = e^t, to first order in the unit of rounding u = 2⁻²⁴.
///
/// dL/dt = G / 2B with G = Σ g·l, g = p − δ, over the softmax p of each row and each column. Its terms cancel, so that an
/// error is no share of the result; but dG/dl = g + p·(l − m), m = Σ p·l of the row, is small where G is flat. So:
/// a logit is off by (dim + 2)·u·s + (dim + 6)·u·|l| (the products and sums of a cosine; two norms and s);
/// e^x by 2·(3 + 2|x|)·u, which WGSL allows, and only its part within the row counts, p·|l − m|;
/// a row's sum and division by (B + 3)·u, which moves G by m; and the terms and sums of G by (B + 4)·u of each.
fn scale_gradient_error(logits: &[f32], dim: usize, t: f32) -> f64 {
    let b = logits.len().isqrt();
    let (u, n, d) = (f64::from(f32::EPSILON) / 2.0, b as f64, dim as f64);
    let (mut slope, mut error) = (vec![0.0; b * b], 0.0);
    for by_row in [true, false] {
        let at = |i: usize, j: usize| if by_row { i * b + j } else { j * b + i };
        for i in 0..b {
            let row: Vec<f64> = (0..b).map(|j| f64::from(logits[at(i, j)])).collect();
            let most = row.iter().copied().fold(f64::MIN, f64::max);
            let sum: f64 = row.iter().map(|l| (l - most).exp()).sum();
            let p = |l: f64| (l - most).exp() / sum;
            let mean: f64 = row.iter().map(|l| p(*l) * l).sum();
            error += mean.abs() * (n + 3.0) * u;
            for (j, &l) in row.iter().enumerate() {
                let g = p(l) - f64::from(u8::from(i == j));
                slope[at(i, j)] += g + p(l) * (l - mean);
                error += p(l) * (l - mean).abs() * 2.0 * (3.0 + 2.0 * (most - l)) * u + (g * l).abs() * (n + 4.0) * u;
            }
        }
    }
    for (slope, l) in slope.iter().zip(logits) {
        error += slope.abs() * ((d + 2.0) * u * f64::from(t).exp() + (d + 6.0) * u * f64::from(l.abs()));
    }
    // Ours and the reference's.
    2.0 * error / (2.0 * n)
}
