//! `bench`.

use serde_json::json;
use vljepa::Result;
use vljepa::bench::Preset;
use vljepa_model::Precision;

use super::args::{BenchArgs, BenchVerb, Common};
use super::{Output, output};

pub fn run(args: &BenchArgs, common: &Common, out: &Output) -> Result<()> {
    match &args.verb {
        BenchVerb::Matmul { sizes } => matmul(sizes, common, out),
        BenchVerb::Model { preset, frames, precision } => {
            model((*preset).into(), frames, (*precision).into(), common, out)
        }
    }
}

fn model(preset: Preset, frames: &[usize], precision: Precision, common: &Common, out: &Output) -> Result<()> {
    let device = vljepa::open_device(&common.device)?;
    let report = vljepa::bench::model(&device, preset, frames, precision, common.seed, |note| out.note(note))?;
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

fn matmul(sizes: &[usize], common: &Common, out: &Output) -> Result<()> {
    let device = vljepa::open_device(&common.device)?;
    let bar = out.progress("sizes", sizes.len());
    let rows = vljepa::bench::matmul(&device, sizes, common.seed, |n| bar.set_position(n as u64))?;
    bar.finish_and_clear();
    let adapter = vljepa::info::adapter_name(&device);
    if out.json {
        return out.document(&json!({ "adapter": adapter, "rows": rows }));
    }
    let head = ["op", "m", "n", "k", "dtype", "ms", "GFLOP/s"].map(String::from).to_vec();
    let row = |r: &vljepa::bench::Row| {
        let sizes = [r.m, r.n, r.k].map(|v| v.to_string());
        let [m, n, k] = sizes;
        vec![r.op.into(), m, n, k, r.dtype.into(), format!("{:.3}", r.ms), format!("{:.1}", r.gflops)]
    };
    let table: Vec<_> = std::iter::once(head).chain(rows.iter().map(row)).collect();
    out.text(&format!("{adapter}\n{}", output::columns(&table)))
}
