//! The numbers that encoders take.

use vljepa_data::{CropStart, Crops, DataError, Filter, Layout, Preprocess, ResizeRule, Rgb8Image, Rgba8Image};

fn gradient(width: u32, height: u32) -> Rgba8Image {
    let pixel = |i: u32| [(i % width * 255 / width) as u8, (i / width * 255 / height) as u8, 90, 255];
    Rgba8Image::new(width, height, (0..width * height).flat_map(pixel).collect()).unwrap()
}

#[test]
fn vjepa2_sizes_and_statistics() {
    let at_256 = Preprocess::vjepa2(256);
    assert_eq!(at_256.resize, ResizeRule::ShortestSide(292));
    assert_eq!(Preprocess::vjepa2(384).resize, ResizeRule::ShortestSide(438));
    for (width, height) in [(640, 272), (272, 640), (256, 256), (17, 900)] {
        let values = at_256.run(&gradient(width, height)).unwrap();
        assert_eq!(values.len(), 3 * 256 * 256);
        let blue = (90.0 / 255.0 - 0.406) / 0.225;
        assert!(values[2 * 256 * 256..].iter().all(|v| (v - blue).abs() < 1e-6));
    }
}

#[test]
fn the_crop_is_in_the_centre() {
    // 292 x 292 gives an offset of 18; the column 18 of the resized gradient is then the first.
    let picture = gradient(292, 292);
    let crop = Preprocess::vjepa2(256).square_crop(&picture).unwrap();
    assert_eq!(crop, picture.over([255; 3]).crop(18, 18, 256, 256).unwrap());
    // Of an odd margin, the smaller half is before the crop.
    // torchvision rounds the half of it to even: Python's `round(15.5)` is 16, `round(14.5)` is 14.
    for (spare, down, even) in [(31, 15, 16), (29, 14, 14), (30, 15, 15), (3, 1, 2), (1, 0, 0), (0, 0, 0)] {
        for (crop_start, offset) in [(CropStart::Down, down), (CropStart::Even, even)] {
            let resize = ResizeRule::ShortestSide(64 + spare);
            let pre = Preprocess { resize, crop_start, ..Preprocess::square(64) };
            let picture = gradient(64 + spare, 64 + spare);
            let want = picture.over([255; 3]).crop(offset, offset, 64, 64).unwrap();
            assert_eq!(pre.square_crop(&picture).unwrap(), want);
        }
    }
}

#[test]
fn fractions_of_levels_stay_in_clips_alone() {
    let whole = Preprocess::vjepa2(24);
    let pre = Preprocess { fractions: true, ..whole.clone() };
    let picture = gradient(71, 50);
    assert_eq!(pre.run(&picture).unwrap(), whole.run(&picture).unwrap());
    let frame = [picture.over([255; 3])];
    let (fine, bytes) = (pre.clip(&frame).unwrap(), whole.clip(&frame).unwrap());
    // Rounded after each of two passes: at most one level away.
    let levels = |i: usize| (fine[i] - bytes[i]).abs() * 255.0 * pre.std[i / (24 * 24)];
    assert!((0..fine.len()).all(|i| levels(i) < 1.01));
    assert!((0..fine.len()).any(|i| levels(i) > 0.2));
    let hwc = Preprocess { layout: Layout::Hwc, ..pre.clone() }.clip(&frame).unwrap();
    assert!((0..24 * 24).all(|i| (0..3).all(|c| hwc[i * 3 + c] == fine[c * 24 * 24 + i])));
    // Nothing to scale: the numbers of the bytes.
    let same = Preprocess { resize: ResizeRule::ShortestSide(50), ..pre.clone() };
    let plain = Preprocess { fractions: false, ..same.clone() };
    assert_eq!(same.clip(&frame).unwrap(), plain.clip(&frame).unwrap());
    // Only the crop of a needle is made, however long it would be as a whole.
    let needle = Rgb8Image::new(16_384, 1, vec![77; 16_384 * 3]).unwrap();
    let level = |c: usize| (77.0 / 255.0 - pre.mean[c]) / pre.std[c];
    let values = pre.clip(&[needle]).unwrap();
    assert!((0..values.len()).all(|i| (values[i] - level(i / (24 * 24))).abs() < 1e-5));
    let short = Preprocess { resize: ResizeRule::ShortestSide(20), ..pre };
    assert!(matches!(short.clip(&[gradient(9, 9).over([0; 3])]), Err(DataError::Shape { what: "preprocess", .. })));
}

#[test]
fn transparency_is_white_and_layouts_agree() {
    let clear = Rgba8Image::new(4, 4, vec![0; 64]).unwrap();
    assert!(Preprocess::square(4).run(&clear).unwrap().iter().all(|v| *v == 1.0));
    let chw = Preprocess::square(8);
    let hwc = Preprocess { layout: Layout::Hwc, ..chw.clone() };
    let (a, b) = (chw.run(&gradient(8, 8)).unwrap(), hwc.run(&gradient(8, 8)).unwrap());
    for i in 0..64 {
        for c in 0..3 {
            assert_eq!(a[c * 64 + i], b[i * 3 + c]);
        }
    }
}

#[test]
fn fit_keeps_the_shape() {
    let mut pre = Preprocess::square(32);
    pre.resize = ResizeRule::Fit;
    let black = Rgba8Image::new(64, 16, [0, 0, 0, 255].repeat(64 * 16)).unwrap();
    let out = pre.square_crop(&black).unwrap();
    let dark: Vec<bool> = out.data.chunks_exact(32 * 3).map(|row| row.iter().all(|v| *v == 0)).collect();
    let want: Vec<bool> = (0..32).map(|y| (12..20).contains(&y)).collect();
    assert_eq!(dark, want);
}

