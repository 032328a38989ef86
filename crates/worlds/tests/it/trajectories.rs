//! Trajectories: made, kept, read, cut into windows.

use std::path::Path;

use vljepa_worlds::trajectories::{ActionStats, Collect, Episode, Trajectories, Window, collect, read_shards};
use vljepa_worlds::{Policy, Random, World, world_by_name, world_with_options};

fn some(episodes: usize) -> (Box<dyn World>, Trajectories) {
    let world = world_by_name("two-room").unwrap();
    let set = collect(&*world, &Collect::new(episodes, 5)).unwrap();
    (world, set)
}

#[test]
fn episodes_replay_and_do_not_depend_on_how_many_there_are() {
    let (mut world, set) = some(12);
    set.check().unwrap();
    set.check_world(&*world).unwrap();
    assert_eq!(set.episodes[..7], some(7).1.episodes);
    let mut ended = 0;
    for (number, episode) in set.episodes.iter().enumerate() {
        world.set_goal(&episode.goal).unwrap();
        world.set_state(set.state(number, 0).unwrap()).unwrap();
        for step in 0..set.steps(number) {
            let reached = world.step(set.actions(number, step, 1).unwrap()).unwrap();
            assert_eq!(world.state(), set.state(number, step + 1).unwrap());
            assert!(!reached || step + 1 == set.steps(number), "an episode ends at its goal");
        }
        ended += usize::from(world.reached());
        assert!(world.reached() || set.steps(number) == 100);
    }
    assert!(ended > 0);
    let on = collect(&*world, &Collect { stop_at_goal: false, max_steps: 30, ..Collect::new(3, 5) }).unwrap();
    assert!((0..3).all(|i| on.steps(i) == 30));
    let noop = collect(&*world, &Collect { policy: Policy::Noop, ..Collect::new(2, 5) }).unwrap();
    assert_eq!(noop.policy, "noop");
    assert!(noop.action_stats().unwrap().std.iter().all(|s| *s == 1.0));
    assert!(collect(&*world, &Collect { max_steps: 0, ..Collect::new(2, 5) }).is_err());
    assert!(collect(&*world, &Collect::new(0, 5)).unwrap().episodes.is_empty());
}

#[test]
fn a_file_holds_the_same_bits() {
    let (world, set) = some(5);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("set.safetensors");
    set.write(&path).unwrap();
    set.write(&path).unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    assert_eq!(Trajectories::read(&path).unwrap(), set);
    assert!(std::fs::read(&path).unwrap() == set.to_bytes().unwrap(), "the same set gives the same bytes");
    // Another seed is another set; so is another world.
    assert_ne!(collect(&*world, &Collect::new(5, 6)).unwrap(), set);

    let empty = Trajectories { episodes: Vec::new(), ..set };
    assert_eq!(Trajectories::from_bytes(&empty.to_bytes().unwrap(), &path).unwrap(), empty);
    assert!(empty.write(&dir.path().join("no/such/folder.safetensors")).is_err());
    assert!(Trajectories::read(dir.path()).is_err() && Trajectories::read(&dir.path().join("none")).is_err());
}

#[test]
fn shards_are_read_whole_or_not_at_all() {
    let (_, set) = some(7);
    let dir = tempfile::tempdir().unwrap();
    let paths = set.write_shards(dir.path(), 3).unwrap();
    assert_eq!(paths.len(), 3);
    assert_eq!(read_shards(dir.path()).unwrap(), set);
    assert!(set.write_shards(dir.path(), 0).is_err());

    let bytes = std::fs::read(&paths[1]).unwrap();
    std::fs::remove_file(&paths[1]).unwrap();
    let error = read_shards(dir.path()).unwrap_err().to_string();
    assert!(error.contains("2 of 3"), "{error}");
    // A shard of another seed in its place.
    let other = Trajectories { seed: 6, episodes: set.episodes[..1].to_vec(), ..set.clone() };
    other.write(&paths[1]).unwrap();
    let error = read_shards(dir.path()).unwrap_err().to_string();
    assert!(error.contains("differ") && error.contains("00001"), "{error}");
    std::fs::write(&paths[1], bytes).unwrap();
    assert_eq!(read_shards(dir.path()).unwrap(), set);
    std::fs::write(dir.path().join("trajectories-00000-of-00009.safetensors"), b"").unwrap();
    assert!(read_shards(dir.path()).unwrap_err().to_string().contains("different sets"));
    assert!(read_shards(&dir.path().join("none")).is_err());
    assert!(read_shards(tempfile::tempdir().unwrap().path()).is_err());
}

