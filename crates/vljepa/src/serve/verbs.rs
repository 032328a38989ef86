//! What can be asked about pictures and videos: classify, ask, caption, embed, embed texts, search.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use vljepa_embed::Embeddings;
use vljepa_embed::rows::{Match, best, softmax};

use super::app::App;
use super::body::receive;
use super::fault::{Fault, Result};
use super::look::{Looked, Named, document, filled, look, read_texts, texts};
use super::media::{Input, Part};
use super::queue::Lane;
use super::seen::{Found, picture_url};
use super::session::Session;
use crate::classify::check_template;
use crate::stream::BEAMS;

/// Most results that a request may ask for.
const MAX_TOP: usize = 1000;
/// Most moments that a search gives.
const MAX_FOUND: usize = 100;

/// The fields of a request about pictures and videos, and its own.
macro_rules! request {
    ($name:ident { $($(#[$meta:meta])* $field:ident: $type:ty),* $(,)? }) => {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $name {
            #[serde(default, deserialize_with = "texts")]
            input: Vec<String>,
            start: Option<f64>,
            end: Option<f64>,
            frames: Option<usize>,
            $($(#[$meta])* $field: $type,)*
        }

        impl $name {
            fn named(&mut self, files: Vec<Input>) -> Vec<Named> {
                let texts = std::mem::take(&mut self.input).into_iter().map(Named::Text);
                files.into_iter().map(Named::File).chain(texts).collect()
            }

            fn part(&self) -> Part {
                Part { start: self.start, end: self.end, frames: self.frames }
            }
        }
    };
}

request!(Classify {
    #[serde(default, deserialize_with = "texts")]
    labels: Vec<String>,
    template: Option<String>,
    top: Option<usize>,
});

request!(Ask {
    question: String,
    #[serde(default, deserialize_with = "texts")]
    answers: Vec<String>,
    top: Option<usize>,
});

request!(Caption { query: Option<String>, beams: Option<usize> });

request!(Embed { query: Option<String> });

request!(Search {
    #[serde(default, deserialize_with = "texts", alias = "texts")]
    text: Vec<String>,
    #[serde(default, deserialize_with = "texts")]
    streams: Vec<String>,
    top: Option<usize>,
});

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmbedText {
    #[serde(deserialize_with = "texts")]
    texts: Vec<String>,
}

fn top(given: Option<usize>, otherwise: usize, most: usize) -> Result<usize> {
    match given.unwrap_or(otherwise) {
        top if (1..=most).contains(&top) => Ok(top),
        top => Err(Fault::field("top", format!("{top} results are asked for; from 1 to {most} are given"))),
    }
}

/// Texts to choose among, each of which must differ.
fn choices(param: &str, given: &[String]) -> Result<()> {
    let mut seen = HashSet::new();
    match given.iter().find(|text| !seen.insert(text.as_str())) {
        Some(twice) => Err(Fault::field(param, format!("{twice:?} is there twice; every text must differ"))),
        None => Ok(()),
    }
}

/// Refuses a question, of the field `param`, that says nothing or that the model does not take.
fn asks(app: &App, param: &str, question: Option<&str>) -> Result<()> {
    let Some(question) = question else { return Ok(()) };
    filled(param, question)?;
    match app.worker.facts().asks {
        true => Ok(()),
        false => Err(Fault::field(
            param,
            "this model was trained without questions and takes none; classify compares with labels",
        )),
    }
}

fn writes(app: &App, instead: &str) -> Result<()> {
    match app.worker.facts().writes {
        true => Ok(()),
        false => Err(Fault::bad(format!("this model has no Y-Decoder, so it writes no sentences; {instead}"))),
    }
}

/// The beginning of every answer, and its notes at the end.
fn with_model(
    app: &App,
    mut fields: Map<String, Value>,
    looked: &[(usize, String)],
    names: &[String],
    notes: &[String],
) -> Value {
    let facts = app.worker.facts();
    fields.insert("model".into(), json!(facts.id));
    fields.insert("adapter".into(), json!(facts.adapter));
    let of_inputs = looked.iter().map(|(i, note)| json!({ "input": names.get(*i), "note": note }));
    let of_texts = notes.iter().map(|note| json!({ "input": null, "note": note }));
    fields.insert("notes".into(), of_inputs.chain(of_texts).collect());
    Value::Object(fields)
}

fn fields<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The candidates for each row, best first: place, softmax over all, cosine.
fn ranked(rows: &Embeddings, candidates: &Embeddings, scale: f32, top: usize) -> Result<Vec<Vec<(usize, f64, f32)>>> {
    let rank = |i| {
        let cosines = rows.cosines(i, candidates)?;
        let scores = softmax(&cosines, scale);
        Ok(best(&cosines, top).into_iter().map(|Match { index, cosine }| (index, scores[index], cosine)).collect())
    };
    (0..rows.rows()).map(rank).collect()
}

/// `POST /api/classify`
pub(super) async fn classify(State(app): State<Arc<App>>, request: Request) -> Result<Response> {
    let _place = app.place()?;
    let (mut asked, files) = receive(&app, request).await?.fields::<Classify>()?;
    choices("labels", &asked.labels)?;
    let template = asked.template.as_deref().unwrap_or("{}");
    check_template(template)?;
    let top = top(asked.top, 5, MAX_TOP)?;
    let labels: Vec<String> = asked.labels.iter().map(|label| template.replace("{}", label)).collect();
    let (named, part) = (asked.named(files), asked.part());
    app.within(async {
        let read = read_texts(&app, "labels", labels).await?;
        let looked = look(&app, named, part, None).await?;
        let facts = app.worker.facts();
        let ranked = ranked(&looked.rows, &Embeddings::from_unit_rows(facts.dim, read.rows), facts.scale, top)?;
        let label = |(i, score, cosine): (usize, f64, f32)| json!({ "label": asked.labels[i], "score": score, "cosine": cosine });
        let results = looked.names.iter().zip(ranked).map(|(name, ranked)| {
            json!({ "input": name, "labels": ranked.into_iter().map(label).collect::<Vec<_>>() })
        });
        let body = fields([("results", results.collect())]);
        Ok(document(&with_model(&app, body, &looked.notes, &looked.names, &read.notes)))
    })
    .await
}

/// `POST /api/ask`
pub(super) async fn ask(State(app): State<Arc<App>>, request: Request) -> Result<Response> {
    let _place = app.place()?;
    let (mut asked, files) = receive(&app, request).await?.fields::<Ask>()?;
    asks(&app, "question", Some(&asked.question))?;
    choices("answers", &asked.answers)?;
    if asked.answers.is_empty() {
        writes(&app, "give `answers` to choose among")?;
    }
    let top = top(asked.top, MAX_TOP, MAX_TOP)?;
    let (named, part, question) = (asked.named(files), asked.part(), asked.question);
    app.within(async {
        let looked = look(&app, named, part, Some(&question)).await?;
        let facts = app.worker.facts();
        let mut notes = Vec::new();
        let answers: Vec<Vec<Value>> = if asked.answers.is_empty() {
            let told = app.worker.tell(Lane::Request, looked.rows.as_slice().to_vec(), BEAMS)?.answer().await?;
            told.into_iter().map(|told| vec![json!({ "answer": told.text, "score": told.score })]).collect()
        } else {
            let read = read_texts(&app, "answers", asked.answers.clone()).await?;
            notes = read.notes;
            let ranked = ranked(&looked.rows, &Embeddings::from_unit_rows(facts.dim, read.rows), facts.scale, top)?;
            let answer = |(i, score, cosine): (usize, f64, f32)| json!({ "answer": asked.answers[i], "score": score, "cosine": cosine });
            ranked.into_iter().map(|ranked| ranked.into_iter().map(answer).collect()).collect()
        };
        let results = looked.names.iter().zip(answers).map(|(name, answers)| json!({ "input": name, "answers": answers }));
        let body = fields([("question", json!(question)), ("results", results.collect())]);
        Ok(document(&with_model(&app, body, &looked.notes, &looked.names, &notes)))
    })
    .await
}

/// `POST /api/caption`
pub(super) async fn caption(State(app): State<Arc<App>>, request: Request) -> Result<Response> {
    let _place = app.place()?;
    let (mut asked, files) = receive(&app, request).await?.fields::<Caption>()?;
    writes(&app, "classify compares with labels")?;
    asks(&app, "query", asked.query.as_deref())?;
    let beams = asked.beams.unwrap_or(BEAMS);
    if !(1..=64).contains(&beams) {
        return Err(Fault::field("beams", format!("{beams} sentences to follow at once; from 1 to 64 can be")));
    }
    let (named, part, query) = (asked.named(files), asked.part(), asked.query);
    app.within(async {
        let looked = look(&app, named, part, query.as_deref()).await?;
        let told = app.worker.tell(Lane::Request, looked.rows.as_slice().to_vec(), beams)?.answer().await?;
        let results = looked
            .names
            .iter()
            .zip(told)
            .map(|(name, told)| json!({ "input": name, "text": told.text, "score": told.score }));
        let body = fields([("query", json!(query)), ("results", results.collect())]);
        Ok(document(&with_model(&app, body, &looked.notes, &looked.names, &[])))
    })
    .await
}

/// `POST /api/embed`
pub(super) async fn embed(State(app): State<Arc<App>>, request: Request) -> Result<Response> {
    let _place = app.place()?;
    let (mut asked, files) = receive(&app, request).await?.fields::<Embed>()?;
    asks(&app, "query", asked.query.as_deref())?;
    let (named, part, query) = (asked.named(files), asked.part(), asked.query);
    app.within(async {
        let Looked { names, rows, notes, .. } = look(&app, named, part, query.as_deref()).await?;
        let row = |(i, name): (usize, &String)| json!({ "input": name, "embedding": rows.row(i) });
        let body = fields([("dim", json!(rows.dim())), ("rows", names.iter().enumerate().map(row).collect())]);
        Ok(document(&with_model(&app, body, &notes, &names, &[])))
    })
    .await
}

/// `POST /api/embed-text`
pub(super) async fn embed_text(State(app): State<Arc<App>>, request: Request) -> Result<Response> {
    let _place = app.place()?;
    let (asked, files) = receive(&app, request).await?.fields::<EmbedText>()?;
    if !files.is_empty() {
        return Err(Fault::bad("texts are embedded here; send files to /api/embed"));
    }
    app.within(async {
        let dim = app.worker.facts().dim;
        let read = read_texts(&app, "texts", asked.texts.clone()).await?;
        let row = |(text, row): (&String, &[f32])| json!({ "text": text, "embedding": row });
        let rows = asked.texts.iter().zip(read.rows.chunks_exact(dim)).map(row);
        let body = fields([("dim", json!(dim)), ("rows", rows.collect())]);
        Ok(document(&with_model(&app, body, &[], &[], &read.notes)))
    })
    .await
}

/// `POST /api/search`
pub(super) async fn search(State(app): State<Arc<App>>, request: Request) -> Result<Response> {
    let _place = app.place()?;
    let (mut asked, files) = receive(&app, request).await?.fields::<Search>()?;
    let top = top(asked.top, 10, MAX_FOUND)?;
    let hash = app.worker.facts().hash.clone();
    let mut sessions = match asked.streams.as_slice() {
        [] => app.sessions.all(),
        ids => ids.iter().map(|id| app.sessions.get(id).map_err(|fault| fault.of("streams"))).collect::<Result<_>>()?,
    };
    // Rows of another model say nothing here.
    sessions.retain(|session| session.about().model_hash == hash);
    let (named, part, words) = (asked.named(files), asked.part(), std::mem::take(&mut asked.text));
    if named.is_empty() && words.is_empty() {
        return Err(Fault::field("text", "nothing to search for: give `text`, or `input` for what looks alike"));
    }
    app.within(async {
        let dim = app.worker.facts().dim;
        let (mut rows, mut of, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        if !words.is_empty() {
            let read = read_texts(&app, "text", words.clone()).await?;
            rows.extend(read.rows);
            of.extend(words.into_iter().map(|text| ("text", text)));
            notes = read.notes;
        }
        if !named.is_empty() {
            let looked = look(&app, named, part, None).await?;
            rows.extend_from_slice(looked.rows.as_slice());
            of.extend(looked.names.into_iter().map(|name| ("input", name)));
        }
        let found = app
            .blocking(move || Ok(rows.chunks_exact(dim).map(|row| nearest(&sessions, row, top)).collect::<Vec<_>>()))
            .await?;
        let searches = of.into_iter().zip(found).map(|((kind, name), found)| json!({ kind: name, "results": found }));
        let body = fields([("searches", searches.collect())]);
        Ok(document(&with_model(&app, body, &[], &[], &notes)))
    })
    .await
}

/// The best moments of all streams.
fn nearest(sessions: &[Arc<Session>], row: &[f32], top: usize) -> Vec<Value> {
    let of = |session: &Arc<Session>| {
        session.nearest(row, top).into_iter().map(|found| (Arc::clone(session), found)).collect::<Vec<_>>()
    };
    let mut all: Vec<(Arc<Session>, Found)> = sessions.iter().flat_map(of).collect();
    all.sort_by(|(_, a), (_, b)| b.score.total_cmp(&a.score));
    let result = |(i, (session, found)): (usize, (Arc<Session>, Found))| {
        json!({
            "rank": i + 1, "stream": session.id(), "name": session.about().name, "start_s": found.start, "end_s": found.end,
            "score": found.score, "text": found.text.as_deref(), "picture": found.picture.as_deref().map(picture_url),
        })
    };
    all.into_iter().take(top).enumerate().map(result).collect()
}
