use vljepa_tensor::autograd::{self, Tape, Var};
use vljepa_tensor::ops::{self, Layout};
use vljepa_tensor::{Dtype, Error, Tensor, reference};

use crate::support::{
    assert_close, device, devices, differences, matmul64, narrow, noise, row_devices, sum_tolerance, two_devices,
    upload, widen,
};

#[test]
fn rows_reduce_to_sum_mean_and_maximum() {
    for (name, device) in row_devices() {
        for (rows, cols) in [(1, 1), (65, 3), (4, 33), (3, 1025)] {
            let x: Vec<f32> = noise(1, rows * cols).iter().map(|v| v - 0.75).collect();
            let t = upload(&device, &[1, rows, cols], &x);
            let what = format!("{name} {rows}x{cols}");
            let sums: Vec<f64> = widen(&x).chunks(cols).map(|r| r.iter().sum()).collect();
            let means: Vec<f64> = sums.iter().map(|s| s / cols as f64).collect();
            let most: Vec<f32> = x.chunks(cols).map(|r| r.iter().copied().fold(f32::NEG_INFINITY, f32::max)).collect();
            let got = ops::sum_cols(&t).unwrap();
            assert_eq!(got.shape(), [1, rows]);
            // Sums of `cols` terms up to 1.75 pass through partial sums as large as `cols`.
            let tolerance = sum_tolerance(cols) * (cols as f32).sqrt();
            assert_close(&what, &got.to_f32().unwrap(), &narrow(&sums), tolerance, 1e-6);
            let got = ops::mean_cols(&t).unwrap().to_f32().unwrap();
            assert_close(&what, &got, &narrow(&means), tolerance / cols as f32, 1e-6);
            assert_eq!(ops::max_cols(&t).unwrap().to_f32().unwrap(), most, "{what}");
        }
        let low = upload(&device, &[2, 2], &[f32::NEG_INFINITY, f32::NEG_INFINITY, -2.0, f32::INFINITY]);
        assert_eq!(ops::max_cols(&low).unwrap().to_f32().unwrap(), [f32::NEG_INFINITY, f32::INFINITY], "{name}");
    }
}

#[test]
fn whole_tensors_reduce_to_one_number() {
    for (name, device) in devices() {
        // The last needs three steps.
        for len in [1, 1023, 1025, 1_100_003] {
            let (x, b) = (noise(2, len), noise(3, len));
            let (xt, bt) = (upload(&device, &[len], &x), upload(&device, &[len], &b));
            let f = |g: &dyn Fn(usize) -> f64| (0..len).map(g).sum::<f64>() as f32;
            let tolerance = sum_tolerance(len) * 32.0;
            let check = |what: &str, got: Tensor, want: f32, tolerance: f32| {
                assert_eq!(got.shape(), [1]);
                assert_close(&format!("{name} {what} {len}"), &got.to_f32().unwrap(), &[want], tolerance, 1e-6);
            };
            let sum = f(&|i| x[i].into());
            check("sum", ops::sum(&xt).unwrap(), sum, tolerance);
            check("mean", ops::mean(&xt).unwrap(), sum / len as f32, tolerance / len as f32);
            check("dot", ops::dot(&xt, &bt).unwrap(), f(&|i| f64::from(x[i]) * f64::from(b[i])), tolerance);
        }
    }
}

#[test]
fn reductions_give_the_same_bits_each_time() {
    let device = device();
    let x = upload(&device, &[70_001], &noise(4, 70_001));
    let first = ops::sum(&x).unwrap().to_f32().unwrap()[0];
    for _ in 0..3 {
        assert_eq!(ops::sum(&x).unwrap().to_f32().unwrap()[0].to_bits(), first.to_bits());
    }
}

#[test]
fn every_non_finite_number_is_counted() {
    for (name, device) in row_devices() {
        let mut x = noise(5, 1_100_000);
        let clean = upload(&device, &[x.len()], &x);
        assert_eq!(ops::count_non_finite(&[&clean]).unwrap().to_u32().unwrap(), [0], "{name}");
        x[0] = f32::NAN;
        x[1024] = f32::INFINITY;
        x[1_099_999] = f32::NEG_INFINITY;
        let most = upload(&device, &[2], &[f32::MAX, f32::MIN_POSITIVE]);
        let one = upload(&device, &[1], &[-f32::NAN]);
        let bad = upload(&device, &[x.len()], &x);
        assert_eq!(ops::count_non_finite(&[&most, &bad, &clean, &one]).unwrap().to_u32().unwrap(), [4], "{name}");
    }
    assert!(matches!(ops::count_non_finite(&[]), Err(Error::Invalid(_))));
    let empty = upload(&device(), &[0], &[]);
    assert_eq!(ops::count_non_finite(&[&empty]).unwrap().to_u32().unwrap(), [0]);
    assert_eq!(ops::sum(&empty).unwrap().to_f32().unwrap(), [0.0]);
}

