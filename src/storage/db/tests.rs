//! What a data directory does, on a disk in memory and on the machine's own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use super::*;
use crate::base::clock::ManualClock;
use crate::base::metrics::{Registry, Value};
use crate::disk::{FaultyDisk, MemoryDisk, RealDisk, SharedDisk};
use crate::model::{Labels, Matcher};
use crate::series::{
    Append, AppendError, Batch, Column, OnReject, Queryable, Select, SeriesRef, TimeRange,
};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

fn options() -> TsdbOptions {
    TsdbOptions { background: false, ..TsdbOptions::default() }
}

struct Place {
    disk: SharedDisk,
    dir: PathBuf,
}

impl Place {
    fn in_memory() -> Self {
        Self { disk: MemoryDisk::shared(), dir: PathBuf::from("/data") }
    }

    fn on_disk(dir: &Path) -> Self {
        Self { disk: RealDisk::shared(), dir: dir.to_owned() }
    }

    fn open_with(&self, options: TsdbOptions, registry: &Registry) -> Result<Tsdb, TsdbError> {
        let clock = Arc::new(ManualClock::at(1_767_571_200_000));
        Tsdb::open(self.disk.clone(), clock, &self.dir, options, registry)
    }

    fn open(&self) -> Tsdb {
        self.open_with(options(), &Registry::new()).unwrap()
    }

    fn blocks(&self) -> Vec<String> {
        let entries = self.disk.list(&self.dir).unwrap().into_iter();
        entries.filter(|entry| entry.name.len() == 26).map(|entry| entry.name).collect()
    }
}

fn labels(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name), ("job", "test")]).unwrap()
}

fn append(db: &Tsdb, name: &str, times_ms: impl IntoIterator<Item = i64>) {
    let mut batch = Batch::new();
    batch.push_series(SeriesRef::UNKNOWN, labels(name).as_ref());
    for time_ms in times_ms {
        batch.push_sample(time_ms, time_ms as f64);
    }
    let outcome = db.append(&mut batch, OnReject::KeepRest).unwrap();
    assert_eq!(outcome.rejected, 0, "{:?}", batch.verdicts());
}

/// One sample a minute for these hours.
fn append_hours(db: &Tsdb, name: &str, from: i64, until: i64) {
    for minute in from * 60..until * 60 {
        append(db, name, [minute * MINUTE_MS]);
    }
}

fn times(db: &dyn Queryable, name: &str) -> Vec<i64> {
    let ask = Select::new(vec![Matcher::equal("__name__", name)], TimeRange::ALL);
    let set = db.select(&ask).unwrap();
    assert!(set.series.len() <= 1);
    let mut column = Column::new();
    for series in &set.series {
        series.read(TimeRange::ALL, &mut column).unwrap();
    }
    for (time_ms, value) in column.timestamps.iter().zip(&column.floats) {
        assert_eq!(*time_ms as f64, *value);
    }
    column.timestamps
}

fn each_minute(from: i64, until: i64) -> Vec<i64> {
    (from * 60..until * 60).map(|minute| minute * MINUTE_MS).collect()
}

#[test]
fn a_block_is_cut_when_the_head_holds_three_hours() {
    let place = Place::in_memory();
    let db = place.open();
    append_hours(&db, "m", 1, 4);
    assert_eq!(db.maintain().unwrap(), MaintainReport::default());
    append(&db, "m", [4 * HOUR_MS, 4 * HOUR_MS + 1]);
    let report = db.maintain().unwrap();
    assert_eq!(report, MaintainReport { blocks_written: 1, ..MaintainReport::default() });
    let stats = db.stats();
    let meta = &stats.blocks[0];
    // Up to the next multiple of two hours.
    assert_eq!((meta.min_time_ms, meta.max_time_ms), (HOUR_MS, 2 * HOUR_MS));
    assert_eq!((meta.compaction.level, meta.stats.num_samples), (1, 60));
    assert_eq!(stats.head_span, Some(TimeRange::new(2 * HOUR_MS, 4 * HOUR_MS + 1)));
    let expected = [each_minute(1, 4), vec![4 * HOUR_MS, 4 * HOUR_MS + 1]].concat();
    assert_eq!(times(&db, "m"), expected);
    // And after a restart, in which the log has more than the head.
    db.close().unwrap();
    let db = place.open();
    assert_eq!(times(&db, "m"), expected);
    assert_eq!(db.stats().head_span, stats.head_span);
    assert_eq!(db.stats().replay.samples_in_blocks, 60);
}

