use crate::fixtures;
use vljepa_model::ModelError;
use vljepa_model::config::{
    BertConfig, ConvStemConfig, LlamaConfig, PredictorConfig, StemNorm, Vjepa2Config, VlJepaConfig, parameter_count,
};
use vljepa_model::weights::{SafeTensors, check, read_f32};

#[test]
fn parameter_counts_are_the_published_ones() {
    for (config, encoder, predictor) in [
        (Vjepa2Config::vit_large(), 303_885_312, 22_086_016),
        (Vjepa2Config::vit_huge(), 631_648_000, 22_282_880),
        (Vjepa2Config::vit_giant(), 1_012_173_952, 22_381_312),
    ] {
        config.validate().unwrap();
        assert_eq!(config.parameters(), encoder);
        assert_eq!(parameter_count(&config.predictor_tensors()), predictor);
    }
    let llama = LlamaConfig::llama_3_2_1b();
    assert_eq!(llama.parameters(), 1_235_814_400);
    assert_eq!(parameter_count(&llama.layer_tensors(8..16)), 486_572_032);
    // all-MiniLM-L6-v2 has 22,713,216 with its pooler of 384 × 384 + 384.
    assert_eq!(BertConfig::minilm_l6().parameters(), 22_713_216 - 147_840);
}

/// Every choice that the paper leaves open is at its default when the key is absent.
#[test]
fn the_papers_model_needs_only_its_parts() {
    let json = r#"{
        "format_version": 1, "model_type": "vljepa", "x_encoder": {"model_type": "vjepa2"},
        "predictor": {"config": {"vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192,
            "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-5,
            "max_position_embeddings": 131072, "tie_word_embeddings": true, "rope_theta": 500000.0,
            "rope_scaling": {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192}}},
        "y_encoder": {"kind": "bert", "config": {}}
    }"#;
    let config = VlJepaConfig::from_json(json).unwrap();
    assert_eq!(config.predictor.config, LlamaConfig::llama_3_2_1b());
    assert_eq!(config.embedding_dim, 1536);
    assert_eq!((config.predictor.first_layer, config.predictor.num_layers), (8, 8));
    assert!(config.predictor.final_norm && !config.predictor.causal && config.temperature.learned);
    assert_eq!((config.image_size(), config.short_side(), config.frames()), (256, 292, 64));
    assert_eq!(config.predictor_parameters(), 491_820_544);
    assert_eq!(VlJepaConfig::from_json(&config.to_json().unwrap()).unwrap(), config);
}

#[test]
fn fixture_configs_name_exactly_the_tensors_of_the_reference() {
    let vjepa2 = |dir: &str| Vjepa2Config::from_json(&fixtures::text(&format!("{dir}/config.json"))).unwrap().tensors();
    let cases = [
        ("vjepa2_d64", vjepa2("vjepa2_d64")),
        ("vjepa2_d32", vjepa2("vjepa2_d32")),
        ("llama", LlamaConfig::from_json(&fixtures::text("llama/config.json")).unwrap().tensors()),
        ("bert", BertConfig::from_json(&fixtures::text("bert/config.json")).unwrap().tensors()),
        ("vljepa", VlJepaConfig::from_json(&fixtures::text("vljepa/config.json")).unwrap().tensors()),
    ];
    for (dir, tensors) in cases {
        let bytes = fixtures::bytes(&format!("{dir}/model.safetensors"));
        let file = SafeTensors::parse(dir, &bytes).unwrap();
        check(&file, &tensors, &[]).unwrap_or_else(|e| panic!("{dir}: {e}"));
    }
}

#[test]
fn rotary_frequencies_equal_the_reference() {
    // Llama-3.2-1B: 0–14 kept, 15–17 blended, 18–31 divided by 32.
    let inv = LlamaConfig::llama_3_2_1b().rope.inv_freq(64);
    assert_eq!(inv.len(), 32);
    for (i, want) in [
        (0, 1.0),
        (1, 0.6636012),
        (7, 5.666962e-2),
        (14, 3.211446e-3),
        (15, 1.290548e-3),
        (16, 4.295568e-4),
        (17, 9.708288e-5),
        (18, 1.946164e-5),
        (31, 9.418307e-8),
    ] {
        assert!((inv[i] / want - 1.0).abs() < 2e-6, "{i}: {} against {want}", inv[i]);
    }
    let config = LlamaConfig::from_json(&fixtures::text("llama/config.json")).unwrap();
    let bytes = fixtures::bytes("llama/expected_bidirectional.safetensors");
    let want = read_f32(&SafeTensors::parse("llama", &bytes).unwrap(), "inv_freq", &[8]).unwrap();
    for (have, want) in config.rope.inv_freq(config.head_dim).iter().zip(&want) {
        // The reference computes powers in f32.
        assert!((have / want - 1.0).abs() < 2e-6, "{have} against {want}");
    }
}

