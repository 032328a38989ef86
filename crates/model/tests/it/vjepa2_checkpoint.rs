//! Checkpoints of V-JEPA 2 and of text models under our names.

use half::{bf16, f16};
use vljepa_model::config::{LlamaConfig, Vjepa2Config};
use vljepa_model::weights::{
    Dtype, PtFile, Remapped, SafeTensors, TextKind, Vjepa2Parts, WeightSource, Writer, bare_text, bare_vjepa2, check,
    official_config, official_vjepa2, read_f32, write_safetensors,
};
use vljepa_model::{Forward, SentenceWeights, Vjepa2Encoder, Vjepa2Predictor};
use vljepa_tensor::Tensor;

use crate::fixtures::{bytes, text};
use crate::parity::device;
use crate::synthetic::synthetic;

#[test]
fn the_official_names_and_fused_matrices_become_those_of_the_hub() {
    let config = Vjepa2Config::from_json(&text("vision/official.json")).unwrap();
    let file = bytes("vision/official.pt");
    let file = PtFile::parse("official.pt", &file).unwrap();
    file.verify().unwrap();
    assert!(file.entries().starts_with(&["batch_size", "encoder", "epoch"]));
    for (entry, prefix) in [("encoder", ""), ("target_encoder", "target.")] {
        let weights = official_vjepa2(&file, entry).unwrap();
        let parts = Vjepa2Parts::of(&weights);
        assert!(parts.predictor && parts.labels.is_none());
        let expected = parts.tensors(&config);
        check(&weights, &expected, &[]).unwrap();
        for spec in &expected {
            // The predictor is stored in f32, the encoders are not.
            let own = if spec.name.starts_with("predictor.") { "" } else { prefix };
            let want: Vec<f32> = synthetic(&format!("{own}{}", spec.name), &spec.shape, None);
            let want: Vec<f32> = match (spec.name.starts_with("predictor."), entry) {
                (true, _) => want,
                (_, "encoder") => want.into_iter().map(|v| f16::from_f32(v).to_f32()).collect(),
                _ => want.into_iter().map(|v| bf16::from_f32(v).to_f32()).collect(),
            };
            let got = read_f32(&weights, &spec.name, &spec.shape).unwrap();
            assert_eq!(got, want, "{entry} {}", spec.name);
        }
        assert_eq!(official_config(&weights, 16).unwrap().tensors(), config.tensors());
        let f = Forward::inference();
        let encoder = Vjepa2Encoder::load(&device(), &config, &mut &weights, "encoder").unwrap();
        let clip = Tensor::from_f32(&device(), &[1, 2, 3, 8, 8], &synthetic("clip", &[1, 2, 3, 8, 8], Some(1.0)));
        assert_eq!(encoder.forward(&f, &clip.unwrap()).unwrap().shape(), [1, 4, 64]);
        Vjepa2Predictor::load(&device(), &config, &mut &weights, "predictor").unwrap();
    }
    let error = official_vjepa2(&file, "ema_encoder").unwrap_err().to_string();
    assert!(error.contains("no entry `ema_encoder`") && error.contains("target_encoder"), "{error}");
}

/// Checks that a configuration is found again by the shapes of its tensors alone.
#[track_caller]
pub fn follows_from_shapes(config: &Vjepa2Config) {
    // Rows that are borrowed over and over stand for the gigabytes.
    let expected: Vec<_> = config.tensors().into_iter().chain(config.predictor_tensors()).collect();
    let largest = expected.iter().map(|t| t.elements()).max().unwrap() as usize;
    let zeros = vec![0u8; largest];
    let mut weights = Remapped::new();
    for t in &expected {
        let bytes = zeros[..t.elements() as usize].into();
        weights.insert(t.name.clone(), Dtype::U8, t.shape.clone(), bytes).unwrap();
    }
    assert_eq!(official_config(&weights, config.crop_size).unwrap(), *config);
}

#[test]
fn the_published_sizes_follow_from_the_shapes() {
    for config in
        [Vjepa2Config::vit_large(), Vjepa2Config::vit_huge(), Vjepa2Config::vit_giant(), Vjepa2Config::vit_giant_384()]
    {
        follows_from_shapes(&config);
    }
}

