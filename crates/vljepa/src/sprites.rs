//! Clips of Sprite World as files: animated WebP, a manifest to train and measure with, and everything that is true of each clip.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::{Value, json};
use vljepa_data::emoji::{EmojiVendors, Role, Split};
use vljepa_data::manifest;
use vljepa_data::sprite_world::words::{Length, Question, Wordings, caption, questions};
use vljepa_data::sprite_world::{Scene, SpriteOptions, SpriteWorld, sheet};
use vljepa_data::{SampleKey, encode_png, encode_webp_animation};
use vljepa_embed::files::OutFolder;
use vljepa_train::sources::sprite_world::{Players, of_role, world};

use crate::error::Result;
use crate::strip::frames;

/// The manifest in the folder.
pub const CLIPS: &str = "clips.jsonl";
/// What is true of each clip, a line for each.
pub const SCENES: &str = "scenes.jsonl";
/// A picture of every action.
pub const SHEET: &str = "actions.png";
/// The most clips of a folder.
pub const MAX_CLIPS: u64 = 1_000_000;
/// Clips that are made at once.
const PART: u64 = 256;
/// Milliseconds that a clip takes.
const MILLIS: usize = 1000;

/// Whose drawings, of the set or of one's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drawings {
    /// Drawings of `vendors` with a role, and the split of their concepts.
    Emoji {
        /// Folder of the set.
        dir: PathBuf,
        /// The vendors' role.
        role: Role,
        /// The concepts' split.
        split: Split,
    },
    /// A folder of drawings with `labels.jsonl`.
    Folder(PathBuf),
}

