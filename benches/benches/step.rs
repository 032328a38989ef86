//! A step of the compact model's training, as `crates/train/examples/emoji.toml` asks for it: against a bank of texts, and
//! within the batch. Batches are made before; what making one costs is a case of its own.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use vljepa_benches::{Case, Error, Harness, Result, Work, shapes};
use vljepa_tensor::Device;
use vljepa_train::data::Batch;
use vljepa_train::feed::Maker;
use vljepa_train::{Trainer, prepare};

/// Batches that steps take in turn.
const BATCHES: u64 = 4;

/// A run of that objective; small, on 58 concepts, whose texts are soon embedded and too few to whiten the head by.
fn configuration(objective: &str, small: bool) -> String {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/vljepa/assets/compact");
    let quoted = |path: PathBuf| format!("{:?}", path.display().to_string());
    let (batch, excluded) = if small {
        let groups = ["Smileys & Emotion", "People & Body", "Animals & Nature", "Food & Drink", "Travel & Places"];
        (4, [&groups[..], &["Objects", "Symbols", "Flags", "Component"]].concat())
    } else {
        (64, vec!["Flags", "Component"])
    };
    format!(
        "steps = 1000\nbatch = {batch}\n\
         [model]\nconfig = {}\ny_encoder = {}\n\
         [data]\nexclude_groups = {excluded:?}\n\
         [objective]\nkind = {objective:?}\ny_head = {{ whiten = {} }}\n\
         [optimizer]\nkind = \"muon\"\nclip = 1.0\n",
        quoted(assets.join("init.json")),
        quoted(assets),
        !small,
    )
}

/// A trainer at its first step, and what makes its batches.
fn trainer(device: &Device, objective: &str, small: bool) -> Result<(Trainer, Maker)> {
    let folder = tempfile::tempdir().map_err(written)?;
    let path = folder.path().join("step.toml");
    std::fs::write(&path, configuration(objective, small)).map_err(written)?;
    Ok(prepare(device, &path)?)
}

fn written(source: std::io::Error) -> Error {
    Error::Write { path: "step.toml".to_owned(), source }
}

struct Training {
    trainer: RefCell<Trainer>,
    batches: Vec<Batch>,
}

impl Training {
    fn new(device: &Device, objective: &str, small: bool) -> Result<Self> {
        let (trainer, maker) = trainer(device, objective, small)?;
        let batches = (0..BATCHES).map(|step| Ok(maker.make(step)?)).collect::<Result<_>>()?;
        Ok(Self { trainer: RefCell::new(trainer), batches })
    }

    fn step(&self, number: usize) -> Result<()> {
        self.trainer.borrow_mut().step(&self.batches[number % self.batches.len()])?;
        Ok(())
    }
}

fn main() -> ExitCode {
    let mut harness = Harness::new("step");
    let small = harness.small();
    let batch: usize = if small { 4 } else { 64 };
    let case = |name: &str| Case {
        name: name.to_owned(),
        shape: shapes::text(&[batch, 1, 64, 64]),
        work: Work::Items(batch as f64),
    };
    for objective in ["bank", "batch"] {
        harness.case(
            case(objective),
            |device| Training::new(device, objective, small),
            |_, training, number| training.step(number),
        );
    }
    harness.case(
        case("make_batch"),
        |device| Ok((trainer(device, "batch", small)?.1, Cell::new(0))),
        |_, (maker, step), _| {
            maker.make(step.replace(step.get() + 1))?;
            Ok(())
        },
    );
    harness.finish()
}
