//! What stays open between calls: the models, the rows of files that were seen, and streams that go on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vljepa_embed::Model;
use vljepa_embed::files::stamp;
use vljepa_embed::folder::{AnyFolder, Purpose};
use vljepa_embed::models::Foresight;
use vljepa_model::{Precision, Search};
use vljepa_tensor::Device;

use super::clips::{Cut, Opened, Rows, embed};
use super::error::{McpError, Result};
use super::kept::{KeptRows, KeptStreams, RowsKey};
use super::task::Task;
use super::told::{Sentence, score};
use crate::allowed::{AllowedFolders, NotAllowed};
use crate::builtin::{Builtin, find};
use crate::device::open_device;
use crate::error::Error;
use crate::stream::{BEAMS, CaptionBank, sentences};

/// Memory in bytes for the rows of files.
const MOST_BYTES: usize = 256 << 20;

/// What a session works with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Folders that may be read; without any, none may.
    pub allow: Vec<PathBuf>,
    /// Folder of a VL-JEPA, or the name of a built-in one; absent: `sprites`.
    pub model: Option<PathBuf>,
    /// Folder of a V-JEPA 2 with its masked predictor, for surprise.
    pub surprise_model: Option<PathBuf>,
    /// The device, as [`open_device`] takes it.
    pub device: String,
    /// Type of the model's matrices on the device.
    pub precision: Precision,
    /// What is said of an error: a program can word advice for its own users.
    pub say: fn(&McpError) -> String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            model: None,
            surprise_model: None,
            device: "auto".into(),
            precision: Precision::F32,
            say: |error| error.to_string(),
        }
    }
}

/// Runs the tools. Models are opened when a call first needs them.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    pub(super) allowed: AllowedFolders,
    device: Option<Device>,
    model: Option<Arc<Model>>,
    foresight: Option<Arc<Foresight>>,
    kept: KeptRows,
    /// The built-in sentences, embedded.
    sentences: Option<Vec<f32>>,
    pub(super) streams: KeptStreams,
}

/// How states are told.
#[derive(Debug)]
pub(super) enum Teller {
    /// By the nearest of captions.
    Bank(CaptionBank),
    /// By the model's Y-Decoder.
    Decoder,
}

impl Session {
    /// Nothing is opened yet.
    ///
    /// # Errors
    /// A path among the folders that may be read that is no folder.
    pub fn new(settings: Settings) -> crate::Result<Self> {
        Ok(Self {
            allowed: AllowedFolders::new(&settings.allow)?,
            settings,
            device: None,
            model: None,
            foresight: None,
            kept: KeptRows::new(MOST_BYTES),
            sentences: None,
            streams: KeptStreams::default(),
        })
    }

    /// Lets go of the device and what is on it, so that the next call opens them again. Rows and streams stay: the model is the same.
    pub(super) fn close(&mut self) {
        (self.device, self.model, self.foresight) = (None, None, None);
    }

    fn device(&mut self) -> Result<Device> {
        if let Some(device) = &self.device {
            return Ok(device.clone());
        }
        let device = open_device(&self.settings.device)?;
        self.device = Some(device.clone());
        Ok(device)
    }

    /// The model of pictures, clips and texts.
    pub(super) fn model(&mut self, task: &Task) -> Result<Arc<Model>> {
        if let Some(model) = &self.model {
            return Ok(Arc::clone(model));
        }
        task.check()?;
        task.report(0.0, "opening the model");
        let folder = find(self.settings.model.as_deref(), Builtin::Sprites)?.vljepa(Purpose::Answers)?;
        let model = Arc::new(Model::load_as(&self.device()?, &folder, self.settings.precision)?);
        self.model = Some(Arc::clone(&model));
        Ok(model)
    }

    /// The model that foretells.
    pub(super) fn foresight(&mut self, task: &Task) -> Result<Arc<Foresight>> {
        if let Some(model) = &self.foresight {
            return Ok(Arc::clone(model));
        }
        let dir = self.settings.surprise_model.clone().ok_or(McpError::NoForesight)?;
        task.check()?;
        task.report(0.0, "opening the model that foretells");
        let AnyFolder::Vision(folder) = AnyFolder::open(&dir)? else {
            return Err(McpError::content(&dir, "a V-JEPA 2 is needed, whose masked predictor foretells"));
        };
        let model = Arc::new(Foresight::load(&self.device()?, &folder)?);
        self.foresight = Some(Arc::clone(&model));
        Ok(model)
    }

