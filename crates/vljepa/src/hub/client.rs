//! Requests to a hub: addresses, redirects, refusals, and retries after temporary failures.

use std::io::{ErrorKind, Read};
use std::time::Duration;

use serde::Deserialize;
use ureq::http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE, RETRY_AFTER};
use ureq::http::{HeaderMap, Method, Request, Response, Uri};
use ureq::tls::TlsConfig;
use ureq::{Agent, Body};
use vljepa_model::json_fault;

use super::error::{HubError, Result};
use super::event::PullEvent;
use super::names::{Etag, FileName, RepoId, Revision, is_commit};
use super::pace::{Paced, Slow};
use super::settings::Settings;
use super::trust::explain;

/// Redirects of one request that are followed.
const MAX_REDIRECTS: usize = 10;
/// Size limit of a listing in bytes; a listing of ten thousand files has about 5 MB.
const MAX_LISTING: u64 = 64 << 20;
/// Time limit for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Attempts without progress before giving up.
const TRIES: u32 = 5;
/// Attempts to reach an unreachable host, which rarely recovers.
const TRIES_UNREACHABLE: u32 = 2;
/// Wait after the first failure.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Longest wait that a server may ask for.
const MAX_WAIT: Duration = Duration::from_secs(300);
/// Header with the commit that a file belongs to.
const COMMIT: &str = "x-repo-commit";

/// A client for one revision of one repository.
pub(super) struct Client<'a> {
    agent: Agent,
    pub(super) settings: &'a Settings,
    pub(super) repo: &'a RepoId,
    pub(super) revision: &'a Revision,
}

/// The files of a repository at a revision.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) names: Vec<String>,
}

/// Checksum and size of a file, from a HEAD request.
#[derive(Clone, Debug)]
pub(super) struct Meta {
    pub(super) etag: Etag,
    pub(super) size: Option<u64>,
}

/// Why a request failed.
pub(super) enum Failure {
    /// A temporary failure: another attempt may succeed.
    Passing {
        /// What happened.
        reason: String,
        /// The wait that the server asks for.
        wait: Option<Duration>,
        /// The host, if it cannot be reached.
        unreachable: Option<String>,
    },
    /// A body that came too slowly. Another attempt may be quicker, but what this one brought is no reason for many.
    Slow(String),
    /// A failure that another attempt would not change.
    Lasting(HubError),
}

impl Failure {
    pub(super) fn passing(reason: impl Into<String>) -> Self {
        Self::Passing { reason: reason.into(), wait: None, unreachable: None }
    }
}

impl<E: Into<HubError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Lasting(error.into())
    }
}

