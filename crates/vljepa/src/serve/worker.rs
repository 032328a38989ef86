//! The one thread that owns the model: it takes work from a queue, puts together what is alike, and answers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use vljepa_data::Preprocess;
use vljepa_embed::Model;
use vljepa_model::Search;

use super::fault::{Fault, Result};
use super::metrics::Metrics;
use super::queue::{Lane, NoRoom, Place, Queue};
use crate::stream::{CaptionBank, sentences};

/// What is known of the model by those who do not own it.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// What clients call it.
    pub id: String,
    /// The hash of its folder: rows of models with different hashes are not compared.
    pub hash: String,
    /// The adapter that it runs on.
    pub adapter: String,
    /// Numbers of an embedding.
    pub dim: usize,
    /// Frames of a clip.
    pub frames: usize,
    /// Frames of a step in time.
    pub tubelet: usize,
    /// Pixels of the side of a patch.
    pub patch: usize,
    /// 1/τ, the factor of cosines before a softmax.
    pub scale: f32,
    /// Whether it takes questions.
    pub asks: bool,
    /// What it is asked where nothing is asked; may be empty.
    pub default_query: String,
    /// Whether it has a Y-Decoder.
    pub writes: bool,
    /// How pictures are prepared.
    pub preprocess: Preprocess,
}

impl Facts {
    /// Vision tokens of a clip.
    pub fn tokens(&self, frames: usize) -> usize {
        let side = self.preprocess.size as usize / self.patch.max(1);
        side * side * frames.div_ceil(self.tubelet.max(1))
    }

    fn of(model: &Model, id: &str) -> Self {
        let config = model.config();
        Self {
            id: id.to_owned(),
            hash: model.hash().to_owned(),
            adapter: crate::info::adapter_name(model.device()),
            dim: model.dim(),
            frames: config.frames(),
            tubelet: config.x_encoder.tubelet_size,
            patch: config.x_encoder.patch_size,
            scale: model.scale(),
            asks: model.embedder().queries.is_some(),
            default_query: config.predictor.default_query.clone(),
            writes: model.writes(),
            preprocess: model.preprocess().clone(),
        }
    }
}

/// Rows of texts.
#[derive(Clone, Debug)]
pub(super) struct TextRows {
    /// `[texts, dim]`, of unit length.
    pub rows: Vec<f32>,
    /// Tokens of all texts, after those that are too long were cut.
    pub tokens: usize,
    /// What is to be known of the texts: which were cut, which have no known word.
    pub notes: Vec<String>,
}

/// A state in words.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    pub text: String,
    /// Of a Y-Decoder the geometric mean of the probabilities of the tokens; of a bank of sentences the cosine.
    pub score: f64,
}

type Reply<T> = oneshot::Sender<Result<T>>;

enum Job {
    /// Clips, `[clips, frames, 3, size, size]`, each asked every query: `[clips, queries, dim]`. An empty query asks nothing.
    See { pixels: Vec<f32>, clips: usize, frames: usize, queries: Vec<String>, reply: Reply<Vec<f32>> },
    /// Texts to rows.
    Texts { texts: Vec<String>, reply: Reply<TextRows> },
    /// States, `[N, dim]`, to sentences.
    Tell { rows: Vec<f32>, beams: usize, reply: Reply<Vec<Told>> },
}

impl Job {
    fn size(&self, dim: usize) -> usize {
        match self {
            Self::See { clips, queries, .. } => clips * queries.len().max(1),
            Self::Texts { texts, .. } => texts.len(),
            Self::Tell { rows, .. } => rows.len() / dim.max(1),
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::See { frames, .. }, Self::See { frames: others, .. }) => frames == others,
            (Self::Texts { .. }, Self::Texts { .. }) => true,
            (Self::Tell { beams, .. }, Self::Tell { beams: others, .. }) => beams == others,
            _ => false,
        }
    }
}

