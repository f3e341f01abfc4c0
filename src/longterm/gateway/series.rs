//! A series of an answer.

use std::sync::Arc;

use crate::model::Labels;
use crate::series::{Chunk, Column, QueryError, Series, TimeRange, forget_before, merge_runs};

use super::chapter::{Chapter, Ready};
use super::error::GatewayError;

/// A series of an answer, its number in its group and that of its group in the chapter.
#[derive(Debug)]
pub(super) struct GatewaySeries {
    pub(super) labels: Labels,
    pub(super) chapter: Arc<Chapter>,
    pub(super) group: u32,
    pub(super) member: u32,
}

impl GatewaySeries {
    fn range_of(&self, block: u32) -> TimeRange {
        let block = self.chapter.answer.blocks.get(block as usize);
        block.map_or(TimeRange::ALL, |(_, range)| *range)
    }

    fn try_read(&self, range: TimeRange, into: &mut Column) -> Result<(), GatewayError> {
        let fetched = self.chapter.fetched(self.group)?;
        let mut runs = Vec::new();
        let mut count = 0;
        for (number, part) in self.chapter.parts_of(self.group, self.member) {
            let of_block = self.range_of(part.block);
            let range = TimeRange::new(
                range.start_ms.max(of_block.start_ms),
                range.end_ms.min(of_block.end_ms),
            );
            let start = into.len();
            self.chapter.answer.read(part.block, fetched.chunks(number), range, into)?;
            if into.len() > start {
                runs.push(start);
            }
            count += 1;
        }
        if count > 1 {
            // What a histogram says of the one before it was said in its own block.
            runs.iter().for_each(|run| forget_before(into, *run));
        }
        merge_runs(into, &runs);
        self.chapter.done(self.group, self.member);
        Ok(())
    }

    fn try_chunks(&self, range: TimeRange, into: &mut Vec<Chunk>) -> Result<(), GatewayError> {
        let fetched = self.chapter.fetched(self.group)?;
        let start = into.len();
        for (number, part) in self.chapter.parts_of(self.group, self.member) {
            let of_block = self.range_of(part.block);
            let is_wanted =
                |one: &&Ready| one.range().overlaps(range) && one.range().overlaps(of_block);
            into.extend(fetched.chunks(number).iter().filter(is_wanted).map(Ready::chunk));
        }
        into.get_mut(start..).unwrap_or_default().sort_by_key(|chunk| chunk.min_time_ms);
        self.chapter.done(self.group, self.member);
        Ok(())
    }

    fn refused(&self, error: GatewayError) -> QueryError {
        self.chapter.answer.shared.refused(error)
    }
}

impl Series for GatewaySeries {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn resolution_ms(&self) -> i64 {
        let parts = self.chapter.parts_of(self.group, self.member);
        let blocks =
            parts.filter_map(|(_, one)| self.chapter.answer.blocks.get(one.block as usize));
        blocks.map(|(block, _)| block.about.resolution_ms).max().unwrap_or(0)
    }

    fn read(&self, range: TimeRange, into: &mut Column) -> Result<(), QueryError> {
        let start = into.len();
        self.try_read(range, into).map_err(|error| {
            into.truncate(start);
            self.refused(error)
        })
    }

    fn chunks(&self, range: TimeRange, into: &mut Vec<Chunk>) -> Result<(), QueryError> {
        let start = into.len();
        self.try_chunks(range, into).map_err(|error| {
            into.truncate(start);
            self.refused(error)
        })
    }
}
