//! Probes on features in memory: gradients, learning, choosing, stopping and going on.

use std::collections::BTreeMap;
use std::sync::Arc;

use vljepa_embed::features::Features;
use vljepa_model::config::Vjepa2Config;
use vljepa_train::TrainError;
use vljepa_train::checkpoint::Checkpoints;
use vljepa_train::probe::{
    Example, InMemory, ProbeBatch, ProbeClips, ProbeConfig, ProbeData, ProbeKind, ProbeModel, ProbePart, ProbeRun,
    ProbeSource, ProbeTrainer,
};

use crate::support::device;

const WIDTH: usize = 12;

fn encoder() -> Vjepa2Config {
    let json = r#"{"hidden_size": 12, "num_attention_heads": 2, "num_hidden_layers": 1, "mlp_ratio": 2.0,
        "num_pooler_layers": 1, "initializer_range": 0.2}"#;
    Vjepa2Config::from_json(json).unwrap()
}

fn run(kind: ProbeKind, rates: &[f64], epochs: u64) -> ProbeRun {
    ProbeRun {
        seed: 3,
        batch: 4,
        output: "run".into(),
        model: ProbeModel { x_encoder: "encoder".into(), features: None },
        data: ProbeClips {
            kind: ProbeSource::Manifest,
            manifest: "clips.jsonl".into(),
            frames: None,
            segments: 1,
            crops: Default::default(),
            prefetch: 2,
        },
        probe: ProbeConfig {
            kind,
            epochs,
            learning_rates: rates.to_vec(),
            weight_decays: vec![0.01],
            ..ProbeConfig::default()
        },
        schedule: Default::default(),
        checkpoint: Default::default(),
    }
}

/// Numbers that look random, in −1..1.
fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// `count` clips of `classes` classes in turn: what tells a class is in one token alone, another one in each clip.
fn part(seed: u64, count: usize, classes: u32, views: usize) -> ProbePart {
    let (mut examples, mut all) = (Vec::new(), Vec::new());
    for i in 0..count {
        let class = i as u32 % classes;
        // Pictures have fewer tokens than clips.
        let tokens = if i % 5 == 4 { 3 } else { 6 };
        let mut values = noise(seed + i as u64, views * tokens * WIDTH);
        for view in 0..views {
            let token = (i + view) % tokens;
            let at = (view * tokens + token) * WIDTH;
            values[at..at + WIDTH]
                .iter_mut()
                .zip(noise(1000 + u64::from(class), WIDTH))
                .for_each(|(v, mark)| *v += 3.0 * mark);
        }
        let weight = if i % 7 == 3 { 0.5 } else { 1.0 };
        examples.push(Example { class, weight, origin: format!("clip {i}") });
        all.push(Features { views, tokens, width: WIDTH, values });
    }
    ProbePart { examples, features: Arc::new(InMemory::new(all)) }
}

fn data(kind: ProbeKind, train: usize, validation: usize) -> ProbeData {
    let prepared = |part: ProbePart| match kind {
        ProbeKind::Linear => {
            let pooled = InMemory::pooled(part.features.as_ref(), &encoder(), &mut |_| ()).unwrap();
            ProbePart { features: Arc::new(pooled), ..part }
        }
        _ => part,
    };
    ProbeData {
        labels: ["cat", "dog", "owl"].map(str::to_owned).to_vec(),
        train: prepared(part(1, train, 3, 2)),
        validation: prepared(part(50_000, validation, 3, 3)),
        test: prepared(part(90_000, 9, 3, 1)),
    }
}

fn trainer(kind: ProbeKind, rates: &[f64], epochs: u64, clips: usize) -> ProbeTrainer {
    ProbeTrainer::new(&device(), run(kind, rates, epochs), &encoder(), data(kind, clips, 12)).unwrap()
}

fn weights(trainer: &ProbeTrainer, head: usize) -> BTreeMap<String, Vec<f32>> {
    trainer.params(head).iter().map(|p| (p.name().to_owned(), p.tensor().to_f32().unwrap())).collect()
}

