//! A whole training run from a configuration file: `vljepa train CONFIG.toml [--resume]`.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use vljepa_data::emoji::EmojiVendors;
use vljepa_model::config::VlJepaConfig;
use vljepa_model::weights::{SafeTensors, ShardIndex, Shards, WeightSource, read_f32};
use vljepa_model::{Param, SentenceFolder, SentenceWeights, Storage, TextTokenizer, VlJepa};
use vljepa_tensor::Device;

use crate::checkpoint::{Checkpoints, write_atomic};
use crate::config::TrainConfig;
use crate::corpus::Corpus;
use crate::error::{Result, TrainError};
use crate::eval::Validation;
use crate::feed::{Feed, Maker};
use crate::trainer::{StepReport, Trainer};

/// How a run is made, beside its configuration.
pub struct RunOptions<'a> {
    /// Where it computes.
    pub device: Device,
    /// Go on from the newest good checkpoint; without it the run's folder must hold none.
    pub resume: bool,
    /// Folder of the run in place of the configuration's.
    pub output: Option<PathBuf>,
    /// Asked after every step; `true` saves a checkpoint and ends the run.
    pub stop: &'a dyn Fn() -> bool,
}

impl fmt::Debug for RunOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunOptions").field("resume", &self.resume).field("output", &self.output).finish()
    }
}

/// What happens in a run. `Display` gives the line for people.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// What is being prepared, or something that was put right.
    Note(String),
    /// Training begins or goes on.
    Started {
        /// Steps taken so far.
        step: u64,
        /// Steps in all.
        steps: u64,
        /// Trained parameters.
        parameters: usize,
        /// Candidates of each prediction.
        candidates: usize,
        /// Folder of the run.
        output: PathBuf,
    },
    /// A step was taken.
    Step {
        /// What it gave.
        report: StepReport,
        /// Steps in all.
        steps: u64,
        /// Pictures per second, over the last steps.
        rate: f64,
        /// Seconds left at this rate.
        left: f64,
    },
    /// The validation data was looked at.
    Evaluated {
        /// Steps taken.
        step: u64,
        /// The figures.
        validation: Validation,
    },
    /// A checkpoint was written.
    Saved {
        /// Its folder.
        path: PathBuf,
    },
    /// The model folder was written.
    Finished {
        /// The model folder.
        model: PathBuf,
        /// Seconds of training, earlier parts of the run included.
        seconds: f64,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Note(text) => f.write_str(text),
            Event::Started { step, steps, parameters, candidates, output } => write!(
                f,
                "training {:.2} M parameters from step {step} to {steps}, {candidates} candidates (ln {:.3}), in {}",
                *parameters as f64 / 1e6,
                (*candidates as f64).ln(),
                output.display()
            ),
            Event::Step { report: r, steps, rate, left } => write!(
                f,
                "step {}/{steps}  loss {:.4}  norm {:.2}  1/τ {:.1}  lr ×{:.3}  {rate:.0} pictures/s  {} left",
                r.step + 1,
                r.loss,
                r.grad_norm,
                r.scale,
                r.factor,
                duration(*left)
            ),
            Event::Evaluated { step, validation: v } => {
                let pair =
                    |c: &crate::eval::Cell| format!("{:.1}/{:.1} of {}", 100.0 * c.r1, 100.0 * c.r5, c.candidates);
                write!(
                    f,
                    "after step {step}: R@1/R@5 % of seen concepts in a new design {}; new concepts in seen designs {}, in a new one {}",
                    pair(&v.seen_concept_new_vendor),
                    pair(&v.new_concept_seen_vendor),
                    pair(&v.new_concept_new_vendor)
                )
            }
            Event::Saved { path } => write!(f, "saved {}", path.display()),
            Event::Finished { model, seconds } => {
                write!(f, "trained in {}: {}", duration(*seconds), model.display())
            }
        }
    }
}

fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0) as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{}:{:02} min", s / 60, s % 60),
        _ => format!("{}:{:02} h", s / 3600, s / 60 % 60),
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Steps taken.
    pub step: u64,
    /// Whether all steps were taken.
    pub complete: bool,
    /// The model folder, when complete.
    pub model: Option<PathBuf>,
    /// The last evaluation.
    pub validation: Option<Validation>,
}

