use vljepa_tensor::{Activation, autograd, ops, reference};

use crate::support::{assert_close, check_gradients, device, grid, noise, two_devices, upload};

const ACTIVATIONS: [Activation; 3] = [Activation::Gelu, Activation::GeluTanh, Activation::Silu];

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
