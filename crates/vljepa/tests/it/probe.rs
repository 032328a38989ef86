//! A user's classes on a frozen V-JEPA 2, with the command alone: train, classify, go wrong.

use std::path::Path;

use serde_json::Value;

use crate::encoders::vjepa2;
use crate::support::{Bench, fails, json, noted, vljepa};

/// A film of six frames, light above or light below.
fn film(light_above: bool, number: u8) -> Vec<u8> {
    let mut bytes = b"YUV4MPEG2 W32 H32 F6:1 Cmono\n".to_vec();
    for frame in 0..6_u8 {
        bytes.extend(b"FRAME\n");
        for row in 0..32_u8 {
            let light = (row < 16) == light_above;
            let grey = if light { 190 + 2 * frame + number } else { 40 + 3 * number };
            bytes.extend([grey; 32]);
        }
    }
    bytes
}

fn films(bench: &Bench) {
    let mut lines = String::from("visual,target,split\n");
    std::fs::create_dir_all(bench.path("clips")).unwrap();
    for i in 0..20_u8 {
        let above = i % 2 == 0;
        bench.write(&format!("clips/{i}.y4m"), film(above, i / 2));
        let split = ["train", "train", "train", "validation", "test"][usize::from(i) / 4];
        lines += &format!("clips/{i}.y4m,light {},{split}\n", if above { "above" } else { "below" });
    }
    bench.write("clips.csv", lines);
}

fn config(bench: &Bench, kind: &str) -> String {
    let text = format!(
        "batch = 4\n[model]\nx_encoder = \"hub\"\n[data]\nkind = \"manifest\"\nmanifest = \"clips.csv\"\n[probe]\nkind = \
         \"{kind}\"\nepochs = 20\nlearning_rates = [1e-3, 1e-2]\n"
    );
    bench.write(&format!("{kind}.toml"), text)
}

#[test]
fn a_classifier_of_own_classes_is_trained_and_used() {
    let bench = Bench::new();
    vjepa2(&bench, "hub");
    films(&bench);
    for kind in ["linear", "attentive"] {
        let file = config(&bench, kind);
        let run = bench.text(&format!("run-{kind}"));
        let (said, notes) = noted(["train", &file, "--out", &run]);
        let probe = &said["probe"];
        assert_eq!(probe["labels"], serde_json::json!(["light above", "light below"]));
        assert_eq!((probe["validation"]["n"].as_u64(), probe["test"]["n"].as_u64()), (Some(4), Some(4)));
        assert!(probe["test"]["top1"].as_f64().unwrap() > 0.7, "{probe}");
        for word in ["B a clip", "12 clips of 2 classes", "after epoch 20"] {
            assert!(notes.contains(word), "{word} in {notes}");
        }
        let model = format!("{run}/model");
        let clip = bench.text("clips/17.y4m");
        let found = json(["classify", &clip, "--model", &model]);
        assert_eq!(found["results"][0]["labels"][0]["label"], "light below");
        assert!(json(["inspect", &model])["parameters"].as_u64().unwrap() > 0);
        // Once more, to the end of the same run: everything is there.
        let again = vljepa(["train", &file, "--out", &run, "--resume"]).output().unwrap();
        let text = String::from_utf8(again.stdout).unwrap();
        assert!(again.status.success() && text.contains("top-1 of 4 test clips") && text.contains("(95 %: "), "{text}");
        let report: Value =
            serde_json::from_slice(&std::fs::read(Path::new(&run).join("probe.json")).unwrap()).unwrap();
        assert_eq!(&report, probe);
    }
}

#[test]
fn nonsense_ends_in_one_line() {
    let bench = Bench::new();
    vjepa2(&bench, "hub");
    films(&bench);
    let file = config(&bench, "attentive");
    let run = bench.text("run");
    let text = std::fs::read_to_string(&file).unwrap();
    for (from, to, words) in [
        ("epochs = 20", "epochs = -1", ["line 9", "-1"]),
        ("[1e-3, 1e-2]", "[1e-3, inf]", ["line 10", "inf"]),
        ("[1e-3, 1e-2]", "[0.0]", ["line 10", "0"]),
        ("\"clips.csv\"", "\"clips.csv\"\nsegments = 2000", ["line 7", "segments"]),
        ("\"clips.csv\"", "\"clips.csv\"\nframes = 99999", ["line 7", "frames"]),
        ("\"hub\"", "\"clips.csv\"", ["line 3", "is a file"]),
    ] {
        bench.write("bad.toml", text.replace(from, to));
        fails(&mut vljepa(["train", &bench.text("bad.toml"), "--out", &run]), &words);
        assert!(!Path::new(&run).exists(), "nothing is left of it");
    }
    // Features that were damaged are made again, and said.
    let (_, notes) = noted(["train", &file, "--out", &run]);
    assert!(notes.contains("features of 20 clips are made"), "{notes}");
    let features = Path::new(&run).join("features");
    let folder = std::fs::read_dir(&features).unwrap().next().unwrap().unwrap().path();
    let one = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&one, "cut").unwrap();
    let (_, notes) = noted(["train", &file, "--out", &run, "--resume"]);
    assert!(notes.contains("made again") && notes.contains("features of 1 clips are made"), "{notes}");
}
