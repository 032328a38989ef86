//! The thread that watches one stream: frames to windows, windows to states by the one thread that owns the model, states to what is told.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use tokio::sync::oneshot;
use vljepa_data::Rgb8Image;
use vljepa_data::video::Frame;

use super::event::{Counts, Event, Reason, Segment};
use super::fault::{Fault, Result};
use super::media::to_base64;
use super::metrics::Metrics;
use super::question::Answered;
use super::queue::Lane;
use super::seen::Moment;
use super::session::{Seen, Session, unkept};
use super::source::{Place, Source};
use super::worker::Worker;
use crate::stream::{Need, Pending, Segmentation, Stream, StreamOptions, Update, Windows, unit_mean};
use crate::thumbnail::jpeg;

/// Windows of a file that are encoded together.
const BATCH: usize = 8;
/// Seconds of a window where nothing else is said and the source is that long.
const WINDOW: f64 = 2.0;
/// Pixels of the longer side of a picture.
const SIDE: u32 = 192;
/// Seconds of a stream from one picture to the next.
const PICTURES: f64 = 1.0;
/// Most windows that are put into segments.
const MAX_SEGMENTED: usize = 20_000;
/// Most segments.
const MAX_SEGMENTS: usize = 64;

/// How a stream is watched, as far as that was said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Wanted {
    pub window: Option<f64>,
    pub hz: Option<f64>,
    pub gate: Option<f32>,
    pub novelty: Option<f64>,
    pub gap: Option<f64>,
    pub budget: Option<f64>,
}

impl Wanted {
    /// The options for a source, whose windows have `frames` frames. A source that is shorter than the usual window is one window.
    ///
    /// # Errors
    /// Numbers that are none, and windows that cannot be made.
    pub fn settle(&self, frames: usize, source: &mut Source) -> Result<StreamOptions> {
        let within = |name: &str, value: f64, least: f64, most: f64| match value {
            value if value.is_finite() && (least..=most).contains(&value) => Ok(value),
            value => Err(Fault::field(name, format!("{value} is not from {least} to {most}"))),
        };
        let seconds = match self.window {
            Some(seconds) => seconds,
            None => usual(frames, source)?,
        };
        let hz = self.hz.unwrap_or(2.0);
        let mut options = StreamOptions::new(Windows { frames, seconds, hz })?;
        if let Some(gate) = self.gate {
            options.gate.high = within("gate", f64::from(gate), 0.0, 1.0)? as f32;
            options.gate.low = options.gate.low.min(options.gate.high / 2.0);
        }
        if let Some(novelty) = self.novelty {
            options.trigger.novelty = within("novelty", novelty, 0.001, 2.0)?;
        }
        if let Some(gap) = self.gap {
            options.trigger.gap = within("gap", gap, 0.0, 1e6)?;
        }
        if let Some(budget) = self.budget {
            options.trigger.budget = Some(within("budget", budget, 1e-6, 1e6)?);
        }
        Ok(options)
    }
}

/// Seconds of a window for a source: of a short one what it has, so that its last frame is the last of the window.
fn usual(frames: usize, source: &mut Source) -> Result<f64> {
    let Some(last) = source.last(WINDOW)? else { return Ok(WINDOW) };
    let whole = if frames > 1 { last * frames as f64 / (frames - 1) as f64 } else { last };
    Ok(if whole > 0.0 { whole.min(WINDOW) } else { WINDOW })
}

/// What a stream is watched with.
pub(super) struct Means {
    pub place: Place,
    /// Frames a second of what does not state it.
    pub fps: f64,
    pub wanted: Wanted,
    pub worker: Arc<Worker>,
    pub metrics: Arc<Metrics>,
}

/// What is known of a source when it is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub windows: Windows,
    pub duration: Option<f64>,
    pub live: bool,
}

/// The work of a stream's thread: opens the source, tells `opened` of it, waits for the session that this makes, and watches.
pub(super) fn run(means: Means, opened: oneshot::Sender<Result<Opening>>, session: &Receiver<Arc<Session>>) {
    let Means { place, fps, wanted, worker, metrics } = means;
    let shown = place.shown();
    let open = || {
        let mut source = place.open(fps).map_err(|fault| fault.of("source"))?;
        let options = wanted.settle(worker.facts().frames, &mut source)?;
        Ok((source, options))
    };
    let (source, options) = match open() {
        Ok(open) => open,
        // Where nobody waits for it any more, nothing was begun.
        Err(fault) => return drop(opened.send(Err(fault))),
    };
    let duration = source.facts().and_then(|facts| facts.duration);
    let opening = Opening { windows: options.windows, duration, live: source.is_live() };
    if opened.send(Ok(opening)).is_err() {
        return;
    }
    let Ok(session) = session.recv() else { return };
    let watch = Watch { session: Arc::clone(&session), worker, metrics, options, source, shown };
    // A panic is a fault of this program; those who follow are told.
    if catch_unwind(AssertUnwindSafe(|| watch.run())).is_err() {
        session.fail("the thread that watched this stream broke off; the log of the server has more".into());
    }
}

