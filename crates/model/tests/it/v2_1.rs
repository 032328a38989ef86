//! V-JEPA 2.1 against a PyTorch model of its own, through `fixtures/v2_1`.

use half::bf16;
use vljepa_model::config::{Vjepa2Config, VlJepaConfig, parameter_count};
use vljepa_model::weights::{
    Dtype, PtFile, Remapped, SafeTensors, Vjepa2Parts, WeightSource, check, is_v2_1, official_config, official_vjepa2,
    read_f32, read_i32,
};
use vljepa_model::{Forward, ModelError, PatchIds, Prediction, Storage, Vjepa2Encoder, Vjepa2Predictor, VlJepa};
use vljepa_tensor::autograd::{self, Gradients, Tape, Var};
use vljepa_tensor::{Tensor, ops};

use crate::fixtures::{bytes, text};
use crate::parity::{assert_gradients, assert_near, device, get};
use crate::synthetic::{Synthetic, synthetic};
use crate::vjepa2_checkpoint::follows_from_shapes;

pub fn config(name: &str) -> Vjepa2Config {
    let configs: serde_json::Value = serde_json::from_str(&text("v2_1/configs.json")).unwrap();
    Vjepa2Config::from_json(&configs[name].to_string()).unwrap()
}

/// A tensor that its name seeds.
fn seeded(name: &str, shape: &[usize]) -> Tensor {
    Tensor::from_f32(&device(), shape, &synthetic(name, shape, Some(1.0))).unwrap()
}

fn pixels(shape: &[usize]) -> Tensor {
    seeded("pixel_values_videos", shape)
}

fn values(v: &Var) -> Vec<f32> {
    v.value().to_f32().unwrap()
}

fn side_by_side(levels: &[Var]) -> Var {
    autograd::concat(&levels.iter().collect::<Vec<_>>(), 2).unwrap()
}

fn ids(file: &SafeTensors<'_>, name: &str, tokens: usize) -> PatchIds {
    let shape = file.tensor(name).unwrap().shape.to_vec();
    let list: Vec<u32> = read_i32(file, name, &shape).unwrap().into_iter().map(|i| i as u32).collect();
    PatchIds::new(&device(), &list.chunks(shape[1]).map(<[u32]>::to_vec).collect::<Vec<_>>(), tokens).unwrap()
}

fn near(file: &SafeTensors<'_>, name: &str, got: &Var) {
    assert_near(name, &values(got), &get(file, name).1, 1e-5);
}

/// All levels of a clip, and the gradients of a sum over all of them.
fn encoder_equals(name: &str, shape: &[usize]) {
    let config = config(name);
    let expected = bytes(&format!("v2_1/{name}.safetensors"));
    let expected = SafeTensors::parse(name, &expected).unwrap();
    let encoder = Vjepa2Encoder::load(&device(), &config, &mut Synthetic, "encoder").unwrap();
    let tape = Tape::new();
    let f = Forward::training(tape.clone(), |_| true);
    let levels = encoder.forward_levels(&f, &pixels(shape), None).unwrap();
    let all = side_by_side(&levels);
    near(&expected, "out.levels", &all);
    let gradients = f.gradients(tape.backward(&all, Some(seeded("probe", all.shape()))).unwrap());
    assert_gradients(&expected, &gradients, 2e-5);
    // The other kind of input has no part in it.
    let other = if shape[1] == 1 { "video_mod_embed" } else { "img_mod_embed" };
    assert!(!gradients.iter().any(|(name, _)| name.ends_with(other)));

    let f = Forward::inference();
    let last = encoder.forward(&f, &pixels(shape)).unwrap();
    assert_eq!(values(&last), values(&levels[3]), "the output is the last level");
    assert_eq!(values(&encoder.forward_context(&f, &pixels(shape), None).unwrap()), values(&all));
    for wrong in [
        Vjepa2Config { use_rope_interleave: false, ..config.clone() },
        Vjepa2Config { interpolate_rope: false, ..config.clone() },
    ] {
        let encoder = Vjepa2Encoder::load(&device(), &wrong, &mut Synthetic, "encoder").unwrap();
        let other = values(&encoder.forward(&f, &pixels(shape)).unwrap());
        let apart = other.iter().zip(values(&last)).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(apart > 1e-3, "the rotary form must matter here: {apart}");
    }
    if name == "video" {
        near(&expected, "out.row", &encoder.forward(&f, &pixels(&[1, 2, 3, 4, 12])).unwrap());
    }
}

#[test]
fn every_level_of_a_clip_equals_the_reference() {
    encoder_equals("video", &[2, 4, 3, 12, 20]);
}

