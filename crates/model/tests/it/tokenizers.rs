//! The real tokenizers of Llama 3, Gemma 3 and Qwen 3, which `cargo xtask data` fetches, and MiniLM's.

use vljepa_model::config::{LlamaConfig, VlJepaConfig, YEncoderConfig, YEncoderKind};
use vljepa_model::{ModelError, SpecialTokens, TextTokenizer};

use crate::fixtures;

/// A file that `cargo xtask data --only {set}` fetches.
fn fetched(set: &str, file: &str) -> Vec<u8> {
    let path = fixtures::cache().join(set).join(file);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}; run `cargo xtask data --only {set}`", path.display()))
}

fn tokenizer(name: &str, max_tokens: usize, special: SpecialTokens) -> TextTokenizer {
    TextTokenizer::with_special_tokens(&fetched("tokenizers", &format!("{name}.json")), max_tokens, special).unwrap()
}

fn target(y_encoder: &str) -> YEncoderConfig {
    serde_json::from_str(y_encoder).unwrap()
}

fn assert_ids(name: &str, tokenizer: &TextTokenizer) {
    let all: serde_json::Value = serde_json::from_str(&fixtures::text("text_tokenizers.json")).unwrap();
    let cases = all[name].as_array().unwrap();
    assert!(cases.len() > 20);
    for case in cases {
        let text = case["text"].as_str().unwrap();
        let want: Vec<u32> = case["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
        assert_eq!(tokenizer.encode(text).unwrap().ids, want, "{name}: {text:?}");
    }
}

#[test]
fn llama3_ids_equal_the_reference() {
    let plain = tokenizer("llama3_1", 512, SpecialTokens::None);
    assert_ids("llama3_1", &plain);
    assert_eq!(plain.vocab_size(), 128_256);
    let config: serde_json::Value = serde_json::from_str(&fixtures::text("vljepa/config.json")).unwrap();
    let queries = |bos: bool, max: usize| {
        let mut config = config.clone();
        config["predictor"]["config"]["vocab_size"] = 128_256.into();
        config["predictor"]["query_bos"] = bos.into();
        config["max_query_tokens"] = max.into();
        let config = VlJepaConfig::from_json(&config.to_string()).unwrap();
        TextTokenizer::for_queries(&fetched("tokenizers", "llama3_1.json"), &config).unwrap()
    };
    let golden = [128_000, 3923, 374, 279, 1732, 3815, 30];
    assert_eq!(queries(true, 512).encode("What is the person doing?").unwrap().ids, golden);
    assert_eq!(queries(false, 512).encode("What is the person doing?").unwrap().ids, golden[1..]);
    assert_eq!(queries(true, 3).encode("What is the person doing?").unwrap().ids, golden[..3]);
    // The file's own template says the same.
    let template = tokenizer("llama3_1", 512, SpecialTokens::Template);
    assert_eq!(template.encode("What is the person doing?").unwrap().ids, golden);
}

#[test]
fn gemma3_ids_equal_the_reference_and_are_framed_for_the_embedder() {
    let plain =
        TextTokenizer::with_special_tokens(&fetched("tokenizers", "gemma3.json"), 512, SpecialTokens::None).unwrap();
    assert_ids("gemma3", &plain);
    drop(plain);
    let config = target(r#"{"kind": "gemma3", "config": {"vocab_size": 262144}, "max_target_tokens": 16}"#);
    let tokenizer = TextTokenizer::for_targets(&fetched("tokenizers", "gemma3.json"), &config).unwrap();
    let golden = [2, 8071, 236787, 13315, 25411, 1109, 7609, 236787, 562, 1589, 33132, 614, 8727, 236761, 1];
    let sentence = "task: sentence similarity | query: A person cracks an egg.";
    assert_eq!(tokenizer.encode(sentence).unwrap().ids, golden);
    assert_eq!(tokenizer.encode("").unwrap().ids, [2, 1]);
    // Cut to sixteen: the closing token stays.
    let long = tokenizer.encode(&format!("{sentence} {sentence}")).unwrap().ids;
    assert_eq!((long.len(), &long[..14], long[15]), (16, &golden[..14], 1));
    // The image token has an id and no row.
    let error = tokenizer.encode("a <image_soft_token> of a cat").unwrap_err();
    assert!(matches!(error, ModelError::Token { id: 262_144, rows: 262_144, .. }), "{error:?}");
    let line = error.to_string();
    assert!(line.contains("`<image_soft_token>` (id 262144)") && !line.contains('\n'), "{line}");
}

#[test]
fn qwen3_ids_equal_the_reference_and_end_with_the_pooled_token() {
    let plain = tokenizer("qwen3", 512, SpecialTokens::None);
    assert_ids("qwen3", &plain);
    let config = target(r#"{"kind": "qwen3", "config": {"vocab_size": 151669}, "max_target_tokens": 5}"#);
    let tokenizer = TextTokenizer::for_targets(&fetched("tokenizers", "qwen3.json"), &config).unwrap();
    let golden = [32, 1697, 44863, 458, 18636, 13];
    assert_eq!(plain.encode("A person cracks an egg.").unwrap().ids, golden);
    assert_eq!(tokenizer.encode("A person").unwrap().ids, [32, 1697, 151_643]);
    assert_eq!(tokenizer.encode("A person cracks an egg.").unwrap().ids, [32, 1697, 44863, 458, 151_643]);
    assert_eq!(tokenizer.encode("").unwrap().ids, [151_643]);
}

#[test]
fn minilm_is_framed_and_cut_by_its_template() {
    let config = target(r#"{"kind": "bert", "config": {}, "max_target_tokens": 6}"#);
    let json = fetched("minilm", "tokenizer.json");
    let tokenizer = TextTokenizer::for_targets(&json, &config).unwrap();
    assert_eq!(tokenizer.encode("A person cracks an egg.").unwrap().ids, [101, 1037, 2711, 15288, 2019, 102]);
    let whole = TextTokenizer::from_json(&json, 512).unwrap();
    let golden = [101, 1037, 2711, 15288, 2019, 8288, 1012, 102];
    assert_eq!(whole.encode("A person cracks an egg.").unwrap().ids, golden);
    // A table with fewer rows than the file has pieces.
    let small = target(r#"{"kind": "bert", "config": {"vocab_size": 15288}}"#);
    let line = TextTokenizer::for_targets(&json, &small).unwrap().encode("cracks").unwrap_err().to_string();
    assert!(line.contains("`cracks` (id 15288)") && line.contains("vocabulary of 15288"), "{line}");
    for max in [0, 1, 2] {
        let line = TextTokenizer::from_json(&json, max).unwrap_err().to_string();
        assert!(line.contains("no room"), "{line}");
    }
    let [gemma, qwen] = [YEncoderKind::Gemma3, YEncoderKind::Qwen3].map(YEncoderKind::special_tokens);
    for special in [gemma, qwen, LlamaConfig::SPECIAL_TOKENS] {
        let line = TextTokenizer::with_special_tokens(&json, 64, special).unwrap_err().to_string();
        assert!(line.contains("another model's file"), "{line}");
    }
}

#[test]
fn what_is_cut_off_is_counted() {
    let sentence = "A person cracks an egg.";
    let json = fetched("minilm", "tokenizer.json");
    let minilm = |max| TextTokenizer::from_json(&json, max).unwrap();
    // A special token that stands in the text is one of its tokens.
    for (text, tokens) in [(sentence, 8), ("a [SEP] b [CLS] c, and more of it", 12), ("", 2)] {
        let whole = minilm(512).encode(text).unwrap();
        assert_eq!((whole.ids.len(), whole.tokens, whole.is_cut()), (tokens, tokens, false), "{text}");
        for max in 3..=tokens + 1 {
            let encoded = minilm(max).encode(text).unwrap();
            let kept = max.min(tokens);
            assert_eq!((encoded.ids.len(), encoded.tokens), (kept, tokens), "{text}, at most {max}");
            assert_eq!(encoded.is_cut(), max < tokens);
            assert_eq!(encoded.ids[..kept - 1], whole.ids[..kept - 1]);
            assert_eq!(encoded.ids[kept - 1], 102, "the closing token stays");
        }
    }
    // The same where the file's template is not used.
    let qwen = |max| {
        let config = format!(r#"{{"kind": "qwen3", "config": {{"vocab_size": 151669}}, "max_target_tokens": {max}}}"#);
        TextTokenizer::for_targets(&fetched("tokenizers", "qwen3.json"), &target(&config)).unwrap()
    };
    for (max, kept) in [(6, 6), (7, 7), (8, 7)] {
        let encoded = qwen(max).encode(sentence).unwrap();
        assert_eq!((encoded.ids.len(), encoded.tokens, encoded.is_cut()), (kept, 7, max < 7));
    }
}

#[test]
fn of_many_texts_the_first_that_is_cut_is_named() {
    let json = fetched("minilm", "tokenizer.json");
    let tokenizer = TextTokenizer::from_json(&json, 6).unwrap();
    let long = "a person cracks an egg, and the yolk runs over the table";
    let (ids, cut) = tokenizer.encode_all("", &["a cat", "an egg"]).unwrap();
    assert_eq!((ids[0].clone(), cut), (tokenizer.encode("a cat").unwrap().ids, None));
    for (texts, others, words) in [
        (vec!["a cat", long], 0, ""),
        (vec!["a cat", long, "an egg", long], 1, "; 1 other text is cut too"),
        (vec!["a cat", long, long, long], 2, "; 2 other texts are cut too"),
    ] {
        let (ids, cut) = tokenizer.encode_all("", &texts).unwrap();
        let cut = cut.unwrap();
        assert_eq!((ids.len(), cut.index, cut.tokens, cut.kept, cut.others), (texts.len(), 1, 16, 6, others));
        let line = "\"a person cracks an egg, and the yolk run…\" has 16 tokens, special ones included, \
                    and is cut to the 6 that the model takes: shorten it";
        assert_eq!(cut.to_string(), format!("{line}{words}"));
    }
    // The prompt takes its part, and is not shown.
    let (ids, cut) = tokenizer.encode_all("query: ", &["an old cat"]).unwrap();
    assert_eq!(ids, [tokenizer.encode("query: an old cat").unwrap().ids]);
    let cut = cut.unwrap();
    assert_eq!((cut.beginning.as_str(), cut.tokens, cut.kept), ("an old cat", 7, 6));
}
