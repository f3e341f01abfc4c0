//! What was acknowledged, so that it can be told again after a crash?
