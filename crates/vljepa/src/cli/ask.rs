//! `ask`.

use serde_json::json;
use vljepa::{AnyFolder, Broken, Classifier, Error, Need, Result, kept};

use super::args::{AskArgs, Common};
use super::classify::Choices;
use super::{Output, classify, note_cut, note_query, open, output};

pub fn run(args: &AskArgs, common: &Common, out: &Output) -> Result<()> {
    let list = args.answers.as_deref().map(vljepa::answers_from_list).transpose()?;
    let answers = Choices::read("answer", list, args.answers_file.as_deref())?;
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
    let asked = model.asked(Some(&args.question))?;
    note_query(&asked, Some("--question"), out);
    let bar = out.progress("answers", answers.texts.len());
    let top = args.top.unwrap_or(answers.texts.len());
    let classifier = Classifier::new(&model, answers.texts.clone(), "{}", |n| bar.set_position(n as u64))?;
    bar.finish_and_clear();
    note_cut(classifier.cut(), |i| answers.place(i), out);
    let bar = out.progress("pictures", files.len());
    let broken = Broken::skip(args.skip_broken);
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
