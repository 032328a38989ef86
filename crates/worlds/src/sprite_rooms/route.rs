//! Ways around walls and things: the shortest path over a grid of 2 px.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::geometry::{INSIDE, Point, SPEED, distance};

const CELL: f64 = 2.0;
const COUNT: usize = ((INSIDE.1 - INSIDE.0) / CELL) as usize + 1;
/// Costs of a step along an axis and across.
const STRAIGHT: u32 = 10;
const ACROSS: u32 = 14;

fn place(node: usize) -> Point {
    [INSIDE.0 + CELL * (node % COUNT) as f64, INSIDE.0 + CELL * (node / COUNT) as f64]
}

/// The node next to a point of those that will do.
fn nearest(to: Point, will_do: impl Fn(usize) -> bool) -> Option<usize> {
    let by_distance = |a: &usize, b: &usize| distance(place(*a), to).total_cmp(&distance(place(*b), to));
    let near = (0..COUNT * COUNT).filter(|node| will_do(*node)).min_by(by_distance);
    near.filter(|node| distance(place(*node), to) < 3.0 * CELL)
}

/// Neighbours of a node, and what a step to each costs.
fn neighbours(node: usize) -> impl Iterator<Item = (usize, u32)> {
    let (x, y) = ((node % COUNT) as isize, (node / COUNT) as isize);
    let steps = (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dx, dy))).filter(|step| *step != (0, 0));
    steps.filter_map(move |(dx, dy)| {
        let inside = |v: isize| (0..COUNT as isize).contains(&v);
        let to = (x + dx, y + dy);
        let cost = if dx != 0 && dy != 0 { ACROSS } else { STRAIGHT };
        (inside(to.0) && inside(to.1)).then(|| (to.1 as usize * COUNT + to.0 as usize, cost))
    })
}

/// Whether a step across cuts no corner.
fn is_clear(from: usize, to: usize, free: &[bool]) -> bool {
    let (a, b) = (from / COUNT * COUNT + to % COUNT, to / COUNT * COUNT + from % COUNT);
    free[a] && free[b]
}

/// Where to go next from `from` on the way to `to` over places that are free, a step's length away or less, and how long the way
/// is, px; `None` where there is no way.
pub(super) fn next(from: Point, to: Point, is_free: impl Fn(Point) -> bool) -> Option<(Point, f64)> {
    if !is_free(to) {
        return None;
    }
    let direct = distance(from, to);
    if direct <= SPEED {
        return Some((to, direct));
    }
    let free: Vec<bool> = (0..COUNT * COUNT).map(|node| is_free(place(node))).collect();
    let start = nearest(from, |node| free[node])?;
    let mut costs = vec![u32::MAX; COUNT * COUNT];
    let mut before = vec![start; COUNT * COUNT];
    let mut heap = BinaryHeap::from([Reverse((0, start))]);
    costs[start] = 0;
    while let Some(Reverse((cost, node))) = heap.pop() {
        if cost > costs[node] {
            continue;
        }
        for (other, step) in neighbours(node) {
            let total = cost + step;
            if free[other] && total < costs[other] && is_clear(node, other, &free) {
                costs[other] = total;
                before[other] = node;
                heap.push(Reverse((total, other)));
            }
        }
    }
    // A node that is nearer still may lie in a pocket that no way leads to.
    let end = nearest(to, |node| costs[node] != u32::MAX)?;
    let mut way = vec![end];
    let mut node = end;
    while node != start {
        node = before[node];
        way.push(node);
    }
    let length = f64::from(costs[end]) / f64::from(STRAIGHT) * CELL;
    // The first place on the way that is a whole step off.
    let next = way.iter().rev().map(|node| place(*node)).find(|at| distance(*at, from) >= SPEED);
    Some((next.unwrap_or(to), length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sprite_rooms::geometry::Wall;

    #[test]
    fn a_way_leads_through_the_door_and_around_corners() {
        let wall = Wall { at: Some((32.0, 14.0)) };
        for (from, to) in [([10.0, 50.0], [50.0, 52.0]), ([57.0, 57.0], [7.0, 7.0]), ([24.9, 30.0], [39.1, 30.0])] {
            let (mut at, mut steps) = (from, 0);
            let first = next(at, to, |p| wall.is_free(p)).unwrap().1;
            while distance(at, to) > 0.1 {
                let (aim, _) = next(at, to, |p| wall.is_free(p)).unwrap();
                let by = [0, 1].map(|axis| (aim[axis] - at[axis]).clamp(-SPEED, SPEED));
                at = wall.slide(at, by);
                steps += 1;
                assert!(steps < 60, "{from:?} to {to:?}: stuck at {at:?}, aiming at {aim:?}");
            }
            assert!(first > 30.0 && (steps as f64) < first / SPEED + 12.0, "{steps} steps for {first} px");
        }
        assert!(next([10.0, 10.0], [50.0, 50.0], |p| p[0] < 30.0).is_none());
        assert_eq!(next([10.0, 10.0], [11.0, 12.0], |_| true).unwrap().0, [11.0, 12.0]);
    }
}
