//! What a step sees: a function of seed and step, whatever thread makes it.

use std::collections::BTreeSet;
use std::sync::Arc;

use vljepa_train::TrainError;
use vljepa_train::data::Source as _;
use vljepa_train::feed::{Feed, Maker};
use vljepa_train::sources::emoji_vendors;

use crate::support::{config, corpus, model_config};

#[test]
fn an_epoch_holds_every_concept_once() {
    let config = config("steps = 10\nbatch = 7", "");
    let corpus = corpus(&config);
    let per_epoch = corpus.steps_per_epoch(7).unwrap();
    assert_eq!(per_epoch, corpus.drawable() as u64 / 7);
    let classes = |steps: std::ops::Range<u64>| -> Vec<u32> {
        steps.flat_map(|s| corpus.draws(config.seed, s, 7)).map(|d| d.class).collect()
    };
    let first = classes(0..per_epoch);
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), first.len());
    assert_ne!(first, classes(per_epoch..2 * per_epoch));
    assert_eq!(corpus.draws(3, 12, 7), corpus.draws(3, 12, 7));
}

#[test]
fn batches_made_ahead_are_those_made_on_the_spot() {
    let config = config("steps = 4\nbatch = 6", "");
    let corpus = corpus(&config);
    let preprocess = vljepa_embed::preprocess(&model_config());
    let maker = Arc::new(Maker::new(corpus, config, preprocess));
    let mut ahead = Feed::start(maker.clone(), 1, 4, 2).unwrap();
    for step in 1..4 {
        let (batch, alone) = (ahead.next_batch().unwrap(), maker.make(step).unwrap());
        assert_eq!((batch.step, &batch.pairs), (step, &alone.pairs));
        assert_eq!(batch.pixels, alone.pixels);
        assert_eq!(batch.pixels.len(), 6 * 3 * 16 * 16);
        assert!(batch.pixels.iter().all(|v| (-1.001..=1.001).contains(v)));
    }
    // Dropped with batches still being made: the thread must end.
    drop(Feed::start(maker, 0, 1_000_000, 2).unwrap());
}

#[test]
fn the_test_vendor_cannot_be_trained_on() {
    for (vendors, want) in [("[\"fluent-3d\"]", "Test"), ("[\"noto-v1\"]", "Val"), ("[\"nobody\"]", "nobody")] {
        let mut config = config("steps = 1\nbatch = 1", "");
        config.data.own.insert("vendors".into(), toml_list(vendors).into());
        let error = emoji_vendors::open(&config).unwrap_err();
        assert!(
            matches!(&error, TrainError::Setting { key, what } if key == "data.vendors.0" && what.contains(want)),
            "{error}"
        );
    }
}

fn toml_list(text: &str) -> Vec<String> {
    text.trim_matches(['[', ']']).split(',').map(|s| s.trim().trim_matches('"').to_owned()).collect()
}
