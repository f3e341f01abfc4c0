//! What a bucket counts, under Thanos's names.

use crate::base::metrics::{Counter, Registry};

/// A kind of request. Display and metrics use Thanos's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Names of objects.
    Iter,
    /// A whole object.
    Get,
    /// A part of an object.
    GetRange,
    /// Whether there is an object.
    Exists,
    /// A new object.
    Upload,
    /// An object less.
    Delete,
    /// Size and age of an object.
    Attributes,
}

const ALL: [Operation; 7] = [
    Operation::Iter,
    Operation::Get,
    Operation::GetRange,
    Operation::Exists,
    Operation::Upload,
    Operation::Delete,
    Operation::Attributes,
];

impl Operation {
    /// Thanos's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Iter => "iter",
            Self::Get => "get",
            Self::GetRange => "get_range",
            Self::Exists => "exists",
            Self::Upload => "upload",
            Self::Delete => "delete",
            Self::Attributes => "attributes",
        }
    }

    /// True if it changes the bucket.
    #[must_use]
    pub const fn writes(self) -> bool {
        matches!(self, Self::Upload | Self::Delete)
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What was asked of a bucket, repetitions included. A transfer in parts counts each part read,
/// and one for all parts written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BucketStats {
    /// Requests of all kinds.
    pub requests: u64,
    /// Requests that read contents: [`Operation::Get`] and [`Operation::GetRange`].
    pub reads: u64,
    /// Requests that list names.
    pub lists: u64,
    /// Requests that write or delete.
    pub writes: u64,
    /// Requests that failed; "not there" is no failure.
    pub failures: u64,
    /// Bytes of contents that arrived.
    pub read_bytes: u64,
    /// Bytes of contents that were sent.
    pub written_bytes: u64,
}

#[derive(Debug, Clone)]
struct PerOperation {
    operation: Operation,
    requests: Counter,
    failures: Counter,
    bytes: Counter,
}

#[derive(Debug, Clone)]
pub(super) struct Counters(Vec<PerOperation>);

impl Counters {
    pub(super) fn new(registry: &Registry) -> Self {
        let counter = |name, help, operation: Operation| {
            registry.counter_with(name, help, &[("operation", operation.name())])
        };
        let per_operation = |operation| PerOperation {
            operation,
            requests: counter(
                "thanos_objstore_bucket_operations_total",
                "Requests to the bucket, repetitions included.",
                operation,
            ),
            failures: counter(
                "thanos_objstore_bucket_operation_failures_total",
                "Requests to the bucket that failed.",
                operation,
            ),
            bytes: counter(
                "thanos_objstore_bucket_operation_transferred_bytes_total",
                "Bytes of contents read from the bucket or sent to it.",
                operation,
            ),
        };
        Self(ALL.iter().copied().map(per_operation).collect())
    }

    fn of(&self, operation: Operation) -> Option<&PerOperation> {
        self.0.iter().find(|row| row.operation == operation)
    }

    pub(super) fn began(&self, operation: Operation) {
        self.of(operation).into_iter().for_each(|row| row.requests.inc());
    }

    pub(super) fn failed(&self, operation: Operation) {
        self.of(operation).into_iter().for_each(|row| row.failures.inc());
    }

    pub(super) fn moved(&self, operation: Operation, bytes: u64) {
        self.of(operation).into_iter().for_each(|row| row.bytes.add(bytes));
    }

    pub(super) fn stats(&self) -> BucketStats {
        let mut stats = BucketStats::default();
        for row in &self.0 {
            let requests = row.requests.get();
            stats.requests += requests;
            stats.failures += row.failures.get();
            match row.operation {
                Operation::Get | Operation::GetRange => {
                    stats.reads += requests;
                    stats.read_bytes += row.bytes.get();
                }
                Operation::Upload | Operation::Delete => {
                    stats.writes += requests;
                    stats.written_bytes += row.bytes.get();
                }
                Operation::Iter => stats.lists += requests,
                Operation::Exists | Operation::Attributes => {}
            }
        }
        stats
    }
}
