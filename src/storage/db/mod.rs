//! What is in a data directory, and what happens to it over time?
