//! `pull` where hub, network, cache or names are not as they should be.

use std::time::{Duration, Instant};

use crate::hub_server::{COMMIT, Fault, Fixture, Hub, REPO, TOKEN, command, etag, fails_after_notes, tree};
use crate::support::{fails, misused};

#[test]
fn a_killed_pull_goes_on_where_it_stopped() {
    let f = Fixture::new();
    let weights = etag(&f.weights, true);
    f.hub.fault("signature", Fault::Stall(100_000));
    let assert = f.command(&[REPO]);
    let mut child = std::process::Command::new(assert.get_program());
    child.args(assert.get_args()).stderr(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    for (name, value) in assert.get_envs() {
        match value {
            Some(value) => child.env(name, value),
            None => child.env_remove(name),
        };
    }
    let mut child = child.spawn().unwrap();
    let start = Instant::now();
    while std::fs::metadata(f.incomplete()).map_or(0, |m| m.len()) < 100_000 {
        assert!(start.elapsed() < Duration::from_secs(60), "nothing came");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!f.snapshot("").exists(), "no snapshot that is not whole");
    f.hub.seen();
    let done = f.json(&[REPO]);
    let ranges: Vec<_> = f.hub.seen().into_iter().filter(|s| s.store).map(|s| s.range).collect();
    assert_eq!(ranges, [Some("bytes=100000-".to_owned())]);
    assert_eq!(done["fetched_bytes"], 200_001);
    assert_eq!(std::fs::read(f.repo().join("blobs").join(weights)).unwrap(), f.weights);
    assert!(!f.incomplete().exists());
}

#[test]
fn cut_connections_silence_and_errors_are_outlived() {
    let f = Fixture::new();
    let soon = || vec![("Retry-After", "0".to_owned())];
    f.hub.fault("/api/models", Fault::Hang);
    f.hub.fault("HEAD", Fault::Status(500, soon()));
    f.hub.fault("GET /api/resolve-cache", Fault::Status(429, soon()));
    f.hub.fault("signature", Fault::Cut(1_000));
    f.hub.fault("signature", Fault::Cut(70_000));
    f.hub.fault("signature", Fault::Status(403, soon()));
    f.hub.fault("signature", Fault::Stall(5));
    let output = f.command(&[REPO]).env("HF_HUB_DOWNLOAD_TIMEOUT", "1").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    assert_eq!(std::fs::read(f.snapshot("model.safetensors")).unwrap(), f.weights);
    let ranges: Vec<_> = f.hub.seen().into_iter().filter(|s| s.store).filter_map(|s| s.range).collect();
    assert_eq!(ranges, ["bytes=1000-", "bytes=71000-", "bytes=71000-", "bytes=71005-"]);
    for words in ["500; trying again", "429 (too many requests); trying", "model.safetensors", "fell silent"] {
        assert!(stderr.contains(words), "no {words:?} in {stderr}");
    }
}

#[test]
fn patience_ends() {
    let f = Fixture::new();
    for _ in 0..5 {
        f.hub.fault("/api/models", Fault::Status(503, vec![("Retry-After", "0".into())]));
    }
    fails_after_notes(&mut f.command(&[REPO]), &["org/tiny", "503", "5 tries", "again later"]);
    f.hub.fault("/api/models", Fault::Status(429, vec![("Retry-After", "86400".into())]));
    fails(&mut f.command(&[REPO]), &["429", "86400 s"]);
    f.hub.fault("/api/models", Fault::Status(429, vec![("Retry-After", "1".into())]));
    let start = Instant::now();
    f.json(&[REPO]);
    assert!(start.elapsed() >= Duration::from_secs(1), "what the server asks for is granted");

    // A server that always starts anew and never ends gives bytes, but none that are new.
    let f = Fixture::new();
    (0..6).for_each(|_| f.hub.fault("signature", Fault::CutWhole(1000)));
    fails_after_notes(&mut f.command(&[REPO]), &["model.safetensors", "5 tries", "is kept"]);
}

#[test]
fn refusals_say_what_to_do() {
    let f = Fixture::new();
    let code = |status, code: &str| Fault::Status(status, vec![("X-Error-Code", code.into())]);
    for (line, fault, words) in [
        ("/api/models", code(401, "RepoNotFound"), &["org/tiny", "private", "HF_TOKEN", "settings/tokens"][..]),
        ("/api/models", code(404, "RepoNotFound"), &["no such repository"]),
        ("/api/models", Fault::Status(404, vec![]), &["no such repository"]),
        ("HEAD", code(401, "GatedRepo"), &["accept its licence at http", "/org/tiny", "HF_TOKEN"]),
        ("HEAD", code(403, "GatedRepo"), &["accept its licence"]),
        ("HEAD", code(404, "EntryNotFound"), &["1_Pooling/config.json", "--exclude"]),
        ("HEAD", Fault::Status(403, vec![("X-Error-Message", "Disabled.".into())]), &["403", "Disabled."]),
        ("HEAD", Fault::Status(418, vec![]), &["1_Pooling/config.json", "418"]),
    ] {
        f.hub.fault(line, fault);
        fails(&mut f.command(&[REPO]), words);
    }
    fails(&mut f.command(&[REPO, "--revision", "v2"]), &["no revision \"v2\"", "--revision"]);
    f.hub.state.lock().unwrap().token = Some(TOKEN.into());
    let wrong = "hf_Wrong";
    let mut command = f.command(&[REPO]);
    fails(command.env("HF_TOKEN", wrong), &["refuses the token of HF_TOKEN"]);
    f.hub.fault("HEAD", code(403, "GatedRepo"));
    let mut command = f.command(&[REPO]);
    fails(command.env("HF_TOKEN", TOKEN), &["licence", "the token of HF_TOKEN"]);
    assert!(!f.repo().exists(), "{:?}", tree(f.cache.path()));
}

#[test]
fn wrong_bytes_never_reach_the_snapshot() {
    for (line, name) in [("signature", "model.safetensors"), ("GET /api/resolve-cache", "1_Pooling/config.json")] {
        let f = Fixture::new();
        f.hub.fault(line, Fault::Corrupt);
        fails_after_notes(&mut f.command(&[REPO]), &[name, "SHA-", "pull again"]);
        assert!(!f.snapshot("").exists() && !f.repo().join("refs").exists());
        assert!(!tree(&f.repo()).keys().any(|n| n.ends_with(".incomplete")));
        f.json(&[REPO]);
        assert_eq!(std::fs::read(f.snapshot("model.safetensors")).unwrap(), f.weights);
    }
}

#[test]
fn leftovers_are_used_when_they_fit() {
    let f = Fixture::new();
    f.json(&[REPO, "--include", "config.json"]);
    let store = || f.hub.seen().into_iter().filter(|s| s.store).map(|s| s.range).collect::<Vec<_>>();
    let from = |n: usize| Some(format!("bytes={n}-"));
    let mut wrong = f.weights[..1000].to_vec();
    wrong[500] ^= 1;
    let whole = f.weights.clone();
    let long = [whole.clone(), vec![0]].concat();
    for (left, fault, want) in [
        (f.weights[..1000].to_vec(), None, vec![from(1000)]),
        (f.weights[..1000].to_vec(), Some(Fault::Whole), vec![from(1000)]),
        (wrong, None, vec![from(1000), None]),
        (whole.clone(), None, vec![]),
        (long, None, vec![None]),
        (Vec::new(), None, vec![None]),
    ] {
        let blob = f.repo().join("blobs").join(etag(&f.weights, true));
        let _ = std::fs::remove_file(&blob);
        std::fs::write(f.incomplete(), &left).unwrap();
        fault.into_iter().for_each(|fault| f.hub.fault("signature", fault));
        store();
        f.json(&[REPO]);
        assert_eq!(store(), want, "{} bytes left", left.len());
        assert_eq!(std::fs::read(&blob).unwrap(), f.weights);
        assert!(!f.incomplete().exists());
    }
    // Without a size from the hub, the end is where the store says.
    for (left, fault, want) in [
        (1000, None, vec![from(1000)]),
        (whole.len(), None, vec![from(whole.len())]),
        (0, None, vec![None]),
        (0, Some(Fault::Cut(5000)), vec![None, from(5000)]),
    ] {
        let blob = f.repo().join("blobs").join(etag(&f.weights, true));
        std::fs::remove_file(&blob).unwrap();
        std::fs::write(f.incomplete(), &whole[..left]).unwrap();
        f.hub.fault("HEAD", Fault::Headers(vec![("X-Linked-Size", "unknown".into())]));
        fault.into_iter().for_each(|fault| f.hub.fault("signature", fault));
        store();
        f.json(&[REPO]);
        assert_eq!(store(), want, "{left} bytes left");
        assert_eq!(std::fs::read(&blob).unwrap(), f.weights);
    }
}

#[test]
fn answers_that_are_none_of_a_hub() {
    let f = Fixture::new();
    let header = |name, value: &str| Fault::Headers(vec![(name, value.to_owned())]);
    for (line, fault, words) in [
        ("/api/models", Fault::Body("<html>log in</html>".into()), &["no listing", "HF_ENDPOINT"][..]),
        ("/api/models", Fault::Body("{\"sha\": \"../..\", \"siblings\": []}".into()), &["../..", "no commit"]),
        ("/api/models", Fault::Body(format!("{{\"sha\": \"{COMMIT}\", \"siblings\": []}}")), &["none of its files"]),
        (
            "/api/models",
            Fault::Status(302, vec![("Location", "file:///etc/passwd".into())]),
            &["redirect to no address"],
        ),
        ("HEAD /api/resolve", header("X-Repo-Commit", &"f".repeat(40)), &["of commit ffff"]),
        ("HEAD /org", header("X-Linked-Etag", "\"../../../evil\""), &["is no SHA-1 or SHA-256"]),
        ("HEAD /api/resolve", header("ETag", "\"d41d8cd98f00b204e9800998ecf8427e\""), &["is no SHA-1 or SHA-256"]),
    ] {
        f.hub.fault(line, fault);
        if line == "HEAD /org" {
            f.hub.fault("HEAD /api/resolve", header("ETag", "\"../../../evil\""));
        }
        fails(&mut f.command(&[REPO]), words);
    }
    for (fault, words) in [
        (header("Content-Encoding", "gzip"), &["model.safetensors", "gzip"]),
        (Fault::Body("<html>log in</html>".into()), &["model.safetensors", "19 bytes, 300001 are expected"]),
    ] {
        f.hub.fault("signature", fault);
        fails_after_notes(&mut f.command(&[REPO]), words);
    }
    let around: Vec<_> = (0..11).map(|_| ("/api/models", redirect("/api/models/org/tiny/revision/main"))).collect();
    f.hub.state.lock().unwrap().faults.extend(around);
    fails(&mut f.command(&[REPO]), &["more than 10 redirects"]);
    assert!(!f.snapshot("").exists());
}

fn redirect(location: &str) -> Fault {
    Fault::Status(307, vec![("Location", location.to_owned())])
}

#[test]
fn names_cannot_leave_the_cache() {
    let f = Fixture::new();
    f.hub.seen();
    for bad in ["../evil", "org/tiny/x", "org", "https://hub.example/org/tiny", "org/..", "org/ti ny", "org/tiny.git"] {
        let mut command = f.command(&[bad]);
        if bad == "org" {
            // An old repository without an owner, which this hub does not have.
            fails(&mut command, &["no such repository"]);
            f.hub.seen();
        } else {
            misused(&mut command, &["is no repository id"]);
        }
    }
    for bad in ["../../x", "/etc", "a//b", ""] {
        misused(&mut f.command(&[REPO, "--revision", bad]), &["is no revision"]);
    }
    fails(f.command(&[REPO]).env("HF_ENDPOINT", "hub.example"), &["HF_ENDPOINT", "https://"]);
    assert!(f.hub.seen().is_empty());
    for name in ["../../../evil.json", "/tmp/evil.json", "a\\..\\..\\evil.json", "C:evil.json", "x/../../evil.json"] {
        f.hub.state.lock().unwrap().files.insert(name.into(), (b"{}".to_vec(), false));
        fails(&mut f.command(&[REPO, "--include", "*"]), &["is no safe file name"]);
        // None of those that are fetched unasked.
        f.hub.state.lock().unwrap().files.remove(name);
    }
    assert!(tree(f.cache.path()).is_empty());
}

#[test]
fn offline_and_unreachable() {
    let f = Fixture::new();
    for variable in ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"] {
        fails(f.command(&[REPO]).env(variable, "1"), &["org/tiny", "no revision \"main\"", variable, "unset it"]);
    }
    assert!(f.hub.seen().is_empty());
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let away = || command(&closed, f.cache.path(), &[REPO]);
    fails_after_notes(&mut away(), &["cannot be reached", "refused", "HTTPS_PROXY"]);
    let mut nowhere = command("http://no-such-host.invalid", f.cache.path(), &[REPO]);
    fails_after_notes(&mut nowhere, &["no-such-host.invalid cannot be reached", "check the network"]);
    f.json(&[REPO]);
    fails_after_notes(&mut away(), &["cannot be reached", "HF_HUB_OFFLINE=1"]);
    fails(f.command(&[REPO, "--force"]).env("HF_HUB_OFFLINE", "1"), &["--force", "HF_HUB_OFFLINE"]);
    std::fs::remove_file(f.repo().join("blobs").join(etag(&f.weights, true))).unwrap();
    fails(f.command(&[REPO]).env("HF_HUB_OFFLINE", "yes"), &["lacks its model.safetensors", "HF_HUB_OFFLINE"]);
    // A link to nothing is mended.
    f.json(&[REPO]);
    assert_eq!(std::fs::read(f.snapshot("model.safetensors")).unwrap(), f.weights);

    let index = br#"{"metadata": {}, "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
    let shards = Hub::new(&[("model.safetensors.index.json", index), ("model-1.safetensors", b"1")]);
    let cache = tempfile::tempdir().unwrap();
    assert!(command(&shards.address, cache.path(), &[REPO]).output().unwrap().status.success());
    let mut offline = command(&shards.address, cache.path(), &[REPO]);
    fails(offline.env("HF_HUB_OFFLINE", "1"), &["lacks its model-2.safetensors"]);
}

#[test]
fn caches_that_cannot_be_written() {
    let f = Fixture::new();
    let file = f.cache.path().join("file");
    std::fs::write(&file, "x").unwrap();
    fails(f.command(&[REPO]).env("HF_HUB_CACHE", &file), &["file", "creating", "HF_HUB_CACHE"]);
    fails(f.command(&[REPO]).env("HF_HUB_CACHE", file.join("deeper")), &["creating", "HF_HUB_CACHE"]);
    // A folder where a blob should grow.
    std::fs::create_dir_all(f.incomplete()).unwrap();
    fails_after_notes(&mut f.command(&[REPO]), &["incomplete", "writing", "HF_HUB_CACHE"]);
    assert!(!f.snapshot("").exists());
}
