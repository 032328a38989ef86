//! Pictures and texts for joint-embedding training: decoding, resizing, augmentation and the emoji-vendors set.

mod decode;
pub mod emoji;
mod error;
mod picture;
mod resample;

pub use decode::{Limits, PICTURE_EXTENSIONS, decode_bytes, decode_file};
pub use error::DataError;
pub use picture::{Rgb8Image, Rgba8Image};
pub use resample::Filter;
