//! Blocks against the reference implementations, through the fixtures.

use vljepa_model::config::{BertConfig, LlamaConfig, Vjepa2Config, VlJepaConfig};
use vljepa_model::weights::{SafeTensors, WeightSource, read_f32, read_i32};
use vljepa_model::{Bert, Forward, LlamaLayers, TextEncoder, TextTokenizer, Tokens, Vjepa2Encoder, VlJepa};
use vljepa_tensor::autograd::{Gradients, InfoNce, Tape, Var};
use vljepa_tensor::{Device, DeviceOptions, Tensor, autograd, ops};

use crate::fixtures::{self, bytes, text};

pub fn device() -> Device {
    static DEVICE: std::sync::OnceLock<Device> = std::sync::OnceLock::new();
    DEVICE
        .get_or_init(|| {
            let device = Device::open(DeviceOptions::default()).expect("the tests need a GPU adapter");
            eprintln!("adapter: {}", device.info().name);
            device
        })
        .clone()
}

/// A fixture's tensor with its own shape.
pub fn get(file: &SafeTensors<'_>, name: &str) -> (Vec<usize>, Vec<f32>) {
    let shape = file.tensor(name).unwrap_or_else(|| panic!("no tensor {name}")).shape.to_vec();
    let values = read_f32(file, name, &shape).unwrap();
    (shape, values)
}

pub fn upload(file: &SafeTensors<'_>, name: &str) -> Tensor {
    let (shape, values) = get(file, name);
    Tensor::from_f32(&device(), &shape, &values).unwrap()
}

pub fn tokens(file: &SafeTensors<'_>, ids: &str, mask: &str) -> Tokens {
    let shape = file.tensor(ids).unwrap().shape.to_vec();
    let (ids, mask) = (read_i32(file, ids, &shape).unwrap(), read_i32(file, mask, &shape).unwrap());
    let rows: Vec<Vec<u32>> = ids
        .chunks(shape[1])
        .zip(mask.chunks(shape[1]))
        .map(|(ids, mask)| ids.iter().zip(mask).filter(|(_, m)| **m == 1).map(|(i, _)| *i as u32).collect())
        .collect();
    Tokens::new(&device(), &rows, 0).unwrap()
}

/// Largest difference relative to the largest reference value.
#[track_caller]
pub fn assert_near(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len(), "{what}");
    let scale = want.iter().fold(1e-6f32, |m, v| m.max(v.abs()));
    let worst = got
        .iter()
        .zip(want)
        .map(|(g, w)| (g - w).abs())
        .fold(0.0f32, |m, d| if d.is_nan() { f32::NAN } else { m.max(d) });
    assert!(worst <= tolerance * scale, "{what}: off by {worst}, scale {scale}");
}

/// Gradients of all parameters against `grad.*`: norm of the difference relative to the norm of the gradient, for those
/// that are not zero in exact arithmetic.
pub fn assert_gradients(file: &SafeTensors<'_>, gradients: &[(String, Tensor)], tolerance: f32) {
    let mut compared = 0;
    for name in file.names().iter().filter_map(|n| n.strip_prefix("grad.")).filter(|n| !n.starts_with("input.")) {
        let (_, want) = get(file, &format!("grad.{name}"));
        let norm = want.iter().map(|v| v * v).sum::<f32>().sqrt();
        let Some((_, got)) = gradients.iter().find(|(n, _)| n == name) else {
            assert!(norm < 1e-6, "{name}: no gradient");
            continue;
        };
        let got = got.to_f32().unwrap();
        assert_eq!(got.len(), want.len(), "{name}");
        let off = got.iter().zip(&want).map(|(g, w)| (g - w) * (g - w)).sum::<f32>().sqrt();
        assert!(off <= tolerance * norm + 3e-5, "{name}: gradient off by {off} of {norm}");
        compared += 1;
    }
    assert!(compared > 5);
}

fn backward(tape: &Tape, output: &Var, probe: Tensor) -> Gradients {
    tape.backward(output, Some(probe)).unwrap()
}

