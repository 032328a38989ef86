//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// See, search and learn with VL-JEPA on any GPU.
#[derive(Debug, Parser)]
#[command(name = "vljepa", version, about, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub verb: Verb,
}

/// What every verb takes.
#[derive(Debug, Args)]
pub struct Common {
    /// Print one JSON document on stdout instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Adapter: auto, cpu (software), an index of `vljepa info`, or part of a name
    #[arg(long, global = true, default_value = "auto", value_name = "NAME")]
    pub device: String,
    /// Seed of whatever is random
    #[arg(long, global = true, default_value_t = 0, value_name = "N")]
    pub seed: u64,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Adapters, capabilities, limits, the kernels that will run, the models found
    Info(ModelArgs),
    /// Time operators on this adapter
    Bench(BenchArgs),
}

/// Which model.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Model folder (config.json, model.safetensors, target_tokenizer.json); absent: the compact model of this program
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub verb: BenchVerb,
}

#[derive(Debug, Subcommand)]
pub enum BenchVerb {
    /// Square f32 matrix products
    Matmul {
        /// Sizes, separated by commas
        #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "512,1024")]
        sizes: Vec<usize>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }
}