#[test]
fn a_long_gap_is_cut_over_without_empty_blocks() {
    let place = Place::in_memory();
    let db = place.open();
    append(&db, "m", [0, 1]);
    append(&db, "m", [100 * HOUR_MS]);
    assert_eq!(db.maintain().unwrap().blocks_written, 1);
    assert_eq!(times(&db, "m"), [0, 1, 100 * HOUR_MS]);
    assert_eq!(db.stats().head_span, Some(TimeRange::new(100 * HOUR_MS, 100 * HOUR_MS)));
}

#[test]
fn a_flush_leaves_nothing_in_memory_and_later_samples_follow() {
    let place = Place::in_memory();
    let db = place.open();
    append_hours(&db, "m", 0, 5);
    append_hours(&db, "n", 4, 5);
    let report = db.flush().unwrap();
    assert_eq!(report.blocks_written, 3);
    let stats = db.stats();
    assert_eq!((stats.head_series, stats.head_chunks, stats.head_span), (0, 0, None));
    let last = stats.blocks.last().unwrap();
    assert_eq!(last.max_time_ms, 5 * HOUR_MS - MINUTE_MS + 1);
    assert_eq!(times(&db, "m"), each_minute(0, 5));
    append_hours(&db, "m", 5, 6);
    assert_eq!(db.flush().unwrap().blocks_written, 1);
    assert_eq!(db.flush().unwrap().blocks_written, 0);
    assert_eq!(times(&db, "m"), each_minute(0, 6));
    assert_eq!(times(&db, "n"), each_minute(4, 5));
}

#[test]
fn readers_miss_nothing_and_count_nothing_twice_while_blocks_are_cut() {
    let place = Place::in_memory();
    let db = place.open();
    append_hours(&db, "m", 0, 1);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut longest = 0;
            while !is_over.load(Ordering::SeqCst) {
                // The answer is read late: the head may be truncated in between.
                let ask = Select::new(Vec::new(), TimeRange::ALL);
                let set = db.select(&ask).unwrap();
                std::thread::yield_now();
                let mut column = Column::new();
                set.series[0].read(TimeRange::ALL, &mut column).unwrap();
                let expected = (0..column.len() as i64).map(|minute| minute * MINUTE_MS);
                assert!(column.timestamps.iter().copied().eq(expected));
                assert!(column.len() >= longest);
                longest = column.len();
            }
        });
        for hour in 1..40 {
            append_hours(&db, "m", hour, hour + 1);
            if hour % 3 == 0 {
                db.flush().unwrap();
            } else {
                db.maintain().unwrap();
            }
        }
        is_over.store(true, Ordering::SeqCst);
        reader.join().unwrap();
    });
    assert_eq!(times(&db, "m"), each_minute(0, 40));
}

#[test]
fn a_block_that_is_cut_in_the_middle_of_a_question_neither_hides_nor_doubles_samples() {
    let place = Place::in_memory();
    let db = place.open();
    append_hours(&db, "m", 0, 5);
    let ask = Select::new(Vec::new(), TimeRange::ALL);
    let cut = || assert_eq!(db.flush().unwrap().blocks_written, 3);
    let set = db.select_with(&ask, cut).unwrap();
    let mut column = Column::new();
    set.series[0].read(TimeRange::ALL, &mut column).unwrap();
    assert_eq!((set.series.len(), column.timestamps), (1, each_minute(0, 5)));
}

