//! Manifests of drawings and small videos: reading, what is refused, and the check.

use std::fs;
use std::path::{Path, PathBuf};

use vljepa_data::emoji::EmojiVendors;
use vljepa_data::manifest::{CheckOptions, Manifest, Opened, Place, Split, check};
use vljepa_data::video::VideoOptions;
use vljepa_data::{Preprocess, encode_png};

/// A folder with two drawings, a film of ten frames at ten a second, a folder of frames and an MP4.
fn data() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let set = EmojiVendors::open(EmojiVendors::default_dir()).unwrap();
    let vendor = set.vendor("twemoji").unwrap();
    fs::create_dir_all(dir.path().join("frames")).unwrap();
    for (name, &concept) in
        ["one.png", "two.png", "frames/1.png", "frames/2.png", "frames/10.png"].iter().zip(&set.pools().seen)
    {
        let png = encode_png(&set.picture(vendor, concept).unwrap().unwrap()).unwrap();
        fs::write(dir.path().join(name), png).unwrap();
    }
    fs::write(dir.path().join("film.y4m"), film(10)).unwrap();
    let mp4 = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/video/bframes.mp4");
    fs::copy(mp4, dir.path().join("clip.mp4")).unwrap();
    dir
}

/// Frames of 16 × 16 grey pixels, each of another grey.
fn film(frames: u8) -> Vec<u8> {
    let mut bytes = b"YUV4MPEG2 W16 H16 F10:1 Cmono\n".to_vec();
    for i in 0..frames {
        bytes.extend(b"FRAME\n");
        bytes.extend([20 * i; 256]);
    }
    bytes
}

fn write(dir: &tempfile::TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn refused(path: &Path) -> String {
    let error = Manifest::open(path).unwrap_err().to_string();
    assert!(!error.contains('\n') && error.len() < 1000, "{error}");
    error
}

/// A tar archive of files.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn lines_and_tables_give_the_same_rows() {
    let dir = data();
    let lines = "\u{feff}{\"visual\": \"one.png\", \"targets\": [\"a face\", \"smile\"], \"weight\": 2}\r\n\n\
        {\"visual\": \"./film.y4m\", \"start\": 0.2, \"end\": 0.5, \"query\": \"what?\", \"target\": \"grey, dark\", \"split\": \"validation\"}\r\
        {\"visual\": \"frames\", \"target\": \"frames\", \"start\": null, \"query\": \"\"}";
    let table = "visual,targets,weight,start,end,query,target,split\n\
        one.png,a face | smile,2,,,,,\nfilm.y4m,,,0.2,0.5,what?,\"grey, dark\",validation\nframes,,,,,,frames,train\n";
    let lines = Manifest::open(write(&dir, "a.jsonl", lines)).unwrap();
    let table = Manifest::open(write(&dir, "a.csv", table)).unwrap();
    assert_eq!(lines.rows().len(), 3);
    for (a, b) in lines.rows().iter().zip(table.rows()) {
        assert_eq!((&a.place, a.start, a.end, &a.query), (&b.place, b.start, b.end, &b.query));
        assert_eq!((&a.targets, a.weight, a.split), (&b.targets, b.weight, b.split));
    }
    let [one, film, frames] = lines.rows() else { panic!() };
    assert_eq!((&one.targets[..], one.weight), (&["a face".to_owned(), "smile".into()][..], 2.0));
    assert_eq!((film.start, film.end, film.split), (Some(0.2), Some(0.5), Split::Validation));
    assert_eq!(film.targets, ["grey, dark"]);
    assert!(film.origin().ends_with("a.jsonl: line 3") && frames.origin().ends_with("line 4"), "{}", film.origin());
    assert_eq!(frames.query, None);
    assert_eq!(lines.of(Split::Train).count(), 2);
}

