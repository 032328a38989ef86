use vljepa_tensor::autograd::{self, InfoNce, Tape, Var};
use vljepa_tensor::ops::{self, Contrast, Duplicates, Layout};
use vljepa_tensor::reference::{self, Pairs};
use vljepa_tensor::{Error, Tensor};

use crate::support::{assert_close, device, devices, differences, matmul64, noise, row_devices, upload, widen};

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
                    let pairs = Pairs { targets: &own, keys: &keys, duplicates, bidirectional, ..Pairs::default() };
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
        let pairs = Pairs { targets: &[0, 1, 2, 3], bidirectional: true, ..Pairs::default() };
        let want = differences(&widen(&x), 1e-5, |x| {
            let p = matmul64(x, &widen(&a), (rows, dim, inner));
            0.4 * reference::info_nce(&p, &widen(&y), dim, f64::from(1.7f32), &pairs).loss
        });
        assert_close(&name, &grads.get(&xv).unwrap().to_f32().unwrap(), &want, 4e-6, 2e-5);
    }
}

/// Weights of size one with zeros among them.
fn weights(rows: usize) -> Vec<f32> {
    (0..rows).map(|r| if r % 4 == 2 { 0.0 } else { 0.3 + (r * 5 % 7) as f32 * 0.4 }).collect()
}

/// Rows of `dim` of unit length.
fn unit_rows(seed: u64, rows: usize, dim: usize) -> Vec<f32> {
    let x = noise(seed, rows * dim);
    let unit = |row: &[f32]| {
        let norm = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
        row.iter().map(|&v| (f64::from(v) / norm) as f32).collect::<Vec<_>>()
    };
    x.chunks(dim).flat_map(unit).collect()
}

#[test]
fn weighted_info_nce_equals_the_twin_over_awkward_shapes() {
    let dim = 7;
    for (name, device) in devices() {
        for (rows, cols) in [(1, 1), (2, 2), (5, 5), (34, 34), (67, 67), (1, 3), (3, 70)] {
            let (p, y) = (noise(21, rows * dim), unit_rows(22, cols, dim));
            let keys: Vec<u32> = (0..cols).map(|c| (c * c % 7) as u32).collect();
            let kt = Tensor::from_u32(&device, &[cols], &keys).unwrap();
            let w = weights(rows);
            let wt = upload(&device, &[rows], &w);
            let bidirectional = rows == cols;
            let own: Vec<u32> = (0..rows).map(|r| if bidirectional { r } else { (r * 5 + 1) % cols } as u32).collect();
            let targets = Tensor::from_u32(&device, &[rows], &own).unwrap();
            for duplicates in [Duplicates::Negatives, Duplicates::LeftOut, Duplicates::Positives] {
                let start = if bidirectional { InfoNce::bidirectional() } else { InfoNce::to_bank(&targets) };
                let options = start.duplicates(duplicates, &kt).targets_normalised().weights(&wt);
                let tape = Tape::new();
                let leaf = |shape: &[usize], data: &[f32]| tape.leaf(upload(&device, shape, data));
                let (pv, yv, tv) = (leaf(&[rows, dim], &p), leaf(&[cols, dim], &y), leaf(&[1], &[2.3]));
                let out = autograd::info_nce(&pv, &yv, &tv, &options).unwrap();
                assert_eq!(out.target.value().to_f32().unwrap(), y);
                let pairs = Pairs {
                    targets: &own,
                    keys: &keys,
                    duplicates,
                    bidirectional,
                    weights: &widen(&w),
                    targets_normalised: true,
                };
                let want = reference::info_nce(&widen(&p), &widen(&y), dim, f64::from(2.3f32), &pairs);
                let what = format!("{name} {rows}x{cols} {duplicates:?}");
                assert_close(&what, &out.loss.value().to_f32().unwrap(), &[want.loss as f32], 4e-6, 4e-6);
                let grads = tape.backward(&out.loss, Some(upload(&device, &[1], &[1.5]))).unwrap();
                let scaled = |g: &[f64]| g.iter().map(|g| 1.5 * *g as f32).collect::<Vec<_>>();
                let read = |v: &Var| grads.get(v).unwrap().to_f32().unwrap();
                assert_close(&format!("{what} p"), &read(&pv), &scaled(&want.p), 1e-5, 2e-5);
                assert_close(&format!("{what} y"), &read(&yv), &scaled(&want.y), 1e-5, 2e-5);
                assert_close(&format!("{what} scale"), &read(&tv), &scaled(&[want.log_scale]), 1e-5, 2e-5);
            }
        }
    }
}

