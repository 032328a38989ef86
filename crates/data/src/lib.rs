//! Pictures, videos and texts for joint-embedding models: decoding, resizing, augmentation and the emoji-vendors set.

pub mod atomic;
mod augment;
mod decode;
pub mod emoji;
mod encode;
mod error;
mod file;
mod jpeg;
mod kind;
mod labels;
mod leftover;
mod lines;
pub mod manifest;
mod media;
mod memory;
mod names;
mod picture;
mod preprocess;
mod processor;
mod resample;
mod riff;
pub mod video;
mod walk;

pub use augment::{AugmentOptions, Augmenter, Sample, SampleKey};
pub use decode::{Limits, decode_bytes, decode_file};
pub use encode::{encode_jpeg, encode_png};
pub use error::DataError;
pub use file::{open_regular, read_limited, stamp};
pub use labels::{parse_labels, read_labels, read_numbered_labels};
pub use lines::{MAX_TEXTS, read_texts, read_texts_from};
pub use media::Media;
pub use names::PICTURE_EXTENSIONS;
pub use picture::{Rgb8Image, Rgba8Image};
pub use preprocess::{CropStart, IMAGENET, Layout, Preprocess, ResizeRule};
pub use resample::Filter;
pub use walk::{PassedOver, find_media, find_media_counting, find_pictures};
