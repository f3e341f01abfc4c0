use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;
use serde::Deserialize;

use crate::disk::{Disk, RealDisk};
use crate::storage::index::{BigEndianList, IndexError, Part, PostingsCursor, list_part};

use super::header::{IndexHeader, build_header};

/// What Thanos reads from a header that it wrote.
#[derive(Deserialize)]
struct Expected {
    index_size: u64,
    index_header_size: usize,
    index_postings_end: u64,
    label_names: Vec<String>,
    label_values: BTreeMap<String, Vec<String>>,
    symbols_by_ref: Vec<String>,
    posting_offsets: Vec<PostingOffset>,
}

#[derive(Deserialize)]
struct PostingOffset {
    name: String,
    value: String,
    found: bool,
    #[serde(default)]
    start: u64,
    #[serde(default)]
    end: u64,
    #[serde(default)]
    series_refs: Vec<u32>,
}

/// Index, header and what is in them.
fn golden() -> Vec<(Bytes, Bytes, Expected)> {
    let read = |path: &str| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden/thanos");
        Bytes::from(RealDisk.read(&root.join(path)).unwrap())
    };
    let indexes = [
        "downsample/raw/01KEAW1MZ8E1KX7MBCGQ75ENHQ",
        "downsample/5m/01KEAW1NYG5JS0QEK8EA8X6NE9",
        "downsample/1h/01KEAW1PXRPNW60KZ77TEBVMT9",
        "indexheader/01KEAW1QX0A40G7XZFEJNE3SJS",
    ];
    let block = |path: &str| {
        let (_, ulid) = path.rsplit_once('/').unwrap();
        let expected = read(&format!("indexheader/{ulid}/expected.json"));
        (
            read(&format!("{path}/index")),
            read(&format!("indexheader/{ulid}/index-header")),
            serde_json::from_slice(&expected).unwrap(),
        )
    };
    indexes.into_iter().map(block).collect()
}

/// The header of `index`, and the ranges that were read for it.
fn build(index: &Bytes) -> Result<(Bytes, Vec<Range<u64>>), IndexError> {
    let asked = RefCell::new(Vec::new());
    let read = |ranges: &[Range<u64>]| {
        asked.borrow_mut().extend_from_slice(ranges);
        let slice = |range: &Range<u64>| {
            let end = (range.end as usize).min(index.len());
            index.slice((range.start as usize).min(end)..end)
        };
        Ok(ranges.iter().map(slice).collect())
    };
    let header = build_header::<IndexError>(index.len() as u64, &read)?;
    Ok((header, asked.into_inner()))
}

#[test]
fn headers_are_those_of_thanos_byte_for_byte() {
    for (index, header, expected) in golden() {
        assert_eq!(index.len() as u64, expected.index_size);
        let (built, asked) = build(&index).unwrap();
        assert_eq!(built, header);
        assert_eq!(built.len(), expected.index_header_size);
        assert_eq!(asked.len(), 3, "the end, the symbols, the postings table");
    }
}

#[test]
fn headers_of_thanos_are_read() {
    for (index, header, expected) in golden() {
        let header = IndexHeader::decode(&header).unwrap();
        let tables = header.tables();
        assert_eq!(header.size_bytes(), expected.index_header_size);
        assert_eq!(tables.toc().postings_table, expected.index_postings_end);
        assert!(tables.label_names().eq(&expected.label_names));
        for (name, values) in &expected.label_values {
            let mut found = Vec::new();
            tables
                .places(name, "", &mut |value, _| {
                    found.push(value.to_owned());
                    true
                })
                .unwrap();
            assert_eq!(&found, values, "{name}");
            assert_eq!(tables.value_count(name), values.len());
        }
        for (number, symbol) in (0..).zip(&expected.symbols_by_ref) {
            assert_eq!(tables.symbol(number).unwrap(), symbol);
        }
        for one in &expected.posting_offsets {
            let place = tables.place(&one.name, &one.value).unwrap();
            assert_eq!(place.is_some(), one.found, "{}={}", one.name, one.value);
            let Some(place) = place else { continue };
            // Thanos leaves out length and checksum.
            assert_eq!((place.start + 4, place.end - 4), (one.start, one.end));
            let bytes = &index[place.start as usize..place.end as usize];
            let Part::Whole(ids) = list_part(bytes, place.start).unwrap() else { panic!() };
            let mut list = BigEndianList::new(ids);
            let ids: Vec<u32> = std::iter::from_fn(|| list.next_id()).collect();
            assert_eq!(ids, one.series_refs);
        }
    }
}

#[test]
fn a_header_with_any_bit_turned_is_refused() {
    let (_, header, _) = golden().remove(1);
    // Padding behind the symbols is covered by no checksum, and holds nothing.
    let symbols = 14 + 4 + u32::from_be_bytes(header[14..18].try_into().unwrap()) as usize + 4;
    let own_toc = header.len() - 20;
    let table = u64::from_be_bytes(header[own_toc + 8..own_toc + 16].try_into().unwrap()) as usize;
    for at in (0..header.len()).filter(|at| !(symbols..table).contains(at)) {
        // The version of the index: 2 and 3 are read alike.
        let bit = if at == 5 { 4 } else { 1 };
        let mut damaged = header.to_vec();
        damaged[at] ^= bit;
        assert!(IndexHeader::decode(&damaged.into()).is_err(), "byte {at}");
    }
}

proptest! {
    #[test]
    fn cut_headers_and_indexes_are_refused_without_panic(
        cut in 0_usize..5000, noise in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let (index, header, _) = golden().remove(0);
        if cut < header.len() {
            prop_assert!(IndexHeader::decode(&header.slice(..cut)).is_err());
        }
        if cut < index.len() {
            prop_assert!(build(&index.slice(..cut)).is_err());
        }
        prop_assert!(IndexHeader::decode(&Bytes::from(noise.clone())).is_err());
        prop_assert!(build(&Bytes::from(noise)).is_err());
    }
}
