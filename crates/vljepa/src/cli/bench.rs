//! `bench`.

use serde_json::json;
use vljepa::Result;

use super::args::{BenchArgs, BenchVerb, Common};
use super::{Output, output};

pub fn run(args: &BenchArgs, common: &Common, out: &Output) -> Result<()> {
    let BenchVerb::Matmul { sizes } = &args.verb;
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
