//! Answers to requests, whoever carries them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tokio::sync::Semaphore;

use crate::base::metrics::Registry;
use crate::model::{Labels, Matcher};
use crate::series::{Chunk, Hints, Queryable, Select, Series, TimeRange};

use super::chunks::{ChunkWriter, WriteError, function_for};
use super::frames::{FrameWriter, Send};
use super::info::StoreInfo;
use super::matchers;
use super::messages::{
    LabelNamesRequest, LabelNamesResponse, LabelValuesRequest, LabelValuesResponse, SeriesRequest,
};
use super::refusal::Refusal;
use super::shard::Shard;
use super::tls::ServerTls;

/// Bounds of what askers may ask for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoreServerOptions {
    /// So many requests are answered at once; others wait.
    pub requests_max: usize,
    /// An answer may have so many series; 0 for any number.
    pub series_max: usize,
    /// Chunks of an answer may have so many bytes; 0 for any number.
    pub chunks_max_bytes: u64,
    /// A frame is sent once it is longer than this.
    pub frame_bytes: usize,
    /// An asker who takes nothing for so long is left.
    pub stall_timeout: Duration,
    /// Calls are encrypted with this; without it they are not.
    pub tls: Option<ServerTls>,
    /// Answers are compressed with gzip for those who accept it. It costs more time than a fast
    /// network saves.
    pub compression: bool,
}

impl Default for StoreServerOptions {
    fn default() -> Self {
        Self {
            requests_max: 20,
            series_max: 0,
            chunks_max_bytes: 0,
            frame_bytes: 1 << 20,
            stall_timeout: Duration::from_secs(120),
            tls: None,
            compression: false,
        }
    }
}

/// Offers a source to queriers. Cloning gives another handle.
#[derive(Clone)]
pub struct StoreServer(pub(super) Arc<Shared>);

pub(super) struct Shared {
    source: Arc<dyn Queryable>,
    about: Box<dyn Fn() -> StoreInfo + std::marker::Send + Sync>,
    pub(super) options: StoreServerOptions,
    pub(super) running: Arc<Semaphore>,
    pub(super) registry: Registry,
}

impl fmt::Debug for StoreServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreServer").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl StoreServer {
    /// A server of `source`, whose series carry their external labels already. `about` is asked
    /// for every request and tells what the source holds at that moment; the label sets it names
    /// must be those that the series carry.
    pub fn new(
        source: Arc<dyn Queryable>,
        about: impl Fn() -> StoreInfo + std::marker::Send + Sync + 'static,
        options: StoreServerOptions,
        registry: &Registry,
    ) -> Self {
        let running = Arc::new(Semaphore::new(options.requests_max.max(1)));
        let (about, registry) = (Box::new(about), registry.clone());
        Self(Arc::new(Shared { source, about, options, running, registry }))
    }
}

impl Shared {
    pub(super) fn info(&self, _: &Bytes) -> Result<Vec<u8>, Refusal> {
        Ok((self.about)().write().encode_to_vec())
    }

    /// None if the conditions exclude all that the source has.
    fn conditions(
        &self,
        conditions: &[super::messages::LabelMatcher],
    ) -> Result<Option<Conditions>, Refusal> {
        let matchers = matchers::read(conditions)?;
        let info = (self.about)();
        let sets = &info.label_sets;
        if !sets.is_empty() && sets.iter().all(|labels| matchers::exclude(&matchers, labels)) {
            return Ok(None);
        }
        let external = info.only_labels().cloned().unwrap_or_default();
        let ask_beyond_external = matchers::ask_beyond(&matchers, &external);
        Ok(Some(Conditions { matchers, external, ask_beyond_external }))
    }

