//! `inspect`: shows the content of a checkpoint, a model folder or an index.

use std::path::PathBuf;

use serde_json::Value;
use vljepa::inspect::{Inspection, TensorInfo};

use super::common::Common;
use super::failure::Result;
use super::output::{self, Output};

/// Characters of a value that are shown; JSON output has the whole value.
const SHOWN: usize = 80;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Safetensors file, index of shards, PyTorch checkpoint, model folder, or index of pictures
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

pub fn run(args: &Args, _: &Common, out: &Output) -> Result {
    let inspection = Inspection::of(&args.file)?;
    if out.json {
        return out.document(&inspection);
    }
    let mut text = format!(
        "{}: {}, {} bytes, {} tensors, {} parameters\n",
        inspection.path,
        inspection.kind,
        inspection.bytes,
        inspection.tensors.len(),
        inspection.parameters
    );
    if !inspection.tensors.is_empty() {
        text += "\ntensors\n";
        let row = |t: &TensorInfo| {
            let shape: Vec<String> = t.shape.iter().map(usize::to_string).collect();
            vec![
                format!("  {}", line(&t.name)),
                t.dtype.to_owned(),
                format!("[{}]", shape.join(", ")),
                t.bytes.to_string(),
            ]
        };
        text += &output::columns(&inspection.tensors.iter().map(row).collect::<Vec<_>>());
    }
    if let Some(Value::Object(config)) = &inspection.config {
        text += "\nconfig.json\n";
        text += &pairs(config.iter().map(|(key, value)| (key.as_str(), value.to_string())));
    }
    if !inspection.metadata.is_empty() {
        text += "\nmetadata\n";
        let plain = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
        text += &pairs(inspection.metadata.iter().map(|(key, value)| (key.as_str(), plain(value))));
    }
    if !inspection.unreadable.is_empty() {
        text += "\nnot readable\n";
        text += &pairs(inspection.unreadable.iter().map(|(key, what)| (key.as_str(), what.clone())));
    }
    out.text(&text)
}

/// Names and values in columns, one line each.
fn pairs<'a>(values: impl Iterator<Item = (&'a str, String)>) -> String {
    let short = |value: String| {
        let value = line(&value);
        match value.char_indices().nth(SHOWN) {
            Some((at, _)) => format!("{}…", &value[..at]),
            None => value,
        }
    };
    output::columns(&values.map(|(key, value)| vec![format!("  {}", line(key)), short(value)]).collect::<Vec<_>>())
}

/// A text from a file as one line without control characters.
fn line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.replace(char::is_control, "\u{fffd}")
}
