//! Sprite World: what a clip shows is what its poses and texts say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;

use vljepa_data::emoji::{EmojiVendors, Split};
use vljepa_data::sprite_world::words::{
    Change, HardNegative, Kind, Length, Question, Wordings, action_name, caption, hard_negative, questions,
};
use vljepa_data::sprite_world::{
    Action, Cast, Direction, Pairs, Pose, Scene, Script, Shot, Speed, SpriteOptions, SpriteStream, SpriteWorld,
    is_held_out,
};
use vljepa_data::{Rgba8Image, SampleKey, encode_png};

fn key(index: u64) -> SampleKey {
    SampleKey { seed: 5, epoch: 0, index, stream: 0 }
}

fn cast() -> &'static Cast {
    static CAST: OnceLock<Cast> = OnceLock::new();
    CAST.get_or_init(|| {
        let set = EmojiVendors::open(EmojiVendors::default_dir()).unwrap();
        let vendor = set.vendor("noto").unwrap();
        Cast::of_emoji(&set, &[vendor], |concept| concept.split == Split::Train).unwrap()
    })
}

fn world(options: SpriteOptions) -> SpriteWorld {
    SpriteWorld::new(cast().clone(), true, options).unwrap()
}

fn scenes(world: &SpriteWorld, count: u64) -> Vec<Scene> {
    (0..count).map(|index| world.scene(key(index))).collect()
}

fn label<'a>(world: &'a SpriteWorld, scene: &Scene, actor: usize) -> &'a str {
    &world.thing(&scene.actors[actor]).label
}

#[test]
fn a_clip_is_a_function_of_its_key() {
    let world = world(SpriteOptions::default());
    let bytes = |index: u64| world.render(&world.scene(key(index)), 48);
    let forth: Vec<Vec<u8>> = (0..6).map(bytes).collect();
    let back: Vec<Vec<u8>> = (0..6).rev().map(bytes).collect();
    assert!(forth.iter().eq(back.iter().rev()));
    assert_eq!(forth.iter().collect::<BTreeSet<_>>().len(), 6);
    assert!(forth.iter().all(|clip| clip.len() == 8 * 48 * 48 * 3));
    let scene = world.scene(key(3));
    let other = SampleKey { seed: 6, ..key(3) };
    assert_ne!(scene, world.scene(other));
    // Frames one by one are those of the clip.
    let picture = world.picture(&scene, 5, 48);
    assert_eq!(picture.data, forth[3][5 * 48 * 48 * 3..6 * 48 * 48 * 3]);
}

