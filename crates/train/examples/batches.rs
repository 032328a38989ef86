//! The batches of a training run, for programs that train the same network elsewhere:
//! `cargo run --release -p vljepa-train --example batches -- CONFIG.toml FIRST COUNT`, or `… CONFIG.toml validation CLIPS`; or `… CONFIG.toml
//! texts CLIPS`, which prints the captions and the answers of clips, a line of JSON each.
//!
//! Only for configurations of `kind = "sprite-world"` and one size of pictures. For each batch standard output gets a length in bytes (u32, little endian), so
//! many bytes of JSON (`shape` of the frames, and `pairs` with `about`, `query`, `answer`, `wrong` and, in validation, `kind`), and the
//! frames as the model takes them (f32, little endian).

use std::io::{self, Write};
use std::path::Path;

use rayon::prelude::*;
use serde_json::{Value, json};
use vljepa_data::sprite_world::words::{Length, Wordings, caption, questions};
use vljepa_data::{Rgb8Image, SampleKey};
use vljepa_model::config::VlJepaConfig;
use vljepa_train::data::{Source as _, Visual};
use vljepa_train::sources::sprite_world;
use vljepa_train::{Result, TrainConfig, TrainError};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = || {
        TrainError::Invalid(
            "usage: batches CONFIG.toml FIRST COUNT | CONFIG.toml validation CLIPS | CONFIG.toml texts CLIPS".into(),
        )
    };
    let [path, first, count] = arguments.as_slice() else { return Err(usage()) };
    let number = |text: &str| text.parse::<u64>().map_err(|_| usage());
    let config = TrainConfig::read(Path::new(path))?;
    let model =
        config.model.config.as_deref().ok_or_else(|| TrainError::Invalid("`model.config` is missing".into()))?;
    let json = std::fs::read_to_string(model).map_err(|e| TrainError::Invalid(format!("{}: {e}", model.display())))?;
    let model = VlJepaConfig::from_json(&json)?;
    let corpus = sprite_world::open(&config, &model)?;
    let to = vljepa_embed::preprocess(&model);
    let mut out = io::stdout().lock();
    let count = number(count)?;
    if first == "validation" {
        let world = corpus.validation_world();
        let keys: Vec<SampleKey> = (0..count).map(|index| SampleKey { seed: 0, epoch: 1, index, stream: 0 }).collect();
        for keys in keys.chunks(config.batch) {
            let made = keys.par_iter().map(|&key| {
                let scene = world.scene(key);
                let frames = world.render(&scene, to.size as usize);
                let mut pixels = vec![0.0; frames.len()];
                let side = to.size as usize * to.size as usize * 3;
                for (slot, frame) in pixels.chunks_exact_mut(side).zip(frames.chunks_exact(side)) {
                    to.normalize_into(&Rgb8Image::new(to.size, to.size, frame.to_vec())?, slot)?;
                }
                let asked = questions(world, &scene, Wordings::Validation, key)
                    .into_iter()
                    .map(|q| json!({"kind": q.kind.key(), "query": q.text, "answer": q.answer, "wrong": q.others}));
                let told =
                    json!({"kind": "caption", "answer": caption(world, &scene, Length::Long, Wordings::Validation, key)});
                Ok((Visual { frames: scene.poses.len(), pixels }, asked.chain([told]).collect()))
            });
            write(&mut out, &made.collect::<Result<Vec<_>>>()?, to.size as usize)?;
        }
        return Ok(());
    }
    if first == "texts" {
        let world = corpus.world();
        for index in 0..count {
            let key = SampleKey { seed: config.seed, epoch: 0, index, stream: 0 };
            let scene = world.scene(key);
            let told = Length::ALL.map(|length| caption(world, &scene, length, Wordings::Train, key));
            let asked = questions(world, &scene, Wordings::Train, key).into_iter().map(|question| question.answer);
            let line = json!({"captions": told, "answers": asked.collect::<Vec<_>>()});
            writeln!(out, "{line}").map_err(|e| TrainError::Invalid(format!("standard output: {e}")))?;
        }
        return Ok(());
    }
    let first = number(first)?;
    for step in first..first + count {
        let samples = corpus.samples(config.seed, step, config.batch, &to)?;
        let made = samples.into_iter().map(|sample| {
            let pairs =
                sample.pairs.iter().map(|p| json!({"query": p.query, "answer": p.targets[0], "wrong": p.wrong}));
            let pairs = pairs.collect();
            (sample.visual, pairs)
        });
        write(&mut out, &made.collect::<Vec<_>>(), to.size as usize)?;
    }
    Ok(())
}

/// One batch: clips, each with its pairs.
fn write(out: &mut impl Write, clips: &[(Visual, Vec<Value>)], side: usize) -> Result<()> {
    let mut pairs = Vec::new();
    for (about, (_, of_clip)) in clips.iter().enumerate() {
        for pair in of_clip {
            let mut pair = pair.clone();
            pair["about"] = about.into();
            pairs.push(pair);
        }
    }
    let frames = clips.first().map_or(0, |(visual, _)| visual.frames);
    let header = json!({"shape": [clips.len(), frames, 3, side, side], "pairs": pairs}).to_string();
    let mut send = || -> io::Result<()> {
        out.write_all(&(header.len() as u32).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        for (visual, _) in clips {
            let bytes: Vec<u8> = visual.pixels.iter().flat_map(|value| value.to_le_bytes()).collect();
            out.write_all(&bytes)?;
        }
        out.flush()
    };
    send().map_err(|e| TrainError::Invalid(format!("standard output: {e}")))
}
