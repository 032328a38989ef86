//! H.264 from an MP4 or MOV file, decoded in order or from the nearest sync sample.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::panic::catch_unwind;

use rust_h264::decoder::{ChromaFormat, Frame};
use rust_h264::nal::{NalUnit, NalUnitType, SpsInfo, parse_avcc, parse_avcc_config, parse_sps_info};

use super::boxes::Orientation;
use super::h264_bits::Checked;
use super::h264_conceal::Concealment;
use super::h264_guard::GuardedDecoder;
use super::h264_params::{Form, Pps, Sps};
use super::mp4::{self, Movie, StatedColour, Track};
use super::options::Damaged;
use super::source::{Access, Facts, Pixels, Raw, Source, check_size};
use super::yuv::{Colour, YuvFrame};
use crate::file::SharedFile;
use crate::{DataError, Limits};

/// H.264 lets 16 frames wait for one that is shown before them; twice that, for files that hold each field for itself.
const MAX_WAITING: usize = 33;
/// A frame of 16,384 x 16,384 pixels without compression.
const MAX_SAMPLE: u64 = 512 << 20;
/// Bytes of a sample that are no macroblocks: messages, filling.
const SAMPLE_EXTRAS: u64 = 1 << 20;
/// How often a stream is decoded, on average, for one reading of it: edit lists may show frames again, and each may cost all
/// frames since the sync sample before it.
const PASSES: u64 = 16;
/// Samples that are decoded beside those, for short streams.
const FREE_STEPS: u64 = 1024;
/// Where the first slice of a sample is looked for.
const FIRST_BYTES: u32 = 1 << 16;
/// Each takes memory before it is looked at.
const MAX_NAL_UNITS: usize = 1 << 16;

/// What the reader of an MP4 file found.
pub(super) enum Opened {
    Ready(Box<H264>),
    /// A codec, or a form of H.264, that needs another decoder.
    Foreign {
        /// In words.
        why: String,
        /// The number of the track among the video tracks of the file, from 0.
        track: usize,
    },
}

pub(super) struct H264 {
    origin: String,
    file: SharedFile,
    limits: Limits,
    track: Track,
    /// Place of each sample among all in the order of their times.
    ranks: Vec<u32>,
    facts: Facts,
    /// Next entry of `track.shown`.
    cursor: usize,
    decoder: GuardedDecoder,
    /// The largest picture among the parameter sets that came so far.
    largest: Option<Form>,
    /// Every picture is a whole frame, so that it is complete when its sample is.
    progressive: bool,
    /// Next sample to decode.
    feed: usize,
    /// How many samples may still be decoded before a frame is asked for by its place.
    steps: u64,
    /// The description whose parameters the decoder has.
    described: Option<u16>,
    /// What the sample's description says of its colours.
    container: StatedColour,
    colour: Colour,
    /// The sample of the picture that the decoder is building.
    building: Option<u32>,
    /// Samples before this one have given their frames, if they have any.
    passed: u32,
    /// Frames before this rank may refer to frames before the sync sample, so they may be missing or broken.
    sound_from: u32,
    concealment: Concealment,
    /// Decoded and not shown yet, by rank.
    waiting: BTreeMap<u32, (Frame, Colour)>,
    buffer: Vec<u8>,
}

