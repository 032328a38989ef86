//! The preprocessing that published encoders name in `preprocessor_config.json` and `video_preprocessor_config.json`
//! (transformers' image and video processors).

use std::path::Path;

use serde_json::Value;

use crate::file::read_limited;
use crate::{DataError, Filter, IMAGENET, Preprocess, ResizeRule};

/// Such files have some hundred bytes.
const MAX_BYTES: u64 = 1 << 20;

impl Preprocess {
    /// Reads a processor's configuration.
    ///
    /// # Errors
    /// A file that is missing or no JSON, and settings that give no RGB squares; the message names the field.
    pub fn from_processor_file(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let bytes = read_limited(path, MAX_BYTES).map_err(|error| match error {
            DataError::NotRegular { path, .. } | DataError::TooLong { path, .. } => {
                DataError::content(path, "is not a processor's configuration (a short JSON file)")
            }
            other => other,
        })?;
        let text = String::from_utf8(bytes).map_err(|_| DataError::content(path, "is not UTF-8 text"))?;
        Self::from_processor_json(&path.display().to_string(), &text)
    }

    /// As [`Self::from_processor_file`], of text; `origin` is what errors call it.
    ///
    /// Read are `size` (`shortest_edge`, `height` and `width`, or a number), `crop_size`, `resample` (2 bilinear, 3 bicubic),
    /// `rescale_factor`, `image_mean`, `image_std`, and whether each step is done (`do_resize`, `do_center_crop`, `do_rescale`,
    /// `do_normalize`). A step whose flag is missing is done where its numbers are there. V-JEPA 2's processor ignores `size`
    /// and scales the shortest side to `int(crop_size * 256 / 224)`; so does this.
    ///
    /// # Errors
    /// As [`Self::from_processor_file`].
    pub fn from_processor_json(origin: &str, text: &str) -> Result<Self, DataError> {
        let root: Value = serde_json::from_str(text).map_err(|e| DataError::content(origin, e.to_string()))?;
        // Processors of several modalities hold the image processor under its name.
        let part = ["video_processor", "image_processor"].iter().find_map(|name| root.get(name));
        let config = part.filter(|part| part.is_object()).unwrap_or(&root);
        if !config.is_object() {
            return Err(DataError::content(origin, "is not a JSON object"));
        }
        parse(&Fields(config)).map_err(|reason| DataError::content(origin, reason))
    }
}

struct Fields<'a>(&'a Value);

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn flag(&self, name: &str, default: bool) -> Result<bool, String> {
        self.get(name)
            .map_or(Ok(default), |value| value.as_bool().ok_or_else(|| format!("{name} is {value}, not true or false")))
    }

    fn triple(&self, name: &str, default: [f32; 3]) -> Result<[f64; 3], String> {
        let Some(value) = self.get(name) else {
            return Ok(default.map(f64::from));
        };
        let refuse = || format!("{name} is {value}, not a number or three");
        if let Some(one) = value.as_f64() {
            return Ok([one; 3]);
        }
        let three: Option<Vec<f64>> = value.as_array().and_then(|list| list.iter().map(Value::as_f64).collect());
        three.and_then(|list| <[f64; 3]>::try_from(list).ok()).ok_or_else(refuse)
    }
}

/// A size as configurations write it.
#[derive(Clone, Copy, PartialEq)]
enum Size {
    Square(u32),
    ShortestEdge(u32),
}

/// `bare` is what a number alone means.
fn size(name: &str, value: &Value, bare: fn(u32) -> Size) -> Result<Size, String> {
    let side = |value: &Value| {
        value.as_u64().and_then(|side| u32::try_from(side).ok()).filter(|side| (1..=1 << 16).contains(side))
    };
    let refuse = || format!("{name} is {value}; read are a number, shortest_edge, and height with width");
    if value.is_number() {
        return side(value).map(bare).ok_or_else(refuse);
    }
    if value.get("longest_edge").is_some_and(|v| !v.is_null()) {
        return Err(format!("{name} limits the longest edge, which gives pictures that are not square: {value}"));
    }
    match (value.get("shortest_edge"), value.get("height"), value.get("width")) {
        (Some(edge), ..) if !edge.is_null() => side(edge).map(Size::ShortestEdge).ok_or_else(refuse),
        (_, Some(height), Some(width)) => match (side(height), side(width)) {
            (Some(height), Some(width)) if height == width => Ok(Size::Square(height)),
            (Some(height), Some(width)) => Err(format!("{name} is {width}x{height}, only squares are taken")),
            _ => Err(refuse()),
        },
        _ => Err(refuse()),
    }
}

