//! Fetches repositories of the Hugging Face hub into the cache of Python's `huggingface_hub`, so that both programs
//! share it.
//!
//! A pull asks for the list of files of a revision, then for the checksum of each file that the cache lacks, then for
//! its content. Files appear in the snapshot only after all of them have been fetched, the configuration last, so that what
//! is there of a model is all of it. An interrupted pull leaves `ETAG.incomplete` files, which the next pull completes.

mod cache;
mod client;
mod error;
mod event;
mod fetch;
mod names;
mod pace;
mod select;
mod settings;
mod trust;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;
use vljepa_embed::files::{self, MAX_JSON};
use vljepa_embed::names::{CONFIG, WEIGHTS};
use vljepa_model::weights::ShardIndex;

use cache::Cache;
use client::{Client, Listing, Meta};
pub use error::{HubError, Result};
pub use event::PullEvent;
use fetch::Blob;
use names::{Etag, FileName};
pub use names::{RepoId, Revision};
use select::{Patterns, is_weights};
pub use settings::Settings;
use whole::State;

/// Options of a pull.
#[derive(Clone, Debug)]
pub struct PullOptions<'a> {
    /// A branch (usually `main`), a tag or a commit.
    pub revision: Revision,
    /// Patterns of the files to fetch; if empty, the files that this program reads. `*` matches any text, including
    /// `/`; `?` matches one character, `[ab]` one character of a set, `folder/` all files of a folder.
    pub include: &'a [String],
    /// Patterns of files to leave out.
    pub exclude: &'a [String],
    /// Whether to fetch files again that are in the cache.
    pub force: bool,
}

/// A repository in the cache.
#[derive(Clone, Debug, Serialize)]
pub struct Pulled {
    /// The id of the repository.
    pub repo: String,
    /// The revision that was asked for.
    pub revision: String,
    /// The commit that the revision names.
    pub commit: String,
    /// The folder with the files.
    pub folder: PathBuf,
    /// The files that were asked for, by name.
    pub files: Vec<PulledFile>,
    /// Bytes received over the network.
    pub fetched_bytes: u64,
}

/// A file of a [`Pulled`] repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PulledFile {
    /// Path relative to the folder, with `/` as separator.
    pub name: String,
    /// Length in bytes.
    pub bytes: u64,
    /// Whether any of its bytes were received over the network.
    pub fetched: bool,
}

/// Fetches the files of a repository that the cache lacks.
///
/// # Errors
/// No connection, a refusal of the hub, a file with a wrong size or checksum, a cache that cannot be written.
pub fn pull(repo: &RepoId, options: &PullOptions<'_>, settings: &Settings) -> Result<Pulled> {
    pull_with(repo, options, settings, &mut |_| ())
}

/// [`pull`]; `on_event` receives each step.
///
/// # Errors
/// As [`pull`].
pub fn pull_with(
    repo: &RepoId,
    options: &PullOptions<'_>,
    settings: &Settings,
    on_event: &mut dyn FnMut(PullEvent<'_>),
) -> Result<Pulled> {
    let cache = Cache::new(&settings.cache, repo, settings.symlinks);
    if let Some(variable) = settings.offline {
        return from_cache(&cache, repo, options).map_err(|reason| HubError::Offline {
            repo: repo.as_str().to_owned(),
            reason,
            variable,
        });
    }
    let client = Client::new(settings, repo, &options.revision);
    let listing = client.listing(on_event).map_err(|error| match error {
        HubError::Unreachable { host, reason, .. } if from_cache(&cache, repo, options).is_ok() => {
            let cached = "; the cache has a copy, which HF_HUB_OFFLINE=1 uses";
            HubError::Unreachable { host, reason, cached }
        }
        other => other,
    })?;
    let patterns = Patterns { include: options.include, exclude: options.exclude };
    let names = patterns.choose(repo, &listing.names)?;
    Pull { client, cache, listing, options }.run(&names, on_event)
}

/// A pull whose list of files is known.
struct Pull<'a> {
    client: Client<'a>,
    cache: Cache,
    listing: Listing,
    options: &'a PullOptions<'a>,
}