#[test]
fn gradients_are_the_differences_of_the_loss() {
    for kind in [ProbeKind::Attentive, ProbeKind::Linear] {
        let trainer = trainer(kind, &[1e-3], 1, 12);
        let batch = trainer.batch(0).unwrap();
        assert!(batch.groups.len() > 1 || kind == ProbeKind::Linear, "clips of several lengths and weights");
        let shares: f32 = batch.groups.iter().map(|group| group.share).sum();
        assert!((shares - 1.0).abs() < 1e-6);
        let (_, grads) = trainer.gradients(0, &batch).unwrap();
        let params = trainer.params(0);
        assert_eq!(grads.len(), params.len(), "every parameter has a gradient");
        let loss = || trainer.gradients(0, &batch).unwrap().0;
        for param in params {
            let (values, grad) = (param.tensor().to_f32().unwrap(), grads[param.name()].to_f32().unwrap());
            // Along the gradient itself, where differences are largest.
            let length = grad.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            if length < 1e-4 {
                continue;
            }
            let step = 1e-2;
            let moved = |sign: f64| -> f64 {
                let there: Vec<f32> = values
                    .iter()
                    .zip(&grad)
                    .map(|(v, g)| (f64::from(*v) + sign * step * f64::from(*g) / length) as f32)
                    .collect();
                param.tensor().write_f32(&there).unwrap();
                f64::from(loss())
            };
            let slope = (moved(1.0) - moved(-1.0)) / (2.0 * step);
            param.tensor().write_f32(&values).unwrap();
            // The loss is near 1 with 24 bits, so that a difference over the step is off by up to 1e-5, and by its curvature.
            assert!((slope - length).abs() < 0.02 * length + 2e-4, "{kind:?} {}: {slope} for {length}", param.name());
        }
    }
}

#[test]
fn a_batch_is_learnt_by_heart() {
    for (kind, rate) in [(ProbeKind::Attentive, 3e-3), (ProbeKind::Linear, 0.1)] {
        let mut trainer = trainer(kind, &[rate], 200, 4);
        assert_eq!(trainer.steps_per_epoch(), 1);
        let first = trainer.step(&trainer.batch(0).unwrap()).unwrap().losses[0].unwrap();
        assert!((first - 3f32.ln()).abs() < 0.7, "{kind:?} begins near ln 3: {first}");
        let mut last = first;
        for step in 1..120 {
            last = trainer.step(&trainer.batch(step).unwrap()).unwrap().losses[0].unwrap();
        }
        assert!(last < 0.05, "{kind:?}: {last}");
    }
}

#[test]
fn the_head_that_is_best_on_other_clips_is_kept() {
    let rates = [1e-9, 3e-3];
    let mut trainer = trainer(ProbeKind::Attentive, &rates, 30, 24);
    assert!(trainer.report().unwrap_err().to_string().contains("no head"));
    for step in 0..trainer.steps() {
        let batch = trainer.batch(step).unwrap();
        trainer.step(&batch).unwrap();
        if (step + 1).is_multiple_of(trainer.steps_per_epoch()) {
            trainer.evaluate().unwrap();
        }
    }
    let report = trainer.report().unwrap();
    assert_eq!(report.head.learning_rate, 3e-3, "{report:?}");
    let validation = report.validation.unwrap();
    assert_eq!((validation.n, report.trained_on, report.heads.len()), (12, 24, 2));
    assert!(validation.top1 > 0.9 && validation.top1_interval[0] > validation.majority.top1, "{validation:?}");
    let test = report.test.unwrap();
    assert!(test.n == 9 && test.top1 > 0.7, "{test:?}");
    let confusion = validation.confusion.unwrap();
    assert_eq!(confusion.iter().flatten().sum::<u32>(), 12);
    assert_eq!((0..3).map(|i| confusion[i][i]).sum::<u32>() as usize, validation.correct);
    // The weights are those of the step at which it was best.
    let picked = trainer.picked().unwrap();
    assert_eq!(report.head.step, Some(picked.step));
    assert_eq!(picked.weights.len(), trainer.params(1).len());
    assert!(report.heads[0].top1.unwrap() <= report.heads[1].top1.unwrap());
}

#[test]
fn a_head_that_diverges_rests_and_the_others_go_on() {
    let mut trainer = trainer(ProbeKind::Attentive, &[1e3, 1e-3], 5, 12);
    let alone = {
        let mut alone = self::trainer(ProbeKind::Attentive, &[1e-3], 5, 12);
        go(&mut alone, 15);
        weights(&alone, 0)
    };
    go(&mut trainer, 15);
    assert_eq!(weights(&trainer, 1), alone, "a head is not touched by others");
    let found = trainer.evaluate().unwrap();
    if found[0].is_none() {
        assert!(found[1].is_some());
    }
    // All of them: an error that names the step.
    let mut all = self::trainer(ProbeKind::Attentive, &[1e3], 5, 12);
    let params = all.params(0);
    let classifier = params.iter().find(|p| p.name() == "classifier.weight").unwrap().tensor().clone();
    classifier.write_f32(&vec![f32::NAN; classifier.len()]).unwrap();
    let error = all.step(&all.batch(0).unwrap()).unwrap_err();
    assert!(matches!(error, TrainError::NonFinite { step: 0, .. }), "{error}");
}

fn go(trainer: &mut ProbeTrainer, until: u64) {
    while trainer.step_count() < until {
        let batch = trainer.batch(trainer.step_count()).unwrap();
        trainer.step(&batch).unwrap();
    }
}

