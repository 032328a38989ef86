use vljepa_tensor::autograd::{self, Tape, Var};
use vljepa_tensor::ops::{
    self, Llama3Scaling, Rope3d, Rope3dForm, RopeHalf, rope_3d_frequencies, rope_half_frequencies,
};
use vljepa_tensor::{Error, Tensor, reference};

use crate::support::{assert_close, device, devices, noise, upload};

/// Two products and a sum of numbers below one, and the kernel's own sines, off by 1e-7 each.
const TOLERANCE: f32 = 6e-7;

/// V-JEPA 2.1's form, its scales no powers of two, and each half of it alone.
const FORMS: [Rope3dForm; 4] = [
    Rope3dForm { paired: false, scale: (1.0, 1.0) },
    Rope3dForm { paired: true, scale: (1.0, 1.0) },
    Rope3dForm { paired: false, scale: (15.0 / 4.0, 15.0 / 6.0) },
    Rope3dForm { paired: true, scale: (15.0 / 23.0, 15.0 / 7.0) },
];

#[test]
fn rope_3d_and_its_transpose_equal_the_twin() {
    for (name, device) in devices() {
        for (batch, n, heads, head_dim, grid) in [(1, 1, 1, 6, (1, 1)), (2, 12, 2, 32, (2, 3)), (1, 70, 3, 64, (7, 5))]
        {
            let frequencies = rope_3d_frequencies(head_dim);
            let f = upload(&device, &[frequencies.len()], &frequencies);
            let x = noise(1, batch * n * heads * head_dim);
            let xt = upload(&device, &[batch, n, heads * head_dim], &x);
            let plain: Vec<u32> = (0..n as u32).collect();
            // Scattered frames, rows and columns, another set for each row of the batch.
            let kept: Vec<u32> = (0..(batch * n) as u32).map(|i| (i * 37 + 5) % 1009).collect();
            for (what, ids, len) in [("all", &plain, 0), ("shared", &kept, n), ("own", &kept, batch * n)] {
                let per_token: Vec<u32> = (0..batch * n).map(|t| ids[t % if len == 0 { n } else { len }]).collect();
                let idt = Tensor::from_u32(&device, &[len.max(1)], &ids[..len.max(1)]).unwrap();
                let sizes = (heads, head_dim);
                for form in FORMS {
                    let options = Rope3d::new(heads, grid, &f).ids((len > 0).then_some(&idt)).form(form);
                    let got = ops::rope_3d(&xt, &options).unwrap();
                    let want = reference::rope_3d(&x, sizes, grid, &frequencies, &per_token, form, false);
                    let what = format!("{name}, {what} {batch}x{n}x{heads}x{head_dim} {form:?}");
                    assert_close(&what, &got.to_f32().unwrap(), &want, TOLERANCE, 1e-6);
                    let got = ops::rope_3d_backward(&xt, &options).unwrap();
                    let want = reference::rope_3d(&x, sizes, grid, &frequencies, &per_token, form, true);
                    assert_close(&what, &got.to_f32().unwrap(), &want, TOLERANCE, 1e-6);
                }
            }
        }
    }
}

#[test]
fn rope_3d_gives_the_golden_vector_and_copies_the_tail() {
    let device = device();
    let mut x: Vec<f32> = (0..64).map(|k| 0.1 * (k + 1) as f32).collect();
    x[63] = f32::NAN;
    let f = upload(&device, &[10], &rope_3d_frequencies(64));
    let ids = Tensor::from_u32(&device, &[1], &[3]).unwrap();
    let options = Rope3d::new(1, (1, 1), &f).ids(Some(&ids));
    let y = ops::rope_3d(&upload(&device, &[1, 1, 64], &x), &options).unwrap().to_f32().unwrap();
    let want = [
        -0.127223, 0.166526, 0.083622, 0.449303, 0.453410, 0.614728, 0.690396, 0.803319, 0.898106, 1.000678, -1.258336,
        1.464136, 0.514946, 1.619601, 1.375287, 1.644273, 1.678381, 1.808063, 1.896211, 2.001431,
    ];
    assert_close("golden", &y[..20], &want, 1e-6, 0.0);
    assert_eq!(y[20..62], x[20..62]);
    assert!(y[63].is_nan());
}

/// Pairs that turn by one angle keep their length, and the transposed map turns them back.
#[test]
fn paired_rope_3d_is_a_rotation() {
    let device = device();
    let (heads, head_dim, n) = (2, 32, 12);
    let f = upload(&device, &[5], &rope_3d_frequencies(head_dim));
    let x = noise(7, n * heads * head_dim);
    let xt = upload(&device, &[1, n, heads * head_dim], &x);
    let options = Rope3d::new(heads, (2, 3), &f).form(FORMS[3]);
    let y = ops::rope_3d(&xt, &options).unwrap();
    let back = ops::rope_3d_backward(&y, &options).unwrap().to_f32().unwrap();
    assert_close("there and back", &back, &x, 2.0 * TOLERANCE, 2e-6);
    let y = y.to_f32().unwrap();
    let square =
        |v: &[f32]| v.iter().map(|v| v * v).collect::<Vec<_>>().chunks(2).map(|p| p[0] + p[1]).collect::<Vec<_>>();
    assert_close("lengths", &square(&y), &square(&x), 4.0 * TOLERANCE, 2e-6);
}

