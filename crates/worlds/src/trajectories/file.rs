//! Trajectories as safetensors.
//!
//! A file holds `states` (F64: rows of all episodes), `actions` (F32), `goals` (F64: one row an episode) and `steps` (U32: one number an
//! episode); the entry `trajectories` of its metadata is JSON that names version, world, options, policy and seed. Rows of states are
//! one more than steps in each episode.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::set::{Episode, Trajectories};
use crate::error::{Result, WorldError};

/// The entry of the metadata. One alone, since the order of several is not fixed, and the same set gives the same bytes.
const KEY: &str = "trajectories";
const VERSION: u32 = 1;
/// What a file may weigh; the whole of it is read.
const MAX_BYTES: u64 = 8 << 30;

/// What the metadata say.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
    world: String,
    options: Value,
    policy: String,
    seed: u64,
}

/// Names of `count` shards: `trajectories-00000-of-00002.safetensors` and on.
pub fn shard_names(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("trajectories-{i:05}-of-{count:05}.safetensors")).collect()
}

fn bad(path: &Path) -> impl Fn(String) -> WorldError {
    move |what| WorldError::File { path: path.to_path_buf(), what }
}

impl Trajectories {
    /// The bytes of a file.
    ///
    /// # Errors
    /// What [`Trajectories::check`] refuses, and episodes that 32 bits do not count.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.check()?;
        let mut bytes: [Vec<u8>; 4] = Default::default();
        for (number, episode) in self.episodes.iter().enumerate() {
            let steps = u32::try_from(self.steps(number))
                .map_err(|_| WorldError::Trajectories(format!("episode {number} has too many steps")))?;
            bytes[0].extend(episode.states.iter().flat_map(|v| v.to_le_bytes()));
            bytes[1].extend(episode.actions.iter().flat_map(|v| v.to_le_bytes()));
            bytes[2].extend(episode.goal.iter().flat_map(|v| v.to_le_bytes()));
            bytes[3].extend(steps.to_le_bytes());
        }
        let (episodes, steps) = (self.episodes.len(), self.total_steps());
        let fault = |e: safetensors::SafeTensorError| WorldError::Trajectories(format!("they cannot be written: {e}"));
        let views = [
            ("states", Dtype::F64, vec![steps + episodes, self.state_size]),
            ("actions", Dtype::F32, vec![steps, self.action_size]),
            ("goals", Dtype::F64, vec![episodes, self.goal_size]),
            ("steps", Dtype::U32, vec![episodes]),
        ];
        let views = views
            .into_iter()
            .zip(&bytes)
            .map(|((name, dtype, shape), bytes)| Ok((name, TensorView::new(dtype, shape, bytes).map_err(fault)?)))
            .collect::<Result<Vec<_>>>()?;
        let header = Header {
            version: VERSION,
            world: self.world.clone(),
            options: self.options.clone(),
            policy: self.policy.clone(),
            seed: self.seed,
        };
        let text = serde_json::to_string(&header)
            .map_err(|e| WorldError::Trajectories(format!("they cannot be written: {e}")))?;
        let metadata = HashMap::from([(KEY.to_owned(), text)]);
        safetensors::serialize(views, Some(metadata)).map_err(fault)
    }

    /// Writes a file whole or not at all.
    ///
    /// # Errors
    /// As [`Trajectories::to_bytes`], and the operating system's.
    pub fn write(&self, path: &Path) -> Result<()> {
        let bytes = self.to_bytes()?;
        let folder = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let fault = || WorldError::io(path, "writing");
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(fault())?;
        file.write_all(&bytes).map_err(fault())?;
        file.as_file().sync_all().map_err(fault())?;
        file.persist(path).map_err(|e| fault()(e.error))?;
        // The name survives a loss of power where folders can be flushed.
        #[cfg(unix)]
        if let Ok(folder) = std::fs::File::open(folder) {
            let _ = folder.sync_all();
        }
        Ok(())
    }

    /// Writes shards of `per_shard` episodes each into a folder, under [`shard_names`]; their paths.
    ///
    /// # Errors
    /// As [`Trajectories::write`]; `per_shard` of 0, no episodes.
    pub fn write_shards(&self, folder: &Path, per_shard: usize) -> Result<Vec<PathBuf>> {
        if per_shard == 0 || self.episodes.is_empty() {
            let what = format!("{} episodes in shards of {per_shard}; both are at least 1", self.episodes.len());
            return Err(WorldError::Trajectories(what));
        }
        let parts = self.episodes.chunks(per_shard);
        let names = shard_names(parts.len());
        let mut paths = Vec::with_capacity(names.len());
        for (part, name) in parts.zip(names) {
            let (world, policy, options) = (self.world.clone(), self.policy.clone(), self.options.clone());
            let shard = Self { episodes: part.to_vec(), world, policy, options, ..*self };
            let path = folder.join(name);
            shard.write(&path)?;
            paths.push(path);
        }
        Ok(paths)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// A file that is missing or over 8 GiB, one that is damaged or of another format, and what [`Trajectories::check`] refuses.
    pub fn read(path: &Path) -> Result<Self> {
        let meta = std::fs::metadata(path).map_err(WorldError::io(path, "reading"))?;
        if !meta.is_file() {
            return Err(bad(path)("is not a file; name one of trajectories".to_owned()));
        }
        if meta.len() > MAX_BYTES {
            return Err(bad(path)(format!("{} bytes, at most {MAX_BYTES} are read", meta.len())));
        }
        Self::from_bytes(&std::fs::read(path).map_err(WorldError::io(path, "reading"))?, path)
    }

    /// What the bytes of a file hold. `path` is for messages.
    ///
    /// # Errors
    /// As [`Trajectories::read`].
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        let bad = bad(path);
        let damaged = |e: safetensors::SafeTensorError| bad(format!("damaged, or no safetensors: {e}"));
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let Some(text) = header.metadata().as_ref().and_then(|texts| texts.get(KEY)) else {
            return Err(bad(format!("holds no trajectories; the metadata of such a file have an entry `{KEY}`")));
        };
        let header: Header = serde_json::from_str(text).map_err(|e| bad(format!("its metadata are damaged: {e}")))?;
        if header.version != VERSION {
            return Err(bad(format!("is of version {}; this program reads {VERSION}", header.version)));
        }
        let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let tensor = |name: &str, dtype: Dtype, rank: usize| {
            let view = file.tensor(name).map_err(|_| bad(format!("has no tensor `{name}`")))?;
            match view.dtype() == dtype && view.shape().len() == rank {
                true => Ok(view),
                false => Err(bad(format!(
                    "`{name}` is {:?} of shape {:?}; {dtype:?} with {rank} dimensions is expected",
                    view.dtype(),
                    view.shape()
                ))),
            }
        };
        let (states, actions) = (tensor("states", Dtype::F64, 2)?, tensor("actions", Dtype::F32, 2)?);
        let (goals, steps) = (tensor("goals", Dtype::F64, 2)?, tensor("steps", Dtype::U32, 1)?);
        let [state_size, action_size, goal_size] = [&states, &actions, &goals].map(|view| view.shape()[1]);
        let steps: Vec<usize> =
            steps.data().as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b) as usize).collect();
        let total: usize = steps.iter().sum();
        let shapes = [
            ("states", states.shape(), [total + steps.len(), state_size]),
            ("actions", actions.shape(), [total, action_size]),
            ("goals", goals.shape(), [steps.len(), goal_size]),
        ];
        for (name, found, expected) in shapes {
            if found != expected {
                return Err(bad(format!("`{name}` has the shape {found:?}; by `steps` it is {expected:?}")));
            }
        }
        let long = |view: &TensorView<'_>| -> Vec<f64> {
            view.data().as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect()
        };
        let (states, goals) = (long(&states), long(&goals));
        let actions: Vec<f32> = actions.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        let mut episodes = Vec::with_capacity(steps.len());
        let (mut row, mut step) = (0, 0);
        for (number, count) in steps.iter().enumerate() {
            episodes.push(Episode {
                states: states[row * state_size..(row + count + 1) * state_size].to_vec(),
                actions: actions[step * action_size..(step + count) * action_size].to_vec(),
                goal: goals[number * goal_size..(number + 1) * goal_size].to_vec(),
            });
            (row, step) = (row + count + 1, step + count);
        }
        let read = Self {
            world: header.world,
            options: header.options,
            policy: header.policy,
            seed: header.seed,
            state_size,
            action_size,
            goal_size,
            episodes,
        };
        read.check().map_err(|e| bad(e.to_string()))?;
        Ok(read)
    }
}

