//! What do the paths below `/api/v1` answer?
//!
//! Byte for byte what a Prometheus server answers, so that its clients need not know.
//!
//! Useful for: parameters, queries, names and values, the JSON of it all.
//! Not useful for: connections and paths ([`super::http`]), remote write ([`super::receive`]).

mod answer;
mod form;
mod gate;
mod histogram;
mod instant;
mod json;
mod lookup;
mod params;
mod query;
mod replicas;
mod request;
mod status;

pub(super) use form::unescape_path;
pub(super) use gate::Gate;
pub(super) use replicas::ReplicaOptions;
pub(super) use request::answer;
pub(super) use status::{HeadStatus, build_info};
