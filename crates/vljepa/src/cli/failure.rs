//! Failures of the command: library errors with advice in terms of flags and verbs, and exit codes.

use clap::error::ErrorKind;
use vljepa::embed::{self, Hint as EmbedHint};
use vljepa::hub::HubError;
use vljepa::{Error, Hint};
use vljepa_train::TrainError;

/// Result of a verb.
pub type Result<T = (), E = Failure> = std::result::Result<T, E>;

/// A failure of a verb.
#[derive(Debug)]
pub enum Failure {
    /// An error of the library: exit code 1.
    Task(Error),
    /// Standard output could not be written: exit code 1.
    Stdout(std::io::Error),
    /// A request that cannot be fulfilled, in one line: exit code 1.
    Message(String),
    /// Arguments of a verb that contradict each other: exit code 2, like the errors of the parser.
    Usage { verb: &'static str, reason: String },
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Task(error.into())
    }
}

impl Failure {
    /// Makes [`Self::Message`].
    pub fn message(text: impl Into<String>) -> Self {
        Self::Message(text.into())
    }

    /// Whether the reader of standard output has closed it, which is not a failure of the command.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Stdout(error) if error.kind() == std::io::ErrorKind::BrokenPipe)
    }

    /// The line to print. For [`Self::Usage`], the parser prints the error and ends the process with code 2.
    pub fn line(self, mut command: clap::Command) -> String {
        match self {
            Self::Task(error) => task(&error),
            Self::Stdout(error) => format!("standard output: {error}"),
            Self::Message(text) => text,
            Self::Usage { verb, reason } => {
                command.build();
                let error = match command.find_subcommand_mut(verb) {
                    Some(verb) => verb.error(ErrorKind::ArgumentConflict, reason),
                    None => command.error(ErrorKind::ArgumentConflict, reason),
                };
                error.exit()
            }
        }
    }
}

/// The message of an error, with its hints in terms of flags and verbs.
fn task(error: &Error) -> String {
    match error {
        Error::Embed(error) | Error::Train(TrainError::Embed(error)) => embedding(error),
        Error::Hub(error) => hub(error),
        Error::Hinted { error, hint } => format!("{}; {}", task(error), task_hint(*hint)),
        other => other.to_string(),
    }
}

fn task_hint(hint: Hint) -> String {
    match hint {
        Hint::NameModel => "pass --model DIR".into(),
        Hint::RebuildIndex => "build it again with `vljepa index build`".into(),
        Hint::NameIndex => "name an index of `vljepa index build`".into(),
        Hint::ModelOfIndex => "pass that model with --model, or build it again with `vljepa index build`".into(),
        Hint::ConvertAs(kind) => format!("use --from {kind}"),
        Hint::UseAsModel => "pass the folder to --model".into(),
        Hint::GiveConfig { or_authors: false } => "pass its --config FILE".into(),
        Hint::GiveConfig { or_authors: true } => {
            "pass its --config FILE, or use --from vjepa2-pt for a file of its authors".into()
        }
        Hint::Entry(name) => format!("pass --entry {name}, or for a file of the model hub --from vjepa2"),
        Hint::NameLlama => "name its folder with --llama".into(),
        Hint::MakeGuide => "make it anew with `vljepa worlds guide --model DIR`".into(),
        other => other.to_string(),
    }
}

fn embedding(error: &embed::Error) -> String {
    match error {
        embed::Error::Argument { name, reason } => format!("--{}: {reason}", name.replace('_', "-")),
        embed::Error::Begun { journal, data, run } => {
            let run = match run {
                embed::OtherRun::Task(task) if task == "rows" => "`vljepa embed`".into(),
                embed::OtherRun::Task(task) if task == "index" => "`vljepa index build`".into(),
                embed::OtherRun::Unknown => "`vljepa embed` or `vljepa index build`".into(),
                other => other.to_string(),
            };
            format!(
                "{}: an unfinished run of {run} has begun this file; run that one again to finish it, name another --out, or \
                 remove this file and {data} to begin anew",
                journal.display()
            )
        }
        embed::Error::Hinted { error, hint } => format!("{}; {}", embedding(error), embed_hint(*hint)),
        other => other.to_string(),
    }
}

fn embed_hint(hint: EmbedHint) -> String {
    match hint {
        EmbedHint::SkipBroken => "--skip-broken leaves out what cannot be read",
        EmbedHint::SkipOrConceal => {
            "--skip-broken leaves out what cannot be read, --damaged conceal lets other frames stand in for damaged ones"
        }
        EmbedHint::GetModel => "`vljepa pull` fetches one, `vljepa convert` makes one",
        EmbedHint::GetAgain => "`vljepa pull` fetches it again where it is of the hub's cache, else copy it again",
        EmbedHint::NoQuery => "leave --query out",
        EmbedHint::OtherAdapter => "try --device cpu",
        EmbedHint::OtherPool => "--pool probe takes a classifier checkpoint; use none, mean or last",
        EmbedHint::RowExtension => "--out takes a name that ends in .npy or .safetensors",
        EmbedHint::PicturesAlone => "use a VL-JEPA, or `vljepa embed` for vectors of pictures alone",
        EmbedHint::TextsAlone => "use a VL-JEPA, or `vljepa embed-text` for vectors of texts alone",
        other => return other.to_string(),
    }
    .into()
}

/// The message of a hub error, with options of a pull replaced by flags.
fn hub(error: &HubError) -> String {
    ["include", "exclude", "force", "revision"]
        .iter()
        .fold(error.to_string(), |text, name| text.replace(&format!("`{name}`"), &format!("--{name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_verbs_are_added_to_what_the_library_says() {
        let broken = embed::Error::content("a.png", "not a picture").hint(EmbedHint::SkipBroken);
        assert_eq!(task(&broken.into()), "a.png: not a picture; --skip-broken leaves out what cannot be read");
        let argument = embed::Error::argument("crop_size", "30 is too small");
        assert_eq!(task(&argument.into()), "--crop-size: 30 is too small");
        let none = Error::from(embed::Error::Invalid("no model".into())).hint(Hint::NameModel);
        assert_eq!(task(&none), "no model; pass --model DIR");
        assert_eq!(none.to_string(), "no model; name a model's folder");
    }
}
