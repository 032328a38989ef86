//! Token embeddings larger than a binding.

use vljepa_model::weights::{SafeTensors, Writer, read_f32, read_f32_rows};
use vljepa_model::{EmbeddingTable, Forward, ModelError, ParamSource};
use vljepa_tensor::Tensor;

use crate::parity::device;

/// Row i, column c holds i + c / 1024; counts how much is asked for at once.
struct Counting {
    most: usize,
}

impl ParamSource for Counting {
    fn values(&mut self, name: &str, shape: &[usize]) -> vljepa_model::Result<Vec<f32>> {
        self.rows(name, shape, 0..shape[0])
    }

    fn rows(&mut self, _: &str, shape: &[usize], rows: std::ops::Range<usize>) -> vljepa_model::Result<Vec<f32>> {
        self.most = self.most.max(rows.len());
        Ok(rows.flat_map(|i| (0..shape[1]).map(move |c| i as f32 + c as f32 / 1024.0)).collect())
    }
}

#[test]
fn a_table_beyond_the_binding_limit_is_uploaded_and_read_in_parts() {
    let device = device();
    let width = 1024;
    let limit = device.limits().max_storage_buffer_binding_size.min(device.limits().max_buffer_size);
    // The limit of the test adapters is 128 MiB; where a GPU binds gigabytes the table is of one part.
    let most = (limit / (4 * width as u64)) as usize;
    let rows = (most + 5_000).min(40_000);
    let mut source = Counting { most: 0 };
    let table = EmbeddingTable::load(&device, &mut source, "embed_tokens.weight", [rows, width]).unwrap();
    assert_eq!(table.rows(), rows);
    assert_eq!(source.most, rows.min(most), "never more at once than a part");
    let wanted = [0, 1, most.min(rows) - 1, most.min(rows - 1), rows - 1, 7];
    let ids: Vec<u32> = wanted.iter().map(|&i| i as u32).collect();
    let ids = Tensor::from_u32(&device, &[2, 3], &ids).unwrap();
    let got = table.forward(&Forward::inference(), &ids).unwrap();
    assert_eq!(got.shape(), [2, 3, width]);
    let want = source.rows("", &[rows, width], 0..rows).unwrap();
    for (row, &id) in got.value().to_f32().unwrap().chunks(width).zip(&wanted) {
        assert_eq!(row, &want[id * width..(id + 1) * width], "row {id}");
    }
}

#[test]
fn rows_of_every_storage_are_the_rows_of_the_whole() {
    let (rows, width) = (7, 5);
    let values: Vec<f32> = (0..rows * width).map(|i| (i as f32 - 17.0) / 8.0).collect();
    let mut writer = Writer::new();
    writer.f32("a", &[rows, width], &values).unwrap();
    writer.f16("b", &[rows, width], &values).unwrap();
    writer.i8_rows("c", &[rows, width], &values).unwrap();
    let bytes = writer.finish().unwrap();
    let file = SafeTensors::parse("file", &bytes).unwrap();
    for name in ["a", "b", "c"] {
        let whole = read_f32(&file, name, &[rows, width]).unwrap();
        for range in [0..7, 0..1, 2..5, 6..7, 3..3] {
            let part = read_f32_rows(&file, name, &[rows, width], range.clone()).unwrap();
            assert_eq!(part, whole[range.start * width..range.end * width], "{name} {range:?}");
        }
        assert!(read_f32_rows(&file, name, &[rows, width], 5..99).unwrap().len() == 2 * width);
        assert!(matches!(read_f32_rows(&file, name, &[rows, 4], 0..1), Err(ModelError::WeightMismatch(_))));
    }
}
