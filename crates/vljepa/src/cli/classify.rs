//! `classify`.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;
use vljepa::{AnyFolder, Broken, Classifier, Error, Need, Result, Skipped, VisionFolder, VisionModel, kept};

use super::args::{ClassifyArgs, Common};
use super::{Output, note_cut, note_query, open, output};

/// Labels or answers to choose among.
pub struct Choices {
    pub texts: Vec<String>,
    /// What one of them is called.
    what: &'static str,
    /// Where they were read, and the line of each.
    file: Option<(PathBuf, Vec<usize>)>,
}

impl Choices {
    /// Those of the list after `--{what}s`, else those of a file.
    pub fn read(what: &'static str, list: Option<Vec<String>>, file: Option<&Path>) -> Result<Option<Self>> {
        Ok(match (list, file) {
            (Some(texts), _) => Some(Self { texts, what, file: None }),
            (None, Some(path)) => {
                let (texts, lines) = vljepa_data::read_numbered_labels(path)?;
                Some(Self { texts, what, file: Some((path.to_path_buf(), lines)) })
            }
            (None, None) => None,
        })
    }

    /// Where one of them comes from.
    pub fn place(&self, index: usize) -> String {
        match &self.file {
            Some((path, lines)) => {
                format!("{}: line {}", path.display(), lines.get(index).copied().unwrap_or_default())
            }
            None => format!("--{what}s: {what} {}", index + 1, what = self.what),
        }
    }
}

pub fn run(args: &ClassifyArgs, common: &Common, out: &Output) -> Result<()> {
    let list = args.labels.as_deref().map(vljepa::labels_from_list).transpose()?;
    let labels = Choices::read("label", list, args.labels_file.as_deref())?;
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
    let bar = out.progress("labels", labels.texts.len());
    let classifier = Classifier::new(&model, labels.texts.clone(), &args.template, |n| bar.set_position(n as u64))?;
    bar.finish_and_clear();
    note_cut(classifier.cut(), |i| labels.place(i), out);
    note_query(&model.asked(None)?, None, out);
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
