//! `pull`: the cache that it makes and shares, and what it asks a hub for.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use vljepa::embed::folder::ModelFolder;

use crate::hub_server::{COMMIT, CONFIG, CONFIG_ETAG, Fault, Fixture, Hub, REPO, TOKEN, command, etag, tree};
use crate::support::{Bench, fails};

#[cfg(unix)]
#[test]
fn the_cache_is_as_python_makes_it_and_is_filled_once() {
    let f = Fixture::new();
    let output = f.command(&[REPO]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let folder = f.snapshot("");
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), folder.to_str().unwrap().trim_end_matches('/'));
    let weights = etag(&f.weights, true);
    let (pooling, card) = (etag(b"{}", false), etag(b"# Tiny\n", false));
    let mut want: BTreeMap<String, String> = [
        (format!("blobs/{CONFIG_ETAG}"), String::from_utf8(CONFIG.to_vec()).unwrap()),
        (format!("blobs/{pooling}"), "{}".into()),
        (format!("blobs/{card}"), "# Tiny\n".into()),
        (format!("blobs/{weights}"), "300001 bytes".into()),
        ("refs/main".into(), COMMIT.into()),
    ]
    .into();
    for (name, target) in [
        ("config.json", format!("../../blobs/{CONFIG_ETAG}")),
        ("README.md", format!("../../blobs/{card}")),
        ("model.safetensors", format!("../../blobs/{weights}")),
        ("1_Pooling/config.json", format!("../../../blobs/{pooling}")),
    ] {
        want.insert(format!("snapshots/{COMMIT}/{name}"), format!("-> {target}"));
    }
    assert_eq!(tree(&f.repo()), want);
    assert_eq!(std::fs::read(f.snapshot("model.safetensors")).unwrap(), f.weights);
    let names: Vec<String> = tree(f.cache.path()).into_keys().filter(|n| !n.starts_with("models--")).collect();
    assert_eq!(names.len(), 1 + want.keys().filter(|k| k.starts_with("blobs")).count(), "{names:?}");
    assert!(
        names.contains(&"CACHEDIR.TAG".to_owned()) && names[0].starts_with(".locks/models--org--tiny/"),
        "{names:?}"
    );

    f.hub.seen();
    let again = f.json(&[REPO]);
    assert_eq!(f.lines(), [format!("GET /api/models/{REPO}/revision/main")]);
    assert_eq!((&again["commit"], &again["fetched_bytes"]), (&COMMIT.into(), &0.into()));
    let files: Vec<&str> = again["files"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert_eq!(files, ["1_Pooling/config.json", "README.md", "config.json", "model.safetensors"]);
    assert!(again["files"].as_array().unwrap().iter().all(|f| f["fetched"] == false));
    assert_eq!(again["files"][3]["bytes"], 300_001);

    let offline = f.command(&[REPO, "--json"]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&offline.stdout).unwrap(), again);
    assert!(f.hub.seen().is_empty());
    assert_eq!(tree(&f.repo()), want);
}

#[test]
fn a_pulled_model_is_one_to_use() {
    let bench = Bench::new();
    let read = |name: &str| std::fs::read(bench.path("model").join(name)).unwrap();
    let names = ["config.json", "model.safetensors", "target_tokenizer.json"];
    let files: Vec<_> = names.iter().map(|n| (*n, read(n))).collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(n, b)| (*n, b.as_slice())).collect();
    let hub = Hub::new(&files);
    let output = command(&hub.address, bench.path("cache").as_path(), &[REPO]).output().unwrap();
    let folder = String::from_utf8(output.stdout).unwrap();
    let there = ModelFolder::open(Path::new(folder.trim_end())).unwrap();
    let here = ModelFolder::open(&bench.path("model")).unwrap();
    assert_eq!(there.hash(), here.hash());
}

