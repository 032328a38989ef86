//! The training loss against PyTorch's (`infonce.safetensors`).

use vljepa_model::weights::{SafeTensors, WeightSource, read_f32};
use vljepa_tensor::autograd::{self, InfoNce, Tape};
use vljepa_tensor::{Device, DeviceOptions, Tensor};

use crate::fixtures;

#[track_caller]
fn close(what: &str, got: &Tensor, want: &[f32], scale: f32) {
    let got = got.to_f32().unwrap();
    assert_eq!(got.len(), want.len(), "{what}");
    let size = want.iter().fold(0.0f32, |m, w| m.max(w.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        // Two f32 computations with exponents of up to 14: 14 * 2^-23 each, and some more for sums of eight.
        assert!((g * scale - w).abs() <= 5e-6 * size, "{what} {i}: {} for {w}", g * scale);
    }
}

#[test]
fn loss_and_gradients_equal_the_reference() {
    let bytes = fixtures::bytes("infonce.safetensors");
    let file = SafeTensors::parse("infonce.safetensors", &bytes).unwrap();
    let read = |name: &str| {
        let shape = file.tensor(name).unwrap().shape.to_vec();
        (read_f32(&file, name, &shape).unwrap(), shape)
    };
    let device = Device::open(DeviceOptions::default()).expect("the tests need a GPU adapter");
    let tape = Tape::new();
    let leaf = |name: &str| {
        let (data, shape) = read(name);
        tape.leaf(Tensor::from_f32(&device, &shape, &data).unwrap())
    };
    let (p, y, t) = (leaf("input.prediction"), leaf("input.target"), leaf("input.logit_scale"));
    let out = autograd::info_nce(&p, &y, &t, &InfoNce::bidirectional()).unwrap();
    close("loss", out.loss.value(), &read("out.loss").0, 1.0);
    close("logits", out.cosine.value(), &read("out.logits").0, read("input.logit_scale").0[0].exp());
    let grads = tape.backward(&out.loss, None).unwrap();
    for (name, leaf) in [("prediction", &p), ("target", &y), ("logit_scale", &t)] {
        close(name, grads.get(leaf).unwrap(), &read(&format!("grad.{name}")).0, 1.0);
    }
}
