//! What are the values of an expression at each step?
