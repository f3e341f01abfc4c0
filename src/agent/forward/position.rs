//! How far sending has come, in memory and on disk.
//!
//! Records of the log are handed out in order and acknowledged in any order. Everything before the
//! oldest record with an unacknowledged sample is done.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::disk::{SharedDisk, write_atomic};
use crate::storage::wal::Position;

use super::options::Source;

/// Samples of a batch that came from one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    /// The record, as [`Tracker::open`] numbered it.
    pub(super) record: u64,
    pub(super) count: usize,
}

/// Follows records from being read to being sent.
#[derive(Debug)]
pub(super) struct Tracker(Mutex<State>);

#[derive(Debug)]
struct State {
    done: Position,
    /// Number of the first of `records`.
    first: u64,
    records: VecDeque<Record>,
}

#[derive(Debug)]
struct Record {
    /// The place behind it. Records of a checkpoint have none, as the place behind the checkpoint
    /// is reached with its last record only.
    end: Option<Position>,
    unsent: usize,
}

impl Tracker {
    pub(super) const fn at(done: Position) -> Self {
        Self(Mutex::new(State { done, first: 0, records: VecDeque::new() }))
    }

    /// Everything before this place is sent.
    pub(super) fn done(&self) -> Position {
        self.0.lock().done
    }

    /// A record was read that holds `samples` samples to be sent; gives its number.
    pub(super) fn open(&self, end: Option<Position>, samples: usize) -> u64 {
        let mut state = self.0.lock();
        match (samples, state.records.back_mut(), end) {
            (0, Some(last), Some(_)) => last.end = end,
            (0, None, Some(end)) => state.done = end,
            (0, _, None) => {}
            _ => state.records.push_back(Record { end, unsent: samples }),
        }
        (state.first + state.records.len() as u64).saturating_sub(1)
    }

