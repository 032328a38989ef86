//! What probes make of clips whose classes are known.

use vljepa_embed::features::Features;
use vljepa_model::Forward;
use vljepa_tensor::{Device, Tensor, ops};

use super::data::ProbePart;
use super::head::Probe;
use super::report::Measured;
use crate::error::{Result, TrainError};

/// Clips with as many tokens that follow each other, their views one after the other.
#[derive(Default)]
struct Run {
    /// The clips, each a place in the part and its number of views.
    clips: Vec<(usize, usize)>,
    tokens: usize,
    values: Vec<f32>,
}

/// What each probe makes of the clips of a part: the mean of the softmax over the views of a clip, as V-JEPA 2 evaluates.
/// `None` for a probe that gives numbers that are not finite. About `batch` views are on the device at once.
pub(super) fn measure(
    device: &Device,
    probes: &[Option<&Probe>],
    part: &ProbePart,
    batch: usize,
    width: usize,
) -> Result<Vec<Option<Measured>>> {
    let new = || Measured { predicted: Vec::with_capacity(part.len()), correct: 0, loss: 0.0 };
    let mut found: Vec<Option<Measured>> = probes.iter().map(|probe| probe.map(|_| new())).collect();
    let mut run = Run::default();
    for (i, example) in part.examples.iter().enumerate() {
        let Features { views, tokens, width: own, values } = part.features.features(i)?;
        if own != width || views == 0 {
            let what =
                format!("{}: features of {views} views and width {own}, width {width} is needed", example.origin);
            return Err(TrainError::Invalid(what));
        }
        let held: usize = run.clips.iter().map(|(_, views)| views).sum();
        if held > 0 && (tokens != run.tokens || held + views > batch) {
            flush(device, probes, part, width, &mut run, &mut found)?;
        }
        run.tokens = tokens;
        run.clips.push((i, views));
        run.values.extend(values);
    }
    flush(device, probes, part, width, &mut run, &mut found)?;
    Ok(found)
}

/// Runs all probes over the clips of `run` and reads their scores back at once.
fn flush(
    device: &Device,
    probes: &[Option<&Probe>],
    part: &ProbePart,
    width: usize,
    run: &mut Run,
    found: &mut [Option<Measured>],
) -> Result<()> {
    let Run { clips, tokens, values } = std::mem::take(run);
    let rows: usize = clips.iter().map(|(_, views)| views).sum();
    if rows == 0 {
        return Ok(());
    }
    let features = Tensor::from_f32(device, &[rows, tokens, width], &values)?;
    let f = Forward::inference();
    let mut scores = Vec::new();
    for probe in probes.iter().flatten() {
        let logits = probe.logits(&f, &features)?;
        scores.push(logits.value().reshape(&[logits.value().len()])?);
    }
    let all = match scores.is_empty() {
        true => Vec::new(),
        false => ops::concat(&scores.iter().collect::<Vec<_>>(), 0)?.to_f32()?,
    };
    let each = all.len() / scores.len().max(1);
    let mut scores = all.chunks_exact(each.max(1));
    for (probe, out) in probes.iter().zip(found) {
        if let Some(logits) = probe.and_then(|_| scores.next()) {
            count(logits, each / rows, &clips, part, out);
        }
    }
    Ok(())
}

/// Adds what the logits `[rows, classes]` of one probe say of `clips` to its figures.
fn count(logits: &[f32], classes: usize, clips: &[(usize, usize)], part: &ProbePart, found: &mut Option<Measured>) {
    let mut rows = logits.chunks_exact(classes.max(1));
    for &(i, views) in clips {
        let mut probabilities = vec![0.0_f64; classes];
        for row in rows.by_ref().take(views) {
            let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let exps: Vec<f64> = row.iter().map(|v| f64::from(v - max).exp()).collect();
            let total: f64 = exps.iter().sum();
            probabilities.iter_mut().zip(&exps).for_each(|(sum, exp)| *sum += exp / total / views as f64);
        }
        let (Some(out), Some(example)) = (found.as_mut(), part.examples.get(i)) else { return };
        if probabilities.iter().any(|p| !p.is_finite()) {
            *found = None;
            return;
        }
        // The first of equal ones.
        let best = (0..classes).rev().max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
        let best = best.unwrap_or(0) as u32;
        out.predicted.push(best);
        out.correct += usize::from(best == example.class);
        let own = probabilities.get(example.class as usize).copied().unwrap_or(0.0);
        out.loss -= own.max(f64::MIN_POSITIVE).ln() / part.len() as f64;
    }
}
