use vljepa_tensor::autograd::{self, Tape, Var};
use vljepa_tensor::ops::{self, Layout};
use vljepa_tensor::reference;
use vljepa_tensor::{Device, Error, Tensor};

use crate::support::{
    assert_close, device, devices, differences, matmul64, narrow, noise, poison, row_devices, sum_tolerance, upload,
    widen,
};

const EPS: f32 = 1e-5;

/// Columns of different size and offset.
fn columns_of(rows: usize, cols: usize, seed: u64) -> Vec<f32> {
    let one = |(i, v): (usize, f32)| {
        let c = i % cols;
        v * [1.0, 0.25, 3.0][c % 3] + [0.0, 5.0, -1.0, 0.5][c % 4]
    };
    noise(seed, rows * cols).into_iter().enumerate().map(one).collect()
}

struct Case {
    rows: usize,
    cols: usize,
    weighted: bool,
    biased: bool,
}

/// Shapes of one row, of one column, of a tile and one beyond, and of both shapes of shared columns.
fn cases() -> Vec<Case> {
    let of = |&(rows, cols): &(usize, usize)| {
        [(true, true), (true, false), (false, true), (false, false)].map(|(weighted, biased)| Case {
            rows,
            cols,
            weighted,
            biased,
        })
    };
    let shapes = [(1, 1), (1, 65), (129, 1), (129, 65), (3, 2), (64, 64), (65, 300), (70, 520)];
    let mut all: Vec<Case> = shapes.iter().flat_map(of).collect();
    all.retain(|case| case.rows * case.cols < 1000 || case.weighted == case.biased);
    all
}

/// Rounding of a mean of terms up to 6 is divided by the deviation, which a single row or a few make as small as sqrt(eps).
fn value_tolerance(rows: usize) -> f32 {
    let floor = if rows < 4 { EPS.sqrt() } else { 0.1 };
    8.0 * f32::EPSILON * 6.0 / floor + sum_tolerance(rows)
}

struct Inputs {
    x: Vec<f32>,
    w: Vec<f32>,
    b: Vec<f32>,
    grad: Vec<f32>,
}

fn inputs(case: &Case) -> Inputs {
    let (rows, cols) = (case.rows, case.cols);
    Inputs { x: columns_of(rows, cols, 1), w: noise(2, cols), b: noise(3, cols), grad: noise(4, rows * cols) }
}