/// What an event does to the poses, by its own measure.
fn holds(scene: &Scene, at: usize) -> Result<(), String> {
    let event = &scene.events[at];
    let (a, b) = (scene.poses[event.first][event.actor], scene.poses[event.last][event.actor]);
    let (dx, dy) = (b.x - a.x, b.y - a.y);
    let path = |f: &dyn Fn(&Pose) -> f32| -> Vec<f32> {
        scene.poses[event.first..=event.last].iter().map(|poses| f(&poses[event.actor])).collect()
    };
    let along = |direction: Direction, dx: f32, dy: f32| {
        let [x, y] = direction.vector();
        (dx * x + dy * y) / (dx * dx + dy * dy).sqrt().max(1e-6)
    };
    let partner = event.partner.map(|p| (scene.poses[event.first][p], scene.poses[event.last][p]));
    let gap = |one: &Pose, two: &Pose| {
        ((one.x - two.x).powi(2) + (one.y - two.y).powi(2)).sqrt() - 0.45 * (one.size + two.size)
    };
    let ok = match (event.action, event.direction, partner) {
        (Action::Move, Some(way), None) => {
            let far = (dx * dx + dy * dy).sqrt();
            let share = (event.last - event.first) as f32 / (scene.poses.len() - 1) as f32;
            let wanted = share * if event.speed == Some(Speed::Slow) { 0.25 } else { 0.6 };
            along(way, dx, dy) > 0.999 && (far - wanted).abs() < 1e-3
        }
        (Action::Grow, None, None) => (b.size / a.size - 1.9).abs() < 1e-3 && dx.abs() + dy.abs() < 1e-6,
        (Action::Shrink, None, None) => (b.size / a.size - 0.5).abs() < 1e-3 && dx.abs() + dy.abs() < 1e-6,
        (Action::Spin, None, None) => {
            let turns = path(&|pose| pose.angle);
            b.angle == a.angle && turns.windows(2).filter(|w| w[1] > w[0]).count() >= 2
        }
        (Action::Shake, None, None) => {
            let sides = path(&|pose| pose.x);
            b == a && sides.iter().any(|x| *x > a.x + 0.05) && sides.iter().any(|x| *x < a.x - 0.05)
        }
        (Action::Jump, None, None) => b == a && path(&|pose| pose.y).iter().any(|y| *y < a.y - 0.15),
        (Action::Appear, None, None) => a.alpha == 0.0 && b.alpha == 1.0,
        (Action::Vanish, None, None) => a.alpha == 1.0 && b.alpha == 0.0,
        (Action::Enter, Some(way), None) => !a.is_seen() && b.is_seen() && along(way, dx, dy) > 0.999,
        (Action::Leave, Some(way), None) => a.is_seen() && !b.is_seen() && along(way, dx, dy) > 0.999,
        (Action::Approach, None, Some((p, q))) => p == q && gap(&a, &p) > 0.2 && (-0.05..0.08).contains(&gap(&b, &q)),
        (Action::Bump, None, Some((p, q))) => gap(&b, &q) > 0.05 && gap(&p, &q) < 0.0 && p != q,
        (Action::PassBehind, None, Some((p, q))) => {
            let (before, after) = ((a.x - p.x, a.y - p.y), (b.x - q.x, b.y - q.y));
            let hidden = scene.poses[event.first + 1..event.last].iter().all(|poses| poses[event.actor].behind);
            p == q && hidden && before.0 * after.0 + before.1 * after.1 < 0.0
        }
        (Action::Swap, None, Some((p, q))) => (b.x, b.y) == (p.x, p.y) && (q.x, q.y) == (a.x, a.y),
        (Action::Carry, Some(way), Some((p, q))) => {
            along(way, q.x - p.x, q.y - p.y) > 0.999 && (q.x - b.x).abs() < 1e-4 && q.y < b.y
        }
        (Action::Push, Some(way), Some((p, q))) => {
            along(way, q.x - p.x, q.y - p.y) > 0.999 && along(way, q.x - b.x, q.y - b.y) > 0.999
        }
        other => return Err(format!("{other:?}")),
    };
    if ok { Ok(()) } else { Err(format!("{event:?}: {a:?} to {b:?}, {partner:?}")) }
}

#[test]
fn poses_do_what_events_say_at_every_length() {
    for (frames, events) in [(8, 2), (9, 1), (12, 3), (17, 3), (32, 3)] {
        let world = world(SpriteOptions { frames, events, ..SpriteOptions::default() });
        let mut counts: BTreeMap<Action, usize> = BTreeMap::new();
        for scene in scenes(&world, 1500) {
            assert_eq!(scene.poses.len(), frames);
            assert!(scene.events.len() <= events && !scene.events.is_empty());
            for (at, event) in scene.events.iter().enumerate() {
                assert!(event.first < event.last && event.last < frames, "{event:?}");
                assert!(at == 0 || scene.events[at - 1].last <= event.first, "{:?}", scene.events);
                holds(&scene, at).unwrap();
                *counts.entry(event.action).or_default() += 1;
            }
            // What takes no part stays as it is.
            for i in 0..scene.actors.len() {
                let acts = scene.events.iter().any(|e| e.actor == i || e.partner == Some(i));
                assert!(acts || scene.poses.iter().all(|poses| poses[i] == scene.poses[0][i]));
            }
        }
        assert_eq!(counts.len(), Action::ALL.len(), "{frames} frames");
        let least = counts.values().min().unwrap();
        assert!(*least > 20, "{frames} frames: {counts:?}");
    }
}

#[test]
fn what_a_thing_does_after_an_event_that_has_a_consequence_is_the_consequence() {
    let mut followed = 0;
    for (frames, events) in [(8, 2), (16, 3)] {
        let world = world(SpriteOptions { frames, events, ..SpriteOptions::default() });
        let mut scripts: BTreeMap<String, usize> = BTreeMap::new();
        for scene in scenes(&world, 2000) {
            *scripts.entry(format!("{:?}", scene.script)).or_default() += 1;
            for (at, event) in scene.events.iter().enumerate() {
                let next = scene.events[at + 1..].iter().find(|later| later.actor == event.actor);
                if let (Some(law), Some(next)) = (event.action.consequence(), next) {
                    assert_eq!(law, next.action, "{:?}", scene.events);
                    followed += 1;
                }
            }
            assert!(scene.script != Script::Single || scene.events.len() == 1);
        }
        assert!(scripts.len() == 3 && scripts.values().all(|count| *count > 150), "{scripts:?}");
    }
    assert!(followed > 500, "{followed}");
}

