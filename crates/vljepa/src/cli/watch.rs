//! `watch`: keeps the silent state of a stream and speaks only where its meaning changes.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use vljepa::Builtin;
use vljepa::embed::files::check_writable;
use vljepa::embed::folder::Purpose;
use vljepa::embed::model_files;
use vljepa::stream::{
    Alert, CaptionBank, Delivery, Encoder, Event, Feed, Pending, Stream, StreamOptions, Targets, Teller, Thresholds,
    Timeline, Undelivered, Update, Windows, clock, sentences,
};
use vljepa_data::atomic::write_atomically;
use vljepa_data::video::{Damaged, Frame, RawFormat, VideoOptions, VideoReader};

use vljepa_data::{DataError, Limits, Rgb8Image};
use vljepa_model::Search;

use super::common::{Common, ModelArgs, keep_apart, load, note_cut};
use super::failure::{Failure, Result};
use super::output::{Output, printable};
use super::read::{DamagedArg, above_zero, raw, seconds};
use super::stop;
use vljepa::embed::visuals::RawFrames;

/// Windows that are encoded together.
const BATCH: usize = 8;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A video, a folder of frames, or - for Y4M, Motion JPEG or raw frames on standard input
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// File with sentences, one a line, the nearest of which tells a state; absent: the model's Y-Decoder writes one, or without one a
    /// list of plain sentences is taken
    #[arg(long, value_name = "FILE")]
    pub captions: Option<PathBuf>,
    /// Raise an alert where the stream comes close to this text; may be given more than once
    #[arg(long = "alert", value_name = "TEXT")]
    pub alerts: Vec<String>,
    /// Cosine at which alerts begin; absent: 3 standard deviations above what the stream has shown so far
    #[arg(long, value_name = "C", allow_negative_numbers = true, value_parser = finite)]
    pub alert_above: Option<f64>,
    /// Folder that gets a picture of each alert that is over, and a line in events.jsonl; goes on with one that is there
    #[arg(long, value_name = "DIR")]
    pub events: Option<PathBuf>,
    /// Command to run for each alert that is over, with its JSON on standard input
    #[arg(long, value_name = "COMMAND")]
    pub on_event: Option<String>,
    /// Address that gets the JSON of each alert that is over by POST
    #[arg(long, value_name = "URL")]
    pub webhook: Option<String>,
    /// Keep the answer to this question as the state, instead of what the model sees in the whole
    #[arg(long, value_name = "TEXT")]
    pub query: Option<String>,
    /// Seconds of a window
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    pub window: f64,
    /// Windows a second
    #[arg(long, value_name = "F", default_value_t = 2.0)]
    pub hz: f64,
    /// Change of any part of the picture, from 0 to 1, above which a window is encoded; 0: every window is
    #[arg(long, value_name = "X", default_value_t = 0.04, value_parser = share)]
    pub gate: f32,
    /// How far a state must be from what was told last to be told: 1 - cosine
    #[arg(long, value_name = "X", default_value_t = 0.15, value_parser = above_zero)]
    pub novelty: f64,
    /// Most sentences a second over the long run
    #[arg(long, value_name = "F", value_parser = above_zero)]
    pub budget: Option<f64>,
    /// Least time between two sentences, in seconds
    #[arg(long, value_name = "S", default_value_t = 0.0, value_parser = seconds)]
    pub gap: f64,
    /// Frames a second of Motion JPEG, raw frames and folders of frames
    #[arg(long, value_name = "F", default_value_t = 25.0, value_parser = above_zero)]
    pub fps: f64,
    /// Standard input does not wait: read it all the time, and leave frames out where windows take longer than they last
    #[arg(long)]
    pub live: bool,
    /// Raw frames on standard input, as in 640x360:rgb24; or yuv420p
    #[arg(long, value_name = "WxH:PIXELS", value_parser = raw)]
    pub raw: Option<RawFrames>,
    /// What to do about frames of a video that are damaged
    #[arg(long, value_name = "WHAT", default_value = "stop")]
    pub damaged: DamagedArg,
    /// Also write what was told, with pictures and the novelty over time, as an HTML page that needs no other file
    #[arg(long, value_name = "OUT")]
    pub html: Option<PathBuf>,
    /// With --json, the state of each window too
    #[arg(long)]
    pub embeddings: bool,
    #[command(flatten)]
    pub model: ModelArgs,
}

fn finite(text: &str) -> std::result::Result<f64, String> {
    text.parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(|| "a number is expected".into())
}

fn share(text: &str) -> std::result::Result<f32, String> {
    let share = text.parse().ok().filter(|value| (0.0..=1.0).contains(value));
    share.ok_or_else(|| "a number from 0 to 1 is expected".into())
}