#[test]
fn the_token_goes_to_the_hub_alone_and_is_not_shown() {
    let f = Fixture::new();
    f.hub.state.lock().unwrap().token = Some(TOKEN.into());
    f.hub.fault("signature", Fault::Cut(10));
    f.hub.fault("HEAD", Fault::Status(500, vec![("Retry-After", "0".into()), ("X-Error-Message", TOKEN.into())]));
    let output = f.command(&[REPO, "--json"]).env("HF_TOKEN", TOKEN).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let seen = f.hub.seen();
    assert_eq!(seen.iter().filter(|s| s.store).count(), 2);
    for request in &seen {
        let want = (!request.store).then(|| format!("Bearer {TOKEN}"));
        assert_eq!(request.authorization, want, "{request:?}");
    }
    for text in [output.stdout, output.stderr] {
        assert!(!String::from_utf8_lossy(&text).contains("Secret"));
    }
    // What a server says is passed on, less the token, be it at the end of what is shown.
    for before in ["no entry for ".to_owned(), "no entry".repeat(24)] {
        let words = vec![("X-Error-Message", format!("{before}{TOKEN} here"))];
        f.hub.fault("/api/models", Fault::Status(403, words));
        let output = f.command(&[REPO]).env("HF_TOKEN", TOKEN).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("403 (no entry") && stderr.contains('…') && !stderr.contains("hf_"), "{stderr}");
    }
    for (line, fault) in [
        ("HEAD /api/resolve", Fault::Headers(vec![("X-Repo-Commit", TOKEN.into())])),
        ("HEAD /org", Fault::Headers(vec![("X-Linked-Etag", TOKEN.into())])),
        ("/api/models", Fault::Body(format!("{{\"sha\": \"{TOKEN}\", \"siblings\": []}}"))),
        ("/api/models", Fault::Body(format!("\"{TOKEN}\""))),
        ("signature", Fault::Headers(vec![("Content-Encoding", TOKEN.into())])),
    ] {
        f.hub.fault(line, fault);
        if line == "HEAD /org" {
            f.hub.fault("HEAD /api/resolve", Fault::Headers(vec![("ETag", TOKEN.into())]));
        }
        let output = f.command(&[REPO, "--force"]).env("HF_TOKEN", TOKEN).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains('…') && !stderr.contains("hf_"), "{line}: {stderr}");
    }
    f.hub.seen();
    // From the file that a login leaves, and not where that is not wanted.
    std::fs::create_dir_all(f.cache.path().join("home")).unwrap();
    std::fs::write(f.cache.path().join("home/token"), format!("{TOKEN}\n")).unwrap();
    f.json(&[REPO]);
    assert!(f.hub.seen().iter().all(|s| s.authorization.is_some()));
    let mut without = f.command(&[REPO]);
    fails(without.env("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"), &["no such repository", "HF_TOKEN"]);
    assert!(f.hub.seen().iter().all(|s| s.authorization.is_none()));
}

