//! Where a training step's time goes: `cargo run --release -p vljepa-train --example profile -- CONFIG.toml [STEPS]`.
//!
//! Prints the host's time by part and the device's by kernel, per step.

use std::path::Path;
use std::time::Instant;

use vljepa_tensor::{Device, DeviceOptions};
use vljepa_train::{TrainError, prepare};

fn main() -> Result<(), TrainError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, rest @ ..] = arguments.as_slice() else {
        return Err(TrainError::Invalid("usage: profile CONFIG.toml [STEPS]".into()));
    };
    let steps: u64 = rest.first().and_then(|s| s.parse().ok()).unwrap_or(5);
    let device = Device::open(DeviceOptions::default())?;
    let (mut trainer, maker) = prepare(&device, Path::new(config))?;
    // Pipelines are compiled in the first step.
    trainer.step(&maker.make(0)?)?;
    let timed = device.start_profile()?;
    let (mut making, mut stepping) = (0.0, 0.0);
    for step in 1..=steps {
        let start = Instant::now();
        let batch = maker.make(step)?;
        making += start.elapsed().as_secs_f64();
        let start = Instant::now();
        trainer.step(&batch)?;
        stepping += start.elapsed().as_secs_f64();
    }
    let per_step = 1e3 / steps as f64;
    println!("{}: batch {:.1} ms, step {:.1} ms", device.info().name, making * per_step, stepping * per_step);
    if timed {
        for k in device.stop_profile()? {
            let launches = k.launches as f64 / steps as f64;
            println!("{:>9.2} ms {launches:>6.1} launches  {}", k.seconds * per_step, k.kernel);
        }
    }
    Ok(())
}
