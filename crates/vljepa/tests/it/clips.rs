//! Videos as clips in time, by the command.

use std::process::{Command as Program, Stdio};

use serde_json::Value;

use crate::support::{Bench, fails, film, json, misused, vljepa, y4m};

fn moments(rows: &Value) -> Vec<(f64, f64)> {
    let time = |row: &Value, key: &str| (row[key].as_f64().unwrap() * 1000.0).round() / 1000.0;
    rows.as_array().unwrap().iter().map(|row| (time(row, "start"), time(row, "end"))).collect()
}

#[test]
fn windows_are_embedded_classified_indexed_and_found() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("films")).unwrap();
    film(&bench.path("films/a.y4m"), 25);
    film(&bench.path("films/b.y4m"), 12);
    let windows = ["--window", "1", "--stride", "0.5"];
    let all = [(0.0, 1.0), (0.5, 1.5), (1.0, 2.0), (1.5, 2.5), (0.0, 1.0), (0.5, 1.2)];

    let printed = json(bench.args(&[&["embed", "@films"], &windows[..]].concat()));
    assert_eq!(moments(&printed["rows"]), all);
    let classified = json(bench.args(&[&["classify", "@films", "--labels", "cat,dog"], &windows[..]].concat()));
    assert_eq!(moments(&classified["results"]), all);

    // A file of rows, and what they stand for beside it.
    let written = json(bench.args(&[&["embed", "@films", "--out", "@r.npy"], &windows[..]].concat()));
    assert_eq!(
        (&written["shape"][0], written["list"].as_str().unwrap().ends_with("r.npy.rows.jsonl")),
        (&6.into(), true)
    );
    let list = std::fs::read_to_string(bench.path("r.npy.rows.jsonl")).unwrap();
    let lines: Vec<Value> = list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(moments(&lines.clone().into()), all);
    assert!(lines.iter().enumerate().all(|(i, line)| line["row"] == i), "{list}");
    assert!(lines[5]["input"].as_str().unwrap().ends_with("b.y4m"));
    // Without windows the list is true of the new rows.
    json(bench.args(&["embed", "@films", "--out", "@r.npy"]));
    let list = std::fs::read_to_string(bench.path("r.npy.rows.jsonl")).unwrap();
    assert!(list.lines().count() == 2 && list.contains("\"start\":null"), "{list}");

    let built = json(bench.args(&[&["index", "build", "@films", "--out", "@i.idx"], &windows[..]].concat()));
    assert_eq!((&built["pictures"], &built["rows"], &built["reused"]), (&2.into(), &6.into(), &0.into()));
    let found = json(bench.args(&["search", "@i.idx", "cat", "--top", "9"]));
    let results = found["searches"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 6);
    assert!(results.iter().all(|hit| hit["end_s"].as_f64().unwrap() > hit["start_s"].as_f64().unwrap()));
    let merged = json(bench.args(&["search", "@i.idx", "cat", "--top", "9", "--merge"]));
    let best = |found: &Value| found["searches"][0]["results"][0]["score"].clone();
    assert_eq!(best(&merged), best(&found));
    // A new film is embedded, the others are taken over as they were.
    film(&bench.path("films/c.y4m"), 7);
    let again = json(bench.args(&[&["index", "build", "@films", "--out", "@i.idx"], &windows[..]].concat()));
    assert_eq!((&again["pictures"], &again["rows"], &again["reused"]), (&3.into(), &7.into(), &2.into()));
    let same = json(bench.args(&["search", "@i.idx", "cat", "--top", "9"]));
    let cosine = |hit: &Value| (hit["input"].clone(), hit["start_s"].clone(), hit["score"].clone());
    let before: Vec<_> = results.iter().map(cosine).collect();
    let after = same["searches"][0]["results"].as_array().unwrap().iter().map(cosine);
    assert_eq!(after.filter(|hit| before.contains(hit)).count(), 6);
}