#[test]
fn patterns_choose_files() {
    let f = Fixture::new();
    let names = |value: &Value| {
        let files = value["files"].as_array().unwrap().iter();
        files.map(|f| f["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let some = f.json(&[REPO, "--include", "*.json", "--include", "onnx/", "--exclude", "1_*"]);
    assert_eq!(names(&some), ["config.json", "onnx/model.onnx"]);
    assert!(!f.snapshot("model.safetensors").exists());
    fails(&mut f.command(&[REPO, "--include", "*.gguf"]), &["--include \"*.gguf\"", "config.json"]);
    // What was pulled in part is not whole, and other parts come later.
    fails(f.command(&[REPO]).env("HF_HUB_OFFLINE", "1"), &["weights", "HF_HUB_OFFLINE", "--include"]);
    let offline = f.command(&[REPO, "--include", "config.json"]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert!(offline.status.success());
    assert_eq!(names(&f.json(&[REPO])).len(), 4);

    let weights = Fixture::new();
    weights.json(&[REPO, "--include", "model.safetensors"]);
    let offline = |args: &[&str]| {
        let mut command = weights.command(&[&[REPO], args].concat());
        command.env("HF_HUB_OFFLINE", "1");
        command
    };
    fails(&mut offline(&[]), &["lacks its config.json", "--include", "HF_HUB_OFFLINE"]);
    for args in [["--include", "model.safetensors"], ["--exclude", "config.json"]] {
        assert!(offline(&args).output().unwrap().status.success(), "{args:?}");
    }
    weights.json(&[REPO, "--include", "config.json"]);
    assert!(offline(&[]).output().unwrap().status.success());

    let open = Hub::new(&[(".gitattributes", b"x"), ("best.pt", b"a pickle")]);
    let output = command(&open.address, f.cache.path(), &[REPO, "--force", "--json"]).output().unwrap();
    assert_eq!(names(&serde_json::from_slice(&output.stdout).unwrap()), ["best.pt"]);
    let many = Hub::new(&[("best.pt", b"1"), ("last.pt", b"2")]);
    fails(&mut command(&many.address, f.cache.path(), &[REPO]), &["best.pt, last.pt", "--include"]);
}

#[test]
fn a_revision_that_moves_shares_what_stays() {
    let f = Fixture::new();
    f.json(&[REPO, "--revision", "refs/pr/1"]);
    assert_eq!(std::fs::read_to_string(f.repo().join("refs/refs/pr/1")).unwrap(), COMMIT);
    let next = "f".repeat(40);
    {
        let mut state = f.hub.state.lock().unwrap();
        state.commit.clone_from(&next);
        state.files.insert("config.json".into(), (b"{\"new\": 1}".to_vec(), false));
    }
    f.hub.seen();
    let moved = f.json(&[REPO, "--revision", "refs/pr/1"]);
    assert_eq!((&moved["commit"], &moved["fetched_bytes"]), (&next.as_str().into(), &10.into()));
    assert_eq!(f.hub.seen().iter().filter(|s| s.store).count(), 0);
    assert_eq!(std::fs::read_to_string(f.repo().join("refs/refs/pr/1")).unwrap(), next);
    assert_eq!(std::fs::read(f.snapshot("config.json")).unwrap(), CONFIG, "the old snapshot stays");
    let by_commit = f.json(&[REPO, "--revision", &next]);
    assert_eq!(by_commit["folder"], moved["folder"]);
    assert!(!f.repo().join("refs").join(&next).exists());

    let forced = f.json(&[REPO, "--force", "--revision", &next]);
    assert!(forced["fetched_bytes"].as_u64() > Some(300_000));
    assert!(forced["files"].as_array().unwrap().iter().all(|f| f["fetched"] == true));
}

#[test]
fn without_links_the_files_themselves_are_in_the_snapshot() {
    let f = Fixture::new();
    f.hub.state.lock().unwrap().files.insert("2_Dense/config.json".into(), (b"{}".to_vec(), false));
    let pull = || f.command(&[REPO, "--json"]).env("HF_HUB_DISABLE_SYMLINKS", "1").output().unwrap();
    let first = pull();
    assert!(first.status.success(), "{first:?}");
    assert!(!tree(&f.repo()).values().any(|v| v.starts_with("->")));
    assert_eq!(tree(&f.repo()).keys().filter(|n| n.starts_with("blobs/")).count(), 0, "nothing is there twice");
    assert_eq!(std::fs::read(f.snapshot("2_Dense/config.json")).unwrap(), b"{}");
    f.hub.seen();
    let again: Value = serde_json::from_slice(&pull().stdout).unwrap();
    assert_eq!((f.lines().len(), &again["fetched_bytes"]), (1, &0.into()));
}

#[cfg(unix)]
#[test]
fn a_cache_that_python_made_is_recognised() {
    let f = Fixture::new();
    let repo = f.repo();
    let put = |name: &str, bytes: &[u8]| {
        let path = repo.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    put("refs/main", COMMIT.as_bytes());
    let mut noted = serde_json::Map::new();
    for (name, bytes, lfs) in [
        ("README.md", &b"# Tiny\n"[..], false),
        ("config.json", CONFIG, false),
        ("1_Pooling/config.json", b"{}", false),
        ("model.safetensors", &f.weights, true),
    ] {
        put(&format!("blobs/{}", etag(bytes, lfs)), bytes);
        let link = f.snapshot(name);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        let up = "../".repeat(2 + name.matches('/').count());
        std::os::unix::fs::symlink(format!("{up}blobs/{}", etag(bytes, lfs)), link).unwrap();
        noted.insert(name.into(), serde_json::json!({"size": bytes.len(), "blob_id": etag(bytes, false)}));
    }
    let before = tree(&repo);
    let offline = || f.command(&[REPO, "--json"]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert!(offline().status.success());
    assert_eq!(f.json(&[REPO])["fetched_bytes"], 0);
    assert_eq!((f.lines().len(), tree(&repo)), (1, before));
    // What newer clients note about the commit tells that something is missing.
    noted.insert("2_Dense/model.safetensors".into(), serde_json::json!({"size": 1, "blob_id": "x"}));
    put(
        &format!("trees/{COMMIT}.json"),
        serde_json::json!({"format_version": 1, "files": noted}).to_string().as_bytes(),
    );
    let stderr = String::from_utf8(offline().stderr).unwrap();
    assert!(stderr.contains("lacks its 2_Dense/model.safetensors"), "{stderr}");
}

#[test]
fn two_at_once_fetch_once() {
    let f = Fixture::new();
    // Held as Python's client holds it.
    let locks = f.cache.path().join(".locks/models--org--tiny");
    std::fs::create_dir_all(&locks).unwrap();
    let lock = std::fs::File::create(locks.join(etag(&f.weights, true) + ".lock")).unwrap();
    lock.lock().unwrap();
    let started = Instant::now();
    let outputs = std::thread::scope(|scope| {
        let pulls = [0, 1].map(|_| scope.spawn(|| f.command(&[REPO, "--json"]).output().unwrap()));
        let config = f.repo().join("blobs").join(CONFIG_ETAG);
        while !config.exists() && started.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(500));
        assert!(!f.incomplete().exists(), "begun without the lock");
        lock.unlock().unwrap();
        pulls.map(|p| p.join().unwrap())
    });
    let mut bytes = Vec::new();
    for output in outputs {
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && stderr.contains("waiting for another process"), "{stderr}");
        let done: Value = serde_json::from_slice(&output.stdout).unwrap();
        bytes.push(done["fetched_bytes"].as_u64().unwrap());
    }
    assert_eq!(f.hub.seen().iter().filter(|s| s.store).count(), 1);
    let all = f.weights.len() + CONFIG.len() + b"{}".len() + b"# Tiny\n".len();
    assert_eq!(bytes.iter().sum::<u64>(), all as u64);
    assert_eq!(std::fs::read(f.snapshot("model.safetensors")).unwrap(), f.weights);
}
