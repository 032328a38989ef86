use crate::fixtures;
use std::collections::BTreeMap;
use vljepa_model::ModelError;
use vljepa_model::config::{BertConfig, TensorSpec};
use vljepa_model::weights::{
    Dtype, Prefixed, SafeTensors, ShardFiles, ShardIndex, Shards, WeightSource, Writer, check, dequantise_rows,
    quantise_rows, read_all, read_f32, read_i32,
};

/// Numbers of both signs and many magnitudes, the same every time.
fn numbers(n: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state) / f64::from(u32::MAX)
    };
    (0..n).map(|_| ((next() - 0.5) * 10f64.powf(6.0 * next() - 4.0)) as f32).collect()
}

fn spec(name: &str, shape: &[usize]) -> TensorSpec {
    TensorSpec { name: name.into(), shape: shape.to_vec() }
}

#[test]
fn files_of_the_reference_library_are_read_as_it_reads_them() {
    for path in ["bert/model.safetensors", "vljepa/expected.safetensors", "minilm_sentences.safetensors"] {
        let bytes = fixtures::bytes(path);
        let ours = SafeTensors::parse(path, &bytes).unwrap();
        let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut names: Vec<_> = theirs.names().into_iter().map(String::from).collect();
        names.sort();
        assert_eq!(ours.names(), names);
        for name in &names {
            let (a, b) = (ours.tensor(name).unwrap(), theirs.tensor(name).unwrap());
            assert_eq!(
                (a.dtype.name().to_string(), a.shape, a.bytes),
                (format!("{:?}", b.dtype()), b.shape(), b.data())
            );
        }
    }
}

#[test]
fn written_files_are_read_by_the_reference_library() {
    let values = numbers(24);
    let mut w = Writer::new();
    w.metadata("format", "pt").metadata("a", "ü \"quoted\"");
    w.f16("b", &[2, 3], &values[..6]).unwrap();
    w.f32("a.weight", &[4, 6], &values).unwrap();
    w.i32("ids", &[3], &[1, -2, i32::MAX]).unwrap();
    w.i8_rows("q", &[3, 2], &values[..6]).unwrap();
    w.f32("scalar", &[], &[7.5]).unwrap();
    w.f32("empty", &[0, 4], &[]).unwrap();
    let bytes = w.finish().unwrap();
    let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let floats: Vec<f32> = theirs
        .tensor("a.weight")
        .unwrap()
        .data()
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    assert_eq!(floats, values);
    assert_eq!(theirs.names().len(), 7);
    let ours = SafeTensors::parse("ours", &bytes).unwrap();
    assert_eq!(ours.metadata()["a"], "ü \"quoted\"");
    assert_eq!(read_f32(&ours, "a.weight", &[4, 6]).unwrap(), values);
    assert_eq!(read_i32(&ours, "ids", &[3]).unwrap(), [1, -2, i32::MAX]);
    assert_eq!(read_f32(&ours, "scalar", &[]).unwrap(), [7.5]);
    assert!(read_f32(&ours, "empty", &[0, 4]).unwrap().is_empty());
    for name in ours.names() {
        // f32 data is aligned, so that a mapped file can be used in place.
        let t = ours.tensor(&name).unwrap();
        let offset = t.bytes.as_ptr() as usize - bytes.as_ptr() as usize;
        assert_eq!(offset % t.dtype.size(), 0, "{name}");
    }
}

#[test]
fn the_bytes_do_not_depend_on_the_order_of_adding() {
    let values = numbers(12);
    let make = |order: [usize; 3]| {
        let mut w = Writer::new();
        for i in order {
            w.metadata(format!("key{i}"), "x");
            w.f32(&format!("t{i}"), &[3, 4], &values).unwrap();
            w.bf16(&format!("h{i}"), &[12], &values).unwrap();
        }
        w.finish().unwrap()
    };
    assert_eq!(make([0, 1, 2]), make([2, 0, 1]));
}

