//! Files of rows in the Parquet format, for databases and data frames: the columns of a list of rows, and the rows.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use serde_json::json;

use crate::error::{Error, Result};
use crate::listing::Listing;

/// Bytes of rows of a row group, which are in memory together.
const GROUP: usize = 32 << 20;

/// The columns: what a row is of, the seconds that it shows, its number and its values, row-major where a row is a grid.
fn schema(key: &str) -> String {
    format!(
        "message rows {{
            required binary {key} (UTF8);
            optional double start;
            optional double end;
            required int64 row;
            required group embedding (LIST) {{ repeated group list {{ required float element; }} }}
        }}"
    )
}

/// Writes rows with the names and times of `listing`; `values` gives their bytes. `path` is for messages only.
///
/// # Errors
/// Errors of writing; values that end early, and values that are not finite.
pub(crate) fn write_parquet(
    path: &Path,
    shape: &[usize],
    values: &mut dyn Read,
    listing: &Listing<'_>,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let failed = |error: ParquetError| match error {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(source) => Error::io(path, "writing")(*source),
            Err(source) => Error::content(path, source.to_string()),
        },
        other => Error::content(path, other.to_string()),
    };
    let (rows, row) = (shape.first().copied().unwrap_or(0), shape.get(1..).unwrap_or_default());
    let width = row.iter().product::<usize>();
    let mut metadata = vec![KeyValue::new("shape".to_owned(), json!(row).to_string())];
    if let Some(reading) = listing.reading.filter(|reading| !reading.is_default()) {
        metadata.push(KeyValue::new("reading".to_owned(), json!(reading).to_string()));
    }
    let properties = WriterProperties::builder()
        .set_created_by(format!("vljepa {}", env!("CARGO_PKG_VERSION")))
        // Embeddings hardly repeat.
        .set_dictionary_enabled(false)
        .set_key_value_metadata(Some(metadata))
        .build();
    let schema = parse_message_type(&schema(listing.key)).map_err(failed)?;
    let mut writer = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties)).map_err(failed)?;
    let step = (GROUP / (4 * width).max(1)).max(1);
    let mut bytes = Vec::new();
    for first in (0..rows).step_by(step) {
        let range = first..rows.min(first + step);
        bytes.resize(4 * width * range.len(), 0);
        // The source names its file.
        values.read_exact(&mut bytes).map_err(|e| Error::content(path, format!("its rows cannot be read: {e}")))?;
        let floats: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|v| f32::from_le_bytes(*v)).collect();
        if !floats.iter().all(|v| v.is_finite()) {
            return Err(Error::content(path, "a value of its rows is not a finite number; make them again"));
        }
        let mut group = writer.next_row_group().map_err(failed)?;
        write_group(&mut group, range, width, &floats, listing).map_err(failed)?;
        group.close().map_err(failed)?;
    }
    writer.close().map_err(failed)?;
    Ok(())
}