#[test]
fn standard_input_and_folders_of_frames_are_clips() {
    let bench = Bench::new();
    film(&bench.path("a.y4m"), 25);
    let piped = |args: &[&str]| {
        let mut command = Program::new(env!("CARGO_BIN_EXE_vljepa"));
        command.args(bench.args(args)).arg("--json").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), &y4m(25)).unwrap();
        serde_json::from_slice::<Value>(&child.wait_with_output().unwrap().stdout).unwrap()
    };
    for flags in [&["--window", "1"][..], &[], &["--start", "0.3", "--end", "1"], &["--window", "6f", "--stride", "4f"]]
    {
        let from_file = json(bench.args(&[&["embed", "@a.y4m"], flags].concat()));
        let from_pipe = piped(&[&["embed", "-"], flags].concat());
        let rows = |document: &Value| {
            let rows = document["rows"].as_array().unwrap().iter();
            rows.map(|row| (row["start"].clone(), row["embedding"].clone())).collect::<Vec<_>>()
        };
        assert_eq!(rows(&from_file), rows(&from_pipe), "{flags:?}");
        assert_eq!(from_pipe["rows"][0]["input"], "-");
    }
    // The same pixels as frames of a folder.
    let frames = bench.path("frames");
    std::fs::create_dir(&frames).unwrap();
    let mut reader = vljepa_data::video::VideoReader::open(bench.path("a.y4m")).unwrap();
    for i in 0.. {
        let Some(frame) = reader.next_frame().unwrap() else { break };
        let rgba = frame.rgb.data.chunks(3).flat_map(|p| [p[0], p[1], p[2], 255]).collect();
        let picture = vljepa_data::Rgba8Image::new(frame.rgb.width, frame.rgb.height, rgba).unwrap();
        std::fs::write(frames.join(format!("f{i}.png")), vljepa_data::encode_png(&picture).unwrap()).unwrap();
    }
    let film = json(bench.args(&["embed", "@a.y4m", "--window", "1"]));
    let folder = json(bench.args(&["embed", "@frames", "--frame-folders", "--fps", "10", "--window", "1"]));
    let embeddings =
        |rows: &Value| rows["rows"].as_array().unwrap().iter().map(|r| r["embedding"].clone()).collect::<Vec<_>>();
    assert_eq!((moments(&film["rows"]), film["rows"].as_array().unwrap().len()), (moments(&folder["rows"]), 3));
    assert_eq!(embeddings(&folder).len(), 3);
    let one = json(bench.args(&["embed", "@frames", "--frame-folders", "--fps", "10"]));
    let whole = json(bench.args(&["embed", "@a.y4m"]));
    assert_eq!(embeddings(&one), embeddings(&whole));
}

#[test]
fn nonsense_is_refused_in_one_line() {
    let bench = Bench::new();
    film(&bench.path("a.y4m"), 12);
    let cases: [(&[&str], &str); 14] = [
        (&["--frames", "0"], "at least 1"),
        (&["--frames", "-1"], ""),
        (&["--fps", "0"], "above 0"),
        (&["--fps", "-2"], "above 0"),
        (&["--fps", "NaN"], "above 0"),
        (&["--window", "0"], "no length"),
        (&["--window", "-3"], "no length"),
        (&["--window", "nan"], "no length"),
        (&["--window", "0f"], "no length"),
        (&["--stride", "x"], "no length"),
        (&["--start", "-1"], "0 or later"),
        (&["--end", "inf"], "0 or later"),
        (&["--crops", "five"], "possible values"),
        (&["--raw", "0x4:rgb24"], "640x360:rgb24"),
    ];
    for (flags, words) in cases {
        misused(&mut vljepa(bench.args(&[&["embed", "@a.y4m"], flags].concat())), &[words]);
    }
    let cases: [(&[&str], &str); 7] = [
        (&["--stride", "1"], "needs a window"),
        (&["--window", "1", "--stride", "0.0000001"], "would lie in"),
        (&["--window", "4f", "--stride", "1"], "both in frames"),
        (&["--window", "1", "--fps", "4", "--frames", "9"], "has 4 frames, not 9"),
        (&["--start", "2", "--end", "1"], "not before"),
        (&["--start", "5"], "before the start at 5 s"),
        (&["--frames", "100000"], "at most 4096"),
    ];
    for (flags, words) in cases {
        fails(&mut vljepa(bench.args(&[&["embed", "@a.y4m"], flags].concat())), &[words]);
    }
    // A window longer than the video is the video.
    let whole = json(bench.args(&["embed", "@a.y4m", "--window", "60"]));
    assert_eq!(moments(&whole["rows"]), [(0.0, 1.2)]);
}
