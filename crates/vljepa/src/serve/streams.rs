//! Streams: begin one, follow it, wait for texts in it, ask it, stop it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

use super::app::App;
use super::body::receive;
use super::event::About;
use super::fault::{Fault, Result};
use super::look::{document, filled, read_texts, texts};
use super::question::{Answered, Question};
use super::queue::Lane;
use super::seen::{Frames, Sent};
use super::session::{MAX_ALERTS, MAX_QUESTIONS, Point, Session, unkept};
use super::sessions::Sessions;
use super::source::{AllowedAddresses, Place};
use super::watch::{Means, Opening, Wanted, run};

/// Frames a second of folders of frames and Motion JPEG, where nothing else is said.
const FPS: f64 = 25.0;
/// Events that are sent without looking again.
const AHEAD: usize = 64;
/// How often a client that follows a quiet stream is told that the server is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Windows of the past that a question is asked of.
const PAST: usize = 64;
/// Of them, those that go through the model together.
const TOGETHER: usize = 8;
/// How often it is looked whether more was seen while a question is asked of the past.
const ROUNDS: usize = 8;
/// Most points of a curve in an answer.
const POINTS: usize = 2000;
/// Characters of the name of a stream.
const MAX_NAME: usize = 200;

/// The name of a stream in a path.
pub(super) struct Id(String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        // What is no text is the name of no stream.
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(id)| Self(id)).map_err(|_| Fault::missing("there is no such stream"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Begin {
    source: Option<String>,
    name: Option<String>,
    window: Option<f64>,
    hz: Option<f64>,
    gate: Option<f32>,
    novelty: Option<f64>,
    gap: Option<f64>,
    budget: Option<f64>,
    fps: Option<f64>,
    query: Option<String>,
    #[serde(default, deserialize_with = "texts")]
    alerts: Vec<String>,
    above: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WaitFor {
    text: String,
    above: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskOf {
    question: String,
    #[serde(default, deserialize_with = "texts")]
    answers: Vec<String>,
}

/// `POST /api/streams`
pub(super) async fn begin(State(app): State<Arc<App>>, request: Request) -> Result<Response> {
    let _place = app.place()?;
    let turn = app.sessions.turn()?;
    let (asked, mut files) = receive(&app, request).await?.fields::<Begin>()?;
    let fps = asked.fps.unwrap_or(FPS);
    if !(fps.is_finite() && fps > 0.0 && fps <= 1000.0) {
        return Err(Fault::field("fps", format!("{fps} frames a second; above 0 and at most 1000 can be")));
    }
    if let Some(query) = &asked.query {
        filled("query", query)?;
        if !app.worker.facts().asks {
            return Err(Fault::field("query", "this model was trained without questions and takes none"));
        }
    }
    check_above(asked.above)?;
    if asked.alerts.len() > MAX_ALERTS {
        return Err(Fault::field("alerts", format!("at most {MAX_ALERTS} texts are waited for in one stream")));
    }
    if (1..asked.alerts.len()).any(|i| asked.alerts[..i].contains(&asked.alerts[i])) {
        return Err(Fault::field("alerts", "a text is there twice; every text must differ"));
    }
    let wanted = Wanted {
        window: asked.window,
        hz: asked.hz,
        gate: asked.gate,
        novelty: asked.novelty,
        gap: asked.gap,
        budget: asked.budget,
    };
    app.within(async {
        let rows = match asked.alerts.as_slice() {
            [] => Vec::new(),
            alerts => read_texts(&app, "alerts", alerts.to_vec()).await?.rows,
        };
        let place = match (files.pop(), asked.source) {
            (Some(file), None) if files.is_empty() => Place::Input(file),
            (None, Some(source)) => named(&app, source).await.map_err(|fault| fault.of("source"))?,
            (None, None) => return Err(Fault::field("source", "nothing to watch: upload a file, or give `source`")),
            _ => return Err(Fault::field("source", "one file or one source is watched by one stream")),
        };
        let name = asked.name.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| place.name().to_owned());
        let (worker, metrics) = (Arc::clone(&app.worker), Arc::clone(&app.metrics));
        let means = Means { place, fps, wanted, worker, metrics };
        let (opened, open) = oneshot::channel();
        let (begun, begin) = sync_channel(1);
        app.sessions.run(turn, move || run(means, opened, &begin))?;
        let broken = |_| Fault::internal("the stream broke off; the log of the server has more");
        let Opening { windows, duration, live } = open.await.map_err(broken)??;
        let facts = app.worker.facts();
        let about = About {
            stream: Sessions::new_id(),
            name: name.chars().take(MAX_NAME).collect(),
            created: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            model: facts.id.clone(),
            model_hash: facts.hash.clone(),
            dim: facts.dim,
            window_s: windows.seconds,
            hz: windows.hz,
            duration_s: duration,
            live,
            query: asked.query,
        };
        let sessions = Arc::clone(&app.sessions);
        let (alerts, above, dim) = (asked.alerts, asked.above, facts.dim);
        let make = move || {
            let session = sessions.begin(about)?;
            for (text, row) in alerts.iter().zip(rows.chunks_exact(dim)) {
                if let Err(error) = session.wait_for(text, row.to_vec(), above) {
                    // No thread will watch it.
                    session.fail(unkept(&error));
                    return Err(error.into());
                }
            }
            let overview = session.overview();
            // Its thread waits for it.
            let _ = begun.send(Arc::clone(&session));
            Ok((format!("/api/streams/{}", session.id()), overview))
        };
        let (location, overview) = app.blocking(make).await?;
        let mut response = created(&overview);
        if let Ok(location) = HeaderValue::from_str(&location) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        Ok(response)
    })
    .await
}

/// Where a source that a client names is.
async fn named(app: &App, source: String) -> Result<Place> {
    if AllowedAddresses::is_address(&source) {
        app.options.addresses.check(&source)?;
        return Ok(Place::Address(source));
    }
    let inbox = Arc::clone(&app.inbox);
    Ok(Place::Input(app.blocking(move || inbox.input(&source)).await?))
}

fn check_above(above: Option<f64>) -> Result<()> {
    match above {
        Some(above) if !(-1.0..=1.0).contains(&above) => {
            Err(Fault::field("above", format!("{above} is no cosine: from -1 to 1")))
        }
        _ => Ok(()),
    }
}

/// `GET /api/streams`
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Response> {
    let sessions = app.sessions.all();
    let list =
        app.blocking(move || Ok(sessions.iter().rev().map(|session| session.overview()).collect::<Vec<_>>())).await?;
    Ok(document(&json!({ "streams": list })))
}

/// `GET /api/streams/{id}`
pub(super) async fn show(State(app): State<Arc<App>>, Id(id): Id) -> Result<Response> {
    let session = app.sessions.get(&id)?;
    let overview = app.blocking(move || Ok(session.overview())).await?;
    Ok(document(&overview))
}

/// `POST /api/streams/{id}/stop`
pub(super) async fn stop(State(app): State<Arc<App>>, Id(id): Id) -> Result<Response> {
    let session = app.sessions.get(&id)?;
    session.stop();
    let overview = app.blocking(move || Ok(session.overview())).await?;
    Ok(document(&overview))
}

/// `DELETE /api/streams/{id}`
pub(super) async fn delete(State(app): State<Arc<App>>, Id(id): Id) -> Result<Response> {
    let (sessions, own) = (Arc::clone(&app.sessions), id.clone());
    app.blocking(move || sessions.remove(&own)).await?;
    Ok(document(&json!({ "stream": id, "deleted": true })))
}

/// Refuses streams of another model, whose rows mean something else.
fn of_this_model(app: &App, id: &str) -> Result<Arc<Session>> {
    let session = app.sessions.get(id)?;
    match session.about().model_hash == app.worker.facts().hash {
        true => Ok(session),
        false => Err(Fault::new(
            StatusCode::CONFLICT,
            format!("the stream was seen by the model {}, which is not the one that runs here", session.about().model),
        )),
    }
}

/// Points of a curve, the strongest of neighbours where there are too many.
fn curve(points: &[Point]) -> Vec<Value> {
    let each = points.len().div_ceil(POINTS).max(1);
    let strongest = |part: &[Point]| part.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
    points
        .chunks(each)
        .filter_map(strongest)
        .map(|(end, score, on)| json!({ "end_s": end, "score": score, "on": on }))
        .collect()
}

/// `POST /api/streams/{id}/alerts`
pub(super) async fn wait_for(State(app): State<Arc<App>>, Id(id): Id, request: Request) -> Result<Response> {
    let _place = app.place()?;
    let session = of_this_model(&app, &id)?;
    let (WaitFor { text, above }, _) = receive(&app, request).await?.fields::<WaitFor>()?;
    filled("text", &text)?;
    check_above(above)?;
    app.within(async {
        let read = read_texts(&app, "text", vec![text.clone()]).await?;
        let points = app
            .blocking(move || {
                let waits = session.waits_for();
                if waits.contains(&text) {
                    return Err(Fault::field("text", "this text is waited for already"));
                }
                if waits.len() >= MAX_ALERTS {
                    return Err(Fault::field(
                        "text",
                        format!("at most {MAX_ALERTS} texts are waited for in one stream"),
                    ));
                }
                Ok((session.wait_for(&text, read.rows, above)?, text))
            })
            .await?;
        let (points, text) = points;
        Ok(created(&json!({ "text": text, "above": above, "scores": curve(&points), "notes": read.notes })))
    })
    .await
}

/// `POST /api/streams/{id}/questions`
pub(super) async fn ask(State(app): State<Arc<App>>, Id(id): Id, request: Request) -> Result<Response> {
    let place = app.place()?;
    let session = of_this_model(&app, &id)?;
    let (AskOf { question, answers }, _) = receive(&app, request).await?.fields::<AskOf>()?;
    filled("question", &question)?;
    if !app.worker.facts().asks {
        return Err(Fault::field("question", "this model was trained without questions and takes none"));
    }
    if answers.is_empty() && !app.worker.facts().writes {
        return Err(Fault::field(
            "answers",
            "this model has no Y-Decoder, so it writes no answers; give some to choose among",
        ));
    }
    app.within(async {
        let (mut rows, mut notes) = (Vec::new(), Vec::new());
        if !answers.is_empty() {
            let read = read_texts(&app, "answers", answers.clone()).await?;
            (rows, notes) = (read.rows, read.notes);
        }
        let own = Arc::clone(&app);
        let done = app.blocking(move || {
            // Held until this is done, however long the client waits.
            let _place = place;
            past(&own, &session, Question::new(question, answers, rows))
        });
        let (question, past) = done.await?;
        let points: Vec<Point> = past.iter().map(|([_, end], answered)| (*end, answered.score, false)).collect();
        let answer = |([start, end], answered): &At| {
            answered
                .is_new
                .then(|| json!({ "start_s": start, "end_s": end, "text": answered.text, "score": answered.score }))
        };
        let answers: Vec<Value> = past.iter().filter_map(answer).collect();
        Ok(created(&json!({ "question": question, "scores": curve(&points), "answers": answers, "notes": notes })))
    })
    .await
}

/// An answer and the window that it is for.
type At = ([f64; 2], Answered);

/// Asks a question of what was seen, as far as its frames are kept, and from now on. Blocks.
fn past(app: &App, session: &Session, mut question: Question) -> Result<(String, Vec<At>)> {
    let asked = session.questions();
    if asked.iter().any(|asked| asked.text == question.text) {
        return Err(Fault::field("question", "this question is asked already"));
    }
    if asked.len() >= MAX_QUESTIONS {
        return Err(Fault::field("question", format!("at most {MAX_QUESTIONS} questions are asked of one stream")));
    }
    if session.is_over() && session.frames(None, 1).is_empty() {
        let message = "the frames of this stream are kept no more, and a question needs them; texts to wait for and searches do not";
        return Err(Fault::new(StatusCode::CONFLICT, message));
    }
    let (mut past, mut upto) = (Vec::new(), None);
    // While this goes on, further windows come.
    for _ in 0..ROUNDS {
        let frames = session.frames(upto, PAST);
        let Some(last) = frames.last() else { break };
        upto = Some(last.end);
        past.extend(answers(app, &frames, &mut question)?);
    }
    let text = question.text.clone();
    session.ask(question, &past)?;
    Ok((text, past))
}

/// Asks a question of windows whose frames are kept. Blocks.
fn answers(app: &App, frames: &[Frames], question: &mut Question) -> Result<Vec<At>> {
    let facts = app.worker.facts();
    let mut states = Vec::with_capacity(frames.len() * facts.dim);
    for part in frames.chunks(TOGETHER) {
        let mut pixels = Vec::new();
        for frame in part.iter().flat_map(|window| &window.frames) {
            let from = pixels.len();
            pixels.resize(from + facts.preprocess.values(), 0.0);
            facts.preprocess.normalize_into(frame, &mut pixels[from..])?;
        }
        let each = part.first().map_or(1, |window| window.frames.len());
        let seen = app.worker.see(Lane::Request, pixels, [part.len(), each], vec![question.text.clone()])?.wait()?;
        states.extend(seen);
    }
    let states: Vec<&[f32]> = states.chunks_exact(facts.dim).collect();
    let answered = question.answer(&states, Lane::Request, &app.worker)?;
    Ok(frames.iter().map(|window| [window.start, window.end]).zip(answered).collect())
}

fn created(value: &Value) -> Response {
    let mut response = document(value);
    *response.status_mut() = StatusCode::CREATED;
    response
}

/// Who follows a stream.
struct Following {
    session: Arc<Session>,
    /// The number of the last event that was sent.
    last: u64,
    ready: VecDeque<Sent>,
    changed: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    done: bool,
    _place: OwnedSemaphorePermit,
}

impl Following {
    /// The next event; `None` where the stream is over and everything is sent.
    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if let Some(Sent { id, name, data }) = self.ready.pop_front() {
                self.last = id;
                return Some(sse::Event::default().id(id.to_string()).event(name).data(data));
            }
            if self.done {
                return None;
            }
            // Before the events are read, so that none comes between.
            let over = self.session.is_over();
            self.changed.borrow_and_update();
            let (events, first) = self.session.after(self.last, AHEAD);
            if let Some(first) = first {
                let data = json!({ "event": "gap", "from": self.last + 1, "to": first - 1 });
                self.last = first - 1;
                return Some(sse::Event::default().event("gap").data(data.to_string()));
            }
            self.ready = events.into();
            if !self.ready.is_empty() {
                continue;
            }
            if over {
                return None;
            }
            if *self.stopping.borrow() {
                self.done = true;
                return Some(sse::Event::default().event("stopping").data(json!({ "event": "stopping" }).to_string()));
            }
            tokio::select! {
                changed = self.changed.changed() => changed.ok()?,
                stopping = self.stopping.changed() => stopping.ok()?,
            }
        }
    }
}

/// `GET /api/streams/{id}/events`
pub(super) async fn events(State(app): State<Arc<App>>, Id(id): Id, headers: HeaderMap) -> Result<Response> {
    let session = app.sessions.get(&id)?;
    let last = match headers.get("last-event-id").map(|value| value.to_str().unwrap_or("?").trim()) {
        None | Some("") => 0,
        Some(text) => text.parse().map_err(|_| Fault::field("Last-Event-ID", "the number of an event is expected"))?,
    };
    // Nothing more will come: a client of the standard does not ask again.
    if session.is_over() && session.after(last, 1).0.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let place = app.follower()?;
    let (changed, stopping) = (session.follow(), app.stopping());
    let following = Following { session, last, ready: VecDeque::new(), changed, stopping, done: false, _place: place };
    let events = unfold(following, |mut following| async move {
        let event = following.next().await?;
        Some((Ok::<_, Infallible>(event), following))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}
