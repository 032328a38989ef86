//! Smaller WordPiece vocabularies, so that a text encoder fits into a compact model.

use serde_json::Value;

use crate::error::{ModelError, Result};

/// A WordPiece `tokenizer.json` with only the pieces that `keep(id, piece)` accepts (special tokens always stay),
/// renumbered in their old order, and the old id of each new one: the rows to take from the embedding table.
///
/// Texts whose words need a dropped piece are split into smaller pieces, or become the unknown token when a character
/// is gone.
///
/// # Errors
/// [`ModelError::Config`] when `tokenizer_json` is not a WordPiece tokenizer.
pub fn prune_wordpiece(tokenizer_json: &[u8], keep: impl Fn(u32, &str) -> bool) -> Result<(Vec<u8>, Vec<u32>)> {
    let bad = |what: String| ModelError::Config { config: "tokenizer", what };
    let mut json: Value = serde_json::from_slice(tokenizer_json).map_err(|e| bad(e.to_string()))?;
    let added: Vec<String> = json["added_tokens"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|t| t["content"].as_str().map(str::to_owned))
        .collect();
    let vocab = json["model"]["vocab"]
        .as_object()
        .filter(|_| json["model"]["type"] == "WordPiece")
        .ok_or_else(|| bad("not a WordPiece tokenizer".into()))?;
    let mut pieces: Vec<(u32, String)> = vocab
        .iter()
        .filter_map(|(piece, id)| Some((u32::try_from(id.as_u64()?).ok()?, piece.clone())))
        .filter(|(id, piece)| added.contains(piece) || keep(*id, piece))
        .collect();
    pieces.sort();
    let new_id = |piece: &str| pieces.iter().position(|(_, p)| p == piece);
    // Assigning by index panics where the file has something other than an object.
    for token in json.get_mut("added_tokens").and_then(Value::as_array_mut).into_iter().flatten() {
        let id = token["content"]
            .as_str()
            .and_then(new_id)
            .ok_or_else(|| bad("an added token is not in the vocabulary".into()))?;
        token.as_object_mut().and_then(|token| token.insert("id".into(), id.into()));
    }
    let specials = json.pointer_mut("/post_processor/special_tokens").and_then(Value::as_object_mut);
    for (piece, special) in specials.into_iter().flatten() {
        let id =
            new_id(piece).ok_or_else(|| bad(format!("the template uses {piece}, which is not in the vocabulary")))?;
        let special =
            special.as_object_mut().ok_or_else(|| bad(format!("what the template says of {piece} is no object")))?;
        special.insert("ids".into(), vec![id].into());
    }
    let vocab = pieces.iter().enumerate().map(|(new, (_, piece))| (piece.clone(), new.into())).collect();
    json["model"]["vocab"] = Value::Object(vocab);
    json["truncation"] = Value::Null;
    json["padding"] = Value::Null;
    let text = serde_json::to_vec(&json).map_err(|e| bad(e.to_string()))?;
    Ok((text, pieces.into_iter().map(|(old, _)| old).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::TextTokenizer;

    const TOKENIZER: &str = r###"{"version":"1.0","truncation":null,"padding":null,
        "added_tokens":[{"id":0,"content":"[PAD]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},
            {"id":2,"content":"[UNK]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},
            {"id":3,"content":"[CLS]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},
            {"id":4,"content":"[SEP]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],
        "normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true},
        "pre_tokenizer":{"type":"BertPreTokenizer"},
        "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"[SEP]","type_id":0}}],
            "pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],
            "special_tokens":{"[CLS]":{"id":"[CLS]","ids":[3],"tokens":["[CLS]"]},"[SEP]":{"id":"[SEP]","ids":[4],"tokens":["[SEP]"]}}},
        "decoder":null,
        "model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,
            "vocab":{"[PAD]":0,"[unused0]":1,"[UNK]":2,"[CLS]":3,"[SEP]":4,"cat":5,"c":6,"##a":7,"##t":8,"é":9}}}"###;

    #[test]
    fn kept_pieces_are_renumbered_and_dropped_words_split() {
        let (json, rows) =
            prune_wordpiece(TOKENIZER.as_bytes(), |_, p| p.is_ascii() && p != "cat" && !p.starts_with("[un")).unwrap();
        assert_eq!(rows, [0, 2, 3, 4, 6, 7, 8]);
        let tokenizer = TextTokenizer::from_json(&json, 16).unwrap();
        assert_eq!(tokenizer.encode("Cat").unwrap().ids, [2, 4, 5, 6, 3]);
        assert_eq!(tokenizer.encode("dog").unwrap().ids, [2, 1, 3]);
        let whole = TextTokenizer::from_json(TOKENIZER.as_bytes(), 16).unwrap();
        assert_eq!(whole.encode("cat").unwrap().ids, [3, 5, 4]);
    }

    #[test]
    fn a_template_of_another_form_is_no_panic() {
        for (from, to) in [
            (
                r#""special_tokens":{"[CLS]":{"id":"[CLS]","ids":[3],"tokens":["[CLS]"]}"#,
                r#""special_tokens":{"[CLS]":7"#,
            ),
            (r#""post_processor":{"#, r#""post_processor":7,"other":{"#),
            (r#""post_processor":{"#, r#""post_processor":[7],"other":{"#),
        ] {
            let text = TOKENIZER.replace(from, to);
            assert_ne!(text, TOKENIZER);
            let pruned = prune_wordpiece(text.as_bytes(), |_, _| true);
            assert_eq!(pruned.is_err(), to.contains("CLS"), "{pruned:?}");
        }
    }

    #[test]
    fn other_tokenizers_are_refused() {
        for text in ["", "{}", r#"{"model":{"type":"BPE","vocab":{}}}"#] {
            assert!(matches!(prune_wordpiece(text.as_bytes(), |_, _| true), Err(ModelError::Config { .. })));
        }
    }
}
