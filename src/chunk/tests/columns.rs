//! Columns become chunks, and these the same column.

use super::*;

/// The column without what a chunk forgets: hints, and the spans of empty buckets.
fn plain(column: &Column) -> Vec<(i64, i64, u64, u8)> {
    let kind = |value: Value<'_>| match value {
        Value::Float(_) => 0,
        Value::Histogram(histogram) => 1 + u8::from(histogram.counts.is_float()),
    };
    let rows = column.samples().zip(&column.floats);
    rows.map(|((time, start, value), float)| (time, start, float.to_bits(), kind(value))).collect()
}

/// Columns whose samples change their kind.
fn mixed() -> impl Strategy<Value = Column> {
    vec((0_u8..3).prop_flat_map(column), 1..4).prop_map(|parts| {
        let mut all = Column::new();
        let mut time = 1_000;
        for (_, start, value) in parts.iter().flat_map(Column::samples) {
            time += 15_000;
            all.push_value(time, start, value);
        }
        all
    })
}

proptest! {
    #[test]
    fn columns_come_back_as_they_went(
        column in mixed(), samples_max in 1_u16..130, float_starts: bool, from: usize, to: usize,
    ) {
        let options = EncodeOptions { samples_max, float_starts, histogram_starts: true };
        let (from, to) = (from % column.len(), to % (column.len() + 1));
        let range = from.min(to)..from.max(to);
        let (mut back, mut last) = (Column::new(), i64::MIN);
        let mut result = Ok(());
        let mut each = |chunk: EncodedChunk| {
            let length = back.len();
            result = decode(chunk.encoding, &chunk.data, ALL, &mut back);
            assert!(back.len() - length <= usize::from(samples_max));
            assert_eq!(back.timestamps[length], chunk.min_time_ms);
            assert_eq!(back.timestamps.last(), Some(&chunk.max_time_ms));
            assert!(last < chunk.min_time_ms);
            last = chunk.max_time_ms;
            let is_float = back.histograms.get(length).is_none();
            assert!(!is_float || !float_starts || chunk.encoding == Encoding::Xor2 as u8);
        };
        encode_column(&column, range.clone(), &options, &mut each).unwrap();
        prop_assert_eq!(result, Ok(()));
        let mut part = Column::new();
        part.extend_from(&column, range);
        prop_assert_eq!(plain(&back), plain(&part));
    }

    #[test]
    fn the_last_sample_is_known(column in (1_u8..3).prop_flat_map(column)) {
        let mut open: Option<HistogramAppender> = None;
        for (_, histogram) in column.histograms.iter() {
            let next = match &mut open {
                Some(open) => open.append(0, 0, histogram).unwrap(),
                None => Some(HistogramAppender::begin(0, 0, histogram, None, true).unwrap()),
            };
            open = next.or(open);
            let open = open.as_ref().unwrap();
            prop_assert!(open.repeats_last(histogram));
            prop_assert!(open.repeats_last(open.last()));
            let other = Histogram { sum: 0.125, ..histogram.to_owned() };
            prop_assert_eq!(open.repeats_last(other.as_ref()), histogram.sum == 0.125);
        }
    }
}

#[test]
fn floats_cut_their_chunk_only_for_a_start() {
    let mut column = Column::new();
    for (time, start) in [(1, 0), (2, 0), (3, 1), (4, 0)] {
        column.push_value(time, start, Value::Float(1.0));
    }
    let found = chunks(&column, &EncodeOptions::default());
    let ranges: Vec<_> =
        found.iter().map(|chunk| (chunk.encoding, chunk.min_time_ms, chunk.max_time_ms)).collect();
    assert_eq!(ranges, [(1, 1, 2), (4, 3, 4)]);
}

#[test]
fn starts_of_histograms_are_dropped_on_request() {
    let mut column = Column::new();
    let stale = Histogram::stale(true);
    column.push_value(1, 1, Value::Histogram(stale.as_ref()));
    column.push_value(2, 0, Value::Histogram(stale.as_ref()));
    let encodings = |histogram_starts| {
        let options = EncodeOptions { histogram_starts, ..EncodeOptions::default() };
        chunks(&column, &options).iter().map(|chunk| chunk.encoding).collect::<Vec<_>>()
    };
    assert_eq!(encodings(true), [6, 3]);
    assert_eq!(encodings(false), [3]);
}

#[test]
fn a_histogram_that_contradicts_itself_is_refused() {
    let mut histogram = Histogram::stale(false);
    histogram.sum = 1.0;
    let good = histogram.as_ref();
    let mut open = HistogramAppender::begin(0, 0, good, None, false).unwrap();
    let before = open.bytes().to_vec();
    let refuse = |open: &mut HistogramAppender, layout: Layout| {
        let layout = Arc::new(layout);
        let bad = HistogramRef { layout: &layout, ..good };
        let begun = HistogramAppender::begin(0, 0, bad, None, false);
        assert!(matches!(begun, Err(ChunkError::Malformed(_))));
        assert!(matches!(open.append(1, 0, bad), Err(ChunkError::Malformed(_))));
    };
    let positive = vec![Span::new(0, u32::MAX); 3];
    refuse(&mut open, Layout { positive, ..Layout::default() });
    refuse(&mut open, Layout { schema: 9, ..Layout::default() });
    let negative = vec![Span::new(0, 0), Span::new(-1, 0)];
    refuse(&mut open, Layout { negative, ..Layout::default() });
    assert_eq!(open.bytes(), before);
}

#[test]
fn chunks_of_histograms_are_full_when_their_count_is() {
    let stale = Histogram::stale(false);
    for (starts, max) in [(true, 0x3fff), (false, 0xffff)] {
        let mut open = HistogramAppender::begin(0, 0, stale.as_ref(), None, starts).unwrap();
        for time in 1..max {
            open.append(time, 0, stale.as_ref()).unwrap();
        }
        assert_eq!(open.append(max, 0, stale.as_ref()).err(), Some(ChunkError::Full));
        assert_eq!(decoded(open.encoding() as u8, open.bytes()).len() as i64, max);
    }
}

#[test]
fn an_open_chunk_is_small() {
    assert_eq!(size_of::<OpenChunk>(), 64);
    assert_eq!(size_of::<Option<OpenChunk>>(), 64);
}
