//! The blocks of a bucket: what `thanos tools bucket` and `thanos compact` do every day.

mod bars;
mod look;
mod upkeep;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use promlite::base::clock::SystemClock;
use promlite::base::duration::parse_duration_ms;
use promlite::base::metrics::Registry;
use promlite::disk::{Disk as _, RealDisk};
use promlite::longterm::bucket::Bucket;
use promlite::longterm::compact::{CompactOptions, Compactor, Retention, Shard};
use promlite::series::Dedup;
use promlite::wire::config::BucketConfig;

use crate::Done;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the blocks: name, time, resolution, level, samples, labels, marks
    Ls {
        #[command(flatten)]
        store: Store,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
        /// Not those that are marked for deletion
        #[arg(long)]
        exclude_delete: bool,
    },
    /// Check that every block has its objects; the exit status is 1 if something is wrong
    Verify {
        #[command(flatten)]
        store: Store,
        #[command(flatten)]
        place: Place,
        /// Download every block and look at all of it
        #[arg(long)]
        read: bool,
    },
    /// One round of upkeep, or rounds without end: merge, deduplicate, downsample, remove
    Compact {
        #[command(flatten)]
        store: Store,
        #[command(flatten)]
        rules: Box<Rules>,
        /// Only say what would be done, and why
        #[arg(long)]
        dry_run: bool,
        /// Go on with rounds until stopped
        #[arg(long)]
        wait: bool,
        /// Pause between rounds
        #[arg(long, default_value = "5m", value_parser = duration)]
        wait_interval: i64,
    },
    /// Only downsample what is long or old enough
    Downsample {
        #[command(flatten)]
        store: Store,
        #[command(flatten)]
        rules: Box<Rules>,
    },
    /// Only mark blocks that are too old and there in coarser ones
    Retention {
        #[command(flatten)]
        store: Store,
        #[command(flatten)]
        rules: Box<Rules>,
    },
    /// Only remove what was marked long ago, what is superfluous, and uploads that were given up
    Cleanup {
        #[command(flatten)]
        store: Store,
        #[command(flatten)]
        rules: Box<Rules>,
    },
    /// Say of each block why it is merged, downsampled or removed, or is not
    Explain {
        #[command(flatten)]
        store: Store,
        #[command(flatten)]
        rules: Box<Rules>,
        /// Only these blocks
        #[arg(long = "id", value_name = "ULID")]
        ids: Vec<String>,
    },
    /// Put marks on blocks, or take them away
    Mark {
        #[command(flatten)]
        store: Store,
        /// The blocks
        #[arg(long = "id", value_name = "ULID", required = true)]
        ids: Vec<String>,
        /// The mark
        #[arg(long, value_enum)]
        marker: Marker,
        /// The reason, for people
        #[arg(long, default_value = "")]
        details: String,
        /// Take it away
        #[arg(long)]
        remove: bool,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Marker {
    #[value(name = "deletion-mark.json")]
    Deletion,
    #[value(name = "no-compact-mark.json")]
    NoCompact,
    #[value(name = "no-downsample-mark.json")]
    NoDownsample,
    /// That the block was set aside; can only be taken away
    #[value(name = "quarantine")]
    Quarantine,
}

/// Which bucket.
#[derive(Args)]
pub(crate) struct Store {
    /// The bucket, in the schema of Thanos
    #[arg(long = "objstore.config-file", value_name = "FILE", required_unless_present = "text")]
    file: Option<PathBuf>,
    /// The same as text
    #[arg(id = "text", long = "objstore.config", value_name = "YAML", conflicts_with = "file")]
    text: Option<String>,
}

impl Store {
    fn open(&self) -> Result<Bucket, Box<dyn std::error::Error>> {
        let environment = |name: &str| std::env::var(name).ok();
        let config = match (&self.file, &self.text) {
            (Some(file), _) => {
                let text = RealDisk.read(file);
                let text = text.map_err(|error| format!("{}: {error}", file.display()))?;
                BucketConfig::parse(&String::from_utf8(text)?, file, &environment)?
            }
            (None, text) => {
                let text = text.as_deref().unwrap_or_default();
                BucketConfig::parse(text, Path::new("objstore.config"), &environment)?
            }
        };
        let bucket = Bucket::open(&config)?;
        bucket.check()?;
        Ok(bucket)
    }
}

/// Where blocks are while they are worked on.
#[derive(Args)]
pub(crate) struct Place {
    /// A folder for blocks that are worked on; what is in its folder `compact` is removed
    #[arg(long, default_value = "data")]
    data_dir: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Func {
    Identity,
    Penalty,
}

/// What is done when.
#[derive(Args)]
pub(crate) struct Rules {
    #[command(flatten)]
    place: Place,
    /// How old a block must be before it is looked at, unless a compactor wrote it
    #[arg(long, default_value = "30m", value_parser = duration)]
    consistency_delay: i64,
    /// How long a block that is marked for deletion stays
    #[arg(long, default_value = "48h", value_parser = duration)]
    delete_delay: i64,
    /// How long raw samples are kept; 0d for good
    #[arg(long = "retention.resolution-raw", default_value = "0d", value_parser = duration)]
    retention_raw: i64,
    /// How long samples of five minutes are kept; 0d for good
    #[arg(long = "retention.resolution-5m", default_value = "0d", value_parser = duration)]
    retention_5m: i64,
    /// How long samples of an hour are kept; 0d for good
    #[arg(long = "retention.resolution-1h", default_value = "0d", value_parser = duration)]
    retention_1h: i64,
    /// Make no coarser blocks; retention then goes by age alone
    #[arg(long = "downsampling.disable")]
    downsampling_disable: bool,
    /// Rules for the external labels of blocks, as text: only blocks that survive them are looked at
    #[arg(long = "selector.relabel-config", value_name = "YAML", value_parser = shard)]
    shard: Option<Shard>,
    /// The same in a file
    #[arg(long = "selector.relabel-config-file", value_name = "FILE", conflicts_with = "shard",
        value_parser = shard_of_file)]
    shard_file: Option<Shard>,
    /// External labels that tell replicas apart
    #[arg(long = "deduplication.replica-label", value_name = "NAME", value_delimiter = ',')]
    replica_labels: Vec<String>,
    /// How samples of replicas become one series
    #[arg(long = "deduplication.func", value_enum, default_value = "identity")]
    func: Func,
    /// The longest index that a merged block may have, in bytes
    #[arg(long = "compact.block-max-index-size", default_value_t = 64 << 30)]
    index_bytes_max: u64,
    /// What blocks that are worked on may take on disk, in bytes; 0 for no limit
    #[arg(long = "compact.max-disk-size", default_value_t = 0)]
    disk_bytes_max: u64,
}

