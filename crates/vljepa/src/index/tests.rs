use vljepa_embed::Embeddings;
use vljepa_embed::visuals::{Moment, Reading};

use super::*;
use crate::error::Result;

fn made() -> Made {
    Made {
        model: "0123".into(),
        root: "films".into(),
        program: "1.0".into(),
        reading: Reading::default(),
        settings: serde_json::json!({ "precision": "f32" }),
        frame_folders: false,
        mixed: false,
    }
}

fn entry(path: &str, clips: Vec<Moment>) -> Entry {
    Entry { path: path.into(), size: 1, modified: 2, noted: false, clips }
}

fn write(entries: &[Entry], dim: usize, rows: &[f32]) -> Result<Index> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("i.idx");
    let bytes: Vec<u8> = rows.iter().flat_map(|v| v.to_le_bytes()).collect();
    write_index(&path, &made(), entries, dim, &mut &bytes[..])?;
    Index::read(&path)
}

/// An index of files whose clips are a second long and follow each other, with the given cosines to the query `[1, 0]`.
fn index(files: &[&[f32]], gap: Option<(usize, usize)>) -> Index {
    let entry = |(i, cosines): (usize, &&[f32])| {
        let late = |k| if gap == Some((i, k)) { 4.0 } else { 0.0 };
        let clips = (0..cosines.len()).map(|k| Moment { start: k as f64 + late(k), end: k as f64 + 1.0 + late(k) });
        entry(&format!("{i}.mp4"), clips.collect())
    };
    let entries: Vec<Entry> = files.iter().enumerate().map(entry).collect();
    let rows: Vec<f32> = files.iter().copied().flatten().flat_map(|c| [*c, (1.0 - c * c).sqrt()]).collect();
    write(&entries, 2, &rows).unwrap()
}

fn query() -> Embeddings {
    Embeddings::from_unit_rows(2, vec![1.0, 0.0])
}

fn found(indices: &[Index], wanted: &Wanted) -> Vec<(String, f64, f64, f32)> {
    let plain = |found: Found| {
        let moment = found.moment.unwrap();
        (found.path.file_name().unwrap().to_string_lossy().into_owned(), moment.start, moment.end, found.cosine)
    };
    search(indices, &query(), wanted).unwrap().remove(0).into_iter().map(plain).collect()
}

fn top(top: usize, merge: bool) -> Wanted {
    Wanted { top, merge, ..Wanted::default() }
}

fn clip(file: &str, start: f64, end: f64, cosine: f32) -> (String, f64, f64, f32) {
    (file.to_owned(), start, end, cosine)
}

#[test]
fn clips_around_a_peak_are_one_moment() {
    // Two peaks in the first film, a plateau over all of the second, and what is about the mean.
    let index = [index(&[&[0.1, 0.7, 0.9, 0.8, 0.1, 0.1, 0.6, 0.1], &[0.5, 0.5], &[0.0, 0.1, 0.0]], None)];
    assert_eq!(found(&index, &top(2, false)), [clip("0.mp4", 2.0, 3.0, 0.9), clip("0.mp4", 3.0, 4.0, 0.8)]);
    let moments = found(&index, &top(3, true));
    assert_eq!(moments, [clip("0.mp4", 1.0, 4.0, 0.9), clip("0.mp4", 6.0, 7.0, 0.6), clip("1.mp4", 0.0, 2.0, 0.5)]);
    // Every row belongs to one moment at most.
    assert!(found(&index, &top(99, true)).len() <= 13);
    let best = search(&index, &query(), &top(1, true)).unwrap()[0][0].best;
    assert_eq!(best, Some(Moment { start: 2.0, end: 3.0 }));
}

#[test]
fn moments_end_at_gaps_and_with_their_file() {
    let index = [index(&[&[0.9, 0.9], &[0.9, 0.0, 0.0, 0.0]], Some((0, 1)))];
    let starts: Vec<f64> = found(&index, &top(3, true)).into_iter().map(|found| found.1).collect();
    assert_eq!(starts, [0.0, 5.0, 0.0]);
}

