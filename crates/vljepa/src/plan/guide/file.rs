//! Guides as safetensors, beside the model that they are of.
//!
//! A file holds `latents` (F32: a row for each place), `states` (F64: likewise) and `edges` (U32: rows of from, to, steps); the entry
//! `guide` of its metadata is JSON that names version, world and options.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use vljepa_embed::files;
use vljepa_worlds::World;

use super::graph::Edge;
use super::places::{Guide, GuideOptions};
use crate::error::{Error, Hint, Result};
use crate::plan::agent::{Agent, distance};

/// Name of the file in a model's folder.
pub const GUIDE: &str = "guide.safetensors";

/// The entry of the metadata.
const KEY: &str = "guide";
const VERSION: u32 = 1;
/// What a file may weigh.
const MAX_BYTES: u64 = 1 << 30;
/// Places whose latents are encoded anew to see whether the guide is of this model.
const CHECKED: usize = 4;
/// How far such a latent may be off, as a share of its squared length: more than adapters differ, less than two trainings.
const OFF: f32 = 1e-3;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
    world: String,
    options: GuideOptions,
}

impl Guide {
    /// The bytes of a file of this guide through `world`.
    ///
    /// # Errors
    /// A guide whose places are not all of one size.
    pub fn to_bytes(&self, world: &str) -> Result<Vec<u8>> {
        let fault = |e: String| Error::invalid(format!("the guide cannot be written: {e}"));
        let size = |rows: usize, numbers: usize| vec![rows, numbers.checked_div(rows).unwrap_or(0)];
        let latents: Vec<f32> = self.latents.concat();
        let states: Vec<f64> = self.states.concat();
        let edges: Vec<u32> = self.edges.iter().flat_map(|edge| [edge.from, edge.to, edge.steps]).collect();
        let shapes = [size(self.places(), latents.len()), size(self.places(), states.len()), vec![self.edges.len(), 3]];
        let bytes: [Vec<u8>; 3] = [
            latents.iter().flat_map(|v| v.to_le_bytes()).collect(),
            states.iter().flat_map(|v| v.to_le_bytes()).collect(),
            edges.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ];
        let kinds = [("latents", Dtype::F32), ("states", Dtype::F64), ("edges", Dtype::U32)];
        let mut views = Vec::with_capacity(kinds.len());
        for (((name, dtype), shape), bytes) in kinds.into_iter().zip(shapes).zip(&bytes) {
            views.push((name, TensorView::new(dtype, shape, bytes).map_err(|e| fault(e.to_string()))?));
        }
        let header = Header { version: VERSION, world: world.to_owned(), options: self.options };
        let text = serde_json::to_string(&header).map_err(|e| fault(e.to_string()))?;
        let metadata = HashMap::from([(KEY.to_owned(), text)]);
        safetensors::serialize(views, Some(metadata)).map_err(|e| fault(e.to_string()))
    }

    /// Writes the guide into the folder of its model, whole or not at all.
    ///
    /// # Errors
    /// As [`Guide::to_bytes`], and the operating system's.
    pub fn write(&self, folder: &Path, world: &str) -> Result<()> {
        Ok(files::write_atomically(&folder.join(GUIDE), &self.to_bytes(world)?)?)
    }

    /// The guide in a model's folder; `None` where there is no such file.
    ///
    /// # Errors
    /// As [`Guide::from_bytes`], and a file that cannot be read.
    pub fn read(folder: &Path, agent: &Agent, world: &dyn World) -> Result<Option<Self>> {
        let path = folder.join(GUIDE);
        match files::is_there(&path)? {
            true => Self::from_bytes(&files::read(&path, MAX_BYTES)?, &path, agent, world).map(Some),
            false => Ok(None),
        }
    }

    /// What the bytes of a file hold. `path` is for messages.
    ///
    /// # Errors
    /// Damaged bytes, places or edges that cannot be; a guide through another world or of other weights; what the device reports.
    pub fn from_bytes(bytes: &[u8], path: &Path, agent: &Agent, world: &dyn World) -> Result<Self> {
        let guide = Self::parse(bytes, agent.config().hidden_size, world)
            .map_err(|what| Error::from(vljepa_embed::Error::content(path, what)))?;
        let some: Vec<_> = guide.all().step_by(guide.places().div_ceil(CHECKED).max(1)).collect();
        let pictures = some.iter().map(|place| agent.picture(world, place.state)).collect::<Result<Vec<_>>>()?;
        let same = agent.latents(&pictures)?.iter().zip(&some).all(|(own, place)| {
            let length: f32 = own.iter().map(|v| v * v).sum();
            distance(own, place.latent) <= OFF * length
        });
        if !same {
            let what = "is of another model or other weights";
            return Err(Error::from(vljepa_embed::Error::content(path, what)).hint(Hint::MakeGuide));
        }
        Ok(guide)
    }

