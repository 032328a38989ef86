//! `ask`: answers to a question about a picture or a video.

use vljepa_embed::visuals::Moment;
use vljepa_embed::{Embeddings, Model};
use vljepa_model::Search;

use super::calls::Ask;
use super::clips::{Cut, MOST_WINDOWS, Opened};
use super::error::Result;
use super::session::{Session, check_queries};
use super::task::Task;
use super::told::{Answer, Answered, AnswersAt, score, seconds};
use crate::classify::Classifier;
use crate::error::Error;
use crate::stream::BEAMS;

/// Answers that are given for each window.
const MOST_ANSWERS: usize = 3;

impl Session {
    /// Answers a question.
    ///
    /// # Errors
    /// A path that may not be read, what cannot be read, a model that takes no questions or writes no answers, and errors of the device.
    pub fn ask(&mut self, call: &Ask, task: &Task) -> Result<Answered> {
        let path = self.input(&call.input)?;
        let model = self.model(task)?;
        check_queries(&model)?;
        if call.answers.is_none() && !model.writes() {
            let reason = "the model has no Y-Decoder, so it writes no answers; give answers to choose among";
            return Err(Error::from(vljepa_embed::Error::Invalid(format!("{}: {reason}", model.origin()))).into());
        }
        let mut notes: Vec<String> =
            model.with_query(Some(&call.question))?.cut().map(|cut| format!("question: {cut}")).into_iter().collect();
        let chooser = call.answers.clone().map(|answers| Classifier::new(&model, answers, "{}")).transpose()?;
        notes.extend(chooser.as_ref().and_then(Classifier::cut).map(|cut| format!("answers: {cut}")));
        let whole = Cut { windows: None, start: call.start_s, end: call.end_s };
        task.span(0.1, if call.window_s.is_some() { 0.4 } else { 0.9 });
        let query = Some(call.question.as_str());
        let (rows, _) = self.rows(&path, query, |_| Ok(whole), task)?;
        let count = call.answers.as_ref().map_or(1, Vec::len);
        let answers = answers(&model, chooser.as_ref(), &rows.rows, count)?.into_iter().next().unwrap_or_default();
        notes.splice(0..0, rows.notes.iter().cloned());
        let mut windows = Vec::new();
        if let Some(window) = call.window_s.filter(|_| rows.moments.iter().any(Option::is_some)) {
            task.span(0.4, 0.9);
            let part = [call.start_s, call.end_s];
            let cut = |opened: &mut Opened| opened.windows(window, part, MOST_WINDOWS);
            let (rows, _) = self.rows(&path, query, cut, task)?;
            task.check()?;
            task.report(1.0, "answering");
            let at = |(moment, answers): (&Option<Moment>, Vec<Answer>)| {
                let moment = (*moment)?;
                Some(AnswersAt { start_s: seconds(moment.start), end_s: seconds(moment.end), answers })
            };
            let told = self::answers(&model, chooser.as_ref(), &rows.rows, count.min(MOST_ANSWERS))?;
            windows = rows.moments.iter().zip(told).filter_map(at).collect();
        }
        let (input, question) = (path.display().to_string(), call.question.clone());
        Ok(Answered { input, question, answers, windows, notes })
    }
}

/// The best `count` answers for each row; without answers to choose among, one that the model writes.
fn answers(model: &Model, chooser: Option<&Classifier>, rows: &Embeddings, count: usize) -> Result<Vec<Vec<Answer>>> {
    match chooser {
        Some(chooser) => {
            let of = |row: usize| -> Result<Vec<Answer>> {
                let ranked = chooser.rank(rows, row, count)?;
                let answer = |one: crate::classify::Prediction| Answer {
                    answer: one.label,
                    score: score(one.score),
                    cosine: Some(score(one.cosine.into())),
                };
                Ok(ranked.into_iter().map(answer).collect())
            };
            (0..rows.rows()).map(of).collect()
        }
        None => {
            let search = Search { beams: BEAMS, ..Search::default() };
            let written = model.write(rows.as_slice(), &search)?;
            Ok(written
                .into_iter()
                .map(|one| vec![Answer { answer: one.text, score: score(one.score), cosine: None }])
                .collect())
        }
    }
}
