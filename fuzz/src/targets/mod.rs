//! What is fed with damaged input.

mod beside;
mod features;
mod hub;
mod manifest;
mod media;
mod rows;
mod runs;
mod texts;
mod weights;
mod worlds;

use crate::target::Target;

/// All targets.
pub const TARGETS: &[Target] = &[
    media::PICTURE,
    media::KIND,
    media::ANIMATION,
    media::MP4,
    media::H264,
    media::Y4M,
    media::RAW,
    weights::SAFETENSORS,
    weights::SHARDS,
    weights::PT,
    weights::INSPECT,
    weights::CONFIG,
    weights::FOLDER,
    beside::PROCESSOR,
    beside::SENTENCE,
    beside::SET,
    texts::TOKENIZER,
    texts::SPM,
    texts::LABELS,
    manifest::JSON_LINES,
    manifest::CSV,
    manifest::SHARD,
    rows::JOURNAL,
    rows::ROWS,
    rows::INDEX,
    features::FEATURES,
    features::PROBE_RUN,
    runs::TRAIN,
    runs::STATE,
    hub::LISTING,
    hub::HEADERS,
    worlds::TRAJECTORIES,
];

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::target::Stop;

    #[test]
    fn targets_take_sound_input() {
        for (i, target) in TARGETS.iter().enumerate() {
            assert!(TARGETS[..i].iter().all(|other| other.name != target.name), "{}", target.name);
            let seeds = (target.seeds)().unwrap();
            assert!(!seeds.is_empty(), "{}", target.name);
            let scratch = tempfile::tempdir().unwrap();
            let mut case = (target.make)(scratch.path()).unwrap();
            for seed in seeds {
                let outcome = catch_unwind(AssertUnwindSafe(|| case(&seed)));
                assert!(outcome.err().is_none_or(|payload| payload.is::<Stop>()), "{}", target.name);
            }
        }
    }
}
