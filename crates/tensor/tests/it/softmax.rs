use vljepa_tensor::autograd::{self, Tape};
use vljepa_tensor::ops::{self, Layout};
use vljepa_tensor::reference;

use crate::support::{
    assert_close, device, differences, logits, matmul64, narrow, noise, row_devices, sum_tolerance, upload, widen,
};

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
fn softmax_flows_through_the_middle_of_a_graph() {
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
}