pub fn run(args: &Args, common: &Common, out: &Output) -> Result {
    if args.embeddings && !common.json {
        return Err(Failure::Usage { verb: "watch", reason: "--embeddings goes with --json".into() });
    }
    if let Some(html) = &args.html {
        check_writable(html)?;
        let frames = if args.input.is_dir() { model_files(&args.input) } else { Vec::new() };
        let read = std::iter::once(&args.input).chain(&args.captions).chain(&frames);
        keep_apart(html, read, args.model.model.as_deref())?;
    }
    if args.alerts.is_empty() && (args.events.is_some() || args.on_event.is_some() || args.webhook.is_some()) {
        let reason = "--events, --on-event and --webhook tell of alerts: give an --alert".into();
        return Err(Failure::Usage { verb: "watch", reason });
    }
    let is_stdin = args.input == Path::new("-");
    if args.live && !is_stdin {
        return Err(Failure::Usage {
            verb: "watch",
            reason: "--live goes with standard input: give - as the input".into(),
        });
    }
    if args.raw.is_some() && !is_stdin {
        return Err(Failure::Usage {
            verb: "watch",
            reason: "--raw describes standard input: give - as the input".into(),
        });
    }
    let mut source = match args.live {
        true => {
            let (raw, fps) = (args.raw, args.fps);
            Frames::Live(Feed::new(WAITING, move || stdin(raw, fps)))
        }
        false => Frames::Reader(reader(args)?),
    };
    let given = args.captions.as_deref().map(vljepa_data::read_labels).transpose()?;
    let (_, model) = load(&args.model, Builtin::Sprites, common, Purpose::Answers)?;
    let frames = model.config().frames();
    let mut options = StreamOptions::new(Windows { frames, seconds: args.window, hz: args.hz })?;
    options.gate.high = args.gate;
    options.gate.low = options.gate.low.min(args.gate / 2.0);
    (options.trigger.novelty, options.trigger.gap, options.trigger.budget) = (args.novelty, args.gap, args.budget);
    let mut encoder = Encoder::new(&model, args.query.as_deref())?;
    note_cut(encoder.cut(), |_| args.query.as_ref().map_or("the model's default query", |_| "--query").to_owned(), out);
    let teller = match given {
        None if model.writes() => Teller::decoder(&model, Search::default())?,
        given => {
            let texts = given.unwrap_or_else(sentences);
            let bar = out.progress("sentences", texts.len());
            let bank = CaptionBank::new(&model, texts, &mut |n| bar.set_position(n as u64))?;
            bar.finish_and_clear();
            note_cut(bank.cut(), |i| format!("sentence {}", i + 1), out);
            Teller::Bank(bank)
        }
    };
    let thresholds = args.alert_above.map_or(Thresholds::default(), |on| Thresholds::Cosine { on, off: on - 0.05 });
    let alerts = match args.alerts.is_empty() {
        true => Vec::new(),
        false => {
            let (rows, cut) = model.embed_texts(&args.alerts)?;
            note_cut(cut.as_ref(), |i| format!("--alert \"{}\"", args.alerts[i]), out);
            let rows = rows.into_values();
            let rows = rows.chunks_exact(model.dim()).map(<[f32]>::to_vec);
            args.alerts.iter().cloned().zip(rows).map(|(text, row)| Alert::new(text, row, thresholds)).collect()
        }
    };
    let targets =
        Targets { folder: args.events.clone(), command: args.on_event.clone(), address: args.webhook.clone() };
    let mut delivery = Delivery::new(targets)?;
    let mut stream = Stream::new(options, model.preprocess().clone(), alerts);
    let mut shown = Shown::new(out, args, &teller);
    let mut pending: Vec<Pending> = Vec::new();
    let (mut fault, mut last_picture) = (None, None);
    stop::listen();
    loop {
        let frame = match source.next() {
            _ if stop::is_wanted() => None,
            Ok(frame) => frame,
            // What was seen before the fault is told first.
            Err(error) => {
                fault = Some(error);
                None
            }
        };
        let ended = frame.is_none();
        if let Some(frame) = frame {
            pending.extend(stream.push(&frame)?);
        }
        // A live stream is told window by window; of a file, windows are encoded together.
        let most = if is_stdin { 1 } else { BATCH };
        while pending.len() >= most || (ended && !pending.is_empty()) {
            let part: Vec<Pending> = pending.drain(..pending.len().min(BATCH)).collect();
            let rows = encoder.encode(&part.iter().collect::<Vec<_>>())?;
            for (pending, row) in part.iter().zip(rows) {
                let update = stream.update(pending, row)?;
                let picture = pending.window.picture();
                shown.update(&stream, &update, picture)?;
                shown.deliver(&update, picture, &mut delivery)?;
                last_picture = picture.cloned();
            }
        }
        if ended {
            break;
        }
    }
    match &source {
        Frames::Reader(reader) => {
            reader.notes().iter().for_each(|note| out.note(&format!("{}: {note}", reader.origin())))
        }
        Frames::Live(feed) if feed.dropped() > 0 => {
            out.note(&format!("{} frames left out: they came faster than they were seen", feed.dropped()));
        }
        Frames::Live(_) => {}
    }
    let name = if is_stdin { "standard input".to_owned() } else { args.input.display().to_string() };
    let (last, events) = stream.finish();
    if let Some(update) = &last {
        shown.update(&stream, update, last_picture.as_ref())?;
    }
    if let (Some(html), Some(timeline)) = (&args.html, &shown.timeline) {
        let adapter = vljepa::info::adapter_name(model.device());
        let facts =
            format!("Windows of {} s, {} a second; model {}, on {adapter}.", args.window, args.hz, model.origin());
        let page = timeline.page(&name, &facts, &stream.summary(), &events);
        write_atomically(html, page.as_bytes())?;
    }
    for event in &events {
        let picture = args.alerts.iter().position(|text| *text == event.text).and_then(|i| shown.peaks[i].take());
        delivery.send(event, picture.as_ref())?;
    }
    let Undelivered { dropped, failed, why } = delivery.finish();
    if let Some(why) = why {
        out.note(&format!("{failed} deliveries of alerts failed; the first: {why}"));
    }
    if dropped > 0 {
        out.note(&format!("{dropped} alerts were not delivered: the command or the address was too slow for them"));
    }
    match fault {
        Some(error) if stream.summary().windows == 0 => return Err(error.into()),
        _ => shown.finish(&stream, &events)?,
    }
    fault.map_or(Ok(()), |error| Err(error.into()))
}

