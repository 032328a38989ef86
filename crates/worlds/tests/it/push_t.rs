//! PushT against episodes of pymunk and gym-pusht (`fixtures/push_t.py`), and its hard places.

use safetensors::SafeTensors;
use vljepa_worlds::trajectories::{self, Collect};
use vljepa_worlds::{PushT, PushTAction, PushTOptions, PushTOrder, PushTSuccess, Random, World, WorldError, protocol};

static FIXTURE: &[u8] = include_bytes!("../fixtures/push_t.safetensors");

/// The numbers of a tensor, and its shape.
fn tensor<const BYTES: usize, T>(name: &str, read: fn([u8; BYTES]) -> T) -> (Vec<T>, Vec<usize>) {
    let all = SafeTensors::deserialize(FIXTURE).unwrap();
    let view = all.tensor(name).unwrap();
    (view.data().as_chunks::<BYTES>().0.iter().map(|bytes| read(*bytes)).collect(), view.shape().to_vec())
}

fn doubles(name: &str) -> (Vec<f64>, Vec<usize>) {
    tensor(name, f64::from_le_bytes)
}

fn world(options: PushTOptions) -> PushT {
    PushT::new(options).unwrap()
}

/// Largest difference of two states: positions in px, angles in radians, velocities in px/s.
fn difference(a: &[f64], b: &[f64]) -> f64 {
    let turn = std::f64::consts::TAU;
    let of = |(i, (a, b)): (usize, (&f64, &f64))| {
        let d = (a - b).abs();
        if i == 4 { d.min(turn - d) } else { d }
    };
    a.iter().zip(b).enumerate().map(of).fold(0.0, f64::max)
}

#[test]
fn episodes_are_those_of_pymunk() {
    let (starts, shape) = doubles("plain.start");
    let (states, _) = doubles("plain.state");
    let (actions, _) = tensor("plain.action", f32::from_le_bytes);
    let (contacts, _) = tensor("plain.contact", i32::from_le_bytes);
    let (episodes, steps) = (shape[0], actions.len() / 2 / shape[0]);
    assert!(episodes >= 20 && steps == 50);
    let mut world = world(PushTOptions::default());
    let (mut worst, mut seen) = (0.0f64, 0);
    for e in 0..episodes {
        let truth = |t: usize| &states[(e * (steps + 1) + t) * 7..][..7];
        world.set_state(&starts[e * 7..][..7]).unwrap();
        let mut off = difference(&world.state(), truth(0));
        let mut pairs = 0;
        for t in 0..steps {
            world.step(&actions[(e * steps + t) * 2..][..2]).unwrap();
            let now = difference(&world.state(), truth(t + 1));
            assert!(now <= 1e-6, "episode {e}, step {t}: {now:e} off, {:?} for {:?}", world.state(), truth(t + 1));
            off = off.max(now);
            // The pairs of the last physics step are among those of the action.
            let touched = contacts[e * (steps + 1) + t + 1];
            assert_eq!(i32::from(world.contacts()) & !touched, 0, "episode {e}, step {t}");
            pairs |= i32::from(world.contacts());
        }
        println!("episode {e}: off by {off:e}, pairs {pairs:010b}");
        worst = worst.max(off);
        seen |= pairs;
    }
    println!("worst: {worst:e}");
    assert_eq!(seen, 0b11_1111_1111, "every pair that can touch does");
}

#[test]
fn gym_pushts_episodes_have_its_states_and_its_coverage() {
    let (starts, shape) = doubles("gym.start");
    let (states, _) = doubles("gym.state");
    let (coverage, _) = doubles("gym.coverage");
    let (actions, _) = tensor("gym.action", f32::from_le_bytes);
    let (episodes, steps) = (shape[0], actions.len() / 2 / shape[0]);
    let mut world = world(PushTOptions::gym());
    let mut reached = 0;
    for e in 0..episodes {
        world.set_state(&[&starts[e * 5..][..5], &[0.0, 0.0]].concat()).unwrap();
        for t in 0..=steps {
            let (truth, covered) = (&states[(e * (steps + 1) + t) * 5..][..5], coverage[e * (steps + 1) + t]);
            let off = difference(&world.state()[..5], truth);
            assert!(off <= 1e-6, "episode {e}, step {t}: {off:e} off");
            assert!((world.coverage() - covered).abs() < 1e-8, "episode {e}, step {t}: {} {covered}", world.coverage());
            assert_eq!(world.reached(), covered > 0.95);
            reached += usize::from(covered > 0.95);
            if t < steps {
                world.step(&actions[(e * steps + t) * 2..][..2]).unwrap();
            }
        }
    }
    assert!(reached > 0, "no state of the fixture is at the goal");
}

