//! A device that binds less than an MLP's intermediates: token-wise layers run on a part of the rows at a time.

use std::collections::BTreeMap;

use vljepa_model::config::{LlamaConfig, Vjepa2Config};
use vljepa_model::{Forward, LlamaLayers, RandomInit, Vjepa2Encoder};
use vljepa_tensor::autograd::{Tape, Var};
use vljepa_tensor::{Device, DeviceOptions, Tensor};

use crate::fixtures::text;
use crate::parity::{assert_near, device};

/// Holds every weight and every token state of these tests, no MLP's intermediate.
const BINDING: u64 = 128 << 10;

fn narrow_device() -> Device {
    let mut options = DeviceOptions::default();
    options.max_binding = Some(BINDING);
    Device::open(options).unwrap()
}

fn noise() -> RandomInit {
    RandomInit { seed: 5, range: 0.3, logit_scale: 0.0 }
}

fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i * 7919 % 4093) as f32 / 2046.5 - 1.0).collect()
}

/// What Llama layers make of 2 × 149 tokens, and the gradients of the input and of the weights, by name.
fn llama(device: &Device) -> BTreeMap<String, Vec<f32>> {
    let config = LlamaConfig { intermediate_size: 512, ..LlamaConfig::from_json(&text("llama/config.json")).unwrap() };
    let layers = LlamaLayers::load(device, &config, &mut noise(), "model", 0..2, false, true).unwrap();
    let shape = [2, 149, config.hidden_size];
    let x = Tensor::from_f32(device, &shape, &numbers(shape.iter().product())).unwrap();
    let inference = layers.forward(&Forward::inference(), &Var::constant(x.clone()), None).unwrap();
    let tape = Tape::new();
    let f = Forward::training(tape.clone(), |_| true);
    let x = tape.leaf(x);
    let y = layers.forward(&f, &x, None).unwrap();
    assert_near("training", &y.value().to_f32().unwrap(), &inference.value().to_f32().unwrap(), 1e-6);
    let probe = Tensor::from_f32(device, &shape, &numbers(shape.iter().product())).unwrap();
    let mut gradients = tape.backward(&y, Some(probe)).unwrap();
    let input = gradients.take(&x).unwrap();
    let mut all: BTreeMap<String, Vec<f32>> =
        f.gradients(gradients).into_iter().map(|(name, g)| (name, g.to_f32().unwrap())).collect();
    all.insert("input".into(), input.to_f32().unwrap());
    all.insert("output".into(), inference.value().to_f32().unwrap());
    all
}

#[test]
fn a_decoder_layer_gives_the_same_numbers_and_gradients_in_parts() {
    let narrow = narrow_device();
    assert_eq!(narrow.limits().max_storage_buffer_binding_size, BINDING);
    let (got, wanted) = (llama(&narrow), llama(&device()));
    assert!(got.keys().eq(wanted.keys()) && got.len() > 10, "{:?}", got.keys());
    for (name, got) in &got {
        assert_near(name, got, &wanted[name], 1e-5);
    }
}

#[test]
fn an_encoder_gives_the_same_tokens_in_parts() {
    let config = Vjepa2Config::from_json(&text("vjepa2_d32/config.json")).unwrap();
    let config = Vjepa2Config { mlp_ratio: 8.0, ..config };
    let side = 15 * config.patch_size;
    let pixels = numbers(2 * 3 * side * side);
    let run = |device: &Device| {
        let encoder = Vjepa2Encoder::load(device, &config, &mut noise(), "encoder").unwrap();
        let clip = Tensor::from_f32(device, &[1, 2, 3, side, side], &pixels).unwrap();
        encoder.forward(&Forward::inference(), &clip).unwrap().value().to_f32().unwrap()
    };
    assert_near("tokens", &run(&narrow_device()), &run(&device()), 2e-6);
}