#[test]
fn rope_half_and_its_transpose_equal_the_twin() {
    let scaling = Llama3Scaling {
        factor: 32.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192.0,
    };
    for (name, device) in devices() {
        for (batch, n, heads, head_dim) in [(1, 1, 1, 2), (2, 9, 3, 16), (3, 5, 2, 64)] {
            let frequencies = rope_half_frequencies(head_dim, 500_000.0, Some(&scaling));
            let f = upload(&device, &[frequencies.len()], &frequencies);
            let x = noise(2, batch * n * heads * head_dim);
            let xt = upload(&device, &[batch, n, heads * head_dim], &x);
            let own: Vec<u32> = (0..(batch * n) as u32).map(|i| (i * 7919 + 3) % 131_072).collect();
            let owned = Tensor::from_u32(&device, &[batch, n], &own).unwrap();
            let shifted: Vec<u32> = (0..batch * n).map(|t| (t % n + 8191) as u32).collect();
            let base = RopeHalf::new(heads, &f);
            for (what, positions, options) in
                [("offset", &shifted, base.offset(8191)), ("own", &own, base.positions(Some(&owned)))]
            {
                let what = format!("{name}, {what} {batch}x{n}x{heads}x{head_dim}");
                let got = ops::rope_half(&xt, &options).unwrap().to_f32().unwrap();
                let want = reference::rope_half(&x, (heads, head_dim), &frequencies, positions, false);
                assert_close(&what, &got, &want, TOLERANCE, 1e-6);
                let got = ops::rope_half_backward(&xt, &options).unwrap().to_f32().unwrap();
                let want = reference::rope_half(&x, (heads, head_dim), &frequencies, positions, true);
                assert_close(&what, &got, &want, TOLERANCE, 1e-6);
            }
        }
    }
}

/// `<A x, g> = <x, Aᵀ g>` for a map that is not orthogonal, with another operator before and a seed after.
#[test]
fn gradients_are_the_transposed_maps() {
    let device = device();
    let (batch, n, heads, head_dim) = (2, 6, 2, 20);
    let len = batch * n * heads * head_dim;
    let shape = [batch, n, heads * head_dim];
    let (x, w, seed) = (noise(3, len), noise(4, len), noise(5, len));
    let f3 = upload(&device, &[3], &rope_3d_frequencies(head_dim));
    let fh = upload(&device, &[10], &rope_half_frequencies(head_dim, 10_000.0, None));
    let ids = Tensor::from_u32(&device, &[n], &[4, 0, 17, 3, 8, 30]).unwrap();
    let (o3, oh) = (Rope3d::new(heads, (2, 3), &f3).ids(Some(&ids)), RopeHalf::new(heads, &fh).offset(2));
    let formed = o3.form(FORMS[2]);
    for which in 0..3 {
        let rotate = |x: &Var| match which {
            0 => autograd::rope_3d(x, &o3),
            1 => autograd::rope_3d(x, &formed),
            _ => autograd::rope_half(x, &oh),
        };
        let tape = Tape::new();
        let leaf = tape.leaf(upload(&device, &shape, &x));
        let y = rotate(&rotate(&leaf).unwrap()).unwrap();
        let grads = tape.backward(&y, Some(upload(&device, &shape, &seed))).unwrap();
        let grad = grads.get(&leaf).unwrap().to_f32().unwrap();
        // A direction w through the linear map, against the gradient along w.
        let direction = Var::constant(upload(&device, &shape, &w));
        let moved = rotate(&rotate(&direction).unwrap()).unwrap().value().to_f32().unwrap();
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
        let (left, right) = (dot(&moved, &seed), dot(&w, &grad));
        assert!((left - right).abs() < 1e-5, "{which}: {left} {right}");
        assert!(left.abs() > 0.1, "{which}: a test of nothing");
    }
}

#[test]
fn rope_refuses_what_does_not_fit() {
    let device = device();
    let f = upload(&device, &[10], &rope_3d_frequencies(64));
    let x = upload(&device, &[2, 3, 64], &noise(6, 384));
    let ids = Tensor::from_u32(&device, &[4], &[0; 4]).unwrap();
    let error = ops::rope_3d(&x, &Rope3d::new(1, (2, 2), &f).ids(Some(&ids))).unwrap_err();
    assert!(error.to_string().contains("[4] for tokens [2, 3, 64]"), "{error}");
    for options in [Rope3d::new(3, (2, 2), &f), Rope3d::new(2, (2, 2), &f), Rope3d::new(1, (0, 2), &f)] {
        assert!(matches!(ops::rope_3d(&x, &options), Err(Error::Shape { op: "rope_3d", .. })));
    }
    let form = Rope3dForm { scale: (f32::INFINITY, 1.0), ..Rope3dForm::default() };
    assert!(matches!(ops::rope_3d(&x, &Rope3d::new(1, (2, 2), &f).form(form)), Err(Error::Invalid(_))));
    assert!(matches!(ops::rope_half(&x, &RopeHalf::new(1, &f)), Err(Error::Shape { op: "rope_half", .. })));
    let floats = RopeHalf::new(1, &f).positions(Some(&x));
    assert!(matches!(ops::rope_half(&x, &floats), Err(Error::Dtype { .. })));
}
