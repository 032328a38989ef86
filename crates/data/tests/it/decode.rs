//! Good pictures decode, bad ones are named in one line.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, RgbaImage};
use vljepa_data::{DataError, Limits, decode_bytes, decode_file};

fn picture() -> DynamicImage {
    // Left half red, right half blue, lower left corner transparent.
    let color = |x: u32, y: u32| match (x < 20, y < 16) {
        (true, true) => [200, 30, 30, 255],
        (true, false) => [0, 0, 0, 0],
        _ => [30, 30, 200, 255],
    };
    RgbaImage::from_fn(40, 32, |x, y| image::Rgba(color(x, y))).into()
}

fn encode(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let picture = match format {
        ImageFormat::Jpeg => DynamicImage::ImageRgb8(picture().into_rgb8()),
        _ => picture(),
    };
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

const FORMATS: [ImageFormat; 4] = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP];

fn decode(bytes: &[u8]) -> Result<vljepa_data::Rgba8Image, DataError> {
    decode_bytes("test.bin", bytes, &Limits::default())
}

fn assert_one_line(error: &DataError) {
    let message = error.to_string();
    assert!(message.contains("test.bin") && !message.contains('\n'), "{message}");
}

#[test]
fn every_format_is_told_by_its_content() {
    for format in FORMATS {
        let out = decode(&encode(format)).unwrap();
        assert_eq!((out.width, out.height), (40, 32), "{format:?}");
        let left = &out.data[(8 * 40 + 5) * 4..][..4];
        let right = &out.data[(8 * 40 + 35) * 4..][..4];
        assert!(left[0] > 150 && left[2] < 90 && left[3] == 255, "{format:?}: {left:?}");
        assert!(right[2] > 150 && right[0] < 90 && right[3] == 255, "{format:?}: {right:?}");
    }
    let corner = (31 * 40 + 2) * 4;
    assert_eq!(decode(&encode(ImageFormat::Png)).unwrap().data[corner + 3], 0, "alpha is kept");
}

#[test]
fn exif_orientation_is_honoured() {
    let jpeg = encode(ImageFormat::Jpeg);
    // APP1: EXIF, big-endian TIFF, one entry: orientation 6, "turn a quarter clockwise to see it upright".
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
    let length = (exif.len() + 2) as u16;
    let mut bytes = jpeg[..2].to_vec();
    bytes.extend([0xff, 0xe1]);
    bytes.extend(length.to_be_bytes());
    bytes.append(&mut exif);
    bytes.extend(&jpeg[2..]);
    let out = decode(&bytes).unwrap();
    assert_eq!((out.width, out.height), (32, 40));
    let top = &out.data[(5 * 32 + 24) * 4..][..3];
    let bottom = &out.data[(35 * 32 + 24) * 4..][..3];
    assert!(top[0] > 150 && bottom[2] > 150, "{top:?} {bottom:?}");
}

#[test]
fn empty_foreign_and_missing_files_have_their_own_errors() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits::default();
    assert!(matches!(decode(b""), Err(DataError::Empty(_))));
    for text in [b"hello world, this is no picture".as_slice(), b"P", b"%PDF-1.7\n", b"BM\0\0\0\0\0\0\0\0\0\0\0\0\0\0"]
    {
        let error = decode(text).unwrap_err();
        assert!(matches!(error, DataError::NotAPicture(_)), "{error}");
        assert_one_line(&error);
    }
    let missing = dir.path().join("none.png");
    assert!(matches!(decode_file(&missing, &limits), Err(DataError::Missing(path)) if path == missing));
    assert!(matches!(decode_file(dir.path(), &limits), Err(DataError::NotAPicture(_))));
    let named = dir.path().join("wrong-name.gif");
    std::fs::write(&named, encode(ImageFormat::Png)).unwrap();
    assert_eq!(decode_file(&named, &limits).unwrap().width, 40);
}

#[test]
fn every_truncation_is_an_error_or_a_whole_picture_and_never_a_panic() {
    for format in FORMATS {
        let whole = encode(format);
        let mut refused = 0;
        for length in (1..whole.len()).step_by(7) {
            match decode(&whole[..length]) {
                Ok(out) => assert_eq!((out.width, out.height), (40, 32), "{format:?} cut to {length}"),
                Err(error) => {
                    assert_one_line(&error);
                    refused += 1;
                }
            }
        }
        assert!(refused > 0, "{format:?}");
        let half = decode(&whole[..whole.len() / 2]);
        assert!(matches!(half, Err(DataError::Corrupt { .. })), "{format:?} cut in half: {:?}", half.map(|p| p.width));
    }
}

