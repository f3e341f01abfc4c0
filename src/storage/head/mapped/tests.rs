use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;

use super::scan::scan_files;
use super::*;
use crate::base::metrics::Registry;
use crate::chunk::sample_count as chunk_samples;
use crate::disk::{FaultyDisk, MemoryDisk, SharedDisk};
use crate::series::SeriesRef;

#[derive(Debug, Clone)]
struct Written {
    series: u64,
    min_time_ms: i64,
    max_time_ms: i64,
    encoding: u8,
    is_out_of_order: bool,
    data: Vec<u8>,
}

impl Written {
    fn entry(&self) -> Entry<'_> {
        Entry {
            series: SeriesRef(self.series),
            min_time_ms: self.min_time_ms,
            max_time_ms: self.max_time_ms,
            encoding: self.encoding,
            is_out_of_order: self.is_out_of_order,
            data: &self.data,
        }
    }
}

fn any_chunk() -> impl Strategy<Value = Written> {
    let times = (1_i64.., any::<i64>());
    (1..u64::MAX, times, 1_u8..=6, any::<bool>(), vec(any::<u8>(), 2..700)).prop_map(
        |(series, (min_time_ms, max_time_ms), encoding, is_out_of_order, data)| Written {
            series,
            min_time_ms,
            max_time_ms,
            encoding,
            is_out_of_order,
            data,
        },
    )
}

fn dir() -> &'static Path {
    Path::new("chunks_head")
}

fn file(number: u32) -> PathBuf {
    dir().join(format!("{number:06}"))
}

fn open_with(
    disk: &SharedDisk,
    file_bytes_max: u64,
) -> (ChunkFiles, Vec<MappedDamage>, Vec<MappedChunk>) {
    let mut chunks = Vec::new();
    let metrics = MappedMetrics::new(&Registry::new());
    let options = MappedOptions { file_bytes_max };
    let opened = ChunkFiles::open(disk, dir(), options, metrics, &mut |chunk| chunks.push(chunk));
    let (files, damaged) = opened.unwrap();
    files.set_aside(&damaged).unwrap();
    (files, damaged.into_iter().map(|(_, damage)| damage).collect(), chunks)
}

fn open(disk: &SharedDisk) -> (ChunkFiles, Vec<MappedDamage>, Vec<MappedChunk>) {
    open_with(disk, MappedOptions::default().file_bytes_max)
}

fn put(disk: &SharedDisk, path: &Path, bytes: &[u8]) {
    disk.create(path).unwrap().write_all(bytes).unwrap();
}

fn chunk(series: u64, data: &[u8]) -> Written {
    let (min_time_ms, max_time_ms) = (series as i64, series as i64 + 9);
    Written {
        series,
        min_time_ms,
        max_time_ms,
        encoding: 1,
        is_out_of_order: false,
        data: data.to_vec(),
    }
}

/// The bytes of a file with two chunks.
fn two_chunks() -> Vec<u8> {
    let disk = MemoryDisk::shared();
    let (files, ..) = open(&disk);
    files.write(&chunk(7, b"\0\x01first").entry()).unwrap();
    files.write(&chunk(8, b"\0\x02second").entry()).unwrap();
    files.close().unwrap();
    disk.read(&file(1)).unwrap()
}

