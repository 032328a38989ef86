use vljepa_tensor::autograd::{self, InfoNce, Tape, Var};
use vljepa_tensor::ops::{self, Contrast, CrossEntropy, Duplicates, Layout};
use vljepa_tensor::reference::{self, Pairs};
use vljepa_tensor::{Error, Tensor};

use crate::support::{
    assert_close, device, devices, differences, matmul64, narrow, noise, row_devices, sum_tolerance, upload, widen,
};

/// Logits of size ten around an offset that overflows exp when nothing is subtracted.
fn logits(seed: u64, len: usize) -> Vec<f32> {
    noise(seed, len).into_iter().map(|v| 10.0 * v + 300.0).collect()
}

#[test]
fn softmax_equals_the_twin() {
    for (name, device) in row_devices() {
        for (rows, cols) in [(1, 1), (70, 5), (9, 33), (3, 1000)] {
            let (x, g) = (logits(1, rows * cols), noise(2, rows * cols));
            let what = format!("{name} {rows}x{cols}");
            let y = ops::softmax(&upload(&device, &[rows, cols], &x)).unwrap();
            // Logits of 300 carry rounding of their own, which both sides share: the twin starts from the same f32.
            let want = reference::softmax(&widen(&x), cols);
            assert_close(&what, &y.to_f32().unwrap(), &narrow(&want), 1e-7, 4.0 * sum_tolerance(cols).max(1e-6));
            let dx = ops::softmax_backward(&upload(&device, &[rows, cols], &g), &y).unwrap();
            let want = reference::softmax_backward(&widen(&g), &widen(&x), cols);
            assert_close(&format!("{what} dx"), &dx.to_f32().unwrap(), &narrow(&want), 2e-6, 1e-5);
        }
    }
}

#[test]
fn softmax_takes_infinities_and_keeps_poison_in_its_row() {
    let device = device();
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let x = upload(&device, &[3, 3], &[0.0, -inf, 0.0, nan, 1.0, 2.0, -3e38, 3e38, 1.0]);
    let y = ops::softmax(&x).unwrap().to_f32().unwrap();
    assert_close("rows", &y, &[0.5, 0.0, 0.5, nan, nan, nan, 0.0, 1.0, 0.0], 1e-7, 0.0);
}

#[test]
fn cross_entropy_equals_the_twin() {
    const SKIP: u32 = 7_000;
    for (name, device) in row_devices() {
        for (rows, cols) in [(1, 2), (67, 5), (6, 300)] {
            let x = logits(3, rows * cols);
            let own: Vec<u32> = (0..rows).map(|r| (r * 7 % cols) as u32).collect();
            let mut skipping = own.clone();
            skipping.iter_mut().skip(1).step_by(3).for_each(|t| *t = SKIP);
            for (targets, smoothing, ignore) in [(&own, 0.0, None), (&skipping, 0.1, Some(SKIP))] {
                let mut options = CrossEntropy::default().label_smoothing(smoothing);
                options.ignore_index = ignore;
                let xt = upload(&device, &[rows, cols], &x);
                let tt = Tensor::from_u32(&device, &[rows], targets).unwrap();
                let loss = ops::cross_entropy(&xt, &tt, &options).unwrap();
                let (want, grad) = reference::cross_entropy(&widen(&x), cols, targets, smoothing.into(), ignore);
                let what = format!("{name} {rows}x{cols} ignoring {ignore:?}");
                assert_close(&what, &loss.value.to_f32().unwrap(), &[want as f32], 2e-5, 2e-6);
                let seed = upload(&device, &[1], &[2.5]);
                let dx = ops::cross_entropy_backward(&seed, &xt, &tt, &loss, &options).unwrap();
                let grad: Vec<f32> = grad.iter().map(|g| 2.5 * *g as f32).collect();
                // Probabilities below one, times 2.5; exponents down to -20 carry rounding of 1e-6.
                assert_close(&what, &dx.to_f32().unwrap(), &grad, 2e-6, 4e-6);
            }
        }
    }
}

#[test]
fn ignored_rows_may_hold_anything_and_bad_targets_are_loud() {
    let device = device();
    let mut x = noise(4, 12);
    x[4] = f32::NAN;
    let xt = upload(&device, &[3, 4], &x);
    let options = CrossEntropy::default().ignore_index(9);
    let targets = Tensor::from_u32(&device, &[3], &[1, 9, 3]).unwrap();
    let loss = ops::cross_entropy(&xt, &targets, &options).unwrap();
    let clean = [&x[..4], &x[8..]].concat();
    let (want, _) = reference::cross_entropy(&widen(&clean), 4, &[1, 3], 0.0, None);
    assert_close("loss", &loss.value.to_f32().unwrap(), &[want as f32], 1e-6, 1e-6);
    let one = upload(&device, &[1], &[1.0]);
    let dx = ops::cross_entropy_backward(&one, &xt, &targets, &loss, &options).unwrap().to_f32().unwrap();
    assert!(dx[4..8].iter().all(|&d| d == 0.0) && dx[0] != 0.0, "{dx:?}");
    let all = Tensor::from_u32(&device, &[3], &[9, 9, 9]).unwrap();
    assert_eq!(ops::cross_entropy(&xt, &all, &options).unwrap().value.to_f32().unwrap(), [0.0]);
    let beyond = Tensor::from_u32(&device, &[3], &[1, 4, 3]).unwrap();
    assert!(ops::cross_entropy(&xt, &beyond, &options).unwrap().value.to_f32().unwrap()[0].is_nan());
    assert!(ops::cross_entropy(&xt, &targets, &CrossEntropy::default().label_smoothing(1.0)).is_err());
    assert!(matches!(ops::cross_entropy(&xt, &xt, &options), Err(Error::Dtype { .. })));
}

