//! How do samples come in from other machines?
//!
//! Remote write 1.0 as Prometheus's own receiver takes it: the same refusals, the same texts, and
//! a success only when every sample of the request is in the log of the storage.
//!
//! Useful for: requests from agents and Prometheus servers. Not useful for: how the message is
//! laid out ([`crate::wire::remote_write`]).

mod budget;
mod headers;
mod metrics;
mod options;
mod receiver;
mod store;

pub use options::ReceiveOptions;
pub(super) use receiver::Receiver;
