//! Training on a manifest: what a step sees, whole runs from a file, and what is refused.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vljepa_data::manifest::{Manifest, Split};
use vljepa_data::{Rgba8Image, encode_png};
use vljepa_embed::Embedder;
use vljepa_model::config::VlJepaConfig;
use vljepa_model::{TextTokenizer, VlJepa};
use vljepa_train::data::{Batch, Source};
use vljepa_train::feed::Maker;
use vljepa_train::sources::manifest::{self, Corpus, ManifestOptions};
use vljepa_train::{Event, RunOptions, Summary, TrainConfig, TrainError, Trainer, run};

use crate::support::{device, model_config, tokenizer, tokenizer_json};

/// Candidates of the batch, a constant rate.
const BATCH: &str = "[objective]\nkind = \"batch\"\ny_head = { whiten = false }\n\
    [optimizer]\nlr = 0.01\nweight_decay = 0.0\n[schedule]\nkind = \"constant\"\nwarmup = 0.0\n";

/// A film of 20 × 20 grey pixels at ten frames a second: a bar that moves by `step` a frame from `from`.
fn film(frames: usize, from: usize, step: usize) -> Vec<u8> {
    let mut bytes = b"YUV4MPEG2 W20 H20 F10:1 Cmono\n".to_vec();
    for t in 0..frames {
        bytes.extend(b"FRAME\n");
        bytes.extend((0..400).map(|i| if i % 20 == (from + step * t) % 20 { 230 } else { 20 }));
    }
    bytes
}

fn picture(red: u8, green: u8) -> Vec<u8> {
    encode_png(&Rgba8Image::new(24, 18, [red, green, 40, 255].repeat(24 * 18)).unwrap()).unwrap()
}

/// Five pictures and four films with a manifest of them, all to be trained on; the last film gives two clips.
fn data() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut lines = String::new();
    for (i, text) in ["red", "green", "dark", "gold", "blue"].iter().enumerate() {
        let colour = [(250, 0), (0, 250), (0, 0), (220, 200), (80, 90)][i];
        fs::write(dir.path().join(format!("{i}.png")), picture(colour.0, colour.1)).unwrap();
        lines += &format!("{{\"visual\": \"{i}.png\", \"target\": \"{text}\"}}\n");
    }
    for (i, text) in ["still", "slow", "quick", "jumps"].iter().enumerate() {
        fs::write(dir.path().join(format!("{i}.y4m")), film(8 + i, i, 3 * i)).unwrap();
        let times = if i == 3 { ", \"end\": 0.5" } else { "" };
        lines += &format!("{{\"visual\": \"{i}.y4m\", \"target\": \"{text}\"{times}}}\n");
    }
    lines += "{\"visual\": \"3.y4m\", \"start\": 0.5, \"target\": \"jumps on\"}\n";
    fs::write(dir.path().join("clips.jsonl"), lines).unwrap();
    dir
}

/// The model of the other tests, with room for queries of 16 tokens where samples have some.
fn model(queries: bool) -> VlJepaConfig {
    let mut json: serde_json::Value = serde_json::from_str(&model_config().to_json().unwrap()).unwrap();
    if queries {
        json["predictor"]["config"]["vocab_size"] = 58.into();
        json["max_query_tokens"] = 16.into();
    }
    VlJepaConfig::from_json(&json.to_string()).unwrap()
}

fn text(more: &str, data: &str, tables: &str) -> String {
    format!(
        "seed = 4\n{more}\n[model]\nfolder = \"start\"\n[data]\nkind = \"manifest\"\nmanifest = \"{data}\"\n{tables}"
    )
}

fn corpus(dir: &Path, more: &str, tables: &str) -> Result<Corpus, TrainError> {
    let config = TrainConfig::parse(&text(more, "clips.jsonl", tables)).unwrap();
    let base = dir.to_path_buf();
    let config = TrainConfig { data: vljepa_train::config::DataConfig { base, ..config.data.clone() }, ..config };
    manifest::open(&config, &model(true))
}

