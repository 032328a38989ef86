//! What a file is, by its structure; how much it may ask for; and what a folder holds besides.

use std::path::{Path, PathBuf};

use image::{ExtendedColorType, ImageEncoder, codecs::webp::WebPEncoder};
use vljepa_data::video::{VideoOptions, VideoReader, is_video};
use vljepa_data::{
    Crops, DataError, Limits, Media, PassedOver, Preprocess, Rgb8Image, Rgba8Image, decode_file, encode_png,
};
use vljepa_data::{find_media, find_media_counting};

/// A file of the fixtures.
pub fn picture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pictures").join(name)
}

fn frames(path: &Path) -> Result<Vec<Rgb8Image>, DataError> {
    let mut reader = VideoReader::open_with(path, &VideoOptions { ffmpeg: None, ..VideoOptions::default() })?;
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame()? {
        frames.push(frame.rgb);
    }
    Ok(frames)
}

#[test]
fn an_animation_is_told_by_its_chunks() {
    // Its acTL stands behind a long text.
    let late = picture("apng_late_actl.png");
    assert!(is_video(&late).unwrap() && Media::open(&late).unwrap().is_video());
    assert!(frames(&late).unwrap().len() > 1);
    // Its text speaks of acTL.
    let still = picture("still_text_actl.png");
    assert!(!is_video(&still).unwrap());
    let pixels = decode_file(&still, &Limits::default()).unwrap();
    assert_eq!(frames(&still).unwrap(), [pixels.over([255; 3])]);
}

/// A frame of one colour: place, size, what becomes of it, and its colour.
type Flat = ((u32, u32), (u32, u32), png::DisposeOp, [u16; 4]);

fn animated_png(depth: png::BitDepth, frames: &[Flat]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 4, 3);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(depth);
    encoder.set_animated(frames.len() as u32, 0).unwrap();
    encoder.set_frame_delay(1, 10).unwrap();
    let mut writer = encoder.write_header().unwrap();
    for ((left, top), (width, height), dispose, colour) in frames {
        writer.reset_frame_position().unwrap();
        writer.set_frame_dimension(*width, *height).unwrap();
        writer.set_frame_position(*left, *top).unwrap();
        writer.set_dispose_op(*dispose).unwrap();
        writer.set_blend_op(png::BlendOp::Over).unwrap();
        let pixel: Vec<u8> = match depth {
            png::BitDepth::Sixteen => colour.iter().flat_map(|value| value.to_be_bytes()).collect(),
            _ => colour.iter().map(|value| (value >> 8) as u8).collect(),
        };
        writer.write_image_data(&pixel.repeat((width * height) as usize)).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

#[test]
fn frames_of_a_png_are_laid_over_each_other_at_any_depth() {
    use png::DisposeOp::{Background, None, Previous};
    let (red, green, blue) = ([0xffff, 0, 0x0102, 0xffff], [0, 0xffff, 0, 0xffff], [0, 0, 0xffff, 0xffff]);
    let frames_of = [
        ((0, 0), (4, 3), None, red),
        ((1, 1), (2, 1), Background, green),
        ((0, 0), (4, 1), Previous, blue),
        ((3, 2), (1, 1), None, green),
    ];
    let dir = tempfile::tempdir().unwrap();
    for depth in [png::BitDepth::Eight, png::BitDepth::Sixteen] {
        let path = dir.path().join("a.png");
        std::fs::write(&path, animated_png(depth, &frames_of)).unwrap();
        assert!(is_video(&path).unwrap());
        let shown: Vec<String> = frames(&path)
            .unwrap()
            .iter()
            .map(|frame| {
                let letter = |pixel: &[u8]| match pixel {
                    [255, 0, 1] => 'r',
                    [0, 255, 0] => 'g',
                    [0, 0, 255] => 'b',
                    [255, 255, 255] => '.',
                    other => panic!("{other:?}"),
                };
                let rows = frame.data.chunks_exact(12);
                rows.map(|row| row.chunks_exact(3).map(letter).collect::<String>()).collect::<Vec<_>>().join(" ")
            })
            .collect();
        assert_eq!(shown, ["rrrr rrrr rrrr", "rrrr rggr rrrr", "bbbb r..r rrrr", "rrrr r..r rrrg"], "{depth:?}");
        let first = decode_file(&path, &Limits::default()).unwrap().over([255; 3]);
        assert_eq!(frames(&path).unwrap()[0], first);
        let mut reader = VideoReader::open(&path).unwrap();
        assert_eq!(reader.times().unwrap(), [0.0, 0.1, 0.2, 0.3].map(|time: f64| time));
        reader.seek(2).unwrap();
        assert_eq!(reader.next_frame().unwrap().unwrap().rgb, frames(&path).unwrap()[2]);
    }
}

#[test]
fn pictures_of_other_formats_are_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    for (name, head, format) in [
        ("a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic\0\0\0\x08mdat".as_slice(), "HEIC"),
        ("a.mp4", b"\0\0\0\x18ftypavif\0\0\0\0mif1avif\0\0\0\x08mdat", "AVIF"),
        ("a.jpg", b"\xff\x0a\xfa\x7f\x01\x90\x08", "JPEG XL"),
        ("a.png", b"II*\0\x08\0\0\0\0\0", "TIFF"),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, head).unwrap();
        assert!(!is_video(&path).unwrap(), "{name}");
        let error = decode_file(&path, &Limits::default()).unwrap_err();
        assert!(matches!(error, DataError::ForeignPicture { format: found, .. } if found == format), "{error}");
        let want = format!("{name}: {format} pictures are not read; convert it to PNG, JPEG, GIF or WebP");
        assert!(error.to_string().ends_with(&want), "{error}");
        assert_eq!(frames(&path).unwrap_err().to_string(), error.to_string());
    }
}

