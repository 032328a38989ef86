//! The ways in: standard input and output, and HTTP on this machine.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use rmcp::ServiceExt;
use rmcp::service::ServerInitializeError;
use rmcp::transport::stdio;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::runtime::Runtime;

use super::error::{McpError, Result};
use super::server::Server;

/// The path of the one place that HTTP clients speak to.
pub const PATH: &str = "/mcp";
/// Pages that may speak to the server: those that this machine serves itself.
const ORIGINS: [&str; 3] = ["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"];
/// How long a client may be silent. Calls that run count as silence where they do not tell how far they are.
const SILENCE: Duration = Duration::from_secs(3600);
/// How often the wish to stop is looked for.
const LOOK: Duration = Duration::from_millis(100);
/// How long connections may take to end.
const LAST: Duration = Duration::from_secs(3);
/// Threads that pass messages on.
const THREADS: usize = 2;

fn runtime() -> Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    runtime.map_err(|error| McpError::Connection(error.to_string()))
}

/// Serves one client on standard input and output, to the end of the input. Nothing else may write to standard output.
///
/// # Errors
/// A client that does not begin as the protocol says.
pub fn serve_stdio(server: &Server) -> Result<()> {
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        match server.clone().serve(stdio()).await {
            Ok(running) => running.waiting().await.map(drop).map_err(|error| McpError::Connection(error.to_string())),
            // A client that has gone before it began.
            Err(ServerInitializeError::ConnectionClosed(_)) => Ok(()),
            Err(error) => Err(McpError::Connection(one_line(&error.to_string()))),
        }
    });
    server.finish();
    // A read of standard input cannot be ended.
    runtime.shutdown_background();
    served
}

/// A port of this machine that is listened on.
#[derive(Debug)]
pub struct HttpServer {
    listener: TcpListener,
    address: SocketAddr,
    server: Server,
}

impl HttpServer {
    /// Listens on `port` of 127.0.0.1; 0 takes one that is free.
    ///
    /// # Errors
    /// A port that is taken or may not be listened on.
    pub fn bind(server: Server, port: u16) -> Result<Self> {
        let fault = |source| McpError::Port { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(fault)?;
        listener.set_nonblocking(true).map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        Ok(Self { listener, address, server })
    }

    /// The address for clients.
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }

    /// Serves clients until `stop` says so. Requests must name this machine as their host, and those of web pages must come from one that it serves.
    ///
    /// # Errors
    /// A listener that fails.
    pub fn run(self, stop: impl Fn() -> bool + Send + 'static) -> Result<()> {
        let Self { listener, server, .. } = self;
        let runtime = runtime()?;
        let config = StreamableHttpServerConfig::default().with_allowed_origins(ORIGINS);
        let ended = config.cancellation_token.clone();
        let mut sessions = LocalSessionManager::default();
        sessions.session_config.keep_alive = Some(SILENCE);
        let shared = server.clone();
        let service = StreamableHttpService::new(move || Ok(shared.clone()), Arc::new(sessions), config);
        let router = axum::Router::new().nest_service(PATH, service);
        let stopped = ended.clone();
        let until = async move {
            while !stop() {
                tokio::time::sleep(LOOK).await;
            }
            stopped.cancel();
        };
        let served = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let serving = axum::serve(listener, router).with_graceful_shutdown(until);
            tokio::select! {
                served = serving.into_future() => served,
                // A client that does not hang up does not keep the program from ending.
                () = async { ended.cancelled().await; tokio::time::sleep(LAST).await } => Ok(()),
            }
        });
        server.finish();
        runtime.shutdown_timeout(LAST);
        served.map_err(|error| McpError::Connection(error.to_string()))
    }
}

fn one_line(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(300).collect()
}
