//! Text encoders with the modules of sentence-transformers through `convert`; texts that are longer than a model takes.

use serde_json::{Value, json};
use vljepa_model::weights::{SafeTensors, Writer, read_f32};

use crate::encoders;
use crate::support::{Bench, fails, json, noted, tokenizer, vljepa};

fn convert(bench: &Bench, source: &str, out: &str) -> Vec<String> {
    ["convert", "--from", "hf-text", source, "--out", &bench.text(out)].map(String::from).to_vec()
}

/// Every file of a folder of files and folders of files, by its path.
fn files(bench: &Bench, folder: &str) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for name in bench.files(folder) {
        let path = format!("{folder}/{name}");
        match bench.path(&path).is_dir() {
            true => all.extend(files(bench, &path).into_iter().map(|(file, bytes)| (format!("{name}/{file}"), bytes))),
            false => all.push((name, std::fs::read(bench.path(&path)).unwrap())),
        }
    }
    all
}

/// The document of `embed-text`.
fn embedded(model: &str, texts: &[String]) -> Value {
    let args = ["embed-text", "--model", model].map(String::from);
    noted([&args[..], texts].concat()).0
}

/// EmbeddingGemma's layout with nothing as it would be without its files: two Dense heads, one in shards and one in
/// f16, the last token, a prompt, twenty tokens, twelve numbers.
fn odd_gemma(bench: &Bench) -> (String, Vec<String>) {
    let (model, texts) = encoders::text(bench, "gemma3");
    let write = |name: &str, content: Value| bench.write(&format!("gemma3/{name}"), content.to_string());
    write("1_Pooling/config.json", json!({"pooling_mode": "lasttoken"}));
    write("sentence_bert_config.json", json!({"max_seq_length": 20}));
    let prompts = json!({"prompts": {"q": "find ", "d": "keep "}, "default_prompt_name": "q", "truncate_dim": 12});
    write("config_sentence_transformers.json", prompts);
    let part = bench.path("gemma3/2_Dense/part.safetensors");
    std::fs::rename(bench.path("gemma3/2_Dense/model.safetensors"), part).unwrap();
    let map = json!({"weight_map": {"linear.weight": "part.safetensors"}});
    write("2_Dense/model.safetensors.index.json", map);
    let bytes = std::fs::read(bench.path("gemma3/3_Dense/model.safetensors")).unwrap();
    let values = read_f32(&SafeTensors::parse("head", &bytes).unwrap(), "linear.weight", &[24, 24]).unwrap();
    let mut writer = Writer::new();
    writer.f16("linear.weight", &[24, 24], &values).unwrap();
    bench.write("gemma3/3_Dense/model.safetensors", writer.finish().unwrap());
    (model, texts)
}

