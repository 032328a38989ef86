//! The committed set: its split, its pools, its licences, and that nothing held out leaks into training.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use sha2::{Digest, Sha256};
use vljepa_data::DataError;
use vljepa_data::emoji::{EmojiVendors, Role, Split};

fn committed() -> EmojiVendors {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/emoji-vendors");
    EmojiVendors::open(dir).unwrap()
}

fn hash64(key: &str) -> u64 {
    let digest = Sha256::digest(key.as_bytes());
    u64::from_be_bytes(digest[..8].try_into().unwrap())
}

fn normal_form(text: &str) -> String {
    let plain = text.to_lowercase().replace(['_', '-'], " ").replace(['’', '\'', '“', '”', '"'], "");
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn counts_are_those_of_the_packages() {
    let set = committed();
    assert_eq!(set.concepts().len(), 1911);
    let pictures: HashMap<&str, usize> = set.vendors().iter().map(|v| (v.id.as_str(), v.pictures.len())).collect();
    assert_eq!(pictures["noto"], 1911);
    assert_eq!(pictures["twemoji"], 1911);
    assert_eq!(pictures["fluent-3d"], 1852);
    assert_eq!(pictures["fluent-flat"], 1594);
    assert_eq!(pictures["noto-v1"], 1232);
    assert_eq!(pictures["emojione"], 1221);
    let count = |split| set.of_split(split).count();
    assert_eq!((count(Split::Train), count(Split::Val), count(Split::Unseen)), (1325, 207, 379));
}

#[test]
fn the_split_is_the_hash_of_the_base() {
    let set = committed();
    for concept in set.concepts() {
        let want = match hash64(&concept.base) % 10 {
            0..=6 => Split::Train,
            7 => Split::Val,
            _ => Split::Unseen,
        };
        assert_eq!(concept.split, want, "{}", concept.key);
    }
    // Runner, woman running, man running to the right; astronauts; families.
    for variants in [
        ["1f3c3", "1f3c3-200d-2640", "1f3c3-200d-2642-200d-27a1"],
        ["1f9d1-200d-1f680", "1f468-200d-1f680", "1f469-200d-1f680"],
        ["1f46a", "1f468-200d-1f469-200d-1f467", "1f469-200d-1f466"],
    ] {
        let bases: HashSet<_> = variants.map(|key| set.concept(set.by_key(key).unwrap()).unwrap().base.clone()).into();
        assert_eq!(bases.len(), 1, "{variants:?}");
    }
}

#[test]
fn pools_are_the_first_in_hash_order_that_all_vendors_draw() {
    let set = committed();
    let vendors = ["noto", "twemoji", "fluent-3d", "fluent-flat"].map(|id| set.vendor(id).unwrap());
    let mut order: Vec<_> = set
        .ids()
        .filter(|id| set.concept(*id).unwrap().group != "Flags")
        .filter(|id| vendors.iter().all(|vendor| set.has_picture(*vendor, *id)))
        .collect();
    // OpenMoji, which is not committed, draws all concepts, so it takes nothing away.
    assert_eq!(order.len(), 1562);
    order.sort_by_key(|id| hash64(&set.concept(*id).unwrap().key));
    let first = |split, count| {
        let of_split = order.iter().filter(|id| set.concept(**id).unwrap().split == split);
        of_split.take(count).copied().collect::<Vec<_>>()
    };
    assert_eq!(set.pools().seen, first(Split::Train, 450));
    assert_eq!(set.pools().unseen, first(Split::Unseen, 150));
    assert_eq!((set.pools().seen.len(), set.pools().unseen.len()), (450, 150));
}

#[test]
fn labels_tell_the_candidates_apart() {
    let set = committed();
    let labels: HashSet<_> = set.concepts().iter().map(|c| normal_form(&c.label)).collect();
    assert_eq!(labels.len(), set.concepts().len());
    assert!(!labels.contains(""));
}

#[test]
fn heldout_wording_is_disjoint_from_training_text() {
    let set = committed();
    let trained: HashSet<_> = set.concepts().iter().flat_map(|c| c.train_texts()).map(normal_form).collect();
    let mut count = 0;
    for concept in set.concepts() {
        for wording in &concept.heldout {
            assert!(!trained.contains(&normal_form(wording)), "{}: {wording}", concept.key);
            count += 1;
        }
    }
    assert!(count > 3000, "{count} held-out wordings");
}

#[test]
fn only_freely_licensed_pictures_are_committed() {
    let set = committed();
    let mut bytes = 0;
    for vendor in set.vendors() {
        assert!(["Apache-2.0", "CC-BY-4.0", "MIT"].contains(&vendor.license.as_str()), "{}", vendor.id);
        assert_ne!(vendor.id, "openmoji");
    }
    let attribution = std::fs::read_to_string(set.dir().join("ATTRIBUTION.md")).unwrap();
    for entry in std::fs::read_dir(set.dir()).unwrap() {
        let entry = entry.unwrap();
        bytes += entry.metadata().unwrap().len();
        let name = entry.file_name().into_string().unwrap();
        let known = name == "ATTRIBUTION.md" || attribution.contains(&format!("`{name}`"));
        assert!(known, "{name} is not in ATTRIBUTION.md");
    }
    assert!(bytes <= 12 << 20, "{bytes} bytes committed");
}

#[test]
fn roles_keep_fluent_for_the_test() {
    let set = committed();
    for vendor in set.vendors() {
        let want = match vendor.id.as_str() {
            "fluent-3d" | "fluent-flat" => Role::Test,
            "noto-v1" => Role::Val,
            _ => Role::Train,
        };
        assert_eq!(vendor.role, want, "{}", vendor.id);
    }
}

#[test]
fn every_vendor_gives_visible_pictures() {
    let set = committed();
    for (index, vendor) in (0..).zip(set.vendors()) {
        let id = vljepa_data::emoji::VendorId(index);
        for concept in set.ids().filter(|concept| set.has_picture(id, *concept)) {
            let picture = set.picture(id, concept).unwrap().unwrap();
            assert_eq!((picture.width, picture.height), (72, 72));
            let visible = picture.data.chunks_exact(4).filter(|pixel| pixel[3] > 127).count();
            assert!(visible > 40, "{} {:?}: {visible} visible pixels", vendor.id, set.concept(concept));
        }
    }
}

#[test]
fn a_known_picture_has_its_colours() {
    let set = committed();
    // U+1F7E9 large green square, by every vendor that draws it.
    let square = set.by_key("1f7e9").unwrap();
    let mut seen = 0;
    for (index, vendor) in (0..).zip(set.vendors()) {
        if let Some(picture) = set.picture(vljepa_data::emoji::VendorId(index), square).unwrap() {
            let middle = (36 * 72 + 36) * 4;
            let [red, green, blue, alpha] = picture.data[middle..middle + 4] else { unreachable!() };
            assert!(green > red && green > blue && alpha == 255, "{}: {red} {green} {blue}", vendor.id);
            seen += 1;
        }
    }
    assert!(seen >= 4);
}

#[test]
fn a_broken_set_is_told_in_one_line() {
    let set = committed();
    let good = std::fs::read_to_string(set.dir().join("concepts.json")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("concepts.json");
    let open = || EmojiVendors::open(dir.path());
    assert!(matches!(open(), Err(DataError::Missing(path)) if path == list));
    for bad in [
        String::new(),
        good[..good.len() / 2].to_owned(),
        good.replacen("\"version\": 1", "\"version\": 9", 1),
        good.replacen("\"seen\":[", "\"seen\":[4000000000,", 1),
        good.replacen("\"noto.webp\"", "\"../noto.webp\"", 1),
        good.replacen("\"columns\":", "\"columns\":0,\"was\":", 1),
    ] {
        assert_ne!(bad, good);
        std::fs::write(&list, &bad).unwrap();
        let message = open().unwrap_err().to_string();
        assert!(message.contains("concepts.json") && !message.contains('\n'), "{message}");
    }
    for (from, to, words) in [
        (
            "\"version\": 1",
            "\"version\": \"1\"",
            "string \"1\", where a whole number of at least 0 is expected at line",
        ),
        ("\"version\": 1", "\"version\": -1", "`-1`, where a whole number of at least 0 is expected at line"),
        ("\"seen\":[", "\"seen\":7,\"was\":[", "integer `7`, where a list is expected at line"),
        ("\"pools\":", "\"pools\":7,\"was\":", "integer `7`, where an object is expected at line"),
    ] {
        std::fs::write(&list, good.replacen(from, to, 1)).unwrap();
        let message = open().unwrap_err().to_string();
        assert!(message.contains("concepts.json") && message.contains(words), "{to}: {message}");
    }
    // A good list beside a sheet of the wrong size, and beside none.
    std::fs::write(&list, &good).unwrap();
    let broken = open().unwrap();
    let vendor = broken.vendor("noto").unwrap();
    let concept = broken.pools().seen[0];
    assert!(matches!(broken.picture(vendor, concept), Err(DataError::Missing(_))));
    std::fs::copy(set.dir().join("twemoji.webp"), dir.path().join("noto.webp")).unwrap();
    let other = broken.picture(vendor, concept);
    let small = set.dir().join("emojione.webp");
    assert!(other.is_ok(), "same size: cannot be told apart");
    std::fs::copy(small, dir.path().join("twemoji.webp")).unwrap();
    let vendor = broken.vendor("twemoji").unwrap();
    let message = broken.picture(vendor, concept).unwrap_err().to_string();
    assert!(message.contains("twemoji.webp") && message.contains("build the set again"), "{message}");
}