impl Rules {
    fn options(&self) -> CompactOptions {
        let mut options = CompactOptions::new(&self.place.data_dir);
        options.consistency_delay_ms = self.consistency_delay;
        options.delete_delay_ms = self.delete_delay;
        options.retention = Retention {
            raw_ms: self.retention_raw,
            five_minutes_ms: self.retention_5m,
            hour_ms: self.retention_1h,
            needs_cover: !self.downsampling_disable,
        };
        options.downsampling = !self.downsampling_disable;
        let shard = self.shard.as_ref().or(self.shard_file.as_ref());
        options.shard = shard.cloned().unwrap_or_default();
        options.replica_labels.clone_from(&self.replica_labels);
        options.dedup = match self.func {
            Func::Identity => Dedup::Identity,
            Func::Penalty => Dedup::Penalty,
        };
        options.index_bytes_max = self.index_bytes_max;
        options.disk_bytes_max = self.disk_bytes_max;
        options
    }
}

fn compactor(bucket: Bucket, options: CompactOptions) -> Compactor {
    Compactor::new(bucket, RealDisk::shared(), SystemClock::shared(), options, &Registry::new())
}

fn shard(yaml: &str) -> Result<Shard, String> {
    Shard::parse(yaml).map_err(|error| error.to_string())
}

fn shard_of_file(path: &str) -> Result<Shard, String> {
    let text = RealDisk.read(Path::new(path)).map_err(|error| format!("{path}: {error}"))?;
    shard(&String::from_utf8_lossy(&text)).map_err(|error| format!("{path}: {error}"))
}

fn duration(text: &str) -> Result<i64, String> {
    parse_duration_ms(text).map_err(|error| error.to_string())
}

pub(crate) fn run(command: Command) -> Done {
    match command {
        Command::Ls { store, json, exclude_delete } => look::list(&store, json, exclude_delete),
        Command::Verify { store, place, read } => look::verify(&store, &place, read),
        Command::Explain { store, rules, ids } => look::explain(&store, &rules, &ids),
        Command::Compact { store, rules, dry_run: true, .. } => look::explain(&store, &rules, &[]),
        Command::Compact { store, rules, wait, wait_interval, .. } => {
            upkeep::compact(&store, &rules, wait.then_some(wait_interval))
        }
        Command::Downsample { store, rules } => upkeep::downsample(&store, &rules),
        Command::Retention { store, rules } => upkeep::retention(&store, &rules),
        Command::Cleanup { store, rules } => upkeep::cleanup(&store, &rules),
        Command::Mark { store, ids, marker, details, remove } => {
            upkeep::mark(&store, &ids, marker, &details, remove)
        }
    }
}
