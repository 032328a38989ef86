//! Sprite World as a source: what a step sees, and runs that are resumed.

use std::collections::BTreeSet;
use std::path::Path;

use vljepa_data::Preprocess;
use vljepa_model::TextTokenizer;
use vljepa_train::data::{Pair, Sample, Source};
use vljepa_train::sources::sprite_world::{self, Corpus};
use vljepa_train::{RunOptions, TrainConfig, run};

use crate::support::device;

/// A small network for clips of 8 frames of 32 pixels.
fn config_text(data: &str, steps: u64) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    format!(
        "steps = {steps}\nbatch = 6\noutput = \"run\"\n[model]\nconfig = \"model.json\"\ny_encoder = '{}'\n[data]\nkind = \
         \"sprite-world\"\nvendors = [\"noto\"]\n{data}\n[objective]\nkind = \"batch\"\ny_head = {{ train = true, whiten = false }}\n\
         [optimizer]\nkind = \"muon\"\n[checkpoint]\nevery = 1\nseconds = 0\n\
         [evaluate]\nclips = 2\n",
        root.join("../vljepa/assets/compact").display()
    )
}

fn write(dir: &Path, data: &str, steps: u64) -> std::path::PathBuf {
    let model = include_str!("../../examples/sprites.json");
    assert!(model.contains("\"crop_size\": 64"));
    std::fs::write(dir.join("model.json"), model.replace("\"crop_size\": 64", "\"crop_size\": 32")).unwrap();
    let path = dir.join("sprites.toml");
    std::fs::write(&path, config_text(data, steps)).unwrap();
    path
}

fn corpus(data: &str) -> Corpus {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), data, 1);
    let config = TrainConfig::read(&path).unwrap();
    let model = vljepa_model::config::VlJepaConfig::from_json(include_str!("../../examples/sprites.json")).unwrap();
    sprite_world::open(&config, &model).unwrap()
}

fn samples(corpus: &Corpus, seed: u64, step: u64) -> Vec<Sample> {
    corpus.samples(seed, step, 6, &Preprocess::square(32)).unwrap()
}

#[test]
fn a_step_is_a_function_of_seed_and_number() {
    let corpus = corpus("");
    let one = samples(&corpus, 1, 4);
    assert_eq!(one, samples(&corpus, 1, 4));
    assert_ne!(one, samples(&corpus, 1, 5));
    assert_ne!(one, samples(&corpus, 2, 4));
    assert!(one.iter().all(|s| s.visual.frames == 8 && s.visual.pixels.len() == 8 * 3 * 32 * 32));
    assert!(one.iter().all(|s| s.visual.pixels.iter().all(|v| (-1.0..=1.0).contains(v))));
    let pairs: Vec<Vec<Pair>> = (0..50).flat_map(|step| samples(&corpus, 1, step)).map(|sample| sample.pairs).collect();
    for own in &pairs {
        let asked: BTreeSet<&String> = own.iter().filter_map(|pair| pair.query.as_ref()).collect();
        let told = own.iter().filter(|pair| pair.query.is_none()).count();
        assert!((1..=3).contains(&asked.len()) && told <= 1 && own.len() == asked.len() + told, "{own:?}");
        assert!(own.iter().all(|pair| pair.query.is_none() == pair.wrong.is_empty() && pair.class.is_none()));
    }
    assert!(pairs.iter().filter(|own| own.iter().filter(|pair| pair.query.is_some()).count() == 3).count() > 200);
    let told = pairs.iter().filter(|own| own.iter().any(|pair| pair.query.is_none())).count();
    // Half of 300; the standard deviation is 8.7.
    assert!((120..=180).contains(&told), "{told}");
}

#[test]
fn a_number_of_clips_is_seen_once_an_epoch_in_another_order() {
    let corpus = corpus("clips = 30\nquestions = 0");
    assert_eq!(corpus.steps_per_epoch(6), Some(5));
    assert!(corpus.limit().is_some_and(|limit| limit.most == 30));
    let epoch = |number: u64| -> Vec<String> {
        (5 * number..5 * number + 5).flat_map(|step| samples(&corpus, 1, step)).map(|sample| sample.origin).collect()
    };
    let (first, second) = (epoch(0), epoch(1));
    let all = |epoch: &[String]| epoch.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(all(&first).len(), 30);
    assert_eq!(all(&first), all(&second));
    assert_ne!(first, second);
    assert!(
        (0..10)
            .flat_map(|step| samples(&corpus, 1, step))
            .all(|sample| sample.pairs.len() == 1 && sample.pairs[0].query.is_none())
    );
}

