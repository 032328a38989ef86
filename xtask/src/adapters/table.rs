//! The table of drivers: what each can do, and how its tests went.

use serde_json::Value;

/// What the runner says in its last line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub run: usize,
    pub passed: usize,
    pub skipped: usize,
}

impl Counts {
    /// From cargo-nextest's summary: `Summary [ 1.0s] 9 tests run: 8 passed (1 slow), 1 failed, 2 skipped`.
    pub fn parse(line: &str) -> Option<Self> {
        let line = line.trim_start().strip_prefix("Summary ")?;
        let (run, rest) = line.split_once("] ")?.1.split_once(" run:")?;
        // After an early end: `3/9 tests`.
        let run = run.split(['/', ' ']).next()?.parse().ok()?;
        let count = |word: &str| {
            let parts = rest.split([',', ';', '(', ')']).map(str::trim);
            parts.filter_map(|part| part.strip_suffix(word)?.trim().parse().ok()).next().unwrap_or(0)
        };
        Some(Self { run, passed: count("passed"), skipped: count("skipped") })
    }
}

/// A driver's line.
#[derive(Debug)]
pub struct Row {
    pub driver: &'static str,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    Ran { adapter: String, counts: Counts, seconds: f64, capabilities: String },
    Absent(String),
}

impl Row {
    /// Of a driver whose tests ran; `info` is what `vljepa info --json` printed there.
    pub fn new(driver: &'static str, info: &Value, counts: Counts, seconds: f64) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or("unnamed").to_owned();
        let adapter = text(&info["adapters"][0]["driver"]);
        Self { driver, outcome: Outcome::Ran { adapter, counts, seconds, capabilities: capabilities(&info["device"]) } }
    }

    /// Of a driver that could not be brought up.
    pub fn absent(driver: &'static str, reason: String) -> Self {
        Self { driver, outcome: Outcome::Absent(reason) }
    }

    /// Whether the driver could not be brought up.
    pub fn is_absent(&self) -> bool {
        matches!(self.outcome, Outcome::Absent(_))
    }

    /// Whether a test did not pass.
    pub fn failed(&self) -> bool {
        matches!(&self.outcome, Outcome::Ran { counts, .. } if counts.passed < counts.run || counts.run == 0)
    }
}

/// What a device can do and how much it takes, in words.
fn capabilities(device: &Value) -> String {
    let (has, limits) = (&device["capabilities"], &device["limits"]);
    let mut words = Vec::new();
    match (&has["subgroup"], &has["subgroup_size"]) {
        (Value::Bool(true), size) if size[0] == size[1] => words.push(format!("subgroups of {}", size[0])),
        (Value::Bool(true), size) => words.push(format!("subgroups of {} to {}", size[0], size[1])),
        _ => words.push("no subgroups".to_owned()),
    }
    words.push(if has["f16"] == true { "f16" } else { "no f16" }.to_owned());
    match has["coop"].as_array().map(Vec::as_slice) {
        Some([]) | None => words.push("no cooperative matrices".to_owned()),
        Some(kinds) => words
            .push(format!("cooperative matrices {}", kinds.iter().map(Value::to_string).collect::<Vec<_>>().join(" "))),
    }
    words.push(format!("{} invocations", limits["max_compute_invocations_per_workgroup"]));
    words.push(format!("{} storage buffers", limits["max_storage_buffers_per_shader_stage"]));
    words.push(format!("{} MiB a binding", limits["max_storage_buffer_binding_size"].as_u64().unwrap_or(0) >> 20));
    words.join(", ")
}

/// All rows as a Markdown table.
pub fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| driver | adapter | tests | passed | skipped | seconds | can do |\n|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let line = match &row.outcome {
            Outcome::Ran { adapter, counts, seconds, capabilities } => format!(
                "| `{}` | {adapter} | {} | {} | {} | {seconds:.0} | {capabilities} |\n",
                row.driver, counts.run, counts.passed, counts.skipped
            ),
            Outcome::Absent(reason) => format!("| `{}` | not brought up: {reason} | | | | | |\n", row.driver),
        };
        text.push_str(&line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_read() {
        let of = |line: &str| Counts::parse(line);
        let counts = |run, passed, skipped| Some(Counts { run, passed, skipped });
        assert_eq!(of("     Summary [ 242.1s] 633 tests run: 633 passed (4 slow), 2 skipped"), counts(633, 633, 2));
        assert_eq!(
            of("     Summary [   1.0s] 9 tests run: 7 passed, 1 failed, 1 timed out, 0 skipped"),
            counts(9, 7, 0)
        );
        assert_eq!(of("     Summary [   1.0s] 3/9 tests run: 2 passed, 1 failed, 0 skipped"), counts(3, 2, 0));
        assert_eq!(of("     Summary [   0.5s] 1 test run: 1 passed, 8 skipped"), counts(1, 1, 8));
        assert_eq!(of("        PASS [   0.1s] a_test"), None);
    }

    #[test]
    fn a_table_has_every_driver() {
        let info = serde_json::json!({
            "adapters": [{"driver": "llvmpipe Mesa 22.3.6 (LLVM 15.0.6)"}],
            "device": {
                "capabilities": {"subgroup": true, "subgroup_size": [8, 8], "f16": true, "coop": []},
                "limits": {
                    "max_compute_invocations_per_workgroup": 1024, "max_storage_buffers_per_shader_stage": 32,
                    "max_storage_buffer_binding_size": 134_217_728,
                },
            },
        });
        let good = Row::new("mesa", &info, Counts { run: 3, passed: 3, skipped: 1 }, 12.4);
        let bad = Row::new("mesa-26", &info, Counts { run: 3, passed: 2, skipped: 1 }, 12.4);
        let absent = Row::absent("mesa-25", "needs root".to_owned());
        assert_eq!([good.failed(), bad.failed(), absent.failed(), absent.is_absent()], [false, true, false, true]);
        let text = markdown(&[good, bad, absent]);
        assert!(text.contains(
            "| `mesa` | llvmpipe Mesa 22.3.6 (LLVM 15.0.6) | 3 | 3 | 1 | 12 | subgroups of 8, f16, no cooperative matrices, \
             1024 invocations, 32 storage buffers, 128 MiB a binding |"
        ), "{text}");
        assert_eq!(text.lines().count(), 5);
    }
}