fn check(name: &str, device: &Device, case: &Case) {
    let &Case { rows, cols, weighted, biased } = case;
    let Inputs { x, w, b, grad } = inputs(case);
    let (w64, b64) = (weighted.then(|| widen(&w)), biased.then(|| widen(&b)));
    let (xt, gt) = (upload(device, &[rows, cols], &x), upload(device, &[rows, cols], &grad));
    let (wt, bt) = (upload(device, &[cols], &w), upload(device, &[cols], &b));
    let (weight, bias) = (weighted.then_some(&wt), biased.then_some(&bt));
    let what = format!("{name}, {rows}x{cols} weight {weighted} bias {biased}");
    poison(device, &[rows * cols, cols, cols]);
    let got = ops::batch_norm(&xt, weight, bias, EPS).unwrap();
    let want = reference::batch_norm(&widen(&x), cols, w64.as_deref(), b64.as_deref(), EPS.into());
    assert_eq!((got.value.shape(), got.mean.shape()), ([rows, cols].as_slice(), [cols].as_slice()));
    let read = |t: &Tensor| t.to_f32().unwrap();
    let tolerance = value_tolerance(rows);
    assert_close(&what, &read(&got.value), &narrow(&want.value), tolerance, 4e-6);
    assert_close(&format!("{what} mean"), &read(&got.mean), &narrow(&want.mean), 4e-7, 4e-7);
    assert_close(&format!("{what} variance"), &read(&got.variance), &narrow(&want.variance), 1e-7, 4e-6);

    poison(device, &[rows * cols, cols, cols]);
    let [dx, dw, db] = ops::batch_norm_backward(&gt, &xt, &got.mean, &got.variance, weight, EPS, [true; 3])
        .unwrap()
        .map(Option::unwrap);
    let back = reference::batch_norm_backward(&widen(&grad), &widen(&x), cols, w64.as_deref(), EPS.into());
    // What is rounded in the normalised values, or in the sums, passes through the factor 1 / deviation.
    let factor = if rows < 4 { 1.0 / EPS.sqrt() } else { 10.0 };
    let of_x = 2.0 * factor * (tolerance + sum_tolerance(rows));
    let of_columns = tolerance * rows as f32 + sum_tolerance(rows);
    assert_close(&format!("{what} dx"), &read(&dx), &narrow(&back.x), of_x, 1e-5);
    assert_close(&format!("{what} dweight"), &read(&dw), &narrow(&back.weight), of_columns, 1e-5);
    assert_close(&format!("{what} dbias"), &read(&db), &narrow(&back.bias), sum_tolerance(rows), 1e-5);

    // Statistics of other columns: nothing is left of the batch's own.
    let (mean, variance) = (noise(5, cols), noise(6, cols).iter().map(|v| v + 1.25).collect::<Vec<_>>());
    let (mt, vt) = (upload(device, &[cols], &mean), upload(device, &[cols], &variance));
    let [m64, v64] = [&mean, &variance].map(|s| widen(s));
    poison(device, &[rows * cols]);
    let got = ops::batch_norm_fixed(&xt, &mt, &vt, weight, bias, EPS).unwrap();
    let want = reference::batch_norm_fixed(&widen(&x), &m64, &v64, w64.as_deref(), b64.as_deref(), EPS.into());
    assert_close(&format!("{what} fixed"), &read(&got), &narrow(&want), 4e-6, 4e-6);
    poison(device, &[rows * cols, cols, cols]);
    let [dx, dw, db] =
        ops::batch_norm_fixed_backward(&gt, &xt, &mt, &vt, weight, EPS, [true; 3]).unwrap().map(Option::unwrap);
    let back = reference::batch_norm_fixed_backward(&widen(&grad), &widen(&x), &m64, &v64, w64.as_deref(), EPS.into());
    assert_close(&format!("{what} fixed dx"), &read(&dx), &narrow(&back.x), 1e-6, 1e-6);
    let of_columns = 16.0 * sum_tolerance(rows);
    assert_close(&format!("{what} fixed dweight"), &read(&dw), &narrow(&back.weight), of_columns, 1e-5);
    assert_close(&format!("{what} fixed dbias"), &read(&db), &narrow(&back.bias), sum_tolerance(rows), 1e-5);
}

#[test]
fn batch_norms_of_awkward_shapes_equal_the_twin() {
    for (name, device) in row_devices() {
        for case in cases() {
            check(&name, &device, &case);
        }
    }
    for (name, device) in devices() {
        check(&name, &device, &Case { rows: 129, cols: 65, weighted: true, biased: true });
    }
}

#[test]
fn columns_with_a_large_mean_keep_their_digits() {
    // f32 holds numbers of size 1,000 to 6e-5: the spread of the columns is what that leaves, and is found whole.
    let (rows, cols) = (1500, 9);
    let x: Vec<f32> =
        noise(7, rows * cols).iter().enumerate().map(|(i, v)| v + [1000.0, -3000.0, 0.0][i % cols % 3]).collect();
    let want = reference::batch_norm(&widen(&x), cols, None, None, EPS.into());
    for (name, device) in row_devices() {
        let got = ops::batch_norm(&upload(&device, &[rows, cols], &x), None, None, EPS).unwrap();
        assert_close(&format!("{name} mean"), &got.mean.to_f32().unwrap(), &narrow(&want.mean), 1e-7, 1.2e-7);
        assert_close(&format!("{name} variance"), &got.variance.to_f32().unwrap(), &narrow(&want.variance), 0.0, 2e-5);
        // The mean's own last place, 1.2e-4 at 3,000, over a deviation of 0.58.
        assert_close(&format!("{name} value"), &got.value.to_f32().unwrap(), &narrow(&want.value), 2.5e-4, 1e-5);
    }
}

