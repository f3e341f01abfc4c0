//! One store elsewhere.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tonic::transport::Endpoint;

use crate::series::{QueryError, Queryable, Select, SeriesSet, merge_sets};

use super::answer::Answer;
use super::calls::{Calls, Failure};
use super::info::StoreInfo;
use super::remote::RemoteSeries;
use super::tls::ClientTls;

/// What a store that does not answer, or not wholly, does to a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PartialAnswers {
    /// The query goes on without it and tells so in a warning.
    #[default]
    Warn,
    /// The query fails.
    Refuse,
}

/// How a store is asked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RemoteOptions {
    /// What becomes of answers that are not whole.
    pub partial: PartialAnswers,
    /// An answer must be whole after this time.
    pub timeout: Duration,
    /// What the store says of itself must arrive within this time, and is asked for again when it
    /// is so old.
    pub info_timeout: Duration,
    /// An answer may take so much memory.
    pub answer_max_bytes: usize,
    /// How addresses without a scheme, and those with `https`, are spoken to. Without it, the
    /// former are spoken to in clear, and for the latter the system's authorities are trusted.
    pub tls: Option<ClientTls>,
    /// Let servers compress their answers with gzip if they like to.
    pub compression: bool,
}

impl Default for RemoteOptions {
    fn default() -> Self {
        Self {
            partial: PartialAnswers::Warn,
            timeout: Duration::from_secs(120),
            info_timeout: Duration::from_secs(5),
            answer_max_bytes: 512 << 20,
            tls: None,
            compression: false,
        }
    }
}

/// Why a store cannot be asked at all.
#[derive(Debug)]
#[non_exhaustive]
pub enum RemoteStoreError {
    /// The address is none that can be asked.
    Address {
        /// As it was given.
        address: String,
        /// What is wrong with it.
        what: String,
    },
    /// The system gives no thread.
    Threads(io::Error),
}

impl fmt::Display for RemoteStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { address, what } => write!(f, "store address {address:?}: {what}"),
            Self::Threads(error) => write!(f, "start threads for stores: {error}"),
        }
    }
}

impl std::error::Error for RemoteStoreError {}

/// The threads on which the connections to stores live; one for all stores of a program. Cloning
/// gives another handle.
#[derive(Debug, Clone)]
pub struct ClientRuntime {
    handle: Handle,
    /// Ends with the last handle.
    _own: Option<Arc<OwnRuntime>>,
}

#[derive(Debug)]
struct OwnRuntime(Option<Runtime>);

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // A plain drop waits, which is forbidden on the threads of another runtime.
            runtime.shutdown_background();
        }
    }
}

impl ClientRuntime {
    /// Starts threads of its own.
    ///
    /// # Errors
    /// The system gives none.
    pub fn start() -> Result<Self, RemoteStoreError> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(2).thread_name("promlite-stores").enable_all();
        let runtime = builder.build().map_err(RemoteStoreError::Threads)?;
        let handle = runtime.handle().clone();
        Ok(Self { handle, _own: Some(Arc::new(OwnRuntime(Some(runtime)))) })
    }

    /// Uses a runtime that is there, which must have several threads, I/O and time. Stores must
    /// then not be asked from its async tasks, which would wait for themselves.
    #[must_use]
    pub const fn of(handle: Handle) -> Self {
        Self { handle, _own: None }
    }

    fn spawn<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Pending<T> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.handle.spawn(async move {
            // Who asked may have gone.
            let _ = sender.send(call.await);
        });
        Pending(receiver)
    }
}

/// An answer that is on its way.
struct Pending<T>(mpsc::Receiver<Result<T, Failure>>);

impl<T> Pending<T> {
    fn wait(self) -> Result<T, Failure> {
        let ended = || Err(Failure("its threads have ended".into()));
        self.0.recv().unwrap_or_else(|_| ended())
    }
}

/// A store that speaks Thanos's StoreAPI: a sidecar, store gateway, receiver, ruler, querier, or
/// another promlite. Cloning gives another handle.
///
/// Calls block. What the store cannot have, by what it says of itself, it is not asked for.
#[derive(Debug, Clone)]
pub struct RemoteStore {
    calls: Arc<Calls>,
    runtime: ClientRuntime,
}

impl RemoteStore {
    /// A store at `host:port`, `http://host:port` or `https://host:port`. Nothing is asked yet, so
    /// it need not be there.
    ///
    /// # Errors
    /// An address that cannot be asked.
    pub fn new(
        address: &str,
        runtime: &ClientRuntime,
        options: RemoteOptions,
    ) -> Result<Self, RemoteStoreError> {
        let wrong = |what: String| RemoteStoreError::Address { address: address.into(), what };
        let (uri, is_encrypted) = match address.split_once("://") {
            None if options.tls.is_some() => (format!("https://{address}"), true),
            None => (format!("http://{address}"), false),
            Some(("http", _)) => (address.to_owned(), false),
            Some(("https", _)) => (address.to_owned(), true),
            Some((scheme, _)) => return Err(wrong(format!("{scheme} is not supported"))),
        };
        let mut endpoint = Endpoint::from_shared(uri).map_err(|error| wrong(error.to_string()))?;
        if is_encrypted {
            let tls = options.tls.clone().map_or_else(|| ClientTls::new(None), Ok);
            let tls = tls.map_err(|error| wrong(error.to_string()))?;
            endpoint =
                endpoint.tls_config(tls.config()).map_err(|error| wrong(error.to_string()))?;
        }
        let _inside = runtime.handle.enter();
        let calls = Arc::new(Calls::new(address, endpoint, options));
        Ok(Self { calls, runtime: runtime.clone() })
    }

