//! The engine of `cargo xtask data`: reads the vendors' packages and writes the set.
//!
//! Two forms come out of one run. The compact form (lossy sheets, freely licensed vendors only) is committed; the full
//! form (lossless sheets, OpenMoji too, which is share-alike) stays on the machine and is what models are trained on.

mod join;
mod packages;
mod render;
mod sheet;
mod texts;
mod vendors;

use std::path::{Path, PathBuf};

use super::manifest::{Concept, FILE, Manifest, PoolIndices, Split, VERSION, Vendor};
use crate::DataError;
use packages::Packages;
use vendors::Drawings;

pub use join::{base_key, hash64, join_key, split_of};
pub use render::PICTURE;
pub use sheet::TILE;

/// Concepts in the evaluation pools, seen and unseen.
pub const POOLS: (usize, usize) = (450, 150);

/// What to build, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder of package archives; missing ones are fetched into it.
    pub cache: PathBuf,
    /// Never start a package manager: a missing archive is an error.
    pub offline: bool,
    /// Where the compact form goes.
    pub compact: Option<PathBuf>,
    /// Where the full form goes.
    pub full: Option<PathBuf>,
    /// WebP quality of the compact sheets, 0 to 100.
    pub quality: f32,
}

/// One vendor as built: the manifest's entry without its sheet, and its pictures.
struct Built {
    vendor: Vendor,
    drawings: Drawings,
    commit: bool,
}

/// Builds what `options` ask for; `log` gets one line per step.
pub fn build(options: &Options, log: &mut dyn FnMut(String)) -> Result<(), DataError> {
    let packages = Packages::new(&options.cache, options.offline);
    let mut concepts = texts::concepts(&packages)?;
    log(format!("{} concepts", concepts.len()));
    let joiner = join::Joiner::new(&packages, &concepts)?;
    let mut built = Vec::new();
    for source in vendors::SOURCES {
        if source.commit || options.full.is_some() || source.id == "openmoji" {
            let drawings = vendors::draw(source, &packages, &concepts, &joiner)?;
            log(format!("{}: {} pictures", source.name, drawings.len()));
            built.push(Built { vendor: source.vendor(), drawings, commit: source.commit });
        }
    }
    let pools = pools(&concepts, &built);
    log(format!("pools: {} seen, {} unseen", pools.seen.len(), pools.unseen.len()));
    texts::sort_heldout(&mut concepts);
    if let Some(dir) = &options.compact {
        write(dir, &concepts, &pools, &built, Some(options.quality), log)?;
    }
    if let Some(dir) = &options.full {
        write(dir, &concepts, &pools, &built, None, log)?;
    }
    Ok(())
}

/// The concepts that are no flags and that every one of five vendors draws, in the order of the hash of their own key.
fn pools(concepts: &[Concept], built: &[Built]) -> PoolIndices {
    const NEEDED: [&str; 5] = ["noto", "twemoji", "openmoji", "fluent-3d", "fluent-flat"];
    let mut order: Vec<u32> = (0..concepts.len() as u32)
        .filter(|index| concepts[*index as usize].group != "Flags")
        .filter(|index| {
            NEEDED.iter().all(|id| built.iter().any(|b| b.vendor.id == *id && b.drawings.contains_key(index)))
        })
        .collect();
    order.sort_by_key(|index| hash64(&concepts[*index as usize].key));
    let take = |split: Split, count: usize| -> Vec<u32> {
        let of_split = order.iter().filter(|index| concepts[**index as usize].split == split);
        of_split.take(count).copied().collect()
    };
    PoolIndices { seen: take(Split::Train, POOLS.0), unseen: take(Split::Unseen, POOLS.1) }
}

fn write(
    dir: &Path,
    concepts: &[Concept],
    pools: &PoolIndices,
    built: &[Built],
    quality: Option<f32>,
    log: &mut dyn FnMut(String),
) -> Result<(), DataError> {
    std::fs::create_dir_all(dir).map_err(DataError::io(dir, "creating the folder"))?;
    let mut vendors = Vec::new();
    for one in built.iter().filter(|one| one.commit || quality.is_none()) {
        let mut vendor = one.vendor.clone();
        let bytes = match quality {
            Some(quality) => sheet::lossy(&one.drawings, quality)?,
            None => sheet::lossless(&one.drawings)?,
        };
        vendor.file = format!("{}.{}", vendor.id, if quality.is_some() { "webp" } else { "png" });
        vendor.columns = sheet::columns(one.drawings.len());
        vendor.pictures = one.drawings.keys().copied().collect();
        log(format!("{}: {} bytes", dir.join(&vendor.file).display(), bytes.len()));
        put(&dir.join(&vendor.file), &bytes)?;
        vendors.push(vendor);
    }
    let manifest = Manifest {
        version: VERSION,
        picture: PICTURE,
        tile: TILE,
        vendors,
        pools: pools.clone(),
        concepts: concepts.to_vec(),
    };
    put(&dir.join(FILE), lines(&manifest)?.as_bytes())
}

/// Writes beside the target and renames, so that a stopped build leaves no half file.
fn put(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, bytes).map_err(DataError::io(&partial, "writing"))?;
    std::fs::rename(&partial, path).map_err(DataError::io(path, "writing"))
}

/// The manifest as JSON with one concept and one vendor a line, so that changes read well in a diff.
fn lines(manifest: &Manifest) -> Result<String, DataError> {
    let fail = |e: serde_json::Error| DataError::content(FILE, e.to_string());
    let mut out = format!(
        "{{\n\"version\": {},\n\"picture\": {},\n\"tile\": {},\n\"vendors\": [\n",
        manifest.version, manifest.picture, manifest.tile
    );
    let join = |rows: Vec<String>| rows.join(",\n");
    let vendors: Result<Vec<_>, _> = manifest.vendors.iter().map(serde_json::to_string).collect();
    out += &join(vendors.map_err(fail)?);
    out += "\n],\n\"pools\": ";
    out += &serde_json::to_string(&manifest.pools).map_err(fail)?;
    out += ",\n\"concepts\": [\n";
    let concepts: Result<Vec<_>, _> = manifest.concepts.iter().map(serde_json::to_string).collect();
    out += &join(concepts.map_err(fail)?);
    out += "\n]\n}\n";
    Ok(out)
}
