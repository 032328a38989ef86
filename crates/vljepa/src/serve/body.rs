//! What a request brings: JSON, or a form with files, which go to the disk as they come.

use std::io::Write;
use std::time::Duration;

use axum::body::{BodyDataStream, Bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tempfile::NamedTempFile;
use tokio::sync::mpsc;

use super::app::App;
use super::fault::{Fault, Result};
use super::form::{Form, Head, Piece, boundary};
use super::media::Input;

/// Longest JSON, which is in memory as a whole.
const MAX_JSON: u64 = 64 << 20;
/// Longest text of a form.
const MAX_TEXT: usize = 1 << 20;
/// Most fields of a form.
const MAX_FIELDS: usize = 1100;
/// Files in one request.
pub(super) const MAX_FILES: usize = 64;
/// Pieces of a body that wait to be written.
const AHEAD: usize = 4;
/// How long what a client still sends is read after it was refused, so that it hears why.
const DRAIN: Duration = Duration::from_secs(2);
/// Fields that are lists: given more than once, or once with commas between.
const LISTS: [&str; 5] = ["labels", "answers", "alerts", "texts", "streams"];
/// Fields that are numbers.
const NUMBERS: [&str; 13] =
    ["top", "beams", "start", "end", "frames", "window", "hz", "gate", "novelty", "gap", "budget", "fps", "above"];

/// A request's fields and files.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub fields: Map<String, Value>,
    pub files: Vec<Input>,
}

impl Received {
    /// The fields as a type.
    ///
    /// # Errors
    /// The first field that does not fit, by its name.
    pub fn fields<T: DeserializeOwned>(self) -> Result<(T, Vec<Input>)> {
        let parsed: Result<T, _> = serde_path_to_error::deserialize(Value::Object(self.fields));
        let parsed = parsed.map_err(|error| {
            let path = error.path().to_string();
            let message = error.into_inner().to_string();
            let unknown = message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
            let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
            match unknown.or(missing) {
                Some(name) => Fault::field(name.to_owned(), message),
                None if path == "." => Fault::bad(message),
                None => Fault::field(path.clone(), format!("{path}: {message}")),
            }
        })?;
        Ok((parsed, self.files))
    }
}

/// Reads the body of a request.
///
/// # Errors
/// A body that is too large, of another type, broken, or that stops coming.
pub(super) async fn receive(app: &App, request: Request) -> Result<Received> {
    let (parts, body) = request.into_parts();
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let length = parts.headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<u64>().ok());
    let mut body = Incoming { body: body.into_data_stream(), patience: app.options.patience };
    let received = match kind.as_str() {
        "application/json" => json(app, &mut body, length).await,
        "multipart/form-data" => match boundary(content_type) {
            Some(boundary) => form(app, &mut body, &boundary, length).await,
            None => Err(Fault::bad("the content type of the form has no boundary")),
        },
        other => {
            let given = if other.is_empty() { "nothing".into() } else { format!("{other:?}") };
            let message = format!("the content type is {given}; application/json or multipart/form-data is expected");
            Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
        }
    };
    if received.is_err() {
        body.drain().await;
    }
    received
}

/// A body that comes in pieces.
struct Incoming {
    body: BodyDataStream,
    patience: Duration,
}

impl Incoming {
    /// The next piece.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let next = tokio::time::timeout(self.patience, self.body.next()).await;
        let next = next.map_err(|_| {
            let seconds = self.patience.as_secs_f64();
            Fault::new(StatusCode::REQUEST_TIMEOUT, format!("nothing of the body has come for {seconds} s"))
        })?;
        next.transpose().map_err(|_| Fault::bad("the body of the request broke off"))
    }

    /// Reads on for a while.
    async fn drain(&mut self) {
        let rest = async { while let Some(Ok(_)) = self.body.next().await {} };
        let _ = tokio::time::timeout(DRAIN, rest).await;
    }
}

async fn json(app: &App, body: &mut Incoming, length: Option<u64>) -> Result<Received> {
    let most = MAX_JSON.min(app.options.max_upload);
    let too_large =
        || Fault::too_large(format!("the JSON has more than {most} bytes; send files as multipart/form-data"));
    if length.is_some_and(|length| length > most) {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(length.unwrap_or(0).min(1 << 20) as usize);
    while let Some(piece) = body.next().await? {
        if (bytes.len() + piece.len()) as u64 > most {
            return Err(too_large());
        }
        bytes.extend_from_slice(&piece);
    }
    // Much text takes a while.
    app.blocking(move || match serde_json::from_slice(&bytes) {
        Ok(Value::Object(fields)) => Ok(Received { fields, files: Vec::new() }),
        Ok(_) => Err(Fault::bad("the body is no JSON object")),
        Err(error) => Err(Fault::bad(format!("the body is no JSON: {error}"))),
    })
    .await
}

/// What is done with the bytes of the part that is read now.
enum Part {
    /// A text.
    Text(String, Vec<u8>),
    /// A file, written by a thread.
    File { name: String, pieces: mpsc::Sender<Bytes>, written: tokio::task::JoinHandle<std::io::Result<NamedTempFile>> },
}

/// What of a form is done with, in order; a piece of a file has to be waited for.
enum Step {
    Begin(Head),
    Bytes(Bytes),
    End,
}

impl From<&'static str> for Fault {
    fn from(message: &'static str) -> Self {
        Self::bad(message)
    }
}

