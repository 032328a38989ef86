//! One stream that is or was watched: what has happened in it, who waits for what, and who follows it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};
use tokio::sync::watch;
use vljepa_data::Rgb8Image;

use super::event::{About, Counts, Event, Held, Line, Reason, Scored, Segment, row_of, row_text};
use super::question::{Answered, Question};
use super::seen::{Found, Frames, Moment, Sent, Shown};
use super::store::{Kept, Log};
use crate::error::{Error, Result};
use crate::stream::{Alert, Thresholds, Update};

/// Texts that are waited for in one stream.
pub(super) const MAX_ALERTS: usize = 64;
/// Questions that are asked of one stream.
pub(super) const MAX_QUESTIONS: usize = 8;
/// A text that is waited for.
struct Waited {
    alert: Alert,
    /// The picture of its strongest moment so far.
    peak: Option<Arc<str>>,
}

/// What only those touch who add events, one after the other.
struct Writer {
    log: Option<Log>,
    next: u64,
    alerts: Vec<Waited>,
    questions: Vec<Question>,
    /// The last picture.
    picture: Option<Arc<str>>,
}

/// How close a stream was to a text, or how well an answer held: end of the window, score, whether the alert was on.
pub(super) type Point = (f64, f64, bool);

/// A window that is to be added.
pub(super) struct Seen<'a> {
    pub update: &'a Update,
    pub state: Arc<[f32]>,
    /// A JPEG in base64.
    pub picture: Option<Arc<str>>,
    pub frames: Option<Vec<Arc<Rgb8Image>>>,
    pub answered: Vec<Answered>,
    /// With this window.
    pub counts: Counts,
}

/// A stream. Events are added by the thread that watches it, and by clients who wait for something; they are read by those who follow.
pub(super) struct Session {
    about: About,
    writer: Mutex<Writer>,
    shown: Mutex<Shown>,
    /// The number of the last event.
    changed: watch::Sender<u64>,
    stop: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    fn empty(about: About, log: Option<Log>, next: u64) -> Self {
        let writer = Writer { log, next, alerts: Vec::new(), questions: Vec::new(), picture: None };
        let (changed, _) = watch::channel(next - 1);
        Self { about, writer: writer.into(), shown: Mutex::default(), changed, stop: AtomicBool::new(false) }
    }

    /// A stream that begins; `log` keeps it.
    ///
    /// # Errors
    /// A log that cannot be written.
    pub fn begin(about: About, log: Option<Log>) -> Result<Self> {
        let session = Self::empty(about.clone(), log, 1);
        session.add(Event::Started(about), None, None)?;
        Ok(session)
    }

    /// A stream that was kept. One that has no end was interrupted.
    ///
    /// # Errors
    /// A log that cannot be written.
    pub fn restored(kept: Kept) -> Result<Self> {
        let Kept { about, lines, log } = kept;
        let next = lines.last().map_or(1, |line| line.id + 1);
        let dim = about.dim;
        let session = Self::empty(about, Some(log), next);
        let counts = {
            let mut shown = locked(&session.shown);
            for Line { id, event, row, picture } in lines {
                let row = row.and_then(|row| row_of(&row, dim)).map(Arc::from);
                shown.add(id, event, row, picture.map(Arc::from));
            }
            shown.ended.is_none().then_some(shown.counts)
        };
        if let Some(counts) = counts {
            session.add(Event::Ended { reason: Reason::Interrupted, message: None, counts }, None, None)?;
        }
        Ok(session)
    }

    pub fn about(&self) -> &About {
        &self.about
    }

    pub fn id(&self) -> &str {
        &self.about.stream
    }

