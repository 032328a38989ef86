//! Arguments that several verbs share, and opening models and devices.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};
use vljepa::Builtin;
use vljepa::embed::Model;
use vljepa::embed::folder::{ModelFolder, Purpose};
use vljepa::embed::models::WithQuery;
use vljepa::embed::{check_apart, model_files};
use vljepa_model::{CutTexts, Precision};
use vljepa_tensor::Device;

use super::failure::Result;
use super::output::Output;

/// Arguments of every verb.
#[derive(Debug, Args)]
pub struct Common {
    /// Print one JSON document on stdout instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Adapter: auto, cpu (software), an index as listed by `vljepa info`, or part of a name
    #[arg(long, global = true, default_value = "auto", value_name = "NAME")]
    pub device: String,
    /// Seed of the random operands of `bench`, of the draws of `eval manifest`, and of the clips of `sprites`, `eval sprite-world` and `eval selective`
    /// (a training run has its seed in its file)
    #[arg(long, global = true, default_value_t = 0, value_name = "N")]
    pub seed: u64,
}

/// Arguments that choose a model.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Model folder: a VL-JEPA, or from the model hub a V-JEPA 2 (embed, classify) or a text encoder (embed-text);
    /// or a built-in model: compact (pictures) or sprites (clips, questions). Absent: sprites for ask, caption, watch, mcp, eval
    /// sprite-world and eval selective, else compact
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Type of the model's matrices on the adapter; f16 takes half the memory of f32, i8 a quarter at a cost in
    /// accuracy
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    pub precision: PrecisionArg,
}

/// The values of `--precision`.
#[derive(Clone, Copy, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum PrecisionArg {
    F32,
    F16,
    I8,
}

impl From<PrecisionArg> for Precision {
    fn from(arg: PrecisionArg) -> Self {
        match arg {
            PrecisionArg::F32 => Precision::F32,
            PrecisionArg::F16 => Precision::F16,
            PrecisionArg::I8 => Precision::I8,
        }
    }
}

/// Checks before any work that writing `out` replaces nothing that is read: neither `read` nor a file of the model folder.
pub fn keep_apart<P: AsRef<Path>>(out: &Path, read: impl IntoIterator<Item = P>, model: Option<&Path>) -> Result {
    check_apart(out, read)?;
    Ok(check_apart(out, model.map(model_files).unwrap_or_default())?)
}

/// Parses a whole number of at least 1.
pub fn at_least_one(text: &str) -> std::result::Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1".into()),
        Ok(n) => Ok(n),
        Err(_) => Err("a whole number of at least 1 is expected".into()),
    }
}

/// Opens the folder of a VL-JEPA, `otherwise` where none is named, then a device, and loads the model. For another kind of model, the
/// error names `purpose`.
pub fn load(args: &ModelArgs, otherwise: Builtin, common: &Common, purpose: Purpose) -> Result<(ModelFolder, Model)> {
    let folder = vljepa::find(args.model.as_deref(), otherwise)?.vljepa(purpose)?;
    let model = open(&folder, args, common)?;
    Ok((folder, model))
}

/// Loads a VL-JEPA onto the device of the arguments.
pub fn open(folder: &ModelFolder, args: &ModelArgs, common: &Common) -> Result<Model> {
    let device = vljepa::open_device(&common.device)?;
    Ok(Model::load_as(&device, folder, args.precision.into())?)
}

/// The properties of a device that affect the bits of rows.
pub fn adapter(device: &Device) -> Value {
    let (info, capabilities) = (device.info(), format!("{:?}", device.capabilities()));
    json!([vljepa::info::adapter_name(device), info.driver, info.driver_info, capabilities])
}

/// Prints a note if texts were cut; `place` gives the source of the text with an index.
pub fn note_cut(cut: Option<&CutTexts>, place: impl FnOnce(usize) -> String, out: &Output) {
    if let Some(cut) = cut {
        out.note(&format!("{}: {cut}", place(cut.index)));
    }
}

/// Prints a note if a query was cut: the query of `flag`, or the model's default query without a flag.
pub fn note_query(asked: &WithQuery<'_>, flag: Option<&str>, out: &Output) {
    let default_query = || format!("{}: its default query", asked.origin());
    note_cut(asked.cut(), |_| flag.map_or_else(default_query, str::to_owned), out);
}
