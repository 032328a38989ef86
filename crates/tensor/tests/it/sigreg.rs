use vljepa_tensor::autograd::{self, Tape};
use vljepa_tensor::ops::{self, Layout};
use vljepa_tensor::{Device, Error, Tensor, reference};

use crate::support::{assert_close, device, devices, differences, matmul64, noise, poison, row_devices, upload, widen};

/// Numbers of size three, off the middle: nothing cancels.
fn samples(seed: u64, len: usize) -> Vec<f32> {
    noise(seed, len).into_iter().map(|v| 3.0 * v + 0.4).collect()
}

fn check(name: &str, device: &Device, sizes: [usize; 3], (knots, last): (usize, f32), h: &[f32]) {
    let [groups, rows, cols] = sizes;
    let ht = upload(device, &sizes, h);
    poison(device, &[groups * (knots - 1) * 2 * cols, groups * (knots - 1) * 2 * cols, groups * cols]);
    let got = ops::sigreg(&ht, knots, last).unwrap();
    let want = reference::sigreg(&widen(h), sizes, knots, last.into());
    let what = format!("{name}, {sizes:?}, {knots} knots to {last}");
    // A cosine of the largest angle, and of a 16th power, is off by 3e-6; the statistic is its rows times the square of what a
    // mean of them is off from a number of size one.
    let value = got.value.to_f32().unwrap();
    assert_close(&what, &value, &[want as f32], 3e-6 * rows as f32 * last, 1e-5);
    poison(device, &[h.len()]);
    let grad = upload(device, &[1], &[1.5]);
    let dh = ops::sigreg_backward(&grad, &ht, &got.pulls, knots, last).unwrap();
    let back: Vec<f32> =
        reference::sigreg_backward(&widen(h), sizes, knots, last.into()).iter().map(|v| (1.5 * v) as f32).collect();
    let largest = back.iter().fold(0f32, |m, v| m.max(v.abs()));
    assert!(largest > 0.0, "{what}: a test of nothing");
    assert_close(&format!("{what} dh"), &dh.to_f32().unwrap(), &back, 2e-5 * largest, 1e-5);
}

#[test]
fn the_statistic_and_its_gradient_equal_the_twin() {
    let usual = (17, 3.0);
    for (name, device) in row_devices() {
        for sizes in [[1, 1, 1], [1, 1, 65], [2, 129, 3], [3, 64, 65], [4, 7, 5]] {
            check(&name, &device, sizes, usual, &samples(1, sizes.iter().product()));
        }
        // One knot beside 0, a block and one more, several blocks with a rest.
        for knots in [(2, 1.0), (18, 3.0), (50, 5.0)] {
            check(&name, &device, [2, 33, 5], knots, &samples(2, 330));
        }
    }
    for (name, device) in devices() {
        check(&name, &device, [2, 70, 9], usual, &samples(3, 2 * 70 * 9));
    }
}

#[test]
fn normal_numbers_are_close_and_points_are_far() {
    let (rows, cols) = (400, 6);
    // Sums of twelve even numbers.
    let normal: Vec<f32> = (0..rows * cols).map(|i| noise(100 + i as u64, 12).iter().sum::<f32>() * 0.5).collect();
    for (name, device) in row_devices() {
        let of = |h: &[f32]| {
            let h = upload(&device, &[1, rows, cols], h);
            ops::sigreg(&h, 17, 3.0).unwrap().value.to_f32().unwrap()[0]
        };
        let near = reference::sigreg(&widen(&normal), [1, rows, cols], 17, 3.0) as f32;
        assert!(near < 5.0);
        assert_close(&name, &[of(&normal)], &[near], 2e-3, 1e-3);
        assert!(of(&vec![0.3; rows * cols]) > 60.0, "{name}");
        // Where samples are lost, nobody may take the statistic for one.
        let mut lost = normal.clone();
        lost[7] = f32::NAN;
        assert!(of(&lost).is_nan(), "{name}");
    }
}

