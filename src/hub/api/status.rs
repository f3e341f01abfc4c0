//! `/status/…`: what this server is and what it holds.

use std::fmt::Write as _;

use crate::hub::metrics::API_VERSION;
use crate::hub::service::Store;

use super::answer::{ApiError, Notes, success};
use super::form::Form;
use super::json;
use super::params;

const LIMIT_DEFAULT: usize = 10;
const LIMIT_MAX: i64 = 10_000;

/// What the head of the storage holds.
#[derive(Debug, Clone, Default)]
pub(in crate::hub) struct TsdbStatus {
    pub(in crate::hub) series_count: u64,
    pub(in crate::hub) chunk_count: u64,
    pub(in crate::hub) min_time_ms: i64,
    pub(in crate::hub) max_time_ms: i64,
}

/// Clients such as Grafana choose what to send by the version in it.
pub(in crate::hub) fn build_info() -> String {
    format!(
        "{{\"version\":\"{API_VERSION}\",\"revision\":\"\",\"branch\":\"\",\"buildUser\":\"\",\
         \"buildDate\":\"\",\"goVersion\":\"\"}}"
    )
}

pub(super) fn build() -> String {
    success(&Notes::default(), |out| out.push_str(&build_info()))
}