/// A trainer on the manifest of a folder, with its batches.
fn trainer(dir: &Path, more: &str, tables: &str) -> (Trainer, Maker) {
    let config = TrainConfig::parse(&text(more, "clips.jsonl", tables)).unwrap();
    let source = Arc::new(corpus(dir, more, tables).unwrap());
    let init = VlJepa::init(&device(), model(true), 5).unwrap();
    let trainer = Trainer::new(&device(), config.clone(), init, tokenizer(), source.clone()).unwrap();
    let queries = TextTokenizer::from_json(tokenizer_json().as_bytes(), 16).unwrap();
    let maker = Maker::new(source, config, trainer.preprocess());
    (trainer.with_queries(queries), maker)
}

#[test]
fn an_epoch_shows_every_row_once_pictures_and_clips_apart() {
    let dir = data();
    let source = corpus(dir.path(), "steps = 1\nbatch = 1", BATCH).unwrap();
    assert_eq!((source.steps_per_epoch(2), source.limit().unwrap().most), (Some(4), 5));
    assert_eq!(source.steps_per_epoch(1), Some(10));
    let to = vljepa_embed::preprocess(&model(true));
    let mut orders = BTreeSet::new();
    for epoch in 0..3 {
        let mut seen = Vec::new();
        for step in epoch * 10..epoch * 10 + 10 {
            let samples = source.samples(7, step, 1, &to).unwrap();
            assert_eq!(samples, source.samples(7, step, 1, &to).unwrap());
            let batch = Batch::new(step, 16, samples).unwrap();
            let pictures = ["red", "green", "dark", "gold", "blue"];
            assert_eq!(batch.frames, if pictures.contains(&batch.pairs[0].targets[0].as_str()) { 1 } else { 2 });
            seen.extend(batch.origins);
        }
        orders.insert(seen.clone());
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len(), 10);
    }
    assert_eq!(orders.len(), 3);
    // With two a step one picture and one clip are left out of each epoch.
    for step in 0..8 {
        let (drawn, frames) = source.drawn(7, step, 2);
        assert_eq!((drawn.len(), frames), (2, if drawn[0] < 5 { 1 } else { 2 }));
        assert!(drawn[0] != drawn[1] && (drawn[0] < 5) == (drawn[1] < 5));
    }
    assert_ne!(
        (0..4).map(|step| source.drawn(7, step, 2)).collect::<Vec<_>>(),
        (0..4).map(|step| source.drawn(8, step, 2)).collect::<Vec<_>>()
    );
}

#[test]
fn a_row_is_what_it_says() {
    let dir = data();
    let text = "visual,start,end,query,targets,weight,split\n0.png,,,what is it?,red|rot,2,\n1.y4m,0.2,0.6,,slow,,\n0.png,,,,x,,test\n";
    fs::write(dir.path().join("clips.jsonl"), "").unwrap();
    fs::write(dir.path().join("clips.csv"), text).unwrap();
    let config = TrainConfig::parse(&self::text("steps = 1\nbatch = 1", "clips.csv", BATCH)).unwrap();
    let base = dir.path().to_path_buf();
    let config = TrainConfig { data: vljepa_train::config::DataConfig { base, ..config.data.clone() }, ..config };
    let source = manifest::open(&config, &model(true)).unwrap();
    let to = vljepa_embed::preprocess(&model(true));
    let samples: Vec<_> = (0..64).flat_map(|step| source.samples(1, step, 1, &to).unwrap()).collect();
    assert!(samples.iter().all(|sample| sample.pairs.len() == 1));
    let asked: Vec<_> = samples.iter().map(|sample| &sample.pairs[0]).filter(|pair| pair.query.is_some()).collect();
    assert_eq!(asked.len(), 32);
    let drawn: BTreeSet<&str> = asked.iter().map(|pair| pair.targets[0].as_str()).collect();
    assert_eq!(drawn.into_iter().collect::<Vec<_>>(), ["red", "rot"]);
    assert!(asked.iter().all(|pair| pair.weight == 2.0 && pair.query.as_deref() == Some("what is it?")));
    let clip = samples.iter().find(|sample| sample.pairs[0].query.is_none()).unwrap();
    assert!(clip.origin.ends_with("clips.csv: line 3") && clip.visual.frames == 2, "{}", clip.origin);
    let row = Manifest::open(dir.path().join("clips.csv")).unwrap().rows()[1].clone();
    assert_eq!(clip.visual.pixels, row.numbers(2, &to, &Default::default()).unwrap());
    assert!(source.asks() && source.queries() == ["what is it?"]);
    assert_eq!(source.texts(&[]), ["red", "rot", "slow"]);
    let bank = source.bank().unwrap();
    assert!(
        samples
            .iter()
            .map(|sample| &sample.pairs[0])
            .all(|p| bank.text(p.class.unwrap() as usize, vljepa_train::config::TextKind::Label) == p.targets[0])
    );
}

