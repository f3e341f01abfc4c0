//! Records of every kind, out and in again.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::base::varint::put_varint;
use crate::model::histogram::{
    CUSTOM_SCHEMA, Counts, Histogram, HistogramRef, Layout, ResetHint, Span,
};
use crate::model::{Labels, LabelsBuf, Metadata, MetricKind, Sample, Value};
use crate::series::SeriesRef;

/// A sample that owns its value.
#[derive(Debug, Clone, PartialEq)]
struct Owned {
    series: SeriesRef,
    timestamp_ms: i64,
    start_ms: i64,
    /// Bits of a float, or a histogram.
    value: Result<u64, Histogram>,
}

impl Owned {
    fn of(row: SampleRow<'_>) -> Self {
        let SampleRow { series, timestamp_ms, start_ms, value } = row;
        let value = match value {
            Value::Float(value) => Ok(value.to_bits()),
            Value::Histogram(histogram) => Err(histogram.to_owned()),
        };
        Self { series, timestamp_ms, start_ms, value }
    }

    fn value(&self) -> Value<'_> {
        match &self.value {
            Ok(bits) => Value::Float(f64::from_bits(*bits)),
            Err(histogram) => Value::Histogram(histogram.as_ref()),
        }
    }

    /// In which of the records of one commit it stands.
    fn sort(&self) -> u8 {
        match &self.value {
            Ok(_) => 0,
            Err(one) => {
                let is_float = matches!(one.counts, Counts::Float { .. });
                1 + u8::from(one.layout.is_custom()) + 2 * u8::from(is_float)
            }
        }
    }
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), -300_i64..300, 1_767_571_200_000_i64..1_767_571_300_000]
}

fn spans() -> impl Strategy<Value = Vec<Span>> {
    vec((any::<i32>(), 0_u32..4).prop_map(|(offset, length)| Span::new(offset, length)), 0..4)
}

prop_compose! {
    fn histogram()(
        schema in prop_oneof![-9_i32..=8, Just(CUSTOM_SCHEMA)],
        zero_threshold: f64,
        positive in spans(),
        negative in spans(),
        custom_bounds in vec(any::<f64>(), 0..4),
        hint in 0_u8..4,
        sum: f64,
        is_float: bool,
        count: u64,
        zero_count: u64,
        buckets in vec(any::<u64>(), 24),
    ) -> Histogram {
        let custom_bounds = if schema == CUSTOM_SCHEMA { custom_bounds } else { Vec::new() };
        let layout = Layout { schema, zero_threshold, positive, negative, custom_bounds };
        let buckets = buckets.iter().take(layout.bucket_len());
        let float = f64::from_bits;
        let counts = if is_float {
            let buckets = buckets.map(|bits| float(*bits)).collect();
            Counts::Float { count: float(count), zero_count: float(zero_count), buckets }
        } else {
            let buckets = buckets.map(|bits| *bits as i64).collect();
            Counts::Integer { count, zero_count, buckets }
        };
        Histogram { layout: Arc::new(layout), hint: ResetHint::from_byte(hint), sum, counts }
    }
}

prop_compose! {
    fn row()(
        series in prop_oneof![any::<u64>(), 0_u64..1000],
        timestamp_ms in number(),
        start_ms in prop_oneof![Just(0), number()],
        value in prop_oneof![
            2 => any::<u64>().prop_map(Ok),
            3 => histogram().prop_map(Err),
        ],
    ) -> Owned {
        Owned { series: SeriesRef(series), timestamp_ms, start_ms, value }
    }
}

fn encoded(rows: &[Owned], with_starts: bool) -> Vec<Vec<u8>> {
    let mut encoder = RowEncoder::new(with_starts);
    for row in rows {
        encoder.push(row.series, row.timestamp_ms, row.start_ms, row.value());
    }
    let mut records = Vec::new();
    encoder.finish(|record| records.push(record.to_vec()));
    assert!(encoder.is_empty());
    records
}

fn decoded(records: &[Vec<u8>]) -> Vec<Owned> {
    let mut decoder = RowDecoder::new();
    let mut rows = Vec::new();
    for record in records {
        let left_out = decoder.decode(record, |row| rows.push(Owned::of(row))).unwrap();
        assert_eq!(left_out, 0);
    }
    rows
}

