//! The series of all blocks as those of one answer.

use std::sync::Arc;

use crate::model::Labels;
use crate::series::Series;

use super::block::Shared;
use super::chapter::{Chapter, Group, PartOf};
use super::chunks::Answer;
use super::find::Found;
use super::series::GatewaySeries;

/// Series in a group, at most: what must be read until its chunks go.
const GROUP_SERIES_MAX: usize = 4096;

/// The series of an answer, and what they take.
#[derive(Default)]
pub(super) struct Joined {
    chapters: Vec<Draft>,
    /// Bytes of labels, places and handles.
    pub(super) memory_bytes: u64,
    /// Bytes of all their chunks, as far as that is known.
    pub(super) chunks_bytes: u64,
}

/// A chapter that is being written.
#[derive(Default)]
struct Draft {
    labels: Vec<Labels>,
    parts: Vec<PartOf>,
    /// Of each group where it starts, and where the parts of each of its series end.
    groups: Vec<(u32, Vec<u32>)>,
    unkept_bytes: u64,
}

impl Draft {
    fn begin_group(&mut self) {
        self.end_series();
        self.groups.push((self.parts.len() as u32, Vec::new()));
    }

    fn begin_series(&mut self, labels: Labels) {
        self.end_series();
        self.labels.push(labels);
        if let Some((_, ends)) = self.groups.last_mut() {
            ends.push(0);
        }
    }

    fn end_series(&mut self) {
        let end = self.parts.len() as u32;
        if let Some(last) = self.groups.last_mut().and_then(|(_, ends)| ends.last_mut()) {
            *last = end;
        }
    }

    fn series_in_group(&self) -> usize {
        self.groups.last().map_or(0, |(_, ends)| ends.len())
    }

    fn add(&mut self, part: PartOf) {
        if part.places.is_none() {
            self.unkept_bytes += u64::from(part.places_bytes);
        }
        self.parts.push(part);
    }
}

/// Brings the series of all blocks into label order, those of the same labels together, and
/// neighbours into groups and chapters. More than `limit` are left out.
pub(super) fn join(by_block: Vec<Vec<Found>>, limit: usize, shared: &Shared) -> Joined {
    let (group_bytes, chapter_bytes) = (shared.group_bytes(), shared.chapter_bytes());
    let mut all: Vec<(u32, Found)> = Vec::with_capacity(by_block.iter().map(Vec::len).sum());
    let mut runs = 0;
    for (block, found) in (0..).zip(by_block) {
        runs += usize::from(!found.is_empty());
        all.extend(found.into_iter().map(|one| (block, one)));
    }
    if runs > 1 {
        // Stable, so that blocks keep their order; sorted runs make the sort a merge.
        all.sort_by(|a, b| a.1.labels.cmp(&b.1.labels));
    }
    let mut joined = Joined::default();
    let mut draft = Draft::default();
    let (mut bytes, mut count) = (0, 0);
    for (block, Found { labels, part, chunks_bytes }) in all {
        if draft.labels.last() != Some(&labels) {
            if count == limit {
                break;
            }
            count += 1;
            if draft.unkept_bytes >= chapter_bytes {
                joined.end(std::mem::take(&mut draft));
            }
            let is_full = bytes >= group_bytes || draft.series_in_group() == GROUP_SERIES_MAX;
            if is_full || draft.groups.is_empty() {
                draft.begin_group();
                bytes = 0;
            }
            joined.memory_bytes += labels.memory_bytes() as u64;
            joined.memory_bytes += size_of::<GatewaySeries>() as u64;
            draft.begin_series(labels);
        }
        bytes += chunks_bytes;
        joined.chunks_bytes += chunks_bytes;
        let places_bytes = part.places.as_ref().map_or(0, |places| places.len());
        joined.memory_bytes += (places_bytes + size_of::<PartOf>()) as u64;
        draft.add(PartOf { block, ..part });
    }
    joined.end(draft);
    joined
}

impl Joined {
    fn end(&mut self, mut draft: Draft) {
        draft.end_series();
        draft.parts.shrink_to_fit();
        self.chapters.push(draft);
    }

    /// The series, which can be read from now on.
    pub(super) fn into_series(self, answer: &Arc<Answer>) -> Vec<Box<dyn Series>> {
        let count = self.chapters.iter().map(|draft| draft.labels.len()).sum();
        let mut series: Vec<Box<dyn Series>> = Vec::with_capacity(count);
        for Draft { labels, parts, groups, .. } in self.chapters {
            let sizes: Vec<usize> = groups.iter().map(|(_, ends)| ends.len()).collect();
            let groups = groups.into_iter().map(|(start, ends)| Group::new(start, ends));
            let chapter = Chapter::new(answer, parts, groups.collect());
            let places = (0..)
                .zip(sizes)
                .flat_map(|(group, size)| (0..).take(size).map(move |member| (group, member)));
            series.extend(labels.into_iter().zip(places).map(|(labels, (group, member))| {
                let chapter = Arc::clone(&chapter);
                Box::new(GatewaySeries { labels, chapter, group, member }) as Box<dyn Series>
            }));
        }
        series
    }
}
