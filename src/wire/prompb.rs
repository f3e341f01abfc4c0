//! Prometheus's protobuf messages.