impl H264 {
    pub fn open(origin: &str, file: SharedFile, limits: &Limits, damaged: Damaged) -> Result<Opened, DataError> {
        let mut track = match mp4::read_movie(origin, &file)? {
            Movie::Track(track) => track,
            Movie::Foreign(why) => return Ok(Opened::Foreign { why, track: 0 }),
        };
        let number = track.number;
        let foreign = |why: String| Ok(Opened::Foreign { why, track: number });
        let corrupt = |reason: String| DataError::Corrupt { origin: origin.to_owned(), format: "MP4", reason };
        let mut infos: Vec<SpsInfo> = Vec::new();
        let mut sets: Vec<Sps> = Vec::new();
        for description in &track.descriptions {
            if !matches!(&description.codec, b"avc1" | b"avc3") {
                return foreign(format!("its codec is {}", mp4::codec_name(description.codec)));
            }
            if mp4::length_size(&description.avcc).is_none() {
                return Err(corrupt("its H.264 configuration (avcC) is missing or cut off".into()));
            }
            let config = parse_avcc_config(&description.avcc).map_err(|reason| corrupt(reason.to_owned()))?;
            for sps in &config.sps_nals {
                let (info, parsed) = sps_info(origin, sps, limits)?;
                infos.push(info);
                sets.push(parsed);
            }
        }
        if track.descriptions.is_empty() {
            return Err(corrupt("its video track names no codec".into()));
        }
        let decodes = |info: &SpsInfo| {
            let depths = info.chroma_format == 0 || info.bit_depth_chroma == info.bit_depth_luma;
            info.chroma_format <= 2 && matches!(info.bit_depth_luma, 8 | 10) && depths
        };
        if let Some(info) = infos.iter().find(|info| !decodes(info)) {
            let depth = info.bit_depth_luma;
            let form = if info.chroma_format > 2 { "4:4:4" } else { "4:2:0 or 4:2:2" };
            return foreign(format!("its H.264 is {form} of {depth} bits"));
        }
        let (mut redundant, mut slice_groups) = (false, false);
        for description in &track.descriptions {
            let config = parse_avcc_config(&description.avcc).map_err(|reason| corrupt(reason.to_owned()))?;
            let depth = |id| sets.iter().filter(|sps| sps.id == id).map(|sps| sps.form.depth).max();
            for pps in &config.pps_nals {
                let parsed = Pps::parse(&pps.rbsp, depth);
                let pps = parsed.map_err(|reason| corrupt(format!("the parameters of its pictures: {reason}")))?;
                redundant |= pps.redundant_pictures;
                slice_groups |= pps.slice_groups > 1;
            }
        }
        let forms = [
            (redundant, "has redundant pictures"),
            (slice_groups, "has slice groups"),
            (sets.iter().any(|sps| sps.lossless), "is lossless (transform bypass)"),
            (sets.iter().any(|sps| sps.extended), "is of the Extended profile"),
        ];
        if let Some((_, form)) = forms.iter().find(|(is, _)| *is) {
            return foreign(format!("its H.264 {form}"));
        }
        let mut ranks = vec![0; track.samples.len()];
        let mut order: Vec<u32> = (0..ranks.len() as u32).collect();
        order.sort_by_key(|i| track.samples[*i as usize].cts);
        order.iter().zip(0..).for_each(|(sample, rank)| ranks[*sample as usize] = rank);
        // What is decoded before the first sync sample, or shown before it and decoded after it, refers to frames that are not
        // in the file.
        let start = first_sync(&track, &file).map_err(DataError::io(origin, "reading"))?;
        let first = ranks.get(start as usize).copied().unwrap_or(0);
        track.shown.retain(|shown| shown.sample >= start && ranks[shown.sample as usize] >= first);
        let facts = facts(&track, infos.first());
        let sound_from = first;
        Ok(Opened::Ready(Box::new(Self {
            origin: origin.to_owned(),
            file,
            limits: *limits,
            ranks,
            facts,
            cursor: 0,
            decoder: GuardedDecoder::new(limits.max_bytes),
            largest: sets.iter().map(|sps| sps.form).max_by_key(Form::mbs),
            progressive: !infos.is_empty() && infos.iter().all(|info| info.progressive),
            steps: FREE_STEPS.saturating_add(PASSES * track.samples.len() as u64),
            described: None,
            container: StatedColour::default(),
            colour: Colour::default(),
            building: None,
            feed: start as usize,
            passed: start,
            sound_from,
            concealment: Concealment::new(damaged),
            waiting: BTreeMap::new(),
            buffer: Vec::new(),
            track,
        })))
    }

