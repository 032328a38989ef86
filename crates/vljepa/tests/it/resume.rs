//! Folders of many files: runs that are stopped go on, and end with the same bytes; broken files; one walk.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Bench, fails, json, noted, picture, vljepa, weights};

/// The tiny model takes 64 pictures at once: two whole batches and a part.
const FILES: u8 = 150;

/// A bench with many pictures in `many/`, whose times are all in the past.
fn many() -> Bench {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("many")).unwrap();
    for i in 0..FILES {
        bench.write(&format!("many/{i:03}.png"), picture(i));
    }
    bench
}

fn embed(bench: &Bench, out: &str) -> Value {
    json(bench.args(&["embed", "@many", "--out", &bench.text(out)]))
}

/// As [`embed`], where what an earlier run had done does not all count; what is said of it.
fn embed_anew(bench: &Bench, out: &str) -> (Value, String) {
    let (said, notes) = noted(bench.args(&["embed", "@many", "--out", &bench.text(out)]));
    assert!(notes.lines().count() == 1 && notes.starts_with(&bench.text(out)), "{notes}");
    (said, notes)
}

/// The bytes of a run that nothing stops.
fn whole(bench: &Bench, out: &str) -> Vec<u8> {
    assert_eq!(embed(bench, out)["resumed"], 0);
    std::fs::read(bench.path(out)).unwrap()
}

/// Stops a run behind its first batches: the file at `at` is broken meanwhile.
fn stopped(bench: &Bench, at: u8, out: &str) {
    let _ = std::fs::remove_file(bench.path(out));
    let name = format!("many/{at:03}.png");
    let (good, modified) = (std::fs::read(bench.path(&name)).unwrap(), modified(&bench.path(&name)));
    bench.write(&name, &good[..50]);
    let mut command = vljepa(bench.args(&["embed", "@many", "--out", &bench.text(out)]));
    fails(&mut command, &[&format!("{at:03}.png"), "truncated", "--skip-broken"]);
    bench.write(&name, good);
    set_modified(&bench.path(&name), modified);
    assert!(!bench.path(out).exists(), "nothing half-written");
}

fn modified(path: &Path) -> std::time::SystemTime {
    std::fs::metadata(path).unwrap().modified().unwrap()
}

fn set_modified(path: &Path, time: std::time::SystemTime) {
    std::fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

fn partial(out: &str) -> [String; 2] {
    [format!("{out}.partial"), format!("{out}.partial.jsonl")]
}

#[test]
fn a_stopped_run_goes_on_and_ends_with_the_same_bytes() {
    let bench = many();
    let before = bench.files(".");
    for (out, other) in [("a.npy", "b.npy"), ("a.safetensors", "b.safetensors")] {
        let want = whole(&bench, out);
        for (at, done) in [(149, 128), (70, 64)] {
            stopped(&bench, at, other);
            assert!(partial(other).iter().all(|name| bench.path(name).exists()));
            let said = embed(&bench, other);
            assert_eq!((&said["resumed"], &said["shape"]), (&json!(done), &json!([FILES, 8])));
            assert_eq!(said["inputs"].as_array().unwrap().len(), usize::from(FILES));
            assert_eq!(std::fs::read(bench.path(other)).unwrap(), want, "{other} from {done}");
            assert!(partial(other).iter().all(|name| !bench.path(name).exists()));
        }
        // Nothing done, nothing left.
        stopped(&bench, 3, "c.npy");
        assert!(partial("c.npy").iter().all(|name| !bench.path(name).exists()));
        std::fs::remove_file(bench.path(out)).unwrap();
        std::fs::remove_file(bench.path(other)).unwrap();
    }
    assert_eq!(bench.files("."), before);
}

/// Kills a run that writes `out` behind its first batch.
fn killed(bench: &Bench, args: &[&str], out: &str) {
    let journal = bench.path(&partial(out)[1]);
    for _ in 0..20 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vljepa"));
        let mut child = command.args(bench.args(args)).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        // Until one batch is done: the line of what the rows depend on, and one more.
        let lines = || std::fs::read(&journal).map_or(0, |bytes| bytes.iter().filter(|b| **b == b'\n').count());
        while lines() < 2 && child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < Duration::from_secs(120), "no batch was done");
            std::thread::sleep(Duration::from_micros(200));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        if journal.exists() {
            return;
        }
        // It was done before it could be killed.
        std::fs::remove_file(bench.path(out)).unwrap();
    }
    panic!("always faster than its killer");
}

