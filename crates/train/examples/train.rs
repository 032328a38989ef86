//! Trains as a configuration says: `cargo run --release -p vljepa-train --example train -- CONFIG.toml [--resume]`.

use std::path::Path;

use vljepa_tensor::{Device, DeviceOptions};
use vljepa_train::{Event, RunOptions, TrainError, run};

fn main() -> Result<(), TrainError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let resume = arguments.iter().any(|a| a == "--resume");
    let Some(config) = arguments.iter().find(|a| !a.starts_with("--")) else {
        return Err(TrainError::Invalid("usage: train CONFIG.toml [--resume]".into()));
    };
    let device = Device::open(DeviceOptions::default())?;
    eprintln!("{}", device.info().name);
    let options = RunOptions::new(device).resume(resume).observer(|event| {
        let step = match event {
            Event::Step { report, .. } => Some(report.step),
            Event::WorldStep { report, .. } => Some(report.step),
            _ => None,
        };
        let quiet = step.is_some_and(|step| !(step + 1).is_multiple_of(20));
        if !quiet {
            eprintln!("{event}");
        }
    });
    let summary = run(Path::new(config), options)?;
    println!("{summary:?}");
    Ok(())
}
