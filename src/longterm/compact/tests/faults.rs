//! A store that is not always there, and a second compactor.

use super::*;
use crate::longterm::BUCKET_INDEX;
use crate::longterm::bucket::{Fault, FaultyBucket, Retry};

#[test]
fn refusals_lost_answers_cut_bodies_and_late_listings_lose_nothing() {
    let faults = [Fault::Refused, Fault::AnswerLost, Fault::CutShort, Fault::ListedLate];
    for (place, fault) in faults.into_iter().enumerate() {
        for every in [3_u64, 7, 11] {
            let world = World::new();
            two_hours(&world, 6);
            let before = world.contents();
            // One try only, so that faults are seen.
            let retry = Retry { tries: 1, ..Retry::default() };
            let impatient = world.bucket.with_retry(retry);
            let faulty = FaultyBucket::new(&impatient, move |request| {
                let is_hit = request.number % every == place as u64 % every;
                if is_hit { fault } else { Fault::None }
            });
            for _ in 0..12 {
                let _ = world.compactor_on(&faulty.bucket()).run_once(Watch::default());
                let story = format!("{fault:?} at every {every}th request");
                assert_eq!(world.contents(), before, "{story}");
                world.pass(10 * MINUTE);
            }
            world.run();
            assert_eq!(world.contents(), before);
            assert_eq!(world.spans(0), [(0, 8), (8, 10), (10, 12)]);
            assert_eq!(world.number("promlite_compact_quarantined_blocks"), 0.0);
        }
    }
}

#[test]
fn a_second_compactor_waits_for_the_lease() {
    let world = World::new();
    two_hours(&world, 6);
    let first = world.compactor();
    let round = first.begin(Watch::default()).unwrap();
    let second = world.compactor();
    let refused = second.run_once(Watch::default()).unwrap_err();
    assert!(matches!(refused, CompactError::Lease(LeaseError::Held { .. })), "{refused}");
    round.finish();
    assert_eq!(second.run_once(Watch::default()).unwrap().merged.len(), 1);
}

/// Held up for long, as by a suspended machine, it goes on where it was.
#[test]
fn who_was_held_up_does_no_harm() {
    let world = World::new();
    two_hours(&world, 6);
    let before = world.contents();
    let late = world.compactor();
    let mut round = late.begin(Watch::default()).unwrap();
    world.pass(HOUR);
    let mut other = World::over(world.bucket.clone(), 0);
    other.clock = world.clock.clone();
    assert_eq!(other.run().merged.len(), 1);
    let keys = world.keys();
    let error = round.all().unwrap_err();
    assert!(matches!(error, CompactError::Lease(LeaseError::Lost { token: 1 })), "{error}");
    assert_eq!(round.finish().merged, []);
    assert_eq!(world.keys(), keys);
    assert_eq!(world.contents(), before);
}

/// Nobody keeps two compactors without a lease from doing the same.
#[test]
fn two_without_a_lease_double_nothing() {
    let mut world = World::new();
    world.options.lease_ms = 0;
    two_hours(&world, 6);
    let before = world.contents();
    let (first, second) = (world.compactor(), world.compactor());
    let mut other = World::over(world.bucket.clone(), 0);
    (other.clock, other.options) = (world.clock.clone(), world.options.clone());
    let third = other.compactor();
    let mut rounds =
        [first.begin(Watch::default()).unwrap(), third.begin(Watch::default()).unwrap()];
    for round in &mut rounds {
        round.merge_groups().unwrap();
        assert_eq!(round.report().merged.len(), 1);
        assert_eq!(world.contents(), before);
    }
    drop(rounds);
    assert_eq!(second.run_once(Watch::default()).unwrap().outdated.len(), 1);
    assert_eq!(world.contents(), before);
    world.pass(49 * HOUR);
    world.run();
    assert_eq!(world.contents(), before);
    assert_eq!(world.spans(0), [(0, 8), (8, 10), (10, 12)]);
}

#[test]
fn it_ends_when_it_is_told_to() {
    let world = World::new();
    two_hours(&world, 6);
    let before = world.contents();
    for count in [0, 1, 5, 20] {
        let calls = std::cell::Cell::new(0);
        let is_ending = || {
            calls.set(calls.get() + 1);
            calls.get() > count
        };
        let watch = Watch { is_ending: &is_ending, progress: &|_| {} };
        let ended = world.compactor().run_once(watch);
        assert!(matches!(ended, Err(CompactError::Ended)), "{count}: {ended:?}");
        assert_eq!(world.contents(), before);
    }
    // The lease is free.
    world.run();
    assert_eq!(world.spans(0), [(0, 8), (8, 10), (10, 12)]);
    assert_eq!(world.contents(), before);
}

#[test]
fn uploads_that_were_given_up_go_and_damaged_metas_stay() {
    let world = World::over(Bucket::memory(), 0);
    use crate::base::clock::{Clock as _, SystemClock};
    // The store has a clock of its own.
    world.clock.set(SystemClock.now_ms());
    let (half, damaged) = (Ulid::from_parts(5, 1), Ulid::from_parts(5, 2));
    world.bucket.put(&format!("{half}/index"), Bytes::from_static(b"x")).unwrap();
    world.bucket.put(&format!("{damaged}/index"), Bytes::from_static(b"x")).unwrap();
    world.bucket.put(&format!("{damaged}/meta.json"), Bytes::from_static(b"{")).unwrap();
    world.bucket.put("notes.txt", Bytes::from_static(b"not ours")).unwrap();
    assert!(world.run().changed_nothing());
    world.pass(47 * HOUR);
    assert!(world.run().changed_nothing());
    world.pass(2 * HOUR);
    assert_eq!(world.run().given_up, [half]);
    let (index, lease) = (BUCKET_INDEX.to_owned(), LEASE_KEY.to_owned());
    let meta = format!("{damaged}/meta.json");
    let wanted = [format!("{damaged}/index"), meta, "notes.txt".into(), index, lease];
    assert_eq!(world.keys(), wanted);
}