#[test]
fn things_that_bump_touch_in_some_frame() {
    for (frames, events) in [(8, 2), (9, 2), (12, 3), (32, 1)] {
        let world = world(SpriteOptions { frames, events, ..SpriteOptions::default() });
        for scene in scenes(&world, 800) {
            for event in scene.events.iter().filter(|e| e.action == Action::Bump) {
                let gap = |poses: &Vec<Pose>| {
                    let (a, b) = (poses[event.actor], poses[event.partner.unwrap()]);
                    ((a.x - b.x).powi(2) + (a.y - b.y).powi(2)).sqrt() / (0.45 * (a.size + b.size))
                };
                let least = scene.poses[event.first..=event.last].iter().map(gap).fold(f32::MAX, f32::min);
                assert!((0.9..1.02).contains(&least), "{frames} frames: {least}");
            }
        }
    }
}

#[test]
fn pairs_that_are_held_out_are_in_no_training_clip_and_first_in_theirs() {
    let pairs = |which: Pairs| {
        let world = world(SpriteOptions { pairs: which, ..SpriteOptions::default() });
        let of = |scene: Scene| -> Vec<bool> {
            scene.events.iter().map(|e| is_held_out(&world.thing(&scene.actors[e.actor]).key, e.action)).collect()
        };
        scenes(&world, 600).into_iter().map(of).collect::<Vec<_>>()
    };
    assert!(pairs(Pairs::Seen).iter().flatten().all(|held_out| !held_out));
    assert!(pairs(Pairs::HeldOut).iter().all(|held_out| held_out[0] && !held_out[1..].contains(&true)));
    // A tenth of all: the standard deviation of the share is 0.3 / sqrt(571 * 16) = 0.0031.
    let all = cast().things().iter().flat_map(|thing| Action::ALL.map(|action| is_held_out(&thing.key, action)));
    let all: Vec<bool> = all.collect();
    let share = all.iter().filter(|held_out| **held_out).count() as f64 / all.len() as f64;
    assert!((share - 0.1).abs() < 0.0125, "{share}");
}

fn asked(world: &SpriteWorld, scene: &Scene, index: u64, wordings: Wordings) -> Vec<Question> {
    questions(world, scene, wordings, key(index))
}

