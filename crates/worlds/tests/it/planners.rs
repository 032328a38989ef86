//! Planners on costs whose least is known.

use std::convert::Infallible;

use vljepa_worlds::planners::{Cem, Descent, GradientCost, Icem, Mppi, Plan, PlanError, Planner, Search, Space, Start};
use vljepa_worlds::{Random, WorldError};

const HORIZON: usize = 5;
const WIDTH: usize = 4;

/// A cost of one plan, priced for all.
fn each(price: impl Fn(&[f32]) -> f32) -> impl FnMut(&[f32], usize, usize, usize) -> Result<Vec<f32>, Infallible> {
    move |plans, samples, horizon, width| {
        assert_eq!(plans.len(), samples * horizon * width);
        Ok(plans.chunks_exact(horizon * width).map(&price).collect())
    }
}

fn target(i: usize) -> f32 {
    [0.5, -1.25, 1.0, 0.0, -0.75, 1.5, 0.25][i % 7]
}

fn quadratic(plan: &[f32]) -> f32 {
    plan.iter().enumerate().map(|(i, v)| (v - target(i)).powi(2)).sum()
}

/// A hundred times as steep along every other number.
fn steep(plan: &[f32]) -> f32 {
    plan.iter().enumerate().map(|(i, v)| if i % 2 == 0 { 100.0 } else { 1.0 } * (v - target(i)).powi(2)).sum()
}

/// A narrow valley across each pair of numbers; its least is 0 where all are 1.
fn valley(plan: &[f32]) -> f32 {
    plan.chunks_exact(2).map(|w| 50.0 * (w[1] - w[0]).powi(2) + (w[0] + w[1] - 2.0).powi(2)).sum()
}

/// Planners. MPPI never draws nearer than its standard deviation, so it has a smaller one and more iterations.
fn planners() -> [Planner; 3] {
    [
        Planner::Cem(Cem::default()),
        Planner::Icem(Icem::default()),
        Planner::Mppi(Mppi { std: 0.3, iterations: 60, ..Mppi::default() }),
    ]
}

fn plan(planner: &Planner, space: &Space, price: impl Fn(&[f32]) -> f32, seed: u64) -> Plan {
    planner.plan(space, None, &mut each(price), Random::new(seed, 0)).unwrap()
}

