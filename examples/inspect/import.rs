//! Filling a directory from a file.
