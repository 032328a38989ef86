//! Truncated, corrupt and lying safetensors files give a typed error, never a panic.

use vljepa_model::ModelError;
use vljepa_model::weights::{SafeTensors, WeightSource, Writer};

fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

fn refused(bytes: &[u8], part: &str) {
    match SafeTensors::parse("model.safetensors", bytes) {
        Err(ModelError::File { file, what }) => {
            assert_eq!(file, "model.safetensors");
            assert!(what.contains(part), "{what:?} does not say {part:?}");
        }
        other => panic!("{part}: {other:?}"),
    }
}

fn good() -> Vec<u8> {
    let mut w = Writer::new();
    w.metadata("format", "pt");
    w.f32("a", &[2, 3], &[0.5; 6]).unwrap();
    w.i8_rows("b", &[2, 2], &[1.0, -1.0, 0.25, 2.0]).unwrap();
    w.finish().unwrap()
}

#[test]
fn lying_headers_are_refused() {
    let f32_at = |shape: &str, start: u64, end: u64| {
        format!(r#"{{"t":{{"dtype":"F32","shape":{shape},"data_offsets":[{start},{end}]}}}}"#)
    };
    refused(b"", "empty");
    refused(&[1, 2, 3], "too few");
    refused(&u64::MAX.to_le_bytes(), "limit");
    refused(b"<!DOCTYPE html><html>", "is this a safetensors file?");
    refused(&100u64.to_le_bytes(), "truncated");
    refused(&file("", 0), "not readable");
    refused(&file("null", 0), "not readable");
    refused(&file(r#"{"t":"#, 0), "not readable");
    refused(&file(r#"{"t":{}}"#, 0), "not readable");
    refused(&file(&"[".repeat(100_000), 0), "not readable");
    refused(&file(r#"{"__metadata__":{"a":1}}"#, 0), "not readable");
    refused(&file(&f32_at("[-1]", 0, 4), 4), "not readable");
    refused(&file(&f32_at("[2]", 0, 8), 4), "truncated");
    refused(&file(&f32_at("[2]", 8, 0), 8), "`t` is at bytes 8..0");
    refused(&file(&f32_at("[3]", 0, 8), 8), "are 12 bytes, the offsets span 8");
    refused(&file(&f32_at("[4294967296,4294967296,16]", 0, 8), 8), "overflows");
    refused(&file(&f32_at("[18446744073709551615]", 0, 8), 8), "overflows");
    refused(&file(&f32_at("[9223372036854775807,0,3]", 0, 8), 8), "are 0 bytes");
    refused(&file(&f32_at("[1]", 4, 8), 8), "belong to no tensor");
    refused(&file(&f32_at("[1]", 0, 4), 8), "the tensors end at byte 4");
    refused(&file("{}", 8), "the tensors end at byte 0");
    refused(&file(&f32_at("[1]", 0, 4).replace("F32", "F7"), 4), "unknown element type \"F7\"");
    let two =
        r#"{"t":{"dtype":"U8","shape":[6],"data_offsets":[0,6]},"u":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}"#;
    refused(&file(two, 8), "`u` starts at byte 4, inside the one before");
    refused(&file(&two.replace("\"u\"", "\"t\"").replace("[4,8]", "[6,10]"), 10), "occurs twice");
}

/// Sizes whose sum comes round to the file's length: each is below the limit of 64 bits, together they are not.
#[test]
fn sums_of_offsets_cannot_wrap() {
    let step = 1u64 << 61;
    let mut entries: Vec<String> = (0..7)
        .map(|i| {
            format!(r#""t{i}":{{"dtype":"U8","shape":[{step}],"data_offsets":[{},{}]}}"#, i * step, (i + 1) * step)
        })
        .collect();
    let end = u64::MAX - 7;
    entries.push(format!(r#""t7":{{"dtype":"U8","shape":[{}],"data_offsets":[{},{end}]}}"#, end - 7 * step, 7 * step));
    refused(&file(&format!("{{{}}}", entries.join(",")), 0), "the file holds 0");
}

#[test]
fn every_truncation_is_refused() {
    let bytes = good();
    SafeTensors::parse("good", &bytes).unwrap();
    for n in 0..bytes.len() {
        assert!(SafeTensors::parse("cut", &bytes[..n]).is_err(), "{n} of {} bytes", bytes.len());
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    refused(&longer, "the tensors end");
}

/// Whatever one header byte is changed to, the file is refused or still consistent.
#[test]
fn changed_bytes_never_panic() {
    let good = good();
    let header = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let mut accepted = 0;
    for at in 0..header {
        for value in 0..=255u8 {
            let mut bytes = good.clone();
            bytes[at] = value;
            if let Ok(file) = SafeTensors::parse("changed", &bytes) {
                accepted += 1;
                let total: usize = file.names().iter().map(|n| file.tensor(n).unwrap().bytes.len()).sum();
                assert_eq!(total, good.len() - header);
                for name in file.names() {
                    let t = file.tensor(&name).unwrap();
                    assert_eq!(t.shape.iter().product::<usize>() * t.dtype.size(), t.bytes.len());
                }
            }
        }
    }
    assert!(accepted >= header, "the unchanged file alone is accepted {header} times");
}