#[test]
fn a_killed_run_goes_on() {
    let bench = many();
    let want = whole(&bench, "a.npy");
    killed(&bench, &["embed", "@many", "--out", "@b.npy"], "b.npy");
    // The same folder, as a shell completes its name.
    let again = json(bench.args(&["embed", "@many/", "--out", "@b.npy"]));
    let done = again["resumed"].as_u64().unwrap();
    assert!([64, 128, 150].contains(&done), "{done}");
    assert_eq!(std::fs::read(bench.path("b.npy")).unwrap(), want);
    assert!(partial("b.npy").iter().all(|name| !bench.path(name).exists()));
}

#[test]
fn a_killed_index_goes_on() {
    let bench = many();
    let build = |out: &str| json(bench.args(&["index", "build", "@many", "--out", &bench.text(out)]));
    let first = build("a.idx");
    assert_eq!((&first["pictures"], &first["resumed"]), (&json!(FILES), &json!(0)));
    killed(&bench, &["index", "build", "@many", "--out", "@b.idx"], "b.idx");
    // Rows of `embed` are another thing.
    for name in partial("b.idx") {
        std::fs::copy(bench.path(&name), bench.path(&name.replace("idx", "safetensors"))).unwrap();
    }
    let mut embed = vljepa(bench.args(&["embed", "@many", "--out", "@b.safetensors"]));
    fails(
        &mut embed,
        &["b.safetensors.partial.jsonl", "an unfinished run of `vljepa index build`", "run that one again"],
    );
    let second = build("b.idx");
    let done = second["resumed"].as_u64().unwrap();
    assert!([64, 128, 150].contains(&done) && second["pictures"] == FILES, "{second}");
    assert_eq!(std::fs::read(bench.path("b.idx")).unwrap(), std::fs::read(bench.path("a.idx")).unwrap());
    assert!(partial("b.idx").iter().all(|name| !bench.path(name).exists()));
    let found = json(bench.args(&["search", "@b.idx", "a picture", "--top", "3"]));
    assert!(found["searches"][0]["results"].as_array().unwrap().iter().all(|r| r["fresh"] == true), "{found}");
}

#[test]
fn what_has_changed_is_done_again() {
    let bench = many();
    // A file of the second batch is another one when the run goes on.
    stopped(&bench, 149, "b.npy");
    let name = "many/100.png";
    let time = modified(&bench.path(name)) + Duration::from_secs(10);
    bench.write(name, picture(200));
    set_modified(&bench.path(name), time);
    let (said, notes) = embed_anew(&bench, "b.npy");
    assert_eq!((&said["resumed"], &said["done_anew"]), (&json!(64), &json!(64)));
    assert!(notes.contains("taken over from an earlier run: 64; "), "{notes}");
    assert!(notes.contains("64 (1 changed since, 63 in a batch with other files than then)"), "{notes}");
    let want = whole(&bench, "a.npy");
    assert_eq!(std::fs::read(bench.path("b.npy")).unwrap(), want);
    // A file more in the first batch: all of it.
    stopped(&bench, 149, "b.npy");
    bench.write("many/000a.png", picture(201));
    let (said, notes) = embed_anew(&bench, "b.npy");
    assert_eq!((&said["resumed"], &said["done_anew"]), (&json!(0), &json!(128)));
    assert!(notes.contains("128 (128 in a batch with other files than then)"), "{notes}");
    assert_eq!(std::fs::read(bench.path("b.npy")).unwrap(), whole(&bench, "a.npy"));
}

#[test]
fn a_small_run_takes_nothing_from_an_unfinished_one() {
    let bench = many();
    stopped(&bench, 149, "b.npy");
    let remains = || partial("b.npy").map(|name| std::fs::read(bench.path(&name)).unwrap());
    let before = remains();
    let small = |inputs: &[&str]| vljepa(bench.args(&[inputs, &["--out", "@b.npy"]].concat()));
    let words = ["b.npy.partial.jsonl", "unfinished run", "finish it", "another --out", "b.npy.partial to begin anew"];
    fails(&mut small(&["embed", "@pictures"]), &words);
    fails(&mut small(&["embed", "@many/000.png"]), &words);
    fails(&mut small(&["embed-text", "cat"]), &words);
    assert!(remains() == before && !bench.path("b.npy").exists());
    // The same inputs with fewer files are a small run too.
    for i in 9..FILES {
        std::fs::remove_file(bench.path(&format!("many/{i:03}.png"))).unwrap();
    }
    let (said, notes) = embed_anew(&bench, "b.npy");
    assert_eq!((&said["resumed"], &said["shape"]), (&json!(0), &json!([9, 8])));
    assert!(notes.contains("9 in a batch with other files than then") && notes.contains("gone since: 119"), "{notes}");
    assert_eq!(std::fs::read(bench.path("b.npy")).unwrap(), whole(&bench, "a.npy"));
    assert!(partial("b.npy").iter().all(|name| !bench.path(name).exists()));
}