#[test]
fn a_stopped_run_goes_on_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(dir.path(), 2);
    let rates = [3e-3, 1e-3];
    let new = || trainer(ProbeKind::Attentive, &rates, 6, 12);
    let mut whole = new();
    go(&mut whole, 7);
    whole.evaluate().unwrap();
    let (state, files) = whole.state().unwrap();
    checkpoints.save(&state, &files).unwrap();
    go(&mut whole, 18);
    whole.evaluate().unwrap();

    let mut resumed = new();
    let (found, faults) = checkpoints.latest(|loaded| resumed.restore(loaded)).unwrap();
    assert!(found.is_some() && faults.is_empty());
    assert_eq!(resumed.step_count(), 7);
    assert_eq!(resumed.picked().unwrap().step, 7);
    go(&mut resumed, 18);
    resumed.evaluate().unwrap();
    for head in 0..2 {
        assert_eq!(weights(&resumed, head), weights(&whole, head));
    }
    assert_eq!(resumed.picked(), whole.picked());
    assert_eq!(resumed.report().unwrap(), whole.report().unwrap());
    assert_eq!(resumed.state().unwrap().1, whole.state().unwrap().1);

    // Another run's checkpoint is refused, and changes nothing.
    let mut other = ProbeTrainer::new(
        &device(),
        run(ProbeKind::Attentive, &rates, 6),
        &encoder(),
        ProbeData { labels: ["cat", "dog", "fox"].map(str::to_owned).to_vec(), ..data(ProbeKind::Attentive, 12, 12) },
    )
    .unwrap();
    let error = checkpoints.latest(|loaded| other.restore(loaded)).unwrap_err().to_string();
    assert!(error.contains("labels") && !error.contains("clips"), "{error}");
    let mut other = trainer(ProbeKind::Attentive, &rates, 6, 13);
    let error = checkpoints.latest(|loaded| other.restore(loaded)).unwrap_err().to_string();
    assert!(error.contains("differ: clips"), "{error}");
    assert_eq!(other.step_count(), 0);
}

#[test]
fn seeds_decide_and_nothing_else() {
    let of = |seed: u64| {
        let run = ProbeRun { seed, ..run(ProbeKind::Linear, &[0.01], 3) };
        let mut trainer = ProbeTrainer::new(&device(), run, &encoder(), data(ProbeKind::Linear, 12, 12)).unwrap();
        go(&mut trainer, 9);
        weights(&trainer, 0)
    };
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

#[test]
fn an_epoch_shows_every_clip_once_and_steps_are_a_function_of_the_seed() {
    let part = part(1, 12, 3, 2);
    let batch = |step| ProbeBatch::new(&part, WIDTH, 5, step, 4).unwrap();
    assert_eq!(batch(1), batch(1));
    let mut classes: Vec<u32> = (0..3).flat_map(|step| batch(step).groups).flat_map(|group| group.classes).collect();
    classes.sort_unstable();
    assert_eq!(classes, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
    assert_ne!(batch(0), batch(3), "another order in the next epoch");
}

#[test]
fn what_does_not_fit_is_said_before_the_first_step() {
    let kind = ProbeKind::Attentive;
    let refused =
        |run: ProbeRun, data: ProbeData| ProbeTrainer::new(&device(), run, &encoder(), data).unwrap_err().to_string();
    let sound = || data(kind, 12, 12);
    let one = run(kind, &[1e-3], 1);
    for (run, data, word) in [
        (run(kind, &[1e-3, 1e-4], 1), ProbeData { validation: ProbePart::none(), ..sound() }, "validation"),
        (one.clone(), ProbeData { labels: vec!["cat".into()], ..sound() }, "two or more"),
        (
            one.clone(),
            ProbeData { labels: ["a", "b", "c", "a"].map(str::to_owned).to_vec(), ..sound() },
            "called \"a\"",
        ),
        (
            one.clone(),
            ProbeData { labels: ["a", "b", "c", "d"].map(str::to_owned).to_vec(), ..sound() },
            "\"d\" has no clip",
        ),
        (one.clone(), ProbeData { labels: ["a", "b"].map(str::to_owned).to_vec(), ..sound() }, "clip 2: class 2 of 2"),
    ] {
        let error = refused(run, data);
        assert!(error.contains(word) && error.lines().count() == 1, "{error}");
    }
    // Without validation clips one head is trained and kept as it is at the end.
    let mut trainer =
        ProbeTrainer::new(&device(), one, &encoder(), ProbeData { validation: ProbePart::none(), ..sound() }).unwrap();
    go(&mut trainer, 3);
    trainer.evaluate().unwrap();
    let report = trainer.report().unwrap();
    assert!(report.validation.is_none() && report.test.is_some());
    assert_eq!(trainer.picked().unwrap().step, 3);
}
