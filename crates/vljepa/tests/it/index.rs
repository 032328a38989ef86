//! Indices over their life: searched by text, picture and clip, together, filtered, shown, updated and described.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Bench, fails, film, json, misused, noted, picture, vljepa};

const WINDOWS: [&str; 4] = ["--window", "1", "--stride", "0.5"];

fn results(document: &Value) -> Vec<Value> {
    document["searches"][0]["results"].as_array().unwrap().clone()
}

fn name(result: &Value) -> &str {
    result["input"].as_str().unwrap().rsplit('/').next().unwrap()
}

fn names(results: &[Value]) -> BTreeSet<&str> {
    results.iter().map(name).collect()
}

/// What `index info` says.
fn info(bench: &Bench) -> Value {
    json(["index", "info", &bench.text("i.idx")])
}

/// Two films and a picture, indexed as windows.
fn films() -> Bench {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("films/sea")).unwrap();
    film(&bench.path("films/a.y4m"), 25);
    film(&bench.path("films/sea/b.y4m"), 12);
    bench.write("films/c.png", picture(3));
    json(bench.args(&[&["index", "build", "@films", "--out", "@i.idx"], &WINDOWS[..]].concat()));
    bench
}

#[test]
fn a_picture_and_a_part_of_a_clip_find_themselves() {
    let bench = films();
    let like = json(bench.args(&["search", "@i.idx", "--like", "@films/c.png", "--top", "3"]));
    let found = results(&like);
    assert!(like["searches"][0]["like"].as_str().unwrap().ends_with("c.png"));
    assert_eq!((name(&found[0]), &found[0]["start_s"]), ("c.png", &Value::Null));
    assert!((found[0]["score"].as_f64().unwrap() - 1.0).abs() < 1e-5, "{found:?}");

    let part = ["search", "@i.idx", "--like", "@films/a.y4m", "--start", "0.5", "--end", "1.5"];
    let found = results(&json(bench.args(&part)));
    let seconds = |key: &str| (found[0][key].as_f64().unwrap() * 10.0).round() / 10.0;
    assert_eq!((name(&found[0]), seconds("start_s"), seconds("end_s")), ("a.y4m", 0.5, 1.5));
    assert!((found[0]["score"].as_f64().unwrap() - 1.0).abs() < 1e-5, "{found:?}");

    // Texts first, then files; each is a search of its own.
    let both = json(bench.args(&["search", "@i.idx", "cat", "--like", "@films/c.png"]));
    assert_eq!((&both["searches"][0]["text"], both["searches"].as_array().unwrap().len()), (&"cat".into(), 2));
}

