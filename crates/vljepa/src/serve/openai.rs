//! The endpoints that clients of OpenAI's API know: embeddings and models.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::app::App;
use super::body::{MAX_FILES, receive};
use super::fault::{Fault, Result};
use super::look::{MAX_TEXTS, Named, document, look, read_texts};
use super::media::{Part, to_base64};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Embeddings {
    /// A text, texts, a content part, content parts, or both kinds.
    #[serde(default)]
    input: Value,
    model: Option<String>,
    encoding_format: Option<Encoding>,
    dimensions: Option<usize>,
    /// Not used.
    #[serde(rename = "user")]
    _user: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Float,
    Base64,
}

/// One thing to embed.
enum One {
    Text(String),
    Visual(String),
}

/// The address in `{"type": "image_url", "image_url": {"url": …}}`, or `{"image_url": …}` with the address alone.
fn address<'a>(part: &'a Value, field: &str) -> Option<&'a str> {
    let value = part.get(field)?;
    value.as_str().or_else(|| value.get("url")?.as_str())
}

fn one(value: Value, place: &str) -> Result<One> {
    match value {
        Value::String(text) => return Ok(One::Text(text)),
        Value::Object(_) => {}
        Value::Number(_) | Value::Array(_) => {
            return Err(Fault::field(place, "tokens are not taken; send texts or content parts"));
        }
        _ => return Err(Fault::field(place, "a text or a content part is expected")),
    }
    let kind = value.get("type").and_then(Value::as_str).unwrap_or_default();
    let found = match kind {
        "text" | "input_text" => value.get("text").and_then(Value::as_str).map(|text| One::Text(text.to_owned())),
        "image_url" | "input_image" => address(&value, "image_url").map(|url| One::Visual(url.to_owned())),
        "video_url" | "input_video" => address(&value, "video_url").map(|url| One::Visual(url.to_owned())),
        other => {
            let message = format!("a content part of type {other:?}; text, image_url and video_url are known");
            return Err(Fault::field(format!("{place}.type"), message));
        }
    };
    let found =
        found.ok_or_else(|| Fault::field(place, format!("the content part of type {kind} lacks its content")))?;
    match &found {
        One::Visual(url) if !url.starts_with("data:") => {
            Err(Fault::field(place, "addresses are not fetched; send a data URL"))
        }
        _ => Ok(found),
    }
}

/// `POST /v1/embeddings`
pub(super) async fn embeddings(State(app): State<Arc<App>>, request: Request) -> Result<Response> {
    let _place = app.place()?;
    let (asked, files) = receive(&app, request).await?.fields::<Embeddings>()?;
    let facts = app.worker.facts();
    if let Some(model) = asked.model.filter(|model| *model != facts.id) {
        let message = format!("there is no model {model:?} here; {:?} is", facts.id);
        return Err(Fault::new(StatusCode::NOT_FOUND, message).of("model"));
    }
    if let Some(dimensions) = asked.dimensions.filter(|dimensions| *dimensions != facts.dim) {
        let message = format!("embeddings of this model have {} dimensions, not {dimensions}", facts.dim);
        return Err(Fault::field("dimensions", message));
    }
    let given = match asked.input {
        Value::Null if files.is_empty() => return Err(Fault::field("input", "nothing to embed: give `input`")),
        Value::Null => Vec::new(),
        Value::Array(list) => list,
        other => vec![other],
    };
    if given.len() + files.len() == 0 || given.len() > MAX_TEXTS {
        return Err(Fault::field("input", format!("{} inputs; from 1 to {MAX_TEXTS} are taken at once", given.len())));
    }
    let mut texts: Vec<(usize, String)> = Vec::new();
    let mut visuals: Vec<(usize, Named)> = Vec::new();
    let count = given.len() + files.len();
    for (i, value) in given.into_iter().enumerate() {
        match one(value, &format!("input[{i}]"))? {
            One::Text(text) if text.trim().is_empty() => {
                return Err(Fault::field(format!("input[{i}]"), "the text is empty"));
            }
            One::Text(text) => texts.push((i, text)),
            One::Visual(url) => visuals.push((i, Named::Text(url))),
        }
    }
    visuals.extend(files.into_iter().enumerate().map(|(i, file)| (count - 1 - i, Named::File(file))));
    if visuals.len() > MAX_FILES {
        return Err(Fault::field("input", format!("at most {MAX_FILES} pictures and videos are taken at once")));
    }
    let encoding = asked.encoding_format.unwrap_or_default();
    app.within(async {
        let (dim, mut tokens) = (app.worker.facts().dim, 0);
        let mut rows: Vec<Vec<f32>> = vec![Vec::new(); count];
        if !texts.is_empty() {
            let (places, texts): (Vec<usize>, Vec<String>) = texts.into_iter().unzip();
            let read = read_texts(&app, "input", texts).await?;
            tokens += read.tokens;
            places.into_iter().zip(read.rows.chunks_exact(dim)).for_each(|(place, row)| rows[place] = row.to_vec());
        }
        if !visuals.is_empty() {
            let (places, named): (Vec<usize>, Vec<Named>) = visuals.into_iter().unzip();
            let looked = look(&app, named, Part::default(), None).await?;
            tokens += looked.tokens;
            places.into_iter().enumerate().for_each(|(i, place)| rows[place] = looked.rows.row(i).to_vec());
        }
        let data = rows.iter().enumerate().map(|(index, row)| {
            let embedding = match encoding {
                Encoding::Float => json!(row),
                Encoding::Base64 => {
                    json!(to_base64(&row.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()))
                }
            };
            json!({ "object": "embedding", "index": index, "embedding": embedding })
        });
        Ok(document(&json!({
            "object": "list", "data": data.collect::<Vec<_>>(), "model": app.worker.facts().id,
            "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
        })))
    })
    .await
}

/// `GET /v1/models`
pub(super) async fn models(State(app): State<Arc<App>>) -> Response {
    document(&json!({ "object": "list", "data": [model(&app)] }))
}

fn model(app: &App) -> Value {
    json!({ "id": app.worker.facts().id, "object": "model", "created": app.started, "owned_by": "vljepa" })
}
