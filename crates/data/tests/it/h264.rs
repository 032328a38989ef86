//! H.264 whose headers lie: each is refused at once, with the field, its value and its limit.

use std::path::Path;
use std::time::{Duration, Instant};

use vljepa_data::DataError;
use vljepa_data::video::{VideoOptions, VideoReader};

use crate::video::fixture;

/// Reads a file to its end, without `ffmpeg`.
fn read(path: &Path) -> Result<usize, DataError> {
    let mut reader = VideoReader::open_with(path, &VideoOptions { ffmpeg: None, ..VideoOptions::default() })?;
    let mut frames = 0;
    while reader.next_frame()?.is_some() {
        frames += 1;
    }
    Ok(frames)
}

/// Reads bytes as a file, and asserts that they are refused in words with `expected` in them.
fn refused(bytes: &[u8], expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    std::fs::write(&path, bytes).unwrap();
    let start = Instant::now();
    let text = read(&path).expect_err(expected).to_string();
    assert!(start.elapsed() < Duration::from_secs(2), "{expected}: {:?}", start.elapsed());
    assert!(text.contains(expected) && text.contains("clip.mp4") && !text.contains('\n'), "{expected}: {text}");
}

/// The fields of a sequence parameter set up to its usability information, by name: bits `u(n)`, or `ue(v)` where 0.
struct Set {
    start: usize,
    length: usize,
    fields: Vec<(&'static str, u32, u32)>,
}

impl Set {
    /// The first one of a file.
    fn of(file: &[u8]) -> Self {
        let avcc = file.windows(4).position(|kind| kind == b"avcC").unwrap() + 4;
        let length = usize::from(u16::from_be_bytes([file[avcc + 6], file[avcc + 7]]));
        // After the header of the NAL unit.
        let (start, length) = (avcc + 9, length - 1);
        let mut payload = Vec::new();
        for byte in &file[start..start + length] {
            if !(*byte == 3 && payload.ends_with(&[0, 0])) {
                payload.push(*byte);
            }
        }
        let mut at = 0;
        let mut bit = || {
            at += 1;
            u32::from(payload[(at - 1) / 8] >> (7 - (at - 1) % 8) & 1)
        };
        let mut fields = Vec::new();
        let mut take = |name, width: u32| {
            let value = if width > 0 {
                (0..width).fold(0, |value, _| value << 1 | bit())
            } else {
                let zeros = std::iter::from_fn(|| (bit() == 0).then_some(())).count();
                (0..zeros).fold(1, |value, _| value << 1 | bit()) - 1
            };
            fields.push((name, width, value));
            value
        };
        for (name, width) in [("profile_idc", 8), ("constraint_set_flags", 8), ("level_idc", 8)] {
            take(name, width);
        }
        for name in ["seq_parameter_set_id", "chroma_format_idc", "bit_depth_luma_minus8", "bit_depth_chroma_minus8"] {
            take(name, 0);
        }
        take("qpprime_y_zero_transform_bypass_flag", 1);
        assert_eq!(take("seq_scaling_matrix_present_flag", 1), 0);
        take("log2_max_frame_num_minus4", 0);
        assert_eq!(take("pic_order_cnt_type", 0), 0);
        take("log2_max_pic_order_cnt_lsb_minus4", 0);
        take("max_num_ref_frames", 0);
        take("gaps_in_frame_num_value_allowed_flag", 1);
        take("pic_width_in_mbs_minus1", 0);
        take("pic_height_in_map_units_minus1", 0);
        if take("frame_mbs_only_flag", 1) == 0 {
            take("mb_adaptive_frame_field_flag", 1);
        }
        take("direct_8x8_inference_flag", 1);
        if take("frame_cropping_flag", 1) == 1 {
            for name in ["left", "right", "top", "bottom"] {
                take(name, 0);
            }
        }
        Self { start, length, fields }
    }

    fn set(&mut self, name: &str, value: u32) -> &mut Self {
        self.fields.iter_mut().find(|field| field.0 == name).unwrap().2 = value;
        self
    }

