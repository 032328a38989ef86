//! WebDataset shards: tar archives whose files of one basename are one sample. Nothing is unpacked: a sample's media file is a
//! place in its archive.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tar::{Archive, Builder, EntryType, Header};

use super::fields::{Fields, shown};
use super::lines::MAX_LINE;
use crate::DataError;
use crate::file::{open_regular, stamp};
use crate::names::{is_hidden, is_picture_name, is_video_name, natural_cmp};

/// Files of an archive.
const MAX_FILES: usize = 1 << 20;
/// The name of a file in bytes.
const MAX_NAME: usize = 4096;
/// Extended attributes of a file in bytes.
const MAX_PAX: u64 = 1 << 16;
/// Archives that a list in braces names.
const MAX_SHARDS: u64 = 100_000;

/// A file in an archive.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// The archive.
    pub archive: Arc<Path>,
    /// Its name there.
    pub name: String,
    /// Where its bytes begin.
    pub start: u64,
    /// How many they are.
    pub bytes: u64,
}

/// Writes an archive of samples. The same samples in the same order are the same bytes.
pub struct ShardWriter<W: Write>(Builder<W>);

impl<W: Write> ShardWriter<W> {
    /// An archive that is written to `out`.
    pub fn new(out: W) -> Self {
        Self(Builder::new(out))
    }

    /// Adds a file of a sample: `name` is the sample's, without a dot, with what the file is behind one, as in `000012.webp`.
    ///
    /// # Errors
    /// Errors of writing.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        // Of no time and nobody.
        header.set_mtime(0);
        self.0.append_data(&mut header, name, bytes)
    }

    /// Writes the archive's end.
    ///
    /// # Errors
    /// Errors of writing.
    pub fn finish(mut self) -> std::io::Result<()> {
        self.0.finish()
    }
}

/// The archives that a name stands for: itself, those directly in a folder by [`natural_cmp`], or a list such as
/// `shard-{000..010}.tar`. `None` where the name is that of something else.
pub(super) fn list(path: &Path) -> Result<Option<Vec<PathBuf>>, DataError> {
    let is_tar = |path: &Path| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tar"));
    if path.is_dir() {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(path).map_err(DataError::io(path, "listing"))? {
            let file = entry.map_err(DataError::io(path, "listing"))?.path();
            if is_tar(&file) && !is_hidden(&file) && !file.is_dir() {
                found.push(file);
            }
        }
        if found.is_empty() {
            let reason =
                "a folder without .tar files; name a manifest (.jsonl, .csv), an archive, or a folder of archives";
            return Err(DataError::content(path, reason));
        }
        found.sort_by(|a, b| natural_cmp(&a.to_string_lossy(), &b.to_string_lossy()));
        return Ok(Some(found));
    }
    if !is_tar(path) {
        return Ok(None);
    }
    match path.to_str().filter(|_| !path.exists()).and_then(braces) {
        None => Ok(Some(vec![path.to_path_buf()])),
        Some(Ok(found)) => Ok(Some(found)),
        Some(Err(what)) => Err(DataError::content(path, what)),
    }
}

/// What `{first..last}` in a name stands for; `None` without one.
fn braces(name: &str) -> Option<Result<Vec<PathBuf>, String>> {
    let (head, rest) = name.split_once('{')?;
    let (range, tail) = rest.split_once('}')?;
    let (first, last) = range.split_once("..")?;
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let wrong =
        || format!("{{{range}}} is no list of archives; write one such as {{000..010}}, of at most {MAX_SHARDS}");
    let (Some(from), Some(to)) = (number(first), number(last)) else { return Some(Err(wrong())) };
    if from > to || to - from >= MAX_SHARDS {
        return Some(Err(wrong()));
    }
    let width = if first.starts_with('0') { first.len() } else { 0 };
    Some(Ok((from..=to).map(|i| PathBuf::from(format!("{head}{i:0width$}{tail}"))).collect()))
}

/// A sample under way.
#[derive(Default)]
struct Sample {
    key: String,
    fields: Option<Fields>,
    media: Vec<Member>,
    others: HashSet<String>,
}

/// Reads the samples of an archive, in the order in which they begin; `add` gets each with its name and media file.
///
/// # Errors
/// An archive that is damaged or cut off or holds links, devices or names that lead elsewhere; a file that is there twice; a
/// sample without fields or without one media file; errors of `add`.
pub(super) fn read(
    path: &Path,
    add: &mut dyn FnMut(String, Member, Fields) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let file = open_regular(path)?;
    let (length, _) = stamp(&file.metadata().map_err(DataError::io(path, "reading"))?);
    let samples = samples(path, file, length).map_err(|what| DataError::content(path, what))?;
    if samples.is_empty() {
        return Err(DataError::content(path, "no samples in this archive; is it a tar archive of a WebDataset?"));
    }
    for sample in samples {
        let key = sample.key.clone();
        let fault = |what: String| DataError::content(path, format!("sample {}: {what}", shown(&key)));
        let (member, fields) = finished(sample).map_err(fault)?;
        add(key.clone(), member, fields)?;
    }
    Ok(())
}

fn finished(mut sample: Sample) -> Result<(Member, Fields), String> {
    let fields = sample.fields.ok_or("it has no .json file with its fields")?;
    if let Some(visual) = &fields.visual {
        let same = |name: &str| name == visual || name.rsplit('/').next() == Some(visual);
        let place = sample.media.iter().position(|member| same(&member.name));
        let member = place.map(|i| sample.media.swap_remove(i));
        let missing = || format!("`visual` is {}, which is none of its pictures and videos", shown(visual));
        return Ok((member.ok_or_else(missing)?, fields));
    }
    match sample.media.len() {
        1 => Ok((sample.media.swap_remove(0), fields)),
        0 => Err("it has no picture or video file".into()),
        n => Err(format!("it has {n} pictures and videos; name one as `visual` in its fields")),
    }
}