#[test]
fn rotary_settings_are_read_in_both_spellings() {
    let old = r#"{"rope_theta": 5e5, "rope_scaling": {"type": "llama3", "factor": 8, "low_freq_factor": 1,
        "high_freq_factor": 4, "original_max_position_embeddings": 8192}}"#;
    let new = r#"{"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8, "low_freq_factor": 1,
        "high_freq_factor": 4, "original_max_position_embeddings": 8192}}"#;
    let config = LlamaConfig::from_json(old).unwrap();
    assert_eq!(config, LlamaConfig::from_json(new).unwrap());
    assert_eq!(config.rope.theta, 5e5);
    assert_eq!(config.rope.scaling.unwrap().factor, 8.0);
    let plain = LlamaConfig::from_json(r#"{"rope_scaling": null, "extra": [1]}"#).unwrap();
    assert_eq!((plain.rope.theta, plain.rope.scaling), (10_000.0, None));
    let again = serde_json::to_string(&config).unwrap();
    assert_eq!(LlamaConfig::from_json(&again).unwrap(), config);
}

#[test]
fn a_convolutional_stem_keeps_the_token_grid() {
    let config = Vjepa2Config {
        patch_size: 4,
        crop_size: 64,
        conv_stem: Some(ConvStemConfig {
            channels: vec![16, 32],
            kernel: 3,
            stride: 2,
            norm: StemNorm::Layer,
            residual: vec![0, 1],
            over_time: false,
        }),
        ..Vjepa2Config::default()
    };
    config.validate().unwrap();
    assert_eq!(config.grid(2, 64, 64), (1, 16, 16));
    let shape = |name: &str| config.tensors().into_iter().find(|t| t.name == name).unwrap().shape;
    assert_eq!(shape("encoder.embeddings.stem.0.conv.weight"), [16, 3, 3, 3]);
    assert_eq!(shape("encoder.embeddings.stem.1.conv.weight"), [32, 3, 3, 16]);
    assert_eq!(shape("encoder.embeddings.stem.1.residual.0.conv.weight"), [32, 3, 3, 32]);
    assert_eq!(shape("encoder.embeddings.stem.1.norm.bias"), [32]);
    assert_eq!(shape("encoder.embeddings.patch_embeddings.proj.1.weight"), [1024, 32]);
    let mut over_time = config.clone();
    over_time.conv_stem.as_mut().unwrap().over_time = true;
    let shape = |name: &str| over_time.tensors().into_iter().find(|t| t.name == name).map(|t| t.shape);
    assert_eq!(shape("encoder.embeddings.stem.0.conv.weight"), Some(vec![16, 3, 3, 6]));
    assert_eq!(shape("encoder.embeddings.patch_embeddings.proj.0.weight"), Some(vec![1024, 32]));
    assert_eq!(shape("encoder.embeddings.patch_embeddings.proj.1.weight"), None);
    let coarse = Vjepa2Config { patch_size: 8, ..config.clone() };
    assert!(coarse.validate().unwrap_err().to_string().contains("must be equal"));
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(Vjepa2Config::from_json(&json).unwrap(), config);
    let plain = serde_json::to_string(&Vjepa2Config::default()).unwrap();
    assert!(!plain.contains("conv_stem"), "published keys only: {plain}");
}

