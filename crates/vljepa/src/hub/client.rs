//! Requests to a hub: addresses, redirects, refusals, and patience with what passes.

use std::io::ErrorKind;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE, RETRY_AFTER};
use ureq::http::{HeaderMap, Method, Request, Response, Uri};
use ureq::{Agent, Body};

use super::error::{HubError, Result};
use super::event::PullEvent;
use super::names::{Etag, FileName, RepoId, Revision, is_commit};
use super::settings::Settings;

const MAX_REDIRECTS: usize = 10;
/// A listing of ten thousand files has some 5 MB.
const MAX_LISTING: u64 = 64 << 20;
const CONNECT: Duration = Duration::from_secs(10);
/// Tries without progress before giving up.
const TRIES: u32 = 5;
/// A host that cannot be reached mostly stays so.
const TRIES_UNREACHABLE: u32 = 2;
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Longest wait that a server is granted.
const MAX_WAIT: Duration = Duration::from_secs(300);
const COMMIT: &str = "x-repo-commit";

/// A connection to one revision of one repository.
pub(super) struct Client<'a> {
    agent: Agent,
    pub(super) settings: &'a Settings,
    pub(super) repo: &'a RepoId,
    pub(super) revision: &'a Revision,
}

/// A repository at a revision.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) names: Vec<String>,
}

/// What the hub says about a file without sending it.
#[derive(Clone, Debug)]
pub(super) struct Meta {
    pub(super) etag: Etag,
    pub(super) size: Option<u64>,
}

/// Why a request came to nothing.
pub(super) enum Failure {
    /// It may pass.
    Passing {
        /// What happened.
        reason: String,
        /// How long the server asks to wait.
        wait: Option<Duration>,
        /// The host, when there is no connection to it.
        unreachable: Option<String>,
    },
    /// It will not.
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

/// An answer that is no refusal.
pub(super) struct Answer {
    pub(super) response: Response<Body>,
    pub(super) host: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        header(self.response.headers(), name)
    }

    /// First byte and length of the whole of `Content-Range: bytes 5-9/10`; the first is missing in `bytes */10`.
    pub(super) fn content_range(&self) -> Option<(Option<u64>, Option<u64>)> {
        content_range(self.header(CONTENT_RANGE.as_str())?)
    }

    pub(super) fn content_length(&self) -> Option<u64> {
        self.header(CONTENT_LENGTH.as_str())?.trim().parse().ok()
    }

    /// A `Content-Encoding`, which was not asked for.
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

/// How often a thing was tried in vain.
#[derive(Debug, Default)]
pub(super) struct Patience {
    tries: u32,
}

impl Patience {
    /// Something came: as at the start.
    pub(super) fn renew(&mut self) {
        self.tries = 0;
    }

