//! `classify`.

use serde_json::json;
use vljepa::{Classifier, Result};

use super::args::{ClassifyArgs, Common};
use super::{Output, load, output};

pub fn run(args: &ClassifyArgs, common: &Common, out: &Output) -> Result<()> {
    let labels = match (&args.labels, &args.labels_file) {
        (Some(list), _) => vljepa::labels_from_list(list)?,
        (None, Some(file)) => vljepa::labels_from_file(file)?,
        // clap demands one of them; an empty list says the right thing.
        (None, None) => vljepa::labels_from_list("")?,
    };
    let files = vljepa::picture_files(&args.inputs)?;
    let (_, model) = load(&args.model, common)?;
    let bar = out.progress("labels", labels.len());
    let classifier = Classifier::new(&model, labels, &args.template, |n| bar.set_position(n as u64))?;
    bar.finish_and_clear();
    let bar = out.progress("pictures", files.len());
    let pictures = model.embed_files(&files, None, |n| bar.set_position(n as u64))?;
    bar.finish_and_clear();

    let ranked: Vec<_> = (0..files.len()).map(|i| classifier.rank(&pictures, i, args.top)).collect();
    if out.json {
        let result = |(file, labels): (&std::path::PathBuf, &Vec<vljepa::Prediction>)| json!({ "input": file.display().to_string(), "labels": labels });
        let results: Vec<_> = files.iter().zip(&ranked).map(result).collect();
        return out.document(&json!({
            "model": model.origin(), "adapter": vljepa::info::adapter_name(model.device()), "results": results,
        }));
    }
    let mut rows = Vec::new();
    for (file, labels) in files.iter().zip(&ranked) {
        for (i, p) in labels.iter().enumerate() {
            let name = if i == 0 { file.display().to_string() } else { String::new() };
            rows.push(vec![name, format!("{:5.1} %", 100.0 * p.score), format!("{:+.3}", p.cosine), p.label.clone()]);
        }
    }
    out.text(&output::columns(&rows))
}