/// What watches a stream.
struct Watch {
    session: Arc<Session>,
    worker: Arc<Worker>,
    metrics: Arc<Metrics>,
    options: StreamOptions,
    source: Source,
    /// The path of the source, and what messages call it.
    shown: (PathBuf, String),
}

/// A window that waits, and a picture of its end.
struct Waiting {
    pending: Pending,
    picture: Option<Arc<str>>,
}

impl Watch {
    /// Watches to the end, or until the session is to stop. What was seen before a fault is told first.
    fn run(mut self) {
        let preprocess = self.worker.facts().preprocess.clone();
        let mut stream = Stream::new(self.options, preprocess, Vec::new());
        let mut seen = Progress::default();
        let mut fault = self.watch(&mut stream, &mut seen).err();
        for text in self.source.notes() {
            fault = fault.or(self.session.add(Event::Note { text }, None, None).err().map(Fault::from));
        }
        if let (None, Some(update)) = (&fault, stream.finish().0) {
            fault = self.tell(&update).err();
        }
        let summary = stream.summary();
        if fault.is_none() && summary.windows == 0 && !self.session.is_to_stop() {
            let seconds = self.options.windows.seconds;
            fault = Some(Fault::bad(format!(
                "shorter than one window of {seconds:.2} s: nothing was seen; make the window shorter"
            )));
        }
        let segments = self.segments(summary.spoken as usize).unwrap_or_default();
        let counts = Counts::of(&summary, stream.frames(), self.source.dropped());
        self.metrics.dropped.fetch_add(counts.frames_dropped, Ordering::Relaxed);
        let (reason, message) = match fault {
            Some(fault) => (Reason::Failed, Some(fault.named(&self.shown.0, &self.shown.1).message().to_owned())),
            None if self.session.is_to_stop() => (Reason::Stopped, None),
            None => (Reason::Finished, None),
        };
        if let Err(error) = self.session.end(segments, reason, message, counts) {
            self.session.fail(unkept(&error));
        }
    }

    fn watch(&mut self, stream: &mut Stream, seen: &mut Progress) -> Result<()> {
        let mut waiting: Vec<Waiting> = Vec::new();
        // A live stream is told window by window; of a file, windows are encoded together.
        let most = if self.source.is_live() { 1 } else { BATCH };
        loop {
            let session = Arc::clone(&self.session);
            let (frame, fault) = match self.source.next(|| session.is_to_stop()) {
                Ok(frame) => (frame, None),
                Err(error) => (None, Some(Fault::from(error))),
            };
            if let Some(frame) = &frame {
                for pending in stream.push(frame)? {
                    let picture = seen.picture(&pending, frame)?;
                    waiting.push(Waiting { pending, picture });
                }
            }
            while waiting.len() >= most || (frame.is_none() && !waiting.is_empty()) {
                let part = waiting.drain(..waiting.len().min(BATCH)).collect();
                self.encode(stream, seen, part)?;
            }
            match (frame, fault) {
                (_, Some(fault)) => return Err(fault),
                (None, None) => return Ok(()),
                _ => {}
            }
        }
    }