/// The layout of `FORMAT.md` in the shortest code.
fn naive_samples(rows: &[(SeriesRef, Sample)]) -> Vec<u8> {
    let mut out = vec![2];
    if let Some((first, sample)) = rows.first() {
        out.extend(first.0.to_be_bytes());
        out.extend(sample.timestamp_ms.to_be_bytes());
        for (series, row) in rows {
            put_varint(&mut out, series.0.wrapping_sub(first.0) as i64);
            put_varint(&mut out, row.timestamp_ms.wrapping_sub(sample.timestamp_ms));
            out.extend(row.value.to_bits().to_be_bytes());
        }
    }
    out
}

proptest! {
    #[test]
    fn samples_are_encoded_as_the_page_says(
        rows in vec((any::<u64>(), 0_u32..64, number(), any::<u64>()), 1..200),
    ) {
        let rows: Vec<(SeriesRef, Sample)> = rows
            .into_iter()
            .map(|(series, shift, timestamp_ms, bits)| {
                // Distances of every length.
                let value = f64::from_bits(bits);
                (SeriesRef(series >> shift), Sample { timestamp_ms: timestamp_ms >> shift, value })
            })
            .collect();
        let mut record = vec![7];
        encode_samples(&mut record, rows.iter().copied());
        prop_assert_eq!(&record[1..], naive_samples(&rows));
        let mut again = Vec::new();
        decode_samples(&record[1..], |series, row| again.push((series, row))).unwrap();
        let bits = |rows: &[(SeriesRef, Sample)]| -> Vec<(SeriesRef, i64, u64)> {
            rows.iter().map(|row| (row.0, row.1.timestamp_ms, row.1.value.to_bits())).collect()
        };
        prop_assert_eq!(bits(&again), bits(&rows));
        if !rows.is_empty() {
            let mut encoder = RowEncoder::new(false);
            for (series, row) in &rows {
                encoder.push_float(*series, row.timestamp_ms, 5, row.value);
            }
            let mut records = Vec::new();
            encoder.finish(|record| records.push(record.to_vec()));
            prop_assert_eq!(records, [naive_samples(&rows)]);
        }
    }

    #[test]
    fn each_part_of_the_rows_is_a_record_whatever_was_in_the_memory_before(
        rounds in vec(vec(vec((any::<u64>(), 0_u32..64, number()), 0..400), 0..4), 1..4),
    ) {
        let mut records = SampleRecords::default();
        for parts in rounds {
            records.clear();
            let mut wanted = Vec::new();
            for part in &parts {
                let row = |&(series, shift, timestamp_ms): &(u64, u32, i64)| {
                    let sample = Sample { timestamp_ms, value: series as f64 };
                    (SeriesRef(series >> shift), sample)
                };
                let rows: Vec<(SeriesRef, Sample)> = part.iter().map(row).collect();
                rows.iter().for_each(|(series, sample)| records.push(*series, *sample));
                records.end_record();
                if !rows.is_empty() {
                    wanted.push(naive_samples(&rows));
                }
            }
            let found: Vec<Vec<u8>> = records.iter().map(<[u8]>::to_vec).collect();
            prop_assert_eq!((records.len(), records.is_empty()), (wanted.len(), wanted.is_empty()));
            prop_assert_eq!(found, wanted);
        }
    }

    #[test]
    fn rows_of_any_kind_come_back(rows in vec(row(), 0..40)) {
        let mut sorted: Vec<Owned> = rows.clone();
        sorted.sort_by_key(Owned::sort);
        let mut without = sorted.clone();
        without.iter_mut().for_each(|row| row.start_ms = 0);
        prop_assert_eq!(decoded(&encoded(&rows, false)), without);
        // Records with starts do not keep histograms with listed bounds apart.
        sorted = rows.clone();
        sorted.sort_by_key(|row| [0, 1, 1, 3, 3][usize::from(row.sort())]);
        prop_assert_eq!(decoded(&encoded(&rows, true)), sorted);
    }

    #[test]
    fn filtered_records_hold_the_newer_rows(
        rows in vec(row(), 1..30), from in number(), with_starts: bool,
    ) {
        for record in encoded(&rows, with_starts) {
            let mut wanted = decoded(std::slice::from_ref(&record));
            let all = wanted.len() as u64;
            wanted.retain(|row| row.timestamp_ms >= from);
            let mut out = Vec::new();
            let kept = rows::keep_since(&record, from, &mut out).unwrap();
            prop_assert_eq!((kept.seen, kept.kept), (all, wanted.len() as u64));
            let again = if out.is_empty() { Vec::new() } else { decoded(&[out]) };
            prop_assert_eq!(again, wanted);
            let mut places = Vec::new();
            decode_times(&record, |series, time| places.push((series, time))).unwrap();
            prop_assert_eq!(places.len() as u64, all);
        }
    }

    #[test]
    fn cut_records_are_refused_or_end_between_rows(
        rows in vec(row(), 1..8), with_starts: bool, at in any::<prop::sample::Index>(),
    ) {
        for record in encoded(&rows, with_starts) {
            let cut = &record[..1 + at.index(record.len() - 1)];
            let mut got = Vec::new();
            let read = RowDecoder::new().decode(cut, |row| got.push(Owned::of(row)));
            let whole = decoded(std::slice::from_ref(&record));
            prop_assert!(whole.starts_with(&got));
            if read.is_ok() && !got.is_empty() {
                prop_assert!(got.len() < whole.len());
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(kind in 0_u8..16, bytes in vec(any::<u8>(), 0..300)) {
        let record = [&[kind], bytes.as_slice()].concat();
        let mut labels = LabelsBuf::new();
        let _ = RowDecoder::new().decode(&record, |_| {});
        let _ = decode_samples(&record, |_, _| {});
        let _ = decode_times(&record, |_, _| {});
        let _ = decode_series(&record, &mut labels, |_, _| {});
        let _ = decode_exemplars(&record, &mut labels, |_| {});
        let _ = decode_metadata(&record, |_| {});
        let _ = decode_tombstones(&record, |_, _, _| {});
        let _ = decode_mmap_markers(&record, |_, _| {});
        let _ = rows::keep_since(&record, 0, &mut Vec::new());
    }

    #[test]
    fn a_changed_byte_is_read_without_panic(
        rows in vec(row(), 1..8), with_starts: bool, at in any::<prop::sample::Index>(), by in 1_u8..,
    ) {
        for mut record in encoded(&rows, with_starts) {
            let at = at.index(record.len());
            record[at] ^= by;
            let _ = RowDecoder::new().decode(&record, |_| {});
        }
    }

    #[test]
    fn side_rows_come_back(
        rows in vec((any::<u64>(), number(), any::<u64>(), 0_usize..8, "\\PC{1,9}"), 1..20),
    ) {
        let labels: Vec<Labels> = rows
            .iter()
            .map(|row| Labels::from_pairs([("trace_id", row.4.as_str()), ("é", "x")]).unwrap())
            .collect();
        let exemplars: Vec<ExemplarRow<'_>> = rows
            .iter()
            .zip(&labels)
            .map(|(row, labels)| {
                let (series, value) = (SeriesRef(row.0), f64::from_bits(row.2));
                ExemplarRow { series, timestamp_ms: row.1, value, labels: labels.as_ref() }
            })
            .collect();
        let mut record = Vec::new();
        encode_exemplars(&mut record, exemplars.iter().copied());
        let mut at = exemplars.iter();
        decode_exemplars(&record, &mut LabelsBuf::new(), |row| {
            let wanted = at.next().unwrap();
            assert_eq!((row.series, row.timestamp_ms), (wanted.series, wanted.timestamp_ms));
            assert_eq!(row.value.to_bits(), wanted.value.to_bits());
            assert_eq!(row.labels, wanted.labels);
        })
        .unwrap();
        prop_assert!(at.next().is_none());

        let kinds = [
            MetricKind::Unknown, MetricKind::Counter, MetricKind::Gauge, MetricKind::Histogram,
            MetricKind::GaugeHistogram, MetricKind::Summary, MetricKind::Info, MetricKind::StateSet,
        ];
        let metadata: Vec<(SeriesRef, Metadata)> = rows
            .iter()
            .map(|row| {
                let (unit, help) = (row.4.clone(), row.4.repeat(2));
                (SeriesRef(row.0), Metadata { kind: kinds[row.3], unit, help })
            })
            .collect();
        record.clear();
        encode_metadata(&mut record, metadata.iter().map(|row| MetadataRow::new(row.0, &row.1)));
        let mut again = Vec::new();
        decode_metadata(&record, |row| again.push((row.series, row.to_metadata()))).unwrap();
        prop_assert_eq!(again, metadata);

        let markers: Vec<(SeriesRef, u64)> =
            rows.iter().map(|row| (SeriesRef(row.0), row.2)).collect();
        record.clear();
        encode_mmap_markers(&mut record, markers.iter().copied());
        let mut again = Vec::new();
        decode_mmap_markers(&record, |series, chunk| again.push((series, chunk))).unwrap();
        prop_assert_eq!(again, markers);
    }
}

fn one_histogram(histogram: HistogramRef<'_>) -> Vec<u8> {
    let mut encoder = RowEncoder::new(false);
    encoder.push_histogram(SeriesRef(1), 5, 0, histogram);
    let mut record = Vec::new();
    encoder.finish(|bytes| record = bytes.to_vec());
    record
}

fn with_schema(schema: i32) -> Histogram {
    let positive = vec![Span::new(1, 4)];
    let layout = Layout { schema, positive, ..Layout::default() };
    let counts = Counts::Integer { count: 10, zero_count: 0, buckets: vec![1, 2, 3, 4] };
    Histogram { layout: Arc::new(layout), hint: ResetHint::Unknown, sum: 1.0, counts }
}

#[test]
fn schemas_of_later_versions_are_brought_to_the_finest_known() {
    let record = one_histogram(with_schema(9).as_ref());
    let mut got = Vec::new();
    let left_out = RowDecoder::new().decode(&record, |row| got.push(Owned::of(row))).unwrap();
    assert_eq!((left_out, got.len()), (0, 1));
    let Err(one) = &got[0].value else { panic!("a float") };
    assert_eq!((one.layout.schema, &one.layout.positive), (8, &vec![Span::new(1, 2)]));
    assert!(matches!(&one.counts, Counts::Integer { buckets, .. } if *buckets == [3, 7]));
}

#[test]
fn a_histogram_without_meaning_does_not_cost_its_neighbours() {
    let mut short = with_schema(3);
    short.counts = Counts::Integer { count: 3, zero_count: 0, buckets: vec![1, 2] };
    for unknown in [with_schema(53), with_schema(-10), with_schema(-54), short] {
        let mut encoder = RowEncoder::new(false);
        for (time, one) in [(1, &with_schema(8)), (2, &unknown), (3, &with_schema(-4))] {
            encoder.push_histogram(SeriesRef(1), time, 0, one.as_ref());
        }
        let mut times = Vec::new();
        encoder.finish(|record| {
            let read = RowDecoder::new().decode(record, |row| times.push(row.timestamp_ms));
            assert_eq!(read, Ok(1));
        });
        assert_eq!(times, [1, 3]);
    }
}

#[test]
fn equal_layouts_are_shared_between_rows_and_records() {
    let mut decoder = RowDecoder::new();
    let mut layouts = Vec::new();
    for _ in 0..2 {
        for schema in [3, 5] {
            let record = one_histogram(with_schema(schema).as_ref());
            decoder
                .decode(&record, |row| {
                    let Value::Histogram(one) = row.value else { panic!("a float") };
                    layouts.push(Arc::clone(one.layout));
                })
                .unwrap();
        }
    }
    assert!(Arc::ptr_eq(&layouts[0], &layouts[2]) && Arc::ptr_eq(&layouts[1], &layouts[3]));
}

#[test]
fn unknown_fields_of_metadata_are_passed_over() {
    let mut record = vec![6, 9, 1, 3];
    for text in ["UNIT", "s", "LATER", "?", "HELP", "h"] {
        crate::base::varint::put_text(&mut record, text);
    }
    let mut got = Vec::new();
    decode_metadata(&record, |row| got.push((row.series, row.to_metadata()))).unwrap();
    let (unit, help) = ("s".to_owned(), "h".to_owned());
    assert_eq!(got, [(SeriesRef(9), Metadata { kind: MetricKind::Counter, unit, help })]);
}
