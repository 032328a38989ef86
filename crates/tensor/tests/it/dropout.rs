use vljepa_tensor::ops::{self, Dropout};
use vljepa_tensor::{Error, autograd, reference};

use crate::support::{assert_close, check_gradients, device, noise, two_devices, upload};

#[test]
fn dropout_draws_by_counter() {
    for (name, device) in two_devices() {
        let x = noise(9, 5001);
        let xt = upload(&device, &[3, 1667], &x);
        let options = Dropout::new(0.3, 0x1234_5678_9abc, 7);
        let y = ops::dropout(&xt, &options).unwrap().to_f32().unwrap();
        assert_close(&name, &y, &reference::dropout(&x, &options), 0.0, 2e-7);
        // 5,001 draws of p = 0.3: five standard deviations are 0.033.
        let dropped = |y: &[f32]| y.iter().filter(|&&v| v == 0.0).count() as f32 / 5001.0;
        assert!((dropped(&y) - 0.3).abs() < 0.033, "{}", dropped(&y));
        for other in [Dropout::new(0.3, 0x1234_5678_9abc, 8), Dropout::new(0.3, 0x9234_5678_9abc, 7)] {
            let z = ops::dropout(&xt, &other).unwrap().to_f32().unwrap();
            let both: Vec<f32> =
                y.iter().zip(&z).map(|(a, b)| if *a == 0.0 && *b == 0.0 { 0.0 } else { 1.0 }).collect();
            assert!((dropped(&both) - 0.09).abs() < 0.02, "two draws are independent: {}", dropped(&both));
        }
    }
    let device = device();
    let options = Dropout::new(0.5, 3, 1);
    check_gradients(
        "dropout",
        &device,
        &[(&[40], noise(10, 40))],
        |v| autograd::dropout(&v[0], &options).unwrap(),
        |v| reference::dropout(&v[0], &options),
        1e-4,
    );
    let x = upload(&device, &[2], &[f32::NAN, 1.0]);
    assert_eq!(ops::dropout(&x, &Dropout::new(0.0, 1, 1)).unwrap().to_f32().unwrap()[1], 1.0);
    for p in [1.0, -0.1, f64::NAN] {
        assert!(matches!(ops::dropout(&x, &Dropout::new(p, 1, 1)), Err(Error::Invalid(_))), "{p}");
    }
}
