//! Our programs against the real ones: Prometheus, its tool, and the node exporter.
//!
//! Every test is ignored unless it is asked for, since it needs servers that `.ci/run` installs:
//!
//! ```text
//! cargo build --all-features --examples
//! cargo test --all-features --test real -- --ignored --test-threads 1
//! ```
//!
//! `PROMLITE_PROMETHEUS`, `PROMLITE_PROMTOOL` and `PROMLITE_NODE_EXPORTER` name other binaries than
//! those on the path, to test against another version.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

mod agreement;
mod back_and_forth;
mod bad_input;
mod bucket;
mod crash;
mod differential;
mod http;
mod programs;
mod promtool;
mod quickstart;
mod remote_write;
mod side_by_side;
mod writing;