#[test]
fn names_and_values_come_from_memory_and_blocks() {
    let place = Place::in_memory();
    let db = place.open();
    append(&db, "old", [0]);
    db.flush().unwrap();
    append(&db, "new", [HOUR_MS]);
    let texts = |texts: Vec<Arc<str>>| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut ask = Select::new(Vec::new(), TimeRange::ALL);
    assert_eq!(texts(db.label_names(&ask).unwrap()), ["__name__", "job"]);
    assert_eq!(texts(db.label_values("__name__", &ask).unwrap()), ["new", "old"]);
    assert_eq!(texts(db.label_values("job", &ask).unwrap()), ["test"]);
    ask.hints.limit = 1;
    assert_eq!(texts(db.label_values("__name__", &ask).unwrap()), ["new"]);
    ask = Select::new(vec![Matcher::equal("__name__", "new")], TimeRange::ALL);
    assert_eq!(texts(db.label_values("__name__", &ask).unwrap()), ["new"]);
    ask = Select::new(Vec::new(), TimeRange::new(HOUR_MS, HOUR_MS));
    assert_eq!(texts(db.label_values("__name__", &ask).unwrap()), ["new"]);
}

#[test]
fn old_blocks_go_when_newer_ones_are_far_ahead() {
    let place = Place::in_memory();
    let options = TsdbOptions { retention_ms: 4 * HOUR_MS, ..options() };
    let registry = Registry::new();
    let db = place.open_with(options, &registry).unwrap();
    append_hours(&db, "m", 0, 8);
    let report = db.flush().unwrap();
    // Ends at 2, 4, 6 and almost 8 hours: the first is too far behind.
    assert_eq!((report.blocks_written, report.blocks_removed), (4, 1));
    assert_eq!(times(&db, "m"), each_minute(2, 8));
    assert_eq!(place.blocks().len(), 3);
    let removed = registry.counter("prometheus_tsdb_time_retentions_total", "");
    assert_eq!(removed.get(), 1);
}

#[test]
fn old_blocks_go_when_all_take_too_much_room() {
    let place = Place::in_memory();
    let db = place.open();
    append_hours(&db, "m", 0, 8);
    db.flush().unwrap();
    let stats = db.stats();
    db.close().unwrap();
    let retention_bytes = stats.log_bytes + stats.blocks_bytes - 1;
    let db =
        place.open_with(TsdbOptions { retention_bytes, ..options() }, &Registry::new()).unwrap();
    assert_eq!(db.maintain().unwrap().blocks_removed, 1);
    assert_eq!(times(&db, "m"), each_minute(2, 8));
}

#[test]
fn an_answer_outlives_the_block_that_it_came_from() {
    let dir = TempDir::new().unwrap();
    let place = Place::on_disk(dir.path());
    let options = TsdbOptions { retention_ms: HOUR_MS, ..options() };
    let db = place.open_with(options, &Registry::new()).unwrap();
    append_hours(&db, "m", 0, 2);
    db.flush().unwrap();
    let set = db.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap();
    append_hours(&db, "m", 6, 8);
    assert_eq!(db.flush().unwrap().blocks_removed, 1);
    let mut column = Column::new();
    set.series[0].read(TimeRange::ALL, &mut column).unwrap();
    assert_eq!(column.timestamps, each_minute(0, 2));
    assert_eq!(times(&db, "m"), each_minute(6, 8));
}

