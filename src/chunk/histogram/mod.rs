//! Histograms as chunks: differences of differences of counts, or changes of their bits.

mod append;

pub use append::HistogramAppender;