#[test]
fn rows_are_changed_alike_in_all_their_frames() {
    let dir = data();
    let to = vljepa_embed::preprocess(&model(true));
    let plain = corpus(dir.path(), "steps = 1\nbatch = 1", BATCH).unwrap();
    let changes = "[data.augment]\nscale = [1.0, 1.0]\nstretch = 0\nrotation = 0\nshift = 0\nhue = 0\nsaturation = 0\ngrey = 0\n\
        contrast = 0\nhole = 0\nblur = 0\nbrightness = ";
    let with = |brightness: &str| {
        corpus(dir.path(), "steps = 1\nbatch = 1", &format!("{changes}{brightness}\n{BATCH}")).unwrap()
    };
    let (none, bright) = (with("0"), with("0.3"));
    let (mut same, mut shifts) = (0, BTreeSet::new());
    for step in 0..20 {
        let [plain, none, bright] =
            [&plain, &none, &bright].map(|source| source.samples(7, step, 1, &to).unwrap().remove(0));
        assert_eq!((plain.origin, plain.visual.frames), (bright.origin, bright.visual.frames));
        // Through a larger square and back: nearly what it was.
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f32>() / a.len() as f32;
        assert!(near(&plain.visual.pixels, &none.visual.pixels) < 0.08);
        same += usize::from(none.visual.pixels == bright.visual.pixels);
        // Of grey on which no channel is at its end every pixel of every frame moves by the same.
        let moved: Vec<f32> = none
            .visual
            .pixels
            .iter()
            .zip(&bright.visual.pixels)
            .filter(|(a, b)| a.abs().max(b.abs()) < 0.98)
            .map(|(a, b)| b - a)
            .collect();
        if bright.visual.frames == 2 && !moved.is_empty() {
            let first = moved[0];
            assert!(moved.iter().all(|moved| (moved - first).abs() < 0.03), "{moved:?}");
            shifts.insert((first * 100.0) as i32);
        }
    }
    assert!(same < 3 && shifts.len() > 3, "{same} {shifts:?}");
    // Changes are part of what a checkpoint must agree on, and a function of seed and step.
    assert_ne!(none.identity().unwrap(), bright.identity().unwrap());
    assert_eq!(bright.samples(7, 3, 2, &to).unwrap(), with("0.3").samples(7, 3, 2, &to).unwrap());
    assert_ne!(bright.samples(7, 3, 2, &to).unwrap(), bright.samples(8, 3, 2, &to).unwrap());
}

