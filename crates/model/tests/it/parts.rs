//! The parts of a VL-JEPA: each parameter belongs to one, by the names of the README's table.

use std::collections::BTreeMap;

use vljepa_model::config::{
    LlamaConfig, MemoryConfig, TextEncoderConfig, Vjepa2Config, VlJepaConfig, Words, YDecoderConfig, YEncoderConfig,
};
use vljepa_model::{Part, VlJepa};

use crate::fixtures::text;
use crate::parity::device;

const PARTS: [(Part, &str); 11] = [
    (Part::XEncoder, "x_encoder."),
    (Part::VisionProjection, "vision_projection."),
    (Part::EmbedTokens, "predictor.embed_tokens."),
    (Part::EmbedTokens, "predictor.embed_projection."),
    (Part::Predictor, "predictor."),
    (Part::PredictorHead, "predictor_head."),
    (Part::YEncoder, "y_encoder."),
    (Part::YHead, "y_head."),
    (Part::LogitScale, "logit_scale"),
    (Part::YDecoder, "y_decoder."),
    (Part::Memory, "memory.weight"),
];

fn config(folder: &str) -> VlJepaConfig {
    VlJepaConfig::from_json(&text(&format!("{folder}/config.json"))).unwrap()
}

/// Models that together have every kind of tensor: two members with a memory, each architecture of the Y-Encoder, a
/// stem, a V-JEPA 2.1.
fn models() -> Vec<VlJepa> {
    let memory = MemoryConfig { rows: 3, scale: 10.0, share: 0.5, text: None, inv_temperature: None };
    let two = VlJepaConfig { members: 2, memory: Some(memory), ..config("vljepa") };
    let qwen = TextEncoderConfig::from_json(&text("qwen3/config.json")).unwrap();
    let mut stem = VlJepaConfig { y_encoder: YEncoderConfig::new(qwen), ..config("vljepa") };
    let channels = serde_json::json!({"channels": [4, 6], "residual": [1], "over_time": true});
    stem.x_encoder.conv_stem = Some(serde_json::from_value(channels).unwrap());
    let channels = serde_json::json!({"channels": [4, 6], "residual": [0, 1]});
    stem.x_encoder.still_stem = Some(serde_json::from_value(channels).unwrap());
    stem.x_encoder.patch_size = 4;
    stem.predictor.words = Words::YEncoderStates;
    stem.predictor.config.vocab_size = stem.y_encoder.config.vocab_size();
    let llama = LlamaConfig { num_hidden_layers: 2, ..stem.predictor.config.clone() };
    stem.y_decoder = Some(YDecoderConfig { config: llama, prefix_tokens: 2, max_tokens: 9, end_id: 1 });
    let v2_1 =
        VlJepaConfig { x_encoder: Vjepa2Config { crop_size: 8, ..crate::v2_1::config("video") }, ..config("vljepa") };
    [two, config("vljepa_gemma3"), stem, v2_1].map(|config| VlJepa::init(&device(), config, 1).unwrap()).into()
}

#[test]
fn every_parameter_belongs_to_one_part() {
    for model in models() {
        let (all, parts) = (model.params(), model.params_by_part());
        let names: Vec<&str> = parts.iter().map(|(_, param)| param.name()).collect();
        assert_eq!(names, all.iter().map(|param| param.name()).collect::<Vec<_>>());
        let mut named: Vec<String> = model.config.tensors().into_iter().map(|t| t.name).collect();
        let mut found: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        named.sort();
        found.sort();
        assert_eq!(found, named);
        for (part, param) in parts {
            let name = param.name().strip_prefix("members.1.").unwrap_or(param.name());
            // The longest start wins: the token embedding is below the Predictor.
            let known = PARTS.iter().filter(|(_, start)| name.starts_with(start)).max_by_key(|(_, start)| start.len());
            assert_eq!(Some(part), known.map(|(part, _)| *part), "{}", param.name());
            let table = name.contains(".embed_tokens.") || name.contains("_embeddings.weight");
            assert_eq!(param.is_table(), table, "{}", param.name());
        }
    }
}

#[test]
fn a_part_covers_all_members_and_the_head_is_the_firsts() {
    let model = models().remove(0);
    let count = |part| model.params_by_part().iter().filter(|(p, _)| *p == part).count();
    assert_eq!((count(Part::PredictorHead), count(Part::YHead), count(Part::LogitScale)), (4, 2, 1));
    assert_eq!(model.predictor_head().weight().name(), "predictor_head.weight");
    assert_eq!(model.predictor_head().bias().map(|bias| bias.name()), Some("predictor_head.bias"));
    let head = model.y_head().weight();
    assert_eq!((head.name(), head.tensor().shape()[0]), ("y_head.weight", model.config.embedding_dim));
    assert_eq!(model.logit_scale_param().name(), "logit_scale");
    assert_eq!(model.memory().map(|memory| memory.name()), Some("memory.weight"));
    assert!(models()[1].memory().is_none());
}

/// The README's names: `{a,b}` is one of them, `{i}` a number, `*` anything.
fn readme() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let table = readme.split("| name | from |").nth(1).unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn matches(pattern: &str, name: &str) -> bool {
    let Some(at) = pattern.find(['{', '*']) else { return pattern == name };
    let Some(rest) = name.strip_prefix(&pattern[..at]) else { return false };
    if pattern[at..].starts_with('*') {
        return (0..=rest.len()).any(|i| matches(&pattern[at + 1..], &rest[i..]));
    }
    let end = at + pattern[at..].find('}').unwrap();
    match &pattern[at + 1..end] {
        "i" => {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            digits > 0 && matches(&pattern[end + 1..], &rest[digits..])
        }
        several => several.split(',').any(|one| matches(&format!("{one}{}", &pattern[end + 1..]), rest)),
    }
}

#[test]
fn the_names_are_those_of_the_readme() {
    let patterns = readme();
    let mut used: BTreeMap<&str, usize> = patterns.iter().map(|p| (p.as_str(), 0)).collect();
    for model in models() {
        for param in model.params() {
            let name = param.name().strip_prefix("members.1.").unwrap_or(param.name());
            let mut known = false;
            for pattern in patterns.iter().filter(|pattern| matches(pattern, name)) {
                *used.entry(pattern).or_default() += 1;
                known = true;
            }
            assert!(known, "{name} is not in the README's table");
        }
    }
    for (pattern, count) in used {
        assert!(count > 0, "`{pattern}` of the README's table names no tensor");
    }
}
