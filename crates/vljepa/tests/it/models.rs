//! Bad model folders: configurations, weights, tokenizers.

use serde_json::Value;

use crate::support::{Bench, copy, fails, json, tokenizer, vljepa, weights};

/// The failure of `embed` with the model as it is now.
#[track_caller]
fn refused(bench: &Bench, words: &[&str]) {
    let out = bench.text("rows.npy");
    fails(&mut vljepa(bench.args(&["embed", "@pictures/0.png", "--out", &out])), words);
    assert!(!bench.path("rows.npy").exists(), "nothing half-written");
}

#[test]
fn folders() {
    let bench = Bench::new();
    let run = |model: &str| vljepa(["embed-text", "cat", "--model", &bench.text(model)]);
    fails(&mut run("gone"), &["gone", "no such file"]);
    fails(&mut run("pictures/0.png"), &["is a file", "config.json"]);
    for verb in ["info", "embed-text"] {
        let mut args = vec![verb.to_owned(), "--model".into(), bench.text("pictures")];
        args.extend((verb != "info").then(|| "cat".to_owned()));
        fails(&mut vljepa(args), &["pictures/config.json", "no such file", "no model", "vljepa pull"]);
    }
    for file in ["config.json", "model.safetensors", "target_tokenizer.json"] {
        copy(&bench.path("model"), &bench.path("other"));
        std::fs::remove_file(bench.path(&format!("other/{file}"))).unwrap();
        fails(
            &mut run("other"),
            &[file, "no such file", if file == "config.json" { "pull" } else { "fetch or convert" }],
        );
        bench.write(&format!("other/{file}"), "");
        fails(&mut run("other"), &[file, "empty"]);
        std::fs::remove_file(bench.path(&format!("other/{file}"))).unwrap();
        std::fs::create_dir(bench.path(&format!("other/{file}"))).unwrap();
        fails(&mut run("other"), &[file, "is a folder"]);
        std::fs::remove_dir_all(bench.path("other")).unwrap();
    }
}

#[test]
fn configurations() {
    let bench = Bench::new();
    let good: Value = serde_json::from_str(&crate::support::config().to_json().unwrap()).unwrap();
    let change = |key: &str, value: Value| {
        let mut config = good.clone();
        *config.pointer_mut(key).unwrap() = value;
        config.to_string()
    };
    let mut unknown = good.clone();
    unknown["embeding_dim"] = 8.into();
    for (text, word) in [
        ("{".to_owned(), "config"),
        ("[]".to_owned(), "config"),
        (unknown.to_string(), "embeding_dim"),
        (change("/format_version", 9.into()), "format_version"),
        (change("/model_type", "gpt".into()), "name a model of vljepa, vjepa2, bert"),
        (change("/model_type", 7.into()), "`model_type` is not a text"),
        (change("/embedding_dim", 0.into()), "embedding_dim"),
        (change("/embedding_dim", u64::MAX.into()), "embedding_dim"),
        (change("/x_encoder/hidden_size", 1_000_000_000_000u64.into()), "hidden_size"),
        (change("/x_encoder/num_attention_heads", 5.into()), "num_attention_heads"),
        (change("/x_encoder/patch_size", 15.into()), "patch_size"),
        (change("/y_encoder/config/vocab_size", (-1).into()), "config"),
        (change("/temperature/initial", 0.into()), "temperature"),
    ] {
        bench.write("model/config.json", &text);
        refused(&bench, &["config.json", word]);
        fails(&mut vljepa(bench.args(&["info"])), &["config.json", word]);
    }
    bench.write("model/config.json", [0xff, 0xfe, 0x00]);
    refused(&bench, &["config.json", "UTF-8"]);
}

#[test]
fn weight_files() {
    let bench = Bench::new();
    let good = weights(0, |_, _, _| ());
    let length = |n: u64| [&n.to_le_bytes()[..], &good[8..]].concat();
    for (bytes, word) in [
        (b"x".to_vec(), "too few"),
        (b"PK\x03\x04, a zip file and no safetensors".to_vec(), "safetensors"),
        (good[..good.len() / 2].to_vec(), "truncated"),
        ([&good[..], b"more"].concat(), "the file at"),
        (length(u64::MAX), "header"),
        (length(3), "header"),
        (
            weights(0, |name, shape, values| {
                if name == "y_head.weight" {
                    shape.swap(0, 1);
                    values.reverse()
                }
            }),
            "y_head.weight",
        ),
    ] {
        bench.write("model/model.safetensors", bytes);
        refused(&bench, &["model", word]);
    }
    // Shapes that lie, and numbers that are none.
    let at = good.windows(6).position(|w| w == b"[8,16]").unwrap();
    let mut lying = good.clone();
    lying[at..at + 6].copy_from_slice(b"[8,99]");
    bench.write("model/model.safetensors", lying);
    refused(&bench, &["safetensors", "bytes"]);
    for bad in [f32::NAN, f32::INFINITY] {
        let mut nan = good.clone();
        let end = nan.len();
        nan[end - 4..].copy_from_slice(&bad.to_le_bytes());
        bench.write("model/model.safetensors", nan);
        refused(&bench, &["finite", "tensor `"]);
    }
}

