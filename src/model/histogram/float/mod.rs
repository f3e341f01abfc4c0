//! What can be computed with histograms: sums, differences, quantiles, shares.
//!
//! Useful for: PromQL. Counts are floats here, whatever they were stored as.
//! Not useful for: storing histograms; see [`super::Histogram`].
//!
//! | type | is |
//! |---|---|
//! | [`FloatRef`] | a histogram as it lies somewhere, of whole or float counts |
//! | [`FloatHistogram`] | one to compute with, which keeps its memory |
//! | [`FloatRows`] | the histograms of one series by step, their counts in one array |
//! | [`Total`], [`Mean`] | compensated sums and means |
//! | [`Sliding`] | both of whole counts, over windows that move forward |
//! | [`Overlays`] | how one layout lies over another, found once for many histograms |
//!
//! Layouts are shared. Two histograms of one layout add up count by count; for others an overlay
//! says where the counts of each go. Results keep buckets that became empty until somebody asks
//! for the layout itself: they are *loose*. So all steps of a series can share one layout.

mod add;
mod bounds;
mod bucket;
mod indexes;
mod overlay;
mod quantile;
mod reset;
mod rows;
mod sliding;
mod spread;
mod text;
mod total;
mod trim;
mod value;
mod zero;

pub(crate) use add::{Incompatible, Merged};
#[cfg(feature = "hub")]
pub(crate) use bucket::Bucket;
pub(crate) use overlay::Overlays;
pub(crate) use quantile::NanInfluence;
pub(crate) use rows::FloatRows;
pub(crate) use sliding::Sliding;
pub(crate) use total::{Mean, Total};
pub(crate) use value::{Answers, Buckets, FloatHistogram, FloatRef};
