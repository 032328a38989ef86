//! `ask`.

use serde_json::json;
use vljepa::{AnyFolder, Broken, Classifier, Error, Need, Result, kept};

use super::args::{AskArgs, Common};
use super::{Output, classify, open, output};

pub fn run(args: &AskArgs, common: &Common, out: &Output) -> Result<()> {
    let answers = match (&args.answers, &args.answers_file) {
        (Some(list), _) => Some(vljepa::answers_from_list(list)?),
        (None, Some(file)) => Some(vljepa::labels_from_file(file)?),
        (None, None) => None,
    };
    if args.question.trim().is_empty() {
        return Err(Error::Invalid(
            "--question: the question is empty; say what is asked, as in --question \"What is it?\"".into(),
        ));
    }
    let files = vljepa::picture_files(&args.inputs)?;
    let folder = AnyFolder::find(args.model.model.as_deref())?.vljepa(Need::Answers)?;
    if !folder.takes_queries() {
        return Err(Error::Invalid(format!(
            "{}: the model has no query tokenizer, it was trained without queries and takes no question; \
             `vljepa classify` compares pictures with labels",
            folder.origin()
        )));
    }
    let Some(answers) = answers else {
        return Err(Error::Invalid(format!(
            "{}: an open answer needs a Y-Decoder, which this model does not have; pass --answers a,b,c or --answers-file \
             FILE to choose among",
            folder.origin()
        )));
    };
    let model = open(&folder, &args.model, common)?;
    let bar = out.progress("answers", answers.len());
    let top = args.top.unwrap_or(answers.len());
    let classifier = Classifier::new(&model, answers, "{}", |n| bar.set_position(n as u64))?;
    bar.finish_and_clear();
    let bar = out.progress("pictures", files.len());
    let (asked, broken) = (model.asked(Some(&args.question))?, Broken::skip(args.skip_broken));
    let (predicted, skipped) = vljepa::embed_files(&asked, &files, broken, |n| bar.set_position(n as u64))?;
    bar.finish_and_clear();
    out.skipped(&skipped);
    let files: Vec<_> = kept(&files, &skipped).collect();
    let ranked: Vec<_> = (0..files.len()).map(|i| classifier.rank(&predicted, i, top)).collect();
    if out.json {
        let results: Vec<_> = files
            .iter()
            .zip(&ranked)
            .map(|(file, answers)| {
                let answer =
                    |p: &vljepa::Prediction| json!({ "answer": p.label, "score": p.score, "cosine": p.cosine });
                json!({ "input": file.display().to_string(), "answers": answers.iter().map(answer).collect::<Vec<_>>() })
            })
            .collect();
        return out.document(&json!({
            "model": model.origin(), "adapter": vljepa::info::adapter_name(model.device()), "question": args.question,
            "results": results, "skipped": output::paths(&skipped),
        }));
    }
    out.text(&classify::ranking(&files, &ranked, |p| (p.score, p.cosine, p.label.clone())))
}
