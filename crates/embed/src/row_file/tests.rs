use super::*;
use crate::partial::{RowEvent, is_begun};
use crate::visuals::{Broken, FileOptions, Progress, embed_files};
use vljepa_data::Crops;
use vljepa_data::video::{Damaged, Length, Sampling};
use vljepa_data::{Preprocess, Rgba8Image, encode_png};

/// Gives rows that depend on the size of their batch; the rows of clips are shorter.
struct Counting(Preprocess, usize);

impl VisualEncoder for Counting {
    fn preprocess(&self) -> &Preprocess {
        &self.0
    }

    fn frames(&self) -> usize {
        2
    }

    fn tokens(&self, frames: usize) -> usize {
        frames
    }

    fn shape(&self, frames: usize) -> Vec<usize> {
        vec![if frames == 1 { 1000 } else { 2 }]
    }

    fn unit(&self) -> bool {
        false
    }

    fn encode(&self, pixels: &[f32], count: usize, frames: usize) -> Result<Vec<f32>> {
        let width = self.shape(frames)[0];
        let each = pixels.len() / count;
        Ok(pixels.chunks(each).flat_map(|p| vec![p[0] + count as f32; width]).collect())
    }

    fn batch(&self, _: usize) -> usize {
        self.1
    }
}

fn encoder(batch: usize) -> Counting {
    Counting(Preprocess::vjepa2(16), batch)
}

fn run(encoder: &Counting, files: &[PathBuf], out: &Path, mut done: impl FnMut(usize)) -> Result<RowFile> {
    let mut on_event = |event| {
        if let RowEvent::Done(progress) = event {
            done(progress.files);
        }
    };
    embed_to_file(encoder, &[], files, out, RowOptions::default().broken(Broken::Skip).on_event(&mut on_event))
}

/// Gives one value too few.
struct Short(Counting);

impl VisualEncoder for Short {
    fn preprocess(&self) -> &Preprocess {
        self.0.preprocess()
    }

    fn frames(&self) -> usize {
        self.0.frames()
    }

    fn tokens(&self, frames: usize) -> usize {
        self.0.tokens(frames)
    }

    fn shape(&self, frames: usize) -> Vec<usize> {
        self.0.shape(frames)
    }

    fn unit(&self) -> bool {
        false
    }

    fn encode(&self, pixels: &[f32], count: usize, frames: usize) -> Result<Vec<f32>> {
        let mut values = self.0.encode(pixels, count, frames)?;
        values.pop();
        Ok(values)
    }
}

#[test]
fn an_encoder_that_makes_other_numbers_of_values_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (files, out) = (pictures(dir.path(), 3), dir.path().join("r.npy"));
    let error = embed_to_file(&Short(encoder(4)), &[], &files, &out, RowOptions::default()).unwrap_err();
    assert!(error.to_string().contains("2999 values of 3 visuals, 3000"), "{error}");
    assert!(!out.exists());
}

/// Stops after the last batch: a folder takes the place of the output file.
fn stop(encoder: &Counting, files: &[PathBuf], out: &Path) {
    let end = |n| {
        if n == files.len() {
            std::fs::create_dir(out).unwrap();
        }
    };
    assert!(run(encoder, files, out, end).unwrap_err().to_string().contains("is a folder"));
    std::fs::remove_dir(out).unwrap();
}

/// Pictures of different colours.
fn pictures(dir: &Path, count: u8) -> Vec<PathBuf> {
    let picture = |i: u8| {
        let path = dir.join(format!("{i}.png"));
        let picture = Rgba8Image::new(4, 4, [i * 20, 3, 9, 255].repeat(16)).unwrap();
        std::fs::write(&path, encode_png(&picture).unwrap()).unwrap();
        path
    };
    (0..count).map(picture).collect()
}

