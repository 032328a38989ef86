//! A server for one model: a page, an API with the tasks of this library, embeddings as OpenAI's clients ask for them, and streams that are
//! watched while clients follow.
//!
//! ```text
//! clients ─► router ─► queue ─► the one thread that owns the model ◄─ queue ◄─ a thread for each stream
//!               └─────► events of streams, kept line by line ◄───────────────────────┘
//! ```
//!
//! Requests never wait on a thread that talks to clients: what blocks runs elsewhere, and what the model has to do waits in a queue of
//! bounded length, from which it takes what is alike together.

mod app;
mod body;
mod event;
mod fault;
mod form;
mod guard;
mod listen;
mod look;
mod media;
mod metrics;
mod openai;
mod page;
mod question;
mod queue;
mod router;
mod seen;
mod session;
mod sessions;
mod source;
mod store;
mod streams;
mod verbs;
mod watch;
mod worker;

pub use app::ServeOptions;
pub use guard::Key;
pub use listen::{Server, listen};
pub use source::AllowedAddresses;
