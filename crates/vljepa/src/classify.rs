//! Zero-shot classification: lists of labels, templates, ranking labels for a picture.

use std::collections::HashMap;

use serde::Serialize;
use vljepa_model::{CutTexts, Unclear};

use vljepa_embed::rows::{Match, best, softmax};
use vljepa_embed::{Embeddings, Model};

use crate::error::{Error, Result};

/// One ranked label.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// The label as given.
    pub label: String,
    /// Softmax over all labels at the model's temperature, 0..1.
    pub score: f64,
    /// Cosine of picture and label, -1..1.
    pub cosine: f32,
}

/// Embedded labels, to be compared with pictures.
#[derive(Debug)]
pub struct Classifier {
    labels: Vec<String>,
    embeddings: Embeddings,
    scale: f32,
    cut: Option<CutTexts>,
    unclear: Unclear,
}

/// Reads a list of labels, separated by commas.
///
/// # Errors
/// No labels, or one that occurs twice.
pub fn labels_from_list(list: &str) -> Result<Vec<String>> {
    from_list(list, "labels", "label")
}

/// Reads a list of answers, separated by commas.
///
/// # Errors
/// No answers, or one that occurs twice.
pub fn answers_from_list(list: &str) -> Result<Vec<String>> {
    from_list(list, "answers", "answer")
}

fn from_list(list: &str, name: &'static str, what: &str) -> Result<Vec<String>> {
    let labels: Vec<&str> = list.split(',').map(str::trim).filter(|l| !l.is_empty()).collect();
    if labels.is_empty() {
        return Err(Error::argument(name, format!("no {what}s; name some, separated by commas")));
    }
    let mut first_index = HashMap::new();
    for (i, label) in labels.iter().enumerate() {
        if let Some(j) = first_index.insert(label, i) {
            let reason = format!(
                "{what} {} repeats \"{label}\" of {what} {}: every {what} must differ; leave one out",
                i + 1,
                j + 1
            );
            return Err(Error::argument(name, reason));
        }
    }
    Ok(labels.into_iter().map(str::to_owned).collect())
}

/// Checks that a template has a place for the label: without one, all labels would be one text.
///
/// # Errors
/// A template without `{}`.
pub fn check_template(template: &str) -> Result<()> {
    match template.contains("{}") {
        true => Ok(()),
        false => {
            let reason = format!("\"{template}\" has no {{}} in the place of the label; add it");
            Err(Error::argument("template", reason))
        }
    }
}

impl Classifier {
    /// Embeds `labels`; each replaces `{}` in `template`.
    ///
    /// # Errors
    /// A template without `{}`, and errors of embedding.
    pub fn new(model: &Model, labels: Vec<String>, template: &str) -> Result<Self> {
        Self::new_with(model, labels, template, &mut |_| ())
    }

    /// [`Self::new`]; `progress` receives the number of labels that are done.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn new_with(
        model: &Model,
        labels: Vec<String>,
        template: &str,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Self> {
        check_template(template)?;
        let texts: Vec<String> = labels.iter().map(|l| template.replace("{}", l)).collect();
        let (embeddings, cut) = model.embed_texts_with(&texts, progress)?;
        let unclear = model.unclear(&texts)?;
        Ok(Self { labels, embeddings, scale: model.scale(), cut, unclear })
    }

    /// Labels that the model does not tell apart, which get one score, and words of the labels that it does not know.
    pub fn unclear(&self) -> &Unclear {
        &self.unclear
    }

    /// The labels, as put into the template, that were cut to the model's longest text.
    pub fn cut(&self) -> Option<&CutTexts> {
        self.cut.as_ref()
    }

    /// The `k` best labels for row `i` of `pictures`.
    ///
    /// # Errors
    /// Pictures embedded by a model of another dimension.
    pub fn rank(&self, pictures: &Embeddings, i: usize, k: usize) -> Result<Vec<Prediction>> {
        let cosines = pictures.cosines(i, &self.embeddings)?;
        let scores = softmax(&cosines, self.scale);
        let predict =
            |m: Match| Prediction { label: self.labels[m.index].clone(), score: scores[m.index], cosine: m.cosine };
        Ok(best(&cosines, k).into_iter().map(predict).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_trimmed_and_checked() {
        assert_eq!(labels_from_list(" a cat, a dog ,,").unwrap(), ["a cat", "a dog"]);
        for (list, word) in
            [("", "no labels"), (" , ,", "no labels"), ("cat,dog, cat", "label 3 repeats \"cat\" of label 1")]
        {
            let error = labels_from_list(list).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
