//! A newcomer's data from its check to a search, with nothing but the command: drawings by several designers, and clips of
//! films.

use std::path::{Path, PathBuf};

use vljepa_data::emoji::EmojiVendors;
use vljepa_data::encode_png;

use crate::support::{json, noted};

/// Films with what they show, and their length in seconds.
const FILMS: [(&str, &str, f64); 2] =
    [("bikes.mp4", "cyclists in the city", 10.0), ("carphone_pristine.mp4", "a man who talks in a car", 4.0)];
/// Designers with the part of the data that their drawings go to.
const DESIGNERS: [(&str, &str); 5] = [
    ("noto", "train"),
    ("twemoji", "train"),
    ("emojione", "train"),
    ("noto-v1", "validation"),
    ("fluent-flat", "test"),
];
const THINGS: [&str; 8] =
    ["strawberry", "banana", "tiger face", "octopus", "sunflower", "bicycle", "guitar", "umbrella"];

/// The films that `cargo xtask data` fetches.
fn films() -> PathBuf {
    let dir = crate::fixtures::cache().join("video");
    assert!(dir.is_dir(), "{} is missing; run `cargo xtask data --only video`", dir.display());
    dir
}

/// Writes drawings and films with their manifest into a folder.
fn collect(dir: &Path) -> PathBuf {
    let set = EmojiVendors::open(EmojiVendors::default_dir()).unwrap();
    let mut lines = String::new();
    let mut line = |fields: &str, text: &str, split: &str| {
        lines += &format!("{{{fields}, \"target\": \"{text}\", \"split\": \"{split}\"}}\n");
    };
    for (designer, split) in DESIGNERS {
        let vendor = set.vendor(designer).unwrap();
        std::fs::create_dir_all(dir.join(designer)).unwrap();
        for thing in THINGS {
            let concept = set.ids().find(|id| set.concept(*id).is_some_and(|concept| concept.label == thing)).unwrap();
            let Some(picture) = set.picture(vendor, concept).unwrap() else { continue };
            let name = format!("{designer}/{}.png", thing.replace(' ', "-"));
            std::fs::write(dir.join(&name), encode_png(&picture).unwrap()).unwrap();
            line(&format!("\"visual\": \"{name}\""), thing, split);
        }
    }
    for (film, text, length) in FILMS {
        std::fs::copy(films().join(film), dir.join(film)).unwrap();
        // Clips of 0.6 s, none of which is in two parts.
        for (split, from, to, count) in [("train", 0.0, 0.6, 8), ("validation", 0.6, 0.8, 2), ("test", 0.8, 1.0, 2)] {
            for i in 0..count {
                let room = (to - from) * length - 0.6;
                let start = from * length + room * f64::from(i) / f64::from(count - 1);
                let end = start + 0.6;
                line(&format!("\"visual\": \"{film}\", \"start\": {start:.3}, \"end\": {end:.3}"), text, split);
            }
        }
    }
    std::fs::write(dir.join("mine.jsonl"), lines).unwrap();
    dir.join("mine.jsonl")
}

#[test]
fn drawings_and_films_are_checked_learnt_measured_named_and_found() {
    let dir = tempfile::tempdir().unwrap();
    let (manifest, path) = (collect(dir.path()), |name: &str| dir.path().join(name).display().to_string());
    let manifest = manifest.display().to_string();
    let compact = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/compact");
    let config = format!(
        "steps = 36\nbatch = 12\noutput = \"run\"\n[model]\nconfig = '{0}/init.json'\ny_encoder = '{0}'\n[data]\n\
         kind = \"manifest\"\nmanifest = \"mine.jsonl\"\n[objective]\nkind = \"bank\"\ny_head = {{ whiten = false }}\n\
         [optimizer]\nkind = \"muon\"\nclip = 1.0\n[schedule]\nkind = \"cosine\"\nwarmup = 0.1\n",
        compact.display()
    );
    std::fs::write(dir.path().join("mine.toml"), config).unwrap();

    let report = json(["data", "check", &manifest]);
    assert!(report["problem"].is_null(), "{report}");
    let rows = |split: &str| report["splits"][split]["rows"].as_u64().unwrap();
    assert_eq!((rows("train"), rows("validation"), rows("test")), (40, 12, 12));

    let trained = noted(["train", &path("mine.toml")]).0;
    assert_eq!(trained["complete"], true);
    let model = path("run/model");
    let report = json(["eval", "manifest", &manifest, "--model", &model, "--html", &path("page.html")]);
    let top1 = &report["classification"]["top1"];
    let value = |figure: &str| top1[figure].as_f64().unwrap();
    // Designers and moments that it never saw: far above always giving the most frequent text, which is right for 2 of 12.
    assert!(value("value") >= 0.5 && value("majority") < 0.2 && value("chance") < 0.11, "{report}");
    assert!(std::fs::read_to_string(path("page.html")).unwrap().contains("a man who talks in a car"));

    // What films show at times that were not trained on.
    let labels: Vec<&str> = FILMS.iter().map(|film| film.1).chain(THINGS).collect();
    let labels = labels.join(",");
    for (film, text, length) in FILMS {
        let (start, end) = (format!("{}", 0.8 * length), format!("{}", 0.8 * length + 0.6));
        let named =
            json(["classify", &path(film), "--labels", &labels, "--start", &start, "--end", &end, "--model", &model]);
        assert_eq!(named["results"][0]["labels"][0]["label"], text, "{named}");
    }
    let index = path("mine.idx");
    let built = json(["index", "build", &path("."), "--window", "0.6", "--out", &index, "--model", &model]);
    assert!(built["rows"].as_u64().unwrap() > 55, "{built}");
    for (film, text, _) in FILMS {
        let found = json(["search", &index, text, "--top", "1", "--model", &model]);
        let best = &found["searches"][0]["results"][0];
        assert!(best["input"].as_str().unwrap().ends_with(film) && best["end_s"].is_number(), "{found}");
    }
    // A film goes; the index follows.
    let (gone, _, _) = FILMS[0];
    std::fs::remove_file(path(gone)).unwrap();
    let updated = json(["index", "update", &index, "--model", &model]);
    assert_eq!(updated["dropped"], 1, "{updated}");
    let found = json(["search", &index, FILMS[0].1, "--top", "99", "--model", &model]);
    let left = found["searches"][0]["results"].as_array().unwrap();
    assert!(left.iter().all(|hit| !hit["input"].as_str().unwrap().ends_with(gone)), "{found}");
}
