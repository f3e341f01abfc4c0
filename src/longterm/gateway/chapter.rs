//! The series of an answer, some at a time: when what is read of them comes, and when it goes.
//!
//! | what   | of | comes | goes |
//! |---|---|---|---|
//! | chunks          | a group   | when its first series is read, or the group before it | behind its last one |
//! | their places    | the answer| when series are selected         | with the answer              |
//! | those for which there was no room | a chapter | once more, for its first group | behind its last one |
//!
//! Series are read one after the other as a rule, so that little of an answer is in memory however
//! large it is. Series whose samples nobody reads cost no request at all.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::base::parallel::in_parallel;
use crate::series::{Chunk, TimeRange};

use super::chunks::{Answer, FetchedChunk};
use super::error::GatewayError;
use super::limits::{Held, Spill};
use super::places::{self, ChunkWant};

/// What one block has of a series.
#[derive(Debug)]
pub(super) struct PartOf {
    /// Number of the block in the answer.
    pub(super) block: u32,
    /// The series in that block.
    pub(super) id: u32,
    /// How long the last of its chunks is, at most.
    pub(super) last_guess_bytes: u32,
    /// Bytes of the places of its chunks.
    pub(super) places_bytes: u32,
    /// The places, if there was room for them.
    pub(super) places: Option<Box<[u8]>>,
}

/// A chunk that can be read.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) want: ChunkWant,
    pub(super) encoding: u8,
    pub(super) data: Bytes,
}

impl Ready {
    pub(super) const fn range(&self) -> TimeRange {
        TimeRange::new(self.want.min_time_ms, self.want.max_time_ms)
    }

    /// As it is stored.
    pub(super) fn chunk(&self) -> Chunk {
        let (min_time_ms, max_time_ms) = (self.want.min_time_ms, self.want.max_time_ms);
        Chunk { min_time_ms, max_time_ms, encoding: self.encoding, data: self.data.clone() }
    }
}

/// Series whose places are read together where they are read once more.
#[derive(Debug)]
pub(super) struct Chapter {
    pub(super) answer: Arc<Answer>,
    parts: Vec<PartOf>,
    groups: Vec<Group>,
    /// There are parts without places.
    lacks_places: bool,
    again: Mutex<Again>,
}

/// Series whose chunks are fetched together.
#[derive(Debug)]
pub(super) struct Group {
    /// Where the parts of each series end, among those of the chapter.
    ends: Vec<u32>,
    start: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    fetched: Option<Arc<Fetched>>,
    /// Which series were read since it was fetched.
    was_read: Vec<bool>,
    unread_count: usize,
    /// Somebody has asked for it.
    was_begun: bool,
    /// Who fetches it before it is asked for.
    ahead: Option<JoinHandle<()>>,
}

/// The chunks of a group.
#[derive(Debug)]
pub(super) struct Fetched {
    chunks: Vec<Ready>,
    /// Where those of each part end.
    ends: Vec<u32>,
    first_part: usize,
    _held: Vec<Held>,
}

/// What is read once more.
#[derive(Debug, Default)]
struct Again {
    reread: Option<Arc<Reread>>,
    groups_done: usize,
}

/// Places that were read once more.
#[derive(Debug)]
struct Reread {
    /// By part; nothing for those that were kept.
    by_part: Vec<Box<[u8]>>,
    _held: Held,
}

/// A block of the answer and a segment of it.
type Object = (u32, u32);

/// The chunks of a group.
#[derive(Default)]
struct Wanted {
    wants: Vec<ChunkWant>,
    /// Where those of each part end.
    ends: Vec<u32>,
    /// Their numbers.
    by_object: BTreeMap<Object, Vec<u32>>,
}

impl Group {
    /// The series whose parts end there; the first one begins at `start`.
    pub(super) fn new(start: u32, ends: Vec<u32>) -> Self {
        let was_read = vec![false; ends.len()];
        let unread_count = ends.len();
        let state = State { fetched: None, was_read, unread_count, was_begun: false, ahead: None };
        Self { ends, start, state: Mutex::new(state) }
    }

    fn parts(&self) -> Range<usize> {
        self.start as usize..self.ends.last().map_or(self.start, |end| *end) as usize
    }

    fn parts_of(&self, member: usize) -> Range<usize> {
        let before = member.checked_sub(1).and_then(|before| self.ends.get(before));
        let start = before.map_or(self.start, |end| *end);
        start as usize..self.ends.get(member).map_or(start, |end| *end) as usize
    }
}

