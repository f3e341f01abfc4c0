//! Queries and what upstream says of them.
use super::*;
