//! Which program this is.

use crate::base::metrics::Registry;

/// What `buildinfo` answers: the release of Prometheus whose API this is, since clients switch
/// features on and off by it, and behind the plus sign our own.
pub(in crate::hub) const API_VERSION: &str = concat!("3.14.0+promlite.", env!("CARGO_PKG_VERSION"));

/// Registers `promlite_build_info` and `prometheus_build_info`.
pub(in crate::hub) fn register_build(registry: &Registry) {
    let help = "A metric with a constant '1' value labeled by version.";
    let own = env!("CARGO_PKG_VERSION");
    registry.gauge_with("promlite_build_info", help, &[("version", own)]).set(1.0);
    registry.gauge_with("prometheus_build_info", help, &[("version", API_VERSION)]).set(1.0);
}