/// Trains as `path` says. Writes into the run's folder: `checkpoints/`, `metrics.jsonl`, and at the end `model/`.
///
/// # Errors
/// Everything of [`TrainError`]; what was saved before stays.
pub fn run(path: &Path, options: &RunOptions<'_>, observer: &mut dyn FnMut(&Event)) -> Result<Summary> {
    let mut config = TrainConfig::read(path)?;
    if let Some(output) = &options.output {
        config.output.clone_from(output);
    }
    let output = config.output.clone();
    let checkpoints = Checkpoints::new(output.join("checkpoints"), config.checkpoint.keep);
    if !options.resume && !checkpoints.list()?.is_empty() {
        return Err(TrainError::Invalid(format!(
            "{}: holds checkpoints of a run already; resume it, or choose another `output`",
            output.display()
        )));
    }
    observer(&Event::Note("encoding the texts of the concepts".into()));
    let Prepared { mut trainer, corpus, tokenizer_json } = assemble(&options.device, &config)?;
    if let Some(cut) = trainer.cut_texts()? {
        observer(&Event::Note(format!("texts of the concepts: {cut}")));
    }

    let mut seconds = 0.0;
    if options.resume {
        let (found, faults) = checkpoints.latest(|loaded| trainer.restore(loaded))?;
        for fault in faults {
            observer(&Event::Note(format!("{fault}; going on from an older one")));
        }
        match found {
            Some((loaded, ())) => seconds = loaded.state.seconds,
            None => observer(&Event::Note("nothing to resume: starting anew".into())),
        }
    }
    fs::create_dir_all(&output).map_err(TrainError::io(&output, "creating"))?;
    let mut log = Log::open(output.join("metrics.jsonl"), trainer.step_count())?;
    observer(&Event::Started {
        step: trainer.step_count(),
        steps: config.steps,
        parameters: trainer.trained_parameters(),
        candidates: trainer.candidates(),
        output: output.clone(),
    });
    let maker = Arc::new(Maker::new(corpus, config.clone(), trainer.preprocess()));
    let mut feed = Feed::start(maker, trainer.step_count(), config.steps, config.data.prefetch)?;
    let (mut last_save, mut validation) = (Instant::now(), None);
    let mut pace = Pace::new();
    while trainer.step_count() < config.steps {
        let batch = feed.next_batch()?;
        let report = trainer.step(&batch)?;
        let step = trainer.step_count();
        seconds += pace.lap();
        let rate = config.batch as f64 / pace.seconds_per_step();
        let left = (config.steps - step) as f64 * pace.seconds_per_step();
        log.write(&json!({
            "step": report.step, "loss": report.loss, "grad_norm": report.grad_norm, "lr_factor": report.factor,
            "scale": report.scale, "image_size": batch.size, "seconds": round(seconds), "pictures_per_second": round(rate),
        }))?;
        observer(&Event::Step { report, steps: config.steps, rate, left });
        let last = step == config.steps;
        if last || (config.evaluate.every > 0 && step.is_multiple_of(config.evaluate.every)) {
            let found = trainer.validate()?;
            log.write(&json!({"step": report.step, "validation": &found}))?;
            observer(&Event::Evaluated { step, validation: found.clone() });
            validation = Some(found);
            pace.skip();
        }
        let stop = (options.stop)();
        let c = &config.checkpoint;
        let due = (c.every > 0 && step.is_multiple_of(c.every))
            || (c.seconds > 0 && last_save.elapsed().as_secs() >= c.seconds);
        if last || stop || due {
            let (mut state, files) = trainer.state()?;
            state.seconds = seconds;
            let path = checkpoints.save(&state, &files)?;
            observer(&Event::Saved { path });
            last_save = Instant::now();
            pace.skip();
        }
        if stop && !last {
            return Ok(Summary { step, complete: false, model: None, validation });
        }
    }
    let model = output.join("model");
    write_model(&model, &trainer, &tokenizer_json)?;
    observer(&Event::Finished { model: model.clone(), seconds });
    Ok(Summary { step: trainer.step_count(), complete: true, model: Some(model), validation })
}

