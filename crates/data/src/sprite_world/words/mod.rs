//! Captions, questions and answers from the true state of a clip.
//!
//! Every text is a function of a key and of [`Wordings`]: those that are trained on, or those that never are.

mod captions;
mod changes;
mod facts;
mod questions;
mod wordings;

pub use captions::{Length, caption};
pub use changes::{Change, HardNegative, hard_negative};
pub use facts::action_name;
pub use questions::{Kind, Question, questions};
pub use wordings::Wordings;
