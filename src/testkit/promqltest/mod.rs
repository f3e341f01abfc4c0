//! Does the engine answer Prometheus's own test scripts?