    fn corrupt(&self, sample: usize, reason: impl std::fmt::Display) -> DataError {
        let reason = format!("frame {} of {}: {reason}", sample + 1, self.track.samples.len());
        DataError::Corrupt { origin: self.origin.clone(), format: "H.264", reason }
    }

    /// The frame of a sample; `None` where it has none of its own (the second field of one).
    fn frame_of(&mut self, sample: u32) -> Result<Option<YuvFrame>, DataError> {
        let rank = self.ranks[sample as usize];
        self.approach(sample, rank);
        loop {
            while let Some(entry) = self.waiting.first_entry() {
                match (*entry.key()).cmp(&rank) {
                    std::cmp::Ordering::Less => drop(entry.remove()),
                    std::cmp::Ordering::Equal => return Ok(Some(planes(entry.remove()))),
                    std::cmp::Ordering::Greater => break,
                }
            }
            if self.passed > sample {
                return Ok(None);
            }
            if self.feed < self.track.samples.len() {
                self.step(rank)?;
            } else {
                let last = self.guarded(self.feed.saturating_sub(1), GuardedDecoder::flush)?;
                self.keep(last);
                self.passed = u32::MAX;
            }
        }
    }

    /// The frame at a place among those shown, or what stands in for it.
    fn frame_or_stand_in(&mut self, place: usize) -> Result<Option<YuvFrame>, DataError> {
        if let Some(found) = self.sound_frame(place)? {
            return Ok(found);
        }
        self.concealment.conceal(place);
        let places = self.track.shown.len();
        for other in (0..place).rev().chain(place + 1..places) {
            if let Some(frame) = self.concealment.stand_in(other) {
                return Ok(Some(frame));
            }
            if let Some(Some(frame)) = self.sound_frame(other)? {
                self.concealment.keep(other, &frame);
                return Ok(Some(frame));
            }
        }
        Err(DataError::Corrupt {
            origin: self.origin.clone(),
            format: "H.264",
            reason: format!("no frame is whole; {}", self.concealment.reason()),
        })
    }

    /// As [`Self::frame_of`]; `None` for a frame that is damaged and may be concealed.
    fn sound_frame(&mut self, place: usize) -> Result<Option<Option<YuvFrame>>, DataError> {
        let Some(sample) = self.track.shown.get(place).map(|shown| shown.sample) else {
            return Ok(Some(None));
        };
        if self.concealment.is_lost(sample) {
            return Ok(None);
        }
        match self.frame_of(sample) {
            Ok(found) => Ok(Some(found)),
            Err(error) => {
                self.concealment.takes(error)?;
                // Where decoding failed; what was asked for, where that came before it.
                let from = self.feed.saturating_sub(1).min(sample as usize);
                let syncs = self.track.samples.iter().enumerate().skip(self.feed);
                let until = syncs.into_iter().find(|(_, sample)| sample.sync).map(|(index, _)| index);
                self.concealment.lose(from as u32..until.unwrap_or(self.track.samples.len()).max(from + 1) as u32);
                // What is asked for next is decoded from a sync sample on.
                self.passed = u32::MAX;
                Ok(None)
            }
        }
    }

    /// Restarts at a sync sample where that is needed, or quicker than decoding on.
    fn approach(&mut self, sample: u32, rank: u32) {
        let starts = |i: &usize| self.track.samples[*i].sync && self.ranks[*i] <= rank;
        let behind = self.passed > sample && !self.waiting.contains_key(&rank);
        let lowest = if behind { 0 } else { self.feed + 1 };
        let Some(start) = (lowest..=sample as usize).rev().find(starts).or(behind.then_some(0)) else {
            return;
        };
        self.decoder = GuardedDecoder::new(self.limits.max_bytes);
        self.described = None;
        self.building = None;
        self.waiting.clear();
        self.feed = start;
        self.passed = start as u32;
        self.sound_from = self.ranks[start];
    }