/// A picture of the fixture, (count, side, side, 3).
fn pictures(side: usize) -> Vec<u8> {
    let (palette, _) = tensor(&format!("picture.{side}.palette"), u32::from_le_bytes);
    let (colors, _) = tensor(&format!("picture.{side}.color"), u16::from_le_bytes);
    let (lengths, _) = tensor(&format!("picture.{side}.length"), u16::from_le_bytes);
    let runs = colors.iter().zip(&lengths);
    let pixels =
        runs.flat_map(|(color, length)| std::iter::repeat_n(palette[usize::from(*color)], usize::from(*length)));
    pixels.flat_map(|c| [(c >> 16) as u8, (c >> 8) as u8, c as u8]).collect()
}

#[test]
fn pictures_are_those_of_gym_pusht() {
    let (states, shape) = doubles("picture.state");
    let world = world(PushTOptions::default());
    for side in [512, 224, 96, 64] {
        let truth = pictures(side);
        let each = 3 * side * side;
        for (i, truth) in truth.chunks_exact(each).enumerate().take(shape[0]) {
            let mut rgb = vec![0; each];
            world.draw(&[&states[i * 5..][..5], &[0.0, 0.0]].concat(), side, &mut rgb).unwrap();
            let off: Vec<u8> = rgb.iter().zip(truth).map(|(a, b)| a.abs_diff(*b)).collect();
            let differ = off.iter().filter(|d| **d > 1).count();
            let mean = off.iter().map(|d| f64::from(*d)).sum::<f64>() / each as f64;
            println!("picture {i} at {side}: {differ} of {each} differ, mean {mean:.5}");
            // The first two have everything inside of the picture. Where a line leaves it, pygame begins it elsewhere.
            assert!(differ == 0 || i > 1, "picture {i} at {side}: {differ} numbers differ by more than 1");
            assert!(mean < 0.01, "picture {i} at {side}: {differ} numbers differ, mean {mean}");
        }
    }
}

#[test]
fn the_block_moves_only_while_it_is_pushed() {
    let mut world = world(PushTOptions::default());
    world.set_state(&[100.0, 100.0, 300.0, 250.0, 0.4, 0.0, 0.0]).unwrap();
    let before = world.state();
    for _ in 0..20 {
        world.step(&[0.3, -0.2]).unwrap();
    }
    assert_eq!(world.state()[2..5], before[2..5]);
    assert_eq!(world.contacts(), 0);
}

#[test]
fn each_rule_of_success_holds_by_its_numbers() {
    let start = [200.0, 200.0, 256.0, 300.0, 0.5, 0.0, 0.0];
    let at = |success, goal: [f64; 7]| {
        let mut world = world(PushTOptions { success, ..PushTOptions::default() });
        world.set_state(&start).unwrap();
        world.set_goal(&goal).unwrap();
        world.reached()
    };
    let mut goal = start;
    (goal[0], goal[2]) = (212.0, 271.9);
    // 12 and 15.9 px: 19.92 together.
    assert!(at(PushTSuccess::State, goal));
    goal[0] = 212.2;
    assert!(!at(PushTSuccess::State, goal) && at(PushTSuccess::Block, goal));
    goal[4] = 0.5 + 0.348;
    assert!(at(PushTSuccess::Block, goal));
    goal[4] = 0.5 + 0.350;
    assert!(!at(PushTSuccess::Block, goal));
    goal[4] = 0.5 + std::f64::consts::TAU - 0.3;
    assert!(at(PushTSuccess::Block, goal), "angles wrap");
    assert!(at(PushTSuccess::Coverage, start) && !at(PushTSuccess::Coverage, goal));
}

#[test]
fn what_overlaps_comes_apart() {
    let mut world = world(PushTOptions::default());
    // The agent in the middle of the bar; the block half in a wall; everything outside of the room; all in one place.
    for state in [
        [256.0, 215.0, 256.0, 200.0, 0.0, 0.0, 0.0],
        [100.0, 400.0, 256.0, -40.0, 0.0, 0.0, 0.0],
        [700.0, -300.0, 900.0, 900.0, 1.0, 50.0, -50.0],
        [256.0, 245.0, 256.0, 200.0, 0.0, 0.0, 0.0],
        [5.0, 5.0, 5.0, 5.0, 0.0, 0.0, 0.0],
    ] {
        world.set_state(&state).unwrap();
        for _ in 0..60 {
            world.step(&[0.0, 0.0]).unwrap();
            assert!(world.state().iter().all(|v| v.is_finite() && v.abs() < 2000.0), "{state:?}: {:?}", world.state());
        }
        let mut rgb = vec![0; 3 * 64 * 64];
        world.render(64, &mut rgb).unwrap();
    }
    world.set_state(&[256.0, 215.0, 256.0, 200.0, 0.0, 0.0, 0.0]).unwrap();
    for _ in 0..60 {
        world.step(&[0.0, 0.0]).unwrap();
    }
    assert!((world.state()[3] - 200.0).abs() > 10.0, "the agent still is in the bar: {:?}", world.state());
}

