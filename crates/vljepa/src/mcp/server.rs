//! The protocol's side of the tools: lists them, runs calls on the worker, tells how far they are, and ends those that are not wanted any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, ListToolsResult,
    PaginatedRequestParams, ProgressNotificationParam, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio::sync::mpsc;

use super::error::{McpError, Result, these};
use super::session::Settings;
use super::table::{Call, Outcome, tools};
use super::worker::Worker;

/// Reports that wait to be told; more are left out.
const REPORTS: usize = 16;

/// Serves the tools to one client or to many; clones share the models, and what was seen.
#[derive(Clone, Debug)]
pub struct Server {
    worker: Worker,
    tools: Arc<Vec<Tool>>,
    instructions: Arc<str>,
    say: fn(&McpError) -> String,
}

/// Tells the worker that an answer is not wanted, when the one who waits for it is gone.
#[derive(Default)]
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Server {
    /// Begins a session. Models are opened at the first call that needs them.
    ///
    /// # Errors
    /// A folder to be allowed that is none.
    pub fn new(settings: Settings) -> Result<Self> {
        let say = settings.say;
        let has_foresight = settings.surprise_model.is_some();
        let allowed: Vec<_> =
            settings.allow.iter().map(|dir| dir.canonicalize().unwrap_or_else(|_| dir.clone())).collect();
        let surprise = if has_foresight { "" } else { " `surprise` has no model here." };
        let instructions = format!(
            "Sees pictures and videos on this machine with a VL-JEPA, a small vision-language model. Files that may be read: {}. Times are in \
             seconds, scores are cosines or probabilities; calls run one after the other.{surprise}",
            these(&allowed)
        );
        let worker = Worker::new(settings)?;
        Ok(Self { worker, tools: Arc::new(tools()), instructions: instructions.into(), say })
    }

    /// Ends the calls that run and wait, and the session.
    pub fn finish(&self) {
        self.worker.finish();
    }

    /// A failure of a tool, for the agent to read.
    fn failed(&self, error: &McpError) -> CallToolResponse {
        let line = (self.say)(error).split_whitespace().collect::<Vec<_>>().join(" ");
        CallToolResult::error(vec![ContentBlock::text(line)]).into()
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("vljepa", env!("CARGO_PKG_VERSION")).with_title("VL-JEPA"))
            .with_instructions(self.instructions.as_ref())
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.tools.as_ref().clone()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.tools.iter().find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let call = Call::parse(&request.name, request.arguments.unwrap_or_default());
        let call = call.map_err(|why| ErrorData::invalid_params(why, None))?;
        let waiting = Waiting::default();
        let (reports, mut reported) = mpsc::channel(REPORTS);
        let token = context.meta.get_progress_token();
        let report = move |report| drop(reports.try_send(report));
        let mut outcome = match self.worker.call(call, Arc::clone(&waiting.0), report) {
            Ok(outcome) => outcome,
            Err(error) => return Ok(self.failed(&error)),
        };
        let outcome = loop {
            tokio::select! {
                biased;
                () = context.ct.cancelled() => return Ok(self.failed(&McpError::Cancelled)),
                Some(report) = reported.recv() => if let Some(token) = &token {
                    let progress = ProgressNotificationParam::new(token.clone(), report.done).with_total(1.0);
                    // A client that is gone is told by the token of the context.
                    let _ = context.peer.notify_progress(progress.with_message(report.what)).await;
                },
                outcome = &mut outcome => break outcome.unwrap_or(Err(McpError::Ending)),
            }
        };
        drop(waiting);
        Ok(match outcome {
            Ok(Outcome { text, values }) => {
                let mut result = CallToolResult::structured(values);
                result.content = vec![ContentBlock::text(text)];
                result.into()
            }
            Err(error) => self.failed(&error),
        })
    }
}
