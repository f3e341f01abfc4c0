//! Finished blocks of a data directory into the bucket, oldest first.
//!
//! A block is recorded as shipped when its `meta.json`, which goes last, and every file that it
//! names were seen in the bucket with their sizes. A crash at any place costs at most the file
//! that was on its way: the next round goes on behind it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::base::clock::{SharedClock, SystemClock};
use crate::base::metrics::{Counter, Registry};
use crate::disk::{SharedDisk, create_dir_synced, write_atomic};
use crate::model::Labels;
use crate::storage::block::{BlockError, BlockMeta};
use crate::storage::db::BlockGuard;

use super::bucket::{Bucket, BucketError};
use super::meta::META;
use super::plain::write_plain;
use super::upload::refuse_deletions;
use super::verify::{CHUNKS, INDEX, is_plain};
use super::{
    BucketBlock, FetchOptions, Fetcher, LongTermError, Source, ThanosMeta, UploadOptions,
    upload_block,
};

/// Where Thanos's shipper keeps its list.
pub const SHIPPER_FILE: &str = "thanos.shipper.json";
const STAGE: &str = "thanos/upload";
const TOMBSTONES: &str = "tombstones";
/// What a block of late samples says of itself.
const FROM_OUT_OF_ORDER: &str = "from-out-of-order";
const VERSION: u32 = 1;

/// What is shipped and how.
#[derive(Clone)]
#[non_exhaustive]
pub struct ShipOptions {
    /// Labels that tell this directory's series from all others; never empty.
    pub labels: Labels,
    /// Who we are: [`Source::Receive`] for hubs, the default.
    pub source: Source,
    /// Ship blocks that were merged here, too; those that overlap what is in the bucket are
    /// refused. Default false: they hold nothing that was not shipped before.
    pub upload_compacted: bool,
    /// After a block that cannot be sent now, go on with younger ones
    /// (`--shipper.allow-out-of-order-uploads`). Default false: a compactor could merge around
    /// the hole, and the block that comes later would overlap what it made.
    ///
    /// Blocks of late samples are shipped in any case. They overlap blocks of their time, so that
    /// a Thanos compactor must be told to put up with it
    /// (`--compact.enable-vertical-compaction`); ours does. [`ShipReport::late`] names them.
    pub allow_out_of_order: bool,
    /// Is told which blocks the data directory may merge and remove.
    pub guard: BlockGuard,
    /// Tells the time.
    pub clock: SharedClock,
    /// Where uploads are counted.
    pub registry: Registry,
}

impl ShipOptions {
    /// For series with these labels.
    #[must_use]
    pub fn new(labels: Labels) -> Self {
        Self {
            labels,
            source: Source::Receive,
            upload_compacted: false,
            allow_out_of_order: false,
            guard: BlockGuard::default(),
            clock: SystemClock::shared(),
            registry: Registry::new(),
        }
    }
}

impl std::fmt::Debug for ShipOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShipOptions").field("labels", &self.labels).finish_non_exhaustive()
    }
}

/// What a round did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ShipReport {
    /// Blocks that were sent.
    pub uploaded: Vec<Ulid>,
    /// Blocks that were in the bucket already.
    pub found: Vec<Ulid>,
    /// Blocks of late samples among those that were sent: they overlap others.
    pub late: Vec<Ulid>,
    /// Blocks among those that were sent that had chunks which Thanos cannot read: these were
    /// encoded anew, without the start times of their samples.
    pub reencoded: Vec<Ulid>,
    /// Blocks that will not be sent as they are, and why: damaged, with deleted samples. They stay
    /// on the disk.
    pub refused: Vec<(Ulid, String)>,
}

/// Sends the blocks of one data directory.
#[derive(Debug)]
pub struct Shipper {
    bucket: Bucket,
    disk: SharedDisk,
    data_dir: PathBuf,
    options: ShipOptions,
    shipped: BTreeSet<Ulid>,
    metrics: Metrics,
}

#[derive(Debug)]
struct Metrics {
    syncs: Counter,
    sync_failures: Counter,
    uploads: Counter,
    upload_failures: Counter,
    refused: Counter,
    late: Counter,
    reencoded: Counter,
}

