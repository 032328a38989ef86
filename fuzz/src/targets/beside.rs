//! What stands beside weights: processors, the modules of sentence-transformers, and the list of a set of pictures.

use serde_json::{Map, Value};
use vljepa_data::Preprocess;
use vljepa_data::emoji::EmojiVendors;
use vljepa_model::SentenceFolder;
use vljepa_model::config::TextEncoderConfig;

use crate::error::other;
use crate::mutate::Shape;
use crate::target::{Target, files, workspace};

pub const PROCESSOR: Target = Target {
    name: "processor",
    about: "preprocessor_config.json of published encoders",
    shape: Shape::Json,
    // Lists of one value each take some fifty bytes for each of theirs.
    megabytes: 96,
    seeds: || {
        Ok([
            r#"{"video_processor_type":"VJEPA2VideoProcessor","crop_size":{"height":256,"width":256},"do_resize":true,
            "size":{"shortest_edge":292},"resample":2,"rescale_factor":0.00392156862745098,"do_normalize":true,
            "image_mean":[0.485,0.456,0.406],"image_std":[0.229,0.224,0.225]}"#,
            r#"{"do_center_crop":true,"crop_size":224,"do_resize":true,"size":224,"resample":3,"do_rescale":false}"#,
        ]
        .map(|json| json.as_bytes().to_vec())
        .into())
    },
    make: |_| {
        Ok(Box::new(|input| {
            if let Ok(text) = std::str::from_utf8(input) {
                let _ = Preprocess::from_processor_json("case", text).map(|preprocess| preprocess.background);
            }
        }))
    },
};

/// Files of a folder of sentence-transformers but for its `config.json`.
const MODULES: [&str; 6] = [
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
    "2_Dense/config.json",
    "3_Dense/config.json",
];

pub const SENTENCE: Target = Target {
    name: "sentence",
    about: "modules, pooling, heads and prompts of sentence-transformers, as one object of the files' contents",
    shape: Shape::Json,
    megabytes: 64,
    seeds: || {
        let mut all = Map::new();
        for name in MODULES {
            let text = std::fs::read(workspace(&format!("crates/model/tests/fixtures/gemma3/{name}")))?;
            all.insert(name.into(), serde_json::from_slice(&text).map_err(other)?);
        }
        Ok(vec![Value::Object(all).to_string().into_bytes()])
    },
    make: |_| {
        let text = std::fs::read_to_string(workspace("crates/model/tests/fixtures/gemma3/config.json"))?;
        let config = TextEncoderConfig::from_json(&text).map_err(other)?;
        Ok(Box::new(move |input| {
            let Ok(Value::Object(files)) = serde_json::from_slice(input) else { return };
            let read = |name: &str| files.get(name).map(|content| content.to_string().into_bytes());
            if let Ok(folder) = SentenceFolder::parse(config.clone(), &read) {
                let _ = (folder.config.validate(), folder.config.tensors().len());
            }
        }))
    },
};

pub const SET: Target = Target {
    name: "set",
    about: "concepts.json of a set of drawings",
    shape: Shape::Json,
    megabytes: 64,
    seeds: || files(&["crates/data/assets/emoji-vendors/concepts.json"]),
    make: |folder| {
        let folder = folder.to_owned();
        Ok(Box::new(move |input| {
            if std::fs::write(folder.join("concepts.json"), input).is_err() {
                return;
            }
            let Ok(set) = EmojiVendors::open(&folder) else { return };
            let texts = set.concepts().iter().map(|concept| concept.train_texts().count());
            let _ = (texts.sum::<usize>(), set.pools().seen.len());
            if let (Some(vendor), Some(concept)) = (set.vendor("noto"), set.pools().seen.first()) {
                let _ = set.picture(vendor, *concept).is_ok();
            }
        }))
    },
};
