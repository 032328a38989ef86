//! `classify`: ranks labels for pictures and videos, or the classes of a V-JEPA 2 classifier.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::json;
use vljepa::Builtin;
use vljepa::classify::{Classifier, Prediction, check_template, labels_from_list};
use vljepa::embed::folder::{AnyFolder, Purpose, VisionFolder};
use vljepa::embed::models::{ClassScore, Classified, VisionModel};
use vljepa::embed::visuals::{Embedded, FileOptions, Noted, Reading, RowOf, Skipped, embed_files};

use super::choices::{Choices, note_unclear, ranking};
use super::common::{Common, ModelArgs, at_least_one, note_cut, note_query, open};
use super::failure::{Failure, Result};
use super::output::{self, Output};
use super::read::ReadArgs;
use super::rows::{labels, object};

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what"))]
pub struct Args {
    /// Picture or video files, folders to search for them, or - for standard input
    #[arg(required = true, value_name = "IN")]
    pub inputs: Vec<PathBuf>,
    /// Labels, separated by commas; a V-JEPA 2 classifier has its own and takes none
    #[arg(long, value_name = "A,B,C", group = "what", required_unless_present_any = ["labels_file", "model"])]
    pub labels: Option<String>,
    /// File with one label per line
    #[arg(long, value_name = "FILE", group = "what")]
    pub labels_file: Option<PathBuf>,
    /// Text in which the label replaces {}
    #[arg(long, value_name = "TEXT", default_value = "{}")]
    pub template: String,
    /// Labels to show for each picture
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = at_least_one)]
    pub top: usize,
    #[command(flatten)]
    pub read: ReadArgs,
    #[command(flatten)]
    pub model: ModelArgs,
}

pub fn run(args: &Args, common: &Common, out: &Output) -> Result {
    check_template(&args.template)?;
    let list = args.labels.as_deref().map(labels_from_list).transpose()?;
    let labels = Choices::read("label", list, args.labels_file.as_deref())?;
    let reading = args.read.reading()?;
    let files = args.read.find(&args.inputs, out)?;
    let folder = vljepa::find(args.model.model.as_deref(), Builtin::Compact)?;
    let Some(labels) = labels else {
        return match &folder {
            AnyFolder::Vision(folder) if folder.labels().is_some() && args.template != "{}" => {
                Err(Failure::message(format!(
                    "{}: a V-JEPA 2 classifier scores its own classes and uses no template; leave --template out",
                    folder.origin()
                )))
            }
            AnyFolder::Vision(folder) if folder.labels().is_some() => {
                classes(folder, &files, reading, args, common, out)
            }
            AnyFolder::VlJepa(folder) => Err(Failure::message(format!(
                "{}: a VL-JEPA has no classes of its own; pass --labels a,b,c or --labels-file FILE",
                folder.origin()
            ))),
            other => Err(other.cannot(Purpose::Labels).into()),
        };
    };
    let folder = folder.vljepa(Purpose::Labels)?;
    let model = open(&folder, &args.model, common)?;
    let bar = out.progress("labels", labels.texts.len());
    let progress = &mut |n| bar.set_position(n as u64);
    let classifier = Classifier::new_with(&model, labels.texts.clone(), &args.template, progress)?;
    bar.finish_and_clear();
    note_cut(classifier.cut(), |i| labels.place(i), out);
    note_unclear(classifier.unclear(), &labels, out);
    let asked = model.with_query(None)?;
    note_query(&asked, None, out);
    reading.check(&asked)?;
    let work = |options: FileOptions<'_>| Ok(embed_files(&asked, &files, options)?);
    let (Embedded { rows: pictures, of, skipped }, noted) = args.read.with_options(reading, files.len(), out, work)?;
    let ranked: Vec<_> =
        (0..pictures.rows()).map(|i| classifier.rank(&pictures, i, args.top)).collect::<Result<_, _>>()?;
    let cells = |p: &Prediction| (p.score, p.cosine, p.label.clone());
    let source = [model.origin(), &vljepa::info::adapter_name(model.device())];
    print_ranked(source, (&files, &of), &skipped, &noted, &ranked, cells, out)
}

/// Ranks the classes that a V-JEPA 2 classifier was trained on.
fn classes(
    folder: &VisionFolder,
    files: &[PathBuf],
    reading: Reading,
    args: &Args,
    common: &Common,
    out: &Output,
) -> Result {
    let device = vljepa::open_device(&common.device)?;
    let model = VisionModel::load_as(&device, folder, args.model.precision.into())?;
    model.check_classify(&reading)?;
    let work = |options: FileOptions<'_>| Ok(model.classify(files, args.top, options)?);
    let (Classified { classes, of, skipped }, noted) = args.read.with_options(reading, files.len(), out, work)?;
    let cells = |c: &ClassScore| (c.score, c.logit, c.label.clone());
    let source = [model.origin(), &vljepa::info::adapter_name(&device)];
    print_ranked(source, (files, &of), &skipped, &noted, &classes, cells, out)
}

/// Prints the ranked labels of every row. `cells` gives score, cosine or logit, and name of a
/// label.
fn print_ranked<T: Serialize>(
    [model, adapter]: [&str; 2],
    (files, of): (&[PathBuf], &[RowOf]),
    skipped: &[Skipped],
    noted: &[Noted],
    ranked: &[Vec<T>],
    cells: impl Fn(&T) -> (f64, f32, String),
    out: &Output,
) -> Result {
    out.skipped(skipped);
    if out.json {
        let result = |(row, labels): (&RowOf, &Vec<T>)| {
            let mut result = object(row, files);
            result.insert("labels".into(), json!(labels));
            result
        };
        let results: Vec<_> = of.iter().zip(ranked).map(result).collect();
        return out.document(&json!({
            "model": model, "adapter": adapter, "results": results, "skipped": output::paths(skipped),
            "notes": output::notes(noted),
        }));
    }
    out.text(&ranking(&labels(of, files), ranked, cells))
}
