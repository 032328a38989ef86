//! Sprite Rooms: walls, pushing, carrying, what sentences say, and the scripted policy.

use vljepa_worlds::protocol::{floors, fresh_draws};
use vljepa_worlds::sprite_rooms::{Corner, Fact, Sprite, Task, Who};
use vljepa_worlds::trajectories::{Collect, collect};
use vljepa_worlds::{Policy, Random, SpriteRooms, SpriteRoomsOptions, World, world_by_name};

fn rooms(tasks: &[Task]) -> SpriteRooms {
    SpriteRooms::shapes(SpriteRoomsOptions { tasks: tasks.to_vec(), ..<_>::default() }).unwrap()
}

/// Agent, wall with door (0, 0: none), held thing, two things.
fn state(agent: [f64; 2], wall: [f64; 2], held: f64, things: [[f64; 2]; 2]) -> Vec<f64> {
    let [a, b] = things;
    vec![agent[0], agent[1], 0.0, wall[0], wall[1], held, a[0], a[1], 0.0, b[0], b[1], 3.0]
}

const FAR: [f64; 2] = [56.0, 8.0];
const NONE: [f64; 2] = [0.0, 0.0];

fn after(start: &[f64], actions: &[[f32; 3]]) -> Vec<f64> {
    let mut world = rooms(&[Task::Reach]);
    world.set_state(start).unwrap();
    for action in actions {
        world.step(action).unwrap();
        // What can be reached can be set.
        let now = world.state();
        world.set_state(&now).unwrap();
    }
    world.state()
}

#[test]
fn bodies_stop_at_walls_and_pass_the_door() {
    let wall = [32.0, 20.0];
    let start = state([10.0, 50.0], wall, 0.0, [FAR, [56.0, 56.0]]);
    assert_eq!(after(&start, &[[1.0, 0.0, -1.0]; 20])[..2], [26.0, 50.0]);
    assert_eq!(after(&start, &[[-1.0, 1.0, -1.0]; 20])[..2], [6.0, 58.0]);
    // Along the wall up to the door, and through it.
    let along = [[[1.0, -1.0, -1.0]; 10].to_vec(), vec![[1.0, 0.0, -1.0]; 10]].concat();
    let end = after(&start, &along);
    assert!(end[0] > 45.0 && (15.0..=25.0).contains(&end[1]), "{end:?}");
    // Beside the door a body touches the edge.
    let edge = state([30.0, 24.0], wall, 0.0, [FAR, [56.0, 56.0]]);
    assert_eq!(after(&edge, &[[0.0, 1.0, -1.0]; 3])[..2], [30.0, 25.0]);
}

#[test]
fn things_are_pushed_and_a_wall_stops_both() {
    let start = state([12.0, 30.0], NONE, 0.0, [[22.0, 30.0], FAR]);
    let end = after(&start, &[[1.0, 0.0, -1.0]; 5]);
    assert_eq!(end[..2], [27.0, 30.0]);
    assert!((end[6] - 35.0).abs() < 1e-9 && end[7] == 30.0, "{end:?}");
    let end = after(&start, &[[1.0, 0.0, -1.0]; 40]);
    assert!((end[6] - 58.0).abs() < 1e-9 && (end[0] - 50.0).abs() < 1e-9, "{end:?}");
    // A thing that is pushed pushes the next.
    let row = state([12.0, 30.0], NONE, 0.0, [[22.0, 30.0], [31.0, 30.0]]);
    let end = after(&row, &[[1.0, 0.0, -1.0]; 6]);
    assert!(end[9] > end[6] + 7.5 && end[6] > end[0] + 7.5, "{end:?}");
    // Away from a thing nothing is pushed.
    let near = state([14.0, 30.0], NONE, 0.0, [[22.0, 30.0], FAR]);
    assert_eq!(after(&near, &[[-1.0, 0.0, -1.0]; 2])[6..8], [22.0, 30.0]);
    // Off the middle a thing goes to the side.
    let aside = state([12.0, 33.0], NONE, 0.0, [[22.0, 30.0], FAR]);
    assert!(after(&aside, &[[1.0, 0.0, -1.0]; 6])[7] < 29.0);
}