#[test]
fn batches_equal_single_runs() {
    let pictures = [gradient(20, 30), gradient(64, 64), gradient(7, 5)];
    let pre = Preprocess::square(16);
    let batch = pre.batch(&pictures.each_ref()).unwrap();
    let single: Vec<f32> = pictures.iter().flat_map(|p| pre.run(p).unwrap()).collect();
    assert_eq!(batch, single);
}

#[test]
fn impossible_rules_are_refused() {
    let mut pre = Preprocess::square(64);
    pre.resize = ResizeRule::ShortestSide(32);
    assert!(matches!(pre.run(&gradient(9, 9)), Err(DataError::Shape { what: "preprocess", .. })));
    let small = Rgb8Image::new(2, 2, vec![0; 12]).unwrap();
    assert!(pre.normalize_into(&small, &mut [0.0; 12]).is_err());
    assert!(Preprocess::square(0).run(&gradient(4, 4)).is_err());
}

/// What lies outside of the crop is not made, and the crop has the same bytes.
#[test]
fn a_crop_is_that_of_the_whole_resized() {
    for (width, height) in [(640, 272), (17, 900), (300, 300), (292, 31), (9, 292)] {
        let picture = gradient(width, height).over([255; 3]);
        for pre in [Preprocess::vjepa2(256), Preprocess { filter: Filter::Bicubic, ..Preprocess::vjepa2(256) }] {
            let scaled = |long: u32| (u64::from(long) * 292 / u64::from(width.min(height))) as u32;
            let (wide, high) = if width <= height { (292, scaled(height)) } else { (scaled(width), 292) };
            let (left, top) = ((wide - 256) / 2, (high - 256) / 2);
            let whole = picture.resize(wide, high, pre.filter).unwrap();
            assert_eq!(pre.square_crop_rgb(&picture).unwrap(), whole.crop(left, top, 256, 256).unwrap());
            let fine = picture.resize_f32(wide, high, pre.filter).unwrap();
            let fractions = Preprocess { fractions: true, ..pre.clone() }.clip(std::slice::from_ref(&picture)).unwrap();
            let plane = 256 * 256;
            assert!((0..plane).all(|i| (0..3).all(|c| {
                let from = (((i / 256 + top as usize) * wide as usize) + i % 256 + left as usize) * 3 + c;
                fractions[c * plane + i] == (fine[from] / 255.0 - pre.mean[c]) / pre.std[c]
            })));
        }
    }
}

/// Values that transformers gives; `tests/fixtures/vjepa2_processor.py` made them.
#[test]
fn vjepa2_equals_transformers() {
    let mut expected = include_bytes!("../fixtures/vjepa2_processor.bin").as_chunks::<4>().0;
    for (width, height, size) in [(91, 37, 16), (37, 91, 24), (50, 38, 40)] {
        let noise: Vec<u8> = {
            let mut state = 12345_u32;
            let next = |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            (0..width * height * 3).map(next).collect()
        };
        let frame = Rgb8Image::new(width, height, noise).unwrap();
        let preprocess = Preprocess::vjepa2(size);
        let got = preprocess.clip(&[frame]).unwrap();
        let (want, rest) = expected.split_at(got.len());
        let mut off = 0;
        for (index, (got, want)) in got.iter().zip(want).enumerate() {
            let levels = (got - f32::from_le_bytes(*want)).abs() * 255.0 * preprocess.std[index * 3 / got_len(size)];
            // torchvision resizes bytes with other roundings than Pillow: one level at most.
            assert!(levels < 1.01, "{width}x{height} at {size}: value {index} is off by {levels} levels");
            off += usize::from(levels > 0.5);
        }
        assert!(off * 50 < want.len(), "{width}x{height} at {size}: {off} of {} values differ", want.len());
        expected = rest;
    }
    assert!(expected.is_empty());
}

fn got_len(size: u32) -> usize {
    (size * size * 3) as usize
}

#[test]
fn three_crops_lie_along_the_longer_side() {
    // Columns of 4 pixels; every pixel holds the number of its column.
    let wide = Rgb8Image::new(11, 4, (0..4).flat_map(|_| (0..11u8).flat_map(|x| [x * 20; 3])).collect()).unwrap();
    let tall = Rgb8Image::new(4, 11, (0..11u8).flat_map(|y| [y * 20; 12]).collect()).unwrap();
    let square = Preprocess::square(4);
    let first = |values: &[f32]| ((values[0] * 0.5 + 0.5) * 255.0).round() / 20.0;
    for picture in [&wide, &tall] {
        let views = square.views(picture, Crops::Three, true).unwrap();
        assert_eq!(views.len(), 3 * square.values());
        let starts: Vec<f32> = views.chunks(square.values()).map(first).collect();
        assert_eq!(starts, [0.0, 3.0, 7.0]);
    }
    // Of a square picture they are the same, and one crop is what a clip has.
    let small = Rgb8Image::new(8, 8, (0..192).map(|v| v as u8).collect()).unwrap();
    for pre in [Preprocess::square(4), Preprocess::vjepa2(4), Preprocess { fractions: true, ..Preprocess::vjepa2(4) }] {
        let views = pre.views(&small, Crops::Three, true).unwrap();
        assert_eq!(views[..pre.values()], views[pre.values()..2 * pre.values()]);
        assert_eq!(pre.views(&small, Crops::Center, true).unwrap(), pre.clip(std::slice::from_ref(&small)).unwrap());
        assert_eq!(pre.views(&small, Crops::Center, false).unwrap(), pre.run_rgb(&small).unwrap());
    }
}
