//! Settings of a pull: hub, cache and access token, from the environment variables that Python's `huggingface_hub`
//! reads.

use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::http::{HeaderValue, Uri};
use ureq::tls::RootCerts;

use super::error::HubError;
use super::trust;

const ENDPOINT: &str = "https://huggingface.co";
/// Bytes of a token file that are read; tokens have about 40 characters.
const MAX_TOKEN: u64 = 16 << 10;
/// Default time limit for a silent connection.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Settings of a pull that do not depend on the repository.
#[derive(Debug)]
pub struct Settings {
    pub(super) endpoint: Endpoint,
    pub(super) cache: PathBuf,
    pub(super) token: Option<Token>,
    /// The variable that forbids requests, if one does.
    pub(super) offline: Option<&'static str>,
    pub(super) symlinks: bool,
    pub(super) timeout: Duration,
    /// The authorities whose certificates are trusted.
    pub(super) roots: RootCerts,
}

/// The address of a hub, without a trailing slash.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    text: String,
    uri: Uri,
}

/// An access token. It is never printed, and sent only to the hub.
#[derive(Clone)]
pub(super) struct Token {
    text: String,
    header: HeaderValue,
    /// The variable or file of the token.
    pub(super) origin: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token of {}", self.origin)
    }
}

impl Token {
    fn new(text: &str, variable: &'static str, origin: String) -> Result<Option<Self>, HubError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let fail = || HubError::Setting { variable, reason: format!("the content of {origin} is no token") };
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(fail());
        }
        let mut header = HeaderValue::from_str(&format!("Bearer {text}")).map_err(|_| fail())?;
        header.set_sensitive(true);
        Ok(Some(Self { text: text.to_owned(), header, origin }))
    }

    /// The value of the `Authorization` header.
    pub(super) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// Replaces the token in a text from a server.
    pub(super) fn hide(&self, text: &str) -> String {
        text.replace(&self.text, "…")
    }
}