fn parse(config: &Fields<'_>) -> Result<Preprocess, String> {
    let kind = ["video_processor_type", "image_processor_type", "processor_class", "feature_extractor_type"];
    let vjepa2 =
        kind.iter().any(|name| config.get(name).and_then(Value::as_str).is_some_and(|kind| kind.starts_with("VJEPA2")));
    let crop = config.get("crop_size").map(|value| size("crop_size", value, Size::Square)).transpose()?;
    let crop = match crop {
        Some(Size::Square(side)) => Some(side),
        Some(Size::ShortestEdge(_)) => {
            return Err("crop_size names shortest_edge, a crop has a height and a width".into());
        }
        None => vjepa2.then_some(256),
    };
    let crop = crop.filter(|_| config.flag("do_center_crop", true) != Ok(false));
    config.flag("do_center_crop", true)?;
    if config.get("do_center_crop") == Some(&Value::Bool(true)) && crop.is_none() {
        return Err("do_center_crop is true and crop_size is missing".into());
    }
    let scaled = match config.get("size") {
        _ if vjepa2 => crop.map(|side| Size::ShortestEdge((u64::from(side) * 256 / 224) as u32)),
        Some(value) => Some(size("size", value, Size::ShortestEdge)?),
        None => None,
    };
    let scaled = scaled.filter(|_| config.flag("do_resize", true) != Ok(false));
    if config.flag("do_resize", false)? && scaled.is_none() {
        return Err("do_resize is true and size is missing".into());
    }
    let (size, resize) = match (scaled, crop) {
        (Some(Size::Square(side)), None) => (side, ResizeRule::Squash),
        (Some(Size::Square(side)), Some(crop)) if side == crop => (side, ResizeRule::Squash),
        (Some(Size::ShortestEdge(edge)), Some(crop)) if edge >= crop => (crop, ResizeRule::ShortestSide(edge)),
        (None, Some(crop)) => (crop, ResizeRule::Crop),
        (Some(Size::Square(side) | Size::ShortestEdge(side)), Some(crop)) => {
            return Err(format!("scaling to {side} and then cropping to {crop} pixels is not supported"));
        }
        (Some(Size::ShortestEdge(_)), None) => {
            return Err("the shortest edge is scaled and nothing cropped, so pictures would not be square".into());
        }
        (None, None) => return Err("neither size nor crop_size says how large pictures become".into()),
    };
    let filter = match config.get("resample") {
        None => Filter::Bilinear,
        Some(code) => match code.as_u64() {
            Some(2) => Filter::Bilinear,
            Some(3) => Filter::Bicubic,
            _ if scaled.is_none() => Filter::Bilinear,
            _ => return Err(format!("resample is {code}; 2 (bilinear) and 3 (bicubic) are supported")),
        },
    };
    let (mean, std) = normalisation(config)?;
    Ok(Preprocess { resize, filter, mean, std, ..Preprocess::square(size) })
}

/// Mean and standard deviation for values of 0..1 that have the effect of the processor's rescaling and normalisation.
fn normalisation(config: &Fields<'_>) -> Result<([f32; 3], [f32; 3]), String> {
    let factor = match config.get("rescale_factor") {
        _ if !config.flag("do_rescale", true)? => 1.0,
        Some(value) => value.as_f64().ok_or_else(|| format!("rescale_factor is {value}, not a number"))?,
        None => 1.0 / 255.0,
    };
    let (mean, std) = if config.flag("do_normalize", true)? {
        (config.triple("image_mean", IMAGENET.0)?, config.triple("image_std", IMAGENET.1)?)
    } else {
        ([0.0; 3], [1.0; 3])
    };
    // (v · factor − mean) / std = (v / 255 − mean / unit) / (std / unit)
    let unit = factor * 255.0;
    // 1/255 in decimal digits is one unit, and then the numbers of the file are kept as they are.
    let unit = if (unit - 1.0).abs() < 1e-9 { 1.0 } else { unit };
    let finite = mean.iter().chain(&std).all(|x| x.is_finite());
    if !(finite && unit.is_finite() && unit > 0.0 && std.iter().all(|x| *x > 0.0)) {
        return Err(format!("rescale_factor {factor}, image_mean {mean:?}, image_std {std:?} normalise nothing"));
    }
    Ok((mean.map(|x| (x / unit) as f32), std.map(|x| (x / unit) as f32)))
}