/// Reads the shards of a folder, which [`Trajectories::write_shards`] wrote, in their order.
///
/// # Errors
/// As [`Trajectories::read`]; no shards, missing ones, shards of different sets.
pub fn read_shards(folder: &Path) -> Result<Trajectories> {
    let bad = bad(folder);
    let mut counts: Vec<usize> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(WorldError::io(folder, "reading"))? {
        let name = entry.map_err(WorldError::io(folder, "reading"))?.file_name();
        let name = name.to_string_lossy();
        let rest = name.strip_prefix("trajectories-").and_then(|rest| rest.strip_suffix(".safetensors"));
        if let Some(count) = rest.and_then(|rest| rest.split_once("-of-")?.1.parse().ok()) {
            counts.push(count);
        }
    }
    let Some(count) = counts.first().copied() else {
        return Err(bad("holds no shards trajectories-….safetensors".to_owned()));
    };
    if counts.iter().any(|other| *other != count) {
        return Err(bad("holds shards of different sets; keep each set in a folder of its own".to_owned()));
    }
    if counts.len() != count {
        return Err(bad(format!("holds {} of {count} shards", counts.len())));
    }
    let mut all: Option<Trajectories> = None;
    for name in shard_names(count) {
        let path = folder.join(name);
        let mut shard = Trajectories::read(&path)?;
        let Some(all) = &mut all else {
            all = Some(shard);
            continue;
        };
        let of = |set: &Trajectories| (set.state_size, set.action_size, set.goal_size, set.seed);
        let same = shard.world == all.world && shard.options == all.options && shard.policy == all.policy;
        if !same || of(&shard) != of(all) {
            let what = "world, options, policy or seed differ from those of the first shard".to_owned();
            return Err(WorldError::File { path, what });
        }
        all.episodes.append(&mut shard.episodes);
    }
    all.ok_or_else(|| bad("holds no shards".to_owned()))
}
