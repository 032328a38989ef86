//! V-JEPA 2's predictor, masked encoding and attentive probe against transformers, through `fixtures/vision`.

use vljepa_model::config::{PositionGrid, Vjepa2Config};
use vljepa_model::weights::{SafeTensors, WeightSource, read_i32};
use vljepa_model::{
    AttentiveProbe, Forward, LinearProbe, ParamSource, PatchIds, Prediction, RandomInit, Result, Vjepa2Encoder,
    Vjepa2Predictor,
};
use vljepa_tensor::autograd::{self, Tape, Var};
use vljepa_tensor::ops::{AdamW, CrossEntropy, adamw_assign};
use vljepa_tensor::{Dtype, Tensor};

use crate::fixtures::{bytes, text};
use crate::parity::{assert_gradients, assert_near, device, get};
use crate::synthetic::{Synthetic, synthetic};

/// Names of classifier checkpoints begin with `vjepa2.`, and so do the seeds of their fixtures.
struct Classifier;

impl ParamSource for Classifier {
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        Ok(synthetic(&format!("vjepa2.{name}"), shape, None))
    }
}

fn pixels(shape: &[usize]) -> Tensor {
    Tensor::from_f32(&device(), shape, &synthetic("pixel_values_videos", shape, Some(1.0))).unwrap()
}

fn ids(file: &SafeTensors<'_>, name: &str, tokens: usize) -> PatchIds {
    let shape = file.tensor(name).unwrap().shape.to_vec();
    let list: Vec<u32> = read_i32(file, name, &shape).unwrap().into_iter().map(|i| i as u32).collect();
    PatchIds::new(&device(), &list.chunks(shape[1]).map(<[u32]>::to_vec).collect::<Vec<_>>(), tokens).unwrap()
}

fn values(v: &Var) -> Vec<f32> {
    v.value().to_f32().unwrap()
}

#[test]
fn predictor_and_masks_equal_the_reference() {
    let config = Vjepa2Config::from_json(&text("vision/predictor.json")).unwrap();
    let expected = bytes("vision/predictor.safetensors");
    let expected = SafeTensors::parse("expected", &expected).unwrap();
    let encoder = Vjepa2Encoder::load(&device(), &config, &mut Synthetic, "encoder").unwrap();
    let predictor = Vjepa2Predictor::load(&device(), &config, &mut Synthetic, "predictor").unwrap();
    let (context, target) = (ids(&expected, "context", 64), ids(&expected, "target", 64));
    let clip = pixels(&[1, 8, 3, 16, 16]);
    let f = Forward::inference();
    let tokens = encoder.forward(&f, &clip).unwrap();
    assert_near("encoder", &values(&tokens), &get(&expected, "out.last_hidden_state").1, 1e-5);
    let kept = encoder.forward_kept(&f, &clip, &context).unwrap();
    assert_near("kept tokens", &values(&kept), &get(&expected, "out.kept").1, 1e-5);

    let tape = Tape::new();
    let f = Forward::training(tape.clone(), |_| true);
    let known = context.select(&tokens).unwrap();
    let what = Prediction::new(&context, &target, (4, 4));
    let predicted = predictor.forward(&f, &known, &what).unwrap();
    assert_near("predictor", &values(&predicted), &get(&expected, "out.predicted").1, 1e-5);
    let probe = synthetic("probe", predicted.shape(), Some(1.0));
    let probe = Tensor::from_f32(&device(), predicted.shape(), &probe).unwrap();
    let gradients = f.gradients(tape.backward(&predicted, Some(probe)).unwrap());
    assert_eq!(gradients.len(), config.predictor_tensors().len());
    assert_gradients(&expected, &gradients, 2e-5);

    let other = predictor.forward(&Forward::inference(), &known, &what.mask_token(2)).unwrap();
    assert_near("mask token 2", &values(&other), &get(&expected, "out.predicted_with_mask_token_2").1, 1e-5);
    // The number is counted modulo the tokens stored, three here.
    let again = predictor.forward(&Forward::inference(), &known, &what.mask_token(5)).unwrap();
    assert_eq!(values(&other), values(&again));
}

