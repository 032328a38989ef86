//! Two optimiser steps of a whole VL-JEPA against the reference implementation (`vljepa-model`'s `tests/fixtures`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use vljepa_model::config::VlJepaConfig;
use vljepa_model::weights::{SafeTensors, WeightSource, read_f32, read_i32};
use vljepa_model::{Forward, Tokens, VlJepa};
use vljepa_tensor::autograd::{self, InfoNce, Tape};
use vljepa_tensor::{Device, Tensor};
use vljepa_train::config::OptimizerConfig;
use vljepa_train::optim::Optimizer;

use crate::support::device;

fn bytes(path: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../model/tests/fixtures").join(path);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn get(file: &SafeTensors<'_>, name: &str) -> (Vec<usize>, Vec<f32>) {
    let shape = file.tensor(name).unwrap_or_else(|| panic!("no tensor {name}")).shape.to_vec();
    let values = read_f32(file, name, &shape).unwrap();
    (shape, values)
}

fn tokens(device: &Device, file: &SafeTensors<'_>, name: &str) -> Tokens {
    let shape = file.tensor(&format!("{name}_ids")).unwrap().shape.to_vec();
    let read = |part: &str| read_i32(file, &format!("{name}_{part}"), &shape).unwrap();
    let (ids, mask) = (read("ids"), read("mask"));
    let row = |(ids, mask): (&[i32], &[i32])| -> Vec<u32> {
        ids.iter().zip(mask).filter(|(_, m)| **m == 1).map(|(id, _)| *id as u32).collect()
    };
    let rows: Vec<Vec<u32>> = ids.chunks(shape[1]).zip(mask.chunks(shape[1])).map(row).collect();
    Tokens::new(device, &rows, 0).unwrap()
}

/// AdamW as `{folder}/optimiser.json` says.
fn optimizer_config(folder: &str) -> OptimizerConfig {
    let json: serde_json::Value = serde_json::from_slice(&bytes(&format!("{folder}/optimiser.json"))).unwrap();
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    assert_eq!(number(&json["y_encoder_multiplier"]), vljepa_train::optim::Y_ENCODER_LR_SCALE);
    OptimizerConfig {
        lr: number(&json["learning_rate"]),
        betas: [number(&json["betas"][0]), number(&json["betas"][1])],
        eps: number(&json["eps"]),
        weight_decay: number(&json["weight_decay"]),
        ..OptimizerConfig::default()
    }
}

#[test]
fn two_adamw_steps_of_a_whole_vljepa_equal_the_reference() {
    two_steps("vljepa");
}

#[test]
fn two_adamw_steps_with_gemma3_as_y_encoder_equal_the_reference() {
    two_steps("vljepa_gemma3");
}

fn two_steps(folder: &str) {
    let device = device();
    let config = VlJepaConfig::from_json(std::str::from_utf8(&bytes(&format!("{folder}/config.json"))).unwrap());
    let (weights, expected) =
        (bytes(&format!("{folder}/model.safetensors")), bytes(&format!("{folder}/expected.safetensors")));
    let expected = SafeTensors::parse("expected", &expected).unwrap();
    let weights = SafeTensors::parse("model", &weights).unwrap();
    let model = VlJepa::load(&device, config.unwrap(), &weights).unwrap();
    let (query, target) = (tokens(&device, &expected, "input.query"), tokens(&device, &expected, "input.target"));
    let (shape, pixels) = get(&expected, "input.pixel_values_videos");
    let clip = Tensor::from_f32(&device, &shape, &pixels).unwrap();
    let settings = optimizer_config(folder);
    let mut optimizer = Optimizer::new(&settings, &model.params_by_part(), &|_| false);
    assert_eq!(optimizer.names().count(), model.params().len());

    let loss_and_gradients = || {
        let tape = Tape::new();
        let f = Forward::training(tape.clone(), |_| true);
        let prediction = model.predict(&f, &clip, Some(&query)).unwrap();
        let text = model.encode_text(&f, &target).unwrap();
        let out = autograd::info_nce(&prediction, &text, &model.logit_scale(&f), &InfoNce::bidirectional()).unwrap();
        let gradients = f.gradients(tape.backward(&out.loss, None).unwrap());
        (out.loss.value().to_f32().unwrap()[0], gradients.into_iter().collect::<BTreeMap<_, _>>())
    };
    let losses = get(&expected, "out.loss").1;
    for step in 1..=2 {
        let (loss, gradients) = loss_and_gradients();
        assert!((loss - losses[step - 1]).abs() < 2e-5 * losses[0], "step {step}: {loss}, want {}", losses[step - 1]);
        optimizer.step(&model.params(), &gradients, 1.0, None).unwrap();
        for param in model.params() {
            let name = param.name();
            let rate = optimizer.plan(name).unwrap().lr;
            let (got, want) = (param.tensor().to_f32().unwrap(), get(&expected, &format!("step{step}.{name}")).1);
            let gradient = get(&expected, &format!("grad.{name}")).1;
            // Adam divides a gradient by its own size: an element whose gradient has an error of 2e-5 of the tensor's
            // largest one, at least 2e-7, moves by that share of the rate, by up to twice the rate where it is noise.
            // Gradients that are zero in exact arithmetic are noise as a whole (fixtures' README).
            let largest = gradient.iter().fold(1e-2f32, |m, g| m.max(g.abs()));
            for (i, ((got, want), g)) in got.iter().zip(&want).zip(&gradient).enumerate() {
                let noise = f64::from(2e-5 * largest) / f64::from(g.abs()).max(1e-12);
                let allowed = rate * (4.0 * noise).min(2.1 * step as f64) + 3e-7 * f64::from(want.abs()).max(1.0);
                let off = f64::from((got - want).abs());
                assert!(off <= allowed, "{name}[{i}] after step {step}: {got}, want {want}, allowed {allowed:e}");
            }
        }
    }
    let (loss, _) = loss_and_gradients();
    assert!((loss - losses[2]).abs() < 2e-5 * losses[0], "after both steps: {loss}, want {}", losses[2]);
}
