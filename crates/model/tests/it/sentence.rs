//! Folders of sentence-transformers.

use std::collections::BTreeMap;

use vljepa_model::config::{Pooling, TextEncoderConfig, YEncoderKind};
use vljepa_model::weights::{SafeTensors, WeightSource, check, read_i32};
use vljepa_model::{Forward, SentenceFolder, SentenceWeights, YEncoder};

use crate::fixtures::{bytes, text};
use crate::parity::{assert_near, device, get, tokens};

const FILES: [&str; 7] = [
    "config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
    "2_Dense/config.json",
    "3_Dense/config.json",
];

fn files() -> BTreeMap<&'static str, String> {
    FILES.into_iter().map(|file| (file, text(&format!("gemma3/{file}")))).collect()
}

fn parse(files: &BTreeMap<&'static str, String>) -> vljepa_model::Result<SentenceFolder> {
    let config = TextEncoderConfig::from_json(&files["config.json"])?;
    SentenceFolder::parse(config, &|file| files.get(file).map(|text| text.clone().into_bytes()))
}

#[test]
fn a_folder_with_dense_heads_equals_the_reference() {
    let folder = parse(&files()).unwrap();
    let mut config = folder.config;
    assert_eq!((config.config.kind(), config.pooling, config.normalize), (YEncoderKind::Gemma3, Pooling::Mean, true));
    assert_eq!(config.dense.iter().map(|d| (d.in_features, d.out_features)).collect::<Vec<_>>(), [(48, 96), (96, 48)]);
    assert_eq!((folder.dense_folders, config.max_target_tokens), (vec!["2_Dense".into(), "3_Dense".into()], 2048));
    assert_eq!((folder.prompts["query"].as_str(), config.prompt.as_str()), ("task: search result | query: ", ""));

    let root = bytes("gemma3/model.safetensors");
    let heads = [bytes("gemma3/2_Dense/model.safetensors"), bytes("gemma3/3_Dense/model.safetensors")];
    let root = SafeTensors::parse("model", &root).unwrap();
    let heads = heads.each_ref().map(|head| SafeTensors::parse("dense", head).unwrap());
    let weights = SentenceWeights::new(&root, heads.iter().map(|head| head as &dyn WeightSource).collect());
    check(&weights, &config.tensors(), &[]).unwrap();

    let expected = bytes("gemma3/expected.safetensors");
    let expected = SafeTensors::parse("expected", &expected).unwrap();
    let tokens = tokens(&expected, "input.input_ids", "input.attention_mask");
    let mut near = |name: &str, change: fn(&mut vljepa_model::config::YEncoderConfig)| {
        change(&mut config);
        let encoder = YEncoder::load(&device(), &config, &mut &weights, "").unwrap();
        let got = encoder.forward(&Forward::inference(), &tokens).unwrap().value().to_f32().unwrap();
        assert_near(name, &got, &get(&expected, name).1, 1e-5);
        assert_eq!(got.len(), 2 * config.output_size());
    };
    near("out.sentence", |_| ());
    near("out.sentence_32", |c| c.truncate_dim = Some(32));
    near("out.dense", |c| (c.truncate_dim, c.normalize) = (None, false));
    near("out.mean_pooled", |c| c.dense.clear());
}

