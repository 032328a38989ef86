//! `bench`: times operators and whole models on this adapter.

use clap::{Subcommand, ValueEnum};
use serde_json::json;
use vljepa::bench::{self, MAX_FRAMES, MAX_SIZE, Preset, are_frames};
use vljepa_model::Precision;

use super::common::{Common, PrecisionArg};
use super::failure::Result;
use super::output::{self, Output};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub verb: BenchVerb,
}

#[derive(Debug, Subcommand)]
pub enum BenchVerb {
    /// Square f32 matrix products
    Matmul {
        /// Sizes, separated by commas
        #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "512,1024", value_parser = bench_size)]
        sizes: Vec<usize>,
    },
    /// A published model at full size with random weights: loading, seconds per clip, memory
    Model {
        /// The model
        #[arg(long, value_name = "NAME", default_value = "vl-jepa-base")]
        preset: PresetArg,
        /// Frames of the clips, separated by commas
        #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "1,8,16", value_parser = bench_frames)]
        frames: Vec<usize>,
        /// Type of the matrices on the adapter
        #[arg(long, value_name = "TYPE", default_value = "f16")]
        precision: PrecisionArg,
    },
}

/// The values of `bench model --preset`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PresetArg {
    /// VL-JEPA: ViT-L, half of Llama-3.2-1B, EmbeddingGemma-300M
    VlJepaBase,
    /// The V-JEPA 2 encoder ViT-L
    Vjepa2Vitl,
    /// The V-JEPA 2 encoder ViT-H
    Vjepa2Vith,
    /// The V-JEPA 2 encoder ViT-g
    Vjepa2Vitg,
}

impl From<PresetArg> for Preset {
    fn from(arg: PresetArg) -> Self {
        match arg {
            PresetArg::VlJepaBase => Preset::VlJepaBase,
            PresetArg::Vjepa2Vitl => Preset::VitLarge,
            PresetArg::Vjepa2Vith => Preset::VitHuge,
            PresetArg::Vjepa2Vitg => Preset::VitGiant,
        }
    }
}

fn bench_size(text: &str) -> Result<usize, String> {
    let expected = || format!("a whole number from 1 to {MAX_SIZE} is expected");
    text.parse().ok().filter(|n| (1..=MAX_SIZE).contains(n)).ok_or_else(expected)
}

fn bench_frames(text: &str) -> Result<usize, String> {
    let expected = || format!("1, or an even number up to {MAX_FRAMES}, is expected");
    text.parse().ok().filter(|&n| are_frames(n)).ok_or_else(expected)
}

pub fn run(args: &Args, common: &Common, out: &Output) -> Result {
    match &args.verb {
        BenchVerb::Matmul { sizes } => matmul(sizes, common, out),
        BenchVerb::Model { preset, frames, precision } => {
            model((*preset).into(), frames, (*precision).into(), common, out)
        }
    }
}

fn model(preset: Preset, frames: &[usize], precision: Precision, common: &Common, out: &Output) -> Result {
    let device = vljepa::open_device(&common.device)?;
    let report = bench::model_with(&device, preset, frames, precision, common.seed, &mut |note| out.note(note))?;
    let adapter = vljepa::info::adapter_name(&device);
    if out.json {
        return out.document(&json!({ "adapter": adapter, "model": report }));
    }
    let mib = |bytes: u64| format!("{:.0}", bytes as f64 / 1048576.0);
    let head = ["frames", "tokens", "seconds", "peak device MiB"].map(String::from).to_vec();
    let rows = report.clips.iter().map(|r| {
        vec![r.frames.to_string(), r.tokens.to_string(), format!("{:.2}", r.seconds), mib(r.peak_device_bytes)]
    });
    let table: Vec<_> = std::iter::once(head).chain(rows).collect();
    let host = report.peak_host_bytes.map_or(String::new(), |b| format!(", {} MiB resident at most", mib(b)));
    out.text(&format!(
        "{adapter}\n{:.1} M parameters in {}, {} MiB on the device, made and loaded in {:.1} s{host}\n{}",
        report.parameters as f64 / 1e6,
        report.precision,
        mib(report.weights_bytes),
        report.load_seconds,
        output::columns(&table)
    ))
}

fn matmul(sizes: &[usize], common: &Common, out: &Output) -> Result {
    let device = vljepa::open_device(&common.device)?;
    let bar = out.progress("sizes", sizes.len());
    let rows = bench::matmul_with(&device, sizes, common.seed, &mut |n| bar.set_position(n as u64))?;
    bar.finish_and_clear();
    let adapter = vljepa::info::adapter_name(&device);
    if out.json {
        return out.document(&json!({ "adapter": adapter, "rows": rows }));
    }
    let head = ["op", "m", "n", "k", "dtype", "ms", "GFLOP/s"].map(String::from).to_vec();
    let row = |r: &bench::Row| {
        let sizes = [r.m, r.n, r.k].map(|v| v.to_string());
        let [m, n, k] = sizes;
        vec![r.op.into(), m, n, k, r.dtype.into(), format!("{:.3}", r.ms), format!("{:.1}", r.gflops)]
    };
    let table: Vec<_> = std::iter::once(head).chain(rows.iter().map(row)).collect();
    out.text(&format!("{adapter}\n{}", output::columns(&table)))
}
