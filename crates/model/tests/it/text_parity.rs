//! Text encoders against the reference implementations, through the fixtures.

use std::borrow::Cow;

use vljepa_model::config::{
    Gemma3Config, Pooling, Qwen3Config, TextEncoderConfig, VlJepaConfig, YEncoderConfig, renamed,
};
use vljepa_model::weights::{SafeTensors, TensorView, WeightSource};
use vljepa_model::{DecoderEncoder, Forward, TextEncoder, Tokens, VlJepa, YEncoder, checkpoint_prefix};
use vljepa_tensor::autograd::{self, InfoNce, Tape};

use crate::fixtures::{bytes, text};
use crate::parity::{assert_gradients, assert_near, device, get, tokens, upload};

/// Holds every layer, the output and the gradients of an encoder against `{folder}/expected.safetensors`.
fn hold(folder: &str, encoder: &DecoderEncoder, layers: usize, tolerance: f32) {
    let expected = bytes(&format!("{folder}/expected.safetensors"));
    let expected = SafeTensors::parse("expected", &expected).unwrap();
    let tokens = tokens(&expected, "input.input_ids", "input.attention_mask");
    // The probe is zero on padded rows, whose values need not agree.
    let (_, probe) = get(&expected, "probe");
    let masked =
        |v: Vec<f32>| -> Vec<f32> { v.iter().zip(&probe).map(|(v, p)| if *p == 0.0 { 0.0 } else { *v }).collect() };
    let states = encoder.hidden_states(&Forward::inference(), &tokens).unwrap();
    assert_eq!(states.len(), layers + 1);
    for (i, state) in states.iter().enumerate() {
        let name = i.checked_sub(1).map_or("out.embeddings".to_owned(), |i| format!("out.layer.{i}"));
        let want = masked(get(&expected, &name).1);
        assert_near(&format!("{folder} {name}"), &masked(state.value().to_f32().unwrap()), &want, tolerance);
    }
    let tape = Tape::new();
    let f = Forward::training(tape.clone(), |_| true);
    let output = encoder.forward(&f, &tokens).unwrap();
    let want = masked(get(&expected, "out.last_hidden_state").1);
    assert_near(folder, &masked(output.value().to_f32().unwrap()), &want, tolerance);
    let gradients = tape.backward(&output, Some(upload(&expected, "probe"))).unwrap();
    let gradients = f.gradients(gradients);
    assert_eq!(gradients.len(), encoder.params().len(), "every parameter gets a gradient");
    assert_gradients(&expected, &gradients, 5e-5);
}

#[test]
fn gemma3_equals_the_reference() {
    let config = Gemma3Config::from_json(&text("gemma3/config.json")).unwrap();
    assert_eq!((config.sliding_window, config.attention_window()), (8, 5));
    let weights = bytes("gemma3/model.safetensors");
    let weights = SafeTensors::parse("model", &weights).unwrap();
    let encoder = DecoderEncoder::load_gemma3(&device(), &config, &mut &weights, "").unwrap();
    hold("gemma3", &encoder, 6, 1e-5);
}

#[test]
fn qwen3_equals_the_reference() {
    let config = Qwen3Config::from_json(&text("qwen3/config.json")).unwrap();
    let weights = bytes("qwen3/model.safetensors");
    let weights = SafeTensors::parse("model", &weights).unwrap();
    let encoder = DecoderEncoder::load_qwen3(&device(), &config, &mut &weights, "").unwrap();
    hold("qwen3", &encoder, 2, 1e-5);

    // Last-token pooling, by the configuration's default.
    let config = YEncoderConfig::new(TextEncoderConfig::from_json(&text("qwen3/config.json")).unwrap());
    assert_eq!(config.pooling, Pooling::Last);
    let encoder = YEncoder::load(&device(), &config, &mut &weights, "").unwrap();
    let expected = bytes("qwen3/expected.safetensors");
    let expected = SafeTensors::parse("expected", &expected).unwrap();
    let tokens = tokens(&expected, "input.input_ids", "input.attention_mask");
    let pooled = encoder.forward(&Forward::inference(), &tokens).unwrap().value().to_f32().unwrap();
    assert_near("last token", &pooled, &get(&expected, "out.last_pooled").1, 1e-5);
}

/// A file whose names have a prefix, as checkpoints of the language models have.
struct Under<'a>(&'a SafeTensors<'a>, &'static str);

impl WeightSource for Under<'_> {
    fn names(&self) -> Vec<Cow<'_, str>> {
        self.0.names().into_iter().map(|n| Cow::Owned(format!("{}{n}", self.1))).collect()
    }

    fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        self.0.tensor(name.strip_prefix(self.1)?)
    }
}

#[test]
fn names_load_with_and_without_their_prefix() {
    let config = Qwen3Config::from_json(&text("qwen3/config.json")).unwrap();
    let weights = bytes("qwen3/model.safetensors");
    let weights = SafeTensors::parse("model", &weights).unwrap();
    assert_eq!(checkpoint_prefix(&weights), "");
    let under = Under(&weights, "model.");
    assert_eq!(checkpoint_prefix(&under), "model.");
    let tokens = Tokens::new(&device(), &[vec![3, 1, 4, 1, 5]], 0).unwrap();
    let run = |source: &mut &dyn WeightSource, prefix| {
        let encoder = DecoderEncoder::load_qwen3(&device(), &config, source, prefix).unwrap();
        let mut specs = renamed(config.tensors(), "", prefix);
        let mut own = encoder.tensors();
        specs.sort_by(|a, b| a.name.cmp(&b.name));
        own.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(own, specs);
        encoder.forward(&Forward::inference(), &tokens).unwrap().value().to_f32().unwrap()
    };
    let (bare, prefixed): (&dyn WeightSource, &dyn WeightSource) = (&weights, &under);
    assert_eq!(run(&mut { bare }, ""), run(&mut { prefixed }, "model."));
}

