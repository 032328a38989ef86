//! `pull` where the cache lies, where a hub never ends, and whom it trusts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::hub_server::{Fault, Fixture, REPO, command, etag, fails_after_notes, tree};
use crate::support::fails;

#[cfg(unix)]
#[test]
fn a_cached_file_that_is_cut_short_is_fetched_again() {
    for symlinks in [true, false] {
        let f = Fixture::new();
        let pull = |more: &[&str]| {
            let mut command = f.command(&[&[REPO], more].concat());
            if !symlinks {
                command.env("HF_HUB_DISABLE_SYMLINKS", "1");
            }
            command
        };
        assert!(pull(&[]).output().unwrap().status.success());
        let weights = f.snapshot("model.safetensors");
        let config = f.snapshot("config.json");
        for (damaged, cut) in [(&weights, true), (&weights, false), (&config, true)] {
            let mut bytes = std::fs::read(damaged).unwrap();
            if cut {
                bytes.truncate(bytes.len() / 2);
            } else {
                bytes[7] ^= 1;
            }
            std::fs::write(damaged, bytes).unwrap();
            let mut offline = pull(&[]);
            let name = damaged.file_name().unwrap().to_str().unwrap();
            fails(offline.env("HF_HUB_OFFLINE", "1"), &[name, "cut short or altered", "HF_HUB_OFFLINE"]);
            let output = pull(&[]).output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success() && stderr.contains(&format!("{name}: the file in the cache is cut")),
                "{stderr}"
            );
            assert!(std::fs::read(&weights).unwrap() == f.weights, "links: {symlinks}");
        }
        f.hub.seen();
        assert!(pull(&[]).output().unwrap().status.success());
        assert_eq!(f.lines().len(), 1, "nothing is asked for twice");
    }
}

#[cfg(unix)]
#[test]
fn a_blob_of_the_right_size_is_checked_before_it_is_linked() {
    let f = Fixture::new();
    // Python's cache, cut short and padded: as long as it should be.
    let blob = f.repo().join("blobs").join(etag(&f.weights, true));
    std::fs::create_dir_all(blob.parent().unwrap()).unwrap();
    let mut wrong = f.weights.clone();
    wrong[200_000..].fill(0);
    std::fs::write(&blob, wrong).unwrap();
    assert!(f.command(&[REPO]).output().unwrap().status.success());
    assert!(std::fs::read(f.snapshot("model.safetensors")).unwrap() == f.weights);
}

#[test]
fn a_failed_pull_leaves_no_part_of_a_model() {
    let f = Fixture::new();
    // No file can replace a folder with content.
    let place = f.snapshot("model.safetensors");
    std::fs::create_dir_all(place.join("in the way")).unwrap();
    fails_after_notes(&mut f.command(&[REPO]), &["model.safetensors", "writing"]);
    let names: Vec<String> = tree(&f.snapshot("")).into_keys().collect();
    assert!(names.is_empty() || !cfg!(unix), "{names:?}");
    assert!(!f.snapshot("config.json").exists() && !f.repo().join("refs/main").exists());
    std::fs::remove_dir_all(&place).unwrap();
    f.json(&[REPO]);
    assert!(std::fs::read(&place).unwrap() == f.weights);
}

#[test]
fn what_does_not_fit_onto_the_disk_is_not_begun() {
    let f = Fixture::new();
    f.hub.fault(
        "HEAD /org/tiny/resolve/0123456789abcdef0123456789abcdef01234567/model.safetensors",
        Fault::Headers(vec![("X-Linked-Size", (1u64 << 60).to_string())]),
    );
    fails(&mut f.command(&[REPO]), &["bytes are to be fetched", "the disk has room for", "HF_HUB_CACHE"]);
    assert!(!f.incomplete().exists());
}

/// A server that answers every request with `head` and then with what `body` writes until the client leaves.
fn server(head: &'static str, body: impl Fn(&mut TcpStream) + Send + Copy + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let _ = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).count();
                let _ = stream.write_all(head.as_bytes());
                body(&mut stream);
            });
        }
    });
    address
}

#[test]
fn bodies_without_an_end_are_given_up() {
    // A listing that never ends.
    let endless = server("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", |stream| {
        let part = [b' '; 1 << 16];
        while stream.write_all(&part).is_ok() {}
    });
    let cache = tempfile::tempdir().unwrap();
    fails(&mut command(&endless, cache.path(), &[REPO]), &["a listing above 64 MiB"]);
    // A byte now and then.
    let slow = server("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", |stream| {
        while stream.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    let start = Instant::now();
    let mut pull = command(&slow, cache.path(), &[REPO]);
    fails_after_notes(pull.env("HF_HUB_DOWNLOAD_TIMEOUT", "1"), &["fewer than 1024 bytes a second for 2 s", "5 tries"]);
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());

    // A file of which nobody tells the size.
    let f = Fixture::new();
    let endless: &'static str = Box::leak(endless.into_boxed_str());
    f.hub.fault(
        "HEAD /org/tiny/resolve/0123456789abcdef0123456789abcdef01234567/model.safetensors",
        Fault::Headers(vec![("X-Linked-Size", "unknown".into())]),
    );
    let to = || Fault::Status(302, vec![("Location", format!("{endless}/file"))]);
    f.hub.fault("GET /org/tiny/resolve/0123456789abcdef0123456789abcdef01234567/model.safetensors", to());
    fails_after_notes(&mut f.command(&[REPO]), &["model.safetensors", "no size of a file of more than 67108864 bytes"]);
    assert!(!f.incomplete().exists());
}

/// A hub that speaks TLS with a certificate of the test's own, and has no repository.
fn encrypted(certificate: &str, key: &str) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls");
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(fixtures.join(certificate)).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(fixtures.join(key)).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(b"HTTP/1.1 404 None\r\nX-Error-Code: RepoNotFound\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                stream.conn.send_close_notify();
                let _ = stream.flush();
            });
        }
    });
    address
}

#[test]
fn authorities_of_ones_own_are_trusted() {
    let authority = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls/ca.pem");
    let cache = tempfile::tempdir().unwrap();
    let hub = encrypted("server.pem", "server.key");
    let pull = || command(&hub, cache.path(), &[REPO]);
    fails(
        pull().env_remove("SSL_CERT_FILE"),
        &["127.0.0.1", "certificate is of an authority that is not known here", "SSL_CERT_FILE"],
    );
    fails(pull().env("SSL_CERT_FILE", &authority), &["no such repository"]);
    fails(pull().env("SSL_CERT_FILE", cache.path().join("gone")), &["SSL_CERT_FILE", "gone", "no such file"]);
    // The authority's certificate as the server's own.
    let hub = encrypted("ca.pem", "ca.key");
    let mut pull = command(&hub, cache.path(), &[REPO]);
    fails(pull.env("SSL_CERT_FILE", &authority), &["no server may use it"]);
}