impl Pull<'_> {
    fn run(&self, names: &[FileName], on_event: &mut dyn FnMut(PullEvent<'_>)) -> Result<Pulled> {
        let commit = self.listing.commit.as_str();
        let mut missing: Vec<&FileName> = Vec::new();
        for name in names {
            let state = if self.options.force { State::Missing } else { self.cache.state(commit, name) };
            if state == State::Damaged {
                on_event(PullEvent::Damaged { name: name.as_str() });
            }
            if !matches!(state, State::Whole(_)) {
                missing.push(name);
            }
        }
        let mut metas: BTreeMap<&FileName, Meta> = BTreeMap::new();
        for name in &missing {
            metas.insert(name, self.client.meta(commit, name, on_event)?);
        }
        // Blobs that this pull adds: no other snapshot links to them.
        let new: BTreeSet<&Etag> = metas.values().map(|m| &m.etag).filter(|e| !self.cache.blob(e).exists()).collect();
        let (fetched, fetched_bytes) = self.fetch(&metas, on_event)?;
        self.place(&metas, &new)?;
        if self.options.revision.as_str() != commit {
            let recorded = self.cache.record_commit(&self.options.revision, commit);
            // If nothing had to be fetched, a read-only cache is fine.
            if !missing.is_empty() {
                recorded?;
            }
        }
        let file = |name: &FileName| PulledFile {
            name: name.as_str().to_owned(),
            bytes: self.cache.cached_len(commit, name).unwrap_or_default(),
            fetched: metas.get(name).is_some_and(|m| fetched.contains(&m.etag)),
        };
        Ok(Pulled {
            repo: self.client.repo.as_str().to_owned(),
            revision: self.options.revision.as_str().to_owned(),
            commit: commit.to_owned(),
            folder: self.cache.snapshot(commit),
            files: names.iter().map(file).collect(),
            fetched_bytes,
        })
    }

    /// Puts the fetched files into the snapshot. Whenever this stops, the snapshot is no model: the configuration comes last, before
    /// it the weights, and what was linked by a placing that fails is taken away again.
    fn place(&self, metas: &BTreeMap<&FileName, Meta>, new: &BTreeSet<&Etag>) -> Result<()> {
        let commit = self.listing.commit.as_str();
        let mut files: Vec<(&FileName, &Meta)> = metas.iter().map(|(name, meta)| (*name, meta)).collect();
        files.sort_by_key(|(name, _)| placing_rank(name.as_str()));
        let mut added: Vec<&FileName> = Vec::new();
        for (i, (name, meta)) in files.iter().enumerate() {
            let last = !files[i + 1..].iter().any(|(_, m)| m.etag == meta.etag);
            let was_there = self.cache.cached_len(commit, name).is_some();
            if let Err(error) = self.cache.link(&meta.etag, commit, name, last && new.contains(&meta.etag)) {
                added.iter().for_each(|name| self.cache.unlink(commit, name));
                return Err(error);
            }
            if !was_there {
                added.push(*name);
            }
        }
        Ok(())
    }

    /// Fetches the missing blobs, smallest first, so that a faulty configuration is found early. Returns the fetched
    /// blobs and the number of bytes received.
    fn fetch(
        &self,
        metas: &BTreeMap<&FileName, Meta>,
        on_event: &mut dyn FnMut(PullEvent<'_>),
    ) -> Result<(BTreeSet<Etag>, u64)> {
        let mut seen = BTreeSet::new();
        let commit = self.listing.commit.as_str();
        let blob = |(name, meta)| Blob { client: &self.client, cache: &self.cache, commit, name, meta };
        let blobs = metas.iter().map(|(name, meta)| blob((*name, meta)));
        let mut blobs: Vec<Blob<'_>> =
            blobs.filter(|b| (self.options.force || !b.is_cached()) && seen.insert(b.meta.etag.clone())).collect();
        blobs.sort_by_key(|b| b.meta.size);
        let bytes = blobs.iter().filter_map(|b| b.meta.size).fold(0, u64::saturating_add);
        on_event(PullEvent::Planned { files: blobs.len(), bytes });
        if !metas.is_empty() {
            self.cache.prepare()?;
            self.cache.check_room(blobs.iter().map(Blob::to_fetch).fold(0, u64::saturating_add))?;
        }
        let (mut fetched, mut received) = (BTreeSet::new(), 0);
        for blob in blobs {
            let bytes = blob.fetch(self.options.force, on_event)?;
            received += bytes;
            if bytes > 0 {
                fetched.insert(blob.meta.etag.clone());
            }
        }
        Ok((fetched, received))
    }
}

/// The order in which the files of a snapshot are placed.
fn placing_rank(name: &str) -> u8 {
    match name {
        CONFIG => 3,
        name if !name.contains('/') && is_weights(name) => 2,
        name if is_weights(name) => 1,
        _ => 0,
    }
}

/// The repository in the cache, without asking the hub; the error says what is missing.
fn from_cache(cache: &Cache, repo: &RepoId, options: &PullOptions<'_>) -> Result<Pulled, String> {
    let revision = options.revision.as_str();
    if options.force {
        return Err("`force` needs the hub".into());
    }
    let commit =
        cache.commit(&options.revision).ok_or_else(|| format!("there is no revision {revision:?} in the cache"))?;
    let present = cache.names(&commit);
    if present.is_empty() {
        return Err(format!("the cache has no file of its commit {commit}"));
    }
    let recorded = cache.recorded_names(&commit);
    let patterns = Patterns { include: options.include, exclude: options.exclude };
    let names = patterns.choose(repo, recorded.as_deref().unwrap_or(&present)).map_err(|e| match e {
        HubError::Selection { reason, .. } => format!("in the cache, {reason}"),
        other => other.to_string(),
    })?;
    let mut files = Vec::new();
    for name in &names {
        let bytes = match cache.state(&commit, name) {
            State::Whole(bytes) => bytes,
            State::Missing => return Err(format!("the cache lacks its {}", name.as_str())),
            State::Damaged => return Err(format!("in the cache its {} is cut short or altered", name.as_str())),
        };
        files.push(PulledFile { name: name.as_str().to_owned(), bytes, fetched: false });
    }
    let folder = cache.snapshot(&commit);
    if options.include.is_empty() {
        check_complete(&folder, &names)?;
        // Without a record of all files, the cache may come from a pull of the weights alone.
        let has_config = names.iter().any(|n| n.as_str() == CONFIG) || patterns.excludes(CONFIG);
        if recorded.is_none() && !has_config && names.iter().any(|n| n.as_str().ends_with(".safetensors")) {
            return Err(format!("the cache lacks its {CONFIG}; name the wanted files in `include`"));
        }
    }
    Ok(Pulled {
        repo: repo.as_str().to_owned(),
        revision: revision.to_owned(),
        commit,
        folder,
        files,
        fetched_bytes: 0,
    })
}

/// Checks that the weights of a model are in the cache, with all shards that its indices name.
fn check_complete(folder: &std::path::Path, names: &[FileName]) -> Result<(), String> {
    if !names.iter().any(|n| is_weights(n.as_str())) {
        return Err("the cache lacks its weights; name the wanted files in `include`".into());
    }
    for index in names.iter().filter(|n| n.as_str().ends_with(".safetensors.index.json")) {
        let path = folder.join(index.path());
        let text = files::read_text(&path, MAX_JSON).map_err(|e| e.to_string())?;
        let index = ShardIndex::parse(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        let shard_folder = path.parent().unwrap_or(folder);
        if shard_folder.join(WEIGHTS).is_file() {
            continue;
        }
        if let Some(shard) = index.files().into_iter().find(|f| !shard_folder.join(f).is_file()) {
            return Err(format!("the cache lacks its {shard}"));
        }
    }
    Ok(())
}
