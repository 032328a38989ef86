//! The port: takes connections, and ends them in order.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use vljepa_embed::Model;

use super::app::{App, ServeOptions};
use super::router;
use crate::error::{Error, Result};

/// How long the head of a request may take.
const HEAD: Duration = Duration::from_secs(15);
/// Connections at once; further ones wait to be taken.
const CONNECTIONS: usize = 1024;
/// How often it is looked whether the server is to stop.
const TICK: Duration = Duration::from_millis(50);
/// How long requests may go on when the server is to stop.
const GRACE: Duration = Duration::from_secs(30);
/// Threads that talk to clients.
const THREADS: usize = 2;

/// A server: a model with its streams, without a port so far.
pub struct Server {
    app: Arc<App>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("model", &self.app.worker.facts().id).finish_non_exhaustive()
    }
}

impl Server {
    /// Gives the model its thread, and opens the folder of the options. `note` is told what is to be known of that.
    ///
    /// # Errors
    /// A folder that cannot be read or written, or that another server holds.
    pub fn new(model: Model, options: ServeOptions, note: &mut dyn FnMut(String)) -> Result<Self> {
        Ok(Self { app: App::new(model, options, note)? })
    }

    /// What answers requests, to be driven without a port.
    pub fn router(&self) -> Router {
        router::router(Arc::clone(&self.app))
    }

    /// From now on requests that need the model are refused, and streams end.
    pub fn stop(&self) {
        self.app.stop();
    }

    /// Waits until the streams and the thread of the model have ended, after [`Self::stop`]. Blocks.
    pub fn finish(&self) {
        self.app.stop();
        self.app.finish();
    }

    /// Answers at `listener` until `stop` says so; then what runs is finished, for half a minute at most, streams end, and those who
    /// follow them are told. Blocks.
    ///
    /// # Errors
    /// A port that cannot be used.
    pub fn run(&self, listener: TcpListener, stop: impl Fn() -> bool + Send + Sync + 'static) -> Result<()> {
        let failed = |action| Error::io("port".as_ref(), action);
        listener.set_nonblocking(true).map_err(failed("opening"))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
        let runtime = runtime.map_err(failed("starting threads"))?;
        let done = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).map_err(failed("opening"))?;
            self.answer(listener, stop).await;
            Ok(())
        });
        // Threads that still wait for a source are not waited for.
        runtime.shutdown_timeout(Duration::from_secs(1));
        done
    }

    async fn answer(&self, listener: tokio::net::TcpListener, stop: impl Fn() -> bool) {
        let (router, graceful) = (self.router(), GracefulShutdown::new());
        let connections = Arc::new(Semaphore::new(CONNECTIONS));
        let mut tick = tokio::time::interval(TICK);
        while !stop() {
            let accepted = tokio::select! {
                accepted = accept(&listener, &connections) => accepted,
                _ = tick.tick() => continue,
            };
            let Some((stream, place)) = accepted else { continue };
            // A short answer must not wait for more.
            let _ = stream.set_nodelay(true);
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD);
            let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                // What a client does wrong on the wire is its own affair.
                let _ = connection.await;
                drop(place);
            });
        }
        drop(listener);
        self.app.stop();
        let app = Arc::clone(&self.app);
        let streams = tokio::task::spawn_blocking(move || app.sessions.stop());
        let ended = async {
            graceful.shutdown().await;
            let _ = streams.await;
        };
        let _ = tokio::time::timeout(GRACE, ended).await;
    }
}

/// The next connection, where there is room for one.
async fn accept(
    listener: &tokio::net::TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(connections).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(_) => {
            // Mostly too many open files: that gets better when others have ended.
            tokio::time::sleep(TICK).await;
            None
        }
    }
}

/// Opens a port of this machine. Port 0 takes one that is free.
///
/// # Errors
/// A host that is none, a port that is taken or needs more rights.
pub fn listen(host: &str, port: u16) -> Result<(TcpListener, SocketAddr)> {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let listener = TcpListener::bind((name, port)).map_err(|error| {
        let advice = match error.kind() {
            std::io::ErrorKind::AddrInUse => "another program listens there; choose another port",
            std::io::ErrorKind::PermissionDenied => "ports below 1024 need more rights; choose a higher one",
            _ => "choose a host and port of this machine",
        };
        Error::argument("port", format!("{host}:{port} cannot be opened: {error}; {advice}"))
    })?;
    let address = listener.local_addr().map_err(Error::io("port".as_ref(), "opening"))?;
    Ok((listener, address))
}