impl Metrics {
    fn new(registry: &Registry) -> Self {
        let counter = |name, help| registry.counter(name, help);
        Self {
            syncs: counter("thanos_shipper_dir_syncs_total", "Rounds of the shipper."),
            sync_failures: counter(
                "thanos_shipper_dir_sync_failures_total",
                "Rounds of the shipper that failed.",
            ),
            uploads: counter("thanos_shipper_uploads_total", "Blocks that were sent."),
            upload_failures: counter(
                "thanos_shipper_upload_failures_total",
                "Blocks that could not be sent.",
            ),
            refused: counter(
                "thanos_shipper_corrupted_blocks_total",
                "Times that a block was not sent because of what is in it.",
            ),
            late: counter(
                "promlite_shipper_late_uploads_total",
                "Blocks of late samples that were sent; they overlap others.",
            ),
            reencoded: counter(
                "promlite_shipper_reencoded_uploads_total",
                "Blocks that were sent in older encodings, without start times.",
            ),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct List {
    version: u32,
    uploaded: Option<Vec<String>>,
}

/// What happens to a local block.
enum Fate {
    Shipped,
    Found,
    Sent {
        reencoded: bool,
    },
    /// It holds nothing that belongs into the bucket.
    Exempt,
}

impl Shipper {
    /// A shipper for `data_dir`.
    ///
    /// # Errors
    /// Empty labels: nobody could tell the blocks from those of others.
    pub fn new(
        bucket: Bucket,
        disk: SharedDisk,
        data_dir: &Path,
        options: ShipOptions,
    ) -> Result<Self, LongTermError> {
        if options.labels.is_empty() {
            let why = "no external labels are set, so that nobody could tell whose blocks they are";
            return Err(LongTermError::refused("shipping", why));
        }
        let shipped = read_list(&disk, &data_dir.join(SHIPPER_FILE));
        options.guard.release_only(shipped.clone());
        let metrics = Metrics::new(&options.registry);
        Ok(Self { bucket, disk, data_dir: data_dir.to_owned(), options, shipped, metrics })
    }

    /// True if the block is in the bucket, whole.
    #[must_use]
    pub fn is_shipped(&self, block: Ulid) -> bool {
        self.shipped.contains(&block)
    }

    /// The local blocks that are in the bucket, whole.
    #[must_use]
    pub const fn shipped(&self) -> &BTreeSet<Ulid> {
        &self.shipped
    }

    /// One round: sends what is not there yet, oldest first. `progress` is told of bytes that
    /// have arrived; `is_ending` is looked at before each file.
    ///
    /// # Errors
    /// The bucket or the disk cannot do it now; the next round goes on where this one ended. What
    /// is wrong with single blocks stands in the report.
    pub fn sync(
        &mut self,
        progress: &dyn Fn(u64),
        is_ending: &dyn Fn() -> bool,
    ) -> Result<ShipReport, LongTermError> {
        self.metrics.syncs.inc();
        let mut report = ShipReport::default();
        let round = self.round(&mut report, progress, is_ending);
        if let Err(error) = round {
            self.metrics.sync_failures.inc();
            return Err(error);
        }
        Ok(report)
    }

    fn round(
        &mut self,
        report: &mut ShipReport,
        progress: &dyn Fn(u64),
        is_ending: &dyn Fn() -> bool,
    ) -> Result<(), LongTermError> {
        let metas = self.local_metas(report)?;
        let local: BTreeSet<Ulid> = metas.iter().map(|meta| meta.ulid).collect();
        let mut released = BTreeSet::new();
        let mut outcome = Ok(());
        let mut shipped = BTreeSet::new();
        for meta in &metas {
            let ulid = meta.ulid;
            match self.ship(meta, progress, is_ending) {
                Ok(Fate::Exempt) => {
                    released.insert(ulid);
                    continue;
                }
                Ok(Fate::Shipped) => {}
                Ok(Fate::Found) => report.found.push(ulid),
                Ok(Fate::Sent { reencoded }) => self.sent(meta, reencoded, report),
                Err(error) if is_of_block(&error) => {
                    self.metrics.refused.inc();
                    tracing::warn!(block = %ulid, %error, "block is not shipped");
                    report.refused.push((ulid, error.to_string()));
                    continue;
                }
                Err(error) => {
                    self.metrics.upload_failures.inc();
                    tracing::warn!(block = %ulid, %error, "block could not be shipped");
                    let goes_on =
                        self.options.allow_out_of_order && !matches!(error, LongTermError::Ended);
                    outcome = Err(error);
                    if goes_on {
                        continue;
                    }
                    break;
                }
            }
            shipped.insert(ulid);
            released.insert(ulid);
        }
        // Those behind a hole, of earlier rounds, are still there.
        let earlier = self.shipped.intersection(&local).copied();
        shipped.extend(earlier);
        released.extend(&shipped);
        if shipped != self.shipped {
            self.shipped = shipped;
            self.write_list()?;
        }
        self.options.guard.release_only(released);
        outcome
    }

    /// The metas of all blocks of the directory, oldest first.
    fn local_metas(&self, report: &mut ShipReport) -> Result<Vec<BlockMeta>, LongTermError> {
        let io = |error| BlockError::Io { path: self.data_dir.clone(), error };
        let mut metas = Vec::new();
        for entry in self.disk.list(&self.data_dir).map_err(io)? {
            let Ok(ulid) = Ulid::from_string(&entry.name) else { continue };
            if !entry.is_dir {
                continue;
            }
            match BlockMeta::read(&*self.disk, &self.data_dir.join(&entry.name)) {
                Ok(meta) => metas.push(meta),
                Err(error @ BlockError::Io { .. }) => return Err(error.into()),
                Err(error) => {
                    self.metrics.refused.inc();
                    report.refused.push((ulid, error.to_string()));
                }
            }
        }
        metas.sort_by_key(|meta| (meta.min_time_ms, meta.ulid));
        Ok(metas)
    }

    fn ship(
        &self,
        meta: &BlockMeta,
        progress: &dyn Fn(u64),
        is_ending: &dyn Fn() -> bool,
    ) -> Result<Fate, LongTermError> {
        if self.shipped.contains(&meta.ulid) {
            return Ok(Fate::Shipped);
        }
        let is_merged = meta.compaction.level > 1;
        if meta.stats.num_samples == 0 || (is_merged && !self.options.upload_compacted) {
            return Ok(Fate::Exempt);
        }
        if self.is_in_bucket(meta.ulid)? {
            return Ok(Fate::Found);
        }
        let thanos = self.thanos_meta(meta)?;
        if is_merged && !self.options.allow_out_of_order {
            self.refuse_overlap(meta, &thanos)?;
        }
        let stage = self.data_dir.join(STAGE);
        let (staged, reencoded) = self.stage_readable(meta.ulid, &stage, is_ending)?;
        let options = UploadOptions {
            clock: self.options.clock.clone(),
            notes: Some(stage.join(format!("{}.json", meta.ulid))),
            progress,
            is_ending,
        };
        upload_block(&self.bucket, &self.disk, &staged, &thanos, &options)?;
        self.remove_stage(&staged)?;
        tracing::info!(block = %meta.ulid, bucket = %self.bucket.name(), "block shipped");
        Ok(Fate::Sent { reencoded })
    }

    fn sent(&self, meta: &BlockMeta, reencoded: bool, report: &mut ShipReport) {
        self.metrics.uploads.inc();
        report.uploaded.push(meta.ulid);
        if meta.compaction.hints.iter().any(|hint| hint == FROM_OUT_OF_ORDER) {
            tracing::info!(block = %meta.ulid, "it is of late samples and overlaps other blocks");
            self.metrics.late.inc();
            report.late.push(meta.ulid);
        }
        if reencoded {
            self.metrics.reencoded.inc();
            report.reencoded.push(meta.ulid);
        }
    }

    /// True if the bucket has the block with all files that it names. A block whose files are
    /// missing is sent again.
    fn is_in_bucket(&self, ulid: Ulid) -> Result<bool, LongTermError> {
        let key = format!("{ulid}/{META}");
        let text = match self.bucket.get(&key) {
            Ok(text) => text,
            Err(BucketError::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let Ok(block) = BucketBlock::parse(&key, &text) else {
            tracing::warn!(key, "the bucket's meta.json is damaged and is written again");
            return Ok(false);
        };
        let files = block.thanos.files.iter().filter(|file| file.rel_path != META);
        for file in files {
            let key = block.key(&file.rel_path);
            match self.bucket.head(&key) {
                Ok(object) if object.size_bytes == file.size_bytes => {}
                Ok(_) | Err(BucketError::NotFound { .. }) => {
                    tracing::warn!(key, "the bucket's block lacks a file and is sent again");
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    fn thanos_meta(&self, meta: &BlockMeta) -> Result<ThanosMeta, LongTermError> {
        let own = ThanosMeta::of(meta);
        let own = own.map_err(|error| LongTermError::refused(meta.ulid, error.to_string()))?;
        let mut thanos = own.unwrap_or_default();
        for (name, value) in self.options.labels.iter() {
            thanos.labels.insert(name.to_owned(), value.to_owned());
        }
        thanos.source = self.options.source.clone();
        Ok(thanos)
    }

    fn refuse_overlap(&self, meta: &BlockMeta, thanos: &ThanosMeta) -> Result<(), LongTermError> {
        let view = Fetcher::new(self.bucket.clone(), &FetchOptions::default()).fetch()?;
        let range = meta.range();
        let same = |block: &&std::sync::Arc<BucketBlock>| {
            block.thanos.labels == thanos.labels && block.resolution_ms() == thanos.resolution_ms()
        };
        let found = view.blocks.iter().filter(same).find(|block| block.range().overlaps(range));
        match found {
            None => Ok(()),
            Some(block) => {
                let why = format!("it overlaps block {} in the bucket", block.ulid());
                Err(LongTermError::refused(meta.ulid, why))
            }
        }
    }

    /// The block in a folder of its own, and whether it was encoded anew there because Thanos
    /// could not read it.
    fn stage_readable(
        &self,
        ulid: Ulid,
        stage: &Path,
        is_ending: &dyn Fn() -> bool,
    ) -> Result<(PathBuf, bool), LongTermError> {
        let staged = self.stage(ulid, stage)?;
        if is_plain(&self.disk, &staged)? {
            return Ok((staged, false));
        }
        refuse_deletions(&self.disk, &staged)?;
        // The writer takes the place of the block that it reads, which is there until then.
        write_plain(&self.disk, &staged, stage, is_ending)?;
        Ok((staged, true))
    }

    /// A second name for each file of the block, which stays when the data directory merges or
    /// removes the block meanwhile.
    fn stage(&self, ulid: Ulid, stage: &Path) -> Result<PathBuf, LongTermError> {
        let (from, to) = (self.data_dir.join(ulid.to_string()), stage.join(ulid.to_string()));
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| BlockError::Io { path: path.clone(), error }
        };
        self.remove_stage(&to)?;
        let chunks = to.join(CHUNKS);
        create_dir_synced(&*self.disk, &chunks).map_err(io(&chunks))?;
        let link = |rel_path: &Path| {
            let path = from.join(rel_path);
            self.disk.link(&path, &to.join(rel_path)).map_err(io(&path))
        };
        for entry in self.disk.list(&from.join(CHUNKS)).map_err(io(&from))? {
            link(&Path::new(CHUNKS).join(&entry.name))?;
        }
        link(Path::new(INDEX))?;
        link(Path::new(META))?;
        if self.disk.exists(&from.join(TOMBSTONES)) {
            link(Path::new(TOMBSTONES))?;
        }
        Ok(to)
    }

    fn remove_stage(&self, staged: &Path) -> Result<(), LongTermError> {
        if !self.disk.exists(staged) {
            return Ok(());
        }
        let io = |error| BlockError::Io { path: staged.to_owned(), error };
        Ok(self.disk.remove_dir_all(staged).map_err(io)?)
    }

    fn write_list(&self) -> Result<(), LongTermError> {
        let path = self.data_dir.join(SHIPPER_FILE);
        let uploaded = Some(self.shipped.iter().map(Ulid::to_string).collect());
        let mut text = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
        // Neither a vector nor these types can refuse.
        let _ = List { version: VERSION, uploaded }.serialize(&mut serializer);
        text.push(b'\n');
        let io = |error| BlockError::Io { path: path.clone(), error };
        Ok(write_atomic(&*self.disk, &path, &text).map_err(io)?)
    }
}

/// The list is only an optimisation: one that cannot be read is empty, and the bucket is asked.
fn read_list(disk: &SharedDisk, path: &Path) -> BTreeSet<Ulid> {
    let Ok(text) = disk.read(path) else { return BTreeSet::new() };
    match serde_json::from_slice::<List>(&text) {
        Ok(list) if list.version == VERSION => {
            let uploaded = list.uploaded.unwrap_or_default();
            uploaded.iter().filter_map(|text| Ulid::from_string(text).ok()).collect()
        }
        _ => {
            tracing::warn!(path = %path.display(), "the list cannot be read; the bucket is asked");
            BTreeSet::new()
        }
    }
}

/// True for what another try does not change, and what is wrong with this block only.
const fn is_of_block(error: &LongTermError) -> bool {
    match error {
        LongTermError::Block(error) => !matches!(error, BlockError::Io { .. }),
        LongTermError::Refused { .. } => true,
        LongTermError::Corrupt { .. } | LongTermError::Bucket(_) | LongTermError::Ended => false,
    }
}
