use half::f16;
use vljepa_tensor::ops::{self, BinaryOp, UnaryOp};
use vljepa_tensor::{Activation, Dtype, Error, Tensor, autograd, reference};

use crate::support::{assert_close, check_gradients, device, noise, two_devices, upload};

const ACTIVATIONS: [Activation; 3] = [Activation::Gelu, Activation::GeluTanh, Activation::Silu];

fn grid(low: f32, high: f32, len: usize) -> Vec<f32> {
    (0..len).map(|i| low + (high - low) * i as f32 / (len - 1) as f32).collect()
}

#[test]
fn activations_are_exact_to_a_few_units_in_the_last_place() {
    // 4,099 points are no multiple of a workgroup; the polynomial of GELU changes at 0.707.
    let x = grid(-8.0, 8.0, 4099);
    let dy = noise(1, x.len());
    for (name, device) in two_devices() {
        let (xt, gt) = (upload(&device, &[x.len()], &x), upload(&device, &[x.len()], &dy));
        for act in ACTIVATIONS {
            let want: Vec<f32> = x.iter().map(|&x| reference::activate(x.into(), act) as f32).collect();
            let got = ops::activate(&xt, act).unwrap().to_f32().unwrap();
            // The logistic forms round three times: 1 + e, its inverse, the product.
            let rel = if act == Activation::Gelu { 0.0 } else { 1.5 * f32::EPSILON };
            assert_close(&format!("{name}, {act:?}"), &got, &want, 3e-7, rel);
            let want: Vec<f32> =
                (0..x.len()).map(|i| (f64::from(dy[i]) * reference::activate_grad(x[i].into(), act)) as f32).collect();
            let got = ops::activate_backward(&xt, &gt, act).unwrap().to_f32().unwrap();
            assert_close(&format!("{name}, gradient of {act:?}"), &got, &want, 1e-6, 0.0);
        }
    }
}

#[test]
fn activations_of_huge_values_saturate() {
    let device = device();
    let x = [1e4, -1e4, 50.0, -50.0, f32::INFINITY, f32::NAN, 0.0];
    for act in ACTIVATIONS {
        let t = upload(&device, &[7], &x);
        let y = ops::activate(&t, act).unwrap().to_f32().unwrap();
        assert_close(&format!("{act:?}"), &y, &[1e4, 0.0, 50.0, 0.0, f32::INFINITY, f32::NAN, 0.0], 1e-19, 0.0);
        let ones = ops::full(&device, &[4], 1.0).unwrap();
        let slope = ops::activate_backward(&upload(&device, &[4], &x[..4]), &ones, act).unwrap().to_f32().unwrap();
        assert_close(&format!("slope of {act:?}"), &slope, &[1.0, 0.0, 1.0, 0.0], 1e-6, 0.0);
    }
}

#[test]
fn gated_units_equal_the_twin_and_differentiate() {
    for (name, device) in two_devices() {
        for act in [Activation::Silu, Activation::GeluTanh] {
            let shape: &[usize] = &[3, 5, 13];
            let (gate, up, dy) = (noise(2, 195), noise(3, 195), noise(4, 195));
            let gate: Vec<f32> = gate.iter().map(|v| v * 4.0).collect();
            let [g, u, d] = [&gate, &up, &dy].map(|v| upload(&device, shape, v));
            let y = ops::gated(&g, &u, act).unwrap();
            assert_eq!(y.shape(), shape);
            assert_close(&name, &y.to_f32().unwrap(), &reference::gated(&gate, &up, act), 1e-6, 1e-6);
            let (dg, du) = ops::gated_backward(&g, &u, &d, act).unwrap();
            let (want_g, want_u) = reference::gated_backward(&gate, &up, &dy, act);
            assert_close(&format!("{name} dgate"), &dg.to_f32().unwrap(), &want_g, 2e-6, 1e-6);
            assert_close(&format!("{name} dup"), &du.to_f32().unwrap(), &want_u, 1e-6, 1e-6);
        }
    }
    let shape: &[usize] = &[2, 7];
    check_gradients(
        "gated",
        &device(),
        &[(shape, noise(5, 14)), (shape, noise(6, 14))],
        |v| autograd::gated(&v[0], &v[1], Activation::Silu).unwrap(),
        |v| reference::gated(&v[0], &v[1], Activation::Silu),
        1e-3,
    );
}

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
    let x = upload(&device, &[1], &[1.0]);
    assert!(matches!(ops::clamp(&x, 2.0, 1.0), Err(Error::Invalid(_))));
    assert!(matches!(ops::clamp(&x, f32::NAN, 1.0), Err(Error::Invalid(_))));
}

