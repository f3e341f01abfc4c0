//! Does an engine answer the scripts of Prometheus's PromQL tests as they expect?
//!
//! A script loads series, evaluates queries and says what they answer. Each evaluation is one case,
//! and each case is run in every form that upstream's runner gives it: as it is written, with all
//! selectors pinned by `@` and asked at other times, and as the middle step of a range query.
//!
//! Useful for: proving an engine, or a store under it, against data that upstream maintains.
//! Not useful for: comparing two engines on data of one's own.

mod classic;
mod compare;
mod forms;
mod load;
mod run;
mod script;
mod series;
mod starts;
#[cfg(test)]
mod tests;

pub use load::ScriptStore;
pub use run::{Failure, Report, Subject, run_script, run_script_on, script_options};