/// How work is put together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batching {
    /// Jobs of clients that wait at most.
    pub queue: usize,
    /// Clips, texts or states in a batch.
    pub most: usize,
    /// How long a batch that has room waits for more.
    pub linger: Duration,
}

/// Jobs of streams that wait at most.
const STREAMS_WAITING: usize = 16;

/// Hands work to the thread that owns the model.
pub(super) struct Worker {
    facts: Facts,
    queue: Arc<Queue<Job>>,
    capacity: usize,
    fails: Arc<AtomicBool>,
    thread: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Worker {
    /// Gives the model a thread of its own.
    ///
    /// # Errors
    /// The system starts no thread, or what tells states cannot be made ready.
    pub fn start(model: Model, id: &str, batching: Batching, metrics: Arc<Metrics>) -> crate::Result<Self> {
        let facts = Facts::of(&model, id);
        // A model that writes nothing tells states by the nearest of some sentences.
        let bank = match facts.writes {
            true => None,
            false => Some(CaptionBank::new(&model, sentences(), &mut |_| ())?),
        };
        let queue = Queue::new(batching.queue, STREAMS_WAITING);
        let fails = Arc::new(AtomicBool::new(false));
        let owner = Owner { model, bank, metrics, fails: Arc::clone(&fails) };
        let (jobs, dim, known) = (Arc::clone(&queue), facts.dim, facts.clone());
        let run = move || {
            owner.warm_up(&known);
            while let Some(batch) = jobs.take(batching.linger, |job| job.size(dim), batching.most, Job::is_like) {
                owner.metrics.batch(batch.iter().map(|job| job.size(dim)).sum());
                // A panic is a fault of this program. Those who wait are told, and the others are still served.
                if catch_unwind(AssertUnwindSafe(|| owner.run(batch))).is_err() {
                    owner.fails.store(true, Ordering::Relaxed);
                }
            }
        };
        let thread = std::thread::Builder::new().name("model".into()).spawn(run);
        let thread = thread.map_err(crate::Error::io("model".as_ref(), "starting a thread"))?;
        Ok(Self { facts, queue, capacity: batching.queue, fails, thread: Some(thread).into() })
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Jobs of clients and of streams that wait, and how many of clients may.
    pub fn waiting(&self) -> ([usize; 2], usize) {
        (self.queue.waiting(), self.capacity)
    }

    /// Whether the last pass of the model failed for a reason that lies in the device.
    pub fn fails(&self) -> bool {
        self.fails.load(Ordering::Relaxed)
    }

    /// Takes no more work, and waits until what is there is done.
    pub fn stop(&self) {
        self.queue.close();
        let thread = self.thread.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    fn submit<T>(&self, lane: Lane, job: impl FnOnce(Reply<T>) -> Job) -> Result<Waiting<T>> {
        let (reply, answer) = oneshot::channel();
        let place = self.queue.push(lane, job(reply)).map_err(|why| match why {
            NoRoom::Full => Fault::busy(format!("{} requests wait already; try again soon", self.capacity)),
            NoRoom::Closed => Fault::unavailable("the server is stopping"),
        })?;
        Ok(Waiting { _place: place, answer })
    }

    /// Rows of clips, as [`Job::See`].
    pub fn see(
        &self,
        lane: Lane,
        pixels: Vec<f32>,
        [clips, frames]: [usize; 2],
        queries: Vec<String>,
    ) -> Result<Waiting<Vec<f32>>> {
        self.submit(lane, |reply| Job::See { pixels, clips, frames, queries, reply })
    }

    /// Rows of texts.
    pub fn texts(&self, lane: Lane, texts: Vec<String>) -> Result<Waiting<TextRows>> {
        self.submit(lane, |reply| Job::Texts { texts, reply })
    }

    /// Sentences for states.
    pub fn tell(&self, lane: Lane, rows: Vec<f32>, beams: usize) -> Result<Waiting<Vec<Told>>> {
        self.submit(lane, |reply| Job::Tell { rows, beams, reply })
    }
}

/// An answer that is waited for. Who drops it wants it no more, and its work is taken out of the queue.
pub(super) struct Waiting<T> {
    _place: Place<Job>,
    answer: oneshot::Receiver<Result<T>>,
}

impl<T> Waiting<T> {
    /// Waits for the answer within a runtime.
    pub async fn answer(self) -> Result<T> {
        self.answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Waits for the answer on a thread outside of a runtime.
    pub fn wait(self) -> Result<T> {
        self.answer.blocking_recv().unwrap_or_else(|_| Err(gone()))
    }
}

fn gone() -> Fault {
    Fault::internal("the computation broke off; the log of the server has more")
}

/// What the thread owns.
struct Owner {
    model: Model,
    bank: Option<CaptionBank>,
    metrics: Arc<Metrics>,
    fails: Arc<AtomicBool>,
}

impl Owner {
    /// The first pass of a model makes its kernels, which takes a while; nobody should wait for that.
    fn warm_up(&self, facts: &Facts) {
        let size = facts.preprocess.size as usize;
        for frames in [1, facts.frames] {
            let pixels = vec![0.0; frames * 3 * size * size];
            let query = if facts.asks { "what is it?" } else { "" };
            let rows = self.model.embedder().asked(&pixels, [1, frames, size], &[(0, query)]);
            let told = rows.map_err(Fault::from).and_then(|rows| self.tell(&rows, 1));
            if self.note(told).is_err() {
                return;
            }
        }
        // Whether that works is known to those who look at the health of the server.
        let _ = self.note(self.texts(&["a thing".to_owned()]));
    }

    fn note<T>(&self, done: Result<T>) -> Result<T> {
        let fails = done.as_ref().is_err_and(|fault| fault.status().is_server_error());
        self.fails.store(fails, Ordering::Relaxed);
        done
    }

    fn run(&self, batch: Vec<Job>) {
        match batch.first() {
            Some(Job::See { .. }) => self.run_see(batch),
            Some(Job::Texts { .. }) => self.run_texts(batch),
            Some(Job::Tell { .. }) => self.run_tell(batch),
            None => {}
        }
    }

    fn run_see(&self, batch: Vec<Job>) {
        let (mut pixels, mut asked, mut clips) = (Vec::new(), Vec::new(), 0);
        let mut each = 1;
        for job in &batch {
            let Job::See { pixels: seen, clips: own, frames, queries, .. } = job else { continue };
            pixels.extend_from_slice(seen);
            asked.extend((clips..clips + own).flat_map(|clip| queries.iter().map(move |query| (clip, query.as_str()))));
            (clips, each) = (clips + own, *frames);
        }
        let rows = self.note(self.see(&pixels, [clips, each], &asked));
        drop((pixels, asked));
        let (dim, many) = (self.model.dim(), batch.len() > 1);
        let mut rows = rows.map(Vec::into_iter);
        for job in batch {
            let Job::See { pixels, clips, frames, queries, reply } = job else { continue };
            let answer = match &mut rows {
                Ok(rows) => Ok(rows.by_ref().take(clips * queries.len() * dim).collect()),
                // Each by itself, so that one bad request does not spoil the others.
                Err(_) if many => {
                    let asked = (0..clips).flat_map(|clip| queries.iter().map(move |query| (clip, query.as_str())));
                    self.note(self.see(&pixels, [clips, frames], &asked.collect::<Vec<_>>()))
                }
                Err(fault) => Err(fault.clone()),
            };
            let _ = reply.send(answer);
        }
    }

    fn see(&self, pixels: &[f32], [clips, frames]: [usize; 2], asked: &[(usize, &str)]) -> Result<Vec<f32>> {
        let size = self.model.preprocess().size as usize;
        let rows = self.model.embedder().asked(pixels, [clips, frames, size], asked)?;
        match rows.iter().all(|value| value.is_finite()) {
            true => Ok(rows),
            false => Err(Fault::internal("an embedding is not finite; the model or the driver gives invalid numbers")),
        }
    }

    fn run_tell(&self, batch: Vec<Job>) {
        let (mut rows, mut own, mut beams_each) = (Vec::new(), Vec::new(), 1);
        for job in &batch {
            let Job::Tell { rows: states, beams, .. } = job else { continue };
            rows.extend_from_slice(states);
            own.push(states.len() / self.model.dim());
            beams_each = *beams;
        }
        let told = self.note(self.tell(&rows, beams_each));
        let mut told = match told {
            Ok(told) => told.into_iter(),
            Err(fault) => {
                for job in batch {
                    if let Job::Tell { reply, .. } = job {
                        let _ = reply.send(Err(fault.clone()));
                    }
                }
                return;
            }
        };
        for (job, own) in batch.into_iter().zip(own) {
            if let Job::Tell { reply, .. } = job {
                let _ = reply.send(Ok(told.by_ref().take(own).collect()));
            }
        }
    }

    fn tell(&self, rows: &[f32], beams: usize) -> Result<Vec<Told>> {
        let Some(bank) = &self.bank else {
            let written = self.model.write(rows, &Search { beams, ..Search::default() })?;
            return Ok(written.into_iter().map(|one| Told { text: one.text, score: one.score }).collect());
        };
        let nearest = |state: &[f32]| -> Result<Told> {
            let told = bank.decode(state, 1, 1.0)?;
            let first = told.first().ok_or_else(gone)?;
            Ok(Told { text: bank.texts()[first.index].clone(), score: f64::from(first.cosine) })
        };
        rows.chunks_exact(bank.width()).map(nearest).collect()
    }

    fn run_texts(&self, batch: Vec<Job>) {
        let each = batch.iter().filter_map(|job| match job {
            Job::Texts { texts, .. } => Some(texts.as_slice()),
            _ => None,
        });
        let all = each.flatten().cloned().collect::<Vec<_>>();
        // Texts of several requests go through the encoder together; what is said of them is found out for each.
        let together = if batch.len() > 1 { self.note(self.rows_of(&all)) } else { Err(gone()) };
        let dim = self.model.dim();
        let mut rows = together.ok().map(Vec::into_iter);
        for job in batch {
            let Job::Texts { texts, reply } = job else { continue };
            let answer = match &mut rows {
                Some(rows) => {
                    let own = rows.by_ref().take(texts.len() * dim).collect();
                    self.about(&texts).map(|(tokens, notes)| TextRows { rows: own, tokens, notes })
                }
                None => self.note(self.texts(&texts)),
            };
            let _ = reply.send(answer);
        }
    }

    fn texts(&self, texts: &[String]) -> Result<TextRows> {
        let rows = self.rows_of(texts)?;
        let (tokens, notes) = self.about(texts)?;
        Ok(TextRows { rows, tokens, notes })
    }

    fn rows_of(&self, texts: &[String]) -> Result<Vec<f32>> {
        Ok(self.model.embed_texts(texts)?.0.into_values())
    }

    /// Tokens of texts, and what is to be known of them.
    fn about(&self, texts: &[String]) -> Result<(usize, Vec<String>)> {
        let (embedder, config) = (self.model.embedder(), self.model.config());
        let encoded = embedder.tokenizer.encode_all(&config.y_encoder.prompt, texts);
        let (ids, cut) = encoded.map_err(crate::Error::model(self.model.origin()))?;
        let mut notes: Vec<String> = cut.iter().map(ToString::to_string).collect();
        for unknown in self.model.unclear(texts)?.unknown.iter().filter(|unknown| unknown.all) {
            let text: String = texts[unknown.index].chars().take(40).collect();
            notes.push(format!(
                "the model knows no word of \"{text}\", so its score means nothing: say it in other words"
            ));
        }
        Ok((ids.iter().map(Vec::len).sum(), notes))
    }
}