#[test]
fn tensors_that_are_missing_or_unknown() {
    let bench = Bench::new();
    let all = crate::support::config().tensors();
    let write = |skip: &str, extra: Option<&str>| {
        let mut writer = vljepa_model::weights::Writer::new();
        for t in all.iter().filter(|t| t.name != skip) {
            writer.f32(&t.name, &t.shape, &vec![0.1; t.shape.iter().product()]).unwrap();
        }
        if let Some(name) = extra {
            writer.f32(name, &[1], &[0.0]).unwrap();
        }
        bench.write("model/model.safetensors", writer.finish().unwrap());
    };
    write("predictor_head.weight", None);
    refused(&bench, &["1 missing: predictor_head.weight"]);
    write("", Some("lm_head.weight"));
    refused(&bench, &["1 unexpected: lm_head.weight"]);
    write("logit_scale", Some("logit_scal"));
    refused(&bench, &["logit_scale"]);
}

#[test]
fn shards() {
    let bench = Bench::new();
    std::fs::rename(bench.path("model/model.safetensors"), bench.path("model/part.safetensors")).unwrap();
    let map = |file: &str| {
        let names = crate::support::config().tensors().into_iter().map(|t| (t.name, Value::from(file)));
        serde_json::json!({ "weight_map": names.collect::<serde_json::Map<_, _>>() })
    };
    let index = "model/model.safetensors.index.json";
    for (text, word) in [
        ("{}".to_owned(), "index"),
        (r#"{"weight_map":{}}"#.to_owned(), "empty"),
        (map("gone.safetensors").to_string(), "gone.safetensors"),
        (map("../part.safetensors").to_string(), "same folder"),
        (r#"{"weight_map":{"nonsense":"part.safetensors"}}"#.to_owned(), "nonsense"),
    ] {
        bench.write(index, text);
        refused(&bench, &[word]);
    }
    bench.write(index, map("part.safetensors").to_string());
    json(bench.args(&["embed", "@pictures/0.png"]));
}

#[test]
fn tokenizers() {
    let bench = Bench::new();
    for text in ["{", "{}", r#"{"model":{"type":"WordPiece"}}"#, "\u{0}\u{0}"] {
        bench.write("model/target_tokenizer.json", text);
        refused(&bench, &["target_tokenizer.json"]);
    }
    // A tokenizer of another model: ids that the embedding table does not have.
    bench.write("model/target_tokenizer.json", tokenizer().replace("\"b\":6", "\"b\":9999"));
    fails(&mut vljepa(bench.args(&["embed-text", "b"])), &["vocabulary"]);
    bench.write("model/target_tokenizer.json", tokenizer());
    let args = ["embed", "@pictures/0.png", "--query", "what is it"];
    fails(&mut vljepa(bench.args(&args)), &["query tokenizer", "--query"]);
    bench.write("model/query_tokenizer.json", "nonsense");
    fails(&mut vljepa(bench.args(&args)), &["query_tokenizer.json"]);
}

#[test]
fn the_carried_model_is_used_or_missed_in_one_line() {
    let bench = Bench::new();
    if vljepa::Builtin::Compact.is_carried() {
        let out = json(["embed", &bench.text("pictures/0.png")]);
        let info = json(["info"]);
        assert_eq!(out["dim"], info["models"][0]["embedding_dim"]);
        assert_eq!(info["models"][0]["origin"], "compact model");
        assert!(info["models"][0]["weight_bytes"].as_u64().unwrap() <= 24 << 20, "the binary carries at most 24 MB");
    } else {
        for args in
            [&["embed", "x.png"][..], &["embed-text", "cat"], &["eval", "emoji-vendors"], &["search", "i", "cat"]]
        {
            let mut args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
            if args[1] == "x.png" {
                args[1] = bench.text("pictures/0.png");
            }
            fails(&mut vljepa(&args), &["this build carries no model `compact`; pass --model DIR"]);
        }
    }
}
