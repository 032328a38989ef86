//! Videos where pictures are taken too.

use std::path::Path;

use serde_json::Value;
use vljepa_data::{Rgba8Image, encode_png};

use crate::support::{Bench, fails, json, noted, tokenizer, vljepa};

fn clip(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/tests/fixtures/video").join(name)).unwrap()
}

fn vector(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn cosine(rows: &Value, a: usize, b: usize) -> f64 {
    let (a, b) = (vector(&rows[a]["embedding"]), vector(&rows[b]["embedding"]));
    a.iter().zip(&b).map(|(x, y)| x * y).sum()
}

/// Grey that changes from left to right, as Y4M of the given frames and as a picture.
fn grey(levels: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let frame = |level: u8| (0..48 * 40).map(move |i| level.wrapping_add(3 * (i % 48) as u8)).collect::<Vec<u8>>();
    let mut y4m = b"YUV4MPEG2 W48 H40 F5:1 Cmono XCOLORRANGE=FULL\n".to_vec();
    for level in levels {
        y4m.extend(b"FRAME\n");
        y4m.extend(frame(*level));
    }
    let pixels = frame(levels[0]).into_iter().flat_map(|v| [v, v, v, 255]).collect();
    (y4m, encode_png(&Rgba8Image::new(48, 40, pixels).unwrap()).unwrap())
}

#[test]
fn a_clip_is_one_row_and_a_still_clip_is_the_picture() {
    let bench = Bench::new();
    let (still, picture) = grey(&[10, 10, 10]);
    bench.write("still.y4m", still);
    bench.write("picture.png", picture);
    // The tiny model takes two frames: the first and the last.
    bench.write("moving.y4m", grey(&[10, 200, 90]).0);
    bench.write("other.y4m", grey(&[10, 50, 90]).0);
    bench.write("clip.mp4", clip("rotated.mp4"));
    bench.write("clip.gif", clip("clear.gif"));
    let inputs =
        ["@still.y4m", "@picture.png", "@moving.y4m", "@other.y4m", "@clip.mp4", "@pictures/0.png", "@clip.gif"];
    let printed = json(bench.args(&[&["embed"], &inputs[..]].concat()));
    let rows = &printed["rows"];
    assert_eq!(rows.as_array().unwrap().len(), inputs.len());
    for (row, input) in rows.as_array().unwrap().iter().zip(inputs) {
        assert!(row["input"].as_str().unwrap().ends_with(&input[1..]), "{row}");
    }
    assert!(cosine(rows, 0, 1) > 1.0 - 1e-5, "a still clip: {}", cosine(rows, 0, 1));
    assert!(cosine(rows, 2, 3) > 1.0 - 1e-5, "frames between are not seen");
    assert!(cosine(rows, 0, 2) < 0.9999 && cosine(rows, 4, 5) < 0.9999, "different clips, different rows");
    let one = json(bench.args(&["classify", "@clip.mp4", "--labels", "a,b"]));
    assert!(one.to_string().contains("clip.mp4"), "{one}");
}

#[test]
fn folders_hold_videos_too() {
    let bench = Bench::new();
    bench.write("pictures/sub/clip.mp4", clip("bframes.mp4"));
    bench.write("pictures/sub/notes.txt", "no picture");
    let printed = json(bench.args(&["embed", "@pictures"]));
    assert_eq!(printed["rows"].as_array().unwrap().len(), 10);
    let idx = bench.text("p.idx");
    json(bench.args(&["index", "build", "@pictures", "--out", &idx]));
    let found = json(bench.args(&["search", &idx, "a", "--top", "10"]));
    assert!(found.to_string().contains("sub/clip.mp4"), "{found}");
}

#[test]
fn bad_videos_are_one_line() {
    let bench = Bench::new();
    let whole = clip("bframes.mp4");
    bench.write("cut.mp4", &whole[..whole.len() / 2]);
    bench.write("hevc.mp4", clip("hevc.mp4"));
    bench.write("text.mkv", "this is no video");
    for (input, words) in [
        ("@cut.mp4", ["cut.mp4", "moov"]),
        ("@hevc.mp4", ["codec is hvc1", "install ffmpeg"]),
        ("@text.mkv", ["text.mkv", "that of no video format"]),
    ] {
        let mut command = vljepa(bench.args(&["embed", input]));
        fails(command.env("PATH", ""), &words);
    }
}

#[test]
fn partial_and_damaged_videos_are_told_of() {
    let bench = Bench::new();
    let whole = clip("fast_start.mp4");
    std::fs::create_dir(bench.path("films")).unwrap();
    bench.write("model/query_tokenizer.json", tokenizer());
    bench.write("films/cut.mp4", &whole[..whole.len() * 6 / 10]);
    bench.write("films/whole.mp4", &whole);
    let (idx, npy) = (bench.text("f.idx"), bench.text("f.npy"));
    let verbs: [&[&str]; 5] = [
        &["embed", "@films"],
        &["embed", "@films", "--out", &npy],
        &["index", "build", "@films", "--out", &idx],
        &["classify", "@films", "--labels", "a,b"],
        &["ask", "@films", "--question", "What?", "--answers", "a,b"],
    ];
    for verb in verbs {
        let (printed, stderr) = noted(bench.args(verb));
        let notes = printed["notes"].as_array().unwrap();
        assert_eq!(notes.len(), 1, "{verb:?}: {printed}");
        let (input, note) = (notes[0]["input"].as_str().unwrap(), notes[0]["note"].as_str().unwrap());
        assert!(
            input.ends_with("cut.mp4") && note.starts_with("cut off: ") && note.contains(" of 24 frames"),
            "{note}"
        );
        let line = format!("{input}: {note}");
        assert!(stderr.lines().any(|said| said == line), "{verb:?}: {stderr}");
    }

    let mut damaged = clip("bframes.mp4");
    let frame = damaged.windows(4).position(|kind| kind == b"mdat").unwrap() + 4;
    damaged[frame] ^= 0x55;
    bench.write("damaged.mp4", damaged);
    fails(&mut vljepa(bench.args(&["embed", "@damaged.mp4"])), &["damaged.mp4", "frame 1 of 24", "--damaged conceal"]);
    let (printed, stderr) = noted(bench.args(&["embed", "@damaged.mp4", "--damaged", "conceal"]));
    let note = printed["notes"][0]["note"].as_str().unwrap();
    assert!(note.starts_with("damaged: another frame stands in for ") && stderr.contains(note), "{stderr}");
}
