//! Shortest ways between numbered places.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A way from one place to another that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub from: u32,
    pub to: u32,
    /// What it takes.
    pub steps: u32,
}

/// Edges by where they lead.
#[derive(Clone, Debug)]
pub(super) struct Graph {
    /// Of each place: from where, and in how many steps.
    into: Vec<Vec<(u32, u32)>>,
}

/// From each place the shortest way to one of some ends.
#[derive(Debug)]
pub(super) struct Ways {
    /// Steps to the nearest end; `None` where no way is known.
    pub steps: Vec<Option<u32>>,
    /// The place behind each on its way; an end has none.
    pub next: Vec<Option<u32>>,
}

impl Graph {
    /// Places 0 to `places` − 1 and edges between them; others are left out.
    pub fn new(places: usize, edges: &[Edge]) -> Self {
        let mut into = vec![Vec::new(); places];
        for edge in edges.iter().filter(|edge| (edge.from as usize) < places) {
            if let Some(into) = into.get_mut(edge.to as usize) {
                into.push((edge.from, edge.steps));
            }
        }
        Self { into }
    }

    /// All ways to any of `ends`.
    pub fn ways(&self, ends: &[usize]) -> Ways {
        let mut ways = Ways { steps: vec![None; self.into.len()], next: vec![None; self.into.len()] };
        let mut open = BinaryHeap::new();
        for &end in ends {
            ways.steps[end] = Some(0);
            open.push(Reverse((0u32, end)));
        }
        while let Some(Reverse((steps, at))) = open.pop() {
            if ways.steps[at].is_some_and(|best| steps > best) {
                continue;
            }
            for &(from, more) in &self.into[at] {
                let (from, steps) = (from as usize, steps.saturating_add(more));
                if ways.steps[from].is_none_or(|best| steps < best) {
                    (ways.steps[from], ways.next[from]) = (Some(steps), Some(at as u32));
                    open.push(Reverse((steps, from)));
                }
            }
        }
        ways
    }
}
