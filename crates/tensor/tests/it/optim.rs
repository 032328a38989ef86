use vljepa_tensor::ops::{self, AdamW};
use vljepa_tensor::{Error, Tensor, reference};

use crate::support::{assert_close, device, noise, row_devices, sum_tolerance, two_devices, upload};

#[test]
fn adamw_follows_the_twin_over_steps() {
    for (name, device) in two_devices() {
        let len = 131;
        let mut param: Vec<f64> = noise(1, len).iter().map(|&v| v.into()).collect();
        let (mut m, mut v) = (vec![0.0; len], vec![0.0; len]);
        let start: Vec<f32> = param.iter().map(|&v| v as f32).collect();
        let [pt, mt, vt] = [start, vec![0.0; len], vec![0.0; len]].map(|d| upload(&device, &[len], &d));
        for step in 1..=4 {
            let options = AdamW::new(1e-2 / step as f64).weight_decay(0.1).betas(0.9, 0.98);
            // Sizes from 1e-6 to 1: eps matters for some and not for others.
            let grad: Vec<f32> =
                noise(step + 1, len).iter().enumerate().map(|(i, g)| g * 0.1f32.powi(i as i32 % 7)).collect();
            let factor = [1.0, 0.37, 1.0, 2.0][step as usize - 1];
            let clip = upload(&device, &[2], &[factor, f32::NAN]);
            let clip = (factor != 1.0).then_some(&clip);
            ops::adamw_assign(&pt, &upload(&device, &[len], &grad), &mt, &vt, step, &options, clip).unwrap();
            reference::adamw(&mut param, &grad, &mut m, &mut v, step, &options, factor.into());
        }
        for (what, got, want, abs) in [("param", pt, &param, 2e-7), ("m", mt, &m, 1e-7), ("v", vt, &v, 1e-8)] {
            let want: Vec<f32> = want.iter().map(|&v| v as f32).collect();
            assert_close(&format!("{name}, {what}"), &got.to_f32().unwrap(), &want, abs, 1e-6);
        }
    }
}

#[test]
fn adamw_first_step_moves_by_the_learning_rate() {
    let device = device();
    let [p, m, v] = [[1.0, -2.0, 0.5], [0.0; 3], [0.0; 3]].map(|d| upload(&device, &[3], &d));
    let grad = upload(&device, &[3], &[3.0, -1e-3, 0.0]);
    ops::adamw_assign(&p, &grad, &m, &v, 1, &AdamW::new(0.01).weight_decay(0.0).eps(0.0), None).unwrap();
    // Without decay the first step is lr times the gradient's sign; 0 / 0 is what eps is for.
    let got = p.to_f32().unwrap();
    assert_close("first step", &got[..2], &[0.99, -1.99], 2e-7, 0.0);
    assert!(got[2].is_nan());
    for (step, betas) in [(0, (0.9, 0.9)), (1, (1.0, 0.9)), (1, (0.9, f64::NAN)), (1, (-0.1, 0.9))] {
        let result = ops::adamw_assign(&p, &grad, &m, &v, step, &AdamW::new(0.1).betas(betas.0, betas.1), None);
        assert!(matches!(result, Err(Error::Invalid(_))), "{step} {betas:?}");
    }
    let short = upload(&device, &[2], &[0.0; 2]);
    assert!(matches!(ops::adamw_assign(&p, &short, &m, &v, 1, &AdamW::new(0.1), None), Err(Error::Shape { .. })));
    assert!(ops::adamw_assign(&p, &grad, &m, &m, 1, &AdamW::new(0.1), None).is_err(), "one buffer for both moments");
}

