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
