//! Targets that are written in the configuration.

use std::sync::Arc;

use crate::wire::config::StaticGroup;

use super::{Sender, TargetGroup};

/// Tells its groups once.
pub(super) async fn run(index: usize, groups: Vec<StaticGroup>, mut sender: Sender) {
    let source = |at| Arc::from(format!("static/{index}/{at}"));
    let groups = groups.into_iter().enumerate();
    let groups =
        groups.map(|(at, group)| (source(at), TargetGroup::of(&group.targets, group.labels)));
    sender.tell(groups.collect()).await;
}
