use half::f16;
use vljepa_tensor::{Dtype, Error, Tensor, ops, reference};

use crate::support::{assert_close, device, grid, two_devices, upload};

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
