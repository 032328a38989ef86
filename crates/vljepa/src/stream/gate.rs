//! Which windows need no encoder: those that look like the last one that was encoded.

use std::sync::Arc;

/// How a [`Gate`] decides. Changes are the largest difference of any cell of any frame, in shares of the range from black to white.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GateOptions {
    /// A window that has changed by more than this since the last encoded one is encoded; 0: all are.
    pub high: f32,
    /// Once windows are encoded, they are until one has changed by less than this.
    pub low: f32,
    /// One of so many skipped windows is encoded all the same, to measure what skipping costs; 0: none.
    pub audit: u64,
}

impl Default for GateOptions {
    fn default() -> Self {
        Self { high: 0.04, low: 0.02, audit: 32 }
    }
}

/// What is to be done with a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It has changed: encode it.
    Encode,
    /// It is as the last encoded one, and is encoded to measure by how much the state that is kept is off.
    Audit,
    /// It is as the last encoded one: the state stays.
    Skip,
}

/// Cells of a row of a frame.
const CELLS: usize = 8;

/// Mean colours of the cells of a frame, `[row, column, channel]`, 0 to 1. Clones share them.
#[derive(Clone, Debug, PartialEq)]
pub struct Cells(Arc<[f32]>);

impl Cells {
    /// Of a square frame of `side` pixels, RGB.
    pub fn of(frame: &[u8], side: usize) -> Self {
        let mut cells = [0.0; CELLS * CELLS * 3];
        let cell = |v: usize| (v * CELLS / side.max(1)).min(CELLS - 1);
        let mut counts = [0u32; CELLS];
        (0..side).for_each(|v| counts[cell(v)] += 1);
        for (i, pixel) in frame.chunks_exact(3).enumerate() {
            let (row, column) = (cell(i / side.max(1)), cell(i % side.max(1)));
            let share = 1.0 / (255 * counts[row].max(1) * counts[column].max(1)) as f32;
            let at = (row * CELLS + column) * 3;
            cells[at..at + 3].iter_mut().zip(pixel).for_each(|(cell, value)| *cell += f32::from(*value) * share);
        }
        Self(cells.as_slice().into())
    }

    /// The largest difference of any cell.
    fn change(&self, other: &Self) -> f32 {
        if Arc::ptr_eq(&self.0, &other.0) {
            return 0.0;
        }
        self.0.iter().zip(other.0.iter()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }
}

/// What is compared of a window: the cells of its frames.
#[derive(Clone, Debug, PartialEq)]
pub struct Look(pub Vec<Cells>);

impl Look {
    /// The largest difference of any cell of any frame; of windows of different lengths 1.
    pub fn change(&self, other: &Self) -> f32 {
        if self.0.len() != other.0.len() {
            return 1.0;
        }
        self.0.iter().zip(&other.0).map(|(a, b)| a.change(b)).fold(0.0, f32::max)
    }
}

/// Compares each window with the last one that was encoded, not with the one before it: a slow drift is a change too.
#[derive(Clone, Debug)]
pub struct Gate {
    options: GateOptions,
    encoded: Option<Look>,
    /// Whether the last window was encoded because it had changed.
    open: bool,
    skipped: u64,
}

impl Gate {
    /// Nothing seen.
    pub fn new(options: GateOptions) -> Self {
        Self { options, encoded: None, open: true, skipped: 0 }
    }

    /// Decides about a window, and gives how much it has changed.
    pub fn push(&mut self, look: Look) -> (Need, f32) {
        let Some(encoded) = &self.encoded else {
            self.encoded = Some(look);
            return (Need::Encode, 1.0);
        };
        let (change, o) = (encoded.change(&look), self.options);
        self.open = change > o.high || (self.open && change > o.low) || o.high <= 0.0;
        if self.open {
            self.encoded = Some(look);
            return (Need::Encode, change);
        }
        self.skipped += 1;
        let audit = o.audit > 0 && self.skipped.is_multiple_of(o.audit);
        (if audit { Need::Audit } else { Need::Skip }, change)
    }
}

#[cfg(test)]
mod tests {
    use super::Need::{Audit, Encode, Skip};
    use super::*;

    fn look(frame: &[u8], side: usize) -> Look {
        Look(vec![Cells::of(frame, side)])
    }

    fn grey(value: u8) -> Look {
        Look(vec![Cells::of(&[value; 16 * 16 * 3], 16); 2])
    }

    fn needs(options: GateOptions, values: impl IntoIterator<Item = u8>) -> Vec<Need> {
        let mut gate = Gate::new(options);
        values.into_iter().map(|value| gate.push(grey(value)).0).collect()
    }

    #[test]
    fn what_stays_as_it_is_is_encoded_once_and_audited_at_times() {
        let found = needs(GateOptions { audit: 4, ..GateOptions::default() }, [80; 10]);
        assert_eq!(found, [Encode, Skip, Skip, Skip, Audit, Skip, Skip, Skip, Audit, Skip]);
    }

    #[test]
    fn a_slow_drift_is_encoded_again_and_again() {
        // One grey level a window: far below the threshold, and after eleven above it.
        let found = needs(GateOptions { audit: 0, ..GateOptions::default() }, 0..120);
        let encoded = found.iter().filter(|need| **need == Encode).count();
        assert!((8..=14).contains(&encoded), "{encoded}");
    }

    #[test]
    fn noise_between_the_thresholds_does_not_open_the_gate_but_keeps_it_open() {
        let options = GateOptions { high: 0.1, low: 0.02, audit: 0 };
        let closed = needs(options, [100, 100, 110, 100, 110]);
        assert!(closed[1..].iter().all(|need| *need == Skip), "{closed:?}");
        let open = needs(options, [100, 160, 170, 160, 160, 170]);
        assert_eq!(open, [Encode, Encode, Encode, Encode, Skip, Skip]);
    }

    #[test]
    fn a_small_thing_that_moves_is_a_change() {
        let mut frame = vec![200u8; 64 * 64 * 3];
        let still = look(&frame, 64);
        for y in 30..34 {
            frame[(y * 64 + 30) * 3..(y * 64 + 34) * 3].fill(0);
        }
        assert!(still.change(&look(&frame, 64)) > GateOptions::default().high);
        assert_eq!(still.change(&Look(vec![Cells::of(&frame, 64); 2])), 1.0);
    }

    #[test]
    fn sides_that_cells_do_not_divide_are_averaged() {
        let cells = Cells::of(&[51; 13 * 13 * 3], 13);
        assert!(cells.0.iter().all(|value| (value - 0.2).abs() < 1e-5));
        assert_eq!(needs(GateOptions { high: 0.0, ..GateOptions::default() }, [9; 3]), [Encode; 3]);
    }
}
