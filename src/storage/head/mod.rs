//! What came in lately and may still grow?
