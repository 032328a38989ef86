//! Device memory by size classes.
//!
//! Freed buffers go to a free list at once: commands run in the order they were recorded, so a later command may
//! reuse a buffer that an earlier one still reads. Only host writes can overtake commands, and the recorder submits
//! what is pending before one (see [`crate::recorder`]).

use std::collections::BTreeMap;

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
    pub(crate) pool: std::sync::Weak<Pool>,
}

pub(crate) mod parking {
    use super::{BTreeMap, PoolStats};
    use std::sync::Mutex;

    /// Free lists behind a lock.
    #[derive(Debug, Default)]
    pub(crate) struct Pool {
        pub(crate) inner: Mutex<Inner>,
    }

    #[derive(Debug, Default)]
    pub(crate) struct Inner {
        pub(crate) free: BTreeMap<u64, Vec<wgpu::Buffer>>,
        pub(crate) stats: PoolStats,
    }
}

use parking::Pool;

impl Pool {
    fn lock(&self) -> std::sync::MutexGuard<'_, parking::Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A free buffer of the class, else the next larger one that is at most half as large again, with its size: models ask
    /// for many sizes in turn, and a list of free buffers for each would add up.
    pub(crate) fn take(&self, class: u64) -> Option<(wgpu::Buffer, u64)> {
        let mut inner = self.lock();
        let (&size, list) = inner.free.range_mut(class..=class.saturating_add(class / 2)).next()?;
        let buffer = list.pop()?;
        if list.is_empty() {
            inner.free.remove(&size);
        }
        inner.stats.free -= size;
        inner.stats.in_use += size;
        inner.stats.reuses += 1;
        Some((buffer, size))
    }

    pub(crate) fn made(&self, class: u64) {
        let mut inner = self.lock();
        inner.stats.in_use += class;
        inner.stats.allocations += 1;
        inner.stats.peak = inner.stats.peak.max(inner.stats.in_use + inner.stats.free);
    }

    fn give(&self, class: u64, buffer: wgpu::Buffer) {
        let mut inner = self.lock();
        inner.stats.in_use -= class;
        inner.stats.free += class;
        inner.free.entry(class).or_default().push(buffer);
    }

    pub(crate) fn stats(&self) -> PoolStats {
        self.lock().stats
    }

    /// Lets go of every free buffer; wgpu frees it when the device has finished with it.
    pub(crate) fn trim(&self) -> u64 {
        let mut inner = self.lock();
        let freed = inner.stats.free;
        inner.free.clear();
        inner.stats.free = 0;
        freed
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