#[test]
fn a_converted_text_encoder_gives_the_same_embeddings() {
    let bench = Bench::new();
    let (model, texts) = odd_gemma(&bench);
    let out = bench.text("out");
    let said = json(convert(&bench, &model, "out"));
    assert_eq!(said["model"], "Gemma3 text model with 2 Dense heads");
    assert_eq!(said["tensors"].as_u64(), Some(28 + 2));
    let want = embedded(&model, &texts);
    assert_eq!(want["dim"], 12);
    assert_eq!(embedded(&out, &texts), want, "to the bit");

    let found = files(&bench, "out");
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "1_Pooling/config.json",
            "2_Dense/config.json",
            "2_Dense/model.safetensors",
            "3_Dense/config.json",
            "3_Dense/model.safetensors",
            "config.json",
            "config_sentence_transformers.json",
            "model.safetensors",
            "modules.json",
            "sentence_bert_config.json",
            "tokenizer.json",
            "tokenizer_config.json"
        ]
    );
    let weights = found.iter().filter(|(name, _)| name.ends_with(".safetensors"));
    assert_eq!(said["bytes"].as_u64(), Some(weights.map(|(_, bytes)| bytes.len() as u64).sum()));
    for (head, dtype) in [("2_Dense", "F32"), ("3_Dense", "F16")] {
        let head = json(["inspect", &bench.text(&format!("out/{head}/model.safetensors"))]);
        assert_eq!((&head["tensors"][0]["dtype"], &head["parameters"]), (&json!(dtype), &json!(24 * 24)));
    }
    // What was written can be read as such again.
    json(convert(&bench, &out, "again"));
    assert_eq!(files(&bench, "again"), found);
    // Each of the files matters.
    for name in ["modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"] {
        let path = bench.path(&format!("out/{name}"));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_ne!(embedded(&out, &texts)["rows"], want["rows"], "{name}");
        std::fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn converted_folders_keep_the_limits_of_their_tokenizers() {
    let bench = Bench::new();
    for kind in ["bert", "gemma3", "qwen3"] {
        let (model, texts) = encoders::text(&bench, kind);
        let out = bench.text(&format!("{kind}_out"));
        json(convert(&bench, &model, &out));
        let want = embedded(&model, &texts);
        assert_eq!(embedded(&out, &texts), want, "{kind}");
        // A file of weights stands for the folder that it lies in.
        let file = bench.text(&format!("{kind}_file"));
        json(convert(&bench, &format!("{model}/model.safetensors"), &file));
        assert_eq!(files(&bench, &format!("{kind}_file")), files(&bench, &format!("{kind}_out")));
        std::fs::remove_file(bench.path(&format!("{kind}_out/tokenizer_config.json"))).unwrap();
        assert_ne!(embedded(&out, &texts)["rows"][4], want["rows"][4], "{kind}");
    }
}

#[test]
fn modules_that_cannot_be_carried_are_refused() {
    let bench = Bench::new();
    let (model, _) = odd_gemma(&bench);
    let dense = |keys: Value| {
        let mut file = json!({"in_features": 24, "out_features": 24, "bias": false});
        file.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        file.to_string().into_bytes()
    };
    let module = |kind: &str, path: &str| {
        let first = json!({"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"});
        json!([first, {"idx": 1, "path": path, "type": kind}]).to_string().into_bytes()
    };
    let mut writer = Writer::new();
    writer.f32("linear.weight", &[24, 12], &[0.5; 24 * 12]).unwrap();
    let before = bench.files(".");
    for (name, bytes, words) in [
        ("1_Pooling/config.json", br#"{"pooling_mode": "max"}"#.to_vec(), vec!["1_Pooling", "pooling max", "mean"]),
        ("1_Pooling/config.json", Vec::new(), vec!["1_Pooling/config.json", "empty"]),
        ("2_Dense/config.json", dense(json!({"activation_function": "torch.nn.Tanh"})), vec!["2_Dense", "Tanh"]),
        ("3_Dense/model.safetensors", writer.finish().unwrap(), vec!["gemma3", "dense.1.linear.weight"]),
        ("3_Dense/model.safetensors", b"nonsense of some length".to_vec(), vec!["3_Dense/model.safetensors"]),
        ("2_Dense/part.safetensors", Vec::new(), vec!["2_Dense/part.safetensors", "empty"]),
        ("modules.json", module("models.CNN", "1_CNN"), vec!["module CNN"]),
        ("modules.json", b"[]".to_vec(), vec!["gemma3: ", "does not begin with a Transformer"]),
        ("modules.json", module("models.Pooling", "../gemma3/1_Pooling"), vec!["no folder below it"]),
        ("config_sentence_transformers.json", br#"{"default_prompt_name": "x"}"#.to_vec(), vec!["default_prompt_name"]),
    ] {
        let path = bench.path(&format!("gemma3/{name}"));
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
        fails(&mut vljepa(convert(&bench, &model, "out")), &words);
        std::fs::write(&path, good).unwrap();
    }
    std::fs::remove_file(bench.path("gemma3/2_Dense/model.safetensors.index.json")).unwrap();
    fails(&mut vljepa(convert(&bench, &model, "out")), &["2_Dense", "a folder without weights"]);
    assert_eq!(bench.files("."), before, "nothing half-written");
}

/// Letters in words of four, each letter a token: `count` of them.
fn letters(count: usize) -> String {
    let letters: Vec<char> = ('a'..='z').cycle().take(count).collect();
    letters.chunks(4).map(|word| word.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

/// The line about a text of so many tokens, of which the tiny model takes 32.
fn line(place: &str, text: &str, tokens: usize, others: &str) -> String {
    let beginning: String = text.chars().take(40).collect();
    let more = if beginning == text { "" } else { "…" };
    let end = format!("special ones included, and is cut to the 32 that the model takes: shorten it{others}");
    format!("{place}: \"{beginning}{more}\" has {tokens} tokens, {end}\n")
}

#[test]
fn texts_that_are_cut_are_told_of_once() {
    let bench = Bench::new();
    // Thirty letters fit between the two special tokens.
    let (fits, long, longer) = (letters(30), letters(31), letters(1000));
    let run = |texts: &[&str]| noted(bench.args(&[&["embed-text"], texts].concat()));
    let (rows, notes) = run(&[&fits]);
    assert_eq!(notes, "");
    for (text, tokens) in [(&long, 33), (&longer, 1002)] {
        let (cut, notes) = run(&[text]);
        assert_eq!(notes, line("TEXT 1", text, tokens, ""));
        assert_eq!(cut["rows"][0]["embedding"], rows["rows"][0]["embedding"]);
    }
    let (many, notes) = run(&["cat", &longer, &fits, &long, "dog", &long]);
    assert_eq!(notes, line("TEXT 2", &longer, 1002, "; 2 other texts are cut too"));
    assert_eq!(many["rows"].as_array().unwrap().len(), 6);
    // Without --json too; what stands in a text does not reach the terminal as it is.
    let odd = format!("\u{1b}[31m\n{longer}");
    let output = vljepa(bench.args(&["embed-text", "cat", &odd])).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(0), 1), "{stderr}");
    assert!(stderr.starts_with("TEXT 2: \"\\u{1b}[31m\\nabcd efgh"), "{stderr}");
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("cat\t"));
    // A file is written all the same.
    let (said, notes) = noted(bench.args(&["embed-text", &long, "--out", "@rows.npy"]));
    assert_eq!((&said["shape"], notes), (&json!([1, 8]), line("TEXT 1", &long, 33, "")));
}

#[test]
fn labels_and_searches_that_are_cut_are_told_of_with_their_place() {
    let bench = Bench::new();
    let (long, longer) = (letters(31), letters(50));
    let classify = |more: &[&str]| noted(bench.args(&[&["classify", "@pictures/0.png"], more].concat()));
    let (found, notes) = classify(&["--labels", &format!("cat, {long}")]);
    assert_eq!(notes, line("--labels: label 2", &long, 33, ""));
    assert_eq!(found["results"][0]["labels"].as_array().unwrap().len(), 2);
    let file = bench.write("labels.txt", format!("cat\n\n{longer}\ndog\n{long}\n"));
    let place = format!("{file}: line 3");
    let (_, notes) = classify(&["--labels-file", &file]);
    // What is left of both is the same.
    let beginning: String = longer.chars().take(40).collect();
    let same = format!(
        "{file}: line 5: \"{long}\" has the same tokens as \"{beginning}…\" ({place}): the model cannot tell them apart \
         and scores them alike\n"
    );
    assert_eq!(notes, line(&place, &longer, 52, "; 1 other text is cut too") + &same);
    // The template takes its part.
    let (_, notes) = classify(&["--labels-file", &file, "--template", "one {}"]);
    assert_eq!(notes, line(&place, &format!("one {longer}"), 55, "; 1 other text is cut too") + &same);

    json(bench.args(&["index", "build", "@pictures", "--out", "@p.idx"]));
    let (found, notes) = noted(bench.args(&["search", "@p.idx", "cat", &long]));
    assert_eq!(notes, line("TEXT 2", &long, 33, ""));
    assert_eq!(found["searches"].as_array().unwrap().len(), 2);
}

#[test]
fn questions_that_are_cut_are_told_of() {
    let bench = Bench::new();
    bench.write("model/query_tokenizer.json", tokenizer());
    // No special tokens stand around a question here.
    let (fits, long) = (letters(32), letters(33));
    let embed = |query: &str| noted(bench.args(&["embed", "@pictures/0.png", "--query", query]));
    let ((want, silent), (got, notes)) = (embed(&fits), embed(&long));
    assert_eq!((silent, notes), (String::new(), line("--query", &long, 33, "")));
    assert_eq!(got["rows"], want["rows"]);

    let file = bench.write("answers.txt", format!("yes\n{long}\n"));
    let ask = ["ask", "@pictures/0.png", "--question", &long];
    let (found, notes) = noted(bench.args(&[&ask[..], &["--answers-file", &file]].concat()));
    let told = [line("--question", &long, 33, ""), line(&format!("{file}: line 2"), &long, 35, "")];
    assert_eq!(notes, told.concat());
    assert_eq!((&found["question"], found["results"][0]["answers"].as_array().unwrap().len()), (&json!(long), 2));
    let (_, notes) = noted(bench.args(&[&ask[..3], &["what", "--answers", &format!("no,yes,{long}")]].concat()));
    assert_eq!(notes, line("--answers: answer 3", &long, 35, ""));

    // The model's own query.
    let mut config: Value = serde_json::from_slice(&std::fs::read(bench.path("model/config.json")).unwrap()).unwrap();
    config["predictor"]["default_query"] = long.as_str().into();
    bench.write("model/config.json", config.to_string());
    let told = line(&format!("{}: its default query", bench.text("model")), &long, 33, "");
    for args in [
        &["embed", "@pictures/0.png"][..],
        &["index", "build", "@pictures", "--out", "@p.idx"],
        &["classify", "@pictures/0.png", "--labels", "cat,dog"],
    ] {
        assert_eq!(noted(bench.args(args)).1, told, "{args:?}");
    }
}
