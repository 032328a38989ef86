//! Per-kernel device times from timestamp queries.

use super::gpu::Gpu;

/// Queries of one set; WebGPU allows 4,096.
const QUERIES: u32 = 4096;

/// Timestamps at both ends of every dispatch.
#[derive(Debug, Default)]
pub(crate) struct Profile {
    sets: Vec<wgpu::QuerySet>,
    used: u32,
    labels: Vec<&'static str>,
}

impl Profile {
    /// The query set of the next dispatch and the place of its first timestamp there.
    pub(crate) fn slot(&mut self, gpu: &Gpu, label: &'static str) -> Option<(wgpu::QuerySet, u32)> {
        if self.sets.is_empty() || self.used + 2 > QUERIES {
            self.sets.push(gpu.raw.create_query_set(&wgpu::QuerySetDescriptor {
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

#[cfg(not(target_arch = "wasm32"))]
mod read {
    use std::collections::BTreeMap;
    use std::sync::mpsc;

    use super::{Gpu, KernelTime, Profile, QUERIES};
    use crate::error::{Error, Result};

    impl Profile {
        /// Times of the kernels, the longest first, once the GPU has run them all. Empty when the driver's timestamps make no
        /// sense (some return zeros).
        pub(crate) fn read(&self, gpu: &Gpu) -> Result<Vec<KernelTime>> {
            let bytes = u64::from(QUERIES) * 8;
            let period = f64::from(gpu.queue.get_timestamp_period()) * 1e-9;
            let mut times: BTreeMap<&'static str, (usize, f64)> = BTreeMap::new();
            let mut labels = self.labels.iter();
            for (i, set) in self.sets.iter().enumerate() {
                let count = if i + 1 == self.sets.len() { self.used } else { QUERIES };
                let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
                let make = |usage| {
                    gpu.raw.create_buffer(&wgpu::BufferDescriptor {
                        label: Some("profile"),
                        size: bytes,
                        usage,
                        mapped_at_creation: false,
                    })
                };
                let (resolve, read) = (make(usage), make(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST));
                let mut encoder = gpu.raw.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                encoder.resolve_query_set(set, 0..count, &resolve, 0);
                encoder.copy_buffer_to_buffer(&resolve, 0, &read, 0, bytes);
                gpu.queue.submit([encoder.finish()]);
                let (told, mapped) = mpsc::channel();
                read.map_async(wgpu::MapMode::Read, .., move |result| {
                    // Nobody listens where the wait failed.
                    let _ = told.send(result);
                });
                gpu.wait(None)?;
                // Another thread that polls may be the one that calls back, a moment later.
                let mapped = mapped.recv();
                gpu.check()?;
                let failed = |e: String| Error::Gpu { label: "profile".into(), message: e };
                mapped.map_err(|e| failed(e.to_string()))?.map_err(|e| failed(e.to_string()))?;
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
            let mut all: Vec<KernelTime> = times
                .into_iter()
                .map(|(kernel, (launches, seconds))| KernelTime { kernel, launches, seconds })
                .collect();
            all.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
            Ok(all)
        }
    }
}