#[test]
fn weighted_info_nce_flows_through_the_middle_of_a_graph() {
    for (name, device) in devices() {
        let (rows, inner, dim) = (5, 3, 6);
        let (x, a, y) = (noise(23, rows * inner), noise(24, inner * dim), unit_rows(25, rows, dim));
        let w = weights(rows);
        let wt = upload(&device, &[rows], &w);
        let tape = Tape::new();
        let xv = tape.leaf(upload(&device, &[rows, inner], &x));
        let p = autograd::matmul(&xv, &upload(&device, &[inner, dim], &a).into(), Layout::Nn).unwrap();
        let scale = upload(&device, &[1], &[1.7]).into();
        let options = InfoNce::bidirectional().targets_normalised().weights(&wt);
        let out = autograd::info_nce(&p, &upload(&device, &[rows, dim], &y).into(), &scale, &options).unwrap();
        let grads = tape.backward(&out.loss, Some(upload(&device, &[1], &[-0.4]))).unwrap();
        let pairs = Pairs {
            targets: &[0, 1, 2, 3, 4],
            bidirectional: true,
            weights: &widen(&w),
            targets_normalised: true,
            ..Pairs::default()
        };
        let want = differences(&widen(&x), 1e-5, |x| {
            let p = matmul64(x, &widen(&a), (rows, dim, inner));
            -0.4 * reference::info_nce(&p, &widen(&y), dim, f64::from(1.7f32), &pairs).loss
        });
        assert_close(&name, &grads.get(&xv).unwrap().to_f32().unwrap(), &want, 4e-6, 2e-5);
    }
}

#[test]
fn equal_weights_are_none_and_samples_without_weight_have_no_loss() {
    let device = device();
    let (x, t) = (upload(&device, &[4, 4], &noise(26, 16)), upload(&device, &[1], &[1.3]));
    let value = |options: &Contrast<'_>| ops::contrast(&x, &t, options).unwrap().value.to_f32().unwrap()[0];
    let plain = value(&Contrast::bidirectional());
    for equal in [1.0, 0.125, 3e-30, 1e30] {
        let w = upload(&device, &[4], &[equal; 4]);
        assert_close("equal", &[value(&Contrast::bidirectional().weights(&w))], &[plain], 1e-6, 1e-6);
    }
    let gradient = |options: &Contrast<'_>| {
        let loss = ops::contrast(&x, &t, options).unwrap();
        let one = upload(&device, &[1], &[1.0]);
        ops::contrast_backward(&one, &x, &t, &loss.stats, options, false).unwrap().0.to_f32().unwrap()
    };
    let none = upload(&device, &[4], &[0.0; 4]);
    let options = Contrast::bidirectional().weights(&none);
    assert_eq!((value(&options), gradient(&options)), (0.0, vec![0.0; 16]));
    // Row 1 belongs to no column, which alone would make the loss NaN; without weight it is left out.
    let targets = Tensor::from_u32(&device, &[4], &[0, 99, 2, 3]).unwrap();
    let some = upload(&device, &[4], &[1.0, 0.0, 1.0, 2.0]);
    assert!(value(&Contrast::to_bank(&targets)).is_nan());
    let options = Contrast::to_bank(&targets).weights(&some);
    assert!(value(&options).is_finite());
    assert!(gradient(&options)[4..8].iter().all(|&d| d == 0.0));
    for wrong in [upload(&device, &[3], &[1.0; 3]), Tensor::from_u32(&device, &[4], &[1; 4]).unwrap()] {
        assert!(ops::contrast(&x, &t, &Contrast::bidirectional().weights(&wrong)).is_err());
    }
}

#[test]
fn the_loss_gives_out_what_it_compared() {
    let device = device();
    let (p, y) = (noise(27, 12), unit_rows(28, 3, 4));
    let at = |x: &[f32]| Var::constant(upload(&device, &[3, 4], x));
    let t = Var::constant(upload(&device, &[1], &[1.0]));
    let run = |options: &InfoNce<'_>| autograd::info_nce(&at(&p), &at(&y), &t, options).unwrap();
    let read = |v: &Var| v.value().to_f32().unwrap();
    let unit = ops::l2_normalize(&upload(&device, &[3, 4], &p), 1e-12).unwrap().value.to_f32().unwrap();
    let out = run(&InfoNce::default().targets_normalised());
    assert_eq!((read(&out.prediction), read(&out.target)), (unit.clone(), y.clone()));
    let out = run(&InfoNce::default());
    assert_eq!(read(&out.prediction), unit);
    assert_close("target", &read(&out.target), &y, 1e-6, 1e-6);
    let out = run(&InfoNce::default().normalised());
    assert_eq!((read(&out.prediction), read(&out.target)), (p.clone(), y.clone()));
    assert_eq!(InfoNce::default().eps, 1e-12);
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
