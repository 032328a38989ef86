//! Streams of Sprite World with their truth: what the choice of decodings is measured on.

use serde::Serialize;
use vljepa_data::SampleKey;
use vljepa_data::sprite_world::words::{Length, Wordings, caption};
use vljepa_data::sprite_world::{SpriteStream, SpriteWorld};
use vljepa_data::video::Frame;

use vljepa_model::Search;

use super::bank::CaptionBank;
use super::encode::Encoder;
use super::engine::{Stream, StreamOptions, Summary, Update};
use super::selective::{Annotation, Curve, Cut, SeenStream, Transcript, borders, curve, matched, saving};
use super::teller::Teller;
use crate::error::Result;

/// Frames a second of a stream: two for each of a window's.
pub const FPS: f64 = 8.0;
/// Windows that are encoded together.
const BATCH: usize = 8;
/// Epoch of the keys of streams, of the captions of the bank.
const STREAMS: u64 = 32;
const BANK: u64 = 33;

/// How streams are made and told.
#[derive(Clone, Debug, PartialEq)]
pub struct SelectiveOptions {
    /// Number of streams.
    pub streams: usize,
    /// Seconds of each.
    pub seconds: f64,
    /// Mean seconds between two scenes in which nothing moves.
    pub hold: f64,
    /// Captions of other scenes to tell states by, for a model without a Y-Decoder.
    pub bank: usize,
    /// Seed of the streams.
    pub seed: u64,
    /// Wordings of half of the references; the other half has those of training, in which sentences are told.
    pub wordings: Wordings,
    /// Decodings a second that are tried.
    pub rates: Vec<f64>,
}

