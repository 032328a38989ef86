//! A model being trained: one step, evaluation, state in and out.

mod cached;
mod finish;
mod report;
mod sentences;
mod state;
mod step;
mod texts;

use std::collections::BTreeSet;
use std::sync::Arc;

use vljepa_data::Preprocess;
use vljepa_embed::features::RowFeatures;
use vljepa_embed::texts::TEXT_BATCH;
use vljepa_embed::{Embedder, preprocess};
use vljepa_model::Part;
use vljepa_model::config::{MemoryConfig, VlJepaConfig};
use vljepa_model::{CutTexts, Forward, TextTokenizer, VlJepa};
use vljepa_tensor::Device;
use vljepa_tensor::autograd::Tape;

use crate::config::{DecoderInput, ObjectiveKind, TrainConfig};
use crate::data::{Batch, Source};
use crate::ema::Ema;
use crate::error::{Result, TrainError};
use crate::objective::{Embeddings, Objective, needs_classes};
use crate::optim::{Optimizer, matches};
use crate::spread::Spreads;
use crate::text_bank::{TextBank, whiten_head};

pub use report::{NamedFile, StepReport, Trained};
use texts::FrozenTexts;

/// A model being trained.
#[derive(Debug)]
pub struct Trainer {
    device: Device,
    config: TrainConfig,
    model: VlJepa,
    tokenizer: TextTokenizer,
    /// Tokenizer of the Predictor's queries.
    queries: Option<TextTokenizer>,
    source: Arc<dyn Source>,
    /// What the frozen X-Encoder made of the source's rows.
    stored: Option<Arc<RowFeatures>>,
    objective: Objective,
    optimizer: Optimizer,
    ema: Option<Ema>,
    /// Names of the trained parameters.
    trained: Arc<BTreeSet<String>>,
    /// What the frozen Y-Encoder made of texts.
    frozen_texts: FrozenTexts,
    /// Those of the last step, or of its first part.
    embeddings: Option<Embeddings>,
    step: u64,
}

/// Checks what of a configuration depends on the data and the model.
///
/// # Errors
/// [`TrainError::Setting`].
pub(crate) fn check_fit(config: &TrainConfig, source: &dyn Source, model: &VlJepaConfig) -> Result<()> {
    if let Some(limit) = source.limit().filter(|limit| config.batch > limit.most) {
        return Err(TrainError::setting("batch", format!("`batch` is {}, and {}", config.batch, limit.why)));
    }
    let patch = model.x_encoder.patch_size as u32;
    if let Some((key, size)) = config.data.sizes().find(|(_, size)| !size.is_multiple_of(patch)) {
        let near = size.div_ceil(patch) * patch;
        let what = format!("`{key}` ({size}) is not a multiple of the model's patch ({patch}); take {near}");
        return Err(TrainError::setting(key, what));
    }
    if config.head_fit.is_some() && (model.members != 1 || !model.predictor_head.bias) {
        let what =
            "`head_fit` needs a model of one member whose `predictor_head` has a bias; leave it out for this one";
        return Err(TrainError::setting("head_fit", what));
    }
    if config.model.x_encoder.is_some() && source.rows().is_none() {
        let what = "`model.x_encoder` is run once for each row of a manifest; take `kind = \"manifest\"` in `[data]`";
        return Err(TrainError::setting("model.x_encoder", what));
    }
    let o = &config.objective;
    let needed = [
        (o.kind == ObjectiveKind::Bank, "objective.kind", "`kind = \"batch\"`"),
        (o.y_head.whiten && o.y_head.tags > 0.0, "objective.y_head.tags", "`tags = 0`"),
        (config.head_fit.is_some(), "head_fit", "a run without it"),
        (config.memory.is_some(), "memory", "a run without it"),
    ];
    match needed.into_iter().find(|(needed, ..)| *needed && source.bank().is_none()) {
        Some((_, key, instead)) => Err(needs_classes(key, instead)),
        None => Ok(()),
    }
}