#[test]
fn a_thing_at_the_side_is_held_carried_through_the_door_and_put_down() {
    let wall = [32.0, 20.0];
    let start = state([12.0, 20.0], wall, 0.0, [[21.5, 22.0], FAR]);
    let held = after(&start, &[[0.0, 0.0, 1.0]]);
    assert_eq!((held[5], &held[6..8]), (1.0, &[20.5, 20.0][..]));
    let through = after(&start, &[[1.0, 0.0, 1.0]; 10]);
    assert_eq!((through[0], through[6], through[5]), (42.0, 50.5, 1.0));
    let down = after(&start, &[[[1.0, 0.0, 1.0]; 10].to_vec(), vec![[-1.0, 0.0, -1.0]; 5]].concat());
    assert_eq!((down[0], down[6], down[5]), (27.0, 50.5, 0.0));
    // In the door both stay in its height, and beside it the thing stops both.
    let up = after(&start, &[[[1.0, 0.0, 1.0]; 4].to_vec(), vec![[0.0, -1.0, 1.0]; 9]].concat());
    assert_eq!((up[1], up[7]), (15.0, 15.0));
    let low = state([12.0, 40.0], wall, 0.0, [[20.5, 40.0], FAR]);
    let stopped = after(&low, &[[1.0, 0.0, 1.0]; 9]);
    assert_eq!((stopped[0], stopped[6]), (17.5, 26.0));
    // Too far, above, and beyond the wall nothing is gripped.
    for (agent, thing) in [([12.0, 40.0], [25.0, 40.0]), ([12.0, 40.0], [12.0, 49.0]), ([26.0, 50.0], [38.5, 50.0])] {
        assert_eq!(after(&state(agent, wall, 0.0, [thing, FAR]), &[[0.0, 0.0, 1.0]])[5], 0.0);
    }
    // Of two things the nearer one.
    let two = state([30.0, 40.0], NONE, 0.0, [[41.0, 40.0], [21.0, 40.0]]);
    assert_eq!(after(&two, &[[0.0, 0.0, 1.0]])[5], 2.0);
}

#[test]
fn states_that_cannot_be_are_refused() {
    let mut world = rooms(&[Task::Reach]);
    let good = state([12.0, 20.0], [32.0, 20.0], 1.0, [[20.5, 20.0], FAR]);
    world.set_state(&good).unwrap();
    let changes: [(usize, f64, &str); 12] = [
        (0, 5.9, "agent x"),
        (1, 60.0, "agent x"),
        (2, 1.0, "agent's drawing"),
        (2, 0.5, "agent's drawing"),
        (3, 29.0, "wall"),
        (4, 5.0, "wall"),
        (5, 3.0, "held"),
        (5, 2.0, "held"),
        (6, 20.6, "held"),
        (8, 8.0, "thing 1's drawing"),
        (9, 30.0, "thing 2 x"),
        (11, -1.0, "thing 2's drawing"),
    ];
    for (at, value, named) in changes {
        let mut bad = good.clone();
        bad[at] = value;
        let error = world.set_state(&bad).unwrap_err().to_string();
        assert!(error.contains(named), "{at} {value}: {error}");
        assert_eq!(world.state(), good);
    }
    let mut goal = world.goal();
    *goal.last_mut().unwrap() = 9.0;
    assert!(world.set_goal(&goal).unwrap_err().to_string().contains("fact"));
}

#[test]
fn options_and_drawings_are_checked() {
    let options = SpriteRoomsOptions::default;
    for bad in [
        SpriteRoomsOptions { things: 0, ..options() },
        SpriteRoomsOptions { things: 3, ..options() },
        SpriteRoomsOptions { things: 1, ..options() },
        SpriteRoomsOptions { tasks: Vec::new(), ..options() },
        SpriteRoomsOptions { wall_share: 1.5, ..options() },
        SpriteRoomsOptions { noise: f32::NAN, ..options() },
        SpriteRoomsOptions { drawings: "0123".to_owned(), ..options() },
    ] {
        SpriteRooms::shapes(bad.clone()).unwrap_err();
    }
    let sprite = |name: &str, side: usize, bytes: usize| Sprite { name: name.to_owned(), side, rgba: vec![200; bytes] };
    let dog = || sprite("dog", 2, 16);
    for bad in [
        sprite("", 2, 16),
        sprite(" dog", 2, 16),
        sprite("dog", 0, 0),
        sprite("dog", 2, 15),
        sprite("dog", 1025, 4 * 1025 * 1025),
    ] {
        SpriteRooms::new(options(), vec![dog()], vec![bad.clone()]).unwrap_err();
        SpriteRooms::new(options(), vec![bad], vec![dog()]).unwrap_err();
    }
    assert!(SpriteRooms::new(options(), Vec::new(), vec![dog()]).is_err());
    assert!(SpriteRooms::new(options(), vec![dog()], Vec::new()).is_err());

    // One's own drawings are another world than the shapes, and than others.
    let own = SpriteRooms::new(options(), vec![sprite("cat", 2, 16)], vec![dog(), sprite("house", 3, 36)]).unwrap();
    let set = collect(&own, &Collect { max_steps: 5, ..Collect::new(2, 1) }).unwrap();
    set.check_world(&own).unwrap();
    let error = set.check_world(&*world_by_name("sprite-rooms").unwrap()).unwrap_err().to_string();
    assert!(error.contains("drawings"), "{error}");
    assert_eq!(own.names(), (vec!["cat"], vec!["dog", "house"]));
}