#[cfg(unix)]
#[test]
fn a_link_to_nothing_is_a_broken_file() {
    let bench = Bench::new();
    std::os::unix::fs::symlink(bench.path("gone.png"), bench.path("pictures/0a.png")).unwrap();
    for args in [
        &["embed", "@pictures"][..],
        &["classify", "@pictures", "--labels", "a, b"],
        &["index", "build", "@pictures", "--out", "@p.idx"],
    ] {
        fails(&mut vljepa(bench.args(args)), &["0a.png", "link that leads to nothing", "--skip-broken"]);
        let output = vljepa(bench.args(&[args, &["--skip-broken"]].concat())).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && stderr.lines().count() == 1, "{stderr}");
        assert!(stderr.starts_with("skipped: ") && stderr.contains("0a.png"), "{stderr}");
    }
}

#[test]
fn a_run_of_another_model_or_query_is_not_mixed_in() {
    let bench = many();
    bench.write("model/query_tokenizer.json", crate::support::tokenizer());
    stopped(&bench, 149, "b.npy");
    let with = |more: &[&str]| vljepa(bench.args(&[&["embed", "@many", "--out", "@b.npy"], more].concat()));
    fails(&mut with(&["--query", "what"]), &["b.npy.partial.jsonl", "another query", "begin anew"]);
    fails(&mut with(&["--precision", "f16"]), &["another precision"]);
    // Capabilities other than those that the tests run with.
    let other = if std::env::var_os("VLJEPA_DISABLE").is_some_and(|v| v == "all") { "" } else { "all" };
    fails(with(&[]).env("VLJEPA_DISABLE", other), &["another device"]);
    let good = std::fs::read(bench.path("model/model.safetensors")).unwrap();
    bench.write("model/model.safetensors", weights(1, |_, _, _| ()));
    fails(&mut with(&[]), &["another model"]);
    bench.write("model/model.safetensors", good);
    // Other inputs, one of them with the same files first.
    let remains = || partial("b.npy").map(|name| std::fs::read(bench.path(&name)).unwrap());
    let before = remains();
    std::fs::create_dir(bench.path("other")).unwrap();
    for i in 0..70 {
        bench.write(&format!("other/{i}.png"), picture(i));
    }
    for inputs in [&["@other"][..], &["@many", "@other"]] {
        let args = [&["embed"], inputs, &["--out", "@b.npy"]].concat();
        fails(&mut vljepa(bench.args(&args)), &["b.npy.partial.jsonl", "another input", "begin anew"]);
    }
    assert!(remains() == before);
    assert_eq!(embed(&bench, "b.npy")["resumed"], 128);
}

