//! The table of the Y-Encoder's architectures, walked: what holds for one holds for each.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use vljepa_model::config::{Pooling, TextEncoderConfig, YEncoderConfig, YEncoderKind};
use vljepa_model::weights::TextKind;
use vljepa_model::{RandomInit, SpecialTokens, YEncoder};

use crate::fixtures::text;
use crate::parity::device;

/// The tiny encoder of the fixtures, in the folder that is named as `kind` in our configuration.
fn fixture(kind: YEncoderKind) -> (String, Value) {
    let Value::String(name) = serde_json::to_value(kind).unwrap() else { panic!("{kind:?}") };
    let config = text(&format!("{name}/config.json"));
    (name, serde_json::from_str(&config).unwrap())
}

#[test]
fn every_architecture_builds_the_tensors_that_its_configuration_names() {
    for &kind in YEncoderKind::ALL {
        let (name, json) = fixture(kind);
        let config = TextEncoderConfig::from_json(&json.to_string()).unwrap();
        assert_eq!((config.kind(), config.default_pooling()), (kind, kind.default_pooling()), "{name}");
        assert_eq!(TextEncoderConfig::from_value(&json).unwrap(), config);

        let mut source = RandomInit { seed: 1, range: 0.02, logit_scale: 0.0 };
        let encoder = YEncoder::load(&device(), &YEncoderConfig::new(config.clone()), &mut source, "").unwrap();
        let encoder = encoder.text_encoder();
        let (mut built, mut named) = (encoder.tensors(), config.tensors());
        built.sort_by(|a, b| a.name.cmp(&b.name));
        named.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(built, named, "{name}");
        let tables = encoder.params().into_iter().filter(|p| p.is_table());
        assert!(tables.clone().any(|p| p.tensor().shape() == [config.vocab_size(), config.hidden_size()]), "{name}");
        assert!(tables.clone().all(|p| p.name().contains("embed")), "{name}");
        let sizes = (encoder.hidden_size(), encoder.vocab_size(), encoder.max_tokens());
        assert_eq!(sizes, (config.hidden_size(), config.vocab_size(), config.max_position_embeddings()), "{name}");
        assert!((config.pad_token_id() as usize) < config.vocab_size(), "{name}");
        assert!(config.num_hidden_layers() > 0 && config.attention_width() > 0, "{name}");
        assert!(config.ignored().iter().all(|start| named.iter().all(|t| !t.name.starts_with(start))), "{name}");
    }
}

#[test]
fn every_architecture_has_names_of_its_own() {
    let (mut titles, mut types) = (BTreeSet::new(), BTreeSet::new());
    for &kind in YEncoderKind::ALL {
        assert!(!kind.title().is_empty() && titles.insert(kind.title()), "{kind:?}");
        assert!(!kind.model_type().is_empty() && types.insert(kind.model_type()), "{kind:?}");
        assert_eq!(YEncoderKind::of_model_type(kind.model_type()), Some(kind));
        let (_, json) = fixture(kind);
        assert_eq!(json["model_type"], kind.model_type());
        let text = TextKind::of_config(&json).unwrap();
        assert_eq!((text, text.y_encoder(), text.title()), (kind.into(), Some(kind), kind.title()));
    }
    assert_eq!(YEncoderKind::model_types().collect::<BTreeSet<_>>(), types);
    assert_eq!(TextKind::model_types().count(), types.len() + 1, "and Llama");
    assert_eq!(YEncoderKind::of_model_type("t5"), None);
    let line = TextEncoderConfig::from_value(&json!({"model_type": "t5"})).unwrap_err().to_string();
    assert!(types.iter().all(|known| line.contains(known)), "{line}");
}

/// What is on disk: names and keys, in this order.
#[test]
fn a_y_encoder_is_written_as_ever() {
    let kinds = [(YEncoderKind::Bert, "bert"), (YEncoderKind::Gemma3, "gemma3"), (YEncoderKind::Qwen3, "qwen3")];
    assert_eq!(kinds.map(|(kind, _)| kind), YEncoderKind::ALL);
    for (kind, name) in kinds {
        let (folder, json) = fixture(kind);
        assert_eq!(folder, name);
        let config = YEncoderConfig::new(TextEncoderConfig::from_value(&json).unwrap());
        let written = serde_json::to_string(&config).unwrap();
        assert!(written.starts_with(&format!(r#"{{"kind":"{name}","config":{{""#)), "{written}");
        let end = format!(
            r#""pooling":{},"max_target_tokens":{},"prompt":""}}"#,
            json!(config.pooling),
            config.max_target_tokens
        );
        assert!(written.ends_with(&end), "{written}");
        assert_eq!(serde_json::from_str::<YEncoderConfig>(&written).unwrap(), config);
    }
}

#[test]
fn texts_are_pooled_and_framed_as_the_published_encoders_were_trained() {
    let around = |before, after| SpecialTokens::Around { before, after };
    for (kind, title, pooling, special) in [
        (YEncoderKind::Bert, "BERT", Pooling::Mean, SpecialTokens::Template),
        (YEncoderKind::Gemma3, "Gemma 3", Pooling::Mean, around(&["<bos>"], &["<eos>"])),
        (YEncoderKind::Qwen3, "Qwen 3", Pooling::Last, around(&[], &["<|endoftext|>"])),
    ] {
        assert_eq!((kind.title(), kind.default_pooling(), kind.special_tokens()), (title, pooling, special));
    }
}
