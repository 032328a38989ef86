//! The index of an MP4 or MOV file: where each frame of the video track lies, and when it is shown (ISO/IEC 14496-12).
//!
//! Only the index is kept, 44 bytes a frame; of a cut-off file, the frames that are whole.

use std::io::{Read, Seek, SeekFrom};

use super::boxes::{self, Boxes, Orientation, child, descend, entries, u16_at, u32_at, u64_at, versioned};
use super::samples::{Builder, Defaults, MAX_SAMPLES, Sample};
use super::yuv::Colour;
use crate::DataError;
use crate::file::SharedFile;

/// A `moov` of twenty hours at 60 frames a second is under 100 MB.
const MAX_INDEX: u64 = 256 << 20;
/// Video tracks that are looked at for frames.
const MAX_TRACKS: usize = 64;

/// A sample at its place on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// Index in decoding order.
    pub sample: u32,
    /// In units of the track, from the start of the movie.
    pub pts: i64,
}

/// A codec and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Description {
    pub codec: [u8; 4],
    /// The body of `avcC`, empty where there is none.
    pub avcc: Vec<u8>,
    pub stated: StatedColour,
}

/// What a file says of its colours, each where it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StatedColour {
    /// As [`Colour::matrix`].
    pub matrix: Option<u8>,
    /// As [`Colour::full_range`].
    pub full_range: Option<bool>,
}

impl StatedColour {
    /// What the stream says goes before what its container says, each for itself, as in FFmpeg (`mov_read_colr` fills in what
    /// `init_dimensions` of its H.264 decoder replaces where the sequence has it).
    pub fn or(self, container: Self) -> Colour {
        let unknown = Colour::default();
        Colour {
            matrix: self.matrix.or(container.matrix).unwrap_or(unknown.matrix),
            full_range: self.full_range.or(container.full_range).unwrap_or(unknown.full_range),
        }
    }
}

/// What an MP4 or MOV file holds.
pub(super) enum Movie {
    Track(Track),
    /// Something that this reader does not know, in words.
    Foreign(String),
}

/// The video track of a file.
#[derive(Debug)]
pub(super) struct Track {
    pub descriptions: Vec<Description>,
    /// Units a second.
    pub timescale: u32,
    pub samples: Vec<Sample>,
    /// In the order of display.
    pub shown: Vec<Shown>,
    /// When the last frame ends.
    pub end: i64,
    /// Frames of the index that lie beyond the end of the file.
    pub missing: u64,
    /// The file ends within one of its fragments.
    pub open_end: bool,
    pub orientation: Orientation,
    /// Its number among the video tracks of the file, from 0.
    pub number: usize,
}

fn corrupt(origin: &str, reason: impl Into<String>) -> DataError {
    DataError::Corrupt { origin: origin.to_owned(), format: "MP4", reason: reason.into() }
}

/// Reads the index of the first video track that has frames, or of the first one where none has.
pub(super) fn read_movie(origin: &str, file: &SharedFile) -> Result<Movie, DataError> {
    let io = |e| DataError::io(origin, "reading")(e);
    let broken = |reason| corrupt(origin, reason);
    let mut file = file.clone();
    let len = file.seek(SeekFrom::End(0)).map_err(io)?;
    let mut top = TopLevel { origin, file, len, at: 0 };
    let mut tracks: Vec<Candidate> = Vec::new();
    let mut ends_within = false;
    while let Some((kind, start, size)) = top.next_box()? {
        ends_within |= size > len.saturating_sub(start);
        match &kind {
            b"moov" | b"moof" if size > len.saturating_sub(start) => break,
            b"moov" if tracks.is_empty() => {
                let mut body = top.body(start, size)?;
                if let Some(cmov) = child(&body, b"cmov") {
                    body = match inflated(cmov).map_err(broken)? {
                        Inflated::Movie(movie) => movie,
                        Inflated::Foreign(reason) => return Ok(Movie::Foreign(reason)),
                    };
                }
                tracks = candidates(&body, len).map_err(broken)?;
            }
            b"moof" if tracks.iter().any(|track| track.header.fragments.is_some()) => {
                let body = top.body(start, size)?;
                let begin = top.header_start(start);
                for Candidate { header, builder } in &mut tracks {
                    if let Some(defaults) = header.fragments {
                        builder.add_fragment(&body, begin, header.track_id, defaults).map_err(broken)?;
                    }
                }
            }
            _ => {}
        }
    }
    if tracks.is_empty() {
        return Err(corrupt(origin, "the index (moov) is missing: the file is cut off or its recording never ended"));
    }
    // Less than the header of a box.
    ends_within |= top.at < len;
    let number = tracks.iter().position(|track| !track.builder.samples.is_empty()).unwrap_or(0);
    let Candidate { header, builder } = tracks.swap_remove(number);
    let fragmented = header.fragments.is_some();
    let mut track = header.finish(builder, len, number).map_err(broken)?;
    track.open_end = fragmented && ends_within;
    Ok(Movie::Track(track))
}

