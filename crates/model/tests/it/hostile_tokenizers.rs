//! Files of tokenizers that make the library panic, and those that make texts grow without end.

use serde_json::{Value, json};
use vljepa_model::{ModelError, SpecialTokens, TextTokenizer};

use crate::fixtures;

/// A small WordPiece tokenizer of BERT's form, with some parts of it replaced.
fn file(parts: Value) -> Vec<u8> {
    let mut json: Value = serde_json::from_slice(&fixtures::bytes("hostile/tok_template.json")).unwrap();
    json["post_processor"]["special_tokens"]["[SEP]"] = json!({"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]});
    for (key, part) in parts.as_object().unwrap() {
        json[key] = part.clone();
    }
    serde_json::to_vec(&json).unwrap()
}

fn read(file: &[u8]) -> Result<TextTokenizer, ModelError> {
    TextTokenizer::from_json(file, 512)
}

/// The fault of a file, in reading it or in splitting `text`.
#[track_caller]
fn fault(file: &[u8], text: &str) -> String {
    let fault = read(file).and_then(|tokenizer| tokenizer.encode(text)).unwrap_err();
    assert!(matches!(fault, ModelError::Config { config: "tokenizer", .. }), "{fault:?}");
    let line = fault.to_string();
    assert!(!line.contains(['\n', '\r']) && line.len() < 400, "{line}");
    line
}

fn replace(what: &str, by: &str) -> Value {
    json!({"type": "Replace", "pattern": {"String": what}, "content": by})
}

fn sequence(part: &str, steps: Vec<Value>) -> Value {
    json!({"type": "Sequence", part: steps})
}

#[test]
fn panics_of_the_library_are_faults_of_the_file() {
    for name in ["tok_bpe", "tok_decoder", "tok_precompiled", "tok_template"] {
        let json = fixtures::bytes(&format!("hostile/{name}.json"));
        for special in [SpecialTokens::Template, SpecialTokens::None] {
            let tokenizer = TextTokenizer::with_special_tokens(&json, 16, special);
            for text in ["", "a", "a word", "abc ab\u{301}", "\u{0}"] {
                // It may be right for some texts; what matters is that it returns.
                let Err(fault) = tokenizer.as_ref().map_err(Clone::clone).and_then(|t| t.encode(text)) else {
                    continue;
                };
                let line = fault.to_string();
                assert!(matches!(fault, ModelError::Config { .. }), "{name}: {fault:?}");
                assert!(!line.contains("internal error") && !line.contains(".rs:"), "{name}: {line}");
            }
        }
    }
    for (name, word) in [
        ("tok_decoder", "control character"),
        ("tok_precompiled", "cannot be split"),
        ("tok_template", "cannot be split"),
    ] {
        let line = fault(&fixtures::bytes(&format!("hostile/{name}.json")), "a word");
        assert!(line.contains(word), "{name}: {line}");
    }
    // The tokenizer goes on after a text at which the library panics.
    let tokenizer = read(&fixtures::bytes("hostile/tok_precompiled.json")).unwrap();
    assert!(tokenizer.encode("a").is_err() && tokenizer.encode("").is_ok() && tokenizer.encode("a").is_err());
}

#[test]
fn a_text_that_a_file_makes_grow_is_refused_before_it_grows() {
    let doubling = |part: &str, steps: usize| sequence(part, vec![replace("a", "aa"); steps]);
    let (most, text) = ("a".repeat(2000), "a".repeat(5000));
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    for (parts, text, word) in [
        (json!({"normalizer": replace("a", &most)}), &*text, "its normaliser makes more than 4194304 bytes"),
        (
            json!({"normalizer": {"type": "Replace", "pattern": {"Regex": ""}, "content": most}}),
            &text,
            "its normaliser",
        ),
        (json!({"normalizer": replace("a", &"a".repeat(1_000_000))}), "b", "more than 2048 bytes"),
        (json!({"normalizer": {"type": "Prepend", "prepend": "a".repeat(5_000_000)}}), "b", "more than 2048 bytes"),
        (json!({"normalizer": doubling("normalizers", 40)}), "a", "its normaliser"),
        (json!({"normalizer": sequence("normalizers", vec![doubling("normalizers", 20); 3])}), "a", "its normaliser"),
        (json!({"normalizer": doubling("normalizers", 65)}), "b", "`normalizer` has 65 steps"),
        (
            json!({"normalizer": {"type": "Prepend", "prepend": most}}),
            // Every special token begins a piece of text, before which it stands once more.
            &"b[SEP]".repeat(3000),
            "its normaliser",
        ),
        (json!({"pre_tokenizer": sequence("pretokenizers", vec![bytes.clone(); 40])}), "ß", "its pre-tokenizer"),
        (json!({"pre_tokenizer": sequence("pretokenizers", vec![bytes; 65])}), "b", "`pre_tokenizer` has 65 steps"),
    ] {
        let line = fault(&file(parts), text);
        assert!(line.contains(word), "{line}");
    }
    // The library normalises the tokens of the file itself, as it reads them.
    let token = json!({"id": 0, "content": "aaaaaaaa", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": true, "special": false});
    let line = fault(&file(json!({"normalizer": doubling("normalizers", 40), "added_tokens": [token]})), "b");
    assert!(line.contains("its normaliser") && !line.contains("cannot be split"), "{line}");
    // The same steps where nothing grows.
    let mild = sequence("normalizers", vec![replace("a", "b"), json!({"type": "Prepend", "prepend": "c"})]);
    assert_eq!(read(&file(json!({"normalizer": mild}))).unwrap().encode("aa").unwrap().ids, [2, 8, 7, 7, 3]);
}

#[test]
fn a_template_that_repeats_the_text_is_refused() {
    let piece = |kind: &str, id: &str| json!({kind: {"id": id, "type_id": 0}});
    let template = |single: Vec<Value>| {
        json!({"type": "TemplateProcessing", "single": single, "pair": [piece("Sequence", "A"), piece("Sequence", "B")],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}}})
    };
    let twice = template(vec![piece("Sequence", "A"), piece("Sequence", "A")]);
    let many = sequence("processors", vec![template(vec![piece("Sequence", "A")]); 65]);
    let pieces = template(vec![piece("SpecialToken", "[CLS]"); 257]);
    for (processor, word) in [
        (twice.clone(), "the template repeats the text"),
        (sequence("processors", vec![twice; 40]), "the template repeats the text"),
        (many, "`post_processor` has 65 steps"),
        (pieces, "the template has 257 pieces"),
    ] {
        let line = fault(&file(json!({"post_processor": processor})), "a");
        assert!(line.contains(word), "{line}");
    }
}

#[test]
fn files_that_would_fill_the_memory_are_not_read() {
    // Memory is reserved for a table as large as it says it is.
    for table in ["/////wAAAAA=", "AAAA", ""] {
        let normalizer = json!({"type": "Precompiled", "precompiled_charsmap": table});
        let nested = sequence("normalizers", vec![normalizer.clone()]);
        for normalizer in [normalizer, nested] {
            let line = fault(&file(json!({"normalizer": normalizer})), "a");
            assert!(line.contains("shorter than it says"), "{line}");
        }
    }
    let list = format!("[{}0]", "0,".repeat(3_000_001));
    let line = fault(list.as_bytes(), "a");
    assert!(line.contains("more than 3000000 values"), "{line}");
    // The library keeps a vocabulary in a tree as deep as its longest token, and walks it recursively.
    let vocab = json!([["<unk>", 0.0], ["a".repeat(1_000_000), -1.0]]);
    let line = fault(&file(json!({"model": {"type": "Unigram", "unk_id": 0, "vocab": vocab}})), "a");
    assert!(line.contains("a text in it has more than 2048 bytes"), "{line}");
    let line = fault(&vec![b' '; (128 << 20) + 1], "a");
    assert!(line.contains("at most 134217728 are read"), "{line}");
}

#[test]
fn long_texts_and_long_words_come_to_an_end() {
    let tokenizer = read(&file(json!({}))).unwrap();
    let limit = 1 << 20;
    // A word that is longer than a word may be is one unknown token; of a text of that length all is looked at.
    assert_eq!(tokenizer.encode(&"a".repeat(limit)).unwrap().ids, [2, 1, 3]);
    let words = tokenizer.encode(&"ab ".repeat(limit / 3)).unwrap();
    assert_eq!((words.tokens, words.ids.len()), (2 * (limit / 3) + 2, 512));
    let line = tokenizer.encode(&"a".repeat(limit + 1)).unwrap_err().to_string();
    assert!(line.contains("\"aaaa") && line.contains("it has 1048577 bytes, at most 1048576 are taken"), "{line}");

    // A word that the file wants taken apart whatever its length: time grows with the square of it.
    let mut json: Value = serde_json::from_slice(&file(json!({}))).unwrap();
    json["model"]["max_input_chars_per_word"] = json!(1_000_000_000);
    let tokenizer = read(&serde_json::to_vec(&json).unwrap()).unwrap();
    assert_eq!(tokenizer.encode(&"a".repeat(256)).unwrap().tokens, 258);
    let line = tokenizer.encode(&format!("b {}", "a".repeat(1_000_000))).unwrap_err().to_string();
    assert!(line.contains("a word of 1000000 characters, at most 256 are taken apart"), "{line}");
}

#[test]
fn the_steps_give_what_the_library_gives() {
    let texts =
        ["", " ", "A word, a [SEP] word!", "cafe\u{301} CAFÉ", "東京 x", "  a  b  ", "zz\u{0}z", "ﷺ ﬁ", "x y [CLS]z"];
    let bert = file(json!({}));
    let replaced = file(json!({"normalizer": sequence("normalizers", vec![
        json!({"type": "NFKC"}), replace(" ", "b"), json!({"type": "Lowercase"}), json!({"type": "Strip", "strip_left": true, "strip_right": true})])}));
    let regex = file(json!({"normalizer": {"type": "Replace", "pattern": {"Regex": "[xyz]+"}, "content": "ab"},
        "pre_tokenizer": sequence("pretokenizers", vec![json!({"type": "Whitespace"}), json!({"type": "Punctuation"})])}));
    for json in [bert, replaced, regex] {
        let library = tokenizers::Tokenizer::from_bytes(&json).unwrap();
        for text in texts {
            let want = library.encode(text, true).unwrap().get_ids().to_vec();
            assert_eq!(read(&json).unwrap().encode(text).unwrap().ids, want, "{text:?}");
        }
    }
}
