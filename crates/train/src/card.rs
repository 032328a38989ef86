//! The model card of a trained model, `README.md` of its folder: what it is, how it was trained, what was measured.

use std::path::{Path, PathBuf};

use vljepa_data::atomic::write_atomically;
use vljepa_model::config::parameter_count;

use crate::checkpoint::{hash, read_if_there};
use crate::error::Result;
use crate::metrics::{NamedCell, Validation};
use crate::places::RECORD;
use crate::schedule::duration;
use crate::start::Start;
use crate::trainer::Trainer;

/// Start of the line that states the licence.
const LICENCE: &str = "Licence:";
/// The card, in the model's folder.
pub(crate) const CARD: &str = vljepa_embed::names::CARD;
/// The card beside one that its owner changed.
const NEW_CARD: &str = "README.new.md";
/// What a card is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Card<'a> {
    pub start: &'a Start,
    pub trainer: &'a Trainer,
    /// Figures of the weights in the folder.
    pub validation: &'a Validation,
    /// Seconds of training, earlier parts of the run included.
    pub seconds: f64,
    /// Name of the device that took the last step; runs by earlier versions may lack it.
    pub device: Option<&'a str>,
    /// Markdown on how the model is used.
    pub usage: Option<&'a str>,
}

/// The line of a card that states the licence.
fn licence_line(card: &str) -> Option<&str> {
    card.lines().find(|line| line.starts_with(LICENCE))
}

/// The line of an earlier card, or one that asks for the licence; `others` says whose licences bind too.
pub(crate) fn licence_or(licence: Option<&str>, others: &str) -> String {
    licence.map_or_else(|| format!("{LICENCE} not stated yet. Put it here; {others}."), str::to_owned)
}

/// A configuration's text as a block of code, whatever is in it.
pub(crate) fn fenced(text: &str) -> String {
    // Longer than any run of backquotes inside.
    let mut fence = "```".to_owned();
    while text.contains(&fence) {
        fence.push('`');
    }
    format!("{fence}toml\n{}\n{fence}", text.trim_end())
}

/// Tells a card from one that its owner changed: the hash of its lines but that of the licence, which every new card takes
/// over.
fn fingerprint(card: &str) -> String {
    let licence = licence_line(card);
    let rest: Vec<&str> = card.lines().filter(|line| Some(*line) != licence).collect();
    hash(rest.join("\n").as_bytes())
}

/// Puts the card that `text` gives into the model's folder `folder`; `text` gets the line of an earlier card that states the
/// licence, so that whoever stated it need not do so again. A card that its owner changed, beyond that, stays: then the new
/// one is put beside it, and its path given. `output` is the folder of the run, which knows the cards that it wrote.
pub(crate) fn put_card(
    folder: &Path,
    output: &Path,
    text: impl FnOnce(Option<&str>) -> String,
) -> Result<Option<PathBuf>> {
    let (path, record) = (folder.join(CARD), output.join(RECORD));
    let old = read_if_there(&path)?;
    let text = text(old.as_deref().and_then(licence_line));
    let mut written = read_if_there(&record)?.unwrap_or_default();
    let own = |card: &str| written.lines().any(|line| line == fingerprint(card));
    let changed = old.is_some_and(|old| old != text && !own(&old));
    if !own(&text) {
        // Before the card, and with the earlier ones: whenever the program stops, the card that is there is known.
        written += &format!("{}\n", fingerprint(&text));
        write_atomically(&record, written.as_bytes())?;
    }
    let place = if changed { folder.join(NEW_CARD) } else { path };
    write_atomically(&place, text.as_bytes())?;
    Ok(changed.then_some(place))
}

