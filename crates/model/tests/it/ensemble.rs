//! Several X-Encoders with Predictors as one model.

use std::collections::BTreeMap;

use vljepa_model::config::VlJepaConfig;
use vljepa_model::weights::{SafeTensors, Writer, read_all};
use vljepa_model::{Forward, ModelError, Storage, VlJepa};
use vljepa_tensor::autograd::{InfoNce, Tape, info_nce};

use crate::fixtures::{bytes, text};
use crate::parity::{assert_near, device, tokens, upload};

fn config() -> VlJepaConfig {
    VlJepaConfig::from_json(&text("vljepa/config.json")).unwrap()
}

/// The weights of a model of one member, by name.
fn values(model: &VlJepa) -> BTreeMap<String, Vec<f32>> {
    let saved = model.save(Storage::F32).unwrap();
    read_all(&SafeTensors::parse("saved", &saved).unwrap(), &config().tensors(), &[]).unwrap()
}

#[test]
fn an_ensemble_predicts_the_mean_of_its_members_directions() {
    let model = bytes("vljepa/model.safetensors");
    let one = VlJepa::load(&device(), config(), &SafeTensors::parse("model", &model).unwrap()).unwrap();
    let two = VlJepa::init(&device(), config(), 3).unwrap();
    let both = VlJepaConfig { members: 2, ..config() };
    let (first, second) = (values(&one), values(&two));
    let mut writer = Writer::new();
    for spec in both.tensors() {
        let data = match spec.name.strip_prefix("members.1.") {
            Some(name) => &second[name],
            None => &first[&spec.name],
        };
        writer.f32(&spec.name, &spec.shape, data).unwrap();
    }
    let file = writer.finish().unwrap();
    let source = SafeTensors::parse("both", &file).unwrap();
    let ensemble = VlJepa::load(&device(), both.clone(), &source).unwrap();
    let expected = bytes("vljepa/expected.safetensors");
    let expected = SafeTensors::parse("expected", &expected).unwrap();
    let query = tokens(&expected, "input.query_ids", "input.query_mask");
    let clip = upload(&expected, "input.pixel_values_videos");
    let f = Forward::inference();
    let run = |model: &VlJepa| model.predict(&f, &clip, Some(&query)).unwrap().value().to_f32().unwrap();
    let dim = both.embedding_dim;
    let unit = |rows: Vec<f32>| -> Vec<f32> {
        let length = |row: &[f32]| row.iter().map(|v| v * v).sum::<f32>().sqrt();
        rows.chunks(dim).flat_map(|row| row.iter().map(|v| v / length(row)).collect::<Vec<_>>()).collect()
    };
    let want: Vec<f32> = unit(run(&one)).iter().zip(unit(run(&two))).map(|(a, b)| (a + b) / 2.0).collect();
    assert_near("mean", &run(&ensemble), &want, 1e-5);
    // Saved and loaded it is the same, and every member learns.
    let again = ensemble.save(Storage::F32).unwrap();
    let again = VlJepa::load(&device(), both, &SafeTensors::parse("again", &again).unwrap()).unwrap();
    assert_eq!(run(&again), run(&ensemble));
    let (tape, target) = (Tape::new(), tokens(&expected, "input.target_ids", "input.target_mask"));
    let f = Forward::training(tape.clone(), |_| true);
    let prediction = ensemble.predict(&f, &clip, Some(&query)).unwrap();
    let s = ensemble.encode_text(&f, &target).unwrap();
    let out = info_nce(&prediction, &s, &ensemble.logit_scale(&f), &InfoNce::bidirectional()).unwrap();
    let gradients = f.gradients(tape.backward(&out.loss, None).unwrap());
    for name in
        ["x_encoder.layernorm.weight", "members.1.x_encoder.layernorm.weight", "members.1.predictor_head.weight"]
    {
        let (_, gradient) = gradients.iter().find(|(n, _)| n == name).unwrap();
        assert!(gradient.to_f32().unwrap().iter().any(|v| v.abs() > 1e-9), "{name}");
    }
}

#[test]
fn members_are_counted() {
    let (one, three) = (config(), VlJepaConfig { members: 3, ..config() });
    let shared: u64 = one
        .tensors()
        .iter()
        .filter(|t| t.name.starts_with("y_") || t.name == "logit_scale")
        .map(|t| t.elements())
        .sum();
    assert_eq!(three.parameters(), 3 * one.parameters() - 2 * shared);
    for members in [0, 65] {
        let error = VlJepaConfig { members, ..config() }.validate().unwrap_err();
        assert!(matches!(error, ModelError::Config { .. }) && error.to_string().contains("members"), "{error}");
    }
    assert!(!one.to_json().unwrap().contains("members"), "one member is not worth a key");
    // A file of one member is not one of two.
    let model = bytes("vljepa/model.safetensors");
    let two = VlJepaConfig { members: 2, ..config() };
    let error = VlJepa::load(&device(), two, &SafeTensors::parse("model", &model).unwrap()).unwrap_err();
    assert!(error.to_string().contains("members.1."), "{error}");
}
