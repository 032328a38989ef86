//! `pull`: fetches a model from the Hugging Face hub into the cache.

use indicatif::{ProgressBar, ProgressStyle};
use vljepa::hub::{self, PullEvent, PullOptions, RepoId, Revision, Settings};

use super::common::Common;
use super::failure::Result;
use super::output::Output;

#[derive(Debug, clap::Args)]
#[command(after_help = PULL_HELP)]
pub struct Args {
    /// Repository, as in facebook/vjepa2-vitl-fpc64-256
    #[arg(value_name = "ORG/NAME", value_parser = RepoId::parse)]
    pub repo: RepoId,
    /// Branch, tag or commit
    #[arg(long, value_name = "REV", default_value = "main", value_parser = Revision::parse)]
    pub revision: Revision,
    /// Fetch the files that match, instead of the files that this program reads; repeatable, * matches any text
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// Leave out the files that match; repeatable
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Fetch files again that are in the cache
    #[arg(long)]
    pub force: bool,
}

/// Help text after the options.
const PULL_HELP: &str = "\
Without --include, pull fetches configurations, tokenizers, the model card and safetensors files; without safetensors, the one
.pt, .pth or .bin file. Files go into the cache of Python's huggingface_hub. Files in the cache are not fetched again, and
interrupted downloads resume.

Environment:
  HF_TOKEN               Token for private repositories, and for repositories whose licence must be accepted
  HF_HOME, HF_HUB_CACHE  Where the cache is: HF_HOME/hub, or HF_HUB_CACHE [default: ~/.cache/huggingface/hub]
  HF_ENDPOINT            Another hub
  HF_HUB_OFFLINE=1       Use the cache only
  SSL_CERT_FILE          PEM file of the authorities to trust, in place of the public ones";

pub fn run(args: &Args, _: &Common, out: &Output) -> Result {
    let settings = Settings::from_env()?;
    let options = PullOptions {
        revision: args.revision.clone(),
        include: &args.include,
        exclude: &args.exclude,
        force: args.force,
    };
    let bar = out.progress("bytes", 0);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:24} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left  {msg}")
    {
        bar.set_style(style);
    }
    let mut progress = Progress { bar: &bar, out, before: 0, size: None };
    let done = hub::pull_with(&args.repo, &options, &settings, &mut |event| progress.show(event));
    bar.finish_and_clear();
    let done = done?;
    if out.json {
        return out.document(&done);
    }
    out.text(&format!("{}\n", done.folder.display()))
}

/// Shows the progress of a pull: a bar on a terminal, else a line for every file.
struct Progress<'a> {
    bar: &'a ProgressBar,
    out: &'a Output,
    /// Size of the files before the current one, in bytes.
    before: u64,
    /// Size of the current file in bytes.
    size: Option<u64>,
}

impl Progress<'_> {
    fn note(&self, line: &str) {
        self.bar.suspend(|| self.out.note(line));
    }

    fn show(&mut self, event: PullEvent<'_>) {
        match event {
            PullEvent::Planned { bytes, .. } => self.bar.set_length(bytes),
            PullEvent::Fetching { name, from, size } => {
                self.before += self.size.unwrap_or_default();
                self.size = size;
                self.bar.set_position(self.before + from);
                // Bytes of an earlier run must not count as speed.
                self.bar.reset_eta();
                self.bar.set_message(name.to_owned());
                if self.bar.is_hidden() {
                    let size = size.map(|s| format!(", {s} bytes")).unwrap_or_default();
                    let from = if from > 0 { format!(", resuming at byte {from}") } else { String::new() };
                    self.note(&format!("fetching {name}{size}{from}"));
                }
            }
            PullEvent::Progress { bytes, .. } => self.bar.set_position(self.before + bytes),
            PullEvent::Retrying { what, reason, wait } => {
                self.note(&format!("{what}: {reason}; trying again in {:.1} s", wait.as_secs_f64()));
            }
            PullEvent::Waiting { name } => {
                self.note(&format!("{name}: waiting for another process that is fetching it"))
            }
            PullEvent::Damaged { name } => {
                self.note(&format!("{name}: the file in the cache is cut short or altered, fetching it again"));
            }
            PullEvent::Restarting { name } => {
                self.size = None;
                self.note(&format!("{name}: the bytes of an earlier run are wrong, fetching the whole file"));
            }
            _ => {}
        }
    }
}
