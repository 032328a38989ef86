//! How the files of a verb are found and read: arguments that the verbs for pictures and videos share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use vljepa::embed::files::{find_files_counting, frame_folders};
use vljepa::embed::visuals::{Broken, FileOptions, Noted, RawFrames, Reading};
use vljepa_data::Crops;
use vljepa_data::video::{Damaged, Length, RawPixels, Sampling};

use super::common::at_least_one;
use super::failure::Result;
use super::output::{FilesBar, Output};

/// Arguments that say how pictures and videos are read.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reading pictures and videos")]
pub struct ReadArgs {
    /// Frames of a clip; absent: as many as the model was trained with
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub frames: Option<usize>,
    /// Frames a second: with --window its rate; without, videos become windows of --frames divided by it. For folders of frames, Motion
    /// JPEG and raw frames the rate that they were made at, 25 without it
    #[arg(long, value_name = "F", value_parser = above_zero, allow_negative_numbers = true)]
    pub fps: Option<f64>,
    /// Cut videos into windows of so many seconds, or frames as in 16f, a row each; absent: a video is one clip, its frames spread evenly
    #[arg(long, value_name = "S", value_parser = length, allow_negative_numbers = true)]
    pub window: Option<Length>,
    /// From the start of a window to that of the next; absent: the length of a window
    #[arg(long, value_name = "S", value_parser = length, allow_negative_numbers = true)]
    pub stride: Option<Length>,
    /// Leave out what is before this second of a video
    #[arg(long, value_name = "S", value_parser = seconds, allow_negative_numbers = true)]
    pub start: Option<f64>,
    /// Leave out what is after this second of a video
    #[arg(long, value_name = "S", value_parser = seconds, allow_negative_numbers = true)]
    pub end: Option<f64>,
    /// Squares of a picture that are looked at: its centre, or three along its longer side whose rows are averaged
    #[arg(long, value_name = "HOW", default_value = "center")]
    pub crops: CropsArg,
    /// Take the pictures of a folder as the frames of one clip, in the order in which people count
    #[arg(long)]
    pub frame_folders: bool,
    /// Raw frames on standard input, as in 640x360:rgb24; or yuv420p
    #[arg(long, value_name = "WxH:PIXELS", value_parser = raw)]
    pub raw: Option<RawFrames>,
    /// What to do about frames of a video that are damaged
    #[arg(long, value_name = "WHAT", default_value = "stop")]
    pub damaged: DamagedArg,
    /// Leave out files that cannot be read instead of stopping at the first
    #[arg(long)]
    pub skip_broken: bool,
}

/// The values of `--crops`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum CropsArg {
    Center,
    Three,
}

/// The values of `--damaged`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum DamagedArg {
    /// The file cannot be read
    Stop,
    /// Another frame of the video stands in, and stderr says so
    Conceal,
}

pub fn above_zero(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err("a number above 0 is expected".into()),
    }
}

/// Parses a time in seconds, 0 or later.
pub fn seconds(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err("a time in seconds is expected, 0 or later".into()),
    }
}

fn length(text: &str) -> std::result::Result<Length, String> {
    text.parse()
}

pub fn raw(text: &str) -> std::result::Result<RawFrames, String> {
    let parsed = || {
        let (size, pixels) = text.split_once(':')?;
        let (width, height) = size.split_once('x')?;
        let pixels = match pixels {
            "rgb24" => RawPixels::Rgb24,
            "yuv420p" => RawPixels::Yuv420p,
            _ => return None,
        };
        Some(RawFrames { width: width.parse().ok()?, height: height.parse().ok()?, pixels })
    };
    parsed()
        .filter(|raw| raw.width > 0 && raw.height > 0)
        .ok_or_else(|| "columns, rows and pixels are expected, as in 640x360:rgb24 or 640x360:yuv420p".to_owned())
}

impl ReadArgs {
    /// What the arguments say; every number is checked as far as that goes without a model.
    pub fn reading(&self) -> Result<Reading> {
        let Self { frames, fps, window, stride, start, end, .. } = *self;
        let sampling = Sampling { frames, fps, window, stride, start, end };
        sampling.settle(1)?;
        let crops = match self.crops {
            CropsArg::Center => Crops::Center,
            CropsArg::Three => Crops::Three,
        };
        let damaged = match self.damaged {
            DamagedArg::Stop => Damaged::Stop,
            DamagedArg::Conceal => Damaged::Conceal,
        };
        Ok(Reading { sampling, crops, damaged, rate: None, raw: self.raw })
    }

    /// The files that inputs name; what of their folders is passed over is told.
    pub fn find(&self, inputs: &[PathBuf], out: &Output) -> Result<Vec<PathBuf>> {
        let (files, passed) = find_files_counting(inputs)?;
        out.passed_over(&passed);
        Ok(if self.frame_folders { frame_folders(inputs, files) } else { files })
    }

    pub fn broken(&self) -> Broken {
        Broken::skip(self.skip_broken)
    }

    /// Runs `work` with options that show its progress, and tells what is to be known of the files afterwards.
    pub fn with_options<T>(
        &self,
        reading: Reading,
        files: usize,
        out: &Output,
        work: impl FnOnce(FileOptions<'_>) -> Result<T>,
    ) -> Result<(T, Vec<Noted>)> {
        let (bar, mut noted) = (FilesBar::new(files, &reading), Vec::new());
        let progress = &mut |progress| bar.set(progress);
        let on_note = &mut |note| noted.push(note);
        let options =
            FileOptions::default().broken(self.broken()).reading(reading).on_progress(progress).on_note(on_note);
        let done = work(options)?;
        bar.finish();
        out.noted(&noted);
        Ok((done, noted))
    }
}
