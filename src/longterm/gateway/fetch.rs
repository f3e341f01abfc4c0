//! Parts of objects whose length is not known before they are read.

use std::ops::Range;

use bytes::Bytes;

use crate::longterm::bucket::Bucket;
use crate::storage::index::Part;

use super::error::GatewayError;
use super::limits::{Held, Meters};
use super::ranges::{join, windows};

/// Reads objects for one question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fetch<'a> {
    pub(super) bucket: &'a Bucket,
    pub(super) meters: &'a Meters,
    pub(super) gap_bytes: u64,
    /// So many bytes are read at a time, if one part is not longer.
    pub(super) window_bytes: u64,
}

/// What reads the part of that number from the bytes that start with it.
type Parse<'a, T> = dyn Fn(usize, &Bytes) -> Result<Part<T>, GatewayError> + 'a;

/// A part that keeps the buffer in memory that it was read into.
pub(super) trait Sliced {
    fn slice(&mut self) -> &mut Bytes;
}

impl Sliced for Bytes {
    fn slice(&mut self) -> &mut Bytes {
        self
    }
}

/// Parts that were read, the memory that they take, and how many were longer than guessed.
#[derive(Debug)]
pub(super) struct Parts<T> {
    pub(super) parts: Vec<T>,
    pub(super) held: Held,
    pub(super) refetched: usize,
}

impl Fetch<'_> {
    /// Reads ranges of one object, several at a time.
    pub(super) fn ranges(
        &self,
        key: &str,
        ranges: &[Range<u64>],
    ) -> Result<(Vec<Bytes>, Held), GatewayError> {
        let total = ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum();
        self.meters.fetched(total)?;
        let held = self.meters.memory.hold(total)?;
        let bodies = match ranges {
            [] => Vec::new(),
            [one] => vec![self.bucket.get_range(key, one.clone())?],
            many => self.bucket.get_ranges(key, many)?,
        };
        if bodies.len() != ranges.len() {
            return Err(GatewayError::corrupt(key, 0, "fewer ranges came than were asked for"));
        }
        Ok((bodies, held))
    }

    /// Reads parts of one object that start where the ranges in `guesses` do and are about as
    /// long; they ascend. `parse` is given each part, with as much behind it as was read, and says
    /// how long it is if that is not enough: such a part is read once more. No part reaches beyond
    /// `end`.
    pub(super) fn parts<T: Sliced>(
        &self,
        key: &str,
        end: u64,
        guesses: &[Range<u64>],
        parse: &Parse<'_, T>,
    ) -> Result<Parts<T>, GatewayError> {
        let held = self.meters.memory.hold(0)?;
        let mut all = Parts { parts: Vec::with_capacity(guesses.len()), held, refetched: 0 };
        for window in windows(guesses, self.gap_bytes, self.window_bytes) {
            let first = window.start;
            let guesses = guesses.get(window).unwrap_or_default();
            self.window(key, end, guesses, &|index, bytes| parse(first + index, bytes), &mut all)?;
        }
        Ok(all)
    }

    fn window<T: Sliced>(
        &self,
        key: &str,
        end: u64,
        guesses: &[Range<u64>],
        parse: &Parse<'_, T>,
        all: &mut Parts<T>,
    ) -> Result<(), GatewayError> {
        let mut parts: Vec<Option<T>> = Vec::new();
        parts.resize_with(guesses.len(), || None);
        let mut short = Vec::new();
        let mut held = self.round(key, guesses, &mut |index, bytes| {
            match parse(index, &bytes)? {
                Part::Whole(part) => put(&mut parts, index, part),
                Part::Short(length) => short.push((index, length)),
            }
            Ok(())
        })?;
        let mut again = Vec::with_capacity(short.len());
        for (index, length) in &short {
            let start = guesses.get(*index).map_or(0, |guess| guess.start);
            let until = start.checked_add(*length).filter(|until| *until <= end);
            let cut = || GatewayError::corrupt(key, start, "a length that reaches too far");
            again.push(start..until.ok_or_else(cut)?);
        }
        held.join(self.round(key, &again, &mut |place, bytes| {
            let index = short.get(place).map_or(0, |one| one.0);
            let start = again.get(place).map_or(0, |range| range.start);
            match parse(index, &bytes)? {
                Part::Whole(part) => put(&mut parts, index, part),
                Part::Short(_) => return Err(GatewayError::corrupt(key, start, "it ends early")),
            }
            Ok(())
        })?);
        all.refetched += short.len();
        let mut parts: Vec<T> = parts.into_iter().flatten().collect();
        if parts.len() != guesses.len() {
            return Err(GatewayError::corrupt(key, 0, "a part that was not read"));
        }
        let wanted_bytes = parts.iter_mut().map(|part| part.slice().len() as u64).sum::<u64>();
        if wanted_bytes < held.bytes() / 2 {
            // Most of what was read are holes, which would stay in memory as long as the parts.
            let copied = self.meters.memory.hold(wanted_bytes)?;
            for part in &mut parts {
                let slice = part.slice();
                *slice = Bytes::copy_from_slice(slice);
            }
            held = copied;
        }
        all.held.join(held);
        all.parts.append(&mut parts);
        Ok(())
    }

    fn round(
        &self,
        key: &str,
        wanted: &[Range<u64>],
        each: &mut dyn FnMut(usize, Bytes) -> Result<(), GatewayError>,
    ) -> Result<Held, GatewayError> {
        let joined = join(wanted, self.gap_bytes);
        let ranges: Vec<Range<u64>> = joined.iter().map(|one| one.bytes.clone()).collect();
        let (bodies, held) = self.ranges(key, &ranges)?;
        for (one, body) in joined.iter().zip(bodies) {
            for index in one.items.clone() {
                let start = wanted.get(index).map_or(0, |range| range.start - one.bytes.start);
                let start = usize::try_from(start).unwrap_or(usize::MAX).min(body.len());
                each(index, body.slice(start..))?;
            }
        }
        Ok(held)
    }
}

fn put<T>(parts: &mut [Option<T>], index: usize, part: T) {
    if let Some(slot) = parts.get_mut(index) {
        *slot = Some(part);
    }
}
