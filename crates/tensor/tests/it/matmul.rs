use vljepa_tensor::ops::{self, Layout, Matmul};
use vljepa_tensor::{Activation, Dtype, Error, Tensor, reference};

use crate::support::{assert_close, device, devices, noise, sum_tolerance, two_devices, upload};

fn shapes(layout: Layout, m: usize, n: usize, k: usize) -> ([usize; 2], [usize; 2]) {
    match layout {
        Layout::Nn => ([m, k], [k, n]),
        Layout::Nt => ([m, k], [n, k]),
        Layout::Tn => ([k, m], [k, n]),
    }
}

fn options(layout: Layout) -> Matmul<'static> {
    match layout {
        Layout::Nn => Matmul::nn(),
        Layout::Nt => Matmul::nt(),
        Layout::Tn => Matmul::tn(),
    }
}

#[test]
fn every_layout_and_awkward_shape_equals_the_twin() {
    for (name, device) in devices() {
        for (m, n, k) in
            [(1, 1, 1), (1, 3, 2), (7, 65, 5), (31, 33, 4), (32, 64, 16), (33, 63, 17), (65, 129, 66), (97, 40, 3)]
        {
            for layout in [Layout::Nn, Layout::Nt, Layout::Tn] {
                let (a_shape, b_shape) = shapes(layout, m, n, k);
                let (a, b) = (noise(1, m * k), noise(2, n * k));
                let got = ops::matmul(&upload(&device, &a_shape, &a), &upload(&device, &b_shape, &b), &options(layout))
                    .unwrap();
                assert_eq!(got.shape(), [m, n]);
                let want = reference::matmul(&a, &b, (m, n, k), layout, 1.0, None, Activation::None, None);
                let what = format!("{name}, {layout:?} {m}x{n}x{k}");
                assert_close(&what, &got.to_f32().unwrap(), &want, sum_tolerance(k), 1e-6);
            }
        }
    }
}

#[test]
fn sizes_divisible_by_four_equal_the_twin_in_every_layout() {
    for (name, device) in two_devices() {
        // Partial tiles of rows, of 32 and of 64 columns; one, two and many steps of k.
        for (m, n, k) in [(4, 4, 4), (32, 32, 8), (36, 36, 20), (28, 100, 64), (68, 24, 132), (100, 128, 12)] {
            for layout in [Layout::Nn, Layout::Nt, Layout::Tn] {
                let (a_shape, b_shape) = shapes(layout, m, n, k);
                let (a, b, bias, residual) = (noise(31, m * k), noise(32, n * k), noise(33, n), noise(34, m * n));
                let (biast, rt) = (upload(&device, &[n], &bias), upload(&device, &[m, n], &residual));
                let options = options(layout).bias(Some(&biast)).residual(Some(&rt));
                let got =
                    ops::matmul(&upload(&device, &a_shape, &a), &upload(&device, &b_shape, &b), &options).unwrap();
                let want =
                    reference::matmul(&a, &b, (m, n, k), layout, 1.0, Some(&bias), Activation::None, Some(&residual));
                let what = format!("{name}, {layout:?} {m}x{n}x{k}");
                assert_close(&what, &got.to_f32().unwrap(), &want, sum_tolerance(k), 1e-6);
            }
        }
    }
}

#[test]
fn vectors_and_halves_equal_the_twin() {
    for (name, device) in devices() {
        for (m, n, k) in [(4, 4, 4), (64, 64, 16), (68, 132, 36), (36, 60, 100)] {
            for layout in [Layout::Nn, Layout::Nt, Layout::Tn] {
                // One size that is free to be anything where the layout lets it.
                let (m, k) = if layout == Layout::Tn { (m, k + 1) } else { (m + 1, k) };
                let (a_shape, b_shape) = shapes(layout, m, n, k);
                let (a, b, bias) = (noise(11, m * k), reference::round_f16(&noise(12, n * k)), noise(13, n));
                let (at, bt) = (upload(&device, &a_shape, &a), upload(&device, &b_shape, &b));
                let (biast, residual) = (upload(&device, &[n], &bias), noise(14, m * n));
                let rt = upload(&device, &[m, n], &residual);
                let options = options(layout).bias(Some(&biast)).residual(Some(&rt)).alpha(0.5);
                let none = Activation::None;
                let want = reference::matmul(&a, &b, (m, n, k), layout, 0.5, Some(&bias), none, Some(&residual));
                let what = format!("{name}, {layout:?} {m}x{n}x{k}");
                let got = ops::matmul(&at, &bt, &options).unwrap();
                assert_close(&what, &got.to_f32().unwrap(), &want, sum_tolerance(k), 1e-6);
                let got = ops::matmul(&at, &ops::cast(&bt, Dtype::F16).unwrap(), &options).unwrap();
                // Unpacking may flush halves below 6.1e-5.
                let flushed = 6.2e-5 * 0.5 * 2.0;
                assert_close(&format!("{what}, f16"), &got.to_f32().unwrap(), &want, sum_tolerance(k) + flushed, 1e-6);
            }
        }
    }
}