/// Each bad configuration is refused with a message that names the key.
#[test]
fn bad_configurations_are_refused_with_the_key() {
    let vjepa2 = |json: &str| Vjepa2Config::from_json(json).unwrap_err();
    let llama = |json: &str| LlamaConfig::from_json(json).unwrap_err();
    let bert = |json: &str| BertConfig::from_json(json).unwrap_err();
    let cases = [
        (vjepa2(""), "not readable"),
        (vjepa2("[1]"), "not readable"),
        (vjepa2(r#"{"hidden_size": 0}"#), "`hidden_size` is 0"),
        (vjepa2(r#"{"hidden_size": -4}"#), "not readable"),
        (vjepa2(r#"{"hidden_size": 1000}"#), "`hidden_size` (1000) is not a multiple of `num_attention_heads` (16)"),
        (vjepa2(r#"{"hidden_size": 9000000000000000000}"#), "`hidden_size`"),
        (vjepa2(r#"{"num_hidden_layers": 4000000000}"#), "`num_hidden_layers`"),
        (vjepa2(r#"{"crop_size": 250}"#), "`crop_size` (250) is not a multiple of `patch_size`"),
        (vjepa2(r#"{"patch_size": 0}"#), "`patch_size` is 0"),
        (vjepa2(r#"{"num_attention_heads": 256}"#), "3-D rotary"),
        (vjepa2(r#"{"mlp_ratio": 1e300}"#), "`mlp_ratio`"),
        (vjepa2(r#"{"mlp_ratio": 0.0001}"#), "width 0"),
        (vjepa2(r#"{"layer_norm_eps": 0}"#), "`layer_norm_eps`"),
        (vjepa2(r#"{"hidden_act": "silu"}"#), "`hidden_act`"),
        (vjepa2(r#"{"model_type": "vit"}"#), "`model_type` is \"vit\""),
        (vjepa2(r#"{"conv_stem": {"channels": []}}"#), "conv_stem.channels"),
        (vjepa2(r#"{"conv_stem": {"channels": [8, 8, 8, 8, 8]}}"#), "must be equal"),
        (vjepa2(r#"{"conv_stem": {"channels": [8], "kernel": 4}}"#), "odd"),
        (vjepa2(r#"{"conv_stem": {"channels": [8], "norm": "batch"}}"#), "batch"),
        (vjepa2(r#"{"conv_stem": {"chanels": [8]}}"#), "chanels"),
        (llama(r#"{"num_key_value_heads": 3}"#), "`num_key_value_heads` (3)"),
        (llama(r#"{"num_attention_heads": 0}"#), "`num_attention_heads` is 0"),
        (llama(r#"{"head_dim": 15}"#), "`head_dim` (15)"),
        (llama(r#"{"attention_bias": true}"#), "`attention_bias`"),
        (llama(r#"{"rope_scaling": {"type": "yarn", "factor": 2}}"#), "\"yarn\""),
        (llama(r#"{"rope_scaling": {"rope_type": "llama3", "factor": 2}}"#), "`low_freq_factor`"),
        (llama(r#"{"hidden_act": "gelu"}"#), "`hidden_act`"),
        (bert(r#"{"hidden_size": 7}"#), "`num_attention_heads`"),
        (bert(r#"{"pad_token_id": 30522}"#), "`pad_token_id`"),
        (bert(r#"{"position_embedding_type": "relative_key"}"#), "`position_embedding_type`"),
        (bert(r#"{"hidden_dropout_prob": 1.0}"#), "`hidden_dropout_prob`"),
        (bert(r#"{"vocab_size": 99999999999}"#), "`vocab_size`"),
    ];
    for (i, (error, part)) in cases.iter().enumerate() {
        assert!(matches!(error, ModelError::Config { .. }), "case {i}: {error:?}");
        let line = error.to_string();
        assert!(line.contains(part) && !line.contains('\n'), "case {i}: {line}");
    }
}

/// JSON that is parsed already is read and validated as text is.
#[test]
fn a_parsed_configuration_is_read_and_checked_alike() {
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let [vljepa, vjepa2, llama, bert] =
        ["vljepa", "vjepa2_d64", "llama", "bert"].map(|folder| fixtures::text(&format!("{folder}/config.json")));
    assert_eq!(VlJepaConfig::from_value(&value(&vljepa)).unwrap(), VlJepaConfig::from_json(&vljepa).unwrap());
    assert_eq!(Vjepa2Config::from_value(&value(&vjepa2)).unwrap(), Vjepa2Config::from_json(&vjepa2).unwrap());
    assert_eq!(LlamaConfig::from_value(&value(&llama)).unwrap(), LlamaConfig::from_json(&llama).unwrap());
    assert_eq!(BertConfig::from_value(&value(&bert)).unwrap(), BertConfig::from_json(&bert).unwrap());

    let line = |error: ModelError| error.to_string();
    let written = vljepa.replace("\"format_version\": 1", "\"format_version\": 2");
    let version = line(VlJepaConfig::from_value(&value(&written)).unwrap_err());
    assert_eq!(version, line(VlJepaConfig::from_json(&written).unwrap_err()));
    assert!(version.contains("`format_version` is 2"), "{version}");
    let key = line(VlJepaConfig::from_value(&value(&vljepa.replace("\"temperature\"", "\"temprature\""))).unwrap_err());
    assert!(key.contains("not readable") && key.contains("temprature"), "{key}");
    for bad in [r#"{"hidden_size": 1000}"#, r#"{"model_type": "vit"}"#, r#"{"hidden_size": 0}"#] {
        let (parsed, text) = (Vjepa2Config::from_value(&value(bad)), Vjepa2Config::from_json(bad));
        assert_eq!(line(parsed.unwrap_err()), line(text.unwrap_err()));
    }
    assert!(
        line(LlamaConfig::from_value(&value(r#"{"attention_bias": true}"#)).unwrap_err()).contains("`attention_bias`")
    );
    assert!(line(Vjepa2Config::from_json("{\n  \"hidden_size\": -4}").unwrap_err()).contains("line 2 column"));
}

#[test]
fn a_vljepa_whose_parts_do_not_fit_is_refused() {
    let good = VlJepaConfig::from_json(&fixtures::text("vljepa/config.json")).unwrap();
    let bad = |change: fn(&mut VlJepaConfig), part: &str| {
        let mut config = good.clone();
        change(&mut config);
        let line = VlJepaConfig::from_json(&config.to_json().unwrap()).unwrap_err().to_string();
        assert!(line.contains(part), "{line}");
    };
    bad(|c| c.format_version = 2, "`format_version` is 2");
    bad(|c| c.embedding_dim = 0, "`embedding_dim`");
    bad(|c| c.predictor.num_layers = 3, "`predictor.num_layers`");
    bad(|c| c.predictor.first_layer = 1, "layers 1..3");
    bad(|c| c.predictor.first_layer = usize::MAX, "`predictor`");
    bad(|c| c.predictor.query_pad_id = 40, "`predictor.query_pad_id`");
    bad(|c| c.y_encoder.max_target_tokens = 33, "`y_encoder.max_target_tokens`");
    bad(|c| c.max_query_tokens = 0, "`max_query_tokens`");
    bad(|c| c.temperature.initial = 0.0, "`temperature.initial`");
    bad(|c| c.temperature.initial = 0.001, "`max_scale`");
    bad(|c| c.preprocessing.size = Some(10), "`preprocessing.size`");
    bad(|c| c.preprocessing.short_side = Some(4), "`preprocessing.short_side`");
    bad(|c| c.preprocessing.std = [0.0; 3], "`preprocessing.std`");
    bad(|c| c.x_encoder.in_chans = 4, "`x_encoder.in_chans`");
    bad(|c| c.x_encoder.hidden_size = 47, "`hidden_size` (47)");

    let text = fixtures::text("vljepa/config.json");
    for (from, to, part) in [
        ("\"temperature\"", "\"temprature\"", "temprature"),
        ("\"kind\": \"bert\"", "\"kind\": \"gpt\"", "gpt"),
        ("\"predictor\":", "\"predicter\":", "predicter"),
        ("\"num_layers\"", "\"nun_layers\"", "nun_layers"),
    ] {
        let line = VlJepaConfig::from_json(&text.replace(from, to)).unwrap_err().to_string();
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn switches_change_the_tensors() {
    let good = VlJepaConfig::from_json(&fixtures::text("vljepa/config.json")).unwrap();
    let names = |c: &VlJepaConfig| c.tensors().into_iter().map(|t| t.name).collect::<Vec<_>>();
    let mut config = good.clone();
    config.vision_projection.bias = false;
    config.predictor = PredictorConfig { final_norm: false, num_layers: 1, ..config.predictor };
    let less: Vec<_> = names(&good).into_iter().filter(|n| !names(&config).contains(n)).collect();
    assert!(
        less.contains(&"vision_projection.bias".to_string()) && less.contains(&"predictor.norm.weight".to_string())
    );
    assert_eq!(less.len(), 2 + 9, "{less:?}");
}
