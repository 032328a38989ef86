//! What every world keeps to.

use vljepa_worlds::{MAX_SIDE, Policy, Random, WORLDS, World, WorldError, world_by_name, world_with_options};

fn worlds() -> impl Iterator<Item = Box<dyn World>> {
    WORLDS.iter().map(|name| world_by_name(name).unwrap())
}

fn picture(world: &dyn World, side: usize) -> Vec<u8> {
    let mut rgb = vec![7; 3 * side * side];
    world.render(side, &mut rgb).unwrap();
    rgb
}

#[test]
fn a_world_is_found_by_its_name_and_options() {
    for world in worlds() {
        let again = world_with_options(world.name(), &world.options()).unwrap();
        assert_eq!((again.name(), again.options()), (world.name(), world.options()));
        let odd = serde_json::json!({"colour": 1});
        let error = world_with_options(world.name(), &odd).err().unwrap().to_string();
        assert!(error.contains(world.name()) && error.contains("colour"), "{error}");
    }
    let error = world_by_name("three-rooms").err().unwrap().to_string();
    assert!(error.contains("three-rooms") && error.contains("two-room"), "{error}");
}

#[test]
fn episodes_depend_on_the_seed_and_on_nothing_else() {
    for mut world in worlds() {
        let name = world.name();
        let mut walk = |seed: u64| {
            let mut random = Random::new(seed, 0);
            world.reset(&mut random);
            let mut states = vec![world.state(), world.goal()];
            for _ in 0..40 {
                let action = Policy::Data.act(&mut *world, &mut random);
                world.step(&action).unwrap();
                states.push(world.state());
            }
            (states, picture(&*world, 64))
        };
        let first = walk(1);
        assert_ne!(walk(2), first, "{name}");
        assert_eq!(walk(1), first, "{name}");
    }
}

#[test]
fn sizes_agree_and_actions_of_policies_are_in_range() {
    for mut world in worlds() {
        let mut random = Random::new(3, 1);
        assert_eq!(world.action_size(), world.action_range().len());
        for episode in 0..20 {
            world.reset(&mut random);
            assert_eq!((world.state().len(), world.goal().len()), (world.state_size(), world.goal_size()));
            for step in 0..50 {
                let action = Policy::ALL[(episode + step) % 4].act(&mut *world, &mut random);
                let inside = action.iter().zip(world.action_range()).all(|(v, (low, high))| (low..=high).contains(&v));
                assert!(inside && action.len() == world.action_size(), "{} {action:?}", world.name());
                world.step(&action).unwrap();
            }
        }
    }
}

#[test]
fn a_state_that_was_reached_can_be_set_and_goes_on_alike() {
    for mut world in worlds() {
        let (name, mut random) = (world.name(), Random::new(5, 0));
        for _ in 0..20 {
            world.reset(&mut random);
            for _ in 0..30 {
                let action = Policy::Data.act(&mut *world, &mut random);
                world.step(&action).unwrap();
            }
            let mut other = world_with_options(name, &world.options()).unwrap();
            other.set_goal(&world.goal()).unwrap();
            other.set_state(&world.state()).unwrap();
            assert_eq!(other.goal(), world.goal(), "{name}");
            // PushT goes on for a tenth of a step when a state is set, as the published environment does.
            if name == "push-t" {
                let moved = |(a, b): (&f64, &f64)| (a - b).abs() < 10.0;
                assert!(
                    other.state().iter().zip(&world.state()).take(4).all(moved),
                    "{other:?}",
                    other = other.state()
                );
            } else {
                assert_eq!(other.state(), world.state(), "{name}");
                assert_eq!(other.reached(), world.reached(), "{name}");
                assert_eq!(picture(&*other, 64), picture(&*world, 64), "{name}");
            }
            let mut fork = world.fork();
            let action = Policy::Random.act(&mut *world, &mut random);
            let reached = world.step(&action).unwrap();
            assert_eq!(fork.step(&action).unwrap(), reached, "{name}");
            assert_eq!(fork.state(), world.state(), "{name}");
        }
    }
}

#[test]
fn bad_numbers_are_refused_and_change_nothing() {
    for mut world in worlds() {
        let name = world.name();
        world.reset(&mut Random::new(11, 0));
        let (state, goal, size) = (world.state(), world.goal(), world.action_size());
        for action in
            [vec![f32::NAN; size], vec![f32::INFINITY; size], vec![0.0; size + 1], vec![0.0; size - 1], vec![]]
        {
            let error = world.step(&action).unwrap_err();
            let right = if action.len() == size {
                matches!(error, WorldError::NotFinite { .. })
            } else {
                matches!(error, WorldError::Length { .. })
            };
            assert!(right && error.to_string().contains("an action"), "{name}: {error}");
        }
        let mut broken = state.clone();
        broken[0] = f64::NAN;
        let mut far = state.clone();
        far.iter_mut().for_each(|v| *v = -1e9);
        for bad in [broken, far, state[1..].to_vec(), [&state[..], &[1.0]].concat(), vec![]] {
            world.set_state(&bad).unwrap_err();
            world.set_goal(&bad).unwrap_err();
            world.draw(&bad, 8, &mut [0; 192]).unwrap_err();
        }
        assert_eq!((world.state(), world.goal()), (state.clone(), goal), "{name}");
        // A state alone is a goal, and it is reached where it is the state.
        world.set_goal(&state).unwrap();
        assert!(world.reached(), "{name}");
        assert_eq!(world.goal()[..state.len()], state, "{name}");
    }
}

#[test]
fn pictures_have_any_side_and_a_buffer_that_fits() {
    for mut world in worlds() {
        world.reset(&mut Random::new(2, 0));
        for side in [1, 2, 3, 7, 56, 64, 65, 96, 224, 225, 300] {
            let rgb = picture(&*world, side);
            assert_eq!(rgb, picture(&*world, side), "{} {side}", world.name());
        }
        for (side, bytes) in [(0, 0), (MAX_SIDE + 1, 3), (64, 64 * 64), (64, 3 * 64 * 64 + 1)] {
            let error = world.render(side, &mut vec![0; bytes]).unwrap_err();
            assert!(error.to_string().contains(world.name()), "{error}");
        }
        // The goal looks like the world in the state of the goal.
        let (mut goal, mut there) = (vec![0; 3 * 64 * 64], vec![0; 3 * 64 * 64]);
        world.render_goal(64, &mut goal).unwrap();
        world.draw(&world.goal()[..world.state_size()], 64, &mut there).unwrap();
        assert_eq!(goal, there, "{}", world.name());
    }
}
