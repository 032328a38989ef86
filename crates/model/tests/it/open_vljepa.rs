//! Checkpoints of open-vljepa as our model folder.

use half::bf16;
use vljepa_model::config::VlJepaConfig;
use vljepa_model::weights::{
    OpenVlJepaParts, PtFile, Remapped, SafeTensors, TextKind, WeightSource, Writer, bare_vjepa2, check, open_vljepa,
    open_vljepa_config, read_f32,
};
use vljepa_model::{Forward, VlJepa};
use vljepa_tensor::Tensor;

use crate::fixtures::{bytes, text};
use crate::parity::device;
use crate::synthetic::synthetic;

fn models() -> serde_json::Value {
    serde_json::from_str(&text("vision/open_vljepa.json")).unwrap()
}

/// A V-JEPA 2 of the hub with synthetic weights.
fn vjepa2(json: &str) -> Vec<u8> {
    let config = vljepa_model::config::Vjepa2Config::from_json(json).unwrap();
    let mut writer = Writer::new();
    for t in config.tensors().into_iter().chain(config.predictor_tensors()) {
        writer.f32(&t.name, &t.shape, &synthetic(&t.name, &t.shape, None)).unwrap();
    }
    writer.finish().unwrap()
}

/// Runs `test` with the checkpoint, the V-JEPA 2 that it leaves out, and the configurations.
fn with(file: &str, kind: &str, test: impl FnOnce(&PtFile<'_>, &Remapped<'_>, &OpenVlJepaParts<'_>)) {
    let models = models();
    let [x, llama, text] = ["vjepa2", "llama", kind].map(|key| models[key].to_string());
    let (checkpoint, vision) = (bytes(&format!("vision/{file}")), vjepa2(&x));
    let checkpoint = PtFile::parse(file, &checkpoint).unwrap();
    checkpoint.verify().unwrap();
    let vision = SafeTensors::parse("vjepa2", &vision).unwrap();
    let config = vljepa_model::config::Vjepa2Config::from_json(&x).unwrap();
    let (vision, _) = bare_vjepa2(&vision, &config).unwrap();
    test(&checkpoint, &vision, &OpenVlJepaParts { vjepa2: &x, llama: &llama, text: &text });
}

#[test]
fn a_checkpoint_becomes_a_model_that_runs() {
    with("open_vljepa_bert.pt", "bert", |file, vision, parts| {
        let config = VlJepaConfig::from_json(&open_vljepa_config(file, parts).unwrap()).unwrap();
        let weights = open_vljepa(file, vision, TextKind::Bert).unwrap();
        check(&weights, &config.tensors(), &[]).unwrap();
        let (p, y) = (&config.predictor, &config.y_encoder);
        assert_eq!((p.first_layer, p.num_layers, p.causal, config.embedding_dim), (2, 2, false, 10));
        assert_eq!((config.max_query_tokens, y.max_target_tokens, config.frames()), (24, 32, 4));
        assert!(!config.temperature.learned && (config.temperature.initial - 0.05).abs() < 1e-12);
        let narrow = |v: Vec<f32>| -> Vec<f32> { v.into_iter().map(|v| bf16::from_f32(v).to_f32()).collect() };
        for (ours, theirs, shape, stored_narrow) in [
            ("predictor.embed_tokens.weight", "predictor.embed_tokens.weight", vec![60, 16], true),
            ("predictor.layers.1.mlp.down_proj.weight", "predictor.layers.1.mlp.down_proj.weight", vec![16, 24], true),
            ("predictor.norm.weight", "predictor.norm.weight", vec![16], false),
            ("vision_projection.bias", "predictor.vis_proj.bias", vec![16], false),
            ("predictor_head.weight", "predictor.out_proj.weight", vec![10, 16], false),
            ("y_head.weight", "y_encoder.projector.weight", vec![10, 12], false),
            (
                "y_encoder.encoder.layer.0.output.dense.weight",
                "y_encoder.model.encoder.layer.0.output.dense.weight",
                vec![12, 20],
                true,
            ),
            ("x_encoder.layernorm.bias", "encoder.layernorm.bias", vec![24], false),
        ] {
            let want = synthetic(theirs, &shape, None);
            let want = if stored_narrow { narrow(want) } else { want };
            assert_eq!(read_f32(&weights, ours, &shape).unwrap(), want, "{ours}");
        }
        assert_eq!(read_f32(&weights, "logit_scale", &[1]).unwrap(), [20f32.ln()]);
        let model = VlJepa::load(&device(), config, &weights).unwrap();
        let clip = Tensor::from_f32(&device(), &[1, 2, 3, 8, 8], &synthetic("clip", &[1, 2, 3, 8, 8], Some(1.0)));
        assert_eq!(model.predict(&Forward::inference(), &clip.unwrap(), None).unwrap().shape(), [1, 10]);
    });
}

#[test]
fn gemma_takes_the_place_of_the_y_encoder() {
    with("open_vljepa_gemma.pt", "gemma3_text", |file, vision, parts| {
        let config: serde_json::Value = serde_json::from_str(&open_vljepa_config(file, parts).unwrap()).unwrap();
        assert_eq!(config["y_encoder"]["kind"], "gemma3");
        assert_eq!(config["y_encoder"]["config"], models()["gemma3_text"]);
        assert_eq!(config["x_encoder"]["position_grid"], "config");
        let weights = open_vljepa(file, vision, TextKind::Gemma3).unwrap();
        let mut y: Vec<_> = TextKind::Gemma3.tensors(parts.text).unwrap();
        y.iter_mut().for_each(|t| t.name.insert_str(0, "y_encoder."));
        let others = ["x_encoder.", "predictor.", "vision_projection.", "predictor_head.", "y_head.", "logit_scale"];
        check(&weights, &y, &others).unwrap();
        let all = weights.names().len();
        let rest = weights.names().iter().filter(|n| others.iter().any(|o| n.starts_with(o))).count();
        assert_eq!(all, y.len() + rest);
    });
}

#[test]
fn a_checkpoint_of_something_else_is_refused() {
    with("little.pt", "bert", |file, vision, parts| {
        let error = open_vljepa(file, vision, TextKind::Bert).unwrap_err().to_string();
        assert!(error.contains("no `model_state_dict`") && error.contains("epoch"), "{error}");
        assert!(open_vljepa_config(file, parts).unwrap_err().to_string().contains("out_proj"));
    });
    with("open_vljepa_bert.pt", "bert", |file, _, parts| {
        let one_layer = parts.llama.replace("\"num_hidden_layers\":4", "\"num_hidden_layers\":1");
        let error = open_vljepa_config(file, &OpenVlJepaParts { llama: &one_layer, ..*parts }).unwrap_err().to_string();
        assert!(error.contains("2 predictor layers, the Llama has 1"), "{error}");
        let error = open_vljepa_config(file, &OpenVlJepaParts { text: parts.llama, ..*parts }).unwrap_err().to_string();
        assert!(error.contains("Llama"), "{error}");
    });
}
