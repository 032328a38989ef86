//! Files of a training run.

use sha2::{Digest, Sha256};
use vljepa_train::TrainConfig;
use vljepa_train::checkpoint::{Checkpoints, RunState};

use crate::error::{Result, other};
use crate::mutate::Shape;
use crate::target::{Case, Target, files};

pub const TRAIN: Target = Target {
    name: "train",
    about: "the file of a training run",
    shape: Shape::Bytes,
    megabytes: 64,
    seeds: || files(&["crates/vljepa/assets/compact/train.toml", "crates/vljepa/assets/compact/train-2.toml"]),
    make: |folder| -> Result<Case> {
        let path = folder.join("run.toml");
        let output = folder.join("out");
        Ok(Box::new(move |input| {
            if let Ok(text) = std::str::from_utf8(input) {
                let _ = TrainConfig::parse(text);
            }
            if std::fs::write(&path, input).is_ok() {
                let _ = vljepa_train::check(&path, Some(&output));
            }
        }))
    },
};

pub const STATE: Target = Target {
    name: "state",
    about: "the state of a run in its checkpoint, with sums that are right",
    shape: Shape::Json,
    megabytes: 64,
    seeds: || {
        let identity = [("model", "{}"), ("data", "{\"batch\":4}")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        let mut state = RunState::new(12, identity.into());
        state.optimizer_steps.insert("head.weight".into(), 12);
        Ok(vec![serde_json::to_vec(&state).map_err(other)?])
    },
    make: |folder| -> Result<Case> {
        let checkpoint = folder.join("step-00000012");
        std::fs::create_dir_all(&checkpoint)?;
        let store = Checkpoints::new(folder, 3);
        Ok(Box::new(move |input| {
            let sum: String = Sha256::digest(input).iter().map(|byte| format!("{byte:02x}")).collect();
            let written = std::fs::write(checkpoint.join("state.json"), input)
                .and_then(|()| std::fs::write(checkpoint.join("SHA256SUMS"), format!("{sum}  state.json\n")));
            if written.is_ok() {
                let _ = store.latest(|loaded| loaded.file("model.safetensors").map(<[u8]>::len));
            }
            // The sums themselves.
            if std::fs::write(checkpoint.join("SHA256SUMS"), input).is_ok() {
                let _ = store.latest(|_| Ok(()));
            }
        }))
    },
};
