//! A picture file is read whole or refused: a part of one is never taken for all of it.

use vljepa_data::{DataError, Limits, Rgba8Image, decode_bytes, decode_file};

use crate::pictures::picture;

fn decode(bytes: &[u8]) -> Result<Rgba8Image, DataError> {
    decode_bytes("test.jpg", bytes, &Limits::default())
}

const KINDS: [&str; 7] = [
    "baseline.jpg",
    "grey.jpg",
    "restarts.jpg",
    "progressive.jpg",
    "progressive_444.jpg",
    "progressive_restarts.jpg",
    "cmyk.jpg",
];

#[test]
fn a_tenth_of_a_jpeg_is_refused() {
    let path = picture("cut.jpg");
    let error = decode_file(&path, &Limits::default()).unwrap_err();
    assert!(matches!(&error, DataError::Corrupt { format: "JPEG", .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("cut.jpg: broken or truncated JPEG: its data end at row "), "{message}");
    assert!(message.ends_with(" of 300"), "{message}");
}

/// Also where an end is put after the cut, as tools that mend such files do.
#[test]
fn a_jpeg_cut_anywhere_is_refused_or_has_every_pixel() {
    for name in KINDS {
        let whole = std::fs::read(picture(name)).unwrap();
        let want = decode(&whole).unwrap();
        let (mut refused, mut kept) = (0, 0);
        for length in 2..whole.len() {
            let cut = &whole[..length];
            for bytes in [cut, &[cut, b"\xff\xd9"].concat()] {
                match decode(bytes) {
                    Ok(picture) => {
                        // A progressive file may end after any scan, if it says so itself.
                        let says_so = name != "baseline.jpg" && bytes.len() > length;
                        assert!(picture == want || says_so, "{name} cut to {length} of {}", whole.len());
                        kept += usize::from(picture == want);
                    }
                    Err(error) => {
                        refused += 1;
                        assert!(!error.to_string().contains('\n'), "{error}");
                    }
                }
            }
        }
        assert!(kept > 0 && refused > whole.len(), "{name}: {kept} whole, {refused} refused");
    }
}

#[test]
fn a_jpeg_that_lacks_only_its_end_is_whole() {
    for name in KINDS {
        let whole = std::fs::read(picture(name)).unwrap();
        let want = decode(&whole).unwrap();
        let without = whole.strip_suffix(b"\xff\xd9").unwrap();
        assert!(decode(without).unwrap() == want, "{name}");
        // Nor does it matter what follows the end: other pictures, or zeros up to a block of a disk.
        for tail in [b"\0\0\0\0".as_slice(), b"\xff\xd8\xff\xe1\0\x04ab", b"\r\n"] {
            assert!(decode(&[&whole, tail].concat()).unwrap() == want, "{name}");
        }
    }
}

#[test]
fn a_jpeg_whose_middle_is_missing_is_refused() {
    let whole = std::fs::read(picture("restarts.jpg")).unwrap();
    let markers: Vec<usize> =
        (0..whole.len() - 1).filter(|at| matches!(whole[*at..], [0xff, 0xd0..=0xd7, ..])).collect();
    let (first, third) = (markers[0], markers[2]);
    let lost = [&whole[..first], &whole[third..]].concat();
    let error = decode(&lost).unwrap_err().to_string();
    assert!(error.contains("its data end at row "), "{error}");
    // Bits that are no code: decoders make up all that follows.
    let mut damaged = std::fs::read(picture("baseline.jpg")).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 8].copy_from_slice(&[0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0]);
    let error = decode(&damaged).unwrap_err().to_string();
    assert!(error.contains("its data make no sense at row ") && error.contains(" of 45"), "{error}");
}

#[test]
fn a_jpeg_of_another_coding_is_not_called_broken() {
    let mut arithmetic = std::fs::read(picture("baseline.jpg")).unwrap();
    let frame = arithmetic.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    arithmetic[frame + 1] = 0xc9;
    let error = decode(&arithmetic).unwrap_err();
    assert!(matches!(error, DataError::Unsupported { format: "JPEG", .. }), "{error}");
    let message = "test.jpg: this kind of JPEG is not read (arithmetic coding); convert it to PNG or to another kind";
    assert_eq!(error.to_string(), message);
}

#[test]
fn other_formats_cut_anywhere_are_refused_or_have_every_pixel() {
    let files = ["opaque.gif", "clear.gif", "clear.png", "clear.webp", "lossy.webp", "shades.webp"];
    let files = files.map(|name| std::fs::read(crate::video::fixture(name)).unwrap());
    let lossy_still = still_of(&files[4]);
    for (i, whole) in files.iter().chain([&lossy_still]).enumerate() {
        let want = decode(whole).unwrap();
        let mut refused = 0;
        for length in 1..whole.len() {
            match decode(&whole[..length]) {
                Ok(picture) => assert!(picture == want, "file {i} cut to {length} of {}", whole.len()),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 0, "file {i}");
    }
}

/// The first frame of an animated WebP as a file.
fn still_of(animated: &[u8]) -> Vec<u8> {
    let frame = animated.windows(4).position(|chunk| chunk == b"ANMF").unwrap();
    let size = u32::from_le_bytes(*animated[frame + 4..].first_chunk().unwrap()) as usize;
    let picture = &animated[frame + 24..frame + 8 + size];
    [b"RIFF".as_slice(), &(picture.len() as u32 + 4).to_le_bytes(), b"WEBP", picture].concat()
}