#[test]
fn passed_over_files_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.jfif", "b.JPE", "c.apng", "d.png", "e.heic", "f.HEIC", "g.tif", "h.wmv", "i.txt", "j", ".k.heic"] {
        std::fs::write(dir.path().join(name), b"x").unwrap();
    }
    std::fs::create_dir(dir.path().join("folder.heic")).unwrap();
    let mut passed = PassedOver::new();
    let found = find_media_counting(dir.path(), &mut passed).unwrap();
    assert_eq!(found, ["a.jfif", "b.JPE", "c.apng", "d.png"].map(|name| dir.path().join(name)));
    assert_eq!(passed, PassedOver::from([("heic", 2), ("tif", 1), ("wmv", 1)]));
    assert_eq!(find_media(dir.path()).unwrap(), found);
    // What is named itself is not passed over.
    let mut passed = PassedOver::new();
    let named = dir.path().join("e.heic");
    assert_eq!(find_media_counting(&named, &mut passed).unwrap(), [named]);
    assert!(passed.is_empty());
}

/// An animation of frames of one pixel on a canvas.
fn animated_webp(side: u32, frames: usize) -> Vec<u8> {
    let mut pixel = Vec::new();
    WebPEncoder::new_lossless(&mut pixel).write_image(&[9, 8, 7, 255], 1, 1, ExtendedColorType::Rgba8).unwrap();
    let frame = &pixel[12..];
    let mut body = b"WEBPVP8X\x0a\0\0\0\x02\0\0\0".to_vec();
    body.extend(&(side - 1).to_le_bytes()[..3]);
    body.extend(&(side - 1).to_le_bytes()[..3]);
    body.extend(b"ANIM\x06\0\0\0\0\0\0\0\0\0");
    for _ in 0..frames {
        body.extend(b"ANMF");
        body.extend((16 + frame.len() as u32).to_le_bytes());
        body.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 0]);
        body.extend(frame);
    }
    [b"RIFF".as_slice(), &(body.len() as u32).to_le_bytes(), &body].concat()
}

/// The same as GIF, whose frames repeat one picture of one pixel.
fn animated_gif(side: u16, frames: usize) -> Vec<u8> {
    let mut bytes = b"GIF89a".to_vec();
    bytes.extend([side.to_le_bytes(), side.to_le_bytes()].concat());
    bytes.extend([0x80, 0, 0, 0, 0, 0, 255, 255, 255]);
    for _ in 0..frames {
        bytes.extend(b"\x21\xf9\x04\0\x0a\0\0\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0");
    }
    bytes.push(0x3b);
    bytes
}