    pub(super) fn label_names(&self, body: &Bytes) -> Result<Vec<u8>, Refusal> {
        let request = LabelNamesRequest::decode(body.clone()).map_err(not_a_message)?;
        let Some(conditions) = self.conditions(&request.matchers)? else {
            return Ok(Vec::new());
        };
        let removed = &request.without_replica_labels;
        let mut ask = Select::new(conditions.matchers, range(request.start_ms, request.end_ms));
        let limit = usize::try_from(request.limit).unwrap_or(0);
        // Some of those that the source finds do not count.
        ask.hints.limit = if limit > 0 { limit.saturating_add(removed.len()) } else { 0 };
        let mut names = self.source.label_names(&ask)?;
        names.retain(|name| !removed.iter().any(|removed| **removed == **name));
        cut(&mut names, limit);
        let names = names.iter().map(|name| name.to_string()).collect();
        Ok(LabelNamesResponse { names, warnings: Vec::new() }.encode_to_vec())
    }

    pub(super) fn label_values(&self, body: &Bytes) -> Result<Vec<u8>, Refusal> {
        let request = LabelValuesRequest::decode(body.clone()).map_err(not_a_message)?;
        if request.label.is_empty() {
            let what = "label name parameter cannot be empty";
            return Err(Refusal::Invalid(what.into()));
        }
        let conditions = self.conditions(&request.matchers)?;
        let Some(conditions) =
            conditions.filter(|_| !request.without_replica_labels.contains(&request.label))
        else {
            return Ok(Vec::new());
        };
        let values = match conditions.external.get(&request.label) {
            // It is known without a look, and also of a source that is still empty.
            Some(value) if !conditions.ask_beyond_external => vec![value.to_owned()],
            _ => {
                let range = range(request.start_ms, request.end_ms);
                let mut ask = Select::new(conditions.matchers, range);
                ask.hints.limit = usize::try_from(request.limit).unwrap_or(0);
                let mut values = self.source.label_values(&request.label, &ask)?;
                cut(&mut values, ask.hints.limit);
                values.iter().map(|value| value.to_string()).collect()
            }
        };
        Ok(LabelValuesResponse { values, warnings: Vec::new() }.encode_to_vec())
    }

    /// Sends the frames of the answer one by one.
    pub(super) fn series(&self, body: &Bytes, send: Send<'_>) -> Result<(), Refusal> {
        let request = SeriesRequest::decode(body.clone()).map_err(not_a_message)?;
        let Some(conditions) = self.conditions(&request.matchers)? else { return Ok(()) };
        if !conditions.ask_beyond_external {
            let what = "no matchers specified (excluding external labels)";
            return Err(Refusal::Invalid(what.into()));
        }
        let mut shard = Shard::of(request.shard_info.as_ref())?;
        let limit = usize::try_from(request.limit).unwrap_or(0);
        let removed = &request.without_replica_labels;
        let mut ask =
            Select::new(conditions.matchers, range(request.min_time_ms, request.max_time_ms));
        let func = function_for(&request.aggregates).map(Arc::from);
        ask.hints = Hints {
            max_resolution_ms: request.max_resolution_ms,
            // A source that asks others must ask for the same. Without a window the function would
            // be taken for that of a subquery, which wants averages.
            range_ms: i64::from(func.is_some()),
            func,
            // Series that fall together, or into another shard, do not count.
            limit: if shard.is_none() && removed.is_empty() { limit } else { 0 },
            ..Hints::default()
        };
        let found = self.source.select(&ask)?;
        let batch_size = usize::try_from(request.response_batch_size).unwrap_or(0);
        let mut answer = Answer {
            options: &self.options,
            request: &request,
            frames: FrameWriter::new(
                send,
                batch_size.min(BATCH_SIZE_MAX),
                self.options.frame_bytes,
            ),
            chunks: Vec::new(),
            series_count: 0,
            chunk_bytes: 0,
        };
        for warning in &found.warnings {
            answer.warn(warning)?;
        }
        let mut named: Vec<(Labels, Box<dyn Series>)> = Vec::with_capacity(found.series.len());
        for series in found.series {
            let labels = without(series.labels(), removed);
            if shard.as_mut().is_none_or(|shard| shard.holds(&labels)) {
                named.push((labels, series));
            }
        }
        if !removed.is_empty() {
            named.sort_by(|a, b| a.0.cmp(&b.0));
        }
        answer.write(named, limit, ask.range)
    }
}

