//! Configurations: what is read, what is refused, and how that is said.

use std::path::Path;

use vljepa_train::TrainConfig;
use vljepa_train::config::{ObjectiveKind, OptimizerKind, TextKind};
use vljepa_train::sources::emoji_vendors::Settings;

const SMALL: &str = "steps = 10\nbatch = 4\n[model]\nfolder = \"m\"\n";

#[test]
fn defaults_fill_what_is_not_said() {
    let config = TrainConfig::parse(SMALL).unwrap();
    assert_eq!((config.seed, config.accumulate, config.optimizer.kind), (0, 1, OptimizerKind::Adamw));
    assert_eq!(
        (config.objective.kind, Settings::of(&config).unwrap().validate_on.as_str()),
        (ObjectiveKind::Bank, "noto-v1")
    );
    assert!(config.ema.is_none());
}

#[test]
fn every_key_of_a_full_file_is_read() {
    let text = "seed = 9\nsteps = 100\nbatch = 8\naccumulate = 2\noutput = \"o\"\n\
        [model]\nconfig = \"c.json\"\ny_encoder = \"y\"\n\
        [data]\nvendors = [\"noto\"]\nimage_size = 32\nphases = [{ from = 0.5, image_size = 48 }]\nprefetch = 0\n\
        [data.augment]\nscale = [0.7, 1.1]\n\
        [objective]\nkind = \"batch\"\ntexts = [\"label\", \"label-and-tags\"]\ntrain_y_encoder = true\n\
        y_head = { whiten = false, train = true }\n\
        [optimizer]\nkind = \"muon\"\nlr = 0.002\nmuon = { lr = 0.03, iterations = 3 }\n\
        [[optimizer.groups]]\npattern = \"x_encoder.*\"\nlr_scale = 0.5\n\
        [schedule]\nkind = \"wsd\"\nwarmup = 0.1\n[ema]\nhorizon = 0.03\n[evaluate]\nevery = 5\n[checkpoint]\nkeep = 4\n";
    let config = TrainConfig::parse(text).unwrap();
    assert_eq!(config.objective.texts, [TextKind::Label, TextKind::LabelAndTags]);
    assert_eq!((config.optimizer.muon.lr, config.optimizer.muon.momentum), (0.03, 0.95));
    assert_eq!(config.optimizer.groups[0].lr_scale, 0.5);
    let sizes: Vec<u32> = [0, 49, 50, 99].map(|s| config.data.image_size_at(s, 100, 64)).to_vec();
    assert_eq!(sizes, [32, 32, 48, 48]);
}

