//! Device memory by size classes.
//!
//! Freed buffers go to a free list at once: commands run in the order they were recorded, so a later command may
//! reuse a buffer that an earlier one still reads. Only a host write can overtake commands: whoever records commands must
//! submit those that touch a buffer before the host writes into it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

/// Smallest size class in bytes; also keeps every binding non-empty.
const MIN_CLASS: u64 = 256;

/// Bytes of the size class that holds `bytes`: four classes per power of two.
pub(crate) fn size_class(bytes: u64) -> u64 {
    let bytes = bytes.max(MIN_CLASS);
    let step = (bytes.next_power_of_two() / 8).max(64);
    bytes.div_ceil(step) * step
}

/// What the pool holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Bytes of the buffers that live tensors hold.
    pub in_use: u64,
    /// Bytes in the free lists.
    pub free: u64,
    /// Largest `in_use + free` so far.
    pub peak: u64,
    /// Buffers made on the device.
    pub allocations: u64,
    /// Requests served from the free lists.
    pub reuses: u64,
}

/// Device memory of one tensor, given back when the last owner drops it.
#[derive(Debug)]
pub(crate) struct PooledBuffer {
    pub(crate) raw: Option<wgpu::Buffer>,
    pub(crate) size: u64,
    pub(crate) pool: Weak<Pool>,
}

/// Free buffers by size class, behind a lock.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    lists: Mutex<Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    free: BTreeMap<u64, Vec<wgpu::Buffer>>,
    stats: PoolStats,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A free buffer of the class, else of the next larger one that is at most half as large again, with its size. Models ask
    /// for many sizes in turn, and free buffers of every size would add up.
    pub(crate) fn take(&self, class: u64) -> Option<(wgpu::Buffer, u64)> {
        let mut lists = self.lock();
        let (&size, list) = lists.free.range_mut(class..=class.saturating_add(class / 2)).next()?;
        let buffer = list.pop()?;
        if list.is_empty() {
            lists.free.remove(&size);
        }
        lists.stats.free -= size;
        lists.stats.in_use += size;
        lists.stats.reuses += 1;
        Some((buffer, size))
    }

    pub(crate) fn made(&self, class: u64) {
        let mut lists = self.lock();
        lists.stats.in_use += class;
        lists.stats.allocations += 1;
        lists.stats.peak = lists.stats.peak.max(lists.stats.in_use + lists.stats.free);
    }

    fn give(&self, class: u64, buffer: wgpu::Buffer) {
        let mut lists = self.lock();
        lists.stats.in_use -= class;
        lists.stats.free += class;
        lists.free.entry(class).or_default().push(buffer);
    }

    pub(crate) fn stats(&self) -> PoolStats {
        self.lock().stats
    }

    /// Lets go of every free buffer; wgpu frees it when the device has finished with it.
    pub(crate) fn trim(&self) -> u64 {
        let mut lists = self.lock();
        lists.free.clear();
        std::mem::take(&mut lists.stats.free)
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        if let (Some(raw), Some(pool)) = (self.raw.take(), self.pool.upgrade()) {
            pool.give(self.size, raw);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::size_class;

    #[test]
    fn classes_hold_their_size_and_waste_at_most_a_quarter() {
        for bytes in [0u64, 1, 4, 255, 256, 257, 1000, 4096, 5000, 1 << 20, (1 << 20) + 4, 134_217_728] {
            let class = size_class(bytes);
            assert!(class >= bytes && class.is_multiple_of(64));
            assert!(bytes < 256 || class <= bytes + bytes / 4 + 64, "{bytes} -> {class}");
            assert_eq!(size_class(class), class);
        }
    }
}
