//! Steps of a small model: where the loss starts, that it falls, accumulation, the guard.

use vljepa_embed::Embedder;
use vljepa_model::weights::SafeTensors;
use vljepa_model::{Storage, VlJepa};
use vljepa_train::TrainError;
use vljepa_train::config::ObjectiveKind;

use crate::support::{config, corpus, device, model, model_config, tokenizer, trainer, weight};

const BANK: &str = "[objective]\ny_head = { whiten = false }\n[optimizer]\nlr = 0.01\n";

#[test]
fn the_loss_starts_at_the_logarithm_of_the_candidates() {
    // Untrained predictions know nothing of the classes, and at 1/τ = 14 random cosines of 12 dimensions spread by
    // 14/√12 = 4: a narrow temperature makes the logarithm visible.
    for (kind, batch) in [("bank", 8), ("batch", 16)] {
        let tables = format!("[objective]\nkind = \"{kind}\"\n[optimizer]\nlr = 0.0\n");
        let config = config(&format!("steps = 1\nbatch = {batch}"), &tables);
        let (mut trainer, maker) = trainer(&config);
        let params = trainer.model().params();
        let scale = params.iter().find(|p| p.name() == "logit_scale").unwrap();
        scale.tensor().write_f32(&[(0.05f32).ln()]).unwrap();
        let candidates = trainer.candidates();
        match config.objective.kind {
            ObjectiveKind::Batch => assert_eq!(candidates, 16),
            _ => assert!(candidates > 50),
        }
        let loss = trainer.step(&maker.make(0).unwrap()).unwrap().loss;
        let want = (candidates as f32).ln();
        // Cosines lie in ±1, so that the loss is within 2 · 0.05 of ln M.
        assert!((loss - want).abs() < 0.1, "{kind}: {loss} is not near ln {candidates} = {want}");
    }
}

#[test]
fn one_batch_is_overfitted() {
    for (kind, optimizer) in [("bank", "muon"), ("batch", "adamw")] {
        let tables = format!(
            "[objective]\nkind = \"{kind}\"\n[optimizer]\nkind = \"{optimizer}\"\nlr = 0.01\nweight_decay = 0.0\n\
             [schedule]\nkind = \"constant\"\nwarmup = 0.0\n"
        );
        let config = config("steps = 60\nbatch = 6", &tables);
        let (mut trainer, maker) = trainer(&config);
        let batch = maker.make(0).unwrap();
        let first = trainer.step(&batch).unwrap().loss;
        let mut last = first;
        for _ in 1..60 {
            last = trainer.step(&batch).unwrap().loss;
        }
        assert!(first > 1.0 && last < 0.1 * first, "{kind}, {optimizer}: from {first} to {last}");
    }
}

#[test]
fn parts_of_a_batch_give_the_gradient_of_the_whole() {
    let whole = config("steps = 1\nbatch = 8", BANK);
    let parts = config("steps = 1\nbatch = 8\naccumulate = 4", BANK);
    let (one, maker) = trainer(&whole);
    let (four, _) = trainer(&parts);
    let batch = maker.make(0).unwrap();
    let ((loss, grads), (sum, sums)) = (one.gradients(&batch).unwrap(), four.gradients(&batch).unwrap());
    assert!((loss - sum).abs() < 1e-5 * loss, "{loss}, {sum}");
    assert!(grads.len() > 20 && grads.keys().eq(sums.keys()));
    for (name, grad) in &grads {
        let (a, b) = (grad.to_f32().unwrap(), sums[name].to_f32().unwrap());
        let scale = a.iter().fold(1e-6f32, |m, v| m.max(v.abs()));
        let worst = a.iter().zip(&b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
        // Other orders of sums of a few hundred terms in f32.
        assert!(worst < 1e-4 * scale + 1e-7, "{name}: {worst} of {scale}");
    }
}

#[test]
fn soft_labels_move_the_loss_towards_likeness() {
    let plain = config("steps = 1\nbatch = 8", BANK);
    let mut soft = plain.clone();
    soft.objective.soft_labels = 0.5;
    let (a, maker) = trainer(&plain);
    let (b, _) = trainer(&soft);
    let batch = maker.make(0).unwrap();
    let (hard, soft) = (a.gradients(&batch).unwrap().0, b.gradients(&batch).unwrap().0);
    assert!(hard.is_finite() && soft.is_finite() && (hard - soft).abs() > 1e-4, "{hard}, {soft}");
}

#[test]
fn a_weight_that_is_not_a_number_stops_the_run_and_is_named() {
    let config = config("steps = 9\nbatch = 4", BANK);
    let (mut trainer, maker) = trainer(&config);
    trainer.step(&maker.make(0).unwrap()).unwrap();
    let name = "predictor.layers.0.mlp.up_proj.weight";
    let head = weight(&trainer, "predictor_head.weight");
    let mut values = weight(&trainer, name);
    values[7] = f32::NAN;
    let params = trainer.model().params();
    params.iter().find(|p| p.name() == name).unwrap().tensor().write_f32(&values).unwrap();
    let error = trainer.step(&maker.make(1).unwrap()).unwrap_err();
    let TrainError::NonFinite { step, tensor, .. } = &error else { panic!("{error}") };
    assert_eq!((*step, tensor.as_str()), (1, format!("weight {name}").as_str()));
    assert!(error.to_string().contains("step 1") && error.to_string().contains(name));
    assert_eq!(weight(&trainer, "predictor_head.weight"), head, "nothing is updated after the guard");
    assert_eq!(trainer.step_count(), 1);
}

#[test]
fn a_batch_larger_than_the_concepts_is_refused() {
    let config = config("steps = 1\nbatch = 600", BANK);
    let corpus = corpus(&config);
    let made = vljepa_train::Trainer::new(&device(), config, model(), tokenizer(), corpus);
    assert!(made.unwrap_err().to_string().contains("`batch` is 600"));
}

#[test]
fn a_memory_of_the_labels_changes_predictions_but_not_training() {
    let plain = config("steps = 1\nbatch = 6", BANK);
    let with = config("steps = 1\nbatch = 6", &format!("{BANK}[memory]\nscale = 20.0\nshare = 0.5\n"));
    let ((mut a, maker), (mut b, _)) = (trainer(&plain), trainer(&with));
    let batch = maker.make(0).unwrap();
    assert_eq!(a.step(&batch).unwrap(), b.step(&batch).unwrap());
    assert_eq!(a.identity().unwrap(), b.identity().unwrap(), "a run may be resumed with another memory");
    let memory = b.model().config.memory.unwrap();
    assert_eq!(memory.rows, b.candidates());
    let names = |t: &vljepa_train::Trainer| t.model().params().iter().map(|p| p.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&b).len(), names(&a).len() + 1);
    assert_eq!(a.trained_parameters(), b.trained_parameters());
    let files = |t: &vljepa_train::Trainer| t.state().unwrap().1;
    assert_eq!(files(&a), files(&b), "checkpoints hold no memory");
    assert_ne!(a.validate().unwrap(), b.validate().unwrap());
}