#[test]
fn what_has_changed_is_done_anew_and_the_rest_counts() {
    let dir = tempfile::tempdir().unwrap();
    let files = pictures(dir.path(), 11);
    let (encoder, late) = (encoder(4), files[10].clone());
    let touch = || {
        let file = std::fs::File::options().write(true).open(&files[1]).unwrap();
        let time = file.metadata().unwrap().modified().unwrap();
        file.set_modified(time + std::time::Duration::from_secs(10)).unwrap();
    };
    for kind in ["npy", "safetensors"] {
        let (whole, out) = (dir.path().join(format!("w.{kind}")), dir.path().join(format!("r.{kind}")));
        let ends_as_whole = |files: &[PathBuf], resumed: Resumed| {
            run(&encoder, files, &whole, |_| ()).unwrap();
            assert_eq!(run(&encoder, files, &out, |_| ()).unwrap().resumed, resumed);
            assert!(std::fs::read(&whole).unwrap() == std::fs::read(&out).unwrap(), "{kind} {resumed:?}");
            std::fs::remove_file(&out).unwrap();
            assert!(!is_begun(&out).unwrap() && !dir.path().join(format!("r.{kind}.partial")).exists());
        };
        let known = Resumed::default();
        // Batches of four, four and two; the first two are done.
        let part = || stop(&encoder, &files[..8], &out);
        part();
        touch();
        ends_as_whole(&files[..10], Resumed { taken: 4, changed: 1, regrouped: 3, ..known });
        // Rows that were computed again are reused the next time.
        part();
        touch();
        part();
        ends_as_whole(&files[..10], Resumed { taken: 8, ..known });
        // With one file more or less at the front, every batch has other files than before.
        part();
        let more: Vec<_> = std::iter::once(&late).chain(&files[..10]).cloned().collect();
        ends_as_whole(&more, Resumed { regrouped: 8, ..known });
        part();
        ends_as_whole(&files[1..10], Resumed { regrouped: 7, gone: 1, ..known });
        // If the files of a batch are gone, the other batches are still reused.
        part();
        ends_as_whole(&files[4..10], Resumed { taken: 4, gone: 4, ..known });
    }
}

#[test]
fn what_is_damaged_is_done_anew() {
    let dir = tempfile::tempdir().unwrap();
    let files = pictures(dir.path(), 10);
    let (encoder, whole, out) = (encoder(4), dir.path().join("w.npy"), dir.path().join("r.npy"));
    let (data, journal) = (dir.path().join("r.npy.partial"), dir.path().join("r.npy.partial.jsonl"));
    run(&encoder, &files, &whole, |_| ()).unwrap();
    stop(&encoder, &files[..8], &out);
    let (rows, lines) = (std::fs::read(&data).unwrap(), std::fs::read_to_string(&journal).unwrap());
    assert_eq!(rows.len(), 8 * 1000 * 4);
    let with = |at: usize, bytes: &[u8]| [&rows[..at], bytes, &rows[at + bytes.len()..]].concat();
    let ends: Vec<usize> = lines.match_indices('\n').map(|(i, _)| i + 1).collect();
    let [head, first, second] = [&lines[..ends[0]], &lines[ends[0]..ends[1]], &lines[ends[1]..]];
    for (what, rows, lines, [taken, damaged, unreadable]) in [
        ("nothing", rows.clone(), lines.clone(), [8, 0, 0]),
        // A run that was killed while it wrote.
        ("a line in part", rows.clone(), lines[..ends[2] - 7].to_owned(), [4, 0, 0]),
        ("no second line", rows.clone(), lines[..ends[1]].to_owned(), [4, 0, 0]),
        ("no first line", rows.clone(), lines[..ends[0] - 3].to_owned(), [0, 0, 0]),
        ("no lines", rows.clone(), String::new(), [0, 0, 0]),
        ("half a row more", [&rows[..], b"half a row"].concat(), lines.clone(), [8, 0, 0]),
        // Rows that are missing or damaged on the disk.
        ("rows cut", rows[..25_000].to_vec(), lines.clone(), [4, 4, 0]),
        ("no rows", Vec::new(), lines.clone(), [0, 8, 0]),
        ("NaN in the second batch", with(20_000, &f32::NAN.to_le_bytes()), lines.clone(), [4, 4, 0]),
        ("a bit of the first batch", with(5, &[rows[5] ^ 1]), lines.clone(), [4, 4, 0]),
        ("garbage", vec![7; rows.len()], lines.clone(), [0, 8, 0]),
        // Damaged lines.
        ("a line of another", rows.clone(), [head, first, "{\"files\": 7}\n", second].concat(), [8, 0, 1]),
        ("a byte of a line", rows.clone(), [head, "x", &first[1..], second].concat(), [4, 0, 1]),
        ("an endless line", rows.clone(), [&lines[..], &"x".repeat(5 << 20)].concat(), [8, 0, 1]),
        ("a shape", rows.clone(), lines.replace("[1000]", "[99999999999]"), [0, 8, 0]),
        ("a place", rows.clone(), lines.replace("\"at\":16000", "\"at\":15996"), [4, 4, 0]),
        ("a file left out", rows.clone(), lines.replacen("d\":[]", "d\":[[3,\"\"]]", 1), [4, 4, 0]),
    ] {
        std::fs::write(&data, rows).unwrap();
        std::fs::write(&journal, lines).unwrap();
        let resumed = run(&encoder, &files, &out, |_| ()).unwrap().resumed;
        assert_eq!(resumed, Resumed { taken, damaged, unreadable, ..Resumed::default() }, "{what}");
        assert!(std::fs::read(&whole).unwrap() == std::fs::read(&out).unwrap(), "{what}");
    }
}

