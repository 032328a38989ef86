//! JSON into values, with faults in words for people: the key, what is there, what is expected.

use serde::Deserializer;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Parses a text; the fault has the key, line and column.
pub(crate) fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = keyed(&mut json)?;
    json.end().map_err(|e| json_fault(&e.to_string()))?;
    Ok(value)
}

/// Reads JSON that is parsed already; the fault has the key.
pub(crate) fn from_value<T: DeserializeOwned>(json: &Value) -> Result<T, String> {
    keyed(json)
}

fn keyed<'de, T: DeserializeOwned>(json: impl Deserializer<'de, Error = serde_json::Error>) -> Result<T, String> {
    serde_path_to_error::deserialize(json).map_err(|e| {
        let (key, fault) = (e.path().to_string(), json_fault(&e.inner().to_string()));
        let quoted = format!("`{key}`");
        // Of JSON that breaks off, the key where it does says nothing.
        match key == "." || !e.inner().is_data() || fault.contains(&quoted) {
            true => fault,
            false => format!("{quoted}: {fault}"),
        }
    })
}

/// A message of serde without the names of Rust's types, in one line.
pub fn json_fault(message: &str) -> String {
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let (what, place) = match message.rfind(" at line ") {
        Some(at) => message.split_at(at),
        None => (message.as_str(), ""),
    };
    format!("{}{place}", fault(what))
}

fn fault(what: &str) -> String {
    let mismatch = ["invalid type: ", "invalid value: "].iter().find_map(|start| what.strip_prefix(start));
    if let Some((found, wanted)) = mismatch.and_then(|rest| rest.rsplit_once(", expected ")) {
        return format!("{}, where {} is expected", found_words(found), expected_words(wanted));
    }
    if let Some((count, wanted)) = what.strip_prefix("invalid length ").and_then(|rest| rest.split_once(", expected "))
    {
        return format!("{count} values, where {} is expected", expected_words(wanted));
    }
    let named = |start: &str| what.strip_prefix(start).and_then(|rest| rest.strip_prefix(' '));
    if let Some(name) = named("missing field") {
        return format!("{name} is missing");
    }
    if let Some(name) = named("duplicate field") {
        return format!("{name} occurs twice");
    }
    if let Some(rest) = named("unknown field") {
        return match rest.split_once(", expected ") {
            Some((name, known)) => format!("the key {name} is unknown, expected {known}"),
            None => format!("the key {} is unknown", rest.trim_end_matches(", there are no fields")),
        };
    }
    if what.starts_with("data did not match any variant of untagged enum") {
        return "a value of none of the forms that are known".into();
    }
    what.replace("expected struct", "expected an object")
}

/// serde's words for a value that it found.
fn found_words(found: &str) -> String {
    for (of_serde, of_people) in [
        ("string ", "the text "),
        ("integer ", "the number "),
        ("floating point ", "the number "),
        ("boolean ", "the truth value "),
        ("character ", "the text "),
    ] {
        if let Some(value) = found.strip_prefix(of_serde) {
            return format!("{of_people}{}", value.trim_matches('`'));
        }
    }
    match found {
        "map" => "an object".into(),
        "sequence" => "a list".into(),
        "null" | "unit value" | "Option value" => "nothing".into(),
        other => other.into(),
    }
}

/// serde's words for what it expected.
fn expected_words(wanted: &str) -> String {
    let last = wanted.rsplit(' ').next().unwrap_or_default();
    match wanted {
        "usize" | "u64" => "a whole number of at least 0".into(),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "u16" => format!("a whole number from 0 to {}", u16::MAX),
        "u8" => format!("a whole number from 0 to {}", u8::MAX),
        "isize" | "i64" | "i32" | "i16" | "i8" => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        "a boolean" => "true or false".into(),
        "a string" | "string" | "a borrowed string" => "a text".into(),
        "a sequence" => "a list".into(),
        "a map" => "an object".into(),
        "unit" => "nothing".into(),
        "option" => "a value or nothing".into(),
        _ if wanted.starts_with("an array of length ") || wanted.starts_with("a tuple of size ") => {
            format!("a list of {last}")
        }
        _ if wanted.starts_with("struct ") || wanted.starts_with("internally tagged enum ") => "an object".into(),
        _ if wanted.starts_with("enum ") || wanted.starts_with("variant ") => "the name of a choice".into(),
        _ if wanted.starts_with("tuple struct ") => "a list".into(),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Part {
        size: usize,
        #[serde(default)]
        share: f64,
        #[serde(default)]
        parts: Vec<Part>,
        #[serde(default)]
        names: BTreeMap<String, String>,
        #[serde(default)]
        mean: Option<[f32; 3]>,
        #[serde(default)]
        on: bool,
    }

    #[test]
    fn faults_name_the_key_and_no_type_of_rust() {
        for (json, want) in [
            (r#"{"size": "x"}"#, r#"`size`: the text "x", where a whole number of at least 0 is expected"#),
            (r#"{"size": -4}"#, "`size`: the number -4, where a whole number of at least 0 is expected"),
            (r#"{"size": 1.5}"#, "`size`: the number 1.5, where a whole number of at least 0 is expected"),
            (r#"{"size": null}"#, "`size`: nothing, where a whole number of at least 0 is expected"),
            (r#"{"size": 1, "share": []}"#, "`share`: a list, where a number is expected"),
            (r#"{"size": 1, "parts": [{"size": true}]}"#, "`parts[0].size`: the truth value true, where"),
            (r#"{"size": 1, "names": {"a": 1}}"#, "`names.a`: the number 1, where a text is expected"),
            (r#"{"size": 1, "mean": [1, 2]}"#, "2 values, where a list of 3 is expected"),
            (r#"{"size": 1, "on": 1}"#, "`on`: the number 1, where true or false is expected"),
            (r#"{"size": 1, "siz": 1}"#, "the key `siz` is unknown, expected one of `size`, `share`"),
            (r#"{"share": 1}"#, "`size` is missing"),
            (r#"{"size": 1, "size": 1}"#, "`size` occurs twice"),
            ("7", "the number 7, where an object is expected"),
            (r#"{"size": 1"#, "EOF while parsing an object"),
        ] {
            let fault = from_str::<Part>(json).unwrap_err();
            assert!(fault.contains(want) && fault.contains(" at line 1 column "), "{json}: {fault}");
            let Ok(value) = serde_json::from_str::<Value>(json) else { continue };
            let Err(of_value) = from_value::<Part>(&value) else { continue };
            assert!(of_value.contains(want) && !of_value.contains(" at line "), "{json}: {of_value}");
        }
        assert_eq!(from_str::<Part>(r#"{"size": 7}"#).unwrap().size, 7);
        assert!(from_str::<Part>(r#"{"size": 7} x"#).unwrap_err().contains("trailing characters at line 1 column"));
    }
}
