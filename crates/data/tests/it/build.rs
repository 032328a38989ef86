//! The builder's rules, and what it says about archives that it cannot use.

use std::fs;
use std::path::Path;

use vljepa_data::DataError;
use vljepa_data::emoji::EmojiVendors;
use vljepa_data::emoji::build::{Options, base_key, build, join_key, split_of};

#[test]
fn keys_are_plain_hex_without_variation_selectors() {
    assert_eq!(join_key("0023-FE0F-20E3"), "0023-20e3");
    assert_eq!(join_key("1F471-200D-2640-FE0F"), "1f471-200d-2640");
    assert_eq!(join_key("1f600"), "1f600");
}

#[test]
fn variants_are_reduced_to_their_base() {
    for (key, base) in [
        ("1f600", "1f600"),
        ("1f3c3-200d-2640", "1f3c3"),
        ("1f3c3-200d-2642-200d-27a1", "1f3c3"),
        ("1f468-200d-1f680", "1f9d1-200d-1f680"),
        ("1f44b-1f3fd", "1f44b"),
        ("1f468-200d-1f469-200d-1f466", "1f46a"),
        ("1f469-200d-2764-200d-1f468", "1f491"),
        ("1f469-200d-2764-200d-1f48b-200d-1f468", "1f48f"),
        ("1f9d1-200d-1f91d-200d-1f9d1", "1f46b"),
        ("1f3fb", "1f3fb"),
        ("1f1e9-1f1ea", "1f1e9-1f1ea"),
    ] {
        assert_eq!(base_key(key), base, "{key}");
        assert_eq!(base_key(base), base, "a base is its own");
    }
}

#[test]
fn the_committed_split_is_the_builders() {
    let set = EmojiVendors::open(EmojiVendors::default_dir()).unwrap();
    for concept in set.concepts() {
        assert_eq!(base_key(&concept.key), concept.base);
        assert_eq!(split_of(&concept.key), concept.split);
    }
}

fn run(cache: &Path, out: &Path) -> DataError {
    let options = Options {
        cache: cache.to_path_buf(),
        offline: true,
        compact: Some(out.to_path_buf()),
        full: None,
        quality: 80.0,
    };
    build(&options, &mut |_| ()).unwrap_err()
}

#[test]
fn unusable_archives_are_named_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, out) = (dir.path().join("cache"), dir.path().join("out"));
    let message = run(&cache, &out).to_string();
    assert!(message.contains("npm pack emoji-datasource-google@16.0.0") && !message.contains('\n'), "{message}");
    fs::create_dir(&cache).unwrap();
    fs::write(cache.join("emoji-datasource-google-16.0.0.tgz"), b"half an archive").unwrap();
    let message = run(&cache, &out).to_string();
    assert!(message.contains("SHA-256") && message.contains("delete the file"), "{message}");
    assert!(!out.exists());
}