#[test]
fn every_level_of_a_still_equals_the_reference() {
    encoder_equals("still", &[3, 1, 3, 20, 12]);
}

#[test]
fn a_still_is_another_input_than_a_clip_of_copies() {
    let encoder = Vjepa2Encoder::load(&device(), &config("still"), &mut Synthetic, "encoder").unwrap();
    let f = Forward::inference();
    let still = pixels(&[1, 1, 3, 12, 20]);
    let copies = ops::concat(&[&still, &still], 1).unwrap();
    let (still, clip) = (encoder.forward(&f, &still).unwrap(), encoder.forward(&f, &copies).unwrap());
    assert_eq!((still.shape(), clip.shape()), ([1, 15, 28].as_slice(), [1, 15, 28].as_slice()));
    let apart = values(&still).iter().zip(values(&clip)).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(apart > 0.1, "{apart}");
    let error = encoder.forward(&f, &pixels(&[1, 3, 3, 12, 20])).unwrap_err().to_string();
    assert!(error.contains("3 frames do not divide into tubelets of 2"), "{error}");
}

/// Masked encoding, then the prediction of targets and of context, with gradients of both down to the first block.
fn predictor_equals(name: &str, shape: &[usize], grid: (usize, usize)) {
    let config = config(name);
    let expected = bytes(&format!("v2_1/{name}.safetensors"));
    let expected = SafeTensors::parse(name, &expected).unwrap();
    let encoder = Vjepa2Encoder::load(&device(), &config, &mut Synthetic, "encoder").unwrap();
    let predictor = Vjepa2Predictor::load(&device(), &config, &mut Synthetic, "predictor").unwrap();
    let tokens = shape[1].div_ceil(2) * grid.0 * grid.1;
    let (known, asked) = (ids(&expected, "context", tokens), ids(&expected, "target", tokens));
    let what = Prediction::new(&known, &asked, grid).still(shape[1] == 1);

    let tape = Tape::new();
    let f = Forward::training(tape.clone(), |_| true);
    let context = encoder.forward_context(&f, &pixels(shape), Some(&known)).unwrap();
    near(&expected, "out.kept", &context);
    let (target, again) = predictor.forward_all(&f, &context, &what).unwrap();
    near(&expected, "out.predicted", &target);
    near(&expected, "out.predicted_context", &again);
    let probes = [seeded("probe", target.shape()), seeded("probe.context", again.shape())].map(Var::constant);
    let both = autograd::concat(&[&target, &again], 1).unwrap();
    let probe = autograd::concat(&[&probes[0], &probes[1]], 1).unwrap();
    let gradients: Gradients = tape.backward(&both, Some(probe.value().clone())).unwrap();
    assert_gradients(&expected, &f.gradients(gradients), 2e-5);

    let f = Forward::inference();
    assert_eq!(values(&predictor.forward(&f, &context, &what).unwrap()), values(&target));
    let other = predictor.forward(&f, &context, &what.mask_token(0)).unwrap();
    near(&expected, "out.predicted_with_mask_token_0", &other);
    let wrong = predictor.forward(&f, &context, &what.still(shape[1] != 1)).unwrap();
    assert_ne!(values(&wrong), values(&target), "stills and videos are told apart");
}

#[test]
fn a_predictor_of_four_levels_equals_the_reference() {
    predictor_equals("predictor", &[2, 4, 3, 12, 20], (3, 5));
}

#[test]
fn a_predictor_of_a_teachers_level_equals_the_reference() {
    predictor_equals("distilled", &[1, 1, 3, 32, 48], (2, 3));
}

#[test]
fn the_tensors_are_those_of_the_model() {
    for name in ["video", "distilled"] {
        let config = config(name);
        let encoder = Vjepa2Encoder::load(&device(), &config, &mut Synthetic, "encoder").unwrap();
        let predictor = Vjepa2Predictor::load(&device(), &config, &mut Synthetic, "predictor").unwrap();
        let params = encoder.params().into_iter().chain(predictor.params());
        let mut params: Vec<_> = params.map(|p| (p.name().to_string(), p.tensor().shape().to_vec())).collect();
        let listed = config.tensors().into_iter().chain(config.predictor_tensors());
        let mut listed: Vec<_> = listed.map(|t| (t.name, t.shape)).collect();
        params.sort();
        listed.sort();
        assert_eq!(params, listed, "{name}");
    }
}

