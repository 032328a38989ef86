//! Clips of Sprite World from the command: written, trained on, measured.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use vljepa_data::emoji::{EmojiVendors, Split};
use vljepa_data::encode_png;

use crate::support::{fails, json, misused, noted, vljepa};

fn text(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

/// Everything in a folder of clips.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for folder in [dir.to_path_buf(), dir.join("clips")] {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_file() {
                found.insert(text(entry.strip_prefix(dir).unwrap()), std::fs::read(&entry).unwrap());
            }
        }
    }
    found
}

#[test]
fn a_seed_writes_the_same_clips_and_a_manifest_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, seed: &str| {
        let out = dir.path().join(name);
        let said = json(["sprites", "--n", "12", "--seed", seed, "--out", &text(&out), "--side", "32"]);
        assert_eq!(said["clips"], 12);
        (files(&out), said["rows"].as_u64().unwrap())
    };
    let ((one, rows), (again, _), (other, _)) = (write("a", "3"), write("b", "3"), write("c", "4"));
    assert_eq!(one.len(), 12 + 3);
    assert_eq!(one, again);
    assert_ne!(one["clips.jsonl"], other["clips.jsonl"]);
    // The manifest is as `data check` wants it: clips of eight frames in one second.
    let report = json(["data", "check", &text(dir.path().join("a/clips.jsonl"))]);
    assert_eq!(report["splits"]["train"]["rows"].as_u64(), Some(rows), "{report}");
    assert_eq!((report["missing_count"].as_u64(), report["broken_count"].as_u64()), (Some(0), Some(0)), "{report}");
    for line in String::from_utf8(one["scenes.jsonl"].clone()).unwrap().lines() {
        let scene: Value = serde_json::from_str(line).unwrap();
        assert_eq!(scene["poses"].as_array().unwrap().len(), 8);
        assert_eq!(scene["captions"].as_array().unwrap().len(), 3);
        assert!(!scene["events"].as_array().unwrap().is_empty() && !scene["questions"].as_array().unwrap().is_empty());
    }
}

#[test]
fn nonsense_is_answered_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let out = text(dir.path().join("out"));
    let tried = |flags: &[&str]| {
        let mut args = vec!["sprites", "--out", &out];
        args.extend(flags);
        vljepa(args)
    };
    misused(&mut tried(&["--n", "0"]), &["--n"]);
    misused(&mut tried(&["--n", "5", "--frames", "7"]), &["--frames", "expected 8 to 32"]);
    misused(&mut tried(&["--n", "5", "--side", "31"]), &["--side"]);
    misused(&mut tried(&["--n", "5", "--min-things", "3", "--max-things", "2"]), &["--min-things", "3 to 2"]);
    misused(&mut tried(&["--n", "5", "--max-things", "5"]), &["--max-things"]);
    misused(&mut tried(&["--n", "5", "--events", "3"]), &["--events", "1 to 2 in 8 frames"]);
    misused(&mut tried(&["--n", "5", "--sprites", "x", "--part", "test"]), &["--part"]);
    fails(&mut tried(&["--n", "5", "--sprites", &text(dir.path())]), &["labels.jsonl"]);
    fails(&mut tried(&["--n", "5", "--data", &text(dir.path())]), &["concepts.json"]);
    std::fs::create_dir(dir.path().join("out")).unwrap();
    std::fs::write(dir.path().join("out/mine.txt"), "kept").unwrap();
    fails(&mut tried(&["--n", "5"]), &["not empty"]);
    assert_eq!(std::fs::read_to_string(dir.path().join("out/mine.txt")).unwrap(), "kept");
    // The compact model was made for pictures: two frames.
    let args = ["eval", "sprite-world", "--clips", "5", "--model", "compact"];
    if vljepa::Builtin::Compact.is_carried() {
        fails(&mut vljepa(args), &["2 frames", "expected 8 to 32", "--model"]);
    }
}