    /// The file or folder of frames that a call names.
    pub(super) fn input(&self, asked: &str) -> Result<PathBuf> {
        self.allowed.resolve(asked).map_err(|why| self.refused(why))
    }

    /// The file, or the folder whose files are looked at one by one, that a call names.
    pub(super) fn place(&self, asked: &str) -> Result<PathBuf> {
        self.allowed.place(asked).map_err(|why| self.refused(why))
    }

    fn refused(&self, why: NotAllowed) -> McpError {
        McpError::NotAllowed { why, allowed: self.allowed.folders().map(Path::to_path_buf).collect() }
    }

    /// The rows of an input, kept for later calls where it is not asked about; and whether they were made now. `cut` chooses the clips of the input that
    /// was opened.
    pub(super) fn rows(
        &mut self,
        path: &Path,
        query: Option<&str>,
        cut: impl FnOnce(&mut Opened) -> Result<Cut>,
        task: &Task,
    ) -> Result<(Arc<Rows>, bool)> {
        let model = self.model(task)?;
        let stamp = stamp(path)?;
        let mut opened = Opened::open(path)?;
        let mut cut = cut(&mut opened)?;
        if !opened.is_video() {
            if cut.start.is_some() || cut.end.is_some() {
                return Err(McpError::content(path, "is a picture, which has no parts; leave start_s and end_s out"));
            }
            cut = Cut::WHOLE;
        }
        let key = RowsKey::new(path, stamp, query, &cut);
        if let Some(rows) = self.kept.get(&key) {
            return Ok((rows, false));
        }
        let rows = Arc::new(embed(&model.with_query(query)?, path, opened, &cut, task)?);
        self.kept.put(key, Arc::clone(&rows));
        Ok((rows, true))
    }

    /// How states are told: by `captions`, else by the model's Y-Decoder, else by the built-in sentences. What is to be known of them goes to `notes`.
    pub(super) fn teller(
        &mut self,
        model: &Model,
        captions: Option<&[String]>,
        notes: &mut Vec<String>,
        task: &Task,
    ) -> Result<Teller> {
        let texts = match captions {
            None if model.writes() => return Ok(Teller::Decoder),
            None => sentences(),
            Some(captions) => captions.to_vec(),
        };
        if captions.is_none()
            && let Some(rows) = &self.sentences
        {
            return Ok(Teller::Bank(CaptionBank::of(texts, rows.clone(), model.dim())?));
        }
        task.report(0.0, "reading the captions");
        let (rows, cut) = model.embed_texts(&texts)?;
        notes.extend(cut.map(|cut| format!("captions: {cut}")));
        let rows = rows.into_values();
        if captions.is_none() {
            self.sentences = Some(rows.clone());
        }
        Ok(Teller::Bank(CaptionBank::of(texts, rows, model.dim())?))
    }
}

impl Teller {
    /// Up to `top` sentences for each of the states, `[N, width]`, of unit length, the best first; the Y-Decoder gives one.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn tell(&self, model: &Model, states: &[f32], top: usize) -> Result<Vec<Vec<Sentence>>> {
        match self {
            Self::Bank(bank) => {
                let tell = |state: &[f32]| -> Result<Vec<Sentence>> {
                    let told = bank.decode(state, top, 1.0)?;
                    let of = |one: &crate::stream::Told| Sentence {
                        text: bank.texts()[one.index].clone(),
                        score: score(one.cosine.into()),
                    };
                    Ok(told.iter().map(of).collect())
                };
                states.chunks(bank.width()).map(tell).collect()
            }
            Self::Decoder => {
                let search = Search { beams: BEAMS, ..Search::default() };
                let written = model.write(states, &search)?;
                Ok(written.into_iter().map(|one| vec![Sentence { text: one.text, score: score(one.score) }]).collect())
            }
        }
    }
}

/// The error of a model that takes no questions.
pub(super) fn check_queries(model: &Model) -> Result<()> {
    match model.embedder().queries {
        Some(_) => Ok(()),
        None => {
            let reason = "the model has no query tokenizer, it was trained without queries and takes no question";
            Err(Error::from(vljepa_embed::Error::Invalid(format!("{}: {reason}", model.origin()))).into())
        }
    }
}
