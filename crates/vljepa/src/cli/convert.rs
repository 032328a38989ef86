//! `convert`: converts a checkpoint of another project into a model folder.

use std::path::PathBuf;

use clap::ValueEnum;
use vljepa::convert::{CROP_SIZE_2_1, ConvertFrom, ConvertOptions, convert_with};

use super::common::Common;
use super::failure::{Failure, Result};
use super::output::Output;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Kind of the checkpoint
    #[arg(long, value_name = "KIND")]
    pub from: FromKind,
    /// The checkpoint: a file or a folder
    #[arg(value_name = "SRC")]
    pub source: PathBuf,
    /// The folder to write; it must be empty or not exist
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// All but open-vljepa: config.json of the checkpoint, if it is not in the same folder
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// vjepa2-pt: the encoder to convert: encoder, or target_encoder, its moving average, which the authors evaluate
    /// and which some files of V-JEPA 2.1 call ema_encoder [default: the moving average]
    #[arg(long, value_name = "NAME")]
    pub entry: Option<String>,
    /// vjepa2-pt: side of the square input in pixels, which the file does not tell: 256, or 384 for V-JEPA 2.1 and the
    /// ViT-g of that size
    #[arg(long, value_name = "N")]
    pub crop_size: Option<usize>,
    /// open-vljepa: folder of the V-JEPA 2 that it was trained from
    #[arg(long, value_name = "DIR", required_if_eq("from", "open-vljepa"))]
    pub vjepa2: Option<PathBuf>,
    /// open-vljepa: folder with config.json and tokenizer.json of its Llama
    #[arg(long, value_name = "DIR", required_if_eq("from", "open-vljepa"))]
    pub llama: Option<PathBuf>,
    /// open-vljepa: folder with config.json and tokenizer.json of its text encoder, EmbeddingGemma
    #[arg(long, value_name = "DIR", required_if_eq("from", "open-vljepa"))]
    pub gemma: Option<PathBuf>,
    /// Do not verify the checksums of a PyTorch file (some files have none)
    #[arg(long)]
    pub skip_checksums: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FromKind {
    /// V-JEPA 2 of the model hub, base model or classifier
    Vjepa2,
    /// V-JEPA 2 or 2.1 as its authors publish it, a .pt file
    Vjepa2Pt,
    /// A text model of the model hub: BERT, Llama, Gemma 3, Qwen3
    HfText,
    /// A checkpoint of open-vljepa, a .pt file
    #[value(name = "open-vljepa")]
    OpenVlJepa,
}

/// Refuses flags that belong to another kind of checkpoint, instead of ignoring them.
fn check_kind(args: &Args) -> std::result::Result<(), String> {
    let name = |kind: FromKind| kind.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default();
    let (pt, open) = (FromKind::Vjepa2Pt, FromKind::OpenVlJepa);
    let kinds = [
        ("--entry", args.entry.is_some(), pt),
        ("--crop-size", args.crop_size.is_some(), pt),
        ("--vjepa2", args.vjepa2.is_some(), open),
        ("--llama", args.llama.is_some(), open),
        ("--gemma", args.gemma.is_some(), open),
    ];
    let from = name(args.from);
    match kinds.iter().find(|(_, given, kind)| *given && *kind != args.from) {
        Some((flag, _, kind)) => Err(format!("{flag} belongs to --from {}; leave it out for {from}", name(*kind))),
        None if args.config.is_some() && args.from == open => Err(format!(
            "--config is not for --from {from}, whose configurations are in the folders of --vjepa2, --llama and --gemma; leave it out"
        )),
        None => Ok(()),
    }
}

pub fn run(args: &Args, _: &Common, out: &Output) -> Result {
    check_kind(args).map_err(|reason| Failure::Usage { verb: "convert", reason })?;
    let from = match args.from {
        FromKind::Vjepa2 => ConvertFrom::Vjepa2,
        FromKind::Vjepa2Pt => ConvertFrom::Vjepa2Pt { entry: args.entry.as_deref(), crop_size: args.crop_size },
        FromKind::HfText => ConvertFrom::HfText,
        FromKind::OpenVlJepa => {
            let (Some(vjepa2), Some(llama), Some(gemma)) = (&args.vjepa2, &args.llama, &args.gemma) else {
                let reason = "--from open-vljepa needs --vjepa2, --llama and --gemma; name all three".to_owned();
                return Err(Failure::Usage { verb: "convert", reason });
            };
            ConvertFrom::OpenVlJepa { vjepa2, llama, gemma }
        }
    };
    let options = ConvertOptions { from, config: args.config.as_deref(), checksums: !args.skip_checksums };
    let bar = out.progress("bytes", 1);
    let done = convert_with(&args.source, &args.out, &options, &mut |written, total| {
        bar.set_length(total);
        bar.set_position(written);
    });
    bar.finish_and_clear();
    let done = done?;
    if let Some(side) = done.assumed_crop_size {
        let others = match side {
            CROP_SIZE_2_1 => " as in every published V-JEPA 2.1; pass --crop-size N for another",
            _ => "; pass --crop-size 384 for the model of that size",
        };
        out.note(&format!(
            "{}: the file does not tell the size of its input, {side} pixels are assumed{others}",
            args.source.display()
        ));
    }
    if out.json {
        return out.document(&done);
    }
    let (tensors, parameters) = (done.tensors, done.parameters);
    out.text(&format!("{}: {}; {tensors} tensors, {parameters} parameters\n", done.out, done.model))
}
