//! The Y-Decoder: kept keys and values give what the whole pass gives, and searches find what is likeliest.

use serde_json::json;
use vljepa_model::config::{BertConfig, VlJepaConfig, YDecoderConfig};
use vljepa_model::weights::{SafeTensors, read_f32, read_i32};
use vljepa_model::{Bert, Forward, ParamSource, RandomInit, Search, Sentence, Storage, Tokens, VlJepa, YDecoder};
use vljepa_tensor::autograd::Var;
use vljepa_tensor::{Tensor, ops};

use crate::fixtures::{bytes, text};
use crate::parity::{assert_near, device, get};

fn config(max_tokens: usize) -> VlJepaConfig {
    let mut config = VlJepaConfig::from_json(&text("vljepa/config.json")).unwrap();
    let vocabulary = config.y_encoder.config.vocab_size();
    let decoder = json!({
        "config": {"vocab_size": vocabulary, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4, "max_position_embeddings": 64, "rope_theta": 1e4},
        "prefix_tokens": 3, "max_tokens": max_tokens, "end_id": 5,
    });
    config.y_decoder = Some(serde_json::from_value::<YDecoderConfig>(decoder).unwrap());
    // Wide enough that tokens differ clearly.
    config.x_encoder.initializer_range = 0.6;
    config
}

fn embeddings(dim: usize, count: usize) -> Tensor {
    let values: Vec<f32> = (0..dim * count).map(|i| ((i * 7919 % 101) as f32 / 50.0 - 1.0).sin()).collect();
    ops::l2_normalize(&Tensor::from_f32(&device(), &[count, dim], &values).unwrap(), 1e-12).unwrap().value
}

/// Log-probabilities of each token of a sentence and of its end, from one pass over all of it.
fn rows(model: &VlJepa, embedding: &Tensor, ids: &[u32]) -> Vec<Vec<f64>> {
    let tokens = Tokens::new(&device(), &[ids.to_vec()], 0).unwrap();
    let words = model.y_encoder.text_encoder();
    let decoder = model.y_decoder().unwrap();
    let logits = decoder.forward(&Forward::inference(), &Var::constant(embedding.clone()), &tokens, words).unwrap();
    assert_eq!(logits.shape()[..2], [1, ids.len() + 1]);
    let width = logits.shape()[2];
    let of = |row: &[f32]| {
        let sum: f64 = row.iter().map(|v| f64::from(*v).exp()).sum();
        row.iter().map(|v| f64::from(*v) - sum.ln()).collect()
    };
    logits.value().to_f32().unwrap().chunks_exact(width).map(of).collect()
}

fn log_probability(model: &VlJepa, embedding: &Tensor, sentence: &Sentence) -> f64 {
    let rows = rows(model, embedding, &sentence.ids);
    let ids = sentence.ids.iter().copied().chain(sentence.ended.then_some(5));
    ids.zip(&rows).map(|(id, row)| row[id as usize]).sum()
}

#[test]
fn greedy_sentences_take_the_likeliest_token_of_the_whole_pass_each_time() {
    let model = VlJepa::init(&device(), config(12), 3).unwrap();
    let embeddings = embeddings(model.config.embedding_dim, 5);
    let found = model.write(&embeddings, &Search::default()).unwrap().unwrap();
    assert_eq!(found.len(), 5);
    assert!(found.iter().any(|one| one.ids != found[0].ids), "{found:?}");
    for (i, sentence) in found.iter().enumerate() {
        let own = ops::slice(&embeddings, 0, i, 1).unwrap();
        let rows = rows(&model, &own, &sentence.ids);
        let best = |row: &Vec<f64>| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0 as u32;
        assert_eq!(rows[..sentence.ids.len()].iter().map(best).collect::<Vec<_>>(), sentence.ids);
        assert!(!sentence.ended || best(&rows[sentence.ids.len()]) == 5, "{sentence:?}");
        let want = log_probability(&model, &own, sentence);
        assert!((sentence.log_probability - want).abs() < 1e-4 * (1.0 + want.abs()), "{sentence:?}: {want}");
    }
}

