//! Finds out which blocks a bucket has.
//!
//! One recursive listing a fetch: it names the blocks, their marks and their age, so that only
//! what is new or changed is read. That asks far less than a question for each block does.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use ulid::Ulid;

use crate::base::clock::Stopwatch;
use crate::base::metrics::{Counter, Gauge, Histogram, Registry};

use super::bucket::{Bucket, BucketError, ObjectInfo};
use super::meta::META;
use super::{BucketBlock, BucketView, LongTermError, Mark, MarkKind, PartialBlock, PartialWhy};

const SECONDS: &[f64] = &[0.01, 1.0, 10.0, 100.0, 300.0, 600.0, 1000.0];

/// How blocks are found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FetchOptions {
    /// Small objects that are read at a time; default 32.
    pub gets_at_a_time: usize,
    /// Where fetches are counted.
    pub registry: Registry,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self { gets_at_a_time: 32, registry: Registry::new() }
    }
}

/// Finds out which blocks a bucket has, and remembers what does not change.
#[derive(Debug)]
pub struct Fetcher {
    bucket: Bucket,
    gets_at_a_time: usize,
    metas: HashMap<Ulid, Known<Result<Arc<BucketBlock>, String>>>,
    marks: HashMap<(Ulid, MarkKind), KnownMark>,
    partial_rounds: HashMap<Ulid, u32>,
    metrics: Metrics,
}

/// What was read from an object, and of which contents.
#[derive(Debug, Clone)]
struct Known<T> {
    object: ObjectInfo,
    what: T,
}

/// `None` for a text that is no mark, an error for one that is not understood.
type KnownMark = Known<Result<Option<Mark>, String>>;

#[derive(Debug)]
struct Metrics {
    registry: Registry,
    syncs: Counter,
    failures: Counter,
    seconds: Histogram,
    broken: Gauge,
}

impl Metrics {
    fn new(registry: &Registry) -> Self {
        Self {
            registry: registry.clone(),
            syncs: registry
                .counter("thanos_blocks_meta_syncs_total", "Looks at the blocks in the bucket."),
            failures: registry.counter(
                "thanos_blocks_meta_sync_failures_total",
                "Looks at the blocks in the bucket that failed.",
            ),
            seconds: registry.histogram_with(
                "thanos_blocks_meta_sync_duration_seconds",
                "Time that a look at the blocks took.",
                SECONDS,
                &[],
            ),
            broken: registry.gauge(
                "promlite_bucket_broken_objects",
                "Objects in the bucket that cannot be read and are left out.",
            ),
        }
    }

    fn show(&self, state: &str, count: usize) {
        let help = "Blocks in the bucket, by what was made of them.";
        let gauge =
            self.registry.gauge_with("thanos_blocks_meta_synced", help, &[("state", state)]);
        gauge.set(count as f64);
    }
}

/// What a listing says of a block.
#[derive(Default)]
struct Listed {
    meta: Option<ObjectInfo>,
    marks: Vec<(MarkKind, ObjectInfo)>,
    newest_ms: Option<i64>,
}

impl Fetcher {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(bucket: Bucket, options: &FetchOptions) -> Self {
        Self {
            bucket,
            gets_at_a_time: options.gets_at_a_time.max(1),
            metas: HashMap::new(),
            marks: HashMap::new(),
            partial_rounds: HashMap::new(),
            metrics: Metrics::new(&options.registry),
        }
    }

    /// The bucket.
    #[must_use]
    pub const fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// Takes metas over that somebody else has read before; each is read again if its object is
    /// another one now.
    pub fn learn(&mut self, known: impl IntoIterator<Item = (ObjectInfo, Arc<BucketBlock>)>) {
        let known = known.into_iter();
        self.metas.extend(known.map(|(object, block)| {
            let ulid = block.ulid();
            (ulid, Known { object, what: Ok(block) })
        }));
    }