#[test]
fn mistakes_are_named_with_their_line() {
    let with = |extra: &str| format!("steps = 10\nbatch = 4\n{extra}");
    let model = "[model]\nfolder = \"m\"\n";
    for (text, line, word) in [
        (with(&format!("lerning_rate = 1\n{model}")), 3, "lerning_rate"),
        (with(&format!("batch = 5\n{model}")), 3, "duplicate"),
        (format!("steps = 10\nbatch = \"four\"\n{model}"), 2, "where a whole number"),
        (format!("steps = 0\nbatch = 4\n{model}"), 1, "`steps` is 0"),
        (with(&format!("accumulate = 3\n{model}")), 3, "not a multiple of `accumulate`"),
        (with("[model]\nfolder = \"m\"\nconfig = \"c\"\n"), 3, "exactly one"),
        (with("[model]\nconfig = \"c\"\n"), 3, "y_encoder"),
        (with(&format!("{model}[data]\nvendors = []\n")), 6, "vendors"),
        (with(&format!("{model}[data.augment]\nmirror = 3\n")), 6, "mirror is 3"),
        (with(&format!("{model}[data]\nkind = \"films\"\n")), 6, "no \"films\"; choose among emoji-vendors, manifest"),
        (with(&format!("{model}[data]\nprefetch = 1\nsource = \"manifest\"\n")), 7, "is called `data.kind`; rename it"),
        (with(&format!("{model}[data]\nkind = \"manifest\"\n")), 5, "`data.manifest` is missing"),
        (with(&format!("{model}[data]\nkind = \"manifest\"\nmanifest = \"a\"\nframes = 0\n")), 8, "`data.frames` is 0"),
        (with(&format!("{model}[data]\nkind = \"manifest\"\nmanifest = \"a\"\nvendors = []\n")), 8, "vendors"),
        (with(&format!("{model}[data]\nkind = \"manifest\"\nmanifest = \"a\"\ncache_mib = -1\n")), 8, "-1"),
        (
            with(&format!("{model}[data]\nkind = \"manifest\"\nmanifest = \"a\"\n[data.augment]\nmirror = nan\n")),
            9,
            "mirror is NaN",
        ),
        (with(&format!("{model}[data]\nkind = \"manifest\"\nmanifest = \"a\"\naugment = {{ ink = 1 }}\n")), 8, "ink"),
        (
            with(&format!("{model}[data]\nkind = \"manifest\"\nmanifest = \"a\"\n[evaluate]\nvendor = \"a\"\n")),
            9,
            "vendor",
        ),
        (with(&format!("{model}[data]\nimage_sise = 8\n")), 6, "or of `kind`, `image_size`, `phases`, `prefetch`"),
        (with(&format!("{model}[data]\nimage_size = \"x\"\n")), 6, "column 14: the text"),
        (with(&format!("{model}[data]\nprefetch = 1\nvendors = \"noto\"\n")), 7, "column 11: the text"),
        (with(&format!("{model}[data.augment]\nmirror = \"x\"\n")), 6, "column 10: the text"),
        (with(&format!("{model}[evaluate]\nevery = 5\nvendors = \"a\"\n")), 7, "`vendor`, or of `every`, `batch`"),
        (with(&format!("{model}[data.augment]\nbackdrops = [0.5, 0.6, 0, 0]\n")), 6, "backdrops is 1.1"),
        (
            with(&format!("{model}[memory]\nscale = 9\nshare = 0.5\n[head_fit]\nshare = 5\nridge = 1\n")),
            9,
            "share` is 5",
        ),
        (with(&format!("{model}[objective]\ny_head = {{ tags = 2 }}\n")), 6, "tags` is 2"),
        (with(&format!("{model}[optimizer]\nlr = 1\nmuon = {{ lr = -1 }}\n")), 7, "muon.lr` is -1"),
        (with(&format!("{model}[optimizer]\nlr = nan\n")), 6, "lr` is NaN"),
        (with(&format!("{model}[optimizer]\nbetas = [0.9, 1.0]\n")), 6, "betas"),
        (with(&format!("{model}[objective]\ntrain_y_encoder = true\n")), 6, "frozen"),
        (with(&format!("{model}[schedule]\nkind = \"linear\"\n")), 6, "linear"),
        (with(&format!("{model}[checkpoint]\nkeep = 1\n")), 6, "`checkpoint.keep` is 1"),
        (with(&format!("{model}[schedule]\nkind = \"wsd\"\nwarmup = 2\n")), 7, "`schedule.warmup` is 2"),
        (
            with(&format!(
                "{model}[[optimizer.groups]]\npattern = \"a\"\n[[optimizer.groups]]\npattern = \"b\"\nlr_scale = -1\n"
            )),
            9,
            "`optimizer.groups.1.lr_scale` is -1",
        ),
        (with(&format!("{model}[memory]\nscale = 9\nshare = 0.5\nrows = 3\n")), 8, "`memory.rows`"),
    ] {
        let error = TrainConfig::parse(&text).unwrap_err();
        assert!(error.starts_with(&format!("line {line}")) && error.contains(word), "{text:?}: {error}");
        assert!(!error.contains('\n'), "{error:?} has more than one line");
    }
}

#[test]
fn paths_are_relative_to_the_file_and_a_missing_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.toml");
    std::fs::write(&path, SMALL).unwrap();
    let config = TrainConfig::read(&path).unwrap();
    assert_eq!(config.model.folder.unwrap(), dir.path().join("m"));
    assert_eq!(config.output, dir.path().join("run"));
    let missing = dir.path().join("none.toml");
    assert!(TrainConfig::read(&missing).unwrap_err().to_string().contains("none.toml"));
}

#[test]
fn the_files_of_the_repository_are_read() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    vljepa_train::check(&here.join("examples/emoji.toml"), None).unwrap();
    let clips = TrainConfig::read(&here.join("examples/clips.toml")).unwrap();
    assert_eq!(clips.data.kind.as_deref(), Some("manifest"));
    let model = std::fs::read_to_string(clips.model.config.unwrap()).unwrap();
    let model = vljepa_model::config::VlJepaConfig::from_json(&model).unwrap();
    assert_eq!((model.frames(), model.max_query_tokens), (8, 32));
    // Their text encoder is made by the commands of the compact model's README.
    for file in ["train.toml", "train-2.toml"] {
        let config = TrainConfig::read(&here.join("../vljepa/assets/compact").join(file)).unwrap();
        assert!(config.head_fit.is_some() && config.memory.is_some_and(|memory| memory.text.is_some()), "{file}");
    }
}
