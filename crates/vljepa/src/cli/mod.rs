//! The verbs of the command: one module and one line of the table below for each.

mod ask;
mod bench;
mod caption;
mod choices;
mod classify;
mod common;
mod convert;
mod data;
mod demo;
mod embed;
mod embed_text;
mod eval;
mod failure;
mod index;
mod info;
mod inspect;
mod mcp;
mod output;
mod plan;
mod pull;
mod read;
mod rows;
mod search;
mod serve;
mod sprites;
pub mod stop;
mod surprise;
mod train;
mod watch;
mod worlds;

use clap::{CommandFactory, Parser, Subcommand};

use common::Common;
use output::Output;
pub use output::printable;

/// Help text after the options.
const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 failed, with one line on stderr; 2 arguments that are wrong or do not go together; 130 interrupted.
Results that are written to files are whole or not there, also after an interrupt.";

/// See, search and learn with VL-JEPA on any GPU.
#[derive(Debug, Parser)]
#[command(name = "vljepa", version, about, propagate_version = true, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

/// The table of verbs: help text, name, and module with `Args` and `run`.
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
    /// Show adapters, capabilities, limits, the kernel variants that will run, and the models found
    Info => info,
    /// Embed pictures and videos: the embeddings that the model predicts (L2-normalised)
    Embed => embed,
    /// Embed texts, for comparison with embeddings of pictures (L2-normalised)
    EmbedText => embed_text,
    /// Classify pictures and videos: zero-shot with labels, or into the classes of a V-JEPA 2 classifier
    Classify => classify,
    /// Answer a question about pictures and videos, in words of its own or by choosing among given answers
    Ask => ask,
    /// Write a sentence for each picture or video
    Caption => caption,
    /// Build a persistent index of a picture folder
    Index => index,
    /// Watch a video or a stream: silent until what happens changes, then one sentence
    Watch => watch,
    /// Find where a video stops being predictable, with the masked predictor of a V-JEPA 2
    Surprise => surprise,
    /// Answer over HTTP: a page, an API, streams that are watched
    Serve => serve,
    /// Serve tools for agents: describe, ask, search, watch (Model Context Protocol)
    Mcp => mcp,
    /// Find the pictures of an index that match a text
    Search => search,
    /// Check a manifest of your own pictures and clips before training on it
    Data => data,
    /// Write clips of drawings in motion with captions, questions and answers
    Sprites => sprites,
    /// Plan with a world model: from a start to a goal in an environment
    Plan => plan,
    /// Play, draw and record episodes of the environments
    Worlds => worlds,
    /// Train a model with the configuration in a TOML file
    Train => train,
    /// Measure a model on a suite
    Eval => eval,
    /// Name and find drawings of an unseen designer, and write a page with the results
    Demo => demo,
    /// Fetch a model from the Hugging Face hub and print its folder
    Pull => pull,
    /// Turn a checkpoint of another project into a folder that this program reads
    Convert => convert,
    /// Show the content of a checkpoint, a model folder or an index
    Inspect => inspect,
    /// Time operators and whole models on this adapter
    Bench => bench,
}

/// Runs the verb that the arguments name. Invalid arguments end the process with code 2, `--help` with 0.
pub fn main() -> failure::Result {
    let cli = Cli::parse();
    cli.verb.run(&cli.common, &Output::new(cli.common.json))
}

/// The definition of the command line, for usage errors.
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