#[test]
fn bytes_with_scales_equal_the_twin() {
    for (name, device) in devices() {
        for (m, n, k) in [(1, 4, 4), (65, 64, 16), (69, 132, 36), (5, 7, 9), (36, 60, 100)] {
            for layout in [Layout::Nn, Layout::Nt, Layout::Tn] {
                let (a_shape, b_shape) = shapes(layout, m, n, k);
                let (a, mut b, bias) = (noise(21, m * k), noise(22, n * k), noise(23, n));
                // Rows of other sizes, and one of zeros.
                b.chunks_mut(b_shape[1])
                    .enumerate()
                    .for_each(|(i, row)| row.iter_mut().for_each(|v| *v *= [1.0, 9.0, 0.0][i % 3]));
                let quantized = Tensor::from_f32_as_i8(&device, &b_shape, &b).unwrap();
                let rounded = reference::round_i8(&b, b_shape[1]);
                assert_close("read", &quantized.to_f32().unwrap(), &rounded, 0.0, 1e-6);
                let (biast, residual) = (upload(&device, &[n], &bias), noise(24, m * n));
                let rt = upload(&device, &[m, n], &residual);
                let options =
                    options(layout).bias(Some(&biast)).residual(Some(&rt)).alpha(0.5).activation(Activation::Silu);
                let act = Activation::Silu;
                let want = reference::matmul(&a, &rounded, (m, n, k), layout, 0.5, Some(&bias), act, Some(&residual));
                let got = ops::matmul(&upload(&device, &a_shape, &a), &quantized, &options).unwrap();
                let what = format!("{name}, {layout:?} {m}x{n}x{k}");
                assert_close(&what, &got.to_f32().unwrap(), &want, 9.0 * sum_tolerance(k), 2e-6);
            }
        }
        let (z, m, n, k) = (3, 5, 8, 12);
        let (a, b) = (noise(25, z * m * k), noise(26, z * n * k));
        let (at, bt) = (upload(&device, &[z, m, k], &a), Tensor::from_f32_as_i8(&device, &[z, n, k], &b).unwrap());
        let got = ops::matmul(&at, &bt, &Matmul::nt()).unwrap();
        let want = ops::matmul(&at, &upload(&device, &[z, n, k], &reference::round_i8(&b, k)), &Matmul::nt()).unwrap();
        assert_close(&name, &got.to_f32().unwrap(), &want.to_f32().unwrap(), sum_tolerance(k), 1e-6);
    }
}

#[test]
fn a_row_of_bytes_with_a_number_that_is_not_finite_is_nan() {
    for (name, device) in two_devices() {
        let (n, k) = (8, 8);
        let mut b = noise(27, n * k);
        (b[k + 3], b[3 * k], b[3 * k + 1]) = (f32::NAN, f32::NEG_INFINITY, 1.0);
        let bt = Tensor::from_f32_as_i8(&device, &[n, k], &b).unwrap();
        let got = ops::matmul(&upload(&device, &[1, k], &vec![1.0; k]), &bt, &Matmul::nt()).unwrap().to_f32().unwrap();
        let ids = ops::upload_ids(&device, &[n], &(0..n as u32).collect::<Vec<_>>(), n).unwrap();
        let rows = ops::gather_rows(&bt, &ids).unwrap().to_f32().unwrap();
        for i in 0..n {
            let poisoned = i == 1 || i == 3;
            assert_eq!(got[i].is_nan(), poisoned, "{name}, {i}");
            assert!(rows[i * k..][..k].iter().all(|v| v.is_nan() == poisoned), "{name}, {i}");
        }
        assert!(matches!(bt.reshape(&[k * n]), Err(Error::Shape { .. })));
        assert_eq!(bt.reshape(&[2, 4, k]).unwrap().byte_len(), (n * k + 4 * n) as u64);
        assert!(matches!(Tensor::from_f32_as_i8(&device, &[n, k], &b[1..]), Err(Error::Shape { .. })));
        assert!(matches!(ops::cast(&upload(&device, &[1], &[1.0]), Dtype::I8), Err(Error::Dtype { .. })));
    }
}