#[test]
fn a_checkpoint_of_the_authors_gives_what_its_weights_give_in_pytorch() {
    let file = bytes("v2_1/official.pt");
    let file = PtFile::parse("official.pt", &file).unwrap();
    file.verify().unwrap();
    // Counted in the published ViT-B, whose depth this one has.
    let count = |entry: &str| file.names().iter().filter(|n| n.starts_with(&format!("{entry}."))).count();
    assert_eq!((count("ema_encoder"), count("encoder")), (158, 158));
    let weights = official_vjepa2(&file, "ema_encoder").unwrap();
    assert!(is_v2_1(&weights));
    let config = official_config(&weights, 8).unwrap();
    assert_eq!(config, Vjepa2Config { num_pooler_layers: config.num_pooler_layers, ..self::config("official") });
    let parts = Vjepa2Parts::of(&weights);
    check(&weights, &parts.tensors(&config), &[]).unwrap();
    let name = "encoder.layer.7.attention.key.weight";
    let want: Vec<f32> =
        synthetic(&format!("ema.{name}"), &[8, 8], None).into_iter().map(|v| bf16::from_f32(v).to_f32()).collect();
    assert_eq!(read_f32(&weights, name, &[8, 8]).unwrap(), want);

    let expected = bytes("v2_1/official.safetensors");
    let expected = SafeTensors::parse("official", &expected).unwrap();
    let encoder = Vjepa2Encoder::load(&device(), &config, &mut &weights, "encoder").unwrap();
    let predictor = Vjepa2Predictor::load(&device(), &config, &mut &weights, "predictor").unwrap();
    let f = Forward::inference();
    let clip = pixels(&[1, 2, 3, 8, 12]);
    let video = encoder.forward(&f, &clip).unwrap();
    near(&expected, "out.video", &video);
    let still = ops::slice(&clip, 1, 0, 1).unwrap();
    near(&expected, "out.still", &encoder.forward(&f, &still).unwrap());
    let (known, asked) = (ids(&expected, "context", 6), ids(&expected, "target", 6));
    let what = Prediction::new(&known, &asked, (2, 3));
    let (target, again) = predictor.forward_all(&f, &known.select(&video).unwrap(), &what).unwrap();
    near(&expected, "out.predicted", &target);
    near(&expected, "out.predicted_context", &again);
}

#[test]
fn a_part_of_a_checkpoint_is_refused_with_all_that_is_wrong() {
    let file = bytes("v2_1/official.pt");
    let file = PtFile::parse("official.pt", &file).unwrap();
    let whole = official_vjepa2(&file, "ema_encoder").unwrap();
    let config = official_config(&whole, 8).unwrap();
    let mut part = Remapped::new();
    for name in whole.names() {
        let tensor = whole.tensor(&name).unwrap();
        match &*name {
            "encoder.norms_block.1.bias" | "encoder.embeddings.img_mod_embed" | "predictor.proj_context.weight" => {}
            "encoder.embeddings.video_mod_embed" => {
                part.insert(name.to_string(), tensor.dtype, vec![8], tensor.bytes.to_vec().into()).unwrap();
            }
            _ => part.add(name.to_string(), tensor).unwrap(),
        }
    }
    part.insert("encoder.layernorm.bias".into(), Dtype::F32, vec![8], vec![0; 32].into()).unwrap();
    // The file says enough of itself for the same configuration, so nothing is taken as it comes.
    assert_eq!(official_config(&part, 8).unwrap(), config);
    let error = check(&part, &Vjepa2Parts::of(&part).tensors(&config), &[]).unwrap_err();
    let ModelError::WeightMismatch(report) = &error else { panic!("{error}") };
    assert_eq!(
        report.missing,
        ["encoder.embeddings.img_mod_embed", "encoder.norms_block.1.bias", "predictor.proj_context.weight"]
    );
    assert_eq!(report.unexpected, ["encoder.layernorm.bias"]);
    assert_eq!(report.wrong_shape.len(), 1);

    // Without its last blocks it would be a model of a depth whose hierarchical layers nobody published.
    let mut shallow = Remapped::new();
    for name in whole.names().iter().filter(|n| !n.starts_with("encoder.layer.11.")) {
        shallow.add(name.to_string(), whole.tensor(name).unwrap()).unwrap();
    }
    let error = official_config(&shallow, 8).unwrap_err().to_string();
    assert!(error.contains("11 layers") && error.contains("give its configuration"), "{error}");
}