#[test]
fn files_that_come_later_join_the_last_batch() {
    let dir = tempfile::tempdir().unwrap();
    let files = pictures(dir.path(), 9);
    let encoder = encoder(4);
    let (whole, resumed) = (dir.path().join("whole.npy"), dir.path().join("resumed.npy"));
    run(&encoder, &files, &whole, |_| ()).unwrap();
    // Six files are a batch and a half; of eight, both are whole.
    for (first, taken) in [(6, 4), (8, 8)] {
        stop(&encoder, &files[..first], &resumed);
        assert_eq!(run(&encoder, &files, &resumed, |_| ()).unwrap().resumed.taken, taken);
        assert!(std::fs::read(&whole).unwrap() == std::fs::read(&resumed).unwrap(), "{first}");
        std::fs::remove_file(&resumed).unwrap();
    }
}

#[test]
fn a_batch_without_rows_takes_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/tests/fixtures/video/clear.gif");
    let bad = dir.path().join("bad.png");
    std::fs::write(&bad, "no picture").unwrap();
    let (encoder, out) = (encoder(1), dir.path().join("r.npy"));
    let files = [clip, bad];
    stop(&encoder, &files, &out);
    let done = run(&encoder, &files, &out, |_| ()).unwrap();
    assert_eq!((done.resumed.taken, done.skipped.len(), done.shape), (2, 1, vec![1, 2]));
}

#[test]
fn what_failed_for_a_cause_outside_of_the_file_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let files = pictures(dir.path(), 6);
    let (encoder, whole, resumed) = (encoder(3), dir.path().join("whole.npy"), dir.path().join("resumed.npy"));
    run(&encoder, &files, &whole, |_| ()).unwrap();
    // The same size and time, as when a permission or a program was missing.
    let set = |bytes: &[u8]| {
        std::fs::write(&files[1], bytes).unwrap();
        let file = std::fs::File::options().write(true).open(&files[1]).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000)).unwrap();
    };
    let good = std::fs::read(&files[1]).unwrap();
    set(&vec![7; good.len()]);
    stop(&encoder, &files, &resumed);
    set(&good);
    let done = run(&encoder, &files, &resumed, |_| ()).unwrap();
    assert_eq!((done.skipped.len(), done.resumed.taken, done.resumed.regrouped), (0, 3, 3));
    assert!(std::fs::read(&whole).unwrap() == std::fs::read(&resumed).unwrap());
}

#[test]
fn notes_of_a_run_that_was_stopped_are_told_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/tests/fixtures/video/fast_start.mp4");
    let (cut, out) = (dir.path().join("cut.mp4"), dir.path().join("r.npy"));
    let bytes = std::fs::read(&whole).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() * 6 / 10]).unwrap();
    let (encoder, files) = (encoder(1), [whole, cut.clone()]);
    stop(&encoder, &files, &out);
    // What happens to damaged frames is a part of what rows depend on.
    let conceal =
        RowOptions::default().broken(Broken::Skip).reading(Reading { damaged: Damaged::Conceal, ..Reading::default() });
    let error = embed_to_file(&encoder, &[], &files, &out, conceal).unwrap_err().to_string();
    assert!(error.contains("damaged"), "{error}");
    let done = run(&encoder, &files, &out, |_| ()).unwrap();
    assert_eq!((done.resumed.taken, done.notes.len()), (2, 1));
    assert!(done.notes[0].path == cut && done.notes[0].note.starts_with("cut off: "), "{:?}", done.notes);
}

