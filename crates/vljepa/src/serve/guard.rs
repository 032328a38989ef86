//! Who may ask: a key, or without one only pages of this very server on this very machine.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use sha2::{Digest, Sha256};

use super::fault::{Fault, Result};
use crate::error::Error;

/// The key that clients give as `Authorization: Bearer KEY`. Only its hash is kept.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// The key in a text; white space around it does not count.
    ///
    /// # Errors
    /// A key that is empty, or that no header can hold.
    pub fn new(text: &str) -> crate::Result<Self> {
        let key = text.trim();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let reason = "a key is one word of letters, digits and signs of ASCII";
            return Err(Error::argument("key", reason));
        }
        Ok(Self(Sha256::digest(key).into()))
    }

    /// Whether `given` is the key. How long that takes tells nothing of where they differ: hashes are compared, and all of them.
    pub fn fits(&self, given: &str) -> bool {
        let given: [u8; 32] = Sha256::digest(given).into();
        let differ = self.0.iter().zip(&given).fold(0, |differ, (a, b)| differ | (a ^ b));
        std::hint::black_box(differ) == 0
    }
}

/// What requests must bring.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    pub key: Option<Key>,
    /// The name or address that the server was told to listen at.
    pub host: String,
}

impl Guard {
    /// Checks a request. `open` is what everybody may read: the page, the description, the health.
    pub fn check(&self, headers: &HeaderMap, open: bool) -> Result<()> {
        match &self.key {
            Some(_) if open => Ok(()),
            Some(key) => self.check_key(key, headers),
            None => self.check_origin(headers),
        }
    }

    fn check_key(&self, key: &Key, headers: &HeaderMap) -> Result<()> {
        let unauthorized = |message| Err(Fault::new(StatusCode::UNAUTHORIZED, message));
        let Some(given) = headers.get(header::AUTHORIZATION) else {
            return unauthorized("this server asks for a key: send it as `Authorization: Bearer KEY`");
        };
        let given = given.to_str().ok().and_then(|text| text.split_once(' '));
        let bearer = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, key)| key.trim());
        match bearer {
            Some(given) if key.fits(given) => Ok(()),
            Some(_) => unauthorized("the key is not that of this server"),
            None => unauthorized("the header Authorization does not hold `Bearer KEY`"),
        }
    }

    /// Without a key, a page of another site must not reach the server through a browser on this machine: neither by a name that was
    /// made to lead here (DNS rebinding), nor by a request across origins.
    fn check_origin(&self, headers: &HeaderMap) -> Result<()> {
        let forbidden = |message: String| Err(Fault::new(StatusCode::FORBIDDEN, message));
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        let Some(host) = text(header::HOST) else {
            return Err(Fault::bad("the request has no header Host"));
        };
        if !self.is_own(host) {
            return forbidden(format!(
                "the host {host} is not this server; without a key it answers to its own address alone"
            ));
        }
        match text(header::ORIGIN) {
            Some(origin) if origin.split_once("://").is_none_or(|(_, at)| !at.eq_ignore_ascii_case(host)) => forbidden(
                format!("a page of {origin} may not use this server; without a key it answers to its own page alone"),
            ),
            _ => Ok(()),
        }
    }

    fn is_own(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let name = authority.host().trim_start_matches('[').trim_end_matches(']');
        let local = name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|at| at.is_loopback());
        !host.contains('@') && (local || name.eq_ignore_ascii_case(&self.host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn keys_fit_or_do_not() {
        let key = Key::new(" s3cret-\n").unwrap();
        assert!(key.fits("s3cret-") && !key.fits("s3cret") && !key.fits("") && !key.fits("S3cret-"));
        assert_eq!(format!("{key:?}"), "Key(…)");
        for none in ["", " \n", "two words", "schlüssel"] {
            assert!(Key::new(none).is_err(), "{none:?}");
        }
        let guard = Guard { key: Some(key), host: "127.0.0.1".into() };
        let given = |text: &str| guard.check(&headers(&[(header::AUTHORIZATION, text)]), false);
        assert!(given("Bearer s3cret-").is_ok() && given("bearer  s3cret-").is_ok());
        for wrong in ["Bearer s3cret", "Bearer", "s3cret-", "Basic s3cret-", "Bearer "] {
            assert_eq!(given(wrong).unwrap_err().status(), StatusCode::UNAUTHORIZED, "{wrong}");
        }
        assert!(guard.check(&headers(&[]), true).is_ok() && guard.check(&headers(&[]), false).is_err());
        // With a key any name may lead here.
        let far = headers(&[(header::HOST, "films.example"), (header::AUTHORIZATION, "Bearer s3cret-")]);
        assert!(guard.check(&far, false).is_ok());
    }

    #[test]
    fn without_a_key_other_sites_are_refused() {
        let guard = Guard { key: None, host: "box.local".into() };
        let status = |pairs: &[(header::HeaderName, &str)]| guard.check(&headers(pairs), true).map_err(|e| e.status());
        for host in
            ["localhost:8642", "127.0.0.1:8642", "127.0.0.1", "[::1]:8642", "LOCALHOST", "127.9.9.9:1", "box.local:1"]
        {
            assert_eq!(status(&[(header::HOST, host)]), Ok(()), "{host}");
            assert_eq!(status(&[(header::HOST, host), (header::ORIGIN, &format!("http://{host}"))]), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8642",
            "localhost.evil.example",
            "localhost@evil.example",
            "10.0.0.1",
            "",
            "127.0.0.1.evil.example",
        ] {
            assert_eq!(status(&[(header::HOST, host)]), Err(StatusCode::FORBIDDEN), "{host}");
        }
        for origin in ["http://evil.example", "null", "http://localhost:1", "https://127.0.0.1:8642"] {
            let pairs = [(header::HOST, "localhost:8642"), (header::ORIGIN, origin)];
            assert_eq!(status(&pairs), Err(StatusCode::FORBIDDEN), "{origin}");
        }
        assert_eq!(status(&[]), Err(StatusCode::BAD_REQUEST));
    }
}