/// The model that the command carries, on drawings by a designer and in wordings that it was not trained with.
#[test]
fn the_carried_model_tells_what_happens_in_clips() {
    if !vljepa::Builtin::Sprites.is_carried() {
        return;
    }
    let set = EmojiVendors::open(EmojiVendors::default_dir()).unwrap();
    let device = vljepa::open_device("cpu").unwrap();
    let model = vljepa::embed::Model::load(&device, &vljepa::Builtin::Sprites.open().unwrap()).unwrap();
    let clips = vljepa::demo::Clips::run(&model, &set).unwrap().unwrap();
    let right = clips.actions.iter().filter(|answered| answered.place == 1).count();
    // One of sixteen by chance.
    assert!(clips.actions.len() == 12 && right >= 5, "{right} of 12: {:#?}", clips.actions);
    let near = clips.searches.iter().filter(|search| search.truth.1 <= 10).count();
    assert!(near >= 4, "{:#?}", clips.searches);
    assert_eq!(clips.questions.len(), 5);
    // The command takes it for questions, and by its name for all else.
    let dir = tempfile::tempdir().unwrap();
    let out = text(dir.path().join("clips"));
    json(["sprites", "--n", "2", "--part", "test", "--seed", "4", "--out", &out]);
    let clip = format!("{out}/clips/000000.webp");
    let asked = json(["ask", &clip, "--question", "does anything spin?", "--answers", "yes,no"]);
    assert_eq!(
        (&asked["model"], asked["results"][0]["answers"].as_array().unwrap().len()),
        (&"sprites model".into(), 2)
    );
    let named = json(["classify", &clip, "--labels", "it spins,it grows", "--model", "sprites"]);
    assert_eq!(named["model"], "sprites model");
    let info = json(["info"]);
    assert_eq!(
        (&info["models"][0]["origin"], &info["models"][1]["origin"]),
        (&"compact model".into(), &"sprites model".into())
    );
}

#[test]
fn archives_hold_the_same_rows_as_files() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, more: &[&str]| {
        let out = text(dir.path().join(name));
        json(["sprites", "--n", "5", "--seed", "3", "--side", "32", "--out", &out].iter().chain(more).copied());
        out
    };
    let (files, shards) = (write("files", &[]), write("shards", &["--shard", "2"]));
    let mut names: Vec<String> =
        std::fs::read_dir(&shards).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["actions.png", "scenes.jsonl", "shard-000000.tar", "shard-000001.tar", "shard-000002.tar"]);
    let rows = |place: &str| {
        let manifest = vljepa_data::manifest::Manifest::open(Path::new(place)).unwrap();
        let rows = manifest.rows().iter().map(|row| (row.query.clone(), row.targets.clone(), row.split));
        rows.collect::<Vec<_>>()
    };
    assert_eq!(rows(&shards), rows(&format!("{files}/clips.jsonl")));
    let counted = |place: &str| json(["data", "check", place])["rows"].clone();
    assert_eq!(counted(&shards), counted(&format!("{files}/clips.jsonl")));
    // The same seed, the same bytes.
    let again = write("again", &["--shard", "2"]);
    for name in names {
        let read = |dir: &str| std::fs::read(Path::new(dir).join(&name)).unwrap();
        assert!(read(&shards) == read(&again), "{name}");
    }
}