#[test]
fn arithmetic_repeats_the_tail_and_sums_its_gradient() {
    let device = device();
    let cases: [(&[usize], &[usize]); 4] =
        [(&[2, 3, 5], &[3, 5]), (&[2, 3, 5], &[5]), (&[7, 1], &[1]), (&[4, 3], &[4, 3])];
    for (a_shape, b_shape) in cases {
        let inputs = [(a_shape, noise(10, a_shape.iter().product())), (b_shape, noise(11, b_shape.iter().product()))];
        let what = format!("{a_shape:?} {b_shape:?}");
        let twin = |op, sign| move |v: &[Vec<f32>]| reference::binary(op, &v[0], &v[1], 1.0, sign);
        let add = |v: &[autograd::Var]| autograd::add(&v[0], &v[1]).unwrap();
        check_gradients(&format!("add {what}"), &device, &inputs, add, twin(BinaryOp::Add, 1.0), 1e-3);
        let sub = |v: &[autograd::Var]| autograd::sub(&v[0], &v[1]).unwrap();
        check_gradients(&format!("sub {what}"), &device, &inputs, sub, twin(BinaryOp::Add, -1.0), 1e-3);
        let mul = |v: &[autograd::Var]| autograd::mul(&v[0], &v[1]).unwrap();
        check_gradients(&format!("mul {what}"), &device, &inputs, mul, twin(BinaryOp::Mul, 1.0), 1e-3);
    }
    let (a, b) = (upload(&device, &[2, 3], &[0.0; 6]), upload(&device, &[2], &[0.0; 2]));
    assert!(matches!(ops::add(&a, &b), Err(Error::Shape { .. })));
}

#[test]
fn more_elements_than_one_dimension_of_workgroups_holds() {
    let device = device();
    let len = 64 * 65_535 + 17;
    let x = ops::full(&device, &[len], 1.5).unwrap();
    let y = ops::unary(UnaryOp::Affine, &x, 2.0, 0.25).unwrap().to_f32().unwrap();
    assert!(y.iter().all(|&v| v == 3.25));
}

#[test]
fn casts_round_as_ieee_says() {
    for (name, device) in two_devices() {
        let mut x = grid(-3.0, 3.0, 501);
        // Ties to even, subnormals, the largest half, overflow, infinities and NaN; an odd number of elements.
        x.extend([2049.0, 2051.0, 1.0 + 1.0 / 2048.0, 1.0 + 3.0 / 2048.0, 65504.0, 65519.9, 65520.0, -1e9, 1e-5, 3e-8]);
        x.extend([6.1e-5, -6.0e-8, 0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 6.55e4, -7.77e-6, 0.333]);
        let half = ops::cast(&upload(&device, &[x.len()], &x), Dtype::F16).unwrap();
        assert_eq!(half.dtype(), Dtype::F16);
        let want = reference::round_f16(&x);
        assert_close(&format!("{name}, to f16"), &half.to_f32().unwrap(), &want, 0.0, 0.0);
        // A driver may flush subnormal halves when it unpacks them.
        let back = ops::cast(&half, Dtype::F32).unwrap().to_f32().unwrap();
        assert_close(&format!("{name}, to f32"), &back, &want, 6.2e-5 * 0.999, 0.0);
        let normal: Vec<usize> = (0..x.len()).filter(|&i| want[i].abs() >= 6.2e-5).collect();
        assert!(normal.iter().all(|&i| back[i] == want[i]), "{name}: normal halves unpack exactly");
    }
    let device = device();
    let u = ops::cast(&upload(&device, &[5], &[0.9, 7.0, -3.0, 1e12, f32::NAN]), Dtype::U32).unwrap();
    assert_eq!(u.to_u32().unwrap(), [0, 7, 0, 4_294_967_040, 0]);
    let f = ops::cast(&Tensor::from_u32(&device, &[3], &[0, 9, 16_777_215]).unwrap(), Dtype::F32).unwrap();
    assert_eq!(f.to_f32().unwrap(), [0.0, 9.0, 16_777_215.0]);
    let h = Tensor::from_f16(&device, &[1], &[f16::ONE]).unwrap();
    let i = Tensor::from_f32_as_i8(&device, &[1, 4], &[1.0, 2.0, 3.0, 4.0]).unwrap();
    let (one, id) = (upload(&device, &[1], &[1.0]), Tensor::from_u32(&device, &[1], &[1]).unwrap());
    for (x, to) in [
        (&h, Dtype::U32),
        (&h, Dtype::I8),
        (&id, Dtype::F16),
        (&id, Dtype::I8),
        (&i, Dtype::F16),
        (&i, Dtype::U32),
        (&one, Dtype::I8),
    ] {
        assert!(matches!(ops::cast(x, to), Err(Error::Dtype { .. })), "{:?} to {to:?}", x.dtype());
    }
}