/// A successful answer.
pub(super) struct Answer {
    pub(super) response: Response<Body>,
    pub(super) host: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        header(self.response.headers(), name)
    }

    /// First byte and total length in a header `Content-Range: bytes 5-9/10`; `bytes */10` has no first byte.
    pub(super) fn content_range(&self) -> Option<(Option<u64>, Option<u64>)> {
        content_range(self.header(CONTENT_RANGE.as_str())?)
    }

    pub(super) fn content_length(&self) -> Option<u64> {
        self.header(CONTENT_LENGTH.as_str())?.trim().parse().ok()
    }

    /// The `Content-Encoding`, if there is one; none is asked for.
    pub(super) fn encoding(&self) -> Option<&str> {
        self.header("content-encoding").filter(|e| !e.eq_ignore_ascii_case("identity"))
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn content_range(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    let first = match range {
        "*" => None,
        _ => Some(range.split_once('-')?.0.trim().parse().ok()?),
    };
    Some((first, total.trim().parse().ok()))
}

/// Counts failed attempts and waits between them.
#[derive(Debug, Default)]
pub(super) struct Patience {
    tries: u32,
}

impl Patience {
    /// Starts counting again, after progress.
    pub(super) fn renew(&mut self) {
        self.tries = 0;
    }

    /// Waits before the next attempt. The error says why there is none.
    pub(super) fn wait(&mut self, what: &str, failure: Failure, on_event: &mut dyn FnMut(PullEvent<'_>)) -> Result<()> {
        let (reason, asked, unreachable) = match failure {
            Failure::Lasting(error) => return Err(error),
            Failure::Passing { reason, wait, unreachable } => (reason, wait, unreachable),
            Failure::Slow(reason) => (reason, None, None),
        };
        self.tries += 1;
        let limit = if unreachable.is_some() { TRIES_UNREACHABLE } else { TRIES };
        let wait = pause(self.tries, asked);
        if self.tries >= limit || wait > MAX_WAIT {
            return Err(match unreachable {
                Some(host) => HubError::Unreachable { host, reason, cached: "" },
                None if wait > MAX_WAIT => {
                    let reason = format!("{reason}, the server asks to wait {} s", wait.as_secs());
                    HubError::Exhausted { what: what.to_owned(), reason, tries: self.tries }
                }
                None => HubError::Exhausted { what: what.to_owned(), reason, tries: self.tries },
            });
        }
        on_event(PullEvent::Retrying { what, reason: &reason, wait });
        std::thread::sleep(wait);
        Ok(())
    }
}

/// The wait before the next attempt: what the server asks for, else a wait that doubles with every failure.
fn pause(tries: u32, asked: Option<Duration>) -> Duration {
    asked.unwrap_or_else(|| FIRST_WAIT * 2u32.pow(tries.clamp(1, 8) - 1))
}

/// `Retry-After` in seconds, else the reset time of `RateLimit: "api";r=0;t=55` (draft-ietf-httpapi-ratelimit-headers).
fn asked_wait(headers: &HeaderMap) -> Option<Duration> {
    let after = header(headers, RETRY_AFTER.as_str()).and_then(|v| v.trim().parse().ok());
    let limit = || {
        let mut parts = header(headers, "ratelimit")?.split(';').map(str::trim);
        parts.find_map(|p| p.strip_prefix("t=")?.parse().ok())
    };
    after.or_else(limit).map(Duration::from_secs)
}

impl<'a> Client<'a> {
    pub(super) fn new(settings: &'a Settings, repo: &'a RepoId, revision: &'a Revision) -> Self {
        // `send` follows redirects itself, because the token may go to the hub only.
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("vljepa/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT.min(settings.timeout)))
            .timeout_recv_response(Some(settings.timeout))
            .timeout_per_read(Some(settings.timeout))
            .tls_config(TlsConfig::builder().root_certs(settings.roots.clone()).build())
            .build();
        Self { agent: Agent::new_with_config(config), settings, repo, revision }
    }

    /// The time over which the speed of a body is measured.
    pub(super) fn window(&self) -> Duration {
        2 * self.settings.timeout
    }

    /// The address of a file at a commit.
    pub(super) fn address(&self, commit: &str, name: &FileName) -> String {
        format!("{}/{}/resolve/{commit}/{}", self.settings.endpoint.as_str(), self.repo.as_str(), name.encoded())
    }

    /// The first `limit` characters of a text from a server, with the token hidden.
    pub(super) fn quote(&self, text: &str, limit: usize) -> String {
        let text = self.settings.token.as_ref().map_or_else(|| text.to_owned(), |token| token.hide(text));
        text.chars().take(limit).collect()
    }

    /// The commit that the revision names, and its files.
    pub(super) fn listing(&self, on_event: &mut dyn FnMut(PullEvent<'_>)) -> Result<Listing> {
        let (endpoint, repo) = (self.settings.endpoint.as_str(), self.repo.as_str());
        let address = format!("{endpoint}/api/models/{repo}/revision/{}", self.revision.encoded());
        let mut patience = Patience::default();
        loop {
            match self.listing_once(&address) {
                Ok(listing) => return Ok(listing),
                Err(failure) => patience.wait(repo, failure, on_event)?,
            }
        }
    }

    fn listing_once(&self, address: &str) -> Result<Listing, Failure> {
        #[derive(Deserialize)]
        struct Repository {
            sha: String,
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let mut answer = self.send(&Method::GET, address, 0, None)?;
        let bad_answer = |reason: String| HubError::Answer {
            what: self.repo.as_str().to_owned(),
            host: answer.host.clone(),
            reason,
        };
        let mut bytes = Vec::new();
        let body = Paced::new(answer.response.body_mut().as_reader(), self.window());
        match body.take(MAX_LISTING + 1).read_to_end(&mut bytes) {
            Ok(n) if n as u64 > MAX_LISTING => return Err(bad_answer("a listing above 64 MiB".into()).into()),
            Ok(_) => {}
            Err(error) => return Err(transport(error.into(), &answer.host)),
        }
        let repository: Repository = serde_json::from_slice(&bytes).map_err(|e| {
            bad_answer(format!("no listing of files: {}", self.quote(&json_fault(&e.to_string()), 200)))
        })?;
        if !is_commit(&repository.sha) {
            return Err(bad_answer(format!("{:?} is no commit", self.quote(&repository.sha, 60))).into());
        }
        Ok(Listing { commit: repository.sha, names: repository.siblings.into_iter().map(|s| s.rfilename).collect() })
    }

    /// Checksum and size of a file at a commit.
    pub(super) fn meta(&self, commit: &str, name: &FileName, on_event: &mut dyn FnMut(PullEvent<'_>)) -> Result<Meta> {
        let mut patience = Patience::default();
        loop {
            match self.meta_once(commit, name) {
                Ok(meta) => return Ok(meta),
                Err(failure) => patience.wait(name.as_str(), failure, on_event)?,
            }
        }
    }

    fn meta_once(&self, commit: &str, name: &FileName) -> Result<Meta, Failure> {
        let answer = self.send(&Method::HEAD, &self.address(commit, name), 0, Some(name))?;
        let bad_answer =
            |reason: String| HubError::Answer { what: name.as_str().to_owned(), host: answer.host.clone(), reason };
        match answer.header(COMMIT) {
            Some(found) if found == commit => {}
            Some(found) => {
                return Err(bad_answer(format!(
                    "the answer is of commit {}, {commit} was asked for",
                    self.quote(found, 40)
                ))
                .into());
            }
            None => return Err(bad_answer("no X-Repo-Commit header".into()).into()),
        }
        let tag = answer.header("x-linked-etag").or_else(|| answer.header("etag"));
        let Some(etag) = tag.and_then(Etag::parse) else {
            let tag = self.quote(tag.unwrap_or_default(), 80);
            return Err(bad_answer(format!("{tag:?} is no SHA-1 or SHA-256 checksum")).into());
        };
        // The Content-Length of a redirect is not the length of the file.
        let length = || answer.content_length().filter(|_| !answer.response.status().is_redirection());
        let linked = answer.header("x-linked-size").and_then(|v| v.trim().parse().ok());
        Ok(Meta { etag, size: linked.or_else(length) })
    }

    /// Asks for the bytes of a file from byte `from` to its end.
    pub(super) fn bytes(&self, address: &str, from: u64, name: &FileName) -> Result<Answer, Failure> {
        self.send(&Method::GET, address, from, Some(name))
    }

    /// Sends a request and follows redirects. The token is sent only to the hub's scheme, host and port.
    fn send(&self, method: &Method, address: &str, from: u64, file: Option<&FileName>) -> Result<Answer, Failure> {
        let what = file.map_or(self.repo.as_str(), FileName::as_str);
        let bad_answer =
            |host: &str, reason: String| HubError::Answer { what: what.to_owned(), host: host.to_owned(), reason };
        let mut uri: Uri = address.parse().map_err(|_| bad_answer("", format!("{address:?} is no address")))?;
        for _ in 0..=MAX_REDIRECTS {
            let to_hub = self.settings.endpoint.is_origin_of(&uri);
            let host = uri.authority().map(|a| a.as_str().to_owned()).unwrap_or_default();
            let mut request = Request::builder().method(method).uri(&uri).header(ACCEPT_ENCODING, "identity");
            if to_hub && let Some(token) = &self.settings.token {
                request = request.header(AUTHORIZATION, token.header());
            }
            if from > 0 {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            let request = request.body(()).map_err(|e| bad_answer(&host, e.to_string()))?;
            let response = self.agent.run(request).map_err(|e| transport(e, &host))?;
            let status = response.status();
            let location = response.headers().get(LOCATION).filter(|_| status.is_redirection());
            if let Some(location) = location {
                let target = location.to_str().ok().and_then(|l| join(&uri, l));
                let Some(target) = target else {
                    return Err(bad_answer(&host, "a redirect to no address".into()).into());
                };
                // The headers of such a redirect already describe the file.
                let described = *method == Method::HEAD && response.headers().contains_key(COMMIT);
                if described && !self.settings.endpoint.is_origin_of(&target) {
                    return Ok(Answer { response, host });
                }
                if uri.scheme_str() == Some("https") && target.scheme_str() != Some("https") {
                    return Err(bad_answer(&host, "a redirect from https to an unencrypted connection".into()).into());
                }
                uri = target;
                continue;
            }
            if status.is_success() || (status.as_u16() == 416 && from > 0) {
                return Ok(Answer { response, host });
            }
            return Err(self.refusal(response.headers(), status.as_u16(), file, to_hub, host));
        }
        let host = uri.host().unwrap_or_default();
        Err(bad_answer(host, format!("more than {MAX_REDIRECTS} redirects")).into())
    }

    /// The failure that an HTTP status stands for.
    fn refusal(
        &self,
        headers: &HeaderMap,
        status: u16,
        file: Option<&FileName>,
        to_hub: bool,
        host: String,
    ) -> Failure {
        let (repo, endpoint) = (self.repo.as_str().to_owned(), self.settings.endpoint.as_str().to_owned());
        let code = header(headers, "x-error-code").unwrap_or_default();
        let reply = self.quote(header(headers, "x-error-message").unwrap_or_default(), 200);
        // The signed address of a storage server expires; the hub then gives a new one.
        let expired = !to_hub && matches!(status, 401 | 403);
        if matches!(status, 408 | 425 | 429 | 500..) || expired {
            let reason = if status == 429 { " (too many requests)" } else { "" };
            let reason = format!("{host} answers {status}{reason}");
            return Failure::Passing { reason, wait: asked_wait(headers), unreachable: None };
        }
        let token = self.settings.token.as_ref();
        let token_advice = |check: &str| match token {
            Some(token) => format!("{check} the token of {}", token.origin),
            None => format!("set HF_TOKEN to a token of your account ({endpoint}/settings/tokens)"),
        };
        match (status, code, token) {
            (401 | 403, "GatedRepo", _) => {
                let advice = match token {
                    Some(_) => token_advice("check that its account is that of"),
                    None => token_advice(""),
                };
                HubError::Gated { repo, advice, endpoint }
            }
            (404, "RevisionNotFound", _) => {
                HubError::NoRevision { repo, revision: self.revision.as_str().to_owned(), endpoint }
            }
            (401, _, Some(token)) if reply.contains("nvalid") => {
                HubError::Token { endpoint, origin: token.origin.clone() }
            }
            (401, ..) | (404, "RepoNotFound", _) => {
                let advice = token_advice("check what may be read with");
                HubError::NoRepository { repo, advice, endpoint }
            }
            (404, ..) => match file {
                Some(file) => HubError::NoFile { repo, file: file.as_str().to_owned() },
                None => HubError::NoRepository { repo, advice: token_advice("check what may be read with"), endpoint },
            },
            _ => {
                let said = if reply.is_empty() { String::new() } else { format!(" ({reply})") };
                let message = match status {
                    403 => format!("{said}; {}", token_advice("check what may be read with")),
                    _ => said,
                };
                HubError::Status { what: file.map_or(repo, |f| f.as_str().to_owned()), host, status, message }
            }
        }
        .into()
    }
}

/// The failure that a transport error stands for.
pub(super) fn transport(error: ureq::Error, host: &str) -> Failure {
    let unreachable = |reason: String| Failure::Passing { reason, wait: None, unreachable: Some(host.to_owned()) };
    let lasting = |reason: String| HubError::Unreachable { host: host.to_owned(), reason, cached: "" }.into();
    match error {
        ureq::Error::HostNotFound => unreachable("there is no host of that name".into()),
        ureq::Error::ConnectionFailed => unreachable("the connection failed".into()),
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
            unreachable("no answer in time".into())
        }
        ureq::Error::Timeout(_) => Failure::passing(format!("{host} fell silent")),
        ureq::Error::Io(e) if e.get_ref().is_some_and(|e| e.is::<Slow>()) => Failure::Slow(format!("{host} sends {e}")),
        ureq::Error::Io(e) => match e.kind() {
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof
            | ErrorKind::TimedOut
            | ErrorKind::WouldBlock => Failure::passing(format!("the connection to {host} broke ({e})")),
            // An error of TLS, such as a bad certificate.
            ErrorKind::InvalidData => lasting(explain(&e.to_string())),
            // Connection refused, no route, or an unknown host name.
            _ => unreachable(e.to_string()),
        },
        ureq::Error::Protocol(e) => Failure::passing(format!("{host} does not speak HTTP ({e})")),
        other => lasting(explain(&other.to_string())),
    }
}

/// Resolves a `Location` header against the address of the request (RFC 3986, section 5.2, without dot segments, which
/// hubs do not send).
fn join(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.trim();
    let scheme = base.scheme_str()?;
    let address = if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{}{location}", base.authority()?)
    } else if location.split(['/', '?', '#']).next()?.contains(':') {
        location.to_owned()
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{}{folder}/{location}", base.authority()?)
    };
    let uri: Uri = address.parse().ok()?;
    (matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|h| !h.is_empty())).then_some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_may_be_relative() {
        let base: Uri = "https://hub.example:8443/a/b/resolve/main/x.json?y=1".parse().unwrap();
        for (location, want) in [
            ("https://cdn.example/z?sig=%2F", "https://cdn.example/z?sig=%2F"),
            ("//cdn.example/z", "https://cdn.example/z"),
            ("/n/b/resolve/main/x.json", "https://hub.example:8443/n/b/resolve/main/x.json"),
            ("z.json?a:b", "https://hub.example:8443/a/b/resolve/main/z.json?a:b"),
        ] {
            assert_eq!(join(&base, location).unwrap(), want, "{location}");
        }
        for bad in ["file:///etc/passwd", "javascript:1", "https://", "data:x,y", "http:///x", "/a b"] {
            assert!(join(&base, bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn ranges_are_read() {
        assert_eq!(content_range("bytes 5-9/10"), Some((Some(5), Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((Some(5), None)));
        assert_eq!(content_range("bytes */10"), Some((None, Some(10))));
        for bad in ["", "bytes", "items 1-2/3", "bytes x-9/10", "bytes 5/10"] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn waits_grow_and_servers_may_ask_for_others() {
        let waits: Vec<u128> = (1..=4).map(|n| pause(n, None).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000]);
        assert_eq!(pause(3, Some(Duration::from_secs(7))).as_secs(), 7);
        let asked = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            asked_wait(&headers).map(|d| d.as_secs())
        };
        assert_eq!(asked("retry-after", "12"), Some(12));
        assert_eq!(asked("ratelimit", "\"api\";r=0;t=55"), Some(55));
        assert_eq!(asked("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"), None);
        assert_eq!(asked("ratelimit", "nonsense"), None);
    }
}
