//! The page: one document, with its style and its script in it, and a policy that lets it load nothing else.

use std::sync::OnceLock;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::media::to_base64;
use super::worker::Facts;
use crate::html::escape;

const DOCUMENT: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// The document and its policy.
#[derive(Debug)]
pub(super) struct Page {
    document: String,
    policy: String,
}

impl Page {
    /// The page, put together once.
    pub fn get() -> &'static Self {
        static PAGE: OnceLock<Page> = OnceLock::new();
        PAGE.get_or_init(|| {
            let hash = |text: &str| format!("'sha256-{}'", to_base64(&Sha256::digest(text)));
            let policy = format!(
                "default-src 'none'; script-src {}; style-src {}; img-src data: blob:; connect-src 'self'; form-action 'none'; \
                 base-uri 'none'; frame-ancestors 'none'",
                hash(SCRIPT),
                hash(STYLE)
            );
            Self { document: DOCUMENT.replace("/*STYLE*/", STYLE).replace("/*SCRIPT*/", SCRIPT), policy }
        })
    }

    /// The page, which names the model.
    pub fn response(&self, facts: &Facts) -> Response {
        let document =
            self.document.replace("{{model}}", &escape(&facts.id)).replace("{{adapter}}", &escape(&facts.adapter));
        let mut response = document.into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        if let Ok(policy) = HeaderValue::from_str(&self.policy) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_no_other_file() {
        let page = Page::get();
        assert!(page.document.contains(STYLE) && page.document.contains(SCRIPT));
        for mark in ["/*STYLE*/", "/*SCRIPT*/"] {
            assert_eq!(DOCUMENT.matches(mark).count(), 1);
            assert!(!page.document.contains(mark));
        }
        for outside in ["http://", "https://", "src=\"", "@import", "url(", "innerHTML", "style=\""] {
            assert!(!page.document.replace("http://www.w3.org/2000/svg", "").contains(outside), "{outside}");
        }
        assert_eq!(page.policy.matches("sha256-").count(), 2);
    }
}
