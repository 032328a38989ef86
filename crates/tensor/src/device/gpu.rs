//! The raw handles of one GPU, its limits, and the failure that it reported.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::caps::Capabilities;
use crate::error::{Error, Result};
use crate::pool::Pool;

/// What the device was last asked to do. It stands in the errors that wgpu reports without a place.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Task {
    /// Nothing yet.
    #[default]
    Nothing,
    /// Recorded commands: the first and last operator among them, their number, and the bytes of their parameters.
    Submit { first: &'static str, last: &'static str, commands: usize, bytes: u64 },
    /// Bytes from the host into a tensor.
    Upload { bytes: u64 },
    /// Bytes of a tensor to the host.
    ReadBack { bytes: u64 },
}

impl Task {
    fn bytes(self) -> u64 {
        match self {
            Task::Nothing => 0,
            Task::Submit { bytes, .. } | Task::Upload { bytes } | Task::ReadBack { bytes } => bytes,
        }
    }
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Task::Nothing => f.write_str("the set-up of the device"),
            Task::Submit { first, commands: 1, .. } => write!(f, "the submission of {first}"),
            Task::Submit { first, last, commands, .. } => {
                write!(f, "the submission of {commands} commands, {first} to {last}")
            }
            Task::Upload { bytes } => write!(f, "an upload of {bytes} bytes"),
            Task::ReadBack { bytes } => write!(f, "a read-back of {bytes} bytes"),
        }
    }
}

/// What wgpu's callbacks write and the next call of ours reads.
#[derive(Debug)]
struct Reports {
    failure: Mutex<Option<Error>>,
    task: Mutex<Task>,
    /// Weak: the pool's buffers hold the device, and the device its callbacks.
    pool: Weak<Pool>,
}

/// Locks the mutex, whether or not a thread panicked while it held it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reports {
    fn uncaptured(&self, error: &wgpu::Error) {
        let task = *lock(&self.task);
        let error = match error {
            wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory {
                what: task.to_string(),
                requested: task.bytes(),
                in_use: self.pool.upgrade().map_or(0, |pool| pool.stats().in_use),
            },
            other => Error::Gpu { label: task.to_string(), message: other.to_string() },
        };
        lock(&self.failure).get_or_insert(error);
    }

    fn lost(&self, message: &str) {
        let task = *lock(&self.task);
        lock(&self.failure).get_or_insert(Error::DeviceLost(format!("{message} (last task: {task})")));
    }
}

/// One GPU: wgpu's handles, what it can do, and its memory pool.
#[derive(Debug)]
pub(crate) struct Gpu {
    pub(crate) raw: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) info: wgpu::AdapterInfo,
    pub(crate) limits: wgpu::Limits,
    pub(crate) caps: Capabilities,
    /// Whether kernels of this repository are compiled with bounds checks too.
    pub(crate) checked: bool,
    pub(crate) pool: Arc<Pool>,
    /// Bound where an optional input is absent.
    pub(crate) placeholder: wgpu::Buffer,
    reports: Arc<Reports>,
}

impl Gpu {
    /// Takes the device over: its callbacks for uncaptured errors and for its loss become ours.
    pub(crate) fn new(
        raw: wgpu::Device,
        queue: wgpu::Queue,
        info: wgpu::AdapterInfo,
        caps: Capabilities,
        checked: bool,
    ) -> Self {
        let pool = Arc::new(Pool::default());
        let reports =
            Arc::new(Reports { failure: Mutex::default(), task: Mutex::default(), pool: Arc::downgrade(&pool) });
        let seen = reports.clone();
        raw.on_uncaptured_error(Arc::new(move |error: wgpu::Error| seen.uncaptured(&error)));
        let seen = reports.clone();
        raw.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                seen.lost(&message);
            }
        });
        let placeholder = raw.create_buffer(&wgpu::BufferDescriptor {
            label: Some("placeholder"),
            size: 256,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        let limits = raw.limits();
        Gpu { raw, queue, info, limits, caps, checked, pool, placeholder, reports }
    }

    /// Says what the device is asked to do next.
    pub(crate) fn begin(&self, task: Task) {
        *lock(&self.reports.task) = task;
    }

    /// What the device was last asked to do.
    pub(crate) fn task(&self) -> Task {
        *lock(&self.reports.task)
    }

    /// Takes the failure that the GPU reported, if any.
    pub(crate) fn check(&self) -> Result<()> {
        let mut failure = lock(&self.reports.failure);
        match &*failure {
            // A lost device stays lost.
            Some(Error::DeviceLost(why)) => Err(Error::DeviceLost(why.clone())),
            Some(_) => failure.take().map_or(Ok(()), Err),
            None => Ok(()),
        }
    }

    /// A buffer of `bytes`, or `None` where the device has no memory left for it.
    pub(crate) fn buffer(&self, label: &'static str, bytes: u64, usage: wgpu::BufferUsages) -> Option<wgpu::Buffer> {
        let scope = self.raw.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.raw.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes,
            usage,
            mapped_at_creation: false,
        });
        // Native scopes answer at once; a browser's answer comes later through the uncaptured-error handler.
        match ready(scope.pop()) {
            Some(Some(_)) => None,
            _ => Some(buffer),
        }
    }

    /// Waits for a submission, or for all of them; browsers cannot, and bound what is in flight themselves.
    pub(crate) fn wait(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<()> {
        #[cfg(not(target_arch = "wasm32"))]
        if let Err(error) = wait(&self.raw, submission, self.task()) {
            // What the GPU reported says more than that it could not be waited for.
            self.check()?;
            return Err(error);
        }
        #[cfg(target_arch = "wasm32")]
        let _ = submission;
        Ok(())
    }
}

/// Waits for a submission, or for all of them, which lets wgpu call back; `task` is what an error names.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn wait(raw: &wgpu::Device, submission: Option<wgpu::SubmissionIndex>, task: Task) -> Result<()> {
    let poll = || raw.poll(wgpu::PollType::Wait { submission_index: submission, timeout: None });
    // wgpu panics where the device is lost while it waits.
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(poll)) {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Error::Gpu { label: task.to_string(), message: error.to_string() }),
        Err(_) => Err(Error::DeviceLost(format!("it failed while its commands were waited for (last task: {task})"))),
    }
}

/// The future's value if it is ready now.
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_name_what_was_going_on() {
        let reports = Reports { failure: Mutex::default(), task: Mutex::default(), pool: Weak::new() };
        *lock(&reports.task) = Task::Submit { first: "matmul_tile", last: "binary", commands: 7, bytes: 1792 };
        reports.uncaptured(&wgpu::Error::OutOfMemory { source: Box::new(std::fmt::Error) });
        let error = lock(&reports.failure).take().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains("7 commands, matmul_tile to binary") && error.contains("1792 bytes"), "{error}");
        *lock(&reports.task) = Task::Submit { first: "fill", last: "fill", commands: 1, bytes: 256 };
        reports.lost("gone");
        let error = lock(&reports.failure).take().map(|e| e.to_string()).unwrap_or_default();
        assert_eq!(error, "device lost: gone (last task: the submission of fill)");
    }
}
