//! `ask`: answers a question about pictures and videos by ranking given answers.

use std::path::PathBuf;

use serde_json::json;
use vljepa::classify::{Classifier, Prediction, answers_from_list};
use vljepa::embed::files::find_files_counting;
use vljepa::embed::folder::Purpose;
use vljepa::embed::visuals::{Broken, FileOptions, embed_files, without_skipped};

use super::choices::{Choices, note_unclear, ranking};
use super::common::{Common, DamagedArg, ModelArgs, at_least_one, note_cut, note_query, open};
use super::failure::{Failure, Result};
use super::output::{self, Output};

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("choice"))]
pub struct Args {
    /// Picture or video files, or folders to search for them
    #[arg(required = true, value_name = "IN")]
    pub inputs: Vec<PathBuf>,
    /// The question
    #[arg(long, value_name = "TEXT")]
    pub question: String,
    /// Answers to choose among, separated by commas
    #[arg(long, value_name = "A,B,C", group = "choice")]
    pub answers: Option<String>,
    /// File with one answer per line
    #[arg(long, value_name = "FILE", group = "choice")]
    pub answers_file: Option<PathBuf>,
    /// Answers to show for each picture; absent: all
    #[arg(long, value_name = "K", value_parser = at_least_one)]
    pub top: Option<usize>,
    /// Leave out files that cannot be read instead of stopping at the first
    #[arg(long)]
    pub skip_broken: bool,
    /// What to do about frames of a video that are damaged
    #[arg(long, value_name = "WHAT", default_value = "stop")]
    pub damaged: DamagedArg,
    #[command(flatten)]
    pub model: ModelArgs,
}

pub fn run(args: &Args, common: &Common, out: &Output) -> Result {
    let list = args.answers.as_deref().map(answers_from_list).transpose()?;
    let answers = Choices::read("answer", list, args.answers_file.as_deref())?;
    if args.question.trim().is_empty() {
        return Err(Failure::message(
            "--question: the question is empty; say what is asked, as in --question \"What is it?\"",
        ));
    }
    let (files, passed) = find_files_counting(&args.inputs)?;
    out.passed_over(&passed);
    let folder = vljepa::find(args.model.model.as_deref())?.vljepa(Purpose::Answers)?;
    if !folder.takes_queries() {
        return Err(Failure::message(format!(
            "{}: the model has no query tokenizer, it was trained without queries and takes no question; \
             `vljepa classify` compares pictures with labels",
            folder.origin()
        )));
    }
    let Some(answers) = answers else {
        return Err(Failure::message(format!(
            "{}: an open answer needs a Y-Decoder, which this model does not have; pass the answers to choose among with \
             --answers a,b,c or --answers-file FILE",
            folder.origin()
        )));
    };
    let model = open(&folder, &args.model, common)?;
    let asked = model.with_query(Some(&args.question))?;
    note_query(&asked, Some("--question"), out);
    let bar = out.progress("answers", answers.texts.len());
    let top = args.top.unwrap_or(answers.texts.len());
    let progress = &mut |n| bar.set_position(n as u64);
    let classifier = Classifier::new_with(&model, answers.texts.clone(), "{}", progress)?;
    bar.finish_and_clear();
    note_cut(classifier.cut(), |i| answers.place(i), out);
    note_unclear(classifier.unclear(), &answers, out);
    let bar = out.progress("pictures", files.len());
    let progress = &mut |n| bar.set_position(n as u64);
    let mut noted = Vec::new();
    let on_note = &mut |note| noted.push(note);
    let options = FileOptions::default()
        .broken(Broken::skip(args.skip_broken))
        .damaged(args.damaged.into())
        .on_progress(progress)
        .on_note(on_note);
    let (predicted, skipped) = embed_files(&asked, &files, options)?;
    bar.finish_and_clear();
    out.skipped(&skipped);
    out.noted(&noted);
    let files: Vec<_> = without_skipped(&files, &skipped).collect();
    let ranked: Vec<_> = (0..files.len()).map(|i| classifier.rank(&predicted, i, top)).collect::<Result<_, _>>()?;
    if out.json {
        let results: Vec<_> = files
            .iter()
            .zip(&ranked)
            .map(|(file, answers)| {
                let answer =
                    |p: &Prediction| json!({ "answer": p.label, "score": p.score, "cosine": p.cosine });
                json!({ "input": file.display().to_string(), "answers": answers.iter().map(answer).collect::<Vec<_>>() })
            })
            .collect();
        return out.document(&json!({
            "model": model.origin(), "adapter": vljepa::info::adapter_name(model.device()), "question": args.question,
            "results": results, "skipped": output::paths(&skipped), "notes": output::notes(&noted),
        }));
    }
    out.text(&ranking(&files, &ranked, |p| (p.score, p.cosine, p.label.clone())))
}