#[test]
fn vjepa2_encoder_equals_the_reference() {
    for folder in ["vjepa2_d64", "vjepa2_d32"] {
        let config = Vjepa2Config::from_json(&text(&format!("{folder}/config.json"))).unwrap();
        let (weights, expected) =
            (bytes(&format!("{folder}/model.safetensors")), bytes(&format!("{folder}/expected.safetensors")));
        let weights = SafeTensors::parse("model", &weights).unwrap();
        let expected = SafeTensors::parse("expected", &expected).unwrap();
        let encoder = Vjepa2Encoder::load(&device(), &config, &mut &weights, "encoder").unwrap();
        let clip = upload(&expected, "input.pixel_values_videos");
        let states = encoder.hidden_states(&Forward::inference(), &clip).unwrap();
        assert_near(folder, &states[0].value().to_f32().unwrap(), &get(&expected, "out.patch_embeddings").1, 2e-6);
        for i in 0..config.num_hidden_layers {
            let want = get(&expected, &format!("out.layer.{i}")).1;
            assert_near(&format!("{folder} layer {i}"), &states[i + 1].value().to_f32().unwrap(), &want, 1e-5);
        }
        let tape = Tape::new();
        let f = Forward::training(tape.clone(), |_| true);
        let output = encoder.forward(&f, &clip).unwrap();
        assert_near(folder, &output.value().to_f32().unwrap(), &get(&expected, "out.last_hidden_state").1, 1e-5);
        let gradients = backward(&tape, &output, upload(&expected, "probe"));
        assert_gradients(&expected, &f.gradients(gradients), 2e-5);
    }
}

#[test]
fn llama_layers_equal_the_reference() {
    let config = LlamaConfig::from_json(&text("llama/config.json")).unwrap();
    let weights = bytes("llama/model.safetensors");
    let weights = SafeTensors::parse("model", &weights).unwrap();
    let expected = bytes("llama/expected_bidirectional.safetensors");
    let expected = SafeTensors::parse("expected", &expected).unwrap();
    let layers = LlamaLayers::load(&device(), &config, &mut &weights, "model", 1..3, false, true).unwrap();
    let tape = Tape::new();
    let f = Forward::training(tape.clone(), |_| true);
    let shape = expected.tensor("input.attention_mask").unwrap().shape.to_vec();
    let mask: Vec<u32> =
        read_i32(&expected, "input.attention_mask", &shape).unwrap().into_iter().map(|m| m as u32).collect();
    let mask = Tensor::from_u32(&device(), &shape, &mask).unwrap();
    let output = layers.forward(&f, &Var::constant(upload(&expected, "input.inputs_embeds")), Some(&mask)).unwrap();
    assert_near("bidirectional", &output.value().to_f32().unwrap(), &get(&expected, "out.last_hidden_state").1, 1e-5);
    let gradients = backward(&tape, &output, upload(&expected, "probe"));
    assert_gradients(&expected, &f.gradients(gradients), 2e-5);

    let expected = bytes("llama/expected_causal.safetensors");
    let expected = SafeTensors::parse("expected", &expected).unwrap();
    let layers = LlamaLayers::load(&device(), &config, &mut &weights, "model", 0..3, true, true).unwrap();
    let ids: Vec<u32> = read_i32(&expected, "input.input_ids", &shape).unwrap().into_iter().map(|m| m as u32).collect();
    let ids = Tensor::from_u32(&device(), &shape, &ids).unwrap();
    let table = Var::constant(upload(&weights, "model.embed_tokens.weight"));
    let words =
        autograd::gather_rows(&table, &ids).unwrap().reshape(&[shape[0], shape[1], config.hidden_size]).unwrap();
    let output = layers.forward(&Forward::inference(), &words, Some(&mask)).unwrap();
    assert_near("causal", &output.value().to_f32().unwrap(), &get(&expected, "out.last_hidden_state").1, 1e-5);
}