    /// As [`Guide::from_bytes`], without a look at what the model makes of the places. The error says what is wrong with the file.
    pub(super) fn parse(bytes: &[u8], hidden_size: usize, world: &dyn World) -> std::result::Result<Self, String> {
        let damaged = |e: safetensors::SafeTensorError| format!("damaged, or no safetensors: {e}");
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let text = header.metadata().as_ref().and_then(|texts| texts.get(KEY));
        let text = text.ok_or_else(|| format!("holds no guide; the metadata of such a file have an entry `{KEY}`"))?;
        let header: Header = serde_json::from_str(text).map_err(|e| format!("its metadata are damaged: {e}"))?;
        if header.version != VERSION {
            return Err(format!("is of version {}; this program reads {VERSION}", header.version));
        }
        if header.world != world.name() {
            return Err(format!("is a guide through {}, not through {}", header.world, world.name()));
        }
        let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let tensor = |name: &str, dtype: Dtype, width: usize| {
            let view = file.tensor(name).map_err(|_| format!("has no tensor `{name}`"))?;
            match (view.dtype() == dtype, view.shape()) {
                (true, [_, own]) if *own == width => Ok(view),
                (_, shape) => Err(format!(
                    "`{name}` is {:?} of shape {shape:?}; {dtype:?} with rows of {width} is expected",
                    view.dtype()
                )),
            }
        };
        let (latents, states) =
            (tensor("latents", Dtype::F32, hidden_size)?, tensor("states", Dtype::F64, world.state_size())?);
        let edges = tensor("edges", Dtype::U32, 3)?;
        let places = latents.shape()[0];
        if places == 0 || states.shape()[0] != places {
            return Err(format!("has {places} latents and {} states; each place has one of both", states.shape()[0]));
        }
        let latents: Vec<f32> = latents.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        let states: Vec<f64> = states.data().as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
        if latents.iter().any(|v| !v.is_finite()) || states.iter().any(|v| !v.is_finite()) {
            return Err("holds a number that is not finite".to_owned());
        }
        let numbers: Vec<u32> = edges.data().as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
        let edges: Vec<Edge> =
            numbers.as_chunks::<3>().0.iter().map(|&[from, to, steps]| Edge { from, to, steps }).collect();
        if let Some(edge) = edges.iter().find(|edge| edge.from.max(edge.to) as usize >= places) {
            return Err(format!("has an edge from {} to {} among {places} places", edge.from, edge.to));
        }
        let mut fork = world.fork();
        for (place, state) in states.chunks_exact(world.state_size()).enumerate() {
            fork.set_state(state).map_err(|e| format!("has a place {place} that cannot be: {e}"))?;
        }
        if header.options.neighbours == 0 {
            return Err("its `neighbours` is 0; at least 1 is needed".to_owned());
        }
        let rows = |width: usize| move |row: usize| row * width..(row + 1) * width;
        let (latent, state) = (rows(hidden_size), rows(world.state_size()));
        Ok(Self::of(
            (0..places).map(|row| latents[latent(row)].to_vec()).collect(),
            (0..places).map(|row| states[state(row)].to_vec()).collect(),
            edges,
            header.options,
        ))
    }
}

#[cfg(test)]
mod tests {
    use vljepa_worlds::world_by_name;

    use super::*;

    fn made() -> Guide {
        let options = GuideOptions { neighbours: 1, ..GuideOptions::default() };
        let edges = vec![Edge { from: 0, to: 1, steps: 7 }];
        Guide::of(
            vec![vec![0.5, 1.0, 2.0], vec![-1.0, 0.0, 4.0]],
            vec![vec![30.0, 40.0], vec![50.5, 60.0]],
            edges,
            options,
        )
    }

    #[test]
    fn a_guide_comes_back_as_it_was_written() {
        let world = world_by_name("two-room").unwrap();
        let guide = made();
        let read = Guide::parse(&guide.to_bytes("two-room").unwrap(), 3, world.as_ref()).unwrap();
        assert_eq!((&read.latents, &read.states, &read.edges), (&guide.latents, &guide.states, &guide.edges));
        assert_eq!(read.options, guide.options);
    }

    #[test]
    fn files_that_lie_are_refused() {
        let world = world_by_name("two-room").unwrap();
        let bytes = made().to_bytes("two-room").unwrap();
        let refused = |bytes: &[u8], hidden: usize| Guide::parse(bytes, hidden, world.as_ref()).unwrap_err();
        for cut in [0, 7, 40, bytes.len() - 1] {
            assert!(refused(&bytes[..cut], 3).contains("damaged"), "{cut}");
        }
        assert!(refused(&bytes, 4).contains("`latents` is F32 of shape [2, 3]; F32 with rows of 4"));
        assert!(refused(&made().to_bytes("push-t").unwrap(), 3).contains("through push-t, not through two-room"));
        let with = |change: fn(&mut Guide)| {
            let mut guide = made();
            change(&mut guide);
            guide.to_bytes("two-room").unwrap()
        };
        assert!(refused(&with(|g| g.edges[0].to = 2), 3).contains("an edge from 0 to 2 among 2 places"));
        assert!(refused(&with(|g| g.states[1][0] = f64::NAN), 3).contains("not finite"));
        assert!(refused(&with(|g| g.options.neighbours = 0), 3).contains("neighbours"));
        assert!(
            refused(
                &with(|g| {
                    g.states.pop();
                }),
                3
            )
            .contains("`states` is F64 of shape [2, 1]; F64 with rows of 2")
        );
    }
}
