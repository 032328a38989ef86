//! Tokenizers and lists of labels.

use vljepa_data::{parse_labels, read_texts_from};
use vljepa_model::{SpecialTokens, TextTokenizer, prune_wordpiece};

use crate::error::Result;
use crate::mutate::Shape;
use crate::target::{Target, files};

/// A small tokenizer, as BERT has one.
pub const WORDPIECE: &str = r###"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[
{"id":0,"content":"[PAD]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},
{"id":1,"content":"[UNK]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},
{"id":2,"content":"[CLS]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},
{"id":3,"content":"[SEP]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],
"normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true},
"pre_tokenizer":{"type":"BertPreTokenizer"},
"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}},
{"SpecialToken":{"id":"[SEP]","type_id":0}}],"pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],
"special_tokens":{"[CLS]":{"id":"[CLS]","ids":[2],"tokens":["[CLS]"]},"[SEP]":{"id":"[SEP]","ids":[3],"tokens":["[SEP]"]}}},
"decoder":{"type":"WordPiece","prefix":"##","cleanup":true},
"model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,
"vocab":{"[PAD]":0,"[UNK]":1,"[CLS]":2,"[SEP]":3,"a":4,"##a":5,"c":6,"##t":7,"do":8,"##g":9,"the":10}}}"###;

const BPE: &str = r###"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],
"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Replace","pattern":{"Regex":"\\s+"},"content":" "},{"type":"Lowercase"}]},
"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"\\p{L}+|\\p{N}{1,3}| ?[^\\s]+"},
"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]},
"post_processor":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":false,"use_regex":true},
"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},
"model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,
"byte_fallback":false,"ignore_merges":false,"vocab":{"a":0,"c":1,"t":2,"ca":3,"cat":4,"d":5,"o":6,"g":7,"Ġ":8},"merges":["c a","ca t"]}}"###;

const UNIGRAM: &str = r###"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],
"normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]},
"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true},"post_processor":null,
"decoder":{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true},
"model":{"type":"Unigram","unk_id":0,"byte_fallback":false,"vocab":[["<unk>",0.0],["▁",-2.0],["a",-3.0],["cat",-4.5],["▁dog",-5.0]]}}"###;

const TEXTS: [&str; 5] = [
    "a cat",
    "",
    "the dog  sat\u{a0}on\u{301} 12345 mats",
    "\u{1f469}\u{200d}\u{1f9b0} \u{65e5}\u{672c} \0",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

fn encode(json: &[u8]) {
    if let Ok(tokenizer) = TextTokenizer::from_json(json, 16) {
        for text in TEXTS {
            let _ = tokenizer.encode(text);
        }
        let _ = tokenizer.vocab_size();
    }
}

pub const TOKENIZER: Target = Target {
    name: "tokenizer",
    about: "tokenizer.json, and texts through it",
    shape: Shape::Json,
    megabytes: 128,
    seeds: || Ok([WORDPIECE, BPE, UNIGRAM].iter().map(|text| text.as_bytes().to_vec()).collect()),
    make: |_| {
        Ok(Box::new(|input| {
            encode(input);
            let _ = TextTokenizer::with_special_tokens(
                input,
                16,
                SpecialTokens::Around { before: &["[CLS]"], after: &["[SEP]"] },
            );
            let _ = prune_wordpiece(input, |id, _| id % 2 == 0);
        }))
    },
};

pub const SPM: Target = Target {
    name: "spm",
    about: "the compiled normaliser of SentencePiece in a tokenizer.json",
    shape: Shape::Bytes,
    megabytes: 128,
    seeds: || {
        let map = |units: &[u32], text: &[u8]| {
            let mut map = (4 * units.len() as u32).to_le_bytes().to_vec();
            map.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
            map.extend(text);
            map
        };
        // A double array in which no text has a replacement, and one in which "a" becomes "b".
        let none = [0_u32; 256];
        let mut one = [0_u32; 512];
        one[0x61] = 0x100 << 10 | 1 << 8 | 0x61;
        one[0x161] = 1 << 31;
        Ok(vec![map(&none, b""), map(&one, b"b\0")])
    },
    make: |_| {
        let (before, after) = UNIGRAM.split_once(r#"{"type":"Prepend","prepend":"▁"}"#).unwrap_or((UNIGRAM, ""));
        Ok(Box::new(move |input| {
            let map = base64(input);
            let json = format!(r#"{before}{{"type":"Precompiled","precompiled_charsmap":"{map}"}}{after}"#);
            encode(json.as_bytes());
        }))
    },
};

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

pub const LABELS: Target = Target {
    name: "labels",
    about: "lists of labels and of texts",
    shape: Shape::Bytes,
    megabytes: 32,
    seeds: || -> Result<Vec<Vec<u8>>> {
        let mut seeds = files(&["crates/vljepa/assets/compact/train.toml"])?;
        seeds.push("\u{feff}cat\r\ndog\n\n# birds\nCaf\u{e9}\rowl".as_bytes().to_vec());
        Ok(seeds)
    },
    make: |folder| {
        let path = folder.join("labels.txt");
        Ok(Box::new(move |input| {
            if std::fs::write(&path, input).is_ok() {
                let _ = vljepa_data::read_labels(&path);
                let _ = vljepa_data::read_numbered_labels(&path);
            }
            let _ = read_texts_from("case", input);
            let text = String::from_utf8_lossy(input);
            let _ = parse_labels("case", text.split(','));
        }))
    },
};

#[cfg(test)]
mod tests {
    #[test]
    fn base64_of_the_rfc() {
        // RFC 4648, 10.
        let all = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|text| super::base64(text.as_bytes()));
        assert_eq!(all, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
    }
}