    /// Decodes the next sample, unless nothing depends on it and it is shown before `wanted`.
    fn step(&mut self, wanted: u32) -> Result<(), DataError> {
        let index = self.feed;
        let sample = self.track.samples[index];
        let most = self.max_sample(sample.description);
        if u64::from(sample.size) > most {
            let reason = format_args!("it has {} bytes, a picture of its size has {most} at most", sample.size);
            return Err(self.corrupt(index, reason));
        }
        self.steps = self.steps.checked_sub(1).ok_or_else(|| {
            let reason = format_args!("its order of display decodes each frame more than {PASSES} times on average");
            self.corrupt(index, reason)
        })?;
        self.feed += 1;
        self.buffer.resize(sample.size as usize, 0);
        let seek = self.file.seek(SeekFrom::Start(sample.offset));
        let read = seek.and_then(|_| self.file.read_exact(&mut self.buffer));
        read.map_err(DataError::io(&self.origin, "reading"))?;
        let rank = self.ranks[index];
        let leading = rank < self.sound_from;
        let buffer = std::mem::take(&mut self.buffer);
        let outcome = self.decode(index, sample.description, &buffer, rank < wanted);
        self.buffer = buffer;
        match outcome {
            // Frames shown before the sync sample where decoding began are not asked for, and may refer to missing frames.
            Err(_) if leading => {
                self.building = None;
                Ok(())
            }
            outcome => outcome,
        }?;
        // A.3.1: max_dec_frame_buffering is MaxDpbFrames at most.
        let most = self.largest.map_or(MAX_WAITING, |form| 2 * form.dpb_frames() as usize + 1);
        if self.waiting.len() > most {
            return Err(self.corrupt(index, "its times reorder frames further than H.264 allows"));
        }
        Ok(())
    }

    fn decode(&mut self, index: usize, description: u16, bytes: &[u8], skippable: bool) -> Result<(), DataError> {
        let Some(described) = self.track.descriptions.get(usize::from(description)) else {
            return Err(self.corrupt(index, "it refers to a codec description that is not there"));
        };
        let avcc = described.avcc.clone();
        self.container = described.stated;
        let length_size = mp4::length_size(&avcc).unwrap_or(4);
        if self.described != Some(description) {
            let config = parse_avcc_config(&avcc).map_err(|reason| self.corrupt(index, reason))?;
            for nal in config.sps_nals.iter().chain(&config.pps_nals) {
                self.nal(index, nal)?;
            }
            self.described = Some(description);
        }
        match nal_units(bytes, length_size) {
            None => return Err(self.corrupt(index, "it is cut off or is no H.264")),
            Some(count) if count > MAX_NAL_UNITS => {
                let reason = format_args!("it has {count} NAL units, at most {MAX_NAL_UNITS} are read");
                return Err(self.corrupt(index, reason));
            }
            Some(_) => {}
        }
        let nals = parse_avcc(bytes, length_size);
        let slice = |nal: &&NalUnit| matches!(nal.nal_unit_type, NalUnitType::Slice | NalUnitType::SliceIdr);
        let discard = skippable && self.progressive && nals.iter().filter(slice).all(|nal| nal.nal_ref_idc == 0);
        for nal in &nals {
            if !(discard && slice(&nal)) {
                self.nal(index, nal)?;
            }
        }
        if self.progressive {
            let frame = self.guarded(index, GuardedDecoder::flush)?;
            self.keep(frame);
            self.passed = index as u32 + 1;
        }
        Ok(())
    }