fn samples(path: &Path, file: File, length: u64) -> Result<Vec<Sample>, String> {
    let archive: Arc<Path> = path.into();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut samples: Vec<Sample> = Vec::new();
    let mut tar = Archive::new(file);
    let damaged = |error: std::io::Error| {
        format!("not a tar archive, or a damaged one ({})", crate::decode::one_line(&error.to_string()))
    };
    let (mut long_name, mut files) = (None, 0);
    for entry in tar.entries_with_seek().map_err(damaged)?.raw(true) {
        let mut entry = entry.map_err(damaged)?;
        let (start, bytes) = (entry.raw_file_position(), entry.header().entry_size().map_err(damaged)?);
        if start.checked_add(bytes).is_none_or(|end| end > length) {
            return Err("the archive is cut off; copy it again".into());
        }
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName | EntryType::XHeader => {
                let name = long(&mut entry, kind, bytes)?;
                long_name = name.or(long_name);
                continue;
            }
            EntryType::XGlobalHeader | EntryType::Directory => {
                long_name = None;
                continue;
            }
            _ => {}
        }
        let name = match long_name.take() {
            Some(name) => name,
            None => entry.path_bytes().into_owned(),
        };
        let name = checked(&name)?;
        if !matches!(kind, EntryType::Regular | EntryType::Continuous) {
            let what = if kind.is_symlink() || kind.is_hard_link() { "a link" } else { "no regular file" };
            return Err(format!("{} is {what}; archives may hold regular files alone", shown(&name)));
        }
        files += 1;
        if files > MAX_FILES {
            return Err(format!("more than {MAX_FILES} files; make more archives of fewer files"));
        }
        let Some((key, extension)) = split(&name) else { continue };
        let place = *places.entry(key.to_owned()).or_insert_with(|| {
            samples.push(Sample { key: key.to_owned(), ..Sample::default() });
            samples.len() - 1
        });
        let sample = &mut samples[place];
        if !sample.others.insert(extension.to_owned()) {
            return Err(format!("{} is there twice; give samples different names", shown(&name)));
        }
        if extension == "json" {
            let fields = fields(&mut entry, bytes);
            sample.fields = Some(fields.map_err(|what| format!("{}: {what}", shown(&name)))?);
        } else if is_picture_name(Path::new(&name)) || is_video_name(Path::new(&name)) {
            sample.media.push(Member { archive: archive.clone(), name, start, bytes });
        }
    }
    Ok(samples)
}

/// The name that a header of extended attributes gives the next file.
fn long(entry: &mut impl Read, kind: EntryType, bytes: u64) -> Result<Option<Vec<u8>>, String> {
    let most = if kind == EntryType::GNULongName { MAX_NAME as u64 + 1 } else { MAX_PAX };
    if bytes > most {
        return Err(format!("a file's name or attributes have {bytes} bytes, at most {most} are read"));
    }
    let mut text = Vec::new();
    entry.take(most).read_to_end(&mut text).map_err(|error| error.to_string())?;
    if kind == EntryType::GNULongName {
        text.truncate(text.iter().position(|byte| *byte == 0).unwrap_or(text.len()));
        return Ok(Some(text));
    }
    let mut name = None;
    for attribute in tar::PaxExtensions::new(&text) {
        let attribute = attribute.map_err(|error| format!("damaged attributes of a file ({error})"))?;
        match attribute.key_bytes() {
            b"path" => name = Some(attribute.value_bytes().to_vec()),
            b"size" => return Err("a file of more than 8 GiB; make smaller ones".into()),
            _ => {}
        }
    }
    Ok(name)
}

/// A name as text, without `./` before it. It is never a path on the disk, but one that leads elsewhere says that the archive
/// was made to do harm.
fn checked(name: &[u8]) -> Result<String, String> {
    let shown = || shown(&String::from_utf8_lossy(name));
    let Ok(text) = std::str::from_utf8(name) else {
        return Err(format!("{} is not UTF-8; name files in UTF-8", shown()));
    };
    let text = text.strip_prefix("./").unwrap_or(text);
    if text.is_empty() || text.len() > MAX_NAME || text.contains(char::is_control) {
        return Err(format!("{} is no name of a file", shown()));
    }
    if text.starts_with(['/', '\\']) || text.split(['/', '\\']).any(|part| part == "..") {
        return Err(format!("{} is a name that leads out of the archive; make the archive again", shown()));
    }
    Ok(text.to_owned())
}

/// The name of the sample that a file belongs to, and what is behind its first dot in lower case; hidden files belong to none.
fn split(name: &str) -> Option<(&str, String)> {
    let base = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = base + name[base..].find('.').filter(|dot| *dot > 0)?;
    Some((&name[..dot], name[dot + 1..].to_ascii_lowercase()))
}

fn fields(entry: &mut impl Read, bytes: u64) -> Result<Fields, String> {
    if bytes > MAX_LINE as u64 {
        return Err(format!("{bytes} bytes, the fields of a sample have at most {MAX_LINE}"));
    }
    let mut text = Vec::with_capacity(bytes as usize);
    entry.take(bytes).read_to_end(&mut text).map_err(|error| error.to_string())?;
    let text = String::from_utf8(text).map_err(|_| "not UTF-8 text; save it as UTF-8")?;
    Fields::from_json(text.trim_start_matches('\u{feff}'))
}