#[test]
fn a_fitted_head_predicts_its_labels_and_leaves_training_alone() {
    let plain = config("steps = 1\nbatch = 6", BANK);
    let with = config("steps = 1\nbatch = 6", &format!("{BANK}[head_fit]\nshare = 1.0\nridge = 1e-6\n"));
    let ((mut a, _), (mut b, maker)) = (trainer(&plain), trainer(&with));
    assert_eq!(a.identity().unwrap(), b.identity().unwrap(), "a run may be resumed with another fit");
    let before = weight(&b, "predictor_head.weight");
    let likeness = |t: &vljepa_train::Trainer| -> f32 {
        let bytes = t.finish(Storage::F32).unwrap().weights;
        let source = SafeTensors::parse("trained", &bytes).unwrap();
        let model = VlJepa::load(&device(), model_config(), &source).unwrap();
        let tokenizer = tokenizer();
        let embedder = Embedder {
            device: &device(),
            model: &model,
            tokenizer: &tokenizer,
            queries: None,
            stored: None,
            batch: 16,
        };
        let corpus = corpus(&plain);
        let (mut pictures, mut labels) = (Vec::new(), Vec::new());
        for draw in corpus.all_drawings() {
            let id = corpus.concepts[draw.class as usize];
            pictures.extend(corpus.set.picture(draw.vendor, id).unwrap());
            labels.push(corpus.set.concept(id).unwrap().label.clone());
        }
        let (p, s) = (embedder.pictures(&pictures, &t.preprocess()).unwrap(), embedder.texts(&labels).unwrap());
        p.iter().zip(&s).map(|(a, b)| a * b).sum::<f32>() / labels.len() as f32
    };
    let (untrained, fitted) = (likeness(&a), likeness(&b));
    // 25 coefficients a component for 58 drawings: much is explained, not all.
    assert!(untrained < 0.3 && fitted > untrained + 0.3 && fitted < 0.999, "{untrained}, {fitted}");
    assert_eq!(weight(&b, "predictor_head.weight"), before);
    let batch = maker.make(0).unwrap();
    assert_eq!(a.step(&batch).unwrap(), b.step(&batch).unwrap());
    assert_eq!(a.validate().unwrap(), b.validate().unwrap(), "what is still trained is judged as it is");
    let finished = |t: &vljepa_train::Trainer| {
        let mut heard = Vec::new();
        let trained = t.finish_with(Storage::F32, &mut |what| heard.push(what.to_owned())).unwrap();
        (trained, heard)
    };
    let ((plain, nothing), (fitted, once)) = (finished(&a), finished(&b));
    assert_ne!(plain.validation, fitted.validation, "what is made is judged with the fitted head");
    assert_eq!((nothing.len(), once.len()), (0, 1), "one fit for weights and figures: {once:?}");
}
