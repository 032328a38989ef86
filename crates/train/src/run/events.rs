//! The log as TensorBoard reads it: a file of `tensorflow.Event` records with scalar summaries (tensorflow/core/util/event.proto,
//! framework/summary.proto), framed as TFRecords (tensorflow/core/lib/io/record_writer.h).

use serde_json::Value;

/// Turns lines of the log into records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Events {
    /// Seconds since 1970 at which the run would have begun, had it not been interrupted.
    begin: f64,
    /// Seconds of training at the last line that told them.
    seconds: f64,
}

impl Events {
    /// What stands at the beginning of the file; training goes on now, `seconds` after it began.
    pub fn begin(seconds: f64) -> (Self, Vec<u8>) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let begin = now.as_secs_f64() - seconds;
        let mut event = Vec::new();
        double(&mut event, 1, begin);
        bytes(&mut event, 3, b"brain.Event:2");
        (Self { begin, seconds: 0.0 }, record(&event))
    }

    /// The record of a line: every number in it by the path of its keys.
    pub fn of(&mut self, line: &Value) -> Vec<u8> {
        self.seconds = line["seconds"].as_f64().unwrap_or(self.seconds);
        let mut summary = Vec::new();
        for (tag, number) in numbers(line) {
            let mut value = Vec::new();
            bytes(&mut value, 1, tag.as_bytes());
            varint(&mut value, 2 << 3 | 5);
            value.extend((number as f32).to_le_bytes());
            bytes(&mut summary, 1, &value);
        }
        let mut event = Vec::new();
        double(&mut event, 1, self.begin + self.seconds);
        varint(&mut event, 2 << 3);
        varint(&mut event, line["step"].as_u64().unwrap_or(0));
        bytes(&mut event, 5, &summary);
        record(&event)
    }
}

/// Every number of a line of `metrics.jsonl` but its step, by the path of its keys: `validation/count/r1`.
pub fn numbers(line: &Value) -> Vec<(String, f64)> {
    fn collect(value: &Value, path: &str, out: &mut Vec<(String, f64)>) {
        let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}/{key}") };
        match value {
            Value::Number(number) if path != "step" => {
                out.extend(number.as_f64().map(|number| (path.to_owned(), number)));
            }
            Value::Object(map) => map.iter().for_each(|(key, value)| collect(value, &below(key), out)),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(i, item)| collect(item, &below(&i.to_string()), out));
            }
            _ => {}
        }
    }
    let mut out = Vec::new();
    collect(line, "", &mut out);
    out
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn double(out: &mut Vec<u8>, field: u64, value: f64) {
    varint(out, field << 3 | 1);
    out.extend(value.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend(value);
}

/// Length, its checksum, the data, its checksum.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut out = Vec::with_capacity(data.len() + 16);
    out.extend(length);
    out.extend(masked(&length).to_le_bytes());
    out.extend(data);
    out.extend(masked(data).to_le_bytes());
    out
}

/// CRC-32C, turned by 15 bits and moved, so that the checksum of data with checksums is none of theirs.
fn masked(data: &[u8]) -> u32 {
    const CRC_32C: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
    CRC_32C.checksum(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Written by `RecordWriter` of tensorboard 2.21 for an `Event` at 1002 s, step 300, with the three scalars.
    const RECORD: &str = "4700000000000000bac3fb9b090000000000508f4010ac022a390a0b0a046c6f7373150000c03f0a0e0a077365636f6e6473150000\
                          00400a1a0a1376616c69646174696f6e2f636f756e742f7231150000803e790f0454";

    #[test]
    fn a_line_is_the_record_that_tensorboard_writes() {
        let mut events = Events { begin: 1000.0, seconds: 0.0 };
        let line = json!({"step": 300, "loss": 1.5, "seconds": 2.0, "note": "x", "validation": {"count": {"r1": 0.25, "r5": null}}});
        let record: String = events.of(&line).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(record, RECORD);
    }
}