#[test]
fn the_defaults_are_the_published_ones() {
    let Planner::Cem(cem) = Planner::default() else { panic!("not CEM") };
    assert_eq!((cem.samples, cem.elites, cem.iterations, cem.std), (300, 30, 30, 1.0));
    let icem = Icem::default();
    assert_eq!((icem.samples, icem.elites, icem.iterations, icem.keep), (300, 30, 30, 5));
    assert_eq!((icem.exponent, icem.momentum, icem.std), (2.0, 0.1, 1.0));
    let text = r#"{"kind": "icem", "samples": 64, "elites": 8}"#;
    let read: Planner = serde_json::from_str(text).unwrap();
    assert_eq!(read, Planner::Icem(Icem { samples: 64, elites: 8, ..Icem::default() }));
    assert!(serde_json::from_str::<Planner>(r#"{"kind": "cem", "sample": 64}"#).is_err());
}

#[test]
fn every_planner_finds_the_least_of_a_bowl_a_gorge_and_a_valley() {
    for planner in planners() {
        // What is left of the cost of standing still, at most.
        for (name, price, horizon, left) in [
            ("bowl", quadratic as fn(&[f32]) -> f32, HORIZON, 0.01),
            ("gorge", steep, HORIZON, 0.04),
            ("valley", valley, 1, 0.2),
        ] {
            let space = Space::new(horizon, if horizon == 1 { 2 } else { WIDTH });
            let rest = vec![0.0; space.numbers()];
            for seed in 0..3 {
                let found = plan(&planner, &space, price, seed);
                let (first, last) = (price(&rest), price(&found.actions));
                assert!(last < left * first, "{planner:?}, {name}: {first} to {last}");
                assert_eq!(found.cost_by_iteration.len(), planner.iterations());
                let [begin, end] = [found.cost_by_iteration[0], found.cost_by_iteration[planner.iterations() - 1]];
                assert!(end < 0.5 * begin && found.cost == end, "{planner:?}, {name}: {:?}", found.cost_by_iteration);
                assert_eq!(found.best_cost, price(&found.best));
                assert_eq!(found.best_cost, found.lowest_by_iteration.iter().copied().fold(f32::INFINITY, f32::min));
                assert!(found.best_cost < 0.5 * begin);
            }
        }
    }
}

#[test]
fn one_number_is_found_exactly() {
    for planner in planners() {
        let found = plan(&planner, &Space::new(1, 1), quadratic, 1);
        assert!((found.actions[0] - 0.5).abs() < 0.02, "{planner:?}: {:?}", found.actions);
    }
}

#[test]
fn one_iteration_of_cem_is_the_mean_and_the_unbiased_deviation_of_the_elites() {
    let options = Cem { samples: 50, elites: 7, iterations: 1, std: 0.7 };
    let space = Space::new(2, 3);
    let mut seen = Vec::new();
    let mut cost = |plans: &[f32], _: usize, _: usize, _: usize| {
        seen = plans.to_vec();
        Ok::<_, Infallible>(plans.chunks_exact(6).map(quadratic).collect())
    };
    let found = Planner::Cem(options).plan(&space, None, &mut cost, Random::new(3, 0)).unwrap();
    let candidates: Vec<&[f32]> = seen.chunks_exact(6).collect();
    assert_eq!(candidates[0], [0.0; 6], "the first candidate is the mean");
    let mut order: Vec<usize> = (0..50).collect();
    order.sort_by(|a, b| quadratic(candidates[*a]).total_cmp(&quadratic(candidates[*b])));
    for (at, (action, deviation)) in found.actions.iter().zip(&found.std).enumerate() {
        let values: Vec<f64> = order[..7].iter().map(|i| f64::from(candidates[*i][at])).collect();
        let mean = values.iter().sum::<f64>() / 7.0;
        let std = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 6.0).sqrt();
        assert!((f64::from(*action) - mean).abs() < 1e-6);
        assert!((f64::from(*deviation) - std).abs() < 1e-6);
    }
    let mean = order[..7].iter().map(|i| quadratic(candidates[*i])).sum::<f32>() / 7.0;
    assert!((found.cost - mean).abs() < 1e-5 && found.best == candidates[order[0]]);
}

#[test]
fn mppi_weighs_by_cost() {
    let options = Mppi { samples: 40, elites: 40, iterations: 1, std: 1.0, temperature: 2.0 };
    let mut seen = Vec::new();
    let mut cost = |plans: &[f32], _: usize, _: usize, _: usize| {
        seen = plans.to_vec();
        Ok::<_, Infallible>(plans.chunks_exact(2).map(quadratic).collect())
    };
    let found = Planner::Mppi(options).plan(&Space::new(2, 1), None, &mut cost, Random::new(3, 0)).unwrap();
    let weight = |plan: &[f32]| (-f64::from(quadratic(plan)) / 2.0).exp();
    let total: f64 = seen.chunks_exact(2).map(weight).sum();
    for at in 0..2 {
        let mean: f64 = seen.chunks_exact(2).map(|plan| weight(plan) * f64::from(plan[at])).sum::<f64>() / total;
        assert!((f64::from(found.actions[at]) - mean).abs() < 1e-5);
    }
    assert_eq!(found.std, [1.0; 2]);
}

#[test]
fn a_seed_gives_the_same_plan_and_another_one_another() {
    let space = Space::new(HORIZON, WIDTH);
    for planner in planners() {
        assert_eq!(plan(&planner, &space, quadratic, 4), plan(&planner, &space, quadratic, 4));
        assert_ne!(plan(&planner, &space, quadratic, 4), plan(&planner, &space, quadratic, 5));
    }
}

#[test]
fn problems_that_are_planned_together_are_planned_as_each_alone() {
    let space = Space::new(3, 2);
    for planner in planners() {
        let streams = || (0..4).map(|i| Random::new(8, i));
        let alone: Vec<Plan> = streams()
            .enumerate()
            .map(|(i, random)| {
                planner.plan(&space, None, &mut each(|p| quadratic(p) * (i + 1) as f32), random).unwrap()
            })
            .collect();
        let mut calls = 0;
        let mut cost = |plans: &[f32], samples: usize, _: usize, _: usize| {
            calls += 1;
            assert_eq!(samples, 4 * planner.samples());
            let problem = |i: usize| (i / planner.samples() + 1) as f32;
            Ok::<_, Infallible>(plans.chunks_exact(6).enumerate().map(|(i, p)| quadratic(p) * problem(i)).collect())
        };
        let starts = vec![None; 4];
        let together = planner.plan_together(&space, &starts, &mut cost, streams().collect()).unwrap();
        assert_eq!(together, alone);
        assert!(planner.plan_together(&space, &starts[1..], &mut cost, streams().collect()).is_err());
        assert!(planner.plan_together(&space, &[], &mut cost, Vec::new()).unwrap().is_empty());
        assert_eq!(calls, planner.iterations());
    }
}

#[test]
fn bounds_hold_for_every_candidate_and_for_the_plan() {
    // Actions in -1..1 with mean 0.1 and standard deviation 0.2, as some normalised actions are.
    let one = [((-1.0 - 0.1) / 0.2, (1.0 - 0.1) / 0.2), (0.25, 0.5)];
    let space = Space::of_actions(HORIZON, 2, &one);
    assert_eq!((space.width, space.bounds.len()), (4, 4));
    let inside =
        |plan: &[f32]| plan.chunks_exact(2).all(|a| a.iter().zip(one).all(|(v, (low, high))| (low..=high).contains(v)));
    for planner in planners() {
        let mut cost = each(|plan| {
            assert!(inside(plan), "{plan:?}");
            plan.iter().map(|v| (v - 20.0).powi(2)).sum()
        });
        let found = planner.plan(&space, None, &mut cost, Random::new(6, 0)).unwrap();
        assert!(inside(&found.actions) && inside(&found.best), "{:?}", found.actions);
        // The least is in the corner, far beyond one standard deviation of the first candidates, which narrow on the way there.
        let mean = |at: usize| found.actions.iter().skip(at).step_by(2).sum::<f32>() / 10.0;
        assert!(mean(0) > 3.0 && mean(1) > 0.45, "{planner:?} {:?}", found.actions);
    }
}

#[test]
fn a_warm_start_goes_on_where_the_plan_was() {
    let space = Space::new(HORIZON, WIDTH);
    for planner in planners() {
        let first = plan(&planner, &space, quadratic, 1);
        let start = first.after(2);
        assert_eq!(start.mean, first.actions[2 * WIDTH..]);
        assert_eq!(first.after(HORIZON), Start::default());
        assert_eq!(first.after(HORIZON + 3), Start::default());
        // The same cost of what is left, and one of new blocks.
        let moved = |plan: &[f32]| {
            let known: f32 = plan[..12].iter().enumerate().map(|(i, v)| (v - target(i + 8)).powi(2)).sum();
            known + plan[12..].iter().map(|v| v * v).sum::<f32>()
        };
        let mut seen = Vec::new();
        let mut cost = |plans: &[f32], _: usize, _: usize, _: usize| {
            seen.push(plans.to_vec());
            Ok::<_, Infallible>(plans.chunks_exact(20).map(moved).collect())
        };
        let warm = planner.plan(&space, Some(&start), &mut cost, Random::new(2, 0)).unwrap();
        assert_eq!(seen[0][..12], start.mean[..]);
        assert_eq!(seen[0][12..20], [0.0; 8]);
        if let Planner::Icem(options) = &planner {
            assert_eq!(start.elites.len(), options.keep * 12);
            for (elite, candidate) in start.elites.chunks_exact(12).zip(seen[0][20..].chunks_exact(20)) {
                assert_eq!(candidate[..12], *elite);
                assert!(candidate[12..].iter().all(|v| *v != 0.0), "the new blocks are drawn");
            }
        }
        let cold = plan(&planner, &space, moved, 2);
        assert!(warm.lowest_by_iteration[0] < 0.2 * cold.lowest_by_iteration[0], "{planner:?}");
    }
}

#[test]
fn icem_keeps_elites_and_may_take_the_best_candidate() {
    let space = Space::new(HORIZON, WIDTH);
    let options = Icem { iterations: 6, take_best: true, ..Icem::default() };
    let mut seen: Vec<Vec<f32>> = Vec::new();
    let mut cost = |plans: &[f32], _: usize, _: usize, _: usize| {
        seen.push(plans.to_vec());
        Ok::<_, Infallible>(plans.chunks_exact(20).map(valley).collect())
    };
    let found = Planner::Icem(options).plan(&space, None, &mut cost, Random::new(2, 0)).unwrap();
    assert_eq!(found.cost, valley(&found.actions));
    assert_eq!(found.cost, found.lowest_by_iteration[5]);
    for pair in seen.windows(2) {
        let mut order: Vec<&[f32]> = pair[0].chunks_exact(20).collect();
        order.sort_by(|a, b| valley(a).total_cmp(&valley(b)));
        for (kept, elite) in pair[1][20..].chunks_exact(20).zip(&order[..5]) {
            assert_eq!(kept, *elite);
        }
    }
    assert!(found.lowest_by_iteration.windows(2).all(|w| w[1] <= w[0]), "an elite that is kept is not lost");
}

#[test]
fn costs_that_are_no_numbers_are_worse_than_all_others() {
    let space = Space::new(HORIZON, WIDTH);
    for planner in planners() {
        // Half of the space has no cost, and the least is near its edge.
        let half = |plan: &[f32]| match plan[0] {
            v if v < 0.0 => f32::NAN,
            v if v > 1.5 => f32::NEG_INFINITY,
            _ => quadratic(plan),
        };
        let found = plan(&planner, &space, half, 3);
        assert!(found.actions[0] > 0.0 && quadratic(&found.actions) < 0.5, "{planner:?} {:?}", found.actions);
        assert!(found.actions.iter().chain(&found.std).all(|v| v.is_finite()));

        let nothing = plan(&planner, &space, |_| f32::NAN, 3);
        assert_eq!(nothing.actions, [0.0; 20]);
        assert!(nothing.cost == f32::INFINITY && nothing.cost_by_iteration.iter().all(|c| *c == f32::INFINITY));
        assert_eq!((nothing.best_cost, &nothing.best), (f32::INFINITY, &nothing.actions));
    }
}

#[test]
fn equal_costs_keep_the_order_of_candidates() {
    let found = plan(&Planner::Cem(Cem { elites: 1, iterations: 3, ..Cem::default() }), &Space::new(2, 2), |_| 1.0, 3);
    assert_eq!(found.actions, [0.0; 4], "the mean comes first");
    assert_eq!(found.std, [1.0; 4], "one elite has no deviation");
}

#[test]
fn what_does_not_fit_is_refused() {
    let space = Space::new(2, 2);
    let cem = |samples, elites, iterations, std| Planner::Cem(Cem { samples, elites, iterations, std });
    let icem = |options: Icem| Planner::Icem(options);
    for planner in [
        cem(0, 0, 1, 1.0),
        cem(10, 11, 1, 1.0),
        cem(10, 0, 1, 1.0),
        cem(10, 2, 0, 1.0),
        cem(10, 2, 1, 0.0),
        cem(10, 2, 1, f32::NAN),
        icem(Icem { momentum: 1.0, ..Icem::default() }),
        icem(Icem { momentum: f32::NAN, ..Icem::default() }),
        icem(Icem { exponent: -1.0, ..Icem::default() }),
        icem(Icem { keep: 31, ..Icem::default() }),
        Planner::Mppi(Mppi { temperature: 0.0, ..Mppi::default() }),
    ] {
        let error = Search::new(&planner, &space, None, Random::new(0, 0)).unwrap_err();
        assert!(matches!(error, WorldError::Options { .. }), "{planner:?}: {error}");
    }
    let planner = cem(10, 2, 1, 1.0);
    let new = |space: &Space, start: Option<&Start>| Search::new(&planner, space, start, Random::new(0, 0));
    for space in [
        Space::new(0, 2),
        Space::new(2, 0),
        Space::new(usize::MAX, 2),
        Space { bounds: vec![(0.0, 1.0)], ..Space::new(2, 2) },
        Space { bounds: vec![(0.0, 1.0), (1.0, 0.0)], ..Space::new(2, 2) },
        Space { bounds: vec![(0.0, 1.0), (f32::NAN, 0.0)], ..Space::new(2, 2) },
    ] {
        new(&space, None).unwrap_err();
    }
    for start in [
        Start { mean: vec![0.0; 3], elites: Vec::new() },
        Start { mean: vec![0.0; 6], elites: Vec::new() },
        Start { mean: vec![f32::NAN; 2], elites: Vec::new() },
        Start { mean: vec![0.0; 2], elites: vec![0.0; 3] },
        Start { mean: Vec::new(), elites: vec![0.0; 4] },
    ] {
        new(&space, Some(&start)).unwrap_err();
    }
    let mut search = new(&space, None).unwrap();
    search.tell(&[0.0; 10]).unwrap_err();
    let asked = search.ask().unwrap().to_vec();
    search.tell(&[0.0; 9]).unwrap_err();
    assert_eq!(search.ask().unwrap(), asked, "what is asked stays until it is told");
    search.tell(&[0.0; 10]).unwrap();
    assert!(search.ask().is_none());

    let mut failing = |_: &[f32], _: usize, _: usize, _: usize| Err::<Vec<f32>, _>("no device");
    let error = planner.plan(&space, None, &mut failing, Random::new(0, 0)).unwrap_err();
    assert!(matches!(error, PlanError::Cost("no device")) && error.to_string() == "no device");
    let mut short = |_: &[f32], _: usize, _: usize, _: usize| Ok::<_, Infallible>(vec![0.0; 3]);
    assert!(matches!(planner.plan(&space, None, &mut short, Random::new(0, 0)), Err(PlanError::Problem(_))));
}

/// A cost with its derivatives, each of which is scaled.
struct Steep(f32);

impl GradientCost for Steep {
    type Error = Infallible;

    fn gradients(
        &mut self,
        plans: &[f32],
        samples: usize,
        horizon: usize,
        width: usize,
    ) -> Result<(Vec<f32>, Vec<f32>), Infallible> {
        assert_eq!(plans.len(), samples * horizon * width);
        let numbers = horizon * width;
        let costs = plans.chunks_exact(numbers).map(steep).collect();
        let slope = |(i, v): (usize, &f32)| {
            let at = i % numbers;
            self.0 * 2.0 * if at.is_multiple_of(2) { 100.0 } else { 1.0 } * (v - target(at))
        };
        Ok((costs, plans.iter().enumerate().map(slope).collect()))
    }
}

#[test]
fn descent_follows_the_gradient_within_bounds() {
    let space = Space::new(HORIZON, WIDTH);
    let random = || Random::new(3, 0);
    let descent = Descent { iterations: 100, ..Descent::default() };
    assert_eq!((Descent::default().samples, Descent::default().iterations, Descent::default().rate), (100, 30, 0.1));
    let found = descent.plan(&space, None, &mut Steep(1.0), random()).unwrap();
    assert!(found.cost < 0.1 && found.cost == steep(&found.actions), "{}", found.cost);
    assert_eq!((found.cost_by_iteration.len(), found.lowest_by_iteration.len()), (100, 100));
    assert_eq!(found, descent.plan(&space, None, &mut Steep(1.0), random()).unwrap());

    let bounded = Space { bounds: vec![(-0.5, 0.5); WIDTH], ..space.clone() };
    let found = descent.plan(&bounded, None, &mut Steep(1.0), random()).unwrap();
    for (i, value) in found.actions.iter().enumerate() {
        assert!((value - target(i).clamp(-0.5, 0.5)).abs() < 0.05, "{i}: {value}");
    }
    // From a warm start the first sample is where it was, and one sample is enough.
    let start = Start { mean: (0..8).map(target).collect(), elites: Vec::new() };
    let one = Descent { samples: 1, iterations: 1, ..Descent::default() };
    let stays = one.plan(&space, Some(&start), &mut Steep(1.0), random()).unwrap();
    assert_eq!(stays.actions[..8], start.mean[..]);
    assert_eq!(stays.std, [0.0; HORIZON * WIDTH]);
    // Derivatives that are not finite move nothing.
    let still = Descent { samples: 1, ..descent.clone() }.plan(&space, None, &mut Steep(f32::NAN), random()).unwrap();
    assert_eq!(still.actions, [0.0; HORIZON * WIDTH]);
    for bad in [
        Descent { samples: 0, ..descent.clone() },
        Descent { iterations: 0, ..descent.clone() },
        Descent { rate: f32::NAN, ..descent.clone() },
        Descent { std: -1.0, ..descent },
    ] {
        bad.plan(&space, None, &mut Steep(1.0), random()).unwrap_err();
    }
}