    /// Waits before another try, or says that there will be none.
    pub(super) fn wait(&mut self, what: &str, failure: Failure, on_event: &mut dyn FnMut(PullEvent<'_>)) -> Result<()> {
        let (reason, asked, unreachable) = match failure {
            Failure::Lasting(error) => return Err(error),
            Failure::Passing { reason, wait, unreachable } => (reason, wait, unreachable),
        };
        self.tries += 1;
        let limit = if unreachable.is_some() { TRIES_UNREACHABLE } else { TRIES };
        let wait = pause(self.tries, asked);
        if self.tries >= limit || wait > MAX_WAIT {
            return Err(match unreachable {
                Some(host) => HubError::Unreachable { host, reason, cached: "" },
                None if wait > MAX_WAIT => {
                    let reason = format!("{reason}, it asks to wait {} s", wait.as_secs());
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

/// What a server asks for, else twice as long after every failure.
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
        // Redirects are followed here, where it is known to whom the token may go.
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("vljepa/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT.min(settings.timeout)))
            .timeout_recv_response(Some(settings.timeout))
            .timeout_per_read(Some(settings.timeout))
            .build();
        Self { agent: Agent::new_with_config(config), settings, repo, revision }
    }

    /// The address of a file at a commit.
    pub(super) fn address(&self, commit: &str, name: &FileName) -> String {
        format!("{}/{}/resolve/{commit}/{}", self.settings.endpoint.as_str(), self.repo.as_str(), name.encoded())
    }

    /// At most `limit` characters of what a server said: all may be odd, and repeat the token.
    pub(super) fn said(&self, text: &str, limit: usize) -> String {
        let text = self.settings.token.as_ref().map_or_else(|| text.to_owned(), |token| token.hide(text));
        text.chars().take(limit).collect()
    }

    /// The commit that the revision is, and the files there.
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
        let odd = |reason: String| HubError::Answer {
            what: self.repo.as_str().to_owned(),
            host: answer.host.clone(),
            reason,
        };
        let body = answer.response.body_mut().with_config().limit(MAX_LISTING).read_to_vec();
        let bytes = match body {
            Ok(bytes) => bytes,
            Err(ureq::Error::BodyExceedsLimit(_)) => return Err(odd("a listing above 64 MiB".into()).into()),
            Err(error) => return Err(transport(error, &answer.host)),
        };
        let found: Repository = serde_json::from_slice(&bytes)
            .map_err(|e| odd(format!("no listing, {}", self.said(&e.to_string(), 200))))?;
        if !is_commit(&found.sha) {
            return Err(odd(format!("{:?} is no commit", self.said(&found.sha, 60))).into());
        }
        Ok(Listing { commit: found.sha, names: found.siblings.into_iter().map(|s| s.rfilename).collect() })
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
        let odd =
            |reason: String| HubError::Answer { what: name.as_str().to_owned(), host: answer.host.clone(), reason };
        match answer.header(COMMIT) {
            Some(found) if found == commit => {}
            Some(found) => {
                return Err(odd(format!("the file of commit {} for that of {commit}", self.said(found, 40))).into());
            }
            None => return Err(odd("no X-Repo-Commit header".into()).into()),
        }
        let tag = answer.header("x-linked-etag").or_else(|| answer.header("etag"));
        let Some(etag) = tag.and_then(Etag::parse) else {
            let tag = self.said(tag.unwrap_or_default(), 80);
            return Err(odd(format!("{tag:?} is no SHA-1 or SHA-256 to check it by")).into());
        };
        // The length of a redirect is that of its own text.
        let length = || answer.content_length().filter(|_| !answer.response.status().is_redirection());
        let linked = answer.header("x-linked-size").and_then(|v| v.trim().parse().ok());
        Ok(Meta { etag, size: linked.or_else(length) })
    }

    /// The bytes of a file from `from` on.
    pub(super) fn bytes(&self, address: &str, from: u64, name: &FileName) -> Result<Answer, Failure> {
        self.send(&Method::GET, address, from, Some(name))
    }

    /// One request, and those that its redirects ask for. The token goes to the hub's own scheme, host and port only.
    fn send(&self, method: &Method, address: &str, from: u64, file: Option<&FileName>) -> Result<Answer, Failure> {
        let what = file.map_or(self.repo.as_str(), FileName::as_str);
        let odd =
            |host: &str, reason: String| HubError::Answer { what: what.to_owned(), host: host.to_owned(), reason };
        let mut uri: Uri = address.parse().map_err(|_| odd("", format!("{address:?} is no address")))?;
        for _ in 0..=MAX_REDIRECTS {
            let own = self.settings.endpoint.is_origin_of(&uri);
            let host = uri.authority().map(|a| a.as_str().to_owned()).unwrap_or_default();
            let mut request = Request::builder().method(method).uri(&uri).header(ACCEPT_ENCODING, "identity");
            if own && let Some(token) = &self.settings.token {
                request = request.header(AUTHORIZATION, token.header());
            }
            if from > 0 {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            let request = request.body(()).map_err(|e| odd(&host, e.to_string()))?;
            let response = self.agent.run(request).map_err(|e| transport(e, &host))?;
            let status = response.status();
            let location = response.headers().get(LOCATION).filter(|_| status.is_redirection());
            if let Some(location) = location {
                let target = location.to_str().ok().and_then(|l| join(&uri, l));
                let Some(target) = target else {
                    return Err(odd(&host, "a redirect to no address".into()).into());
                };
                // Such a redirect carries all that is asked for.
                let complete = *method == Method::HEAD && response.headers().contains_key(COMMIT);
                if complete && !self.settings.endpoint.is_origin_of(&target) {
                    return Ok(Answer { response, host });
                }
                if uri.scheme_str() == Some("https") && target.scheme_str() != Some("https") {
                    return Err(odd(&host, "a redirect from https to an open connection".into()).into());
                }
                uri = target;
                continue;
            }
            if status.is_success() || (status.as_u16() == 416 && from > 0) {
                return Ok(Answer { response, host });
            }
            return Err(self.refusal(response.headers(), status.as_u16(), file, own, host));
        }
        let host = uri.host().unwrap_or_default();
        Err(odd(host, format!("more than {MAX_REDIRECTS} redirects")).into())
    }

    /// What a status other than success means.
    fn refusal(&self, headers: &HeaderMap, status: u16, file: Option<&FileName>, own: bool, host: String) -> Failure {
        let (repo, endpoint) = (self.repo.as_str().to_owned(), self.settings.endpoint.as_str().to_owned());
        let code = header(headers, "x-error-code").unwrap_or_default();
        let words = self.said(header(headers, "x-error-message").unwrap_or_default(), 200);
        // A signed address of a store behind the hub runs out; the hub gives another.
        let expired = !own && matches!(status, 401 | 403);
        if matches!(status, 408 | 425 | 429 | 500..) || expired {
            let reason = if status == 429 { " (too many requests)" } else { "" };
            let reason = format!("{host} answers {status}{reason}");
            return Failure::Passing { reason, wait: asked_wait(headers), unreachable: None };
        }
        let token = self.settings.token.as_ref();
        let by_token = |with: &str| match token {
            Some(token) => format!("{with} the token of {}", token.origin),
            None => format!("set HF_TOKEN to a token of your account ({endpoint}/settings/tokens)"),
        };
        match (status, code, token) {
            (401 | 403, "GatedRepo", _) => {
                let advice = match token {
                    Some(_) => by_token("check that its account is that of"),
                    None => by_token(""),
                };
                HubError::Gated { repo, advice, endpoint }
            }
            (404, "RevisionNotFound", _) => {
                HubError::NoRevision { repo, revision: self.revision.as_str().to_owned(), endpoint }
            }
            (401, _, Some(token)) if words.contains("nvalid") => {
                HubError::Token { endpoint, origin: token.origin.clone() }
            }
            (401, ..) | (404, "RepoNotFound", _) => {
                let advice = by_token("check what may be read with");
                HubError::NoRepository { repo, advice, endpoint }
            }
            (404, ..) => match file {
                Some(file) => HubError::NoFile { repo, file: file.as_str().to_owned() },
                None => HubError::NoRepository { repo, advice: by_token("check what may be read with"), endpoint },
            },
            _ => {
                let said = if words.is_empty() { String::new() } else { format!(" ({words})") };
                let message = match status {
                    403 => format!("{said}; {}", by_token("check what may be read with")),
                    _ => said,
                };
                HubError::Status { what: file.map_or(repo, |f| f.as_str().to_owned()), host, status, message }
            }
        }
        .into()
    }
}

/// A failure below HTTP.
pub(super) fn transport(error: ureq::Error, host: &str) -> Failure {
    let unreachable = |reason: String| Failure::Passing { reason, wait: None, unreachable: Some(host.to_owned()) };
    let lasting = |reason: String| HubError::Unreachable { host: host.to_owned(), reason, cached: "" }.into();
    match error {
        ureq::Error::HostNotFound => unreachable("no host of that name is found".into()),
        ureq::Error::ConnectionFailed => unreachable("the connection failed".into()),
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
            unreachable("no answer in time".into())
        }
        ureq::Error::Timeout(_) => Failure::passing(format!("{host} fell silent")),
        ureq::Error::Io(e) => match e.kind() {
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof
            | ErrorKind::TimedOut
            | ErrorKind::WouldBlock => Failure::passing(format!("the connection to {host} broke ({e})")),
            // What TLS does not accept.
            ErrorKind::InvalidData => lasting(e.to_string()),
            // Refused, no route, a name that is not found.
            _ => unreachable(e.to_string()),
        },
        ureq::Error::Protocol(e) => Failure::passing(format!("{host} does not speak HTTP ({e})")),
        other => lasting(other.to_string()),
    }
}

/// A `Location` seen from the address that gave it (RFC 3986, section 5.2, without dot segments, which hubs do not send).
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