#[test]
fn bert_equals_the_reference() {
    let config = BertConfig::from_json(&text("bert/config.json")).unwrap();
    let (weights, expected) = (bytes("bert/model.safetensors"), bytes("bert/expected.safetensors"));
    let weights = SafeTensors::parse("model", &weights).unwrap();
    let expected = SafeTensors::parse("expected", &expected).unwrap();
    let bert = Bert::load(&device(), &config, &mut &weights, "").unwrap();
    let tokens = tokens(&expected, "input.input_ids", "input.attention_mask");
    let tape = Tape::new();
    let f = Forward::training(tape.clone(), |_| true);
    let output = bert.forward(&f, &tokens).unwrap();
    let pooled = ops::masked_mean(output.value(), Some(tokens.mask())).unwrap().value;
    assert_near("pooled", &pooled.to_f32().unwrap(), &get(&expected, "out.mean_pooled").1, 1e-5);
    // The probe is zero on padded rows, whose values need not agree.
    let (_, probe) = get(&expected, "probe");
    let masked =
        |v: Vec<f32>| -> Vec<f32> { v.iter().zip(&probe).map(|(v, p)| if *p == 0.0 { 0.0 } else { *v }).collect() };
    let want = masked(get(&expected, "out.last_hidden_state").1);
    assert_near("hidden", &masked(output.value().to_f32().unwrap()), &want, 1e-5);
    let gradients = backward(&tape, &output, upload(&expected, "probe"));
    assert_gradients(&expected, &f.gradients(gradients), 2e-5);
}

#[test]
fn a_whole_vljepa_equals_the_reference() {
    let config = VlJepaConfig::from_json(&text("vljepa/config.json")).unwrap();
    let (weights, expected) = (bytes("vljepa/model.safetensors"), bytes("vljepa/expected.safetensors"));
    let weights = SafeTensors::parse("model", &weights).unwrap();
    let expected = SafeTensors::parse("expected", &expected).unwrap();
    let model = VlJepa::load(&device(), config, &weights).unwrap();
    let query = tokens(&expected, "input.query_ids", "input.query_mask");
    let target = tokens(&expected, "input.target_ids", "input.target_mask");
    let clip = upload(&expected, "input.pixel_values_videos");
    let f = Forward::inference();
    let vision = model.encode_frames(&f, &clip).unwrap();
    assert_near("vision", &vision.value().to_f32().unwrap(), &get(&expected, "out.vision_features").1, 1e-5);
    let prediction = model.predict(&f, &clip, Some(&query)).unwrap();
    assert_near("prediction", &prediction.value().to_f32().unwrap(), &get(&expected, "out.prediction").1, 2e-5);
    let s = model.encode_text(&f, &target).unwrap();
    assert_near("target", &s.value().to_f32().unwrap(), &get(&expected, "out.target").1, 2e-5);

    let tape = Tape::new();
    let f = Forward::training(tape.clone(), |_| true);
    let prediction = model.predict(&f, &clip, Some(&query)).unwrap();
    let s = model.encode_text(&f, &target).unwrap();
    let out = autograd::info_nce(&prediction, &s, &model.logit_scale(&f), &InfoNce::bidirectional()).unwrap();
    assert_near("loss", &out.loss.value().to_f32().unwrap(), &get(&expected, "out.loss").1[..1], 1e-5);
    let gradients = tape.backward(&out.loss, None).unwrap();
    assert_gradients(&expected, &f.gradients(gradients), 5e-5);
}

#[test]
fn padding_and_its_id_change_nothing() {
    let config = VlJepaConfig::from_json(&text("vljepa/config.json")).unwrap();
    let weights = bytes("vljepa/model.safetensors");
    let model = VlJepa::load(&device(), config, &SafeTensors::parse("model", &weights).unwrap()).unwrap();
    let f = Forward::inference();
    let expected = bytes("vljepa/expected.safetensors");
    let clip = upload(&SafeTensors::parse("expected", &expected).unwrap(), "input.pixel_values_videos");
    let run = |queries: [Vec<u32>; 4], pad| {
        let query = Tokens::new(&device(), &queries, pad).unwrap();
        model.predict(&f, &clip, Some(&query)).unwrap().value().to_f32().unwrap()
    };
    let short = run([vec![3, 4], vec![], vec![5], vec![2, 2]], 0);
    let long = run([vec![3, 4], vec![], vec![5], vec![2, 2, 9, 9]], 7);
    let width = short.len() / 4;
    assert_near("first three", &short[..3 * width], &long[..3 * width], 1e-6);
    assert!(short[3 * width..] != long[3 * width..], "the longer query must matter");
    let none = model.predict(&f, &clip, None).unwrap().value().to_f32().unwrap();
    assert_near("an empty query is no query", &short[width..2 * width], &none[width..2 * width], 1e-6);
}