#[test]
fn losses_flow_through_the_middle_of_a_graph() {
    let device = device();
    let (rows, inner, cols) = (3, 4, 6);
    let (x, a, c) = (noise(5, rows * inner), noise(6, inner * cols), noise(7, cols * 2));
    let seed = noise(8, rows * 2);
    let tape = Tape::new();
    let xv = tape.leaf(upload(&device, &[rows, inner], &x));
    let z = autograd::matmul(&xv, &upload(&device, &[inner, cols], &a).into(), Layout::Nn).unwrap();
    let soft = autograd::softmax(&z).unwrap();
    let y = autograd::matmul(&soft, &upload(&device, &[cols, 2], &c).into(), Layout::Nn).unwrap();
    let grads = tape.backward(&y, Some(upload(&device, &[rows, 2], &seed))).unwrap();
    let want = differences(&widen(&x), 1e-5, |x| {
        let y = reference::softmax(&matmul64(x, &widen(&a), (rows, cols, inner)), cols);
        let y = matmul64(&y, &widen(&c), (rows, 2, cols));
        y.iter().zip(&seed).map(|(y, s)| y * f64::from(*s)).sum()
    });
    assert_close("softmax", &grads.get(&xv).unwrap().to_f32().unwrap(), &want, 2e-6, 1e-5);

    let targets = [5, 0, 2];
    let tape = Tape::new();
    let xv = tape.leaf(upload(&device, &[rows, inner], &x));
    let z = autograd::matmul(&xv, &upload(&device, &[inner, cols], &a).into(), Layout::Nn).unwrap();
    let loss = autograd::cross_entropy(
        &z,
        &Tensor::from_u32(&device, &[rows], &targets).unwrap(),
        CrossEntropy::default().label_smoothing(0.2),
    )
    .unwrap();
    let grads = tape.backward(&loss, Some(upload(&device, &[1], &[-3.0]))).unwrap();
    let want = differences(&widen(&x), 1e-5, |x| {
        let z = matmul64(x, &widen(&a), (rows, cols, inner));
        -3.0 * reference::cross_entropy(&z, cols, &targets, f64::from(0.2f32), None).0
    });
    assert_close("cross-entropy", &grads.get(&xv).unwrap().to_f32().unwrap(), &want, 4e-6, 1e-5);
}

#[test]
fn info_nce_equals_the_twin_in_every_mode() {
    let dim = 9;
    for (name, device) in row_devices() {
        for (rows, cols) in [(1, 1), (5, 5), (34, 34), (3, 70)] {
            let (p, y) = (noise(11, rows * dim), noise(12, cols * dim));
            let keys: Vec<u32> = (0..cols).map(|c| (c * c % 7) as u32).collect();
            let kt = Tensor::from_u32(&device, &[cols], &keys).unwrap();
            for bidirectional in [true, false] {
                let own: Vec<u32> =
                    (0..rows).map(|r| if bidirectional { r } else { (r * 5 + 1) % cols } as u32).collect();
                let targets = Tensor::from_u32(&device, &[rows], &own).unwrap();
                if bidirectional && rows != cols {
                    continue;
                }
                for duplicates in [Duplicates::Negatives, Duplicates::LeftOut, Duplicates::Positives] {
                    let start = if bidirectional { InfoNce::bidirectional() } else { InfoNce::to_bank(&targets) };
                    let options = start.duplicates(duplicates, &kt);
                    let tape = Tape::new();
                    let leaf = |shape: &[usize], data: &[f32]| tape.leaf(upload(&device, shape, data));
                    let (pv, yv, tv) = (leaf(&[rows, dim], &p), leaf(&[cols, dim], &y), leaf(&[1], &[2.3]));
                    let out = autograd::info_nce(&pv, &yv, &tv, &options).unwrap();
                    assert_eq!(out.cosine.shape(), [rows, cols]);
                    let got = out.loss.value().to_f32().unwrap();
                    let grads = tape.backward(&out.loss, Some(upload(&device, &[1], &[1.5]))).unwrap();
                    let pairs = Pairs { targets: &own, keys: &keys, duplicates, bidirectional };
                    let want = reference::info_nce(&widen(&p), &widen(&y), dim, f64::from(2.3f32), &pairs);
                    let what = format!("{name} {rows}x{cols} {duplicates:?} both {bidirectional}");
                    assert_close(&what, &got, &[want.loss as f32], 4e-6, 4e-6);
                    let scaled = |g: &[f64]| g.iter().map(|g| 1.5 * *g as f32).collect::<Vec<_>>();
                    let read = |v: &Var| grads.get(v).unwrap().to_f32().unwrap();
                    assert_close(&format!("{what} p"), &read(&pv), &scaled(&want.p), 1e-5, 2e-5);
                    assert_close(&format!("{what} y"), &read(&yv), &scaled(&want.y), 1e-5, 2e-5);
                    assert_close(&format!("{what} scale"), &read(&tv), &scaled(&[want.log_scale]), 1e-5, 2e-5);
                }
            }
        }
    }
}

