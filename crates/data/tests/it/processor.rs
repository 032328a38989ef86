//! Processor configurations of published encoders.

use vljepa_data::{DataError, Filter, IMAGENET, Preprocess, ResizeRule, Rgb8Image};

fn parse(text: &str) -> Preprocess {
    Preprocess::from_processor_json("config", text).unwrap()
}

fn refused(text: &str) -> String {
    match Preprocess::from_processor_json("config", text) {
        Err(error @ DataError::Content { .. }) => error.to_string(),
        other => panic!("{text}: {other:?}"),
    }
}

/// As the V-JEPA 2 checkpoints carry it; `size` is what another crop would need, and is ignored by their processor.
const VJEPA2: &str = r#"{
  "crop_size": {"height": 384, "width": 384}, "data_format": "channels_first", "default_to_square": false,
  "device": null, "do_center_crop": true, "do_convert_rgb": null, "do_normalize": true, "do_pad": null,
  "do_rescale": true, "do_resize": true, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
  "input_data_format": null, "resample": 2, "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 292},
  "size_divisor": null, "video_processor_type": "VJEPA2VideoProcessor"
}"#;

#[test]
fn vjepa2() {
    assert_eq!(parse(VJEPA2), Preprocess::vjepa2(384));
    assert_eq!(parse(r#"{"video_processor_type": "VJEPA2VideoProcessor"}"#), Preprocess::vjepa2(256));
    assert_eq!(parse(&format!(r#"{{"video_processor": {VJEPA2}, "processor_class": "X"}}"#)), Preprocess::vjepa2(384));
}

#[test]
fn clip_siglip_and_vit() {
    let clip = parse(
        r#"{"crop_size": 224, "do_center_crop": true, "do_normalize": true, "do_resize": true, "resample": 3, "size": 224,
            "feature_extractor_type": "CLIPFeatureExtractor",
            "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}"#,
    );
    assert_eq!((clip.size, clip.resize, clip.filter), (224, ResizeRule::ShortestSide(224), Filter::Bicubic));
    assert_eq!(clip.mean, [0.48145466, 0.4578275, 0.40821073]);
    let siglip = parse(
        r#"{"do_normalize": true, "do_rescale": true, "do_resize": true, "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5], "image_processor_type": "SiglipImageProcessor", "resample": 3,
            "rescale_factor": 0.00392156862745098, "size": {"height": 384, "width": 384}}"#,
    );
    assert_eq!(siglip, Preprocess::square(384));
    let dino = parse(
        r#"{"crop_size": {"height": 224, "width": 224}, "size": {"shortest_edge": 256}, "resample": 2,
            "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}"#,
    );
    assert_eq!((dino.size, dino.resize, dino.mean), (224, ResizeRule::ShortestSide(256), IMAGENET.0));
}

#[test]
fn steps_that_are_left_out() {
    let bytes = Rgb8Image::new(2, 2, (0..12).map(|v| v * 20).collect()).unwrap();
    let run = |text: &str| parse(text).clip(std::slice::from_ref(&bytes)).unwrap();
    let common = r#""size": {"height": 2, "width": 2}"#;
    let near = |got: Vec<f32>, want: fn(f32) -> f32| {
        // Pixel 1, channel 0 is 60; plane 0 is 0, 60, 120, 180.
        for (got, value) in got[..4].iter().zip([0.0, 60.0, 120.0, 180.0]) {
            assert!((got - want(value)).abs() <= 1e-5 * want(value).abs().max(1.0), "{got}, {}", want(value));
        }
    };
    near(run(&format!(r#"{{{common}, "do_normalize": false}}"#)), |v| v / 255.0);
    near(run(&format!(r#"{{{common}, "do_normalize": false, "do_rescale": false}}"#)), |v| v);
    near(run(&format!(r#"{{{common}, "do_rescale": false, "image_mean": 127.5, "image_std": 127.5}}"#)), |v| {
        v / 127.5 - 1.0
    });
    near(run(&format!(r#"{{{common}, "rescale_factor": 0.0078431372549, "image_mean": 1, "image_std": 1}}"#)), |v| {
        v / 127.5 - 1.0
    });
}

#[test]
fn crops_without_scaling_are_padded_with_black() {
    let crop = parse(r#"{"do_resize": false, "size": {"shortest_edge": 9}, "do_center_crop": true, "crop_size": 5}"#);
    assert_eq!((crop.size, crop.resize), (5, ResizeRule::Crop));
    let picture = Rgb8Image::new(2, 8, [9; 48].to_vec()).unwrap();
    let out = crop.square_crop_rgb(&picture).unwrap();
    // Three columns are missing: one before, two after.
    let row: Vec<u8> = out.data[..15].to_vec();
    assert_eq!(row, [0, 0, 0, 9, 9, 9, 9, 9, 9, 0, 0, 0, 0, 0, 0]);
    assert_eq!(out.data, row.repeat(5));
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    for (text, word) in [
        ("[]", "object"),
        ("{", "EOF"),
        ("{}", "size"),
        (r#"{"size": {"height": 224, "width": 256}}"#, "only squares"),
        (r#"{"size": {"shortest_edge": 224, "longest_edge": 512}}"#, "longest edge"),
        (r#"{"size": {"shortest_edge": 224}, "do_center_crop": false, "crop_size": 224}"#, "not be square"),
        (r#"{"size": {"shortest_edge": 200}, "crop_size": 224}"#, "200"),
        (r#"{"size": {"height": 0, "width": 0}}"#, "size"),
        (r#"{"size": 224, "crop_size": 224, "resample": 1}"#, "resample"),
        (r#"{"size": 224, "crop_size": 224, "image_mean": [0.5]}"#, "image_mean"),
        (r#"{"size": 224, "crop_size": 224, "image_std": 0}"#, "image_std"),
        (r#"{"size": 224, "crop_size": 224, "do_normalize": "yes"}"#, "do_normalize"),
        (r#"{"do_center_crop": true, "size": {"height": 4, "width": 4}}"#, "crop_size is missing"),
    ] {
        let message = refused(text);
        assert!(message.starts_with("config: ") && message.contains(word), "{text}: {message}");
    }
    assert!(matches!(Preprocess::from_processor_file("no/such.json"), Err(DataError::Missing(_))));
}

#[test]
fn clips_are_their_frames() {
    let frame = |seed: u32| Rgb8Image::new(40, 30, (0..3600).map(|i| (i * seed % 251) as u8).collect()).unwrap();
    let frames = [frame(3), frame(7), frame(11)];
    let preprocess = Preprocess::vjepa2(16);
    let clip = preprocess.clip(&frames).unwrap();
    let single: Vec<f32> = frames.iter().flat_map(|frame| preprocess.run(&frame.opaque()).unwrap()).collect();
    assert_eq!(clip.len(), 3 * 3 * 16 * 16);
    assert_eq!(clip, single);
}
