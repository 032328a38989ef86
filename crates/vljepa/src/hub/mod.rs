//! Repositories of the Hugging Face hub, fetched into the cache that Python's `huggingface_hub` keeps, so that both share it.
//!
//! A pull asks for the files of a revision, then for the checksum of each that the cache lacks, then for its bytes. A snapshot
//! gets its files when all of them are there: what it shows is whole. An interrupted pull leaves `ETAG.incomplete` files, and
//! the next one goes on where they end.

mod cache;
mod client;
mod error;
mod event;
mod fetch;
mod names;
mod select;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;
use vljepa_embed::files::{self, MAX_JSON};
use vljepa_embed::names::CONFIG;
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

/// What is pulled.
#[derive(Clone, Debug)]
pub struct PullOptions<'a> {
    /// A branch, a tag or a commit; `main` where nothing else is meant.
    pub revision: Revision,
    /// Patterns of the files to fetch; empty for those that this program reads. `*` stands for any text, also with `/`; `?`
    /// for one character, `[ab]` for one of a set, `folder/` for all of a folder.
    pub include: &'a [String],
    /// Patterns of files to leave out.
    pub exclude: &'a [String],
    /// Whether to fetch again what the cache has.
    pub force: bool,
}

/// A repository in the cache.
#[derive(Clone, Debug, Serialize)]
pub struct Pulled {
    /// Its id.
    pub repo: String,
    /// The revision that was asked for.
    pub revision: String,
    /// The commit which that is.
    pub commit: String,
    /// The folder with its files.
    pub folder: PathBuf,
    /// The files that were asked for, by name.
    pub files: Vec<PulledFile>,
    /// Bytes that came over the network.
    pub fetched_bytes: u64,
}

/// A file of a [`Pulled`] repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PulledFile {
    /// Its path below the folder, with `/`.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Whether bytes of it came over the network.
    pub fetched: bool,
}

/// Fetches what the cache lacks of a repository. `on_event` is told how that goes.
///
/// # Errors
/// No connection, a refusal, a file that is not what the hub says it is, a cache that cannot be written.
pub fn pull(
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

struct Pull<'a> {
    client: Client<'a>,
    cache: Cache,
    listing: Listing,
    options: &'a PullOptions<'a>,
}

impl Pull<'_> {
    fn run(&self, names: &[FileName], on_event: &mut dyn FnMut(PullEvent<'_>)) -> Result<Pulled> {
        let commit = self.listing.commit.as_str();
        let missing: Vec<&FileName> =
            names.iter().filter(|n| self.options.force || self.cache.cached(commit, n).is_none()).collect();
        let mut metas: BTreeMap<&FileName, Meta> = BTreeMap::new();
        for name in &missing {
            metas.insert(name, self.client.meta(commit, name, on_event)?);
        }
        // Blobs that no other snapshot can be linked to.
        let new: BTreeSet<&Etag> = metas.values().map(|m| &m.etag).filter(|e| !self.cache.blob(e).exists()).collect();
        let (fetched, fetched_bytes) = self.fetch(&metas, on_event)?;
        for (i, (name, meta)) in metas.iter().enumerate() {
            let last = !metas.values().skip(i + 1).any(|m| m.etag == meta.etag);
            self.cache.link(&meta.etag, commit, name, last && new.contains(&meta.etag))?;
        }
        if self.options.revision.as_str() != commit {
            let noted = self.cache.note(&self.options.revision, commit);
            // With nothing to write, a cache that cannot be written serves as well.
            if !missing.is_empty() {
                noted?;
            }
        }
        let file = |name: &FileName| PulledFile {
            name: name.as_str().to_owned(),
            bytes: self.cache.cached(commit, name).unwrap_or_default(),
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

    /// Fetches the blobs that are not there, the smallest first: what is wrong with a configuration is then known early.
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
            blobs.filter(|b| (self.options.force || !b.is_there()) && seen.insert(b.meta.etag.clone())).collect();
        blobs.sort_by_key(|b| b.meta.size);
        let bytes = blobs.iter().filter_map(|b| b.meta.size).sum();
        on_event(PullEvent::Planned { files: blobs.len(), bytes });
        if !metas.is_empty() {
            self.cache.prepare()?;
        }
        let (mut fetched, mut came) = (BTreeSet::new(), 0);
        for blob in blobs {
            let bytes = blob.fetch(self.options.force, on_event)?;
            came += bytes;
            if bytes > 0 {
                fetched.insert(blob.meta.etag.clone());
            }
        }
        Ok((fetched, came))
    }
}

/// A repository as far as the cache has it; what is missing, if something is.
fn from_cache(cache: &Cache, repo: &RepoId, options: &PullOptions<'_>) -> Result<Pulled, String> {
    let revision = options.revision.as_str();
    if options.force {
        return Err("`force` fetches from the hub".into());
    }
    let commit =
        cache.commit(&options.revision).ok_or_else(|| format!("the cache has no revision {revision:?} of it"))?;
    let present = cache.names(&commit);
    if present.is_empty() {
        return Err(format!("the cache has no file of its commit {commit}"));
    }
    let noted = cache.noted_names(&commit);
    let patterns = Patterns { include: options.include, exclude: options.exclude };
    let names = patterns.choose(repo, noted.as_deref().unwrap_or(&present)).map_err(|e| match e {
        HubError::Selection { reason, .. } => format!("in the cache, {reason}"),
        other => other.to_string(),
    })?;
    let mut files = Vec::new();
    for name in &names {
        let Some(bytes) = cache.cached(&commit, name) else {
            return Err(format!("the cache lacks its {}", name.as_str()));
        };
        files.push(PulledFile { name: name.as_str().to_owned(), bytes, fetched: false });
    }
    let folder = cache.snapshot(&commit);
    if options.include.is_empty() {
        whole(&folder, &names)?;
        // Without a list of what there should be: a pull of the weights alone may have been all there was.
        let described = names.iter().any(|n| n.as_str() == CONFIG) || patterns.excludes(CONFIG);
        if noted.is_none() && !described && names.iter().any(|n| n.as_str().ends_with(".safetensors")) {
            return Err(format!("the cache lacks its {CONFIG}; name what is wanted in `include`"));
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

/// Whether a model's files are all there, as far as they tell.
fn whole(folder: &std::path::Path, names: &[FileName]) -> Result<(), String> {
    if !names.iter().any(|n| is_weights(n.as_str())) {
        return Err("the cache lacks its weights; name what is wanted in `include`".into());
    }
    for index in names.iter().filter(|n| n.as_str().ends_with(".safetensors.index.json")) {
        let path = folder.join(index.path());
        let text = files::read_text(&path, MAX_JSON).map_err(|e| e.to_string())?;
        let index = ShardIndex::parse(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        let beside = path.parent().unwrap_or(folder);
        if beside.join("model.safetensors").is_file() {
            continue;
        }
        if let Some(shard) = index.files().into_iter().find(|f| !beside.join(f).is_file()) {
            return Err(format!("the cache lacks its {shard}"));
        }
    }
    Ok(())
}