#[test]
fn groups_are_kept_apart() {
    // Two groups whose samples together are symmetric, while neither is: the mean of both alone.
    let device = device();
    let (rows, cols) = (20, 3);
    let h: Vec<f32> = samples(5, rows * cols).iter().map(|v| v.abs() + 0.5).collect();
    let both: Vec<f32> = h.iter().copied().chain(h.iter().map(|v| 0.3 - v)).collect();
    let of = |h: &[f32], groups: usize, rows: usize| {
        ops::sigreg(&upload(&device, &[groups, rows, cols], h), 17, 3.0).unwrap().value.to_f32().unwrap()[0]
    };
    let apart = of(&both, 2, rows);
    let mean = 0.5 * (of(&both[..rows * cols], 1, rows) + of(&both[rows * cols..], 1, rows));
    assert!((apart - mean).abs() < 1e-4 * mean, "{apart} {mean}");
    // The statistic grows with the number of samples.
    let together = 0.5 * of(&both, 1, 2 * rows);
    assert!(together < 0.8 * apart, "together they are nearer: {together} {apart}");
}

#[test]
fn the_gradient_flows_through_the_middle_of_a_graph() {
    let (groups, rows, inner, cols) = (2, 6, 4, 5);
    let (x, u) = (samples(7, groups * rows * inner), noise(8, inner * cols));
    for (name, device) in row_devices() {
        let tape = Tape::new();
        let xv = tape.leaf(upload(&device, &[groups * rows, inner], &x));
        let h = autograd::matmul(&xv, &upload(&device, &[inner, cols], &u).into(), Layout::Nn).unwrap();
        let h = h.reshape(&[groups, rows, cols]).unwrap();
        let loss = autograd::sigreg(&h, 17, 3.0).unwrap();
        assert_eq!(loss.shape(), [1]);
        let grads = tape.backward(&autograd::scale(&loss, 0.4).unwrap(), None).unwrap();
        let want = differences(&widen(&x), 1e-5, |x| {
            let h = matmul64(x, &widen(&u), (groups * rows, cols, inner));
            0.4 * reference::sigreg(&h, [groups, rows, cols], 17, 3.0)
        });
        let largest = want.iter().fold(0f32, |m, v| m.max(v.abs()));
        assert!(largest > 0.01, "a test of nothing");
        assert_close(&name, &grads.get(&xv).unwrap().to_f32().unwrap(), &want, 1e-5 * largest, 2e-5);
    }
}

#[test]
fn the_same_samples_give_the_same_bits() {
    let device = device();
    let h = upload(&device, &[4, 100, 33], &samples(9, 4 * 100 * 33));
    let bits = || {
        let done = ops::sigreg(&h, 17, 3.0).unwrap();
        [done.value, done.pulls].map(|t| t.to_f32().unwrap().into_iter().map(f32::to_bits).collect::<Vec<_>>())
    };
    assert_eq!(bits(), bits());
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = device();
    let of = |shape: &[usize]| upload(&device, shape, &vec![0.5; shape.iter().product()]);
    let error = ops::sigreg(&of(&[4, 3]), 17, 3.0).unwrap_err();
    assert!(matches!(error, Error::Shape { op: "sigreg", .. }) && error.to_string().contains("[4, 3]"), "{error}");
    for empty in [[0, 4, 3], [2, 0, 3], [2, 4, 0]] {
        assert!(matches!(ops::sigreg(&of(&empty), 17, 3.0), Err(Error::Shape { .. })), "{empty:?}");
    }
    let h = of(&[2, 4, 3]);
    for (knots, last) in [(0, 3.0), (1, 3.0), (17, 0.0), (17, -1.0), (17, f32::NAN), (17, f32::INFINITY)] {
        assert!(matches!(ops::sigreg(&h, knots, last), Err(Error::Invalid(_))), "{knots} {last}");
    }
    let pulls = ops::sigreg(&h, 17, 3.0).unwrap().pulls;
    assert!(ops::sigreg_backward(&of(&[2]), &h, &pulls, 17, 3.0).is_err());
    assert!(ops::sigreg_backward(&of(&[1]), &h, &pulls, 16, 3.0).is_err());
    assert!(ops::sigreg(&Tensor::from_u32(&device, &[1, 1, 1], &[1]).unwrap(), 17, 3.0).is_err());
}
