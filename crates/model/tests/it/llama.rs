//! Llama layers as the Predictor uses them: any slice, long queries, none, and pads.

use vljepa_model::config::{LlamaConfig, VlJepaConfig};
use vljepa_model::weights::{SafeTensors, WeightSource, read_i32};
use vljepa_model::{Forward, LlamaLayers, Tokens, VlJepa};
use vljepa_tensor::Tensor;
use vljepa_tensor::autograd::{self, Tape, Var};

use crate::fixtures::{bytes, text};
use crate::parity::{assert_gradients, assert_near, device, get, upload};

fn ids(file: &SafeTensors<'_>, name: &str) -> Tensor {
    let shape = file.tensor(name).unwrap().shape.to_vec();
    let ids: Vec<u32> = read_i32(file, name, &shape).unwrap().into_iter().map(|id| id as u32).collect();
    Tensor::from_u32(&device(), &shape, &ids).unwrap()
}

#[test]
fn every_slice_continues_the_one_before() {
    let config = LlamaConfig::from_json(&text("llama/config.json")).unwrap();
    let (weights, expected) = (bytes("llama/model.safetensors"), bytes("llama/expected_bidirectional.safetensors"));
    let weights = SafeTensors::parse("model", &weights).unwrap();
    let expected = SafeTensors::parse("expected", &expected).unwrap();
    let mask = ids(&expected, "input.attention_mask");
    let run = |slice, norm, x: &Var| {
        let layers = LlamaLayers::load(&device(), &config, &mut &weights, "model", slice, false, norm).unwrap();
        layers.forward(&Forward::inference(), x, Some(&mask)).unwrap()
    };
    let near = |what: &str, got: &Var| {
        assert_near(what, &got.value().to_f32().unwrap(), &get(&expected, &format!("out.{what}")).1, 1e-5);
    };
    let x = Var::constant(upload(&expected, "input.inputs_embeds"));
    let first = run(1..2, false, &x);
    near("layer.1", &first);
    let second = run(2..3, false, &first);
    near("layer.2", &second);
    near("last_hidden_state", &run(2..3, true, &first));
    let whole = run(0..3, true, &x).value().to_f32().unwrap();
    let parts = run(1..3, true, &run(0..1, false, &x)).value().to_f32().unwrap();
    assert_near("0..3", &parts, &whole, 1e-6);

    for slice in [3..4, 2..2, 1..4, 5..6] {
        let error = LlamaLayers::load(&device(), &config, &mut &weights, "model", slice, false, true).unwrap_err();
        assert!(error.to_string().contains("the model has 3"), "{error}");
    }
}

#[test]
fn causal_gradients_equal_the_reference() {
    let config = LlamaConfig::from_json(&text("llama/config.json")).unwrap();
    let (weights, expected) = (bytes("llama/model.safetensors"), bytes("llama/expected_causal.safetensors"));
    let weights = SafeTensors::parse("model", &weights).unwrap();
    let expected = SafeTensors::parse("expected", &expected).unwrap();
    let layers = LlamaLayers::load(&device(), &config, &mut &weights, "model", 0..3, true, true).unwrap();
    let tape = Tape::new();
    let f = Forward::training(tape.clone(), |_| true);
    let table = tape.leaf(upload(&weights, "model.embed_tokens.weight"));
    let tokens = ids(&expected, "input.input_ids");
    let words = autograd::gather_rows(&table, &tokens).unwrap();
    let words = words.reshape(&[tokens.shape()[0], tokens.shape()[1], config.hidden_size]).unwrap();
    let output = layers.forward(&f, &words, Some(&ids(&expected, "input.attention_mask"))).unwrap();
    let mut gradients = tape.backward(&output, Some(upload(&expected, "probe"))).unwrap();
    let embedding = gradients.take(&table).unwrap();
    let mut gradients = f.gradients(gradients);
    gradients.push(("model.embed_tokens.weight".into(), embedding));
    assert_gradients(&expected, &gradients, 2e-5);
}

#[test]
fn a_query_of_512_tokens_fits_and_one_more_does_not() {
    let mut config = VlJepaConfig::from_json(&text("vljepa/config.json")).unwrap();
    config.max_query_tokens = 512;
    let vocab = config.predictor.config.vocab_size as u32;
    let weights = bytes("vljepa/model.safetensors");
    let model = VlJepa::load(&device(), config, &SafeTensors::parse("model", &weights).unwrap()).unwrap();
    let expected = bytes("vljepa/expected.safetensors");
    let clips = upload(&SafeTensors::parse("expected", &expected).unwrap(), "input.pixel_values_videos");
    let clips = vljepa_tensor::ops::slice(&clips, 0, 0, 2).unwrap();
    let query = |count: u32| -> Vec<u32> { (0..count).map(|i| (i * 7 + i / 11) % vocab).collect() };
    let run = |queries: [Vec<u32>; 2], pad| {
        let tokens = Tokens::new(&device(), &queries, pad).unwrap();
        model.predict(&Forward::inference(), &clips, Some(&tokens)).map(|v| v.value().to_f32().unwrap())
    };
    let both = run([query(512), query(3)], 0).unwrap();
    let short = run([query(2), query(3)], 9).unwrap();
    let width = both.len() / 2;
    // 509 pads behind the second query, or none.
    assert_near("a short query beside a long one", &both[width..], &short[width..], 2e-6);
    let swapped = run([query(511), query(3)], vocab - 1).unwrap();
    assert_near("other pads", &swapped[width..], &both[width..], 2e-6);
    assert!(swapped[..width] != both[..width], "the last of 512 tokens must matter");
    let line = run([query(513), query(3)], 0).unwrap_err().to_string();
    assert!(line.contains("513 tokens") && line.contains("at most 512"), "{line}");
    // A batch of empty queries is no query.
    let none = model.predict(&Forward::inference(), &clips, None).unwrap().value().to_f32().unwrap();
    assert_eq!(run([vec![], vec![]], 0).unwrap(), none);
}
