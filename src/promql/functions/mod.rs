//! What does each PromQL function compute?