#[test]
fn sentences_say_what_is_so() {
    let mut world = rooms(&[Task::Reach]);
    world.set_state(&state([40.0, 10.0], NONE, 0.0, [[20.0, 50.0], [29.5, 51.0]])).unwrap();
    let texts = |world: &SpriteRooms| -> Vec<String> {
        world.true_of(&world.state()).unwrap().into_iter().map(|(text, _)| text).collect()
    };
    // At 40 the robot is not yet in the corner.
    assert_eq!(
        texts(&world),
        [
            "the red disc is beside the blue square",
            "the blue square is beside the red disc",
            "the red disc is in the bottom left corner",
        ]
    );
    world.set_state(&state([42.0, 22.0], NONE, 0.0, [[20.0, 49.5], [20.0, 58.0]])).unwrap();
    let now = texts(&world);
    assert!(now.contains(&"the robot is in the top right corner".to_owned()), "{now:?}");
    assert!(!now.iter().any(|text| text.contains("beside")), "below is not beside: {now:?}");
    // Across the wall is not beside.
    world.set_state(&state([10.0, 10.0], [32.0, 20.0], 0.0, [[26.0, 50.0], [38.0, 50.0]])).unwrap();
    assert!(!texts(&world).iter().any(|text| text.contains("beside")));
    // What is held is nowhere else.
    world.set_state(&state([14.5, 50.0], NONE, 1.0, [[6.0, 50.0], [24.0, 50.0]])).unwrap();
    let now = texts(&world);
    assert_eq!(
        now,
        [
            "the robot is beside the blue square",
            "the robot is in the bottom left corner",
            "the robot holds the red disc"
        ]
    );

    let all = world.sentences();
    assert_eq!(all.len(), 18);
    for (text, fact) in &all {
        let says = now.contains(text);
        assert_eq!(world.is_true(*fact, &world.state()).unwrap(), says, "{text}");
        assert_eq!(all.iter().filter(|(other, _)| other == text).count(), 1);
    }
    let mut random = Random::new(1, 0);
    world.set_sentence("the red disc is in the top left corner", &mut random).unwrap();
    assert_eq!(world.fact(), Fact::In { who: Who::Thing(0), corner: Corner::TopLeft });
    assert_eq!(world.instruction().unwrap(), "the red disc is in the top left corner");
    assert!(!world.reached());
    let pictured = world.goal()[..12].to_vec();
    assert!(world.is_true(world.fact(), &pictured).unwrap(), "the picture of the goal shows it");
    let error = world.set_sentence("the dog is beside the house", &mut random).unwrap_err().to_string();
    assert!(error.contains("the dog is beside the house") && error.contains("the robot"), "{error}");
    world.set_fact(Fact::Holds { thing: 7 }, &mut random).unwrap_err();
    world.set_fact(Fact::Beside { who: Who::Thing(1), of: 1 }, &mut random).unwrap_err();
}

#[test]
fn the_expert_does_every_task_and_chance_does_not() {
    for task in Task::ALL {
        let world = rooms(&[task]);
        let draws = fresh_draws(&world, 150, 4);
        let floors = floors(&world, &draws, 120, 4).unwrap();
        println!("{task:?}: {floors:?}");
        assert_eq!((floors.start_inside, floors.noop), (0, 0), "{task:?}: a start is not at its goal");
        assert!(floors.oracle >= 147, "{task:?}: {floors:?}");
        assert!(floors.random <= 60, "{task:?}: {floors:?}");
    }
}

