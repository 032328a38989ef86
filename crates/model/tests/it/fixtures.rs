//! Reading the parity fixtures (`tests/fixtures/README.md`).

use std::path::PathBuf;

/// Bytes of a fixture file.
pub fn bytes(path: &str) -> Vec<u8> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", path].iter().collect();
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Text of a fixture file.
pub fn text(path: &str) -> String {
    String::from_utf8(bytes(path)).unwrap()
}

/// Where `cargo xtask data` puts what it fetches.
pub fn cache() -> PathBuf {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    var("VLJEPA_CACHE").unwrap_or_else(|| {
        let home = var("HOME").unwrap_or_default();
        let base = if cfg!(windows) {
            var("LOCALAPPDATA").unwrap_or_default()
        } else if cfg!(target_os = "macos") {
            home.join("Library/Caches")
        } else {
            var("XDG_CACHE_HOME").filter(|dir| dir.is_absolute()).unwrap_or_else(|| home.join(".cache"))
        };
        base.join("vljepa")
    })
}