/// A video track whose frames may come later.
struct Candidate {
    header: TrackHeader,
    builder: Builder,
}

/// The video tracks of `moov` up to the first that has frames, at least one.
fn candidates(moov: &[u8], file_len: u64) -> Result<Vec<Candidate>, String> {
    let mut tracks: Vec<Candidate> = Vec::new();
    for (track_id, trak) in video_tracks(moov).take(MAX_TRACKS) {
        let header = TrackHeader::parse(moov, track_id, trak).ok_or("its video track has no header")?;
        let mut builder = Builder::new(file_len);
        builder.add_table(trak)?;
        let found = !builder.samples.is_empty();
        tracks.push(Candidate { header, builder });
        if found {
            break;
        }
    }
    if tracks.is_empty() { Err("it has no video track".into()) } else { Ok(tracks) }
}

enum Inflated {
    Movie(Vec<u8>),
    Foreign(String),
}

/// A compressed `moov` (QuickTime File Format, "Compressed Movie Resources"): the format's name, and its data after their
/// inflated size.
fn inflated(cmov: &[u8]) -> Result<Inflated, String> {
    let format =
        child(cmov, b"dcom").and_then(|dcom| dcom.get(..4)).ok_or("its compressed index names no compression")?;
    if format != b"zlib" {
        return Ok(Inflated::Foreign(format!("its index is compressed as {}", format.escape_ascii())));
    }
    let data = child(cmov, b"cmvd").ok_or("its compressed index has no data")?;
    let size = u64::from(u32_at(data, 0).ok_or("its compressed index has no size")?);
    if size > MAX_INDEX {
        return Err(format!("its inflated index has {size} bytes, at most {MAX_INDEX} are read"));
    }
    let mut bytes = Vec::new();
    let inflating = flate2::read::ZlibDecoder::new(data.get(4..).unwrap_or(&[])).take(size).read_to_end(&mut bytes);
    inflating.map_err(|e| format!("its compressed index: {e}"))?;
    let moov = child(&bytes, b"moov").ok_or("its compressed index holds no moov")?;
    Ok(Inflated::Movie(moov.to_vec()))
}

/// Walks the boxes of the file itself without reading what they hold.
struct TopLevel<'a> {
    origin: &'a str,
    file: SharedFile,
    len: u64,
    at: u64,
}

impl TopLevel<'_> {
    /// Kind, start and size of the body, which may go beyond the end of a file that is cut off.
    fn next_box(&mut self) -> Result<Option<([u8; 4], u64, u64)>, DataError> {
        if self.len.saturating_sub(self.at) < 8 {
            return Ok(None);
        }
        let mut header = [0; 16];
        let known = (self.len - self.at).min(16) as usize;
        self.read(self.at, &mut header[..known])?;
        let kind = [header[4], header[5], header[6], header[7]];
        let (skip, size) = match u32_at(&header, 0).unwrap_or(0) {
            0 => (8, self.len - self.at),
            1 => (16, u64_at(&header, 8).unwrap_or(0)),
            size => (8, u64::from(size)),
        };
        if size < skip {
            return Ok(None);
        }
        let start = self.at + skip;
        self.at = self.at.saturating_add(size);
        Ok(Some((kind, start, size - skip)))
    }

    /// Offsets of a fragment count from its header, which has eight bytes: no fragment needs the long form.
    fn header_start(&self, body: u64) -> u64 {
        body.saturating_sub(8)
    }

    fn body(&mut self, start: u64, size: u64) -> Result<Vec<u8>, DataError> {
        if size > MAX_INDEX {
            return Err(corrupt(self.origin, format!("its index has {size} bytes, at most {MAX_INDEX} are read")));
        }
        let mut body = vec![0; size as usize];
        self.read(start, &mut body)?;
        Ok(body)
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), DataError> {
        let seek = self.file.seek(SeekFrom::Start(at));
        seek.and_then(|_| self.file.read_exact(into)).map_err(DataError::io(self.origin, "reading"))
    }
}

/// What `moov` says of a track, without its samples.
struct TrackHeader {
    track_id: u32,
    movie_scale: u32,
    track_scale: u32,
    /// The track's length in its units; 0 where unknown.
    duration: u64,
    descriptions: Vec<Description>,
    orientation: Orientation,
    edits: Vec<Edit>,
    fragments: Option<Defaults>,
}