#[test]
fn only_the_kinds_that_are_named_are_asked() {
    let corpus = corpus("questions = 2\ncaptions = 0.0\nkinds = [\"yes_no\", \"direction\"]");
    let answers: BTreeSet<String> = (0..30)
        .flat_map(|step| samples(&corpus, 1, step))
        .flat_map(|sample| sample.pairs)
        .filter(|pair| pair.query.is_some())
        .flat_map(|pair| pair.targets)
        .collect();
    let directions = ["left", "right", "up", "down", "up and left", "up and right", "down and left", "down and right"];
    assert!(answers.contains("yes") && answers.contains("no"), "{answers:?}");
    assert!(
        answers.iter().all(|answer| ["yes", "no"].contains(&answer.as_str()) || directions.contains(&answer.as_str()))
    );
}

#[test]
fn easy_steps_show_few_things_and_one_event() {
    let corpus = corpus("easy_steps = 3\nquestions = 11\ncaptions = 1.0");
    let counts = |step: u64| -> BTreeSet<String> {
        let pairs = samples(&corpus, 1, step).into_iter().flat_map(|sample| sample.pairs);
        let counted = pairs.filter(|pair| pair.query.as_ref().is_some_and(|query| query.starts_with("how many")));
        counted.flat_map(|pair| pair.targets).collect()
    };
    let seen = |steps: std::ops::Range<u64>| steps.flat_map(counts).collect::<BTreeSet<_>>();
    assert!(seen(0..3).iter().all(|count| ["one", "two"].contains(&count.as_str())));
    assert!(seen(3..9).contains("four"));
}

#[test]
fn captions_have_nearly_right_ones_beside_them_and_clips_can_be_their_ends() {
    let plain = corpus("questions = 0");
    let of = |corpus: &Corpus| -> Vec<Sample> { (0..20).flat_map(|step| samples(corpus, 1, step)).collect() };
    assert!(of(&plain).iter().flat_map(|sample| &sample.pairs).all(|pair| pair.wrong.is_empty()));
    let nearly = of(&corpus("questions = 0\nnearly = 1.0"));
    let pairs: Vec<&Pair> = nearly.iter().flat_map(|sample| &sample.pairs).collect();
    let with = pairs.iter().filter(|pair| pair.wrong.len() == 1 && pair.wrong[0] != pair.targets[0]).count();
    assert!(with > 110 && pairs.iter().all(|pair| pair.query.is_none()), "{with} of {}", pairs.len());
    // A clip of its ends has two different frames at most.
    let different = |sample: &Sample| {
        let frames = sample.visual.pixels.chunks_exact(3 * 32 * 32);
        frames.clone().zip(frames.skip(1)).filter(|(a, b)| a != b).count()
    };
    assert!(of(&plain).iter().filter(|sample| different(sample) > 1).count() > 100);
    let ends = of(&corpus("questions = 2\nends = 0.5"));
    let still = ends.iter().filter(|sample| different(sample) == 1).count();
    // Half of the clips whose event leaves a trace, most of 120.
    assert!((25..=70).contains(&still), "{still}");
    let fault = TrainConfig::parse(&config_text("ends = 1.5", 1)).unwrap_err();
    assert!(fault.contains("`data.ends` is 1.5"), "{fault}");
}

#[test]
fn a_head_is_whitened_by_the_texts_and_words_come_from_the_text_encoder() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "", 1);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("{ train = true, whiten = false }", "{ strength = 0.7 }")).unwrap();
    let model = dir.path().join("model.json");
    let states = std::fs::read_to_string(&model).unwrap();
    std::fs::write(&model, states.replace("\"y_encoder_states\"", "\"y_encoder\"")).unwrap();
    let (trainer, maker) = vljepa_train::prepare(&device(), &path).unwrap();
    let model = trainer.model();
    let map = model.params().into_iter().find(|p| p.name() == "predictor.embed_projection.weight").unwrap().tensor();
    assert_eq!(map.shape(), [192, 384]);
    assert!(model.params().iter().all(|p| p.name() != "predictor.embed_tokens.weight"));
    // Components of the words are at right angles to each other.
    let rows = map.to_f32().unwrap();
    let dot = |i: usize, j: usize| (0..384).map(|k| rows[i * 384 + k] * rows[j * 384 + k]).sum::<f32>();
    for (i, j) in [(0, 1), (3, 90), (17, 191)] {
        assert!(dot(i, j).abs() < 1e-3 * dot(i, i), "{i}, {j}: {} of {}", dot(i, j), dot(i, i));
    }
    let (loss, grads) = trainer.gradients(&maker.make(0).unwrap()).unwrap();
    assert!(loss.is_finite() && grads.contains_key("predictor.embed_projection.weight"), "{loss}");
    assert!(grads.keys().all(|name| !name.starts_with("y_")), "{:?}", grads.keys());
    // In the text encoder's own space "yes" and "no" are near each other (0.73), in the whitened one they are not.
    let features = |text: &str| {
        let compact = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vljepa/assets/compact/target_tokenizer.json");
        let json = std::fs::read(compact).unwrap();
        let (device, tokenizer) = (device(), TextTokenizer::for_targets(&json, &model.config.y_encoder).unwrap());
        let embedder = vljepa_embed::Embedder {
            device: &device,
            model,
            tokenizer: &tokenizer,
            queries: None,
            stored: None,
            batch: 8,
        };
        embedder.texts(&[text]).unwrap()
    };
    let cosine = features("yes").iter().zip(features("no")).map(|(a, b)| a * b).sum::<f32>();
    assert!(cosine < 0.4, "{cosine}");
}

