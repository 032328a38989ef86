//! Per-kernel device times from timestamp queries.

use std::collections::BTreeMap;

use crate::device::{Device, Inner};
use crate::{Error, Result};

/// Queries of one set; WebGPU allows 4,096.
const QUERIES: u32 = 4096;

#[derive(Debug)]
pub(crate) struct Profile {
    sets: Vec<wgpu::QuerySet>,
    used: u32,
    labels: Vec<&'static str>,
}

impl Profile {
    pub(crate) fn slot(&mut self, inner: &Inner, label: &'static str) -> Option<(wgpu::QuerySet, u32)> {
        if self.sets.is_empty() || self.used + 2 > QUERIES {
            self.sets.push(inner.raw.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("profile"),
                ty: wgpu::QueryType::Timestamp,
                count: QUERIES,
            }));
            self.used = 0;
        }
        let at = self.used;
        self.used += 2;
        self.labels.push(label);
        self.sets.last().map(|set| (set.clone(), at))
    }
}

/// Device time of one kernel over a profiled stretch.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelTime {
    /// Kernel name.
    pub kernel: &'static str,
    /// Launches.
    pub launches: usize,
    /// Seconds in all.
    pub seconds: f64,
}

impl Device {
    /// Starts measuring every kernel. Returns false where timestamps are missing or switched off.
    ///
    /// # Errors
    /// As [`Device::flush`].
    pub fn start_profile(&self) -> Result<bool> {
        self.flush()?;
        if !self.capabilities().timestamps {
            return Ok(false);
        }
        self.recorder().set_profile(Some(Profile { sets: Vec::new(), used: 0, labels: Vec::new() }));
        Ok(true)
    }

    /// Stops measuring; kernels by falling time. Empty when nothing was measured, or when the driver's timestamps make
    /// no sense (some return zeros).
    ///
    /// # Errors
    /// As [`Device::flush`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn stop_profile(&self) -> Result<Vec<KernelTime>> {
        self.synchronize()?;
        let Some(profile) = self.recorder().set_profile(None) else { return Ok(Vec::new()) };
        let inner = &self.0;
        let bytes = u64::from(QUERIES) * 8;
        let period = f64::from(inner.queue.get_timestamp_period()) * 1e-9;
        let mut times: BTreeMap<&'static str, (usize, f64)> = BTreeMap::new();
        let mut labels = profile.labels.iter();
        for (i, set) in profile.sets.iter().enumerate() {
            let count = if i + 1 == profile.sets.len() { profile.used } else { QUERIES };
            let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
            let make = |usage| {
                inner.raw.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("profile"),
                    size: bytes,
                    usage,
                    mapped_at_creation: false,
                })
            };
            let (resolve, read) = (make(usage), make(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST));
            let mut encoder = inner.raw.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.resolve_query_set(set, 0..count, &resolve, 0);
            encoder.copy_buffer_to_buffer(&resolve, 0, &read, 0, bytes);
            inner.queue.submit([encoder.finish()]);
            read.map_async(wgpu::MapMode::Read, .., |_| {});
            self.synchronize()?;
            let failed = |e: String| Error::Gpu { label: "profile".into(), message: e };
            let view = read.get_mapped_range(..).map_err(|e| failed(e.to_string()))?;
            let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&view[..]);
            for pair in ticks[..count as usize].chunks_exact(2) {
                let Some(label) = labels.next() else { break };
                if pair[1] < pair[0] || pair[0] == 0 {
                    return Ok(Vec::new());
                }
                let entry = times.entry(label).or_default();
                entry.0 += 1;
                entry.1 += (pair[1] - pair[0]) as f64 * period;
            }
        }
        let mut all: Vec<KernelTime> =
            times.into_iter().map(|(kernel, (launches, seconds))| KernelTime { kernel, launches, seconds }).collect();
        all.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        Ok(all)
    }
}