#[test]
fn a_search_with_beams_finds_sentences_at_least_as_likely() {
    let model = VlJepa::init(&device(), config(6), 4).unwrap();
    let embeddings = embeddings(model.config.embedding_dim, 4);
    let of = |beams| {
        let search = Search { beams, length_penalty: 0.0, ..Search::default() };
        model.write(&embeddings, &search).unwrap().unwrap()
    };
    let (greedy, wide) = (of(1), of(24));
    for (i, (narrow, wide)) in greedy.iter().zip(&wide).enumerate() {
        let own = ops::slice(&embeddings, 0, i, 1).unwrap();
        let want = log_probability(&model, &own, wide);
        assert!((wide.log_probability - want).abs() < 1e-4 * (1.0 + want.abs()), "{wide:?}: {want}");
        assert!(wide.log_probability >= narrow.log_probability - 1e-4, "{narrow:?} {wide:?}");
    }
    assert!(greedy.iter().zip(&wide).any(|(a, b)| a != b), "{greedy:?}");
    let short = Search { max_tokens: Some(2), beams: 3, ..Search::default() };
    assert!(model.write(&embeddings, &short).unwrap().unwrap().iter().all(|one| one.ids.len() <= 2));
}

#[test]
fn a_decoder_is_saved_and_loaded_with_its_model_and_may_be_absent() {
    let model = VlJepa::init(&device(), config(8), 5).unwrap();
    let embeddings = embeddings(model.config.embedding_dim, 2);
    let bytes = model.save(Storage::F32).unwrap();
    let config_again = VlJepaConfig::from_json(&model.config.to_json().unwrap()).unwrap();
    let again = VlJepa::load(&device(), config_again, &SafeTensors::parse("again", &bytes).unwrap()).unwrap();
    let write = |model: &VlJepa| model.write(&embeddings, &Search::default()).unwrap();
    assert_eq!(write(&model), write(&again));
    let none = VlJepa::init(&device(), VlJepaConfig { y_decoder: None, ..config(8) }, 5).unwrap();
    assert_eq!(write(&none), None);
    let error = model.write(&embeddings, &Search { beams: 0, ..Search::default() }).unwrap_err().to_string();
    assert!(error.contains("0 beams"), "{error}");
    let mut wrong = config(8);
    wrong.y_decoder.as_mut().unwrap().end_id = 9999;
    assert!(VlJepa::init(&device(), wrong, 1).unwrap_err().to_string().contains("y_decoder.end_id"));
}

/// The fixture's tensors, and random ones where it has none.
struct Fixture<'a>(&'a SafeTensors<'a>, RandomInit);

impl ParamSource for Fixture<'_> {
    fn values(&mut self, name: &str, shape: &[usize]) -> vljepa_model::Result<Vec<f32>> {
        match name {
            "embeddings.word_embeddings.weight" => read_f32(self.0, "words", shape),
            _ if name.starts_with("y_decoder.") => read_f32(self.0, name, shape),
            _ => self.1.values(name, shape),
        }
    }
}

#[test]
fn logits_equal_the_twin_in_pytorch() {
    let expected = bytes("y_decoder.safetensors");
    let expected = SafeTensors::parse("y_decoder", &expected).unwrap();
    let llama = json!({"vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8, "rms_norm_eps": 1e-5, "rope_theta": 1e4});
    let config = json!({"config": llama, "prefix_tokens": 3, "max_tokens": 16, "end_id": 3}).to_string();
    let config = YDecoderConfig::from_json(&config).unwrap();
    let mut source = Fixture(&expected, RandomInit { seed: 1, range: 0.02, logit_scale: 0.0 });
    let decoder = YDecoder::load(&device(), &config, [10, 12], &mut source).unwrap();
    let bert = BertConfig {
        vocab_size: 40,
        hidden_size: 12,
        num_attention_heads: 2,
        num_hidden_layers: 1,
        ..BertConfig::minilm_l6()
    };
    let words = Bert::load(&device(), &bert, &mut source, "").unwrap();
    let embeddings = get(&expected, "input.embeddings").1;
    let embeddings = Tensor::from_f32(&device(), &[3, 10], &embeddings).unwrap();
    let ids = read_i32(&expected, "input.ids", &[3, 6]).unwrap();
    let ids: Vec<Vec<u32>> = ids.chunks(6).map(|row| row.iter().map(|id| *id as u32).collect()).collect();
    let tokens = Tokens::new(&device(), &ids, 0).unwrap();
    let logits = decoder.forward(&Forward::inference(), &Var::constant(embeddings), &tokens, &words).unwrap();
    assert_near("logits", &logits.value().to_f32().unwrap(), &get(&expected, "out.logits").1, 1e-5);
}