impl Fetched {
    /// The chunks of a part.
    pub(super) fn chunks(&self, part: usize) -> &[Ready] {
        let Some(at) = part.checked_sub(self.first_part) else { return &[] };
        let end = |at: usize| self.ends.get(at).map_or(0, |end| *end as usize);
        let start = at.checked_sub(1).map_or(0, end);
        self.chunks.get(start..end(at)).unwrap_or_default()
    }
}

impl Chapter {
    pub(super) fn new(answer: &Arc<Answer>, parts: Vec<PartOf>, groups: Vec<Group>) -> Arc<Self> {
        let answer = Arc::clone(answer);
        let lacks_places = parts.iter().any(|part| part.places.is_none());
        let again = Mutex::default();
        let chapter = Arc::new(Self { answer, parts, groups, lacks_places, again });
        let spill: Arc<dyn Spill> = Arc::<Self>::clone(&chapter);
        chapter.answer.meters.memory.may_spill(&spill);
        chapter
    }

    /// What the blocks have of a series, with the number of each part in the chapter.
    pub(super) fn parts_of(
        &self,
        group: u32,
        member: u32,
    ) -> impl Iterator<Item = (usize, &PartOf)> {
        let group = self.groups.get(group as usize);
        let range = group.map_or(0..0, |group| group.parts_of(member as usize));
        range.filter_map(|part| Some((part, self.parts.get(part)?)))
    }

    /// The chunks of a group; the first who asks fetches them while the others wait.
    pub(super) fn fetched(self: &Arc<Self>, number: u32) -> Result<Arc<Fetched>, GatewayError> {
        let Some(group) = self.groups.get(number as usize) else {
            return Err(GatewayError::corrupt("", 0, "no such group"));
        };
        let ahead = group.state.lock().ahead.take();
        // What it met is met again if it lasts.
        ahead.map(JoinHandle::join);
        let mut state = group.state.lock();
        if !std::mem::replace(&mut state.was_begun, true) {
            self.fetch_ahead(number);
        }
        if let Some(fetched) = &state.fetched {
            return Ok(Arc::clone(fetched));
        }
        let fetched = Arc::new(self.fetch(group)?);
        state.fetched = Some(Arc::clone(&fetched));
        Ok(fetched)
    }

    /// Fetches the group behind one while that is read, if groups are read in order and there is
    /// room: else every group would wait for the bucket.
    fn fetch_ahead(self: &Arc<Self>, number: u32) {
        let at = |number: Option<u32>| self.groups.get(number? as usize);
        let before = at(number.checked_sub(1)).and_then(|group| group.state.try_lock());
        let is_in_order = before.is_some_and(|state| state.was_begun);
        let next = at(number.checked_add(1)).filter(|_| is_in_order);
        let Some(mut state) = next.and_then(|group| group.state.try_lock()) else { return };
        let memory = &self.answer.meters.memory;
        let is_known = state.was_begun || state.fetched.is_some() || state.ahead.is_some();
        if is_known || !memory.is_half_free(self.answer.shared.group_bytes()) {
            return;
        }
        let chapter = Arc::clone(self);
        let fetch = move || {
            let Some(group) = chapter.groups.get(number as usize + 1) else { return };
            let mut state = group.state.lock();
            if state.fetched.is_none() && !state.was_begun {
                // Whoever wants it tries again, and tells why it cannot be had.
                state.fetched = chapter.fetch(group).ok().map(Arc::new);
            }
        };
        let spawned = std::thread::Builder::new().name("promlite-ahead".into()).spawn(fetch);
        state.ahead = spawned.ok();
    }

    /// Notes that a series was read; behind the last one of a group its chunks go.
    pub(super) fn done(&self, group: u32, member: u32) {
        let Some(group) = self.groups.get(group as usize) else { return };
        let mut state = group.state.lock();
        match state.was_read.get_mut(member as usize) {
            Some(was_read) if !*was_read => *was_read = true,
            _ => return,
        }
        state.unread_count -= 1;
        if state.unread_count == 0 {
            state.fetched = None;
            state.unread_count = group.ends.len();
            state.was_read.fill(false);
        }
    }