#[test]
fn norms_over_many_tensors_give_one_factor() {
    for (name, device) in row_devices() {
        let data: Vec<Vec<f32>> = [1usize, 63, 4097, 70_001].iter().map(|&n| noise(n as u64, n)).collect();
        let tensors: Vec<Tensor> = data.iter().map(|d| upload(&device, &[d.len()], d)).collect();
        let squares = ops::square_sums(&tensors.iter().collect::<Vec<_>>()).unwrap();
        let want: Vec<f32> =
            data.iter().map(|d| d.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>() as f32).collect();
        assert_close(&format!("{name}, squares"), &squares.to_f32().unwrap(), &want, 0.0, 3e-6);
        for max_norm in [0.5, 1e6] {
            let got = ops::clip_scale(&squares, max_norm).unwrap().to_f32().unwrap();
            let (factor, norm) = reference::clip_scale(data.iter().map(Vec::as_slice), max_norm.into());
            assert_close(&format!("{name}, clip {max_norm}"), &got, &[factor as f32, norm as f32], 0.0, 3e-6);
        }
    }
}

#[test]
fn a_poisoned_gradient_shows_in_its_sum_and_in_the_factor() {
    for (name, device) in row_devices() {
        for poison in [f32::NAN, f32::INFINITY, 1e30] {
            let mut bad = noise(3, 300);
            bad[299] = poison;
            let tensors = [upload(&device, &[5], &noise(2, 5)), upload(&device, &[300], &bad)];
            let squares = ops::square_sums(&[&tensors[0], &tensors[1]]).unwrap();
            let sums = squares.to_f32().unwrap();
            assert!(sums[0].is_finite() && !sums[1].is_finite(), "{name}: {sums:?}");
            let clip = ops::clip_scale(&squares, 1.0).unwrap().to_f32().unwrap();
            assert!(clip[0].is_nan() && !clip[1].is_finite(), "{name}, {poison}: {clip:?}");
        }
    }
    let squares = upload(&device(), &[1], &[1.0]);
    assert!(matches!(ops::clip_scale(&squares, 0.0), Err(Error::Invalid(_))));
    assert!(ops::square_sums(&[]).is_err());
}

#[test]
fn tensors_are_accumulated_scaled_and_averaged_in_place() {
    for (name, device) in two_devices() {
        let (a, b) = (noise(5, 77), noise(6, 77));
        let (at, bt) = (upload(&device, &[7, 11], &a), upload(&device, &[77], &b));
        ops::add_assign(&at, &bt, -0.5).unwrap();
        ops::scale_assign(&at, 3.0, Some(&upload(&device, &[1], &[0.25]))).unwrap();
        ops::ema_assign(&at, &bt, 0.9).unwrap();
        ops::scale_assign(&at, 2.0, None).unwrap();
        let want: Vec<f32> = a.iter().zip(&b).map(|(a, b)| 2.0 * (0.9 * (0.75 * (a - 0.5 * b)) + 0.1 * b)).collect();
        assert_close(&name, &at.to_f32().unwrap(), &want, 5e-7, 0.0);
        assert_close(&name, &bt.to_f32().unwrap(), &b, 0.0, 0.0);
    }
    let device = device();
    let (a, b) = (upload(&device, &[2], &[1.0; 2]), upload(&device, &[3], &[1.0; 3]));
    assert!(matches!(ops::add_assign(&a, &b, 1.0), Err(Error::Shape { .. })));
    assert!(ops::add_assign(&a, &a, 1.0).is_err(), "a tensor added to itself in place");
}

#[test]
fn rows_sum_to_one_number_each() {
    for (name, device) in row_devices() {
        for (rows, cols) in [(1, 1), (3, 7), (65, 33), (5, 257), (70_000, 2)] {
            let x = noise(7, rows * cols);
            let want: Vec<f32> = x.chunks(cols).map(|r| r.iter().map(|&v| f64::from(v)).sum::<f64>() as f32).collect();
            let got = ops::sum_cols(&upload(&device, &[rows, cols], &x)).unwrap();
            assert_eq!(got.shape(), [rows]);
            assert_close(&format!("{name}, {rows}x{cols}"), &got.to_f32().unwrap(), &want, sum_tolerance(cols), 0.0);
        }
    }
}
