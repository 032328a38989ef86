//! LeWM against a PyTorch model written from the same facts (`fixtures/make_lewm.py`).

use serde_json::Value;
use vljepa_model::config::LewmConfig;
use vljepa_model::weights::{SafeTensors, published_lewm};
use vljepa_model::{Drops, Forward, Lewm, LewmBatch, LewmInit, Storage};
use vljepa_tensor::autograd::{self, Tape, Var};
use vljepa_tensor::{Tensor, ops};

use crate::fixtures::{bytes, text};
use crate::parity::{assert_gradients, assert_near, device, get, upload};

const DROPS: Drops = Drops { seed: 3, step: 0 };

fn config() -> LewmConfig {
    let about: Value = serde_json::from_str(&text("lewm.json")).unwrap();
    LewmConfig::from_json(&about["config"].to_string()).unwrap()
}

fn load(file: &SafeTensors<'_>) -> Lewm {
    Lewm::load(&device(), &config(), &mut &*file).unwrap()
}

#[test]
fn outputs_by_running_statistics_equal_the_reference() {
    let file = bytes("lewm.safetensors");
    let file = SafeTensors::parse("lewm", &file).unwrap();
    let (model, f) = (load(&file), Forward::inference());
    let pictures = upload(&file, "input.pictures").reshape(&[12, 3, 12, 12]).unwrap();
    let latents = model.encode(&f, &pictures).unwrap();
    assert_near("latents", &latents.value().to_f32().unwrap(), &get(&file, "eval.latents").1, 2e-5);
    let latents = latents.reshape(&[3, 4, 24]).unwrap();
    let actions = Var::constant(upload(&file, "input.actions"));
    let predicted = model.predict(&f, &autograd::slice(&latents, 1, 0, 3).unwrap(), &actions).unwrap();
    assert_near("predicted", &predicted.value().to_f32().unwrap(), &get(&file, "eval.predicted").1, 5e-5);

    let first = autograd::slice(&latents, 1, 0, 1).unwrap();
    let first = autograd::slice(&first, 0, 0, 1).unwrap();
    let plans = Var::constant(upload(&file, "input.plans"));
    let rolled = model.roll_out(&f, &first, None, &plans).unwrap();
    assert_eq!(rolled.shape(), [2, 4, 24]);
    assert_near("roll-out", &rolled.value().to_f32().unwrap(), &get(&file, "eval.rolled").1, 2e-4);
}

#[test]
fn a_roll_out_from_three_frames_goes_on_from_a_roll_out_from_one() {
    let file = bytes("lewm.safetensors");
    let file = SafeTensors::parse("lewm", &file).unwrap();
    let (model, f) = (load(&file), Forward::inference());
    let plans = Var::constant(upload(&file, "input.plans"));
    let plan = autograd::slice(&plans, 0, 0, 1).unwrap();
    let (_, latents) = get(&file, "eval.latents");
    let first = Var::constant(Tensor::from_f32(&device(), &[1, 1, 24], &latents[..24]).unwrap());
    let all = model.roll_out(&f, &first, None, &plan).unwrap().value().to_f32().unwrap();
    // The same plan in two parts: its first two blocks are then the past.
    let seen: Vec<f32> = latents[..24].iter().chain(&all[..48]).copied().collect();
    let seen = Var::constant(Tensor::from_f32(&device(), &[1, 3, 24], &seen).unwrap());
    let blocks = |from: usize, len: usize| autograd::slice(&plan, 1, from, len).unwrap();
    let before = blocks(0, 2);
    let rest = model.roll_out(&f, &seen, Some(&before), &blocks(2, 2)).unwrap().value().to_f32().unwrap();
    assert_near("rest", &rest, &all[48..], 1e-5);
}

#[test]
fn plans_of_several_pasts_roll_out_each_from_its_own() {
    let file = bytes("lewm.safetensors");
    let file = SafeTensors::parse("lewm", &file).unwrap();
    let (model, f) = (load(&file), Forward::inference());
    let (_, plans) = get(&file, "input.plans");
    let (_, latents) = get(&file, "eval.latents");
    let var = |shape: &[usize], values: &[f32]| Var::constant(Tensor::from_f32(&device(), shape, values).unwrap());
    // Two plans for each of two pasts.
    let (a, b) = (&latents[..24], &latents[96..120]);
    let alone = |past: &[f32]| {
        let rolled = model.roll_out(&f, &var(&[1, 1, 24], past), None, &var(&[2, 4, 6], &plans)).unwrap();
        rolled.value().to_f32().unwrap()
    };
    let twice: Vec<f32> = plans.iter().chain(&plans).copied().collect();
    let both = model.roll_out(&f, &var(&[2, 1, 24], &[a, b].concat()), None, &var(&[4, 4, 6], &twice)).unwrap();
    assert_near("both", &both.value().to_f32().unwrap(), &[alone(a), alone(b)].concat(), 1e-5);
}