impl Trainer {
    /// Prepares a run at step 0: encodes the texts of all classes, whitens the head where that is asked for. `tokenizer` is
    /// that of the Y-Encoder; see [`Trainer::with_queries`] for samples with queries.
    ///
    /// # Errors
    /// Settings that do not fit the data or the model, and what the model reports.
    pub fn new(
        device: &Device,
        config: TrainConfig,
        mut model: VlJepa,
        tokenizer: TextTokenizer,
        source: Arc<dyn Source>,
    ) -> Result<Self> {
        check_fit(&config, source.as_ref(), &model.config)?;
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
        let embedder =
            Embedder { device, model: &model, tokenizer: &tokenizer, queries: None, stored: None, batch: TEXT_BATCH };
        let o = &config.objective;
        let bank = match source.bank() {
            Some(classes) => {
                let bank = TextBank::encode(&embedder, classes, &o.texts)?;
                if o.y_head.whiten && config.decoder.is_none() {
                    bank.whiten_head(&embedder, classes, &o.y_head)?;
                }
                Some(bank)
            }
            None => {
                // Texts count as often as they come.
                if o.y_head.whiten && config.decoder.is_none() {
                    let features = embedder.text_features(&source.texts(&o.texts))?;
                    whiten_head(&model, &features, &o.y_head, None)?;
                }
                None
            }
        };
        if config.decoder.is_none() {
            model.forget();
        }
        if let (Some(memory), Some(bank)) = (config.memory, &bank) {
            let labels = bank.embeddings(&model)?;
            model.remember(device, &labels, MemoryConfig { rows: bank.classes(), ..memory })?;
        }
        let objective = Objective::new(o, bank, &model, device)?;
        let frozen = |part: Part| match part {
            Part::YDecoder => config.decoder.is_none(),
            Part::YHead | Part::YEncoder | Part::LogitScale if config.decoder.is_some() => true,
            _ if config.decoder.as_ref().is_some_and(|decoder| decoder.from == DecoderInput::Texts) => true,
            Part::YEncoder => !o.train_y_encoder,
            Part::YHead => !o.y_head.train,
            Part::LogitScale => !model.config.temperature.learned,
            Part::XEncoder => config.model.x_encoder.is_some(),
            Part::Memory => true,
            _ => false,
        };
        let optimizer = Optimizer::new(&config.optimizer, &model.params_by_part(), &frozen);
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
            queries: None,
            source,
            stored: None,
            objective,
            optimizer,
            ema,
            trained,
            frozen_texts: FrozenTexts::default(),
            embeddings: None,
            step: 0,
        })
    }

    /// With the tokenizer of the Predictor's queries, for a source whose samples have some.
    pub fn with_queries(self, tokenizer: TextTokenizer) -> Self {
        Self { queries: Some(tokenizer), ..self }
    }

    /// With what the X-Encoder made of the source's rows, where it is frozen (`model.x_encoder`).
    pub fn with_features(self, stored: Arc<RowFeatures>) -> Self {
        Self { stored: Some(stored), ..self }
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

    /// Number of candidates of a prediction where each sample has one pair: the loss starts near its logarithm.
    pub fn candidates(&self) -> usize {
        self.objective.candidates(self.config.batch / self.config.accumulate)
    }

    /// Number of candidates of a prediction in a batch: those of its first part, where it has several.
    pub fn candidates_in(&self, batch: &Batch) -> usize {
        let parts = if self.config.objective.cached { 1 } else { self.config.accumulate.max(1) };
        let pairs = &batch.pairs[batch.pairs_about(0..batch.len() / parts)];
        let wrong = if self.config.objective.wrong > 0.0 { self.wrong_texts(pairs).count() } else { 0 };
        self.objective.candidates(pairs.len() + wrong)
    }

    /// Which texts of the source are longer than the Y-Encoder takes, and so are learnt without their ends.
    ///
    /// # Errors
    /// Texts that cannot be split into tokens.
    pub fn cut_texts(&self) -> Result<Option<CutTexts>> {
        let o = &self.config.objective;
        let mut texts = self.source.texts(&o.texts);
        if let Some(bank) = self.source.bank().filter(|_| o.y_head.whiten && o.y_head.tags > 0.0) {
            texts.extend(bank.hints());
        }
        let mut seen = BTreeSet::new();
        texts.retain(|text| seen.insert(text.clone()));
        Ok(self.embedder().cut(&texts)?)
    }

    /// How the predictions and targets of the last step lie; `None` before the first one.
    ///
    /// # Errors
    /// What reading them from the device reports.
    pub fn spreads(&self) -> Result<Option<Spreads>> {
        let Some(Embeddings { predictions, targets, own }) = &self.embeddings else { return Ok(None) };
        let (predictions, targets) = (predictions.to_f32()?, targets.to_f32()?);
        Ok(Some(Spreads::of(&predictions, &targets, own, self.model.config.embedding_dim)))
    }

    /// A pass with gradients of what is trained, and its tape.
    fn pass(&self) -> (Tape, Forward) {
        let (tape, trained) = (Tape::new(), self.trained.clone());
        let forward = Forward::training(tape.clone(), move |name| trained.contains(name));
        (tape, if self.config.activation_checkpointing { forward.recomputing() } else { forward })
    }

    /// Number of trained parameters.
    pub fn trained_parameters(&self) -> usize {
        self.model.params().iter().filter(|p| self.trained.contains(p.name())).map(|p| p.tensor().len()).sum()
    }
}
