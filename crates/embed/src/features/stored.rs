//! Features in memory, and as the bytes of a file.

use std::borrow::Cow;
use std::io::Read;

use serde::Deserialize;
use vljepa_model::weights::{Dtype, SafeTensors, TensorView, WeightSource, Writer, read_f32};
use vljepa_model::{ModelError, json_fault};

use super::key::FeatureKey;
use crate::hash::hash_of;

/// The tensor in a file of features.
const TENSOR: &str = "features";
/// What a file says that it is.
const FORMAT: &str = "vljepa features 1";

/// Bytes of the features of one clip, all its views together: 2 GiB.
pub const MAX_FEATURES: u64 = 2 << 30;
/// What may stand before them in a file.
const MAX_HEADER: u64 = 4096;
/// The longest file that is read.
pub(super) const MAX_FILE: u64 = MAX_FEATURES + MAX_HEADER;

/// The tokens that an encoder makes of a clip, one set for each of its views.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// Views: clips of a video times crops.
    pub views: usize,
    /// Tokens of a view.
    pub tokens: usize,
    /// Numbers of a token.
    pub width: usize,
    /// `[views, tokens, width]`; in a file they are f16.
    pub values: Vec<f32>,
}

impl Features {
    /// The tokens of one view, `[tokens, width]`; empty where there is no such view.
    pub fn view(&self, view: usize) -> &[f32] {
        let size = self.tokens * self.width;
        let range = view.checked_mul(size).and_then(|start| Some(start..start.checked_add(size)?));
        range.and_then(|range| self.values.get(range)).unwrap_or_default()
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// What is wrong: bytes that are cut off, changed, of another clip, or no features.
    pub fn parse(bytes: &[u8], key: &FeatureKey) -> Result<Self, String> {
        let head = Head::read(&mut &*bytes, bytes.len() as u64, key)?;
        let numbers = bytes.get(head.at as usize..).unwrap_or_default();
        if head.hash != hash_of([numbers]) {
            return Err(OTHER_HASH.into());
        }
        head.features(head.views, numbers)
    }

    /// The bytes of a file, numbers rounded to f16.
    ///
    /// # Errors
    /// A number that is not finite or too large for f16, sizes that do not fit, more than [`MAX_FEATURES`].
    pub fn to_bytes(&self, key: &FeatureKey) -> Result<Vec<u8>, String> {
        let shape = [self.views, self.tokens, self.width];
        let size = bytes_of(shape).filter(|size| *size <= MAX_FEATURES);
        if size != Some(2 * self.values.len() as u64) || self.values.is_empty() {
            return Err(format!(
                "{} numbers are no features of {shape:?}, of at most {MAX_FEATURES} bytes",
                self.values.len()
            ));
        }
        // The hash is of the bytes as they are written, which the writer makes.
        let written = |hash: String| -> Result<Vec<u8>, ModelError> {
            let mut writer = Writer::new();
            writer.metadata("format", FORMAT).metadata("key", key.as_str()).metadata("hash", hash);
            writer.f16(TENSOR, &shape, &self.values)?;
            writer.finish()
        };
        let fault = |error: ModelError| match error {
            ModelError::NonFinite { index, value, .. } => {
                let (token, column) = (index / self.width % self.tokens, index % self.width);
                format!("the encoder made {value} (token {token}, column {column}), which f16 does not hold")
            }
            other => other.to_string(),
        };
        let plain = written(String::new()).map_err(fault)?;
        let hash = match SafeTensors::parse(TENSOR, &plain).map_err(fault)?.tensor(TENSOR) {
            Some(tensor) => hash_of([tensor.bytes]),
            None => return Err(format!("`{TENSOR}` was not written")),
        };
        written(hash).map_err(fault)
    }
}

/// What is wrong where the numbers are not those that were written.
pub(super) const OTHER_HASH: &str = "its numbers do not match their hash";

/// What a file says of its features before their numbers.
#[derive(Debug)]
pub(super) struct Head {
    pub views: usize,
    tokens: usize,
    width: usize,
    /// Where the numbers begin.
    pub at: u64,
    /// How many bytes they are.
    pub bytes: u64,
    /// Their hash.
    pub hash: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    #[serde(rename = "__metadata__")]
    metadata: Metadata,
    features: Entry,
}

#[derive(Deserialize)]
struct Metadata {
    format: String,
    key: String,
    hash: String,
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: [usize; 3],
    data_offsets: [u64; 2],
}

impl Head {
    /// Reads the start of a file of `length` bytes.
    ///
    /// # Errors
    /// What is wrong, as of [`Features::parse`] but for the numbers.
    pub fn read(source: &mut impl Read, length: u64, key: &FeatureKey) -> Result<Self, String> {
        let cut = |_| "is cut off at its start".to_owned();
        let mut count = [0; 8];
        source.read_exact(&mut count).map_err(cut)?;
        let count = u64::from_le_bytes(count);
        if count > MAX_HEADER {
            return Err("is no file of features".into());
        }
        let mut header = vec![0; count as usize];
        source.read_exact(&mut header).map_err(cut)?;
        let header: Header = serde_json::from_slice(&header)
            .map_err(|error| format!("is no file of features alone ({})", json_fault(&error.to_string())))?;
        let Header { metadata, features: Entry { dtype, shape, data_offsets: [from, to] } } = header;
        if metadata.format != FORMAT {
            return Err("is no file of features".into());
        }
        if metadata.key != key.as_str() {
            return Err("holds the features of another clip".into());
        }
        let bytes = bytes_of(shape).filter(|bytes| (1..=MAX_FEATURES).contains(bytes));
        let Some(bytes) = bytes.filter(|bytes| dtype == Dtype::F16.name() && (from, to) == (0, *bytes)) else {
            return Err(format!("`{TENSOR}` of {shape:?} {dtype} at {from}..{to} holds no features"));
        };
        let at = 8 + count;
        if at + bytes != length {
            return Err(format!("has {length} bytes, and {} are needed; truncated?", at + bytes));
        }
        let [views, tokens, width] = shape;
        Ok(Self { views, tokens, width, at, bytes, hash: metadata.hash })
    }

