use super::*;

/// An index of files whose clips are a second long and follow each other, with the given cosines to the query `[1, 0]`.
fn index(files: &[&[f32]]) -> Index {
    let entry = |(i, cosines): (usize, &&[f32])| Entry {
        path: format!("{i}.mp4"),
        size: 1,
        modified: 1,
        noted: false,
        clips: (0..cosines.len()).map(|k| Moment { start: k as f64, end: k as f64 + 1.0 }).collect(),
    };
    let entries: Vec<Entry> = files.iter().enumerate().map(entry).collect();
    let rows = files.iter().copied().flatten().flat_map(|c| [*c, (1.0 - c * c).sqrt()]).collect();
    let embeddings = Embeddings::from_unit_rows(2, rows);
    Index { root: PathBuf::from("films"), of: rows_of(&entries), entries, embeddings, depends: None }
}

fn found(index: &Index, k: usize, merge: bool) -> Vec<(String, f64, f64, f32)> {
    let query = Embeddings::from_unit_rows(2, vec![1.0, 0.0]);
    let found = if merge { index.search_moments(&query, 0, k) } else { index.search(&query, 0, k) };
    let plain = |found: Found| {
        let moment = found.moment.unwrap();
        (found.path.file_name().unwrap().to_string_lossy().into_owned(), moment.start, moment.end, found.cosine)
    };
    found.unwrap().into_iter().map(plain).collect()
}

#[test]
fn clips_around_a_peak_are_one_moment() {
    // Two peaks in the first film, a plateau over all of the second, and what is about the mean.
    let index = index(&[&[0.1, 0.7, 0.9, 0.8, 0.1, 0.1, 0.6, 0.1], &[0.5, 0.5], &[0.0, 0.1, 0.0]]);
    let clip = |file: &str, start: f64, end: f64, cosine| (file.to_owned(), start, end, cosine);
    assert_eq!(found(&index, 2, false), [clip("0.mp4", 2.0, 3.0, 0.9), clip("0.mp4", 3.0, 4.0, 0.8)]);
    let moments = found(&index, 3, true);
    assert_eq!(moments, [clip("0.mp4", 1.0, 4.0, 0.9), clip("0.mp4", 6.0, 7.0, 0.6), clip("1.mp4", 0.0, 2.0, 0.5)]);
    // Every row belongs to one moment at most.
    assert!(found(&index, 99, true).len() <= 13);
}

#[test]
fn moments_end_at_gaps_and_with_their_file() {
    let mut index = index(&[&[0.9, 0.9], &[0.9, 0.0, 0.0, 0.0]]);
    index.entries[0].clips[1] = Moment { start: 5.0, end: 6.0 };
    let starts: Vec<f64> = found(&index, 3, true).into_iter().map(|found| found.1).collect();
    assert_eq!(starts, [0.0, 5.0, 0.0]);
}
