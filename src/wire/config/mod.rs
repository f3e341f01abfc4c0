//! What do `prometheus.yml` and the Helm values say?