#[test]
fn narrow_types_round_as_they_should() {
    let values = numbers(60);
    let mut w = Writer::new();
    w.f16("f16", &[60], &values).unwrap();
    w.bf16("bf16", &[60], &values).unwrap();
    w.i8_rows("i8", &[5, 12], &values).unwrap();
    let bytes = w.finish().unwrap();
    let file = SafeTensors::parse("narrow", &bytes).unwrap();
    assert_eq!(file.tensor("i8").unwrap().dtype, Dtype::I8);
    let (f16, bf16) = (read_f32(&file, "f16", &[60]).unwrap(), read_f32(&file, "bf16", &[60]).unwrap());
    let i8 = read_f32(&file, "i8", &[5, 12]).unwrap();
    for (i, &v) in values.iter().enumerate() {
        // Half a unit in the last place: 11 and 8 significant bits; f16 is evenly spaced by 2^-24 below 2^-14.
        assert!((f16[i] - v).abs() <= (v.abs() * 2f32.powi(-11)).max(2f32.powi(-25)), "{v} {}", f16[i]);
        assert!((bf16[i] - v).abs() <= v.abs() * 2f32.powi(-8), "{v} {}", bf16[i]);
        let row = &values[i / 12 * 12..i / 12 * 12 + 12];
        let largest = row.iter().fold(0f32, |m, v| m.max(v.abs()));
        assert!((i8[i] - v).abs() <= largest / 127.0 * 0.5001, "{v} {}", i8[i]);
    }
    // The scales belong to the int8 tensor and are not unexpected.
    check(&file, &[spec("f16", &[60]), spec("bf16", &[60]), spec("i8", &[5, 12])], &[]).unwrap();
}

#[test]
fn quantised_rows_of_zeros_and_extremes() {
    let values = [0.0, 0.0, 1e-44, -2e-40, f32::MAX, -f32::MAX, -3.0, 1.5];
    let (q, scales) = quantise_rows(&values, 4);
    assert_eq!(q, [0, 0, 0, 0, 127, -127, -127, 64]);
    let back = dequantise_rows(&q, &scales);
    assert_eq!(back[..4], [0.0; 4]);
    assert!(back.iter().all(|v| v.is_finite()) && (back[6] + 3.0).abs() < 1e-6);
    assert_eq!(quantise_rows(&[], 0), (vec![], vec![]));
}

#[test]
fn all_differences_are_listed_with_names_and_shapes() {
    let config = BertConfig::from_json(&fixtures::text("bert/config.json")).unwrap();
    let bytes = fixtures::bytes("bert/model.safetensors");
    let file = SafeTensors::parse("model.safetensors", &bytes).unwrap();
    let mut tensors = config.tensors();
    assert_eq!(read_all(&file, &tensors, &[]).unwrap().len(), tensors.len());

    tensors[0].shape = vec![48, 64];
    tensors[3].name = "embeddings.LayerNorm.gamma".into();
    let error = check(&file, &tensors, &[]).unwrap_err();
    let line = error.to_string();
    let ModelError::WeightMismatch(report) = error else { panic!("{error:?}") };
    assert_eq!(report.missing, ["embeddings.LayerNorm.gamma"]);
    assert_eq!(report.unexpected, ["embeddings.LayerNorm.weight"]);
    assert_eq!(report.wrong_shape.len(), 1);
    assert!(line.contains("embeddings.word_embeddings.weight (expected [48, 64], found [64, 48])"), "{line}");
    assert!(!line.contains('\n'));
    assert!(check(&file, &config.tensors()[..1], &["embeddings.", "encoder."]).is_ok());
    let many = check(&file, &[], &[]).unwrap_err().to_string();
    assert!(many.contains("37 unexpected") && many.ends_with("and 31 more"), "{many}");
    assert!(matches!(read_all(&file, &tensors, &[]), Err(ModelError::WeightMismatch(_))));
    assert!(matches!(read_f32(&file, "nothing", &[1]), Err(ModelError::WeightMismatch(_))));
}

#[test]
fn prefixes_are_taken_off() {
    let bytes = fixtures::bytes("llama/model.safetensors");
    let file = SafeTensors::parse("llama", &bytes).unwrap();
    let bare = Prefixed { source: &file, prefix: "model." };
    assert_eq!(read_f32(&bare, "norm.weight", &[48]).unwrap(), read_f32(&file, "model.norm.weight", &[48]).unwrap());
    assert!(bare.names().iter().any(|n| n == "layers.2.mlp.up_proj.weight"));
    assert!(bare.tensor("model.norm.weight").is_none());
}

#[test]
fn numbers_that_are_not_finite_are_refused_by_name() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut w = Writer::new();
        let error = w.f32("layer.weight", &[3], &[0.0, bad, 1.0]).unwrap_err();
        assert!(matches!(&error, ModelError::NonFinite { name, index: 1, .. } if name == "layer.weight"), "{error}");
        assert!(w.i8_rows("q", &[1, 1], &[bad]).is_err() && w.bf16("h", &[1], &[bad]).is_err());

        // The same from a file that another program wrote.
        let data: Vec<u8> = [1.0, bad].iter().flat_map(|v: &f32| v.to_le_bytes()).collect();
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2], &data).unwrap();
        let bytes = safetensors::serialize([("w", view)], None).unwrap();
        let file = SafeTensors::parse("nan", &bytes).unwrap();
        assert!(matches!(read_f32(&file, "w", &[2]), Err(ModelError::NonFinite { index: 1, .. })));
    }
    assert!(Writer::new().f16("big", &[1], &[70_000.0]).is_err());
}