#[test]
fn motion_is_trained_on_and_measured_with_anyones_drawings() {
    let dir = tempfile::tempdir().unwrap();
    let set = EmojiVendors::open(EmojiVendors::default_dir()).unwrap();
    let (vendor, mut lines) = (set.vendor("noto").unwrap(), String::new());
    for (i, id) in set.of_split(Split::Train).filter(|id| set.has_picture(vendor, *id)).step_by(90).take(9).enumerate()
    {
        let picture = encode_png(&set.picture(vendor, id).unwrap().unwrap()).unwrap();
        std::fs::write(dir.path().join(format!("{i}.png")), picture).unwrap();
        let label = serde_json::to_string(&set.concept(id).unwrap().label).unwrap();
        lines += &format!("{{\"file\": \"{i}.png\", \"label\": {label}}}\n");
    }
    std::fs::write(dir.path().join("labels.jsonl"), lines).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = |steps: u64| {
        format!(
            "steps = {steps}\nbatch = 4\noutput = \"run\"\n[model]\nconfig = '{}'\ny_encoder = '{}'\n[data]\nkind = \
             \"sprite-world\"\nsprites = \".\"\n[objective]\nkind = \"batch\"\ny_head = {{ train = true, whiten = false }}\n\
             [optimizer]\nkind = \"muon\"\n[evaluate]\nclips = 3\nevery = 2\n",
            text(root.join("../train/examples/clips.json")),
            text(root.join("assets/compact"))
        )
    };
    let path = text(dir.path().join("sprites.toml"));
    std::fs::write(&path, config(2)).unwrap();
    let (estimate, notes) = noted(["train", &path, "--dry-run"]);
    assert!(notes.starts_with("adapter: ") && notes.lines().count() == 1, "{notes}");
    assert!(!dir.path().join("run").exists());
    assert_eq!((&estimate["steps"], &estimate["batch"]), (&2.into(), &4.into()));
    assert!(
        estimate["pairs"].as_u64().unwrap() > 4 && estimate["device_bytes"].as_u64().unwrap() > 1 << 20,
        "{estimate}"
    );
    assert!(estimate["trained"].as_u64().unwrap() < estimate["parameters"].as_u64().unwrap(), "{estimate}");
    let [step, all] = ["seconds_per_step", "seconds"].map(|key| estimate[key].as_f64().unwrap());
    assert!(step > 0.0 && all >= 2.0 * step - 1e-9, "{estimate}");
    let (trained, notes) = noted(["train", &path]);
    assert_eq!(trained["complete"], true, "{notes}");
    let metrics = std::fs::read_to_string(dir.path().join("run/metrics.jsonl")).unwrap();
    assert!(metrics.contains("\"captions\"") && metrics.contains("\"yes_no\""), "{metrics}");

    let model = text(dir.path().join("run/model"));
    let measure = |clips: &str, seed: &str| {
        let drawings = text(dir.path());
        let page = text(dir.path().join("page.html"));
        let asked = ["--sprites", &drawings, "--clips", clips, "--seed", seed, "--model", &model, "--html", &page];
        json(["eval", "sprite-world"].iter().chain(&asked).copied())
    };
    let report = measure("12", "1");
    assert_eq!((&report["suite"], &report["retrieval"]["n"]), (&"sprite-world".into(), &12.into()));
    for kind in ["action", "count", "yes_no", "what", "where", "unseen_pairs"] {
        let cell = &report["cells"][kind];
        assert!(cell["n"].as_u64().unwrap() > 4, "{kind}: {report}");
        for name in ["accuracy", "chance", "text_only", "pixels", "differences"] {
            assert!((0.0..=1.0).contains(&cell[name].as_f64().unwrap()), "{kind}: {cell}");
        }
    }
    assert_eq!(report["cells"]["action"]["chance"], 1.0 / 16.0);
    assert_eq!(report["world_prediction"]["chance"], 0.25);
    let told = &report["captioning"];
    assert_eq!((&told["n"], &told["candidates"]), (&12.into(), &1000.into()));
    assert!(
        (0.0..=10.0).contains(&told["cider_d"].as_f64().unwrap()) && told["chance"].as_f64().unwrap() < 2.0,
        "{told}"
    );
    assert!(report["world_prediction"]["n"].as_u64().unwrap() > 1, "{report}");
    assert!(report["world_prediction"]["pixels"].is_number(), "{report}");
    assert!(report["hard_negatives"]["by_change"]["subject"]["n"].as_u64().unwrap() > 0, "{report}");
    let page = std::fs::read_to_string(dir.path().join("page.html")).unwrap();
    for part in ["class=\"frames\"", "Where it is wrong", "unseen pairs", "false in its subject", "run/model"] {
        assert!(page.contains(part), "no {part} in the page");
    }
    for outside in ["<script", "src=", "http://", "https://"] {
        assert!(!page.contains(outside), "{outside}: the page must need nothing but itself");
    }
    let curves = std::fs::read_to_string(dir.path().join("run/report.html")).unwrap();
    assert!(curves.contains("<svg") && curves.contains("finished") && curves.contains("yes_no"), "the run's curves");
    assert_eq!(measure("2", "2"), measure("2", "2"));

    // Settings that do not fit are told of by line and key.
    std::fs::write(&path, config(2).replace("sprites = \".\"", "frames = 9\nsprites = \".\"")).unwrap();
    fails(&mut vljepa(["train", &path, "--out", &text(dir.path().join("b"))]), &["data.frames", "take 10"]);
    std::fs::write(&path, config(2).replace("sprites = \".\"", "captions = 2.0\nsprites = \".\"")).unwrap();
    fails(&mut vljepa(["train", &path]), &["line 9", "data.captions", "0..=1"]);
    std::fs::write(&path, config(2).replace("sprites = \".\"", "kinds = [\"why\"]\nsprites = \".\"")).unwrap();
    fails(&mut vljepa(["train", &path]), &["line 9", "why"]);
}
