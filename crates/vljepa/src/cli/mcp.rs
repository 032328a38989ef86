//! `mcp`: tools for agents, by the Model Context Protocol.

use std::path::PathBuf;

use vljepa::Builtin;
use vljepa::mcp::{HttpServer, McpError, Server, Settings, serve_stdio};

use super::common::{Common, ModelArgs};
use super::failure::{Failure, Result};
use super::output::Output;
use super::stop;

/// The port of `--http` where none is named.
const PORT: u16 = 8643;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder whose files the tools may read, with all folders in it; may be given again. Without any, nothing may be read
    #[arg(long, value_name = "DIR")]
    pub allow: Vec<PathBuf>,
    /// Listen for clients on 127.0.0.1 (streamable HTTP) instead of serving one on standard input and output
    #[arg(long)]
    pub http: bool,
    /// Port of --http; 0 takes one that is free. Absent: 8643
    #[arg(long, value_name = "N", requires = "http")]
    pub port: Option<u16>,
    /// Folder of a V-JEPA 2 with its masked predictor, for the tool `surprise` (`vljepa pull facebook/vjepa2-vitl-fpc64-256`)
    #[arg(long, value_name = "DIR")]
    pub surprise_model: Option<PathBuf>,
    #[command(flatten)]
    pub model: ModelArgs,
}

pub fn run(args: &Args, common: &Common, out: &Output) -> Result {
    let dirs = args
        .model
        .model
        .iter()
        .map(|dir| ("model", dir))
        .chain(args.surprise_model.iter().map(|dir| ("surprise-model", dir)));
    for (flag, dir) in dirs {
        let is_named = flag == "model" && Builtin::ALL.iter().any(|builtin| dir.as_os_str() == builtin.name());
        // Models are opened at the first call; a wrong name is told at once.
        if !is_named && !dir.is_dir() {
            return Err(Failure::message(format!("--{flag}: {}: no such folder", dir.display())));
        }
    }
    let mut settings = Settings::default();
    settings.allow.clone_from(&args.allow);
    settings.model.clone_from(&args.model.model);
    settings.surprise_model.clone_from(&args.surprise_model);
    settings.device.clone_from(&common.device);
    settings.precision = args.model.precision.into();
    settings.say = say;
    let server = Server::new(settings).map_err(failure)?;
    let warn = || {
        if args.allow.is_empty() {
            out.note("no folder may be read: name some with --allow DIR");
        }
    };
    if !args.http {
        warn();
        return serve_stdio(&server).map_err(failure);
    }
    let http = HttpServer::bind(server, args.port.unwrap_or(PORT)).map_err(failure)?;
    warn();
    out.note(&format!("listening on {}", http.url()));
    stop::listen();
    http.run(stop::is_wanted).map_err(failure)
}

fn failure(error: McpError) -> Failure {
    match error {
        McpError::Task(error) => error.into(),
        other => Failure::message(say(&other)),
    }
}

/// The message of an error, with advice in terms of flags.
fn say(error: &McpError) -> String {
    match error {
        McpError::NotAllowed { allowed, .. } if allowed.is_empty() => {
            format!("{error}; start `vljepa mcp` with --allow DIR")
        }
        McpError::NoForesight => format!(
            "{error}; start `vljepa mcp` with --surprise-model DIR (`vljepa pull facebook/vjepa2-vitl-fpc64-256` fetches one)"
        ),
        McpError::Port { .. } => format!("{error} with --port"),
        McpError::Task(vljepa::Error::Hinted { error, hint: vljepa::Hint::NameModel }) => {
            format!("{error}; start `vljepa mcp` with --model DIR")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_in_terms_of_flags() {
        assert!(say(&McpError::NoForesight).contains("--surprise-model DIR"));
        assert_eq!(say(&McpError::Cancelled), "the call was cancelled");
        let taken = std::io::Error::other("taken");
        assert!(say(&McpError::Port { port: 1, source: taken }).ends_with("taken; choose another one with --port"));
    }
}
