//! The messages of Thanos's StoreAPI and Info, but for the frames of a `Series` answer, which are
//! read and written without intermediate objects; see [`super::frames`] and [`super::answer`].
//!
//! Fields that no side uses are left out: protobuf passes over them.

/// A name and its value.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Label {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct LabelSet {
    #[prost(message, repeated, tag = "1")]
    pub(super) labels: Vec<Label>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct LabelMatcher {
    /// 0 `=`, 1 `!=`, 2 `=~`, 3 `!~`.
    #[prost(int32, tag = "1")]
    pub(super) kind: i32,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(string, tag = "3")]
    pub(super) value: String,
}

/// What a part of a failure does to the whole answer: it becomes a warning.
pub(super) const STRATEGY_WARN: i32 = 0;
/// What a part of a failure does to the whole answer: it fails.
pub(super) const STRATEGY_ABORT: i32 = 1;

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct SeriesRequest {
    /// Both ends are in the span.
    #[prost(int64, tag = "1")]
    pub(super) min_time_ms: i64,
    #[prost(int64, tag = "2")]
    pub(super) max_time_ms: i64,
    #[prost(message, repeated, tag = "3")]
    pub(super) matchers: Vec<LabelMatcher>,
    #[prost(int64, tag = "4")]
    pub(super) max_resolution_ms: i64,
    /// Numbers of `AGGREGATE_…`.
    #[prost(int32, repeated, tag = "5")]
    pub(super) aggregates: Vec<i32>,
    /// The older form of [`STRATEGY_ABORT`].
    #[prost(bool, tag = "6")]
    pub(super) partial_response_disabled: bool,
    #[prost(int32, tag = "7")]
    pub(super) partial_response_strategy: i32,
    #[prost(bool, tag = "8")]
    pub(super) skip_chunks: bool,
    #[prost(message, optional, tag = "13")]
    pub(super) shard_info: Option<ShardInfo>,
    #[prost(string, repeated, tag = "14")]
    pub(super) without_replica_labels: Vec<String>,
    #[prost(int64, tag = "15")]
    pub(super) limit: i64,
    #[prost(int64, tag = "16")]
    pub(super) response_batch_size: i64,
}

impl SeriesRequest {
    pub(super) const fn is_abort(&self) -> bool {
        self.partial_response_disabled || self.partial_response_strategy == STRATEGY_ABORT
    }
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct ShardInfo {
    #[prost(int64, tag = "1")]
    pub(super) shard_index: i64,
    #[prost(int64, tag = "2")]
    pub(super) total_shards: i64,
    #[prost(bool, tag = "3")]
    pub(super) by: bool,
    #[prost(string, repeated, tag = "4")]
    pub(super) labels: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct LabelNamesRequest {
    #[prost(bool, tag = "1")]
    pub(super) partial_response_disabled: bool,
    #[prost(int32, tag = "2")]
    pub(super) partial_response_strategy: i32,
    #[prost(int64, tag = "3")]
    pub(super) start_ms: i64,
    #[prost(int64, tag = "4")]
    pub(super) end_ms: i64,
    #[prost(message, repeated, tag = "6")]
    pub(super) matchers: Vec<LabelMatcher>,
    #[prost(string, repeated, tag = "7")]
    pub(super) without_replica_labels: Vec<String>,
    #[prost(int64, tag = "8")]
    pub(super) limit: i64,
}

impl LabelNamesRequest {
    /// The same question about the values of `label`.
    pub(super) fn for_values_of(self, label: String) -> LabelValuesRequest {
        LabelValuesRequest {
            label,
            partial_response_disabled: self.partial_response_disabled,
            partial_response_strategy: self.partial_response_strategy,
            start_ms: self.start_ms,
            end_ms: self.end_ms,
            matchers: self.matchers,
            without_replica_labels: self.without_replica_labels,
            limit: self.limit,
        }
    }
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct LabelNamesResponse {
    #[prost(string, repeated, tag = "1")]
    pub(super) names: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) warnings: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct LabelValuesRequest {
    #[prost(string, tag = "1")]
    pub(super) label: String,
    #[prost(bool, tag = "2")]
    pub(super) partial_response_disabled: bool,
    #[prost(int32, tag = "3")]
    pub(super) partial_response_strategy: i32,
    #[prost(int64, tag = "4")]
    pub(super) start_ms: i64,
    #[prost(int64, tag = "5")]
    pub(super) end_ms: i64,
    #[prost(message, repeated, tag = "7")]
    pub(super) matchers: Vec<LabelMatcher>,
    #[prost(string, repeated, tag = "8")]
    pub(super) without_replica_labels: Vec<String>,
    #[prost(int64, tag = "9")]
    pub(super) limit: i64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct LabelValuesResponse {
    #[prost(string, repeated, tag = "1")]
    pub(super) values: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) warnings: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct InfoResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) label_sets: Vec<LabelSet>,
    #[prost(string, tag = "2")]
    pub(super) component: String,
    /// Absent of what offers no StoreAPI.
    #[prost(message, optional, tag = "3")]
    pub(super) store: Option<StoreMessage>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct StoreMessage {
    #[prost(int64, tag = "1")]
    pub(super) min_time_ms: i64,
    #[prost(int64, tag = "2")]
    pub(super) max_time_ms: i64,
    #[prost(bool, tag = "3")]
    pub(super) supports_sharding: bool,
    #[prost(bool, tag = "5")]
    pub(super) supports_without_replica_labels: bool,
    #[prost(message, repeated, tag = "6")]
    pub(super) tsdbs: Vec<TsdbMessage>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct TsdbMessage {
    #[prost(message, optional, tag = "1")]
    pub(super) labels: Option<LabelSet>,
    #[prost(int64, tag = "2")]
    pub(super) min_time_ms: i64,
    #[prost(int64, tag = "3")]
    pub(super) max_time_ms: i64,
}