impl Default for SelectiveOptions {
    fn default() -> Self {
        let rates = vec![0.01, 0.02, 0.05, 0.07, 0.1, 0.14, 0.2, 0.35, 0.5, 1.0, 2.0];
        Self { streams: 4, seconds: 300.0, hold: 6.0, bank: 1000, seed: 0, wordings: Wordings::HeldOut, rates }
    }
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct SelectiveReport {
    /// `selective`.
    pub suite: &'static str,
    /// Number of streams.
    pub streams: usize,
    /// Seconds of each.
    pub seconds: f64,
    /// Scenes in all streams.
    pub scenes: usize,
    /// Adaptive and uniform, with and without averaging.
    pub curves: Vec<Curve>,
    /// How many times fewer decodings the adaptive choice needs for what the uniform one reaches at one a second, both averaged.
    pub saving_at_1_hz: Option<f64>,
    /// The same for the best that the uniform choice reaches at any rate.
    pub saving_at_best: Option<f64>,
    /// Share of the borders between scenes that lie within two seconds of a border of as many segments as there are scenes; beside it that of
    /// segments of one length.
    pub segments: [f64; 2],
    /// Of the moments at which the online trigger spoke those that come up to four seconds after the beginning of a scene, and the share of
    /// scenes that are so told.
    pub trigger: [f64; 2],
    /// The same of as many moments at even distances.
    pub trigger_floor: [f64; 2],
    /// Decodings a second of the trigger.
    pub trigger_hz: f64,
    /// CIDEr-D of what the trigger told.
    pub trigger_cider_d: f64,
    /// Share of the windows that were encoded.
    pub encoded: f64,
    /// Mean cosine of kept and audited states.
    pub fidelity: Option<f64>,
}

/// How far a border between segments may be off, in seconds.
const TOLERANCE: f64 = 2.0;
/// How long after the beginning of a scene it may be told, in seconds: a change must have settled.
const LATE: f64 = 4.0;

/// Watches streams of `world`, whose clips have two frames for each of the model's, and measures what is told of them.
///
/// # Errors
/// Errors of the model.
pub fn selective(
    encoder: &mut Encoder<'_>,
    world: &SpriteWorld,
    stream_options: StreamOptions,
    options: &SelectiveOptions,
    progress: &mut dyn FnMut(f64),
) -> Result<SelectiveReport> {
    let model = encoder.model();
    let caption_of =
        |key: SampleKey, length: Length, wordings: Wordings| caption(world, &world.scene(key), length, wordings, key);
    let key = |epoch: u64, index: u64| SampleKey { seed: options.seed, epoch, index, stream: 0 };
    let teller = match model.writes() {
        true => Teller::decoder(model, Search::default())?,
        false => {
            let bank =
                (0..options.bank as u64).map(|i| caption_of(key(BANK, i), Length::Medium, Wordings::Train)).collect();
            Teller::Bank(CaptionBank::new(model, bank, &mut |_| ())?)
        }
    };
    let (mut streams, mut truth, mut spoken, mut scenes) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let mut total = Summary::default();
    for number in 0..options.streams {
        let mut stream = Stream::new(stream_options, model.preprocess().clone(), Vec::new());
        let mut seen = SeenStream { rows: Vec::new(), times: Vec::new(), annotations: Vec::new() };
        let (mut pending, mut own, mut spoke) = (Vec::new(), Vec::new(), Vec::new());
        let mut take = |stream: &mut Stream, pending: &mut Vec<_>, seen: &mut SeenStream| -> Result<()> {
            let rows = encoder.encode(&pending.iter().collect::<Vec<_>>())?;
            for (pending, row) in pending.drain(..).zip(rows) {
                let Update { start, end, speak, .. } = stream.update(&pending, row)?;
                seen.rows.extend_from_slice(stream.state().unwrap_or_default());
                seen.times.push((start + end) / 2.0);
                spoke.extend(speak.map(|state| ((start + end) / 2.0, state)));
            }
            Ok(())
        };
        for shot in SpriteStream::new(world, key(STREAMS, number as u64), options.hold * FPS) {
            let start = shot.first as f64 / FPS;
            let time = start + shot.moving() as f64 / FPS / 2.0;
            // A scene that is cut off by the end is none.
            if time >= options.seconds {
                break;
            }
            own.push(start);
            let texts = [Length::Medium, Length::Long].into_iter().flat_map(|length| {
                [Wordings::Train, options.wordings]
                    .map(|wordings| caption(world, &shot.scene, length, wordings, shot.key))
            });
            seen.annotations.push(Annotation { time, texts: texts.collect() });
            let side = model.preprocess().size as usize;
            let mut rgb = shot.picture(world, 0, side);
            for frame in 0..shot.frames {
                if frame < shot.moving() {
                    rgb = shot.picture(world, frame, side);
                }
                let pts = (shot.first + frame) as f64 / FPS;
                if pts >= options.seconds {
                    break;
                }
                pending.extend(stream.push(&Frame { rgb: rgb.clone(), pts })?);
                if pending.len() >= BATCH {
                    take(&mut stream, &mut pending, &mut seen)?;
                }
            }
            progress((number as f64 + (start / options.seconds).min(1.0)) / options.streams as f64);
        }
        take(&mut stream, &mut pending, &mut seen)?;
        if let (Some(Update { start, end, speak: Some(state), .. }), _) = stream.finish() {
            spoke.push(((start + end) / 2.0, state));
        }
        scenes += own.len();
        let summary = stream.summary();
        total.windows += summary.windows;
        total.encoded += summary.encoded;
        total.spoken += summary.spoken;
        total.audited += summary.audited;
        total.fidelity = Some(total.fidelity.unwrap_or(0.0) + summary.fidelity.unwrap_or(0.0) * summary.audited as f64);
        streams.push(seen);
        truth.push(own);
        spoken.push(spoke);
    }
    let mut told = Transcript::new();
    let mut of = |cut, averaged| curve(&streams, &teller, &mut told, (cut, averaged), &options.rates);
    let curves =
        vec![of(Cut::Adaptive, true)?, of(Cut::Adaptive, false)?, of(Cut::Uniform, true)?, of(Cut::Uniform, false)?];
    let best = curves[2].points.iter().max_by(|a, b| a.cider_d.total_cmp(&b.cider_d)).map_or(1.0, |point| point.hz);
    let mut found = [[0.0; 2]; 4];
    for ((seen, own), spoke) in streams.iter().zip(&truth).zip(&spoken) {
        let inner = own.get(1..).unwrap_or_default();
        let tree = super::Segmentation::of(&seen.rows, model.dim())?;
        let starts: Vec<f64> = tree.cut(own.len()).iter().skip(1).map(|part| seen.times[part.start]).collect();
        let evenly = |count: usize| -> Vec<f64> {
            (0..count).map(|i| seen.seconds() * (i as f64 + 0.5) / count.max(1) as f64).collect()
        };
        let moments: Vec<f64> = spoke.iter().map(|(time, _)| *time).collect();
        let measured = [
            borders(&starts, inner, [TOLERANCE; 2]),
            borders(&evenly(inner.len()), inner, [TOLERANCE; 2]),
            borders(&moments, own, [0.0, LATE]),
            borders(&evenly(moments.len()), own, [0.0, LATE]),
        ];
        for (sum, one) in found.iter_mut().zip(measured) {
            sum.iter_mut().zip(one).for_each(|(sum, one)| *sum += one / options.streams.max(1) as f64);
        }
    }
    let (trigger_hz, trigger_cider_d) = online(&streams, &spoken, &teller)?;
    Ok(SelectiveReport {
        suite: "selective",
        streams: options.streams,
        seconds: options.seconds,
        scenes,
        saving_at_1_hz: saving(&curves[0], &curves[2], 1.0),
        saving_at_best: saving(&curves[0], &curves[2], best),
        curves,
        segments: [found[0][1], found[1][1]],
        trigger: found[2],
        trigger_floor: found[3],
        trigger_hz,
        trigger_cider_d,
        encoded: total.encoded as f64 / total.windows.max(1) as f64,
        fidelity: total.fidelity.filter(|_| total.audited > 0).map(|sum| sum / total.audited as f64),
    })
}

/// Rate and score of what the trigger told, each annotation matched to the sentence nearest in time.
fn online(streams: &[SeenStream], spoken: &[Vec<(f64, Vec<f32>)>], teller: &Teller<'_>) -> Result<(f64, f64)> {
    let (mut all, mut count) = (Vec::new(), 0);
    for (seen, spoken) in streams.iter().zip(spoken) {
        count += spoken.len();
        let states: Vec<f32> = spoken.iter().flat_map(|(_, state)| state.iter().copied()).collect();
        let told = teller.tell(&states)?.into_iter().map(|sentence| sentence.text);
        let said: Vec<(f64, String)> = spoken.iter().map(|(time, _)| *time).zip(told).collect();
        all.extend(matched(&seen.annotations, &said));
    }
    let scores = vljepa_train::cider::cider_d(&all);
    let seconds: f64 = streams.iter().map(SeenStream::seconds).sum();
    Ok((count as f64 / seconds.max(1e-9), scores.iter().sum::<f64>() / scores.len().max(1) as f64))
}