/// A line of the edit list.
#[derive(Clone, Copy)]
struct Edit {
    /// In units of the movie.
    duration: u64,
    /// In units of the track; -1 shows nothing.
    media_time: i64,
}

impl TrackHeader {
    fn parse(moov: &[u8], track_id: u32, trak: &[u8]) -> Option<Self> {
        let mvhd = child(moov, b"mvhd").unwrap_or(&[]);
        let long = mvhd.first() == Some(&1);
        let movie_scale = u32_at(mvhd, if long { 20 } else { 12 }).unwrap_or(0);
        let movie_matrix = boxes::matrix(mvhd, if long { 48 } else { 36 });
        let tkhd = child(trak, b"tkhd")?;
        let track_matrix = boxes::matrix(tkhd, if tkhd.first() == Some(&1) { 52 } else { 40 });
        let mdhd = descend(trak, &[b"mdia", b"mdhd"])?;
        let track_scale = u32_at(mdhd, if mdhd.first() == Some(&1) { 20 } else { 12 })?;
        let fragments = child(moov, b"mvex").map(|mvex| {
            let trex = Boxes(mvex).find(|(kind, body)| kind == b"trex" && u32_at(body, 4) == Some(track_id));
            let field = |index: usize| trex.and_then(|(_, body)| u32_at(body, 4 + 4 * index)).unwrap_or(0);
            Defaults { description: field(1), duration: field(2), size: field(3), flags: field(4) }
        });
        Some(Self {
            track_id,
            movie_scale,
            track_scale,
            duration: versioned(mdhd, 16, 24).filter(|d| *d != u64::MAX && *d != u64::from(u32::MAX)).unwrap_or(0),
            descriptions: descriptions(trak),
            orientation: Orientation::from_matrix(boxes::after(track_matrix, movie_matrix)),
            edits: edits(trak),
            fragments,
        })
    }

    /// Orders the samples by display, as the edit list says.
    fn finish(self, builder: Builder, file_len: u64, number: usize) -> Result<Track, String> {
        if self.track_scale == 0 {
            return Err("its clock has 0 units a second".into());
        }
        let mut samples = builder.samples;
        let total = samples.len();
        // Frames after the first one that is cut off depend on it.
        let whole = |s: &Sample| s.offset.checked_add(u64::from(s.size)).is_some_and(|end| end <= file_len);
        samples.truncate(samples.iter().position(|s| !whole(s)).unwrap_or(total));
        let mut order: Vec<u32> = (0..samples.len() as u32).collect();
        order.sort_by_key(|i| samples[*i as usize].cts);

        let last = order.last().map_or(0, |i| samples[*i as usize].cts);
        let step = match order.as_slice() {
            [.., before, _] => last.saturating_sub(samples[*before as usize].cts),
            _ => 1,
        };
        // How long the last frame stays is known only from the duration of the whole track.
        let track_end = if self.fragments.is_none() && total == samples.len() { self.duration } else { 0 };
        let media_end = last.saturating_add(step).max(i64::try_from(track_end).unwrap_or(0));
        let (mut shown, end) = self.apply_edits(&samples, &order, media_end);
        let end = if shown.is_empty() && !samples.is_empty() {
            // An edit list that hides every frame is ignored.
            shown = order.iter().map(|&sample| Shown { sample, pts: samples[sample as usize].cts }).collect();
            media_end
        } else {
            end
        };
        Ok(Track {
            descriptions: self.descriptions,
            timescale: self.track_scale,
            shown,
            end,
            missing: (total - samples.len()) as u64,
            open_end: false,
            samples,
            orientation: self.orientation,
            number,
        })
    }

