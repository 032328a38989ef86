//! Which names and code points mean the same concept, and which split it falls into.

use std::collections::HashMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::packages::{self, Packages};
use crate::DataError;
use crate::emoji::manifest::{Concept, Split};

/// The join key of all sets: lower-case hex code points with `-` between, `fe0f` dropped.
pub fn join_key(hex: &str) -> String {
    let hex = hex.to_lowercase();
    let parts: Vec<&str> = hex.split(['-', '_', ' ']).filter(|part| !part.is_empty() && *part != "fe0f").collect();
    parts.join("-")
}

/// The key of what `key` is a variant of: skin tone, gender and direction dropped, professions and groups of people
/// reduced to one member, so that a concept and its variants fall into one split.
pub fn base_key(key: &str) -> String {
    const PEOPLE: [&str; 6] = ["1f466", "1f467", "1f468", "1f469", "1f9d1", "1f9d2"];
    let is_tone = |part: &str| matches!(part, "1f3fb" | "1f3fc" | "1f3fd" | "1f3fe" | "1f3ff");
    let all: Vec<&str> = key.split('-').collect();
    let mut parts: Vec<&str> = all.iter().copied().filter(|part| !is_tone(part)).collect();
    if parts.is_empty() {
        return key.to_owned();
    }
    while let [.., "200d", "2640" | "2642" | "27a1"] = parts.as_slice() {
        parts.truncate(parts.len() - 2);
    }
    match parts.as_slice() {
        ["1f46c" | "1f46d"] => return "1f46b".to_owned(),
        [first, "200d", ..] if PEOPLE.contains(first) => {
            let has = |part: &str| parts.contains(&part);
            if has("1f48b") {
                return "1f48f".to_owned();
            }
            if has("2764") {
                return "1f491".to_owned();
            }
            if parts.iter().all(|part| *part == "200d" || PEOPLE.contains(part)) {
                return "1f46a".to_owned();
            }
            if has("1f91d") {
                return "1f46b".to_owned();
            }
            if matches!(*first, "1f468" | "1f469") {
                parts[0] = "1f9d1";
            }
        }
        _ => {}
    }
    parts.join("-")
}

/// The first eight bytes of the SHA-256 of the key's text, as a big-endian number.
pub fn hash64(key: &str) -> u64 {
    Sha256::digest(key.as_bytes()).iter().take(8).fold(0, |n, byte| n << 8 | u64::from(*byte))
}

/// The split of a concept: `hash64(base) mod 10` of 0 to 6 is train, 7 validation, 8 and 9 unseen.
pub fn split_of(key: &str) -> Split {
    match hash64(&base_key(key)) % 10 {
        0..=6 => Split::Train,
        7 => Split::Val,
        _ => Split::Unseen,
    }
}

/// A name as an icon set spells it: lower case, words joined by `-`.
pub(super) fn slug(name: &str) -> String {
    let mut out = String::new();
    for part in name
        .to_lowercase()
        .replace(['\'', '’', '“', '”'], "")
        .replace('!', " exclamation ")
        .split(|c: char| !c.is_alphanumeric())
    {
        if !part.is_empty() {
            if !out.is_empty() {
                out.push('-');
            }
            out += part;
        }
    }
    out
}

/// Finds the concept of an icon that is known by name only.
pub(super) struct Joiner {
    by_key: HashMap<String, u32>,
    by_slug: HashMap<String, u32>,
}

impl Joiner {
    pub fn new(packages: &Packages, concepts: &[Concept]) -> Result<Self, DataError> {
        let by_key: HashMap<String, u32> = (0u32..).zip(concepts).map(|(i, c)| (c.key.clone(), i)).collect();
        let mut by_slug = HashMap::new();
        for (index, concept) in (0u32..).zip(concepts) {
            for name in std::iter::once(&concept.label).chain(&concept.names) {
                by_slug.entry(slug(name)).or_insert(index);
            }
        }
        // The names and aliases of icon sets that state their code points cover older spellings.
        for package in [packages::TWEMOJI, packages::NOTO, packages::FLUENT_FLAT] {
            let chars = packages.json(&package, "chars.json")?;
            let set = packages.json(&package, "icons.json")?;
            for (hex, name) in chars.as_object().into_iter().flatten() {
                if let (Some(index), Some(name)) = (by_key.get(&join_key(hex)), name.as_str()) {
                    by_slug.entry(name.to_owned()).or_insert(*index);
                }
            }
            for (name, alias) in set.get("aliases").and_then(Value::as_object).into_iter().flatten() {
                let turned = ["hFlip", "vFlip", "rotate"].iter().any(|field| alias.get(field).is_some());
                let parent = alias.get("parent").and_then(Value::as_str).and_then(|parent| by_slug.get(parent));
                if let (Some(index), false) = (parent.copied(), turned) {
                    by_slug.entry(name.clone()).or_insert(index);
                }
            }
        }
        Ok(Self { by_key, by_slug })
    }

    /// The concept of a join key.
    pub fn key(&self, key: &str) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    /// The concept of an icon's name.
    pub fn slug(&self, slug: &str) -> Option<u32> {
        self.by_slug.get(slug).copied()
    }
}
