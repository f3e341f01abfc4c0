//! Damaged objects, buckets that fail.

use crate::longterm::bucket::{Fault, FaultyBucket, Operation};
use crate::series::QueryError;

use super::*;

fn block(number: u64, start_ms: i64) -> Spec {
    let samples = vec![(0..50).map(|step| (start_ms + step, 1.0)).collect()];
    let series = ["a", "b", "c"].map(|name| (labels(&[("__name__", name)]), samples.clone()));
    Spec {
        number,
        external: labels(&[("cluster", "c")]),
        range: (start_ms, start_ms + 100),
        resolution_ms: 0,
        series: series.into(),
        sources: vec![],
    }
}

fn two() -> Fixture {
    Fixture::of(&[block(1, 0), block(2, 100)])
}

fn all() -> Select {
    Select::new(Vec::new(), TimeRange::ALL)
}

/// Turns a bit of an object.
fn damage(bucket: &Bucket, key: &str, from_end: usize) {
    let mut bytes = bucket.get(key).unwrap().to_vec();
    let at = bytes.len() - from_end;
    bytes[at] ^= 1;
    bucket.put(key, bytes.into()).unwrap();
}

fn key(number: u64, name: &str) -> String {
    format!("{}/{name}", Ulid::from_parts(number, 0))
}

#[test]
fn a_broken_index_leaves_its_block_out_and_the_others_answer() {
    let fixture = two();
    damage(&fixture.bucket, &key(1, "index"), 20);
    let gateway = fixture.gateway(GatewayOptions::default());
    for _ in 0..2 {
        let set = gateway.select(&all()).unwrap();
        assert_eq!(set.series.len(), 3);
        assert_eq!(set.warnings.len(), 1);
        let named = set.warnings[0].contains(&key(1, "index"));
        assert!(named && set.warnings[0].contains("left out"), "{:?}", set.warnings);
        assert_eq!(gateway.stats().set_aside, 1);
    }
    assert_eq!(gateway.label_values("__name__", &all()).unwrap().len(), 3);
}

#[test]
fn damaged_chunks_lists_and_series_are_told_with_their_place() {
    // The only segment ends with the checksum of a chunk.
    let fixture = two();
    damage(&fixture.bucket, &key(2, "chunks/000001"), 1);
    let gateway = fixture.gateway(GatewayOptions::default());
    let set = gateway.select(&all()).unwrap();
    let refused = set.series[2].read(TimeRange::ALL, &mut Column::new()).unwrap_err();
    assert!(matches!(refused, QueryError::Corrupt(_)));
    assert!(refused.to_string().contains(&key(2, "chunks/000001")), "{refused}");
    assert!(refused.to_string().contains("checksum"), "{refused}");

    // Every byte of series entries and lists, one at a time: a wrong answer is never given.
    let fixture = Fixture::of(&[block(1, 0)]);
    let sound = fixture.bucket.get(&key(1, "index")).unwrap();
    let wanted = read(&fixture.gateway(GatewayOptions::default()), &all());
    let mut refused = 0;
    for at in 0..sound.len() {
        let mut damaged = sound.to_vec();
        damaged[at] ^= 4;
        fixture.bucket.put(&key(1, "index"), damaged.into()).unwrap();
        let gateway = fixture.gateway(GatewayOptions::default());
        match gateway.select(&all()) {
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains(&key(1, "index")), "{error}");
            }
            Ok(set) if !set.warnings.is_empty() => refused += 1,
            Ok(_) => assert_eq!(read(&gateway, &all()), wanted, "byte {at}"),
        }
    }
    assert!(refused > sound.len() / 2, "{refused} of {}", sound.len());
}

#[test]
fn a_bucket_that_fails_is_an_error_and_not_a_hole() {
    let fixture = two();
    let faulty = FaultyBucket::new(&fixture.bucket, |request| {
        let is_chunk = request.key.contains("chunks");
        if is_chunk && request.operation == Operation::GetRange {
            Fault::Refused
        } else {
            Fault::None
        }
    });
    let options = GatewayOptions::default();
    let gateway = fixture.gateway_over(faulty.bucket(), options);
    let set = gateway.select(&all()).unwrap();
    let refused = set.series[0].read(TimeRange::ALL, &mut Column::new()).unwrap_err();
    assert!(matches!(refused, QueryError::Unavailable(_)), "{refused}");
    assert!(refused.to_string().contains("chunks/000001"), "{refused}");

    let down = FaultyBucket::new(&fixture.bucket, |_| Fault::Refused);
    let gateway = fixture.gateway_over(down.bucket(), GatewayOptions::default());
    let refused = gateway.select(&all()).unwrap_err();
    assert!(matches!(refused, QueryError::Unavailable(_)), "{refused}");
    assert_eq!(gateway.stats().set_aside, 0);
}

#[test]
fn bodies_that_end_early_are_asked_for_again() {
    let fixture = two();
    let faulty = FaultyBucket::new(&fixture.bucket, |request| {
        if request.number % 3 == 1 { Fault::CutShort } else { Fault::None }
    });
    let gateway = fixture.gateway_over(faulty.bucket(), GatewayOptions::default());
    assert_eq!(read(&gateway, &all()), fixture.model(&all()));
}
