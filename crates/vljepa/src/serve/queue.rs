//! Work that waits for the one thread that owns the device.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Who waits for work to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// A client: where there is no room it is told so at once.
    Request,
    /// A stream, on a thread of its own: it waits for room.
    Stream,
}

/// Why work was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// All places are taken.
    Full,
    /// The queue was closed.
    Closed,
}

#[derive(Debug)]
struct State<T> {
    lanes: [VecDeque<(u64, T)>; 2],
    next: u64,
    /// The lane that the last item came from.
    last: usize,
    closed: bool,
}

/// Two lanes of bounded length, which take turns.
#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    most: [usize; 2],
    /// Something was put in, or the queue was closed.
    filled: Condvar,
    /// Something was taken out, or the queue was closed.
    freed: Condvar,
}

/// A place in a queue. When it is dropped before its work was begun, the work is taken out.
#[derive(Debug)]
pub(super) struct Place<T> {
    queue: Arc<Queue<T>>,
    lane: usize,
    id: u64,
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        let before = state.lanes[self.lane].len();
        state.lanes[self.lane].retain(|(id, _)| *id != self.id);
        if state.lanes[self.lane].len() < before {
            self.queue.freed.notify_all();
        }
    }
}

impl<T> Queue<T> {
    /// At most `requests` and `windows` items wait.
    pub fn new(requests: usize, windows: usize) -> Arc<Self> {
        let state = State { lanes: [VecDeque::new(), VecDeque::new()], next: 0, last: 1, closed: false };
        let (filled, freed) = (Condvar::new(), Condvar::new());
        Arc::new(Self { state: Mutex::new(state), most: [requests.max(1), windows.max(1)], filled, freed })
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts work in. A stream waits until there is room.
    pub fn push(self: &Arc<Self>, lane: Lane, item: T) -> Result<Place<T>, NoRoom> {
        let at = lane as usize;
        let mut state = self.lock();
        while !state.closed && state.lanes[at].len() >= self.most[at] {
            if lane == Lane::Request {
                return Err(NoRoom::Full);
            }
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return Err(NoRoom::Closed);
        }
        let id = state.next;
        state.next += 1;
        state.lanes[at].push_back((id, item));
        self.filled.notify_all();
        drop(state);
        Ok(Place { queue: Arc::clone(self), lane: at, id })
    }

    /// Takes out what is next, and what is `alike` with it, as far as their sizes do not go beyond `most` together; where there is room
    /// for more, it waits `linger` for that. `None` after the queue was closed and emptied.
    pub fn take(
        &self,
        linger: Duration,
        size: impl Fn(&T) -> usize,
        most: usize,
        alike: impl Fn(&T, &T) -> bool,
    ) -> Option<Vec<T>> {
        let mut state = self.lock();
        let first = loop {
            if let Some(first) = state.pop() {
                break first;
            }
            if state.closed {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        let mut room = most.saturating_sub(size(&first));
        let mut batch = vec![first];
        let until = Instant::now() + linger;
        loop {
            for lane in &mut state.lanes {
                let mut at = 0;
                while let Some((_, item)) = lane.get(at) {
                    let fits = size(item) <= room && alike(&batch[0], item);
                    match if fits { lane.remove(at) } else { None } {
                        Some((_, item)) => {
                            room -= size(&item);
                            batch.push(item);
                        }
                        None => at += 1,
                    }
                }
            }
            // What is of another kind must not wait for more of this one.
            let waiting = state.lanes.iter().any(|lane| !lane.is_empty());
            let left = until.saturating_duration_since(Instant::now());
            if room == 0 || waiting || left.is_zero() || state.closed {
                break;
            }
            state = self.filled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        self.freed.notify_all();
        Some(batch)
    }

    /// Items that wait: of clients, and of streams.
    pub fn waiting(&self) -> [usize; 2] {
        let state = self.lock();
        [state.lanes[0].len(), state.lanes[1].len()]
    }

    /// Takes no more; what is there is still taken out.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
        self.freed.notify_all();
    }
}

impl<T> State<T> {
    /// The lanes take turns.
    fn pop(&mut self) -> Option<T> {
        for at in [1 - self.last, self.last] {
            if let Some((_, item)) = self.lanes[at].pop_front() {
                self.last = at;
                return Some(item);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    fn take(queue: &Queue<u32>, most: usize) -> Option<Vec<u32>> {
        // Numbers of one parity are alike.
        queue.take(SOON, |_| 1, most, |a, b| a % 2 == b % 2)
    }

    #[test]
    fn what_is_alike_is_taken_together_and_lanes_take_turns() {
        let queue = Queue::new(8, 8);
        let mut places: Vec<_> = [1, 2, 3, 5].map(|n| queue.push(Lane::Request, n).unwrap()).into();
        places.extend([7, 4].map(|n| queue.push(Lane::Stream, n).unwrap()));
        assert_eq!(queue.waiting(), [4, 2]);
        assert_eq!(take(&queue, 3), Some(vec![1, 3, 5]));
        // The other lane is next.
        assert_eq!(take(&queue, 3), Some(vec![7]));
        assert_eq!(take(&queue, 3), Some(vec![2, 4]));
        queue.close();
        assert_eq!(take(&queue, 3), None);
        assert_eq!(queue.push(Lane::Request, 1).unwrap_err(), NoRoom::Closed);
        assert_eq!(queue.push(Lane::Stream, 1).unwrap_err(), NoRoom::Closed);
    }

    #[test]
    fn a_full_queue_refuses_requests_and_makes_streams_wait() {
        let queue = Queue::new(1, 1);
        let first = queue.push(Lane::Request, 1).unwrap();
        assert_eq!(queue.push(Lane::Request, 3).unwrap_err(), NoRoom::Full);
        // Who goes away frees the place.
        drop(first);
        assert_eq!(queue.waiting(), [0, 0]);
        let _second = queue.push(Lane::Request, 5).unwrap();
        let _third = queue.push(Lane::Stream, 7).unwrap();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| queue.push(Lane::Stream, 9).map(std::mem::forget));
            assert_eq!(take(&queue, 1), Some(vec![5]));
            assert_eq!(take(&queue, 1), Some(vec![7]));
            waits.join().unwrap().unwrap();
            assert_eq!(take(&queue, 1), Some(vec![9]));
        });
    }

    #[test]
    fn it_lingers_for_more_of_a_kind_and_not_for_others() {
        let queue = Queue::new(8, 8);
        let _first = queue.push(Lane::Request, 1).unwrap();
        std::thread::scope(|scope| {
            let later = scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(20));
                std::mem::forget(queue.push(Lane::Request, 3).unwrap());
            });
            let batch = queue.take(Duration::from_secs(20), |_| 1, 2, |a, b| a % 2 == b % 2);
            assert_eq!(batch, Some(vec![1, 3]));
            later.join().unwrap();
        });
        let _one = queue.push(Lane::Request, 1).unwrap();
        let _other = queue.push(Lane::Request, 2).unwrap();
        let begun = Instant::now();
        assert_eq!(queue.take(Duration::from_secs(20), |_| 1, 9, |a, b| a % 2 == b % 2), Some(vec![1]));
        assert!(begun.elapsed() < Duration::from_secs(10));
        // Sizes count, not items; what is larger than all room is taken alone.
        let _large = queue.push(Lane::Request, 4).unwrap();
        assert_eq!(queue.take(SOON, |n| *n as usize, 3, |_, _| true), Some(vec![2]));
        assert_eq!(queue.take(SOON, |n| *n as usize, 3, |_, _| true), Some(vec![4]));
    }
}
