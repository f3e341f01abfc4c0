//! How are samples packed for another server?