#[test]
fn filters_leave_out_rows_by_path_and_time() {
    let index = [index(&[&[0.1, 0.7, 0.9, 0.8], &[0.5, 0.6]], None)];
    let with = |filter: Filter| found(&index, &Wanted { top: 9, merge: false, filter });
    let paths = |pattern: &str| with(Filter::default().paths(&[pattern.to_owned()]).unwrap());
    assert_eq!(paths("1.*"), [clip("1.mp4", 1.0, 2.0, 0.6), clip("1.mp4", 0.0, 1.0, 0.5)]);
    assert_eq!((paths("*.mp4").len(), paths("{0,7}.mp4").len(), paths("*.avi").len()), (6, 4, 0));
    let times = |after, before| with(Filter::default().times(after, before).unwrap());
    assert_eq!(times(Some(2.5), None), [clip("0.mp4", 3.0, 4.0, 0.8)]);
    assert_eq!(times(Some(1.0), Some(2.0)), [clip("0.mp4", 1.0, 2.0, 0.7), clip("1.mp4", 1.0, 2.0, 0.6)]);
    // What a filter leaves out joins no moment.
    assert_eq!(found(&index, &top(1, true)), [clip("0.mp4", 2.0, 4.0, 0.9)]);
    let filter = Filter::default().times(None, Some(3.0)).unwrap();
    assert_eq!(found(&index, &Wanted { top: 1, merge: true, filter }), [clip("0.mp4", 2.0, 3.0, 0.9)]);
    for bad in [f64::NAN, -1.0, f64::INFINITY] {
        assert!(Filter::default().times(Some(bad), None).is_err(), "{bad}");
    }
    assert!(Filter::default().times(Some(2.0), Some(2.0)).is_err());
    for bad in ["", "[", "{a", "a[z-a]"] {
        assert!(Filter::default().paths(&[bad.to_owned()]).is_err(), "{bad}");
    }
}

#[test]
fn the_best_of_several_indices_come_first() {
    let two = [index(&[&[0.1, 0.7]], None), index(&[&[0.6, 0.7]], None)];
    let all = search(&two, &query(), &top(3, false)).unwrap().remove(0);
    let facts: Vec<_> = all.iter().map(|found| (found.index, found.cosine)).collect();
    assert_eq!(facts, [(0, 0.7), (1, 0.7), (1, 0.6)]);
    let other = Embeddings::from_unit_rows(3, vec![1.0, 0.0, 0.0]);
    assert!(search(&two, &other, &top(1, false)).unwrap_err().to_string().contains("two models"));
}

#[test]
fn many_queries_and_rows_are_as_one_by_one() {
    // More rows than a thread takes at a time, and more queries than a pass.
    let rows = 9001;
    let unit = |i: usize| {
        let angle = (i as f32 * 0.7).sin() * 3.0;
        [angle.cos(), angle.sin()]
    };
    let entries: Vec<Entry> = (0..rows).map(|i| entry(&format!("{i}.png"), Vec::new())).collect();
    let index = [write(&entries, 2, &(0..rows).flat_map(unit).collect::<Vec<_>>()).unwrap()];
    let queries = Embeddings::from_unit_rows(2, (0..35).flat_map(|i| unit(7 * i + 1)).collect());
    let together = search(&index, &queries, &top(5, false)).unwrap();
    for (i, found) in together.iter().enumerate() {
        assert_eq!(*found, search(&index, &queries.select(&[i]), &top(5, false)).unwrap()[0]);
        let own = found.iter().any(|found| found.path.ends_with(format!("{}.png", 7 * i + 1)));
        assert!(own || found[0].cosine > 0.999_999, "{i}: {found:?}");
    }
}

#[test]
fn an_index_is_read_as_it_was_written() {
    let clips = vec![Moment { start: 0.0, end: 1.0 }, Moment { start: 0.5, end: 1.5 }];
    let noted = Entry { noted: true, ..entry("näher/ü.mp4", clips) };
    let entries = [entry("a.png", Vec::new()), noted, entry("z.png", Vec::new())];
    let index = write(&entries, 2, &[1.0, 0.0].repeat(4)).unwrap();
    assert_eq!(index.table.entries(), entries);
    assert_eq!((index.len(), index.rows(), &index.made), (3, 4, &made()));
    let info = index.info();
    assert_eq!((info.clips, info.seconds, info.dim), (2, 1.5, 2));
    assert!(write(&[], 2, &[]).unwrap().is_empty());
}

#[test]
fn what_is_no_whole_index_is_refused() {
    let unit = [1.0, 0.0];
    let fails = |entries: &[Entry], rows: &[f32], words: &str| {
        let error = write(entries, 2, rows).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    for path in ["", "../a.png", "/a.png", "a//b.png", "a/./b.png", "a/"] {
        fails(&[entry(path, Vec::new())], &unit, "no path below");
    }
    let clips = |start, end| entry("a.mp4", vec![Moment { start, end }]);
    for (start, end) in [(1.0, 0.0), (f64::NAN, 1.0), (0.0, f64::INFINITY)] {
        fails(&[clips(start, end)], &unit, "row 0 begins at");
    }
    fails(&[entry("a.png", Vec::new())], &[1.0], "its rows cannot be read");
    fails(&[entry("a.png", Vec::new())], &[f32::NAN, 1.0], "not a finite number");
    let short = [write(&[entry("a.png", Vec::new())], 2, &[0.5, 0.5]).unwrap()];
    let error = search(&short, &query(), &top(1, false)).unwrap_err().to_string();
    assert!(error.contains("\"a.png\"") && error.contains("unit length"), "{error}");
    assert!(short[0].check_lengths().is_err());
}
