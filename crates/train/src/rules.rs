//! Reading a configuration: what its values must be, and where in the file a fault is.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use crate::config::{ObjectiveKind, TrainConfig};
use crate::error::{Result, TrainError};

/// Largest configuration file.
const MAX_BYTES: u64 = 1 << 20;

/// The settings that are paths.
const PATHS: [&str; 5] = ["output", "model.config", "model.folder", "model.y_encoder", "data.dir"];

/// A configuration's file, kept to say where in it a fault is.
#[derive(Clone, Debug)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    text: String,
}

impl ConfigFile {
    /// Reads and checks a file; see [`TrainConfig::read`].
    pub fn read(path: &Path) -> Result<(Self, TrainConfig)> {
        let fault = |what: String| TrainError::Config { path: path.into(), what };
        // Asked before opening: a pipe waits for its writer, and a device may never end.
        let meta = std::fs::metadata(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => fault("there is no such file; name the TOML file of a run".into()),
            _ => TrainError::io(path, "reading")(error),
        })?;
        if !meta.is_file() {
            return Err(fault("is not a regular file; a training configuration is a TOML file".into()));
        }
        if meta.len() > MAX_BYTES {
            return Err(fault("is too long for a training configuration".into()));
        }
        let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
            ErrorKind::InvalidData => fault("is not UTF-8 text; a training configuration is a TOML file".into()),
            _ => TrainError::io(path, "reading")(error),
        })?;
        let mut config = TrainConfig::parse(&text).map_err(fault)?;
        let base = path.parent().unwrap_or(Path::new(""));
        let model = &mut config.model;
        let optional = [&mut model.config, &mut model.folder, &mut model.y_encoder, &mut config.data.dir];
        for slot in optional.into_iter().flatten().chain([&mut config.output]) {
            *slot = base.join(&*slot);
        }
        Ok((Self { path: path.into(), text }, config))
    }

    /// What is written in it, for others to see: absolute paths of its settings are cut to their last parts.
    pub fn public_text(&self) -> String {
        cut_paths(&self.text)
    }

    /// Gives the fault of a setting its file and line; leaves other errors as they are.
    pub fn locate(&self, error: TrainError) -> TrainError {
        match error {
            TrainError::Setting { key, what } => {
                TrainError::Config { path: self.path.clone(), what: at_line(&self.text, &key, what) }
            }
            other => other,
        }
    }
}

impl TrainConfig {
    /// Reads and checks a file. Paths in it become relative to its folder.
    ///
    /// # Errors
    /// [`TrainError::Config`] with the line or key, [`TrainError::Io`].
    pub fn read(path: &Path) -> Result<Self> {
        Ok(ConfigFile::read(path)?.1)
    }