#[test]
fn answers_are_true_of_the_poses() {
    let world = world(SpriteOptions::default());
    let mut counts: BTreeMap<Kind, usize> = BTreeMap::new();
    for (index, scene) in (0..).zip(scenes(&world, 1500)) {
        for wordings in Wordings::ALL {
            for question in asked(&world, &scene, index, wordings) {
                *counts.entry(question.kind).or_default() += 1;
                let Question { kind, text, answer, others } = &question;
                let distinct: BTreeSet<&String> = others.iter().chain([answer]).collect();
                assert_eq!(distinct.len(), others.len() + 1, "{question:?}");
                assert!(!text.contains('{') && !text.contains("  ") && !answer.contains('{'), "{question:?}");
                let who = (0..scene.actors.len()).filter(|&i| text.contains(label(&world, &scene, i)));
                // The thing with the longest name, where one name holds another.
                let who = who.max_by_key(|&i| label(&world, &scene, i).len());
                let asked = who.map_or(text.clone(), |i| text.replace(label(&world, &scene, i), ""));
                let last = ["end", "last", "remain", "finally", "close"].iter().any(|word| asked.contains(word));
                match kind {
                    Kind::Count => {
                        let seen = scene.seen_in(if last { scene.poses.len() - 1 } else { 0 });
                        assert_eq!(["none", "one", "two", "three", "four"][seen], answer);
                    }
                    Kind::Where => {
                        let poses = if last { scene.after() } else { scene.before() };
                        let pose = poses[who.unwrap()];
                        let column = ["left", "", "right"][(pose.x * 3.0) as usize];
                        let row = ["top", "", "bottom"][(pose.y * 3.0) as usize];
                        let name = format!("{row} {column}");
                        let name = if name.trim().is_empty() { "middle" } else { name.trim() };
                        assert_eq!(name, answer);
                    }
                    Kind::There => {
                        let ends = ["at the end", "at last", "is over", "finally", "the last picture"];
                        let last = ends.iter().any(|words| text.contains(words));
                        let poses = if last { scene.after() } else { scene.before() };
                        let here = |i: &usize| {
                            let place = poses[*i].place().map(|place| place.name());
                            let said = |name| {
                                text.contains(&format!(" {name} ")) || text.trim_end_matches('?').ends_with(name)
                            };
                            poses[*i].is_seen() && place.is_some_and(said)
                        };
                        let things: Vec<usize> = (0..scene.actors.len()).filter(here).collect();
                        // "at the top left" says "top" and "left" too.
                        assert!(things.iter().any(|&i| label(&world, &scene, i) == answer), "{question:?}");
                        assert_eq!(others.len(), 3);
                    }
                    Kind::Action => {
                        let event = scene.events.iter().find(|e| e.actor == who.unwrap()).unwrap();
                        assert_eq!(&action_name(event.action), answer);
                        assert_eq!(others.len(), 15);
                    }
                    Kind::Direction => {
                        let (a, b) = (scene.before()[who.unwrap()], scene.after()[who.unwrap()]);
                        let way = Direction::ALL.into_iter().find(|way| way.name() == answer).unwrap().vector();
                        let (dx, dy) = (b.x - a.x, b.y - a.y);
                        let cosine = (dx * way[0] + dy * way[1]) / (dx * dx + dy * dy).sqrt();
                        assert!(cosine > 0.99 && others.len() == 7, "{question:?}: {:?}", scene.events);
                    }
                    Kind::Which => {
                        assert!(text.contains(answer.as_str()) && text.contains(&others[0]), "{question:?}");
                    }
                    Kind::What => {
                        let names: Vec<&str> = scene.events.iter().map(|e| label(&world, &scene, e.actor)).collect();
                        assert!(names.contains(&answer.as_str()) && others.len() == 3);
                    }
                    Kind::Next => {
                        let next = scene.events.last().unwrap().action.consequence().unwrap();
                        assert_eq!((&action_name(next), others.len()), (answer, 7));
                    }
                    Kind::Order | Kind::YesNo | Kind::Color => {}
                }
            }
        }
    }
    assert!(counts.len() == Kind::ALL.len() && counts.values().all(|count| *count > 100), "{counts:?}");
}

#[test]
fn half_of_the_answers_to_yes_and_no_are_yes_whatever_is_told() {
    let world = world(SpriteOptions::default());
    let mut counts: BTreeMap<(&str, bool), [f64; 2]> = BTreeMap::new();
    for (index, scene) in (0..).zip(scenes(&world, 8000)) {
        for question in asked(&world, &scene, index, Wordings::Train).into_iter().filter(|q| q.kind == Kind::YesNo) {
            let names = (0..scene.actors.len()).map(|i| label(&world, &scene, i).to_owned());
            let said = names.fold(question.text.clone(), |text, name| text.replace(&name, "#"));
            let verbs = [
                "grow", "shrink", "spin", "jump", "vanish", "approach", "bump", "swap", "push", "carr", "move", "leave",
            ];
            let verb = verbs.into_iter().find(|verb| said.contains(verb)).unwrap_or("other");
            let ways = ["left", "right", " up", "down", "top", "bottom", "above", "below", "slowly", "quickly"];
            let told = ways.into_iter().any(|way| said.contains(way));
            counts.entry((verb, told)).or_default()[usize::from(question.answer == "yes")] += 1.0;
        }
    }
    for (cell, [no, yes]) in counts.into_iter().filter(|(_, [no, yes])| no + yes > 60.0) {
        // Three and a half standard deviations of a fair coin, and what casting and layouts favour.
        let (share, all) = (yes / (yes + no), yes + no);
        assert!((share - 0.5).abs() < 3.5 * 0.5 / all.sqrt() + 0.08, "{cell:?}: {share} of {all}");
    }
}

