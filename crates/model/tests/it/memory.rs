//! A memory of texts behind the Predictor.

use vljepa_model::config::{MemoryConfig, Recall, VlJepaConfig};
use vljepa_model::weights::SafeTensors;
use vljepa_model::{Forward, Storage, VlJepa};
use vljepa_tensor::autograd::Tape;

use crate::fixtures::{bytes, text};
use crate::parity::{assert_near, device, tokens, upload};

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

/// What a memory makes of vectors.
fn recalled(vectors: &[f32], memory: &[f32], dim: usize, scale: f32, share: f32) -> Vec<f32> {
    let mut out = Vec::new();
    for row in vectors.chunks(dim) {
        let mut u = row.to_vec();
        unit(&mut u);
        let weights: Vec<f32> =
            memory.chunks(dim).map(|m| (scale * m.iter().zip(&u).map(|(a, b)| a * b).sum::<f32>()).exp()).collect();
        let total: f32 = weights.iter().sum();
        let mut recalled: Vec<f32> =
            (0..dim).map(|c| memory.chunks(dim).zip(&weights).map(|(m, w)| m[c] * w / total).sum()).collect();
        unit(&mut recalled);
        out.extend(u.iter().zip(&recalled).map(|(u, r)| (1.0 - share) * u + share * r));
    }
    out
}

#[test]
fn targets_are_drawn_by_a_part_of_their_own() {
    let mut model = model();
    let dim = model.config.embedding_dim;
    let expected = bytes("vljepa/expected.safetensors");
    let target = tokens(&SafeTensors::parse("expected", &expected).unwrap(), "input.target_ids", "input.target_mask");
    let encode = |model: &VlJepa, f: &Forward| model.encode_text(f, &target).unwrap().value().to_f32().unwrap();
    let plain = encode(&model, &Forward::inference());
    let memory = rows(dim);
    let config = |text| MemoryConfig { rows: 3, scale: 5.0, share: 0.25, text, inv_temperature: None };
    model.remember(&device(), &memory, config(None)).unwrap();
    assert_eq!(encode(&model, &Forward::inference()), plain);
    model.remember(&device(), &memory, config(Some(Recall { scale: 3.0, share: 0.4 }))).unwrap();
    let want = recalled(&plain, &memory, dim, 3.0, 0.4);
    assert_near("targets", &encode(&model, &Forward::inference()), &want, 1e-5);
    assert!(want.iter().zip(&plain).any(|(a, b)| (a - b).abs() > 0.01), "a test of nothing");
    assert_near("in training", &encode(&model, &Forward::training(Tape::new(), |_| true)), &plain, 1e-6);
    let error = model.remember(&device(), &memory, config(Some(Recall { scale: 3.0, share: 2.0 }))).unwrap_err();
    assert!(error.to_string().contains("memory.text.share"), "{error}");
}

#[test]
fn predictions_are_drawn_towards_like_texts_outside_of_training_only() {
    let mut model = model();
    let dim = model.config.embedding_dim;
    let expected = bytes("vljepa/expected.safetensors");
    let clip = upload(&SafeTensors::parse("expected", &expected).unwrap(), "input.pixel_values_videos");
    let predict = |model: &VlJepa, f: &Forward| model.predict(f, &clip, None).unwrap().value().to_f32().unwrap();
    let plain = predict(&model, &Forward::inference());
    let config = MemoryConfig { rows: 3, scale: 5.0, share: 0.25, text: None, inv_temperature: Some(7.0) };
    let memory = rows(dim);
    model.remember(&device(), &memory, config).unwrap();

    let want = recalled(&plain, &memory, dim, 5.0, 0.25);
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
    let config = |rows, share| MemoryConfig { rows, scale: 5.0, share, text: None, inv_temperature: None };
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

#[test]
fn a_memory_of_a_model_says_how_many_rows_it_has() {
    let mut json: serde_json::Value = serde_json::from_str(&model().config.to_json().unwrap()).unwrap();
    json["memory"] = serde_json::json!({"scale": 5.0, "share": 0.5});
    let error = VlJepaConfig::from_json(&json.to_string()).unwrap_err().to_string();
    assert!(error.contains("`memory.rows` is 0"), "{error}");
    json["memory"]["rows"] = 3.into();
    assert_eq!(VlJepaConfig::from_json(&json.to_string()).unwrap().memory.unwrap().rows, 3);
}
