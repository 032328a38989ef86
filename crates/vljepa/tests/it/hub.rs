//! `pull`: the cache that it makes, what it asks for, and every way in which a hub, a network or a cache can fail.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

use crate::hub_server::{COMMIT, Fault, Hub, REPO, Seen, etag, noise};
use crate::support::{Bench, fails, vljepa};

const CONFIG: &[u8] = b"{\"model_type\": \"vjepa2\"}\n";
/// `git hash-object` of [`CONFIG`].
const CONFIG_ETAG: &str = "7aa0fe888c2826f040b67b5e35fb1fcca7a46876";
const TOKEN: &str = "hf_SecretSecretSecret";

/// A hub with a model, and an empty cache.
struct Fixture {
    hub: Hub,
    cache: TempDir,
    weights: Vec<u8>,
}

impl Fixture {
    fn new() -> Self {
        let weights = noise(300_001);
        let hub = Hub::new(&[
            (".gitattributes", b"*.safetensors filter=lfs\n"),
            ("1_Pooling/config.json", b"{}"),
            ("README.md", b"# Tiny\n"),
            ("config.json", CONFIG),
            ("model.safetensors", &weights),
            ("pytorch_model.bin", &noise(1000)),
            ("onnx/model.onnx", b"onnx"),
        ]);
        Self { hub, cache: tempfile::tempdir().unwrap(), weights }
    }

    fn command(&self, args: &[&str]) -> Command {
        command(&self.hub.address, self.cache.path(), args)
    }

    /// Pulls, and gives the parsed document.
    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        let output = self.command(&[args, &["--json"]].concat()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn repo(&self) -> PathBuf {
        self.cache.path().join("models--org--tiny")
    }

    fn snapshot(&self, name: &str) -> PathBuf {
        self.repo().join("snapshots").join(COMMIT).join(name)
    }

    fn incomplete(&self) -> PathBuf {
        self.repo().join("blobs").join(etag(&self.weights, true) + ".incomplete")
    }

    /// The requests since the last call, less what the store was asked.
    fn lines(&self) -> Vec<String> {
        self.hub.seen().iter().filter(|s| !s.store).map(Seen::line).collect()
    }
}

/// `vljepa pull` with nothing of this machine's own settings.
fn command(address: &str, cache: &Path, args: &[&str]) -> Command {
    let mut command = vljepa([&["pull"], args].concat());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_ascii_uppercase();
        if text.starts_with("HF_") || text.starts_with("HUGGING") || text.ends_with("_PROXY") {
            command.env_remove(name);
        }
    }
    command.env("HF_ENDPOINT", address).env("HF_HOME", cache.join("home")).env("HF_HUB_CACHE", cache);
    command.timeout(Duration::from_secs(120));
    command
}

/// All below a folder: contents of files, `-> target` of links.
fn tree(folder: &Path) -> BTreeMap<String, String> {
    fn walk(folder: &Path, prefix: &str, found: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
            if path.is_symlink() {
                found.insert(name, format!("-> {}", std::fs::read_link(&path).unwrap().display()));
            } else if path.is_dir() {
                walk(&path, &format!("{name}/"), found);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                found
                    .insert(name, String::from_utf8(bytes).unwrap_or_else(|e| format!("{} bytes", e.as_bytes().len())));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, "", &mut found);
    found
}

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
    let there = vljepa::ModelFolder::find(Some(Path::new(folder.trim_end()))).unwrap();
    let here = vljepa::ModelFolder::find(Some(&bench.path("model"))).unwrap();
    assert_eq!(there.hash(), here.hash());
}

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

/// As [`fails`], with notes on stderr before the one line.
#[track_caller]
fn fails_after_notes(command: &mut Command, words: &[&str]) {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(output.stdout.is_empty());
    let last = stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: ") && stderr.matches("error: ").count() == 1, "{stderr}");
    for word in words {
        assert!(last.contains(word), "no {word:?} in: {last}");
    }
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
        (whole, None, vec![]),
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
    // Without a size from the hub, the end is where the server says.
    let blob = f.repo().join("blobs").join(etag(CONFIG, false));
    std::fs::rename(&blob, blob.with_extension("incomplete")).unwrap();
    f.json(&[REPO]);
    assert_eq!(std::fs::read(&blob).unwrap(), CONFIG);
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
            fails(&mut command, &["is no repository id"]);
        }
    }
    for bad in ["../../x", "/etc", "a//b", ""] {
        fails(&mut f.command(&[REPO, "--revision", bad]), &["is no revision"]);
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
