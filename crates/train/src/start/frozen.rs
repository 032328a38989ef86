//! The V-JEPA 2 that a run takes as it is: its folder, and a VL-JEPA's configuration around it.

use std::path::Path;

use serde_json::Value;
use vljepa_data::{CropStart, Filter, Preprocess, ResizeRule};
use vljepa_embed::features::{FeatureCache, RowFeatures};
use vljepa_embed::folder::{AnyFolder, VisionFolder};
use vljepa_model::config::{Preprocessing, VlJepaConfig};

use crate::data::SourceRows;
use crate::error::{Result, TrainError};

fn fault(what: String) -> TrainError {
    TrainError::setting("model.x_encoder", format!("`model.x_encoder`: {what}"))
}

/// Opens the folder of a V-JEPA 2 that `model.x_encoder` names.
pub(super) fn open_encoder(folder: &Path) -> Result<VisionFolder> {
    match AnyFolder::open(folder) {
        Ok(AnyFolder::Vision(encoder)) => Ok(encoder),
        Ok(other) => Err(fault(format!(
            "{}: is no V-JEPA 2; name the folder of one in the layout of the model hub",
            other.origin()
        ))),
        Err(error) => Err(fault(error.to_string())),
    }
}

/// The configuration `text` of a VL-JEPA with the X-Encoder of `encoder`, and with its preprocessing where the text has none.
pub(super) fn config_around(text: &str, encoder: &VisionFolder) -> Result<VlJepaConfig, vljepa_model::ModelError> {
    let Ok(Value::Object(mut root)) = serde_json::from_str(text) else {
        // Says what is wrong and where.
        return VlJepaConfig::from_json(text);
    };
    let value = |value: serde_json::Result<Value>| value.unwrap_or_default();
    root.insert("x_encoder".into(), value(serde_json::to_value(encoder.config())));
    if !root.contains_key("preprocessing") {
        let own = preprocessing(encoder.preprocess());
        root.insert("preprocessing".into(), value(serde_json::to_value(own)));
    }
    VlJepaConfig::from_value(&Value::Object(root))
}

/// A V-JEPA 2's preprocessing as a VL-JEPA's configuration says it.
fn preprocessing(of: &Preprocess) -> Preprocessing {
    let short_side = match of.resize {
        ResizeRule::ShortestSide(side) => side,
        _ => of.size,
    };
    Preprocessing {
        size: Some(of.size as usize),
        short_side: Some(short_side as usize),
        mean: of.mean,
        std: of.std,
        crop_start: match of.crop_start {
            CropStart::Down => vljepa_model::config::CropStart::Down,
            CropStart::Even => vljepa_model::config::CropStart::Even,
        },
        clip_fractions: of.fractions,
        ..Preprocessing::default()
    }
}

/// Checks that a VL-JEPA prepares pictures as the encoder's processor does, where it is to take that over.
pub(super) fn check_preprocessing(model: &VlJepaConfig, encoder: &VisionFolder) -> Result<()> {
    let of = encoder.preprocess();
    let (own, taken) = (&model.preprocessing, preprocessing(of));
    let says = matches!(of.resize, ResizeRule::ShortestSide(_)) && of.filter == Filter::Bilinear;
    match *own == taken && !says {
        true => Err(fault(format!(
            "{}: its processor resizes in a way that a VL-JEPA's configuration does not say; write `preprocessing` in \
             `model.config`",
            encoder.origin()
        ))),
        false => Ok(()),
    }
}

/// What the encoder makes of a source's rows, kept in `folder`.
///
/// # Errors
/// Files that cannot be read.
pub(super) fn features(
    folder: &Path,
    rows: &SourceRows<'_>,
    encoder: &VisionFolder,
    preprocess: &Preprocess,
) -> Result<RowFeatures> {
    let viewing = vljepa_data::manifest::Viewing { frames: rows.frames, segments: 1, crops: Default::default() };
    let all: Vec<_> = rows.train.iter().chain(rows.validation).collect();
    Ok(RowFeatures::new(FeatureCache::open(folder)?, &all, viewing, preprocess, &encoder.hash())?)
}
