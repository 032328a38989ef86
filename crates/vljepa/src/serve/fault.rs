//! What a client is told when a request fails: one shape for all, that of OpenAI.

use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use vljepa_data::DataError;
use vljepa_embed as embed;
use vljepa_model::ModelError;
use vljepa_tensor as tensor;

use crate::allowed::NotAllowed;
use crate::error::Error;

/// Result of a request.
pub(super) type Result<T, E = Fault> = std::result::Result<T, E>;

/// Most characters of a message.
const MAX_MESSAGE: usize = 2000;

/// A request that failed: `{"error": {"message", "type", "param"}}` with a status.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    status: StatusCode,
    message: String,
    param: Option<String>,
    retry: Option<Duration>,
}

impl Fault {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), param: None, retry: None }
    }

    /// A field of a request that cannot be used.
    pub fn field(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: Some(name.into()), ..Self::bad(message) }
    }

    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub fn missing(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// All places are taken; when it is worth trying again.
    pub fn busy(message: impl Into<String>) -> Self {
        Self { retry: Some(Duration::from_secs(1)), ..Self::new(StatusCode::TOO_MANY_REQUESTS, message) }
    }

    /// The server cannot answer now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { retry: Some(Duration::from_secs(5)), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message) }
    }

    /// Names the field that the fault is about, where none is named.
    pub fn of(self, param: &str) -> Self {
        Self { param: self.param.or_else(|| Some(param.to_owned())), ..self }
    }

    /// Calls a file by the name that the client knows.
    pub fn named(self, path: &Path, name: &str) -> Self {
        Self { message: self.message.replace(&path.display().to_string(), name), ..self }
    }

    /// Content that could not be opened as a picture or video is of a type that is not read.
    pub fn of_media(self) -> Self {
        match self.status {
            StatusCode::BAD_REQUEST => Self { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, ..self },
            _ => self,
        }
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    fn kind(&self) -> &'static str {
        match self.status {
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::FORBIDDEN => "permission_error",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            StatusCode::SERVICE_UNAVAILABLE => "unavailable_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let message: String = self.message.split_whitespace().collect::<Vec<_>>().join(" ");
        let message: String = message.chars().take(MAX_MESSAGE).collect();
        let body = json!({ "error": { "message": message, "type": self.kind(), "param": self.param } });
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(retry) = self.retry {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(retry.as_secs()));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<NotAllowed> for Fault {
    fn from(error: NotAllowed) -> Self {
        let status = match &error {
            NotAllowed::NoPath(_) => StatusCode::BAD_REQUEST,
            NotAllowed::Outside(_) => StatusCode::FORBIDDEN,
            NotAllowed::Missing(_) => StatusCode::NOT_FOUND,
            NotAllowed::Unreadable(..) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let (status, param) = of_task(&error);
        let fault = match status {
            StatusCode::SERVICE_UNAVAILABLE => Self::unavailable(error.to_string()),
            _ => Self::new(status, error.to_string()),
        };
        Self { param: param.map(str::to_owned), ..fault }
    }
}

impl From<embed::Error> for Fault {
    fn from(error: embed::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<DataError> for Fault {
    fn from(error: DataError) -> Self {
        Error::from(error).into()
    }
}

fn of_task(error: &Error) -> (StatusCode, Option<&'static str>) {
    match error {
        Error::Embed(error) => of_embedding(error),
        Error::Hinted { error, .. } => of_task(error),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, None),
    }
}

fn of_embedding(error: &embed::Error) -> (StatusCode, Option<&'static str>) {
    let status = match error {
        embed::Error::Argument { name, .. } => return (StatusCode::BAD_REQUEST, Some(name)),
        embed::Error::Hinted { hint: embed::Hint::OtherAdapter, .. } => StatusCode::INTERNAL_SERVER_ERROR,
        embed::Error::Hinted { error, .. } => return of_embedding(error),
        embed::Error::Invalid(_) | embed::Error::Content { .. } => StatusCode::BAD_REQUEST,
        embed::Error::Missing(_) => StatusCode::NOT_FOUND,
        embed::Error::Data(error) => of_data(error),
        embed::Error::Tensor(error) => of_device(error),
        embed::Error::Model { source: ModelError::Tensor(error), .. } => of_device(error),
        embed::Error::Model { source: ModelError::Token { .. }, .. } => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, None)
}

fn of_device(error: &tensor::Error) -> StatusCode {
    match error {
        tensor::Error::DeviceLost(_) | tensor::Error::OutOfMemory { .. } => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn of_data(error: &DataError) -> StatusCode {
    match error {
        DataError::NotAPicture(_)
        | DataError::ForeignPicture { .. }
        | DataError::Unsupported { .. }
        | DataError::NeedsFfmpeg { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        DataError::Missing(_) => StatusCode::NOT_FOUND,
        DataError::Io { .. } | DataError::Tool { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}