/// Tiny encoders of both kinds with their fixture's weights.
fn encoders() -> Vec<(&'static str, YEncoder)> {
    ["gemma3", "qwen3"]
        .into_iter()
        .map(|folder| {
            let config = TextEncoderConfig::from_json(&text(&format!("{folder}/config.json"))).unwrap();
            let weights = bytes(&format!("{folder}/model.safetensors"));
            let weights = SafeTensors::parse("model", &weights).unwrap();
            let encoder = YEncoder::load(&device(), &YEncoderConfig::new(config), &mut &weights, "").unwrap();
            (folder, encoder)
        })
        .collect()
}

#[test]
fn padding_and_neighbours_do_not_change_a_text() {
    let long: Vec<u32> = (0..40).map(|i| 3 + i % 50).collect();
    for (name, encoder) in encoders() {
        let run = |texts: &[Vec<u32>], pad| {
            let tokens = Tokens::new(&device(), texts, pad).unwrap();
            encoder.forward(&Forward::inference(), &tokens).unwrap().value().to_f32().unwrap()
        };
        let alone = run(&[vec![9, 8, 7]], 0);
        for pad in [0, 63] {
            let beside = run(&[vec![9, 8, 7], long.clone(), vec![]], pad);
            let width = alone.len();
            assert_near(name, &beside[..width], &alone, 2e-6);
            assert!(beside[2 * width..].iter().all(|v| *v == 0.0), "{name}: a text without tokens pools to zeros");
            assert_near(name, &beside[width..2 * width], &run(std::slice::from_ref(&long), 0), 2e-6);
        }
    }
}

#[test]
fn texts_that_do_not_fit_are_refused() {
    for (name, encoder) in encoders() {
        let refused = |text: Vec<u32>, part: &str| {
            let tokens = Tokens::new(&device(), &[text], 0).unwrap();
            let line = encoder.forward(&Forward::inference(), &tokens).unwrap_err().to_string();
            assert!(line.contains(part), "{name}: {line}");
        };
        let (rows, positions) = (encoder.text_encoder().vocab_size(), encoder.text_encoder().max_tokens());
        refused(vec![1, rows as u32], &format!("token id {rows} outside the vocabulary of {rows}"));
        refused(vec![1; positions + 1], &format!("{} tokens, the model has {positions}", positions + 1));
    }
}

#[test]
fn a_fresh_gemma_starts_with_norms_of_one() {
    let config = VlJepaConfig::from_json(&text("vljepa_gemma3/config.json")).unwrap();
    let model = VlJepa::init(&device(), config, 3).unwrap();
    let value = |name: &str| {
        let param = model.params().into_iter().find(|p| p.name() == name).unwrap_or_else(|| panic!("{name}"));
        param.tensor().to_f32().unwrap()
    };
    assert!(value("y_encoder.layers.0.self_attn.q_norm.weight").iter().all(|v| *v == 0.0));
    assert!(value("y_encoder.norm.weight").iter().all(|v| *v == 0.0));
    assert!(value("predictor.norm.weight").iter().all(|v| *v == 1.0));
    assert!(value("y_encoder.layers.1.self_attn.o_proj.weight").iter().any(|v| *v != 0.0));
}

#[test]
fn a_vljepa_with_gemma3_equals_the_reference() {
    let config = VlJepaConfig::from_json(&text("vljepa_gemma3/config.json")).unwrap();
    assert_eq!(config, VlJepaConfig::from_json(&config.to_json().unwrap()).unwrap());
    let (weights, expected) = (bytes("vljepa_gemma3/model.safetensors"), bytes("vljepa_gemma3/expected.safetensors"));
    let weights = SafeTensors::parse("model", &weights).unwrap();
    let expected = SafeTensors::parse("expected", &expected).unwrap();
    let model = VlJepa::load(&device(), config, &weights).unwrap();
    let query = tokens(&expected, "input.query_ids", "input.query_mask");
    let target = tokens(&expected, "input.target_ids", "input.target_mask");
    let clip = upload(&expected, "input.pixel_values_videos");
    let tape = Tape::new();
    let f = Forward::training(tape.clone(), |_| true);
    let prediction = model.predict(&f, &clip, Some(&query)).unwrap();
    let pooled = model.pool_text(&f, &target).unwrap();
    let s = model.project_text(&f, &pooled).unwrap();
    for (name, got) in [("prediction", &prediction), ("target_pooled", &pooled), ("target", &s)] {
        assert_near(name, &got.value().to_f32().unwrap(), &get(&expected, &format!("out.{name}")).1, 2e-5);
    }
    let out = autograd::info_nce(&prediction, &s, &model.logit_scale(&f), &InfoNce::bidirectional()).unwrap();
    assert_near("loss", &out.loss.value().to_f32().unwrap(), &get(&expected, "out.loss").1[..1], 1e-5);
    let gradients = tape.backward(&out.loss, None).unwrap();
    assert_gradients(&expected, &f.gradients(gradients), 5e-5);
}