#[test]
fn info_nce_flows_through_the_middle_of_a_graph() {
    for (name, device) in devices() {
        let (rows, inner, dim) = (4, 3, 5);
        let (x, a, y) = (noise(13, rows * inner), noise(14, inner * dim), noise(15, rows * dim));
        let tape = Tape::new();
        let xv = tape.leaf(upload(&device, &[rows, inner], &x));
        let p = autograd::matmul(&xv, &upload(&device, &[inner, dim], &a).into(), Layout::Nn).unwrap();
        let scale = upload(&device, &[1], &[1.7]).into();
        let out =
            autograd::info_nce(&p, &upload(&device, &[rows, dim], &y).into(), &scale, &InfoNce::default()).unwrap();
        let grads = tape.backward(&out.loss, Some(upload(&device, &[1], &[0.4]))).unwrap();
        let pairs = Pairs { targets: &[0, 1, 2, 3], keys: &[], duplicates: Duplicates::Negatives, bidirectional: true };
        let want = differences(&widen(&x), 1e-5, |x| {
            let p = matmul64(x, &widen(&a), (rows, dim, inner));
            0.4 * reference::info_nce(&p, &widen(&y), dim, f64::from(1.7f32), &pairs).loss
        });
        assert_close(&name, &grads.get(&xv).unwrap().to_f32().unwrap(), &want, 4e-6, 2e-5);
    }
}

#[test]
fn the_scale_is_capped_and_can_come_back() {
    let device = device();
    // Both rows prefer their own column (the scale wants to grow), then the other's (it wants to shrink).
    for (cosine, grows) in [([0.9, 0.1, 0.2, 0.8], true), ([0.1, 0.9, 0.8, 0.2], false)] {
        let x = upload(&device, &[2, 2], &cosine);
        let options = Contrast::bidirectional().max_scale(4.0);
        let at = |log_scale: f32, options: &Contrast<'_>| {
            let t = upload(&device, &[1], &[log_scale]);
            let loss = ops::contrast(&x, &t, options).unwrap();
            let one = upload(&device, &[1], &[1.0]);
            let (_, d) = ops::contrast_backward(&one, &x, &t, &loss.stats, options, true).unwrap();
            (loss.value.to_f32().unwrap()[0], d.unwrap().to_f32().unwrap()[0])
        };
        let (below, d_below) = at(4f32.ln() - 1e-3, &options);
        let (above, d_above) = at(9.0, &options);
        assert!((below - above).abs() < 1e-2, "{below} {above}");
        assert_eq!(d_below < 0.0, grows, "{d_below}");
        if grows {
            assert_eq!(d_above, 0.0);
        } else {
            assert!((d_above - d_below).abs() < 1e-2, "{d_above} {d_below}");
        }
    }
}

#[test]
fn the_loss_starts_at_the_logarithm_of_the_batch_and_bad_options_are_refused() {
    let device = device();
    let same = upload(&device, &[6, 3], &[0.5; 18]);
    let t = Var::constant(upload(&device, &[1], &[(1.0f32 / 0.07).ln()]));
    let v = Var::constant(same.clone());
    let loss = autograd::info_nce(&v, &v, &t, &InfoNce::default()).unwrap().loss;
    assert_close("ln 6", &loss.value().to_f32().unwrap(), &[6f32.ln()], 1e-6, 1e-6);
    let few: Var = upload(&device, &[5, 3], &[0.5; 15]).into();
    assert!(autograd::info_nce(&few, &v, &t, &InfoNce::default()).is_err());
    let targets = Tensor::from_u32(&device, &[5], &[0, 6, 1, 2, 3]).unwrap();
    let beyond = autograd::info_nce(&few, &v, &t, &InfoNce::to_bank(&targets)).unwrap().loss;
    assert!(beyond.value().to_f32().unwrap()[0].is_nan());
    let mut options = Contrast::bidirectional();
    options.duplicates = Duplicates::LeftOut;
    let square = upload(&device, &[2, 2], &[0.0; 4]);
    assert!(matches!(ops::contrast(&square, t.value(), &options), Err(Error::Invalid(_))));
    assert!(ops::contrast(&square, &square, &Contrast::default()).is_err());
    let float_targets = Contrast::to_bank(&same);
    assert!(ops::contrast(&square, t.value(), &float_targets).is_err());
}