fn write_group<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    rows: std::ops::Range<usize>,
    width: usize,
    values: &[f32],
    listing: &Listing<'_>,
) -> Result<(), ParquetError> {
    let missing = || ParquetError::General("a column is missing".to_owned());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    let names: Vec<ByteArray> = listing.names[rows.clone()].iter().map(|name| name.as_str().into()).collect();
    column.typed::<ByteArrayType>().write_batch(&names, None, None)?;
    column.close()?;
    let moments: Vec<_> = rows.clone().map(|row| listing.of.get(row).and_then(|of| of.moment)).collect();
    let there: Vec<i16> = moments.iter().map(|moment| i16::from(moment.is_some())).collect();
    let starts: Vec<f64> = moments.iter().flatten().map(|moment| moment.start).collect();
    let ends: Vec<f64> = moments.iter().flatten().map(|moment| moment.end).collect();
    for times in [starts, ends] {
        let mut column = group.next_column()?.ok_or_else(missing)?;
        column.typed::<DoubleType>().write_batch(&times, Some(&there), None)?;
        column.close()?;
    }
    let mut column = group.next_column()?.ok_or_else(missing)?;
    let numbers: Vec<i64> = rows.map(|row| row as i64).collect();
    column.typed::<Int64Type>().write_batch(&numbers, None, None)?;
    column.close()?;
    let mut column = group.next_column()?.ok_or_else(missing)?;
    // A value begins a list, or goes on with one.
    let repeats: Vec<i16> = (0..values.len()).map(|i| i16::from(i % width != 0)).collect();
    column.typed::<FloatType>().write_batch(values, Some(&vec![1; values.len()]), Some(&repeats))?;
    column.close()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::{Row, RowAccessor};

    use super::*;
    use crate::visuals::{Moment, Reading, RowOf};

    fn write(shape: &[usize], values: &[f32], listing: &Listing<'_>) -> Result<Vec<u8>> {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut out = Vec::new();
        write_parquet(Path::new("r.parquet"), shape, &mut &bytes[..], listing, &mut out)?;
        Ok(out)
    }

    fn embedding(row: &Row, column: usize) -> Vec<f32> {
        let list = row.get_list(column).unwrap();
        list.elements().iter().map(|field| field.to_string().parse().unwrap()).collect()
    }

    #[test]
    fn rows_names_and_times_are_read_again() {
        // More rows than a group has, with some that show a part of a video and some that show a file.
        let (rows, width) = (GROUP / 4 / 4096 + 5, 4096);
        let moment = |i: usize| (i % 3 > 0).then_some(Moment { start: i as f64, end: i as f64 + 0.5 });
        let of: Vec<RowOf> = (0..rows).map(|i| RowOf { file: i / 3, moment: moment(i) }).collect();
        let names: Vec<String> = (0..rows).map(|i| format!("film ü {}.mp4", i / 3)).collect();
        let values: Vec<f32> = (0..rows * width).map(|i| (i % 4099) as f32 * 0.25).collect();
        let reading = Reading::default();
        let listing = Listing { key: "input", names: &names, of: &of, reading: Some(&reading) };
        let bytes = write(&[rows, width], &values, &listing).unwrap();
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        assert!(reader.metadata().num_row_groups() > 1);
        for (i, row) in reader.get_row_iter(None).unwrap().enumerate() {
            let row = row.unwrap();
            assert_eq!((row.get_string(0).unwrap(), row.get_long(3).unwrap()), (&names[i], i as i64));
            let times = moment(i).map(|m| (m.start, m.end));
            assert_eq!(row.get_double(1).ok().zip(row.get_double(2).ok()), times);
            if i % 97 == 0 {
                assert_eq!(embedding(&row, 4), values[i * width..(i + 1) * width]);
            }
        }
        assert_eq!(reader.metadata().file_metadata().num_rows(), rows as i64);
    }

    #[test]
    fn grids_say_their_shape_and_bad_values_are_refused() {
        let names = ["a".to_owned(), "b".to_owned()];
        let listing = Listing { key: "text", names: &names, of: &[], reading: None };
        let bytes = write(&[2, 3, 2], &[0.5; 12], &listing).unwrap();
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        let metadata = reader.metadata().file_metadata().key_value_metadata().unwrap();
        assert_eq!((metadata[0].key.as_str(), metadata[0].value.as_deref()), ("shape", Some("[3,2]")));
        let row = reader.get_row_iter(None).unwrap().next().unwrap().unwrap();
        assert_eq!((row.get_column_iter().next().unwrap().0.as_str(), embedding(&row, 4).len()), ("text", 6));
        let nan = write(&[2, 1], &[1.0, f32::NAN], &listing).unwrap_err().to_string();
        assert!(nan.contains("not a finite number"), "{nan}");
        let short = write(&[2, 2], &[1.0; 3], &listing).unwrap_err().to_string();
        assert!(short.contains("cannot be read"), "{short}");
        assert!(!write(&[0, 4], &[], &Listing { key: "text", names: &[], of: &[], reading: None }).unwrap().is_empty());
    }
}
