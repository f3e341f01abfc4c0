//! What is in an immutable folder of two hours or more?