/// More series in a frame save nothing.
const BATCH_SIZE_MAX: usize = 1000;

struct Conditions {
    matchers: Vec<Matcher>,
    /// The labels that all series carry.
    external: Labels,
    /// True if some condition is on another label.
    ask_beyond_external: bool,
}

/// A `Series` answer that is being written.
struct Answer<'a> {
    options: &'a StoreServerOptions,
    request: &'a SeriesRequest,
    frames: FrameWriter<'a>,
    chunks: Vec<Chunk>,
    series_count: usize,
    chunk_bytes: u64,
}

impl Answer<'_> {
    fn warn(&mut self, text: &str) -> Result<(), Refusal> {
        if self.request.is_abort() {
            return Err(Refusal::Partial(text.to_owned()));
        }
        self.frames.warn(text)
    }

    fn write(
        mut self,
        named: Vec<(Labels, Box<dyn Series>)>,
        limit: usize,
        range: TimeRange,
    ) -> Result<(), Refusal> {
        let mut writer = ChunkWriter::new(&self.request.aggregates);
        let mut last: Option<Labels> = None;
        for (labels, series) in named {
            let is_new = last.as_ref() != Some(&labels);
            if is_new && limit > 0 && self.series_count == limit {
                break;
            }
            if self.request.skip_chunks {
                if is_new {
                    self.count()?;
                    self.frames.begin(&labels);
                    self.frames.end_series()?;
                }
            } else if self.write_series(&labels, &*series, range, &mut writer)? && is_new {
                self.count()?;
            } else {
                // A series without samples in the span is not in the answer.
                continue;
            }
            last = Some(labels);
        }
        self.frames.flush()
    }

    fn count(&mut self) -> Result<(), Refusal> {
        self.series_count += 1;
        let max = self.options.series_max;
        if max > 0 && self.series_count > max {
            return Err(Refusal::TooMuch(format!("exceeded series limit: limit {max}")));
        }
        Ok(())
    }

    /// False if there is nothing to write.
    fn write_series(
        &mut self,
        labels: &Labels,
        series: &dyn Series,
        range: TimeRange,
        writer: &mut ChunkWriter<'_>,
    ) -> Result<bool, Refusal> {
        self.chunks.clear();
        if let Err(error) = series.chunks(range, &mut self.chunks) {
            self.warn(&format!("series {labels}: {error}"))?;
            return Ok(false);
        }
        self.frames.begin(labels);
        let mut fault = None;
        for chunk in &self.chunks {
            self.chunk_bytes += chunk.data.len() as u64;
            let max = self.options.chunks_max_bytes;
            if max > 0 && self.chunk_bytes > max {
                return Err(Refusal::TooMuch(format!("exceeded bytes limit: limit {max}")));
            }
            match writer.write(chunk, &mut self.frames) {
                Ok(()) => {}
                Err(WriteError::Refusal(refusal)) => return Err(refusal),
                Err(error) => fault = Some(error.to_string()),
            }
        }
        let is_bare = self.frames.is_bare();
        if !is_bare {
            self.frames.end_series()?;
        }
        if let Some(fault) = fault {
            self.warn(&format!("series {labels}: {fault}"))?;
        }
        Ok(!is_bare)
    }
}

fn not_a_message(error: prost::DecodeError) -> Refusal {
    Refusal::Invalid(error.to_string())
}

const fn range(start_ms: i64, end_ms: i64) -> TimeRange {
    TimeRange::new(start_ms, end_ms)
}

fn cut<T>(list: &mut Vec<T>, limit: usize) {
    if limit > 0 {
        list.truncate(limit);
    }
}

fn without(labels: &Labels, removed: &[String]) -> Labels {
    if removed.is_empty() {
        return labels.clone();
    }
    labels.filter(|name| !removed.iter().any(|removed| *removed == name))
}