    /// The address as it was given.
    #[must_use]
    pub fn address(&self) -> &str {
        self.calls.address()
    }

    /// What the store says of itself; asked for if the last word is too old.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if it does not answer or offers no StoreAPI.
    pub fn info(&self) -> Result<Arc<StoreInfo>, QueryError> {
        let calls = self.calls.clone();
        let info = self.runtime.spawn(async move { calls.info().await }).wait();
        info.map_err(|failure| self.unavailable(&failure))
    }

    fn unavailable(&self, failure: &Failure) -> QueryError {
        QueryError::Unavailable(self.failed(failure))
    }

    fn failed(&self, failure: &Failure) -> String {
        format!("store {}: {failure}", self.address())
    }

    fn begin_select(&self, ask: &Select) -> Pending<Answer> {
        let (calls, ask) = (self.calls.clone(), ask.clone());
        self.runtime.spawn(async move { calls.series(&ask).await })
    }

    fn end_select(&self, ask: &Select, answer: Pending<Answer>) -> Result<SeriesSet, QueryError> {
        let answer = match (answer.wait(), self.calls.options().partial) {
            (Ok(answer), _) => answer,
            (Err(failure), PartialAnswers::Refuse) => return Err(self.unavailable(&failure)),
            (Err(failure), PartialAnswers::Warn) => {
                let warnings = vec![self.failed(&failure)];
                return Ok(SeriesSet { warnings, ..SeriesSet::default() });
            }
        };
        let address: Arc<str> = self.address().into();
        let series = answer.series.into_iter();
        let series = series.map(|found| RemoteSeries::boxed(found, ask, &address));
        let tell = |warning| format!("store {}: {warning}", self.address());
        let warnings = answer.warnings.into_iter().map(tell).collect();
        Ok(SeriesSet { series: series.collect(), warnings })
    }

    fn begin_texts(&self, label: Option<&str>, ask: &Select) -> Pending<Vec<Arc<str>>> {
        let (calls, ask, label) = (self.calls.clone(), ask.clone(), label.map(str::to_owned));
        self.runtime.spawn(async move { calls.texts(label, &ask).await })
    }

    fn end_texts(&self, texts: Pending<Vec<Arc<str>>>) -> Result<Vec<Arc<str>>, QueryError> {
        match (texts.wait(), self.calls.options().partial) {
            (Ok(texts), _) => Ok(texts),
            (Err(failure), PartialAnswers::Refuse) => Err(self.unavailable(&failure)),
            (Err(failure), PartialAnswers::Warn) => {
                // Lists of texts have no room for warnings.
                tracing::warn!(store = self.address(), %failure, "list of labels is not whole");
                Ok(Vec::new())
            }
        }
    }
}

impl Queryable for RemoteStore {
    fn select(&self, ask: &Select) -> Result<SeriesSet, QueryError> {
        self.end_select(ask, self.begin_select(ask))
    }

    fn label_names(&self, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        self.end_texts(self.begin_texts(None, ask))
    }

    fn label_values(&self, name: &str, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        self.end_texts(self.begin_texts(Some(name), ask))
    }
}

/// Several stores, all asked at the same time. A series that several have is one series; where
/// they have a sample for the same time, the store that comes first wins.
#[derive(Debug, Clone)]
pub struct RemoteStores(Vec<RemoteStore>);

impl RemoteStores {
    /// The earlier of `stores` win.
    #[must_use]
    pub const fn new(stores: Vec<RemoteStore>) -> Self {
        Self(stores)
    }

    fn texts(&self, label: Option<&str>, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        let begin = |store: &RemoteStore| store.begin_texts(label, ask);
        let pending: Vec<_> = self.0.iter().map(begin).collect();
        let mut all = Vec::new();
        for (store, texts) in self.0.iter().zip(pending) {
            all.append(&mut store.end_texts(texts)?);
        }
        all.sort();
        all.dedup();
        if ask.hints.limit > 0 {
            all.truncate(ask.hints.limit);
        }
        Ok(all)
    }
}

impl Queryable for RemoteStores {
    fn select(&self, ask: &Select) -> Result<SeriesSet, QueryError> {
        let pending: Vec<_> = self.0.iter().map(|store| store.begin_select(ask)).collect();
        let asked = self.0.iter().zip(pending);
        let sets: Result<Vec<_>, _> =
            asked.map(|(store, pending)| store.end_select(ask, pending)).collect();
        let mut merged = merge_sets(sets?);
        if ask.hints.limit > 0 {
            merged.series.truncate(ask.hints.limit);
        }
        Ok(merged)
    }

    fn label_names(&self, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        self.texts(None, ask)
    }

    fn label_values(&self, name: &str, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        self.texts(Some(name), ask)
    }
}
