//! A hub: receive from every spoke, keep, answer.