#[test]
fn orders_of_setting_differ_by_the_turn_about_the_centre_of_gravity() {
    let state = [60.0, 60.0, 256.0, 200.0, 1.0, 0.0, 0.0];
    let set = |order| {
        let mut world = world(PushTOptions { order, ..PushTOptions::default() });
        world.set_state(&state).unwrap();
        world.state()
    };
    assert!(difference(&set(PushTOrder::AngleFirst), &state) < 1e-9);
    let moved = [state[2] + 45.0 * 1.0f64.sin(), state[3] + 45.0 - 45.0 * 1.0f64.cos()];
    assert!(difference(&set(PushTOrder::PositionFirst)[2..4], &moved) < 1e-9);
}

#[test]
fn an_absolute_action_is_a_place_and_a_relative_one_a_way() {
    let start = [100.0, 120.0, 350.0, 300.0, 0.0, 0.0, 0.0];
    let end = |action, way: [f32; 2]| {
        let mut world = world(PushTOptions { action, ..PushTOptions::default() });
        world.set_state(&start).unwrap();
        world.step(&way).unwrap();
        world.state()
    };
    assert_eq!(end(PushTAction::Absolute, [150.0, 70.0]), end(PushTAction::Relative, [0.5, -0.5]));
    assert_eq!(end(PushTAction::Relative, [7.0, -0.5]), end(PushTAction::Relative, [1.0, -0.5]), "clamped");
}

#[test]
fn odd_options_and_states_are_refused() {
    let mut world = world(PushTOptions::default());
    assert!(matches!(world.set_state(&[0.0; 5]), Err(WorldError::Length { expected: 7, found: 5, .. })));
    let error = world.set_goal(&[0.0, 0.0, f64::NAN, 0.0, 0.0, 0.0, 0.0]).unwrap_err().to_string();
    assert!(error.contains("push-t") && error.contains("number 2 of a goal"), "{error}");
    let error = world.set_state(&[0.0, 1e300, 0.0, 0.0, 0.0, 0.0, 0.0]).unwrap_err().to_string();
    assert!(error.contains("agent y (px)"), "{error}");
    let target_pose = [0.0, f64::INFINITY, 0.0];
    assert!(PushT::new(PushTOptions { target_pose, ..PushTOptions::default() }).is_err());
}

#[test]
fn the_weak_policy_stays_around_the_block() {
    let mut world = world(PushTOptions::default());
    let mut random = Random::new(7, 0);
    let mut touched = 0;
    for _ in 0..10 {
        world.reset(&mut random);
        for _ in 0..100 {
            let action = world.weak(&mut random);
            world.step(&action).unwrap();
            touched += usize::from(world.contacts() & 3 != 0);
        }
        let state = world.state();
        assert!((state[0] - state[2]).hypot(state[1] - state[3]) < 250.0, "{state:?}");
    }
    assert!(touched > 50, "{touched} of 1000 steps touch the block");
}

/// The directed pusher against the weak policy: block at the goal within 200 steps.
#[test]
fn the_pusher_brings_the_block_to_its_goal() {
    let (episodes, steps) = (12, 200);
    let mut solved = [0; 2];
    for weak in [false, true] {
        for episode in 0..episodes {
            let mut world = world(PushTOptions { success: PushTSuccess::Block, ..PushTOptions::default() });
            let mut random = Random::new(21, episode);
            world.reset(&mut random);
            for _ in 0..steps {
                let action = if weak { world.weak(&mut random) } else { world.expert(&mut random) };
                if world.step(&action).unwrap() {
                    solved[usize::from(weak)] += 1;
                    break;
                }
            }
        }
    }
    println!("directed {} and weak {} of {episodes}", solved[0], solved[1]);
    assert!(solved[0] >= 10 && solved[1] <= 3, "directed {} and weak {} of {episodes}", solved[0], solved[1]);
}

/// Goals 25 steps ahead in the pusher's own episodes, 50 steps of budget.
#[test]
fn by_the_shared_protocol_the_pusher_stands_far_above_chance() {
    let world = world(PushTOptions::default());
    let set = trajectories::collect(&world, &Collect { max_steps: 200, ..Collect::new(10, 3) }).unwrap();
    let draws = protocol::draws(&set, 25, 24, 42).unwrap();
    let floors = protocol::floors(&world, &draws, 50, 42).unwrap();
    println!("{} steps; {floors:?}", set.episodes.iter().map(|e| e.actions.len() / 2).sum::<usize>());
    assert!(floors.oracle >= 20 && floors.random + 15 < floors.oracle, "{floors:?}");
}
