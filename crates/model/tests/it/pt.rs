//! PyTorch checkpoints: everything that torch.save writes is read, nothing is executed, and damage is an error.

use std::io::Write;

use half::{bf16, f16};
use vljepa_model::weights::{Dtype, PtFile, PtValue, WeightSource};
use zip::write::SimpleFileOptions;

use crate::fixtures::{bytes, text};

fn numbers(file: &PtFile<'_>, name: &str) -> Vec<f64> {
    let t = file.tensor(name).unwrap_or_else(|| panic!("no {name}"));
    let each = |f: fn(&[u8]) -> f64| t.bytes.chunks_exact(t.dtype.size()).map(f).collect();
    macro_rules! int {
        ($t:ty) => {
            each(|b| <$t>::from_le_bytes(b.try_into().unwrap()) as f64)
        };
    }
    match t.dtype {
        Dtype::F64 => int!(f64),
        Dtype::F32 => int!(f32),
        Dtype::F16 => each(|b| f16::from_le_bytes(b.try_into().unwrap()).to_f64()),
        Dtype::Bf16 => each(|b| bf16::from_le_bytes(b.try_into().unwrap()).to_f64()),
        Dtype::I64 => int!(i64),
        Dtype::I32 => int!(i32),
        Dtype::I16 => int!(i16),
        Dtype::I8 => int!(i8),
        Dtype::U16 => int!(u16),
        Dtype::U8 | Dtype::Bool => int!(u8),
        // 1.0 and -2.0 are all that the fixture has.
        Dtype::F8E4M3 => each(|b| if b[0] == 0x38 { 1.0 } else { -2.0 }),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_kind_of_tensor_and_value_is_read_by_every_protocol() {
    let expected: serde_json::Value = serde_json::from_str(&text("vision/odd.json")).unwrap();
    for protocol in [2, 4, 5] {
        let data = bytes(&format!("vision/odd_{protocol}.pt"));
        let file = PtFile::parse("odd.pt", &data).unwrap();
        file.verify().unwrap();
        for (name, want) in expected.as_object().unwrap() {
            let full = format!("tensors.{name}");
            let shape: Vec<usize> = serde_json::from_value(want["shape"].clone()).unwrap();
            let values: Vec<f64> = serde_json::from_value(want["values"].clone()).unwrap();
            assert_eq!(file.tensor(&full).unwrap().shape, shape, "{name}");
            assert_eq!(numbers(&file, &full), values, "{name}");
        }
        let dtype = |name: &str| file.tensor(&format!("tensors.{name}")).unwrap().dtype;
        assert_eq!([dtype("bool"), dtype("u16"), dtype("f8")], [Dtype::Bool, Dtype::U16, Dtype::F8E4M3]);
        assert_eq!(file.tensor("state.weight").unwrap().shape, [2, 3]);
        assert_eq!(file.names().len(), expected.as_object().unwrap().len() + 2);
        for (name, value) in [
            ("epoch", PtValue::Int(3)),
            ("negative", PtValue::Int(-5)),
            ("large", PtValue::Int(1 << 40)),
            ("loss", PtValue::Float(0.125)),
            ("done", PtValue::Bool(true)),
            ("name", PtValue::Text("a ю".into())),
            ("nothing", PtValue::None),
            ("betas.1", PtValue::Float(0.999)),
            ("names.0", PtValue::Text("x".into())),
            ("size.1", PtValue::Int(3)),
            ("7.step", PtValue::Int(1)),
        ] {
            assert_eq!(file.values().get(&format!("plain.{name}")), Some(&value), "{name}");
        }
        // Unknown classes are names, nothing more.
        let opaque = |name: &str| file.opaque().get(&format!("others.{name}")).map(String::as_str);
        for (name, class) in [
            ("complex", "torch.ComplexFloatStorage"),
            ("namespace", "argparse.Namespace"),
            ("unknown", "__main__.Unknown"),
            ("when", "datetime.datetime"),
            ("dtype", "torch.float16"),
        ] {
            assert_eq!(opaque(name), Some(class), "{name}");
        }
        for name in ["bytes", "big", "numpy", "set", "device"] {
            assert!(opaque(name).is_some(), "{name}");
        }
        assert_eq!(file.entries(), ["others", "plain", "state", "tensors"]);
    }
}

#[test]
fn contiguous_tensors_are_slices_of_the_file() {
    let data = bytes("vision/official.pt");
    let file = PtFile::parse("official.pt", &data).unwrap();
    let range = data.as_ptr_range();
    for name in file.names() {
        let t = file.tensor(&name).unwrap();
        assert!(t.bytes.is_empty() || range.contains(&t.bytes.as_ptr()), "{name} is copied");
    }
}

#[track_caller]
fn refused(data: &[u8], part: &str) {
    let error = match PtFile::parse("x.pt", data) {
        Err(error) => error.to_string(),
        Ok(file) => panic!("{part}: accepted {:?}", file.names()),
    };
    assert!(error.contains(part), "{error:?} does not say {part:?}");
    assert!(error.starts_with("PyTorch checkpoint x.pt: ") && !error.contains('\n'), "{error}");
}

#[test]
fn files_of_other_kinds_are_named() {
    refused(b"", "empty");
    refused(&bytes("vision/legacy.pt"), "before PyTorch 1.6");
    refused(&bytes("vision/expanded.pt"), "save a contiguous copy");
    refused(&bytes("vision/torchscript.pt"), "TorchScript");
    refused(&bytes("vision/predictor.safetensors"), "not a zip archive");
    refused(b"PK\x03\x04", "not readable");
    refused(&archive(&[("notes/readme.txt", b"hello")]), "without `data.pkl`");
    refused(&archive(&[("a/data.pkl", b"\x80\x02}."), ("b/data.pkl", b"\x80\x02}.")]), "several `data.pkl`");
    refused(&archive(&[("a/data.pkl", b"\x80\x02}."), ("a/byteorder", b"big")]), "byte order \"big\"");
}

/// An uncompressed zip archive.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, content) in members {
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A checkpoint of one pickle and one storage of 24 bytes.
fn checkpoint(pickle: &[u8]) -> Vec<u8> {
    let pickle = [b"\x80\x02", pickle, b"."].concat();
    archive(&[("a/data.pkl", &pickle), ("a/data/0", &[7; 24])])
}

fn text_op(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

fn int_op(n: i64) -> Vec<u8> {
    [&[0x8a, 8], &n.to_le_bytes()[..]].concat()
}

/// `_rebuild_tensor_v2` over a storage of `count` elements.
fn tensor_op(class: &str, count: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let tuple = |values: &[i64]| [vec![b'('], values.iter().flat_map(|&n| int_op(n)).collect(), vec![b't']].concat();
    let storage = [
        vec![b'('],
        text_op("storage"),
        format!("ctorch\n{class}\n").into_bytes(),
        text_op("0"),
        text_op("cpu"),
        int_op(count),
        b"tQ".to_vec(),
    ];
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n(".to_vec(),
        storage.concat(),
        int_op(offset),
        tuple(shape),
        tuple(strides),
        b"\x89Nt".to_vec(),
        vec![b'R'],
    ]
    .concat()
}

#[test]
fn sizes_strides_and_offsets_are_held_against_the_storage() {
    let good = checkpoint(&tensor_op("FloatStorage", 6, 1, &[2, 2], &[1, 2]));
    let file = PtFile::parse("x.pt", &good).unwrap();
    assert_eq!(file.tensor("value").unwrap().bytes, [7; 16]);
    let case = |class: &str, count, offset, shape: &[i64], strides: &[i64], part: &str| {
        refused(&checkpoint(&tensor_op(class, count, offset, shape, strides)), part);
    };
    case("FloatStorage", 7, 0, &[2], &[1], "7 elements of 4 bytes, and has 24 bytes");
    case("FloatStorage", i64::MAX, 0, &[2], &[1], "has 24 bytes");
    case("FloatStorage", -1, 0, &[2], &[1], "a storage of -1 elements");
    case("FloatStorage", 6, 0, &[7], &[1], "reaches element 6, its storage has 6");
    case("FloatStorage", 6, 5, &[2], &[1], "reaches element 6");
    case("FloatStorage", 6, 6, &[], &[], "reaches element 6");
    case("FloatStorage", 6, 7, &[0], &[1], "reaches element 7");
    case("FloatStorage", 6, 0, &[2, 2], &[4, 2], "reaches element 6");
    case("FloatStorage", 6, 0, &[2], &[i64::MAX], "reaches element");
    case("FloatStorage", 6, i64::MAX, &[2], &[i64::MAX], "reaches element");
    case("FloatStorage", 6, i64::MAX, &[3], &[i64::MAX], "overflows");
    case("FloatStorage", 6, 0, &[i64::MAX, i64::MAX], &[0, 0], "overflows");
    case("FloatStorage", 6, 0, &[1 << 40], &[0], "repeats its 6 elements");
    case("FloatStorage", 6, 0, &[-1], &[1], "a size or stride of -1");
    case("FloatStorage", 6, 0, &[2], &[-1], "a size or stride of -1");
    case("FloatStorage", 6, -1, &[2], &[1], "a storage offset of -1");
    case("FloatStorage", 6, 0, &[2, 2], &[1], "a shape of 2 axes with 1 strides");
    case("FloatStorage", 6, 0, &[1; 65], &[1; 65], "65 axes");
    // Axes of one element may have any stride, and tensors without elements any shape.
    for (shape, strides) in
        [(&[1, 6][..], &[i64::MAX, 1][..]), (&[6, 1], &[1, i64::MAX]), (&[2, 1, 2], &[1, i64::MAX, 3])]
    {
        let data = checkpoint(&tensor_op("FloatStorage", 6, 0, shape, strides));
        let file = PtFile::parse("x.pt", &data).unwrap();
        assert!(file.tensor("value").unwrap().bytes.iter().all(|b| *b == 7));
    }
    let data = checkpoint(&tensor_op("FloatStorage", 6, 6, &[0, i64::MAX, 4], &[9, 9, 9]));
    assert!(PtFile::parse("x.pt", &data).unwrap().tensor("value").unwrap().bytes.is_empty());
    // A storage that is not in the archive, and one whose name leads elsewhere.
    let elsewhere = |key: &str| {
        let op = tensor_op("FloatStorage", 6, 0, &[2], &[1]);
        let at = op.windows(6).position(|w| w == [b'X', 1, 0, 0, 0, b'0']).unwrap();
        checkpoint(&[&op[..at], &text_op(key), &op[at + 6..]].concat())
    };
    refused(&elsewhere("1"), "no `a/data/1`");
    refused(&elsewhere("../data.pkl"), "is called \"../data.pkl\"");
    // An unknown element type is only missed where it is asked for.
    let data = checkpoint(&tensor_op("QInt8Storage", 6, 0, &[2], &[1]));
    let file = PtFile::parse("x.pt", &data).unwrap();
    assert_eq!(file.opaque()["value"], "torch.QInt8Storage");
}

/// A checkpoint of `count` transposed views `[128, 128]` of one storage of 64 KiB.
fn views(count: usize) -> Vec<u8> {
    let entry = |i: usize| [text_op(&format!("t{i}")), tensor_op("FloatStorage", 1 << 14, 0, &[128, 128], &[1, 128])];
    let entries: Vec<u8> = (0..count).flat_map(entry).flatten().collect();
    let pickle = [b"\x80\x02}(", &entries[..], b"u."].concat();
    let numbers: Vec<u8> = (0..1u32 << 14).flat_map(|n| (n as f32).to_le_bytes()).collect();
    archive(&[("a/data.pkl", &pickle), ("a/data/0", &numbers)])
}

#[test]
fn views_of_one_storage_do_not_fill_the_memory() {
    let few = views(4);
    let file = PtFile::parse("views", &few).unwrap();
    for name in file.names() {
        // Type and shape are known before any element is put in its place.
        assert_eq!(file.form(&name), Some((Dtype::F32, &[128, 128][..])));
        assert_eq!(numbers(&file, &name)[..3], [0.0, 128.0, 256.0]);
    }
    assert_eq!(file.form("t4"), None);
    // 2,000 of them would be 131 MB in a file of half a megabyte.
    let many = views(2000);
    assert!(many.len() < 1 << 20);
    refused(&many, "views of shared storages would take more than");
}

#[test]
fn pickles_that_do_more_than_hold_data_do_nothing() {
    let marker = std::env::temp_dir().join(format!("vljepa-pickle-{}", std::process::id()));
    let command = format!("touch {}", marker.display());
    for callable in ["cposix\nsystem\n", "cos\nsystem\n", "cbuiltins\nexec\n", "cbuiltins\neval\n"] {
        let call = [callable.as_bytes(), &text_op(&command), b"\x85R"].concat();
        let file = checkpoint(&[b"}(", &text_op("run")[..], &call, b"u"].concat());
        let file = PtFile::parse("x.pt", &file).unwrap();
        assert!(file.names().is_empty() && file.opaque().contains_key("run"));
    }
    assert!(!marker.exists());
    // What an opaque value is given, and what is done with it, is not looked at.
    let data = checkpoint(b"cm\nC\n)R}(K\x01K\x02ubK\x01a");
    assert_eq!(PtFile::parse("x.pt", &data).unwrap().opaque()["value"], "m.C");
}

#[test]
fn broken_pickles_are_refused_at_the_byte() {
    for (pickle, part) in [
        (&b"}u"[..], "a mark is missing"),
        (b"(", "a value is missing"),
        (b"K", "byte 4: truncated"),
        (b"X\xff\xff\xff\xff", "byte 2: truncated"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "truncated"),
        (b"\x8b\xff\xff\xff\x7f", "truncated"),
        (b"h\x07", "memo entry 7 was never written"),
        (b"K\x01K\x01R", "a number is called"),
        (b"K\x01K\x01a", "items for a number"),
        (b"}(K\x01u", "a key without a value"),
        (b"]K\x01K\x02s", "entries for a list"),
        (b"NN", "values left over"),
        (b"(N", "values left over"),
        (b"\x80\x01N", "pickle protocol 1"),
        (b"i", "opcode 0x69"),
        (b"X\x01\x00\x00\x00\xff", "not UTF-8"),
        (b"cabc", "a name without end"),
        (b"NQ", "None where a tuple is expected"),
        (b"K\x01(Nt", "values left over"),
    ] {
        let data = checkpoint(pickle);
        refused(&data, "pickle, byte ");
        refused(&data, part);
    }
}

#[test]
fn nesting_and_sharing_have_limits() {
    // Lists within lists, far deeper than a stack of calls could follow.
    let deep = [vec![b']'; 200_000], vec![b'a'; 199_999]].concat();
    refused(&checkpoint(&deep), "nested deeper");
    // Tuples likewise.
    let deep = [b"N".to_vec(), vec![0x85; 200_000]].concat();
    refused(&checkpoint(&deep), "nested deeper");
    // A list that holds itself.
    refused(&checkpoint(b"]q\x00h\x00a"), "nested deeper");
    // Each level holds the one below twice: 2^60 values in a few hundred bytes.
    let mut shared = b"N".to_vec();
    (0..60).for_each(|_| shared.extend(b"2\x86"));
    refused(&checkpoint(&shared), "values");
    // Long keys, repeated by sharing.
    let mut long = b"N".to_vec();
    for _ in 0..20 {
        long.extend([b"q\x00}(".to_vec(), text_op(&"k".repeat(60_000)), b"h\x00".to_vec()].concat());
        long.extend([text_op("other"), b"h\x00u".to_vec()].concat());
    }
    let error = PtFile::parse("x.pt", &checkpoint(&long)).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("names") || error.contains("left over"), "{error}");
    // More items than any checkpoint has.
    refused(&checkpoint(&vec![b']'; (1 << 22) + 8]), "more than");
    refused(&checkpoint(&vec![b'N'; (1 << 22) + 8]), "more than");
    refused(&checkpoint(&vec![b'('; (1 << 22) + 8]), "more than");
}

/// Name, element type, shape, elements.
type Read = (String, Dtype, Vec<usize>, Vec<u8>);

/// The directory of an archive says how many files there are, and where it is itself.
#[test]
fn directories_that_lie_are_refused() {
    let good = checkpoint(b"}");
    assert!(PtFile::parse("x.pt", &good).is_ok());
    let end = good.len() - 22;
    let start = u32::from_le_bytes(good[end + 16..end + 20].try_into().unwrap());
    let with_end_64 = |files: u64, start: u64| {
        let mut bad = good[..end].to_vec();
        let record = bad.len() as u64;
        bad.extend([b"PK\x06\x06".to_vec(), 44u64.to_le_bytes().to_vec(), vec![45, 0, 45, 0], vec![0; 8]].concat());
        bad.extend([files, files, record.wrapping_sub(start), start].map(u64::to_le_bytes).concat());
        bad.extend([b"PK\x06\x07".to_vec(), vec![0; 4], record.to_le_bytes().to_vec(), vec![1, 0, 0, 0]].concat());
        bad.extend([b"PK\x05\x06".to_vec(), vec![0; 4], vec![0xff; 12], vec![0; 2]].concat());
        bad
    };
    assert!(PtFile::parse("x.pt", &with_end_64(2, start.into())).is_ok(), "an honest one of 64 bits");
    refused(&with_end_64(1 << 40, start.into()), "claims 1099511627776 files");
    refused(&with_end_64(10, start.into()), "claims 10 files");
    refused(&with_end_64(2, u64::MAX), "not where it is said to be");
    // Far ahead of the directory there is room for as many files as one likes to claim.
    let padded = [b"PK".to_vec(), vec![0; 1 << 20], with_end_64(1 << 19, u64::from(start))].concat();
    refused(&padded, "claims 524288 files");
    refused(&[&good[..], &good].concat(), "several directories");
    refused(&[&good[..end], &good[end..], &good[end..]].concat(), "several directories");
    refused(&[&good[..], b" "].concat(), "no directory at its end");
}

/// Reads everything that a file holds.
fn read_all(data: &[u8], verify: bool) -> Result<Vec<Read>, String> {
    let file = PtFile::parse("x.pt", data).map_err(|e| e.to_string())?;
    if verify {
        file.verify().map_err(|e| e.to_string())?;
    }
    let each = |name: &std::borrow::Cow<'_, str>| {
        let t = file.tensor(name).unwrap();
        assert_eq!(t.shape.iter().product::<usize>() * t.dtype.size(), t.bytes.len());
        (name.to_string(), t.dtype, t.shape.to_vec(), t.bytes.to_vec())
    };
    Ok(file.names().iter().map(each).collect())
}

#[test]
fn every_truncation_is_refused() {
    let good = bytes("vision/little.pt");
    assert_eq!(read_all(&good, true).unwrap().len(), 3);
    for n in 0..good.len() {
        assert!(read_all(&good[..n], false).is_err(), "{n} of {} bytes", good.len());
    }
}

/// Whatever a byte is changed to: refused, or the very same tensors (names in the directory that nobody reads, times,
/// padding). Without checksums other numbers may come out, but never a panic.
#[test]
fn changed_bytes_are_refused_or_change_nothing() {
    let good = bytes("vision/little.pt");
    let want = read_all(&good, true).unwrap();
    for at in 0..good.len() {
        for flip in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            let _ = read_all(&bad, false);
            if let Ok(got) = read_all(&bad, true) {
                assert_eq!(got, want, "byte {at} ^ {flip:#04x}");
            }
        }
    }
}

/// Every byte of the pickle alone to every value, where checksums would hide what the interpreter does.
#[test]
fn changed_pickles_never_panic() {
    let good = bytes("vision/little.pt");
    let pickle = {
        let mut zip = zip::ZipArchive::new(std::io::Cursor::new(&good)).unwrap();
        let mut out = Vec::new();
        std::io::copy(&mut zip.by_name("little/data.pkl").unwrap(), &mut out).unwrap();
        out
    };
    let storage = [0u8; 24];
    let mut accepted = 0;
    for at in 0..pickle.len() {
        for value in 0..=255 {
            let mut bad = pickle.clone();
            bad[at] = value;
            let data = archive(&[("a/data.pkl", &bad), ("a/data/0", &storage), ("a/data/1", &storage[..16])]);
            accepted += usize::from(read_all(&data, false).is_ok());
        }
        let cut = archive(&[("a/data.pkl", &pickle[..at]), ("a/data/0", &storage), ("a/data/1", &storage[..16])]);
        assert!(read_all(&cut, false).is_err(), "{at}");
    }
    assert!(accepted >= pickle.len(), "the unchanged pickle alone is accepted {} times", pickle.len());
}
