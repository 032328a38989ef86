//! All streams of a server: those that run, and those that are over and still known.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::event::About;
use super::fault::{Fault, Result};
use super::session::Session;
use super::store::{Store, is_id};

/// Streams that are known at once: the oldest that are over go, and stay in the folder where there is one.
const MAX_KNOWN: usize = 256;

/// The newest streams, which keep frames after they are over so that they can be asked about.
const WITH_FRAMES: usize = 8;

/// The streams of a server.
pub(super) struct Sessions {
    known: Mutex<Vec<Arc<Session>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    running: Arc<AtomicUsize>,
    most: usize,
    store: Option<Store>,
}

/// The right to run a stream; others may when it is dropped.
#[derive(Debug)]
pub(super) struct Turn(Arc<AtomicUsize>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sessions {
    /// At most `most` streams run at once. What `store` keeps is known again; what cannot be read of it is told by `note`.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn new(most: usize, store: Option<Store>, note: &mut dyn FnMut(String)) -> crate::Result<Self> {
        let mut known = Vec::new();
        if let Some(store) = &store {
            let ids = store.ids()?;
            if ids.len() > MAX_KNOWN {
                let more = ids.len() - MAX_KNOWN;
                note(format!(
                    "{}: {more} older streams are left alone; the newest {MAX_KNOWN} are shown",
                    store.dir().display()
                ));
            }
            for id in ids.iter().take(MAX_KNOWN) {
                match store.read(id).and_then(Session::restored) {
                    Ok(session) => known.push(Arc::new(session)),
                    Err(error) => note(error.to_string()),
                }
            }
            known.sort_by_key(|session: &Arc<Session>| session.about().created);
        }
        let running = Arc::new(AtomicUsize::new(0));
        Ok(Self { known: known.into(), threads: Mutex::default(), running, most: most.max(1), store })
    }

    /// A turn to run a stream.
    pub fn turn(&self) -> Result<Turn> {
        let taken = self
            .running
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |running| (running < self.most).then_some(running + 1));
        match taken {
            Ok(_) => Ok(Turn(Arc::clone(&self.running))),
            Err(running) => Err(Fault::busy(format!("{running} streams run already; stop one, or try again later"))),
        }
    }

    /// Streams that run now.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    /// A name that no stream has.
    pub fn new_id() -> String {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u128(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos());
        format!("{:016x}", hasher.finish())
    }

    /// Begins a stream. Blocks.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn begin(&self, about: About) -> Result<Arc<Session>> {
        let log = self.store.as_ref().map(|store| store.create(&about.stream)).transpose()?;
        let session = Arc::new(Session::begin(about, log)?);
        let mut known = locked(&self.known);
        known.push(Arc::clone(&session));
        let older = known.len().saturating_sub(WITH_FRAMES);
        known.iter().take(older).filter(|session| session.is_over()).for_each(|session| session.forget_frames());
        while known.len() > MAX_KNOWN {
            let Some(oldest) = known.iter().position(|session| session.is_over()) else { break };
            known.remove(oldest);
        }
        Ok(session)
    }

    /// Gives a stream a thread, which holds its turn.
    ///
    /// # Errors
    /// The system starts no thread.
    pub fn run(&self, turn: Turn, work: impl FnOnce() + Send + 'static) -> Result<()> {
        let run = move || {
            let _turn = turn;
            work();
        };
        let thread = std::thread::Builder::new().name("stream".into()).spawn(run);
        let thread = thread.map_err(|error| Fault::internal(format!("no thread can be started: {error}")))?;
        let mut threads = locked(&self.threads);
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
        Ok(())
    }

    /// All of them, the oldest first.
    pub fn all(&self) -> Vec<Arc<Session>> {
        locked(&self.known).clone()
    }

    /// A stream by its name.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn get(&self, id: &str) -> Result<Arc<Session>> {
        let found = locked(&self.known).iter().find(|session| session.id() == id).cloned();
        found.ok_or_else(|| {
            Fault::missing(if is_id(id) {
                format!("there is no stream {id}")
            } else {
                "there is no such stream".into()
            })
        })
    }

    /// Stops a stream, and forgets it with all that was kept of it. Blocks until its thread has let go of it, as far as that comes soon.
    ///
    /// # Errors
    /// There is none of that name, or what was kept cannot be removed.
    pub fn remove(&self, id: &str) -> Result<()> {
        let session = self.get(id)?;
        session.stop();
        let until = Instant::now() + Duration::from_secs(5);
        while !session.is_over() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        locked(&self.known).retain(|known| known.id() != id);
        Ok(self.store.as_ref().map_or(Ok(()), |store| store.remove(id))?)
    }

    /// Stops all streams, and waits for their threads.
    pub fn stop(&self) {
        locked(&self.known).iter().for_each(|session| session.stop());
        let threads = std::mem::take(&mut *locked(&self.threads));
        for thread in threads {
            let _ = thread.join();
        }
    }
}
