use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::{Dtype, Error, ops, reference};

use crate::support::{check_gradients, device, noise, two_devices, upload};

#[test]
fn slices_and_concatenations_are_inverse() {
    for (name, device) in two_devices() {
        for shape in [[2, 7, 5], [1, 3, 70], [5, 4, 1]] {
            let x = noise(4, shape.iter().product());
            let xt = upload(&device, &shape, &x);
            for axis in 0..3 {
                let cut = shape[axis] / 2;
                let parts = [(0, cut), (cut, shape[axis] - cut)].map(|(s, n)| ops::slice(&xt, axis, s, n).unwrap());
                let back = ops::concat(&[&parts[0], &parts[1]], axis).unwrap();
                assert_eq!(back.shape(), shape);
                assert_eq!(back.to_f32().unwrap(), x, "{name}, {shape:?} axis {axis}");
                let want: Vec<f32> = (0..x.len())
                    .filter(|i| i / shape[axis + 1..].iter().product::<usize>() % shape[axis] >= cut)
                    .map(|i| x[i])
                    .collect();
                assert_eq!(parts[1].to_f32().unwrap(), want, "{name}, {shape:?} axis {axis}");
            }
        }
    }
    let device = device();
    let (a, b): (&[usize], &[usize]) = (&[2, 3, 4], &[2, 1, 4]);
    // The twin of both together: concatenate along the middle axis, keep positions 1..3.
    let twin = |v: &[Vec<f32>]| {
        let pick = |i: usize| (0..2).flat_map(move |p| (0..4).map(move |c| (i, p + 1, c)));
        let at = |(i, p, c): (usize, usize, usize)| if p < 3 { v[0][(i * 3 + p) * 4 + c] } else { v[1][i * 4 + c] };
        (0..2).flat_map(pick).map(at).chain((0..2).flat_map(|i| (0..4).map(move |c| (i, 3, c))).map(at)).collect()
    };
    let graph = |v: &[Var]| {
        let joined = autograd::concat(&[&v[0], &v[1]], 1).unwrap();
        let middle = autograd::slice(&joined, 1, 1, 2).unwrap().reshape(&[16]).unwrap();
        let last = autograd::slice(&joined, 1, 3, 1).unwrap().reshape(&[8]).unwrap();
        autograd::concat(&[&middle, &last], 0).unwrap()
    };
    check_gradients("concat and slice", &device, &[(a, noise(5, 24)), (b, noise(6, 8))], graph, twin, 1e-4);
    let x = upload(&device, &[2, 3], &[0.0; 6]);
    assert!(matches!(ops::slice(&x, 1, 2, 2), Err(Error::Shape { .. })));
    assert!(ops::slice(&x, 2, 0, 1).is_err() && ops::slice(&x, 0, usize::MAX, 2).is_err());
    assert!(ops::concat(&[], 0).is_err() && ops::concat(&[&x], 2).is_err());
    let error = ops::concat(&[&x, &upload(&device, &[2, 2], &[0.0; 4])], 0).unwrap_err().to_string();
    assert!(error.contains("[2, 3], [2, 2] along axis 0"), "{error}");
    assert!(matches!(ops::slice(&ops::cast(&x, Dtype::F16).unwrap(), 0, 0, 1), Err(Error::Dtype { .. })));
}

#[test]
fn axes_are_reordered() {
    for (name, device) in two_devices() {
        let cases: [(&[usize], &[usize]); 5] = [
            (&[3, 5], &[1, 0]),
            (&[2, 3, 37], &[0, 2, 1]),
            (&[2, 3, 4, 5], &[0, 2, 1, 3]),
            (&[2, 3, 4, 5], &[3, 0, 2, 1]),
            (&[7, 1, 2], &[2, 1, 0]),
        ];
        for (shape, axes) in cases {
            let x = noise(7, shape.iter().product());
            let y = ops::permute(&upload(&device, shape, &x), axes).unwrap();
            let sizes: Vec<usize> = axes.iter().map(|&a| shape[a]).collect();
            assert_eq!(y.shape(), sizes);
            assert_eq!(y.to_f32().unwrap(), reference::permute(&x, shape, axes), "{name}, {shape:?} {axes:?}");
        }
    }
    let shape: &[usize] = &[2, 3, 4];
    check_gradients(
        "permute and transpose",
        &device(),
        &[(shape, noise(8, 24))],
        |v| autograd::transpose(&autograd::permute(&v[0], &[2, 0, 1]).unwrap()).unwrap(),
        |v| reference::permute(&v[0], shape, &[2, 1, 0]),
        1e-4,
    );
    let x = upload(&device(), &[2, 3], &[0.0; 6]);
    assert!(ops::permute(&x, &[0, 0]).is_err() && ops::permute(&x, &[0]).is_err());
    assert!(ops::transpose(&upload(&device(), &[2], &[0.0; 2])).is_err());
}
