//! Augmentation repeats itself exactly, keeps to its options, and does change what it should.

use vljepa_data::emoji::EmojiVendors;
use vljepa_data::{AugmentOptions, Augmenter, Preprocess, Rgb8Image, Rgba8Image, Sample, SampleKey};

fn drawing() -> Rgba8Image {
    // A red disc on nothing, with a blue bar through its upper half.
    let pixel = |i: u32| {
        let (x, y) = ((i % 72) as f32 - 35.5, (i / 72) as f32 - 35.5);
        match (x * x + y * y < 900.0, (-20.0..-8.0).contains(&y)) {
            (true, false) => [220, 20, 20, 255],
            (true, true) => [20, 20, 220, 255],
            _ => [0; 4],
        }
    };
    Rgba8Image::new(72, 72, (0..72 * 72).flat_map(pixel).collect()).unwrap()
}

fn sample(picture: &Rgba8Image, index: u64) -> Sample<'_> {
    let key = SampleKey { seed: 7, epoch: 3, index, stream: 0 };
    Sample { picture, other: Some(picture), mirror_allowed: true, color_bound: false, key }
}

fn distance(a: &Rgb8Image, b: &Rgb8Image) -> f64 {
    let total: u64 = a.data.iter().zip(&b.data).map(|(x, y)| u64::from(x.abs_diff(*y))).sum();
    total as f64 / a.data.len() as f64
}

#[test]
fn the_key_alone_decides() {
    let picture = drawing();
    let augmenter = Augmenter::new(64, AugmentOptions::default()).unwrap();
    for index in 0..64 {
        let once = augmenter.run(&sample(&picture, index));
        assert_eq!(once, augmenter.run(&sample(&picture, index)));
        for change in 0..4 {
            let mut other = sample(&picture, index);
            let field = match change {
                0 => &mut other.key.seed,
                1 => &mut other.key.epoch,
                2 => &mut other.key.index,
                _ => &mut other.key.stream,
            };
            *field += 1000;
            assert_ne!(once, augmenter.run(&other), "index {index}, field {change}");
        }
    }
}

#[test]
fn nothing_asked_is_nothing_done() {
    let picture = drawing();
    let augmenter = Augmenter::new(72, AugmentOptions::none()).unwrap();
    let want = picture.over([255; 3]);
    for index in 0..8 {
        let got = augmenter.run(&sample(&picture, index));
        let worst = got.data.iter().zip(&want.data).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst <= 1, "{worst}");
    }
}

#[test]
fn batches_are_the_samples_in_order_whatever_the_threads() {
    let picture = drawing();
    let samples: Vec<_> = (0..40).map(|index| sample(&picture, index)).collect();
    let augmenter = Augmenter::new(32, AugmentOptions::default()).unwrap();
    let to = Preprocess::square(32);
    let batch = augmenter.batch(&samples, &to).unwrap();
    for (one, values) in samples.iter().zip(batch.chunks_exact(to.values())) {
        let mut want = vec![0.0; to.values()];
        to.normalize_into(&augmenter.run(one), &mut want).unwrap();
        assert_eq!(values, want);
    }
    assert!(augmenter.batch(&samples, &Preprocess::square(16)).is_err(), "another size");
}

#[test]
fn pictures_change_and_stay_visible() {
    let picture = drawing();
    let plain = picture.resize(64, 64, vljepa_data::Filter::Bicubic).unwrap().over([255; 3]);
    let augmenter = Augmenter::new(64, AugmentOptions::default()).unwrap();
    let mut total = 0.0;
    for index in 0..200 {
        let out = augmenter.run(&sample(&picture, index));
        total += distance(&out, &plain);
        let (low, high) = (out.data.iter().min().unwrap(), out.data.iter().max().unwrap());
        assert!(high - low > 25, "sample {index} shows nothing: {low} to {high}");
    }
    let mean = total / 200.0;
    assert!((25.0..120.0).contains(&mean), "mean change {mean}");
}

