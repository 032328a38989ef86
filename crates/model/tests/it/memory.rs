//! A memory of texts behind the Predictor.

use vljepa_model::config::{MemoryConfig, VlJepaConfig};
use vljepa_model::weights::SafeTensors;
use vljepa_model::{Forward, Storage, VlJepa};
use vljepa_tensor::autograd::Tape;

use crate::fixtures::{bytes, text};
use crate::parity::{assert_near, device, upload};

fn model() -> VlJepa {
    let config = VlJepaConfig::from_json(&text("vljepa/config.json")).unwrap();
    let weights = bytes("vljepa/model.safetensors");
    VlJepa::load(&device(), config, &SafeTensors::parse("model", &weights).unwrap()).unwrap()
}

/// Three unit rows.
fn rows(dim: usize) -> Vec<f32> {
    let mut rows: Vec<f32> = (0..3 * dim).map(|i| ((i * 37 % 23) as f32 - 11.0) / 11.0).collect();
    rows.chunks_mut(dim).for_each(unit);
    rows
}

fn unit(row: &mut [f32]) {
    let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
    row.iter_mut().for_each(|v| *v /= norm);
}

#[test]
fn predictions_are_drawn_towards_like_texts_outside_of_training_only() {
    let mut model = model();
    let dim = model.config.embedding_dim;
    let expected = bytes("vljepa/expected.safetensors");
    let clip = upload(&SafeTensors::parse("expected", &expected).unwrap(), "input.pixel_values_videos");
    let predict = |model: &VlJepa, f: &Forward| model.predict(f, &clip, None).unwrap().value().to_f32().unwrap();
    let plain = predict(&model, &Forward::inference());
    let (memory, config) = (rows(dim), MemoryConfig { rows: 3, scale: 5.0, share: 0.25, inv_temperature: Some(7.0) });
    model.remember(&device(), &memory, config).unwrap();

    let mut want = Vec::new();
    for row in plain.chunks(dim) {
        let mut u = row.to_vec();
        unit(&mut u);
        let weights: Vec<f32> =
            memory.chunks(dim).map(|m| (5.0 * m.iter().zip(&u).map(|(a, b)| a * b).sum::<f32>()).exp()).collect();
        let total: f32 = weights.iter().sum();
        let mut recalled: Vec<f32> =
            (0..dim).map(|c| memory.chunks(dim).zip(&weights).map(|(m, w)| m[c] * w / total).sum()).collect();
        unit(&mut recalled);
        want.extend(u.iter().zip(&recalled).map(|(u, r)| 0.75 * u + 0.25 * r));
    }
    assert_near("with a memory", &predict(&model, &Forward::inference()), &want, 1e-5);
    assert!(want.iter().zip(&plain).any(|(a, b)| (a - b).abs() > 0.01), "a test of nothing");
    let training = Forward::training(Tape::new(), |_| true);
    assert_near("in training", &predict(&model, &training), &plain, 1e-6);

    // It travels with the model, and goes without a trace.
    let saved = model.save(Storage::F32).unwrap();
    let again = VlJepaConfig::from_json(&model.config.to_json().unwrap()).unwrap();
    let again = VlJepa::load(&device(), again, &SafeTensors::parse("saved", &saved).unwrap()).unwrap();
    assert_near("loaded", &predict(&again, &Forward::inference()), &want, 1e-5);
    model.forget();
    assert_eq!(predict(&model, &Forward::inference()), plain);
    assert!(!model.config.to_json().unwrap().contains("memory"));
}

#[test]
fn a_memory_that_does_not_fit_is_refused() {
    let mut model = model();
    let dim = model.config.embedding_dim;
    let config = |rows, share| MemoryConfig { rows, scale: 5.0, share, inv_temperature: None };
    for (rows_of, config, word) in [
        (rows(dim), config(2, 0.5), "data"),
        (Vec::new(), config(0, 0.5), "memory.rows"),
        (rows(dim), config(3, 1.5), "memory.share"),
    ] {
        let error = model.remember(&device(), &rows_of, config).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
        assert!(model.config.memory.is_none());
    }
}
