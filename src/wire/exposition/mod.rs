//! What does a page of metrics say, and how is one written?