#[test]
fn probe_equals_the_reference() {
    let configs: serde_json::Value = serde_json::from_str(&text("vision/probe.json")).unwrap();
    let config = |key: &str| Vjepa2Config::from_json(&configs[key].to_string()).unwrap();
    let expected = bytes("vision/probe.safetensors");
    let expected = SafeTensors::parse("expected", &expected).unwrap();
    let large = config("large");
    let encoder = Vjepa2Encoder::load(&device(), &large, &mut Classifier, "encoder").unwrap();
    let probe = AttentiveProbe::load(&device(), &large, 5, &mut Synthetic).unwrap();
    let f = Forward::inference();
    let tokens = encoder.forward(&f, &pixels(&[2, 8, 3, 16, 16])).unwrap();
    let logits = probe.forward(&f, &tokens).unwrap();
    assert_near("logits", &values(&logits), &get(&expected, "out.logits").1, 2e-5);

    let small = config("small");
    let probe = AttentiveProbe::load(&device(), &small, 5, &mut Synthetic).unwrap();
    let names: Vec<_> = small.probe_tensors(5).into_iter().map(|t| (t.name, t.shape)).collect();
    let mut params: Vec<_> =
        probe.params().iter().map(|p| (p.name().to_string(), p.tensor().shape().to_vec())).collect();
    let mut sorted = names.clone();
    params.sort();
    sorted.sort();
    assert_eq!(params, sorted, "the list of tensors is that of the parameters");
    let tape = Tape::new();
    let f = Forward::training(tape.clone(), |_| true);
    let tokens = Tensor::from_f32(&device(), &[2, 10, 48], &synthetic("tokens", &[2, 10, 48], Some(1.0))).unwrap();
    let logits = probe.forward(&f, &Var::constant(tokens)).unwrap();
    assert_near("small logits", &values(&logits), &get(&expected, "out.small_logits").1, 1e-5);
    let seed = Tensor::from_f32(&device(), &[2, 5], &synthetic("probe", &[2, 5], Some(1.0))).unwrap();
    let gradients = f.gradients(tape.backward(&logits, Some(seed)).unwrap());
    assert_eq!(gradients.len(), names.len());
    assert_gradients(&expected, &gradients, 2e-5);
}

#[test]
fn positions_of_rectangular_inputs_follow_the_named_grid() {
    let config = Vjepa2Config::from_json(&text("vision/rectangular.json")).unwrap();
    assert_eq!(config.position_grid, PositionGrid::Config);
    let expected = bytes("vision/rectangular.safetensors");
    let expected = SafeTensors::parse("expected", &expected).unwrap();
    let (_, want) = get(&expected, "out.last_hidden_state");
    let clip = pixels(&[1, 4, 3, 12, 20]);
    let f = Forward::inference();
    let run = |config: &Vjepa2Config, clip: &Tensor| {
        let encoder = Vjepa2Encoder::load(&device(), config, &mut Synthetic, "encoder").unwrap();
        encoder.forward(&f, clip).unwrap()
    };
    let tokens = run(&config, &clip);
    assert_near("the configuration's grid", &values(&tokens), &want, 1e-5);
    let predictor = Vjepa2Predictor::load(&device(), &config, &mut Synthetic, "predictor").unwrap();
    let (context, target) = (ids(&expected, "context", 30), ids(&expected, "target", 30));
    let known = context.select(&tokens).unwrap();
    let predicted = predictor.forward(&f, &known, &Prediction::new(&context, &target, (3, 5))).unwrap();
    assert_near("predictor", &values(&predicted), &get(&expected, "out.predicted").1, 1e-5);

    let real = Vjepa2Config { position_grid: PositionGrid::Real, ..config.clone() };
    let other = values(&run(&real, &clip));
    let apart = other.iter().zip(&want).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(apart > 1e-3, "the grids must matter here: {apart}");
    // On square inputs of the configured size they agree to the bit.
    let square = pixels(&[1, 4, 3, 16, 16]);
    assert_eq!(values(&run(&real, &square)), values(&run(&config, &square)));
}

#[test]
fn every_token_kept_is_the_whole_encoder_in_any_order() {
    let config = Vjepa2Config::from_json(&text("vision/predictor.json")).unwrap();
    let encoder = Vjepa2Encoder::load(&device(), &config, &mut Synthetic, "encoder").unwrap();
    let clip = pixels(&[2, 4, 3, 12, 20]);
    let f = Forward::inference();
    let whole = encoder.forward(&f, &clip).unwrap();
    let forwards: Vec<u32> = (0..30).collect();
    let backwards: Vec<u32> = (0..30).rev().collect();
    let ids = PatchIds::new(&device(), &[forwards, backwards], 30).unwrap();
    let kept = values(&encoder.forward_kept(&f, &clip, &ids).unwrap());
    assert_near("kept", &kept, &values(&ids.select(&whole).unwrap()), 1e-5);
}

