//! Writes a contact sheet of augmented training pictures and prints the rate:
//! `cargo run -p vljepa-data --example augment_sheet -- sheet.png [set folder]`.

use std::error::Error;
use std::time::Instant;

use vljepa_data::emoji::{EmojiVendors, Role, VendorId};
use vljepa_data::{AugmentOptions, Augmenter, Sample, SampleKey};

const SIDE: u32 = 64;
const COLUMNS: u32 = 22;
const ROWS: u32 = 14;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let target = arguments.next().ok_or("usage: augment_sheet SHEET.png [SET_FOLDER]")?;
    let set = EmojiVendors::open(arguments.next().map_or_else(EmojiVendors::default_dir, Into::into))?;
    let augmenter = Augmenter::new(SIDE, AugmentOptions::default())?;
    let mut pictures = Vec::new();
    for (index, vendor) in (0..).zip(set.vendors()) {
        if vendor.role == Role::Train {
            for concept in set.pools().seen.iter().step_by(7) {
                if let (Some(picture), Some(texts)) = (set.picture(VendorId(index), *concept)?, set.concept(*concept)) {
                    pictures.push((picture, texts));
                }
            }
        }
    }
    let sample = |index: u64| {
        // One drawing a row, plain first.
        let (picture, texts) = &pictures[(index / u64::from(COLUMNS) * 17) as usize % pictures.len()];
        Sample {
            picture,
            other: Some(&pictures[(index * 31) as usize % pictures.len()].0),
            mirror_allowed: texts.mirror_safe(),
            color_bound: texts.color_bound(),
            key: SampleKey { index, ..SampleKey::default() },
        }
    };
    let plain = Augmenter::new(SIDE, AugmentOptions::none())?;
    let mut sheet = image::RgbImage::new(COLUMNS * SIDE, ROWS * SIDE);
    for index in 0..COLUMNS * ROWS {
        let augmenter = if index % COLUMNS == 0 { &plain } else { &augmenter };
        let tile = augmenter.run(&sample(u64::from(index)));
        let tile = image::RgbImage::from_raw(SIDE, SIDE, tile.data).ok_or("tile size")?;
        image::imageops::replace(
            &mut sheet,
            &tile,
            i64::from(index % COLUMNS * SIDE),
            i64::from(index / COLUMNS * SIDE),
        );
    }
    sheet.save(&target)?;
    let start = Instant::now();
    let count = 4000;
    for index in 0..count {
        std::hint::black_box(augmenter.run(&sample(index)));
    }
    println!("{target}; {:.0} pictures a second on one core", count as f64 / start.elapsed().as_secs_f64());
    Ok(())
}
