//! Pictures and videos of a request to rows, and texts of a request.

use std::sync::Arc;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::future::try_join_all;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use vljepa_embed::Embeddings;

use super::app::App;
use super::body::MAX_FILES;
use super::fault::{Fault, Result};
use super::media::{Clip, Input, Part, by_frames, prepare};
use super::queue::Lane;
use super::worker::TextRows;

/// Most texts in one request.
pub(super) const MAX_TEXTS: usize = 1000;

/// What a request names to be looked at.
pub(super) enum Named {
    /// A file that was uploaded.
    File(Input),
    /// A data URL, or a path in an allowed folder.
    Text(String),
}

/// Rows of what was looked at.
pub(super) struct Looked {
    /// What the client calls each.
    pub names: Vec<String>,
    /// A row for each.
    pub rows: Embeddings,
    /// Vision tokens of all.
    pub tokens: usize,
    /// What is to be known of each: its place, and one line.
    pub notes: Vec<(usize, String)>,
}

/// Reads what is named, and has the model look at it, asked `query` or none.
///
/// # Errors
/// Nothing or too much to look at, what cannot be read, and those of the model.
pub(super) async fn look(app: &App, named: Vec<Named>, part: Part, query: Option<&str>) -> Result<Looked> {
    if named.is_empty() {
        return Err(Fault::field(
            "input",
            "nothing to look at: give `input`, a data URL or an allowed path, or upload a file",
        ));
    }
    if named.len() > MAX_FILES {
        return Err(Fault::field(
            "input",
            format!("{} things to look at; at most {MAX_FILES} are taken at once", named.len()),
        ));
    }
    let facts = app.worker.facts();
    if query.is_some() && !facts.asks {
        return Err(Fault::field("query", "this model was trained without questions and takes none"));
    }
    let read = named.into_iter().map(|named| {
        let (inbox, facts) = (Arc::clone(&app.inbox), facts.clone());
        app.decoding(move || {
            let input = match named {
                Named::File(input) => input,
                Named::Text(text) => inbox.input(&text).map_err(|fault| fault.of("input"))?,
            };
            let clip = prepare(&input, part, &facts).map_err(|fault| fault.of("input"))?;
            Ok((input.name, clip))
        })
    });
    let (names, clips): (Vec<String>, Vec<Clip>) = try_join_all(read).await?.into_iter().unzip();
    let notes = clips.iter().enumerate().flat_map(|(i, clip)| clip.notes.iter().map(move |note| (i, note.clone())));
    let notes = notes.collect();
    let tokens = clips.iter().map(|clip| facts.tokens(clip.frames)).sum();
    let query = query.unwrap_or(&facts.default_query).to_owned();
    let mut rows = vec![0.0; names.len() * facts.dim];
    for (frames, places, pixels) in by_frames(clips) {
        let seen = app.worker.see(Lane::Request, pixels, [places.len(), frames], vec![query.clone()])?.answer().await?;
        for (place, row) in places.into_iter().zip(seen.chunks_exact(facts.dim)) {
            rows[place * facts.dim..][..facts.dim].copy_from_slice(row);
        }
    }
    Ok(Looked { names, rows: Embeddings::from_unit_rows(facts.dim, rows), tokens, notes })
}

/// Rows of texts. `param` names their field.
///
/// # Errors
/// No or too many texts, one that is empty, and those of the model.
pub(super) async fn read_texts(app: &App, param: &str, texts: Vec<String>) -> Result<TextRows> {
    if texts.is_empty() || texts.len() > MAX_TEXTS {
        return Err(Fault::field(param, format!("{} texts; from 1 to {MAX_TEXTS} are taken at once", texts.len())));
    }
    if let Some(empty) = texts.iter().position(|text| text.trim().is_empty()) {
        return Err(Fault::field(param, format!("text {} of {} is empty; leave it out", empty + 1, texts.len())));
    }
    app.worker.texts(Lane::Request, texts)?.answer().await.map_err(|fault| fault.of(param))
}

/// Refuses a text that is empty or only white space.
pub(super) fn filled(param: &str, text: &str) -> Result<()> {
    if text.trim().is_empty() { Err(Fault::field(param, "the text is empty")) } else { Ok(()) }
}

/// A text, or a list of texts.
pub(super) fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<String>, D::Error> {
    let expected = || serde::de::Error::custom("a text or a list of texts is expected");
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(vec![text]),
        Value::Array(list) => {
            let text = |value| if let Value::String(text) = value { Ok(text) } else { Err(expected()) };
            list.into_iter().map(text).collect()
        }
        _ => Err(expected()),
    }
}

/// A JSON document.
pub(super) fn document(value: &Value) -> Response {
    let mut response = value.to_string().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
