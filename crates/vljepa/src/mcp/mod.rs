//! Tools for agents: the Model Context Protocol over standard input and output, or over HTTP on this machine.
//!
//! ```text
//! client ─► connect ─► server ─► table (names, schemas) ─► worker: one thread ─► session: models, kept rows, streams
//!                                                                                  describe · ask · search_moments · watch · surprise · compare
//! ```
//!
//! Files are read in folders that the user allows. A call that is not well formed is an error of the protocol; one that fails is a result that
//! says so in a line, for the agent to read.

mod ask;
mod calls;
mod clips;
mod compare;
mod connect;
mod describe;
mod error;
mod kept;
mod listing;
mod search;
mod server;
mod session;
mod surprise;
mod table;
mod task;
mod told;
mod watch;
mod worker;

pub use calls::{Ask, Compare, Describe, SearchMoments, Surprise, Watch};
pub use connect::{HttpServer, PATH, serve_stdio};
pub use error::{McpError, Result};
pub use server::Server;
pub use session::{Session, Settings};
pub use table::{Call, Outcome, tools};
pub use task::{Report, Task};
pub use told::{
    AlertEvent, AlertScore, Answer, Answered, AnswersAt, Beside, Compared, Described, Foretold, FoundMoment,
    FoundMoments, Segment, Sentence, Surprises, ToldSegment, Watched,
};
