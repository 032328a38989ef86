use vljepa_tensor::{Error, Tensor, autograd, ops, reference};

use crate::support::{assert_close, check_gradients, device, narrow, noise, poison, two_devices, upload, widen};

/// Rows, columns, parts, and the parts that are used: a row, a column, a LeWM block, a part that is both.
const CASES: [(usize, usize, usize, [usize; 3]); 7] = [
    (1, 1, 1, [0, 0, 0]),
    (1, 65, 3, [0, 1, 2]),
    (129, 1, 2, [1, 0, 1]),
    (6, 192, 6, [3, 4, 5]),
    (129, 65, 6, [0, 1, 2]),
    (5, 7, 2, [1, 1, 0]),
    (3, 64, 3, [2, 0, 1]),
];

#[test]
fn modulation_and_its_gradients_equal_the_twin() {
    for (name, device) in two_devices() {
        for (rows, cols, parts, [shift, scale, gate]) in CASES {
            let (len, wide) = (rows * cols, rows * cols * parts);
            let [x, h, grad] = [1, 2, 3].map(|seed| noise(seed, len));
            // What an operator does not use may be anything.
            let with_poison = |used: &[usize]| -> Vec<f32> {
                let part = |i: usize| i / cols % parts;
                noise(4, wide)
                    .into_iter()
                    .enumerate()
                    .map(|(i, v)| if used.contains(&part(i)) { v } else { f32::NAN })
                    .collect()
            };
            let rows_of = |data: &[f32]| upload(&device, &[rows, cols], data);
            let (xt, ht, gt) = (rows_of(&x), rows_of(&h), rows_of(&grad));
            let read = |t: &Tensor| t.to_f32().unwrap();
            let what = format!("{name}, {rows}x{cols}, {parts} parts");
            let check = |label: &str, got: &Tensor, want: &[f64]| {
                assert_close(&format!("{what} {label}"), &read(got), &narrow(want), 4e-7, 4e-7);
            };

            let m = with_poison(&[shift, scale]);
            let mt = upload(&device, &[rows, parts * cols], &m);
            poison(&device, &[len, len, wide]);
            let y = ops::modulate(&xt, &mt, [shift, scale]).unwrap();
            check("y", &y, &reference::modulate(&widen(&x), &widen(&m), cols, parts, [shift, scale]));
            let [dx, dm] =
                ops::modulate_backward(&gt, &xt, &mt, [shift, scale], [true; 2]).unwrap().map(Option::unwrap);
            let [want_x, want_m] =
                reference::modulate_backward(&widen(&grad), &widen(&x), &widen(&m), cols, parts, [shift, scale]);
            assert_eq!((dx.shape(), dm.shape()), (xt.shape(), mt.shape()));
            check("dx", &dx, &want_x);
            check("dm", &dm, &want_m);

            let m = with_poison(&[gate]);
            let mt = upload(&device, &[rows, parts * cols], &m);
            poison(&device, &[len, len, wide]);
            let y = ops::gated_add(&xt, &ht, &mt, gate).unwrap();
            check("gated y", &y, &reference::gated_add(&widen(&x), &widen(&h), &widen(&m), cols, parts, gate));
            let [dh, dm] = ops::gated_add_backward(&gt, &ht, &mt, gate, [true; 2]).unwrap().map(Option::unwrap);
            let [want_h, want_m] =
                reference::gated_add_backward(&widen(&grad), &widen(&h), &widen(&m), cols, parts, gate);
            check("dh", &dh, &want_h);
            check("gated dm", &dm, &want_m);
            let [dh, dm] = ops::gated_add_backward(&gt, &ht, &mt, gate, [false, true]).unwrap();
            assert!(dh.is_none());
            check("gated dm alone", &dm.unwrap(), &want_m);
        }
    }
}

#[test]
fn gradients_flow_through_a_block() {
    let device = device();
    let (rows, cols, parts) = (6, 5, 3);
    let inputs: [(&[usize], Vec<f32>); 3] = [
        (&[2, 3, 5], noise(11, rows * cols)),
        (&[2, 3, 5], noise(12, rows * cols)),
        (&[2, 3, 15], noise(13, rows * cols * parts)),
    ];
    check_gradients(
        "gated residual of a modulated input",
        &device,
        &inputs,
        |v| {
            let inner = autograd::modulate(&v[1], &v[2], [0, 1]).unwrap();
            autograd::gated_add(&v[0], &inner, &v[2], 2).unwrap()
        },
        |v| {
            let [x, h, m] = [0, 1, 2].map(|i| widen(&v[i]));
            let inner = reference::modulate(&h, &m, cols, parts, [0, 1]);
            narrow(&reference::gated_add(&x, &inner, &m, cols, parts, 2))
        },
        1e-4,
    );
    // One side alone on the tape.
    let tape = autograd::Tape::new();
    let (x, m) = (upload(&device, &[1, 2], &[2.0, 3.0]), upload(&device, &[1, 4], &[0.5, 0.25, 1.0, -1.0]));
    let (xv, mv) = (tape.leaf(x.clone()), tape.leaf(m.clone()));
    let y = autograd::modulate(&xv, &m.clone().into(), [0, 1]).unwrap();
    let z = autograd::modulate(&x.into(), &mv, [0, 1]).unwrap();
    let grads = tape.backward(&autograd::add(&y, &z).unwrap(), None).unwrap();
    assert_eq!(grads.get(&xv).unwrap().to_f32().unwrap(), [2.0, 0.0]);
    assert_eq!(grads.get(&mv).unwrap().to_f32().unwrap(), [1.0, 1.0, 2.0, 3.0]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = device();
    let of = |shape: &[usize]| upload(&device, shape, &vec![0.0; shape.iter().product()]);
    let (x, m) = (of(&[4, 3]), of(&[4, 6]));
    let error = ops::modulate(&x, &of(&[2, 6]), [0, 1]).unwrap_err();
    assert!(matches!(error, Error::Shape { op: "modulate", .. }), "{error}");
    assert!(error.to_string().contains("[2, 6]") && error.to_string().contains("[4, 3]"), "{error}");
    for bad in [of(&[4, 7]), of(&[4, 0]), of(&[4, 2])] {
        assert!(ops::modulate(&x, &bad, [0, 0]).is_err(), "{:?}", bad.shape());
    }
    let error = ops::gated_add(&x, &x, &m, 2).unwrap_err();
    assert!(error.to_string().contains("part 2 of 2"), "{error}");
    assert!(ops::modulate(&x, &m, [0, 2]).is_err() && ops::modulate(&x, &m, [2, 0]).is_err());
    assert!(ops::gated_add(&of(&[3, 4]), &x, &m, 0).is_err(), "x of another shape than h");
    assert!(ops::modulate_backward(&of(&[3]), &x, &m, [0, 1], [true; 2]).is_err());
    let ids = Tensor::from_u32(&device, &[4, 6], &[0; 24]).unwrap();
    assert!(matches!(ops::modulate(&x, &ids, [0, 1]), Err(Error::Dtype { .. })));
    assert!(ops::modulate(&of(&[0, 3]), &of(&[0, 6]), [0, 1]).unwrap().is_empty());
}
