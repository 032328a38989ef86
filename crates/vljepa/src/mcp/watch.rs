//! `watch`: a video as a stream, told where its meaning changes, some minutes a call.

use std::path::PathBuf;
use std::sync::Arc;

use vljepa_data::video::VideoReader;
use vljepa_embed::Model;
use vljepa_embed::files::{Stamp, stamp};

use super::calls::Watch;
use super::clips::{Opened, seek};
use super::error::{McpError, Result};
use super::kept::{KeptStream, StreamKey};
use super::session::{Session, Teller, check_queries};
use super::task::Task;
use super::told::{AlertEvent, AlertScore, Sentence, ToldSegment, Watched, score, seconds};
use crate::stream::{Alert, Encoder, Event, Pending, Stream, StreamOptions, Thresholds, Update, Windows};

/// Windows that are encoded together.
const BATCH: usize = 8;
/// Below the cosine at which an alert begins lies that at which it ends, by this.
const HYSTERESIS: f64 = 0.05;

/// What is told while a call watches.
struct Telling<'a> {
    model: &'a Model,
    teller: Teller,
    segments: Vec<ToldSegment>,
    events: Vec<AlertEvent>,
    scores: Vec<AlertScore>,
    told: Option<(f64, Sentence)>,
    /// How far it was watched.
    end: f64,
}

impl Session {
    /// Watches a part of a video, and keeps the stream where there is more.
    ///
    /// # Errors
    /// A path that may not be read, what cannot be read from its start, a time after its end, a query for a model that takes none, and errors of the
    /// device. A fault further on ends what is told, and is told with it.
    pub fn watch(&mut self, call: &Watch, task: &Task) -> Result<Watched> {
        let path = self.input(&call.input)?;
        let model = self.model(task)?;
        if call.query.is_some() {
            check_queries(&model)?;
        }
        let mut notes = Vec::new();
        let teller = self.teller(&model, call.captions.as_deref(), &mut notes, task)?;
        let mut encoder = Encoder::new(&model, call.query.as_deref())?;
        notes.extend(encoder.cut().map(|cut| format!("query: {cut}")));
        let mut reader = Opened::video(&path)?;
        let key = key(call, path.clone(), stamp(&path)?);
        let kept = call.resume_s.and_then(|resume| self.streams.get(&key, resume));
        let continued = kept.is_some();
        let KeptStream { mut stream, next, told, .. } = match kept {
            Some(kept) => {
                reader.seek(kept.next.0)?;
                kept
            }
            None => begin(call, key.clone(), &model, &mut reader, &mut notes)?,
        };
        let before = stream.summary();
        let mut telling = Telling::new(&model, teller, call, told);
        let (mut frame_number, mut pending, mut start) = (next.0, Vec::<Pending>::new(), None);
        let (mut fault, mut resume) = (None, None);
        let length = reader.facts().duration;
        task.span(0.1, 1.0);
        loop {
            task.check()?;
            let frame = match reader.next_frame() {
                Ok(frame) => frame,
                // What was seen before the fault is told.
                Err(error) => {
                    fault = Some(error);
                    None
                }
            };
            let begun = start.unwrap_or_else(|| call.resume_s.or(frame.as_ref().map(|frame| frame.pts)).unwrap_or(0.0));
            let until = begun + call.max_s;
            let frame = match frame {
                Some(frame) if frame.pts >= until => {
                    resume = Some(frame.pts);
                    None
                }
                frame => frame,
            };
            let over = frame.is_none();
            if let Some(frame) = frame {
                start.get_or_insert(begun);
                frame_number += 1;
                pending.extend(stream.push(&frame)?);
                let all = length.map_or(call.max_s, |length| (length - begun).min(call.max_s));
                task.report((frame.pts - begun) / all.max(1e-3), "watching");
            }
            while pending.len() >= BATCH || (over && !pending.is_empty()) {
                task.check()?;
                let part: Vec<Pending> = pending.drain(..pending.len().min(BATCH)).collect();
                let rows = encoder.encode(&part.iter().collect::<Vec<_>>())?;
                for (pending, row) in part.iter().zip(rows) {
                    telling.update(&stream.update(pending, row)?)?;
                }
            }
            if over {
                break;
            }
        }
        let Some(start) = start else {
            return Err(match (fault, call.resume_s) {
                (Some(fault), _) => fault.into(),
                (None, Some(resume)) => McpError::content(&path, format!("ends before {resume} s; resume earlier")),
                (None, None) => McpError::content(&path, "has no frames"),
            });
        };
        notes.splice(0..0, reader.notes());
        // Of a stream that goes on, what is on now is told by a copy that has ended.
        let (last, open) = if resume.is_some() { (None, stream.clone().finish().1) } else { stream.finish() };
        if let Some(last) = &last {
            telling.update(last)?;
        }
        telling.events.extend(open.iter().map(|event| alert_event(event, resume.is_some())));
        let (windows, encoded, fidelity) = {
            let now = stream.summary();
            (now.windows - before.windows, now.encoded - before.encoded, now.fidelity)
        };
        if stream.summary().windows == 0 && resume.is_none() {
            let reason =
                format!("is shorter than one window of {} s: nothing was seen; make window_s smaller", call.window_s);
            return Err(fault.map_or_else(|| McpError::content(&path, reason), McpError::from));
        }
        let Telling { segments, events, scores, told, end, .. } = telling;
        if let Some(time) = resume {
            self.streams.put(KeptStream { key, stream, next: (frame_number, time), told });
        }
        Ok(Watched {
            input: path.display().to_string(),
            start_s: seconds(start),
            end_s: seconds(resume.unwrap_or(end.max(start))),
            segments,
            events,
            // Without a window there is none.
            alerts: scores.into_iter().filter(|score| score.highest.is_finite()).collect(),
            windows,
            encoded,
            fidelity: fidelity.map(score),
            continued,
            resume_s: resume.map(seconds),
            fault: fault.map(|fault| fault.to_string()),
            notes,
        })
    }
}

