//! Checkpoints of open-vljepa as our model folder, against what its own classes make of them.

use vljepa_model::config::{CropStart, Vjepa2Config, VlJepaConfig};
use vljepa_model::weights::{
    OpenVlJepaParts, PtFile, Remapped, SafeTensors, TextKind, WeightSource, Writer, bare_vjepa2, check, open_vljepa,
    open_vljepa_config, read_f32, read_i32,
};
use vljepa_model::{Forward, TextTokenizer, Tokens, VlJepa};
use vljepa_tensor::Tensor;

use crate::fixtures::{bytes, text};
use crate::parity::{assert_near, device, get};
use crate::synthetic::synthetic;

/// f32 against f32, relative to the largest number of an embedding. 7e-7 is measured.
const TOLERANCE: f32 = 1e-5;

fn models() -> serde_json::Value {
    serde_json::from_str(&text("vision/open_vljepa.json")).unwrap()
}

fn texts(key: &str) -> Vec<String> {
    serde_json::from_value(models()[key].clone()).unwrap()
}

/// A V-JEPA 2 of the hub with synthetic weights, as the checkpoints were trained on.
fn vjepa2(config: &Vjepa2Config) -> Vec<u8> {
    let mut writer = Writer::new();
    for t in config.tensors().into_iter().chain(config.predictor_tensors()) {
        writer.f32(&t.name, &t.shape, &synthetic(&t.name, &t.shape, None)).unwrap();
    }
    writer.finish().unwrap()
}

