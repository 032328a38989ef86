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

    /// Answers a state that was asked this question. Blocks where the model has to write.
    ///
    /// # Errors
    /// Those of the model.
    pub fn answer(&self, state: &[f32], lane: Lane, worker: &Worker) -> Result<Answered> {
        let answered = |text: String, row: Vec<f32>, score: f64, told: &[f32]| Answered {
            question: self.text.clone(),
            is_new: self.now.as_ref().is_none_or(|(now, ..)| *now != text),
            text,
            score,
            row,
            told: told.to_vec(),
        };
        if !self.answers.is_empty() {
            let cosines: Vec<f32> = self.rows.chunks_exact(state.len().max(1)).map(|row| dot(state, row)).collect();
            let scores = softmax(&cosines, worker.facts().scale);
            let best = (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap_or(0);
            return Ok(answered(self.answers[best].clone(), Vec::new(), scores[best], state));
        }
        if let Some((text, row, _)) = self.now.as_ref().filter(|_| 1.0 - dot(&self.told, state) < NOVELTY) {
            return Ok(answered(text.clone(), row.clone(), f64::from(dot(row, state)), &self.told));
        }
        let told = worker.tell(lane, state.to_vec(), 1)?.wait()?;
        let text = told.into_iter().next().map_or_else(String::new, |told| told.text);
        let row = match text.trim().is_empty() {
            true => vec![0.0; state.len()],
            false => worker.texts(lane, vec![text.clone()])?.wait()?.rows,
        };
        let score = f64::from(dot(&row, state));
        Ok(answered(text, row, score, state))
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
