//! vljepa beside burn's wgpu backend: the same adapter, shapes and values, alternating runs, one table with ratios.

// burn's backends nest types deeper than the default allows.
#![recursion_limit = "256"]

mod other;
mod ours;
mod work;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::json;
use work::{Runtime, Task};

const HELP: &str = "\
Usage: vljepa-peers [--json] [--rounds N] [--only NAME]

Runs each task in turns by vljepa and by burn's wgpu backend, and prints medians and their ratio.

  --json       one JSON document instead of the table
  --rounds N   pairs of runs per task (default 9)
  --only NAME  tasks whose name contains NAME
";

/// Shortest stretch that is timed, so that submitting and waiting disappear in it.
const STRETCH: Duration = Duration::from_millis(200);

struct Options {
    json: bool,
    rounds: usize,
    only: String,
}

struct Row {
    task: Task,
    /// Seconds of one run in each round, ours and theirs.
    times: Vec<[f64; 2]>,
    /// Largest difference of the results, relative to the largest value.
    difference: f64,
}

fn options() -> Result<Option<Options>, Box<dyn Error>> {
    let mut options = Options { json: false, rounds: 9, only: String::new() };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--json" => options.json = true,
            "--rounds" => options.rounds = value()?.parse().ok().filter(|n| *n > 0).ok_or("--rounds: a count")?,
            "--only" => options.only = value()?,
            "--help" | "-h" => return Ok(None),
            other => return Err(format!("unknown argument `{other}`; see --help").into()),
        }
    }
    Ok(Some(options))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { 0.5 * (sorted[middle - 1] + sorted[middle]) }
}

/// Seconds of one of `count` runs.
fn time(run: &mut dyn FnMut(usize) -> work::Outcome<()>, count: usize) -> work::Outcome<f64> {
    let start = Instant::now();
    run(count)?;
    Ok(start.elapsed().as_secs_f64() / count as f64)
}

fn measure(task: Task, ours: &dyn Runtime, theirs: &dyn Runtime, rounds: usize) -> work::Outcome<Row> {
    let difference = work::difference(&ours.check(&task)?, &theirs.check(&task)?)?;
    // Both round differently, and exponentials are approximations on either side.
    if difference.is_nan() || difference > 1e-3 {
        return Err(format!("{}: the results differ by {difference:e}", task.name()).into());
    }
    let mut runs = [ours.prepare(&task)?, theirs.prepare(&task)?];
    let mut counts = [1; 2];
    for (run, count) in runs.iter_mut().zip(&mut counts) {
        // The first run compiles, and burn's also tries its kernels out; the second shows how long one takes.
        time(run, 1)?;
        time(run, 1)?;
        *count = (STRETCH.as_secs_f64() / time(run, 1)?).ceil().clamp(1.0, 64.0) as usize;
    }
    let mut times = Vec::new();
    for round in 0..rounds {
        let mut pair = [0.0; 2];
        // Who goes first alternates, so that a slow drift of the machine favours nobody.
        for i in [round % 2, 1 - round % 2] {
            pair[i] = time(&mut runs[i], counts[i])?;
        }
        times.push(pair);
    }
    Ok(Row { task, times, difference })
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let ours = ours::Ours::open()?;
    let theirs = other::Burn::open(ours.software())?;
    if ours.adapter() != theirs.adapter() {
        return Err(format!("vljepa runs on {}, burn on {}", ours.adapter(), theirs.adapter()).into());
    }
    let mut rows = Vec::new();
    for task in work::TASKS.iter().filter(|t| t.name().contains(&options.only)) {
        eprintln!("{} …", task.name());
        rows.push(measure(*task, &ours, &theirs, options.rounds)?);
    }
    let ms = |row: &Row, side: usize| 1e3 * median(row.times.iter().map(|pair| pair[side]));
    let ratio = |row: &Row| median(row.times.iter().map(|pair| pair[1] / pair[0]));
    if options.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| {
                json!({
                    "name": row.task.name(), "shape": row.task.shape(), "rounds": row.times.len(),
                    "vljepa_ms": ms(row, 0), "burn_ms": ms(row, 1), "ratio": ratio(row),
                    "vljepa_gflops": row.task.flops() * 1e-6 / ms(row, 0),
                    "burn_gflops": row.task.flops() * 1e-6 / ms(row, 1),
                    "difference": row.difference,
                })
            })
            .collect();
        println!("{}", json!({ "adapter": ours.adapter(), "peer": theirs.name(), "rows": rows }));
        return Ok(());
    }
    println!("adapter {}, {}; medians of {} alternating rounds", ours.adapter(), theirs.name(), options.rounds);
    println!("{:<14} {:<26} {:>11} {:>11} {:>8}", "", "", "vljepa ms", "burn ms", "ratio");
    for row in &rows {
        println!(
            "{:<14} {:<26} {:>11.2} {:>11.2} {:>7.2}x",
            row.task.name(),
            row.task.shape(),
            ms(row, 0),
            ms(row, 1),
            ratio(row)
        );
    }
    Ok(())
}

fn main() -> ExitCode {
    let result = options().and_then(|options| match options {
        Some(options) => run(&options),
        None => {
            print!("{HELP}");
            Ok(())
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vljepa-peers: {error}");
            ExitCode::FAILURE
        }
    }
}
