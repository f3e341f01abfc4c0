//! Is what the blocks of a bucket say of themselves true?

use std::sync::Arc;

use crate::longterm::BucketBlock;
use crate::storage::block::BlockError;

use super::CompactError;
use super::compactor::Compactor;
use super::group::GroupKey;
use super::picture::Picture;
use super::plan::{Why, plan};
use super::round::Round;
use super::watch::{Guard, Watch};
use super::work::{Trouble, first_unreadable};

/// What was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BucketVerified {
    /// Whole blocks.
    pub blocks: u64,
    /// Their series, as their metas say.
    pub series: u64,
    /// Their samples, as their metas say.
    pub samples: u64,
    /// What was found.
    pub findings: u64,
}

impl Compactor {
    /// Looks at every block: whether its objects are there, and whether it shares time with another
    /// one of its group. With `reads`, each is downloaded as well, and every chunk looked at. Each
    /// finding is one sentence that names the object. Changes nothing in the bucket.
    ///
    /// # Errors
    /// The bucket's answer, the local disk's, or that it was ended.
    pub fn verify(
        &self,
        reads: bool,
        watch: Watch<'_>,
        found: &mut dyn FnMut(&str),
    ) -> Result<BucketVerified, CompactError> {
        let round = Round::new(self, Guard::new(watch, None), self.look()?);
        let mut verified = BucketVerified::default();
        let mut tell = |what: &str| {
            verified.findings += 1;
            found(what);
        };
        let picture = &round.picture;
        picture.view.broken.iter().for_each(|what| tell(what));
        for partial in &picture.view.partial {
            tell(&format!("{}: not a whole block: {}", partial.ulid, partial.why));
        }
        for (block, why) in &picture.quarantined {
            tell(&format!("{block}: set aside: {}: {}", why.reason, why.details));
        }
        shared_time(picture, &self.options().ranges_ms, &mut tell);
        for block in &picture.view.blocks {
            if !round.is_whole(block)? {
                tell(&format!("{}: not all objects of meta.json are there", block.ulid()));
            } else if reads && let Some(what) = round.read_through(block)? {
                tell(&what);
            }
        }
        for block in &picture.view.blocks {
            verified.blocks += 1;
            verified.series += block.meta.stats.num_series;
            verified.samples += block.meta.stats.num_samples;
        }
        Ok(verified)
    }
}

/// Tells of the first blocks of each group that share time.
fn shared_time(picture: &Picture, ranges_ms: &[i64], tell: &mut dyn FnMut(&str)) {
    for (key, blocks) in &picture.groups {
        let metas: Vec<_> = blocks.iter().map(|block| &block.meta).collect();
        let plan = plan(&metas, &picture.excluded(), ranges_ms);
        if let Some(plan) = plan.filter(|plan| plan.why == Why::Overlap) {
            let names: Vec<String> = plan.blocks.iter().map(ToString::to_string).collect();
            tell(&format!("{}: share time in the group {key}", names.join(" ")));
        }
    }
}

impl Round<'_> {
    /// What is wrong with a block, after a look at all of it.
    fn read_through(&self, block: &Arc<BucketBlock>) -> Result<Option<String>, CompactError> {
        let key = GroupKey::of(block, &[]);
        let dir = self.work_dir(&key)?;
        let found = match self.bring(block, &dir) {
            Ok(local) => match first_unreadable(&local) {
                Ok(found) => Ok(found.map(|what| format!("{}: {what}", block.ulid()))),
                Err(error @ BlockError::Io { .. }) => Err(error.into()),
                Err(error) => Ok(Some(error.to_string())),
            },
            Err(Trouble::Sick { details, .. }) => Ok(Some(details)),
            Err(Trouble::Failed(error)) => Err(error),
        };
        self.clear(&dir)?;
        found
    }
}