/// A world of drawings.
///
/// # Errors
/// Drawings that cannot be read, too few of them, and options that break a rule.
pub fn open(drawings: &Drawings, options: SpriteOptions) -> Result<SpriteWorld> {
    Ok(match drawings {
        Drawings::Folder(dir) => world(Players::Folder(dir), options)?,
        Drawings::Emoji { dir, role, split } => {
            let set = EmojiVendors::open(dir)?;
            let vendors = of_role(&set, *role);
            world(Players::Emoji { set: &set, vendors: &vendors, split: *split }, options)?
        }
    })
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpriteFiles {
    /// Number of clips.
    pub clips: u64,
    /// Seed of the clips.
    pub seed: u64,
    /// Side of a frame in pixels.
    pub side: usize,
    /// Which wordings.
    pub wordings: Wordings,
    /// The split that the manifest gives.
    pub split: manifest::Split,
    /// Clips of a WebDataset archive; absent: clips are files beside a manifest.
    pub shard: Option<u64>,
}

/// Writes clips into a folder that is empty or not there: `clips/000000.webp` and on, [`CLIPS`] with a row for the captions of each clip
/// and one for each question, [`SCENES`] and [`SHEET`]. With [`SpriteFiles::shard`] rows are samples of archives `shard-000000.tar` and on
/// in place of files and list: each its clip and its fields. The same world and options give the same bytes. Gives the number of rows.
/// `progress` receives the number of clips that are done.
///
/// # Errors
/// A folder with content, and errors of writing.
pub fn write(world: &SpriteWorld, files: &SpriteFiles, dir: &Path, progress: &mut dyn FnMut(u64)) -> Result<usize> {
    let out = OutFolder::new(dir)?;
    let mut count = 0;
    if let Some(shard) = files.shard {
        for (number, first) in (0..files.clips).step_by(shard.max(1) as usize).enumerate() {
            let last = (first + shard.max(1)).min(files.clips);
            let name = archive(number as u64);
            out.stream(&name, |file| {
                let fault = |what: String| vljepa_embed::Error::content(dir.join(&name), what);
                let mut shard = manifest::ShardWriter::new(file);
                count += samples(world, files, first..last, &mut shard).map_err(|error| fault(error.to_string()))?;
                shard.finish().map_err(|error| fault(error.to_string()))
            })?;
            progress(last);
        }
    }
    let loose = if files.shard.is_none() { files.clips } else { 0 };
    for first in (0..loose).step_by(PART as usize) {
        let last = (first + PART).min(loose);
        let clips: Vec<Vec<u8>> =
            (first..last).into_par_iter().map(|index| clip(world, files, index)).collect::<Result<_>>()?;
        for (index, bytes) in (first..last).zip(clips) {
            out.write(&name(index), &bytes)?;
        }
        progress(last);
    }
    // Texts are made anew for each list: they are quick, and a list of all would take memory.
    let mut lines = |list: &str, of: &dyn Fn(u64) -> Vec<Value>| {
        let path = dir.join(list);
        out.stream(list, |file| {
            for line in (0..files.clips).flat_map(of) {
                writeln!(file, "{line}").map_err(|error| vljepa_embed::Error::content(&path, error.to_string()))?;
                count += usize::from(list == CLIPS);
            }
            Ok(())
        })
    };
    if files.shard.is_none() {
        lines(CLIPS, &|index| rows(world, files, index))?;
    }
    lines(SCENES, &|index| vec![facts(world, files, index)])?;
    out.write(SHEET, &encode_png(&sheet(world, files.seed, files.side)?.opaque())?)?;
    out.persist()?;
    Ok(count)
}

fn archive(number: u64) -> String {
    format!("shard-{number:06}.tar")
}

fn name(index: u64) -> String {
    format!("clips/{index:06}.webp")
}

fn key(files: &SpriteFiles, index: u64) -> SampleKey {
    // Far from the numbers of the trainer and of the suite: these clips are others.
    SampleKey { seed: files.seed, epoch: 1000 + files.split as u64, index, stream: 0 }
}

/// The animation of a clip.
fn clip(world: &SpriteWorld, files: &SpriteFiles, index: u64) -> Result<Vec<u8>> {
    let frames = frames(world, &world.scene(key(files, index)), files.side)?;
    Ok(encode_webp_animation(&frames, (MILLIS / frames.len().max(1)) as u32)?)
}

/// The sample of an archive that a row of a clip is. A dot would end its name.
fn sample(index: u64, row: usize) -> String {
    format!("{index:06}-{row:02}")
}

/// Writes the rows of clips as samples of an archive, each with its clip, and gives their number.
fn samples(
    world: &SpriteWorld,
    files: &SpriteFiles,
    clips: std::ops::Range<u64>,
    shard: &mut manifest::ShardWriter<impl std::io::Write>,
) -> Result<usize> {
    let mut count = 0;
    for first in clips.clone().step_by(PART as usize) {
        let part = first..(first + PART).min(clips.end);
        let made: Vec<(u64, Vec<u8>, Vec<Value>)> = (part.into_par_iter())
            .map(|index| Ok((index, clip(world, files, index)?, rows(world, files, index))))
            .collect::<Result<_>>()?;
        for (index, media, rows) in made {
            for (row, mut fields) in rows.into_iter().enumerate() {
                if let Some(fields) = fields.as_object_mut() {
                    fields.remove("visual");
                }
                for (extension, bytes) in [("webp", media.as_slice()), ("json", fields.to_string().as_bytes())] {
                    let added = shard.add(&format!("{}.{extension}", sample(index, row)), bytes);
                    added.map_err(|error| vljepa_embed::Error::Invalid(format!("writing an archive: {error}")))?;
                }
                count += 1;
            }
        }
    }
    Ok(count)
}

/// What is said of a clip: captions at all lengths, and questions.
fn said(world: &SpriteWorld, files: &SpriteFiles, scene: &Scene, index: u64) -> ([String; 3], Vec<Question>) {
    let key = key(files, index);
    let captions = Length::ALL.map(|length| caption(world, scene, length, files.wordings, key));
    (captions, questions(world, scene, files.wordings, key))
}

/// Its rows in the manifest.
fn rows(world: &SpriteWorld, files: &SpriteFiles, index: u64) -> Vec<Value> {
    let (captions, questions) = said(world, files, &world.scene(key(files, index)), index);
    let (name, split) = (name(index), files.split.name());
    let first = json!({"visual": name, "targets": distinct(&captions), "split": split});
    let asked = |q: &Question| json!({"visual": name, "query": q.text, "target": q.answer, "split": split});
    std::iter::once(first).chain(questions.iter().map(asked)).collect()
}

fn distinct(texts: &[String]) -> Vec<&String> {
    let mut seen = Vec::with_capacity(texts.len());
    for text in texts {
        if !seen.contains(&text) {
            seen.push(text);
        }
    }
    seen
}

/// Everything that is true of a clip, as one object.
fn facts(world: &SpriteWorld, files: &SpriteFiles, index: u64) -> Value {
    let scene = world.scene(key(files, index));
    let (captions, questions) = said(world, files, &scene, index);
    let things: Vec<Value> = scene
        .actors
        .iter()
        .map(|actor| {
            let thing = world.thing(actor);
            let color = thing.drawings.get(actor.drawing).and_then(|drawing| drawing.color);
            json!({"key": thing.key, "label": thing.label, "color": color, "mirrored": actor.mirrored})
        })
        .collect();
    let visual = match files.shard {
        Some(shard) => format!("{}/{}.webp", archive(index / shard.max(1)), sample(index, 0)),
        None => name(index),
    };
    json!({
        "visual": visual,
        "script": scene.script,
        "things": things,
        "events": scene.events,
        "captions": captions,
        "questions": questions,
        "poses": scene.poses,
    })
}
