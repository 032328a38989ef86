//! Windows of streams through the sprites model, by the number of streams in a batch; and windows of still scenes, which the gate passes over.

use std::cell::RefCell;
use std::process::ExitCode;

use vljepa::embed::Model;
use vljepa::stream::{Encoder, Pending, Stream, StreamOptions, Windows};
use vljepa_benches::harness::noise;
use vljepa_benches::{Case, Harness, Result, Work, shapes};
use vljepa_data::Rgb8Image;
use vljepa_data::video::Frame;
use vljepa_tensor::Device;

/// Windows of eight frames in two seconds, eight a second: each frame brings one.
const WINDOWS: Windows = Windows { frames: 8, seconds: 2.0, hz: 8.0 };
/// Frames a second of a stream.
const FPS: f64 = 8.0;
/// Side of a frame in pixels.
const SIDE: u32 = 128;

/// Streams that are watched together.
struct Watched {
    model: Model,
    streams: Vec<Stream>,
    moving: bool,
    frames: Vec<Rgb8Image>,
    at: usize,
}

impl Watched {
    fn new(device: &Device, count: usize, moving: bool) -> Result<Self> {
        let model = Model::load(device, &vljepa::Builtin::Sprites.open()?).map_err(vljepa::Error::from)?;
        let options = StreamOptions::new(WINDOWS)?;
        let to = model.preprocess().clone();
        let streams = (0..count).map(|_| Stream::new(options, to.clone(), Vec::new())).collect();
        let picture = |seed: usize| {
            let values = noise(seed, (SIDE * SIDE * 3) as usize);
            // Coarse enough that the means of cells differ from frame to frame.
            let tint = (seed * 67 % 128) as f32;
            let data = values.iter().map(|value| (64.0 + 32.0 * value + tint) as u8).collect();
            Rgb8Image::new(SIDE, SIDE, data)
        };
        let frames = (0..16).map(picture).collect::<std::result::Result<_, _>>()?;
        let mut watched = Self { model, streams, moving, frames, at: 0 };
        // The first window, and all kernels.
        for _ in 0..24 {
            watched.step()?;
        }
        Ok(watched)
    }

    /// A frame for each stream, and the windows that are complete with it in one batch.
    fn step(&mut self) -> Result<()> {
        let frame = if self.moving { self.at % self.frames.len() } else { 0 };
        let frame = Frame { rgb: self.frames[frame].clone(), pts: self.at as f64 / FPS };
        self.at += 1;
        let mut pending: Vec<(usize, Pending)> = Vec::new();
        for (number, stream) in self.streams.iter_mut().enumerate() {
            pending.extend(stream.push(&frame)?.into_iter().map(|window| (number, window)));
        }
        let windows: Vec<&Pending> = pending.iter().map(|(_, window)| window).collect();
        let rows = Encoder::new(&self.model, None)?.encode(&windows)?;
        for ((number, window), row) in pending.iter().zip(rows) {
            self.streams[*number].update(window, row)?;
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    let mut harness = Harness::new("stream");
    let counts: &[usize] = if harness.small() { &[2] } else { &[1, 2, 4, 8, 16] };
    for (name, moving) in [("moving", true), ("still", false)] {
        for &count in counts {
            let case = Case {
                name: format!("{name}_{count}"),
                shape: shapes::text(&[count, WINDOWS.frames, SIDE as usize, SIDE as usize]),
                // Frames come as often as windows.
                work: Work::Items(count as f64),
            };
            harness.case(
                case,
                |device| Watched::new(device, count, moving).map(RefCell::new),
                |_, watched, _| watched.borrow_mut().step(),
            );
        }
    }
    harness.finish()
}
