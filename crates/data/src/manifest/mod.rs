//! Manifests: lists of pictures, videos and folders of frames with their texts, as JSON lines, CSV, or WebDataset shards.

mod check;
mod fields;
mod lines;
mod read;
mod row;
mod shards;
mod table;
mod views;
mod visual;

pub use check::{CheckOptions, Counts, Duplicate, Fault, LongText, Report, check, check_with};
pub use fields::Split;
pub use read::Manifest;
pub use row::{Place, Row};
pub use shards::{Member, ShardWriter};
pub use views::{RowViews, Viewing};
pub use visual::Opened;
