//! Training on samples of one's own: clips with questions, weights, several right texts.

use std::collections::BTreeMap;
use std::sync::Arc;

use vljepa_data::Rgba8Image;
use vljepa_embed::Embedder;
use vljepa_model::config::VlJepaConfig;
use vljepa_model::{Forward, Storage, TextTokenizer, Tokens, VlJepa};
use vljepa_tensor::Tensor;
use vljepa_train::checkpoint::Checkpoints;
use vljepa_train::data::{Batch, Pair, Sample, Source, Visual};
use vljepa_train::feed::{Feed, Maker};
use vljepa_train::sources::{Example, Samples};
use vljepa_train::{TrainConfig, TrainError, Trainer};

use crate::support::{device, model_config, tokenizer, tokenizer_json};

const TABLES: &str = "[objective]\nkind = \"batch\"\ny_head = { whiten = false }\n\
    [optimizer]\nlr = 0.01\nweight_decay = 0.0\n[schedule]\nkind = \"constant\"\nwarmup = 0.0\n";

fn config(more: &str, tables: &str) -> TrainConfig {
    TrainConfig::parse(&format!("seed = 4\n{more}\n[model]\nfolder = \"m\"\n{tables}")).unwrap()
}

/// The model of the other tests, with room for queries of 16 tokens.
fn with_queries() -> VlJepaConfig {
    let mut json: serde_json::Value = serde_json::from_str(&model_config().to_json().unwrap()).unwrap();
    json["predictor"]["config"]["vocab_size"] = 58.into();
    json["max_query_tokens"] = 16.into();
    VlJepaConfig::from_json(&json.to_string()).unwrap()
}

/// A bar that moves through the frames: `kind` is its place and direction.
fn clip(kind: usize, frames: usize) -> Vec<Rgba8Image> {
    let frame = |t: usize| {
        let at = if kind.is_multiple_of(2) { kind + 3 * t } else { kind + 9 - 3 * t };
        let data = (0..20 * 20).flat_map(|i| if i % 20 == at { [250, 20, 20, 255] } else { [20, 20, 40, 255] });
        Rgba8Image { width: 20, height: 20, data: data.collect() }
    };
    (0..frames).map(frame).collect()
}

fn examples(frames: usize) -> Vec<Example> {
    let texts = ["red", "a bar", "it moves", "left", "right", "nothing at all"];
    let ask = |i: usize| ["what is it", "where", "and then what"][i % 3];
    let of =
        |(i, text): (usize, &&str)| Example::clip(clip(i, frames), *text).query(ask(i)).origin(format!("clip {i}"));
    texts.iter().enumerate().map(of).collect()
}

fn trainer(config: &TrainConfig, samples: Samples) -> (Trainer, Maker) {
    let (device, source) = (device(), Arc::new(samples));
    let model = VlJepa::init(&device, with_queries(), 5).unwrap();
    let trainer = Trainer::new(&device, config.clone(), model, tokenizer(), source.clone()).unwrap();
    let queries = TextTokenizer::from_json(tokenizer_json().as_bytes(), 16).unwrap();
    let maker = Maker::new(source, config.clone(), trainer.preprocess());
    (trainer.with_queries(queries), maker)
}

#[test]
fn clips_with_questions_of_any_length_are_overfitted() {
    let config = config("steps = 120\nbatch = 6", TABLES);
    let (mut trainer, maker) = trainer(&config, Samples::new(examples(4)).unwrap());
    assert_eq!(trainer.candidates(), 6);
    let batch = maker.make(0).unwrap();
    assert_eq!((batch.frames, batch.pixels.len()), (4, 6 * 4 * 3 * 16 * 16));
    let first = trainer.step(&batch).unwrap().loss;
    let mut last = first;
    for _ in 1..120 {
        last = trainer.step(&batch).unwrap().loss;
    }
    assert!(first > 1.0 && last < 0.1 * first, "from {first} to {last}");
    // What was asked matters.
    let mut other = batch.clone();
    let queries: Vec<_> = batch.pairs.iter().map(|pair| pair.query.clone()).collect();
    for (pair, query) in other.pairs.iter_mut().zip(queries.iter().cycle().skip(1)) {
        pair.query = query.clone();
    }
    let asked = trainer.gradients(&batch).unwrap().0;
    assert_ne!(trainer.gradients(&other).unwrap().0, asked);
    assert!(trainer.gradients(&batch).unwrap().1.contains_key("predictor.embed_tokens.weight"));
    assert!(trainer.validate().unwrap().0.is_empty());
    assert!(!trainer.finish(Storage::F32).unwrap().weights.is_empty());
}