    /// Bytes of one view.
    pub fn view(&self) -> u64 {
        self.bytes / self.views.max(1) as u64
    }

    /// The features whose numbers are `bytes`, of `views` views.
    pub fn features(&self, views: usize, bytes: &[u8]) -> Result<Features, String> {
        let &Self { tokens, width, .. } = self;
        let numbers = Numbers { shape: [views, tokens, width], bytes };
        let values = read_f32(&numbers, TENSOR, &numbers.shape).map_err(|error| error.to_string())?;
        Ok(Features { views, tokens, width, values })
    }
}

/// Numbers of a file as the one tensor that they are.
struct Numbers<'a> {
    shape: [usize; 3],
    bytes: &'a [u8],
}

impl WeightSource for Numbers<'_> {
    fn names(&self) -> Vec<Cow<'_, str>> {
        vec![TENSOR.into()]
    }

    fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        (name == TENSOR).then_some(TensorView { dtype: Dtype::F16, shape: &self.shape, bytes: self.bytes })
    }
}

fn bytes_of(shape: [usize; 3]) -> Option<u64> {
    shape.iter().try_fold(2_u64, |bytes, &size| bytes.checked_mul(size as u64))
}

/// The bytes that one view of a clip takes on the disk, and how they come about: "8,192 tokens × 1,024 × 2 B = 16.8 MB".
pub fn clip_size(tokens: usize, width: usize) -> (u64, String) {
    let bytes = bytes_of([1, tokens, width]).unwrap_or(u64::MAX);
    (bytes, format!("{} tokens × {} × 2 B = {}", grouped(tokens), grouped(width), size(bytes)))
}

/// A number with commas between thousands.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes in decimal units, as disks are sold: "16.8 MB".
pub fn size(bytes: u64) -> String {
    let units = [(1_000_000_000_000.0, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    let bytes_f = bytes as f64;
    match units.iter().find(|(unit, _)| bytes_f >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes_f / unit),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use vljepa_data::Preprocess;

    use super::super::key::Seen;
    use super::*;

    fn key(content: &str) -> FeatureKey {
        let seen = Seen { content, times: (None, None), sampling: "" };
        FeatureKey::new(&seen, &Preprocess::vjepa2(16), "model").unwrap()
    }

    fn features() -> Features {
        let values = (0..2 * 3 * 5).map(|i| i as f32 / 3.0 - 4.0).collect();
        Features { views: 2, tokens: 3, width: 5, values }
    }

    #[test]
    fn what_is_written_is_read_to_eleven_bits() {
        let features = features();
        let bytes = features.to_bytes(&key("a")).unwrap();
        let read = Features::parse(&bytes, &key("a")).unwrap();
        assert_eq!((read.views, read.tokens, read.width), (2, 3, 5));
        for (read, written) in read.values.iter().zip(&features.values) {
            // Half a unit in the last of eleven bits.
            assert!((read - written).abs() <= written.abs() * 2f32.powi(-11), "{read} for {written}");
        }
        assert_eq!(read.view(1), &read.values[15..]);
        assert!(read.view(2).is_empty() && read.view(usize::MAX).is_empty());
        // Rounded once: what was read is written as the same bytes.
        assert_eq!(read.to_bytes(&key("a")).unwrap(), bytes);
    }

    #[test]
    fn damage_is_named_wherever_it_is() {
        let bytes = features().to_bytes(&key("a")).unwrap();
        assert!(Features::parse(&bytes, &key("b")).unwrap_err().contains("another clip"));
        for end in 0..bytes.len() {
            assert!(Features::parse(&bytes[..end], &key("a")).is_err(), "cut at {end}");
        }
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x10;
            // A changed space of the header changes nothing.
            let read = Features::parse(&bytes, &key("a"));
            assert!(
                read.is_err()
                    || read == Ok(Features::parse(&features().to_bytes(&key("a")).unwrap(), &key("a")).unwrap()),
                "changed at {at}"
            );
        }
    }

    #[test]
    fn what_f16_does_not_hold_is_refused() {
        for bad in [f32::NAN, f32::INFINITY, 70_000.0] {
            let mut features = features();
            features.values[22] = bad;
            let error = features.to_bytes(&key("a")).unwrap_err();
            assert!(error.contains("token 1, column 2"), "{error}");
        }
        let short = Features { views: 3, ..features() };
        assert!(short.to_bytes(&key("a")).unwrap_err().contains("no features of [3, 3, 5]"));
        let huge = Features { views: usize::MAX, ..features() };
        assert!(huge.to_bytes(&key("a")).is_err());
    }

    #[test]
    fn sizes_are_told_as_they_come_about() {
        assert_eq!(clip_size(8192, 1024), (16_777_216, "8,192 tokens × 1,024 × 2 B = 16.8 MB".into()));
        assert_eq!(clip_size(4, 8), (64, "4 tokens × 8 × 2 B = 64 B".into()));
        assert_eq!(size(1_000), "1.0 kB");
        assert_eq!(size(3_200_000_000_000), "3.2 TB");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
