//! The verbs of the command: a file each, and a line each in the table below.

mod ask;
mod bench;
mod choices;
mod classify;
mod common;
mod convert;
mod demo;
mod embed;
mod embed_text;
mod eval;
mod failure;
mod index;
mod info;
mod inspect;
mod output;
mod pull;
mod rows;
mod search;
mod train;

use clap::{CommandFactory, Parser, Subcommand};

use common::Common;
use output::Output;
pub use output::printable;

/// See, search and learn with VL-JEPA on any GPU.
#[derive(Debug, Parser)]
#[command(name = "vljepa", version, about, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

/// The table of verbs: what help says of one, its name, and the module with its `Args` and `run`.
macro_rules! verbs {
    ($($(#[$about:meta])* $name:ident => $module:ident),* $(,)?) => {
        #[derive(Debug, Subcommand)]
        enum Verb {
            $($(#[$about])* $name($module::Args),)*
        }

        impl Verb {
            fn run(&self, common: &Common, out: &Output) -> failure::Result {
                match self {
                    $(Self::$name(args) => $module::run(args, common, out),)*
                }
            }
        }
    };
}

verbs! {
    /// Adapters, capabilities, limits, the kernels that will run, the models found
    Info => info,
    /// Embeddings of pictures and videos as the model predicts them (L2-normalised)
    Embed => embed,
    /// Embeddings of texts as pictures are compared with (L2-normalised)
    EmbedText => embed_text,
    /// Zero-shot classification of pictures and videos, or the classes of a V-JEPA 2 classifier
    Classify => classify,
    /// Answer a question about pictures and videos by the best of given answers
    Ask => ask,
    /// Persistent indices of picture folders
    Index => index,
    /// Pictures of an index that fit a text
    Search => search,
    /// Train a model as a TOML file says
    Train => train,
    /// Measure a model on a suite
    Eval => eval,
    /// Name and find drawings of an unseen designer; writes a page with pictures
    Demo => demo,
    /// Fetch a model from the Hugging Face hub and print its folder
    Pull => pull,
    /// Turn a checkpoint of another project into a folder that this program reads
    Convert => convert,
    /// What a checkpoint, a model folder or an index holds
    Inspect => inspect,
    /// Time operators on this adapter
    Bench => bench,
}

/// Runs the command that the arguments name. Bad usage ends the process with 2, `--help` with 0.
pub fn main() -> failure::Result {
    let cli = Cli::parse();
    cli.verb.run(&cli.common, &Output::new(cli.common.json))
}

/// The command line, for messages of the parser.
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_holds_together() {
        super::command().debug_assert();
    }
}
