//! `pull`.

use indicatif::{ProgressBar, ProgressStyle};
use vljepa::Result;
use vljepa::hub::{self, PullEvent, PullOptions, Settings};

use super::Output;
use super::args::PullArgs;

pub fn run(args: &PullArgs, out: &Output) -> Result<()> {
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
    let done = hub::pull(&args.repo, &options, &settings, &mut |event| progress.hear(event));
    bar.finish_and_clear();
    let done = done?;
    if out.json {
        return out.document(&done);
    }
    out.text(&format!("{}\n", done.folder.display()))
}

/// A bar on a terminal; elsewhere a line for every file.
struct Progress<'a> {
    bar: &'a ProgressBar,
    out: &'a Output,
    /// Bytes of the files before this one.
    before: u64,
    /// Bytes of this one.
    size: Option<u64>,
}

impl Progress<'_> {
    fn note(&self, line: &str) {
        self.bar.suspend(|| self.out.note(line));
    }

    fn hear(&mut self, event: PullEvent<'_>) {
        match event {
            PullEvent::Planned { bytes, .. } => self.bar.set_length(bytes),
            PullEvent::Fetching { name, from, size } => {
                self.before += self.size.unwrap_or_default();
                self.size = size;
                self.bar.set_position(self.before + from);
                // What was there already is not fast.
                self.bar.reset_eta();
                self.bar.set_message(name.to_owned());
                if self.bar.is_hidden() {
                    let size = size.map(|s| format!(", {s} bytes")).unwrap_or_default();
                    let from = if from > 0 { format!(", going on at {from}") } else { String::new() };
                    self.note(&format!("fetching {name}{size}{from}"));
                }
            }
            PullEvent::Progress { bytes, .. } => self.bar.set_position(self.before + bytes),
            PullEvent::Retrying { what, reason, wait } => {
                self.note(&format!("{what}: {reason}; trying again in {:.1} s", wait.as_secs_f64()));
            }
            PullEvent::Waiting { name } => self.note(&format!("{name}: waiting for another process that fetches it")),
            PullEvent::Restarting { name } => {
                self.size = None;
                self.note(&format!("{name}: what an earlier run left does not fit, fetching all of it"));
            }
            _ => {}
        }
    }
}
