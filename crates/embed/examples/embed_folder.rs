//! Embed the pictures and videos of a folder and rank them by a text, in a program without the command:
//! `cargo run --release -p vljepa-embed --example embed_folder -- MODEL FOLDER "something to drink"`.

use std::path::{Path, PathBuf};

use vljepa_embed::files::find_files;
use vljepa_embed::folder::{AnyFolder, Purpose};
use vljepa_embed::models::Model;
use vljepa_embed::rows::best;
use vljepa_embed::visuals::{Broken, Embedded, FileOptions, Progress, embed_files};
use vljepa_tensor::{Device, DeviceOptions};

fn main() -> vljepa_embed::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, folder, text] = arguments.as_slice() else {
        eprintln!("usage: embed_folder MODEL FOLDER TEXT");
        return Ok(());
    };
    // What is wrong with the files is known before a device is asked for.
    let files = find_files(&[PathBuf::from(folder)])?;
    let model = AnyFolder::open(Path::new(model))?.vljepa(Purpose::Search)?;
    let model = Model::load(&Device::open(DeviceOptions::default())?, &model)?;

    let mut report = |done: Progress| eprintln!("{} of {}", done.files, files.len());
    let options = FileOptions::default().broken(Broken::Skip).on_progress(&mut report);
    let Embedded { rows, of, skipped } = embed_files(&model.with_query(None)?, &files, options)?;
    for skip in &skipped {
        eprintln!("left out: {}", skip.error);
    }

    let (texts, _) = model.embed_texts(std::slice::from_ref(text))?;
    for found in best(&texts.cosines(0, &rows)?, 5) {
        println!("{:+.3}  {}", found.cosine, files[of[found.index].file].display());
    }
    Ok(())
}
