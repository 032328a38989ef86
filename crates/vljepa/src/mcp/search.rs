//! `search_moments`: where in a video, or in the files of a folder, a text comes true.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vljepa_embed::rows::dot;
use vljepa_embed::visuals::Moment;

use super::calls::SearchMoments;
use super::clips::{Opened, Rows};
use super::error::{McpError, Result};
use super::listing::{Listing, media};
use super::session::Session;
use super::task::Task;
use super::told::{FoundMoment, FoundMoments, score, seconds};

/// Files that are named in each list of what was found out about files.
const NAMED: usize = 20;
/// Most seconds between windows that become one moment.
const GAP: f64 = 1e-3;

/// A window or a picture that was compared with the text.
#[derive(Clone, Copy, Debug)]
struct Compared {
    /// Number of its file.
    file: usize,
    moment: Option<Moment>,
    cosine: f32,
}

impl Session {
    /// Finds the moments that a text describes.
    ///
    /// # Errors
    /// A path that may not be read, a folder without pictures and videos, no file that can be read, and errors of the device.
    pub fn search_moments(&mut self, call: &SearchMoments, task: &Task) -> Result<FoundMoments> {
        let path = self.place(&call.input)?;
        let is_folder = path.is_dir();
        let Listing { files, outside } = match is_folder {
            true => media(&self.allowed, &path, task)?,
            false => Listing { files: vec![path.clone()], outside: 0 },
        };
        if files.is_empty() {
            let reason = if outside > 0 { "; links that lead out of what may be read are left out" } else { "" };
            return Err(McpError::content(&path, format!("no pictures and no videos in this folder{reason}")));
        }
        let model = self.model(task)?;
        let (text, cut) = model.embed_texts(std::slice::from_ref(&call.text))?;
        let mut notes: Vec<String> = cut.map(|cut| format!("text: {cut}")).into_iter().collect();
        if outside > 0 {
            notes.push(format!("{outside} links lead out of what may be read, or to nothing, and were left out"));
        }
        let (mut compared, mut skipped, mut embedded) = (Vec::new(), Vec::new(), 0);
        for (i, file) in files.iter().enumerate() {
            task.check()?;
            task.span(part(i, files.len()), part(i + 1, files.len()));
            task.report(0.0, &format!("file {} of {}", i + 1, files.len()));
            let (rows, is_new) = match self.seen(file, call.window_s, task) {
                Ok(found) => found,
                // One file that is broken does not keep the others from being searched.
                Err(error) if is_folder && is_of_file(&error) => {
                    skipped.push(error.to_string());
                    continue;
                }
                Err(error) => return Err(error),
            };
            embedded += usize::from(is_new);
            notes.extend(rows.notes.iter().map(|note| format!("{}: {note}", file.display())));
            let cosine = |(row, moment): (usize, &Option<Moment>)| Compared {
                file: i,
                moment: *moment,
                cosine: dot(rows.rows.row(row), text.row(0)),
            };
            compared.extend(rows.moments.iter().enumerate().map(cosine));
        }
        if compared.is_empty() {
            let first = skipped.first().map(|first| format!("; the first error: {first}")).unwrap_or_default();
            return Err(McpError::content(&path, format!("none of {} files can be read{first}", skipped.len())));
        }
        let found = moments(&compared, call.top, call.merge);
        let moments = found.iter().map(|(best, rows)| found_moment(&files, &compared, *best, rows)).collect();
        let (windows, searched) = (compared.len(), files.len() - skipped.len());
        skipped.truncate(NAMED);
        notes.truncate(NAMED);
        Ok(FoundMoments { text: call.text.clone(), moments, files: searched, windows, embedded, skipped, notes })
    }

    /// The windows of a file, which overlap by half.
    fn seen(&mut self, file: &Path, window: f64, task: &Task) -> Result<(Arc<Rows>, bool)> {
        let cut = |opened: &mut Opened| opened.windows(window, [None, None], usize::MAX);
        self.rows(file, None, cut, task)
    }
}

/// The share of a call that is done before a file.
fn part(file: usize, files: usize) -> f64 {
    0.1 + 0.9 * file as f64 / files.max(1) as f64
}