/// The tokens of the reference's hidden states that a folder of a BERT with this pooling is to give, pooled in f64.
fn pooled(pooling: &str, normalise: bool, of_row: impl Fn(usize) -> std::ops::Range<usize>) {
    let kinds = if normalise { &["Pooling", "Normalize"][..] } else { &["Pooling"] };
    let rest = kinds
        .iter()
        .enumerate()
        .map(|(i, kind)| format!(r#", {{"path": "{}_{kind}", "type": "sentence_transformers.models.{kind}"}}"#, i + 1));
    let modules =
        format!(r#"[{{"path": "", "type": "sentence_transformers.models.Transformer"}}{}]"#, rest.collect::<String>());
    let files = BTreeMap::from([("modules.json", modules), ("1_Pooling/config.json", pooling.to_owned())]);
    let config = TextEncoderConfig::from_json(&text("bert/config.json")).unwrap();
    let folder = SentenceFolder::parse(config, &|file| files.get(file).map(|text| text.clone().into_bytes())).unwrap();
    assert_eq!(folder.config.normalize, normalise);
    let (weights, expected) = (bytes("bert/model.safetensors"), bytes("bert/expected.safetensors"));
    let weights = SafeTensors::parse("model", &weights).unwrap();
    let expected = SafeTensors::parse("expected", &expected).unwrap();
    let tokens = tokens(&expected, "input.input_ids", "input.attention_mask");
    let (shape, hidden) = get(&expected, "out.last_hidden_state");
    let mask = read_i32(&expected, "input.attention_mask", &shape[..2]).unwrap();
    let mut want = Vec::new();
    for (row, hidden) in hidden.chunks(shape[1] * shape[2]).enumerate() {
        let real = mask[row * shape[1]..][..shape[1]].iter().filter(|m| **m != 0).count();
        let places = of_row(real);
        let mean =
            |d: usize| places.clone().map(|n| f64::from(hidden[n * shape[2] + d])).sum::<f64>() / places.len() as f64;
        let mut vector: Vec<f64> = (0..shape[2]).map(mean).collect();
        let norm = if normalise { vector.iter().map(|x| x * x).sum::<f64>().sqrt() } else { 1.0 };
        vector.iter_mut().for_each(|x| *x /= norm);
        want.extend(vector.into_iter().map(|x| x as f32));
    }
    let encoder = YEncoder::load(&device(), &folder.config, &mut &weights, "").unwrap();
    let got = encoder.forward(&Forward::inference(), &tokens).unwrap().value().to_f32().unwrap();
    assert_near(pooling, &got, &want, 1e-5);
}

#[test]
fn the_pooling_of_a_folder_is_that_of_the_reference() {
    for normalise in [false, true] {
        pooled(r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#, normalise, |_| 0..1);
        pooled(r#"{"pooling_mode": "cls"}"#, normalise, |_| 0..1);
        pooled(r#"{"pooling_mode": ["lasttoken"]}"#, normalise, |real| real - 1..real);
        pooled(r#"{"pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": false}"#, normalise, |real| 0..real);
    }
}

#[test]
fn older_spellings_of_pooling_and_prompts_are_read() {
    let mut files = files();
    files.insert(
        "1_Pooling/config.json",
        r#"{"word_embedding_dimension": 48, "pooling_mode_cls_token": false,
        "pooling_mode_mean_tokens": false, "pooling_mode_lasttoken": true}"#
            .into(),
    );
    files
        .insert("config_sentence_transformers.json", r#"{"prompts": {"q": "Q: "}, "default_prompt_name": "q"}"#.into());
    files.insert("sentence_bert_config.json", r#"{"max_seq_length": 99999999}"#.into());
    let folder = parse(&files).unwrap();
    assert_eq!((folder.config.pooling, folder.config.prompt.as_str()), (Pooling::Last, "Q: "));
    assert_eq!(folder.config.max_target_tokens, 2048, "no more than the encoder has positions");
    files.remove("sentence_bert_config.json");
    for (limit, want) in [("40", 40), ("1000000000000000019884624838656", 2048), ("null", 512)] {
        files.insert("tokenizer_config.json", format!(r#"{{"model_max_length": {limit}}}"#));
        assert_eq!(parse(&files).unwrap().config.max_target_tokens, want);
    }
    // A bare encoder.
    files.retain(|name, _| *name == "config.json");
    let bare = parse(&files).unwrap().config;
    assert!(matches!(bare.config, TextEncoderConfig::Gemma3(_)) && bare.dense.is_empty() && !bare.normalize);
}

#[test]
fn bad_folders_are_refused_in_one_line() {
    let module = |kind: &str, path: &str| {
        let one = |path, kind| format!(r#"{{"path": "{path}", "type": "sentence_transformers.models.{kind}"}}"#);
        format!("[{}, {}]", one("", "Transformer"), one(path, kind))
    };
    let modules = |kinds: &[&str]| {
        let place = |kind: &&str| match *kind {
            "Pooling" => "1_Pooling",
            "Dense" => "2_Dense",
            _ => "4_Normalize",
        };
        let rest = kinds
            .iter()
            .map(|kind| format!(r#", {{"path": "{}", "type": "sentence_transformers.models.{kind}"}}"#, place(kind)));
        format!(r#"[{{"path": "", "type": "sentence_transformers.models.Transformer"}}{}]"#, rest.collect::<String>())
    };
    let dense = |keys: &str| format!(r#"{{"in_features": 48, "out_features": 96, {keys}}}"#);
    for (file, content, part) in [
        ("config.json", String::new(), "not readable"),
        ("config.json", r#"{"model_type": "t5"}"#.into(), "`model_type` is t5"),
        ("config.json", "{}".into(), "`model_type` is missing"),
        ("modules.json", "{".into(), "`modules.json` is not readable"),
        ("modules.json", "[]".into(), "does not begin with a Transformer"),
        ("modules.json", module("CNN", "1_CNN"), "module CNN"),
        ("modules.json", module("Transformer", "0_Transformer"), "module Transformer"),
        ("modules.json", module("Pooling", "9_Pooling"), "`9_Pooling/config.json` is missing"),
        ("modules.json", module("Dense", "../../etc"), "is no folder below it"),
        ("modules.json", module("Dense", "/etc"), "is no folder below it"),
        ("modules.json", module("Dense", "2_Dense/../3_Dense"), "is no folder below it"),
        ("modules.json", module("Pooling", "."), "is no folder below it"),
        ("modules.json", module("Pooling", ""), "is no folder below it"),
        ("modules.json", module("Pooling", "/"), "is no folder below it"),
        ("modules.json", module("Pooling", "1//2"), "is no folder below it"),
        ("1_Pooling/config.json", r#"{"pooling_mode": "max"}"#.into(), "pooling max, supported: mean, cls, lasttoken"),
        ("1_Pooling/config.json", r#"{"pooling_mode": 7}"#.into(), "neither a text nor a list"),
        ("1_Pooling/config.json", r#"{"pooling_mode": ["cls", 7]}"#.into(), "neither a text nor a list"),
        ("1_Pooling/config.json", r#"{"pooling_mode_mean_tokens": false}"#.into(), "no pooling is switched on"),
        ("1_Pooling/config.json", r#"{"pooling_mode_cls_token": "yes"}"#.into(), "neither true nor false"),
        (
            "1_Pooling/config.json",
            r#"{"pooling_mode_cls_token": true, "pooling_mode_max_tokens": true}"#.into(),
            "pooling cls_token and max_tokens",
        ),
        ("1_Pooling/config.json", r#"{"pooling_mode_weightedmean_tokens": true}"#.into(), "weightedmean_tokens"),
        ("modules.json", modules(&["Pooling", "Pooling"]), "pools twice"),
        ("modules.json", modules(&["Dense", "Pooling"]), "a Dense module before Pooling"),
        ("modules.json", modules(&["Pooling", "Normalize", "Dense"]), "a module after Normalize"),
        ("1_Pooling/config.json", r#"{"pooling_mode": ["mean", "max"]}"#.into(), "pooling mean and max"),
        ("1_Pooling/config.json", r#"{"include_prompt": false}"#.into(), "`include_prompt`"),
        ("2_Dense/config.json", dense(r#""bias": false"#), "activation Tanh"),
        ("2_Dense/config.json", dense(r#""activation_function": "torch.nn.modules.activation.GELU""#), "GELU"),
        ("2_Dense/config.json", dense(r#""activation_function": "Identity", "use_residual": true"#), "residual"),
        (
            "3_Dense/config.json",
            dense(r#""activation_function": "Identity""#),
            "`y_encoder.dense[1].in_features` is 48",
        ),
        ("config_sentence_transformers.json", r#"{"default_prompt_name": "x"}"#.into(), "`default_prompt_name`"),
        ("config_sentence_transformers.json", r#"{"truncate_dim": 64}"#.into(), "`y_encoder.truncate_dim` is 64"),
    ] {
        let mut files = files();
        files.insert(file, content);
        let line = parse(&files).unwrap_err().to_string();
        assert!(line.contains(part) && !line.contains('\n'), "{file}: {line}");
    }
}
