//! Rows that were decoded once, kept in memory for later epochs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Prepared rows up to a number of bytes. What is there is never given up for other rows: an epoch needs each of them once.
#[derive(Debug)]
pub(super) struct Kept<T> {
    most: usize,
    held: Mutex<Held<T>>,
}

#[derive(Debug)]
struct Held<T> {
    bytes: usize,
    /// Side of the pictures; a run goes from one to the next and not back.
    size: u32,
    rows: HashMap<u32, Arc<T>>,
}

impl<T> Kept<T> {
    /// Of at most `most` bytes.
    pub fn new(most: usize) -> Self {
        Self { most, held: Mutex::new(Held { bytes: 0, size: 0, rows: HashMap::new() }) }
    }

    /// A row at a size: the one that is kept, else what `read` gives, with its bytes.
    pub fn row<E>(&self, row: u32, size: u32, read: impl FnOnce() -> Result<(T, usize), E>) -> Result<Arc<T>, E> {
        if self.most == 0 {
            return read().map(|(row, _)| Arc::new(row));
        }
        let there = self.held(|held| (held.size == size).then(|| held.rows.get(&row).cloned()).flatten());
        if let Some(there) = there {
            return Ok(there);
        }
        let (prepared, bytes) = read()?;
        let prepared = Arc::new(prepared);
        self.held(|held| {
            if held.size != size {
                *held = Held { bytes: 0, size, rows: HashMap::new() };
            }
            if held.bytes + bytes <= self.most && held.rows.insert(row, prepared.clone()).is_none() {
                held.bytes += bytes;
            }
        });
        Ok(prepared)
    }

    fn held<R>(&self, body: impl FnOnce(&mut Held<T>) -> R) -> R {
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
                Ok::<_, ()>((vec![row; 10], 40))
            };
            assert_eq!(*kept.row(row, size, read).unwrap(), vec![row; 10]);
            reads.get()
        };
        // Two rows of 40 bytes have room.
        assert_eq!([row(1, 8), row(2, 8), row(3, 8)], [1, 2, 3]);
        assert_eq!([row(1, 8), row(2, 8), row(3, 8), row(3, 8)], [3, 3, 4, 5]);
        // Another size begins anew.
        assert_eq!([row(1, 16), row(1, 16), row(3, 16), row(3, 16)], [6, 6, 7, 7]);
        assert_eq!(kept.row(9, 16, || Err("broken")), Err("broken"));
        let none = Kept::new(0);
        assert_eq!(*none.row(1, 8, || Ok::<_, ()>((7, 4))).unwrap(), 7);
        assert!(none.row(1, 8, || Err(())).is_err());
    }
}
