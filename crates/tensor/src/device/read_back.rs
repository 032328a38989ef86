//! Bytes on their way to the host, for callers that wait and for callers that must not.
//!
//! On native systems wgpu calls back only while somebody polls the device. A caller that blocks polls itself; for all
//! others a [`Driver`] does: one thread per device, asleep while nothing is on its way.

use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use super::gpu::{Gpu, lock};
use super::recorder::Copied;
use crate::error::{Error, Result};

/// Whether a buffer has been mapped, and who is to be told.
#[derive(Debug, Default)]
struct Mapping {
    outcome: Option<Result<()>>,
    waker: Option<Waker>,
}

/// A [`Mapping`] that wgpu's callback, the driver and the reader share.
#[derive(Clone, Debug, Default)]
struct Shared(Arc<Mutex<Mapping>>);

impl Shared {
    fn settle(&self, outcome: Result<()>) {
        let waker = {
            let mut mapping = lock(&self.0);
            mapping.outcome.get_or_insert(outcome);
            mapping.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The outcome, once there is one; for one reader.
    async fn settled(&self) -> Result<()> {
        std::future::poll_fn(|context| {
            let mut mapping = lock(&self.0);
            match mapping.outcome.take() {
                Some(outcome) => Poll::Ready(outcome),
                None => {
                    mapping.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

/// Bytes on their way.
#[derive(Debug)]
pub(crate) struct ReadBack {
    copied: Copied,
    shared: Shared,
}

impl ReadBack {
    /// Asks for the bytes of a copy that is submitted.
    pub(crate) fn of(copied: Copied) -> Self {
        let shared = Shared::default();
        let told = shared.clone();
        copied.staging.map_async(wgpu::MapMode::Read, .., move |result| {
            told.settle(result.map_err(|e| failed(e.to_string())));
        });
        ReadBack { copied, shared }
    }

    /// Blocks until the GPU has run the copy.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn wait(&self, gpu: &Gpu) -> Result<()> {
        gpu.wait(self.copied.submission.clone())
    }

    /// The first `len` bytes, once they have arrived. Whoever awaits this has called [`ReadBack::wait`], or given the device
    /// to a [`Driver`].
    pub(crate) async fn bytes(self, gpu: &Gpu, len: usize) -> Result<Vec<u8>> {
        let outcome = self.shared.settled().await;
        // What the GPU reported says more than that the buffer could not be mapped.
        gpu.check()?;
        outcome?;
        self.copied.arrived();
        let view = self.copied.staging.get_mapped_range(..).map_err(|e| failed(e.to_string()))?;
        view.get(..len).map(<[u8]>::to_vec).ok_or_else(|| failed(format!("{} bytes of {len} came", view.len())))
    }
}

fn failed(message: String) -> Error {
    Error::Gpu { label: "read-back".into(), message }
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use driver::Driver;

#[cfg(not(target_arch = "wasm32"))]
mod driver {
    use std::collections::VecDeque;
    use std::sync::{Arc, Condvar, Mutex, PoisonError};
    use std::time::Duration;

    use super::{Gpu, ReadBack, Shared, lock};
    use crate::device::gpu::{Task, wait};

    /// How long the thread stays when nothing is on its way.
    const LINGER: Duration = Duration::from_secs(2);

    /// One submission to wait for, and who waits for it. It holds the device, so that an idle thread does not.
    struct Job {
        raw: wgpu::Device,
        submission: Option<wgpu::SubmissionIndex>,
        task: Task,
        shared: Shared,
    }

    impl Job {
        /// Waits, which lets wgpu call back. Where it cannot wait, the reader is told: it must not sleep for ever.
        fn run(self) {
            // After a wait that went well, another thread that polls may be the one that calls back, a moment later.
            if let Err(error) = wait(&self.raw, self.submission, self.task) {
                self.shared.settle(Err(error));
            }
        }
    }

    #[derive(Default)]
    struct Queue {
        jobs: VecDeque<Job>,
        running: bool,
    }

    /// Polls one device from a thread of its own while bytes are on their way.
    #[derive(Clone, Default)]
    pub(crate) struct Driver(Arc<(Mutex<Queue>, Condvar)>);

    impl std::fmt::Debug for Driver {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("Driver").field("jobs", &lock(&self.0.0).jobs.len()).finish()
        }
    }

    impl Driver {
        /// Sees to it that `read` arrives.
        pub(crate) fn drive(&self, gpu: &Gpu, read: &ReadBack) {
            let (queue, changed) = &*self.0;
            let job = Job {
                raw: gpu.raw.clone(),
                submission: read.copied.submission.clone(),
                task: gpu.task(),
                shared: read.shared.clone(),
            };
            let mut queue = lock(queue);
            queue.jobs.push_back(job);
            changed.notify_one();
            if queue.running {
                return;
            }
            let driver = self.clone();
            let thread = std::thread::Builder::new().name("vljepa-read-back".into());
            queue.running = thread.spawn(move || driver.work()).is_ok();
            if !queue.running {
                // No thread is to be had: wait here.
                let jobs = std::mem::take(&mut queue.jobs);
                drop(queue);
                jobs.into_iter().for_each(Job::run);
            }
        }

        fn work(&self) {
            let (queue, changed) = &*self.0;
            let mut guard = lock(queue);
            loop {
                while let Some(job) = guard.jobs.pop_front() {
                    drop(guard);
                    job.run();
                    guard = lock(queue);
                }
                let (next, waited) = changed.wait_timeout(guard, LINGER).unwrap_or_else(PoisonError::into_inner);
                guard = next;
                if waited.timed_out() && guard.jobs.is_empty() {
                    guard.running = false;
                    return;
                }
            }
        }
    }
}