#[test]
fn masked_mean_ignores_what_stands_in_pads() {
    for (name, device) in row_devices() {
        for (batch, tokens, cols) in [(1, 1, 1), (3, 5, 67), (2, 130, 3)] {
            let mut x: Vec<f32> = noise(6, batch * tokens * cols).iter().map(|v| v + 0.5).collect();
            let mut mask: Vec<u32> =
                (0..batch * tokens).map(|i| if i * 7 % 3 == 0 { 0 } else { 1 + i as u32 }).collect();
            // The last sample has no real token.
            mask[(batch - 1) * tokens..].fill(0);
            let all = reference::masked_mean(&widen(&x), (batch, tokens, cols), None);
            let got = ops::masked_mean(&upload(&device, &[batch, tokens, cols], &x), None).unwrap();
            let tolerance = sum_tolerance(tokens);
            assert_close(&name, &got.value.to_f32().unwrap(), &narrow(&all), tolerance, 1e-6);

            let want = reference::masked_mean(&widen(&x), (batch, tokens, cols), Some(&mask));
            for (i, v) in x.iter_mut().enumerate().filter(|(i, _)| mask[i / cols] == 0) {
                *v = [f32::NAN, f32::INFINITY, 3e38][i % 3];
            }
            let xt = upload(&device, &[batch, tokens, cols], &x);
            let mt = Tensor::from_u32(&device, &[batch, tokens], &mask).unwrap();
            let got = ops::masked_mean(&xt, Some(&mt)).unwrap();
            assert_close(&name, &got.value.to_f32().unwrap(), &narrow(&want), tolerance, 1e-6);
            let g = noise(7, batch * cols);
            let dx = ops::masked_mean_backward(
                &upload(&device, &[batch, cols], &g),
                Some(&mt),
                &got.factor,
                &[batch, tokens, cols],
            )
            .unwrap();
            let real = |z: usize| mask[z * tokens..(z + 1) * tokens].iter().filter(|&&m| m != 0).count();
            let want: Vec<f32> = (0..x.len())
                .map(|i| {
                    let (token, c) = (i / cols, i % cols);
                    let z = token / tokens;
                    if mask[token] == 0 { 0.0 } else { g[z * cols + c] / real(z) as f32 }
                })
                .collect();
            assert_close(&format!("{name} dx"), &dx.to_f32().unwrap(), &want, 1e-7, 1e-6);
        }
    }
}

#[test]
fn reductions_flow_through_the_middle_of_a_graph() {
    let device = device();
    let (batch, tokens, inner, cols) = (2, 3, 4, 5);
    let (x, a) = (noise(8, batch * tokens * inner), noise(9, inner * cols));
    let mask = [1, 0, 1, 0, 0, 1];
    let mt = Tensor::from_u32(&device, &[batch, tokens], &mask).unwrap();
    type Graph<'a> = &'a dyn Fn(&Var) -> Var;
    type Twin<'a> = &'a dyn Fn(&[f64]) -> Vec<f64>;
    let sums = |z: &[f64]| z.chunks(cols).map(|r| r.iter().sum()).collect::<Vec<f64>>();
    let cases: [(&str, Graph<'_>, Twin<'_>); 5] = [
        ("sum", &|z| autograd::sum(z).unwrap(), &|z| vec![z.iter().sum()]),
        ("mean", &|z| autograd::mean(z).unwrap(), &|z| vec![z.iter().sum::<f64>() / z.len() as f64]),
        ("sum_cols", &|z| autograd::sum_cols(z).unwrap(), &|z| sums(z)),
        ("mean_cols", &|z| autograd::mean_cols(z).unwrap(), &|z| sums(z).iter().map(|s| s / cols as f64).collect()),
        ("masked_mean", &|z| autograd::masked_mean(z, Some(&mt)).unwrap(), &|z| {
            reference::masked_mean(z, (batch, tokens, cols), Some(&mask))
        }),
    ];
    for (what, graph, twin) in cases {
        let tape = Tape::new();
        let xv = tape.leaf(upload(&device, &[batch, tokens, inner], &x));
        let z = autograd::matmul(&xv, &upload(&device, &[inner, cols], &a).into(), Layout::Nn).unwrap();
        let y = graph(&z);
        let seed: Vec<f32> = noise(10, y.value().len()).iter().map(|v| v + 0.3).collect();
        let grads = tape.backward(&y, Some(upload(&device, y.shape(), &seed))).unwrap();
        let want = differences(&widen(&x), 1e-4, |x| {
            let z = matmul64(x, &widen(&a), (batch * tokens, cols, inner));
            twin(&z).iter().zip(&seed).map(|(y, s)| y * f64::from(*s)).sum()
        });
        let got = grads.get(&xv).unwrap();
        assert_eq!(got.shape(), xv.shape());
        assert_close(what, &got.to_f32().unwrap(), &want, 2e-6, 1e-5);
    }
}