/// Frames that wait for their turn in a live stream.
const WAITING: usize = 64;

/// Where frames come from.
enum Frames {
    /// What waits until it is read.
    Reader(VideoReader),
    /// What does not.
    Live(Feed),
}

impl Frames {
    fn next(&mut self) -> std::result::Result<Option<Frame>, DataError> {
        match self {
            Self::Reader(reader) => reader.next_frame(),
            Self::Live(feed) => feed.next_frame(),
        }
    }
}

fn stdin(raw: Option<RawFrames>, fps: f64) -> std::result::Result<VideoReader, DataError> {
    let (stdin, limits) = (Box::new(std::io::stdin()), Limits::default());
    match raw {
        Some(RawFrames { width, height, pixels }) => {
            VideoReader::from_raw("standard input", stdin, RawFormat { width, height, pixels, fps }, &limits)
        }
        None => VideoReader::from_stream("standard input", stdin, fps, &limits),
    }
}

fn reader(args: &Args) -> Result<VideoReader> {
    let damaged = match args.damaged {
        DamagedArg::Stop => Damaged::Stop,
        DamagedArg::Conceal => Damaged::Conceal,
    };
    if args.input == Path::new("-") {
        return Ok(stdin(args.raw, args.fps)?);
    }
    let options = VideoOptions { folder_fps: args.fps, damaged, ..VideoOptions::default() };
    Ok(VideoReader::open_with(&args.input, &options)?)
}

/// Writes what happens, as lines of JSON or as text with a live line on a terminal.
struct Shown<'a> {
    out: &'a Output,
    args: &'a Args,
    teller: &'a Teller<'a>,
    timeline: Option<Timeline>,
    live: ProgressBar,
    begun: Instant,
    novelties: VecDeque<f64>,
    text: String,
    on: Vec<bool>,
    /// The strongest moments of the alerts that are on.
    peaks: Vec<Option<Rgb8Image>>,
}

/// Novelties of the live line.
const SPARKS: usize = 24;

