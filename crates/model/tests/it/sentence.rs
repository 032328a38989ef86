//! Folders of sentence-transformers.

use std::collections::BTreeMap;

use vljepa_model::config::{Pooling, TextEncoderConfig, YEncoderKind};
use vljepa_model::weights::{SafeTensors, WeightSource, check};
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
        ("1_Pooling/config.json", r#"{"pooling_mode": "cls"}"#.into(), "pooling cls"),
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
