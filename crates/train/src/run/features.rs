//! Makes what a frozen encoder gives for the rows of a run, and tells how far it is.

use std::time::Instant;

use vljepa_data::manifest::Row;
use vljepa_embed::features::{RowFeatures, clip_size};
use vljepa_embed::models::VisionTokens;
use vljepa_embed::visuals::VisualEncoder;
use vljepa_tensor::Device;

use super::event::Event;
use crate::error::Result;

/// Makes the features of `rows` that are not there. Their size is told before.
pub(super) fn make(
    stored: &RowFeatures,
    rows: &[&Row],
    encoder: VisionTokens<'_>,
    device: &Device,
    observer: &mut dyn FnMut(&Event),
) -> Result<()> {
    let (viewing, dir) = (stored.viewing(), stored.cache().dir().display());
    let views = viewing.segments * viewing.crops.count();
    let width = encoder.shape(viewing.frames).last().copied().unwrap_or_default();
    let (bytes, size) = clip_size(encoder.tokens(viewing.frames), width);
    let begun = Instant::now();
    let filled = stored.fill(&encoder, rows, &mut |state| {
        if state.done == 0 && state.of > 0 {
            let all = bytes.saturating_mul(views as u64).saturating_mul(state.of as u64) as f64 / 1e6;
            let times = if views > 1 { format!(", {views} views each") } else { String::new() };
            observer(&Event::Note(format!(
                "features of {} clips are made: {size} a clip{times}, {all:.1} MB in {dir}",
                state.of
            )));
        } else if state.done > 0 {
            let left = begun.elapsed().as_secs_f64() / state.done as f64 * (state.of - state.done) as f64;
            observer(&Event::Features { done: state.done, of: state.of, bytes: state.bytes, left });
        }
    })?;
    for line in &filled.damaged {
        observer(&Event::Note(format!("{line}; made again")));
    }
    if filled.made == 0 {
        observer(&Event::Note(format!("features of all {} clips are there: {dir}", filled.there)));
    }
    // The encoder's memory is free for what is trained.
    drop(encoder);
    device.trim()?;
    Ok(())
}