#[test]
fn wordings_that_are_held_out_share_no_frame_with_those_to_train_on() {
    let world = world(SpriteOptions::default());
    let mut frames: [BTreeSet<String>; 3] = Default::default();
    for (index, scene) in (0..).zip(scenes(&world, 1500)) {
        for (at, wordings) in Wordings::ALL.into_iter().enumerate() {
            let mut texts: Vec<String> =
                asked(&world, &scene, index, wordings).into_iter().map(|question| question.text).collect();
            texts.extend(Length::ALL.map(|length| caption(&world, &scene, length, wordings, key(index))));
            for mut text in texts {
                let mut names: Vec<&str> = (0..scene.actors.len()).map(|i| label(&world, &scene, i)).collect();
                names.sort_by_key(|name| std::cmp::Reverse(name.len()));
                names.iter().for_each(|name| text = text.replace(name, "#"));
                frames[at].insert(text);
            }
        }
    }
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        let shared: Vec<&String> = frames[one].intersection(&frames[other]).collect();
        assert!(shared.is_empty(), "{shared:?}");
    }
    assert!(frames[0].len() > 500 && frames[1..].iter().all(|frames| frames.len() > 300));
}

#[test]
fn a_hard_negative_differs_in_what_it_says() {
    let world = world(SpriteOptions::default());
    let changes = [Change::Subject, Change::Action, Change::Direction, Change::Order, Change::Count];
    for change in changes {
        let mut count = 0;
        for (index, scene) in (0..).zip(scenes(&world, 800)) {
            let found = hard_negative(&world, &scene, change, Wordings::Train, key(index));
            let Some(HardNegative { right, wrong, change: told }) = found else { continue };
            count += 1;
            assert_eq!(told, change);
            assert!(!right.contains(&wrong), "{right:?} {wrong}");
        }
        assert!(count > 60, "{change:?}: {count}");
    }
}

#[test]
fn alternatives_begin_alike_and_end_otherwise() {
    let world = world(SpriteOptions { events: 1, ..SpriteOptions::default() });
    let mut enough = 0;
    for (index, scene) in (0..).zip(scenes(&world, 300)) {
        let others = world.alternatives(&scene, key(index), 3);
        enough += usize::from(others.len() == 3);
        let first = world.picture(&scene, 0, 32);
        for (i, other) in others.iter().enumerate() {
            holds(other, 0).unwrap();
            assert_eq!(other.before(), scene.before());
            assert_eq!(world.picture(other, 0, 32), first);
            let last = |scene: &Scene| world.picture(scene, 7, 32);
            assert_ne!(last(other), last(&scene));
            assert!(!others[..i].iter().any(|earlier| last(earlier) == last(other)));
            let Some(elsewhere) = world.elsewhere(other, key(index)) else { continue };
            assert_eq!(elsewhere.events, other.events);
            assert_ne!(elsewhere.poses, other.poses);
            assert!(elsewhere.actors.iter().zip(&other.actors).all(|(a, b)| a.thing == b.thing));
            holds(&elsewhere, 0).unwrap();
        }
    }
    assert!(enough > 200, "{enough} of 300");
}

#[test]
fn options_out_of_range_are_refused_by_name() {
    let fault = |options: SpriteOptions| {
        let (key, what) = options.problem().unwrap();
        assert_eq!(
            SpriteWorld::new(cast().clone(), true, options).unwrap_err().to_string(),
            format!("Sprite World: {what}")
        );
        key
    };
    let plain = SpriteOptions::default();
    assert_eq!(fault(SpriteOptions { frames: 7, ..plain }), "frames");
    assert_eq!(fault(SpriteOptions { frames: 33, ..plain }), "frames");
    assert_eq!(fault(SpriteOptions { things: [0, 2], ..plain }), "things");
    assert_eq!(fault(SpriteOptions { things: [3, 2], ..plain }), "things");
    assert_eq!(fault(SpriteOptions { things: [1, 5], ..plain }), "things");
    assert_eq!(fault(SpriteOptions { events: 0, ..plain }), "events");
    assert_eq!(fault(SpriteOptions { events: 3, ..plain }), "events");
}

fn drawing(color: [u8; 3], side: u32) -> Vec<u8> {
    let mut data = vec![0; (side * side * 4) as usize];
    for (i, pixel) in data.chunks_exact_mut(4).enumerate() {
        let (x, y) = (i as u32 % side, i as u32 / side);
        if x >= side / 4 && x < side * 3 / 4 && y >= side / 3 {
            pixel.copy_from_slice(&[color[0], color[1], color[2], 255]);
        }
    }
    encode_png(&Rgba8Image::new(side, side, data).unwrap()).unwrap()
}