#[test]
fn a_row_gives_the_frames_between_its_times() {
    let dir = data();
    let text = "{\"visual\":\"film.y4m\",\"start\":0.2,\"end\":0.5,\"target\":\"a\"}\n{\"visual\":\"film.y4m\",\"target\":\"a\"}\n\
        {\"visual\":\"frames\",\"target\":\"a\"}\n{\"visual\":\"one.png\",\"target\":\"a\"}\n\
        {\"visual\":\"film.y4m\",\"start\":3,\"target\":\"a\"}\n{\"visual\":\"one.png\",\"end\":3,\"target\":\"a\"}\n\
        {\"visual\":\"gone.png\",\"target\":\"a\"}\n";
    let manifest = Manifest::open(write(&dir, "a.jsonl", text)).unwrap();
    let (to, options) = (Preprocess::square(16), VideoOptions::default());
    let numbers = |row: usize, frames| manifest.rows()[row].numbers(frames, &to, &options);
    let greys =
        |row, frames| -> Vec<f32> { numbers(row, frames).unwrap().chunks(to.values()).map(|frame| frame[0]).collect() };
    let whole = greys(1, 10);
    assert_eq!(greys(0, 3), whole[2..5]);
    assert_eq!(greys(0, 5), [2, 2, 3, 3, 4].map(|i| whole[i]));
    assert_eq!(greys(1, 4), [0, 3, 6, 9].map(|i| whole[i]));
    assert_eq!(numbers(2, 2).unwrap().len(), 2 * to.values());
    let still = numbers(3, 2).unwrap();
    assert_eq!(still[..to.values()], still[to.values()..]);
    for (row, words) in [
        (4, ["line 5", "film.y4m", "it ends at 1.000 s, before the start at 3 s"]),
        (5, ["line 6", "one.png", "a picture has no"]),
        (6, ["line 7", "gone.png", "no such file"]),
    ] {
        let error = numbers(row, 2).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
}

#[test]
fn what_is_no_row_is_refused_in_one_line() {
    let dir = data();
    let good = "{\"visual\": \"one.png\", \"target\": \"a\"}\n";
    for (fields, words) in [
        ("\"visaul\": \"a\"", "unknown field \"visaul\"; fields are `visual`"),
        ("\"visual\": 7", "`visual` is \"7\", a text is expected"),
        ("\"visual\": \"a\", \"start\": \"b\"", "a number of seconds is expected"),
        ("\"visual\": \"a\", \"target\": \" \"", "a target is empty"),
        ("\"visual\": \"a\", \"targets\": []", "`targets` is empty"),
        ("\"visual\": \"a\", \"targets\": [\"b\", 1]", "a list of texts is expected"),
        ("\"visual\": \"a\", \"target\": \"b\", \"targets\": [\"b\"]", "both there"),
        ("\"visual\": \"a\"", "`target` is missing"),
        ("\"target\": \"a\"", "`visual` is missing"),
        ("\"visual\": \"a\", \"target\": \"b\", \"start\": 2, \"end\": 2", "is not before `end`"),
        ("\"visual\": \"a\", \"target\": \"b\", \"start\": -1", "from 0 is expected"),
        ("\"visual\": \"a\", \"target\": \"b\", \"end\": 0", "leaves nothing"),
        ("\"visual\": \"a\", \"target\": \"b\", \"weight\": -0.5", "`weight` is -0.5"),
        ("\"visual\": \"a\", \"target\": \"b\", \"weight\": NaN", "not a JSON object"),
        ("\"visual\": \"a\", \"target\": \"b\", \"weight\": 1e-60", "a positive number"),
        ("\"visual\": \"/etc/passwd\", \"target\": \"b\"", "an absolute path"),
        ("\"visual\": \"C:\\\\a.png\", \"target\": \"b\"", "an absolute path"),
        ("\"visual\": \"a/../../b\", \"target\": \"b\"", "may lead out"),
        ("\"visual\": \"\", \"target\": \"b\"", "is expected"),
        ("\"visual\": \"a\\u0000\", \"target\": \"b\"", "is expected"),
        ("\"visual\": \"a\", \"target\": \"b\", \"split\": \"dev\"", "write train, validation or test"),
        ("\"visual\": \"a\", \"target\": \"b\", \"target\": \"c\"", "there twice"),
    ] {
        let error = refused(&write(&dir, "bad.jsonl", format!("{good}{{{fields}}}\n")));
        assert!(error.contains("bad.jsonl: line 2: ") && error.contains(words), "{error}");
    }
    for (bytes, words) in [
        (b"[1]\n".to_vec(), "line 1: not a JSON object"),
        (b"{\"visual\": \"a\"} {}\n".to_vec(), "line 1: not a JSON object"),
        (b"\n\n\xff\n".to_vec(), "line 3: not UTF-8"),
        (b"\xff\xfe{\0".to_vec(), "line 1: UTF-16"),
        (vec![b' '; 64 << 20], "line 1: longer than 4194304 bytes"),
        (vec![], "has no rows"),
        (b"{\"a\":".repeat(1000), "line 1: not a JSON object"),
    ] {
        let error = refused(&write(&dir, "bad.jsonl", bytes));
        assert!(error.contains(words), "{error}");
    }
    for (text, words) in [
        (&b"visual,taget\n"[..], "line 1: the header names the fields: unknown field \"taget\""),
        (b"visual,visual\n", "line 1: the header names `visual` twice"),
        (b"visual,target\na,b,c\n", "line 2: 3 cells, the header names 2"),
        (b"visual,target,weight\na,b,nan\n", "line 2: `weight` is NaN"),
        (b"visual,target,start\na,b,x\n", "line 2: `start` is \"x\""),
        (b"visual,targets\na,b||c\n", "line 2: a target is empty"),
        (b"visual,target\na,\xff\n", "line 2: not UTF-8"),
        (b"visual,target\n", "has no rows"),
        (b"", "line 1: the header is missing"),
    ] {
        let error = refused(&write(&dir, "bad.csv", text));
        assert!(error.contains(words), "{error}");
    }
    let mut open_quote = b"visual,target\na,\"".to_vec();
    open_quote.resize(64 << 20, b'x');
    assert!(refused(&write(&dir, "bad.csv", open_quote)).contains("line 2: longer than"));
    assert!(refused(&write(&dir, "bad.txt", "x")).contains("a manifest ends in .jsonl"));
    assert!(refused(&dir.path().join("none.jsonl")).contains("no such file"));
    assert!(refused(dir.path()).contains("a folder without .tar files"));
}

#[test]
fn shards_are_read_where_they_lie() {
    let dir = data();
    let png = fs::read(dir.path().join("one.png")).unwrap();
    let mp4 = fs::read(dir.path().join("clip.mp4")).unwrap();
    let long = format!("{}/b.y4m", "deep/".repeat(40));
    let archive = tar(&[
        ("a/0001.png", &png),
        ("a/0001.json", br#"{"target": "a face", "split": "test"}"#),
        ("0002.json", br#"{"targets": ["turn", "move"], "start": 0.1, "query": "what?"}"#),
        ("0002.mp4", &mp4),
        ("._0002.mp4", b"left by another system"),
        (&long, &film(4)),
        (&long.replace("y4m", "json"), br#"{"target": "grey"}"#),
    ]);
    fs::create_dir(dir.path().join("set")).unwrap();
    for name in ["set/shard-09.tar", "set/shard-10.tar"] {
        write(&dir, name, &archive);
    }
    let one = Manifest::open(dir.path().join("set/shard-09.tar")).unwrap();
    let [still, clip, deep] = one.rows() else { panic!("{} rows", one.rows().len()) };
    assert_eq!((still.split, &still.targets[..]), (Split::Test, &["a face".to_owned()][..]));
    assert_eq!((clip.start, clip.query.as_deref()), (Some(0.1), Some("what?")));
    assert!(still.origin().ends_with("shard-09.tar: sample a/0001"), "{}", still.origin());
    let (to, options) = (Preprocess::square(16), VideoOptions::default());
    for (row, file) in [(still, "one.png"), (clip, "clip.mp4")] {
        let loose = write(&dir, "loose.jsonl", format!("{{\"visual\":\"{file}\",\"target\":\"a\",\"start\":null}}"));
        let mut loose = Manifest::open(loose).unwrap().rows()[0].clone();
        loose.start = row.start;
        assert_eq!(row.numbers(4, &to, &options).unwrap(), loose.numbers(4, &to, &options).unwrap(), "{file}");
        assert_eq!(row.place.content_hash().unwrap(), loose.place.content_hash().unwrap());
    }
    assert!(matches!(deep.place.open(&options).unwrap(), Opened::Clip(_)));
    let rows = |name: &str| Manifest::open(dir.path().join(name)).unwrap().rows().len();
    assert_eq!([rows("set"), rows("set/shard-{09..10}.tar")], [6, 6]);
    assert!(refused(&dir.path().join("set/shard-{09..11}.tar")).contains("shard-11.tar: no such file"));
    assert!(refused(&dir.path().join("set/shard-{0..99999999}.tar")).contains("is no list of archives"));
    assert_eq!(fs::read_dir(dir.path().join("set")).unwrap().count(), 2, "nothing is unpacked");
}

#[test]
fn hostile_shards_are_refused() {
    let dir = data();
    let json: &[u8] = br#"{"target": "a"}"#;
    let raw = |name: &[u8], kind: tar::EntryType, size: u64| {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend(vec![b'x'; (size as usize).next_multiple_of(512).min(1 << 20)]);
        bytes.extend([0; 1024]);
        bytes
    };
    let mut cut = tar(&[("a.json", json), ("a.png", &[7; 5000])]);
    cut.truncate(3000);
    for (bytes, words) in [
        (raw(b"../a.png", tar::EntryType::Regular, 4), "leads out of the archive"),
        (raw(b"/a.png", tar::EntryType::Regular, 4), "leads out of the archive"),
        (raw(b"a\x1b.png", tar::EntryType::Regular, 4), "no name of a file"),
        (raw(b"a\xff.png", tar::EntryType::Regular, 4), "not UTF-8"),
        (raw(b"a.png", tar::EntryType::Symlink, 0), "is a link"),
        (raw(b"a.png", tar::EntryType::Link, 0), "is a link"),
        (raw(b"a.png", tar::EntryType::Fifo, 0), "no regular file"),
        (raw(b"a.png", tar::EntryType::GNULongName, 100_000), "at most 4097"),
        (raw(b"a.png", tar::EntryType::XHeader, 1 << 20), "at most 65536"),
        (raw(b"a.png", tar::EntryType::Regular, 1 << 40), "cut off"),
        (raw(b"a.json", tar::EntryType::Regular, 5 << 20), "cut off"),
        (cut, "cut off"),
        (vec![7; 4096], "not a tar archive"),
        (vec![0; 1024], "no samples"),
        (vec![], "no samples"),
        (tar(&[("a.json", json), ("a.png", b"x"), ("a.json", json)]), "\"a.json\" is there twice"),
        (tar(&[("a.json", json)]), "sample \"a\": it has no picture or video"),
        (tar(&[("a.png", b"x")]), "sample \"a\": it has no .json"),
        (tar(&[("a.json", json), ("a.png", b"x"), ("a.mp4", b"x")]), "name one as `visual`"),
        (tar(&[("a.json", br#"{"target": "a", "visual": "b.png"}"#), ("a.png", b"x")]), "none of its pictures"),
        (tar(&[("a.json", b"{"), ("a.png", b"x")]), "\"a.json\": not a JSON object"),
        (tar(&[("a.json", &vec![b' '; 5 << 20]), ("a.png", b"x")]), "have at most 4194304"),
    ] {
        let error = refused(&write(&dir, "bad.tar", bytes));
        assert!(error.contains("bad.tar: ") && error.contains(words), "{error} has no {words:?}");
    }
}

#[test]
fn a_check_finds_what_is_missing_broken_late_and_in_two_parts() {
    let dir = data();
    fs::copy(dir.path().join("film.y4m"), dir.path().join("copy.y4m")).unwrap();
    let mut broken = fs::read(dir.path().join("two.png")).unwrap();
    broken.truncate(broken.len() / 2);
    write(&dir, "broken.png", broken);
    let rows = [
        r#""visual":"one.png","target":"face""#,
        r#""visual":"film.y4m","start":0,"end":0.5,"target":"grey","query":"which colour is it?""#,
        r#""visual":"copy.y4m","start":0.4,"end":0.9,"target":"grey","split":"test""#,
        r#""visual":"copy.y4m","start":0.5,"end":1.5,"target":"grey","split":"validation""#,
        r#""visual":"frames","target":"face""#,
        r#""visual":"gone.mp4","target":"grey""#,
        r#""visual":"broken.png","target":"grey""#,
        r#""visual":"film.y4m","start":2,"target":"grey""#,
        r#""visual":"one.png","start":2,"target":"grey""#,
    ];
    let text: String = rows.map(|row| format!("{{{row}}}\n")).concat();
    let manifest = Manifest::open(write(&dir, "a.jsonl", text)).unwrap();
    let report = check(&manifest, &CheckOptions::default());
    let lines = |faults: &[vljepa_data::manifest::Fault]| -> Vec<String> {
        faults.iter().map(|fault| fault.row.rsplit(' ').next().unwrap().to_owned()).collect()
    };
    assert!(!report.is_sound());
    assert_eq!(lines(&report.missing), ["6"]);
    assert_eq!(lines(&report.broken), ["7", "8", "9"]);
    assert_eq!(lines(&report.beyond_end), ["4"]);
    assert!(report.broken[0].what.contains("broken.png"), "{:?}", report.broken);
    // Lines 2 and 3 overlap in the content of two files; so do 3 and 4 in one.
    let pairs: Vec<_> = report.duplicates.iter().map(|d| (d.split, d.other_split)).collect();
    assert_eq!(pairs, [(Split::Test, Split::Train), (Split::Validation, Split::Test)]);
    let train = &report.splits[&Split::Train];
    assert_eq!((train.rows, train.pictures, train.videos, train.frame_folders), (7, 2, 2, 1));
    assert_eq!((train.timed, train.queries, train.distinct_targets), (3, 1, 2));
    assert_eq!(train.classes.as_ref().unwrap()["face"], 2);
    assert_eq!((report.longest[0].field, report.longest[0].characters), ("query", 19));

    let mut quick = CheckOptions::default();
    quick.quick = true;
    let report = check(&manifest, &quick);
    assert_eq!(lines(&report.missing), ["6"]);
    assert_eq!(lines(&report.broken), ["8", "9"], "the broken picture is not decoded");
    assert_eq!(report.duplicate_count, 1, "by the path alone");
    assert!(matches!(&manifest.rows()[0].place, Place::Path(path) if path.ends_with("one.png")));
}

#[test]
fn texts_lose_the_white_space_at_their_ends_in_every_kind_of_manifest() {
    let dir = data();
    let lines = "{\"visual\": \"one.png\", \"targets\": [\" a face\", \"smile\\n\"], \"query\": \" what? \"}\n";
    let table = "visual,targets,query\none.png, a face|smile , what? \n";
    let json: &[u8] = br#"{"targets": ["a face ", "\tsmile"], "query": " what?"}"#;
    let shard = tar(&[("a.json", json), ("a.png", b"x")]);
    for (name, bytes) in [("a.jsonl", lines.as_bytes()), ("a.csv", table.as_bytes()), ("a.tar", &shard)] {
        let manifest = Manifest::open(write(&dir, name, bytes)).unwrap();
        let row = &manifest.rows()[0];
        assert_eq!(
            (&row.targets[..], row.query.as_deref()),
            (&["a face".into(), "smile".into()][..], Some("what?")),
            "{name}"
        );
    }
}

#[test]
fn a_check_tells_of_times_between_which_no_frame_begins() {
    // Frames begin every tenth of a second.
    let dir = data();
    let rows = [(0.31, 0.39), (0.3, 0.39), (0.95, 2.0), (0.9, 2.0)];
    let text = rows.map(|(start, end)| {
        format!("{{\"visual\": \"film.y4m\", \"start\": {start}, \"end\": {end}, \"target\": \"grey\"}}\n")
    });
    let manifest = Manifest::open(write(&dir, "a.jsonl", text.concat())).unwrap();
    let report = check(&manifest, &CheckOptions::default());
    let lines: Vec<&str> = report.broken.iter().map(|fault| fault.row.rsplit(' ').next().unwrap()).collect();
    assert_eq!((lines, report.beyond_count), (vec!["1", "3"], 1), "{report:?}");
    assert!(report.broken[0].what.contains("no frame begins between `start` 0.31 and `end` 0.39"), "{report:?}");
    for row in manifest.rows() {
        let line = row.origin();
        let read = row.numbers(2, &Preprocess::square(8), &VideoOptions::default());
        assert_eq!(read.is_err(), report.broken.iter().any(|fault| fault.row == line), "{line}: {read:?}");
    }
}

#[test]
fn a_check_of_a_long_film_with_many_rows_looks_at_few_pairs() {
    // Two splits take turns; the last row alone overlaps one of the other split, which stands far before it.
    let dir = data();
    let mut text = String::new();
    let rows = 60_000;
    for i in 0..rows {
        let (start, split) = (f64::from(i) * 1e-5, ["train", "test"][i as usize % 2]);
        text += &format!(
            "{{\"visual\":\"film.y4m\",\"start\":{start:.6},\"end\":{:.6},\"target\":\"a\",\"split\":\"{split}\"}}\n",
            start + 1e-5
        );
    }
    text += "{\"visual\":\"film.y4m\",\"start\":0.000015,\"end\":0.000018,\"target\":\"a\",\"split\":\"train\"}\n";
    let manifest = Manifest::open(write(&dir, "a.jsonl", text)).unwrap();
    let begun = std::time::Instant::now();
    let report = check(&manifest, &CheckOptions::default());
    let found: Vec<_> = report.duplicates.iter().map(|d| (&d.row[..], &d.other[..])).collect();
    assert_eq!(found.len(), 1);
    assert!(found[0].0.ends_with("line 60001") && found[0].1.ends_with("line 2"), "{found:?}");
    // Every pair would take more than a minute.
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}