    /// Parses and checks the text of a configuration; paths stay as they are.
    ///
    /// # Errors
    /// One line: where and what.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let message = error.message().trim().replace('\n', "; ");
            match error.span() {
                Some(span) => {
                    let before = &text[..span.start.min(text.len())];
                    let line = 1 + before.matches('\n').count();
                    let column = 1 + before.rsplit('\n').next().map_or(0, |l| l.chars().count());
                    format!("line {line}, column {column}: {message}")
                }
                None => message,
            }
        })?;
        match config.problem() {
            Some((key, what)) => Err(at_line(text, &key, what)),
            None => Ok(config),
        }
    }

    /// The first rule that the values break: the key and the sentence.
    fn problem(&self) -> Option<(String, String)> {
        let mut rules = Rules(None);
        rules.range("steps", self.steps as f64, 1.0, 1e9);
        rules.range("batch", self.batch as f64, 1.0, 1e6);
        rules.range("accumulate", self.accumulate as f64, 1.0, self.batch as f64);
        rules.need("accumulate", self.batch.is_multiple_of(self.accumulate.max(1)), || {
            format!("`batch` ({}) is not a multiple of `accumulate` ({})", self.batch, self.accumulate)
        });
        let sources = (&self.model.config, &self.model.folder);
        rules.need("model", matches!(sources, (Some(_), None) | (None, Some(_))), || {
            "`model` needs exactly one of `config` (random weights) and `folder` (trained ones)".into()
        });
        rules.need("model", self.model.folder.is_some() || self.model.y_encoder.is_some(), || {
            "`model.y_encoder` is missing: a model from `model.config` has no text encoder and no tokenizer".into()
        });
        let d = &self.data;
        rules.need("data.vendors", !d.vendors.is_empty(), || "`data.vendors` is empty".into());
        for (key, size) in d.sizes() {
            rules.range(&key, f64::from(size), 8.0, 4096.0);
        }
        for (i, phase) in d.phases.iter().enumerate() {
            rules.range(&format!("data.phases.{i}.from"), phase.from, 0.0, 1.0);
        }
        rules.need("data.phases", d.phases.windows(2).all(|w| w[0].from < w[1].from), || {
            "`data.phases` are not in the order of `from`".into()
        });
        rules.range("data.prefetch", d.prefetch as f64, 0.0, 64.0);
        if let Some((key, what)) = d.augment.problem() {
            rules.need(&format!("data.augment.{key}"), false, || what);
        }
        let o = &self.objective;
        rules.need("objective.texts", !o.texts.is_empty(), || "`objective.texts` is empty".into());
        rules.need("objective.train_y_encoder", !(o.train_y_encoder && o.kind == ObjectiveKind::Bank), || {
            "`objective.kind` \"bank\" needs a frozen Y-Encoder: set `train_y_encoder = false` or `kind = \"batch\"`".into()
        });
        rules.range("objective.soft_labels", f64::from(o.soft_labels), 0.0, 1.0);
        rules.need("objective.soft_labels", o.soft_labels == 0.0 || o.kind == ObjectiveKind::Bank, || {
            "`objective.soft_labels` needs `kind = \"bank\"`".into()
        });
        rules.range("objective.soft_scale", f64::from(o.soft_scale), 0.0, 1e3);
        rules.range("objective.y_head.strength", o.y_head.strength, 0.0, 2.0);
        rules.range("objective.y_head.tags", o.y_head.tags, 0.0, 1.0);
        rules.range("objective.y_head.ridge", o.y_head.ridge, 1e-6, 1e6);
        rules.need("objective.y_head.tags", o.y_head.tags == 0.0 || o.y_head.whiten, || {
            "`objective.y_head.tags` needs `whiten = true`".into()
        });
        if let Some(fit) = &self.head_fit {
            rules.range("head_fit.share", fit.share, 1e-3, 1.0);
            rules.range("head_fit.ridge", fit.ridge, 1e-9, 1e6);
            rules.need("head_fit", !o.y_head.train && !o.train_y_encoder, || {
                "`head_fit` needs labels that keep their embeddings: a frozen Y-Encoder and `objective.y_head.train = false`".into()
            });
        }
        if let Some(memory) = &self.memory {
            rules.need("memory.rows", memory.rows == 0, || "`memory.rows` follows from the data, leave it out".into());
            rules.range("memory.scale", memory.scale, 1e-3, 1e4);
            rules.range("memory.share", memory.share, 1e-3, 1.0);
            if let Some(text) = memory.text {
                rules.range("memory.text.scale", text.scale, 1e-3, 1e4);
                rules.range("memory.text.share", text.share, 1e-3, 1.0);
            }
            rules.range("memory.inv_temperature", memory.inv_temperature.unwrap_or(1.0), 1e-3, 1e4);
            rules.need("memory", !o.y_head.train && !o.train_y_encoder, || {
                "`memory` needs labels that keep their embeddings: a frozen Y-Encoder and `objective.y_head.train = false`".into()
            });
        }
        let p = &self.optimizer;
        rules.range("optimizer.lr", p.lr, 0.0, 1e3);
        rules.range("optimizer.muon.lr", p.muon.lr, 0.0, 1e3);
        for beta in p.betas {
            rules.range("optimizer.betas", beta, 0.0, 1.0 - 1e-9);
        }
        rules.range("optimizer.eps", p.eps, 0.0, 1.0);
        rules.range("optimizer.weight_decay", p.weight_decay, 0.0, 1e3);
        rules.range("optimizer.muon.weight_decay", p.muon.weight_decay, 0.0, 1e3);
        rules.range("optimizer.clip", p.clip, 0.0, 1e9);
        rules.range("optimizer.muon.momentum", p.muon.momentum, 0.0, 1.0 - 1e-9);
        rules.range("optimizer.muon.iterations", f64::from(p.muon.iterations), 1.0, 50.0);
        for (i, group) in p.groups.iter().enumerate() {
            rules.range(&format!("optimizer.groups.{i}.lr_scale"), group.lr_scale, 0.0, 1e6);
            let decay = group.weight_decay.unwrap_or(0.0);
            rules.range(&format!("optimizer.groups.{i}.weight_decay"), decay, 0.0, 1e3);
        }
        let s = &self.schedule;
        for (key, value) in [("warmup", s.warmup), ("decay", s.decay), ("end", s.end)] {
            rules.range(&format!("schedule.{key}"), value, 0.0, 1.0);
        }
        if let Some(ema) = self.ema {
            rules.range("ema.horizon", ema.horizon, 0.0, 1.0);
        }
        rules.range("evaluate.batch", self.evaluate.batch as f64, 1.0, 1e6);
        rules.range("checkpoint.keep", self.checkpoint.keep as f64, 2.0, 1e6);
        rules.0
    }
}

/// Collects the first broken rule.
struct Rules(Option<(String, String)>);

impl Rules {
    fn need(&mut self, key: &str, holds: bool, what: impl FnOnce() -> String) {
        if self.0.is_none() && !holds {
            self.0 = Some((key.to_owned(), what()));
        }
    }

