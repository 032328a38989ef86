//! The name of a clip's features.

use std::fmt;

use vljepa_data::Preprocess;

use crate::error::{Error, Result};
use crate::hash::hash_of;

/// What decides the features of a clip beside the encoder.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Hash of the file's content, so that a file that moved keeps its features.
    pub content: &'a str,
    /// When the clip begins and ends, in seconds; absent: with the file.
    pub times: (Option<f64>, Option<f64>),
    /// How frames are chosen and which squares of them are looked at, as text: equal texts mean equal frames.
    pub sampling: &'a str,
}

/// The name of a clip's features: a hash of its content, its times and sampling, the preprocessing, the encoder, and the
/// version of this crate, which decodes and resizes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FeatureKey(String);

impl FeatureKey {
    /// The key of a clip for the encoder whose folder has the hash `model`
    /// ([`VisionFolder::hash`](crate::folder::VisionFolder::hash)).
    ///
    /// # Errors
    /// A preprocessing that cannot be written as JSON, such as one with a mean that is not a number.
    pub fn new(seen: &Seen<'_>, preprocess: &Preprocess, model: &str) -> Result<Self> {
        let preprocess = serde_json::to_vec(preprocess)
            .map_err(|error| Error::Invalid(format!("the preprocessing cannot be written as JSON: {error}")))?;
        let time = |time: Option<f64>| time.map_or(Vec::new(), |time| time.to_bits().to_le_bytes().to_vec());
        let (start, end) = (time(seen.times.0), time(seen.times.1));
        let texts = ["features", env!("CARGO_PKG_VERSION"), seen.content, seen.sampling, model];
        let parts = texts.iter().map(|text| text.as_bytes());
        Ok(Self(hash_of(parts.chain([&start[..], &end, &preprocess]))))
    }

    /// 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FeatureKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_changes_the_numbers_changes_the_key() {
        let seen = Seen { content: "aa", times: (None, Some(1.5)), sampling: "16 frames" };
        let (to, model) = (Preprocess::vjepa2(256), "m");
        let key = FeatureKey::new(&seen, &to, model).unwrap();
        assert_eq!(key, FeatureKey::new(&seen, &to, model).unwrap());
        assert_eq!(key.as_str().len(), 64);
        let others = [
            FeatureKey::new(&Seen { content: "ab", ..seen }, &to, model),
            FeatureKey::new(&Seen { times: (Some(0.0), Some(1.5)), ..seen }, &to, model),
            FeatureKey::new(&Seen { times: (Some(1.5), None), ..seen }, &to, model),
            FeatureKey::new(&Seen { times: (None, Some(1.25)), ..seen }, &to, model),
            FeatureKey::new(&Seen { sampling: "8 frames", ..seen }, &to, model),
            FeatureKey::new(&seen, &Preprocess { fractions: true, ..to.clone() }, model),
            FeatureKey::new(&seen, &Preprocess::vjepa2(384), model),
            FeatureKey::new(&seen, &to, "n"),
        ];
        for (i, other) in others.into_iter().enumerate() {
            assert_ne!(other.unwrap(), key, "{i}");
        }
    }
}