#[test]
fn a_run_on_clips_resumes_bit_for_bit() {
    let config = config("steps = 6\nbatch = 2\naccumulate = 2", &TABLES.replace("constant", "cosine"));
    let samples = || Samples::new(examples(2)).unwrap();
    let (mut whole, maker) = trainer(&config, samples());
    let (mut half, _) = trainer(&config, samples());
    let mut feed = Feed::start(Arc::new(maker.clone()), 0, 6, 2).unwrap();
    for step in 0..6 {
        let batch = feed.next_batch().unwrap();
        assert_eq!(batch, maker.make(step).unwrap());
        whole.step(&batch).unwrap();
        if step < 3 {
            half.step(&batch).unwrap();
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(dir.path(), 2);
    let (state, files) = half.state().unwrap();
    checkpoints.save(&state, &files).unwrap();
    let (mut resumed, _) = trainer(&config, samples());
    checkpoints.latest(|loaded| resumed.restore(loaded)).unwrap().0.unwrap();
    for step in 3..6 {
        resumed.step(&maker.make(step).unwrap()).unwrap();
    }
    assert!(whole.state().unwrap() == resumed.state().unwrap());

    // Other samples are another run.
    let (mut other, _) =
        trainer(&config, Samples::new(examples(2).into_iter().map(|e| e.weight(2.0)).collect()).unwrap());
    let error = checkpoints.latest(|loaded| other.restore(loaded)).unwrap_err().to_string();
    assert!(error.contains("another run") && error.contains("samples"), "{error}");
}

#[test]
fn an_epoch_holds_every_sample_once() {
    let samples = Samples::new(examples(1)).unwrap();
    let to = vljepa_embed::preprocess(&model_config());
    let seen = |steps: std::ops::Range<u64>| -> Vec<String> {
        steps.flat_map(|step| samples.samples(1, step, 2, &to).unwrap()).map(|s| s.origin).collect()
    };
    let (first, second) = (seen(0..3), seen(3..6));
    let sorted = |names: &[String]| -> Vec<String> {
        let mut names = names.to_vec();
        names.sort();
        names
    };
    assert_eq!(sorted(&first), (0..6).map(|i| format!("clip {i}")).collect::<Vec<_>>());
    assert_eq!(sorted(&first), sorted(&second));
    assert_ne!(first, second);
    assert_eq!(samples.steps_per_epoch(2), Some(3));
}

#[test]
fn weights_reach_the_loss_and_its_gradients() {
    let config = config("steps = 1\nbatch = 6", TABLES);
    let loss = |weight: fn(usize) -> f32, accumulate: usize| {
        let examples = examples(1).into_iter().enumerate().map(|(i, e)| e.weight(weight(i))).collect();
        let config = TrainConfig { accumulate, ..config.clone() };
        let (trainer, maker) = trainer(&config, Samples::new(examples).unwrap());
        let batch = maker.make(0).unwrap();
        let (loss, grads) = trainer.gradients(&batch).unwrap();
        (loss, grads["predictor_head.weight"].to_f32().unwrap())
    };
    let near = |a: &(f32, Vec<f32>), b: &(f32, Vec<f32>)| {
        let largest = a.1.iter().fold(1e-6f32, |m, v| m.max(v.abs()));
        (a.0 - b.0).abs() < 1e-5 * a.0 && a.1.iter().zip(&b.1).all(|(x, y)| (x - y).abs() < 1e-4 * largest)
    };
    let (plain, even) = (loss(|_| 1.0, 1), loss(|_| 3.0, 1));
    assert!(near(&plain, &even), "only ratios matter: {}, {}", plain.0, even.0);
    let uneven = loss(|i| 1.0 + i as f32, 1);
    assert!((plain.0 - uneven.0).abs() > 1e-3 * plain.0, "{}, {}", plain.0, uneven.0);
    // Parts have negatives of their own, so that their losses differ from the whole's; but even weights stay even.
    assert!(near(&loss(|_| 1.0, 3), &loss(|_| 0.5, 3)));
}

#[test]
fn equal_texts_are_no_negatives_of_each_other() {
    let config = config("steps = 1\nbatch = 2", &format!("{TABLES}[optimizer.muon]\nlr = 0.0\n"));
    let of = |texts: [&str; 2]| {
        let examples = texts.iter().enumerate().map(|(i, text)| Example::clip(clip(i, 1), *text)).collect();
        let (trainer, maker) = trainer(&config, Samples::new(examples).unwrap());
        trainer.gradients(&maker.make(0).unwrap()).unwrap().0
    };
    // Without a negative there is nothing to lose.
    let (same, other) = (of(["red", "red"]), of(["red", "blue"]));
    assert!(same.abs() < 1e-6 && other > 0.1, "{same}, {other}");
}

#[test]
fn what_does_not_fit_is_named() {
    let sample = |frames: usize, weight: f32, origin: &str| {
        let pair = Pair { targets: vec!["a".into()], weight, ..Pair::default() };
        Sample::new(Visual { frames, pixels: vec![0.0; frames * 3 * 8 * 8] }, pair, origin)
    };
    let fails = |samples: Vec<Sample>| Batch::new(0, 8, samples).unwrap_err().to_string();
    let mixed = fails(vec![sample(2, 1.0, "one.mp4"), sample(4, 1.0, "two.mp4")]);
    assert_eq!(mixed, "two.mp4: 4 frames, and one.mp4 has 2: all samples of a batch need the same number of frames");
    assert!(fails(vec![sample(1, f32::NAN, "x")]).contains("x: its weight is NaN"));
    let untold = Sample { pairs: vec![Pair::default()], ..sample(1, 1.0, "x") };
    assert!(fails(vec![untold]).contains("neither a class nor a text"));
    let silent = Sample { pairs: Vec::new(), ..sample(1, 1.0, "x") };
    assert!(fails(vec![silent]).contains("x: nothing is said about it"));
    let small = Sample { visual: Visual::still(vec![0.0; 5]), ..sample(1, 1.0, "x") };
    assert!(fails(vec![small]).contains("x: 5 values, 1 frames of 8 × 8 pixels have 192"));
    assert!(Samples::new(Vec::new()).unwrap_err().to_string().contains("no examples"));
    let empty = Example::clip(Vec::new(), "a").origin("film.mp4");
    assert!(Samples::new(vec![empty]).unwrap_err().to_string().contains("film.mp4 has no frames"));

    let new = |tables: &str, batch: usize| {
        let config = config(&format!("steps = 1\nbatch = {batch}"), tables);
        let source = Arc::new(Samples::new(examples(1)).unwrap());
        let model = VlJepa::init(&device(), with_queries(), 5).unwrap();
        Trainer::new(&device(), config, model, tokenizer(), source)
    };
    for (tables, key) in [
        ("", "objective.kind"),
        ("[objective]\nkind = \"batch\"\ny_head = { tags = 0.5 }\n", "objective.y_head.tags"),
        (&format!("{TABLES}[memory]\nscale = 20.0\nshare = 0.5\n") as &str, "memory"),
        (&format!("{TABLES}[head_fit]\nshare = 0.5\nridge = 0.1\n") as &str, "head_fit"),
    ] {
        let error = new(tables, 2).unwrap_err();
        let TrainError::Setting { key: found, what } = &error else { panic!("{error}") };
        assert!(found == key && what.contains("needs a source whose samples have classes"), "{error}");
    }
    let error = new("[objective]\nkind = \"batch\"\n", 2).unwrap_err().to_string();
    assert!(error.contains("`objective.y_head`: 6 texts of ") && error.contains("`whiten = false`"), "{error}");
    assert!(new(TABLES, 7).unwrap_err().to_string().contains("`batch` is 7, and there are 6 examples"));
    // A question without a tokenizer for questions.
    let trainer = new(TABLES, 2).unwrap();
    let source = Arc::new(Samples::new(examples(1)).unwrap());
    let batch = Maker::new(source, trainer.config().clone(), trainer.preprocess()).make(0).unwrap();
    let error = trainer.gradients(&batch).unwrap_err().to_string();
    assert!(error.contains("clip ") && error.contains("no tokenizer for queries"), "{error}");
}

#[test]
fn what_a_program_would_move_to_a_thread_can_be_moved() {
    fn send<T: Send>() {}
    fn shared<T: Send + Sync>() {}
    send::<Trainer>();
    send::<Feed>();
    shared::<Maker>();
    shared::<Samples>();
    shared::<vljepa_train::sources::emoji_vendors::Corpus>();
    shared::<Arc<dyn Source>>();
    shared::<Batch>();
    shared::<TrainError>();
}

/// A sample of several pairs, as a source of one's own gives it.
fn asked(kind: usize, pairs: Vec<Pair>) -> Sample {
    let pixels = vljepa_embed::preprocess(&model_config());
    let frames: Vec<_> = clip(kind, 4).iter().map(|frame| frame.over(pixels.background)).collect();
    Sample {
        visual: Visual { frames: 4, pixels: pixels.clip(&frames).unwrap() },
        pairs,
        origin: format!("clip {kind}"),
    }
}

fn pair(query: &str, target: &str, wrong: &[&str]) -> Pair {
    let wrong = wrong.iter().map(|text| (*text).to_owned()).collect();
    Pair { query: Some(query.into()), targets: vec![target.into()], wrong, ..Pair::default() }
}

fn close(got: &(f32, BTreeMap<String, Tensor>), want: &(f32, BTreeMap<String, Tensor>)) {
    assert!((got.0 - want.0).abs() < 1e-5 * want.0.abs().max(1.0), "{} for {}", got.0, want.0);
    assert_eq!(got.1.keys().collect::<Vec<_>>(), want.1.keys().collect::<Vec<_>>());
    for (name, grad) in &got.1 {
        let (a, b) = (grad.to_f32().unwrap(), want.1[name].to_f32().unwrap());
        let largest = b.iter().fold(0f32, |m, v| m.max(v.abs()));
        let off = a.iter().zip(&b).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(off <= 1e-4 * largest + 1e-7, "{name}: {off} of {largest}");
    }
}

#[test]
fn a_clip_that_is_asked_several_things_is_as_many_clips_that_are_asked_one() {
    let config = config("steps = 1\nbatch = 2", &TABLES.replace("[objective]", "[objective]\nwrong = 0.5"));
    let (trainer, _) = trainer(&config, Samples::new(examples(4)).unwrap());
    let pairs = [
        [pair("what is it", "red", &["left", "green"]), pair("where", "left", &["right", "red"])],
        [pair("and then what", "it moves", &["nothing at all"]), pair("where", "red", &[])],
    ];
    let together: Vec<Sample> = (0..).zip(pairs.clone()).map(|(kind, pairs)| asked(kind, pairs.into())).collect();
    let apart: Vec<Sample> =
        (0..).zip(pairs).flat_map(|(kind, pairs)| pairs.map(|pair| asked(kind, vec![pair]))).collect();
    let gradients = |samples: Vec<Sample>| trainer.gradients(&Batch::new(0, 16, samples).unwrap()).unwrap();
    let (together, apart) = (gradients(together), gradients(apart));
    close(&together, &apart);
}

#[test]
fn wrong_texts_are_candidates_like_the_targets_of_others() {
    let with = |share: &str| {
        let tables = TABLES.replace("[objective]", &format!("[objective]\nwrong = {share}"));
        trainer(&config("steps = 1\nbatch = 2", &tables), Samples::new(examples(4)).unwrap()).0
    };
    let samples = |wrong: &[&str]| {
        let samples =
            vec![asked(0, vec![pair("what is it", "red", wrong)]), asked(1, vec![pair("where", "left", &[])])];
        Batch::new(0, 16, samples).unwrap()
    };
    let loss = |share: &str, wrong: &[&str]| with(share).gradients(&samples(wrong)).unwrap().0;
    // Without a share they are not read; texts that are targets already are none more.
    assert_eq!(loss("0.0", &["green"]), loss("0.0", &[]));
    let (few, more) = (loss("1.0", &["left"]), loss("1.0", &["left", "green", "it moves"]));
    assert!(more > few + 0.1, "{few}, {more}");
    // One direction of four candidates, by hand.
    let trainer = with("1.0");
    let batch = samples(&["green", "it moves"]);
    let texts = ["red", "left", "green", "it moves"];
    let (device, tokenizer) = (device(), tokenizer());
    let queries = TextTokenizer::from_json(tokenizer_json().as_bytes(), 16).unwrap();
    let (model, queries) = (trainer.model(), Some(&queries));
    let embedder = Embedder { device: &device, model, tokenizer: &tokenizer, queries, stored: None, batch: 8 };
    let targets = embedder.texts(&texts).unwrap();
    let pixels: Vec<f32> = batch.pixels.clone();
    let asked = [(0, "what is it"), (1, "where")];
    let predicted = embedder.asked(&pixels, [2, 4, 16], &asked).unwrap();
    let scale = trainer.model().logit_scale_param().tensor().to_f32().unwrap()[0].exp().min(100.0);
    let dim = targets.len() / 4;
    let own = |i: usize| {
        let logits: Vec<f32> = targets
            .chunks_exact(dim)
            .map(|t| scale * t.iter().zip(&predicted[i * dim..]).map(|(a, b)| a * b).sum::<f32>())
            .collect();
        logits.iter().map(|l| l.exp()).sum::<f32>().ln() - logits[i]
    };
    let want = (own(0) + own(1)) / 2.0;
    let got = trainer.gradients(&batch).unwrap().0;
    assert!((got - want).abs() < 1e-3, "{got} for {want}");
}

#[test]
fn the_answers_of_a_question_are_told_apart_alone() {
    let with = |own: &str| {
        let tables = TABLES.replace("[objective]", &format!("[objective]\nwrong = 0.5\nown = {own}"));
        trainer(&config("steps = 1\nbatch = 3", &tables), Samples::new(examples(4)).unwrap()).0
    };
    let (plain, alone) = (with("0.0"), with("1.0"));
    // One question without wrong answers counts nothing; one counts three times.
    let first = Pair { weight: 3.0, ..pair("what is it", "red", &["green", "left"]) };
    let pairs = [first, pair("where", "left", &["it moves"]), pair("where", "right", &[])];
    let samples = |pairs: [Pair; 3]| {
        let samples = (0..).zip(pairs).map(|(kind, pair)| asked(kind, vec![pair])).collect();
        Batch::new(0, 16, samples).unwrap()
    };
    let batch = samples(pairs.clone());
    let more = alone.gradients(&batch).unwrap().0 - plain.gradients(&batch).unwrap().0;
    let (device, tokenizer) = (device(), tokenizer());
    let queries = TextTokenizer::from_json(tokenizer_json().as_bytes(), 16).unwrap();
    let (model, queries) = (alone.model(), Some(&queries));
    let embedder = Embedder { device: &device, model, tokenizer: &tokenizer, queries, stored: None, batch: 8 };
    let asked = [(0, "what is it"), (1, "where")];
    let predicted = embedder.asked(&batch.pixels, [3, 4, 16], &asked).unwrap();
    let scale = model.logit_scale_param().tensor().to_f32().unwrap()[0].exp().min(100.0);
    let of = |i: usize, answers: &[&str]| {
        let targets = embedder.texts(answers).unwrap();
        let dim = targets.len() / answers.len();
        let cosine = |t: &[f32]| t.iter().zip(&predicted[i * dim..]).map(|(a, b)| a * b).sum::<f32>();
        let logits: Vec<f32> = targets.chunks_exact(dim).map(|t| scale * cosine(t)).collect();
        logits.iter().map(|l| l.exp()).sum::<f32>().ln() - logits[0]
    };
    let want = (3.0 * of(0, &["red", "green", "left"]) + of(1, &["left", "it moves"])) / 4.0;
    assert!((more - want).abs() < 1e-3, "{more} for {want}");
    // Where no question has wrong answers nothing is added.
    let none = samples(pairs.map(|pair| Pair { wrong: Vec::new(), ..pair }));
    assert_eq!(alone.gradients(&none).unwrap().0, plain.gradients(&none).unwrap().0);
}

#[test]
fn texts_that_are_kept_change_no_bit() {
    let config = config("steps = 1\nbatch = 2", TABLES);
    let (fresh, _) = trainer(&config, Samples::new(examples(4)).unwrap());
    let (warm, _) = trainer(&config, Samples::new(examples(4)).unwrap());
    let batch = |first: &str, second: &str| {
        let of = |kind: usize, text: &str| asked(kind, vec![pair("what is it", text, &[])]);
        Batch::new(0, 16, vec![of(0, first), of(1, second)]).unwrap()
    };
    // Other texts beside them, and of other lengths, before.
    for (first, second) in [("red", "nothing at all"), ("it moves and then it is a bar", "left")] {
        warm.gradients(&batch(first, second)).unwrap();
    }
    let wanted = batch("left", "nothing at all");
    let bits = |trainer: &Trainer| -> (u32, Vec<Vec<f32>>) {
        let (loss, grads) = trainer.gradients(&wanted).unwrap();
        (loss.to_bits(), grads.values().map(|grad| grad.to_f32().unwrap()).collect())
    };
    assert_eq!(bits(&warm), bits(&fresh));
    assert_eq!(bits(&fresh), bits(&fresh));
}

#[test]
fn embeddings_without_negatives_are_kept_apart() {
    use vljepa_tensor::autograd::{Tape, Var};
    use vljepa_train::config::{SigregConfig, VicregConfig};
    use vljepa_train::regularize::{directions, sigreg, vicreg};
    let device = device();
    let (rows, dim) = (7, 5);
    let values = |k: usize| -> Vec<f32> { (0..rows * dim).map(|i| ((i * k % 23) as f32 - 11.0) / 7.0).collect() };
    let upload = |values: &[f32]| Tensor::from_f32(&device, &[rows, dim], values).unwrap();
    let config = SigregConfig { directions: 6, ..SigregConfig::default() };
    let along = directions(&device, &config, dim, (3, 4)).unwrap();
    let u = along.to_f32().unwrap();
    for j in 0..6 {
        let norm: f32 = (0..dim).map(|i| u[i * 6 + j].powi(2)).sum();
        assert!((norm - 1.0).abs() < 1e-5, "{norm}");
    }
    assert_eq!(u, directions(&device, &config, dim, (3, 4)).unwrap().to_f32().unwrap());
    assert_ne!(u, directions(&device, &config, dim, (3, 5)).unwrap().to_f32().unwrap());

    // The definitions, in f64.
    let statistic = |z: &[f32]| -> f64 {
        let mut sum = 0.0;
        for j in 0..6 {
            let h: Vec<f64> = z
                .chunks_exact(dim)
                .map(|row| (0..dim).map(|i| f64::from(row[i]) * f64::from(u[i * 6 + j])).sum())
                .collect();
            for k in 0..17 {
                let (t, ends) = (3.0 * f64::from(k) / 16.0, k == 0 || k == 16);
                let (weight, normal) = (if ends { 3.0 / 16.0 } else { 6.0 / 16.0 }, (-t * t / 2.0).exp());
                let (c, s): (f64, f64) = h.iter().fold((0.0, 0.0), |(c, s), v| (c + (t * v).cos(), s + (t * v).sin()));
                let n = rows as f64;
                sum += n * weight * normal * ((c / n - normal).powi(2) + (s / n).powi(2)) / 6.0;
            }
        }
        sum
    };
    let apart = |z: &[f32]| -> (f64, f64) {
        let n = rows as f64;
        let mean: Vec<f64> = (0..dim).map(|i| z.chunks_exact(dim).map(|r| f64::from(r[i])).sum::<f64>() / n).collect();
        let covariance = |i: usize, j: usize| {
            z.chunks_exact(dim).map(|r| (f64::from(r[i]) - mean[i]) * (f64::from(r[j]) - mean[j])).sum::<f64>()
                / (n - 1.0)
        };
        let d = dim as f64;
        let short = (0..dim).map(|i| (1.0 - (covariance(i, i) + 1e-4).sqrt()).max(0.0)).sum::<f64>() / d;
        let pairs = (0..dim).flat_map(|i| (0..dim).map(move |j| (i, j))).filter(|(i, j)| i != j);
        (short, pairs.map(|(i, j)| covariance(i, j).powi(2)).sum::<f64>() / d)
    };
    let (p, y) = (values(9), values(4));
    let squares: f64 = p.iter().zip(&y).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / (rows * dim) as f64;
    let weights = VicregConfig { invariance: 2.0, variance: 3.0, covariance: 0.5 };
    let whole = |p: &[f32]| {
        let ((a, b), (c, d)) = (apart(p), apart(&y));
        let off: f64 = p.iter().zip(&y).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / (rows * dim) as f64;
        2.0 * off + 3.0 * (a + c) + 0.5 * (b + d)
    };
    let read = |v: &Var| f64::from(v.value().to_f32().unwrap()[0]);
    let (tape, other) = (Tape::new(), Tape::new());
    let (pv, pw, yv) = (tape.leaf(upload(&p)), other.leaf(upload(&p)), other.leaf(upload(&y)));
    let (found, all) = (sigreg(&pv, &along).unwrap(), vicreg(&pw, &yv, &weights).unwrap());
    assert!((read(&found) - statistic(&p)).abs() < 1e-4 * statistic(&p), "{} for {}", read(&found), statistic(&p));
    assert!((read(&all) - whole(&p)).abs() < 1e-4 * whole(&p), "{} for {}", read(&all), whole(&p));
    // A target that is not trained only pulls.
    let fixed = vicreg(&Tape::new().leaf(upload(&p)), &Var::constant(upload(&y)), &weights).unwrap();
    let (a, b) = apart(&p);
    assert!((read(&fixed) - (2.0 * squares + 3.0 * a + 0.5 * b)).abs() < 1e-3, "{}", read(&fixed));
    // Normal numbers are near a normal distribution, one point for all is far from it.
    let mut dice = vljepa_train::random::Stream::new(1, vljepa_train::random::Purpose::Direction, 0);
    let normal: Vec<f32> = (0..500 * dim).map(|_| dice.normal() as f32).collect();
    let of = |z: &[f32]| {
        let z = Var::constant(Tensor::from_f32(&device, &[500, dim], z).unwrap());
        read(&sigreg(&z, &along).unwrap())
    };
    assert!(of(&normal) < 5.0 && of(&vec![0.3; 500 * dim]) > 100.0, "{}", of(&normal));

    let of_leaf =
        |tape: &Tape, loss: &Var, leaf: &Var| tape.backward(loss, None).unwrap().take(leaf).unwrap().to_f32().unwrap();
    let grads = [of_leaf(&tape, &found, &pv), of_leaf(&other, &all, &pw)];
    type Loss<'a> = (&'a str, Vec<f32>, Box<dyn Fn(&[f32]) -> f64 + 'a>);
    let [of_sigreg, of_vicreg] = grads;
    let checks: [Loss<'_>; 2] = [("sigreg", of_sigreg, Box::new(statistic)), ("vicreg", of_vicreg, Box::new(whole))];
    for (name, grad, of) in checks {
        let largest = grad.iter().fold(0f32, |m, g| m.max(g.abs()));
        for i in 0..rows * dim {
            let moved = |by: f32| {
                let mut p = p.clone();
                p[i] += by;
                of(&p)
            };
            let want = (moved(1e-3) - moved(-1e-3)) / f64::from((p[i] + 1e-3) - (p[i] - 1e-3));
            let off = (f64::from(grad[i]) - want).abs();
            assert!(off < 2e-3 * f64::from(largest), "{name} {i}: {} for {want}", grad[i]);
        }
    }
}

/// Targets that are trained, without negatives: they stay apart.
#[test]
fn a_trained_y_encoder_does_not_collapse() {
    for more in ["loss = \"vicreg\"", "loss = \"cosine\"\nsigreg = { weight = 0.5, directions = 64 }"] {
        let trained = format!("y_head = {{ train = true, whiten = false }}\ntrain_y_encoder = true\n{more}");
        let tables = TABLES.replace("y_head = { whiten = false }", &trained);
        let (mut trainer, maker) =
            trainer(&config("steps = 60\nbatch = 6", &tables), Samples::new(examples(4)).unwrap());
        let batch = maker.make(0).unwrap();
        let first = trainer.step(&batch).unwrap().loss;
        let last = (1..60).map(|_| trainer.step(&batch).unwrap().loss).last().unwrap();
        assert!(last < 0.8 * first, "{more}: from {first} to {last}");
        let spreads = trainer.spreads().unwrap().unwrap();
        assert!(spreads.target.std > 0.3 && spreads.target.effective_rank > 1.5, "{more}: {spreads:?}");
    }
}

#[test]
fn blocks_that_are_computed_again_give_the_same_gradients() {
    let with = |again: bool| {
        let text = format!("steps = 2\nbatch = 6\nactivation_checkpointing = {again}");
        let (mut trainer, maker) = trainer(&config(&text, TABLES), Samples::new(examples(4)).unwrap());
        let batch = maker.make(0).unwrap();
        let (loss, grads) = trainer.gradients(&batch).unwrap();
        let grads: BTreeMap<String, Vec<f32>> =
            grads.into_iter().map(|(name, g)| (name, g.to_f32().unwrap())).collect();
        // What is tied to a tape goes with it: a second step is like the first.
        trainer.step(&batch).unwrap();
        (loss, grads, trainer.step(&maker.make(1).unwrap()).unwrap().loss)
    };
    let (kept, again) = (with(false), with(true));
    assert_eq!(kept.0, again.0);
    assert_eq!(kept.1.keys().collect::<Vec<_>>(), again.1.keys().collect::<Vec<_>>());
    assert!(
        kept.1.keys().any(|name| name.contains("x_encoder.layer.0"))
            && kept.1.keys().any(|name| name.contains("predictor.layers.0"))
    );
    for (name, grad) in &kept.1 {
        assert_eq!(grad, &again.1[name], "{name}");
    }
    assert_eq!(kept.2, again.2);
}

#[test]
fn tokens_of_queries_are_left_out_but_never_all() {
    let with = |more: &str| {
        let (trainer, maker) = trainer(
            &config("steps = 1\nbatch = 6", &format!("{TABLES}[data]\n{more}")),
            Samples::new(examples(4)).unwrap(),
        );
        let batch = maker.make(0).unwrap();
        let loss = trainer.gradients(&batch).unwrap().0;
        assert_eq!(loss, trainer.gradients(&batch).unwrap().0);
        loss
    };
    let whole = with("query_dropout = 0.0");
    assert_eq!(whole, with(""));
    assert_ne!(whole, with("query_dropout = 0.5"));
    assert!(with("query_dropout = 0.9").is_finite());
}

#[test]
fn distances_are_those_of_predictions_to_their_own_targets() {
    let (queries, device) = (TextTokenizer::from_json(tokenizer_json().as_bytes(), 16).unwrap(), device());
    for (kind, distance) in [
        (
            "cosine",
            (|p: &[f32], u: &[f32], y: &[f32]| {
                let _ = p;
                1.0 - u.iter().zip(y).map(|(a, b)| a * b).sum::<f32>()
            }) as fn(&[f32], &[f32], &[f32]) -> f32,
        ),
        ("l1", |p, _, y| p.iter().zip(y).map(|(a, b)| (a - b).abs()).sum()),
        ("l2", |p, _, y| p.iter().zip(y).map(|(a, b)| (a - b).powi(2)).sum()),
    ] {
        let tables = TABLES.replace("[objective]", &format!("[objective]\nloss = \"{kind}\""));
        let (mut trainer, _) = trainer(&config("steps = 60\nbatch = 2", &tables), Samples::new(examples(4)).unwrap());
        let samples = |weight: f32| {
            let second = Pair { weight, ..pair("where", "left", &[]) };
            vec![asked(0, vec![pair("what is it", "red", &[])]), asked(1, vec![second])]
        };
        let (model, tokenizer) = (trainer.model(), tokenizer());
        let embedder =
            Embedder { device: &device, model, tokenizer: &tokenizer, queries: Some(&queries), stored: None, batch: 8 };
        let batch = Batch::new(0, 16, samples(3.0)).unwrap();
        let targets = embedder.texts(&["red", "left"]).unwrap();
        let unit = embedder.asked(&batch.pixels, [2, 4, 16], &[(0, "what is it"), (1, "where")]).unwrap();
        let ids: Vec<Vec<u32>> = ["what is it", "where"].map(|text| queries.encode(text).unwrap().ids).into();
        let asked = Tokens::new(&device, &ids, model.config.predictor.query_pad_id).unwrap();
        let frames = Tensor::from_f32(&device, &[2, 4, 3, 16, 16], &batch.pixels).unwrap();
        let raw = model.predict(&Forward::inference(), &frames, Some(&asked)).unwrap().value().to_f32().unwrap();
        let dim = targets.len() / 2;
        let of = |rows: &[f32], i: usize| rows[i * dim..(i + 1) * dim].to_vec();
        let own = |i: usize| distance(&of(&raw, i), &of(&unit, i), &of(&targets, i));
        let got = trainer.gradients(&batch).unwrap().0;
        let want = (own(0) + 3.0 * own(1)) / 4.0;
        assert!((got - want).abs() < 1e-4 * want.max(1.0), "{kind}: {got} for {want}");
        // It is learnt.
        let batch = Batch::new(0, 16, samples(1.0)).unwrap();
        let first = trainer.step(&batch).unwrap().loss;
        let last = (1..60).map(|_| trainer.step(&batch).unwrap().loss).last().unwrap();
        assert!(last < 0.3 * first, "{kind}: from {first} to {last}");
        let spreads = trainer.spreads().unwrap().unwrap();
        assert!(spreads.alignment < 0.6 && spreads.target.n == 2 && spreads.prediction.n == 2, "{kind}: {spreads:?}");
    }
    for (more, what) in [
        ("loss = \"l2\"\ny_head = { train = true, whiten = false }", "not trained"),
        ("loss = \"l2\"\nwrong = 0.5\ny_head = { whiten = false }", "objective.wrong"),
        ("loss = \"l2\"\nown = 0.5\ny_head = { whiten = false }", "objective.own"),
        ("own = -1.0", "objective.own"),
        ("sigreg = { weight = -1.0 }", "objective.sigreg.weight"),
        ("sigreg = { directions = 0 }", "objective.sigreg.directions"),
        ("vicreg = { variance = 1.0 }", "objective.vicreg"),
    ] {
        let text = format!("steps = 1\nbatch = 1\n[model]\nfolder = \"m\"\n[objective]\nkind = \"batch\"\n{more}\n");
        assert!(TrainConfig::parse(&text).unwrap_err().to_string().contains(what), "{more}");
    }
    let text = "steps = 1\nbatch = 1\n[model]\nfolder = \"m\"\n[objective]\nloss = \"l1\"\n";
    assert!(TrainConfig::parse(text).unwrap_err().to_string().contains("kind = \"batch\""));
}

#[test]
fn cached_embeddings_give_the_gradients_of_the_whole_batch() {
    let pairs = |kind: usize| {
        let texts = ["red", "a bar", "it moves", "left", "right", "nothing at all"];
        let mut own = vec![pair("what is it", texts[kind], &[texts[(kind + 2) % 6], "green"])];
        if kind.is_multiple_of(2) {
            own.push(Pair { weight: 2.5, ..pair("where", "left", &["right"]) });
        }
        own
    };
    let samples: Vec<Sample> = (0..6).map(|kind| asked(kind, pairs(kind))).collect();
    let batch = Batch::new(0, 16, samples).unwrap();
    for more in ["wrong = 0.5\nown = 1.5", "train_y_encoder = true\nwrong = 0.3", "loss = \"cosine\""] {
        let gradients = |accumulate: usize, cached: bool| {
            let tables = TABLES.replace("[objective]", &format!("[objective]\ncached = {cached}\n{more}"));
            let text = format!("steps = 1\nbatch = 6\naccumulate = {accumulate}");
            trainer(&config(&text, &tables), Samples::new(examples(4)).unwrap()).0.gradients(&batch).unwrap()
        };
        let whole = gradients(1, false);
        for parts in [2, 3, 6] {
            close(&gradients(parts, true), &whole);
        }
        // Without the cache a part's negatives are its own.
        if !more.contains("cosine") {
            assert!((gradients(3, false).0 - whole.0).abs() > 0.01, "{more}");
        }
    }
    let text = "steps = 1\nbatch = 1\n[model]\nfolder = \"m\"\n[objective]\ncached = true\n";
    assert!(TrainConfig::parse(text).unwrap_err().to_string().contains("objective.cached"));
}
