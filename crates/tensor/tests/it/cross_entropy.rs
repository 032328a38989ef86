use vljepa_tensor::autograd::{self, Tape};
use vljepa_tensor::ops::{self, CrossEntropy, Layout};
use vljepa_tensor::{Error, Tensor, reference};

use crate::support::{assert_close, device, differences, logits, matmul64, noise, row_devices, upload, widen};

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
fn cross_entropy_flows_through_the_middle_of_a_graph() {
    let device = device();
    let (rows, inner, cols) = (3, 4, 6);
    let (x, a) = (noise(5, rows * inner), noise(6, inner * cols));
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
