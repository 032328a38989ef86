//! `embed-text`: embeds texts.

use std::path::PathBuf;

use clap::ValueEnum;
use vljepa::Builtin;
use vljepa::embed::folder::{AnyFolder, Purpose};
use vljepa::embed::models::{TextModel, TextPool};
use vljepa::embed::row_file::check_rows;
use vljepa::embed::texts::check_texts;
use vljepa_data::{read_texts, read_texts_from};

use super::common::{Common, ModelArgs, keep_apart, note_cut, open};
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
    /// Texts to embed; `-` reads them from standard input, one a line
    #[arg(required_unless_present = "file", conflicts_with = "file", value_name = "TEXT")]
    pub texts: Vec<String>,
    /// File with one text a line, instead of TEXT
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Text encoder: how token vectors are pooled into a row; absent: the pooling of its folder, else of its kind
    #[arg(long, value_name = "HOW")]
    pub pool: Option<TextPoolArg>,
    /// Write the rows to a .npy, .safetensors or (where built in) .parquet file instead of printing them
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub model: ModelArgs,
}

/// The texts to embed, and what messages call one, before its number.
struct Given {
    texts: Vec<String>,
    origin: String,
}

impl Given {
    fn read(args: &Args) -> Result<Self> {
        Ok(match (&args.file, args.texts.as_slice()) {
            (Some(path), _) => Self { texts: read_texts(path)?, origin: format!("{}: line", path.display()) },
            (None, [text]) if text == "-" => {
                let origin = "standard input";
                Self { texts: read_texts_from(origin, std::io::stdin().lock())?, origin: format!("{origin}: line") }
            }
            (None, texts) => Self { texts: texts.to_vec(), origin: "TEXT".into() },
        })
    }
}

pub fn run(args: &Args, common: &Common, out: &Output) -> Result {
    if let Some(path) = &args.out {
        check_rows(path)?;
    }
    let given = Given::read(args)?;
    check_texts("TEXT", &given.texts)?;
    if let Some(path) = &args.out {
        keep_apart(path, args.file.as_slice(), args.model.model.as_deref())?;
    }
    let folder = vljepa::find(args.model.model.as_deref(), Builtin::Compact)?;
    let bar = out.progress("texts", given.texts.len());
    let progress = &mut |n| bar.set_position(n as u64);
    let (embedded, cut) = match &folder {
        AnyFolder::VlJepa(vljepa) => {
            if args.pool.is_some() {
                return Err(one_vector(&folder, "--pool is for text encoders"));
            }
            open(vljepa, &args.model, common)?.embed_texts_with(&given.texts, progress)?
        }
        AnyFolder::Text(text) => {
            let device = vljepa::open_device(&common.device)?;
            let pool = args.pool.map(Into::into);
            TextModel::load_as(&device, text, pool, args.model.precision.into())?
                .embed_texts_with(&given.texts, progress)?
        }
        other => return Err(other.cannot(Purpose::Texts).into()),
    };
    bar.finish_and_clear();
    note_cut(cut.as_ref(), |i| format!("{} {}", given.origin, i + 1), out);
    rows::print_texts(&embedded, &given.texts, args.out.as_deref(), out)
}
