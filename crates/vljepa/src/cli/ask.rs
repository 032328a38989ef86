//! `ask`: answers a question about pictures and videos by ranking given answers.

use std::path::PathBuf;

use serde_json::json;
use vljepa::Builtin;
use vljepa::classify::{Classifier, Prediction, answers_from_list};
use vljepa::embed::folder::Purpose;
use vljepa::embed::models::{WithQuery, Written};
use vljepa::embed::visuals::{Embedded, FileOptions, Reading, RowOf, embed_files};
use vljepa::stream::BEAMS;
use vljepa_model::Search;

use super::caption::no_decoder;
use super::choices::{Choices, note_unclear, ranking};
use super::common::{Common, ModelArgs, at_least_one, note_cut, note_query, open};
use super::failure::{Failure, Result};
use super::output::{self, Output};
use super::read::ReadArgs;
use super::rows::{labels, object};

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("choice"))]
pub struct Args {
    /// Picture or video files, folders to search for them, or - for standard input
    #[arg(required = true, value_name = "IN")]
    pub inputs: Vec<PathBuf>,
    /// The question
    #[arg(long, value_name = "TEXT")]
    pub question: String,
    /// Answers to choose among, separated by commas; without any the model's Y-Decoder writes one
    #[arg(long, value_name = "A,B,C", group = "choice")]
    pub answers: Option<String>,
    /// File with one answer per line
    #[arg(long, value_name = "FILE", group = "choice")]
    pub answers_file: Option<PathBuf>,
    /// Answers to show for each picture; absent: all
    #[arg(long, value_name = "K", value_parser = at_least_one)]
    pub top: Option<usize>,
    #[command(flatten)]
    pub read: ReadArgs,
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
    if answers.is_none() && args.top.is_some() {
        let reason = "--top goes with --answers or --answers-file: the model writes one answer".into();
        return Err(Failure::Usage { verb: "ask", reason });
    }
    let reading = args.read.reading()?;
    let files = args.read.find(&args.inputs, out)?;
    let folder = vljepa::find(args.model.model.as_deref(), Builtin::Sprites)?.vljepa(Purpose::Answers)?;
    if !folder.takes_queries() {
        return Err(Failure::message(format!(
            "{}: the model has no query tokenizer, it was trained without queries and takes no question; \
             `vljepa classify` compares pictures with labels",
            folder.origin()
        )));
    }
    if answers.is_none() && !folder.writes() {
        return Err(no_decoder(
            folder.origin(),
            "pass the answers to choose among with --answers a,b,c or --answers-file FILE",
        ));
    }
    let model = open(&folder, &args.model, common)?;
    let asked = model.with_query(Some(&args.question))?;
    note_query(&asked, Some("--question"), out);
    let Some(answers) = answers else { return written(args, &asked, &files, reading, out) };
    let bar = out.progress("answers", answers.texts.len());
    let top = args.top.unwrap_or(answers.texts.len());
    let progress = &mut |n| bar.set_position(n as u64);
    let classifier = Classifier::new_with(&model, answers.texts.clone(), "{}", progress)?;
    bar.finish_and_clear();
    note_cut(classifier.cut(), |i| answers.place(i), out);
    note_unclear(classifier.unclear(), &answers, out);
    reading.check(&asked)?;
    let work = |options: FileOptions<'_>| Ok(embed_files(&asked, &files, options)?);
    let (Embedded { rows, of, skipped }, noted) = args.read.with_options(reading, files.len(), out, work)?;
    out.skipped(&skipped);
    let ranked: Vec<_> = (0..rows.rows()).map(|i| classifier.rank(&rows, i, top)).collect::<Result<_, _>>()?;
    if out.json {
        let answer = |p: &Prediction| json!({ "answer": p.label, "score": p.score, "cosine": p.cosine });
        let result = |(row, answers): (&RowOf, &Vec<Prediction>)| {
            let mut result = object(row, &files);
            result.insert("answers".into(), answers.iter().map(answer).collect());
            result
        };
        let results: Vec<_> = of.iter().zip(&ranked).map(result).collect();
        return out.document(&json!({
            "model": model.origin(), "adapter": vljepa::info::adapter_name(model.device()), "question": args.question,
            "results": results, "skipped": output::paths(&skipped), "notes": output::notes(&noted),
        }));
    }
    out.text(&ranking(&labels(&of, &files), &ranked, |p| (p.score, p.cosine, p.label.clone())))
}

/// Answers in the model's own words.
fn written(args: &Args, asked: &WithQuery<'_>, files: &[PathBuf], reading: Reading, out: &Output) -> Result {
    reading.check(asked)?;
    let work = |options: FileOptions<'_>| Ok(embed_files(asked, files, options)?);
    let (Embedded { rows, of, skipped }, noted) = args.read.with_options(reading, files.len(), out, work)?;
    out.skipped(&skipped);
    let model = asked.model();
    let search = Search { beams: BEAMS, ..Search::default() };
    let answers = model.write(&rows.into_values(), &search)?;
    if out.json {
        let result = |(row, answer): (&RowOf, &Written)| {
            let mut result = object(row, files);
            result.insert("answers".into(), json!([{ "answer": answer.text, "score": answer.score }]));
            result
        };
        let results: Vec<_> = of.iter().zip(&answers).map(result).collect();
        return out.document(&json!({
            "model": model.origin(), "adapter": vljepa::info::adapter_name(model.device()), "question": args.question,
            "results": results, "skipped": output::paths(&skipped), "notes": output::notes(&noted),
        }));
    }
    let lines = labels(&of, files).into_iter().zip(answers).map(|(label, answer)| vec![label, answer.text]);
    out.text(&output::columns(&lines.collect::<Vec<_>>()))
}
