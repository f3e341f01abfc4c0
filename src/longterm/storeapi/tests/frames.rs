//! Frames against another implementation of protobuf.

use super::*;

type Row = (Vec<(String, String)>, Vec<(i64, i64, i32, Vec<u8>)>);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let pairs = btree_map("[a-z]{1,5}", "\\PC{1,140}", 0..4);
    let chunk = (any::<i64>(), any::<i64>(), 0..3_i32, vec(any::<u8>(), 0..200));
    let row = (pairs, vec(chunk, 0..4));
    vec(row, 0..6).prop_map(|rows| {
        // Each label set once.
        let rows: std::collections::BTreeMap<Vec<_>, _> =
            rows.into_iter().map(|(pairs, chunks)| (pairs.into_iter().collect(), chunks)).collect();
        rows.into_iter().collect()
    })
}

fn message((pairs, chunks): &Row) -> SeriesMessage {
    let label =
        |(name, value): &(String, String)| Label { name: name.clone(), value: value.clone() };
    let chunk = |(min_time, max_time, kind, data): &(i64, i64, i32, Vec<u8>)| AggrChunk {
        min_time: *min_time,
        max_time: *max_time,
        raw: Some(ChunkMessage {
            kind: *kind,
            data: data.clone(),
            hash: xxhash_rust::xxh64::xxh64(data, 0),
        }),
        ..AggrChunk::default()
    };
    SeriesMessage {
        labels: pairs.iter().map(label).collect(),
        chunks: chunks.iter().map(chunk).collect(),
    }
}

fn read_frames<'a>(frames: impl Iterator<Item = &'a Bytes>) -> Vec<(Labels, Vec<Chunk>)> {
    let mut reader = AnswerReader::new(usize::MAX);
    frames.for_each(|frame| reader.frame(frame).unwrap());
    let series = reader.finish().series.into_iter();
    series.map(|found| (found.labels, found.chunks)).collect()
}

proptest! {
    #[test]
    fn frames_are_what_another_implementation_reads_and_writes(
        rows in rows(),
        batch_size in 0_usize..4,
        frame_bytes in 0_usize..400,
    ) {
        let mut frames = Vec::new();
        let mut send = |frame| {
            frames.push(frame);
            true
        };
        let mut writer = FrameWriter::new(&mut send, batch_size, frame_bytes);
        for (pairs, chunks) in &rows {
            writer.begin(&Labels::from_pairs(pairs.iter().map(|(a, b)| (a, b))).unwrap());
            for (first_ms, last_ms, kind, data) in chunks {
                let part = Part { field: 3, encoding: *kind as u8 + 1, data };
                writer.chunk((*first_ms, *last_ms), &[part]).unwrap();
            }
            writer.end_series().unwrap();
        }
        writer.flush().unwrap();
        let mut read: Vec<SeriesMessage> = Vec::new();
        for frame in &frames {
            let mut series = match SeriesResponse::decode(frame.clone()).unwrap().frame.unwrap() {
                Frame::Series(one) => vec![one],
                Frame::Batch(batch) => batch.series,
                Frame::Warning(text) => panic!("{text}"),
            };
            prop_assert!(series.len() <= batch_size.max(1));
            // A series may go on in the next frame.
            for mut one in series.drain(..) {
                match read.last_mut().filter(|last| last.labels == one.labels) {
                    Some(last) => last.chunks.append(&mut one.chunks),
                    None => read.push(one),
                }
            }
        }
        let wanted: Vec<SeriesMessage> = rows.iter().map(message).collect();
        prop_assert_eq!(&read, &wanted);
        let theirs = |one: &SeriesMessage| {
            let frame = Some(Frame::Series(one.clone()));
            Bytes::from(SeriesResponse { frame }.encode_to_vec())
        };
        let theirs: Vec<Bytes> = wanted.iter().map(theirs).collect();
        prop_assert_eq!(read_frames(frames.iter()), read_frames(theirs.iter()));
    }

    #[test]
    fn any_bytes_are_a_frame_or_an_error(
        noise in vec(any::<u8>(), 0..80),
        rows in rows(),
        at in any::<prop::sample::Index>(),
    ) {
        let _ = AnswerReader::new(1 << 20).frame(&Bytes::from(noise.clone()));
        let series = rows.iter().map(message).collect();
        let frame = Some(Frame::Batch(SeriesBatch { series }));
        let mut bytes = SeriesResponse { frame }.encode_to_vec();
        let at = at.index(bytes.len() + 1).min(bytes.len());
        bytes.truncate(at);
        bytes.extend(noise);
        let mut reader = AnswerReader::new(1 << 20);
        if reader.frame(&Bytes::from(bytes)).is_ok() {
            reader.finish();
        }
    }
}