#[test]
fn one_batch_is_overfitted() {
    let bank = BATCH.replace("\"batch\"", "\"bank\"");
    for tables in [BATCH, &bank] {
        let dir = data();
        // What is asked decides, for the picture is one.
        let lines = ["red", "square", "loud", "seven"].iter().enumerate().map(|(i, text)| {
            format!(
                "{{\"visual\": \"{}.png\", \"query\": \"{}\", \"target\": \"{text}\"}}\n",
                i / 2,
                ["colour", "shape"][i % 2]
            )
        });
        fs::write(dir.path().join("clips.jsonl"), lines.collect::<String>()).unwrap();
        let (mut trainer, maker) = trainer(dir.path(), "steps = 150\nbatch = 4", tables);
        assert_eq!(trainer.candidates(), 4);
        let first = trainer.step(&maker.make(0).unwrap()).unwrap().loss;
        let mut last = first;
        for step in 1..150 {
            last = trainer.step(&maker.make(step).unwrap()).unwrap().loss;
        }
        assert!(first > 1.0 && last < 0.1 * first, "from {first} to {last}");
    }
}

/// First and last loss of steps on four rows of `texts`, each of another film.
fn losses_of_films(texts: [&str; 4], steps: u64) -> (f32, f32) {
    let dir = data();
    let line = |(i, text)| format!("{{\"visual\": \"{i}.y4m\", \"query\": \"what\", \"target\": \"{text}\"}}\n");
    fs::write(dir.path().join("clips.jsonl"), texts.iter().enumerate().map(line).collect::<String>()).unwrap();
    let (mut trainer, maker) = trainer(dir.path(), &format!("steps = {steps}\nbatch = 4"), BATCH);
    let first = trainer.step(&maker.make(0).unwrap()).unwrap().loss;
    let mut last = first;
    for step in 1..steps {
        last = trainer.step(&maker.make(step).unwrap()).unwrap().loss;
    }
    (first, last)
}

#[test]
fn clips_are_overfitted() {
    let (first, last) = losses_of_films(["rests", "slow", "quick", "jumps"], 150);
    assert!(first > 1.0 && last < 0.1 * first, "from {first} to {last}");
}

#[test]
fn equal_texts_are_no_negatives_of_each_other() {
    let (first, last) = losses_of_films(["rests", "moves", "moves", "moves"], 60);
    // Were they told apart, the loss of three rows in four could not fall below ln 3.
    assert!(last < 0.5 && last < first, "from {first} to {last}");
}

/// Writes the model that a run starts from, and its file.
fn prepare(dir: &Path, more: &str, tables: &str) -> PathBuf {
    crate::support::model_folder(dir);
    let path = dir.join("train.toml");
    fs::write(&path, text(more, "clips.jsonl", tables)).unwrap();
    path
}

fn go(path: &Path, output: &Path, resume: bool, mut steps: u64) -> Result<Summary, TrainError> {
    let stop = || {
        steps -= 1;
        steps == 0
    };
    run(path, RunOptions::new(device()).resume(resume).output(output).stop(stop))
}

#[test]
fn a_run_that_was_stopped_ends_bit_for_bit_like_one_that_was_not() {
    let dir = data();
    let lines = fs::read_to_string(dir.path().join("clips.jsonl")).unwrap();
    let validation = "{\"visual\": \"1.png\", \"targets\": [\"green\", \"grass\"], \"split\": \"validation\"}\n\
        {\"visual\": \"2.y4m\", \"target\": \"quick\", \"split\": \"validation\"}\n";
    fs::write(dir.path().join("clips.jsonl"), lines + validation).unwrap();
    let path = prepare(dir.path(), "steps = 7\nbatch = 2", &BATCH.replace("constant", "cosine"));
    let (whole, parts) = (dir.path().join("whole"), dir.path().join("parts"));
    let summary = go(&path, &whole, false, 100).unwrap();
    assert_eq!(go(&path, &parts, false, 3).unwrap().step, 3);
    // Where the data lies does not matter.
    let moved = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(dir.path()).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), moved.path().join(entry.file_name())).unwrap();
    }
    let elsewhere = prepare(moved.path(), "steps = 7\nbatch = 2", &BATCH.replace("constant", "cosine"));
    assert!(go(&elsewhere, &parts, true, 100).unwrap().complete);
    for file in ["model/model.safetensors", "checkpoints/step-00000007/optimizer.safetensors"] {
        assert!(fs::read(whole.join(file)).unwrap() == fs::read(parts.join(file)).unwrap(), "{file} differs");
    }
    let cell = summary.validation.unwrap().cell("validation").cloned().unwrap();
    assert_eq!((cell.n, cell.candidates, cell.t2i_n, cell.t2i_candidates), (2, 3, 3, 2));
    assert!((cell.chance_r1 - 0.5).abs() < 1e-9 && cell.chance_r5 == 1.0 && cell.r5 == Some(1.0), "{cell:?}");
    let card = fs::read_to_string(whole.join("model/README.md")).unwrap();
    assert!(
        card.contains("5 pictures and 5 clips with 10 texts")
            && card.contains("2 rows of the manifest's split validation")
    );

    // Other rows are another run.
    let text = fs::read_to_string(dir.path().join("clips.jsonl")).unwrap();
    fs::write(dir.path().join("clips.jsonl"), text.replace("\"gold\"", "\"brass\"")).unwrap();
    let error = go(&path, &whole, true, 100).unwrap_err().to_string();
    assert!(error.contains("another run") && error.contains("rows"), "{error}");
}

