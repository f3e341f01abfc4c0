//! Records of every kind, out and in again.
