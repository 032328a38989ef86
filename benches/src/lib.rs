//! What the benches share: named shapes, the measured roofline of the adapter, and a harness that turns times into rates.
//!
//! A bench file is a list of cases; see `benches/matmul.rs`. Under `cargo test` every case runs once at a small size.

mod error;
pub mod harness;
pub mod models;
pub mod report;
pub mod roofline;
pub mod shapes;
pub mod timing;
pub mod work;

pub use error::{Error, Result};
pub use harness::{Case, Harness};
pub use work::Work;
