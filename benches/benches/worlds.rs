//! Steps a second of the worlds with a picture of 64 px each, on one core, and of the planners without a model.

use std::cell::RefCell;
use std::process::ExitCode;

use vljepa_benches::{Case, Error, Harness, Result, Work};
use vljepa_worlds::planners::{Cem, Icem, Mppi, PlanError, Planner, Space};
use vljepa_worlds::{Policy, Random, WORLDS, World, world_by_name};

/// Side of the pictures, px.
const SIDE: usize = 64;
/// Steps of a run; a new episode begins after each hundred.
const STEPS: usize = 100;

struct Walk {
    world: Box<dyn World>,
    random: Random,
    rgb: Vec<u8>,
}

fn steps(walk: &mut Walk, policy: Policy, pictures: bool) -> Result<()> {
    walk.world.reset(&mut walk.random);
    for _ in 0..STEPS {
        let action = policy.act(&mut *walk.world, &mut walk.random);
        walk.world.step(&action)?;
        if pictures {
            walk.world.render(SIDE, &mut walk.rgb)?;
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let mut harness = Harness::new("worlds");
    for name in WORLDS.iter().copied() {
        for (policy, pictures) in [(Policy::Random, true), (Policy::Random, false), (Policy::Data, true)] {
            let kind = if pictures { "pictures" } else { "states" };
            let case = Case {
                name: format!("{name}_{}_{kind}", policy.name()),
                shape: if pictures { format!("{SIDE} px") } else { String::new() },
                work: Work::Items(STEPS as f64),
            };
            harness.case(
                case,
                |_| {
                    let world = world_by_name(name)?;
                    Ok(RefCell::new(Walk { world, random: Random::new(1, 0), rgb: vec![0; 3 * SIDE * SIDE] }))
                },
                |_, walk, _| steps(&mut walk.borrow_mut(), policy, pictures),
            );
        }
    }
    let space = Space::new(5, 10);
    for (name, planner) in [
        ("cem", Planner::Cem(Cem::default())),
        ("icem", Planner::Icem(Icem::default())),
        ("mppi", Planner::Mppi(Mppi::default())),
    ] {
        let shape = format!("{} x {} x 5 x 10", planner.iterations(), planner.samples());
        harness.case(
            Case { name: name.to_owned(), shape, work: Work::Time },
            |_| Ok(()),
            |_, (), i| {
                let mut cost = |plans: &[f32], _: usize, horizon: usize, width: usize| {
                    let price = |plan: &[f32]| plan.iter().map(|v| (v - 0.5) * (v - 0.5)).sum();
                    Ok::<Vec<f32>, std::convert::Infallible>(plans.chunks_exact(horizon * width).map(price).collect())
                };
                match planner.plan(&space, None, &mut cost, Random::new(i as u64, 0)) {
                    Ok(_) => Ok(()),
                    Err(PlanError::Problem(error)) => Err(Error::World(error)),
                    Err(PlanError::Cost(never)) => match never {},
                }
            },
        );
    }
    harness.finish()
}
