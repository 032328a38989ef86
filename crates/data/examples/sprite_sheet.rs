//! Writes a contact sheet of Sprite World, a row for each action, and prints the rate:
//! `cargo run --release -p vljepa-data --example sprite_sheet -- sheet.png`.

use std::error::Error;
use std::time::Instant;

use rayon::prelude::*;
use vljepa_data::emoji::{EmojiVendors, Role, Split};
use vljepa_data::sprite_world::{Cast, SpriteOptions, SpriteWorld, sheet};
use vljepa_data::{SampleKey, encode_png};

const SIDE: usize = 64;
const CLIPS: u64 = 4000;

fn main() -> Result<(), Box<dyn Error>> {
    let target = std::env::args().nth(1).ok_or("usage: sprite_sheet SHEET.png")?;
    let set = EmojiVendors::open(EmojiVendors::default_dir())?;
    let vendors: Vec<_> =
        set.vendors().iter().filter(|v| v.role == Role::Train).filter_map(|v| set.vendor(&v.id)).collect();
    let cast = Cast::of_emoji(&set, &vendors, |concept| concept.split == Split::Train)?;
    println!("{} things", cast.things().len());
    let world = SpriteWorld::new(cast, true, SpriteOptions::default())?;
    let clip = |index: u64| world.render(&world.scene(SampleKey { seed: 0, epoch: 0, index, stream: 0 }), SIDE).len();
    let started = Instant::now();
    let bytes: usize = (0..CLIPS).into_par_iter().map(clip).sum();
    let rate = CLIPS as f64 / started.elapsed().as_secs_f64();
    println!(
        "{rate:.0} clips a second of {} bytes on {} threads",
        bytes / CLIPS as usize,
        rayon::current_num_threads()
    );
    std::fs::write(target, encode_png(&sheet(&world, 0, SIDE)?.opaque())?)?;
    Ok(())
}
