//! The table of addresses, and what every request goes through.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use futures_util::FutureExt;
use serde_json::json;

use super::app::App;
use super::fault::{Fault, Result};
use super::look::document;
use super::page::Page;
use super::{openai, streams, verbs};

/// The description of all addresses, for programs.
const OPENAPI: &str = include_str!("openapi.json");

/// What everybody may read, key or not: it holds nothing of what was seen.
const OPEN: [&str; 3] = ["/", "/health", "/openapi.json"];

/// An address, its methods, and what answers them.
type Route = (&'static str, &'static [&'static str], MethodRouter<Arc<App>>);

/// The addresses.
fn table() -> Vec<Route> {
    vec![
        ("/", &["get"], get(page)),
        ("/health", &["get"], get(health)),
        ("/metrics", &["get"], get(metrics)),
        ("/openapi.json", &["get"], get(openapi)),
        ("/v1/models", &["get"], get(openai::models)),
        ("/v1/embeddings", &["post"], post(openai::embeddings)),
        ("/api/classify", &["post"], post(verbs::classify)),
        ("/api/ask", &["post"], post(verbs::ask)),
        ("/api/caption", &["post"], post(verbs::caption)),
        ("/api/embed", &["post"], post(verbs::embed)),
        ("/api/embed-text", &["post"], post(verbs::embed_text)),
        ("/api/search", &["post"], post(verbs::search)),
        ("/api/streams", &["get", "post"], get(streams::list).post(streams::begin)),
        ("/api/streams/{id}", &["delete", "get"], get(streams::show).merge(delete(streams::delete))),
        ("/api/streams/{id}/alerts", &["post"], post(streams::wait_for)),
        ("/api/streams/{id}/events", &["get"], get(streams::events)),
        ("/api/streams/{id}/questions", &["post"], post(streams::ask)),
        ("/api/streams/{id}/stop", &["post"], post(streams::stop)),
    ]
}

/// The router of a server.
pub(super) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for (path, _, methods) in table() {
        router = router.route(path, methods);
    }
    let missing = || async { Fault::missing("there is nothing at this address; /openapi.json lists what there is") };
    let other = || async {
        Fault::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this address does not take this method; the header Allow says which",
        )
    };
    router
        .fallback(missing)
        .method_not_allowed_fallback(other)
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(Arc::clone(&app), each))
        .with_state(app)
}

/// What every request goes through: the guard, the counts, and a net for panics.
async fn each(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = match *request.method() {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        _ => "other",
    };
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let open = OPEN.contains(&route.as_str());
    let mut response = match app.guard.check(request.headers(), open) {
        Err(fault) => fault.into_response(),
        Ok(()) => match AssertUnwindSafe(next.run(request)).catch_unwind().await {
            Ok(response) => response,
            Err(_) => Fault::internal("the request broke off; the log of the server has more").into_response(),
        },
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    app.metrics.request(&route, method, response.status().as_u16(), begun.elapsed());
    response
}

async fn page(State(app): State<Arc<App>>) -> Response {
    Page::get().response(app.worker.facts())
}

async fn openapi() -> Response {
    let mut response = OPENAPI.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn health(State(app): State<Arc<App>>) -> Response {
    let facts = app.worker.facts();
    let ([clients, streams], capacity) = app.worker.waiting();
    let status = match (*app.stopping().borrow(), app.worker.fails()) {
        (true, _) => "stopping",
        (_, true) => "failing",
        _ => "ok",
    };
    let mut response = document(&json!({
        "status": status, "version": env!("CARGO_PKG_VERSION"), "model": facts.id, "adapter": facts.adapter,
        "key": app.guard.key.is_some(), "asks": facts.asks, "writes": facts.writes,
        "sources": !app.options.folders.is_empty() || !app.options.addresses.is_empty(), "max_upload": app.options.max_upload,
        "streams_running": app.sessions.running(), "queue": { "clients": clients, "streams": streams, "capacity": capacity },
    }));
    if status != "ok" {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

async fn metrics(State(app): State<Arc<App>>) -> Result<Response> {
    let mut response = app.metrics.text(&app.gauges()).into_response();
    let plain = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_description_names_what_there_is() {
        let description: Value = serde_json::from_str(OPENAPI).unwrap();
        let described: BTreeMap<String, Vec<String>> = (description["paths"].as_object().unwrap().iter())
            .map(|(path, methods)| {
                let mut methods: Vec<String> =
                    methods.as_object().unwrap().keys().filter(|name| *name != "parameters").cloned().collect();
                methods.sort();
                (path.clone(), methods)
            })
            .collect();
        let own = table()
            .into_iter()
            .map(|(path, methods, _)| (path.to_owned(), methods.iter().map(|m| (*m).to_owned()).collect()));
        assert_eq!(described, own.collect::<BTreeMap<_, _>>());
        // Every reference leads somewhere.
        let mut references = Vec::new();
        collect(&description, &mut references);
        assert!(references.len() > 20);
        for reference in references {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(description.pointer(pointer).is_some(), "{reference}");
        }
        assert_eq!(description["info"]["version"], env!("CARGO_PKG_VERSION"));
    }

    fn collect(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                into.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| collect(value, into));
            }
            Value::Array(list) => list.iter().for_each(|value| collect(value, into)),
            _ => {}
        }
    }
}
