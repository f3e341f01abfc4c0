//! Everything is tried on directories that Prometheus wrote.

use std::path::Path;

use super::*;
use crate::disk::{Disk, MemoryDisk, RealDisk, SharedDisk};
use crate::model::{MatchOp, Matcher};
use crate::testkit::golden;

fn verified(disk: &SharedDisk, dir: &Path) -> (Verified, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut last = Progress::default();
    let done = verify(disk, dir, &mut |finding| findings.push(finding), &mut |progress| {
        assert!(progress.done_bytes >= last.done_bytes);
        last = progress;
    });
    assert!(last.done_bytes <= last.all_bytes, "{last:?}");
    (done.unwrap(), findings)
}

#[test]
fn directories_of_prometheus_are_sound() {
    let disk = RealDisk::shared();
    for name in golden::FOLDERS {
        let (done, findings) = verified(&disk, &golden::data(name));
        assert_eq!(findings, [], "{name}");
        assert_eq!(done.findings, 0);
        assert!(done.records > 100, "{name}: {done:?}");
        assert_eq!(done.blocks, golden::blocks(name).len() as u64);
        let has_chunks = name != golden::AGENT;
        assert_eq!(done.chunks > 20, has_chunks, "{name}: {done:?}");
    }
}

#[test]
fn downsampled_blocks_of_thanos_are_sound() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden/thanos/downsample");
    for (name, samples) in [("5m", 2902), ("1h", 283)] {
        let (done, findings) = verified(&RealDisk::shared(), &folder.join(name));
        assert_eq!(findings, [], "{name}");
        assert_eq!((done.blocks, done.series), (1, 16));
        assert_eq!(done.samples, samples, "{name}");
    }
}

/// Every file of a directory, below it.
fn files(disk: &dyn Disk, dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in disk.list(dir).unwrap() {
        let path = dir.join(&entry.name);
        match entry.is_dir {
            true => found.extend(files(disk, &path)),
            false if entry.len_bytes > 0 => found.push(path),
            false => {}
        }
    }
    found
}

fn write(disk: &SharedDisk, path: &Path, bytes: &[u8]) {
    disk.create(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn a_changed_byte_anywhere_is_found_in_its_file_and_nothing_is_changed() {
    for name in ["blocks", "out-of-order", "start-timestamps"] {
        let disk = MemoryDisk::shared();
        let dir = Path::new("/data");
        golden::copy_to(&*disk, &golden::data(name), dir);
        for (index, path) in files(&*disk, dir).into_iter().enumerate() {
            let sound = disk.read(&path).unwrap();
            let mut damaged = sound.clone();
            // Near the start, so that it is not in the room that a file has left over; of a
            // header only what its reader must understand is looked at.
            let place = (8 + 17 * index % 40).min(sound.len() - 1);
            damaged[place] ^= 0x10;
            write(&disk, &path, &damaged);
            let (done, findings) = verified(&disk, dir);
            assert!(done.findings > 0, "{} at {place} of {}", path.display(), sound.len());
            let is_named = |finding: &Finding| finding.path == path;
            assert!(findings.iter().any(is_named), "{}: {findings:?}", path.display());
            assert_eq!(disk.read(&path).unwrap(), damaged);
            write(&disk, &path, &sound);
        }
        assert_eq!(verified(&disk, dir).1, []);
    }
}

#[test]
fn a_shortened_file_is_found() {
    let disk = MemoryDisk::shared();
    let dir = Path::new("/data");
    golden::copy_to(&*disk, &golden::data("blocks"), dir);
    for path in files(&*disk, dir) {
        // The end of a log may be torn, and the room that a head chunk file has left over cut.
        let text = path.to_string_lossy().into_owned();
        if ["wal", "wbl", "chunks_head"].iter().any(|name| text.contains(name)) {
            continue;
        }
        let sound = disk.read(&path).unwrap();
        write(&disk, &path, &sound[..sound.len() / 2]);
        let (_, findings) = verified(&disk, dir);
        assert!(findings.iter().any(|finding| finding.path == path), "{text}: {findings:?}");
        write(&disk, &path, &sound);
    }
}

#[test]
fn blocks_are_listed_as_promtool_lists_them() {
    let listing = list(&RealDisk::shared(), &golden::data("blocks")).unwrap();
    let table = listing.table(true);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 7);
    assert_eq!(
        lines[0],
        "BLOCK ULID                  MIN TIME                       MAX TIME                       \
         DURATION     NUM SAMPLES  NUM CHUNKS   NUM SERIES   SIZE"
    );
    assert_eq!(
        lines[1],
        "01M83B5J6X0ZXPVY697RWHMVPN  2026-01-05 00:00:00 +0000 UTC  2026-01-05 06:00:00 +0000 UTC  \
         6h0m0s       6359         110          23           49KiB195B"
    );
    assert_eq!(
        listing.table(false).lines().nth(6),
        Some(
            "01M83B5J8ERNBD00R00AF5EW09  1767614400000  1767621600000  2h0m0s       699          \
             13           9            7397"
        )
    );
}

#[test]
fn a_block_is_analyzed_as_promtool_analyzes_it() {
    let listing = list(&RealDisk::shared(), &golden::data("blocks")).unwrap();
    let block = listing.block(None).unwrap();
    let analysis = analyze(&block, &[]).unwrap();
    let report = analysis.report(2);
    assert_eq!(
        report,
        "Block ID: 01M83B5J8ERNBD00R00AF5EW09\nDuration: 2h0m0s\nTotal Series: 9\n\
         Label names: 7\nPostings (unique label pairs): 21\n\
         Postings entries (total label pairs): 28\n\n\
         Label pairs most involved in churning:\n1 __name__=http_requests_total\n1 job=api\n\n\
         Label names most involved in churning:\n3 __name__\n2 instance\n\n\
         Most common label pairs:\n3 __name__=http_requests_total\n3 job=api\n\n\
         Label names with highest cumulative label value length:\n86 __name__\n78 instance\n\n\
         Highest cardinality labels:\n6 __name__\n6 instance\n\n\
         Highest cardinality metric names:\n3 http_requests_total\n2 awkward\n"
    );
    let only = Matcher::new("job", MatchOp::Equal, "api").unwrap();
    let analysis = analyze(&block, &[only]).unwrap();
    assert_eq!(analysis.matched_series, Some(3));
    assert_eq!(analysis.highest_metrics, [(3, "http_requests_total".to_owned())]);
    let listing = list(&RealDisk::shared(), &golden::data("blocks")).unwrap();
    assert!(listing.block(Some("01M83B5J8ERNBD00R00AF5EW00")).is_err());
}
