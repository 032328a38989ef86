//! What all requests share: the model's worker, streams, limits, counts.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use vljepa_data::atomic::{UnderWay, temporary_folder_in};
use vljepa_embed::Model;

use super::fault::{Fault, Result};
use super::guard::{Guard, Key};
use super::media::Inbox;
use super::metrics::{Gauge, Metrics};
use super::sessions::Sessions;
use super::source::AllowedAddresses;
use super::store::Store;
use super::worker::{Batching, Worker};
use crate::allowed::AllowedFolders;

/// Clients that follow streams at once.
const FOLLOWERS: usize = 512;

/// How a server behaves.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// What clients call the model.
    pub model_id: String,
    /// The name or address that the server listens at, by which it may be called.
    pub host: String,
    /// The key that requests must bring; without one only pages of this server on this machine may ask.
    pub key: Option<Key>,
    /// Folders whose files clients may name.
    pub folders: AllowedFolders,
    /// Addresses whose streams clients may name.
    pub addresses: AllowedAddresses,
    /// Bytes of an upload.
    pub max_upload: u64,
    /// Requests that are worked on or wait, before further ones are told to come again.
    pub queue: usize,
    /// Streams that run at once.
    pub streams: usize,
    /// Clips, texts or states that go through the model together.
    pub batch: usize,
    /// How long a pass that has room waits for more of its kind.
    pub linger: Duration,
    /// How long an answer may take, once the request is there.
    pub timeout: Duration,
    /// How long a body may pause.
    pub patience: Duration,
    /// The folder in which streams are kept.
    pub data: Option<PathBuf>,
}

impl Default for ServeOptions {
    /// Nothing is allowed and nothing kept; 512 MiB an upload, 64 requests, 4 streams.
    fn default() -> Self {
        Self {
            model_id: "vljepa".into(),
            host: "127.0.0.1".into(),
            key: None,
            folders: AllowedFolders::default(),
            addresses: AllowedAddresses::default(),
            max_upload: 512 << 20,
            queue: 64,
            streams: 4,
            batch: 16,
            linger: Duration::from_millis(3),
            timeout: Duration::from_secs(120),
            patience: Duration::from_secs(30),
            data: None,
        }
    }
}

/// A server's state.
pub(super) struct App {
    pub worker: Arc<Worker>,
    pub inbox: Arc<Inbox>,
    /// A second signal removes the folder of uploads too, and no other process takes it for a leftover.
    _uploads: (UnderWay, Option<File>),
    pub sessions: Arc<Sessions>,
    pub metrics: Arc<Metrics>,
    pub guard: Guard,
    pub options: ServeOptions,
    /// When the server began, in seconds since 1970.
    pub started: u64,
    /// Places of requests.
    places: Arc<Semaphore>,
    /// Files that are decoded at once.
    decoders: Arc<Semaphore>,
    /// Clients that follow streams.
    followers: Arc<Semaphore>,
    /// Whether the server is to stop.
    stop: watch::Sender<bool>,
}

/// A request's place, which is free again when it is dropped.
pub(super) type RequestPlace = OwnedSemaphorePermit;

impl App {
    /// `note` is told what is to be known at the start.
    ///
    /// # Errors
    /// A folder that cannot be read or written.
    pub fn new(model: Model, options: ServeOptions, note: &mut dyn FnMut(String)) -> crate::Result<Arc<Self>> {
        let store = options.data.as_deref().map(Store::open).transpose()?;
        // What a killed server left of uploads goes when the next one begins.
        let at = store.as_ref().map_or_else(std::env::temp_dir, |store| store.dir().to_path_buf());
        let mut lock = None;
        let make = || {
            temporary_folder_in(&at).map(|(folder, held)| {
                lock = held;
                folder
            })
        };
        let (folder, under_way) = UnderWay::make(make).map_err(crate::Error::io(&at, "writing"))?;
        let metrics = Arc::new(Metrics::new());
        let sessions = Sessions::new(options.streams, store, note)?;
        let batching = Batching { queue: options.queue, most: options.batch.max(1), linger: options.linger };
        let worker = Worker::start(model, &options.model_id, batching, Arc::clone(&metrics))?;
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Ok(Arc::new(Self {
            worker: Arc::new(worker),
            inbox: Arc::new(Inbox::new(folder, options.folders.clone())),
            _uploads: (under_way, lock),
            sessions: Arc::new(sessions),
            metrics,
            guard: Guard { key: options.key.clone(), host: options.host.clone() },
            places: Arc::new(Semaphore::new(options.queue.max(1))),
            decoders: Arc::new(Semaphore::new(cores)),
            followers: Arc::new(Semaphore::new(FOLLOWERS)),
            stop: watch::channel(false).0,
            started: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            options,
        }))
    }

    /// A place for a request that has the model work.
    pub fn place(&self) -> Result<RequestPlace> {
        if *self.stop.borrow() {
            return Err(Fault::unavailable("the server is stopping"));
        }
        let queue = self.options.queue;
        let busy = || Fault::busy(format!("{queue} requests are worked on or wait already; try again soon"));
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| busy())
    }

    /// Requests that have a place.
    pub fn placed(&self) -> usize {
        self.options.queue.max(1) - self.places.available_permits()
    }

    /// A place for a client that follows a stream.
    pub fn follower(&self) -> Result<RequestPlace> {
        let busy = || Fault::busy(format!("{FOLLOWERS} clients follow streams already; try again later"));
        Arc::clone(&self.followers).try_acquire_owned().map_err(|_| busy())
    }

    /// Runs what blocks on a thread for such work.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|_| Err(Fault::internal("the request broke off; the log of the server has more")))
    }

    /// As [`Self::blocking`], for work that decodes pictures: as many at once as there are cores.
    pub async fn decoding<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let turn = Arc::clone(&self.decoders).acquire_owned().await;
        self.blocking(move || {
            let _turn = turn;
            work()
        })
        .await
    }

    /// Gives up an answer that takes too long.
    pub async fn within<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let seconds = self.options.timeout.as_secs_f64();
        let late = |_| {
            Err(Fault::unavailable(format!("the answer took longer than {seconds} s; try again when less is asked")))
        };
        tokio::time::timeout(self.options.timeout, work).await.unwrap_or_else(late)
    }

    /// Tells when the server is to stop.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// From now on no work is taken, and those who follow streams are told.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until streams and the model's thread have ended. Blocks.
    pub fn finish(&self) {
        self.sessions.stop();
        self.worker.stop();
    }

    /// Values that change by themselves.
    pub fn gauges(&self) -> Vec<Gauge> {
        let ([clients, streams], capacity) = self.worker.waiting();
        vec![
            ("vljepa_queue_depth", "Jobs of clients that wait for the model.", clients as f64),
            ("vljepa_queue_depth_streams", "Jobs of streams that wait for the model.", streams as f64),
            ("vljepa_queue_capacity", "Requests that are worked on or wait at most.", capacity as f64),
            ("vljepa_requests_in_place", "Requests that are worked on or wait.", self.placed() as f64),
            (
                "vljepa_followers",
                "Clients that follow streams.",
                (FOLLOWERS - self.followers.available_permits()) as f64,
            ),
            ("vljepa_streams_running", "Streams that run.", self.sessions.running() as f64),
            ("vljepa_streams_known", "Streams that are known.", self.sessions.all().len() as f64),
        ]
    }
}
