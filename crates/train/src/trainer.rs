//! The training loop's parts: one step, one evaluation, state in and out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vljepa_data::Preprocess;
use vljepa_data::emoji::{ConceptId, Split, VendorId};
use vljepa_model::config::{MemoryConfig, VlJepaConfig};
use vljepa_model::weights::{SafeTensors, WeightSource, Writer, read_f32};
use vljepa_model::{CutTexts, Forward, Param, Storage, TextTokenizer, Tokens, VlJepa};
use vljepa_tensor::autograd::{Tape, Var};
use vljepa_tensor::{Device, Tensor, ops};

use crate::checkpoint::{Loaded, RunState};
use crate::config::{ObjectiveKind, TextKind, TrainConfig};
use crate::corpus::{Corpus, Draw, included, training_vendors};
use crate::ema::Ema;
use crate::embed::{Embedder, at_size, preprocess};
use crate::error::{Result, TrainError};
use crate::eval::{Validation, ValidationSet};
use crate::feed::Batch;
use crate::linalg::{Affine, regress};
use crate::objective::{Objective, Part, TextBank};
use crate::optim::{Method, Optimizer, matches};
use crate::start::check_fit;

const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const EMA: &str = "ema.safetensors";
const MEMORY_PREFIX: &str = "memory.";

/// What a step reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// The step, from 0.
    pub step: u64,
    /// Mean loss of its samples, before its update.
    pub loss: f32,
    /// Global norm of all gradients, before clipping.
    pub grad_norm: f32,
    /// Factor of the learning rates.
    pub factor: f64,
    /// 1/τ before the update.
    pub scale: f32,
}

/// What a run has made.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// The bytes of `model.safetensors`.
    pub weights: Vec<u8>,
    /// Their figures on validation data.
    pub validation: Validation,
}

/// A model being trained.
#[derive(Debug)]
pub struct Trainer {
    device: Device,
    config: TrainConfig,
    model: VlJepa,
    tokenizer: TextTokenizer,
    corpus: Arc<Corpus>,
    objective: Objective,
    optimizer: Optimizer,
    ema: Option<Ema>,
    trained: Arc<BTreeSet<String>>,
    vendor: VendorId,
    step: u64,
}

