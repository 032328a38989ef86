//! A question that is asked of every window of a stream, and its answer as long as it holds.

use super::event::{Event, Held};
use super::fault::Result;
use super::queue::Lane;
use super::worker::Worker;
use vljepa_embed::rows::{dot, softmax};

/// How far a state must be from the one that was answered last to be answered anew: 1 − cosine.
const NOVELTY: f32 = 0.15;

/// A question, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub text: String,
    /// Answers to choose among; without any the model writes one.
    pub answers: Vec<String>,
    /// Their embeddings, `[answers, dim]`.
    rows: Vec<f32>,
    /// The state that was answered last.
    told: Vec<f32>,
    /// The answer now, its embedding, and how well it holds.
    now: Option<(String, Vec<f32>, f64)>,
}

/// What a question makes of a window.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub question: String,
    pub text: String,
    /// Of answers that were given the softmax; of one that was written the cosine of the state and the answer's embedding.
    pub score: f64,
    /// Whether the answer is another one than before.
    pub is_new: bool,
    row: Vec<f32>,
    told: Vec<f32>,
}

impl Answered {
    pub fn event(&self, start_s: f64, end_s: f64) -> Event {
        Event::Answer { question: self.question.clone(), text: self.text.clone(), score: self.score, start_s, end_s }
    }
}

impl Question {
    /// `rows` are the embeddings of `answers`.
    pub fn new(text: String, answers: Vec<String>, rows: Vec<f32>) -> Self {
        Self { text, answers, rows, told: Vec::new(), now: None }
    }

    /// Answers states that were asked this question, in the order of time. Blocks where the model has to write, for all of them at once.
    ///
    /// # Errors
    /// Those of the model.
    pub fn answer(&mut self, states: &[&[f32]], lane: Lane, worker: &Worker) -> Result<Vec<Answered>> {
        if !self.answers.is_empty() {
            return Ok(states.iter().map(|state| self.choose(state, worker.facts().scale)).collect());
        }
        // Which states are answered anew follows from the states alone.
        let (mut told, mut anew) = (self.told.as_slice(), Vec::new());
        for (i, state) in states.iter().enumerate() {
            if told.is_empty() || 1.0 - dot(told, state) >= NOVELTY {
                anew.push(i);
                told = state;
            }
        }
        let texts = match anew.is_empty() {
            true => Vec::new(),
            false => worker.tell(lane, anew.iter().flat_map(|i| states[*i]).copied().collect(), 1)?.wait()?,
        };
        let said: Vec<String> =
            texts.iter().map(|told| told.text.clone()).filter(|text| !text.trim().is_empty()).collect();
        let rows = if said.is_empty() { Vec::new() } else { worker.texts(lane, said)?.wait()?.rows };
        let (mut texts, mut rows) = (texts.into_iter(), rows.chunks_exact(worker.facts().dim));
        let mut answered = Vec::with_capacity(states.len());
        for (i, state) in states.iter().enumerate() {
            let (text, row, told) = match (anew.contains(&i), &self.now) {
                (false, Some((text, row, _))) => (text.clone(), row.clone(), self.told.clone()),
                _ => {
                    let text = texts.next().map_or_else(String::new, |told| told.text);
                    // What says nothing is close to nothing.
                    let row = if text.trim().is_empty() { None } else { rows.next() };
                    (text, row.map_or_else(|| vec![0.0; state.len()], <[f32]>::to_vec), state.to_vec())
                }
            };
            let score = f64::from(dot(&row, state));
            answered.push(self.given(text, row, score, told));
        }
        Ok(answered)
    }

    /// The nearest of the answers that were given.
    fn choose(&mut self, state: &[f32], scale: f32) -> Answered {
        let cosines: Vec<f32> = self.rows.chunks_exact(state.len().max(1)).map(|row| dot(state, row)).collect();
        let scores = softmax(&cosines, scale);
        let best = (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap_or(0);
        self.given(self.answers[best].clone(), Vec::new(), scores[best], state.to_vec())
    }

    /// The answer from now on.
    fn given(&mut self, text: String, row: Vec<f32>, score: f64, told: Vec<f32>) -> Answered {
        let is_new = self.now.as_ref().is_none_or(|(now, ..)| *now != text);
        let answered = Answered { question: self.text.clone(), text, score, is_new, row, told };
        self.take(&answered);
        answered
    }

    /// The answer is this from now on.
    pub fn take(&mut self, answered: &Answered) {
        self.told.clone_from(&answered.told);
        self.now = Some((answered.text.clone(), answered.row.clone(), answered.score));
    }

    /// The answer now.
    pub fn held(&self) -> Option<Held> {
        let (answer, _, score) = self.now.as_ref()?;
        Some(Held { question: self.text.clone(), answer: answer.clone(), score: *score })
    }
}
