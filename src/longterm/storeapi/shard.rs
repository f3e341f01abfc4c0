//! Which series belong to one shard of a query.

use crate::model::Labels;

use super::messages::ShardInfo;
use super::refusal::Refusal;

/// One part of all series: those whose chosen labels hash to its number.
#[derive(Debug)]
pub(super) struct Shard<'a> {
    info: &'a ShardInfo,
    index: u64,
    count: u64,
    text: Vec<u8>,
}

impl<'a> Shard<'a> {
    /// The shard that a request names, or none if it wants all series.
    ///
    /// # Errors
    /// A number of a shard that is not there.
    pub(super) fn of(info: Option<&'a ShardInfo>) -> Result<Option<Self>, Refusal> {
        let Some(info) = info.filter(|info| info.total_shards > 0) else { return Ok(None) };
        if info.shard_index < 0 || info.shard_index >= info.total_shards {
            let (index, count) = (info.shard_index, info.total_shards);
            return Err(Refusal::Invalid(format!("no shard {index} among {count}")));
        }
        let (index, count) = (info.shard_index as u64, info.total_shards as u64);
        Ok(Some(Self { info, index, count, text: Vec::new() }))
    }

    /// True if the series with these labels, which are all that the asker sees, is in the shard.
    pub(super) fn holds(&mut self, labels: &Labels) -> bool {
        self.text.clear();
        for (name, value) in labels.iter() {
            let is_listed = self.info.labels.iter().any(|listed| listed == name);
            if is_listed == self.info.by {
                for part in [name, value] {
                    self.text.extend_from_slice(part.as_bytes());
                    // A byte that no UTF-8 text has.
                    self.text.push(0xff);
                }
            }
        }
        xxhash_rust::xxh64::xxh64(&self.text, 0) % self.count == self.index
    }
}
