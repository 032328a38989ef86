//! SHA-256 fingerprints of models and inputs.

use std::io::Read;

use sha2::{Digest, Sha256};

/// SHA-256 of several parts, each preceded by its length in 8 bytes. Hexadecimal.
pub fn hash_of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Hash::default();
    parts.into_iter().for_each(|part| hash.part(part));
    hash.finish()
}

/// [`hash_of`], part by part.
#[derive(Default)]
pub(crate) struct Hash(Sha256);

impl Hash {
    pub fn part(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    /// The next `length` bytes of `source` as one part; little of it is in memory at a time.
    pub fn part_from(&mut self, length: u64, source: &mut impl Read) -> std::io::Result<()> {
        self.0.update(length.to_le_bytes());
        let mut buffer = vec![0; length.min(1 << 20) as usize];
        let mut left = length;
        while left > 0 {
            let some = &mut buffer[..left.min(1 << 20) as usize];
            source.read_exact(some)?;
            self.0.update(&*some);
            left -= some.len() as u64;
        }
        Ok(())
    }

    pub fn finish(self) -> String {
        hex(&self.0.finalize())
    }
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
        let long = vec![7; (2 << 20) + 3];
        let mut hash = Hash::default();
        hash.part(b"a");
        hash.part_from(long.len() as u64, &mut &long[..]).unwrap();
        assert_eq!(hash.finish(), hash_of([&b"a"[..], &long]));
        // SHA-256 of nothing (FIPS 180-4).
        assert!(hash_of([]).starts_with("e3b0c44298fc1c14"));
    }
}
