//! Resizing gives Pillow's bytes, bit for bit. The fixture is made by `tests/fixtures/pillow_resize.py`.

use vljepa_data::{DataError, Filter, Rgb8Image, Rgba8Image};

type Size = (u32, u32);

const CASES: [(Size, Size); 11] = [
    ((37, 29), (16, 12)),
    ((37, 29), (50, 40)),
    ((100, 10), (7, 33)),
    ((5, 5), (5, 9)),
    ((24, 40), (24, 7)),
    ((1, 1), (6, 4)),
    ((30, 30), (29, 28)),
    ((45, 18), (89, 36)),
    ((128, 72), (56, 32)),
    ((63, 65), (1, 1)),
    ((200, 3), (20, 2)),
];

fn noise(count: u32) -> Vec<u8> {
    let mut state = 12345u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..count).map(next).collect()
}

#[test]
fn bytes_are_those_of_pillow() {
    let mut expected = include_bytes!("../fixtures/pillow_resize.bin").as_slice();
    for channels in [3, 4] {
        for filter in [Filter::Bilinear, Filter::Bicubic] {
            for ((w, h), (tw, th)) in CASES {
                let data = noise(w * h * channels);
                let got = if channels == 3 {
                    Rgb8Image::new(w, h, data).unwrap().resize(tw, th, filter).unwrap().data
                } else {
                    Rgba8Image::new(w, h, data).unwrap().resize(tw, th, filter).unwrap().data
                };
                let (want, rest) = expected.split_at((tw * th * channels) as usize);
                let wrong = got.iter().zip(want).filter(|(a, b)| a != b).count();
                assert_eq!(wrong, 0, "{w}x{h} to {tw}x{th}, {channels} channels, {filter:?}: wrong bytes");
                expected = rest;
            }
        }
    }
    assert!(expected.is_empty());
}

#[test]
fn constant_pictures_stay_constant() {
    let grey = Rgb8Image::new(50, 31, vec![77; 50 * 31 * 3]).unwrap();
    for filter in [Filter::Bilinear, Filter::Bicubic] {
        for (width, height) in [(1, 1), (13, 64), (224, 224)] {
            let out = grey.resize(width, height, filter).unwrap();
            assert!(out.data.iter().all(|value| *value == 77));
        }
    }
}

#[test]
fn absurd_targets_are_refused() {
    let dot = Rgb8Image::new(1, 1, vec![0; 3]).unwrap();
    for (width, height) in [(0, 4), (4, 0), (1 << 20, 1)] {
        let error = dot.resize(width, height, Filter::Bilinear).unwrap_err();
        assert!(matches!(error, DataError::Shape { what: "resize", .. }), "{error}");
    }
    assert!(Rgb8Image::new(2, 2, vec![0; 11]).is_err());
    assert!(Rgba8Image::new(0, 0, Vec::new()).is_err());
    assert!(Rgba8Image::new(u32::MAX, u32::MAX, vec![0; 4]).is_err());
}