#[test]
fn flipped_bits_never_panic() {
    for format in FORMATS {
        let whole = encode(format);
        for at in (0..whole.len()).step_by(3) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            if let Err(error) = decode(&bytes) {
                assert_one_line(&error);
            }
        }
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[test]
fn lying_headers_allocate_nothing() {
    let mut png = encode(ImageFormat::Png);
    png[16..20].copy_from_slice(&1_000_000u32.to_be_bytes());
    png[20..24].copy_from_slice(&1_000_000u32.to_be_bytes());
    let crc = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    let mut gif = encode(ImageFormat::Gif);
    gif[6..10].copy_from_slice(&[0xff; 4]);
    let mut jpeg = encode(ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
    for bytes in [png, gif, jpeg] {
        let error = decode(&bytes).unwrap_err();
        assert!(matches!(error, DataError::TooLarge { .. }), "{error}");
        assert_one_line(&error);
    }
}

#[test]
fn limits_are_kept() {
    let png = encode(ImageFormat::Png);
    let limits = |max_side, max_bytes| Limits { max_side, max_bytes };
    assert!(decode_bytes("a", &png, &limits(40, 1 << 20)).is_ok());
    assert!(matches!(decode_bytes("a", &png, &limits(39, 1 << 20)), Err(DataError::TooLarge { width: 40, .. })));
    assert!(matches!(decode_bytes("a", &png, &limits(40, 40 * 32 * 4 - 1)), Err(DataError::TooLarge { .. })));
    for bytes in [0, 1, 40, 1000] {
        let error = decode_bytes("a", &png, &limits(40, bytes)).unwrap_err();
        assert!(matches!(error, DataError::TooLarge { .. } | DataError::OverLimit { .. }), "{bytes}: {error}");
    }
}

/// A PNG with a colour profile of a megabyte in a kilobyte.
fn with_profile(png: &[u8]) -> Vec<u8> {
    let mut deflated = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut deflated, &vec![0; 1 << 20]).unwrap();
    let body = [b"iCCPp\0\0".as_slice(), &deflated.finish().unwrap()].concat();
    let chunk = [&(body.len() as u32 - 4).to_be_bytes()[..], &body, &crc32(&body).to_be_bytes()].concat();
    [&png[..33], &chunk, &png[33..]].concat()
}

/// Whatever the limit: a picture that is whole is read, or refused for its size.
#[test]
fn a_whole_picture_above_the_limit_is_not_called_broken() {
    let fixture = |name: &str| {
        std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
    };
    let deep = |format| {
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::ImageRgba16(picture().into_rgba16()).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    let mut pictures: Vec<Vec<u8>> = FORMATS.into_iter().map(encode).collect();
    pictures.extend([deep(ImageFormat::Png), with_profile(&encode(ImageFormat::Png))]);
    pictures
        .extend(["pictures/progressive.jpg", "pictures/cmyk.jpg", "video/lossy.webp", "video/clear.png"].map(fixture));
    for (i, bytes) in pictures.iter().enumerate() {
        let (mut read, mut refused) = (0, 0);
        for step in 0..160 {
            let max_bytes = (1_u64 << (step / 8)) * (8 + step % 8) / 8;
            match decode_bytes("a", bytes, &Limits { max_bytes, ..Limits::default() }) {
                Ok(_) => read += 1,
                Err(DataError::TooLarge { .. } | DataError::OverLimit { .. }) => refused += 1,
                Err(error) => panic!("picture {i} within {max_bytes} bytes: {error}"),
            }
        }
        assert!(read > 0 && refused > 0, "picture {i}: {read} read, {refused} refused");
    }
}

#[test]
fn a_jpeg_file_of_any_size_is_not_held_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.jpg");
    std::fs::write(&path, encode(ImageFormat::Jpeg)).unwrap();
    // A hole on the disk.
    std::fs::File::options().write(true).open(&path).unwrap().set_len(61 << 30).unwrap();
    let error = decode_file(&path, &Limits::default()).unwrap_err();
    assert!(matches!(error, DataError::OverLimit { format: "JPEG", max_bytes: 268_435_456, .. }), "{error}");
    assert!(error.to_string().contains("large.jpg"), "{error}");
}
