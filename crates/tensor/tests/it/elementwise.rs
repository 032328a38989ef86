use vljepa_tensor::ops::{self, BinaryOp};
use vljepa_tensor::{Error, autograd, reference};

use crate::support::{check_gradients, device, noise, upload};

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
