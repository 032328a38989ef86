//! Labels that the model does not tell apart or does not know.

use crate::support::{Bench, fails, noted, tokenizer, vljepa};

/// The notes of a classification among labels.
fn notes(bench: &Bench, labels: &[&str]) -> String {
    let (found, notes) = noted(bench.args(&[&["classify", "@pictures/0.png", "--top", "9"], labels].concat()));
    assert!(!found["results"][0]["labels"].as_array().unwrap().is_empty());
    notes
}

#[test]
fn labels_with_the_same_tokens_are_told_of() {
    let bench = Bench::new();
    let list = |list: &str| notes(&bench, &["--labels", list]);
    assert_eq!(list("cat,dog,a cat"), "");
    let same = |place: &str, later: &str, earlier: &str, first: usize, others: &str| {
        format!(
            "--labels: label {place}: \"{later}\" has the same tokens as \"{earlier}\" (--labels: label {first}): \
             the model cannot tell them apart and scores them alike{others}\n"
        )
    };
    assert_eq!(list("Cat,cat"), same("2", "cat", "Cat", 1, ""));
    assert_eq!(list("dog,caf\u{e9},cafe\u{301}"), same("3", "cafe\u{301}", "caf\u{e9}", 2, ""));
    assert_eq!(list("cat,c\u{200b}at"), same("2", "c\u{200b}at", "cat", 1, ""));
    assert_eq!(
        list("cat,Cat,CAT,dog,DOG"),
        same("2", "Cat", "cat", 1, "; 2 other labels repeat the tokens of others too")
    );
    let file = bench.write("labels.txt", "\nCat\ncat\n");
    let found = notes(&bench, &["--labels-file", &file]);
    assert!(found.starts_with(&format!("{file}: line 3: \"cat\" has the same tokens as \"Cat\" ({file}: line 2)")));
    // Answers are labels.
    bench.write("model/query_tokenizer.json", tokenizer());
    let ask = ["ask", "@pictures/0.png", "--question", "what", "--answers", "yes,Yes"];
    let (_, found) = noted(bench.args(&ask));
    assert!(found.starts_with("--answers: answer 2: \"Yes\" has the same tokens as \"yes\""), "{found}");
}

#[test]
fn unknown_words_of_labels_are_told_of() {
    let bench = Bench::new();
    let list = |list: &str| notes(&bench, &["--labels", list]);
    assert_eq!(
        list("cat,a 猫 and 7"),
        "--labels: label 2: \"a 猫 and 7\" has words that the model does not know: \"猫\", \"7\"\n"
    );
    let found = list("cat,🦖,🏴,🧿");
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines.len(), 2, "{found}");
    assert!(lines[0].starts_with("--labels: label 3: \"🏴\" has the same tokens as \"🦖\""), "{found}");
    assert!(lines[0].ends_with("; 1 other label repeats the tokens of another too"), "{found}");
    assert_eq!(
        lines[1],
        "--labels: label 2: the model knows no word of \"🦖\", so its score means nothing: say it in other words; \
         2 other labels are unknown too"
    );
    let found = list("cat,7 a,8 b");
    assert!(
        found.ends_with(
            "label 2: \"7 a\" has words that the model does not know: \"7\"; 1 other label has such words too\n"
        ),
        "{found}"
    );
}

#[test]
fn a_template_without_a_place_is_refused_before_all_else() {
    let bench = Bench::new();
    for template in ["a picture", "", "{ }", "{label}"] {
        let args = ["classify", "@no.png", "--labels", "cat,dog", "--template", template];
        fails(&mut vljepa(bench.args(&args)), &["--template", "has no {} in the place of the label"]);
    }
}
