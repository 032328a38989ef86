//! What a manifest holds and what is wrong with its data: counts, files that are missing or broken, times beyond the end, the
//! same clip in several parts of the data.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rayon::prelude::*;
use serde::Serialize;

use super::fields::Split;
use super::read::Manifest;
use super::row::{Place, Row};
use super::visual::Opened;
use crate::video::{VideoOptions, span};
use crate::{DataError, Limits};

/// Frames of a video that are decoded.
const FRAMES: usize = 16;
/// Targets that are listed by name.
const FEW_CLASSES: usize = 100;
/// Faults and duplicates of a kind that are listed; all are counted.
const LISTED: usize = 1000;
/// Texts that are listed as the longest.
const LONGEST: usize = 3;
/// Seconds that times may lie beyond the end of a video.
const SLACK: f64 = 1e-3;

/// How a manifest is checked.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CheckOptions {
    /// Only opens each file, and tells duplicates by their paths; otherwise pictures are decoded, of each video up to 16 frames,
    /// and files of one size are compared by their content.
    pub quick: bool,
    /// How videos are opened.
    pub video: VideoOptions,
}

/// What a part of the data holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Rows.
    pub rows: usize,
    /// Of those, pictures that could be opened.
    pub pictures: usize,
    /// Videos that could be opened.
    pub videos: usize,
    /// Folders of frames that could be opened.
    pub frame_folders: usize,
    /// Rows with times.
    pub timed: usize,
    /// Rows with a query.
    pub queries: usize,
    /// Right texts.
    pub targets: usize,
    /// Right texts that differ.
    pub distinct_targets: usize,
    /// Rows of each text, where each row has one and there are at most a hundred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<BTreeMap<String, usize>>,
}

/// A row whose data are not as they should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The row's place.
    pub row: String,
    /// What is wrong, with the file.
    pub what: String,
}

/// The same clip in two parts of the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Duplicate {
    /// A row.
    pub row: String,
    /// Its part.
    pub split: Split,
    /// A row of another part that shows the same.
    pub other: String,
    /// That part.
    pub other_split: Split,
}

/// One of the longest texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LongText {
    /// The row's place.
    pub row: String,
    /// "query" or "target".
    pub field: &'static str,
    /// Its length in characters.
    pub characters: usize,
    /// The text.
    pub text: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// What each part holds; parts without rows are left out.
    pub splits: BTreeMap<Split, Counts>,
    /// How many rows have missing files.
    pub missing_count: usize,
    /// Rows whose files are missing, the first thousand.
    pub missing: Vec<Fault>,
    /// How many rows have broken files.
    pub broken_count: usize,
    /// Rows whose files cannot be read, and times without a frame between them, the first thousand.
    pub broken: Vec<Fault>,
    /// How many rows have times beyond the end.
    pub beyond_count: usize,
    /// Rows whose clip ends after its video, the first thousand.
    pub beyond_end: Vec<Fault>,
    /// How many clips are in several parts.
    pub duplicate_count: usize,
    /// Clips that are in several parts, the first thousand.
    pub duplicates: Vec<Duplicate>,
    /// The longest texts, longest first.
    pub longest: Vec<LongText>,
}

impl Report {
    /// Whether every row can be read.
    pub fn is_sound(&self) -> bool {
        self.missing_count + self.broken_count == 0
    }

    /// What makes training on it wrong, in words: rows that cannot be read, clips that are trained on and measured on, nothing to
    /// train on. Times beyond the end of a video are not among it: the clip ends with the video.
    pub fn problem(&self) -> Option<String> {
        let counted = |count: usize, one: &str, many: &str| match count {
            0 => None,
            1 => Some(format!("1 {one}")),
            n => Some(format!("{n} {many}")),
        };
        let untrained = match self.splits.contains_key(&Split::Train) {
            true => None,
            false => Some(format!("no row has the split {}, there is nothing to train on", Split::Train)),
        };
        let found = [
            counted(self.missing_count, "row whose file is missing", "rows whose files are missing"),
            counted(self.broken_count, "row that cannot be read", "rows that cannot be read"),
            counted(self.duplicate_count, "clip that is in two splits", "clips that are in two splits"),
            untrained,
        ];
        let found: Vec<String> = found.into_iter().flatten().collect();
        (!found.is_empty()).then(|| found.join(", "))
    }
}

