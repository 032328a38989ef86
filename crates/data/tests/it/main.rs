//! The crate's integration tests: one binary, one module per subject.

mod emoji;