#[test]
fn ids_that_are_no_tokens_are_refused() {
    let new = |lists: &[Vec<u32>]| PatchIds::new(&device(), lists, 8).map(|_| ()).unwrap_err().to_string();
    assert!(new(&[vec![0, 8]]).contains("8 for clip 0"));
    assert!(new(&[vec![0, 1], vec![2]]).contains("1 ids for clip 1 and 2 for the first"));
    assert!(new(&[]).contains("no ids") && new(&[vec![]]).contains("no ids"));
    let config = Vjepa2Config::from_json(&text("vision/rectangular.json")).unwrap();
    let encoder = Vjepa2Encoder::load(&device(), &config, &mut Synthetic, "encoder").unwrap();
    let eight = PatchIds::new(&device(), &[vec![0, 7]], 8).unwrap();
    let error = encoder.forward_kept(&Forward::inference(), &pixels(&[1, 4, 3, 12, 20]), &eight).unwrap_err();
    assert!(error.to_string().contains("30 tokens"), "{error}");
    let predictor = Vjepa2Predictor::load(&device(), &config, &mut Synthetic, "predictor").unwrap();
    let context = Var::constant(Tensor::zeros(&device(), &[1, 2, 48], Dtype::F32).unwrap());
    let what = Prediction::new(&eight, &eight, (3, 5));
    let error = predictor.forward(&Forward::inference(), &context, &what).unwrap_err();
    assert!(error.to_string().contains("grid of 3 by 5"), "{error}");
    // A process that ends while llvmpipe still compiles crashes in LLVM.
    device().synchronize().unwrap();
}

#[test]
fn a_probe_learns_one_batch_by_heart() {
    let configs: serde_json::Value = serde_json::from_str(&text("vision/probe.json")).unwrap();
    let config = Vjepa2Config::from_json(&configs["small"].to_string()).unwrap();
    let mut init = RandomInit { seed: 3, range: config.initializer_range, logit_scale: 0.0 };
    let probe = AttentiveProbe::load(&device(), &config, 5, &mut init).unwrap();
    let shape = [8, 6, 48];
    let tokens = Var::constant(Tensor::from_f32(&device(), &shape, &synthetic("batch", &shape, Some(1.0))).unwrap());
    let labels = Tensor::from_u32(&device(), &[8], &[0, 1, 2, 3, 4, 0, 2, 1]).unwrap();
    let moments: Vec<[Tensor; 2]> = probe
        .params()
        .iter()
        .map(|p| [(), ()].map(|()| Tensor::zeros(&device(), p.tensor().shape(), Dtype::F32).unwrap()))
        .collect();
    let mut losses = Vec::new();
    for step in 1..=60 {
        let tape = Tape::new();
        let f = Forward::training(tape.clone(), |_| true);
        let logits = probe.forward(&f, &tokens).unwrap();
        let loss = autograd::cross_entropy(&logits, &labels, CrossEntropy::default()).unwrap();
        losses.push(values(&loss)[0]);
        let gradients = f.gradients(tape.backward(&loss, None).unwrap());
        for (param, [m, v]) in probe.params().iter().zip(&moments) {
            let (_, gradient) = gradients.iter().find(|(name, _)| name == param.name()).unwrap();
            adamw_assign(param.tensor(), gradient, m, v, step, &AdamW::new(3e-3), None).unwrap();
        }
    }
    let (first, last) = (losses[0], losses[losses.len() - 1]);
    assert!((first - 5f32.ln()).abs() < 0.1, "five classes at random: {first}");
    assert!(last < 0.01, "learned to {last} from {first}");
}

#[test]
fn a_linear_probe_is_an_attentive_one_that_attends_to_all_tokens_alike() {
    let json = r#"{"hidden_size": 48, "num_attention_heads": 4, "num_hidden_layers": 1, "num_pooler_layers": 0}"#;
    let config = Vjepa2Config::from_json(json).unwrap();
    let classifier = LinearProbe::load(&device(), &config, 5, &mut Synthetic).unwrap();
    struct Pooler(Vec<(String, Vec<usize>, Vec<f32>)>);
    impl ParamSource for Pooler {
        fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
            match self.0.iter().find(|(known, ..)| known == name) {
                Some((_, known, values)) => {
                    assert_eq!(known, shape, "{name}");
                    Ok(values.clone())
                }
                None => Synthetic.values(name, shape),
            }
        }
    }
    let pooler = LinearProbe::pooler(&config);
    assert_eq!(pooler.len() + classifier.params().len(), config.probe_tensors(5).len());
    let attentive = AttentiveProbe::load(&device(), &config, 5, &mut Pooler(pooler)).unwrap();
    let (batch, tokens) = (3, 37);
    // Tokens of unlike lengths, so that their normalisation shows.
    let mut values = synthetic("tokens", &[batch, tokens, 48], Some(1.0));
    values.chunks_exact_mut(48).enumerate().for_each(|(i, row)| row.iter_mut().for_each(|v| *v *= 1.0 + i as f32));
    let all = Tensor::from_f32(&device(), &[batch, tokens, 48], &values).unwrap();
    let f = Forward::inference();
    let want = attentive.forward(&f, &Var::constant(all)).unwrap();
    let pooled: Vec<f32> = values.chunks(tokens * 48).flat_map(|clip| LinearProbe::pool(&config, clip)).collect();
    let pooled = Tensor::from_f32(&device(), &[batch, 48], &pooled).unwrap();
    let got = classifier.forward(&f, &Var::constant(pooled)).unwrap();
    assert_near("logits", &self::values(&got), &self::values(&want), 1e-5);
}