fn folder(dir: &Path, lines: &str) {
    std::fs::write(dir.join("labels.jsonl"), lines).unwrap();
}

#[test]
fn anyones_drawings_make_a_cast() {
    let dir = tempfile::tempdir().unwrap();
    let mut lines = String::new();
    for i in 0..7u8 {
        std::fs::write(dir.path().join(format!("{i}.png")), drawing([250, 20, 30 * i], 40 + 60 * u32::from(i)))
            .unwrap();
        lines += &format!("{{\"file\": \"{i}.png\", \"label\": \"thing {}\"}}\n", i.min(5));
    }
    folder(dir.path(), &lines);
    let cast = Cast::of_folder(dir.path()).unwrap();
    assert_eq!(cast.things().len(), 6);
    assert_eq!(cast.things().iter().map(|thing| thing.drawings.len()).collect::<Vec<_>>(), [1, 1, 1, 1, 1, 2]);
    let world = SpriteWorld::new(cast, false, SpriteOptions::default()).unwrap();
    let scene = world.scene(key(1));
    let clip = world.render(&scene, 64);
    assert!(clip.chunks_exact(3).any(|pixel| pixel[0] > 200 && pixel[1] < 60), "nothing red is drawn");
}

#[test]
fn a_bad_folder_of_drawings_is_told_of_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let said = |lines: &str| {
        folder(dir.path(), lines);
        let text = Cast::of_folder(dir.path()).unwrap_err().to_string();
        assert!(!text.contains('\n'), "{text}");
        text
    };
    std::fs::write(dir.path().join("a.png"), drawing([250, 20, 30], 40)).unwrap();
    std::fs::write(dir.path().join("clear.png"), encode_png(&Rgba8Image::new(8, 8, vec![0; 256]).unwrap()).unwrap())
        .unwrap();
    std::fs::write(dir.path().join("text.png"), b"not a picture").unwrap();
    assert!(said("{\"file\": \"a.png\"}").contains("line 1: expected {\"file\""));
    assert!(said("\n\nnonsense").contains("line 3: expected"));
    assert!(said("{\"file\": \"b.png\", \"label\": \"b\"}").contains("line 1: no file b.png in"));
    assert!(said("{\"file\": \"a.png\", \"label\": \" \"}").contains("a label has 1 to 80 characters"));
    assert!(said("{\"file\": \"a.png\", \"label\": \"a\\u0007\"}").contains("control characters"));
    assert!(said("{\"file\": \"clear.png\", \"label\": \"a\"}").contains("clear.png: nothing is seen on it"));
    assert!(said("{\"file\": \"text.png\", \"label\": \"a\"}").contains("text.png"));
    assert!(said("{\"file\": \"a.png\", \"label\": \"a\"}").contains("1 different things with drawings"));
    assert!(Cast::of_folder(Path::new("/nowhere")).unwrap_err().to_string().contains("labels.jsonl"));
}

#[test]
fn a_stream_is_scenes_with_still_times_between() {
    let world = world(SpriteOptions { frames: 16, ..SpriteOptions::default() });
    let key = SampleKey { seed: 3, epoch: 0, index: 2, stream: 0 };
    let shots: Vec<Shot> = SpriteStream::new(&world, key, 40.0).take(400).collect();
    assert_eq!(shots, SpriteStream::new(&world, key, 40.0).take(400).collect::<Vec<_>>());
    assert!(shots.windows(2).all(|pair| pair[0].first + pair[0].frames == pair[1].first));
    let still: Vec<f64> = shots.iter().map(|shot| (shot.frames - shot.moving()) as f64).collect();
    // The deviation of the mean of 400 is a twentieth of it.
    let mean = still.iter().sum::<f64>() / 400.0;
    assert!((mean - 40.0).abs() < 8.0 && still.iter().all(|still| *still <= 240.0), "{mean}");
    let shot = &shots[0];
    assert_eq!(shot.picture(&world, 15, 32), shot.picture(&world, 99, 32));
    assert_ne!(shot.picture(&world, 0, 32), shot.picture(&world, 15, 32));
    let other = SpriteStream::new(&world, SampleKey { index: 3, ..key }, 40.0).next().unwrap();
    assert_ne!(other.scene, shot.scene);
    assert!(SpriteStream::new(&world, key, 0.0).take(9).all(|shot| shot.frames == 16));
}
