//! `surprise`: where a video stops being predictable.

use std::path::PathBuf;

use serde_json::json;
use vljepa::embed::folder::AnyFolder;
use vljepa::embed::models::Foresight;
use vljepa::stream::{Moment, StreamOptions, Windows, clock, peaks, surprise};
use vljepa_data::video::{VideoOptions, VideoReader};

use super::common::{Common, at_least_one};
use super::failure::{Failure, Result};
use super::output::{self, Output};
use super::read::above_zero;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A video or a folder of frames
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// Folder of a V-JEPA 2 with its masked predictor, as the model hub has it (`vljepa pull facebook/vjepa2-vitl-fpc64-256`)
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Frames of a window, of which the second half is foretold from the first
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = at_least_one)]
    pub frames: usize,
    /// Frames a second within a window
    #[arg(long, value_name = "F", default_value_t = 8.0, value_parser = above_zero)]
    pub rate: f64,
    /// Windows a second; absent: each begins in the middle of the one before
    #[arg(long, value_name = "F", value_parser = above_zero)]
    pub hz: Option<f64>,
    /// Most surprising moments to name
    #[arg(long, value_name = "K", default_value_t = 10, value_parser = at_least_one)]
    pub top: usize,
    /// Frames a second of a folder of frames
    #[arg(long, value_name = "F", default_value_t = 25.0, value_parser = above_zero)]
    pub fps: f64,
}

pub fn run(args: &Args, common: &Common, out: &Output) -> Result {
    let seconds = args.frames as f64 / args.rate;
    let windows = Windows { frames: args.frames, seconds, hz: args.hz.unwrap_or(2.0 / seconds) };
    StreamOptions::new(windows)?;
    let options = VideoOptions { folder_fps: args.fps, ..VideoOptions::default() };
    let mut reader = VideoReader::open_with(&args.input, &options)?;
    let AnyFolder::Vision(folder) = AnyFolder::open(&args.model)? else {
        return Err(Failure::message(format!(
            "{}: a V-JEPA 2 is needed, whose masked predictor foretells; `vljepa pull facebook/vjepa2-vitl-fpc64-256` fetches one",
            args.model.display()
        )));
    };
    let device = vljepa::open_device(&common.device)?;
    let model = Foresight::load(&device, &folder)?;
    let length = reader.facts().duration.unwrap_or(0.0);
    let bar = out.progress("seconds", length.ceil() as usize);
    let found = surprise(&model, &mut reader, windows, &mut |time| bar.set_position(time.max(0.0) as u64))?;
    bar.finish_and_clear();
    for note in reader.notes() {
        out.note(&format!("{}: {note}", reader.origin()));
    }
    let top = peaks(&found, args.top);
    if out.json {
        return out.document(&json!({
            "model": model.origin(), "adapter": vljepa::info::adapter_name(&device), "input": args.input.display().to_string(),
            "frames": args.frames, "windows": found, "peaks": top,
        }));
    }
    let row = |moment: &Moment| {
        vec![clock(moment.cut_s), format!("{:.3}", moment.score), format!("{:+.1} deviations", moment.z)]
    };
    out.text(&output::columns(&top.iter().map(row).collect::<Vec<_>>()))
}
