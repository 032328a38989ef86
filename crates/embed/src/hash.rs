//! SHA-256 fingerprints of models and inputs.

use sha2::{Digest, Sha256};

/// SHA-256 of several parts, each preceded by its length in 8 bytes. Hexadecimal.
pub fn hash_of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(hash_of([&b"ab"[..], b"c"]), hash_of([&b"a"[..], b"bc"]));
        assert_eq!(hex(&[0, 10, 255]), "000aff");
        // SHA-256 of nothing (FIPS 180-4).
        assert!(hash_of([]).starts_with("e3b0c44298fc1c14"));
    }
}
