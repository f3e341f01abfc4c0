//! A plan as a tree of lines.

use std::fmt::{self, Display, Formatter};

use super::{Explanation, MeasuredNode, MeasuredRead, PlannedNode, PlannedRead};

impl Display for Explanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        put(f, &self.root, &mut String::new(), Place::Root)?;
        for (index, read) in self.reads.iter().enumerate() {
            write!(f, "#{index} {read}")?;
        }
        match self.spent {
            Some(spent) => writeln!(f, "{} steps in {spent:.1?}", self.steps),
            None => writeln!(f, "{} steps", self.steps),
        }
    }
}

#[derive(Clone, Copy)]
enum Place {
    Root,
    Middle,
    Last,
}

/// `before` is what stands in front of the lines of this level.
fn put(
    f: &mut Formatter<'_>,
    node: &PlannedNode,
    before: &mut String,
    place: Place,
) -> fmt::Result {
    let (branch, below) = match place {
        Place::Root => ("", ""),
        Place::Middle => ("|-- ", "|   "),
        Place::Last => ("`-- ", "    "),
    };
    write!(f, "{before}{branch}{}", node.operation)?;
    if let Some(read) = node.read {
        write!(f, " #{read}")?;
    }
    if let Some(measured) = &node.measured {
        write!(f, "  ({measured})")?;
    }
    writeln!(f)?;
    let length = before.len();
    before.push_str(below);
    let last = node.children.len().saturating_sub(1);
    for (index, child) in node.children.iter().enumerate() {
        put(f, child, before, if index == last { Place::Last } else { Place::Middle })?;
    }
    before.truncate(length);
    Ok(())
}

impl Display for MeasuredNode {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { series, samples, spent, .. } = self;
        write!(f, "{series} series, {samples} samples, {spent:.1?}")
    }
}

impl Display for PlannedRead {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { selector, start_ms, end_ms, readers, measured } = self;
        write!(f, "{selector} from {start_ms} to {end_ms}")?;
        if *readers > 1 {
            write!(f, ", shared by {readers}")?;
        }
        if let Some(measured) = measured {
            write!(f, "  ({measured})")?;
        }
        writeln!(f)
    }
}

impl Display for MeasuredRead {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { series, chunks, samples, select, read, .. } = self;
        write!(f, "{series} series, ")?;
        if let Some(chunks) = chunks {
            write!(f, "{chunks} chunks, ")?;
        }
        write!(f, "{samples} samples, found in {select:.1?}, read in {read:.1?}")
    }
}