/// Looks at the media of every row.
pub fn check(manifest: &Manifest, options: &CheckOptions) -> Report {
    check_with(manifest, options, &|_| ())
}

/// [`check`]; `progress` receives the number of files that are done, from several threads.
pub fn check_with(manifest: &Manifest, options: &CheckOptions, progress: &(dyn Fn(usize) + Sync)) -> Report {
    let mut places: Vec<&Place> = Vec::new();
    let mut numbers: HashMap<&Place, usize> = HashMap::new();
    let of_row: Vec<usize> = manifest
        .rows()
        .iter()
        .map(|row| {
            *numbers.entry(&row.place).or_insert_with(|| {
                places.push(&row.place);
                places.len() - 1
            })
        })
        .collect();
    let mut timed: Vec<Vec<&Row>> = vec![Vec::new(); places.len()];
    let with_times = manifest.rows().iter().zip(&of_row).filter(|(row, _)| row.is_timed());
    with_times.for_each(|(row, &place)| timed[place].push(row));
    let done = std::sync::atomic::AtomicUsize::new(0);
    let seen: Vec<Result<Seen, DataError>> = places
        .par_iter()
        .zip(&timed)
        .map(|(place, timed)| {
            let seen = look(place, timed, options);
            progress(done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1);
            seen
        })
        .collect();
    let mut report = Report::default();
    let mut told = vec![0; places.len()];
    for (row, &place) in manifest.rows().iter().zip(&of_row) {
        let counts = report.splits.entry(row.split).or_default();
        counts.rows += 1;
        counts.timed += usize::from(row.is_timed());
        counts.queries += usize::from(row.query.is_some());
        counts.targets += row.targets.len();
        match &seen[place] {
            Ok(seen) => {
                match seen.kind {
                    Kind::Picture => counts.pictures += 1,
                    Kind::Video => counts.videos += 1,
                    Kind::Folder => counts.frame_folders += 1,
                }
                // Rows with times were looked at in this order.
                let of_times = row.is_timed().then(|| seen.times.get(told[place])).flatten();
                told[place] += usize::from(row.is_timed());
                if let Some((what, broken)) = of_times.and_then(|times| times_fault(row, seen, *times)) {
                    let (list, count) = match broken {
                        true => (&mut report.broken, &mut report.broken_count),
                        false => (&mut report.beyond_end, &mut report.beyond_count),
                    };
                    note(list, count, || Fault { row: row.origin(), what });
                }
            }
            Err(error) => {
                let (list, count) = match error {
                    DataError::Missing(_) => (&mut report.missing, &mut report.missing_count),
                    _ => (&mut report.broken, &mut report.broken_count),
                };
                note(list, count, || Fault { row: row.origin(), what: error.to_string() });
            }
        }
    }
    for split in Split::ALL {
        if let Some(counts) = report.splits.get_mut(&split) {
            texts(manifest, split, counts);
        }
    }
    let contents = contents(&places, &seen, options);
    duplicates(manifest, &of_row, &contents, &mut report);
    report.longest = longest(manifest);
    report
}

