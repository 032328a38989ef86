//! The sources that come with the crate, and the table of those that a configuration can name.

pub mod emoji_vendors;
pub mod manifest;
mod samples;
pub mod sprite_world;

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use vljepa_model::config::VlJepaConfig;

use crate::config::{DataConfig, EvaluateConfig, TrainConfig, at_line, located};
use crate::data::{Kind, Own, Source};
use crate::error::{Result, TrainError};

pub use samples::{Example, Samples};

/// The kinds by name; the first one is the default.
const KINDS: [Kind; 3] = [emoji_vendors::KIND, manifest::KIND, sprite_world::KIND];

fn kind(config: &TrainConfig) -> Result<&'static Kind> {
    let [default, ..] = &KINDS;
    let Some(name) = &config.data.kind else { return Ok(default) };
    KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| {
        let known = KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
        TrainError::setting("data.kind", format!("`data.kind`: there is no \"{name}\"; choose among {known}"))
    })
}

/// Opens the source that a configuration names, for samples of `model`.
///
/// # Errors
/// [`TrainError::Setting`] for a source that there is not, and for data that is not there or does not fit the settings.
pub fn open(config: &TrainConfig, model: &VlJepaConfig) -> Result<Arc<dyn Source>> {
    (kind(config)?.open)(config, model)
}

/// Which of the source's own keys in `[data]` are paths.
pub(crate) fn paths(config: &TrainConfig) -> Result<&'static [&'static str]> {
    Ok(kind(config)?.paths)
}

/// Checks the source's own keys in the text of a configuration.
///
/// # Errors
/// One line: where and what.
pub(crate) fn check(config: &TrainConfig, text: &str) -> Result<(), String> {
    if config.data.own.contains_key("source") {
        return Err(at_line(text, "data.source", "`data.source` is called `data.kind`; rename it".into()));
    }
    let kind = kind(config).map_err(|error| match error {
        TrainError::Setting { key, what } => at_line(text, &key, what),
        other => other.to_string(),
    })?;
    let own = |name, shared| own(text, name, shared).map_err(|error| located(text, &error));
    let (data, data_keys) = own("data", DataConfig::KEYS)?;
    let (evaluate, evaluate_keys) = own("evaluate", EvaluateConfig::KEYS)?;
    match (kind.check)(Own { data, evaluate }) {
        Ok(None) => Ok(()),
        Ok(Some((key, what))) => Err(at_line(text, &key, what)),
        Err(error) => {
            let mut what = located(text, &error);
            // The source knows its own keys only.
            let unknown = |keys: &[String]| keys.iter().any(|key| error.message().contains(&format!("field `{key}`")));
            for (own, shared) in [(data_keys, DataConfig::KEYS), (evaluate_keys, EvaluateConfig::KEYS)] {
                if unknown(&own) {
                    what += &format!(", or of `{}`", shared.join("`, `"));
                }
            }
            Err(what)
        }
    }
}

/// The table `name` of a configuration without the keys that every source has, and the names of those that are left.
fn own<'a>(
    text: &'a str,
    name: &str,
    shared: &[&str],
) -> Result<(toml::Deserializer<'a>, Vec<String>), toml::de::Error> {
    let root = DeTable::parse(text)?.into_inner();
    let found = root.into_iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value);
    let span = found.as_ref().map_or(0..0, Spanned::span);
    let table = match found.map(Spanned::into_inner) {
        Some(DeValue::Table(table)) => table,
        _ => DeTable::new(),
    };
    let table: DeTable<'a> = table.into_iter().filter(|(key, _)| !shared.contains(&key.get_ref().as_ref())).collect();
    let keys = table.keys().map(|key| key.get_ref().to_string()).collect();
    Ok((Spanned::new(span, table).into(), keys))
}
