//! `convert`.

use clap::ValueEnum;
use vljepa::{CROP_SIZE, ConvertFrom, ConvertOptions, Error, Result};

use super::args::{ConvertArgs, FromKind};
use super::{Output, conflict};

/// The encoder that the authors evaluate with.
const ENTRY: &str = "target_encoder";

/// What is wrong with flags that another kind of checkpoint would need: nobody should believe that they were used.
fn check_kind(args: &ConvertArgs) -> std::result::Result<(), String> {
    let name = |kind: FromKind| kind.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default();
    let (pt, open) = (FromKind::Vjepa2Pt, FromKind::OpenVlJepa);
    let mine = [
        ("--entry", args.entry.is_some(), pt),
        ("--crop-size", args.crop_size.is_some(), pt),
        ("--vjepa2", args.vjepa2.is_some(), open),
        ("--llama", args.llama.is_some(), open),
        ("--gemma", args.gemma.is_some(), open),
    ];
    let from = name(args.from);
    match mine.iter().find(|(_, given, kind)| *given && *kind != args.from) {
        Some((flag, _, kind)) => Err(format!("{flag} belongs to --from {}; leave it out for {from}", name(*kind))),
        None if args.config.is_some() && args.from == open => Err(format!(
            "--config is not for --from {from}, whose configurations lie in the folders of --vjepa2, --llama and --gemma; leave it out"
        )),
        None => Ok(()),
    }
}

pub fn run(args: &ConvertArgs, out: &Output) -> Result<()> {
    if let Err(reason) = check_kind(args) {
        conflict("convert", reason);
    }
    let from = match args.from {
        FromKind::Vjepa2 => ConvertFrom::Vjepa2,
        FromKind::Vjepa2Pt => {
            ConvertFrom::Vjepa2Pt { entry: args.entry.as_deref().unwrap_or(ENTRY), crop_size: args.crop_size }
        }
        FromKind::HfText => ConvertFrom::HfText,
        FromKind::OpenVlJepa => {
            let (Some(vjepa2), Some(llama), Some(gemma)) = (&args.vjepa2, &args.llama, &args.gemma) else {
                return Err(Error::Invalid("open-vljepa needs --vjepa2, --llama and --gemma; leave it out".into()));
            };
            ConvertFrom::OpenVlJepa { vjepa2, llama, gemma }
        }
    };
    let options = ConvertOptions { from, config: args.config.as_deref(), checksums: !args.skip_checksums };
    let bar = out.progress("bytes", 1);
    let done = vljepa::convert(&args.source, &args.out, &options, |written, total| {
        bar.set_length(total);
        bar.set_position(written);
    });
    bar.finish_and_clear();
    let done = done?;
    if args.from == FromKind::Vjepa2Pt && args.crop_size.is_none() && args.config.is_none() {
        out.note(&format!(
            "{}: the file does not tell the side of its input, {CROP_SIZE} pixels are assumed; pass --crop-size 384 if it is \
             the model of that size",
            args.source.display()
        ));
    }
    if out.json {
        return out.document(&done);
    }
    let (tensors, parameters) = (done.tensors, done.parameters);
    out.text(&format!("{}: {}; {tensors} tensors, {parameters} parameters\n", done.out, done.model))
}
