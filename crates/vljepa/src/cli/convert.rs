//! `convert`.

use vljepa::{ConvertFrom, ConvertOptions, Error, Result};

use super::Output;
use super::args::{ConvertArgs, FromKind};

pub fn run(args: &ConvertArgs, out: &Output) -> Result<()> {
    let from = match args.from {
        FromKind::Vjepa2 => ConvertFrom::Vjepa2,
        FromKind::Vjepa2Pt => ConvertFrom::Vjepa2Pt { entry: &args.entry, crop_size: args.crop_size },
        FromKind::HfText => ConvertFrom::HfText,
        FromKind::OpenVlJepa => {
            let (Some(vjepa2), Some(llama), Some(gemma)) = (&args.vjepa2, &args.llama, &args.gemma) else {
                return Err(Error::Invalid("open-vljepa needs --vjepa2, --llama and --gemma".into()));
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
    if out.json {
        return out.document(&done);
    }
    let (tensors, parameters) = (done.tensors, done.parameters);
    out.text(&format!("{}: {}; {tensors} tensors, {parameters} parameters\n", done.out, done.model))
}
