//! Video in: files, folders and pipes to RGB frames with their times, in memory that does not grow with the length.
//!
//! MP4 and MOV with H.264, GIF, animated WebP, APNG, Y4M, raw frames and folders of pictures are read by this crate itself;
//! all other formats through the program `ffmpeg` where it is installed.

mod anim;
mod apng;
mod boxes;
mod canvas;
mod choose;
mod clips;
mod containers;
mod ffmpeg;
mod ffprobe;
mod filling;
mod folder;
mod h264;
mod h264_bits;
mod h264_conceal;
mod h264_guard;
mod h264_marking;
mod h264_params;
mod h264_slice;
mod listing;
mod mjpeg;
mod mp4;
mod options;
mod process;
mod raw;
mod reader;
mod samples;
mod sampling;
mod source;
mod span;
mod steady;
mod webp;
mod work;
mod y4m;
mod yuv;

pub use crate::names::{VIDEO_EXTENSIONS, natural_cmp};
pub use choose::{Rounding, at_rate, uniform, windows};
pub use clips::{Clips, HELD_FRAMES};
pub use filling::Clip;
pub use folder::folder_stamp;
pub(crate) use folder::frames_in;
pub use options::{Damaged, VideoOptions};
pub use raw::{RawFormat, RawPixels};
pub use reader::{Frame, MemoryPart, VideoReader, is_video};
pub use sampling::{Clipping, Length, Sampling};
pub use source::Facts;
pub use span::span;
pub use steady::{RateFrames, WindowFrames};
pub use yuv::{Colour, YuvFrame};