/// A file of a checkpoint: its name and its bytes.
pub type NamedFile = (&'static str, Vec<u8>);

/// Weight and bias of the Predictor's head.
fn head(model: &VlJepa) -> Option<[Tensor; 2]> {
    let params = model.params();
    let find = |name: &str| params.iter().find(|p| p.name() == name).map(|p| p.tensor().clone());
    Some([find("predictor_head.weight")?, find("predictor_head.bias")?])
}

impl Trainer {
    /// Prepares a run at step 0: encodes the texts of all classes, whitens the head where that is asked for.
    ///
    /// # Errors
    /// Settings that do not fit the data or the model, and what the model reports.
    pub fn new(
        device: &Device,
        config: TrainConfig,
        mut model: VlJepa,
        tokenizer: TextTokenizer,
        corpus: Arc<Corpus>,
    ) -> Result<Self> {
        let vendor = check_fit(&config, &corpus, &model.config)?;
        let names: Vec<&str> = model.params().iter().map(|p| p.name()).collect();
        for (i, group) in config.optimizer.groups.iter().enumerate() {
            if !names.iter().any(|name| matches(&group.pattern, name)) {
                let what = format!(
                    "`optimizer.groups`: no parameter's name is like \"{}\"; names are like {}, and * stands for any characters",
                    group.pattern,
                    names.iter().take(3).copied().collect::<Vec<_>>().join(", ")
                );
                return Err(TrainError::setting(format!("optimizer.groups.{i}.pattern"), what));
            }
        }
        let embedder = Embedder { device, model: &model, tokenizer: &tokenizer, batch: 64 };
        let bank = TextBank::encode(&embedder, &corpus, &config.objective)?;
        if config.objective.y_head.whiten {
            bank.whiten_head(&embedder, &corpus, &config.objective.y_head)?;
        }
        model.forget();
        if let Some(memory) = config.memory {
            let labels = bank.embeddings(&model, device)?;
            model.remember(device, &labels, MemoryConfig { rows: corpus.concepts.len(), ..memory })?;
        }
        let objective = Objective::new(&config.objective, bank, &model, device)?;
        let o = &config.objective;
        let (text, head, scale) = (o.train_y_encoder, o.y_head.train, model.config.temperature.learned);
        let frozen = move |name: &str| {
            (name.starts_with("y_encoder.") && !text)
                || (name.starts_with("y_head.") && !head)
                || (name == "logit_scale" && !scale)
                || name.starts_with(MEMORY_PREFIX)
        };
        let optimizer = Optimizer::new(&config.optimizer, &model.params(), &frozen);
        let trained: Arc<BTreeSet<String>> = Arc::new(optimizer.names().map(str::to_owned).collect());
        let ema = match config.ema {
            Some(_) => Some(Ema::new(&model.params(), &|name| trained.contains(name))?),
            None => None,
        };
        Ok(Self {
            device: device.clone(),
            config,
            model,
            tokenizer,
            corpus,
            objective,
            optimizer,
            ema,
            trained,
            vendor,
            step: 0,
        })
    }

    /// Steps taken.
    pub fn step_count(&self) -> u64 {
        self.step
    }

    /// The model, with the weights of the last step.
    pub fn model(&self) -> &VlJepa {
        &self.model
    }

    /// The configuration.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// How the model's pictures are made.
    pub fn preprocess(&self) -> Preprocess {
        preprocess(&self.model.config)
    }

    /// Number of candidates of a prediction: the loss starts near its logarithm.
    pub fn candidates(&self) -> usize {
        self.objective.candidates(self.config.batch / self.config.accumulate)
    }

    /// Which texts of the concepts are longer than the Y-Encoder takes, and so are learnt without their ends.
    ///
    /// # Errors
    /// Texts that cannot be split into tokens.
    pub(crate) fn cut_texts(&self) -> Result<Option<CutTexts>> {
        let o = &self.config.objective;
        // Whitening looks at the tags too.
        let hints = (o.y_head.whiten && o.y_head.tags > 0.0).then_some(TextKind::LabelAndTags);
        let mut texts: Vec<String> = o.texts.iter().copied().chain(hints).flat_map(|k| self.corpus.texts(k)).collect();
        let mut seen = BTreeSet::new();
        texts.retain(|text| seen.insert(text.clone()));
        self.embedder().cut(&texts)
    }

    /// Number of trained parameters.
    pub fn trained_parameters(&self) -> usize {
        self.model.params().iter().filter(|p| self.trained.contains(p.name())).map(|p| p.tensor().len()).sum()
    }

    /// Loss and gradients of a batch, its parts accumulated.
    ///
    /// # Errors
    /// What the model and the operators report.
    pub fn gradients(&self, batch: &Batch) -> Result<(f32, BTreeMap<String, Tensor>)> {
        let parts = self.config.accumulate;
        let (count, size) = (batch.classes.len() / parts, batch.size as usize);
        let values = 3 * size * size;
        let choice = self.corpus.text_choice(batch.step, self.objective.kinds());
        let mut grads: BTreeMap<String, Tensor> = BTreeMap::new();
        let mut losses = Vec::with_capacity(parts);
        for i in 0..parts {
            let rows = i * count..(i + 1) * count;
            let pixels = &batch.pixels[rows.start * values..rows.end * values];
            let frames = Tensor::from_f32(&self.device, &[count, 1, 3, size, size], pixels)?;
            let classes = &batch.classes[rows];
            let (tape, trained) = (Tape::new(), self.trained.clone());
            let f = Forward::training(tape.clone(), move |name| trained.contains(name));
            let text = self.texts_of(&f, classes, &choice)?;
            let part = Part { frames: &frames, classes, choice: &choice };
            let loss = self.objective.loss(&self.model, &f, part, text.as_ref())?;
            let seed = ops::full(&self.device, loss.shape(), 1.0 / parts as f32)?;
            for (name, grad) in f.gradients(tape.backward(&loss, Some(seed))?) {
                let sum = match grads.get(&name) {
                    Some(earlier) => ops::add(earlier, &grad)?,
                    None => grad,
                };
                grads.insert(name, sum);
            }
            losses.push(loss.value().clone());
        }
        let mut total = 0.0;
        for loss in losses {
            total += loss.to_f32()?.first().copied().unwrap_or(f32::NAN) / parts as f32;
        }
        Ok((total, grads))
    }

    /// Embeddings of the texts of a part where the Y-Encoder is trained.
    fn texts_of(&self, f: &Forward, classes: &[u32], choice: &[u32]) -> Result<Option<Var>> {
        let o = &self.config.objective;
        if !o.train_y_encoder || o.kind != ObjectiveKind::Batch {
            return Ok(None);
        }
        let y = &self.model.config.y_encoder;
        let text = |&class: &u32| self.corpus.text(class as usize, o.texts[choice[class as usize] as usize]);
        let (ids, _) = self.tokenizer.encode_all(&y.prompt, &classes.iter().map(text).collect::<Vec<_>>())?;
        let tokens = Tokens::new(&self.device, &ids, y.config.pad_token_id())?;
        Ok(Some(self.model.encode_text(f, &tokens)?))
    }

    /// One optimiser step. The weights change only when loss and gradients are finite.
    ///
    /// # Errors
    /// [`TrainError::NonFinite`], and what the model and the operators report.
    pub fn step(&mut self, batch: &Batch) -> Result<StepReport> {
        let (loss, grads) = self.gradients(batch)?;
        let squares = match grads.is_empty() {
            true => Vec::new(),
            false => ops::square_sums(&grads.values().collect::<Vec<_>>())?.to_f32()?,
        };
        if !loss.is_finite() || squares.iter().any(|s| !s.is_finite()) {
            let tensor = self.culprit(grads.keys().zip(&squares))?;
            return Err(TrainError::NonFinite { step: self.step, tensor, loss });
        }
        // Muon's update does not depend on the size of its gradients: only AdamW's are clipped.
        let clipped = |name: &str| self.optimizer.plan(name).is_some_and(|p| p.method == Method::Adamw);
        let sum = |keep: &dyn Fn(&str) -> bool| -> f64 {
            grads.keys().zip(&squares).filter(|(name, _)| keep(name)).map(|(_, s)| f64::from(*s)).sum()
        };
        let (limit, norm) = (self.config.optimizer.clip, sum(&clipped).sqrt());
        let clip = match limit > 0.0 && norm > limit {
            true => Some(Tensor::from_f32(&self.device, &[1], &[(limit / norm) as f32])?),
            false => None,
        };
        let factor = self.config.schedule.factor(self.step, self.config.steps);
        let scale = self.scale()?;
        let params = self.model.params();
        self.optimizer.step(&params, &grads, factor, clip.as_ref())?;
        if let (Some(ema), Some(config)) = (&self.ema, self.config.ema) {
            ema.update(&params, config.decay(self.step + 1, self.config.steps))?;
        }
        let grad_norm = sum(&|_| true).sqrt() as f32;
        let report = StepReport { step: self.step, loss, grad_norm, factor, scale };
        self.step += 1;
        Ok(report)
    }

    /// 1/τ.
    fn scale(&self) -> Result<f32> {
        let value = self.model.logit_scale(&Forward::inference()).value().to_f32()?;
        let max = self.model.config.temperature.max_scale as f32;
        Ok(value.first().map_or(f32::NAN, |s| s.exp().min(max)))
    }

    /// The first tensor that is not finite: weights come before gradients, since they make all gradients so.
    fn culprit<'a>(&self, squares: impl Iterator<Item = (&'a String, &'a f32)>) -> Result<String> {
        for param in self.model.params() {
            if param.tensor().to_f32()?.iter().any(|v| !v.is_finite()) {
                return Ok(format!("weight {}", param.name()));
            }
        }
        let broken = squares.into_iter().find(|(_, s)| !s.is_finite());
        Ok(broken.map_or_else(|| "the loss".into(), |(name, _)| format!("gradient of {name}")))
    }

    /// Evaluates the averaged weights (the present ones without averaging) on validation data.
    ///
    /// # Errors
    /// What data and model report.
    pub fn validate(&self) -> Result<Validation> {
        self.averaged(|| self.measure())
    }

    /// What the run has made: averaged weights where there are any, the head fitted where that is asked for, once for weights
    /// and figures. `progress` hears what takes its time.
    ///
    /// # Errors
    /// What data and model report.
    pub fn finish(&self, storage: Storage, progress: &mut dyn FnMut(&str)) -> Result<Trained> {
        self.averaged(|| {
            self.fitted(progress, || Ok(Trained { validation: self.measure()?, weights: self.model.save(storage)? }))
        })
    }

    /// Evaluates the weights that are in the model.
    fn measure(&self) -> Result<Validation> {
        let (set, data) = (&self.corpus.set, &self.config.data);
        let concepts: Vec<ConceptId> = included(set, data, Split::Val).collect();
        let training = training_vendors(set, data)?;
        let to = at_size(&self.preprocess(), self.measured_size());
        ValidationSet { set, vendor: self.vendor, training, concepts }.run(&self.embedder(), &to)
    }

    /// Side of the pictures of an evaluation: that of the last step.
    pub(crate) fn measured_size(&self) -> u32 {
        let last = self.step.min(self.config.steps.saturating_sub(1));
        self.config.data.image_size_at(last, self.config.steps, self.preprocess().size)
    }

    fn embedder(&self) -> Embedder<'_> {
        let (device, batch) = (&self.device, self.config.evaluate.batch);
        Embedder { device, model: &self.model, tokenizer: &self.tokenizer, batch }
    }

    /// Runs `body` with the head of the model fitted, where that is asked for.
    fn fitted<T>(&self, progress: &mut dyn FnMut(&str), body: impl FnOnce() -> Result<T>) -> Result<T> {
        let (Some(fit), Some([weight, bias])) = (self.config.head_fit, head(&self.model)) else { return body() };
        progress("fitting the head to the labels");
        let (dim, width) = (self.model.config.embedding_dim, self.model.config.predictor.config.hidden_size);
        let (features, targets) = self.head_samples()?;
        let trained = Affine { weight: weight.to_f32()?, bias: bias.to_f32()? };
        let fitted = regress(&features, width, &targets, dim, fit.ridge);
        let lengths = (trained.length_over(&features, width), fitted.length_over(&features, width));
        let (keep, take) = ((1.0 - fit.share) / lengths.0, fit.share / lengths.1);
        if ![keep, take, lengths.0, lengths.1].iter().all(|v| v.is_finite()) {
            return Err(TrainError::setting(
                "head_fit",
                "`head_fit`: the pictures' features are all alike, there is nothing to fit",
            ));
        }
        // One length of predictions as before, so that the numbers stay of a size.
        let mix = |a: &[f32], b: &[f32]| -> Vec<f32> {
            a.iter().zip(b).map(|(a, b)| (lengths.0 * (keep * f64::from(*a) + take * f64::from(*b))) as f32).collect()
        };
        weight.write_f32(&mix(&trained.weight, &fitted.weight))?;
        bias.write_f32(&mix(&trained.bias, &fitted.bias))?;
        let result = body();
        weight.write_f32(&trained.weight)?;
        bias.write_f32(&trained.bias)?;
        result
    }

    /// What the Predictor's head sees of every training drawing, and its label's unit embedding.
    fn head_samples(&self) -> Result<(Vec<f32>, Vec<f32>)> {
        let (embedder, dim) = (self.embedder(), self.model.config.embedding_dim);
        let labels = self.objective.bank().embeddings(&self.model, &self.device)?;
        let draws: Vec<Draw> = self.corpus.all_drawings().collect();
        let (mut features, mut targets) = (Vec::new(), Vec::with_capacity(draws.len() * dim));
        // A few pictures at a time: the set's are larger than what the model sees of them.
        for part in draws.chunks(embedder.batch.max(1)) {
            let mut pictures = Vec::with_capacity(part.len());
            for draw in part {
                let concept = self.corpus.concepts[draw.class as usize];
                if let Some(picture) = self.corpus.set.picture(draw.vendor, concept)? {
                    pictures.push(picture);
                    targets.extend_from_slice(&labels[draw.class as usize * dim..][..dim]);
                }
            }
            features.extend(embedder.picture_features(&pictures, &self.preprocess())?);
        }
        Ok((features, targets))
    }

    /// Runs `body` with the averaged weights in the model.
    fn averaged<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        match &self.ema {
            Some(ema) => ema.during(&self.model.params(), body),
            None => body(),
        }
    }

    /// The configuration and the model's, by section, as text.
    ///
    /// # Errors
    /// When they cannot be written as JSON, which does not happen.
    pub fn identity(&self) -> Result<BTreeMap<String, String>> {
        let sections = self.config.identity()?;
        let mut identity: BTreeMap<String, String> = sections.into_iter().map(|(k, v)| (k, v.to_string())).collect();
        // The memory takes no part in training and follows from the labels.
        identity.insert("model".into(), VlJepaConfig { memory: None, ..self.model.config.clone() }.to_json()?);
        let keys: Vec<&str> =
            self.corpus.concepts.iter().filter_map(|&c| self.corpus.set.concept(c)).map(|c| c.key.as_str()).collect();
        identity.insert("classes".into(), crate::checkpoint::hash(keys.join(" ").as_bytes()));
        Ok(identity)
    }

    /// Everything that a checkpoint holds: state and files.
    ///
    /// # Errors
    /// What reading tensors back reports; a tensor that is not finite.
    pub fn state(&self) -> Result<(RunState, Vec<NamedFile>)> {
        let mut state = RunState::new(self.step, self.identity()?);
        let bytes = |tensors: &[(String, Tensor)]| -> Result<Vec<u8>> {
            let mut writer = Writer::new();
            for (name, tensor) in tensors {
                writer.f32(name, tensor.shape(), &tensor.to_f32()?)?;
            }
            Ok(writer.finish()?)
        };
        let kept = |p: &&&Param| self.kept(p.name());
        let weights: Vec<_> =
            self.model.params().iter().filter(kept).map(|p| (p.name().to_owned(), p.tensor().clone())).collect();
        let (moments, steps) = self.optimizer.save();
        state.optimizer_steps = steps;
        let mut files = vec![(MODEL, bytes(&weights)?), (OPTIMIZER, bytes(&moments)?)];
        if let Some(ema) = &self.ema {
            let averages: Vec<_> = ema.tensors().map(|(n, t)| (n.to_owned(), t.clone())).collect();
            files.push((EMA, bytes(&averages)?));
        }
        Ok((state, files))
    }

    /// Whether a checkpoint holds a parameter: all but those of a frozen Y-Encoder, which stay with their source, and the
    /// memory, which is made anew.
    fn kept(&self, name: &str) -> bool {
        self.trained.contains(name) || !(name.starts_with("y_encoder.") || name.starts_with(MEMORY_PREFIX))
    }

    /// Puts a checkpoint's state into the trainer. On an error the trainer must not be used further.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] naming the file, for tensors that are missing, of another shape or not finite, and
    /// [`TrainError::Invalid`] when the checkpoint is of another run.
    pub fn restore(&mut self, loaded: &Loaded) -> Result<()> {
        let own = self.identity()?;
        let differs = |key: &&String| loaded.state.identity.get(*key) != own.get(*key);
        let keys: BTreeSet<&String> = own.keys().chain(loaded.state.identity.keys()).collect();
        let changed: Vec<&str> = keys.iter().filter(|k| differs(k)).map(|k| k.as_str()).collect();
        if !changed.is_empty() {
            return Err(TrainError::Invalid(format!(
                "{}: a checkpoint of another run; these differ: {}. Resume with its configuration, or start anew in \
                 another `output`",
                loaded.path.display(),
                changed.join(", ")
            )));
        }
        let fault = |file: &str, what: String| TrainError::Checkpoint { path: loaded.path.join(file), what };
        let open = |file: &'static str| -> Result<SafeTensors<'_>> {
            SafeTensors::parse(file, loaded.file(file)?).map_err(|e| fault(file, e.to_string()))
        };
        let read = |file: &'static str, source: &SafeTensors<'_>, name: &str, shape: &[usize]| {
            read_f32(source, name, shape).map_err(|e| fault(file, e.to_string()))
        };
        let (model, moments) = (open(MODEL)?, open(OPTIMIZER)?);
        let params = self.model.params();
        let mut values = Vec::new();
        for param in params.iter().filter(|p| self.kept(p.name())) {
            values.push((*param, read(MODEL, &model, param.name(), param.tensor().shape())?));
        }
        let mut averages = Vec::new();
        if let Some(ema) = &self.ema {
            let source = open(EMA)?;
            for (name, tensor) in ema.tensors() {
                averages.push((tensor.clone(), read(EMA, &source, name, tensor.shape())?));
            }
        }
        self.optimizer.load(&self.device, &params, &loaded.state.optimizer_steps, |name, shape| {
            match moments.tensor(name) {
                Some(_) => read(OPTIMIZER, &moments, name, shape).map(Some),
                None => Ok(None),
            }
        })?;
        for (param, values) in values {
            param.tensor().write_f32(&values)?;
        }
        for (tensor, values) in averages {
            tensor.write_f32(&values)?;
        }
        self.step = loaded.state.step;
        Ok(())
    }
}