/// Runs `test` with the checkpoint, the V-JEPA 2 that it leaves out, and the configurations.
fn with(file: &str, kind: &str, test: impl FnOnce(&PtFile<'_>, &Remapped<'_>, &OpenVlJepaParts<'_>)) {
    let models = models();
    let [x, llama, text] = ["vjepa2", "llama", kind].map(|key| &models[key]);
    let config = Vjepa2Config::from_value(x).unwrap();
    let (checkpoint, vision) = (bytes(&format!("vision/{file}")), vjepa2(&config));
    let checkpoint = PtFile::parse(file, &checkpoint).unwrap();
    checkpoint.verify().unwrap();
    let vision = SafeTensors::parse("vjepa2", &vision).unwrap();
    let (vision, _) = bare_vjepa2(&vision, &config).unwrap();
    test(&checkpoint, &vision, &OpenVlJepaParts { vjepa2: x, llama, text });
}

fn encoded(tokenizer: &TextTokenizer, texts: &[impl AsRef<str>]) -> Vec<Vec<u32>> {
    texts.iter().map(|text| tokenizer.encode(text.as_ref()).unwrap().ids).collect()
}

/// The real tokens of `{key}.ids`, on whichever side the project's tokenizer pads.
fn stored(file: &SafeTensors<'_>, key: &str) -> Vec<Vec<u32>> {
    let [ids, mask] = ["ids", "mask"].map(|part| {
        let name = format!("{key}.{part}");
        let shape = file.tensor(&name).unwrap().shape.to_vec();
        (shape[1], read_i32(file, &name, &shape).unwrap())
    });
    let rows = ids.1.chunks(ids.0).zip(mask.1.chunks(mask.0));
    rows.map(|(ids, mask)| ids.iter().zip(mask).filter(|(_, m)| **m == 1).map(|(id, _)| *id as u32).collect()).collect()
}

/// Predictions and targets of the converted model against those of the project's classes.
fn same_embeddings(name: &str, kind: &str, text_kind: TextKind) {
    with(&format!("open_vljepa_{name}.pt"), kind, |file, vision, parts| {
        let models = models();
        let config = VlJepaConfig::from_json(&open_vljepa_config(file, parts).unwrap()).unwrap();
        let weights = open_vljepa(file, vision, text_kind).unwrap();
        check(&weights, &config.tensors(), &[]).unwrap();
        let queries = models["llama_tokenizer"].to_string();
        let queries = TextTokenizer::for_queries(queries.as_bytes(), &config).unwrap();
        let targets = models[format!("{kind}_tokenizer")].to_string();
        let targets = TextTokenizer::for_targets(targets.as_bytes(), &config.y_encoder).unwrap();
        let pad = config.y_encoder.config.pad_token_id();
        let (query, frames) = ("Describe the video.".to_owned(), config.frames());
        let model = VlJepa::load(&device(), config, &weights).unwrap();

        let expected = bytes(&format!("vision/open_vljepa_{name}.safetensors"));
        let expected = SafeTensors::parse(name, &expected).unwrap();
        let inputs = bytes("vision/open_vljepa_gemma.safetensors");
        let inputs = SafeTensors::parse("inputs", &inputs).unwrap();
        let predict = |out: &str, shape: &[usize], pixels: &[f32], asked: &[String]| {
            let clip = Tensor::from_f32(&device(), shape, pixels).unwrap();
            let query = Tokens::new(&device(), &encoded(&queries, asked), 0).unwrap();
            let got = model.predict(&Forward::inference(), &clip, Some(&query)).unwrap().value().to_f32().unwrap();
            assert_near(&format!("{name} {out}"), &got, &get(&expected, out).1, TOLERANCE);
        };
        let asked = texts("queries");
        let shape = [asked.len(), 4, 3, 8, 8];
        predict("out.batch", &shape, &synthetic("open_vljepa", &shape, Some(1.0)), &asked);
        predict("out.picture", &[1, 1, 3, 8, 8], &get(&inputs, "pixels.picture").1, &["Describe the image.".into()]);
        predict("out.clip", &[1, 4, 3, 8, 8], &get(&inputs, "pixels.clip").1.repeat(4), std::slice::from_ref(&query));
        let film = &get(&inputs, "pixels.film").1[..frames * 3 * 8 * 8];
        predict("out.film", &[1, frames, 3, 8, 8], film, &[query]);

        let captions = encoded(&targets, &texts("captions"));
        let tokens = Tokens::new(&device(), &captions, pad).unwrap();
        let got = model.encode_text(&Forward::inference(), &tokens).unwrap().value().to_f32().unwrap();
        assert_near(&format!("{name} captions"), &got, &get(&expected, "out.captions").1, TOLERANCE);
        if name == "gemma" {
            assert_eq!(encoded(&queries, &asked), stored(&inputs, "query"));
            assert_eq!(captions, stored(&inputs, "caption"));
        }
    });
}

#[test]
fn the_embeddings_are_those_of_the_projects_classes() {
    same_embeddings("gemma", "gemma3_text", TextKind::Gemma3);
}

#[test]
fn another_text_encoder_a_projected_x_encoder_and_the_causal_mask_are_taken_too() {
    same_embeddings("bert", "bert", TextKind::Bert);
}

#[test]
fn the_runs_configuration_becomes_ours() {
    with("open_vljepa_gemma.pt", "gemma3_text", |file, vision, parts| {
        let text = open_vljepa_config(file, parts).unwrap();
        let config = VlJepaConfig::from_json(&text).unwrap();
        let (p, y, see) = (&config.predictor, &config.y_encoder, &config.preprocessing);
        assert_eq!((p.first_layer, p.num_layers, p.causal, config.embedding_dim), (2, 2, false, 10));
        assert_eq!((config.max_query_tokens, y.max_target_tokens, config.frames()), (24, 32, 4));
        assert_eq!((config.image_size(), config.short_side(), see.crop_start), (8, 8, CropStart::Even));
        assert!(see.clip_fractions && y.prompt.is_empty() && y.dense.is_empty() && !y.normalize);
        assert_eq!(p.default_query, "Describe the video.");
        assert!(!config.temperature.learned && (config.temperature.initial - 0.05).abs() < 1e-12);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["y_encoder"]["kind"], "gemma3");
        let mut gemma = models()["gemma3_text"].clone();
        gemma["dtype"] = "bfloat16".into();
        assert_eq!(json["y_encoder"]["config"], gemma);
        // The published configuration has another spelling and says what its own weights are in.
        let mut published = parts.text.clone();
        published["torch_dtype"] = "float32".into();
        assert_eq!(open_vljepa_config(file, &OpenVlJepaParts { text: &published, ..*parts }).unwrap(), text);
        assert_eq!(json["x_encoder"]["position_grid"], "config");
        let weights = open_vljepa(file, vision, TextKind::Gemma3).unwrap();
        assert_eq!(read_f32(&weights, "logit_scale", &[1]).unwrap(), [20f32.ln()]);
        let norm = "x_encoder.layernorm.bias";
        assert_eq!(read_f32(&weights, norm, &[24]).unwrap(), synthetic("encoder.layernorm.bias", &[24], None));
    });
    with("open_vljepa_bert.pt", "bert", |file, vision, parts| {
        let config = VlJepaConfig::from_json(&open_vljepa_config(file, parts).unwrap()).unwrap();
        assert_eq!((config.predictor.num_layers, config.predictor.causal, config.frames()), (1, true, 1));
        assert_eq!(config.predictor.default_query, "Describe the image.");
        let weights = open_vljepa(file, vision, TextKind::Bert).unwrap();
        assert!(weights.names().iter().all(|n| !n.contains("projector")));
        assert_eq!(weights.tensor("vision_projection.weight").unwrap().shape, [16, 24]);
    });
}

#[test]
fn a_checkpoint_of_something_else_is_refused() {
    with("little.pt", "bert", |file, vision, parts| {
        let error = open_vljepa(file, vision, TextKind::Bert).unwrap_err().to_string();
        assert!(error.contains("no `model_state_dict`") && error.contains("epoch"), "{error}");
        assert!(open_vljepa_config(file, parts).unwrap_err().to_string().contains("out_proj"));
    });
    with("open_vljepa_gemma.pt", "gemma3_text", |file, _, parts| {
        let mut one_layer = parts.llama.clone();
        one_layer["num_hidden_layers"] = 1.into();
        let error = open_vljepa_config(file, &OpenVlJepaParts { llama: &one_layer, ..*parts }).unwrap_err().to_string();
        assert!(error.contains("2 predictor layers, the Llama has 1"), "{error}");
        let error = open_vljepa_config(file, &OpenVlJepaParts { text: parts.llama, ..*parts }).unwrap_err().to_string();
        assert!(error.contains("Llama"), "{error}");
    });
}