    fn nal(&mut self, index: usize, nal: &NalUnit) -> Result<(), DataError> {
        if nal.nal_unit_type == NalUnitType::Sps {
            // Checked before the decoder allocates by it.
            let (info, sps) = sps_info(&self.origin, nal, &self.limits)?;
            self.largest = self.largest.into_iter().chain([sps.form]).max_by_key(Form::mbs);
            let stream = StatedColour { matrix: sps.matrix, full_range: sps.full_range };
            self.colour = stream.or(self.container);
            self.progressive &= info.progressive;
        }
        let slice = matches!(nal.nal_unit_type, NalUnitType::Slice | NalUnitType::SliceIdr);
        let finished = self.guarded(index, |decoder| decoder.decode(nal))?;
        let ended = finished.is_some();
        self.keep(finished);
        if slice && (ended || self.building.is_none()) {
            // All samples before the one that is being built have ended.
            self.passed = self.passed.max(index as u32);
            self.building = Some(index as u32);
        }
        Ok(())
    }

    /// Keeps a frame until it is shown, under the sample whose first slice began it.
    fn keep(&mut self, frame: Option<Frame>) {
        let Some(frame) = frame else { return };
        if let Some(sample) = self.building.take() {
            let rank = self.ranks[sample as usize];
            if rank >= self.sound_from {
                self.waiting.insert(rank, (frame, self.colour));
            }
        }
    }

    /// Runs the decoder. Where it has forgotten its parameters, it is fed them again.
    fn guarded<T>(
        &mut self,
        index: usize,
        run: impl FnOnce(&mut GuardedDecoder) -> Checked<T>,
    ) -> Result<T, DataError> {
        let outcome = run(&mut self.decoder);
        if self.decoder.is_blank() {
            self.described = None;
        }
        outcome.map_err(|reason| self.corrupt(index, reason))
    }

    /// Twice what the macroblocks of its largest picture take without compression: A.3.1 lets them grow by 128 bits each,
    /// and emulation prevention by half.
    fn max_sample(&self, description: u16) -> u64 {
        let described = self.track.descriptions.get(usize::from(description));
        match (described.map(|d| &d.codec), self.largest) {
            (Some(b"avc1"), Some(form)) => {
                let bytes = (form.mbs() * form.bytes_per_mb()).saturating_mul(2).saturating_add(SAMPLE_EXTRAS);
                bytes.min(MAX_SAMPLE)
            }
            // Its parameter sets may come with the sample.
            _ => MAX_SAMPLE,
        }
    }
}

impl Source for H264 {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn access(&self) -> Access {
        Access::Indexed
    }

    fn notes(&self) -> Vec<String> {
        let (there, missing) = (self.track.samples.len() as u64, self.track.missing);
        // What fragments would have followed is not known.
        let of = if self.track.open_end { "of at least" } else { "of" };
        let cut = || format!("cut off: {there} {of} {} frames are there", there + missing);
        let damaged = self.concealment.note(self.track.shown.len());
        (missing > 0 || self.track.open_end).then(cut).into_iter().chain(damaged).collect()
    }

    fn orientation(&self) -> Orientation {
        self.track.orientation
    }

    fn next(&mut self) -> Result<Option<Raw>, DataError> {
        while let Some(shown) = self.track.shown.get(self.cursor).copied() {
            self.cursor += 1;
            if let Some(frame) = self.frame_or_stand_in(self.cursor - 1)? {
                let pts = shown.pts as f64 / f64::from(self.track.timescale);
                return Ok(Some(Raw { pixels: Pixels::Yuv(frame), pts }));
            }
        }
        Ok(None)
    }

    fn seek(&mut self, index: u64) -> Result<(), DataError> {
        // Decoding begins when a frame is asked for.
        self.steps = self.steps.saturating_add(self.track.samples.len() as u64 + 1);
        self.cursor = usize::try_from(index).unwrap_or(usize::MAX);
        Ok(())
    }

    fn scan(&mut self) -> Result<Vec<f64>, DataError> {
        let scale = f64::from(self.track.timescale);
        Ok(self.track.shown.iter().map(|shown| shown.pts as f64 / scale).collect())
    }
}