#[test]
fn damaged_remains_cost_work_and_nothing_else() {
    let bench = many();
    let want = whole(&bench, "a.npy");
    let [data, journal] = partial("b.npy");
    stopped(&bench, 149, "b.npy");
    let (rows, lines) = (std::fs::read(bench.path(&data)).unwrap(), std::fs::read(bench.path(&journal)).unwrap());
    assert_eq!(rows.len(), 128 * 8 * 4);
    let end = lines.len();
    let nan = [&rows[..2240], &f32::NAN.to_le_bytes(), &rows[2244..]].concat();
    for (rows, lines, done, note) in [
        (rows.clone(), lines[..end - 7].to_vec(), 64, ""),
        (nan, lines.clone(), 64, "done anew, though it had done them: 64 (64 with damaged rows)"),
        (rows.clone(), [&lines[..], b"{\"files\": 7}\n"].concat(), 128, "whose line cannot be read"),
    ] {
        bench.write(&data, rows);
        bench.write(&journal, lines);
        let (said, notes) = match note {
            "" => (embed(&bench, "b.npy"), String::new()),
            _ => embed_anew(&bench, "b.npy"),
        };
        assert_eq!(said["resumed"], done, "{note}");
        assert!(notes.contains(note), "no {note:?} in {notes}");
        assert_eq!(std::fs::read(bench.path("b.npy")).unwrap(), want);
    }
    // A run of another version of this program.
    let text = String::from_utf8(lines.clone()).unwrap();
    bench.write(&journal, text.replace("\"vljepa_rows\":3", "\"vljepa_rows\":2"));
    let mut command = vljepa(bench.args(&["embed", "@many", "--out", "@b.npy"]));
    fails(&mut command, &["b.npy.partial.jsonl", "another version of this program", "begin anew"]);
    // Files that are not ours stay as they are.
    let run = || vljepa(bench.args(&["embed", "@many", "--out", "@b.npy"]));
    for notes in ["my notes\n".to_owned(), "my notes".into(), "{".repeat(5 << 20)] {
        bench.write(&journal, &notes);
        for _ in 0..2 {
            fails(&mut run(), &["b.npy.partial.jsonl", "no list", "move it away"]);
        }
        assert!(std::fs::read(bench.path(&journal)).unwrap() == notes.as_bytes());
        assert!(!bench.path(&data).exists());
    }
    std::fs::remove_file(bench.path(&journal)).unwrap();
    bench.write(&data, "mine");
    fails(&mut run(), &["b.npy.partial", "in the way"]);
    assert_eq!(std::fs::read(bench.path(&data)).unwrap(), b"mine");
    std::fs::remove_file(bench.path(&data)).unwrap();
    // Two at once.
    let held = std::fs::File::create(bench.path(&journal)).unwrap();
    held.lock().unwrap();
    fails(&mut run(), &["another run"]);
}

#[test]
fn broken_files_are_left_out_when_asked() {
    let bench = many();
    bench.write("many/010.png", "no picture");
    bench.write("many/130.png", "");
    let args = ["embed", "@many", "--out", "@b.npy"];
    fails(&mut vljepa(bench.args(&args)), &["010.png", "not a picture", "--skip-broken"]);
    let run = |more: &[&str]| vljepa(bench.args(&[&args[..], &["--json"], more].concat())).output().unwrap();
    let output = run(&["--skip-broken"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["shape"], json!([148, 8]));
    let names = said["inputs"].as_array().unwrap();
    assert!(names.len() == 148 && names[10].as_str().unwrap().ends_with("011.png"));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.lines().count() == 2 && stderr.contains("130.png") && stderr.lines().all(|l| l.starts_with("skipped: "))
    );
    let want = std::fs::read(bench.path("b.npy")).unwrap();
    std::fs::remove_file(bench.path("b.npy")).unwrap();
    // A run without the flag stops at the broken one; with it, it goes on behind the whole batches.
    bench.write("many/010.png", picture(10));
    fails(&mut vljepa(bench.args(&args)), &["130.png", "--skip-broken"]);
    let said: Value = serde_json::from_slice(&run(&["--skip-broken"]).stdout).unwrap();
    assert_eq!((&said["resumed"], &said["shape"]), (&json!(128), &json!([149, 8])));
    // The other way round, whoever leaves none out hears of those that an earlier run left out.
    bench.write("many/010.png", "no picture");
    let [data, journal] = partial("b.npy");
    std::fs::remove_file(bench.path("b.npy")).unwrap();
    killed(&bench, &[&args[..], &["--skip-broken"]].concat(), "b.npy");
    assert!(bench.path(&data).exists() && bench.path(&journal).exists());
    let remains = || [&data, &journal].map(|name| std::fs::read(bench.path(name)).unwrap());
    let before = remains();
    fails(&mut vljepa(bench.args(&args)), &["010.png", "not a picture", "--skip-broken"]);
    assert!(remains() == before, "nothing of the earlier run is lost");
    let output = run(&["--skip-broken"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(said["resumed"].as_u64().unwrap() >= 64 && said["skipped"].as_array().unwrap().len() == 2, "{said}");
    assert_eq!(std::fs::read(bench.path("b.npy")).unwrap(), want);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), stderr, "those of the earlier run are told again");
    // Nothing but broken files; and few of them, without a file to go on with.
    std::fs::create_dir(bench.path("bad")).unwrap();
    for i in 0..70 {
        bench.write(&format!("bad/{i}.png"), "no picture");
    }
    for out in [&["--out", "@c.npy"][..], &[]] {
        let mut command = vljepa(bench.args(&[&["embed", "@bad", "--skip-broken"], out].concat()));
        fails(&mut command, &["none of the 70 files can be read", "0.png"]);
    }
    assert!(bench.files(".").iter().all(|name| !name.starts_with("c.npy")));
    let few = ["embed", "@bad/0.png", "@many/000.png", "--skip-broken"];
    let (said, _) = noted(bench.args(&[&few[..], &["--out", "@c.npy"]].concat()));
    assert_eq!((&said["resumed"], &said["shape"]), (&json!(0), &json!([1, 8])));
    assert!(said["skipped"][0].as_str().unwrap().ends_with("0.png"));
    let (one, _) = noted(bench.args(&few));
    assert_eq!(one["rows"].as_array().unwrap().len(), 1);
    assert!(one["rows"][0]["input"].as_str().unwrap().ends_with("000.png"));
}

