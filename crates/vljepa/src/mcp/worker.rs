//! The one thread that runs calls, one after the other: a device serves one at a time, and what it holds is loaded once.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::error::{McpError, Result};
use super::session::{Session, Settings};
use super::table::{Call, Outcome};
use super::task::{Report, Task};

/// Calls that wait for their turn.
const WAITING: usize = 64;
/// How long the end of the program waits for a call that has been told to end.
const LAST: Duration = Duration::from_secs(10);

/// A call, and where its outcome goes.
struct Job {
    call: Call,
    task: Task,
    outcome: oneshot::Sender<Result<Outcome>>,
}

/// Runs calls on a thread of its own. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Worker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    jobs: Mutex<Option<SyncSender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    ending: Arc<AtomicBool>,
}

impl Worker {
    /// Begins a session on a new thread.
    ///
    /// # Errors
    /// As [`Session::new`]; a system that gives no thread.
    pub fn new(settings: Settings) -> Result<Self> {
        let session = Session::new(settings)?;
        let (jobs, waiting) = sync_channel(WAITING);
        let thread = std::thread::Builder::new().name("calls".into()).spawn(move || work(session, &waiting));
        let thread = thread.map_err(|error| McpError::Internal(format!("no thread for calls: {error}")))?;
        let inner = Inner {
            jobs: Mutex::new(Some(jobs)),
            thread: Mutex::new(Some(thread)),
            ending: Arc::new(AtomicBool::new(false)),
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Puts a call into the queue. It ends where `unwanted` is set; `report` receives how far it is.
    ///
    /// # Errors
    /// A full queue, and a worker that ends.
    pub fn call(
        &self,
        call: Call,
        unwanted: Arc<AtomicBool>,
        report: impl Fn(Report) + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<Outcome>>> {
        let (send, outcome) = oneshot::channel();
        let task = Task::new(vec![unwanted, Arc::clone(&self.0.ending)], report);
        let jobs = self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let jobs = jobs.as_ref().ok_or(McpError::Ending)?;
        match jobs.try_send(Job { call, task, outcome: send }) {
            Ok(()) => Ok(outcome),
            Err(TrySendError::Full(_)) => Err(McpError::Busy(WAITING)),
            Err(TrySendError::Disconnected(_)) => Err(McpError::Ending),
        }
    }

    /// Ends the call that runs and those that wait, and then the thread. The device must not be in use when the program ends.
    pub fn finish(&self) {
        self.0.ending.store(true, Ordering::SeqCst);
        drop(self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(thread), begun) = (thread, Instant::now()) else { return };
        while !thread.is_finished() && begun.elapsed() < LAST {
            std::thread::sleep(Duration::from_millis(5));
        }
        if thread.is_finished() {
            // A panic was told when it happened.
            let _ = thread.join();
        }
    }
}

fn work(mut session: Session, waiting: &Receiver<Job>) {
    while let Ok(Job { call, task, outcome }) = waiting.recv() {
        let run = || task.check().and_then(|()| call.run(&mut session, &task));
        let found = std::panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let what = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(McpError::Internal(what.to_owned()))
        });
        if found.as_ref().is_err_and(McpError::is_of_device) {
            session.close();
        }
        // Reports end before the outcome is there.
        drop(task);
        // Nobody waits for it any more.
        let _ = outcome.send(found);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call() -> Call {
        Call::parse("describe", json!({ "input": "gone.mp4" }).as_object().unwrap().clone()).unwrap()
    }

    #[test]
    fn calls_run_in_turn_and_none_after_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { allow: vec![dir.path().to_path_buf()], ..Settings::default() };
        let worker = Worker::new(settings).unwrap();
        let wanted = || Arc::new(AtomicBool::new(false));
        let outcomes: Vec<_> = (0..5).map(|_| worker.call(call(), wanted(), |_| ()).unwrap()).collect();
        for outcome in outcomes {
            let error = outcome.blocking_recv().unwrap().unwrap_err().to_string();
            assert!(error.contains("gone.mp4: no such file") && error.contains("allowed: "), "{error}");
        }
        let unwanted = Arc::new(AtomicBool::new(true));
        let outcome = worker.call(call(), unwanted, |_| ()).unwrap().blocking_recv().unwrap();
        assert!(matches!(outcome, Err(McpError::Cancelled)));
        let other = worker.clone();
        worker.finish();
        assert!(matches!(other.call(call(), wanted(), |_| ()), Err(McpError::Ending)));
        other.finish();
        assert!(Worker::new(Settings { allow: vec![dir.path().join("gone")], ..Settings::default() }).is_err());
    }
}