#[test]
fn real_minilm_reproduces_sentence_transformers() {
    let folder = fixtures::cache().join("minilm");
    let read = |name: &str| {
        std::fs::read(folder.join(name))
            .unwrap_or_else(|e| panic!("{}: {e}; run `cargo xtask data --only minilm`", folder.join(name).display()))
    };
    let config = BertConfig::from_json(std::str::from_utf8(&read("config.json")).unwrap()).unwrap();
    let weights = read("model.safetensors");
    let weights = SafeTensors::parse("model.safetensors", &weights).unwrap();
    let bert = Bert::load(&device(), &config, &mut &weights, "").unwrap();
    let tokenizer = TextTokenizer::from_json(&read("tokenizer.json"), 256).unwrap();
    let fixture: serde_json::Value = serde_json::from_str(&text("minilm_sentences.json")).unwrap();
    let sentences: Vec<&str> = fixture["sentences"].as_array().unwrap().iter().map(|s| s.as_str().unwrap()).collect();
    let expected = bytes("minilm_sentences.safetensors");
    let expected = SafeTensors::parse("expected", &expected).unwrap();
    let (_, want) = get(&expected, "embeddings");
    let ids = read_i32(&expected, "input_ids", &[10, 256]).unwrap();
    let mask = read_i32(&expected, "attention_mask", &[10, 256]).unwrap();
    assert_eq!(sentences.len(), 10);
    for (i, sentence) in sentences.iter().enumerate() {
        let got = tokenizer.encode(sentence).unwrap().ids;
        let row = i * 256..(i + 1) * 256;
        let known: Vec<u32> =
            ids[row.clone()].iter().zip(&mask[row]).filter(|(_, m)| **m == 1).map(|(id, _)| *id as u32).collect();
        assert_eq!(got, known, "{sentence:?}");
        let tokens = Tokens::new(&device(), &[got], 0).unwrap();
        let hidden = bert.forward(&Forward::inference(), &tokens).unwrap();
        let pooled = ops::masked_mean(hidden.value(), Some(tokens.mask())).unwrap().value.to_f32().unwrap();
        let want = &want[i * 384..(i + 1) * 384];
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
        let cosine = dot(&pooled, want) / (dot(&pooled, &pooled) * dot(want, want)).sqrt();
        assert!(cosine >= 0.99999, "{sentence:?}: cosine {cosine}");
    }
}

#[test]
fn clips_of_a_batch_do_not_mix() {
    let config = Vjepa2Config {
        crop_size: 16,
        frames_per_clip: 2,
        hidden_size: 384,
        num_attention_heads: 6,
        num_hidden_layers: 2,
        ..Vjepa2Config::default()
    };
    let mut weights = vljepa_model::RandomInit { seed: 5, range: 0.05, logit_scale: 0.0 };
    let encoder = Vjepa2Encoder::load(&device(), &config, &mut weights, "encoder").unwrap();
    let f = Forward::inference();
    // One token a clip, and several: the tiles of kernels span clips in the first case.
    for side in [16, 48] {
        let values = 2 * 3 * side * side;
        let pixels: Vec<f32> = (0..4 * values).map(|i| ((i * 7919 % 2003) as f32 / 1001.0) - 1.0).collect();
        let run = |pixels: &[f32]| {
            let shape = [pixels.len() / values, 2, 3, side, side];
            let frames = Tensor::from_f32(&device(), &shape, pixels).unwrap();
            encoder.forward(&f, &frames).unwrap().value().to_f32().unwrap()
        };
        let together = run(&pixels);
        let alone: Vec<f32> = pixels.chunks(values).flat_map(run).collect();
        assert_near(&format!("side {side}"), &together, &alone, 1e-5);
    }
}
