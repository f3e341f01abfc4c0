//! What a receiver takes.

/// What a receiver takes. `Default` is what Prometheus's own takes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiveOptions {
    /// Longest request, compressed and decompressed each; default 32 MiB.
    pub request_bytes_max: usize,
    /// How far ahead of the clock a sample may be; default ten minutes.
    pub future_ms: i64,
    /// Most labels a series may have, its name included; default 0, for any number.
    pub labels_max: usize,
    /// Longest name of a label; default 0, for any length.
    pub label_name_bytes_max: usize,
    /// Longest value of a label; default 0, for any length.
    pub label_value_bytes_max: usize,
    /// Memory for requests that are being read; others wait. Default 256 MiB.
    pub waiting_bytes_max: usize,
    /// Requests that are decoded and stored at once; default twice the number of processors.
    pub parallel_max: usize,
}

impl Default for ReceiveOptions {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            request_bytes_max: 32 << 20,
            future_ms: 10 * 60 * 1000,
            labels_max: 0,
            label_name_bytes_max: 0,
            label_value_bytes_max: 0,
            waiting_bytes_max: 256 << 20,
            parallel_max: 2 * processors,
        }
    }
}