/// Whether an error says something of a file, and nothing of the model or the device.
fn is_of_file(error: &McpError) -> bool {
    use crate::error::Error;
    use vljepa_embed::Error::{Content, Data, Io, Missing};
    matches!(error, McpError::Task(Error::Embed(Content { .. } | Data(_) | Io { .. } | Missing(_))))
}

/// The best moments: the place of the best one of each, and the places that it covers. Neighbours of a best one join it where they touch it and their
/// cosine is above the middle between its cosine and the mean of all.
fn moments(compared: &[Compared], top: usize, merge: bool) -> Vec<(usize, Range<usize>)> {
    let mean = compared.iter().map(|one| f64::from(one.cosine)).sum::<f64>() / compared.len().max(1) as f64;
    let mut order: Vec<usize> = (0..compared.len()).collect();
    order.sort_by(|a, b| compared[*b].cosine.total_cmp(&compared[*a].cosine).then(a.cmp(b)));
    let (mut taken, mut found) = (vec![false; compared.len()], Vec::new());
    for best in order {
        if found.len() == top {
            break;
        }
        if taken[best] {
            continue;
        }
        let middle = (f64::from(compared[best].cosine) + mean) / 2.0;
        let joins = |from: usize, to: usize, taken: &[bool]| {
            let (early, late) = (&compared[from.min(to)], &compared[from.max(to)]);
            let touch = match (early.moment, late.moment) {
                (Some(early), Some(later)) => later.start <= early.end + GAP,
                _ => false,
            };
            merge && touch && early.file == late.file && !taken[to] && f64::from(compared[to].cosine) > middle
        };
        let (mut first, mut last) = (best, best);
        while first > 0 && joins(first, first - 1, &taken) {
            first -= 1;
        }
        while last + 1 < compared.len() && joins(last, last + 1, &taken) {
            last += 1;
        }
        taken[first..=last].fill(true);
        found.push((best, first..last + 1));
    }
    found
}

fn found_moment(files: &[PathBuf], compared: &[Compared], best: usize, rows: &Range<usize>) -> FoundMoment {
    let whole = compared[rows.clone()].iter().filter_map(|one| one.moment);
    let whole = whole.reduce(|a, b| Moment { start: a.start.min(b.start), end: a.end.max(b.end) });
    FoundMoment {
        input: files[compared[best].file].display().to_string(),
        start_s: whole.map(|moment| seconds(moment.start)),
        end_s: whole.map(|moment| seconds(moment.end)),
        score: score(compared[best].cosine.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(cosines: &[(usize, f32)]) -> Vec<Compared> {
        let moment = |i: usize| Some(Moment { start: i as f64, end: i as f64 + 2.0 });
        let one =
            |(i, (file, cosine)): (usize, &(usize, f32))| Compared { file: *file, moment: moment(i), cosine: *cosine };
        cosines.iter().enumerate().map(one).collect()
    }

    #[test]
    fn neighbours_join_the_best_and_files_stay_apart() {
        let all = compared(&[(0, 0.1), (0, 0.7), (0, 0.9), (0, 0.8), (0, 0.0), (1, 0.85), (1, 0.0), (1, 0.1)]);
        assert_eq!(moments(&all, 2, true), [(2, 1..4), (5, 5..6)]);
        assert_eq!(moments(&all, 3, false), [(2, 2..3), (5, 5..6), (3, 3..4)]);
        assert_eq!(moments(&all, 99, true).iter().map(|(_, rows)| rows.len()).sum::<usize>(), 8);
        let files = [PathBuf::from("a.mp4"), "b.mp4".into()];
        let first = found_moment(&files, &all, 2, &(1..4));
        assert_eq!(
            (first.input.as_str(), first.start_s, first.end_s, first.score),
            ("a.mp4", Some(1.0), Some(5.0), 0.9)
        );
        let still = [Compared { file: 1, moment: None, cosine: 0.5 }];
        assert_eq!(found_moment(&files, &still, 0, &(0..1)).start_s, None);
        assert!(moments(&[], 5, true).is_empty());
    }
}
