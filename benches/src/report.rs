//! Rates, the printed table, and the same as lines of JSON.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::roofline::Roofline;
use crate::work::Work;

/// One measured case.
#[derive(Clone, Debug)]
pub struct Row {
    /// Bench and case, `matmul/vitl_qkv`.
    pub name: String,
    /// Sizes.
    pub shape: String,
    /// What one run does.
    pub work: Work,
    /// Median seconds of one run.
    pub seconds: f64,
    /// Samples that the median is of.
    pub samples: usize,
}

/// The table, with the adapter and its roofs in the head.
pub fn table(adapter: &str, roof: &Roofline, rows: &[Row]) -> String {
    let name = rows.iter().map(|r| r.name.len()).max().unwrap_or(0);
    let shape = rows.iter().map(|r| r.shape.len()).max().unwrap_or(0);
    let mut text =
        format!("\nadapter {adapter}: copies {:.1} GB/s, multiplies and adds {:.0} GFLOP/s\n", roof.gbps, roof.gflops);
    for row in rows {
        let rate = match (row.work.rate(row.seconds), roof.fraction(row.work, row.seconds)) {
            (Some(rate), Some(share)) => {
                format!("{rate:>10.2} {:<7} {:>5.1} % of the roof", row.work.unit(), 100.0 * share)
            }
            (Some(rate), None) => format!("{rate:>10.2} {}", row.work.unit()),
            (None, _) => String::new(),
        };
        let ms = 1e3 * row.seconds;
        text += format!("{:<name$}  {:<shape$}  {ms:>10.3} ms {rate}", row.name, row.shape).trim_end();
        text.push('\n');
    }
    text
}

/// One line of JSON per row.
pub fn lines(adapter: &str, driver: &str, roof: &Roofline, rows: &[Row]) -> String {
    rows.iter()
        .map(|row| {
            let mut line = json!({
                "name": row.name,
                "shape": row.shape,
                "adapter": adapter,
                "driver": driver,
                "ms": 1e3 * row.seconds,
                "samples": row.samples,
            });
            if let (Some(rate), Value::Object(fields)) = (row.work.rate(row.seconds), &mut line) {
                let (unit, roof_rate) = match row.work {
                    Work::Flops(_) => ("gflops", Some(roof.gflops)),
                    Work::Bytes(_) => ("gbps", Some(roof.gbps)),
                    Work::Items(_) | Work::Time => ("per_second", None),
                };
                fields.insert(unit.into(), json!(rate));
                if let Some(roof_rate) = roof_rate {
                    fields.insert("roof".into(), json!(roof_rate));
                    fields.insert("fraction".into(), json!(rate / roof_rate));
                }
            }
            format!("{line}\n")
        })
        .collect()
}

/// `criterion/rates.jsonl` in the target directory that the running program was built in.
pub fn file() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    // target/release/deps/matmul-0123: the profile's folder is two up.
    let target = program.ancestors().nth(3).unwrap_or(Path::new("target"));
    target.join("criterion").join("rates.jsonl")
}

/// Adds lines to a file, making its folder.
///
/// # Errors
/// [`Error::Write`].
pub fn append(path: &Path, lines: &str) -> Result<()> {
    let write = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(lines.as_bytes())
    };
    write().map_err(|source| Error::Write { path: path.display().to_string(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row =
            |name: &str, work, seconds| Row { name: name.into(), shape: "4x4".into(), work, seconds, samples: 10 };
        vec![
            row("matmul/square", Work::Flops(2e9), 0.1),
            row("norm/layer", Work::Bytes(1e9), 0.5),
            row("startup/open", Work::Time, 0.25),
            row("embed/files", Work::Items(32.0), 0.5),
        ]
    }

    const ROOF: Roofline = Roofline { gbps: 4.0, gflops: 200.0 };

    #[test]
    fn the_table_holds_rates_and_shares() {
        let table = table("llvmpipe", &ROOF, &rows());
        assert!(table.contains("llvmpipe") && table.contains("20.00 GFLOP/s  10.0 % of the roof"), "{table}");
        assert!(table.contains("2.00 GB/s     50.0 % of the roof"), "{table}");
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[4].ends_with("250.000 ms"), "{table}");
        assert!(lines[5].ends_with("64.00 /s"), "{table}");
    }

    #[test]
    fn lines_are_json_and_are_appended() {
        let text = lines("llvmpipe", "Mesa", &ROOF, &rows());
        let parsed: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(parsed[0]["gflops"], 20.0);
        assert_eq!(parsed[1]["fraction"], 0.5);
        assert!(parsed[2].get("gflops").is_none());
        assert_eq!(parsed[3]["per_second"], 64.0);
        assert!(parsed[3].get("roof").is_none());
        let folder = std::env::temp_dir().join(format!("vljepa-benches-{}", std::process::id()));
        let file = folder.join("deep").join("rates.jsonl");
        append(&file, "{}\n").unwrap();
        append(&file, &text).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 5);
        assert!(append(&file.join("below"), "").unwrap_err().to_string().contains("rates.jsonl"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
