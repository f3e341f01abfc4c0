//! Why is a block not merged, downsampled or deleted?

use std::collections::BTreeMap;
use std::fmt;

use ulid::Ulid;

use crate::longterm::time_text::format_ms;

use super::CompactOptions;
use super::group::GroupKey;
use super::picture::Picture;
use super::plan::{Plan, PlanWithin, Unfit, Why};
use super::retention::fate;

/// What would be done with a block, and why.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Explanation {
    /// The block.
    pub block: Ulid,
    /// Its group, for people.
    pub group: String,
    /// Its resolution.
    pub resolution_ms: i64,
    /// First millisecond that it covers.
    pub min_time_ms: i64,
    /// First millisecond behind it.
    pub max_time_ms: i64,
    /// Whether it is merged.
    pub merging: String,
    /// Whether it is downsampled.
    pub downsampling: String,
    /// Whether it is too old.
    pub retention: String,
    /// Whether it is removed.
    pub deletion: String,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (block, group) = (self.block, &self.group);
        let (start, end) = (format_ms(self.min_time_ms), format_ms(self.max_time_ms));
        writeln!(f, "{block}  {start} .. {end}  {group}")?;
        for line in [&self.merging, &self.downsampling, &self.retention, &self.deletion] {
            if !line.is_empty() {
                writeln!(f, "    {line}")?;
            }
        }
        Ok(())
    }
}

/// Explains every block. Blocks that the bucket has only in part are not among them.
#[must_use]
pub fn explain(picture: &Picture, options: &CompactOptions, now_ms: i64) -> Vec<Explanation> {
    let mut plans = BTreeMap::new();
    for key in picture.groups.keys() {
        plans.insert(key, picture.plan(key, options));
    }
    let explain = |block: &std::sync::Arc<crate::longterm::BucketBlock>| {
        let (ulid, key) = (block.ulid(), GroupKey::of(block, &options.replica_labels));
        let outdated = picture.outdated.iter().find(|one| one.block == ulid);
        let mut explanation = Explanation {
            block: ulid,
            group: key.to_string(),
            resolution_ms: key.resolution_ms,
            min_time_ms: block.meta.min_time_ms,
            max_time_ms: block.meta.max_time_ms,
            merging: String::new(),
            downsampling: String::new(),
            retention: String::new(),
            deletion: String::new(),
        };
        if let Some(mark) = picture.view.deletion_marks.get(&ulid) {
            let due_ms = mark.time_s.saturating_mul(1000).saturating_add(options.delete_delay_ms);
            let why = if mark.details.is_empty() { "no reason given" } else { &mark.details };
            explanation.deletion = if now_ms > due_ms {
                format!("to be removed: marked for deletion ({why})")
            } else {
                format!("marked for deletion ({why}), to be removed after {}", format_ms(due_ms))
            };
            return explanation;
        }
        if picture.young.contains(&ulid) {
            let until_ms = block.written_ms().saturating_add(options.consistency_delay_ms);
            explanation.merging =
                format!("not looked at before {}: just uploaded", format_ms(until_ms));
            return explanation;
        }
        if let Some(outdated) = outdated {
            explanation.deletion =
                format!("to be marked for deletion: {} has all of it", outdated.by);
            return explanation;
        }
        explanation.merging = merging(picture, ulid, plans.get(&key));
        let resampling = picture.resampling(&key, block, options, now_ms);
        explanation.downsampling = resampling.to_string();
        let coarser = picture.coarser(&key);
        let mut trust = |_: &_| Ok::<_, std::convert::Infallible>(true);
        let Ok(fate) = fate(block, &coarser, &options.retention, now_ms, &mut trust);
        explanation.retention = fate.to_string();
        explanation
    };
    picture.view.blocks.iter().map(explain).collect()
}

fn merging(picture: &Picture, block: Ulid, planned: Option<&PlanWithin>) -> String {
    if let Some(why) = picture.quarantined.get(&block) {
        return format!("set aside: {} ({})", why.reason, why.details);
    }
    if let Some(mark) = picture.view.no_compact.get(&block) {
        let parts = [mark.reason.as_str(), mark.details.as_str()];
        let why: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        return format!("not merged: marked so ({})", why.join(": "));
    }
    let Some((plan, unfit)) = planned else { return String::new() };
    if let Some((_, why)) = unfit.iter().find(|(unfit, _)| *unfit == block) {
        return match why {
            Unfit::IndexSize => "to be marked: the index would get too large".to_owned(),
            Unfit::DownsampledOverlap => {
                "to be marked: downsampled, and shares time with others".to_owned()
            }
        };
    }
    match plan {
        Some(plan) if plan.blocks.contains(&block) => match plan.why {
            Why::Overlap => format!("to be merged with {}: they share time", others(plan, block)),
            Why::Window { range_ms } => {
                let hours = range_ms / 3_600_000;
                format!("to be merged with {}: a window of {hours} h", others(plan, block))
            }
            Why::Deletions => "to be written anew: much of it is deleted".to_owned(),
        },
        Some(_) => "not merged now: others of its group come first".to_owned(),
        None => "not merged: no window is full without the newest block, or past".to_owned(),
    }
}

fn others(plan: &Plan, block: Ulid) -> String {
    let others: Vec<String> =
        plan.blocks.iter().filter(|other| **other != block).map(Ulid::to_string).collect();
    others.join(" ")
}
