//! Persistent indices of folders of pictures and videos: building, updating, reading and searching them.
//!
//! An index is a safetensors file. Its tensors are the rows, `embeddings` `[rows, dim]` (f32, of unit length); for each row the number of
//! its `file` and the seconds `start` and `end` of what it shows (NaN: the file as a whole); and for each file its `sizes`, `modified`,
//! `noted` and, in `paths` up to `path_ends`, its path. Its header holds the version, the hash of the model, the folder, and how the
//! rows were made. It is searched where it lies: a large one is mapped into memory and not copied.
//!
//! Building an index where there is one of the same model, folder and settings, and updating one, take over the rows of files whose size and
//! time are the same. Rows that are computed in other batches than in a build from nothing differ from those by rounding.

mod build;
mod entry;
mod file;
mod folder;
mod made;
mod rows;
mod search;
mod state;
mod table;
mod write;

pub use build::Indexed;
pub use entry::Entry;
pub use file::Index;
pub use folder::PictureFolder;
pub use made::{FORMAT_KEY, Made};
pub use search::{Filter, Found, Wanted, search, search_each};
pub use state::{IndexInfo, State};
pub use write::write_index;

#[cfg(test)]
mod tests;
