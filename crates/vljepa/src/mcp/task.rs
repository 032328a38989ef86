//! A call that runs: whether its answer is still wanted, and how far it is.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::error::{McpError, Result};

/// Least time between two reports.
const PACE: Duration = Duration::from_millis(100);

/// How far a call is.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The share that is done, 0 to 1; greater in each report than in the one before.
    pub done: f64,
    /// What is being done.
    pub what: String,
}

/// A call that runs.
pub struct Task {
    /// The call ends once one of them is set.
    stops: Vec<Arc<AtomicBool>>,
    report: Box<dyn Fn(Report) + Send>,
    state: RefCell<State>,
}

struct State {
    /// The part of the whole that is being done.
    span: [f64; 2],
    last: Option<(Instant, f64)>,
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("stops", &self.stops).finish_non_exhaustive()
    }
}

impl Task {
    /// Ends once one of `stops` is set; `report` receives how far it is.
    pub fn new(stops: Vec<Arc<AtomicBool>>, report: impl Fn(Report) + Send + 'static) -> Self {
        let state = State { span: [0.0, 1.0], last: None };
        Self { stops, report: Box::new(report), state: RefCell::new(state) }
    }

    /// Ends by itself and reports nothing.
    pub fn quiet() -> Self {
        Self::new(Vec::new(), |_| ())
    }

    /// Ends the call where its answer is not wanted any more.
    ///
    /// # Errors
    /// [`McpError::Cancelled`].
    pub fn check(&self) -> Result<()> {
        match self.is_stopped() {
            true => Err(McpError::Cancelled),
            false => Ok(()),
        }
    }

    /// Whether the answer is not wanted any more.
    pub fn is_stopped(&self) -> bool {
        self.stops.iter().any(|stop| stop.load(Ordering::SeqCst))
    }

    /// What follows is the part of the call from `from` to `to`, both 0 to 1.
    pub(super) fn span(&self, from: f64, to: f64) {
        self.state.borrow_mut().span = [from, to];
    }

    /// The share `done`, 0 to 1, of the present part is done.
    pub(super) fn report(&self, done: f64, what: &str) {
        let mut state = self.state.borrow_mut();
        let [from, to] = state.span;
        let done = from + (to - from) * done.clamp(0.0, 1.0);
        let is_new = state.last.is_none_or(|(then, before)| done > before && then.elapsed() >= PACE);
        // A share that is no number is none.
        if is_new && done.is_finite() {
            state.last = Some((Instant::now(), done));
            (self.report)(Report { done, what: what.to_owned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn reports_grow_and_a_stop_ends_the_call() {
        let (seen, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let into = Arc::clone(&seen);
        let task = Task::new(vec![Arc::clone(&stop)], move |report: Report| into.lock().unwrap().push(report.done));
        task.span(0.5, 1.0);
        for done in [0.0, 0.5, f64::NAN, 0.2, 0.9] {
            task.report(done, "windows");
            std::thread::sleep(PACE + Duration::from_millis(5));
        }
        // Two reports at once are one.
        task.report(0.95, "windows");
        task.report(0.96, "windows");
        assert_eq!(*seen.lock().unwrap(), [0.5, 0.75, 0.95, 0.975]);
        assert!(task.check().is_ok());
        stop.store(true, Ordering::SeqCst);
        assert!(matches!(task.check(), Err(McpError::Cancelled)));
    }
}
