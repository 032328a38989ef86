//! The model card of a trained model, `README.md` of its folder: what it is, how it was trained, what was measured.

use std::path::Path;

use vljepa_data::emoji::Vendor;
use vljepa_model::config::{YEncoderKind, parameter_count};
use vljepa_tensor::Device;

use crate::eval::{Cell, Validation};
use crate::run::duration;
use crate::start::Start;
use crate::trainer::Trainer;

/// Start of the line that states the licence.
const LICENCE: &str = "Licence:";

/// What a card tells of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Card<'a> {
    pub start: &'a Start,
    pub trainer: &'a Trainer,
    /// Figures of the weights in the folder.
    pub validation: &'a Validation,
    /// Seconds of training, earlier parts of the run included.
    pub seconds: f64,
    /// Where the last part of the run computed.
    pub device: &'a Device,
}

/// The line of a card that states the licence.
pub(crate) fn licence_line(card: &str) -> Option<&str> {
    card.lines().find(|line| line.starts_with(LICENCE))
}

/// A table cell: what would end it or its row is taken out.
fn plain(text: &str) -> String {
    text.replace('|', "/").split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Card<'_> {
    /// Markdown; `licence` is the line of an earlier card.
    pub fn text(&self, licence: Option<&str>) -> String {
        let config = &self.start.config;
        let name = config.output.file_name().map_or_else(|| "VL-JEPA".into(), |name| name.to_string_lossy());
        let licence = licence.map_or_else(
            || {
                format!(
                    "{LICENCE} not stated yet. Put it here; those of the pictures and of the text encoder bind too."
                )
            },
            str::to_owned,
        );
        // Longer than any run of backquotes inside.
        let mut fence = "```".to_owned();
        while self.start.file.text().contains(&fence) {
            fence.push('`');
        }
        format!(
            "# {}\n\nA VL-JEPA: it gives pictures and texts embeddings, trained to be alike where the text says what the picture shows. Made by \
             `vljepa train` (version {}).\n\n{licence}\n\n{}\n## Training\n\n{}\nThe configuration, its paths relative to the \
             folder that it was in:\n\n{fence}toml\n{}\n{fence}\n\n## Validation\n\n{}\n## Use\n\n```sh\n\
             vljepa classify PICTURE --model DIR --labels \"cat,dog\"    # DIR: this folder\n\
             vljepa index build PICTURES --model DIR --out pictures.idx\n\
             vljepa search pictures.idx \"something to drink\" --model DIR\n```\n\nIt was trained without questions and takes \
             none.\n",
            plain(&name),
            env!("CARGO_PKG_VERSION"),
            self.parts(),
            self.training(),
            self.start.file.text().trim_end(),
            self.figures(),
        )
    }

    fn parts(&self) -> String {
        let c = &self.trainer.model().config;
        let (x, p, y) = (&c.x_encoder, &c.predictor, &c.y_encoder);
        let stem = if x.conv_stem.is_some() { ", behind a convolutional stem" } else { "" };
        let members = if c.members > 1 { format!(", {} members of each", c.members) } else { String::new() };
        let trained = if self.start.config.objective.train_y_encoder { "trained" } else { "frozen" };
        let kind = match y.config.kind() {
            YEncoderKind::Bert => "BERT",
            YEncoderKind::Gemma3 => "Gemma 3",
            YEncoderKind::Qwen3 => "Qwen 3",
            _ => "text encoder",
        };
        let mut rows = vec![
            ("Pictures", format!("{0} × {0} pixels", c.image_size())),
            (
                "X-Encoder",
                format!(
                    "V-JEPA 2 ViT of width {} and depth {}, patches of {2} × {2} pixels{stem}{members}",
                    x.hidden_size, x.num_hidden_layers, x.patch_size
                ),
            ),
            ("Predictor", format!("Llama of width {} and depth {}", p.config.hidden_size, p.num_layers)),
            (
                "Y-Encoder",
                format!(
                    "{kind} of width {} and depth {}, {trained}",
                    y.config.hidden_size(),
                    y.config.num_hidden_layers()
                ),
            ),
            ("Embeddings", format!("{} numbers", c.embedding_dim)),
            (
                "Parameters",
                format!("{}, of which {} trained", parameter_count(&c.tensors()), self.trainer.trained_parameters()),
            ),
        ];
        if let Some(memory) = &c.memory {
            rows.push(("Memory", format!("the embeddings of {} labels", memory.rows)));
        }
        table("| part | what |\n|---|---|\n", &rows)
    }

    fn training(&self) -> String {
        let (config, corpus) = (&self.start.config, &self.start.corpus);
        let trained_on = |v: &&Vendor| config.data.vendors.contains(&v.id);
        let vendors: Vec<String> =
            corpus.set.vendors().iter().filter(trained_on).map(|v| format!("{} ({})", v.name, v.license)).collect();
        let named = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let source = &config.model;
        let mut from = match (&source.config, &source.folder) {
            (None, Some(folder)) => format!("the weights of `{}`", named(folder)),
            (path, _) => format!("random weights, `{}`", path.as_deref().map(named).unwrap_or_default()),
        };
        if let Some(folder) = &source.y_encoder {
            from += &format!("; the Y-Encoder of `{}`", named(folder));
        }
        let pictures = self.trainer.step_count() * config.batch as u64;
        let rows = [
            ("Start", from),
            (
                "Data",
                format!(
                    "emoji-vendors: {} drawings of {} concepts by {}",
                    corpus.all_drawings().count(),
                    corpus.drawable(),
                    vendors.join(", ")
                ),
            ),
            ("Steps", format!("{} of {} pictures, {pictures} in all", self.trainer.step_count(), config.batch)),
            ("Seed", config.seed.to_string()),
            ("Time", format!("{}, at the end on {}", duration(self.seconds), self.device.info().name)),
        ];
        table("| training | |\n|---|---|\n", &rows)
    }

    fn figures(&self) -> String {
        let percent = |v: Option<f64>| v.map_or_else(|| "–".into(), |v| format!("{:.1}", 100.0 * v));
        let row = |name: &str, c: &Cell| {
            format!(
                "| {name} | {} | {} | {} / {} | {:.1} / {:.1} |\n",
                c.n,
                c.candidates,
                percent(c.r1),
                percent(c.r5),
                100.0 * c.chance_r1,
                100.0 * c.chance_r5
            )
        };
        let v = self.validation;
        format!(
            "Picture to name, measured after the last step on the weights in this folder; the new design is `{}`, pictures of \
             {2} × {2} pixels. R@1 / R@5 in per cent, and those of a random order. Settings may have been chosen by these \
             figures; `vljepa eval emoji-vendors --model DIR` measures what was held out.\n\n\
             | cell | pictures | names | R@1 / R@5 | chance |\n|---|---|---|---|---|\n{1}",
            self.start.config.evaluate.vendor,
            [
                row("seen concepts, new design", &v.seen_concept_new_vendor),
                row("new concepts, seen designs", &v.new_concept_seen_vendor),
                row("new concepts, new design", &v.new_concept_new_vendor),
            ]
            .concat(),
            self.trainer.measured_size(),
        )
    }
}

fn table(head: &str, rows: &[(&str, String)]) -> String {
    rows.iter().fold(head.to_owned(), |out, (what, text)| out + &format!("| {what} | {} |\n", plain(text)))
}