#[test]
fn a_still_stem_starts_from_that_of_a_model_of_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "", 1);
    let text = std::fs::read_to_string(&path).unwrap();
    let compact = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vljepa/assets/compact");
    std::fs::write(&path, text.replace("[data]", &format!("still_stem = '{}'\n[data]", compact.display()))).unwrap();
    let (trainer, maker) = vljepa_train::prepare(&device(), &path).unwrap();
    let folder = vljepa_embed::folder::ModelFolder::open(&compact).unwrap();
    let of = vljepa_embed::Model::load(&device(), &folder).unwrap();
    let of = of.embedder().model;
    let values = |model: &vljepa_model::VlJepa, name: &str| {
        model.params().into_iter().find(|p| p.name() == name).unwrap().tensor().to_f32().unwrap()
    };
    let name = "x_encoder.embeddings.still_stem.2.residual.0.conv.weight";
    let other = "x_encoder.embeddings.stem.2.residual.0.conv.weight";
    assert_eq!(values(trainer.model(), name), values(of, other));
    assert_ne!(values(trainer.model(), other), values(of, other));
    // A picture is a clip of one frame, twice.
    let taps = [0, 1].map(|t| values(of, &format!("x_encoder.embeddings.patch_embeddings.proj.{t}.weight")));
    let sum: Vec<f32> = taps[0].iter().zip(&taps[1]).map(|(a, b)| a + b).collect();
    assert_eq!(values(trainer.model(), "x_encoder.embeddings.patch_embeddings.still.weight"), sum);
    let (_, grads) = trainer.gradients(&maker.make(0).unwrap()).unwrap();
    assert!(grads[name].to_f32().unwrap().iter().any(|g| *g != 0.0));
    // A model without such a stem, and a folder without one that fits.
    let json = std::fs::read_to_string(dir.path().join("model.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&json).unwrap();
    config["x_encoder"]["still_stem"]["channels"][0] = 16.into();
    std::fs::write(dir.path().join("model.json"), config.to_string()).unwrap();
    let error = vljepa_train::check(&path, None).unwrap_err().to_string();
    assert!(
        error.contains("sprites.toml: line 7") && error.contains("must be those of this model's `still_stem`"),
        "{error}"
    );
    config["x_encoder"].as_object_mut().unwrap().remove("still_stem");
    std::fs::write(dir.path().join("model.json"), config.to_string()).unwrap();
    let error = vljepa_train::check(&path, None).unwrap_err().to_string();
    assert!(error.contains("line 7") && error.contains("has no `still_stem`"), "{error}");
}

#[test]
fn the_recipe_that_is_shown_can_be_run() {
    vljepa_train::check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/sprites.toml"), None).unwrap();
}

#[test]
fn a_run_that_was_stopped_ends_like_one_that_was_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "", 3);
    let weights = |output: &str| std::fs::read(dir.path().join(output).join("model/model.safetensors")).unwrap();
    let whole = run(&path, RunOptions::new(device()).output(dir.path().join("whole"))).unwrap();
    assert!(whole.complete);
    let output = dir.path().join("parts");
    let mut left = 2;
    let stop = || {
        left -= 1;
        left == 0
    };
    assert!(!run(&path, RunOptions::new(device()).output(&output).stop(stop)).unwrap().complete);
    assert!(run(&path, RunOptions::new(device()).output(&output).resume(true)).unwrap().complete);
    assert_eq!(weights("whole"), weights("parts"));
}
