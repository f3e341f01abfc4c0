//! What survives a crash of the machine, by the chosen durability.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use super::*;
use crate::disk::{Crash, FaultyDisk};

fn with(durability: Durability) -> WalOptions {
    WalOptions { durability, ..options(Compression::None) }
}

fn survivors(disk: &FaultyDisk) -> usize {
    let next = shared(&disk.crash(Crash::Power));
    recovered(&next).0.len()
}

#[test]
fn a_batch_is_on_disk_as_early_as_was_chosen() {
    for (durability, survive) in [(Durability::Process, 0), (Durability::EachCommit, 3)] {
        let disk = FaultyDisk::new();
        let mut wal = open(&shared(&disk), with(durability));
        let syncer = wal.syncer();
        for number in 0..3 {
            let position = wal.log(&[&numbered(number, 100)]).unwrap();
            syncer.commit(position).unwrap();
        }
        assert_eq!(survivors(&disk), survive, "{durability:?}");
        // What is on disk already is not synced again.
        let syncs = disk.counts().syncs;
        syncer.commit(wal.current()).unwrap();
        assert_eq!(disk.counts().syncs, syncs);
        wal.sync().unwrap();
        assert_eq!(survivors(&disk), 3);
    }
}

#[test]
fn a_commit_in_a_new_segment_is_on_disk_too() {
    let disk = FaultyDisk::new();
    let mut wal = open(&shared(&disk), with(Durability::EachCommit));
    let syncer = wal.syncer();
    for number in 0..40 {
        let position = wal.log(&[&numbered(number, 20_000)]).unwrap();
        syncer.commit(position).unwrap();
        assert_eq!(survivors(&disk), number as usize + 1);
    }
    assert!(wal.current().segment > 5);
}

#[test]
fn commits_that_wait_share_a_sync() {
    let disk = FaultyDisk::new();
    let wal = open(&shared(&disk), with(Durability::EachCommit));
    let syncer = wal.syncer();
    let before = disk.counts().syncs;
    let wal = Mutex::new(wal);
    const THREADS: u64 = 8;
    const EACH: u64 = 50;
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (wal, syncer) = (&wal, &syncer);
            scope.spawn(move || {
                for number in 0..EACH {
                    let record = numbered(thread * EACH + number, 60);
                    let position = wal.lock().unwrap().log(&[&record]).unwrap();
                    syncer.commit(position).unwrap();
                }
            });
        }
    });
    assert_eq!(survivors(&disk), (THREADS * EACH) as usize);
    assert!(disk.counts().syncs - before <= THREADS * EACH);
    // All that were logged before anybody asked take one sync.
    let positions: Vec<Position> =
        (0..10).map(|number| wal.lock().unwrap().log(&[&numbered(number, 60)]).unwrap()).collect();
    let before = disk.counts().syncs;
    for position in positions {
        syncer.commit(position).unwrap();
    }
    assert_eq!(disk.counts().syncs - before, 1);
}

#[test]
fn an_interval_syncs_without_being_asked_and_ends_with_the_log() {
    let disk = FaultyDisk::new();
    let mut wal = open(&shared(&disk), with(Durability::Interval { ms: 1 }));
    wal.log(&[&numbered(1, 100)]).unwrap();
    wal.syncer().commit(wal.current()).unwrap();
    let mut waits = 0;
    while survivors(&disk) == 0 {
        thread::sleep(Duration::from_millis(2));
        waits += 1;
        assert!(waits < 10_000, "never synced");
    }
    // With nothing new there is nothing to sync.
    thread::sleep(Duration::from_millis(20));
    let syncs = disk.counts().syncs;
    thread::sleep(Duration::from_millis(20));
    assert_eq!(disk.counts().syncs, syncs);
    drop(wal);
}

#[test]
fn after_a_failed_sync_the_segment_is_never_called_synced() {
    let disk = FaultyDisk::new();
    let mut wal = open(&shared(&disk), with(Durability::EachCommit));
    let syncer = wal.syncer();
    let first = wal.log(&[&numbered(1, 100)]).unwrap();
    disk.fail_sync(disk.counts().syncs + 1);
    assert!(syncer.commit(first).is_err());
    assert!(syncer.commit(first).is_err());
    // The next batch goes to a segment of its own, which can be trusted.
    let second = wal.log(&[&numbered(2, 100)]).unwrap();
    assert_eq!(second.segment, first.segment + 1);
    syncer.commit(second).unwrap();
    assert_eq!(survivors(&disk), 2);
}
