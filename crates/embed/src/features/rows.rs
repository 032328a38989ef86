//! The features of a manifest's rows.

use std::collections::HashMap;

use rayon::prelude::*;
use vljepa_data::manifest::{Place, Row, Viewing};
use vljepa_data::video::VideoOptions;
use vljepa_data::{DataError, Preprocess};

use super::cache::FeatureCache;
use super::fill::{Filled, Filling, Views, Wanted, fill};
use super::key::{FeatureKey, Seen};
use super::stored::Features;
use crate::error::{Error, Result};
use crate::hash::hash_of;
use crate::visuals::VisualEncoder;

/// What tells rows with other features apart: the media and the times.
type Clip = (Place, Option<u64>, Option<u64>);

fn clip(row: &Row) -> Clip {
    (row.place.clone(), row.start.map(f64::to_bits), row.end.map(f64::to_bits))
}

/// The features of a manifest's rows in a cache.
#[derive(Clone, Debug)]
pub struct RowFeatures {
    cache: FeatureCache,
    keys: HashMap<Clip, FeatureKey>,
    viewing: Viewing,
}

impl RowFeatures {
    /// Those of `rows`, as an encoder whose folder has the hash `model` makes them. Every file is read once, for the hash of its
    /// content; nothing is encoded.
    ///
    /// # Errors
    /// Files that cannot be read; each names its row.
    pub fn new(
        cache: FeatureCache,
        rows: &[&Row],
        viewing: Viewing,
        preprocess: &Preprocess,
        model: &str,
    ) -> Result<Self> {
        let mut places: HashMap<&Place, &Row> = HashMap::new();
        for row in rows {
            places.entry(&row.place).or_insert(row);
        }
        let hash = |(place, row): (&&Place, &&Row)| -> Result<(Place, String)> {
            let named = |error: DataError| Error::Invalid(format!("{}: {error}", row.origin()));
            Ok(((*place).clone(), place.content_hash().map_err(named)?))
        };
        let hashes = places.par_iter().map(hash).collect::<Result<HashMap<Place, String>>>()?;
        let Viewing { frames, segments, crops } = viewing;
        let sampling = format!("{frames} frames spread evenly, {segments} segments, {crops:?}");
        let mut keys = HashMap::new();
        for row in rows {
            let content = hashes.get(&row.place).map(String::as_str).unwrap_or_default();
            let seen = Seen { content, times: (row.start, row.end), sampling: &sampling };
            keys.insert(clip(row), FeatureKey::new(&seen, preprocess, model)?);
        }
        Ok(Self { cache, keys, viewing })
    }

    /// The cache.
    pub fn cache(&self) -> &FeatureCache {
        &self.cache
    }

    /// Frames and views of each row.
    pub fn viewing(&self) -> &Viewing {
        &self.viewing
    }

    /// Makes the features of `rows` that are not there, as [`fill`](super::fill()) does.
    ///
    /// # Errors
    /// As [`fill`](super::fill()), and rows that are not among those that this was made for.
    pub fn fill(&self, encoder: &dyn VisualEncoder, rows: &[&Row], each: &mut dyn FnMut(Filling)) -> Result<Filled> {
        let wanted = |row: &&Row| Ok(Wanted { key: self.key(row)?.clone(), name: row.origin() });
        let wanted = rows.iter().map(wanted).collect::<Result<Vec<_>>>()?;
        let options = VideoOptions::default();
        let read = |i: usize| -> Result<Views> {
            let seen = rows[i].views(&self.viewing, encoder.preprocess(), &options)?;
            Ok(Views { views: seen.views, frames: seen.frames, pixels: seen.numbers })
        };
        let clip = self.viewing.bytes(encoder.preprocess());
        fill(&self.cache, encoder, &wanted, clip, &read, each)
    }

    /// The features of a row.
    ///
    /// # Errors
    /// Features that are not there or damaged, and as [`RowFeatures::key`].
    pub fn get(&self, row: &Row) -> Result<Features> {
        self.cache.read(self.key(row)?)
    }

    /// The key of a row's features.
    ///
    /// # Errors
    /// A row that is not among those that this was made for.
    pub fn key(&self, row: &Row) -> Result<&FeatureKey> {
        let unknown = || Error::Invalid(format!("{}: its features were not asked for", row.origin()));
        self.keys.get(&clip(row)).ok_or_else(unknown)
    }

    /// A hash of the keys of `rows` in their order: what is computed from their features depends on it alone.
    ///
    /// # Errors
    /// As [`RowFeatures::key`].
    pub fn identity<'a>(&self, rows: impl IntoIterator<Item = &'a Row>) -> Result<String> {
        let keys = rows.into_iter().map(|row| self.key(row)).collect::<Result<Vec<_>>>()?;
        Ok(hash_of(keys.into_iter().map(|key| key.as_str().as_bytes())))
    }
}