#[test]
fn a_directory_has_one_owner_at_a_time() {
    let place = Place::in_memory();
    let registry = Registry::new();
    let db = place.open_with(options(), &registry).unwrap();
    let clean_start = registry.gauge("prometheus_tsdb_clean_start", "");
    assert_eq!(clean_start.get(), 1.0);
    let second = place.open_with(options(), &Registry::new());
    assert!(matches!(second, Err(TsdbError::Locked(_))), "{second:?}");
    db.close().unwrap();
    db.close().unwrap();
    assert!(!place.disk.exists(&place.dir.join("lock")));
    let refused = db.append(&mut batch_of_one(), OnReject::KeepRest);
    assert!(matches!(refused, Err(AppendError::Unavailable(_))));
    assert!(matches!(db.maintain(), Err(TsdbError::Closed)));
    // A lock that is left behind is only reported.
    place.disk.create(&place.dir.join("lock")).unwrap();
    let _again = place.open_with(options(), &registry).unwrap();
    assert_eq!(clean_start.get(), 0.0);
}

fn batch_of_one() -> Batch {
    let mut batch = Batch::new();
    batch.push_series(SeriesRef::UNKNOWN, labels("m").as_ref());
    batch.push_sample(1, 1.0);
    batch
}

#[test]
fn the_last_handle_closes_the_directory() {
    let place = Place::in_memory();
    let db = place.open();
    let other = db.clone();
    append(&db, "m", [1]);
    drop(db);
    append(&other, "m", [2]);
    drop(other);
    let db = place.open();
    assert_eq!(times(&db, "m"), [1, 2]);
}

#[test]
fn what_a_crash_left_is_removed_and_nothing_else() {
    let place = Place::in_memory();
    drop(place.open());
    let ulid = "01M83B5J6D55256HXHX7TQ9VN0";
    let gone = ["tmp-for-creation", "tmp-for-deletion", "tmp"].map(|end| format!("{ulid}.{end}"));
    let kept = ["notes.tmp".to_owned(), "snapshots".to_owned(), format!("{ulid}.bak")];
    for name in gone.iter().chain(&kept) {
        place.disk.create_dir_all(&place.dir.join(name).join("chunks")).unwrap();
    }
    let _db = place.open();
    let exists = |name: &String| place.disk.exists(&place.dir.join(name));
    assert!(!gone.iter().any(exists) && kept.iter().all(exists));
}

#[test]
fn a_block_that_cannot_be_read_is_left_out_and_left_alone() {
    let place = Place::in_memory();
    let db = place.open();
    append_hours(&db, "m", 0, 4);
    db.flush().unwrap();
    let hurt = db.stats().blocks[1].ulid.to_string();
    db.close().unwrap();
    let path = place.dir.join(&hurt);
    place.disk.create(&path.join("index")).unwrap();
    let registry = Registry::new();
    let db = place.open_with(options(), &registry).unwrap();
    let stats = db.stats();
    assert_eq!((stats.blocks.len(), stats.unreadable_blocks.len()), (1, 1));
    assert_eq!(stats.unreadable_blocks.keys().next().unwrap().to_string(), hurt);
    assert_eq!(registry.gauge("promlite_tsdb_blocks_unreadable", "").get(), 1.0);
    assert!(place.disk.exists(&path.join("meta.json")));
    db.maintain().unwrap();
    assert!(place.disk.exists(&path.join("meta.json")));
    // What the log still has of it is there.
    assert_eq!(times(&db, "m").len(), 240);
}

#[test]
fn a_block_put_into_the_directory_is_found_by_the_next_round() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (from, to) = (Place::on_disk(from.path()), Place::on_disk(to.path()));
    let (writer, reader) = (from.open(), to.open());
    append_hours(&writer, "m", 0, 1);
    writer.flush().unwrap();
    let block = from.blocks()[0].clone();
    to.disk.rename(&from.dir.join(&block), &to.dir.join(&block)).unwrap();
    assert_eq!(times(&reader, "m"), [0_i64; 0]);
    reader.maintain().unwrap();
    assert_eq!(times(&reader, "m"), each_minute(0, 1));
    writer.maintain().unwrap();
    assert_eq!(times(&writer, "m"), [0_i64; 0]);
}

