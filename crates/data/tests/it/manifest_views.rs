//! Views of a manifest's rows: segments of a film and crops of its frames.

use std::fs;

use vljepa_data::manifest::{Manifest, Viewing};
use vljepa_data::video::VideoOptions;
use vljepa_data::{Crops, Preprocess, Rgba8Image, encode_png};

/// Ten frames of 48 × 16 pixels at ten a second: in frame i the columns of each third are 40 + 15 i, 5 and 10 more.
fn film() -> Vec<u8> {
    let mut bytes = b"YUV4MPEG2 W48 H16 F10:1 Cmono\n".to_vec();
    for i in 0..10_u8 {
        bytes.extend(b"FRAME\n");
        for _ in 0..16 {
            (0..3).for_each(|third| bytes.extend([40 + 15 * i + 5 * third; 16]));
        }
    }
    bytes
}

#[test]
fn segments_follow_each_other_and_crops_lie_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("film.y4m"), film()).unwrap();
    let picture = Rgba8Image::new(48, 16, [90, 90, 90, 255].repeat(48 * 16)).unwrap();
    fs::write(dir.path().join("one.png"), encode_png(&picture).unwrap()).unwrap();
    let text = "{\"visual\":\"film.y4m\",\"target\":\"a\"}\n{\"visual\":\"film.y4m\",\"start\":0.2,\"end\":0.6,\"target\":\"a\"}\n\
        {\"visual\":\"one.png\",\"target\":\"a\"}\n{\"visual\":\"film.y4m\",\"start\":7,\"target\":\"a\"}\n\
        {\"visual\":\"one.png\",\"start\":7,\"target\":\"a\"}\n";
    fs::write(dir.path().join("a.jsonl"), text).unwrap();
    let manifest = Manifest::open(dir.path().join("a.jsonl")).unwrap();
    let (to, options) = (Preprocess::vjepa2(16), VideoOptions::default());
    let views = |row: usize, frames, segments, crops| {
        manifest.rows()[row].views(&Viewing { frames, segments, crops }, &to, &options)
    };
    // The first value of each square tells frame and crop.
    let firsts = |row, frames, segments, crops| -> Vec<f32> {
        views(row, frames, segments, crops).unwrap().numbers.chunks(to.values()).map(|square| square[0]).collect()
    };
    let all = firsts(0, 10, 1, Crops::Three);
    assert_eq!(all.len(), 30);
    let at = |frame: usize, crop: usize| all[crop * 10 + frame];
    assert!((0..9).all(|i| at(i, 0) < at(i + 1, 0) && at(i, 0) < at(i, 1) && at(i, 1) < at(i, 2)), "{all:?}");

    // Two segments of two frames: 0, 3 and 6, 9, each in three crops.
    let seen = views(0, 2, 2, Crops::Three).unwrap();
    assert_eq!((seen.views, seen.frames, seen.numbers.len()), (6, 2, 12 * to.values()));
    assert_eq!(Viewing { frames: 2, segments: 2, crops: Crops::Three }.bytes(&to), 4 * seen.numbers.len());
    let want: Vec<f32> = [[0, 3], [6, 9]]
        .iter()
        .flat_map(|s| (0..3).flat_map(move |c| s.map(|f| (f, c))))
        .map(|(f, c)| at(f, c))
        .collect();
    assert_eq!(firsts(0, 2, 2, Crops::Three), want);
    // Between times, and frames twice where there are fewer.
    assert_eq!(firsts(1, 4, 2, Crops::Three)[..4], [2, 2, 2, 3].map(|i| at(i, 0)));
    // One segment and the centre are what a row gives otherwise.
    let one = views(1, 4, 1, Crops::Center).unwrap();
    assert_eq!(one.numbers, manifest.rows()[1].numbers(4, &to, &options).unwrap());
    // A picture is one frame, whatever the segments.
    let still = views(2, 4, 2, Crops::Three).unwrap();
    assert_eq!((still.views, still.frames, still.numbers.len()), (3, 1, 3 * to.values()));
    for (row, words) in [(3, ["line 4", "film.y4m"]), (4, ["line 5", "a picture has no"])] {
        let error = views(row, 2, 2, Crops::Center).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)) && error.lines().count() == 1, "{error}");
    }
    let error = views(0, 4096, 4096, Crops::Center).unwrap_err().to_string();
    assert!(error.contains("line 1") && error.contains("4096"), "{error}");
}
