//! The tokenizer of the queries: which file it is, and whether the model has a row for each of its tokens.

use std::path::PathBuf;

use vljepa_embed::names;
use vljepa_model::config::VlJepaConfig;
use vljepa_model::{CutTexts, Param, Part, TextTokenizer, VlJepa};

use super::read::{fault, read_tokenizer};
use crate::config::ModelSource;
use crate::data::Source;
use crate::error::{Result, TrainError};
use crate::linalg::whiten;

/// The tokenizer of the queries, and what it does to them.
#[derive(Debug)]
pub(crate) struct Queries {
    pub tokenizer: TextTokenizer,
    /// The bytes of its file.
    pub json: Vec<u8>,
    /// The queries that are longer than the model takes.
    pub cut: Option<CutTexts>,
}

impl Queries {
    /// Reads the tokenizer that `model.query_tokenizer` names, else that of the model folder, else for a model that starts from
    /// random weights that of its Y-Encoder, and splits all queries with it.
    ///
    /// # Errors
    /// [`TrainError::Setting`] for a model without one, a file that cannot be read, and a tokenizer with more tokens than the
    /// Predictor has rows for.
    pub fn find(source: &ModelSource, model: &VlJepaConfig, data: &dyn Source) -> Result<Self> {
        let (key, path) = place(source)?;
        let json = read_tokenizer(key, &path)?;
        let tokenizer = TextTokenizer::for_queries(&json, model).map_err(fault(key, &path, ""))?;
        let tokenizer = tokenizer.named(path.display());
        let (tokens, rows) = (tokenizer.vocab_size(), model.predictor.config.vocab_size);
        if let Some(config) = source.config.as_ref().filter(|_| tokens > rows) {
            let what = format!(
                "`model.config`: {}: the samples have queries, whose tokenizer has {tokens} tokens, and the Predictor has rows for \
                 {rows}; set `predictor.config.vocab_size` to {tokens}, and `max_query_tokens` to the length of the longest query",
                config.display()
            );
            return Err(TrainError::setting("model.config", what));
        }
        let hint = "; take a model that was trained with queries, or start one from `model.config`";
        let encoded = tokenizer.encode_all("", &data.queries()).map_err(fault(key, &path, hint))?;
        Ok(Self { tokenizer, json, cut: encoded.1 })
    }
}

/// Root mean square of the embeddings of words, near that of the vision tokens beside them.
const WORD_SIZE: f64 = 0.5;

/// Makes the map from the Y-Encoder's words to the Predictor's tokens that of their principal components.
///
/// # Errors
/// [`TrainError::Setting`] for words of fewer dimensions than the Predictor is wide; what the device reports.
pub(super) fn components_of_words(model: &VlJepa) -> Result<()> {
    let find = |part: Part, table: bool| {
        let fits = |(of, param): &(Part, &Param)| *of == part && param.is_table() == table;
        model.params_by_part().into_iter().find(fits).map(|(_, param)| param.tensor().clone())
    };
    let rows = model.config.predictor.config.vocab_size;
    let (Some(map), Some(words)) = (find(Part::EmbedTokens, false), find(Part::YEncoder, true)) else {
        // A table that lies in parts cannot be read back: the map stays random.
        return Ok(());
    };
    let (width, from) = (map.shape()[0], map.shape()[1]);
    if words.shape() != [rows, from] {
        return Ok(());
    }
    let words = words.to_f32()?;
    let Some(components) = whiten(&words, from, width, 0.0, None) else {
        let what = format!(
            "`model.config`: the words of the Y-Encoder have fewer dimensions than the {width} of the Predictor; make \
             `predictor.config.hidden_size` smaller or leave `predictor.words` out"
        );
        return Err(TrainError::setting("model.config", what));
    };
    let of_word = |row: &[f32]| components.of(row, from).iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
    let square = words.chunks_exact(from).map(of_word).sum::<f64>() / (rows * width) as f64;
    let factor = (WORD_SIZE / square.sqrt().max(f64::MIN_POSITIVE)) as f32;
    Ok(map.write_f32(&components.weight.iter().map(|v| v * factor).collect::<Vec<_>>())?)
}

/// The file of the queries' tokenizer, and the setting that leads to it.
fn place(source: &ModelSource) -> Result<(&'static str, PathBuf)> {
    let of_folder = source.folder.as_ref().map(|folder| folder.join(names::QUERY_TOKENIZER));
    match (&source.query_tokenizer, of_folder) {
        (Some(path), _) => Ok(("model.query_tokenizer", path.clone())),
        (None, Some(path)) if path.exists() => Ok(("model.folder", path)),
        (None, Some(path)) => {
            let what = format!(
                "`model.folder`: the samples have queries, and {} is not there; take a model that was trained with queries, or \
                 start one from `model.config`",
                path.display()
            );
            Err(TrainError::setting("model.folder", what))
        }
        (None, None) => of_targets(source),
    }
}

/// The file of the Y-Encoder's tokenizer, and the setting that leads to it.
pub(super) fn of_targets(source: &ModelSource) -> Result<(&'static str, PathBuf)> {
    match (&source.y_encoder, &source.folder) {
        (Some(folder), _) => {
            let own = folder.join(names::TARGET_TOKENIZER);
            Ok(("model.y_encoder", if own.exists() { own } else { folder.join(names::TOKENIZER) }))
        }
        (None, Some(folder)) => Ok(("model.folder", folder.join(names::TARGET_TOKENIZER))),
        (None, None) => Err(TrainError::setting("model", "`model.y_encoder` is missing")),
    }
}