#[test]
fn the_training_pass_its_loss_and_its_gradients_equal_the_reference() {
    let file = bytes("lewm.safetensors");
    let file = SafeTensors::parse("lewm", &file).unwrap();
    let model = load(&file);
    let (pictures, actions) = (upload(&file, "input.pictures"), upload(&file, "input.actions"));
    for recomputing in [false, true] {
        let tape = Tape::new();
        let f = Forward::training(tape.clone(), Lewm::is_trained);
        let f = if recomputing { f.recomputing() } else { f };
        let batch = LewmBatch { pictures: &pictures, actions: &actions, drops: DROPS, roll_out: false };
        let pass = model.train(&f, &batch).unwrap();
        assert_near("latents", &pass.latents.value().to_f32().unwrap(), &get(&file, "train.latents").1, 5e-5);
        assert_near("predicted", &pass.predicted.value().to_f32().unwrap(), &get(&file, "train.predicted").1, 1e-4);
        let off = autograd::sub(&pass.predicted, &pass.targets).unwrap();
        let prediction = autograd::mean(&autograd::mul(&off, &off).unwrap()).unwrap();
        let by_frame = autograd::permute(&pass.latents, &[1, 0, 2]).unwrap();
        let directions = Var::constant(upload(&file, "input.directions"));
        let along = autograd::matmul(&by_frame, &directions, ops::Layout::Nn).unwrap();
        let statistic = autograd::sigreg(&along, 17, 3.0).unwrap();
        let loss = autograd::add(&prediction, &autograd::scale(&statistic, 0.09).unwrap()).unwrap();
        let about: Value = serde_json::from_str(&text("lewm.json")).unwrap();
        for (found, i) in [(&loss, 0), (&prediction, 1), (&statistic, 2)] {
            let want = about["losses"][0][i].as_f64().unwrap() as f32;
            assert_near("loss", &found.value().to_f32().unwrap(), &[want], 1e-4);
        }
        let gradients = f.gradients(tape.backward(&loss, None).unwrap());
        assert_eq!(gradients.len(), model.params().iter().filter(|p| Lewm::is_trained(p.name())).count());
        assert_gradients(&file, &gradients, 1e-3);
    }
}

#[test]
fn random_weights_follow_their_rules() {
    let model = Lewm::random(&device(), &config(), LewmInit { seed: 5 }).unwrap();
    let of = |name: &str| {
        let params = model.params();
        let param = params.iter().find(|p| p.name() == name).unwrap_or_else(|| panic!("no {name}"));
        param.tensor().to_f32().unwrap()
    };
    let all = |name: &str, value: f32| assert!(of(name).iter().all(|v| *v == value), "{name}");
    for name in ["weight", "bias"] {
        all(&format!("predictor.transformer.layers.1.adaLN_modulation.1.{name}"), 0.0);
    }
    for norm in [
        "encoder.layernorm",
        "projector.net.1",
        "predictor.transformer.norm",
        "predictor.transformer.layers.0.mlp.net.0",
    ] {
        all(&format!("{norm}.weight"), 1.0);
        all(&format!("{norm}.bias"), 0.0);
    }
    all("pred_proj.net.1.running_mean", 0.0);
    all("pred_proj.net.1.running_var", 1.0);
    all("encoder.encoder.layer.0.intermediate.dense.bias", 0.0);
    let within = |name: &str, bound: f32| {
        let values = of(name);
        let most = values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        assert!(most <= bound && most > 0.5 * bound, "{name}: {most} of {bound}");
    };
    // Uniform within one over the root of the inputs.
    within("predictor.transformer.layers.0.mlp.net.1.weight", 24f32.powf(-0.5));
    within("predictor.transformer.layers.0.mlp.net.1.bias", 24f32.powf(-0.5));
    within("predictor.transformer.layers.0.mlp.net.4.bias", 48f32.powf(-0.5));
    within("projector.net.3.bias", 32f32.powf(-0.5));
    within("action_encoder.patch_embed.bias", 6f32.powf(-0.5));
    within("encoder.encoder.layer.1.attention.attention.query.weight", 0.04);
    let positions = of("predictor.pos_embedding");
    let deviation = (positions.iter().map(|v| v * v).sum::<f32>() / positions.len() as f32).sqrt();
    assert!((0.7..1.3).contains(&deviation), "{deviation}");
}

