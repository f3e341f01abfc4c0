//! How does a request reach the code that answers it?
//!
//! Useful for: the table of paths, connections and their limits, bodies, plain answers.
//! Not useful for: what the answers say; see [`super::api`] and [`super::receive`].

mod body;
mod dispatch;
mod listen;
mod respond;
mod routes;

pub(super) use body::{BodyError, read_body};
pub(super) use dispatch::serve;
pub(super) use respond::{error_text, json, status_only};
pub(super) use routes::{Endpoint, ROUTES};