#[test]
fn one_option_at_a_time_does_what_it_says() {
    let picture = drawing();
    let run = |change: &dyn Fn(&mut AugmentOptions), index| {
        let mut options = AugmentOptions::none();
        change(&mut options);
        Augmenter::new(72, options).unwrap().run(&sample(&picture, index))
    };
    let at = |out: &Rgb8Image, x: usize, y: usize| -> [u8; 3] { out.data[(y * 72 + x) * 3..][..3].try_into().unwrap() };
    let grey = run(&|o| o.grey = 1.0, 0);
    assert!(grey.data.chunks_exact(3).all(|p| p[0].abs_diff(p[1]) <= 1 && p[1].abs_diff(p[2]) <= 1));
    let negative = run(&|o| o.invert = 1.0, 0);
    assert_eq!(at(&negative, 36, 45), [35, 235, 235]);
    assert_eq!(at(&negative, 0, 0), [255; 3], "the background is not the drawing's");
    let small = run(&|o| o.scale = [0.5, 0.5], 0);
    assert_eq!(at(&small, 36, 56), [255; 3]);
    assert_eq!(at(&small, 36, 44), [220, 20, 20]);
    let solid = run(&|o| o.backdrops = [1.0, 0.0, 0.0, 0.0], 1);
    assert_eq!(at(&solid, 0, 0), at(&solid, 71, 71));
    assert_ne!(at(&solid, 0, 0), [255; 3]);
    assert_eq!(at(&solid, 36, 45), [220, 20, 20]);
    let hole = run(&|o| (o.hole, o.hole_side) = (1.0, 0.4), 2);
    assert!(
        hole.data.iter().filter(|v| **v == 255).count()
            > picture.over([255; 3]).data.iter().filter(|v| **v == 255).count()
    );
    // A frame of outline colour grows the drawing.
    let white = |out: &Rgb8Image| out.data.chunks_exact(3).filter(|p| **p == [255; 3]).count();
    assert!(white(&run(&|o| o.outline = 1.0, 3)) < white(&run(&|_| (), 3)));
    for index in 0..20 {
        let turned = run(&|o| o.rotation = 10.0, index);
        assert_eq!(at(&turned, 36, 40), [220, 20, 20], "the centre stays");
    }
}

#[test]
fn colour_words_keep_their_colour() {
    let picture = drawing();
    let options = AugmentOptions { any_hue: 1.0, grey: 1.0, invert: 1.0, swap_channels: 1.0, ..AugmentOptions::none() };
    let augmenter = Augmenter::new(72, options).unwrap();
    for index in 0..50 {
        let bound = Sample { color_bound: true, ..sample(&picture, index) };
        let out = augmenter.run(&bound);
        let [red, green, blue] = out.data[(45 * 72 + 36) * 3..][..3] else { unreachable!() };
        assert!(red > 150 && green < 90 && blue < 90, "{red} {green} {blue}");
    }
    let set = EmojiVendors::open(EmojiVendors::default_dir()).unwrap();
    let concept = |key| set.concept(set.by_key(key).unwrap()).unwrap();
    assert!(concept("2764").color_bound(), "red heart");
    assert!(!concept("1f436").color_bound(), "dog face");
    assert!(concept("1f436").mirror_safe(), "dog face");
    for key in ["1f448", "27a1", "1f552", "1f524"] {
        assert!(!concept(key).mirror_safe(), "{}", concept(key).label);
    }
}

#[test]
fn options_out_of_range_are_named() {
    type Change = fn(&mut AugmentOptions);
    let changes: [(&str, Change); 6] = [
        ("scale", |o| o.scale = [0.0, 1.0]),
        ("scale", |o| o.scale = [1.0, 0.5]),
        ("grey", |o| o.grey = f32::NAN),
        ("backdrops", |o| o.backdrops = [0.5; 4]),
        ("hole", |o| o.hole = -0.1),
        ("blur_sigma", |o| o.blur_sigma = 9.0),
    ];
    for (name, change) in changes {
        let mut options = AugmentOptions::default();
        change(&mut options);
        let message = Augmenter::new(64, options).unwrap_err().to_string();
        assert!(message.contains(name), "{message}");
    }
    assert!(Augmenter::new(0, AugmentOptions::none()).is_err());
    let typo: Result<AugmentOptions, _> = serde_json::from_str("{\"rotatoin\": 5}");
    assert!(typo.unwrap_err().to_string().contains("rotatoin"));
}