    /// Encodes windows that need it, with the questions that are asked, and tells what they mean.
    fn encode(&self, stream: &mut Stream, seen: &mut Progress, part: Vec<Waiting>) -> Result<()> {
        let facts = self.worker.facts();
        let mut questions = self.session.questions();
        let query = self.session.about().query.as_ref().unwrap_or(&facts.default_query);
        let mut queries = vec![query.clone()];
        queries.extend(questions.iter().map(|question| question.text.clone()));
        let needed = part.iter().filter(|waiting| waiting.pending.need != Need::Skip);
        let (mut pixels, mut count) = (Vec::new(), 0);
        for Waiting { pending, .. } in needed {
            pixels.extend(pending.window.pixels(&facts.preprocess)?);
            count += 1;
        }
        let wide = queries.len() * facts.dim;
        let rows = match count {
            0 => Vec::new(),
            _ => self.worker.see(Lane::Stream, pixels, [count, self.options.windows.frames], queries)?.wait()?,
        };
        // Of the windows that are encoded, what was asked beside the whole.
        let encoded = part.iter().filter(|waiting| waiting.pending.need != Need::Skip).zip(rows.chunks_exact(wide));
        let encoded = encoded.filter(|(waiting, _)| waiting.pending.need == Need::Encode);
        let encoded: Vec<&[f32]> = encoded.map(|(_, row)| row).collect();
        let mut answers: Vec<Vec<Answered>> = vec![Vec::new(); encoded.len()];
        for (i, question) in questions.iter_mut().enumerate() {
            let states: Vec<&[f32]> = encoded.iter().map(|row| &row[(i + 1) * facts.dim..][..facts.dim]).collect();
            let given = question.answer(&states, Lane::Stream, &self.worker)?;
            answers.iter_mut().zip(given).for_each(|(answers, answer)| answers.push(answer));
        }
        let (mut rows, mut answers) = (rows.chunks_exact(wide), answers.into_iter());
        for Waiting { pending, picture } in part {
            let own = if pending.need == Need::Skip { None } else { rows.next() };
            let update = stream.update(&pending, own.map(|own| own[..facts.dim].to_vec()))?;
            let state = match (&seen.state, update.encoded) {
                (Some(state), false) => Arc::clone(state),
                _ => Arc::from(stream.state().unwrap_or_default()),
            };
            seen.state = Some(Arc::clone(&state));
            let answered = if update.encoded { answers.next().unwrap_or_default() } else { Vec::new() };
            self.metrics.windows.fetch_add(1, Ordering::Relaxed);
            self.metrics.encoded.fetch_add(u64::from(update.encoded), Ordering::Relaxed);
            let frames = Some(pending.window.frames.clone());
            let counts = Counts::of(&stream.summary(), stream.frames(), self.source.dropped());
            self.session.window(Seen { update: &update, state, picture, frames, answered, counts })?;
            self.tell(&update)?;
        }
        Ok(())
    }

    /// Where it is time to speak, the state is decoded.
    fn tell(&self, update: &Update) -> Result<()> {
        let Some(state) = &update.speak else { return Ok(()) };
        let told = self.worker.tell(Lane::Stream, state.clone(), 1)?.wait()?;
        self.metrics.decoded.fetch_add(1, Ordering::Relaxed);
        for told in told {
            self.session.sentence([update.start, update.end], told.text, told.score)?;
        }
        Ok(())
    }

    /// The whole in as many parts as sentences were told, with borders where what goes on changes, each in words.
    fn segments(&self, count: usize) -> Result<Vec<Segment>> {
        let moments: VecDeque<Moment> = self.session.moments();
        let dim = self.worker.facts().dim;
        if moments.is_empty() || moments.len() > MAX_SEGMENTED {
            return Ok(Vec::new());
        }
        let rows: Vec<f32> = moments.iter().flat_map(|moment| moment.state.iter().copied()).collect();
        let cut = Segmentation::of(&rows, dim)?.cut(count.clamp(1, MAX_SEGMENTS));
        let means = cut.iter().flat_map(|part| unit_mean(moments.range(part.clone()).map(|moment| &*moment.state)));
        let told = self.worker.tell(Lane::Stream, means.collect(), 1)?.wait()?;
        let mut segments: Vec<Segment> = Vec::new();
        for (part, told) in cut.iter().zip(told) {
            let (Some(first), Some(last)) = (moments.get(part.start), moments.get(part.end.saturating_sub(1))) else {
                continue;
            };
            // Windows overlap: a part ends where the next one begins.
            let end_s = moments.get(part.end).map_or(last.end, |next| next.start);
            match segments.last_mut().filter(|before| before.text == told.text) {
                Some(before) => before.end_s = end_s,
                None => segments.push(Segment { start_s: first.start, end_s, text: told.text }),
            }
        }
        Ok(segments)
    }
}

/// What is remembered from window to window.
#[derive(Default)]
struct Progress {
    state: Option<Arc<[f32]>>,
    /// The time of the last picture.
    pictured: Option<f64>,
}

impl Progress {
    /// A picture of a window that is encoded, where the last one is some time ago.
    fn picture(&mut self, pending: &Pending, frame: &Frame) -> Result<Option<Arc<str>>> {
        let end = pending.window.end;
        let is_time = self.pictured.is_none_or(|last| (end - last).abs() >= PICTURES);
        if pending.need != Need::Encode || !is_time {
            return Ok(None);
        }
        self.pictured = Some(end);
        let rgb: &Rgb8Image = &frame.rgb;
        Ok(Some(to_base64(&jpeg(rgb, SIDE)?).into()))
    }
}