fn note<T>(list: &mut Vec<T>, count: &mut usize, make: impl FnOnce() -> T) {
    *count += 1;
    if list.len() < LISTED {
        list.push(make());
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Picture,
    Video,
    Folder,
}

/// What a file turned out to be.
struct Seen {
    kind: Kind,
    bytes: u64,
    /// When the last frame is shown, and when it ends, where some row names times.
    end: Option<(f64, f64)>,
    /// What is wrong with the times of each row that names some, in the order of the rows.
    times: Vec<Times>,
}

/// How the times of a row lie.
#[derive(Clone, Copy)]
enum Times {
    Well,
    /// No frame begins between them.
    Empty,
    /// They end after the video.
    Beyond,
}

fn look(place: &Place, timed: &[&Row], options: &CheckOptions) -> Result<Seen, DataError> {
    let (bytes, _) = place.stamp()?;
    let mut reader = match place.open(&options.video)? {
        Opened::Still(media) => {
            if !options.quick {
                media.picture(&Limits::default())?;
            }
            return Ok(Seen { kind: Kind::Picture, bytes, end: None, times: vec![Times::Empty; timed.len()] });
        }
        Opened::Clip(reader) => reader,
    };
    let kind = if matches!(place, Place::Path(path) if path.is_dir()) { Kind::Folder } else { Kind::Video };
    let _part = reader.hold_memory();
    if !options.quick {
        for index in reader.frames_between(FRAMES, None, None)? {
            reader.seek(index as u64)?;
            if reader.next_frame()?.is_none() {
                return Err(DataError::content(place.name(), format!("frame {index} is missing; is the file whole?")));
            }
        }
    }
    let (mut end, mut found) = (None, Vec::with_capacity(timed.len()));
    if !timed.is_empty() {
        let stated = reader.facts().duration;
        let times = reader.times()?;
        let step = match times {
            [.., a, b] => b - a,
            _ => 0.0,
        };
        let ends = times.last().map(|&last| stated.unwrap_or(last + step).max(last));
        found.extend(timed.iter().map(|row| match (row.end, ends) {
            _ if span(times, row.start, row.end).is_empty() => Times::Empty,
            (Some(at), Some(ends)) if at > ends + SLACK => Times::Beyond,
            _ => Times::Well,
        }));
        end = times.last().copied().zip(ends);
    }
    Ok(Seen { kind, bytes, end, times: found })
}

/// What is wrong with the times of a row in words, and whether it leaves nothing to see.
fn times_fault(row: &Row, seen: &Seen, times: Times) -> Option<(String, bool)> {
    let name = row.place.name();
    if seen.kind == Kind::Picture {
        return Some((format!("{name}: a picture has no `start` and `end`; leave them out"), true));
    }
    let (last, end) = seen.end.unwrap_or_default();
    let (start, stop) = (row.start.unwrap_or_default(), row.end.unwrap_or(end));
    match times {
        Times::Well => None,
        Times::Empty if start > last => {
            Some((format!("{name}: `start` is {start}, the last frame is shown at {last:.3} s"), true))
        }
        Times::Empty => {
            let what =
                format!("{name}: no frame begins between `start` {start} and `end` {stop} s; set them farther apart");
            Some((what, true))
        }
        Times::Beyond => Some((format!("{name}: `end` is {stop}, the video ends at {end:.3} s"), false)),
    }
}

fn texts(manifest: &Manifest, split: Split, counts: &mut Counts) {
    let mut rows: BTreeMap<&str, usize> = BTreeMap::new();
    let mut single = true;
    for row in manifest.of(split) {
        single &= row.targets.len() == 1;
        row.targets.iter().for_each(|text| *rows.entry(text).or_default() += 1);
    }
    counts.distinct_targets = rows.len();
    if single && rows.len() <= FEW_CLASSES {
        counts.classes = Some(rows.into_iter().map(|(text, rows)| (text.to_owned(), rows)).collect());
    }
}

/// A number for each place, equal ones where the content is the same.
fn contents(places: &[&Place], seen: &[Result<Seen, DataError>], options: &CheckOptions) -> Vec<usize> {
    let mut sizes: HashMap<u64, usize> = HashMap::new();
    seen.iter().flatten().for_each(|seen| *sizes.entry(seen.bytes).or_default() += 1);
    let twins = |seen: &Seen| sizes.get(&seen.bytes).is_some_and(|count| *count > 1);
    let hashes: Vec<Option<String>> = places
        .par_iter()
        .zip(seen)
        .map(|(place, seen)| match seen {
            Ok(seen) if !options.quick && twins(seen) => place.content_hash().ok(),
            _ => None,
        })
        .collect();
    let mut first: HashMap<&str, usize> = HashMap::new();
    hashes
        .iter()
        .enumerate()
        .map(|(i, hash)| hash.as_deref().map_or(i, |hash| *first.entry(hash).or_insert(i)))
        .collect()
}

/// Rows of different parts that show the same content at times that overlap; each row is told of once.
fn duplicates(manifest: &Manifest, of_row: &[usize], contents: &[usize], report: &mut Report) {
    let mut shown: HashMap<usize, Vec<usize>> = HashMap::new();
    of_row.iter().enumerate().for_each(|(row, &place)| shown.entry(contents[place]).or_default().push(row));
    let mut found: Vec<(usize, usize)> = Vec::new();
    for rows in shown.values() {
        let of: Vec<&Row> = rows.iter().filter_map(|&row| manifest.rows().get(row)).collect();
        if of.iter().any(|row| row.split != of[0].split) {
            found.extend(overlaps(&of).into_iter().map(|(row, other)| (rows[row], rows[other])));
        }
    }
    found.sort_unstable();
    for (row, other) in found.into_iter().map(|(row, other)| (&manifest.rows()[row], &manifest.rows()[other])) {
        note(&mut report.duplicates, &mut report.duplicate_count, || Duplicate {
            row: row.origin(),
            split: row.split,
            other: other.origin(),
            other_split: other.split,
        });
    }
}

/// Each of the rows whose times overlap those of one of another part that stands before it, with that one: the first of those that end
/// last. A long video may have many rows, so that not every pair is looked at.
fn overlaps(rows: &[&Row]) -> Vec<(usize, usize)> {
    let begin = |row: &Row| row.start.unwrap_or(0.0);
    let mut starts: Vec<f64> = rows.iter().map(|row| begin(row)).collect();
    starts.sort_by(f64::total_cmp);
    starts.dedup();
    let before = |time: f64| starts.partition_point(|start| *start < time);
    let mut ends: BTreeMap<Split, Latest> = BTreeMap::new();
    let mut found = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        let end = row.end.unwrap_or(f64::INFINITY);
        let others = ends.iter().filter(|(split, _)| **split != row.split);
        let mut latest = others.filter_map(|(_, latest)| latest.below(before(end)));
        if let Some((_, other)) = latest.find(|(ends, _)| *ends > begin(row)) {
            found.push((i, other));
        }
        ends.entry(row.split).or_insert_with(|| Latest::new(starts.len())).add(before(begin(row)), end, i);
    }
    found
}