#[test]
fn episodes_show_different_things_walls_and_goals() {
    let mut world = rooms(&Task::ALL);
    let (mut walls, mut drawings, mut sentences) = (0, std::collections::BTreeSet::new(), 0);
    for seed in 0..300 {
        world.reset(&mut Random::new(seed, 0));
        let now = world.state();
        walls += usize::from(now[3] > 0.0);
        assert_ne!(now[8], now[11], "two things look different");
        drawings.extend([now[8] as usize, now[11] as usize]);
        sentences += usize::from(world.instruction().is_some());
    }
    assert!((170..250).contains(&walls) && drawings.len() == 8, "{walls} {drawings:?}");
    assert!((140..260).contains(&sentences), "four of six tasks have one: {sentences}");
    let mut one =
        SpriteRooms::shapes(SpriteRoomsOptions { things: 1, tasks: vec![Task::Place], ..<_>::default() }).unwrap();
    one.reset(&mut Random::new(3, 0));
    assert_eq!((one.state().len(), one.goal().len()), (9, 14));
}

#[test]
fn a_whole_picture_is_a_goal() {
    let mut world = rooms(&[Task::Beside]);
    let (mut done, count) = (0, 60);
    for seed in 0..count {
        let mut random = Random::new(seed, 0);
        world.reset(&mut random);
        // Where both things and the agent are elsewhere, in the same rooms with the same drawings.
        let start = world.state();
        let goal = loop {
            world.reset(&mut random);
            let mut other = world.state();
            for at in [2, 3, 4, 8, 11] {
                other[at] = start[at];
            }
            if world.set_state(&other).is_ok() {
                break other;
            }
        };
        world.set_goal(&goal).unwrap();
        world.set_state(&start).unwrap();
        assert_eq!((world.fact(), world.instruction()), (Fact::Picture, None));
        done += usize::from((0..250).any(|_| {
            let action = Policy::Oracle.act(&mut world, &mut random);
            world.step(&action).unwrap()
        }));
    }
    assert!(done >= count as usize * 85 / 100, "{done} of {count}");
}

#[test]
fn pictures_show_the_drawings_where_they_are_at_any_side() {
    let mut world = rooms(&[Task::Reach]);
    world.set_state(&state([14.5, 50.0], [32.0, 20.0], 1.0, [[23.0, 50.0], [44.0, 20.0]])).unwrap();
    let picture = |world: &SpriteRooms, side: usize| {
        let mut rgb = vec![0; 3 * side * side];
        world.render(side, &mut rgb).unwrap();
        rgb
    };
    let (small, large) = (picture(&world, 64), picture(&world, 256));
    let at = |rgb: &[u8], side: usize, x: f64, y: f64| -> [u8; 3] {
        let i = 3 * ((y * side as f64 / 64.0) as usize * side + (x * side as f64 / 64.0) as usize);
        [rgb[i], rgb[i + 1], rgb[i + 2]]
    };
    for (rgb, side) in [(&small, 64), (&large, 256)] {
        assert_eq!(at(rgb, side, 23.5, 52.5), [214, 48, 49], "the red disc");
        assert_eq!(at(rgb, side, 44.5, 20.5), [41, 98, 219], "the blue square");
        assert_eq!(at(rgb, side, 14.5, 53.5), [52, 58, 64], "the robot");
        assert_eq!(at(rgb, side, 32.5, 40.5), [72, 76, 92], "the wall");
        assert_eq!(at(rgb, side, 32.5, 20.5), [240, 234, 220], "the door");
        assert_eq!(at(rgb, side, 0.5, 30.5), [72, 76, 92], "the border");
        assert_eq!(at(rgb, side, 19.0, 49.5), [24, 24, 24], "the bar of what is held");
    }
    let mean = |x: usize, y: usize, c: usize| {
        let levels = (0..16).map(|i| f64::from(large[3 * ((4 * y + i / 4) * 256 + 4 * x + i % 4) + c]));
        levels.sum::<f64>() / 16.0
    };
    for i in 0..64 * 64 {
        for c in 0..3 {
            let (fine, coarse) = (mean(i % 64, i / 64, c), f64::from(small[3 * i + c]));
            // Edges of bodies that lie over others are blended from shares, which is right for one edge and near for two.
            assert!((fine - coarse).abs() < 12.0, "pixel {i}: {fine} and {coarse}");
        }
    }
    // A thing that moves by a fraction of a pixel changes the picture.
    let moved = state([14.5, 50.0], [32.0, 20.0], 1.0, [[23.0, 50.0], [44.2, 20.0]]);
    world.set_state(&moved).unwrap();
    assert_ne!(picture(&world, 64), small);
}