async fn form(app: &App, body: &mut Incoming, boundary: &str, length: Option<u64>) -> Result<Received> {
    let most = app.options.max_upload;
    let too_large = || Fault::too_large(format!("the upload has more than {most} bytes"));
    // The form itself takes some room.
    if length.is_some_and(|length| length > most.saturating_add(MAX_TEXT as u64)) {
        return Err(too_large());
    }
    let (mut form, mut received, mut part, mut fields, mut bytes_in) =
        (Form::new(boundary), Received::default(), None, 0, 0);
    while let Some(piece) = body.next().await? {
        bytes_in += piece.len() as u64;
        if bytes_in > most.saturating_add(MAX_TEXT as u64) {
            return Err(too_large());
        }
        let mut steps = Vec::new();
        form.push(&piece, |found| {
            steps.push(match found {
                Piece::Begin(head) => Step::Begin(head),
                Piece::Bytes(bytes) => Step::Bytes(Bytes::copy_from_slice(bytes)),
                Piece::End => Step::End,
            });
            Ok::<(), Fault>(())
        })?;
        for step in steps {
            match (step, &mut part) {
                (Step::Begin(head), _) => {
                    fields += 1;
                    if fields > MAX_FIELDS {
                        return Err(Fault::bad(format!("the form has more than {MAX_FIELDS} fields")));
                    }
                    part = Some(begin(app, head, &received).await?);
                }
                (Step::Bytes(bytes), Some(Part::Text(name, text))) => {
                    text.extend_from_slice(&bytes);
                    if text.len() > MAX_TEXT {
                        return Err(Fault::field(name.clone(), format!("the text has more than {MAX_TEXT} bytes")));
                    }
                }
                (Step::Bytes(bytes), Some(Part::File { pieces, .. })) => {
                    app.metrics.uploaded.fetch_add(bytes.len() as u64, std::sync::atomic::Ordering::Relaxed);
                    // Where nobody takes it any more, the end says why.
                    let _ = pieces.send(bytes).await;
                }
                (Step::End, open) => end(open.take(), &mut received).await?,
                (Step::Bytes(_), None) => {}
            }
        }
    }
    match form.is_whole() {
        true => Ok(received),
        false => Err(Fault::bad("the form is cut off")),
    }
}

async fn begin(app: &App, head: Head, received: &Received) -> Result<Part> {
    let Head { name, file, .. } = head;
    let Some(file) = file else { return Ok(Part::Text(name, Vec::new())) };
    if received.files.len() == MAX_FILES {
        return Err(Fault::field(name, format!("at most {MAX_FILES} files are taken at once")));
    }
    let inbox = std::sync::Arc::clone(&app.inbox);
    let shown = if file.is_empty() { "upload".to_owned() } else { file };
    let own = shown.clone();
    let mut to = app.blocking(move || inbox.file(&own)).await?;
    let (pieces, mut taken) = mpsc::channel::<Bytes>(AHEAD);
    let written = tokio::task::spawn_blocking(move || {
        while let Some(bytes) = taken.blocking_recv() {
            to.write_all(&bytes)?;
        }
        to.flush().map(|()| to)
    });
    Ok(Part::File { name: shown, pieces, written })
}

async fn end(part: Option<Part>, received: &mut Received) -> Result<()> {
    match part {
        Some(Part::Text(name, text)) => {
            let text = String::from_utf8(text).map_err(|_| Fault::field(name.clone(), "the text is not UTF-8"))?;
            add(&mut received.fields, name, text)
        }
        Some(Part::File { name, pieces, written }) => {
            drop(pieces);
            let failed = |error: String| Fault::internal(format!("the upload cannot be kept: {error}"));
            let file = written.await.map_err(|error| failed(error.to_string()))?;
            received.files.push(Input::uploaded(name, file.map_err(|error| failed(error.to_string()))?));
            Ok(())
        }
        None => Ok(()),
    }
}

/// Adds a text of a form as what the field is.
fn add(fields: &mut Map<String, Value>, name: String, text: String) -> Result<()> {
    if LISTS.contains(&name.as_str()) {
        let list = fields.entry(name.clone()).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(list) = list {
            let several = matches!(name.as_str(), "labels" | "answers" | "streams");
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            match several {
                true => list.extend(parts.map(Value::from)),
                false => list.push(text.into()),
            }
        }
        return Ok(());
    }
    let value = match NUMBERS.contains(&name.as_str()) {
        true => number(text.trim()).ok_or_else(|| Fault::field(name.clone(), format!("{text:?} is no number")))?,
        false => Value::from(text),
    };
    // What is there more than once is a list; whether it may be one is up to the request.
    match fields.remove(&name) {
        None => fields.insert(name, value),
        Some(Value::Array(mut list)) => {
            list.push(value);
            fields.insert(name, list.into())
        }
        Some(first) => fields.insert(name, vec![first, value].into()),
    };
    Ok(())
}

fn number(text: &str) -> Option<Value> {
    if let Ok(whole) = text.parse::<u64>() {
        return Some(whole.into());
    }
    text.parse::<f64>().ok().filter(|value| value.is_finite()).map(Value::from)
}
