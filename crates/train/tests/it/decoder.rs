//! Training the Y-Decoder: it learns to write texts back, nothing else changes, and a run goes on bit for bit.

use std::fs;
use std::path::Path;

use serde_json::json;
use vljepa_model::config::YDecoderConfig;
use vljepa_train::feed::Maker;
use vljepa_train::{RunOptions, Trainer, run};

use crate::support::{config, config_text, corpus, device, model, model_folder, tokenizer, weight};

/// A decoder of one layer, of the letters of the tests' tokenizer; 4 stands for the end.
fn decoder_json() -> String {
    let config = json!({"vocab_size": 58, "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 12, "max_position_embeddings": 64, "initializer_range": 0.1});
    json!({"config": config, "prefix_tokens": 2, "max_tokens": 24, "end_id": 4}).to_string()
}

const TABLES: &str = "[objective]\nkind = \"batch\"\n[decoder]\nnoise = 0.2\n[optimizer]\nlr = 0.02\nweight_decay = 0.0\n\
    [schedule]\nkind = \"constant\"\nwarmup = 0.0\n";

#[test]
fn one_batch_is_overfitted_and_the_rest_of_the_model_stays_as_it_is() {
    let config = config("steps = 120\nbatch = 4", TABLES);
    let decoder = YDecoderConfig::from_json(&decoder_json()).unwrap();
    let model = model().with_y_decoder(&device(), decoder, 7).unwrap();
    let corpus = corpus(&config);
    let mut trainer = Trainer::new(&device(), config.clone(), model, tokenizer(), corpus.clone()).unwrap();
    let maker = Maker::new(corpus, config, trainer.preprocess());
    let others = ["predictor_head.weight", "y_head.weight", "logit_scale"];
    let before = others.map(|name| weight(&trainer, name));
    let batch = maker.make(0).unwrap();
    let first = trainer.step(&batch).unwrap().loss;
    // 58 tokens, of which a decoder with random weights knows nothing.
    assert!((first - 58f32.ln()).abs() < 1.0, "{first}");
    let mut last = first;
    for _ in 1..120 {
        last = trainer.step(&batch).unwrap().loss;
    }
    assert!(last < 0.1 * first, "from {first} to {last}");
    assert_eq!(others.map(|name| weight(&trainer, name)), before);
    assert!(trainer.trained_parameters() > 1000);
    let found = trainer.validate().unwrap();
    assert_eq!((found.0[0].key.as_str(), found.0[0].cell.n), ("written_back", 58));
    // Four of 58 labels were seen.
    let share = found.0[0].cell.r1.unwrap();
    assert!((0.04..0.5).contains(&share), "{share}");
}

#[test]
fn parts_of_a_batch_give_the_gradient_of_the_whole() {
    let of = |accumulate: usize| {
        let config = config(&format!("steps = 1\nbatch = 4\naccumulate = {accumulate}"), TABLES);
        let decoder = YDecoderConfig::from_json(&decoder_json()).unwrap();
        let model = model().with_y_decoder(&device(), decoder, 7).unwrap();
        let corpus = corpus(&config);
        let trainer = Trainer::new(&device(), config.clone(), model, tokenizer(), corpus.clone()).unwrap();
        let maker = Maker::new(corpus, config, trainer.preprocess());
        trainer.gradients(&maker.make(0).unwrap()).unwrap()
    };
    // The noise too is the same, and texts of different lengths count by their tokens.
    let ((whole, grads), (parts, others)) = (of(1), of(4));
    assert!((whole - parts).abs() < 1e-5 * whole, "{whole} {parts}");
    assert!(grads.len() > 12 && grads.keys().eq(others.keys()));
    for (name, grad) in &grads {
        assert!(name.starts_with("y_decoder."), "{name}");
        let (a, b) = (grad.to_f32().unwrap(), others[name].to_f32().unwrap());
        let scale = a.iter().fold(1e-6f32, |most, value| most.max(value.abs()));
        let worst = a.iter().zip(&b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
        // Other orders of sums of a few hundred terms in f32.
        assert!(worst < 1e-4 * scale + 1e-7, "{name}: {worst} of {scale}");
    }
}

fn go(path: &Path, output: &Path, resume: bool, steps: u64) -> vljepa_train::Summary {
    let left = std::cell::Cell::new(steps);
    let stop = || {
        left.set(left.get() - 1);
        left.get() == 0
    };
    run(path, RunOptions::new(device()).resume(resume).output(output).stop(stop)).unwrap()
}

#[test]
fn a_run_that_was_stopped_goes_on_bit_for_bit_and_its_model_writes() {
    let dir = tempfile::tempdir().unwrap();
    model_folder(dir.path());
    fs::write(dir.path().join("decoder.json"), decoder_json()).unwrap();
    let path = dir.path().join("train.toml");
    let tables = TABLES.replace("[decoder]\n", "[decoder]\nconfig = \"decoder.json\"\n");
    fs::write(&path, config_text("steps = 4\nbatch = 6", &format!("{tables}[ema]\nhorizon = 0.5\n"))).unwrap();
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    assert!(go(&path, &whole, false, 99).complete);
    assert!(!go(&path, &broken, false, 2).complete);
    assert!(go(&path, &broken, true, 99).complete);
    for file in ["model/model.safetensors", "model/config.json"] {
        assert!(fs::read(whole.join(file)).unwrap() == fs::read(broken.join(file)).unwrap(), "{file} differs");
    }
    // A further run starts from the decoder that is there.
    let text = fs::read_to_string(&path).unwrap();
    let again =
        text.replace("folder = \"start\"", "folder = \"whole/model\"").replace("config = \"decoder.json\"\n", "");
    fs::write(&path, &again).unwrap();
    assert!(go(&path, &dir.path().join("again"), false, 99).complete);
    fs::write(&path, again.replace("whole/model", "start")).unwrap();
    let error = run(&path, RunOptions::new(device()).output(dir.path().join("none"))).unwrap_err().to_string();
    assert!(error.contains("has no Y-Decoder"), "{error}");
}

#[test]
fn settings_that_do_not_go_together_are_named() {
    for (tables, words) in [
        ("[decoder]\nnoise = -1.0\n", "decoder.noise"),
        ("[decoder]\nsize = 3\n", "size"),
        ("[decoder]\n[head_fit]\nshare = 0.5\nridge = 0.1\n", "the cross-entropy of texts alone"),
    ] {
        let error = vljepa_train::TrainConfig::parse(&config_text("steps = 1\nbatch = 4", tables)).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_generative_twin_overfits_one_batch_through_predictor_and_decoder() {
    let tables = TABLES.replace("noise = 0.2\n", "from = \"predictions\"\n").replace("lr = 0.02", "lr = 0.01");
    let config = config("steps = 150\nbatch = 4", &tables);
    let decoder = YDecoderConfig::from_json(&decoder_json()).unwrap();
    let model = model().with_y_decoder(&device(), decoder, 7).unwrap();
    let corpus = corpus(&config);
    let mut trainer = Trainer::new(&device(), config.clone(), model, tokenizer(), corpus.clone()).unwrap();
    let maker = Maker::new(corpus, config, trainer.preprocess());
    let names = ["predictor_head.weight", "y_head.weight", "y_encoder.embeddings.word_embeddings.weight"];
    let before = names.map(|name| weight(&trainer, name));
    let batch = maker.make(0).unwrap();
    let first = trainer.step(&batch).unwrap().loss;
    let mut last = first;
    for _ in 1..150 {
        last = trainer.step(&batch).unwrap().loss;
    }
    assert!(last < 0.1 * first, "from {first} to {last}");
    let changed: Vec<bool> = names.iter().zip(&before).map(|(name, old)| weight(&trainer, name) != *old).collect();
    assert_eq!(changed, [true, false, false]);
    let found = trainer.validate().unwrap();
    assert_eq!((found.0[0].key.as_str(), found.0[0].cell.n), ("written", 4));
}