    fn fetch(&self, group: &Group) -> Result<Fetched, GatewayError> {
        let answer = &self.answer;
        let Wanted { wants, ends, by_object } = self.wanted(group)?;
        let mut held = vec![answer.meters.memory.hold(size_of_val(wants.as_slice()) as u64 * 3)?];
        let mut objects: Vec<(Object, Vec<u32>)> = by_object.into_iter().collect();
        let want = |slot: &u32| wants.get(*slot as usize).copied();
        for (_, slots) in &mut objects {
            slots.sort_by_key(|slot| want(slot).map(|want| want.reference));
        }
        let limit = answer.shared.options.concurrency;
        let read = in_parallel(&objects, limit, |(object, slots)| {
            let wants: Vec<ChunkWant> = slots.iter().filter_map(want).collect();
            answer.fetch_chunks(*object, &wants)
        });
        let mut chunks: Vec<Option<FetchedChunk>> = Vec::new();
        chunks.resize_with(wants.len(), || None);
        for ((_, slots), one) in objects.iter().zip(read) {
            let (found, of_object) = one?;
            held.push(of_object);
            for (slot, chunk) in slots.iter().zip(found) {
                if let Some(place) = chunks.get_mut(*slot as usize) {
                    *place = Some(chunk);
                }
            }
        }
        let ready = wants.into_iter().zip(chunks).map(|(want, chunk)| {
            let (_, encoding, data) = chunk?;
            Some(Ready { want, encoding, data })
        });
        let chunks: Option<Vec<Ready>> = ready.collect();
        let chunks = chunks.ok_or_else(|| GatewayError::corrupt("", 0, "a chunk was not read"))?;
        if self.lacks_places {
            self.again.lock().done(self.groups.len());
        }
        Ok(Fetched { chunks, ends, first_part: group.parts().start, _held: held })
    }

    /// The chunks of a group, in the order of its parts, and in which objects they are.
    fn wanted(&self, group: &Group) -> Result<Wanted, GatewayError> {
        let reread = if self.lacks_places { Some(self.reread()?) } else { None };
        let mut wanted = Wanted::default();
        for number in group.parts() {
            let Some(part) = self.parts.get(number) else { continue };
            let again = reread.as_ref().and_then(|reread| reread.by_part.get(number));
            let bytes = part.places.as_ref().or(again).map_or(&[][..], |bytes| bytes);
            let start = wanted.wants.len();
            let decoded = places::decode(bytes, part.last_guess_bytes, &mut wanted.wants);
            decoded.ok_or_else(|| GatewayError::corrupt("", 0, "places of chunks"))?;
            wanted.ends.push(wanted.wants.len() as u32);
            for (slot, want) in (0..).zip(&wanted.wants).skip(start) {
                wanted.by_object.entry((part.block, want.segment())).or_default().push(slot);
            }
        }
        Ok(wanted)
    }

    /// The places that were not kept; the first who asks reads them while the others wait.
    fn reread(&self) -> Result<Arc<Reread>, GatewayError> {
        let mut again = self.again.lock();
        if let Some(reread) = &again.reread {
            return Ok(Arc::clone(reread));
        }
        let mut by_block: BTreeMap<u32, Vec<(u32, usize)>> = BTreeMap::new();
        let mut bytes = size_of_val(self.parts.as_slice()) as u64;
        for (number, part) in self.parts.iter().enumerate().filter(|one| one.1.places.is_none()) {
            by_block.entry(part.block).or_default().push((part.id, number));
            bytes += u64::from(part.places_bytes);
        }
        let held = self.answer.meters.memory.hold(bytes)?;
        let mut by_block: Vec<(u32, Vec<(u32, usize)>)> = by_block.into_iter().collect();
        by_block.iter_mut().for_each(|(_, series)| series.sort_unstable());
        let limit = self.answer.shared.options.concurrency;
        let read = in_parallel(&by_block, limit, |(block, series)| {
            let ids: Vec<u32> = series.iter().map(|(id, _)| *id).collect();
            self.answer.places_again(*block, &ids)
        });
        let mut by_part: Vec<Box<[u8]>> = Vec::new();
        by_part.resize_with(self.parts.len(), Box::default);
        for ((_, series), places) in by_block.iter().zip(read) {
            for ((_, number), places) in series.iter().zip(places?) {
                if let Some(slot) = by_part.get_mut(*number) {
                    *slot = places;
                }
            }
        }
        let reread = Arc::new(Reread { by_part, _held: held });
        again.reread = Some(Arc::clone(&reread));
        Ok(reread)
    }
}

impl Again {
    /// Notes that a group of so many was fetched; behind the last one the places go.
    fn done(&mut self, groups: usize) {
        self.groups_done += 1;
        if self.groups_done >= groups {
            *self = Self::default();
        }
    }
}

impl Spill for Chapter {
    fn let_go(&self) {
        for group in &self.groups {
            // Who holds the lock is about to use it.
            if let Some(mut state) = group.state.try_lock() {
                state.fetched = None;
            }
        }
        if let Some(mut again) = self.again.try_lock() {
            again.reread = None;
        }
    }
}
