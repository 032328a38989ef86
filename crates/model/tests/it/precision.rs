//! Models with matrices in half precision.

use vljepa_model::config::VlJepaConfig;
use vljepa_model::weights::{SafeTensors, Writer, read_f32};
use vljepa_model::{Forward, ModelError, Precision, Storage, Tokens, VlJepa};
use vljepa_tensor::{Device, DeviceOptions};

use crate::fixtures::{bytes, text};
use crate::parity::{assert_near, device, tokens, upload};

fn config() -> VlJepaConfig {
    VlJepaConfig::from_json(&text("vljepa/config.json")).unwrap()
}

#[test]
fn halves_give_the_embeddings_of_weights_rounded_to_halves() {
    let bytes_of_model = bytes("vljepa/model.safetensors");
    let source = SafeTensors::parse("model", &bytes_of_model).unwrap();
    // The same weights, each matrix rounded, in f32.
    let mut writer = Writer::new();
    for spec in config().tensors() {
        let values = read_f32(&source, &spec.name, &spec.shape).unwrap();
        // Positions, token types and the temperature stay in f32.
        let kept = spec.shape.len() == 1 || spec.name.contains("position_") || spec.name.contains("token_type_");
        let rounded = vljepa_tensor::reference::round_f16(&values);
        writer.f32(&spec.name, &spec.shape, if kept { &values } else { &rounded }).unwrap();
    }
    let rounded = writer.finish().unwrap();
    let rounded = SafeTensors::parse("rounded", &rounded).unwrap();
    let expected = bytes("vljepa/expected.safetensors");
    let expected = SafeTensors::parse("expected", &expected).unwrap();
    let (query, target): (Tokens, Tokens) = (
        tokens(&expected, "input.query_ids", "input.query_mask"),
        tokens(&expected, "input.target_ids", "input.target_mask"),
    );
    let clip = upload(&expected, "input.pixel_values_videos");
    let f = Forward::inference();
    let run = |model: &VlJepa| {
        let prediction = model.predict(&f, &clip, Some(&query)).unwrap().value().to_f32().unwrap();
        (prediction, model.encode_text(&f, &target).unwrap().value().to_f32().unwrap())
    };
    let whole = VlJepa::load(&device(), config(), &rounded).unwrap();
    let halves = VlJepa::load_as(&device(), config(), &source, Precision::F16).unwrap();
    let ((p, t), (want_p, want_t)) = (run(&halves), run(&whole));
    // A driver may flush the halves below 6.1e-5 that these random weights do not avoid.
    assert_near("prediction", &p, &want_p, 1e-4);
    assert_near("target", &t, &want_t, 1e-4);
    let bytes_of = |model: &VlJepa| model.params().iter().map(|p| p.tensor().byte_len()).sum::<u64>();
    assert!(10 * bytes_of(&halves) < 6 * bytes_of(&whole), "{} of {}", bytes_of(&halves), bytes_of(&whole));
    let again = halves.save(Storage::F16).unwrap();
    VlJepa::load(&device(), config(), &SafeTensors::parse("again", &again).unwrap()).unwrap();
}

#[test]
fn bytes_give_nearly_the_embeddings_of_f32() {
    let bytes_of_model = bytes("vljepa/model.safetensors");
    let source = SafeTensors::parse("model", &bytes_of_model).unwrap();
    let expected = bytes("vljepa/expected.safetensors");
    let expected = SafeTensors::parse("expected", &expected).unwrap();
    let query = tokens(&expected, "input.query_ids", "input.query_mask");
    let clip = upload(&expected, "input.pixel_values_videos");
    let f = Forward::inference();
    let run = |model: &VlJepa| model.predict(&f, &clip, Some(&query)).unwrap().value().to_f32().unwrap();
    let whole = VlJepa::load(&device(), config(), &source).unwrap();
    let small = VlJepa::load_as(&device(), config(), &source, Precision::I8).unwrap();
    let (got, want) = (run(&small), run(&whole));
    let dim = config().embedding_dim;
    for (a, b) in got.chunks(dim).zip(want.chunks(dim)) {
        let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(x * y)).sum::<f64>();
        let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
        assert!(cosine > 0.999 && cosine < 1.0 - 1e-9, "{cosine}");
    }
    let bytes_of = |model: &VlJepa| model.params().iter().map(|p| p.tensor().byte_len()).sum::<u64>();
    assert!(10 * bytes_of(&small) < 5 * bytes_of(&whole), "{} of {}", bytes_of(&small), bytes_of(&whole));
}

#[test]
fn a_number_beyond_halves_is_named() {
    let device = Device::open(DeviceOptions::default()).unwrap();
    let model = bytes("vljepa/model.safetensors");
    let source = SafeTensors::parse("model", &model).unwrap();
    let mut writer = Writer::new();
    for spec in config().tensors() {
        let mut values = read_f32(&source, &spec.name, &spec.shape).unwrap();
        if spec.name == "predictor.layers.1.mlp.up_proj.weight" {
            values[37] = -70_000.0;
        }
        writer.f32(&spec.name, &spec.shape, &values).unwrap();
    }
    let large = writer.finish().unwrap();
    let large = SafeTensors::parse("large", &large).unwrap();
    assert!(VlJepa::load(&device, config(), &large).is_ok());
    let error = VlJepa::load_as(&device, config(), &large, Precision::F16).unwrap_err();
    assert!(
        matches!(&error, ModelError::NonFinite { name, index: 37, value } if name.contains("up_proj") && *value == -70_000.0),
        "{error}"
    );
}
