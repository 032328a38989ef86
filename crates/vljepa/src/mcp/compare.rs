//! `compare`: how alike two pictures or videos are, as a whole and window by window.

use std::path::Path;
use std::sync::Arc;

use vljepa_embed::rows::dot;
use vljepa_embed::visuals::Moment;

use super::calls::Compare;
use super::clips::{Cut, MOST_WINDOWS, Opened, Rows};
use super::error::Result;
use super::session::{Session, check_queries};
use super::task::Task;
use super::told::{Beside, Compared, score, seconds};

impl Session {
    /// Compares two inputs.
    ///
    /// # Errors
    /// A path that may not be read, what cannot be read, a query for a model that takes none, and errors of the device.
    pub fn compare(&mut self, call: &Compare, task: &Task) -> Result<Compared> {
        let (a, b) = (self.input(&call.a)?, self.input(&call.b)?);
        let model = self.model(task)?;
        let query = call.query.as_deref();
        if query.is_some() {
            check_queries(&model)?;
        }
        let cut = model.with_query(query)?.cut().map(|cut| format!("query: {cut}"));
        let mut notes: Vec<String> = cut.filter(|_| query.is_some()).into_iter().collect();
        let mut whole = |path: &Path, at: f64| -> Result<Arc<Rows>> {
            task.span(at, at + 0.2);
            Ok(self.rows(path, query, |_| Ok(Cut::WHOLE), task)?.0)
        };
        let wholes: [Arc<Rows>; 2] = [whole(&a, 0.1)?, whole(&b, 0.3)?];
        for (path, rows) in [&a, &b].into_iter().zip(&wholes) {
            notes.extend(rows.notes.iter().map(|note| format!("{}: {note}", path.display())));
        }
        let mut windows = Vec::new();
        if wholes[0].moments.iter().any(Option::is_some) {
            let mut cut = |path: &Path, at: f64| -> Result<Arc<Rows>> {
                task.span(at, at + 0.25);
                let cut = |opened: &mut Opened| opened.windows(call.window_s, [None, None], MOST_WINDOWS);
                Ok(self.rows(path, query, cut, task)?.0)
            };
            let [first, second]: [Arc<Rows>; 2] = [cut(&a, 0.5)?, cut(&b, 0.75)?];
            windows = beside(&first, &second);
        }
        let cosine = score(dot(wholes[0].rows.row(0), wholes[1].rows.row(0)).into());
        Ok(Compared { a: a.display().to_string(), b: b.display().to_string(), cosine, windows, notes })
    }
}

/// Each window of `a` beside the one of `b` whose middle is nearest in time, and beside the one that is most alike.
fn beside(a: &Rows, b: &Rows) -> Vec<Beside> {
    let middle = |moment: &Moment| (moment.start + moment.end) / 2.0;
    let of = |(i, moment): (usize, &Option<Moment>)| {
        let moment = (*moment)?;
        let cosine = |j: usize| f64::from(dot(a.rows.row(i), b.rows.row(j)));
        let best = (0..b.moments.len()).max_by(|x, y| cosine(*x).total_cmp(&cosine(*y)).then(y.cmp(x)))?;
        let apart = |j: &usize| b.moments[*j].map_or(f64::INFINITY, |other| (middle(&other) - middle(&moment)).abs());
        let same = (0..b.moments.len()).min_by(|x, y| apart(x).total_cmp(&apart(y)));
        // At the same time is what lies over the middle of the window.
        let over = |j: &usize| b.moments[*j].is_some_and(|other| (other.start..=other.end).contains(&middle(&moment)));
        Some(Beside {
            start_s: seconds(moment.start),
            end_s: seconds(moment.end),
            cosine: same.filter(over).map(|j| score(cosine(j))),
            best: score(cosine(best)),
            best_start_s: b.moments[best].map(|moment| seconds(moment.start)),
            best_end_s: b.moments[best].map(|moment| seconds(moment.end)),
        })
    };
    a.moments.iter().enumerate().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use vljepa_embed::Embeddings;

    use super::*;

    fn rows(angles: &[f32], is_video: bool) -> Rows {
        let values = angles.iter().flat_map(|angle| [angle.cos(), angle.sin()]).collect();
        let moment = |i: usize| is_video.then_some(Moment { start: i as f64, end: i as f64 + 2.0 });
        let moments = (0..angles.len()).map(moment).collect();
        Rows { rows: Embeddings::from_unit_rows(2, values), moments, notes: Vec::new() }
    }

    #[test]
    fn windows_stand_beside_those_of_their_time_and_those_most_alike() {
        let (a, b) = (rows(&[0.0, 1.0, 2.0, 3.0, 3.1], true), rows(&[2.0, 1.0], true));
        let found = beside(&a, &b);
        assert_eq!(found.len(), 5);
        assert_eq!((found[1].cosine, found[1].best_start_s, found[1].best), (Some(1.0), Some(1.0), 1.0));
        assert_eq!((found[0].cosine, found[0].best_start_s), (Some(score(2f64.cos())), Some(1.0)));
        // The last ones lie after the end of `b`.
        assert_eq!((found[3].cosine, found[4].cosine), (None, None));
        assert_eq!((found[2].best, found[2].best_end_s), (1.0, Some(2.0)));
        let still = beside(&a, &rows(&[1.0], false));
        assert!(still.iter().all(|one| one.cosine.is_none() && one.best_start_s.is_none()));
        assert_eq!(still[1].best, 1.0);
    }
}
