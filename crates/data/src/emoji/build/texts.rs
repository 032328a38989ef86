//! The concepts and their texts: what to train on, and what is held out.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::join::{base_key, join_key, split_of};
use super::packages::{self, Packages};
use crate::DataError;
use crate::emoji::manifest::Concept;

fn text(value: &Value, field: &str) -> Option<String> {
    value.get(field)?.as_str().map(tidy)
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(tidy).collect()
}

/// Underscores to spaces, white space collapsed.
fn tidy(text: &str) -> String {
    text.replace('_', " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The form in which two wordings count as the same string: case, white space, `_`, `-` and quotation marks do not matter.
pub fn normal_form(text: &str) -> String {
    let plain = text.to_lowercase().replace(['_', '-'], " ").replace(['’', '\'', '“', '”', '"'], "");
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn key_of(characters: &str) -> String {
    let hex: Vec<String> = characters.chars().map(|c| format!("{:x}", u32::from(c))).collect();
    join_key(&hex.join("-"))
}

fn characters_of(hex: &str) -> String {
    hex.split('-').filter_map(|part| u32::from_str_radix(part, 16).ok()).filter_map(char::from_u32).collect()
}

fn push_new(list: &mut Vec<String>, taken: &mut HashSet<String>, text: String) {
    if !text.is_empty() && taken.insert(normal_form(&text)) {
        list.push(text);
    }
}

/// All base concepts, in the order of their keys.
pub(super) fn concepts(packages: &Packages) -> Result<Vec<Concept>, DataError> {
    let datasource = packages.json(&packages::DATASOURCE_GOOGLE, "emoji.json")?;
    let emojibase = packages.json(&packages::EMOJIBASE, "en/data.json")?;
    let unicode = packages.json(&packages::UNICODE, "data-by-emoji.json")?;
    let by_hex: HashMap<String, &Value> = emojibase
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|entry| Some((join_key(entry.get("hexcode")?.as_str()?), entry)))
        .collect();
    let unicode: HashMap<String, &Value> =
        unicode.as_object().into_iter().flatten().map(|(emoji, entry)| (key_of(emoji), entry)).collect();
    let mut found = BTreeMap::new();
    for entry in datasource.as_array().into_iter().flatten() {
        let Some(hex) = text(entry, "unified") else {
            continue;
        };
        let key = join_key(&hex);
        let base = by_hex.get(&key);
        let standard = unicode.get(&key).and_then(|entry| text(entry, "name"));
        let label = base
            .and_then(|entry| text(entry, "label"))
            .or_else(|| standard.clone())
            .or_else(|| text(entry, "name").map(|name| name.to_lowercase()))
            .unwrap_or_default();
        let mut taken = HashSet::from([normal_form(&label)]);
        let (mut names, mut tags) = (Vec::new(), Vec::new());
        if let Some(name) = standard {
            push_new(&mut names, &mut taken, name);
        }
        for tag in texts(base.and_then(|entry| entry.get("tags"))) {
            push_new(&mut tags, &mut taken, tag);
        }
        let concept = Concept {
            base: base_key(&key),
            emoji: characters_of(&hex),
            group: text(entry, "category").unwrap_or_default(),
            split: split_of(&key),
            heldout: Vec::new(),
            key,
            label,
            names,
            tags,
        };
        found.insert(concept.key.clone(), concept);
    }
    let mut concepts: Vec<Concept> = found.into_values().collect();
    hold_out(packages, &mut concepts)?;
    Ok(concepts)
}

/// Fills `heldout` from the two sets that training never reads.
fn hold_out(packages: &Packages, concepts: &mut [Concept]) -> Result<(), DataError> {
    // A string that is a training text of any concept is left out, also where that concept is in another split.
    let trained: HashSet<String> = concepts
        .iter()
        .flat_map(|c| std::iter::once(&c.label).chain(&c.names).chain(&c.tags))
        .map(|text| normal_form(text))
        .collect();
    let mut wordings: HashMap<String, Vec<String>> = HashMap::new();
    let emojilib = packages.json(&packages::EMOJILIB, "dist/emoji-en-US.json")?;
    for (emoji, keywords) in emojilib.as_object().into_iter().flatten() {
        wordings.entry(key_of(emoji)).or_default().extend(texts(Some(keywords)));
    }
    let mart = packages.json(&packages::EMOJI_MART, "sets/15/native.json")?;
    for entry in mart.get("emojis").and_then(Value::as_object).into_iter().flat_map(|map| map.values()) {
        let Some(hex) = entry.pointer("/skins/0/unified").and_then(Value::as_str) else {
            continue;
        };
        let list = wordings.entry(join_key(hex)).or_default();
        list.extend(text(entry, "name"));
        list.extend(texts(entry.get("keywords")));
    }
    for concept in concepts {
        let mut taken = HashSet::new();
        for wording in wordings.remove(&concept.key).unwrap_or_default() {
            if is_wording(&wording) && !trained.contains(&normal_form(&wording)) {
                push_new(&mut concept.heldout, &mut taken, wording.to_lowercase());
            }
        }
    }
    Ok(())
}

/// Neither an emoticon such as ":D" nor a lone function word, which keyword lists split out of names.
fn is_wording(text: &str) -> bool {
    const FUNCTION: [&str; 14] =
        ["a", "an", "and", "at", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with"];
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    letters >= 2 && !FUNCTION.contains(&normal_form(text).as_str())
}

/// Orders each concept's held-out wordings: those of few concepts first, then those of several words, then as found.
pub(super) fn sort_heldout(concepts: &mut [Concept]) {
    let mut shared: HashMap<String, usize> = HashMap::new();
    for wording in concepts.iter().flat_map(|c| &c.heldout) {
        *shared.entry(normal_form(wording)).or_default() += 1;
    }
    for concept in concepts {
        concept.heldout.sort_by_key(|wording| {
            let count = shared.get(&normal_form(wording)).copied().unwrap_or(0);
            (count, !wording.contains(' '))
        });
    }
}