#[test]
fn a_block_that_another_replaces_goes() {
    let place = Place::in_memory();
    let db = place.open();
    append_hours(&db, "m", 0, 4);
    db.flush().unwrap();
    let metas = db.stats().blocks;
    db.close().unwrap();
    // The second says that it was made from the first.
    let mut child = metas[1].clone();
    child.compaction.parents = vec![crate::storage::block::BlockParent {
        ulid: metas[0].ulid,
        min_time_ms: metas[0].min_time_ms,
        max_time_ms: metas[0].max_time_ms,
    }];
    child.write(&*place.disk, &place.dir.join(child.ulid.to_string())).unwrap();
    let db = place.open();
    assert_eq!(place.blocks(), [child.ulid.to_string()]);
    assert_eq!(times(&db, "m"), each_minute(2, 4));
}

#[test]
fn the_thread_cuts_a_block_when_one_is_due() {
    let place = Place::in_memory();
    let registry = Registry::new();
    let with_thread = TsdbOptions { background: true, ..options() };
    let db = place.open_with(with_thread, &registry).unwrap();
    append_hours(&db, "m", 0, 4);
    let blocks = registry.gauge("prometheus_tsdb_blocks_loaded", "");
    for _ in 0..3000 {
        if blocks.get() > 0.0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(blocks.get(), 1.0);
    assert_eq!(times(&db, "m"), each_minute(0, 4));
    drop(db);
    place.open();
}

#[test]
fn the_metrics_say_what_there_is() {
    let place = Place::in_memory();
    let registry = Registry::new();
    let db = place.open_with(options(), &registry).unwrap();
    append_hours(&db, "m", 0, 4);
    append(&db, "n", [4 * HOUR_MS]);
    db.maintain().unwrap();
    let families = registry.gather();
    let read = |name: &str| {
        let family = families.iter().find(|family| family.name == name);
        match &family.unwrap_or_else(|| panic!("no {name}")).members[0].1 {
            Value::Number(number) => *number,
            Value::Histogram { count, .. } => *count as f64,
        }
    };
    assert_eq!(read("prometheus_tsdb_head_series"), 2.0);
    assert_eq!(read("prometheus_tsdb_head_series_created_total"), 2.0);
    assert_eq!(read("prometheus_tsdb_head_samples_appended_total"), 241.0);
    assert_eq!(read("prometheus_tsdb_head_chunks"), db.stats().head_chunks as f64);
    assert_eq!(read("prometheus_tsdb_head_min_time"), 2.0 * HOUR_MS as f64);
    assert_eq!(read("prometheus_tsdb_head_max_time_seconds"), 4.0 * 3600.0);
    assert_eq!(read("prometheus_tsdb_compactions_total"), 1.0);
    assert_eq!(read("prometheus_tsdb_blocks_loaded"), 1.0);
    assert_eq!(read("prometheus_tsdb_lowest_timestamp"), 0.0);
    assert_eq!(read("prometheus_tsdb_storage_blocks_bytes"), db.stats().blocks_bytes as f64);
    drop(db);
    assert_eq!(registry.gauge("prometheus_tsdb_head_series", "").get(), 0.0);
}

#[test]
fn a_snapshot_is_a_directory_with_everything_of_the_moment() {
    let dir = TempDir::new().unwrap();
    let place = Place::on_disk(dir.path());
    let db = place.open();
    append_hours(&db, "m", 0, 3);
    db.flush().unwrap();
    append_hours(&db, "m", 3, 4);
    db.delete(&[vec![Matcher::equal("__name__", "m")]], TimeRange::new(0, HOUR_MS - 1)).unwrap();
    let name = db.snapshot(true).unwrap();
    assert!(name.starts_with("20260105T000000Z-") && name.len() == 33, "{name}");
    let without_head = db.snapshot(false).unwrap();
    append_hours(&db, "m", 4, 5);
    // What becomes of the original does not matter.
    db.delete(&[Vec::new()], TimeRange::ALL).unwrap();
    db.clean_tombstones().unwrap();
    let of = |name: &str| Place::on_disk(&dir.path().join("snapshots").join(name)).open();
    assert_eq!(times(&of(&name), "m"), each_minute(1, 4));
    assert_eq!(times(&of(&without_head), "m"), each_minute(1, 3));
    let metas = of(&name).stats().blocks;
    let last = metas.last().unwrap();
    let span = (last.min_time_ms, last.max_time_ms);
    assert_eq!(span, (3 * HOUR_MS, 4 * HOUR_MS - MINUTE_MS + 1));
}

#[test]
fn a_snapshot_that_fails_leaves_nothing() {
    let disk = FaultyDisk::new();
    let place = Place { disk: disk.shared(), dir: PathBuf::from("/data") };
    let db = place.open();
    append_hours(&db, "m", 0, 3);
    db.flush().unwrap();
    disk.set_full(true);
    assert!(db.snapshot(true).is_err());
    assert_eq!(place.disk.list(&place.dir.join("snapshots")).unwrap(), []);
}

#[test]
fn a_directory_that_is_open_can_be_looked_at_without_a_trace() {
    let dir = TempDir::new().unwrap();
    let place = Place::on_disk(dir.path());
    let db = place.open();
    append_hours(&db, "m", 0, 3);
    db.flush().unwrap();
    append_hours(&db, "m", 3, 4);
    let listing = || {
        let mut found = Vec::new();
        let mut folders = vec![dir.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in place.disk.list(&folder).unwrap() {
                let path = folder.join(&entry.name);
                if entry.is_dir {
                    folders.push(path);
                } else {
                    found.push((path.clone(), place.disk.read(&path).unwrap()));
                }
            }
        }
        found.sort();
        found
    };
    let before = listing();
    let reader = ReadOnlyTsdb::open_at(dir.path(), &options()).unwrap();
    assert_eq!(times(&reader, "m"), each_minute(0, 4));
    assert!(listing() == before);
    append_hours(&db, "m", 4, 5);
    db.flush().unwrap();
    assert_eq!(times(&reader, "m"), each_minute(0, 4));
    drop(reader);
    let reader = ReadOnlyTsdb::open_at(dir.path(), &options()).unwrap();
    assert_eq!(times(&reader, "m"), each_minute(0, 5));
    let missing = ReadOnlyTsdb::open_at(dir.path().join("none"), &options());
    assert!(matches!(missing, Err(TsdbError::Io { .. })));
    assert!(!dir.path().join("none").exists());
}

#[test]
fn a_querier_sees_its_window_of_time_and_nothing_else() {
    let place = Place::in_memory();
    let db = place.open();
    append_hours(&db, "old", 0, 1);
    append_hours(&db, "m", 1, 4);
    db.flush().unwrap();
    append_hours(&db, "m", 4, 5);
    let querier = db.querier(2 * HOUR_MS, 4 * HOUR_MS);
    let expected = [each_minute(2, 4), vec![4 * HOUR_MS]].concat();
    assert_eq!(times(&querier, "m"), expected);
    let ask = Select::new(Vec::new(), TimeRange::ALL);
    assert_eq!(querier.label_values("__name__", &ask).unwrap().len(), 1);
    let ask = Select::new(Vec::new(), TimeRange::new(0, HOUR_MS));
    assert!(querier.select(&ask).unwrap().series.is_empty());
}

#[test]
fn each_step_of_upkeep_can_be_called_by_hand() {
    let place = Place::in_memory();
    let options =
        TsdbOptions { retention_ms: 12 * HOUR_MS, max_block_range_ms: 6 * HOUR_MS, ..options() };
    let db = place.open_with(options, &Registry::new()).unwrap();
    append_hours(&db, "m", 0, 22);
    let mut cuts = 0;
    while db.cut_head().unwrap() {
        cuts += 1;
    }
    assert_eq!((cuts, db.stats().blocks.len()), (10, 10));
    db.truncate().unwrap();
    assert_eq!(db.apply_retention().unwrap(), 4);
    assert_eq!(times(&db, "m"), each_minute(8, 22));
    assert!(db.compact_once().unwrap() && db.compact_once().unwrap());
    assert!(!db.compact_once().unwrap());
    assert_eq!(db.reload().unwrap(), 0);
    let spans: Vec<_> = db
        .stats()
        .blocks
        .iter()
        .map(|b| (b.min_time_ms / HOUR_MS, b.max_time_ms / HOUR_MS))
        .collect();
    assert_eq!(spans, [(8, 12), (12, 18), (18, 20)]);
    db.close().unwrap();
    assert!(matches!(db.cut_head(), Err(TsdbError::Closed)));
    assert!(matches!(db.delete(&[], TimeRange::ALL), Err(TsdbError::Closed)));
}

#[test]
fn late_samples_become_blocks_beside_others_and_are_merged_with_them() {
    let place = Place::in_memory();
    let with_window = TsdbOptions { out_of_order_window_ms: 3 * HOUR_MS, ..options() };
    let db = place.open_with(with_window.clone(), &Registry::new()).unwrap();
    let even = |from: i64, until: i64| (from * 30..until * 30).map(|half| half * 2 * MINUTE_MS);
    even(0, 4).for_each(|time_ms| append(&db, "m", [time_ms]));
    let odd = even(2, 4).map(|time_ms| time_ms + MINUTE_MS);
    odd.clone().for_each(|time_ms| append(&db, "m", [time_ms]));
    let mut wanted: Vec<i64> = even(0, 4).chain(odd).collect();
    wanted.sort_unstable();
    assert_eq!(times(&db, "m"), wanted);

    let report = db.maintain().unwrap();
    assert_eq!((report.blocks_written, report.blocks_merged), (2, 0));
    let hints = |db: &Tsdb| -> Vec<_> {
        let blocks = db.stats().blocks.into_iter();
        blocks.map(|meta| (meta.min_time_ms / HOUR_MS, meta.compaction.hints.len())).collect()
    };
    assert_eq!(hints(&db), [(0, 0), (2, 1)]);
    assert_eq!(times(&db, "m"), wanted);
    // The late block does not hide from the next start what only the log has.
    db.close().unwrap();
    let db = place.open_with(with_window, &Registry::new()).unwrap();
    assert_eq!(times(&db, "m"), wanted);

    even(4, 6).for_each(|time_ms| append(&db, "m", [time_ms]));
    wanted.extend(even(4, 6));
    let report = db.maintain().unwrap();
    // Late chunks whose file is still needed come back with a start, and go to a block once more.
    assert_eq!(report.blocks_merged, 1);
    assert_eq!(hints(&db), [(0, 0), (2, 0)]);
    assert_eq!(times(&db, "m"), wanted);
}

#[test]
fn what_is_deleted_in_memory_stays_so_in_blocks_and_after_a_start() {
    let place = Place::in_memory();
    let db = place.open();
    for time_ms in each_minute(0, 4) {
        append(&db, "m", [time_ms]);
        append(&db, "n", [time_ms]);
    }
    db.delete(&[vec![Matcher::equal("__name__", "m")]], TimeRange::new(HOUR_MS, 3 * HOUR_MS))
        .unwrap();
    let wanted = [each_minute(0, 1), each_minute(3, 4).split_off(1)].concat();
    assert_eq!((times(&db, "m"), times(&db, "n")), (wanted.clone(), each_minute(0, 4)));
    db.close().unwrap();
    let db = place.open();
    assert_eq!((times(&db, "m"), times(&db, "n")), (wanted.clone(), each_minute(0, 4)));
    db.flush().unwrap();
    assert_eq!((times(&db, "m"), times(&db, "n")), (wanted, each_minute(0, 4)));
}
