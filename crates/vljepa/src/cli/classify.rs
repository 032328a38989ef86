//! `classify`.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::json;
use vljepa::{AnyFolder, Broken, Classifier, Error, Need, Result, Skipped, VisionFolder, VisionModel, kept};

use super::args::{ClassifyArgs, Common};
use super::{Output, open, output};

pub fn run(args: &ClassifyArgs, common: &Common, out: &Output) -> Result<()> {
    let labels = match (&args.labels, &args.labels_file) {
        (Some(list), _) => Some(vljepa::labels_from_list(list)?),
        (None, Some(file)) => Some(vljepa::labels_from_file(file)?),
        (None, None) => None,
    };
    let files = vljepa::picture_files(&args.inputs)?;
    let folder = AnyFolder::find(args.model.model.as_deref())?;
    let Some(labels) = labels else {
        return match &folder {
            AnyFolder::Vision(folder) if folder.labels().is_some() && args.template != "{}" => {
                Err(Error::Invalid(format!(
                    "{}: a V-JEPA 2 classifier scores its own classes and puts them into no text; leave --template out",
                    folder.origin()
                )))
            }
            AnyFolder::Vision(folder) if folder.labels().is_some() => classes(folder, &files, args, common, out),
            AnyFolder::VlJepa(folder) => Err(Error::Invalid(format!(
                "{}: a VL-JEPA has no classes of its own; pass --labels a,b,c or --labels-file FILE",
                folder.origin()
            ))),
            other => Err(other.cannot(Need::Labels)),
        };
    };
    let folder = folder.vljepa(Need::Labels)?;
    let model = open(&folder, &args.model, common)?;
    let bar = out.progress("labels", labels.len());
    let classifier = Classifier::new(&model, labels, &args.template, |n| bar.set_position(n as u64))?;
    bar.finish_and_clear();
    let bar = out.progress("pictures", files.len());
    let (asked, broken) = (model.asked(None)?, Broken::skip(args.skip_broken));
    let (pictures, skipped) = vljepa::embed_files(&asked, &files, broken, |n| bar.set_position(n as u64))?;
    bar.finish_and_clear();
    let ranked: Vec<_> = (0..pictures.rows()).map(|i| classifier.rank(&pictures, i, args.top)).collect();
    let cells = |p: &vljepa::Prediction| (p.score, p.cosine, p.label.clone());
    let by = [model.origin(), &vljepa::info::adapter_name(model.device())];
    deliver(by, &files, &skipped, &ranked, cells, out)
}

/// The classes that a V-JEPA 2 classifier was trained on.
fn classes(folder: &VisionFolder, files: &[PathBuf], args: &ClassifyArgs, common: &Common, out: &Output) -> Result<()> {
    let device = vljepa::open_device(&common.device)?;
    let model = VisionModel::load_as(&device, folder, args.model.precision.into())?;
    let bar = out.progress("pictures", files.len());
    let broken = Broken::skip(args.skip_broken);
    let (ranked, skipped) = model.classify(files, args.top, broken, |n| bar.set_position(n as u64))?;
    bar.finish_and_clear();
    let cells = |c: &vljepa::ClassScore| (c.score, c.logit, c.label.clone());
    let by = [model.origin(), &vljepa::info::adapter_name(&device)];
    deliver(by, files, &skipped, &ranked, cells, out)
}

/// Ranked labels of every file that was not left out, by a model on an adapter; `cells` gives score, cosine or logit, and
/// name of one.
fn deliver<T: Serialize>(
    [model, adapter]: [&str; 2],
    files: &[PathBuf],
    skipped: &[Skipped],
    ranked: &[Vec<T>],
    cells: impl Fn(&T) -> (f64, f32, String),
    out: &Output,
) -> Result<()> {
    out.skipped(skipped);
    let files: Vec<_> = kept(files, skipped).collect();
    if out.json {
        let result =
            |(file, labels): (&&PathBuf, &Vec<T>)| json!({ "input": file.display().to_string(), "labels": labels });
        let results: Vec<_> = files.iter().zip(ranked).map(result).collect();
        return out.document(&json!({
            "model": model, "adapter": adapter, "results": results, "skipped": output::paths(skipped),
        }));
    }
    out.text(&ranking(&files, ranked, cells))
}

/// Lines of file, score, cosine or logit, and name; the file on the first line of its ranking.
pub fn ranking<T>(files: &[&PathBuf], ranked: &[Vec<T>], cells: impl Fn(&T) -> (f64, f32, String)) -> String {
    let mut rows = Vec::new();
    for (file, labels) in files.iter().zip(ranked) {
        for (i, label) in labels.iter().enumerate() {
            let name = if i == 0 { file.display().to_string() } else { String::new() };
            let (score, value, label) = cells(label);
            rows.push(vec![name, format!("{:5.1} %", 100.0 * score), format!("{value:+.3}"), label]);
        }
    }
    output::columns(&rows)
}
