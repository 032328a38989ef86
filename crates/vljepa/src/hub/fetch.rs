//! Fetches one blob: resumes its download, verifies its checksum, and moves it into place.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use vljepa_embed::files::sync_folder_of;

use super::cache::Cache;
use super::client::{Client, Failure, Meta, Patience, transport};
use super::error::{HubError, Result};
use super::event::PullEvent;
use super::names::{Etag, FileName};
use super::pace::Paced;
use super::whole::{State, checksum, state};

/// Size of a buffer for reading, in bytes.
const BUFFER: usize = 256 << 10;
/// Largest file of which neither hub nor store tells the size, in bytes. Weights always have one.
const MAX_UNSIZED: u64 = 64 << 20;

/// A blob to fetch.
pub(super) struct Blob<'a> {
    pub(super) client: &'a Client<'a>,
    pub(super) cache: &'a Cache,
    pub(super) commit: &'a str,
    pub(super) name: &'a FileName,
    pub(super) meta: &'a Meta,
}

impl Blob<'_> {
    /// Whether the cache has a blob of this name with the expected length and checksum.
    pub(super) fn is_cached(&self) -> bool {
        let fits = |len| self.meta.size.is_none_or(|size| size == len);
        let path = self.cache.blob(&self.meta.etag);
        // The length first: it costs nothing.
        std::fs::metadata(&path).is_ok_and(|m| m.is_file() && fits(m.len()))
            && matches!(state(&path, &self.meta.etag, &self.cache.lock_path(&self.meta.etag)), State::Whole(_))
    }

    /// Bytes that are still to be fetched, if the hub tells the size.
    pub(super) fn to_fetch(&self) -> u64 {
        let here = std::fs::metadata(self.cache.incomplete(&self.meta.etag)).map_or(0, |m| m.len());
        self.meta.size.unwrap_or_default().saturating_sub(here)
    }

    /// Fetches the blob unless the cache has it; with `force`, always and from the beginning. Returns the number of
    /// bytes received.
    pub(super) fn fetch(&self, force: bool, on_event: &mut dyn FnMut(PullEvent<'_>)) -> Result<u64> {
        let mut lock = self.cache.lock(&self.meta.etag, self.name, on_event)?;
        // Another process may have fetched it while this one waited for the lock.
        if !force && self.is_cached() {
            return Ok(0);
        }
        let (path, place) = (self.cache.incomplete(&self.meta.etag), self.cache.blob(&self.meta.etag));
        let failed = || HubError::cache(&path, "writing");
        if force {
            remove(&path)?;
        } else if place.is_file() && !place.is_symlink() && !path.exists() {
            // A blob that was cut short is gone on with.
            std::fs::rename(&place, &path).map_err(failed())?;
        }
        let mut received = 0;
        let mut resumed = std::fs::metadata(&path).is_ok_and(|m| m.len() > 0);
        loop {
            let mut options = OpenOptions::new();
            let mut file = options.read(true).write(true).create(true).truncate(false).open(&path).map_err(failed())?;
            received += self.download(&mut file, &path, on_event)?;
            match self.check(&mut file, &path)? {
                None => {
                    file.sync_all().map_err(failed())?;
                    break;
                }
                Some(fault) => {
                    drop(file);
                    remove(&path)?;
                    if !std::mem::take(&mut resumed) {
                        return Err(self.mismatch(fault));
                    }
                    // The bytes of an earlier run may be the wrong ones, so fetch everything once more.
                    on_event(PullEvent::Restarting { name: self.name.as_str() });
                }
            }
        }
        std::fs::rename(&path, &place).map_err(HubError::cache(&place, "writing"))?;
        sync_folder_of(&place);
        lock.record(&place);
        Ok(received)
    }

    /// Appends the missing bytes to the file. Returns the number of bytes received.
    fn download(&self, file: &mut File, path: &Path, on_event: &mut dyn FnMut(PullEvent<'_>)) -> Result<u64> {
        let failed = || HubError::cache(path, "writing");
        let address = self.client.address(self.commit, self.name);
        let (mut received, mut patience) = (0, Patience::default());
        let (mut announced, mut furthest) = (false, 0);
        loop {
            let mut at = file.seek(SeekFrom::End(0)).map_err(failed())?;
            if self.meta.size.is_some_and(|size| at > size) {
                file.set_len(0).map_err(failed())?;
                at = file.seek(SeekFrom::Start(0)).map_err(failed())?;
            }
            if self.meta.size == Some(at) {
                return Ok(received);
            }
            if !std::mem::replace(&mut announced, true) {
                on_event(PullEvent::Fetching { name: self.name.as_str(), from: at, size: self.meta.size });
            }
            furthest = at.max(furthest);
            let failure = match self.stream(file, path, &address, at, &mut received, on_event) {
                Ok(()) => return Ok(received),
                Err(failure) => failure,
            };
            // Only new bytes count as progress: a server may restart from byte 0 and break off again and again.
            if !matches!(failure, Failure::Slow(_)) && file.metadata().map_err(failed())?.len() > furthest {
                patience.renew();
            }
            patience.wait(self.name.as_str(), failure, on_event)?;
        }
    }

    /// Sends one request for the bytes from `at`, the end of the file, and appends them.
    fn stream(
        &self,
        file: &mut File,
        path: &Path,
        address: &str,
        mut at: u64,
        received: &mut u64,
        on_event: &mut dyn FnMut(PullEvent<'_>),
    ) -> Result<(), Failure> {
        let failed = || HubError::cache(path, "writing");
        let mut answer = self.client.bytes(address, at, self.name)?;
        let range = answer.content_range();
        let bad_answer = |reason: String| {
            let (what, host) = (self.name.as_str().to_owned(), answer.host.clone());
            Failure::from(HubError::Answer { what, host, reason })
        };
        if let Some(encoding) = answer.encoding() {
            return Err(bad_answer(format!("encoding {}, which was not asked for", self.client.quote(encoding, 40))));
        }
        let length = match answer.response.status().as_u16() {
            206 => {
                let Some((first, total)) = range else { return Err(bad_answer("206 without Content-Range".into())) };
                if first != Some(at) {
                    let first = first.map_or("an unknown place".into(), |first| first.to_string());
                    return Err(bad_answer(format!("bytes from {first} on, {at} was asked for")));
                }
                total
            }
            416 => {
                // No byte follows: the file is complete, or its length is wrong.
                if self.meta.size.is_none() && range.is_some_and(|(_, total)| total == Some(at)) {
                    return Ok(());
                }
                file.set_len(0).map_err(failed())?;
                return Err(Failure::passing(format!("{} has no byte {at}", answer.host)));
            }
            _ => answer.content_length(),
        };
        if let (Some(size), Some(length)) = (self.meta.size, length)
            && size != length
        {
            return Err(bad_answer(format!("a file of {length} bytes, {size} are expected")));
        }
        if answer.response.status() != 206 {
            // The server ignored the range and sends the entire file.
            file.set_len(0).map_err(failed())?;
            at = file.seek(SeekFrom::Start(0)).map_err(failed())?;
        }
        let size = self.meta.size.or(length);
        let host = answer.host.clone();
        let mut body = Paced::new(answer.response.body_mut().as_reader(), self.client.window());
        let mut buffer = vec![0; BUFFER];
        loop {
            let n = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(transport(e.into(), &host)),
            };
            if size.is_some_and(|size| at + n as u64 > size) {
                remove(path)?;
                return Err(self.mismatch(format!("more than {} bytes", size.unwrap_or(at))).into());
            }
            if size.is_none() && at + n as u64 > MAX_UNSIZED {
                remove(path)?;
                let reason = format!("no size of a file of more than {MAX_UNSIZED} bytes");
                let what = self.name.as_str().to_owned();
                return Err(HubError::Answer { what, host, reason }.into());
            }
            file.write_all(&buffer[..n]).map_err(failed())?;
            at += n as u64;
            *received += n as u64;
            on_event(PullEvent::Progress { name: self.name.as_str(), bytes: at });
        }
        match size {
            Some(size) if at < size => Err(Failure::passing(format!("{host} stopped at byte {at} of {size}"))),
            _ => Ok(()),
        }
    }

    /// Compares size and checksum of the file on disk with those of the hub. Returns the wrong size or checksum, if
    /// any.
    fn check(&self, file: &mut File, path: &Path) -> Result<Option<String>> {
        let failed = || HubError::cache(path, "reading");
        let len = file.seek(SeekFrom::End(0)).map_err(failed())?;
        if self.meta.size.is_some_and(|size| size != len) {
            return Ok(Some(format!("{len} bytes")));
        }
        let found = checksum(file, &self.meta.etag).map_err(failed())?;
        let kind = match &self.meta.etag {
            Etag::Sha256(_) => "SHA-256",
            Etag::GitSha1(_) => "git's SHA-1",
        };
        Ok((found != self.meta.etag.as_str()).then(|| format!("{kind} {found}")))
    }

    fn mismatch(&self, found: String) -> HubError {
        let by_size = !found.starts_with("SHA-256") && !found.starts_with("git");
        let expected = match self.meta.size {
            Some(size) if by_size => format!("{size} bytes"),
            _ => self.meta.etag.as_str().to_owned(),
        };
        HubError::Mismatch { file: self.name.as_str().to_owned(), expected, found }
    }
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(HubError::cache(path, "removing")(e)),
        _ => Ok(()),
    }
}