#[test]
fn a_file_that_vanishes_during_a_run_is_named_with_its_row() {
    let dir = data();
    let path = prepare(dir.path(), "steps = 20\nbatch = 5", BATCH);
    let gone = dir.path().join("3.y4m");
    let options = RunOptions::new(device()).output(dir.path().join("run")).observer(|event| {
        // Before the first batch is made: afterwards it is in memory.
        if matches!(event, Event::Note(_)) && gone.exists() {
            fs::remove_file(&gone).unwrap();
        }
    });
    let error = run(&path, options).unwrap_err().to_string();
    assert!(error.contains("clips.jsonl: line 9") || error.contains("clips.jsonl: line 10"), "{error}");
    assert!(error.contains("3.y4m: no such file") && !error.contains('\n'), "{error}");
}

#[test]
fn what_cannot_be_trained_on_is_said_before_the_run() {
    let dir = data();
    let path = prepare(dir.path(), "steps = 2\nbatch = 2", BATCH);
    let (good, lines) =
        (fs::read_to_string(&path).unwrap(), fs::read_to_string(dir.path().join("clips.jsonl")).unwrap());
    vljepa_train::check(&path, None).unwrap();
    let said = |config: &str, rows: &str| {
        fs::write(&path, config).unwrap();
        fs::write(dir.path().join("clips.jsonl"), rows).unwrap();
        let error = vljepa_train::check(&path, None).unwrap_err().to_string();
        assert!(!error.contains('\n') && error.contains("train.toml: "), "{error}");
        error
    };
    let row = |fields: &str| format!("{lines}{{{fields}}}\n");
    let bank = good.replace("\"batch\"", "\"bank\"");
    for (config, rows, words) in [
        (
            good.replace("clips.jsonl", "none.jsonl"),
            lines.clone(),
            ["line 8: `data.manifest`", "none.jsonl: no such file"],
        ),
        (good.clone(), row("\"visual\": \"x.png\", \"target\": \"a\""), ["line 8", "clips.jsonl: line 11: "]),
        (good.clone(), row("\"visual\": \"x.png\", \"target\": \"a\""), ["x.png", "no such file"]),
        (good.clone(), row("\"visual\": \"0.png\", \"end\": 2, \"target\": \"a\""), ["line 11", "a picture has no"]),
        (good.clone(), row("\"visual\": \"0.png\""), ["line 11", "`target` is missing"]),
        (good.clone(), lines.replace("}\n", ", \"split\": \"test\"}\n"), ["no row is of the split train", "line 8"]),
        (
            good.replace("batch = 2", "batch = 6"),
            lines.clone(),
            ["5 pictures and 5 clips", "take at most 5, or leave the clips out"],
        ),
        (
            bank,
            row("\"visual\": \"0.png\", \"targets\": [\"a\", \"b\"]"),
            ["`objective.kind` \"bank\"", "2 right ones"],
        ),
        (good.replace("[data]", "[data]\nframes = 3"), lines.clone(), ["`data.frames` (3)", "take 4"]),
        (
            good.clone(),
            row("\"visual\": \"0.png\", \"query\": \"what\", \"target\": \"a\""),
            ["query_tokenizer.json", "`model.config`"],
        ),
        (good + "[head_fit]\nshare = 0.5\nridge = 1\n", lines.clone(), ["head_fit", "needs"]),
    ] {
        let error = said(&config, &rows);
        assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
    }
}