#[test]
fn vectors_keep_batches_and_infinities_apart() {
    for (name, device) in devices() {
        let (z, m, n, k) = (3, 12, 72, 20);
        let (mut a, mut b) = (noise(15, z * m * k), noise(16, z * n * k));
        a[(m + 11) * k + 19] = f32::NAN;
        b[(2 * n + 71) * k + 3] = f32::INFINITY;
        let (at, bt) = (upload(&device, &[z, m, k], &a), upload(&device, &[z, n, k], &b));
        let got = ops::matmul(&at, &bt, &Matmul::nt()).unwrap();
        let one = |i: usize| {
            let (a, b) = (&a[i * m * k..][..m * k], &b[i * n * k..][..n * k]);
            reference::matmul(a, b, (m, n, k), Layout::Nt, 1.0, None, Activation::None, None)
        };
        let want: Vec<f32> = (0..z).flat_map(one).collect();
        assert_close(&name, &got.to_f32().unwrap(), &want, sum_tolerance(k), 1e-6);
    }
}

#[test]
fn bias_activation_residual_and_factor_are_fused() {
    for (name, device) in devices() {
        let (m, n, k) = (19, 37, 21);
        let (a, b, bias, residual) = (noise(3, m * k), noise(4, n * k), noise(5, n), noise(6, m * n));
        for act in [Activation::None, Activation::Gelu, Activation::GeluTanh, Activation::Silu] {
            let (bt, rt) = (upload(&device, &[n], &bias), upload(&device, &[m, n], &residual));
            let options = Matmul::nt().bias(Some(&bt)).activation(act).residual(Some(&rt)).alpha(0.75);
            let got = ops::matmul(&upload(&device, &[m, k], &a), &upload(&device, &[n, k], &b), &options).unwrap();
            let want = reference::matmul(&a, &b, (m, n, k), Layout::Nt, 0.75, Some(&bias), act, Some(&residual));
            let tolerance = sum_tolerance(k) + 4.0 * f32::EPSILON;
            assert_close(&format!("{name}, {act:?}"), &got.to_f32().unwrap(), &want, tolerance, 2e-6);
        }
    }
}

#[test]
fn batches_share_or_own_the_second_operand() {
    let device = device();
    let (z, m, n, k) = (3, 10, 9, 8);
    let (a, b) = (noise(7, z * m * k), noise(8, z * n * k));
    for (layout, shared) in [
        (Layout::Nn, false),
        (Layout::Nt, false),
        (Layout::Tn, false),
        (Layout::Nn, true),
        (Layout::Nt, true),
        (Layout::Tn, true),
    ] {
        let (a_shape, b_shape) = shapes(layout, m, n, k);
        let at = upload(&device, &[z, a_shape[0], a_shape[1]], &a);
        let bt = if shared {
            upload(&device, &b_shape, &b[..n * k])
        } else {
            upload(&device, &[z, b_shape[0], b_shape[1]], &b)
        };
        let got = ops::matmul(&at, &bt, &options(layout)).unwrap();
        assert_eq!(got.shape(), [z, m, n]);
        let mut want = Vec::new();
        for i in 0..z {
            let bi = if shared { &b[..n * k] } else { &b[i * n * k..(i + 1) * n * k] };
            want.extend(reference::matmul(
                &a[i * m * k..(i + 1) * m * k],
                bi,
                (m, n, k),
                layout,
                1.0,
                None,
                Activation::None,
                None,
            ));
        }
        assert_close(&format!("{layout:?} shared {shared}"), &got.to_f32().unwrap(), &want, sum_tolerance(k), 1e-6);
    }
}

#[test]
fn infinities_stay_in_their_row_and_column() {
    for (name, device) in devices() {
        let (m, n, k) = (34, 66, 7);
        let (mut a, mut b) = (noise(9, m * k), noise(10, n * k));
        a[33 * k + 6] = f32::NAN;
        b[65 * k + 6] = f32::INFINITY;
        let got = ops::matmul(&upload(&device, &[m, k], &a), &upload(&device, &[n, k], &b), &Matmul::nt()).unwrap();
        let want = reference::matmul(&a, &b, (m, n, k), Layout::Nt, 1.0, None, Activation::None, None);
        assert_close(&name, &got.to_f32().unwrap(), &want, sum_tolerance(k), 1e-6);
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused_by_name() {
    let device = device();
    let a = Tensor::from_f32(&device, &[2, 3], &[0.0; 6]).unwrap();
    let b = Tensor::from_f32(&device, &[4, 2], &[0.0; 8]).unwrap();
    let error = ops::matmul(&a, &b, &Matmul::nn()).unwrap_err();
    assert!(matches!(error, Error::Shape { op: "matmul", .. }));
    assert!(error.to_string().contains("[2, 3] by [4, 2]"), "{error}");
    assert!(ops::matmul(&a, &a, &Matmul::nt().bias(Some(&b))).is_err());
    assert!(ops::matmul(&Tensor::from_u32(&device, &[1, 1], &[1]).unwrap(), &a, &Matmul::nn()).is_err());
}