#[test]
fn the_published_sizes_have_their_parameters() {
    for (config, encoder, predictor) in [
        (Vjepa2Config::v2_1_vit_base(), 86_833_152, 22_874_752),
        (Vjepa2Config::v2_1_vit_large(), 304_680_960, 22_973_056),
        (Vjepa2Config::v2_1_vit_giant(), 1_013_267_968, 55_400_704),
        (Vjepa2Config::v2_1_vit_gigantic(), 1_845_216_768, 59_433_472),
    ] {
        config.validate().unwrap();
        let counts = (config.parameters(), parameter_count(&config.predictor_tensors()));
        assert_eq!(counts, (encoder, predictor), "{} layers", config.num_hidden_layers);
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(Vjepa2Config::from_json(&json).unwrap(), config);
        // Fused query, key and value, and mask tokens one by one, are what the authors' files count.
        if config.num_hidden_layers == 12 {
            let fused = config.tensors().len() - 4 * 12;
            let masks = config.pred_num_mask_tokens - 1;
            assert_eq!((fused, config.predictor_tensors().len() - 4 * 12 + masks), (158, 162));
        }

        follows_from_shapes(&config);
    }
}

#[test]
fn a_vljepa_sees_through_it() {
    let base = VlJepaConfig::from_json(&text("vljepa/config.json")).unwrap();
    let x_encoder = Vjepa2Config { crop_size: 8, ..config("video") };
    let model = VlJepa::init(&device(), VlJepaConfig { x_encoder: x_encoder.clone(), ..base }, 7).unwrap();
    let saved = model.save(Storage::F32).unwrap();
    let file = SafeTensors::parse("saved", &saved).unwrap();
    let json = model.config.to_json().unwrap();
    let again = VlJepa::load(&device(), VlJepaConfig::from_json(&json).unwrap(), &file).unwrap();
    let alone = Vjepa2Encoder::load(&device(), &x_encoder, &mut &file, "x_encoder").unwrap();
    let f = Forward::inference();
    for (frames, tokens) in [(1, 4), (4, 8)] {
        let clip = pixels(&[2, frames, 3, 8, 8]);
        let seen = again.encode_frames(&f, &clip).unwrap();
        assert_eq!(seen.shape(), [2, tokens, 28]);
        assert_eq!(values(&seen), values(&alone.forward(&f, &clip).unwrap()));
        assert_eq!(again.predict(&f, &clip, None).unwrap().shape(), [2, 24]);
    }
}

#[test]
fn configurations_that_mean_nothing_are_refused() {
    let base = Vjepa2Config::v2_1_vit_base();
    let refused = |config: Vjepa2Config| config.validate().unwrap_err().to_string();
    let levels = |layers: &[usize]| Vjepa2Config { hierarchical_layers: layers.to_vec(), ..base.clone() };
    for layers in [&[2, 5, 8][..], &[5, 2, 8, 11], &[2, 2, 8, 11], &[2, 5, 8, usize::MAX]] {
        assert!(refused(levels(layers)).contains("`hierarchical_layers`"), "{layers:?}");
    }
    for (config, word) in [
        (Vjepa2Config { img_temporal_dim_size: Some(2), ..base.clone() }, "`img_temporal_dim_size`"),
        (Vjepa2Config { img_temporal_dim_size: None, ..base.clone() }, "tells stills from videos"),
        (Vjepa2Config { n_output_distillation: 5, ..base.clone() }, "`n_output_distillation`"),
        (Vjepa2Config { n_output_distillation: 0, ..base.clone() }, "`n_output_distillation`"),
        (Vjepa2Config { teacher_embed_dim: Some(0), ..base.clone() }, "`teacher_embed_dim`"),
        (Vjepa2Config { n_output_distillation: 3, ..base.clone() }, "not a multiple"),
        (Vjepa2Config { patch_size: 192, ..base.clone() }, "`interpolate_rope`"),
    ] {
        let error = refused(config);
        assert!(error.contains(word), "{error}");
    }
    let plain = serde_json::to_string(&Vjepa2Config::vit_large()).unwrap();
    for key in ["hierarchical", "rope", "modality", "distillation", "teacher", "return_all", "img_"] {
        assert!(!plain.contains(key), "V-JEPA 2 leaves them out: {plain}");
    }
    // V-JEPA 2's predictor does not predict its context.
    let v2 = Vjepa2Config::from_json(&text("vision/predictor.json")).unwrap();
    let predictor = Vjepa2Predictor::load(&device(), &v2, &mut Synthetic, "predictor").unwrap();
    let ids = PatchIds::new(&device(), &[vec![0]], 64).unwrap();
    let context = Var::constant(seeded("context", &[1, 1, 128]));
    let what = Prediction::new(&ids, &ids, (4, 4));
    let error = predictor.forward_all(&Forward::inference(), &context, &what).unwrap_err();
    assert!(matches!(error, ModelError::Config { .. }), "{error}");
}
