//! Certificates: which authorities are trusted, and what is wrong with a server's.

use std::path::Path;

use ureq::tls::{PemItem, RootCerts, parse_pem};
use vljepa_embed::files;

use super::error::{HubError, Result};

/// Largest file of certificates in bytes; the list of all public authorities has about 200 kB.
const MAX_BYTES: u64 = 16 << 20;

/// The variable that names a file of certificates, as for OpenSSL.
pub(super) const VARIABLE: &str = "SSL_CERT_FILE";

/// The authorities whose certificates are in the PEM file `path`. They are trusted in place of the public ones.
pub(super) fn roots(path: &Path) -> Result<RootCerts> {
    let fail = |reason: String| HubError::Setting { variable: VARIABLE, reason };
    let bytes = files::read(path, MAX_BYTES).map_err(|e| fail(e.to_string()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&bytes) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(_) => return Err(fail(format!("{}: is no PEM file; name one with certificates", path.display()))),
        }
    }
    if certificates.is_empty() {
        return Err(fail(format!("{}: has no certificates; name a PEM file with some", path.display())));
    }
    Ok(RootCerts::Specific(std::sync::Arc::new(certificates)))
}

/// What an error of TLS means, in place of the names that the library gives it.
pub(super) fn explain(error: &str) -> String {
    let Some((_, fault)) = error.split_once("invalid peer certificate") else { return error.to_owned() };
    let known = [
        (
            "UnknownIssuer",
            "is of an authority that is not known here; if it is your own or a proxy's, set SSL_CERT_FILE to a file with the authority's certificate",
        ),
        (
            "CaUsedAsEndEntity",
            "is that of an authority, and no server may use it; give the server one that the authority has signed",
        ),
        ("NotValidForName", "is for another host"),
        ("not valid for name", "is for another host"),
        ("NotValidYet", "is not valid yet; check this machine's clock"),
        ("not valid yet", "is not valid yet; check this machine's clock"),
        ("Expired", "has expired; check this machine's clock"),
        ("expired", "has expired; check this machine's clock"),
        ("Revoked", "was revoked"),
        ("BadSignature", "has a wrong signature"),
        ("BadEncoding", "cannot be read"),
        ("InvalidPurpose", "is not one for servers"),
    ];
    let what = known.iter().find(|(name, _)| fault.contains(name)).map_or("is not accepted", |(_, what)| what);
    format!("the server's certificate {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_said_in_words() {
        for (error, words) in [
            ("invalid peer certificate: UnknownIssuer", "SSL_CERT_FILE"),
            ("invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))", "no server may use it"),
            (
                "invalid peer certificate: certificate not valid for name \"a\"; certificate is only valid for b",
                "another host",
            ),
            ("invalid peer certificate: certificate expired: verification time 1 (UNIX), but ...", "clock"),
            ("invalid peer certificate: Other(OtherError(Whatever))", "is not accepted"),
        ] {
            let said = explain(error);
            assert!(said.contains(words) && !said.contains('(') && !said.contains("Other"), "{said}");
        }
        assert_eq!(explain("received fatal alert"), "received fatal alert");
    }

    #[test]
    fn files_of_certificates_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        for (text, words) in [("", "empty"), ("no certificates\n", "no certificates")] {
            std::fs::write(&path, text).unwrap();
            let error = roots(&path).unwrap_err().to_string();
            assert!(error.contains("SSL_CERT_FILE") && error.contains(words), "{error}");
        }
        assert!(roots(&dir.path().join("gone")).unwrap_err().to_string().contains("no such file"));
        assert!(roots(Path::new("/dev/zero")).is_err());
        std::fs::File::create(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
        let error = roots(&path).unwrap_err().to_string();
        assert!(error.contains("16777217 bytes, at most 16777216"), "{error}");
        std::fs::write(&path, include_str!("../../tests/fixtures/tls/ca.pem")).unwrap();
        assert!(matches!(roots(&path).unwrap(), RootCerts::Specific(list) if list.len() == 1));
    }
}