    /// What was read of the blocks of `view`, for [`learn`](Self::learn).
    pub fn known<'a>(
        &'a self,
        view: &'a BucketView,
    ) -> impl Iterator<Item = (&'a ObjectInfo, &'a Arc<BucketBlock>)> {
        view.blocks.iter().filter_map(|block| {
            let known = self.metas.get(&block.ulid())?;
            Some((&known.object, known.what.as_ref().ok()?))
        })
    }

    /// Shows how many blocks a filter took out: `time-excluded`, `label-excluded`, `too-fresh`,
    /// `duplicate`, or how many are `from-the-future`.
    pub fn show_state(&self, state: &str, count: usize) {
        self.metrics.show(state, count);
    }

    /// All blocks now.
    ///
    /// # Errors
    /// Any answer of the bucket but a definite "not there": who does not see all blocks must not
    /// act on those that he sees. Objects that cannot be read are no error; the view names them.
    pub fn fetch(&mut self) -> Result<BucketView, LongTermError> {
        let stopwatch = Stopwatch::start();
        self.metrics.syncs.inc();
        let view = self.try_fetch();
        self.metrics.seconds.observe(stopwatch.seconds());
        let view = view.inspect_err(|_| self.metrics.failures.inc())?;
        self.show(&view);
        Ok(view)
    }

    fn show(&self, view: &BucketView) {
        let corrupt = |partial: &&PartialBlock| partial.why != PartialWhy::NoMeta;
        let corrupt = view.partial.iter().filter(corrupt).count();
        for (state, count) in [
            ("loaded", view.blocks.len()),
            ("no-meta-json", view.partial.len() - corrupt),
            ("corrupted-meta-json", corrupt),
            ("marked-for-deletion", view.deletion_marks.len()),
            ("marked-for-no-compact", view.no_compact.len()),
            ("marked-for-no-downsample", view.no_downsample.len()),
        ] {
            self.metrics.show(state, count);
        }
        self.metrics.broken.set(view.broken.len() as f64);
    }

    fn try_fetch(&mut self) -> Result<BucketView, LongTermError> {
        let listed = by_block(self.bucket.list("")?);
        self.metas.retain(|ulid, _| listed.contains_key(ulid));
        self.marks.retain(|(ulid, _), _| listed.contains_key(ulid));
        self.partial_rounds.retain(|ulid, _| listed.contains_key(ulid));
        self.read_metas(&listed)?;
        self.read_marks(&listed)?;
        let mut view = BucketView::default();
        for (ulid, listed) in &listed {
            self.view_block(*ulid, listed, &mut view);
            for (kind, object) in &listed.marks {
                self.view_mark(*ulid, *kind, object, &mut view);
            }
        }
        Ok(view)
    }

    /// Reads each meta that is new or changed. One that the listing lacks is asked for by name:
    /// listings may be late, and a whole block must not be taken for a partial one.
    fn read_metas(&mut self, listed: &BTreeMap<Ulid, Listed>) -> Result<(), LongTermError> {
        let is_known = |ulid: &Ulid, listed: &Listed| match (&listed.meta, self.metas.get(ulid)) {
            (Some(object), Some(known)) => known.object == *object,
            _ => false,
        };
        let wanted = listed.iter().filter(|(ulid, listed)| !is_known(ulid, listed));
        let wanted: Vec<Ulid> = wanted.map(|(ulid, _)| *ulid).collect();
        let key = |ulid: &Ulid| format!("{ulid}/{META}");
        let texts = self.get_all(&wanted.iter().map(key).collect::<Vec<_>>())?;
        for (ulid, text) in wanted.into_iter().zip(texts) {
            let Some(text) = text else {
                self.metas.remove(&ulid);
                continue;
            };
            let key = key(&ulid);
            let what = match BucketBlock::parse(&key, &text) {
                Ok(block) if block.ulid() != ulid => {
                    Err(format!("{key}: it is that of block {}", block.ulid()))
                }
                Ok(block) if block.meta.min_time_ms > block.meta.max_time_ms => {
                    Err(format!("{key}: the block ends before it begins"))
                }
                Ok(block) => Ok(Arc::new(block)),
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = &what {
                tracing::warn!(error, "block is left out");
            }
            let unlisted = || ObjectInfo { key, size_bytes: 0, modified_ms: 0, version: None };
            let object = listed.get(&ulid).and_then(|listed| listed.meta.clone());
            let object = object.unwrap_or_else(unlisted);
            self.metas.insert(ulid, Known { object, what });
        }
        Ok(())
    }

    fn read_marks(&mut self, listed: &BTreeMap<Ulid, Listed>) -> Result<(), LongTermError> {
        let all = listed.iter().flat_map(|(ulid, listed)| {
            listed.marks.iter().map(|(kind, object)| ((*ulid, *kind), object))
        });
        let is_new = |(name, object): &(_, &ObjectInfo)| {
            self.marks.get(name).is_none_or(|known| known.object != **object)
        };
        let wanted: Vec<_> = all.filter(is_new).collect();
        let keys: Vec<String> = wanted.iter().map(|(_, object)| object.key.clone()).collect();
        let texts = self.get_all(&keys)?;
        for (((ulid, kind), object), text) in wanted.into_iter().zip(texts) {
            let Some(text) = text else {
                self.marks.remove(&(ulid, kind));
                continue;
            };
            let what = Mark::parse(kind, ulid, &text).map_err(|error| error.to_string());
            self.marks.insert((ulid, kind), Known { object: object.clone(), what });
        }
        Ok(())
    }

    fn view_block(&mut self, ulid: Ulid, listed: &Listed, view: &mut BucketView) {
        let why = match self.metas.get(&ulid) {
            Some(Known { what: Ok(block), object }) => {
                view.blocks.push(Arc::clone(block));
                if object.modified_ms > 0 {
                    view.modified_ms.insert(ulid, object.modified_ms);
                }
                self.partial_rounds.remove(&ulid);
                return;
            }
            Some(Known { what: Err(error), .. }) => {
                view.broken.push(error.clone());
                PartialWhy::CorruptMeta(error.clone())
            }
            None => PartialWhy::NoMeta,
        };
        let rounds = self.partial_rounds.entry(ulid).or_default();
        *rounds = rounds.saturating_add(1);
        let named_ms = i64::try_from(ulid.timestamp_ms()).unwrap_or(i64::MAX);
        let newest_ms = listed.newest_ms.unwrap_or(named_ms);
        view.partial.push(PartialBlock { ulid, why, newest_ms, rounds: *rounds });
    }

    fn view_mark(&self, ulid: Ulid, kind: MarkKind, object: &ObjectInfo, view: &mut BucketView) {
        let mark = match self.marks.get(&(ulid, kind)).map(|known| &known.what) {
            Some(Ok(Some(mark))) => mark.clone(),
            Some(Err(error)) => {
                view.broken.push(error.clone());
                if kind == MarkKind::Deletion {
                    return;
                }
                // Somebody wants the block to be left alone, in words of the future.
                let (details, reason) = (error.clone(), String::new());
                let time_s = object.modified_ms / 1000;
                Mark { kind, block: ulid, details, time_s, reason }
            }
            Some(Ok(None)) => {
                view.broken.push(format!("{}: it cannot be read and counts as absent", object.key));
                return;
            }
            None => return,
        };
        let marks = match kind {
            MarkKind::Deletion => &mut view.deletion_marks,
            MarkKind::NoCompact => &mut view.no_compact,
            MarkKind::NoDownsample => &mut view.no_downsample,
        };
        marks.insert(ulid, mark);
    }

    /// Small objects, several at a time; `None` for those that the store says are not there.
    fn get_all(&self, keys: &[String]) -> Result<Vec<Option<bytes::Bytes>>, LongTermError> {
        let next = AtomicUsize::new(0);
        let texts = Mutex::new(vec![None; keys.len()]);
        let refused = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..self.gets_at_a_time.min(keys.len()) {
                scope.spawn(|| {
                    while let Some(place) = Some(next.fetch_add(1, Ordering::Relaxed))
                        && let Some(key) = keys.get(place)
                        && refused.lock().is_none()
                    {
                        match self.bucket.get(key) {
                            Ok(text) => {
                                let mut texts = texts.lock();
                                texts.iter_mut().skip(place).take(1).for_each(|slot| {
                                    *slot = Some(text.clone());
                                });
                            }
                            Err(BucketError::NotFound { .. }) => {}
                            Err(error) => *refused.lock() = Some(error),
                        }
                    }
                });
            }
        });
        match refused.into_inner() {
            Some(error) => Err(error.into()),
            None => Ok(texts.into_inner()),
        }
    }
}

/// The objects of each block. Names that belong to no block are somebody else's.
fn by_block(objects: Vec<ObjectInfo>) -> BTreeMap<Ulid, Listed> {
    let mut blocks: BTreeMap<Ulid, Listed> = BTreeMap::new();
    for object in objects {
        let Some((folder, rest)) = object.key.split_once('/') else { continue };
        let Ok(ulid) = Ulid::from_string(folder) else { continue };
        if ulid.to_string() != folder {
            continue;
        }
        let listed = blocks.entry(ulid).or_default();
        listed.newest_ms = listed.newest_ms.max(Some(object.modified_ms));
        let mark = MarkKind::ALL.into_iter().find(|kind| kind.file_name() == rest);
        match mark {
            Some(kind) => listed.marks.push((kind, object)),
            None if rest == META => listed.meta = Some(object),
            None => {}
        }
    }
    blocks
}