fn facts(track: &Track, info: Option<&SpsInfo>) -> Facts {
    let scale = f64::from(track.timescale);
    let first = track.shown.first().map_or(0, |shown| shown.pts);
    let span = track.end.saturating_sub(first) as f64 / scale;
    let frames = track.shown.len();
    let size = info.map(|info| track.orientation.size((info.width, info.height)));
    Facts {
        format: "MP4 with H.264",
        size,
        duration: Some(track.end.max(0) as f64 / scale),
        frames: Some(frames as u64),
        fps: (frames > 0 && span > 0.0).then(|| frames as f64 / span),
        missing_frames: track.missing,
    }
}

/// Reads a sequence parameter set, and refuses pictures beyond the limits.
fn sps_info(origin: &str, nal: &NalUnit, limits: &Limits) -> Result<(SpsInfo, Sps), DataError> {
    let corrupt = |reason: String| DataError::Corrupt { origin: origin.to_owned(), format: "H.264", reason };
    let sps = Sps::parse(&nal.rbsp).map_err(|reason| corrupt(format!("the parameters of the stream: {reason}")))?;
    let info = catch_unwind(|| parse_sps_info(nal))
        .map_err(|_| corrupt("the decoder cannot read the parameters of the stream".into()))?
        .map_err(|e| corrupt(format!("the parameters of the stream: {e}")))?;
    let (width, height) = (info.coded_width, info.coded_height);
    if info.width == 0 || info.height == 0 || info.width > width || info.height > height {
        return Err(corrupt(format!("the stream says {}x{} pixels", info.width, info.height)));
    }
    check_size(origin, (width, height), limits)?;
    Ok((info, sps))
}

/// The first sample where decoding can begin: the first of all where it begins anew (IDR) whatever the index says of it, or
/// where the index names none.
fn first_sync(track: &Track, file: &SharedFile) -> std::io::Result<u32> {
    let sync = track.samples.iter().position(|sample| sample.sync).unwrap_or(0);
    let Some(first) = track.samples.first().filter(|_| sync > 0) else {
        return Ok(0);
    };
    let avcc = track.descriptions.get(usize::from(first.description)).map_or(&[][..], |described| &described.avcc);
    let mut head = vec![0; first.size.min(FIRST_BYTES) as usize];
    let mut file = file.clone();
    file.seek(SeekFrom::Start(first.offset))?;
    file.read_exact(&mut head)?;
    let (mut at, width) = (0, mp4::length_size(avcc).unwrap_or(4));
    while let Some((prefix, nal)) = head.get(at..).and_then(|rest| rest.split_at_checked(width)) {
        if nal.first().is_some_and(|byte| byte & 0x1f == 5) {
            return Ok(0);
        }
        let length = prefix.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        at = at.saturating_add(width).saturating_add(length);
    }
    Ok(sync as u32)
}

/// How many NAL units a sample has; `None` where their lengths do not end where it does.
fn nal_units(mut bytes: &[u8], length_size: usize) -> Option<usize> {
    let mut count = 0;
    while let Some((prefix, rest)) = bytes.split_at_checked(length_size) {
        let length = prefix.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        bytes = rest.get(length..)?;
        count += usize::from(length > 0);
    }
    // Some writers pad with zeros.
    bytes.iter().all(|byte| *byte == 0).then_some(count)
}

fn planes((frame, colour): (Frame, Colour)) -> YuvFrame {
    let mut data = frame.y;
    data.reserve_exact(frame.u.len() + frame.v.len());
    data.extend_from_slice(&frame.u);
    data.extend_from_slice(&frame.v);
    YuvFrame {
        width: frame.width,
        height: frame.height,
        chroma_step_x: 2,
        chroma_step_y: if frame.chroma_format == ChromaFormat::Yuv422 { 1 } else { 2 },
        depth: frame.bit_depth,
        colour,
        data,
    }
}
