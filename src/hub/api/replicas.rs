//! Whether a question is about the replicas or about what they have in common.

use std::sync::Arc;

use crate::base::quote::quoted;
use crate::hub::service::{Service, Store};
use crate::series::{Dedup, Deduplicated, Queryable};

use super::answer::ApiError;
use super::form::Form;
use super::params::invalid;

/// Which series of the store are replicas of one another.
#[derive(Debug, Clone)]
pub(in crate::hub) struct ReplicaOptions {
    /// The labels in which they differ. If there are none, nothing is a replica.
    pub(in crate::hub) labels: Arc<[Arc<str>]>,
    /// How they become one series.
    pub(in crate::hub) kind: Dedup,
}

/// What a request asks: the replicas as one series, unless `dedup` says no. The labels are those
/// of `replicaLabels[]` or, without any, those of the hub. A hub without replicas knows neither
/// parameter, as Prometheus does.
pub(super) fn source(
    service: &Service,
    store: &Store,
    form: &Form,
) -> Result<Arc<dyn Queryable>, ApiError> {
    let plain = || Arc::clone(&store.query);
    let Some(options) = service.replicas.get().filter(|options| !options.labels.is_empty()) else {
        return Ok(plain());
    };
    let wanted = match form.get("dedup") {
        "" | "1" | "t" | "T" | "TRUE" | "true" | "True" => true,
        "0" | "f" | "F" | "FALSE" | "false" | "False" => false,
        other => {
            let other = quoted(other);
            return Err(invalid("dedup", format_args!("{other} is neither true nor false")));
        }
    };
    if !wanted {
        return Ok(plain());
    }
    let asked: Vec<Arc<str>> = form.all("replicaLabels[]").map(Arc::from).collect();
    let labels = if asked.is_empty() { Arc::clone(&options.labels) } else { asked.into() };
    Ok(Arc::new(Deduplicated::new(plain(), labels, options.kind)))
}
