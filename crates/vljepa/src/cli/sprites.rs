//! `sprites`: clips of Sprite World as files.

use std::path::PathBuf;

use serde_json::json;
use vljepa::sprites::{self, Drawings, MAX_CLIPS, SpriteFiles};
use vljepa_data::emoji::{EmojiVendors, Role, Split};
use vljepa_data::manifest;
use vljepa_data::sprite_world::words::Wordings;
use vljepa_data::sprite_world::{Pairs, SpriteOptions};

use super::common::Common;
use super::failure::{Failure, Result};
use super::output::Output;

/// Its name in usage errors.
const VERB: &str = "sprites";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Number of clips
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_CLIPS))]
    pub n: u64,
    /// The folder to write; it must be empty or not exist
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Your own drawings: a folder with PNG or WebP files and labels.jsonl, a line {"file": "dog.png", "label": "dog"} for each
    #[arg(long, value_name = "DIR", conflicts_with_all = ["data", "part"])]
    pub sprites: Option<PathBuf>,
    /// Folder of the emoji-vendors set; absent: the folder in VLJEPA_EMOJI_VENDORS, else the one in the repository
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Whose drawings and which wordings: those to train on, those to validate on, or those held out for the test
    #[arg(long, value_name = "PART", default_value = "train")]
    pub part: Part,
    /// Frames of a clip, 8 to 32; a clip takes a second
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub frames: usize,
    /// Side of a frame in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 64, value_parser = clap::value_parser!(u16).range(32..=128))]
    pub side: u16,
    /// Fewest things in a clip
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub min_things: usize,
    /// Most things in a clip, up to 4
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub max_things: usize,
    /// Most events in a clip: up to 2 in 8 frames, 3 from 12 on
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub events: usize,
    /// Write WebDataset archives of so many clips each (shard-000000.tar, …) in place of files and a list
    #[arg(long, value_name = "CLIPS", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub shard: Option<u64>,
    /// Things first do what they are never seen doing in training
    #[arg(long)]
    pub held_out_pairs: bool,
}

/// The values of `--part`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Drawings by Noto, Twemoji and EmojiOne, in training wordings
    Train,
    /// Drawings by Noto v1, in training wordings
    Validation,
    /// Drawings by Fluent, in wordings that are never trained on
    Test,
    /// As test, of concepts that are never trained on
    Unseen,
}

impl Part {
    fn role(self) -> Role {
        match self {
            Self::Train => Role::Train,
            Self::Validation => Role::Val,
            Self::Test | Self::Unseen => Role::Test,
        }
    }
}

pub fn run(args: &Args, common: &Common, out: &Output) -> Result {
    let options = SpriteOptions {
        frames: args.frames,
        things: [args.min_things, args.max_things],
        events: args.events,
        pairs: if args.held_out_pairs { Pairs::HeldOut } else { Pairs::Seen },
    };
    if let Some((key, what)) = options.problem() {
        let flag = if key == "things" { "min-things and --max-things" } else { key };
        return Err(Failure::Usage { verb: VERB, reason: format!("--{flag}: {what}") });
    }
    let split = if args.part == Part::Unseen { Split::Unseen } else { Split::Train };
    let drawings = match &args.sprites {
        Some(dir) => Drawings::Folder(dir.clone()),
        None => Drawings::Emoji {
            dir: args.data.clone().unwrap_or_else(EmojiVendors::default_dir),
            role: args.part.role(),
            split,
        },
    };
    let files = SpriteFiles {
        clips: args.n,
        seed: common.seed,
        side: usize::from(args.side),
        wordings: match args.part.role() {
            Role::Test => Wordings::HeldOut,
            Role::Val => Wordings::Validation,
            _ => Wordings::Train,
        },
        split: match args.part.role() {
            Role::Train => manifest::Split::Train,
            Role::Val => manifest::Split::Validation,
            Role::Test => manifest::Split::Test,
        },
        shard: args.shard,
    };
    let world = sprites::open(&drawings, options)?;
    let bar = out.progress("clips", args.n as usize);
    let rows = sprites::write(&world, &files, &args.out, &mut |done| bar.set_position(done))?;
    bar.finish_and_clear();
    let place = args.out.display().to_string();
    if out.json {
        return out.document(&json!({
            "out": place,
            "clips": args.n,
            "rows": rows,
            "things": world.cast().things().len(),
            "seed": common.seed,
        }));
    }
    let list = if args.shard.is_some() { "shard-*.tar" } else { sprites::CLIPS };
    out.text(&format!(
        "{place}: {} clips of {} things; {list} has {rows} rows, {} what is true of each clip, {} every action\n",
        args.n,
        world.cast().things().len(),
        sprites::SCENES,
        sprites::SHEET
    ))
}