    /// Puts `more` fields behind one.
    fn insert(&mut self, name: &str, more: &[(&'static str, u32, u32)]) -> &mut Self {
        let at = self.fields.iter().position(|field| field.0 == name).unwrap() + 1;
        self.fields.splice(at..at, more.iter().copied());
        self
    }

    /// The file with this set in the place of its own, without usability information.
    fn put_into(&self, mut file: Vec<u8>) -> Vec<u8> {
        let mut bits = String::new();
        for (_, width, value) in &self.fields {
            let code = u64::from(*value) + if *width == 0 { 1 } else { 0 };
            let zeros = if *width == 0 { code.ilog2() as usize } else { 0 };
            let digits = if *width == 0 { zeros + 1 } else { *width as usize };
            bits += &format!("{}{code:0digits$b}", "0".repeat(zeros));
        }
        bits += "01";
        let bytes: Vec<u8> = bits
            .as_bytes()
            .chunks(8)
            .map(|byte| (0..8).fold(0, |sum, i| sum << 1 | byte.get(i).map_or(0, |digit| digit & 1)))
            .collect();
        assert!(bytes.len() <= self.length, "{} bytes into {}", bytes.len(), self.length);
        let place = &mut file[self.start..self.start + self.length];
        place.fill(0);
        place[..bytes.len()].copy_from_slice(&bytes);
        file
    }
}

#[test]
fn a_set_that_is_written_anew_is_read_as_before() {
    for (name, frames) in [("bframes.mp4", 24), ("interlaced.mp4", 10)] {
        let whole = std::fs::read(fixture(name)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, Set::of(&whole).put_into(whole.clone())).unwrap();
        assert_eq!(read(&path).unwrap(), frames, "{name}");
    }
}

#[test]
fn sequence_parameters_beyond_the_standard() {
    let section = "(ITU-T H.264, 7.4.2.1.1)";
    for name in ["bframes.mp4", "interlaced.mp4"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        for (field, value, allowed) in [
            ("seq_parameter_set_id", 32, "0 to 31"),
            ("chroma_format_idc", 4, "0 to 3"),
            ("bit_depth_luma_minus8", 7, "0 to 6"),
            ("bit_depth_chroma_minus8", 1000, "0 to 6"),
            ("log2_max_frame_num_minus4", 13, "0 to 12"),
            ("log2_max_frame_num_minus4", 27, "0 to 12"),
            ("log2_max_pic_order_cnt_lsb_minus4", 13, "0 to 12"),
            ("log2_max_pic_order_cnt_lsb_minus4", 252, "0 to 12"),
            ("max_num_ref_frames", 17, "0 to 16"),
            ("max_num_ref_frames", 1 << 20, "0 to 16"),
        ] {
            let bytes = Set::of(&whole).set(field, value).put_into(whole.clone());
            refused(&bytes, &format!("{field} is {value}, the standard allows {allowed} {section}"));
        }
        // Numbers without end and references without end, as they were found together.
        let mut set = Set::of(&whole);
        set.set("log2_max_frame_num_minus4", 27).set("max_num_ref_frames", 60_000);
        refused(&set.put_into(whole.clone()), "log2_max_frame_num_minus4 is 27");

        let mut set = Set::of(&whole);
        set.set("pic_order_cnt_type", 1).set("log2_max_pic_order_cnt_lsb_minus4", 0);
        let cycle = [("", 0, 0), ("", 0, 0), ("num_ref_frames_in_pic_order_cnt_cycle", 0, 256)];
        // "1" is a flag that is set as well as the code of 0.
        let bytes = set.insert("log2_max_pic_order_cnt_lsb_minus4", &cycle).put_into(whole.clone());
        refused(
            &bytes,
            &format!("num_ref_frames_in_pic_order_cnt_cycle is 256, the standard allows 0 to 255 {section}"),
        );
    }
}

#[test]
fn pictures_too_large_for_their_references() {
    let whole = std::fs::read(fixture("bframes.mp4")).unwrap();
    let mut set = Set::of(&whole);
    // 8,192 x 4,096: level 6.2 holds five.
    set.set("pic_width_in_mbs_minus1", 511).set("pic_height_in_map_units_minus1", 255).set("max_num_ref_frames", 6);
    refused(
        &set.put_into(whole.clone()),
        "max_num_ref_frames is 6, no level allows more than 5 for pictures of 131072 macroblocks (ITU-T H.264, A.3.1",
    );
    let mut set = Set::of(&whole);
    set.set("bottom", 24);
    refused(&set.put_into(whole), "frame_crop_bottom_offset is 24, the standard allows 0 to 23");
}

/// Four bytes of a slice, which made eight kilobytes take nine gigabytes.
#[test]
fn references_of_a_slice_without_end() {
    let mut bytes = std::fs::read(fixture("interlaced.mp4")).unwrap();
    bytes[4307..4311].copy_from_slice(&[0, 0, 0, 0o200]);
    refused(&bytes, "_active_minus1 is ");
}

#[test]
fn picture_parameters_beyond_the_standard() {
    let mut bytes = std::fs::read(fixture("bframes.mp4")).unwrap();
    let sps = Set::of(&bytes);
    // After the count of picture sets, the length and the header of the first.
    let start = sps.start + sps.length + 1 + 2 + 1;
    bytes[start..start + 2].copy_from_slice(&[0, 0b1000_0000]);
    refused(&bytes, "pic_parameter_set_id is ");
    // ue(0), ue(0), two flags, ue(0), and ue(32).
    bytes[start..start + 3].copy_from_slice(&[0b1111_1000, 0b0010_0001, 0b1000_0000]);
    refused(&bytes, "num_ref_idx_l0_default_active_minus1 is 32, the standard allows 0 to 31 (ITU-T H.264, 7.4.2.2)");
}

/// A sample that is said to be far larger than its picture can be.
#[test]
fn a_sample_larger_than_its_picture() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    let mut bytes = std::fs::read(fixture("one.mp4")).unwrap();
    let stsz = bytes.windows(4).position(|kind| kind == b"stsz").unwrap() + 4;
    bytes[stsz + 4..stsz + 8].copy_from_slice(&(100_u32 << 20).to_be_bytes());
    std::fs::write(&path, &bytes).unwrap();
    // A hole on the disk, so that the index agrees with the length.
    std::fs::File::options().write(true).open(&path).unwrap().set_len(200 << 20).unwrap();
    let text = read(&path).unwrap_err().to_string();
    assert!(text.contains("104857600 bytes, a picture of its size has 1051648 at most"), "{text}");
}

/// A sample of many small units, within the bytes that a sample may have.
#[test]
fn a_sample_of_very_many_units() {
    for (units, expected) in [(65_537, "it has 65537 NAL units, at most 65536 are read"), (65_536, "")] {
        let mut bytes = std::fs::read(fixture("one.mp4")).unwrap();
        let table = |kind: &[u8]| bytes.windows(4).position(|found| found == kind).unwrap() + 4;
        let (sizes, chunks) = (table(b"stsz"), table(b"stco"));
        // Access unit delimiters, in a box that players pass over.
        let sample = b"\0\0\0\x01\x09".repeat(units);
        let place = bytes.len() as u32 + 8;
        bytes[sizes + 4..sizes + 8].copy_from_slice(&(sample.len() as u32).to_be_bytes());
        bytes[chunks + 8..chunks + 12].copy_from_slice(&place.to_be_bytes());
        bytes.extend((sample.len() as u32 + 8).to_be_bytes());
        bytes.extend(b"free");
        bytes.extend(&sample);
        if expected.is_empty() {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("clip.mp4");
            std::fs::write(&path, &bytes).unwrap();
            assert!(!read(&path).is_err_and(|error| error.to_string().contains("NAL units")));
        } else {
            refused(&bytes, expected);
        }
    }
}

/// The file with the body of a box in `moov` replaced; the index must come last.
fn with_body(file: &[u8], path: &[&[u8; 4]], body: &[u8]) -> Vec<u8> {
    let [kind, rest @ ..] = path else { return body.to_vec() };
    let (mut out, mut at) = (Vec::new(), 0);
    while at + 8 <= file.len() {
        let size = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        let found = file[at + 4..at + 8] == kind[..];
        let inner =
            if found { with_body(&file[at + 8..at + size], rest, body) } else { file[at + 8..at + size].to_vec() };
        out.extend((inner.len() as u32 + 8).to_be_bytes());
        out.extend(&file[at + 4..at + 8]);
        out.extend(inner);
        at += size;
    }
    out
}

/// An edit list that shows the last frame and the first in turn: 24 frames are decoded for each of ten thousand edits.
#[test]
fn edits_that_decode_everything_again_and_again() {
    let whole = std::fs::read(fixture("bframes.mp4")).unwrap();
    let scale = whole.windows(4).position(|kind| kind == b"mdhd").unwrap() + 4 + 12;
    let scale = u32::from_be_bytes(whole[scale..scale + 4].try_into().unwrap());
    let edits = 10_000_u32;
    let mut body = vec![0; 4];
    body.extend(edits.to_be_bytes());
    for i in 0..edits {
        let start = if i % 2 == 0 { 2 * scale - scale / 12 } else { 0 };
        body.extend([83, start, 0x1_0000].map(u32::to_be_bytes).concat());
    }
    let bytes = with_body(&whole, &[b"moov", b"trak", b"edts", b"elst"], &body);
    refused(&bytes, "its order of display decodes each frame more than 16 times on average");
}