/// A film of grey frames at 10 a second; the value of each is twice its number.
fn film(path: &Path, frames: usize) {
    let mut bytes = b"YUV4MPEG2 W16 H16 F10:1 Cmono\n".to_vec();
    for i in 0..frames {
        bytes.extend(b"FRAME\n");
        bytes.extend([2 * i as u8 + 16; 256]);
    }
    std::fs::write(path, bytes).unwrap();
}

fn windows() -> Reading {
    let sampling =
        Sampling { window: Some(Length::Seconds(1.0)), stride: Some(Length::Seconds(0.5)), ..Sampling::default() };
    Reading { sampling, ..Reading::default() }
}

#[test]
fn a_video_becomes_rows_of_its_windows_and_is_resumed_among_them() {
    let dir = tempfile::tempdir().unwrap();
    let (out, stopped) = (dir.path().join("a.npy"), dir.path().join("b.npy"));
    let films = [("a.y4m", 31), ("b.y4m", 4), ("c.y4m", 20)];
    let mut files: Vec<PathBuf> = films.iter().map(|(name, _)| dir.path().join(name)).collect();
    films.iter().zip(&files).for_each(|((_, frames), path)| film(path, *frames));
    files.extend(pictures(dir.path(), 1));
    // The rows of a picture are longer than those of clips.
    let (encoder, only) = (encoder(2), &files[..3]);
    let run = |out: &Path, mut on_event: Box<dyn FnMut(RowEvent) + '_>| {
        embed_to_file(&encoder, &[], only, out, RowOptions::default().reading(windows()).on_event(&mut on_event))
    };
    let whole = run(&out, Box::new(|_| ())).unwrap();
    let moments: Vec<(usize, f64, f64)> =
        whole.of.iter().map(|row| (row.file, row.moment.unwrap().start, row.moment.unwrap().end)).collect();
    let times = |film: usize, end: f64, count: usize| {
        (0..count).map(move |i| (film, i as f64 * 0.5, (i as f64 * 0.5 + 1.0).min(end)))
    };
    let expected: Vec<_> = times(0, 3.1, 6).chain(times(1, 0.4, 1)).chain(times(2, 2.0, 3)).collect();
    let near =
        |a: &(usize, f64, f64), b: &(usize, f64, f64)| a.0 == b.0 && (a.1 - b.1).abs() + (a.2 - b.2).abs() < 1e-9;
    assert!(moments.len() == 10 && moments.iter().zip(&expected).all(|(a, b)| near(a, b)), "{moments:?}");
    assert_eq!((whole.shape.as_slice(), whole.names[5].as_str()), (&[10, 2][..], &*files[0].display().to_string()));
    let list = std::fs::read_to_string(dir.path().join("a.npy.rows.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() == 10 && lines[7]["row"] == 7 && lines[7]["end"] == 1.0, "{list}");
    assert_eq!(lines[0]["reading"]["sampling"]["window"]["seconds"], 1.0);

    // Stopped after any batch, it goes on there and comes to the same bytes.
    for batches in 1..=5 {
        let mut count = 0;
        let ends = Box::new(|event| {
            if let RowEvent::Done(_) = event {
                count += 1;
                if count == batches + 1 {
                    panic!("stopped");
                }
            }
        });
        let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&stopped, ends)));
        assert!(broken.is_err() && is_begun(&stopped).unwrap());
        let again = run(&stopped, Box::new(|_| ())).unwrap();
        assert!(again.resumed.begun + again.resumed.taken > 0 && !again.resumed.lost(), "{:?}", again.resumed);
        assert_eq!(again.of, whole.of);
        assert_eq!(std::fs::read(&stopped).unwrap(), std::fs::read(&out).unwrap(), "{batches}");
        std::fs::remove_file(&stopped).unwrap();
    }
}

