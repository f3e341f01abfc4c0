//! How do Thanos's queriers read from us over gRPC, and we from Thanos's stores?
//!
//! A [`StoreServer`] offers any [`Queryable`](crate::series::Queryable) whose series carry their
//! external labels; [`serve`] puts it behind a listener. [`RemoteStore`] is one store of that kind
//! elsewhere, asked as a `Queryable`; [`RemoteStores`] are several, asked at once.
//!
//! Useful for: queriers that fan out over hubs, and hubs that read what a Thanos store, sidecar or
//! receiver holds. Not useful for: sending PromQL elsewhere; only series travel.

mod answer;
mod calls;
mod chunks;
mod client;
mod codec;
mod frames;
mod info;
mod matchers;
mod messages;
mod refusal;
mod remote;
mod server;
mod service;
mod shard;
#[cfg(test)]
mod tests;
mod tls;

pub use client::{
    ClientRuntime, PartialAnswers, RemoteOptions, RemoteStore, RemoteStoreError, RemoteStores,
};
pub use info::{Component, StoreInfo, TsdbInfo};
pub use server::{StoreServer, StoreServerOptions};
pub use service::{ServeError, serve};
pub use tls::{ClientTls, ServerTls, TlsError};
