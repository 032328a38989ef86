use vljepa_tensor::autograd::{self, Tape, Var};
use vljepa_tensor::ops::{self, Layout, RmsNorm};
use vljepa_tensor::reference::{self, Norm};
use vljepa_tensor::{Device, Error, Tensor};

use crate::support::{
    assert_close, device, devices, differences, matmul64, narrow, noise, row_devices, sum_tolerance, upload, widen,
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Case {
    Layer,
    LayerPlain,
    Rms,
    RmsOnePlus,
    L2,
}

const CASES: [Case; 5] = [Case::Layer, Case::LayerPlain, Case::Rms, Case::RmsOnePlus, Case::L2];
const EPS: f32 = 1e-5;

impl Case {
    fn kind(self) -> Norm {
        match self {
            Case::Layer | Case::LayerPlain => Norm::Layer,
            Case::Rms | Case::RmsOnePlus => Norm::Rms,
            Case::L2 => Norm::L2,
        }
    }

    fn weighted(self) -> bool {
        !matches!(self, Case::LayerPlain | Case::L2)
    }

    fn factor(self, w: &[f32]) -> Option<Vec<f64>> {
        let plus = if self == Case::RmsOnePlus { 1.0 } else { 0.0 };
        self.weighted().then(|| widen(w).into_iter().map(|w| w + plus).collect())
    }

    fn want(self, x: &[f64], w: &[f32], b: &[f32], eps: f64) -> Vec<f64> {
        let bias = (self == Case::Layer).then(|| widen(b));
        reference::norm(self.kind(), x, w.len(), self.factor(w).as_deref(), bias.as_deref(), eps)
    }

    fn rms(self) -> RmsNorm {
        if self == Case::RmsOnePlus { RmsNorm::one_plus(EPS) } else { RmsNorm::plain(EPS) }
    }

    fn run(self, x: &Tensor, w: &Tensor, b: &Tensor) -> ops::Normalised {
        match self {
            Case::Layer => ops::layer_norm(x, Some(w), Some(b), EPS),
            Case::LayerPlain => ops::layer_norm(x, None, None, EPS),
            Case::Rms | Case::RmsOnePlus => ops::rms_norm(x, Some(w), &self.rms()),
            Case::L2 => ops::l2_normalize(x, EPS),
        }
        .unwrap()
    }

    fn var(self, x: &Var, w: &Var, b: &Var) -> Var {
        match self {
            Case::Layer => autograd::layer_norm(x, Some(w), Some(b), EPS),
            Case::LayerPlain => autograd::layer_norm(x, None, None, EPS),
            Case::Rms | Case::RmsOnePlus => autograd::rms_norm(x, Some(w), self.rms()),
            Case::L2 => autograd::l2_normalize(x, EPS),
        }
        .unwrap()
    }
}

/// Rows of different size and offset.
fn rows_of(rows: usize, cols: usize, seed: u64) -> Vec<f32> {
    noise(seed, rows * cols)
        .into_iter()
        .enumerate()
        .map(|(i, v)| {
            let r = i / cols;
            v * [1.0, 0.25, 3.0][r % 3] + [0.0, 5.0, -1.0, 0.5][r % 4]
        })
        .collect()
}

fn check_forward(name: &str, device: &Device, case: Case, rows: usize, cols: usize) {
    let (x, w, b) = (rows_of(rows, cols, 1), noise(2, cols), noise(3, cols));
    let got = case.run(&upload(device, &[rows, cols], &x), &upload(device, &[cols], &w), &upload(device, &[cols], &b));
    let want = narrow(&case.want(&widen(&x), &w, &b, f64::from(EPS)));
    // The mean is off by rounding of its terms (5 at most); what it is subtracted from is divided by a deviation that
    // single-column and short rows make as small as sqrt(eps).
    let floor = if cols < 4 { EPS.sqrt() } else { 0.1 };
    let tolerance = if case == Case::L2 { 1e-6 } else { 8.0 * f32::EPSILON * 5.0 / floor + sum_tolerance(cols) };
    assert_close(&format!("{name}, {case:?} {rows}x{cols}"), &got.value.to_f32().unwrap(), &want, tolerance, 4e-6);
}

#[test]
fn norms_of_awkward_shapes_equal_the_twin() {
    for (name, device) in row_devices() {
        for case in CASES {
            for (rows, cols) in [(1, 1), (3, 2), (65, 7), (9, 33), (7, 64), (5, 129), (2, 1000)] {
                check_forward(&name, &device, case, rows, cols);
            }
        }
    }
}

#[test]
fn every_capability_set_agrees_and_long_grids_fold() {
    for (name, device) in devices() {
        check_forward(&name, &device, Case::Layer, 66, 70);
        // 64 invocations a row: more than 65,535 workgroups where rows are shared.
        check_forward(&name, &device, Case::Layer, 65_540, 33);
    }
}

#[test]
fn backward_equals_the_twin() {
    for (name, device) in row_devices() {
        for case in CASES {
            for (rows, cols) in [(1, 3), (67, 5), (130, 66)] {
                let (x, w, g) = (rows_of(rows, cols, 4), noise(5, cols), noise(6, rows * cols));
                let b = noise(3, cols);
                let (xt, wt) = (upload(&device, &[rows, cols], &x), upload(&device, &[cols], &w));
                let gt = upload(&device, &[rows, cols], &g);
                let stats = case.run(&xt, &wt, &upload(&device, &[cols], &b)).stats;
                let weight = case.weighted().then_some(&wt);
                let (dx, dw, db) = match case.kind() {
                    Norm::Layer => {
                        let [dx, dw, db] = ops::layer_norm_backward(&gt, &xt, weight, &stats, EPS, [true; 3]).unwrap();
                        (dx.unwrap(), dw, db)
                    }
                    Norm::Rms => {
                        let [dx, dw] =
                            ops::rms_norm_backward(&gt, &xt, weight, &stats, &case.rms(), [true; 2]).unwrap();
                        (dx.unwrap(), dw, None)
                    }
                    Norm::L2 => (ops::l2_normalize_backward(&gt, &xt, &stats, EPS).unwrap(), None, None),
                };
                let factor = case.factor(&w);
                let want =
                    reference::norm_backward(case.kind(), &widen(&g), &widen(&x), cols, factor.as_deref(), EPS.into());
                let what = format!("{name}, {case:?} {rows}x{cols}");
                // A row's factor reaches 7 (deviation 0.25 / sqrt(3)) and multiplies rounding of offsets up to 5.
                let tolerance = 40.0 * sum_tolerance(cols);
                assert_close(&format!("{what} dx"), &dx.to_f32().unwrap(), &narrow(&want.x), tolerance, 1e-5);
                // Normalised values reach sqrt(cols).
                let tolerance = sum_tolerance(rows) * (cols as f32).sqrt() + rows as f32 * 1e-6;
                if let Some(dw) = dw {
                    assert_close(&format!("{what} dw"), &dw.to_f32().unwrap(), &narrow(&want.weight), tolerance, 1e-5);
                }
                if let Some(db) = db {
                    assert_close(&format!("{what} db"), &db.to_f32().unwrap(), &narrow(&want.bias), tolerance, 1e-5);
                }
            }
        }
    }
}

#[test]
fn gradients_flow_through_the_middle_of_a_graph() {
    let device = device();
    let (rows, inner, cols, out) = (3, 4, 6, 5);
    let (x, a) = (noise(11, rows * inner), noise(12, inner * cols));
    let (c, seed) = (noise(13, cols * out), noise(14, rows * out));
    let (w, b) = (noise(15, cols), noise(16, cols));
    for case in CASES {
        let tape = Tape::new();
        let leaf = |shape: &[usize], data: &[f32]| tape.leaf(upload(&device, shape, data));
        let (xv, wv, bv) = (leaf(&[rows, inner], &x), leaf(&[cols], &w), leaf(&[cols], &b));
        let (av, cv) = (Var::constant(upload(&device, &[inner, cols], &a)), upload(&device, &[cols, out], &c).into());
        let z = autograd::matmul(&xv, &av, Layout::Nn).unwrap();
        let y = autograd::matmul(&case.var(&z, &wv, &bv), &cv, Layout::Nn).unwrap();
        let grads = tape.backward(&y, Some(upload(&device, &[rows, out], &seed))).unwrap();
        let loss = |x: &[f64], w: &[f64], b: &[f64]| -> f64 {
            let z = matmul64(x, &widen(&a), (rows, cols, inner));
            let y = case.want(&z, &narrow(w), &narrow(b), EPS.into());
            let y = matmul64(&y, &widen(&c), (rows, out, cols));
            y.iter().zip(&seed).map(|(y, s)| y * f64::from(*s)).sum()
        };
        let (x64, w64, b64) = (widen(&x), widen(&w), widen(&b));
        let got = grads.get(&xv).unwrap().to_f32().unwrap();
        let want = differences(&x64, 1e-5, |x| loss(x, &w64, &b64));
        assert_close(&format!("{case:?} x"), &got, &want, 2e-5, 2e-5);
        assert_eq!(grads.get(&wv).is_some(), case.weighted());
        // The weight passes through f32 in the twin's options: a step that f32 holds exactly.
        let step = 1.0 / 1024.0;
        if let Some(got) = grads.get(&wv) {
            let want = differences(&w64, step, |w| loss(&x64, w, &b64));
            assert_close(&format!("{case:?} weight"), &got.to_f32().unwrap(), &want, 2e-4, 2e-5);
        }
        if let Some(got) = grads.get(&bv) {
            let want = differences(&b64, step, |b| loss(&x64, &w64, b));
            assert_close(&format!("{case:?} bias"), &got.to_f32().unwrap(), &want, 2e-4, 2e-5);
        }
    }
}

#[test]
fn poison_stays_in_its_row_and_constant_rows_stay_finite() {
    for (name, device) in row_devices() {
        let (rows, cols) = (4, 40);
        let mut x = rows_of(rows, cols, 21);
        x[cols + 39] = f32::NAN;
        x[2 * cols..3 * cols].fill(7.0);
        let (w, b) = (vec![1.0; cols], vec![0.5; cols]);
        let xt = upload(&device, &[rows, cols], &x);
        let got = Case::Layer.run(&xt, &upload(&device, &[cols], &w), &upload(&device, &[cols], &b));
        let got = got.value.to_f32().unwrap();
        assert!(got[cols..2 * cols].iter().all(|v| v.is_nan()), "{name}");
        assert_eq!(got[2 * cols..3 * cols], vec![0.5; cols], "{name}");
        let want = Case::Layer.want(&widen(&x), &w, &b, EPS.into());
        assert_close(&name, &got[..cols], &narrow(&want[..cols]), 1e-5, 1e-5);
        assert_close(&name, &got[3 * cols..], &narrow(&want[3 * cols..]), 1e-5, 1e-5);
    }
}

#[test]
fn zero_rows_normalise_to_zero() {
    let device = device();
    let x = upload(&device, &[2, 3], &[0.0, 0.0, 0.0, 3.0, 0.0, 4.0]);
    let done = ops::l2_normalize(&x, 1e-3).unwrap();
    assert_close("value", &done.value.to_f32().unwrap(), &[0.0, 0.0, 0.0, 0.6, 0.0, 0.8], 1e-7, 1e-6);
    let grad = upload(&device, &[2, 3], &[1.0, -2.0, 3.0, 1.0, 1.0, 1.0]);
    let dx = ops::l2_normalize_backward(&grad, &x, &done.stats, 1e-3).unwrap().to_f32().unwrap();
    assert_close("dx", &dx, &[1e3, -2e3, 3e3, 0.032, 0.2, -0.024], 1e-6, 1e-5);
}

#[test]
fn weights_of_another_length_are_refused() {
    let device = device();
    let x = upload(&device, &[2, 3], &[0.0; 6]);
    let w = upload(&device, &[2], &[0.0; 2]);
    let error = ops::layer_norm(&x, Some(&w), None, EPS).unwrap_err();
    assert!(matches!(error, Error::Shape { op: "layer_norm", .. }) && error.to_string().contains("[2]"), "{error}");
    assert!(ops::rms_norm(&Tensor::from_u32(&device, &[1, 1], &[1]).unwrap(), None, &RmsNorm::plain(EPS)).is_err());
    assert!(ops::l2_normalize(&upload(&device, &[2, 0], &[]), EPS).is_err());
    assert!(ops::l2_normalize(&upload(&device, &[0, 2], &[]), EPS).unwrap().value.is_empty());
}