impl Endpoint {
    fn parse(text: &str) -> Result<Self, HubError> {
        if text.contains('@') {
            // First of all checks, and without the value: it may contain a password.
            let reason = "a name or password in the address is not supported, use HF_TOKEN".into();
            return Err(HubError::Setting { variable: "HF_ENDPOINT", reason });
        }
        let fail = |reason: &str| HubError::Setting { variable: "HF_ENDPOINT", reason: format!("{text:?} {reason}") };
        let text = text.trim().trim_end_matches('/');
        let uri: Uri = text.parse().map_err(|_| fail("is no address such as https://hub.example.org"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
            return Err(fail("is no address such as https://hub.example.org"));
        }
        if uri.query().is_some() {
            return Err(fail("has a query"));
        }
        Ok(Self { text: text.to_owned(), uri })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether an address has the same scheme, host and port.
    pub(super) fn is_origin_of(&self, address: &Uri) -> bool {
        origin(&self.uri) == origin(address)
    }
}

fn origin(uri: &Uri) -> (Option<&str>, Option<String>, Option<u16>) {
    let port = uri.port_u16().or(match uri.scheme_str() {
        Some("http") => Some(80),
        Some("https") => Some(443),
        _ => None,
    });
    (uri.scheme_str(), uri.host().map(str::to_ascii_lowercase), port)
}

impl Settings {
    /// The settings from the environment of this process:
    ///
    /// * hub: `HF_ENDPOINT`;
    /// * cache: `HF_HUB_CACHE`, else `HUGGINGFACE_HUB_CACHE`, else `HF_HOME/hub`, else
    ///   `XDG_CACHE_HOME/huggingface/hub`, else `~/.cache/huggingface/hub`;
    /// * token: `HF_TOKEN`, else `HUGGING_FACE_HUB_TOKEN`, else the file `HF_TOKEN_PATH`, else the file
    ///   `HF_HOME/token`; none with `HF_HUB_DISABLE_IMPLICIT_TOKEN`;
    /// * authorities: the PEM file `SSL_CERT_FILE` in place of the public ones, as for OpenSSL;
    /// * `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE`, `HF_HUB_DISABLE_SYMLINKS`, and `HF_HUB_DOWNLOAD_TIMEOUT` in
    ///   seconds.
    ///
    /// # Errors
    /// [`HubError::Setting`] for an invalid value and for a token file that cannot be read, [`HubError::Cache`] for a
    /// cache path that cannot be made absolute.
    pub fn from_env() -> Result<Self, HubError> {
        Self::from(&|name| std::env::var_os(name), std::env::home_dir())
    }

    fn from(get: &dyn Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> Result<Self, HubError> {
        let set = |name: &str| get(name).filter(|v| !v.is_empty());
        let text = |variable: &'static str| {
            let fail = |_| HubError::Setting { variable, reason: "is not UTF-8 text".into() };
            set(variable).map(OsString::into_string).transpose().map_err(fail)
        };
        let home = home.filter(|h| !h.as_os_str().is_empty());
        let path = |name: &str| set(name).map(|v| expand(v, home.as_deref(), &set));
        let base = path("HF_HOME").or_else(|| {
            let caches = path("XDG_CACHE_HOME").or_else(|| Some(home.as_ref()?.join(".cache")))?;
            Some(caches.join("huggingface"))
        });
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        let Some(cache) = cache.or_else(|| Some(base.as_ref()?.join("hub"))) else {
            let reason = "there is no home folder to put a cache in; set it to a folder".into();
            return Err(HubError::Setting { variable: "HF_HOME", reason });
        };
        let cache = std::path::absolute(&cache).map_err(HubError::cache(&cache, "finding"))?;
        let token_file = path("HF_TOKEN_PATH").or_else(|| Some(base.as_ref()?.join("token")));
        let token =
            if is_true(set("HF_HUB_DISABLE_IMPLICIT_TOKEN")) { None } else { token(&text, token_file.as_deref())? };
        let timeout = match text("HF_HUB_DOWNLOAD_TIMEOUT")? {
            None => TIMEOUT,
            Some(seconds) => match seconds.trim().parse::<u32>() {
                Ok(n) if n > 0 => Duration::from_secs(n.into()),
                _ => {
                    let reason = format!("{seconds:?} is no whole number of seconds of at least 1");
                    return Err(HubError::Setting { variable: "HF_HUB_DOWNLOAD_TIMEOUT", reason });
                }
            },
        };
        let roots = match path(trust::VARIABLE) {
            Some(file) => trust::roots(&file)?,
            None => RootCerts::WebPki,
        };
        Ok(Self {
            roots,
            endpoint: Endpoint::parse(text("HF_ENDPOINT")?.as_deref().unwrap_or(ENDPOINT))?,
            cache,
            token,
            offline: ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].into_iter().find(|name| is_true(set(name))),
            symlinks: !is_true(set("HF_HUB_DISABLE_SYMLINKS")),
            timeout,
        })
    }
}

/// Whether a switch is on, by the rules of Python's client.
fn is_true(value: Option<OsString>) -> bool {
    let text = value.map(|v| v.to_string_lossy().to_ascii_uppercase());
    text.is_some_and(|t| matches!(t.as_str(), "1" | "ON" | "YES" | "TRUE"))
}

fn token(
    text: &dyn Fn(&'static str) -> Result<Option<String>, HubError>,
    file: Option<&Path>,
) -> Result<Option<Token>, HubError> {
    for variable in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
        if let Some(value) = text(variable)?
            && let Some(token) = Token::new(&value, variable, variable.to_owned())?
        {
            return Ok(Some(token));
        }
    }
    let Some(path) = file else { return Ok(None) };
    let mut value = String::new();
    let read = match std::fs::metadata(path) {
        Ok(meta) if !meta.is_file() => Err(std::io::Error::other("it is not a regular file")),
        _ => std::fs::File::open(path).and_then(|f| f.take(MAX_TOKEN).read_to_string(&mut value)),
    };
    match read {
        Ok(_) => Token::new(&value, "HF_TOKEN_PATH", path.display().to_string()),
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => {
            let reason = format!("the token file {} cannot be read: {e}; set HF_TOKEN instead", path.display());
            Err(HubError::Setting { variable: "HF_TOKEN_PATH", reason })
        }
    }
}

/// Expands `~` at the start, and `$NAME` and `${NAME}` anywhere; variables that are not set stay as they are.
fn expand(value: OsString, home: Option<&Path>, get: &dyn Fn(&str) -> Option<OsString>) -> PathBuf {
    let Some(text) = value.to_str() else { return value.into() };
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out += &rest[..at];
        rest = &rest[at + 1..];
        let braced = rest.strip_prefix('{').and_then(|r| r.split_once('}'));
        let (name, after) = braced.unwrap_or_else(|| {
            rest.split_at(rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len()))
        });
        match get(name).filter(|_| !name.is_empty()).and_then(|v| v.into_string().ok()) {
            Some(value) => {
                out += &value;
                rest = after;
            }
            None => out.push('$'),
        }
    }
    out += rest;
    match (out.strip_prefix('~'), home) {
        (Some(""), Some(home)) => home.to_path_buf(),
        (Some(below), Some(home)) if below.starts_with(std::path::is_separator) => {
            home.join(below.trim_start_matches(std::path::is_separator))
        }
        _ => out.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings, HubError> {
        let get = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
        Settings::from(&get, Some("/home/me".into()))
    }

    #[cfg(unix)]
    #[test]
    fn the_cache_is_where_python_has_it() {
        for (variables, want) in [
            (&[][..], "/home/me/.cache/huggingface/hub"),
            (&[("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub"),
            (&[("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/h")], "/h/hub"),
            (&[("HF_HOME", "/h"), ("HF_HUB_CACHE", "/c")], "/c"),
            (&[("HF_HOME", "/h"), ("HF_HUB_CACHE", "")], "/h/hub"),
            (&[("HUGGINGFACE_HUB_CACHE", "/old")], "/old"),
            (&[("HF_HOME", "~/h")], "/home/me/h/hub"),
            (&[("HF_HOME", "$D/${E}x/$NONE"), ("D", "/d"), ("E", "e")], "/d/ex/$NONE/hub"),
            (&[("HF_HUB_CACHE", "~")], "/home/me"),
        ] {
            assert_eq!(settings(variables).unwrap().cache, Path::new(want), "{variables:?}");
        }
        let none = Settings::from(&|_| None, None).unwrap_err().to_string();
        assert!(none.contains("HF_HOME"), "{none}");
    }

    #[test]
    fn tokens_come_from_variables_then_files_and_are_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let (home, other) = (dir.path().display().to_string(), dir.path().join("t").display().to_string());
        let origin = |variables: &[(&str, &str)]| settings(variables).unwrap().token.map(|t| t.origin);
        assert_eq!(origin(&[("HF_HOME", &home)]), None);
        std::fs::write(dir.path().join("token"), "hf_file\n").unwrap();
        std::fs::write(&other, "hf_other").unwrap();
        assert!(origin(&[("HF_HOME", &home)]).unwrap().ends_with("token"));
        assert_eq!(origin(&[("HF_HOME", &home), ("HF_TOKEN_PATH", &other)]), Some(other.clone()));
        let both = [("HF_HOME", &*home), ("HF_TOKEN", "hf_a"), ("HUGGING_FACE_HUB_TOKEN", "hf_b")];
        assert_eq!(origin(&both).as_deref(), Some("HF_TOKEN"));
        assert_eq!(origin(&both[2..]).as_deref(), Some("HUGGING_FACE_HUB_TOKEN"));
        assert_eq!(origin(&[("HF_TOKEN", "hf_a"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
        assert_eq!(origin(&[("HF_TOKEN", " \n"), ("HF_HOME", &other)]), None);
        let shown = format!("{:?}", settings(&both).unwrap());
        assert!(!shown.contains("hf_a"), "{shown}");
        for bad in ["two words", "hf_\u{e9}", "hf_a\nX-Evil: 1"] {
            let error = settings(&[("HF_TOKEN", bad)]).unwrap_err().to_string();
            assert!(error.contains("HF_TOKEN") && !error.contains(bad), "{error}");
        }
        std::fs::write(&other, [0xff, 0xfe]).unwrap();
        assert!(settings(&[("HF_TOKEN_PATH", &other)]).unwrap_err().to_string().contains("HF_TOKEN_PATH"));
    }

    #[test]
    fn endpoints_are_compared_by_origin() {
        let at = |text: &str| Endpoint::parse(text).unwrap();
        assert_eq!(at("https://hub.example/api/hf//").as_str(), "https://hub.example/api/hf");
        for (own, other, same) in [
            ("https://hub.example", "https://HUB.example:443/x", true),
            ("http://hub.example", "http://hub.example:80/x", true),
            ("https://hub.example", "http://hub.example/x", false),
            ("https://hub.example", "https://cdn.hub.example/x", false),
            ("https://hub.example", "https://hub.example.evil/x", false),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8081/x", false),
        ] {
            assert_eq!(at(own).is_origin_of(&other.parse().unwrap()), same, "{own} {other}");
        }
        for bad in ["hub.example", "ftp://hub.example", "https://", "https:///x", "https://a b", "https://h/?q", ""] {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
        for address in [
            "https://me:secret@hub.example",
            "ftp://me:secret@hub",
            "me:secret@hub.example",
            "https://me:secret@hub .example",
            "https://me:secret@",
            "https://me:secret@hub.example?q",
        ] {
            let error = settings(&[("HF_ENDPOINT", address)]).unwrap_err().to_string();
            assert!(error.contains("HF_ENDPOINT") && error.contains("HF_TOKEN"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn switches_and_times() {
        for (value, offline) in [("1", true), ("true", true), ("YES", true), ("on", true), ("0", false), ("", false)] {
            assert_eq!(settings(&[("HF_HUB_OFFLINE", value)]).unwrap().offline.is_some(), offline, "{value}");
        }
        assert_eq!(settings(&[("TRANSFORMERS_OFFLINE", "1")]).unwrap().offline, Some("TRANSFORMERS_OFFLINE"));
        assert!(!settings(&[("HF_HUB_DISABLE_SYMLINKS", "1")]).unwrap().symlinks);
        let seconds = |v| settings(&[("HF_HUB_DOWNLOAD_TIMEOUT", v)]).map(|s| s.timeout.as_secs());
        assert_eq!(seconds("7").unwrap(), 7);
        assert!(seconds("0").is_err() && seconds("soon").is_err());
    }
}
