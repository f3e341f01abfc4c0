//! Which series does a block hold, and where are their chunks?
