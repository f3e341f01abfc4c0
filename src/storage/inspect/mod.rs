//! What is in a data directory, and is it sound?
//!
//! Everything here reads only: no file is made, changed or removed, no lock is taken, so that the
//! directory may belong to a running server.
//!
//! Useful for: listing blocks, finding what makes them large, writing out samples, checking every
//! file. Not useful for: answering queries; see [`super::db`].

mod analyze;
mod dump;
mod error;
mod list;
mod text;
mod verify;

pub use analyze::{Analysis, Ranked, analyze};
pub use dump::dump;
pub use error::InspectError;
pub use list::{Listing, list};
pub use verify::{Finding, Progress, Verified, verify};

#[cfg(test)]
mod tests;