fn hub(names: &[(String, Vec<usize>)]) -> Vec<u8> {
    let mut writer = Writer::new();
    for (name, shape) in names {
        writer.f32(name, shape, &synthetic(name, shape, None)).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn classifier_checkpoints_lose_their_prefix_and_keep_their_probe() {
    let configs: serde_json::Value = serde_json::from_str(&text("vision/probe.json")).unwrap();
    let config = Vjepa2Config::from_json(&configs["small"].to_string()).unwrap();
    let parts = Vjepa2Parts::of(&Remapped::new());
    assert_eq!((parts.predictor, parts.labels), (false, None));
    let base = config.tensors().into_iter().chain(config.predictor_tensors()).map(|t| (t.name, t.shape));
    let probe = config.probe_tensors(7).into_iter().map(|t| (t.name, t.shape));
    let names: Vec<_> = base.clone().map(|(n, s)| (format!("vjepa2.{n}"), s)).chain(probe).collect();
    let file = hub(&names);
    let source = SafeTensors::parse("classifier", &file).unwrap();
    let (weights, parts) = bare_vjepa2(&source, &config).unwrap();
    assert_eq!((parts.predictor, parts.labels), (true, Some(7)));
    let name = "encoder.layer.0.attention.key.weight";
    let want = synthetic(&format!("vjepa2.{name}"), &[48, 48], None);
    assert_eq!(read_f32(&weights, name, &[48, 48]).unwrap(), want);

    let encoder_only: Vec<_> = base.clone().filter(|(n, _)| n.starts_with("encoder.")).collect();
    let file = hub(&encoder_only);
    let source = SafeTensors::parse("encoder", &file).unwrap();
    assert!(!bare_vjepa2(&source, &config).unwrap().1.predictor);

    let mut fewer: Vec<_> = base.collect();
    fewer.remove(3);
    let file = hub(&fewer);
    let error = bare_vjepa2(&SafeTensors::parse("fewer", &file).unwrap(), &config).unwrap_err().to_string();
    assert!(error.contains("1 missing"), "{error}");
}

/// BERT's norms were called gamma and beta before 2019, and files of that time are still in use.
#[test]
fn older_names_of_norms_are_read_bit_for_bit() {
    let json: serde_json::Value = serde_json::from_str(&text("bert/config.json")).unwrap();
    let specs = TextKind::Bert.tensors(&json).unwrap();
    let file = bytes("bert/model.safetensors");
    let current = SafeTensors::parse("model", &file).unwrap();
    let older = |name: &str| match name.contains("LayerNorm") {
        true => name.replace(".weight", ".gamma").replace(".bias", ".beta"),
        false => name.to_owned(),
    };
    for prefix in ["", "bert."] {
        let mut renamed = Remapped::new();
        for name in current.names() {
            renamed.add(format!("{prefix}{}", older(&name)), current.tensor(&name).unwrap()).unwrap();
        }
        assert!(renamed.names().iter().filter(|name| name.ends_with(".gamma")).count() > 4);
        let bare = bare_text(&renamed, TextKind::Bert, &specs).unwrap();
        let sentence = SentenceWeights::new(&renamed, Vec::new());
        check(&sentence, &specs, &[]).unwrap();
        for spec in &specs {
            let want = current.tensor(&spec.name).unwrap();
            for got in [bare.tensor(&spec.name), sentence.tensor(&spec.name)] {
                let got = got.unwrap_or_else(|| panic!("{prefix}{}", spec.name));
                assert_eq!((got.dtype, got.shape, got.bytes), (want.dtype, want.shape, want.bytes), "{}", spec.name);
            }
        }
    }
    // One file with both names of a norm is no file that one can trust.
    let mut both = Remapped::new();
    for name in current.names() {
        both.add(name.to_string(), current.tensor(&name).unwrap()).unwrap();
    }
    both.add("embeddings.LayerNorm.gamma", current.tensor("embeddings.LayerNorm.weight").unwrap()).unwrap();
    let error = bare_text(&both, TextKind::Bert, &specs).unwrap_err().to_string();
    assert!(error.contains("two tensors would be named `embeddings.LayerNorm.weight`"), "{error}");
}

#[test]
fn text_models_get_the_names_of_their_bare_classes() {
    let models: serde_json::Value = serde_json::from_str(&text("vision/open_vljepa.json")).unwrap();
    for (key, prefix, extra) in [
        ("bert", "bert.", "cls.predictions.bias"),
        ("llama", "", "lm_head.weight"),
        ("gemma3_text", "model.", "lm_head.weight"),
        ("gemma3_text", "", "model.rotary_emb.inv_freq"),
    ] {
        let kind = TextKind::of_config(&models[key]).unwrap();
        let specs = kind.tensors(&models[key]).unwrap();
        let mut names: Vec<_> = specs.iter().map(|t| (format!("{prefix}{}", t.name), t.shape.clone())).collect();
        names.push((extra.to_string(), vec![3, 2]));
        let file = hub(&names);
        let source = SafeTensors::parse(key, &file).unwrap();
        let weights = bare_text(&source, kind, &specs).unwrap();
        let model_type = kind.y_encoder().map_or("llama", |kind| kind.model_type());
        assert_eq!((model_type, weights.len()), (key, specs.len()));
        names.truncate(specs.len() - 1);
        let file = hub(&names);
        let source = SafeTensors::parse(key, &file).unwrap();
        assert!(bare_text(&source, kind, &specs).unwrap_err().to_string().contains("1 missing"), "{key}");
    }
    let error = TextKind::of_config(&serde_json::json!({"model_type": "t5"})).unwrap_err().to_string();
    assert!(error.contains("\"t5\"") && error.contains("gemma3_text"), "{error}");
    assert!(TextKind::of_config(&serde_json::json!({})).unwrap_err().to_string().contains("model_type"));
}

/// The sizes of the published models, by the specification's table of tensors.
#[test]
fn the_published_text_models_have_their_parameters() {
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let count =
        |kind: TextKind, text: &str| kind.tensors(&json(text)).unwrap().iter().map(|t| t.elements()).sum::<u64>();
    let gemma = r#"{"vocab_size": 262144, "hidden_size": 768, "intermediate_size": 1152, "num_hidden_layers": 24,
        "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 256}"#;
    assert_eq!(count(TextKind::Gemma3, gemma), 302_863_104);
    let llama = serde_json::to_string(&LlamaConfig::llama_3_2_1b()).unwrap();
    assert_eq!(count(TextKind::Llama, &llama), 16 * 60_821_504 + 2048 + 262_668_288);
    let huge = gemma.replace("262144", "18446744073709551615");
    assert!(TextKind::Gemma3.tensors(&json(&huge)).is_err());
}

#[test]
fn what_is_written_tensor_by_tensor_is_what_was_read() {
    let file = bytes("vision/official.pt");
    let file = PtFile::parse("official.pt", &file).unwrap();
    let weights = official_vjepa2(&file, "encoder").unwrap();
    let metadata = [("format".to_string(), "pt".to_string())].into();
    let mut out = Vec::new();
    let mut last = (0, 0);
    write_safetensors(&weights, &metadata, &mut out, |done, total| {
        assert!(done > last.0);
        last = (done, total);
    })
    .unwrap();
    assert_eq!(last, (out.len() as u64, out.len() as u64));
    let written = SafeTensors::parse("written", &out).unwrap();
    assert_eq!(written.names(), weights.names());
    assert_eq!(written.metadata(), &metadata);
    for name in weights.names() {
        let (a, b) = (weights.tensor(&name).unwrap(), written.tensor(&name).unwrap());
        assert_eq!((a.dtype, a.shape, a.bytes), (b.dtype, b.shape, b.bytes), "{name}");
    }
    // The same bytes as from the writer that holds everything in memory.
    let mut writer = Writer::new();
    writer.f32("b", &[2], &[1.0, 2.0]).unwrap();
    writer.f16("a", &[2, 1], &[1.0, 2.0]).unwrap();
    let whole = writer.finish().unwrap();
    let mut again = Vec::new();
    let source = SafeTensors::parse("whole", &whole).unwrap();
    write_safetensors(&source, source.metadata(), &mut again, |_, _| ()).unwrap();
    assert_eq!(whole, again);

    let nan = [1.0f32, f32::NAN].map(f32::to_le_bytes).concat();
    let mut bad = Remapped::new();
    bad.insert("w".into(), Dtype::F32, vec![2], nan.into()).unwrap();
    let error = write_safetensors(&bad, &metadata, &mut Vec::new(), |_, _| ()).unwrap_err().to_string();
    assert!(error.contains("`w` holds NaN at element 1"), "{error}");
}
