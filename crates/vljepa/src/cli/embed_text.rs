//! `embed-text`: embeds texts.

use std::path::PathBuf;

use clap::ValueEnum;
use vljepa::embed::folder::{AnyFolder, Purpose};
use vljepa::embed::models::{TextModel, TextPool};
use vljepa::embed::row_file::check_rows;
use vljepa::embed::texts::check_texts;

use super::common::{Common, ModelArgs, note_cut, open};
use super::failure::Result;
use super::output::Output;
use super::rows::{self, one_vector};

/// The values of `embed-text --pool`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum TextPoolArg {
    /// The mean of the tokens
    Mean,
    /// The last token
    Last,
    /// The first token, [CLS] of a BERT
    Cls,
}

impl From<TextPoolArg> for TextPool {
    fn from(arg: TextPoolArg) -> Self {
        match arg {
            TextPoolArg::Mean => TextPool::Mean,
            TextPoolArg::Last => TextPool::Last,
            TextPoolArg::Cls => TextPool::Cls,
        }
    }
}

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Texts to embed
    #[arg(required = true, value_name = "TEXT")]
    pub texts: Vec<String>,
    /// Text encoder: how token vectors are pooled into a row; absent: the pooling of its folder, else of its kind
    #[arg(long, value_name = "HOW")]
    pub pool: Option<TextPoolArg>,
    /// Write the rows to a .npy or .safetensors file instead of printing them
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub model: ModelArgs,
}

pub fn run(args: &Args, common: &Common, out: &Output) -> Result {
    if let Some(path) = &args.out {
        check_rows(path)?;
    }
    check_texts("TEXT", &args.texts)?;
    let folder = vljepa::find(args.model.model.as_deref())?;
    let bar = out.progress("texts", args.texts.len());
    let progress = &mut |n| bar.set_position(n as u64);
    let (embedded, cut) = match &folder {
        AnyFolder::VlJepa(vljepa) => {
            if args.pool.is_some() {
                return Err(one_vector(&folder, "--pool is for text encoders"));
            }
            open(vljepa, &args.model, common)?.embed_texts_with(&args.texts, progress)?
        }
        AnyFolder::Text(text) => {
            let device = vljepa::open_device(&common.device)?;
            let pool = args.pool.map(Into::into);
            TextModel::load_as(&device, text, pool, args.model.precision.into())?
                .embed_texts_with(&args.texts, progress)?
        }
        other => return Err(other.cannot(Purpose::Texts).into()),
    };
    bar.finish_and_clear();
    note_cut(cut.as_ref(), |i| format!("TEXT {}", i + 1), out);
    rows::print(&embedded, "text", &args.texts, args.out.as_deref(), out)
}