#[test]
fn a_video_that_breaks_off_is_left_out_with_all_its_windows() {
    let dir = tempfile::tempdir().unwrap();
    let (out, files) = (dir.path().join("a.npy"), ["a.y4m", "b.y4m"].map(|name| dir.path().join(name)));
    files.iter().for_each(|path| film(path, 30));
    let bytes = std::fs::read(&files[0]).unwrap();
    std::fs::write(&files[0], &bytes[..bytes.len() - 100]).unwrap();
    let options = |broken| RowOptions::default().reading(windows()).broken(broken);
    let error = embed_to_file(&encoder(2), &[], &files, &out, options(Broken::Stop)).unwrap_err().to_string();
    assert!(error.contains("frame 30 ends after"), "{error}");
    let (encoder, skip) = (encoder(2), Broken::Skip);
    let done = embed_to_file(&encoder, &[], &files, &out, options(skip)).unwrap();
    assert_eq!((done.shape[0], done.skipped.len(), done.resumed.begun), (5, 1, 1));
    assert!(done.of.iter().all(|row| row.file == 1));
    assert_eq!(std::fs::metadata(&out).unwrap().len(), 128 + 5 * 8);
    let memory = embed_files(&encoder, &files, FileOptions::default().reading(windows()).broken(skip)).unwrap();
    assert_eq!((memory.of, memory.rows.rows()), (done.of, 5));
}

#[test]
fn three_crops_are_averaged() {
    struct Corner(Counting);
    impl VisualEncoder for Corner {
        fn preprocess(&self) -> &Preprocess {
            self.0.preprocess()
        }
        fn frames(&self) -> usize {
            1
        }
        fn tokens(&self, _: usize) -> usize {
            1
        }
        fn shape(&self, _: usize) -> Vec<usize> {
            vec![1]
        }
        fn unit(&self) -> bool {
            false
        }
        fn encode(&self, pixels: &[f32], count: usize, _: usize) -> Result<Vec<f32>> {
            Ok(pixels.chunks(pixels.len() / count).map(|p| p[0]).collect())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wide.png");
    let pixels = (0..16).flat_map(|_| (0..48u8).flat_map(|x| [x, x, x, 255])).collect();
    std::fs::write(&path, encode_png(&Rgba8Image::new(48, 16, pixels).unwrap()).unwrap()).unwrap();
    let encoder = Corner(Counting(Preprocess::square(16), 4));
    let reading = Reading { crops: Crops::Three, ..Reading::default() };
    let files = [path];
    let rows = embed_files(&encoder, &files, FileOptions::default().reading(reading)).unwrap().rows;
    // The corners have the values 0, 16 and 32.
    assert!((rows.row(0)[0] - (16.0 / 255.0 - 0.5) / 0.5).abs() < 1e-6, "{:?}", rows.row(0));
}

#[test]
fn more_names_than_a_header_holds_are_refused_before_the_work() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("r.safetensors");
    let files: Vec<PathBuf> = (0..1_000).map(|i| format!("{}{i}", "n".repeat(110_000)).into()).collect();
    let error = run(&encoder(4), &files, &out, |_| panic!("it began")).unwrap_err().to_string();
    assert!(error.contains("at most 100000000") && error.contains(".npy or .parquet"), "{error}");
    assert!(error.len() < 1000 && !is_begun(&out).unwrap());
    // In memory too, and what was there stays.
    std::fs::write(&out, "mine").unwrap();
    let rows = Embeddings::of_shape(&[2]);
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    assert!(write_rows(&out, &rows, "input", &names).unwrap_err().to_string().contains("at most 100000000"));
    assert_eq!(std::fs::read(&out).unwrap(), b"mine");
}

#[test]
fn the_list_beside_rows_is_replaced_after_them() {
    let dir = tempfile::tempdir().unwrap();
    let (out, list) = (dir.path().join("a.npy"), dir.path().join("a.npy.rows.jsonl"));
    let files = [dir.path().join("a.y4m")];
    film(&files[0], 31);
    std::fs::write(&list, "of the rows before").unwrap();
    // A folder takes the place of the rows.
    let mut on_event = |event| {
        if matches!(event, RowEvent::Done(Progress { files: 1, .. })) {
            std::fs::create_dir(&out).unwrap();
        }
    };
    let options = RowOptions::default().reading(windows()).on_event(&mut on_event);
    let error = embed_to_file(&encoder(2), &[], &files, &out, options).unwrap_err().to_string();
    assert!(error.contains("is a folder"), "{error}");
    assert_eq!(std::fs::read(&list).unwrap(), b"of the rows before");
    std::fs::remove_dir(&out).unwrap();
    embed_to_file(&encoder(2), &[], &files, &out, RowOptions::default().reading(windows())).unwrap();
    assert!(std::fs::read_to_string(&list).unwrap().starts_with("{\"input\""));
}