/// The text of a table cell, without what would end the cell or its row.
pub(crate) fn plain(text: &str) -> String {
    text.replace('|', "/").split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Card<'_> {
    /// Writes the card into the model's folder. One that its owner changed, beyond stating the licence, stays: then the
    /// new one is put beside it, and its path given.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    pub fn write(&self, folder: &Path) -> Result<Option<PathBuf>> {
        put_card(folder, &self.start.config.output, |licence| self.text(licence))
    }

    /// Markdown; `licence` is the line of an earlier card.
    fn text(&self, licence: Option<&str>) -> String {
        let config = &self.start.config;
        let usage = self.usage.map_or_else(String::new, |text| format!("\n## Use\n\n{}\n", text.trim_end()));
        let queries = match self.start.source.asks() {
            true => "It was trained with queries.",
            false => "It was trained without questions and takes none.",
        };
        let name = config.output.file_name().map_or_else(|| "VL-JEPA".into(), |name| name.to_string_lossy());
        let licence = licence_or(licence, "those of the pictures and of the text encoder bind too");
        let written = fenced(&self.start.file.public_text());
        format!(
            "# {}\n\nA VL-JEPA: it gives pictures and texts embeddings, trained to be alike where the text says what the picture \
             shows. Made by vljepa-train {}. {queries}\n\n{licence}\n\n{}\n## Training\n\n{}\nThe configuration as it was \
             written, but for absolute paths of its settings, which are cut to their last parts:\n\n{written}\n\n\
             ## Validation\n\n{}{usage}",
            plain(&name),
            env!("CARGO_PKG_VERSION"),
            self.parts(),
            self.training(),
            self.figures(),
        )
    }

    fn parts(&self) -> String {
        let c = &self.trainer.model().config;
        let (x, p, y) = (&c.x_encoder, &c.predictor, &c.y_encoder);
        let stem = match (&x.conv_stem, &x.still_stem) {
            (Some(_), Some(_)) => ", behind two convolutional stems, one of them for stills",
            (Some(_), None) => ", behind a convolutional stem",
            _ => "",
        };
        let members = if c.members > 1 { format!(", {} members of each", c.members) } else { String::new() };
        let trained = if self.start.config.objective.train_y_encoder { "trained" } else { "frozen" };
        let kind = y.config.kind().title();
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
        let config = &self.start.config;
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
        let mut time = duration(self.seconds);
        if let Some(device) = self.device {
            time += &format!(", at the end on {device}");
        }
        let rows = [
            ("Start", from),
            ("Data", self.start.source.card().data),
            ("Steps", format!("{} of {} pictures, {pictures} in all", self.trainer.step_count(), config.batch)),
            ("Seed", config.seed.to_string()),
            ("Time", time),
        ];
        table("| training | |\n|---|---|\n", &rows)
    }

    fn figures(&self) -> String {
        let percent = |v: Option<f64>| v.map_or_else(|| "–".into(), |v| format!("{:.1}", 100.0 * v));
        let row = |NamedCell { title, cell: c, .. }: &NamedCell| {
            format!(
                "| {} | {} | {} | {} / {} | {:.1} / {:.1} |\n",
                plain(title),
                c.n,
                c.candidates,
                percent(c.r1),
                percent(c.r5),
                100.0 * c.chance_r1,
                100.0 * c.chance_r5
            )
        };
        if self.validation.0.is_empty() {
            return "None: the data has no validation part.\n".into();
        }
        format!(
            "Picture to text, measured after the last step on the weights in this folder with pictures of {0} × {0} pixels. {1} \
             R@1 / R@5 in per cent, and those of a random order. Settings may have been chosen by these figures.\n\n\
             | cell | pictures | texts | R@1 / R@5 | chance |\n|---|---|---|---|---|\n{2}",
            self.trainer.measured_size(),
            self.start.source.card().figures,
            self.validation.0.iter().map(row).collect::<String>(),
        )
    }
}

pub(crate) fn table(head: &str, rows: &[(&str, String)]) -> String {
    rows.iter().fold(head.to_owned(), |out, (what, text)| out + &format!("| {what} | {} |\n", plain(text)))
}