#[test]
fn spread_rows_repeats_each_number_over_its_row() {
    for (name, device) in two_devices() {
        // One number over everything, one per element, and more elements than a dimension of workgroups has invocations.
        for (rows, cols) in [(1, 1), (1, 65), (7, 1), (3, 33), (70_001, 61)] {
            let mut x = noise(11, rows);
            // What the first row holds must not reach the others.
            x[0] = f32::NAN;
            let got = ops::spread_rows(&upload(&device, &[rows], &x), &[rows, cols], 0.5).unwrap();
            assert_eq!(got.shape(), [rows, cols]);
            let want = reference::spread_rows(&x, cols, 0.5);
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            let got = got.to_f32().unwrap();
            assert!(got[..cols].iter().all(|v| v.is_nan()), "{name} {rows}x{cols}");
            assert_eq!(bits(&got[cols..]), bits(&want[cols..]), "{name} {rows}x{cols}");
        }
        let none = ops::spread_rows(&upload(&device, &[2], &[1.0; 2]), &[2, 0], 1.0).unwrap();
        assert!(none.to_f32().unwrap().is_empty(), "{name}");
    }
}

#[test]
fn masks_and_shapes_that_do_not_fit_are_refused() {
    let device = device();
    let x = upload(&device, &[2, 3, 1], &[0.0; 6]);
    let mask = Tensor::from_u32(&device, &[3, 2], &[1; 6]).unwrap();
    let error = ops::masked_mean(&x, Some(&mask)).unwrap_err();
    assert!(matches!(error, Error::Shape { op: "masked_mean", .. }) && error.to_string().contains("[3, 2]"), "{error}");
    assert!(ops::masked_mean(&upload(&device, &[2, 3], &[0.0; 6]), None).is_err());
    assert!(ops::masked_mean(&x, Some(&upload(&device, &[2, 3], &[1.0; 6]))).is_err());
    assert!(ops::dot(&x, &upload(&device, &[6], &[0.0; 6])).is_err());
    let none = upload(&device, &[2, 0], &[]);
    assert!(ops::max_cols(&none).is_err());
    assert_eq!(ops::sum_cols(&none).unwrap().to_f32().unwrap(), [0.0; 2]);
    assert!(ops::sum(&mask).is_err());
    let error = ops::spread_rows(&upload(&device, &[4], &[0.0; 4]), &[2, 3], 1.0).unwrap_err();
    assert!(matches!(error, Error::Shape { op: "spread_rows", .. }) && error.to_string().contains("[2, 3]"), "{error}");
}

#[test]
fn column_sums_equal_the_twin_over_long_columns() {
    for (name, device) in two_devices() {
        for (rows, cols) in [(1, 1), (1, 7), (63, 3), (64, 5), (65, 2), (4097, 3), (70_001, 1)] {
            let x = noise(rows as u64, rows * cols);
            let got = ops::sum_rows(&upload(&device, &[rows, cols], &x)).unwrap();
            let want: Vec<f32> = reference::sum_rows(&x, cols);
            let tolerance = f32::EPSILON * 4.0 * (rows as f32).sqrt();
            assert_close(&format!("{name} {rows}x{cols}"), &got.to_f32().unwrap(), &want, tolerance, 1e-6);
        }
        let none = ops::sum_rows(&Tensor::zeros(&device, &[0, 3], Dtype::F32).unwrap()).unwrap();
        assert_eq!(none.to_f32().unwrap(), [0.0; 3]);
    }
}