impl<'a> Shown<'a> {
    fn new(out: &'a Output, args: &'a Args, teller: &'a Teller<'a>) -> Self {
        let live = match std::io::stderr().is_terminal() && !out.json {
            true => ProgressBar::new_spinner(),
            false => ProgressBar::hidden(),
        };
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            live.set_style(style);
        }
        let (on, peaks) = (vec![false; args.alerts.len()], vec![None; args.alerts.len()]);
        let timeline = args.html.as_ref().map(|_| Timeline::new());
        Self {
            out,
            args,
            teller,
            timeline,
            live,
            begun: Instant::now(),
            novelties: VecDeque::new(),
            text: String::new(),
            on,
            peaks,
        }
    }

    fn update(&mut self, stream: &Stream, update: &Update, picture: Option<&Rgb8Image>) -> Result {
        let told = update.speak.as_ref().map(|state| self.teller.tell(state)).transpose()?;
        let text = told.and_then(|told| told.into_iter().next()).map(|sentence| sentence.text);
        if let Some(timeline) = &mut self.timeline {
            timeline.push(update, text.as_deref().map(|text| (text, picture)))?;
        }
        if self.out.json {
            let alerts: Vec<Value> = (self.args.alerts.iter().zip(&update.alerts))
                .map(|(text, alert)| json!({ "text": text, "score": alert.score, "on": alert.on }))
                .collect();
            let mut line = json!({
                "start_s": update.start, "end_s": update.end, "change": update.change, "encoded": update.encoded,
                "novelty": update.novelty, "variance": update.variance, "decoded": text.is_some(), "text": text,
                "alerts": alerts, "events": update.alerts.iter().filter_map(|alert| alert.ended.as_ref()).collect::<Vec<_>>(),
            });
            if let (true, Some(fields)) = (self.args.embeddings, line.as_object_mut()) {
                fields.insert("embedding".into(), json!(stream.state()));
            }
            return self.out.document(&line);
        }
        if let Some(text) = &text {
            self.line(&format!("{}  {}", clock(update.start), printable(text)))?;
            self.text.clone_from(text);
        }
        for (i, alert) in update.alerts.iter().enumerate() {
            if alert.on && !std::mem::replace(&mut self.on[i], alert.on) {
                let text = printable(&self.args.alerts[i]);
                self.line(&format!("{}  alert: {text} ({:.3})", clock(update.start), alert.score))?;
            }
            self.on[i] = alert.on;
            if let Some(event) = &alert.ended {
                self.line(&ended(event))?;
            }
        }
        self.novelties.push_back(update.novelty);
        if self.novelties.len() > SPARKS {
            self.novelties.pop_front();
        }
        let summary = stream.summary();
        self.live.set_message(format!(
            "{} {} {} · {:.1} windows/s · {} of {} encoded · {} told",
            clock(update.end),
            sparkline(self.novelties.iter().copied()),
            printable(&self.text),
            summary.windows as f64 / self.begun.elapsed().as_secs_f64().max(1e-3),
            summary.encoded,
            summary.windows,
            summary.spoken
        ));
        self.live.tick();
        Ok(())
    }

    /// Hands on the alerts that are over, each with the picture of its strongest moment.
    fn deliver(&mut self, update: &Update, picture: Option<&Rgb8Image>, delivery: &mut Delivery) -> Result {
        for (alert, peak) in update.alerts.iter().zip(&mut self.peaks) {
            if alert.is_peak {
                *peak = picture.cloned();
            }
            if let Some(event) = &alert.ended {
                delivery.send(event, peak.take().as_ref())?;
            }
        }
        Ok(())
    }

    fn line(&self, line: &str) -> Result {
        self.live.suspend(|| self.out.text(&format!("{line}\n")))
    }

    fn finish(&self, stream: &Stream, events: &[Event]) -> Result {
        self.live.finish_and_clear();
        let (s, [frames, backward]) = (stream.summary(), stream.frames());
        if s.windows == 0 {
            let reason =
                format!("shorter than one window of {} s: nothing was seen; make --window shorter", self.args.window);
            return Err(Failure::message(format!("{}: {reason}", self.args.input.display())));
        }
        if self.out.json {
            return self.out.document(&json!({ "events": events, "summary": {
                "frames": frames, "frames_left_out": backward, "windows": s.windows, "encoded": s.encoded,
                "audited": s.audited, "fidelity": s.fidelity, "worst_fidelity": s.worst, "decoded": self.teller.decoded(),
                "seconds": self.begun.elapsed().as_secs_f64(),
            }}));
        }
        for event in events {
            self.line(&ended(event))?;
        }
        let share = |part: u64| 100.0 * part as f64 / s.windows as f64;
        let fidelity = match (s.fidelity, s.worst) {
            (Some(mean), Some(worst)) => {
                format!(
                    "; {} of the others were encoded too: cosine to the state kept {mean:.3}, at worst {worst:.3}",
                    s.audited
                )
            }
            _ => String::new(),
        };
        self.out.note(&format!(
            "{} windows, {:.0} % of them encoded{fidelity}; {} told, {:.1} % of the windows",
            s.windows,
            share(s.encoded),
            s.spoken,
            share(s.spoken)
        ));
        if backward > 0 {
            self.out.note(&format!("{backward} of {frames} frames left out: their times are none or go back"));
        }
        Ok(())
    }
}

fn ended(event: &Event) -> String {
    format!(
        "{}  alert over: {}, since {}, strongest at {} ({:.3})",
        clock(event.end_s),
        printable(&event.text),
        clock(event.start_s),
        clock(event.peak_s),
        event.score
    )
}

/// Values from 0 to 1 as bars.
fn sparkline(values: impl Iterator<Item = f64>) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    values.map(|value| BARS[((value.clamp(0.0, 1.0) * 8.0) as usize).min(7)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bars() {
        assert_eq!(sparkline([0.0, 0.5, 1.0, f64::NAN].into_iter()), "▁▅█▁");
    }
}
