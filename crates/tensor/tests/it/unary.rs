use vljepa_tensor::ops::{self, UnaryOp};
use vljepa_tensor::{Error, autograd, reference};

use crate::support::{assert_close, check_gradients, device, noise, upload};

#[test]
fn unary_functions_equal_the_twin_and_differentiate() {
    let device = device();
    let ops_at = [
        UnaryOp::Affine,
        UnaryOp::Exp,
        UnaryOp::Log,
        UnaryOp::Sqrt,
        // Bounds that no point of the differences crosses.
        UnaryOp::Clamp { low: 1.0, high: 1.6 },
    ];
    for op in ops_at {
        // z = 0.5 x + 1.5 stays in (0.5, 2.5).
        let x: Vec<f32> = noise(7, 67)
            .into_iter()
            .filter(|x| ![-4.0 / 3.0, 0.8 / 3.0].iter().any(|b| (x - b).abs() < 0.02))
            .collect();
        let dy = noise(8, x.len());
        let (xt, dt) = (upload(&device, &[x.len()], &x), upload(&device, &[x.len()], &dy));
        let y = ops::unary(op, &xt, 0.5, 1.5).unwrap().to_f32().unwrap();
        assert_close(&format!("{op:?}"), &y, &reference::unary(op, &x, 0.5, 1.5), 4e-7, 4e-7);
        let dx = ops::unary_backward(op, &xt, &dt, 0.5, 1.5).unwrap().to_f32().unwrap();
        assert_close(&format!("d{op:?}"), &dx, &reference::unary_backward(op, &x, &dy, 0.5, 1.5), 1e-6, 1e-6);
        check_gradients(
            &format!("{op:?} in a graph"),
            &device,
            &[(&[x.len()], x.clone())],
            |v| autograd::unary(op, &v[0], 0.5, 1.5).unwrap(),
            |v| reference::unary(op, &v[0], 0.5, 1.5),
            1e-3,
        );
    }
    // The forms without a line inside are those with the line y = x.
    let x = upload(&device, &[3], &[0.25, 1.0, 2.5]);
    let plain = |op| ops::unary(op, &x, 1.0, 0.0).unwrap().to_f32().unwrap();
    assert_eq!(ops::exp(&x).unwrap().to_f32().unwrap(), plain(UnaryOp::Exp));
    assert_eq!(ops::log(&x).unwrap().to_f32().unwrap(), plain(UnaryOp::Log));
    assert_eq!(ops::sqrt(&x).unwrap().to_f32().unwrap(), plain(UnaryOp::Sqrt));
    let x = upload(&device, &[1], &[1.0]);
    assert!(matches!(ops::clamp(&x, 2.0, 1.0), Err(Error::Invalid(_))));
    assert!(matches!(ops::clamp(&x, f32::NAN, 1.0), Err(Error::Invalid(_))));
}

#[test]
fn absolute_values_on_both_sides_of_zero() {
    let device = device();
    let x: Vec<f32> = noise(9, 131).into_iter().filter(|x| x.abs() > 0.02).chain([0.0, -0.0]).collect();
    let dy = noise(10, x.len());
    let (xt, dt) = (upload(&device, &[x.len()], &x), upload(&device, &[x.len()], &dy));
    assert_eq!(ops::abs(&xt).unwrap().to_f32().unwrap(), reference::unary(UnaryOp::Abs, &x, 1.0, 0.0));
    let dx = ops::unary_backward(UnaryOp::Abs, &xt, &dt, -0.5, 0.0).unwrap().to_f32().unwrap();
    assert_eq!(dx, reference::unary_backward(UnaryOp::Abs, &x, &dy, -0.5, 0.0));
    let x: Vec<f32> = x.into_iter().filter(|x| *x != 0.0).collect();
    check_gradients(
        "abs in a graph",
        &device,
        &[(&[x.len()], x.clone())],
        |v| autograd::abs(&v[0]).unwrap(),
        |v| reference::unary(UnaryOp::Abs, &v[0], 1.0, 0.0),
        1e-3,
    );
}

#[test]
fn sines_and_cosines_over_many_turns() {
    let device = device();
    let x: Vec<f32> = noise(11, 203).into_iter().map(|x| 40.0 * x).chain([0.0, -0.0, std::f32::consts::PI]).collect();
    let dy = noise(12, x.len());
    let (xt, dt) = (upload(&device, &[x.len()], &x), upload(&device, &[x.len()], &dy));
    for op in [UnaryOp::Sin, UnaryOp::Cos] {
        let y = ops::unary(op, &xt, 0.75, -0.5).unwrap().to_f32().unwrap();
        // An angle of thirty is known to two millionths.
        assert_close(&format!("{op:?}"), &y, &reference::unary(op, &x, 0.75, -0.5), 4e-6, 0.0);
        let dx = ops::unary_backward(op, &xt, &dt, 0.75, -0.5).unwrap().to_f32().unwrap();
        assert_close(&format!("d{op:?}"), &dx, &reference::unary_backward(op, &x, &dy, 0.75, -0.5), 4e-6, 0.0);
        let near: Vec<f32> = x.iter().map(|x| x / 20.0).collect();
        check_gradients(
            &format!("{op:?} in a graph"),
            &device,
            &[(&[near.len()], near.clone())],
            |v| autograd::unary(op, &v[0], 0.5, 1.5).unwrap(),
            |v| reference::unary(op, &v[0], 0.5, 1.5),
            1e-3,
        );
    }
}

#[test]
fn more_elements_than_one_dimension_of_workgroups_holds() {
    let device = device();
    let len = 64 * 65_535 + 17;
    let x = ops::full(&device, &[len], 1.5).unwrap();
    let y = ops::unary(UnaryOp::Affine, &x, 2.0, 0.25).unwrap().to_f32().unwrap();
    assert!(y.iter().all(|&v| v == 3.25));
}