    /// Samples of these records were sent, or refused for good.
    pub(super) fn acknowledge(&self, shares: &[Share]) {
        let mut state = self.0.lock();
        for share in shares {
            let index = share.record.checked_sub(state.first).map(|index| index as usize);
            if let Some(record) = index.and_then(|index| state.records.get_mut(index)) {
                record.unsent = record.unsent.saturating_sub(share.count);
            }
        }
        while let Some(record) = state.records.pop_front_if(|record| record.unsent == 0) {
            state.first += 1;
            state.done = record.end.unwrap_or(state.done);
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    version: u32,
    segment: u32,
    offset_bytes: u64,
}

const VERSION: u32 = 1;

/// The file that survives a restart.
#[derive(Debug)]
pub(super) struct PositionFile {
    disk: SharedDisk,
    path: PathBuf,
    saved: Mutex<Option<Position>>,
}

impl PositionFile {
    pub(super) fn new(source: &Source, name: &str) -> Self {
        let path = source.data_dir.join("remote_write").join(file_name(name));
        Self { disk: source.disk.clone(), path, saved: Mutex::new(None) }
    }

    /// The place written down, if it is one of the log that is there now. Without one, sending
    /// starts with the first sample of the log: better twice than never.
    pub(super) fn load_within(&self, source: &Source) -> Option<Position> {
        let name = self.path.display();
        let position = match self.load() {
            Ok(position) => position?,
            Err(error) => {
                tracing::warn!(%name, %error, "the position cannot be read; all is sent again");
                return None;
            }
        };
        if is_behind(source, position).unwrap_or(false) {
            tracing::warn!(%name, ?position, "the position is of another log; all is sent");
            return None;
        }
        *self.saved.lock() = Some(position);
        Some(position)
    }

    fn load(&self) -> io::Result<Option<Position>> {
        let bytes = match self.disk.read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes?,
        };
        let saved: Saved = serde_json::from_slice(&bytes)?;
        if saved.version != VERSION {
            return Err(io::Error::other(format!("version {} is not known", saved.version)));
        }
        Ok(Some(Position { segment: saved.segment, offset_bytes: saved.offset_bytes }))
    }

    /// Writes the place down unless it stands there already.
    pub(super) fn save(&self, position: Position) -> io::Result<()> {
        let mut saved = self.saved.lock();
        if *saved == Some(position) {
            return Ok(());
        }
        if let Some(dir) = self.path.parent() {
            self.disk.create_dir_all(dir)?;
        }
        let Position { segment, offset_bytes } = position;
        let text = serde_json::to_vec(&Saved { version: VERSION, segment, offset_bytes })?;
        write_atomic(&*self.disk, &self.path, &text)?;
        *saved = Some(position);
        Ok(())
    }
}

/// True for a place that the log has not reached: then the log is another one.
fn is_behind(source: &Source, position: Position) -> io::Result<bool> {
    let entries = match source.disk.list(&source.wal_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        entries => entries?,
    };
    let segments = entries.iter().filter(|entry| !entry.is_dir);
    let last = segments
        .filter_map(|entry| Some((entry.name.parse::<u32>().ok()?, entry.len_bytes)))
        .max()
        .unwrap_or_default();
    Ok((position.segment, position.offset_bytes) > last && !position.is_in_checkpoint())
}

/// A name that any disk takes: other chars are replaced, and told apart by a hash.
fn file_name(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.chars().all(is_plain) && name.len() <= 64 {
        return format!("{name}.json");
    }
    let plain: String = name.chars().take(64).map(|c| if is_plain(c) { c } else { '_' }).collect();
    let hash = xxhash_rust::xxh64::xxh64(name.as_bytes(), 0);
    format!("{plain}.{hash:016x}.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SystemClock;
    use crate::disk::MemoryDisk;
    use crate::model::Labels;

    const fn place(segment: u32, offset_bytes: u64) -> Position {
        Position { segment, offset_bytes }
    }

    #[test]
    fn what_is_done_ends_before_the_oldest_unsent_record() {
        let tracker = Tracker::at(place(0, 0));
        let first = tracker.open(Some(place(0, 10)), 2);
        let second = tracker.open(Some(place(0, 20)), 1);
        tracker.open(Some(place(0, 30)), 0);
        tracker.acknowledge(&[Share { record: second, count: 1 }]);
        assert_eq!(tracker.done(), place(0, 0));
        tracker.acknowledge(&[Share { record: first, count: 1 }]);
        assert_eq!(tracker.done(), place(0, 0));
        tracker.acknowledge(&[Share { record: first, count: 1 }]);
        assert_eq!(tracker.done(), place(0, 30));
        tracker.open(Some(place(1, 5)), 0);
        assert_eq!(tracker.done(), place(1, 5));
        let third = tracker.open(Some(place(1, 9)), 1);
        tracker.acknowledge(&[Share { record: third, count: 1 }]);
        assert_eq!(tracker.done(), place(1, 9));
    }

    #[test]
    fn a_checkpoint_is_done_only_when_it_is_read_to_its_end() {
        let tracker = Tracker::at(place(2, 0));
        let first = tracker.open(None, 1);
        tracker.acknowledge(&[Share { record: first, count: 1 }]);
        assert_eq!(tracker.done(), place(2, 0));
        tracker.open(None, 0);
        tracker.open(Some(place(5, 7)), 0);
        assert_eq!(tracker.done(), place(5, 7));
    }

    fn source() -> Source {
        Source {
            disk: MemoryDisk::shared(),
            clock: SystemClock::shared(),
            wal_dir: "/data/wal".into(),
            progress: None,
            data_dir: "/data".into(),
            external_labels: Labels::empty(),
        }
    }

    fn write(source: &Source, path: &str, bytes: &[u8]) {
        let path = std::path::Path::new(path);
        source.disk.create_dir_all(path.parent().unwrap()).unwrap();
        source.disk.create(path).unwrap().write_all(bytes).unwrap();
    }

    #[test]
    fn a_position_comes_back_while_its_log_is_there() {
        let source = source();
        write(&source, "/data/wal/00000003", &[0; 100]);
        let file = PositionFile::new(&source, "hub");
        assert_eq!(file.load_within(&source), None);
        file.save(place(3, 70)).unwrap();
        let text = source.disk.read("/data/remote_write/hub.json".as_ref()).unwrap();
        assert_eq!(text, br#"{"version":1,"segment":3,"offset_bytes":70}"#);
        assert_eq!(PositionFile::new(&source, "hub").load_within(&source), Some(place(3, 70)));
        for behind in [place(3, 101), place(4, 0)] {
            file.save(behind).unwrap();
            assert_eq!(PositionFile::new(&source, "hub").load_within(&source), None);
        }
        source.disk.remove_dir_all("/data/wal".as_ref()).unwrap();
        file.save(place(0, 1)).unwrap();
        assert_eq!(PositionFile::new(&source, "hub").load_within(&source), None);
    }

    #[test]
    fn an_unreadable_position_means_that_all_is_sent() {
        let source = source();
        for text in ["", "{", r#"{"version":2,"segment":0,"offset_bytes":0}"#, "[1]"] {
            write(&source, "/data/remote_write/hub.json", text.as_bytes());
            assert_eq!(PositionFile::new(&source, "hub").load_within(&source), None, "{text}");
        }
    }

    #[test]
    fn any_name_is_a_file_of_the_folder() {
        assert_eq!(file_name("hub-1_a"), "hub-1_a.json");
        for name in ["../x", "a/b", "a.b", "é", ".", &"x".repeat(300)] {
            let file = file_name(name);
            assert!(file.len() < 100 && !file.contains('/') && !file.starts_with('.'), "{file}");
        }
        assert_ne!(file_name("a/b"), file_name("a:b"));
    }
}