#[test]
fn a_model_from_random_weights_asks_with_the_words_of_its_text_encoder() {
    let dir = data();
    let start = crate::support::model_folder(dir.path());
    let lines = fs::read_to_string(dir.path().join("clips.jsonl")).unwrap();
    fs::write(dir.path().join("clips.jsonl"), lines.replace("\"target\"", "\"query\": \"what is it\", \"target\""))
        .unwrap();
    let config = |own: &str| {
        text("steps = 2\nbatch = 2", "clips.jsonl", BATCH)
            .replace("folder = \"start\"", &format!("config = \"init.json\"\ny_encoder = \"start\"{own}"))
    };
    let path = dir.path().join("train.toml");
    fs::write(&path, config("")).unwrap();
    fs::write(dir.path().join("init.json"), model(false).to_json().unwrap()).unwrap();
    let error = vljepa_train::check(&path, None).unwrap_err().to_string();
    assert!(error.contains("has 58 tokens") && error.contains("`predictor.config.vocab_size` to 58"), "{error}");
    fs::write(dir.path().join("init.json"), model(true).to_json().unwrap()).unwrap();
    let own = "\nquery_tokenizer = \"own.json\"";
    fs::write(&path, config(own)).unwrap();
    let error = vljepa_train::check(&path, None).unwrap_err().to_string();
    assert!(error.contains("line 7: `model.query_tokenizer`") && error.contains("own.json"), "{error}");
    fs::write(dir.path().join("own.json"), tokenizer_json()).unwrap();
    for (config, file) in
        [(config(""), start.join("target_tokenizer.json")), (config(own), dir.path().join("own.json"))]
    {
        fs::write(&path, config).unwrap();
        let output = dir.path().join("run");
        assert!(go(&path, &output, false, 100).unwrap().complete);
        let copied = fs::read(output.join("model/query_tokenizer.json")).unwrap();
        assert!(copied == fs::read(file).unwrap());
        fs::remove_dir_all(output).unwrap();
    }
}