#[test]
fn what_is_written_loads_again_and_dropout_is_of_training_alone() {
    let mut config = config();
    (config.predictor.dropout, config.predictor.emb_dropout) = (0.4, 0.3);
    let model = Lewm::random(&device(), &config, LewmInit { seed: 5 }).unwrap();
    // Away from zero, so that actions and what is dropped matter.
    for param in model.params().into_iter().filter(|p| p.name().contains("adaLN")) {
        let values: Vec<f32> = (0..param.tensor().len()).map(|i| 0.3 * ((i * 31 % 17) as f32 - 8.0) / 8.0).collect();
        param.tensor().write_f32(&values).unwrap();
    }
    let saved = model.save(Storage::F32).unwrap();
    let source = SafeTensors::parse("saved", &saved).unwrap();
    let again = Lewm::load(&device(), &config, &mut &published_lewm(&source, &config).unwrap()).unwrap();
    let file = bytes("lewm.safetensors");
    let file = SafeTensors::parse("lewm", &file).unwrap();
    let (pictures, actions) = (upload(&file, "input.pictures"), upload(&file, "input.actions"));
    let flat = pictures.reshape(&[12, 3, 12, 12]).unwrap();
    let f = Forward::inference();
    let latents = |model: &Lewm| model.encode(&f, &flat).unwrap().value().to_f32().unwrap();
    assert_eq!(latents(&model), latents(&again));
    let predicted = |drops: Drops| {
        let batch = LewmBatch { pictures: &pictures, actions: &actions, drops, roll_out: false };
        model.train(&f, &batch).unwrap().predicted.value().to_f32().unwrap()
    };
    assert_eq!(predicted(DROPS), predicted(DROPS));
    assert_ne!(predicted(DROPS), predicted(Drops { step: 1, ..DROPS }));
    assert_ne!(predicted(DROPS), predicted(Drops { seed: 4, ..DROPS }));
    let steer = Var::constant(actions.clone());
    let context = Var::constant(Tensor::from_f32(&device(), &[3, 3, 24], &latents(&model)[..216]).unwrap());
    let evaluated = || model.predict(&f, &context, &steer).unwrap().value().to_f32().unwrap();
    assert_eq!(evaluated(), evaluated());
}

#[test]
fn longer_windows_hold_several_histories_and_what_rolls_on_from_predictions() {
    let config = LewmConfig { history: 1, ..config() };
    let model = Lewm::random(&device(), &config, LewmInit { seed: 5 }).unwrap();
    let file = bytes("lewm.safetensors");
    let file = SafeTensors::parse("lewm", &file).unwrap();
    let (pictures, actions) = (upload(&file, "input.pictures"), upload(&file, "input.actions"));
    let batch = LewmBatch { pictures: &pictures, actions: &actions, drops: DROPS, roll_out: true };
    let pass = model.train(&Forward::inference(), &batch).unwrap();
    assert_eq!(pass.predicted.shape(), [9, 1, 24]);
    let (latents, targets) = (pass.latents.value().to_f32().unwrap(), pass.targets.value().to_f32().unwrap());
    // By place in the window, then by window.
    for (i, target) in targets.chunks_exact(24).enumerate() {
        let (place, window) = (i / 3, i % 3);
        assert_eq!(target, &latents[(window * 4 + place + 1) * 24..][..24], "{i}");
    }
    let (made, came) = pass.rolled.unwrap();
    assert_eq!((made.shape(), came.shape()), (&[3, 2, 24][..], &[3, 2, 24][..]));
    let came = came.value().to_f32().unwrap();
    assert_eq!(&came[..48], &latents[48..96]);
}

#[test]
fn misfits_are_errors() {
    let model = Lewm::random(&device(), &config(), LewmInit { seed: 5 }).unwrap();
    let f = Forward::inference();
    let zeros = |shape: &[usize]| Tensor::from_f32(&device(), shape, &vec![0.0; shape.iter().product()]).unwrap();
    let var = |shape: &[usize]| Var::constant(zeros(shape));
    assert!(model.encode(&f, &zeros(&[1, 3, 12, 8])).is_err());
    assert!(model.predict(&f, &var(&[1, 4, 24]), &var(&[1, 4, 6])).is_err(), "longer than the history");
    assert!(model.predict(&f, &var(&[1, 2, 24]), &var(&[1, 3, 6])).is_err());
    let batch = |pictures: &Tensor, actions: &Tensor| {
        let batch = LewmBatch { pictures, actions, drops: DROPS, roll_out: false };
        model.train(&f, &batch).map(drop)
    };
    assert!(batch(&zeros(&[2, 3, 3, 12, 12]), &zeros(&[2, 2, 6])).is_err(), "as long as the history");
    assert!(batch(&zeros(&[2, 4, 3, 12, 12]), &zeros(&[2, 4, 6])).is_err());
    for (seen, before, plans) in [
        (var(&[1, 2, 24]), None, var(&[5, 2, 6])),
        (var(&[1, 1, 24]), None, var(&[5, 2, 7])),
        (var(&[1, 1, 24]), Some(var(&[1, 1, 6])), var(&[5, 2, 6])),
        (var(&[2, 1, 24]), None, var(&[5, 2, 6])),
        (var(&[1, 24]), None, var(&[5, 2, 6])),
    ] {
        let error = model.roll_out(&f, &seen, before.as_ref(), &plans).unwrap_err().to_string();
        assert!(error.contains("roll-out"), "{error}");
    }
}