    /// Asks the thread that watches it to stop.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    pub fn is_to_stop(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    pub fn is_over(&self) -> bool {
        locked(&self.shown).ended.is_some()
    }

    /// Tells when there are further events.
    pub fn follow(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Adds an event. Blocks until it is kept.
    ///
    /// # Errors
    /// A log that cannot be written; then nobody is told of the event.
    pub fn add(&self, event: Event, row: Option<Arc<[f32]>>, picture: Option<Arc<str>>) -> Result<()> {
        self.add_with(&mut locked(&self.writer), event, row, picture)
    }

    fn add_with(
        &self,
        writer: &mut Writer,
        event: Event,
        row: Option<Arc<[f32]>>,
        picture: Option<Arc<str>>,
    ) -> Result<()> {
        let id = writer.next;
        if let Some(log) = &mut writer.log {
            let (row, picture) = (row.as_deref().map(row_text), picture.as_deref().map(str::to_owned));
            log.add(&Line { id, event: event.clone(), row, picture })?;
        }
        writer.next += 1;
        if let Some(picture) = &picture {
            writer.picture = Some(Arc::clone(picture));
        }
        locked(&self.shown).add(id, event, row, picture);
        self.changed.send_replace(id);
        Ok(())
    }

    /// The source or the model has failed in a way that cannot be kept either: those who follow are told all the same.
    pub fn fail(&self, message: String) {
        let mut writer = locked(&self.writer);
        writer.log = None;
        let counts = locked(&self.shown).counts;
        let event = Event::Ended { reason: Reason::Failed, message: Some(message), counts };
        // Without a log nothing fails.
        let _ = self.add_with(&mut writer, event, None, None);
    }

    /// Adds a window, with what it means to those who wait.
    ///
    /// # Errors
    /// A log that cannot be written.
    pub fn window(&self, seen: Seen<'_>) -> Result<()> {
        let Seen { update, state, picture, frames, answered, counts } = seen;
        let mut writer = locked(&self.writer);
        let now = picture.clone().or_else(|| writer.picture.clone());
        let (mut alerts, mut over) = (Vec::new(), Vec::new());
        for Waited { alert, peak } in &mut writer.alerts {
            let scored = alert.push([update.start, update.end], &state, update.encoded);
            if scored.is_peak {
                peak.clone_from(&now);
            }
            over.extend(scored.ended.map(|event| (event, peak.take())));
            alerts.push(Scored { text: alert.text().to_owned(), score: scored.score, on: scored.on });
        }
        for answered in &answered {
            if let Some(own) = writer.questions.iter_mut().find(|own| own.text == answered.question) {
                own.take(answered);
            }
        }
        let questions: Vec<Held> = writer.questions.iter().filter_map(Question::held).collect();
        let event = Event::Window {
            start_s: update.start,
            end_s: update.end,
            change: update.change,
            encoded: update.encoded,
            novelty: update.novelty,
            variance: update.variance,
            alerts,
            questions,
        };
        let row = update.encoded.then(|| Arc::clone(&state));
        self.add_with(&mut writer, event, row, picture)?;
        {
            let mut shown = locked(&self.shown);
            shown.counts = counts;
            if let (Some(frames), true) = (frames, update.encoded) {
                shown.keep(Frames { start: update.start, end: update.end, frames });
            }
        }
        for answered in answered.iter().filter(|answered| answered.is_new) {
            let event = answered.event(update.start, update.end);
            self.add_with(&mut writer, event, None, now.clone())?;
        }
        for (event, peak) in over {
            self.add_with(&mut writer, of_alert(event), None, peak)?;
        }
        Ok(())
    }

    /// A state was told.
    ///
    /// # Errors
    /// A log that cannot be written.
    pub fn sentence(&self, [start_s, end_s]: [f64; 2], text: String, score: f64) -> Result<()> {
        let mut writer = locked(&self.writer);
        let picture = writer.picture.clone();
        self.add_with(&mut writer, Event::Sentence { start_s, end_s, text, score }, None, picture)
    }

    /// The stream is over: alerts that are on end with it.
    ///
    /// # Errors
    /// A log that cannot be written.
    pub fn end(&self, segments: Vec<Segment>, reason: Reason, message: Option<String>, counts: Counts) -> Result<()> {
        let mut writer = locked(&self.writer);
        let over: Vec<_> =
            writer.alerts.iter_mut().filter_map(|waited| Some((waited.alert.finish()?, waited.peak.take()))).collect();
        for (event, peak) in over {
            self.add_with(&mut writer, of_alert(event), None, peak)?;
        }
        if !segments.is_empty() {
            self.add_with(&mut writer, Event::Segments { segments }, None, None)?;
        }
        self.add_with(&mut writer, Event::Ended { reason, message, counts }, None, None)
    }

    /// Waits for a text, whose embedding is `row`, from the first window that is kept on: its score at each of them so far.
    ///
    /// # Errors
    /// A log that cannot be written.
    pub fn wait_for(&self, text: &str, row: Vec<f32>, above: Option<f64>) -> Result<Vec<Point>> {
        let thresholds = above.map_or(Thresholds::default(), |on| Thresholds::Cosine { on, off: on - 0.05 });
        let mut alert = Alert::new(text.to_owned(), row, thresholds);
        // No window is added meanwhile.
        let mut writer = locked(&self.writer);
        let (moments, is_over) = {
            let shown = locked(&self.shown);
            (shown.moments.clone(), shown.ended.is_some())
        };
        self.add_with(&mut writer, Event::Waiting { text: text.to_owned(), above }, None, None)?;
        let (mut points, mut over, mut peak) = (Vec::with_capacity(moments.len()), Vec::new(), None);
        for moment in &moments {
            let scored = alert.push([moment.start, moment.end], &moment.state, moment.encoded);
            if scored.is_peak {
                peak = self.picture_of(moment.id);
            }
            over.extend(scored.ended.map(|event| (event, peak.take())));
            points.push((moment.end, scored.score, scored.on));
        }
        if is_over {
            over.extend(alert.finish().map(|event| (event, peak.take())));
        }
        for (event, peak) in over {
            self.add_with(&mut writer, of_alert(event), None, peak)?;
        }
        if !is_over {
            writer.alerts.push(Waited { alert, peak });
        }
        Ok(points)
    }

    /// Asks a question of every window from now on; `answers` are those to the windows before, with their times.
    ///
    /// # Errors
    /// A log that cannot be written.
    pub fn ask(&self, question: Question, answers: &[([f64; 2], Answered)]) -> Result<()> {
        let mut writer = locked(&self.writer);
        let event = Event::Asked { question: question.text.clone(), answers: question.answers.clone() };
        self.add_with(&mut writer, event, None, None)?;
        for ([start, end], answered) in answers.iter().filter(|(_, answered)| answered.is_new) {
            self.add_with(&mut writer, answered.event(*start, *end), None, None)?;
        }
        if !self.is_over() {
            writer.questions.push(question);
        }
        Ok(())
    }

    /// The questions that are asked, as they stand.
    pub fn questions(&self) -> Vec<Question> {
        locked(&self.writer).questions.clone()
    }

    /// Texts that are waited for now.
    pub fn waits_for(&self) -> Vec<String> {
        locked(&self.writer).alerts.iter().map(|waited| waited.alert.text().to_owned()).collect()
    }

    /// Up to `most` windows whose frames are kept and that end after a time, spread evenly.
    pub fn frames(&self, after: Option<f64>, most: usize) -> Vec<Frames> {
        locked(&self.shown).frames(after, most)
    }

    /// Keeps no frames any more.
    pub fn forget_frames(&self) {
        locked(&self.shown).forget_frames();
    }

    /// All windows that are kept in memory.
    pub fn moments(&self) -> VecDeque<Moment> {
        locked(&self.shown).moments.clone()
    }

    fn picture_of(&self, id: u64) -> Option<Arc<str>> {
        locked(&self.shown).picture_at(id)
    }

    /// Up to `most` events after number `id`, and the first number that is there where events between are kept no more.
    pub fn after(&self, id: u64, most: usize) -> (Vec<Sent>, Option<u64>) {
        locked(&self.shown).after(id, most)
    }

    /// The moments that are nearest to `row`, of unit length, the best first; none overlaps another.
    pub fn nearest(&self, row: &[f32], top: usize) -> Vec<Found> {
        let moments = self.moments();
        let mut scored: Vec<(f32, &Moment)> =
            moments.iter().map(|moment| (vljepa_embed::rows::dot(row, &moment.state), moment)).collect();
        scored.sort_by(|(a, one), (b, other)| b.total_cmp(a).then(one.id.cmp(&other.id)));
        let mut best: Vec<(f32, &Moment)> = Vec::new();
        for (score, moment) in scored {
            if best.len() == top {
                break;
            }
            if best.iter().all(|(_, other)| moment.end <= other.start || other.end <= moment.start) {
                best.push((score, moment));
            }
        }
        let shown = locked(&self.shown);
        let found = |(score, moment): (f32, &Moment)| Found {
            start: moment.start,
            end: moment.end,
            score,
            picture: shown.picture_at(moment.id),
            text: shown.told.iter().rev().find(|(start, _)| *start < moment.end).map(|(_, text)| Arc::clone(text)),
        };
        best.into_iter().map(found).collect()
    }

    /// What a client is told of it in a list.
    pub fn overview(&self) -> Value {
        let shown = locked(&self.shown);
        let phase = match &shown.ended {
            None => json!("running"),
            Some((reason, _)) => json!(reason),
        };
        let message = shown.ended.as_ref().and_then(|(_, message)| message.clone());
        let about = serde_json::to_value(&self.about).unwrap_or_default();
        let Value::Object(mut fields) = about else { return Value::Null };
        fields.extend(Map::from_iter([
            ("phase".to_owned(), phase),
            ("message".to_owned(), json!(message)),
            ("counts".to_owned(), json!(shown.counts)),
            ("text".to_owned(), json!(shown.told.back().map(|(_, text)| text.as_ref()))),
            ("end_s".to_owned(), json!(shown.moments.back().map(|moment| moment.end))),
            ("last_event".to_owned(), json!(shown.last())),
        ]));
        drop(shown);
        fields.insert("alerts".to_owned(), json!(self.waits_for()));
        Value::Object(fields)
    }
}

fn of_alert(event: crate::stream::Event) -> Event {
    let crate::stream::Event { text, start_s, end_s, peak_s, score } = event;
    Event::Alert { text, start_s, end_s, peak_s, score }
}

/// An error of a log, for a stream that cannot go on.
pub(super) fn unkept(error: &Error) -> String {
    format!("the stream cannot be kept, so it was stopped: {error}")
}
