//! What a metric says of itself.

/// The kind of a metric, as its `# TYPE` line or its metadata gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MetricKind {
    /// Not said.
    #[default]
    Unknown,
    /// Only grows, apart from resets.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets of observations.
    Histogram,
    /// Buckets of what is there now.
    GaugeHistogram,
    /// Quantiles, computed by the exposer.
    Summary,
    /// Constant 1, labels carry the information.
    Info,
    /// One series a state, 1 for those that hold.
    StateSet,
}

impl MetricKind {
    /// The kind as the API and OpenMetrics call it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }
}

/// What is told about a metric beside its samples.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Metadata {
    /// What sort of metric it is.
    pub kind: MetricKind,
    /// What its value is measured in.
    pub unit: String,
    /// What it means.
    pub help: String,
}
