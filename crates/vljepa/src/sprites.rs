//! Clips of Sprite World as files: animated WebP, a manifest to train and measure with, and everything that is true of each clip.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::{Value, json};
use vljepa_data::emoji::{EmojiVendors, Role, Split};
use vljepa_data::manifest;
use vljepa_data::sprite_world::words::{Length, Question, Wordings, caption, questions};
use vljepa_data::sprite_world::{Scene, SpriteOptions, SpriteWorld, sheet};
use vljepa_data::{Rgb8Image, SampleKey, encode_png, encode_webp_animation};
use vljepa_embed::files::OutFolder;
use vljepa_train::sources::sprite_world::{Players, of_role, world};

use crate::error::{Error, Result};

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
}

/// Writes clips into a folder that is empty or not there: `clips/000000.webp` and on, [`CLIPS`] with a row for the captions of each clip
/// and one for each question, [`SCENES`] and [`SHEET`]. The same world and options give the same bytes. Gives the number of rows.
/// `progress` receives the number of clips that are done.
///
/// # Errors
/// A folder with content, and errors of writing.
pub fn write(world: &SpriteWorld, files: &SpriteFiles, dir: &Path, progress: &mut dyn FnMut(u64)) -> Result<usize> {
    let out = OutFolder::new(dir)?;
    let (mut rows, mut scenes, mut count) = (String::new(), String::new(), 0);
    for first in (0..files.clips).step_by(PART as usize) {
        let last = (first + PART).min(files.clips);
        let made: Vec<Made> =
            (first..last).into_par_iter().map(|index| make(world, files, index)).collect::<Result<_>>()?;
        for clip in made {
            out.write(&clip.name, &clip.bytes)?;
            count += clip.rows.len();
            for row in clip.rows {
                rows += &format!("{row}\n");
            }
            scenes += &format!("{}\n", clip.scene);
        }
        progress(last);
    }
    out.write(CLIPS, rows.as_bytes())?;
    out.write(SCENES, scenes.as_bytes())?;
    out.write(SHEET, &encode_png(&sheet(world, files.seed, files.side)?.opaque())?)?;
    out.persist()?;
    Ok(count)
}

struct Made {
    name: String,
    bytes: Vec<u8>,
    rows: Vec<Value>,
    scene: Value,
}

fn make(world: &SpriteWorld, files: &SpriteFiles, index: u64) -> Result<Made> {
    let key = SampleKey { seed: files.seed, epoch: 0, index, stream: 0 };
    let (scene, side) = (world.scene(key), files.side);
    let name = format!("clips/{index:06}.webp");
    let frame = |data: &[u8]| Rgb8Image::new(side as u32, side as u32, data.to_vec()).map_err(Error::from);
    let frames = world.render(&scene, side).chunks_exact(side * side * 3).map(frame).collect::<Result<Vec<_>>>()?;
    let bytes = encode_webp_animation(&frames, (MILLIS / frames.len().max(1)) as u32)?;
    let captions = Length::ALL.map(|length| caption(world, &scene, length, files.wordings, key));
    let questions = questions(world, &scene, files.wordings, key);
    let split = files.split.name();
    let mut rows = vec![json!({"visual": name, "targets": distinct(&captions), "split": split})];
    rows.extend(questions.iter().map(|q| json!({"visual": name, "query": q.text, "target": q.answer, "split": split})));
    let scene = facts(world, &scene, &name, &captions, &questions);
    Ok(Made { name, bytes, rows, scene })
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
fn facts(world: &SpriteWorld, scene: &Scene, name: &str, captions: &[String], questions: &[Question]) -> Value {
    let things: Vec<Value> = scene
        .actors
        .iter()
        .map(|actor| {
            let thing = world.thing(actor);
            let color = thing.drawings.get(actor.drawing).and_then(|drawing| drawing.color);
            json!({"key": thing.key, "label": thing.label, "color": color, "mirrored": actor.mirrored})
        })
        .collect();
    json!({
        "visual": name,
        "script": scene.script,
        "things": things,
        "events": scene.events,
        "captions": captions,
        "questions": questions,
        "poses": scene.poses,
    })
}
