//! The zip archive of a PyTorch checkpoint.
//!
//! The `zip` crate reserves memory for as many files as a directory claims, and searches for another directory where
//! the last one is damaged. So the directory is checked first, and everything before it is hidden while the crate reads
//! it.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::rc::Rc;

/// Most bytes of a directory; each tensor takes about a hundred.
const MAX_DIRECTORY: usize = 16 << 20;
/// Bytes of an entry of the directory without its names.
const ENTRY: usize = 46;
/// Bytes of the record at the end of an archive, of its 64-bit form, and of the locator of the latter.
const END: usize = 22;
const END_64: usize = 56;
const LOCATOR: usize = 20;

/// Where the directory starts, after a check that there is one alone, at the end, with room for the files that it
/// claims.
fn directory(data: &[u8]) -> Result<usize, String> {
    let number = |at: usize, len: usize| -> Option<u64> {
        let mut wide = [0; 8];
        wide[..len].copy_from_slice(data.get(at..at.checked_add(len)?)?);
        Some(u64::from_le_bytes(wide))
    };
    let signed = |at: usize, signature: &[u8]| data.get(at..).is_some_and(|rest| rest.starts_with(signature));
    let end = data.len().checked_sub(END).filter(|&at| signed(at, b"PK\x05\x06") && number(at + 20, 2) == Some(0));
    let Some(end) = end else {
        return Err("the zip archive has no directory at its end, so it is not readable; is the file whole?".into());
    };
    let start = match end.checked_sub(LOCATOR).filter(|&at| signed(at, b"PK\x06\x07")) {
        Some(locator) => number(locator + 8, 8).and_then(|at| number(usize::try_from(at).ok()?.checked_add(48)?, 8)),
        None => number(end + 16, 4),
    };
    let start = start.and_then(|at| usize::try_from(at).ok()).filter(|&at| at <= end);
    let Some(start) = start else {
        return Err("the zip archive's directory is not where it is said to be; is the file whole?".into());
    };
    let directory = &data[start..];
    if directory.len() > MAX_DIRECTORY {
        return Err(format!("the zip archive's directory has {} bytes, the limit is {MAX_DIRECTORY}", directory.len()));
    }
    for (at, signature) in directory.windows(4).enumerate() {
        match signature {
            b"PK\x05\x06" if start + at != end => return Err("a zip archive with several directories".into()),
            b"PK\x06\x06" if at + END_64 <= directory.len() => {
                let files = number(start + at + 32, 8).unwrap_or(u64::MAX);
                if files > (directory.len() / ENTRY) as u64 {
                    return Err(format!("the zip archive claims {files} files, more than its directory has room for"));
                }
            }
            _ => {}
        }
    }
    Ok(start)
}

/// The file; what lies before `from` reads as zeros.
pub(super) struct Window<'a> {
    data: &'a [u8],
    at: u64,
    from: Rc<Cell<usize>>,
}

impl Read for Window<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let at = usize::try_from(self.at).unwrap_or(usize::MAX).min(self.data.len());
        let n = out.len().min(self.data.len() - at);
        let hidden = self.from.get().saturating_sub(at).min(n);
        out[..hidden].fill(0);
        out[hidden..n].copy_from_slice(&self.data[at + hidden..at + n]);
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for Window<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let place = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => (self.data.len() as u64).checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = place.ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// The zip archive: where its members' bytes are.
pub(super) struct Archive<'a> {
    data: &'a [u8],
    pub(super) zip: zip::ZipArchive<Window<'a>>,
    pub(super) names: HashMap<String, usize>,
    /// The one folder at the root, with its slash.
    pub(super) prefix: String,
}

impl<'a> Archive<'a> {
    /// Reads the directory.
    pub(super) fn open(data: &'a [u8]) -> Result<Self, String> {
        let from = Rc::new(Cell::new(directory(data)?));
        let zip = zip::ZipArchive::new(Window { data, at: 0, from: Rc::clone(&from) })
            .map_err(|e| format!("the zip archive is not readable ({e}); is the file whole?"))?;
        from.set(0);
        let names: HashMap<String, usize> =
            (0..zip.len()).filter_map(|i| Some((zip.name_for_index(i)?.to_string(), i))).collect();
        let mut folders = names.keys().filter_map(|n| n.strip_suffix("data.pkl"));
        let plain = |p: &str| p.ends_with('/') && p.matches('/').count() == 1;
        match (folders.next(), folders.next()) {
            (Some(prefix), None) if plain(prefix) => {
                let prefix = prefix.to_string();
                Ok(Archive { data, zip, names, prefix })
            }
            (Some(_), Some(_)) => Err("a zip archive with several `data.pkl`; torch.save writes one".into()),
            _ => Err("a zip archive without `data.pkl` in its folder; is this a file that torch.save wrote?".into()),
        }
    }

    /// Index and bytes of a member of the folder, which must not be compressed.
    pub(super) fn member(&mut self, name: &str) -> Result<(usize, &'a [u8]), String> {
        let name = format!("{}{name}", self.prefix);
        let Some(&at) = self.names.get(&name) else { return Err(format!("the archive has no `{name}`")) };
        let member = self.zip.by_index(at).map_err(|e| format!("`{name}` is not readable ({e})"))?;
        if member.compression() != zip::CompressionMethod::Stored {
            return Err(format!(
                "`{name}` is compressed, which torch.save never does; pack the archive again without compression"
            ));
        }
        let (start, size) = (member.data_start(), member.size());
        let end =
            start.checked_add(size).filter(|&end| member.compressed_size() == size && end <= self.data.len() as u64);
        match end {
            Some(end) => Ok((at, &self.data[start as usize..end as usize])),
            None => Err(format!("`{name}` is said to have {size} bytes, more than the file has there; truncated?")),
        }
    }
}
