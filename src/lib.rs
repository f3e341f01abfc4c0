//! Prometheus with Thanos as one library: scrape, keep, remote-write, receive, query.
//!
//! ```
//! use promlite::{Append, Batch, Labels, OnReject, SeriesRef, Tsdb, TsdbOptions};
//! # #[cfg(feature = "promql")]
//! use promlite::{Engine, Value};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let db = Tsdb::open_at(dir, TsdbOptions::default())?;
//!
//! let labels = Labels::from_pairs([("__name__", "temperature_celsius"), ("room", "lab")])?;
//! let mut batch = Batch::new();
//! batch.push_series(SeriesRef::UNKNOWN, labels.as_ref());
//! batch.push_sample(1_767_571_200_000, 21.5);
//! db.append(&mut batch, OnReject::KeepRest)?;
//!
//! # #[cfg(feature = "promql")] {
//! let query = "temperature_celsius * 9 / 5 + 32";
//! let answer = Engine::default().instant(&db, query, 1_767_571_200_000, &Default::default())?;
//! let Value::Vector(elements) = answer.value else { unreachable!() };
//! assert_eq!(elements[0].sample.value, 70.7);
//! # }
//! # db.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it is not
//! A server with every flag of Prometheus: the programs are short examples over this library. A
//! cluster: one hub is one machine. What a user outgrows is taken over by real Prometheus and
//! Thanos, whose formats and protocols are the only ones here.
//!
//! # Features
//!
//! | feature            | brings                                                      |
//! |--------------------|-------------------------------------------------------------|
//! | (none)             | [`storage`], [`series`], [`chunk`], [`wire`]                |
//! | `promql` (default) | parser and evaluator                                        |
//! | `agent`            | scraping, discovery, sending (tokio, reqwest with rustls)   |
//! | `hub`              | receiving, HTTP API, page (tokio, axum)                     |
//! | `longterm`         | a bucket for a year: shipping, asking, compacting           |
//! | `aws` `gcp` `azure` | buckets of these clouds; without them a folder             |
//! | `thanos`           | gRPC `StoreAPI`, both sides (tonic)                         |
//! | `testkit`          | a model store, the runner of PromQL test scripts            |
//! | `full`             | all of the above                                            |
//!
//! The name `kubernetes` is reserved; it brings nothing yet.
//!
//! # Map
//! A sample's way: a target's page, [`wire::exposition`], [`model::relabel`], `agent::log`,
//! [`storage::wal`], `agent::forward`, HTTP, `hub`, [`wire::remote_write`], [`series::Append`],
//! [`storage::head`], a block of [`storage::db`]. A question's way: text, `promql`,
//! [`series::Queryable`], head and blocks, columns, JSON.
//!
//! Two rules to know: `promql` and [`storage`] never use each other, they meet at [`series`]; and
//! only [`disk`] touches files, only [`base::clock`] reads time.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "agent")]
pub mod agent;
pub mod base;
pub mod chunk;
pub mod disk;
mod error;
#[cfg(feature = "hub")]
pub mod hub;
#[cfg(feature = "longterm")]
pub mod longterm;
pub mod model;
#[cfg(feature = "promql")]
pub mod promql;
pub mod series;
pub mod storage;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
#[cfg(test)]
mod tidy;
pub mod wire;

pub use error::Error;
pub use model::{Labels, LabelsBuf, LabelsRef, MatchOp, Matcher, Sample};
#[cfg(feature = "promql")]
pub use promql::{Answer, Engine, EngineError, EngineOptions, RunOptions, Value};
pub use series::{
    Append, Batch, Column, OnReject, Queryable, Select, SeriesRef, TimeRange, Verdict,
};
pub use storage::db::{Tsdb, TsdbError, TsdbOptions};

/// The programs of the README are compiled and run as tests.
#[cfg(all(doctest, feature = "promql"))]
#[doc = include_str!("../README.md")]
struct Readme;
