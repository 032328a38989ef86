//! Features of a frozen encoder on disk, and the files of runs that use them.

use vljepa_data::Preprocess;
use vljepa_embed::features::{FeatureCache, FeatureKey, Features, Seen};

use crate::error::{Result, other};
use crate::mutate::Shape;
use crate::target::{Case, Target};

fn key() -> Result<FeatureKey> {
    let seen = Seen { content: "a", times: (None, Some(1.0)), sampling: "2 frames" };
    FeatureKey::new(&seen, &Preprocess::square(8), "model").map_err(other)
}

pub const FEATURES: Target = Target {
    name: "features",
    about: "what a frozen encoder made of a clip",
    shape: Shape::Bytes,
    megabytes: 64,
    seeds: || {
        let key = key()?;
        let seed = |views: usize, tokens: usize, width: usize| {
            let values = (0..views * tokens * width).map(|i| i as f32 / 8.0).collect();
            Features { views, tokens, width, values }.to_bytes(&key).map_err(other)
        };
        Ok(vec![seed(1, 2, 3)?, seed(2, 4, 8)?])
    },
    make: |folder| -> Result<Case> {
        let (cache, key) = (FeatureCache::open(folder).map_err(other)?, key()?);
        let path = cache.path(&key);
        std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
        Ok(Box::new(move |input| {
            if let Ok(features) = Features::parse(input, &key) {
                let _ = (features.view(0).len(), features.view(usize::MAX / 2).len());
            }
            if std::fs::write(&path, input).is_ok() {
                let _ = (cache.look(&key).is_ok(), cache.read(&key).is_ok());
            }
        }))
    },
};

const PROBE: &str = "seed = 1\nbatch = 2\noutput = \"run\"\n[model]\nx_encoder = \"gone\"\nfeatures = \"kept\"\n[data]\n\
    kind = \"manifest\"\nmanifest = \"a.jsonl\"\nframes = 4\nsegments = 2\ncrops = \"three\"\n[probe]\nkind = \"attentive\"\n\
    epochs = 3\nlearning_rates = [1e-3, 1e-4]\nweight_decays = [0.0, 0.1]\ndepth = 1\n[schedule]\nwarmup = 0.1\n";

pub const PROBE_RUN: Target = Target {
    name: "probe",
    about: "the file of a run that trains probes",
    shape: Shape::Bytes,
    megabytes: 64,
    seeds: || Ok(vec![PROBE.into()]),
    make: |folder| -> Result<Case> {
        let (path, output) = (folder.join("probe.toml"), folder.join("out"));
        Ok(Box::new(move |input| {
            if std::fs::write(&path, input).is_ok() {
                let _ = vljepa_train::check(&path, Some(&output));
            }
        }))
    },
};