#[test]
fn gradients_flow_through_the_middle_of_a_graph() {
    let device = device();
    let (rows, inner, cols, out) = (5, 4, 6, 3);
    let (x, a, c) = (noise(11, rows * inner), noise(12, inner * cols), noise(13, cols * out));
    let (w, b, seed) = (noise(14, cols), noise(15, cols), noise(16, rows * out));
    let (mean, variance) = (noise(17, cols), noise(18, cols).iter().map(|v| v + 1.5).collect::<Vec<_>>());
    let (mt, vt) = (upload(&device, &[cols], &mean), upload(&device, &[cols], &variance));
    for (fixed, weighted, biased) in
        [(false, true, true), (true, true, true), (false, false, true), (true, true, false)]
    {
        let tape = Tape::new();
        let leaf = |shape: &[usize], data: &[f32]| tape.leaf(upload(&device, shape, data));
        let (xv, wv, bv) = (leaf(&[rows, inner], &x), leaf(&[cols], &w), leaf(&[cols], &b));
        let (weight, bias) = (weighted.then_some(&wv), biased.then_some(&bv));
        let z = autograd::matmul(&xv, &upload(&device, &[inner, cols], &a).into(), Layout::Nn).unwrap();
        let y = if fixed {
            autograd::batch_norm_fixed(&z, &mt, &vt, weight, bias, EPS).unwrap()
        } else {
            autograd::batch_norm(&z, weight, bias, EPS).unwrap().value
        };
        let y = autograd::matmul(&y, &upload(&device, &[cols, out], &c).into(), Layout::Nn).unwrap();
        let grads = tape.backward(&y, Some(upload(&device, &[rows, out], &seed))).unwrap();
        let loss = |x: &[f64], w: &[f64], b: &[f64]| -> f64 {
            let z = matmul64(x, &widen(&a), (rows, cols, inner));
            let (w, b) = (weighted.then_some(w), biased.then_some(b));
            let y = if fixed {
                reference::batch_norm_fixed(&z, &widen(&mean), &widen(&variance), w, b, EPS.into())
            } else {
                reference::batch_norm(&z, cols, w, b, EPS.into()).value
            };
            let y = matmul64(&y, &widen(&c), (rows, out, cols));
            y.iter().zip(&seed).map(|(y, s)| y * f64::from(*s)).sum()
        };
        let (x64, w64, b64) = (widen(&x), widen(&w), widen(&b));
        let what = format!("fixed {fixed}, weight {weighted}, bias {biased}");
        let got = |v: &Var| grads.get(v).map(|g| g.to_f32().unwrap());
        let want = differences(&x64, 1e-5, |x| loss(x, &w64, &b64));
        assert!(want.iter().any(|w| w.abs() > 0.1), "a test of nothing");
        assert_close(&format!("{what}: x"), &got(&xv).unwrap(), &want, 2e-5, 2e-5);
        assert_eq!((got(&wv).is_some(), got(&bv).is_some()), (weighted, biased), "{what}");
        if let Some(got) = got(&wv) {
            assert_close(
                &format!("{what}: weight"),
                &got,
                &differences(&w64, 1e-5, |w| loss(&x64, w, &b64)),
                2e-5,
                2e-5,
            );
        }
        if let Some(got) = got(&bv) {
            assert_close(&format!("{what}: bias"), &got, &differences(&b64, 1e-5, |b| loss(&x64, &w64, b)), 2e-5, 2e-5);
        }
    }
    // Weights alone on the tape, as in a model whose lower layers are frozen; and an input alone.
    let tape = Tape::new();
    let (x, w) = (upload(&device, &[2, 3], &noise(19, 6)), tape.leaf(upload(&device, &[3], &[1.0, 2.0, 3.0])));
    let y = autograd::batch_norm(&x.clone().into(), Some(&w), None, EPS).unwrap();
    assert_eq!(tape.backward(&y.value, None).unwrap().get(&w).unwrap().shape(), [3]);
    let (xv, m) = (tape.leaf(x), upload(&device, &[3], &[0.5; 3]));
    let y = autograd::batch_norm_fixed(&xv, &m, &m, Some(&w.detach()), None, 0.5).unwrap();
    let got = tape.backward(&y, None).unwrap().get(&xv).unwrap().to_f32().unwrap();
    assert_close("input alone", &got, &[1.0, 2.0, 3.0, 1.0, 2.0, 3.0], 1e-6, 0.0);
}