/// A trainer at step 0 and the maker of its batches, as `path` says, for measuring and for loops of one's own.
///
/// # Errors
/// As [`run`].
pub fn prepare(device: &Device, path: &Path) -> Result<(Trainer, Maker)> {
    let config = TrainConfig::read(path)?;
    let Prepared { trainer, corpus, .. } = assemble(device, &config)?;
    let maker = Maker::new(corpus, config, trainer.preprocess());
    Ok((trainer, maker))
}

/// What a run needs before its first step.
struct Prepared {
    trainer: Trainer,
    corpus: Arc<Corpus>,
    tokenizer_json: Vec<u8>,
}

fn assemble(device: &Device, config: &TrainConfig) -> Result<Prepared> {
    let dir = config.data.dir.clone().unwrap_or_else(EmojiVendors::default_dir);
    let corpus = Arc::new(Corpus::new(EmojiVendors::open(dir)?, &config.data, config.seed)?);
    let (model, tokenizer_json) = load_model(device, config)?;
    let tokenizer = TextTokenizer::for_targets(&tokenizer_json, &model.config.y_encoder)?;
    let trainer = Trainer::new(device, config.clone(), model, tokenizer, corpus.clone())?;
    Ok(Prepared { trainer, corpus, tokenizer_json })
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The initial model and the text of its target tokenizer.
fn load_model(device: &Device, config: &TrainConfig) -> Result<(VlJepa, Vec<u8>)> {
    let read = |path: PathBuf| fs::read(&path).map_err(TrainError::io(path, "reading"));
    let text = |path: &Path| fs::read_to_string(path).map_err(TrainError::io(path, "reading"));
    let source = &config.model;
    let (model, tokenizer) = match (&source.config, &source.folder) {
        (Some(path), _) => {
            let parsed = VlJepaConfig::from_json(&text(path)?);
            let parsed = parsed.map_err(|e| TrainError::Config { path: path.clone(), what: e.to_string() })?;
            (VlJepa::init(device, parsed, config.seed)?, None)
        }
        (None, Some(folder)) => {
            let path = folder.join("config.json");
            let parsed = VlJepaConfig::from_json(&text(&path)?);
            let parsed = parsed.map_err(|e| TrainError::Config { path: path.clone(), what: e.to_string() })?;
            let load = |weights: &dyn WeightSource| Ok(VlJepa::load(device, parsed, weights)?);
            (with_weights(folder, load)?, Some(folder.join("target_tokenizer.json")))
        }
        (None, None) => return Err(TrainError::Invalid("`model` names neither `config` nor `folder`".into())),
    };
    let tokenizer = match (&source.y_encoder, tokenizer) {
        (Some(folder), _) => {
            let heads = dense_heads(folder)?;
            let heads: Vec<SafeTensors<'_>> =
                heads.iter().map(|(name, bytes)| SafeTensors::parse(name, bytes)).collect::<Result<_, _>>()?;
            let heads = heads.iter().map(|head| head as &dyn WeightSource).collect();
            with_weights(folder, |weights| {
                y_encoder_from(&model.params(), weights, &SentenceWeights::new(weights, heads))
            })?;
            let own = folder.join("target_tokenizer.json");
            read(if own.exists() { own } else { folder.join("tokenizer.json") })?
        }
        (None, Some(path)) => read(path)?,
        (None, None) => return Err(TrainError::Invalid("`model.y_encoder` is missing".into())),
    };
    Ok((model, tokenizer))
}

/// Hands `body` the weights of a folder: `model.safetensors`, or shards behind their index.
fn with_weights<T>(folder: &Path, body: impl FnOnce(&dyn WeightSource) -> Result<T>) -> Result<T> {
    let read = |path: &Path| fs::read(path).map_err(TrainError::io(path, "reading"));
    let (file, index) = (folder.join("model.safetensors"), folder.join("model.safetensors.index.json"));
    if file.exists() || !index.exists() {
        let bytes = read(&file)?;
        return body(&SafeTensors::parse(&file.display().to_string(), &bytes)?);
    }
    let text = fs::read_to_string(&index).map_err(TrainError::io(&index, "reading"))?;
    let index = ShardIndex::parse(&text)?;
    let mut shards = BTreeMap::new();
    for name in index.files() {
        shards.insert(name.to_owned(), read(&folder.join(name))?);
    }
    let bytes = shards.iter().map(|(name, bytes)| (name.clone(), bytes.as_slice())).collect();
    body(&Shards::open(index, &bytes)?)
}

/// The weights of the Dense modules of a sentence-transformers folder, with the names of their files.
fn dense_heads(folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    if !folder.join("modules.json").exists() {
        return Ok(Vec::new());
    }
    let parsed = SentenceFolder::parse(&|file| fs::read(folder.join(file)).ok())?;
    let read = |dense: &String| {
        let file = folder.join(dense).join("model.safetensors");
        Ok((file.display().to_string(), fs::read(&file).map_err(TrainError::io(file, "reading"))?))
    };
    parsed.dense_folders.iter().map(read).collect()
}

/// Fills the Y-Encoder from a model folder's weights, or from a checkpoint of its own (`own`), whose names have no
/// `y_encoder.` before them.
fn y_encoder_from(params: &[&Param], weights: &dyn WeightSource, own: &dyn WeightSource) -> Result<()> {
    for param in params {
        if let Some(name) = param.name().strip_prefix("y_encoder.") {
            let shape = param.tensor().shape();
            let values = match weights.tensor(param.name()) {
                Some(_) => read_f32(weights, param.name(), shape)?,
                None => read_f32(own, name, shape)?,
            };
            param.tensor().write_f32(&values)?;
        }
    }
    Ok(())
}

/// A model folder, its files one by one so that each is whole.
fn write_model(folder: &Path, trainer: &Trainer, tokenizer: &[u8]) -> Result<()> {
    fs::create_dir_all(folder).map_err(TrainError::io(folder, "creating"))?;
    write_atomic(&folder.join("model.safetensors"), &trainer.trained_weights(Storage::F32)?)?;
    write_atomic(&folder.join("target_tokenizer.json"), tokenizer)?;
    write_atomic(&folder.join("config.json"), trainer.model().config.to_json()?.as_bytes())
}

/// `metrics.jsonl`: one object a line, flushed line by line.
struct Log {
    path: PathBuf,
    file: fs::File,
}

impl Log {
    /// Opens the file for appending, without the lines of steps that are taken again.
    fn open(path: PathBuf, step: u64) -> Result<Self> {
        if let Ok(old) = fs::read_to_string(&path) {
            let taken = |line: &&str| {
                let value: Option<serde_json::Value> = serde_json::from_str(line).ok();
                value.and_then(|v| v["step"].as_u64()).is_some_and(|s| s < step)
            };
            let kept: String = old.lines().filter(taken).flat_map(|line| [line, "\n"]).collect();
            write_atomic(&path, kept.as_bytes())?;
        }
        let file = fs::OpenOptions::new().create(true).append(true).open(&path);
        Ok(Self { file: file.map_err(TrainError::io(&path, "opening"))?, path })
    }

    fn write(&mut self, value: &serde_json::Value) -> Result<()> {
        self.file
            .write_all(format!("{value}\n").as_bytes())
            .and_then(|()| self.file.flush())
            .map_err(TrainError::io(&self.path, "writing"))
    }
}

/// Seconds per step, averaged over about the last twenty.
struct Pace {
    last: Instant,
    average: Option<f64>,
}

impl Pace {
    fn new() -> Self {
        Self { last: Instant::now(), average: None }
    }

    /// Seconds since the last call, counted as one step.
    fn lap(&mut self) -> f64 {
        let seconds = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        self.average = Some(self.average.map_or(seconds, |a| a + 0.05 * (seconds - a)));
        seconds
    }

    /// Leaves out what was done since the last call.
    fn skip(&mut self) {
        self.last = Instant::now();
    }

    fn seconds_per_step(&self) -> f64 {
        self.average.unwrap_or(f64::INFINITY).max(1e-9)
    }
}