#[test]
fn other_element_types_are_refused_by_name() {
    let mut w = Writer::new();
    w.i32("ids", &[2], &[1, 2]).unwrap();
    w.f32("x", &[2], &[1.0, 2.0]).unwrap();
    assert!(w.f32("x", &[2], &[1.0, 2.0]).is_err(), "twice");
    assert!(w.f32("y", &[3], &[1.0, 2.0]).is_err(), "too few");
    assert!(w.f32("z", &[usize::MAX, 2], &[]).is_err(), "overflow");
    assert!(w.f32("__metadata__", &[0], &[]).is_err());
    let bytes = w.finish().unwrap();
    let file = SafeTensors::parse("f", &bytes).unwrap();
    let line = read_f32(&file, "ids", &[2]).unwrap_err().to_string();
    assert!(line.contains("`ids` holds I32"), "{line}");
    assert!(matches!(read_i32(&file, "x", &[2]), Err(ModelError::Dtype { .. })));
}

#[test]
fn an_int8_tensor_without_its_scales_is_refused() {
    let view = |d| safetensors::tensor::TensorView::new(safetensors::Dtype::I8, vec![2, 2], d).unwrap();
    let bytes =
        safetensors::serialize([("w", view(&[1, 2, 3, 4])), ("v", view(&[0; 4])), ("v.scale", view(&[1; 4]))], None)
            .unwrap();
    let file = SafeTensors::parse("f", &bytes).unwrap();
    let line = read_f32(&file, "w", &[2, 2]).unwrap_err().to_string();
    assert!(line.contains("missing: w.scale"), "{line}");
    assert!(read_f32(&file, "v", &[2, 2]).unwrap_err().to_string().contains("v.scale"));
}

#[test]
fn shards_are_one_source() {
    let (mut a, mut b) = (Writer::new(), Writer::new());
    a.f32("x", &[2], &[1.0, 2.0]).unwrap();
    b.f32("y", &[1], &[3.0]).unwrap();
    let (a, b) = (a.finish().unwrap(), b.finish().unwrap());
    let files: BTreeMap<String, &[u8]> =
        [("1.safetensors".into(), a.as_slice()), ("2.safetensors".into(), b.as_slice())].into();
    let index = |y: &str| {
        let text =
            format!(r#"{{"metadata": {{"total_size": 12}}, "weight_map": {{"x": "1.safetensors", "y": "{y}"}}}}"#);
        ShardIndex::parse(&text)
    };
    let shards = Shards::open(index("2.safetensors").unwrap(), &files).unwrap();
    check(&shards, &[spec("x", &[2]), spec("y", &[1])], &[]).unwrap();
    assert_eq!(read_f32(&shards, "y", &[1]).unwrap(), [3.0]);

    let opened: ShardFiles<&[u8]> =
        ShardFiles::open(index("2.safetensors").unwrap(), |name| Ok::<_, ()>(files[name])).unwrap();
    assert_eq!(opened.slices().collect::<Vec<_>>(), [&a, &b]);
    assert_eq!(read_f32(&opened.source().unwrap(), "x", &[2]).unwrap(), [1.0, 2.0]);
    let gone = |name: &str| if name.starts_with('1') { Ok(a.as_slice()) } else { Err(name.to_owned()) };
    assert_eq!(ShardFiles::open(index("2.safetensors").unwrap(), gone).unwrap_err(), "2.safetensors");

    let line = |e: ModelError| e.to_string();
    assert!(line(Shards::open(index("1.safetensors").unwrap(), &files).unwrap_err()).contains("no tensor `y`"));
    assert!(line(Shards::open(index("3.safetensors").unwrap(), &files).unwrap_err()).contains("3.safetensors"));
    for bad in ["../2.safetensors", "/etc/passwd", "C:x", "..", ""] {
        assert!(line(index(bad).unwrap_err()).contains("same folder"), "{bad}");
    }
    assert!(ShardIndex::parse("{}").is_err() && ShardIndex::parse(r#"{"weight_map": {}}"#).is_err());
}
