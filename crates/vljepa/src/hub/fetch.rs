//! One blob: fetched from where it stopped, checked, and moved into its place.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::cache::Cache;
use super::client::{Client, Failure, Meta, Patience, transport};
use super::error::{HubError, Result};
use super::event::PullEvent;
use super::names::{Etag, FileName};
use vljepa_embed::files::sync_folder_of;
use vljepa_embed::hash::hex;

const BUFFER: usize = 256 << 10;

/// A blob to fetch.
pub(super) struct Blob<'a> {
    pub(super) client: &'a Client<'a>,
    pub(super) cache: &'a Cache,
    pub(super) commit: &'a str,
    pub(super) name: &'a FileName,
    pub(super) meta: &'a Meta,
}

impl Blob<'_> {
    /// Whether the cache has it, as far as its length tells.
    pub(super) fn is_there(&self) -> bool {
        let fits = |len| self.meta.size.is_none_or(|size| size == len);
        std::fs::metadata(self.cache.blob(&self.meta.etag)).is_ok_and(|m| m.is_file() && fits(m.len()))
    }

    /// Fetches it unless it is there; `force` fetches it all the same and from the start. Returns how many bytes came.
    pub(super) fn fetch(&self, force: bool, on_event: &mut dyn FnMut(PullEvent<'_>)) -> Result<u64> {
        let _lock = self.cache.lock(&self.meta.etag, self.name, on_event)?;
        // Another process may have been faster.
        if !force && self.is_there() {
            return Ok(0);
        }
        let path = self.cache.incomplete(&self.meta.etag);
        let failed = || HubError::cache(&path, "writing");
        if force {
            remove(&path)?;
        }
        let mut came = 0;
        let mut from_before = std::fs::metadata(&path).is_ok_and(|m| m.len() > 0);
        loop {
            let mut options = OpenOptions::new();
            let mut file = options.read(true).write(true).create(true).truncate(false).open(&path).map_err(failed())?;
            came += self.download(&mut file, &path, on_event)?;
            match self.check(&mut file, &path)? {
                None => {
                    file.sync_all().map_err(failed())?;
                    break;
                }
                Some(found) => {
                    drop(file);
                    remove(&path)?;
                    if !std::mem::take(&mut from_before) {
                        return Err(self.mismatch(found));
                    }
                    // What an earlier run left may be the part that is wrong.
                    on_event(PullEvent::Restarting { name: self.name.as_str() });
                }
            }
        }
        let place = self.cache.blob(&self.meta.etag);
        std::fs::rename(&path, &place).map_err(HubError::cache(&place, "writing"))?;
        sync_folder_of(&place);
        Ok(came)
    }

    /// Appends what is missing to the file. Returns how many bytes came.
    fn download(&self, file: &mut File, path: &Path, on_event: &mut dyn FnMut(PullEvent<'_>)) -> Result<u64> {
        let failed = || HubError::cache(path, "writing");
        let address = self.client.address(self.commit, self.name);
        let (mut came, mut patience) = (0, Patience::default());
        let (mut announced, mut furthest) = (false, 0);
        loop {
            let mut at = file.seek(SeekFrom::End(0)).map_err(failed())?;
            if self.meta.size.is_some_and(|size| at > size) {
                file.set_len(0).map_err(failed())?;
                at = file.seek(SeekFrom::Start(0)).map_err(failed())?;
            }
            if self.meta.size == Some(at) {
                return Ok(came);
            }
            if !std::mem::replace(&mut announced, true) {
                on_event(PullEvent::Fetching { name: self.name.as_str(), from: at, size: self.meta.size });
            }
            furthest = at.max(furthest);
            let failure = match self.stream(file, path, &address, at, &mut came, on_event) {
                Ok(()) => return Ok(came),
                Err(failure) => failure,
            };
            // Not for bytes that came before, or a server that always starts anew and breaks off would never be given up.
            if file.metadata().map_err(failed())?.len() > furthest {
                patience.renew();
            }
            patience.wait(self.name.as_str(), failure, on_event)?;
        }
    }

    /// One request for what follows byte `at`, where the file ends.
    fn stream(
        &self,
        file: &mut File,
        path: &Path,
        address: &str,
        mut at: u64,
        came: &mut u64,
        on_event: &mut dyn FnMut(PullEvent<'_>),
    ) -> Result<(), Failure> {
        let failed = || HubError::cache(path, "writing");
        let mut answer = self.client.bytes(address, at, self.name)?;
        let range = answer.content_range();
        let odd = |reason: String| {
            let (what, host) = (self.name.as_str().to_owned(), answer.host.clone());
            Failure::from(HubError::Answer { what, host, reason })
        };
        if let Some(encoding) = answer.encoding() {
            return Err(odd(format!("{} encoding, which was not asked for", self.client.said(encoding, 40))));
        }
        let whole = match answer.response.status().as_u16() {
            206 => {
                let Some((first, total)) = range else { return Err(odd("206 without Content-Range".into())) };
                if first != Some(at) {
                    return Err(odd(format!("bytes from {first:?} on, {at} was asked for")));
                }
                total
            }
            416 => {
                // Nothing follows: complete, or of another length than thought.
                if self.meta.size.is_none() && range.is_some_and(|(_, total)| total == Some(at)) {
                    return Ok(());
                }
                file.set_len(0).map_err(failed())?;
                return Err(Failure::passing(format!("{} has no byte {at}", answer.host)));
            }
            _ => answer.content_length(),
        };
        if let (Some(size), Some(whole)) = (self.meta.size, whole)
            && size != whole
        {
            return Err(odd(format!("a file of {whole} bytes, {size} are expected")));
        }
        if answer.response.status() != 206 {
            // The server starts anew, whatever was asked for.
            file.set_len(0).map_err(failed())?;
            at = file.seek(SeekFrom::Start(0)).map_err(failed())?;
        }
        let size = self.meta.size.or(whole);
        let host = answer.host.clone();
        let mut body = answer.response.body_mut().as_reader();
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
            file.write_all(&buffer[..n]).map_err(failed())?;
            at += n as u64;
            *came += n as u64;
            on_event(PullEvent::Progress { name: self.name.as_str(), bytes: at });
        }
        match size {
            Some(size) if at < size => Err(Failure::passing(format!("{host} stopped at byte {at} of {size}"))),
            _ => Ok(()),
        }
    }

    /// Reads the file back, and says what is wrong with it, if something is. What is on the disk counts, whoever wrote it.
    fn check(&self, file: &mut File, path: &Path) -> Result<Option<String>> {
        let failed = || HubError::cache(path, "reading");
        let len = file.seek(SeekFrom::End(0)).map_err(failed())?;
        if self.meta.size.is_some_and(|size| size != len) {
            return Ok(Some(format!("{len} bytes")));
        }
        file.seek(SeekFrom::Start(0)).map_err(failed())?;
        let (kind, found) = match &self.meta.etag {
            Etag::Sha256(_) => ("SHA-256", digest(Sha256::new(), file).map_err(failed())?),
            Etag::GitSha1(_) => {
                // As git names a blob.
                let start = Sha1::new_with_prefix(format!("blob {len}\0"));
                ("git's SHA-1", digest(start, file).map_err(failed())?)
            }
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

fn digest(mut hash: impl Digest, file: &mut File) -> std::io::Result<String> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => hash.update(&buffer[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(hex(&hash.finalize()))
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(HubError::cache(path, "removing")(e)),
        _ => Ok(()),
    }
}