    fn range(&mut self, key: &str, value: f64, low: f64, high: f64) {
        // Written so that NaN fails too.
        self.need(key, value >= low && value <= high, || format!("`{key}` is {value}, must be in {low}..={high}"));
    }
}

fn at_line(text: &str, key: &str, what: String) -> String {
    match line_of(text, key) {
        Some(line) => format!("line {line}: {what}"),
        None => what,
    }
}

/// A configuration's text, with the last part of each absolute path in its place.
fn cut_paths(text: &str) -> String {
    let Ok(root) = DeTable::parse(text) else { return text.to_owned() };
    let mut cuts = Vec::new();
    for key in PATHS {
        let (mut table, mut value) = (Some(root.get_ref()), None);
        for part in key.split('.') {
            let found = table.and_then(|table| table.iter().find(|(name, _)| name.get_ref() == part));
            value = found.map(|(_, value)| value);
            table = value.and_then(|value| value.get_ref().as_table());
        }
        if let Some(value) = value
            && let Some(path) = value.get_ref().as_str().map(Path::new)
            && path.has_root()
        {
            let last = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            cuts.push((value.span(), toml::Value::String(last).to_string()));
        }
    }
    cuts.sort_by_key(|(span, _)| span.start);
    let (mut out, mut end) = (String::with_capacity(text.len()), 0);
    for (span, last) in cuts {
        out += text.get(end..span.start).unwrap_or_default();
        out += &last;
        end = span.end;
    }
    out + text.get(end..).unwrap_or_default()
}

/// The line of a key, from 1. `key` is a path such as `data.vendors.2`, with the places of arrays in numbers; where the file
/// lacks its end, the line of the last part that is there, and none where it has nothing of it.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let (mut start, mut table) = (None, Some(root.get_ref()));
    let mut value: Option<&DeValue<'_>> = None;
    for part in key.split('.') {
        let next = match (table, value) {
            (Some(table), _) => {
                let found = table.iter().find(|(name, _)| name.get_ref() == part);
                found.map(|(name, value)| (name.span().start, value.get_ref()))
            }
            (None, Some(DeValue::Array(items))) => {
                let item = part.parse().ok().and_then(|i: usize| items.get(i));
                item.map(|item| (item.span().start, item.get_ref()))
            }
            _ => None,
        };
        let Some((at, found)) = next else { break };
        start = Some(at);
        table = found.as_table();
        value = Some(found);
    }
    Some(1 + text.get(..start?)?.matches('\n').count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_lines_however_they_are_written() {
        let text = "steps = 1 # [data]\nwarmup = 2\n\n[ data ] # vendors = 1\nvendors = [\n  \"a\",\n  \"b\", # c\n]\n\
            phases = [{ from = 0.1, image_size = 8 },\n { from = 0.2,\n image_size = 9 }]\n\
            [schedule]\nkind = \"wsd\"\n\"warmup\" = 0.5\n\
            [[optimizer.groups]]\npattern = \"*\"\n[[optimizer.groups]]\npattern = \"a\"\nlr_scale = 2\n\
            [optimizer.muon]\nlr = 1\n[objective]\ny_head.tags = 1\n";
        for (key, line) in [
            ("steps", Some(1)),
            ("data", Some(4)),
            ("data.vendors", Some(5)),
            ("data.vendors.1", Some(7)),
            ("data.vendors.7", Some(5)),
            ("data.dir", Some(4)),
            ("data.phases.0.image_size", Some(9)),
            ("data.phases.1.image_size", Some(11)),
            ("schedule.warmup", Some(14)),
            ("optimizer.groups.1.lr_scale", Some(19)),
            ("optimizer.groups.1", Some(17)),
            ("optimizer.muon.lr", Some(21)),
            ("objective.y_head.tags", Some(23)),
            ("evaluate.vendor", None),
        ] {
            assert_eq!(line_of(text, key), line, "{key}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn absolute_paths_are_cut_to_their_last_parts_however_they_are_written() {
        let text = "output = '/home/me/runs/one' # kept\n\
            model.folder = \"/home/me/a \\\"b\\\"\"\nmodel.y_encoder = \"../e/f\"\n\
            [data]\nvendors = [\"/x/y\"]\ndir = '''/srv/sets/emoji/'''\n";
        let cut = "output = \"one\" # kept\nmodel.folder = 'a \"b\"'\nmodel.y_encoder = \"../e/f\"\n\
            [data]\nvendors = [\"/x/y\"]\ndir = \"emoji\"\n";
        assert_eq!(cut_paths(text), cut);
        let table = "steps = 1\nmodel = { config = \"/m/config.json\", y_encoder = \"y\" }\n";
        assert_eq!(cut_paths(table), table.replace("/m/", ""));
        assert_eq!(cut_paths(&cut_paths(text)), cut);
    }
}
