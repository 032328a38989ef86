//! Configurations of the text encoders.

use vljepa_model::ModelError;
use vljepa_model::config::{
    AttentionKind, Gemma3Config, Pooling, Qwen3Config, TextEncoderConfig, VlJepaConfig, YEncoderConfig,
};
use vljepa_model::weights::{SafeTensors, check};

use crate::fixtures;

#[test]
fn parameter_counts_are_the_published_ones() {
    let gemma = Gemma3Config::embedding_gemma_300m();
    gemma.validate().unwrap();
    assert_eq!(gemma.parameters(), 302_863_104);
    let qwen = Qwen3Config::qwen3_embedding_600m();
    qwen.validate().unwrap();
    assert_eq!(qwen.parameters(), 595_776_512);
    let shape = |name: &str| gemma.tensors().into_iter().find(|t| t.name == name).unwrap().shape;
    assert_eq!(shape("layers.23.self_attn.k_proj.weight"), [256, 768]);
    assert_eq!(shape("layers.0.self_attn.q_norm.weight"), [256]);
    assert_eq!(shape("layers.0.mlp.down_proj.weight"), [768, 1152]);
    let full = gemma.layer_types.iter().enumerate().filter(|(_, kind)| **kind == AttentionKind::Full);
    assert_eq!(full.map(|(i, _)| i).collect::<Vec<_>>(), [5, 11, 17, 23]);
}

#[test]
fn fixture_configs_name_exactly_the_tensors_of_the_reference() {
    for dir in ["gemma3", "qwen3"] {
        let config = TextEncoderConfig::from_json(&fixtures::text(&format!("{dir}/config.json"))).unwrap();
        let bytes = fixtures::bytes(&format!("{dir}/model.safetensors"));
        check(&SafeTensors::parse(dir, &bytes).unwrap(), &config.tensors(), &[]).unwrap();
    }
    let config = VlJepaConfig::from_json(&fixtures::text("vljepa_gemma3/config.json")).unwrap();
    let bytes = fixtures::bytes("vljepa_gemma3/model.safetensors");
    check(&SafeTensors::parse("vljepa_gemma3", &bytes).unwrap(), &config.tensors(), &[]).unwrap();
    assert_eq!((config.y_encoder.output_size(), config.y_encoder.prompt.as_str()), (12, "title: none | text: "));
}