#[test]
fn several_indices_and_filters() {
    let bench = films();
    json(bench.args(&["index", "build", "@pictures", "--out", "@p.idx"]));
    let both = json(bench.args(&["search", "@i.idx", "cat", "--also", "@p.idx", "--top", "99"]));
    let found = results(&both);
    assert_eq!((found.len(), both["indices"].as_array().unwrap().len()), (7 + 9, 2));
    let scores: Vec<f64> = found.iter().map(|hit| hit["score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    assert_eq!(found.iter().filter(|hit| hit["index"].as_str().unwrap().ends_with("p.idx")).count(), 9);

    let filtered = |flags: &[&str]| {
        let args = [&["search", "@i.idx", "cat", "--top", "99"], flags].concat();
        results(&json(bench.args(&args)))
    };
    assert_eq!(names(&filtered(&["--path", "sea/*"])), BTreeSet::from(["b.y4m"]));
    assert_eq!(names(&filtered(&["--path", "*.png", "--path", "a.*"])), BTreeSet::from(["a.y4m", "c.png"]));
    let late = filtered(&["--after", "1"]);
    assert!(late.len() == 2 && late.iter().all(|hit| hit["start_s"].as_f64().unwrap() >= 1.0), "{late:?}");
    let early = filtered(&["--before", "1"]);
    assert!(early.len() == 2 && early.iter().all(|hit| hit["end_s"].as_f64().unwrap() <= 1.0), "{early:?}");
    assert!(filtered(&["--path", "nothing"]).is_empty());
    let text = vljepa(bench.args(&["search", "@i.idx", "cat", "--path", "nothing"])).output().unwrap().stdout;
    assert!(String::from_utf8(text).unwrap().contains("nothing in the index passes the filter"));
}

#[test]
fn a_contact_sheet_shows_what_was_found() {
    let bench = films();
    let args = ["search", "@i.idx", "a <cat>", "--like", "@films/c.png", "--top", "4", "--html", "@page.html"];
    let document = json(bench.args(&args));
    assert!(document["html"].as_str().unwrap().ends_with("page.html"));
    let page = std::fs::read_to_string(bench.path("page.html")).unwrap();
    assert_eq!(page.matches("src=\"data:image/jpeg;base64,").count(), 8, "{page}");
    assert!(page.contains("a &lt;cat&gt;") && !page.contains("<cat>") && page.contains("0:00.5–0:01.5"), "{page}");
    // A file that is gone is told in its place.
    std::fs::remove_file(bench.path("films/c.png")).unwrap();
    let gone = ["search", "@i.idx", "cat", "--path", "c.png", "--html", "@page.html"];
    assert_eq!(results(&json(bench.args(&gone)))[0]["fresh"], false);
    let page = std::fs::read_to_string(bench.path("page.html")).unwrap();
    assert!(page.contains("frame broken") && page.contains("changed or gone"), "{page}");
}

#[test]
fn a_page_replaces_nothing_that_is_read() {
    let bench = films();
    for (page, word) in [
        ("@i.idx", "i.idx"),
        ("@films/a.y4m", "a.y4m"),
        ("@model/config.json", "config.json"),
        ("@gone/x.html", "gone"),
    ] {
        let before = std::fs::read(bench.text(&page[1..])).ok();
        fails(&mut vljepa(bench.args(&["search", "@i.idx", "cat", "--top", "99", "--html", page])), &[word]);
        assert_eq!(std::fs::read(bench.text(&page[1..])).ok(), before);
    }
}

#[test]
fn an_update_embeds_what_changed_and_drops_what_is_gone() {
    let bench = films();
    let state = || info(&bench)["folder"].clone();
    assert_eq!(state(), serde_json::json!({ "new": 0, "changed": 0, "gone": 0, "noted": 0 }));
    // Nothing to do leaves the file alone.
    let before = std::fs::metadata(bench.path("i.idx")).unwrap().modified().unwrap();
    let same = json(bench.args(&["index", "update", "@i.idx"]));
    assert_eq!((&same["reused"], &same["dropped"]), (&3.into(), &0.into()));
    assert_eq!(std::fs::metadata(bench.path("i.idx")).unwrap().modified().unwrap(), before);

    std::fs::remove_file(bench.path("films/c.png")).unwrap();
    film(&bench.path("films/sea/b.y4m"), 21);
    film(&bench.path("films/sea/new.y4m"), 10);
    assert_eq!(state(), serde_json::json!({ "new": 1, "changed": 1, "gone": 1, "noted": 0 }));
    let old = results(&json(bench.args(&["search", "@i.idx", "cat", "--path", "a.y4m"])));
    let updated = json(bench.args(&["index", "update", "@i.idx"]));
    let facts = ["pictures", "rows", "reused", "dropped"].map(|key| updated[key].as_u64().unwrap());
    assert_eq!(facts, [3, 4 + 4 + 1, 1, 1]);
    assert_eq!(state(), serde_json::json!({ "new": 0, "changed": 0, "gone": 0, "noted": 0 }));
    assert_eq!(results(&json(bench.args(&["search", "@i.idx", "cat", "--path", "a.y4m"]))), old);
    let all = results(&json(bench.args(&["search", "@i.idx", "cat", "--top", "99"])));
    assert_eq!(names(&all), BTreeSet::from(["a.y4m", "b.y4m", "new.y4m"]));
    assert!(all.iter().all(|hit| hit["fresh"] == true && hit["start_s"].is_number()), "{all:?}");

    // A file that breaks: refused, or left out and dropped.
    bench.write("films/sea/new.y4m", "YUV4MPEG2 W0 H0\n");
    let index = std::fs::read(bench.path("i.idx")).unwrap();
    fails(&mut vljepa(bench.args(&["index", "update", "@i.idx"])), &["new.y4m", "--skip-broken"]);
    assert_eq!(std::fs::read(bench.path("i.idx")).unwrap(), index);
    let (left, _) = noted(bench.args(&["index", "update", "@i.idx", "--skip-broken"]));
    assert_eq!((&left["pictures"], &left["dropped"]), (&2.into(), &1.into()));
    // The folder is gone.
    std::fs::rename(bench.path("films"), bench.path("elsewhere")).unwrap();
    fails(&mut vljepa(bench.args(&["index", "update", "@i.idx"])), &["films", "no such"]);
    assert!(state()["error"].as_str().unwrap().contains("films"));
}

#[test]
fn an_update_reads_as_the_build_did() {
    let bench = Bench::new();
    for clip in ["one", "two"] {
        std::fs::create_dir_all(bench.path("clips").join(clip)).unwrap();
        (0..4).for_each(|i| {
            bench.write(&format!("clips/{clip}/{i}.png"), picture(i));
        });
    }
    let args = ["index", "build", "@clips", "--out", "@i.idx", "--frame-folders", "--precision", "f16", "--fps", "2"];
    json(bench.args(&args));
    let before = info(&bench);
    assert_eq!(
        (&before["frame_folders"], &before["settings"]["precision"], &before["files"]),
        (&true.into(), &"f16".into(), &2.into())
    );
    std::fs::create_dir_all(bench.path("clips/three")).unwrap();
    bench.write("clips/three/0.png", picture(9));
    let updated = json(bench.args(&["index", "update", "@i.idx"]));
    assert_eq!((&updated["pictures"], &updated["reused"]), (&3.into(), &2.into()));
    let after = info(&bench);
    assert_eq!(
        (&after["settings"], &after["reading"], &after["mixed"]),
        (&before["settings"], &before["reading"], &false.into())
    );
    // Rows of other settings stay in an update, which is told, and a build makes all anew.
    json(bench.args(&["index", "build", "@clips", "--out", "@i.idx", "--frame-folders"]));
    let text = vljepa(["index", "info", &bench.text("i.idx")]).output().unwrap().stdout;
    assert!(String::from_utf8(text).unwrap().contains("unchanged since"));
}

/// The shipped model on real films: by a text, by a picture and by a part of a film.
#[test]
fn a_moment_of_a_real_film_is_found_by_text_and_by_picture() {
    if !vljepa::Builtin::Compact.is_carried() {
        return;
    }
    let cache = crate::fixtures::cache();
    let dir = tempfile::tempdir().unwrap();
    let films = dir.path().join("films");
    std::fs::create_dir(&films).unwrap();
    for film in
        ["films/world.mp4", "films/a.mp4", "video/bigbuckbunny.mp4", "video/bikes.mp4", "video/carphone_pristine.mp4"]
    {
        let from = cache.join(film);
        assert!(from.is_file(), "{} is missing; run `cargo xtask data`", from.display());
        std::fs::copy(&from, films.join(from.file_name().unwrap())).unwrap();
    }
    let (index, world) = (dir.path().join("films.idx"), films.join("world.mp4"));
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    json(["index", "build", &path(&films), "--window", "2", "--out", &path(&index)]);
    let search = |args: &[&str]| results(&json([&["search", &path(&index)], args].concat()));

    let moon = search(&["crescent moon", "--top", "5"]);
    assert!(moon.iter().all(|hit| name(hit) == "world.mp4"), "{moon:?}");
    let film = search(&["crescent moon", "--merge", "--top", "1"]);
    let seconds = |hit: &Value, key: &str| hit[key].as_f64().unwrap();
    assert!(seconds(&film[0], "end_s") - seconds(&film[0], "start_s") > 10.0, "{film:?}");

    // The Earth as it is in the middle of some windows.
    let mut reader = vljepa_data::video::VideoReader::open(&world).unwrap();
    let picture = dir.path().join("earth.png");
    for second in [5.0, 21.0] {
        let frame = reader.times().unwrap().partition_point(|time| *time < second);
        let rgb = reader.frames(&[frame]).unwrap().remove(0).rgb;
        let rgba = rgb.data.chunks(3).flat_map(|p| [p[0], p[1], p[2], 255]).collect();
        let rgba = vljepa_data::Rgba8Image::new(rgb.width, rgb.height, rgba).unwrap();
        std::fs::write(&picture, vljepa_data::encode_png(&rgba).unwrap()).unwrap();
        let found = &search(&["--like", &path(&picture), "--top", "1"])[0];
        let (start, end) = (seconds(found, "start_s"), seconds(found, "end_s"));
        assert!(name(found) == "world.mp4" && start <= second && second <= end, "{second}: {found:?}");
        let (from, to) = ((second - 1.0).to_string(), (second + 1.0).to_string());
        let part = &search(&["--like", &path(&world), "--start", &from, "--end", &to, "--top", "1"])[0];
        assert!((seconds(part, "start_s") - (second - 1.0)).abs() < 0.05, "{second}: {part:?}");
    }
}

#[test]
fn a_part_of_a_clip_is_read_as_the_index_was() {
    let bench = films();
    let like = |flags: &[&str]| noted(bench.args(&[&["search"], flags].concat()));
    let best = |document: &Value, of: &str| -> Value {
        let found = results(document);
        found.iter().find(|hit| of.is_empty() || hit["index"].as_str().unwrap().ends_with(of)).unwrap().clone()
    };
    let is_itself = |hit: &Value, file: &str, start: f64| {
        assert_eq!(name(hit), file);
        assert!((hit["score"].as_f64().unwrap() - 1.0).abs() < 1e-5, "{hit}");
        assert!((hit["start_s"].as_f64().unwrap() - start).abs() < 1e-6, "{hit}");
    };
    // Windows in frames, of which the model takes some.
    json(bench.args(&["index", "build", "@films", "--out", "@f.idx", "--window", "10f"]));
    let (found, notes) = like(&["@f.idx", "--like", "@films/a.y4m", "--start", "1", "--end", "2"]);
    is_itself(&best(&found, ""), "a.y4m", 1.0);
    assert_eq!(notes, "");
    // A folder of frames states no rate: that of the index.
    std::fs::create_dir_all(bench.path("clips/one")).unwrap();
    (0..8).for_each(|i| {
        bench.write(&format!("clips/one/{i}.png"), picture(10 * i));
    });
    let build = ["index", "build", "@clips", "--out", "@c.idx", "--frame-folders", "--fps", "2", "--window", "2"];
    json(bench.args(&build));
    let (found, _) = like(&["@c.idx", "--like", "@clips/one", "--start", "2", "--end", "4"]);
    is_itself(&best(&found, ""), "one", 2.0);
    // Two indices with other windows: each with its own.
    let build = ["index", "build", "@films", "--out", "@w.idx", "--window", "1", "--fps", "8"];
    json(bench.args(&build));
    let part = ["--like", "@films/a.y4m", "--start", "1", "--end", "2", "--top", "99"];
    let (found, notes) = like(&[&["@i.idx", "--also", "@w.idx"], &part[..]].concat());
    is_itself(&best(&found, "i.idx"), "a.y4m", 1.0);
    is_itself(&best(&found, "w.idx"), "a.y4m", 1.0);
    assert!(notes.contains("read in different ways") && notes.lines().count() == 1, "{notes}");
}

#[test]
fn clips_that_look_the_same_are_one_moment() {
    let bench = films();
    let mut still = b"YUV4MPEG2 W24 H16 F10:1 Cmono\n".to_vec();
    (0..50).for_each(|_| {
        still.extend(b"FRAME\n");
        still.extend((0..384).map(|at| (at % 200) as u8 + 16));
    });
    bench.write("films/still.y4m", still);
    json(bench.args(&["index", "update", "@i.idx"]));
    let found = results(&json(bench.args(&["search", "@i.idx", "cat", "--path", "still.y4m", "--merge"])));
    let seconds = |key: &str| found[0][key].as_f64().unwrap();
    assert_eq!((found.len(), seconds("start_s"), seconds("end_s")), (1, 0.0, 5.0), "{found:?}");
}

#[test]
fn an_index_of_another_folder_and_one_without_files_are_told_of() {
    let bench = films();
    let (_, notes) = noted(bench.args(&["index", "build", "@pictures", "--out", "@i.idx"]));
    assert!(notes.contains("i.idx: it is the index of ") && notes.contains("films, and is replaced"), "{notes}");
    assert_eq!(notes.lines().count(), 1);
    let text = vljepa(bench.args(&["index", "build", "@pictures", "--out", "@i.idx"])).output().unwrap();
    let (said, notes) = (String::from_utf8(text.stdout).unwrap(), String::from_utf8(text.stderr).unwrap());
    assert!(said.starts_with("9 files in ") && !notes.contains("is replaced"), "{said}{notes}");
    let shown = vljepa(["index", "info", &bench.text("i.idx")]).output().unwrap().stdout;
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains(", f32, ") && !shown.contains("Capabilities"), "{shown}");
    std::fs::remove_dir_all(bench.path("pictures")).unwrap();
    std::fs::create_dir(bench.path("pictures")).unwrap();
    let index = std::fs::read(bench.path("i.idx")).unwrap();
    let words = ["i.idx: all 9 files are gone from ", "pictures; remove the index"];
    fails(&mut vljepa(bench.args(&["index", "update", "@i.idx"])), &words);
    assert_eq!(std::fs::read(bench.path("i.idx")).unwrap(), index);
}

#[test]
fn nonsense_is_refused_in_one_line() {
    let bench = films();
    for (flags, words) in [
        (&["cat", "--top", "0"][..], &["--top", "at least 1"][..]),
        (&["cat", "--after", "-1"], &["--after", "0 or later"]),
        (&["cat", "--before", "NaN"], &["--before", "seconds"]),
        (&["cat", "--start", "1"], &["--like"]),
        (&[], &["TEXT"]),
    ] {
        misused(&mut vljepa(bench.args(&[&["search", "@i.idx"], flags].concat())), words);
    }
    for (flags, words) in [
        (&["cat", "--after", "2", "--before", "1"][..], &["no clip lies between"][..]),
        (&["cat", "--path", ""], &["empty pattern"]),
        (&["cat", "--path", "[a"], &["[a"]),
        (&["cat", "--also", "@gone.idx"], &["gone.idx", "no such file"]),
        (&["--like", "@gone.png"], &["gone.png", "no such file"]),
        (&["--like", "@films/a.y4m", "--start", "9"], &["a.y4m", "name a file that can be read with --like"]),
        (&["--like", "@films/c.png", "--start", "1"], &["c.png: a picture has no parts; leave --start and --end out"]),
        (&["--like", "@films/a.y4m", "--start", "2", "--end", "1"], &["end"]),
    ] {
        fails(&mut vljepa(bench.args(&[&["search", "@i.idx"], flags].concat())), words);
    }
    fails(&mut vljepa(["index", "info", &bench.text("films/c.png")]), &["c.png", "index"]);
    fails(&mut vljepa(bench.args(&["index", "update", "@gone.idx"])), &["gone.idx", "no such file"]);
}