    fn apply_edits(&self, samples: &[Sample], order: &[u32], media_end: i64) -> (Vec<Shown>, i64) {
        let cts = |i: &u32| samples[*i as usize].cts;
        if self.edits.is_empty() || self.movie_scale == 0 {
            return (order.iter().map(|&sample| Shown { sample, pts: cts(&sample) }).collect(), media_end);
        }
        let to_track = |duration: u64| -> i64 {
            let scaled = u128::from(duration) * u128::from(self.track_scale) + u128::from(self.movie_scale / 2);
            i64::try_from(scaled / u128::from(self.movie_scale)).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
        };
        let mut shown: Vec<Shown> = Vec::new();
        let (mut clock, mut end) = (0_i64, 0_i64);
        let mut empty = 0_i64;
        for (index, edit) in self.edits.iter().enumerate() {
            let duration = to_track(edit.duration);
            if edit.media_time < 0 {
                clock = clock.saturating_add(duration);
                empty = empty.saturating_add(duration);
                continue;
            }
            // Fragments are written after the index, so its lengths do not cover them.
            let open = self.fragments.is_some() || (edit.duration == 0 && index + 1 == self.edits.len());
            let stop = if open { i64::MAX } else { edit.media_time.saturating_add(duration) };
            let start = if self.fragments.is_some() { i64::MIN } else { edit.media_time };
            let from = order.partition_point(|i| cts(i) < start);
            let to = order.partition_point(|i| cts(i) < stop);
            let room = MAX_SAMPLES.saturating_sub(shown.len());
            let place = |t: i64| t.saturating_sub(edit.media_time).saturating_add(clock);
            let part = order.get(from..to.max(from)).unwrap_or(&[]).iter().take(room);
            shown.extend(part.map(|&sample| Shown { sample, pts: place(cts(&sample)) }));
            end = place(media_end.min(stop));
            clock = if open { end } else { clock.saturating_add(duration) };
        }
        // An edit that begins between two frames would show nothing until the second; as in FFmpeg, all frames move up.
        let late = shown.iter().map(|frame| frame.pts).min().unwrap_or(0).saturating_sub(empty).max(0);
        shown.iter_mut().for_each(|frame| frame.pts -= late);
        (shown, end.saturating_sub(late))
    }
}

/// Id and body of each `trak` with moving pictures.
fn video_tracks(moov: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    Boxes(moov).filter(|(kind, _)| kind == b"trak").filter_map(|(_, trak)| {
        let handler = descend(trak, &[b"mdia", b"hdlr"])?.get(8..12)?;
        let tkhd = child(trak, b"tkhd")?;
        let id = u32_at(tkhd, if tkhd.first() == Some(&1) { 20 } else { 12 })?;
        (handler == b"vide").then_some((id, trak))
    })
}

fn descriptions(trak: &[u8]) -> Vec<Description> {
    let Some(stsd) = descend(trak, &[b"mdia", b"minf", b"stbl", b"stsd"]) else {
        return Vec::new();
    };
    let describe = |(codec, body): ([u8; 4], &[u8])| {
        // ISO/IEC 14496-12, VisualSampleEntry: 78 bytes before the child boxes.
        let children = body.get(78..).unwrap_or(&[]);
        let avcc = child(children, b"avcC").unwrap_or(&[]).to_vec();
        Description { codec, avcc, stated: stated_colour(children) }
    };
    Boxes(stsd.get(8..).unwrap_or(&[])).map(describe).take(256).collect()
}

/// The last `colr` of a sample entry that states a matrix (12.1.5; `nclc` is that of the QuickTime File Format, without range).
fn stated_colour(children: &[u8]) -> StatedColour {
    let colours = Boxes(children).filter(|(kind, _)| kind == b"colr").filter_map(|(_, body)| {
        let matrix = u16_at(body, 8).map(|matrix| u8::try_from(matrix).unwrap_or(2));
        match body.get(..4)? {
            b"nclx" => Some(StatedColour { matrix, full_range: body.get(10).map(|flags| flags & 0x80 != 0) }),
            b"nclc" => Some(StatedColour { matrix, full_range: None }),
            _ => None,
        }
    });
    colours.last().unwrap_or_default()
}

fn edits(trak: &[u8]) -> Vec<Edit> {
    let Some(elst) = descend(trak, &[b"edts", b"elst"]) else {
        return Vec::new();
    };
    if elst.first() == Some(&1) {
        let edit = |row: &[u8; 20]| Edit {
            duration: u64_at(row, 0).unwrap_or(0),
            media_time: u64_at(row, 8).map_or(-1, |time| time as i64),
        };
        entries::<20>(elst, 4).iter().map(edit).collect()
    } else {
        let edit = |row: &[u8; 12]| Edit {
            duration: u32_at(row, 0).map_or(0, u64::from),
            media_time: u32_at(row, 4).map_or(-1, |time| i64::from(time as i32)),
        };
        entries::<12>(elst, 4).iter().map(edit).collect()
    }
}

/// The codec that a file names when it is not one of ours, for messages.
pub(super) fn codec_name(codec: [u8; 4]) -> String {
    codec.escape_ascii().to_string()
}

/// Where an `avcC` keeps the width of its length prefixes.
pub(super) fn length_size(avcc: &[u8]) -> Option<usize> {
    avcc.get(4).map(|byte| usize::from(byte & 3) + 1).filter(|_| u16_at(avcc, 6).is_some())
}