#[cfg(unix)]
#[test]
fn a_terminal_obeys_no_names() {
    let bench = Bench::new();
    bench.write("pictures/\u{1b}[2J\n.png", "no picture");
    for args in [&["embed", "@pictures"][..], &["index", "build", "@pictures", "--out", "@p.idx"]] {
        let output = vljepa(bench.args(&[args, &["--skip-broken"]].concat())).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && stderr.lines().count() == 1, "{stderr}");
        assert!(
            stderr.starts_with("skipped: ") && !stderr.contains('\u{1b}') && stderr.contains("\\u{1b}[2J\\n"),
            "{stderr}"
        );
    }
}

#[cfg(unix)]
#[test]
fn names_that_are_no_text_stop_nothing() {
    use std::os::unix::ffi::OsStrExt;
    let bench = many();
    let odd = bench.path("many").join(std::ffi::OsStr::from_bytes(b"005-\xff\xfe.png"));
    std::fs::write(&odd, picture(5)).unwrap();
    std::fs::write(bench.path("many/back\\slash.png"), picture(6)).unwrap();
    stopped(&bench, 149, "b.npy");
    let said = embed(&bench, "b.npy");
    assert_eq!((&said["resumed"], &said["shape"]), (&json!(128), &json!([152, 8])));
    // An index holds names as text.
    let build = ["index", "build", "@many", "--out", "@p.idx"];
    fails(&mut vljepa(bench.args(&build)), &["005-", "not UTF-8", "--skip-broken"]);
    assert!(!bench.path("p.idx").exists());
    let (built, _) = noted(bench.args(&[&build[..], &["--skip-broken"]].concat()));
    assert_eq!((&built["pictures"], built["skipped"].as_array().unwrap().len()), (&json!(151), 1));
}

#[test]
fn an_index_names_the_flag_that_leaves_broken_files_out() {
    let bench = many();
    bench.write("many/020.png", "no picture");
    bench.write("many/149.png", &picture(1)[..60]);
    let build = ["index", "build", "@many", "--out", "@p.idx"];
    fails(&mut vljepa(bench.args(&build)), &["020.png", "not a picture", "--skip-broken"]);
    let (built, _) = noted(bench.args(&[&build[..], &["--skip-broken"]].concat()));
    assert_eq!((&built["pictures"], built["skipped"].as_array().unwrap().len()), (&json!(148), 2));
    // Rows stand beside their files where some are left out.
    let search = json(bench.args(&["search", "@p.idx", "cat", "--top", "148"]));
    let texts = json(bench.args(&["embed-text", "cat"]));
    let vector = |v: &Value| v.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect::<Vec<_>>();
    for found in search["searches"][0]["results"].as_array().unwrap().iter().step_by(37) {
        let row = json(bench.args(&["embed", found["input"].as_str().unwrap()]));
        let (a, b) = (vector(&row["rows"][0]["embedding"]), vector(&texts["rows"][0]["embedding"]));
        let cosine: f64 = a.iter().zip(&b).map(|(x, y)| x * y).sum();
        assert!((found["score"].as_f64().unwrap() - cosine).abs() < 1e-5, "{found}");
        assert_eq!(found["fresh"], true);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_takes_no_files_is_called_that() {
    let bench = Bench::new();
    // The system answers "no such file" here, where nothing is missing.
    let mut command = vljepa(bench.args(&["embed", "@pictures", "--out", "/proc/rows.npy"]));
    fails(&mut command, &["/proc/rows.npy", "takes no new files"]);
}