#[test]
fn damaged_files_are_refused() {
    let (_, set) = some(3);
    let bytes = set.to_bytes().unwrap();
    let path = Path::new("set.safetensors");
    let refused = |bytes: &[u8]| {
        let error = Trajectories::from_bytes(bytes, path).unwrap_err().to_string();
        assert!(error.starts_with("set.safetensors: "), "{error}");
        error
    };
    for cut in [0, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        refused(&bytes[..cut]);
    }
    // Every byte of the header changed, one at a time: refused, or a set that passes its checks.
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for at in 0..header {
        for flip in [0x01, 0x10, 0x80] {
            let mut broken = bytes.clone();
            broken[at] ^= flip;
            if let Ok(read) = Trajectories::from_bytes(&broken, path) {
                read.check().unwrap();
            }
        }
    }
    // NaN in the last state, and a number of steps that does not fit.
    let mut broken = set.clone();
    *broken.episodes[2].states.last_mut().unwrap() = f64::NAN;
    assert!(broken.to_bytes().is_err());
    let at = |name: &str| {
        let (_, meta) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let (start, end) = meta.info(name).unwrap().data_offsets;
        (header + start, header + end)
    };
    let mut broken = bytes.clone();
    let (_, end) = at("states");
    broken[end - 8..end].copy_from_slice(&f64::NAN.to_le_bytes());
    assert!(refused(&broken).contains("finite"));
    let mut broken = bytes.clone();
    let (start, _) = at("steps");
    broken[start] ^= 1;
    assert!(refused(&broken).contains("by `steps`"));

    let foreign = safetensors::serialize(Vec::<(String, safetensors::tensor::TensorView<'_>)>::new(), None).unwrap();
    assert!(refused(&foreign).contains("holds no trajectories"));
}

#[test]
fn another_world_is_told_apart() {
    let (world, set) = some(2);
    let other = world_with_options("two-room", &serde_json::json!({"speed": 7.0})).unwrap();
    let error = set.check_world(&*other).unwrap_err().to_string();
    assert!(error.contains("speed"), "{error}");
    let named = Trajectories { world: "push-t".to_owned(), ..set.clone() };
    assert!(named.check_world(&*world).unwrap_err().to_string().contains("push-t"));
    let mut moved = set;
    moved.episodes[1].states[4..6].copy_from_slice(&[112.0, 150.0]);
    let error = moved.check_world(&*world).unwrap_err().to_string();
    assert!(error.contains("episode 1, row 2") && error.contains("wall"), "{error}");
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let (_, set) = some(2);
    type Change = fn(&mut Trajectories);
    let changes: [Change; 7] = [
        |t| t.episodes[1].states.truncate(4),
        |t| t.episodes[1].actions.push(0.0),
        |t| t.episodes[0].goal.clear(),
        |t| t.episodes[0] = Episode { states: vec![50.0; 2], actions: Vec::new(), goal: vec![50.0; 2] },
        |t| t.episodes[0].actions[3] = f32::INFINITY,
        |t| t.state_size = 0,
        |t| t.action_size = 0,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut broken = set.clone();
        change(&mut broken);
        assert!(broken.check().is_err() && broken.to_bytes().is_err(), "change {number}");
    }
}

#[test]
fn windows_are_all_that_fit() {
    let (_, set) = some(6);
    let (frames, skip) = (4, 5);
    let windows = set.windows(frames, skip).unwrap();
    let expected: usize = (0..6).map(|i| (set.steps(i) + 1).saturating_sub(15)).sum();
    assert_eq!(windows.len(), expected);
    for window in &windows {
        assert!(set.frame(*window, frames - 1, skip).is_some());
        for number in 0..frames - 1 {
            let block = set.block(*window, number, skip).unwrap();
            let row = window.step as usize + number * skip;
            assert_eq!(block, &set.episodes[window.episode as usize].actions[2 * row..2 * (row + skip)]);
        }
    }
    // The last window of an episode ends at its last state.
    let long = (0..6).find(|i| set.steps(*i) >= 15).unwrap();
    let last = windows.iter().rfind(|w| w.episode as usize == long).copied().unwrap();
    assert_eq!(set.frame(last, 3, skip), set.state(long, set.steps(long)));
    assert_eq!(set.frame(last, 4, skip), None);
    assert_eq!(set.block(Window { step: last.step + 1, ..last }, 2, skip), None);

    assert_eq!(set.windows(1, 1).unwrap().len(), set.total_steps() + 6);
    assert!(set.windows(200, 5).unwrap().is_empty());
    assert!(set.windows(0, 5).is_err() && set.windows(4, 0).is_err() && set.windows(usize::MAX, 5).is_err());
}

#[test]
fn a_split_loses_nothing() {
    let (_, mut set) = some(6);
    let all = set.clone();
    let held = set.split_off(2);
    assert_eq!((set.episodes.len(), held.episodes.len()), (4, 2));
    assert_eq!([&set.episodes[..], &held.episodes[..]].concat(), all.episodes);
    assert_eq!((held.seed, &held.world, &held.options), (all.seed, &all.world, &all.options));
    assert_eq!(set.split_off(9).episodes.len(), 4);
}

#[test]
fn actions_are_normalised_column_by_column() {
    let (world, mut set) = some(2);
    let values = [[0.5f32, -1.0], [0.25, 1.0], [-0.5, 0.5]];
    set.episodes.truncate(1);
    set.episodes[0].actions = values.concat();
    set.episodes[0].states = vec![50.0; 8];
    let stats = set.action_stats().unwrap();
    // By hand: means 1/12 and 1/6; unbiased deviations √(0.2708…) and √(1.0833…).
    assert!((stats.mean[0] - 0.083_333_33).abs() < 1e-6 && (stats.mean[1] - 0.166_666_67).abs() < 1e-6);
    assert!((stats.std[0] - 0.520_416_5).abs() < 1e-6 && (stats.std[1] - 1.040_833).abs() < 1e-6);
    let mut actions = values.concat();
    stats.normalize(&mut actions);
    assert!((actions[0] - (0.5 - 0.083_333_33) / 0.520_416_5).abs() < 1e-6);
    stats.restore(&mut actions);
    assert!(actions.iter().zip(values.concat()).all(|(a, b)| (a - b).abs() < 1e-6));
    let bounds = stats.bounds(world.action_range());
    let mut ends = vec![-1.0, -1.0, 1.0, 1.0];
    stats.normalize(&mut ends);
    assert_eq!(bounds, [(ends[0], ends[2]), (ends[1], ends[3])]);
    let mut same = vec![0.3f32, -0.7];
    ActionStats::identity(2).normalize(&mut same);
    assert_eq!(same, [0.3, -0.7]);

    set.episodes[0].actions.truncate(2);
    assert!(set.action_stats().is_err());
    let mut random = Random::new(0, 0);
    assert!(random.unit() < 1.0);
}
