//! Runs an encoder over a list: batches are decoded and prepared on threads while the adapter works on the one before.

use std::ops::Range;
use std::sync::mpsc::{SyncSender, sync_channel};

use rayon::prelude::*;

use super::encoder::VisualEncoder;
use super::from_files::is_damage;
use super::options::{Broken, Moment};
use super::source::{Opened, Seen, Span, Spans, Visuals, What, batch};
use crate::error::{Error, Hint, Result};
use crate::files::Stamp;
use crate::rows::{Embeddings, normalize_rows};

/// Batches that are ready before the adapter takes them.
const AHEAD: usize = 1;

/// Items to be encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    /// Their indices.
    pub range: Range<usize>,
    /// The number of the first window of the first item; the windows before it are done.
    pub first: usize,
}

impl Work {
    pub fn all(count: usize) -> [Self; 1] {
        [Self { range: 0..count, first: 0 }]
    }
}

/// Windows of one video that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The number of the first.
    pub first: usize,
    /// Whether they are the last of the video.
    pub last: bool,
}

/// One batch that is done.
pub(crate) struct Batch {
    /// The indices of its pictures or clips.
    pub range: Range<usize>,
    /// Size and time of each file of `range` before it was read; `None` if the system does not tell them.
    pub stamps: Vec<Option<Stamp>>,
    /// Rows of the items that could be read.
    pub rows: Embeddings,
    /// What each row shows of its item.
    pub moments: Vec<Option<Moment>>,
    /// For windows of the one video in `range`: which they are.
    pub part: Option<Part>,
    /// The items that could not be read: index among all, and error. Of a video, windows before the break may have been given.
    pub broken: Vec<(usize, Error)>,
    /// What is to be known of items that could be read: index among all, and one line.
    pub notes: Vec<(usize, String)>,
    /// The part of the last item that is done, 0..1.
    pub passed: f64,
}

/// A batch before it is encoded.
struct Prepared {
    /// `pixels` has `[rows * crops, frames, 3, size, size]`.
    pixels: Vec<f32>,
    frames: usize,
    /// The item of each row.
    items: Vec<usize>,
    /// Everything but the rows.
    batch: Batch,
}

/// Encodes the items of `visuals` that `work` names, one [`Span`] after the other; `each` receives the batches in order. A video that becomes
/// windows has batches of its own, so that its rows depend on nothing else.
pub(crate) fn encode<V: Visuals>(
    encoder: &dyn VisualEncoder,
    visuals: &V,
    work: &[Work],
    broken: Broken,
    each: &mut dyn FnMut(Batch) -> Result<()>,
) -> Result<()> {
    std::thread::scope(|scope| {
        let (send, receive) = sync_channel(AHEAD);
        let maker = Maker { encoder, visuals, broken, send };
        scope.spawn(move || {
            if let Err(error) = work.iter().try_for_each(|work| maker.work(work)) {
                // Where nobody listens, another error has ended the work.
                let _ = maker.send.send(Err(error));
            }
        });
        for prepared in receive {
            each(run(encoder, visuals, prepared?)?)?;
        }
        Ok(())
    })
}

fn run<V: Visuals>(encoder: &dyn VisualEncoder, visuals: &V, prepared: Prepared) -> Result<Batch> {
    let Prepared { pixels, frames, items, mut batch } = prepared;
    if items.is_empty() {
        batch.rows = Embeddings::of_shape(&encoder.shape(frames));
        return Ok(batch);
    }
    let (mut rows, crops) = (Embeddings::of_shape(&encoder.shape(frames)), visuals.crops());
    let mut values = encoder.encode(&pixels, items.len() * crops, frames)?;
    drop(pixels);
    let wanted = items.len() * crops * rows.dim();
    if values.len() != wanted {
        let reason =
            format!("the encoder made {} values of {} visuals, {wanted} are needed", values.len(), items.len() * crops);
        return Err(Error::Invalid(reason));
    }
    if crops > 1 {
        values = mean_of(values, crops, rows.dim(), encoder.unit());
    }
    let name = |i: usize| visuals.name(items[i]);
    if encoder.unit() {
        rows.extend(&values, name)?
    } else {
        rows.extend_raw(&values, name)?
    }
    batch.rows = rows;
    Ok(batch)
}

/// The mean of every `crops` rows of `dim` values, each scaled to unit length before where rows are `unit` vectors.
fn mean_of(mut values: Vec<f32>, crops: usize, dim: usize, unit: bool) -> Vec<f32> {
    if unit {
        normalize_rows(&mut values, dim);
    }
    let mut means = Vec::with_capacity(values.len() / crops);
    for views in values.chunks_exact(crops * dim) {
        means.extend((0..dim).map(|i| views.iter().skip(i).step_by(dim).sum::<f32>() / crops as f32));
    }
    means
}

