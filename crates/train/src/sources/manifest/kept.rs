//! Rows that were decoded once, kept in memory for later epochs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Prepared rows up to a number of bytes. What is there is never given up for other rows: an epoch needs each of them once.
#[derive(Debug)]
pub(super) struct Kept {
    most: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    bytes: usize,
    /// Side of the pictures; a run goes from one to the next and not back.
    size: u32,
    rows: HashMap<u32, Arc<[f32]>>,
}

impl Kept {
    /// Of at most `most` bytes.
    pub fn new(most: usize) -> Self {
        Self { most, held: Mutex::default() }
    }

    /// The numbers of a row at a size: those that are kept, else what `read` gives.
    pub fn row<E>(&self, row: u32, size: u32, read: impl FnOnce() -> Result<Vec<f32>, E>) -> Result<Arc<[f32]>, E> {
        if self.most == 0 {
            return read().map(Arc::from);
        }
        let there = self.held(|held| (held.size == size).then(|| held.rows.get(&row).cloned()).flatten());
        if let Some(there) = there {
            return Ok(there);
        }
        let numbers: Arc<[f32]> = read()?.into();
        let bytes = size_of_val(&*numbers);
        self.held(|held| {
            if held.size != size {
                *held = Held { size, ..Held::default() };
            }
            if held.bytes + bytes <= self.most && held.rows.insert(row, numbers.clone()).is_none() {
                held.bytes += bytes;
            }
        });
        Ok(numbers)
    }

    fn held<T>(&self, body: impl FnOnce(&mut Held) -> T) -> T {
        body(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_once_as_far_as_there_is_room() {
        let kept = Kept::new(100);
        let reads = std::cell::Cell::new(0);
        let row = |row: u32, size: u32| {
            let read = || {
                reads.set(reads.get() + 1);
                Ok::<_, ()>(vec![row as f32; 10])
            };
            assert_eq!(kept.row(row, size, read).unwrap()[..], [row as f32; 10]);
            reads.get()
        };
        // Two rows of 40 bytes have room.
        assert_eq!([row(1, 8), row(2, 8), row(3, 8)], [1, 2, 3]);
        assert_eq!([row(1, 8), row(2, 8), row(3, 8), row(3, 8)], [3, 3, 4, 5]);
        // Another size begins anew.
        assert_eq!([row(1, 16), row(1, 16), row(3, 16), row(3, 16)], [6, 6, 7, 7]);
        assert_eq!(kept.row(9, 16, || Err::<Vec<f32>, _>("broken")), Err("broken"));
        let none = Kept::new(0);
        assert_eq!(none.row(1, 8, || Ok::<_, ()>(vec![1.0])).unwrap()[..], [1.0]);
        assert!(none.row(1, 8, || Err::<Vec<f32>, _>(())).is_err());
    }
}