proptest! {
    #[test]
    fn chunks_are_read_at_once_after_a_flush_and_after_a_start(
        written in vec((any_chunk(), 0_u8..8), 1..60),
        file_bytes_max in 1_u64..4000,
    ) {
        let disk = MemoryDisk::shared();
        let (files, ..) = open_with(&disk, file_bytes_max);
        let mut refs = Vec::new();
        for (chunk, step) in &written {
            let at = files.write(&chunk.entry()).unwrap();
            refs.push(at);
            match step {
                0 => files.flush().unwrap(),
                1 => files.want_cut(),
                _ => {}
            }
            let (encoding, data) = files.view().read(at).unwrap();
            prop_assert_eq!((encoding, &*data), (chunk.encoding, &*chunk.data));
        }
        prop_assert!(refs.is_sorted());
        files.close().unwrap();
        let (files, damaged, found) = open(&disk);
        prop_assert!(damaged.is_empty());
        prop_assert_eq!(found.len(), written.len());
        for ((chunk, _), (found, at)) in written.iter().zip(found.iter().zip(&refs)) {
            let sample_count = chunk_samples(chunk.encoding, &chunk.data).unwrap();
            let wanted = MappedChunk {
                series: SeriesRef(chunk.series),
                at: *at,
                min_time_ms: chunk.min_time_ms,
                max_time_ms: chunk.max_time_ms,
                encoding: chunk.encoding,
                is_out_of_order: chunk.is_out_of_order,
                sample_count,
            };
            prop_assert_eq!(*found, wanted);
            prop_assert_eq!(&*files.view().read(*at).unwrap().1, &*chunk.data);
        }
    }

    #[test]
    fn a_flipped_bit_is_found_and_its_file_kept_aside(
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let whole = two_chunks();
        let mut flipped = whole.clone();
        flipped[at.index(whole.len())] ^= 1 << bit;
        let disk = MemoryDisk::shared();
        disk.create_dir_all(dir()).unwrap();
        put(&disk, &file(1), &flipped);
        put(&disk, &file(2), &whole);
        let (files, damaged, found) = open(&disk);
        prop_assert_eq!(damaged.len(), 1);
        prop_assert_eq!(&damaged[0].path, &file(1));
        prop_assert!(damaged[0].offset_bytes <= at.index(whole.len()) as u64);
        prop_assert_eq!(found.len(), 2, "the file behind it is whole");
        prop_assert!(found.iter().all(|chunk| files.view().read(chunk.at).is_ok()));
        prop_assert_eq!(disk.read(&dir().join("000001.corrupt")).unwrap(), flipped);
        let (_, damaged, found) = open(&disk);
        prop_assert_eq!((damaged.len(), found.len()), (0, 2), "the second start is clean");
    }

    #[test]
    fn a_file_cut_short_gives_whole_chunks_or_none(length in any::<prop::sample::Index>()) {
        let whole = two_chunks();
        let length = length.index(whole.len());
        let disk = MemoryDisk::shared();
        disk.create_dir_all(dir()).unwrap();
        put(&disk, &file(1), &whole[..length]);
        let (_, damaged, found) = open(&disk);
        let first_end = 45;
        let wanted = match length {
            // Both begin with zeros: so few of them could be those that end a file.
            0 | 8..16 => (0, 0),
            _ if (first_end..first_end + 8).contains(&length) => (0, 1),
            _ => (1, 0),
        };
        prop_assert_eq!((damaged.len(), found.len()), wanted);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in vec(any::<u8>(), 0..200)) {
        let disk = MemoryDisk::shared();
        disk.create_dir_all(dir()).unwrap();
        put(&disk, &file(1), &[[1, 0x30, 0xbc, 0x91, 1, 0, 0, 0].as_slice(), &bytes].concat());
        let (files, ..) = open(&disk);
        for offset in 0..bytes.len() as u64 {
            let _ = files.view().read(ChunkRef(1 << 32 | offset));
        }
        put(&disk, &file(9), &bytes);
        open(&disk);
    }
}

#[test]
fn the_bytes_are_those_of_the_format_page() {
    let bytes = two_chunks();
    assert_eq!(bytes[..8], [0x01, 0x30, 0xbc, 0x91, 1, 0, 0, 0]);
    let header = [7_u64.to_be_bytes(), 7_i64.to_be_bytes(), 16_i64.to_be_bytes()].concat();
    assert_eq!(bytes[8..32], header);
    assert_eq!(bytes[32..41], *b"\x01\x07\0\x01first");
    assert_eq!(bytes[41..45], crc32c::crc32c(&bytes[8..41]).to_be_bytes());
}

#[test]
fn zeros_behind_the_chunks_are_no_damage() {
    let disk = MemoryDisk::shared();
    disk.create_dir_all(dir()).unwrap();
    let mut padded = two_chunks();
    padded.resize(padded.len() + 5000, 0);
    put(&disk, &file(1), &padded);
    let (_, damaged, found) = open(&disk);
    assert_eq!((damaged.len(), found.len()), (0, 2));
}