#[test]
fn poison_stays_in_its_column_and_constant_columns_stay_finite() {
    let (rows, cols) = (70, 67);
    let mut x = columns_of(rows, cols, 21);
    x[13 * cols + 5] = f32::NAN;
    x[40 * cols + 6] = f32::INFINITY;
    (0..rows).for_each(|r| x[r * cols + 7] = 1234.5);
    let bias = vec![0.5; cols];
    let want = reference::batch_norm(&widen(&x), cols, None, Some(&widen(&bias)), EPS.into());
    for (name, device) in row_devices() {
        let (xt, bt) = (upload(&device, &[rows, cols], &x), upload(&device, &[cols], &bias));
        let done = ops::batch_norm(&xt, None, Some(&bt), EPS).unwrap();
        let (value, variance) = (done.value.to_f32().unwrap(), done.variance.to_f32().unwrap());
        assert!(variance[5].is_nan() && variance[6].is_nan() && variance[7] == 0.0, "{name}: {:?}", &variance[5..8]);
        let gt = upload(&device, &[rows, cols], &noise(22, rows * cols));
        let back = ops::batch_norm_backward(&gt, &xt, &done.mean, &done.variance, None, EPS, [true; 3]).unwrap();
        let dx = back[0].as_ref().unwrap().to_f32().unwrap();
        for c in 0..cols {
            let of = |y: &[f32]| y.iter().skip(c).step_by(cols).copied().collect::<Vec<_>>();
            if c == 5 || c == 6 {
                assert!(of(&value).iter().chain(&of(&dx)).all(|v| v.is_nan()), "{name} column {c}");
            } else {
                assert_close(&name, &of(&value), &of(&narrow(&want.value)), value_tolerance(rows), 1e-5);
                assert!(of(&dx).iter().all(|v| v.is_finite()), "{name} column {c}");
            }
        }
    }
}

#[test]
fn running_statistics_follow_the_batches() {
    let device = device();
    let (rows, cols) = (7, 5);
    let (mut mean, mut variance) = (vec![0.0f64; cols], vec![1.0f64; cols]);
    let (mt, vt) = (upload(&device, &[cols], &narrow(&mean)), upload(&device, &[cols], &narrow(&variance)));
    for step in 0..3 {
        let x = columns_of(rows, cols, 30 + step);
        let done = ops::batch_norm(&upload(&device, &[rows, cols], &x), None, None, EPS).unwrap();
        ops::running_statistics_assign(&mt, &vt, &done.mean, &done.variance, rows, 0.1).unwrap();
        let want = reference::batch_norm(&widen(&x), cols, None, None, EPS.into());
        for c in 0..cols {
            mean[c] = 0.9 * mean[c] + 0.1 * want.mean[c];
            variance[c] = 0.9 * variance[c] + 0.1 * want.variance[c] * 7.0 / 6.0;
        }
    }
    assert_close("mean", &mt.to_f32().unwrap(), &narrow(&mean), 1e-6, 1e-6);
    assert_close("variance", &vt.to_f32().unwrap(), &narrow(&variance), 1e-6, 1e-6);
    let other = upload(&device, &[4], &[0.0; 4]);
    let before = mt.to_f32().unwrap();
    assert!(matches!(ops::running_statistics_assign(&mt, &vt, &vt, &other, 7, 0.1), Err(Error::Shape { .. })));
    for (rows, momentum) in [(1, 0.1), (7, 1.5), (7, f64::NAN)] {
        let refused = ops::running_statistics_assign(&mt, &vt, &vt, &vt, rows, momentum);
        assert!(matches!(refused, Err(Error::Invalid(_))), "{rows} {momentum}");
    }
    assert_eq!(mt.to_f32().unwrap(), before, "nothing was recorded");
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = device();
    let (x, short) = (upload(&device, &[2, 3], &[0.0; 6]), upload(&device, &[2], &[0.0; 2]));
    let error = ops::batch_norm(&x, Some(&short), None, EPS).unwrap_err();
    assert!(matches!(error, Error::Shape { op: "batch_norm", .. }) && error.to_string().contains("[2]"), "{error}");
    let fit = upload(&device, &[3], &[1.0; 3]);
    assert!(ops::batch_norm_fixed(&x, &fit, &short, None, None, EPS).is_err());
    assert!(ops::batch_norm(&upload(&device, &[0, 3], &[]), None, None, EPS).is_err(), "no rows, no statistics");
    assert!(ops::batch_norm(&upload(&device, &[2, 0], &[]), None, None, EPS).is_err());
    let none = upload(&device, &[0, 3], &[]);
    assert!(ops::batch_norm_fixed(&none, &fit, &fit, None, None, EPS).unwrap().is_empty());
    assert!(ops::batch_norm(&Tensor::from_u32(&device, &[1, 1], &[1]).unwrap(), None, None, EPS).is_err());
    assert!(ops::batch_norm_backward(&short, &x, &fit, &fit, None, EPS, [true; 3]).is_err());
}