fn key(call: &Watch, path: PathBuf, stamp: Stamp) -> StreamKey {
    StreamKey {
        path,
        stamp,
        texts: [call.alerts.clone(), call.captions.clone().unwrap_or_default()],
        query: call.query.clone(),
        numbers: [call.alert_above, Some(call.window_s), Some(call.hz), Some(call.novelty)],
    }
}

/// A stream that begins anew: at the start, or a window before the time to go on from, so that nothing is lost between two calls.
fn begin(
    call: &Watch,
    key: StreamKey,
    model: &Arc<Model>,
    reader: &mut VideoReader,
    notes: &mut Vec<String>,
) -> Result<KeptStream> {
    let windows = Windows { frames: model.config().frames(), seconds: call.window_s, hz: call.hz };
    let mut options = StreamOptions::new(windows)?;
    options.trigger.novelty = call.novelty;
    let thresholds =
        call.alert_above.map_or(Thresholds::default(), |on| Thresholds::Cosine { on, off: on - HYSTERESIS });
    let mut alerts = Vec::new();
    if !call.alerts.is_empty() {
        let (rows, cut) = model.embed_texts(&call.alerts)?;
        notes.extend(cut.map(|cut| format!("alerts: {cut}")));
        let alert = |(i, text): (usize, &String)| Alert::new(text.clone(), rows.row(i).to_vec(), thresholds);
        alerts = call.alerts.iter().enumerate().map(alert).collect();
    }
    let time = call.resume_s.map_or(0.0, |resume| (resume - call.window_s).max(0.0));
    let next = (seek(reader, time)?, time);
    Ok(KeptStream { key, stream: Stream::new(options, model.preprocess().clone(), alerts), next, told: None })
}

impl<'a> Telling<'a> {
    fn new(model: &'a Model, teller: Teller, call: &Watch, told: Option<(f64, Sentence)>) -> Self {
        let scores =
            call.alerts.iter().map(|text| AlertScore { text: text.clone(), highest: f64::NEG_INFINITY, at_s: 0.0 });
        // What was told in the call before still tells.
        let segment = |(start, sentence): &(f64, Sentence)| segment(*start, *start, sentence);
        let segments = told.iter().map(segment).collect();
        Self { model, teller, segments, events: Vec::new(), scores: scores.collect(), told, end: 0.0 }
    }

    fn update(&mut self, update: &Update) -> Result<()> {
        self.end = self.end.max(update.end);
        if let Some(state) = &update.speak {
            let told = self.teller.tell(self.model, state, 1)?.into_iter().flatten().next();
            if let Some(sentence) = told {
                if let Some(last) = self.segments.last_mut() {
                    last.end_s = seconds(update.start);
                }
                self.segments.push(segment(update.start, update.end, &sentence));
                self.told = Some((update.start, sentence));
            }
        }
        if let Some(last) = self.segments.last_mut() {
            last.end_s = last.end_s.max(seconds(update.end));
        }
        for (alert, best) in update.alerts.iter().zip(&mut self.scores) {
            if alert.score > best.highest {
                (best.highest, best.at_s) = (score(alert.score), seconds(update.start));
            }
            self.events.extend(alert.ended.as_ref().map(|event| alert_event(event, false)));
        }
        Ok(())
    }
}

fn segment(start: f64, end: f64, sentence: &Sentence) -> ToldSegment {
    ToldSegment { start_s: seconds(start), end_s: seconds(end), text: sentence.text.clone(), score: sentence.score }
}

fn alert_event(event: &Event, goes_on: bool) -> AlertEvent {
    AlertEvent {
        text: event.text.clone(),
        start_s: seconds(event.start_s),
        end_s: seconds(event.end_s),
        peak_s: seconds(event.peak_s),
        score: score(event.score),
        goes_on,
    }
}