/// A crash between the creation of a file and its first bytes leaves an empty name, or zeros.
#[test]
fn a_newest_file_without_content_is_forgotten() {
    for content in [&[][..], &[0; 100]] {
        let disk = MemoryDisk::shared();
        disk.create_dir_all(dir()).unwrap();
        put(&disk, &file(1), &two_chunks());
        put(&disk, &file(2), content);
        let (files, damaged, found) = open(&disk);
        assert_eq!((damaged.len(), found.len()), (0, 2));
        assert!(!disk.exists(&file(2)));
        assert_eq!(files.write(&chunk(9, b"\0\x01").entry()).unwrap().file(), 2);
    }
}

#[test]
fn other_names_are_left_alone() {
    let disk = MemoryDisk::shared();
    disk.create_dir_all(&dir().join("000004")).unwrap();
    put(&disk, &dir().join("notes.txt"), b"mine");
    let (files, damaged, _) = open(&disk);
    assert!(damaged.is_empty());
    assert_eq!(files.write(&chunk(1, b"\0\x01").entry()).unwrap().file(), 1);
    assert_eq!(disk.read(&dir().join("notes.txt")).unwrap(), b"mine");
}

/// A full disk must not lose what was taken before, and writing resumes when there is room.
#[test]
fn a_full_disk_refuses_chunks_until_there_is_room() {
    let faulty = FaultyDisk::new();
    let disk = faulty.shared();
    let (files, ..) = open(&disk);
    let data = vec![5; 10_000];
    let first = files.write(&chunk(1, &data).entry()).unwrap();
    faulty.set_full(true);
    let mut taken = vec![first];
    let refused = (2..1000).find(|series| match files.write(&chunk(*series, &data).entry()) {
        Ok(at) => {
            taken.push(at);
            false
        }
        Err(_) => true,
    });
    assert!(refused.is_some(), "the buffer has an end");
    assert!(taken.iter().all(|at| files.view().read(*at).is_ok()));
    faulty.set_full(false);
    taken.push(files.write(&chunk(1000, &data).entry()).unwrap());
    files.close().unwrap();
    let (files, damaged, found) = open(&disk);
    assert!(damaged.is_empty());
    assert_eq!(found.iter().map(|chunk| chunk.at).collect::<Vec<_>>(), taken);
    assert!(taken.iter().all(|at| files.view().read(*at).is_ok()));
}

#[test]
fn a_view_outlives_the_removal_of_files() {
    let disk = MemoryDisk::shared();
    let (files, ..) = open(&disk);
    let first = files.write(&chunk(1, b"\0\x01a").entry()).unwrap();
    files.want_cut();
    let second = files.write(&chunk(1, b"\0\x01b").entry()).unwrap();
    let view = files.view();
    files.remove_before(9).unwrap();
    assert!(!disk.exists(&file(1)) && disk.exists(&file(2)), "the growing file stays");
    assert!(files.view().read(first).is_err());
    assert_eq!(&*view.read(first).unwrap().1, b"\0\x01a");
    let third = files.write(&chunk(1, b"\0\x01c").entry()).unwrap();
    assert_eq!((second.file(), third.file()), (2, 3), "a removal wants a cut");
    assert_eq!(&*view.read(second).unwrap().1, b"\0\x01b", "sealed since the view was taken");
}

#[test]
fn nothing_is_written_after_the_end() {
    let disk = MemoryDisk::shared();
    let (files, ..) = open(&disk);
    let at = files.write(&chunk(1, b"\0\x01a").entry()).unwrap();
    files.close().unwrap();
    assert!(matches!(files.write(&chunk(1, b"\0\x01").entry()), Err(MappedError::Closed)));
    assert!(files.view().read(at).is_ok());
}

#[test]
fn golden_files_are_read_to_their_last_chunk() {
    use crate::disk::RealDisk;
    use crate::testkit::golden;
    let mut chunks = 0;
    for folder in golden::FOLDERS.iter().filter(|folder| **folder != golden::AGENT) {
        let dir = golden::data(folder).join("chunks_head");
        let report = scan_files(&RealDisk, &dir, &mut |found| {
            chunks += 1;
            assert!(found.series.is_known() && found.sample_count > 0);
            assert!(found.min_time_ms <= found.max_time_ms, "{folder}: {found:?}");
        });
        assert!(report.unwrap().damaged.is_empty(), "{folder}");
    }
    assert!(chunks > 100, "{chunks}");
}
