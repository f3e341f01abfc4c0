//! The way from matchers to series, the same for blocks and head.
//!
//! A series without a label has it with the empty value. So a matcher that matches the empty value
//! is answered by taking away the series whose value does not match, any other by keeping those
//! whose value does.

use crate::model::{MatchOp, Matcher};

use super::candidates::Candidates;
use super::postings::{
    PostingsCursor, collect_into, for_each_common, intersect_into, subtract, unite,
};

/// Looking at the labels of one series costs about as much as trying so many label values.
const VALUES_PER_SERIES: usize = 8;

/// Answers which series have which label.
pub trait PostingsSource {
    /// What names a series.
    type Id: Copy + Ord;
    /// Walks over a list of series.
    type Cursor<'a>: PostingsCursor<Id = Self::Id>
    where
        Self: 'a;
    /// Why a list could not be read.
    type Error;

    /// All series.
    ///
    /// # Errors
    /// The source's own.
    fn all(&self) -> Result<Self::Cursor<'_>, Self::Error>;

    /// The series with this label, or `None` if there are none. The value is not empty.
    ///
    /// # Errors
    /// The source's own.
    fn pair(&self, name: &str, value: &str) -> Result<Option<Self::Cursor<'_>>, Self::Error>;

    /// How many values the label has, roughly.
    fn value_count(&self, name: &str) -> usize;

    /// Hands the list of every value that starts with `prefix` and is `wanted` to `each`, in any
    /// order. Values are not empty.
    ///
    /// # Errors
    /// The source's own.
    fn values<'a>(
        &'a self,
        name: &str,
        prefix: &str,
        wanted: &mut dyn FnMut(&str) -> bool,
        each: &mut dyn FnMut(Self::Cursor<'a>),
    ) -> Result<(), Self::Error>;

    /// Asks `check` about the value of one label of one series; the value is empty if the series
    /// does not have the label. A series that is gone is answered with `false`.
    ///
    /// # Errors
    /// The source's own.
    fn check_label(
        &self,
        id: Self::Id,
        name: &str,
        check: &mut dyn FnMut(&str) -> bool,
    ) -> Result<bool, Self::Error>;
}

/// The series for which every matcher holds, ascending by id.
///
/// # Errors
/// The source's own.
pub fn select_postings<S: PostingsSource>(
    source: &S,
    matchers: &[Matcher],
) -> Result<Vec<S::Id>, S::Error> {
    let is_exact = |m: &Matcher| m.op() == MatchOp::Equal && !m.value().is_empty();
    // Most questions are for a metric alone.
    if let [matcher] = matchers
        && is_exact(matcher)
    {
        let mut found = Vec::new();
        if let Some(cursor) = source.pair(matcher.name(), matcher.value())? {
            collect_into(cursor, &mut found);
        }
        return Ok(found);
    }
    let (exact, mut others): (Vec<&Matcher>, Vec<&Matcher>) =
        matchers.iter().partition(|matcher| is_exact(matcher));
    let Some(found) = by_exact(source, &exact)? else { return Ok(Vec::new()) };
    let mut found = match found {
        Some(found) => found,
        None => match others.iter().position(|matcher| !matcher.matches_empty()) {
            Some(index) => with_matching_value(source, others.swap_remove(index))?,
            None => {
                let mut all = Vec::new();
                collect_into(source.all()?, &mut all);
                all
            }
        },
    };
    // Those that keep come before those that take away: the less is left, the cheaper these are.
    others.sort_by_key(|matcher| matcher.matches_empty());
    for matcher in others {
        if found.is_empty() {
            break;
        }
        narrow(source, matcher, &mut found)?;
    }
    Ok(found)
}

type Found<Id> = Option<Option<Vec<Id>>>;

/// The series that all of `matchers`, which ask for one value each, describe. The outer `None`
/// means that there are none, the inner one that there was no matcher.
fn by_exact<S: PostingsSource>(
    source: &S,
    matchers: &[&Matcher],
) -> Result<Found<S::Id>, S::Error> {
    let mut cursors = Vec::with_capacity(matchers.len());
    for matcher in matchers {
        match source.pair(matcher.name(), matcher.value())? {
            Some(cursor) => cursors.push(cursor),
            None => return Ok(None),
        }
    }
    cursors.sort_by_key(PostingsCursor::remaining);
    let mut found: Option<Vec<S::Id>> = None;
    for cursor in cursors {
        let mut next = Vec::new();
        match &found {
            None => collect_into(cursor, &mut next),
            Some(found) => intersect_into(found, cursor, &mut next),
        }
        if next.is_empty() {
            return Ok(None);
        }
        found = Some(next);
    }
    Ok(Some(found))
}

/// Hands the lists of all non-empty values that satisfy the matcher, or of all that do not, to
/// `each`.
fn values_that<'a, S: PostingsSource>(
    source: &'a S,
    matcher: &Matcher,
    satisfy: bool,
    each: &mut dyn FnMut(S::Cursor<'a>),
) -> Result<(), S::Error> {
    let is_negative = matches!(matcher.op(), MatchOp::NotEqual | MatchOp::NotRegex);
    let name = matcher.name();
    let mut wanted = |value: &str| matcher.matches(value) == satisfy;
    match (Candidates::of(matcher), satisfy != is_negative) {
        (Candidates::All, true) => source.values(name, "", &mut |_| true, each),
        (Candidates::All, false) => Ok(()),
        (Candidates::Prefix(prefix), true) => source.values(name, &prefix, &mut wanted, each),
        (_, false) => source.values(name, "", &mut wanted, each),
        (Candidates::Values(values), true) => {
            for value in values.iter().filter(|value| !value.is_empty()) {
                if let Some(cursor) = source.pair(name, value)? {
                    each(cursor);
                }
            }
            Ok(())
        }
    }
}

fn with_matching_value<S: PostingsSource>(
    source: &S,
    matcher: &Matcher,
) -> Result<Vec<S::Id>, S::Error> {
    let mut found = Vec::new();
    values_that(source, matcher, true, &mut |cursor| collect_into(cursor, &mut found))?;
    unite(&mut found);
    Ok(found)
}

/// Keeps those of `found` that satisfy the matcher.
fn narrow<S: PostingsSource>(
    source: &S,
    matcher: &Matcher,
    found: &mut Vec<S::Id>,
) -> Result<(), S::Error> {
    let is_few = found.len() < source.value_count(matcher.name()) / VALUES_PER_SERIES;
    if is_few && matches!(Candidates::of(matcher), Candidates::Prefix(_)) {
        let mut kept = Vec::with_capacity(found.len());
        for id in found.iter() {
            if source.check_label(*id, matcher.name(), &mut |value| matcher.matches(value))? {
                kept.push(*id);
            }
        }
        *found = kept;
        return Ok(());
    }
    let takes_away = matcher.matches_empty();
    let mut common = Vec::new();
    values_that(source, matcher, !takes_away, &mut |cursor| {
        for_each_common(found, cursor, |id| {
            common.push(id);
            true
        });
    })?;
    unite(&mut common);
    if takes_away {
        subtract(found, &common);
    } else {
        *found = common;
    }
    Ok(())
}
