//! `serve`: answers over HTTP, with a page for people.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use vljepa::embed::folder::Purpose;
use vljepa::serve::{AllowedAddresses, Key, ServeOptions, Server, listen};
use vljepa::{AllowedFolders, Builtin};

use super::common::{Common, ModelArgs, at_least_one, load};
use super::failure::{Failure, Result};
use super::output::Output;
use super::read::above_zero;
use super::stop;

/// The environment's name of a key.
const KEY: &str = "VLJEPA_API_KEY";
/// Longest file of a key.
const MAX_KEY: u64 = 4096;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address to listen at; another than this machine's own needs a key
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    pub host: String,
    /// Port to listen at; 0 takes one that is free, and prints it
    #[arg(long, value_name = "N", default_value_t = 8642)]
    pub port: u16,
    /// Folder whose files clients may name, or the beginning of an address (rtsp://…, http://…) whose streams they may watch through ffmpeg;
    /// may be given again
    #[arg(long, value_name = "DIR|URL")]
    pub allow: Vec<String>,
    /// Folder in which streams are kept as they are seen, and from which they are known again
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// File with the key that requests must bring as `Authorization: Bearer KEY`; absent: the environment's VLJEPA_API_KEY, and without
    /// that no key
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Largest upload
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub max_upload_mib: u64,
    /// Requests that are worked on or wait; further ones are told to come again (429)
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one)]
    pub queue: usize,
    /// Streams that are watched at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = at_least_one)]
    pub streams: usize,
    /// Clips or texts of several requests that go through the model together
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = at_least_one)]
    pub batch: usize,
    /// Seconds that an answer may take
    #[arg(long, value_name = "S", default_value_t = 120.0, value_parser = above_zero)]
    pub timeout: f64,
    #[command(flatten)]
    pub model: ModelArgs,
}

pub fn run(args: &Args, common: &Common, out: &Output) -> Result {
    let key = key(args.key_file.as_deref())?;
    let (addresses, folders): (Vec<&String>, Vec<&String>) =
        args.allow.iter().partition(|allowed| AllowedAddresses::is_address(allowed));
    let (folders, addresses) = (AllowedFolders::new(&folders)?, AllowedAddresses::new(&addresses)?);
    let (listener, address) = listen(&args.host, args.port)?;
    if key.is_none() && !address.ip().is_loopback() {
        return Err(Failure::message(format!(
            "--host {}: others can reach it, and there is no key; give --key-file FILE or {KEY}",
            args.host
        )));
    }
    let (_, model) = load(&args.model, Builtin::Sprites, common, Purpose::Answers)?;
    let model_id = match &args.model.model {
        None => Builtin::Sprites.name().to_owned(),
        Some(dir) => {
            let name = dir.canonicalize().unwrap_or_else(|_| dir.clone());
            name.file_name().map_or_else(|| "vljepa".into(), |name| name.to_string_lossy().into_owned())
        }
    };
    let adapter = vljepa::info::adapter_name(model.device());
    let options = ServeOptions {
        model_id: model_id.clone(),
        host: args.host.clone(),
        key,
        folders,
        addresses,
        max_upload: args.max_upload_mib << 20,
        queue: args.queue,
        streams: args.streams,
        batch: args.batch,
        timeout: Duration::try_from_secs_f64(args.timeout)
            .map_err(|_| Failure::message(format!("--timeout: {} s is too long", args.timeout)))?,
        data: args.data.clone(),
        ..ServeOptions::default()
    };
    let protected = options.key.is_some();
    let server = Server::new(model, options, &mut |note| out.note(&note))?;
    stop::listen();
    let url = format!("http://{address}");
    match out.json {
        true => out.document(&json!({ "address": url, "model": model_id, "adapter": adapter, "key": protected }))?,
        false => out.text(&format!("{url}\n"))?,
    }
    if std::io::stderr().is_terminal() {
        let key = if protected { "a key is asked for" } else { "no key: for this machine alone" };
        out.note(&format!("model {model_id} on {adapter}; {key}; ctrl-c stops"));
    }
    Ok(server.run(listener, stop::is_wanted)?)
}

/// The key of a file, else of the environment.
fn key(file: Option<&Path>) -> Result<Option<Key>> {
    if let Some(path) = file {
        let text = vljepa::embed::files::read_text(path, MAX_KEY)?;
        return Ok(Some(Key::new(&text).map_err(|error| Failure::message(format!("{}: {error}", path.display())))?));
    }
    match std::env::var(KEY) {
        Ok(text) => Ok(Some(Key::new(&text).map_err(|error| Failure::message(format!("{KEY}: {error}")))?)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(Failure::message(format!("{KEY}: {error}"))),
    }
}