/// The latest end of rows by where they start: a Fenwick tree of maxima.
struct Latest(Vec<Option<(f64, usize)>>);

impl Latest {
    fn new(starts: usize) -> Self {
        Self(vec![None; starts + 1])
    }

    /// Adds a row that has the start number `start`.
    fn add(&mut self, start: usize, end: f64, row: usize) {
        let mut at = start + 1;
        while let Some(best) = self.0.get_mut(at) {
            if best.is_none_or(|(latest, _)| end > latest) {
                *best = Some((end, row));
            }
            at += at & at.wrapping_neg();
        }
    }

    /// The latest end of those that have one of the first `count` starts, and its row.
    fn below(&self, count: usize) -> Option<(f64, usize)> {
        let (mut at, mut best): (usize, Option<(f64, usize)>) = (count, None);
        while at > 0 {
            let here = self.0.get(at).copied().flatten();
            best = match (best, here) {
                (Some(a), Some(b)) if (b.0, a.1) > (a.0, b.1) => Some(b),
                (None, here) => here,
                (best, _) => best,
            };
            at &= at - 1;
        }
        best
    }
}

fn longest(manifest: &Manifest) -> Vec<LongText> {
    let mut found: BTreeSet<(std::cmp::Reverse<usize>, &str, usize, &'static str)> = BTreeSet::new();
    for (i, row) in manifest.rows().iter().enumerate() {
        let texts = row.targets.iter().map(|text| (text, "target")).chain(row.query.iter().map(|text| (text, "query")));
        for (text, field) in texts {
            if found.iter().any(|(_, known, ..)| known == text) {
                continue;
            }
            found.insert((std::cmp::Reverse(text.chars().count()), text, i, field));
            if found.len() > LONGEST {
                found.pop_last();
            }
        }
    }
    let long = |(length, text, i, field): (std::cmp::Reverse<usize>, &str, usize, &'static str)| LongText {
        row: manifest.rows().get(i).map(Row::origin).unwrap_or_default(),
        field,
        characters: length.0,
        text: text.to_owned(),
    };
    found.into_iter().map(long).collect()
}