/// The same as PNG, after a first frame that is as large as the canvas.
fn animated_png_of(side: u32, frames: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    encoder.set_animated(frames as u32, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&vec![0; side.div_ceil(8) as usize * side as usize]).unwrap();
    writer.set_frame_dimension(1, 1).unwrap();
    for _ in 1..frames {
        writer.write_image_data(&[0]).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

#[test]
fn many_large_frames_in_few_bytes_are_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let bombs = [animated_webp(11_585, 60), animated_gif(11_000, 60), animated_png_of(11_000, 60)];
    for (name, bytes) in ["bomb.webp", "bomb.gif", "bomb.png"].into_iter().zip(bombs) {
        let error = VideoReader::open(write(name, &bytes)).unwrap_err();
        assert!(matches!(error, DataError::TooManyFrames { most: 8..=10, .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    // The same number of frames on a small canvas.
    let small = [animated_webp(100, 60), animated_gif(100, 60), animated_png_of(100, 60)];
    for (name, bytes) in ["good.webp", "good.gif", "good.png"].into_iter().zip(small) {
        let frames = frames(&write(name, &bytes)).unwrap();
        assert_eq!(frames.len(), 60, "{name}");
        assert_eq!((frames[59].width, frames[59].height), (100, 100), "{name}");
    }
}

#[test]
fn a_film_too_large_for_memory_is_not_called_broken() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.gif");
    std::fs::write(&path, animated_gif(100, 1)).unwrap();
    let limits = Limits { max_bytes: 100 * 100 * 4, ..Limits::default() };
    let options = VideoOptions { limits, ..VideoOptions::default() };
    let error = VideoReader::open_with(&path, &options).and_then(|mut reader| reader.next_frame()).unwrap_err();
    assert!(matches!(error, DataError::OverLimit { format: "GIF", max_bytes: 40_000, .. }), "{error}");
}

#[test]
fn a_picture_much_longer_than_wide_is_read_as_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("needle.png");
    let levels = |x: u32| [(x / 12) as u8, 10, 20, 255];
    let needle = Rgba8Image::new(3_000, 1, (0..3_000).flat_map(levels).collect()).unwrap();
    std::fs::write(&path, encode_png(&needle).unwrap()).unwrap();
    let media = Media::open(&path).unwrap();
    for pre in [Preprocess::vjepa2(256), Preprocess::square(32)] {
        let numbers = media.numbers(&pre, Crops::Center, &Limits::default()).unwrap();
        assert_eq!(numbers, pre.run(&needle).unwrap());
    }
    // The middle of it, enlarged: 292 columns stand for each.
    let square = Preprocess::vjepa2(256).square_crop(&needle).unwrap();
    assert!(square.data.chunks_exact(3).all(|pixel| (124..=125).contains(&pixel[0]) && pixel[1..] == [10, 20]));
    // What cannot be made of any picture names the file too.
    let error = media.numbers(&Preprocess::square(0), Crops::Center, &Limits::default()).unwrap_err().to_string();
    assert!(error.contains("needle.png: resize: target 0x0"), "{error}");
}

#[test]
fn numbers_are_those_of_the_picture() {
    let pre = Preprocess::vjepa2(64);
    let files =
        ["pictures/baseline.jpg", "pictures/grey.jpg", "pictures/cmyk.jpg", "video/clear.png", "video/opaque.gif"];
    for name in files {
        let media = Media::open(picture("..").join(name)).unwrap();
        let by_picture = pre.run(&media.picture(&Limits::default()).unwrap()).unwrap();
        assert_eq!(media.numbers(&pre, Crops::Center, &Limits::default()).unwrap(), by_picture, "{name}");
    }
    // Sixteen bits a channel, with and without alpha.
    let dir = tempfile::tempdir().unwrap();
    let noise = |i: u32| (i.wrapping_mul(2_654_435_761) >> 13) as u16;
    let deep =
        image::ImageBuffer::<image::Rgba<u16>, _>::from_raw(90, 70, (0..90 * 70 * 4).map(noise).collect::<Vec<_>>());
    let deep = image::DynamicImage::ImageRgba16(deep.unwrap());
    let kinds = [deep.clone(), deep.to_rgb16().into(), deep.to_luma16().into(), deep.to_luma_alpha8().into()];
    for (i, kind) in kinds.into_iter().enumerate() {
        let path = dir.path().join(format!("{i}.png"));
        kind.save(&path).unwrap();
        let media = Media::open(&path).unwrap();
        let by_picture = pre.run(&media.picture(&Limits::default()).unwrap()).unwrap();
        assert_eq!(media.numbers(&pre, Crops::Center, &Limits::default()).unwrap(), by_picture, "{i}");
    }
}