#[test]
fn figures_are_those_of_a_plain_reading() {
    let dir = data();
    let lines = fs::read_to_string(dir.path().join("clips.jsonl")).unwrap().replace("\"gold\"", "\"red\"");
    let asked = "{\"visual\": \"0.png\", \"query\": \"what\", \"target\": \"red\"}\n\
        {\"visual\": \"1.png\", \"query\": \"what\", \"target\": \"green\"}\n\
        {\"visual\": \"2.png\", \"query\": \"what\", \"target\": \"red\"}\n\
        {\"visual\": \"1.y4m\", \"query\": \"where\", \"target\": \"left\"}\n";
    fs::write(dir.path().join("clips.jsonl"), lines.replace("}\n", ", \"split\": \"test\"}\n") + asked).unwrap();
    let manifest = Manifest::open(dir.path().join("clips.jsonl")).unwrap();
    let (model, targets) = (VlJepa::init(&device(), model(true), 5).unwrap(), tokenizer());
    let queries = TextTokenizer::from_json(tokenizer_json().as_bytes(), 16).unwrap();
    let device = device();
    let embedder = Embedder {
        device: &device,
        model: &model,
        tokenizer: &targets,
        queries: Some(&queries),
        stored: None,
        batch: 8,
    };
    let to = vljepa_embed::preprocess(&model.config);
    let measure = |split: Split, embedder: &Embedder<'_>| {
        let mut options = ManifestOptions::default();
        options.split = split;
        manifest::evaluate(embedder, &to, &manifest, &options, &mut |_| ()).unwrap()
    };
    let report = measure(Split::Test, &embedder);
    assert_eq!((report.rows, report.questions.as_ref(), report.unasked), (10, None, 0));
    // Ten rows, nine texts, by hand.
    let texts: Vec<&str> = manifest.of(Split::Test).map(|row| row.targets[0].as_str()).collect();
    let distinct: Vec<&str> = texts.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    assert_eq!(distinct.len(), 9);
    let of_texts = embedder.texts(&distinct).unwrap();
    let of_rows: Vec<f32> =
        manifest.of(Split::Test).flat_map(|row| embedder.rows(&[row], None, &to, &mut |_| ()).unwrap()).collect();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    let rank = |row: &[f32], all: &[f32], right: &dyn Fn(usize) -> bool| {
        let scores: Vec<f64> = all.chunks(12).map(|other| dot(row, other)).collect();
        let best = scores.iter().enumerate().filter(|(i, _)| right(*i)).map(|(_, s)| *s).fold(f64::MIN, f64::max);
        1 + scores.iter().enumerate().filter(|(i, s)| !right(*i) && **s > best).count()
    };
    let there: Vec<usize> =
        of_rows.chunks(12).zip(&texts).map(|(row, text)| rank(row, &of_texts, &|i| distinct[i] == *text)).collect();
    let back: Vec<usize> =
        of_texts.chunks(12).zip(&distinct).map(|(row, text)| rank(row, &of_rows, &|i| texts[i] == *text)).collect();
    for (ranks, found) in
        [(&there, report.visual_to_text.as_ref().unwrap()), (&back, report.text_to_visual.as_ref().unwrap())]
    {
        let within = |k: usize| ranks.iter().filter(|rank| **rank <= k).count() as f64 / ranks.len() as f64;
        for (k, measured) in [(1, found.r1), (5, found.r5), (10, found.r10)] {
            assert!((measured.value - within(k)).abs() < 1e-9, "R@{k} {measured:?} {ranks:?}");
            let [low, high] = measured.interval.unwrap();
            assert!(low <= measured.value && measured.value <= high);
        }
        let mut sorted = ranks.clone();
        sorted.sort_unstable();
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle] as f64
        } else {
            (sorted[middle - 1] + sorted[middle]) as f64 / 2.0
        };
        assert!((found.median_rank.value - median).abs() < 1e-9, "{:?} {sorted:?}", found.median_rank);
    }
    let found = report.classification.unwrap();
    assert_eq!((found.rows, found.texts, found.top1), (10, 9, report.visual_to_text.unwrap().r1));
    assert_eq!((found.top1.majority, found.top5.majority), (Some(0.2), Some(0.6)));
    assert!((found.top1.chance - 1.0 / 9.0).abs() < 1e-12 && (found.top5.chance - 5.0 / 9.0).abs() < 1e-12);
    assert_eq!(found.by_text.iter().map(|of| of.rows).sum::<usize>(), 10);
    let wrong = there.iter().filter(|rank| **rank > 1).count();
    assert_eq!(found.confusions.iter().map(|pair| pair.rows).sum::<usize>(), wrong);
    assert!((report.text_to_visual.unwrap().r1.chance - (8.0 * 0.1 + 0.2) / 9.0).abs() < 1e-12);

    // Of the question that has one answer the candidates are all three.
    let report = measure(Split::Train, &embedder);
    let questions = report.questions.unwrap();
    assert_eq!((questions.rows, questions.questions, report.classification), (4, 2, None));
    assert!((questions.accuracy.chance - (3.0 * 0.5 + 1.0 / 3.0) / 4.0).abs() < 1e-12);
    assert_eq!(questions.accuracy.majority, Some(0.5));
    // A model that takes no queries is not asked.
    let report = measure(Split::Train, &Embedder { queries: None, ..embedder });
    assert_eq!((report.unasked, report.questions, report.classification), (4, None, None));
}