/// The window of EmbeddingGemma's file is the whole width; a file saved again by a version that had halved it already is
/// not halved once more, and neither is ours.
#[test]
fn the_sliding_window_is_halved_once() {
    let window = |keys: &str| Gemma3Config::from_json(&format!("{{{keys}}}")).unwrap().attention_window();
    assert_eq!(window(r#""use_bidirectional_attention": true, "sliding_window": 512"#), 257);
    assert_eq!(window(r#""use_bidirectional_attention": true, "sliding_window": 257"#), 257);
    assert_eq!(window(r#""use_bidirectional_attention": false, "sliding_window": 512"#), 512);
    assert_eq!(window(r#""sliding_window": 512"#), 512);
    let config = Gemma3Config::embedding_gemma_300m();
    let again = Gemma3Config::from_json(&serde_json::to_string(&config).unwrap()).unwrap();
    let twice = Gemma3Config::from_json(&serde_json::to_string(&again).unwrap()).unwrap();
    assert_eq!((&again, &twice), (&config, &config));
    assert_eq!((twice.sliding_window, twice.attention_window()), (512, 257));
}

#[test]
fn the_embedding_factor_is_rounded_as_the_reference_does() {
    let scale = |dtype: &str| {
        let dtype = Some(dtype.to_owned());
        Gemma3Config { dtype, ..Gemma3Config::embedding_gemma_300m() }.embedding_scale()
    };
    assert_eq!((scale("bfloat16"), scale("float16")), (27.75, 27.71875));
    assert!((scale("float32") - 27.712_812).abs() < 2e-6);
}

#[test]
fn rotary_bases_are_read_in_both_spellings() {
    let published = r#"{"model_type": "gemma3_text", "rope_theta": 1000000.0, "rope_local_base_freq": 5000.0,
        "rope_scaling": null, "_sliding_window_pattern": 2, "num_hidden_layers": 4, "torch_dtype": "bfloat16"}"#;
    let config = Gemma3Config::from_json(published).unwrap();
    use AttentionKind::{Full, Sliding};
    assert_eq!(config.layer_types, [Sliding, Full, Sliding, Full]);
    assert_eq!((config.rope_global.theta, config.rope_local.theta), (1e6, 5e3));
    assert_eq!(config.dtype.as_deref(), Some("bfloat16"));
    assert_eq!(Gemma3Config::from_json(&serde_json::to_string(&config).unwrap()).unwrap(), config);
    let newer = r#"{"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 7e5},
        "sliding_attention": {"rope_type": "default"}}}"#;
    let config = Gemma3Config::from_json(newer).unwrap();
    assert_eq!((config.rope_global.theta, config.rope_local.theta), (7e5, 1e4));

    let qwen = |keys: &str| Qwen3Config::from_json(keys).unwrap();
    let old = qwen(r#"{"model_type": "qwen3", "rope_theta": 1000000, "rope_scaling": null, "sliding_window": null}"#);
    assert_eq!(old, qwen(r#"{"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}"#));
    assert_eq!(Qwen3Config::from_json(&serde_json::to_string(&old).unwrap()).unwrap(), old);
}

#[test]
fn a_y_encoder_is_chosen_by_its_kind() {
    let parse = |json: &str| serde_json::from_str::<YEncoderConfig>(json);
    let gemma = parse(r#"{"kind": "gemma3", "config": {"vocab_size": 262144}}"#).unwrap();
    assert_eq!((gemma.pooling, gemma.max_target_tokens, gemma.config.pad_token_id()), (Pooling::Mean, 512, 0));
    let qwen = parse(r#"{"kind": "qwen3", "config": {}, "truncate_dim": 32}"#).unwrap();
    assert_eq!((qwen.pooling, qwen.output_size(), qwen.config.pad_token_id()), (Pooling::Last, 32, 151_643));
    let mean = parse(r#"{"kind": "qwen3", "config": {}, "pooling": "mean"}"#).unwrap();
    assert_eq!(mean.pooling, Pooling::Mean);
    for config in [gemma, qwen, mean] {
        assert_eq!(parse(&serde_json::to_string(&config).unwrap()).unwrap(), config);
    }
    for (json, part) in [
        (r#"{"kind": "t5", "config": {}}"#, "t5"),
        (r#"{"kind": "qwen3", "config": {"vocab_size": -1}}"#, "`y_encoder.config` is not readable"),
        (r#"{"kind": "gemma3", "config": {"model_type": "qwen3"}}"#, "expected \"gemma3_text\""),
        (r#"{"kind": "gemma3", "config": {}, "trunc": 3}"#, "trunc"),
    ] {
        let line = parse(json).unwrap_err().to_string();
        assert!(line.contains(part), "{line}");
    }
    let bad = |json: &str, part: &str| {
        let line = parse(json).unwrap().validate().unwrap_err().to_string();
        assert!(line.contains(part), "{line}");
    };
    bad(r#"{"kind": "qwen3", "config": {}, "truncate_dim": 4097}"#, "`y_encoder.truncate_dim` is 4097");
    bad(r#"{"kind": "qwen3", "config": {}, "truncate_dim": 0}"#, "`y_encoder.truncate_dim` is 0");
    bad(r#"{"kind": "qwen3", "config": {}, "max_target_tokens": 99999}"#, "`y_encoder.max_target_tokens`");
    bad(r#"{"kind": "qwen3", "config": {}, "dense": [{"in_features": 5, "out_features": 5}]}"#, "`y_encoder.dense[0]");
    bad(r#"{"kind": "qwen3", "config": {}, "dense": [{"in_features": 4096, "out_features": 0}]}"#, "out_features");
}

#[test]
fn bad_configurations_are_refused_with_the_key() {
    let gemma = |json: &str| Gemma3Config::from_json(json).unwrap_err();
    let qwen = |json: &str| Qwen3Config::from_json(json).unwrap_err();
    let cases = [
        (gemma("[1]"), "not readable"),
        (gemma(r#"{"model_type": "gemma3"}"#), "`model_type` is \"gemma3\""),
        (gemma(r#"{"attention_bias": true}"#), "`attention_bias`"),
        (gemma(r#"{"attn_logit_softcapping": 50}"#), "`attn_logit_softcapping`"),
        (gemma(r#"{"num_hidden_layers": 4000000000}"#), "`num_hidden_layers`"),
        (gemma(r#"{"sliding_window_pattern": 0}"#), "`sliding_window_pattern`"),
        (gemma(r#"{"layer_types": ["full_attention"]}"#), "`layer_types` names 1 layers"),
        (gemma(r#"{"layer_types": ["chunked_attention"]}"#), "chunked_attention"),
        (gemma(r#"{"sliding_window": 0}"#), "`sliding_window` is 0"),
        (gemma(r#"{"query_pre_attn_scalar": 0}"#), "`query_pre_attn_scalar`"),
        (gemma(r#"{"rope_scaling": {"rope_type": "linear", "factor": 8}}"#), "\"linear\""),
        (gemma(r#"{"hidden_activation": "gelu"}"#), "`hidden_activation`"),
        (gemma(r#"{"dtype": "int8"}"#), "`dtype`"),
        (gemma(r#"{"pad_token_id": 262208}"#), "`pad_token_id`"),
        (gemma(r#"{"num_attention_heads": 4096, "head_dim": 4096, "num_key_value_heads": 1}"#), "× head_dim"),
        (qwen(r#"{"use_sliding_window": true}"#), "`use_sliding_window`"),
        (qwen(r#"{"head_dim": 7}"#), "`head_dim` (7)"),
        (qwen(r#"{"num_key_value_heads": 5}"#), "`num_key_value_heads` (5)"),
        (qwen(r#"{"rope_scaling": {"rope_type": "yarn", "factor": 4}}"#), "\"yarn\", supported: default"),
        (qwen(r#"{"vocab_size": 0}"#), "`vocab_size`"),
    ];
    for (i, (error, part)) in cases.iter().enumerate() {
        assert!(matches!(error, ModelError::Config { .. }), "case {i}: {error:?}");
        let line = error.to_string();
        assert!(line.contains(part) && !line.contains('\n'), "case {i}: {line}");
    }
}