/// Makes batches ready and sends them to the thread that drives the adapter.
struct Maker<'a, V> {
    encoder: &'a dyn VisualEncoder,
    visuals: &'a V,
    broken: Broken,
    send: SyncSender<Result<Prepared>>,
}

impl<V: Visuals> Maker<'_, V> {
    fn work(&self, work: &Work) -> Result<()> {
        let (mut at, mut first) = (work.range.start, work.first);
        for span in Spans::new(self.encoder, self.visuals, work.range.clone()) {
            let end = span.end;
            let goes_on = match span.what {
                What::Windows => self.windows(at, span, first)?,
                _ => self.together(at, span)?,
            };
            if !goes_on {
                return Ok(());
            }
            (at, first) = (end, 0);
        }
        Ok(())
    }

    /// Pictures, or videos that are one clip each. False where nobody wants more.
    fn together(&self, at: usize, span: Span<V::Opened>) -> Result<bool> {
        let Span { end, opened, what } = span;
        let frames = if what == What::Clip { self.visuals.frames(self.encoder) } else { 1 };
        let stamps = opened.iter().map(Opened::stamp).collect();
        let read =
            |(i, opened): (usize, V::Opened)| (i, self.visuals.pixels(i, opened, self.encoder.preprocess(), what));
        let decoded: Vec<_> = (at..end).zip(opened).collect::<Vec<_>>().into_par_iter().map(read).collect();
        let mut prepared = self.empty(at..end, stamps, frames);
        for (i, seen) in decoded {
            match seen {
                Ok(seen) => prepared.push(i, seen),
                Err(error) => prepared.batch.broken.push((i, self.left_out(error, what)?)),
            }
        }
        prepared.batch.notes = self.visuals.take_notes();
        Ok(self.send.send(Ok(prepared)).is_ok())
    }

    /// The windows of one video from number `first` on. False where nobody wants more.
    fn windows(&self, i: usize, span: Span<V::Opened>, mut first: usize) -> Result<bool> {
        let stamps: Vec<_> = span.opened.iter().map(Opened::stamp).collect();
        let frames = self.visuals.frames(self.encoder);
        let most = batch(self.encoder, self.visuals, frames);
        let new = |first| {
            let mut prepared = self.empty(i..i + 1, stamps.clone(), frames);
            prepared.batch.part = Some(Part { first, last: false });
            prepared
        };
        let (mut prepared, mut goes_on) = (new(first), true);
        for opened in span.opened {
            let from = first;
            let each = &mut |seen: Seen| {
                // A full batch waits for the next window: the last one must say that it is the last.
                if prepared.items.len() == most {
                    first += most;
                    let full = std::mem::replace(&mut prepared, new(first));
                    goes_on = self.send.send(Ok(full)).is_ok();
                }
                prepared.push(i, seen);
                Ok(goes_on)
            };
            if let Err(error) = self.visuals.windows(i, opened, self.encoder.preprocess(), from, each) {
                let error = self.left_out(error, What::Windows)?;
                prepared = new(first);
                prepared.batch.broken.push((i, error));
            }
        }
        if !goes_on {
            return Ok(false);
        }
        prepared.batch.part = Some(Part { first, last: true });
        prepared.batch.notes = self.visuals.take_notes();
        prepared.batch.passed = 1.0;
        Ok(self.send.send(Ok(prepared)).is_ok())
    }

    /// The error of a file that is left out, where files may be.
    fn left_out(&self, error: Error, what: What) -> Result<Error> {
        if self.broken == Broken::Skip {
            return Ok(error);
        }
        let conceal = what != What::Picture && self.visuals.stops_at_damage() && is_damage(&error);
        Err(error.hint(if conceal { Hint::SkipOrConceal } else { Hint::SkipBroken }))
    }

    fn empty(&self, range: Range<usize>, stamps: Vec<Option<Stamp>>, frames: usize) -> Prepared {
        let batch = Batch {
            range,
            stamps,
            rows: Embeddings::new(1),
            moments: Vec::new(),
            part: None,
            broken: Vec::new(),
            notes: Vec::new(),
            passed: 1.0,
        };
        Prepared { pixels: Vec::new(), frames, items: Vec::new(), batch }
    }
}

impl Prepared {
    fn push(&mut self, item: usize, seen: Seen) {
        self.items.push(item);
        self.pixels.extend(seen.pixels);
        self.batch.moments.push(seen.moment);
        self.batch.passed = seen.passed;
    }
}
