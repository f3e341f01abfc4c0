//! From matchers to lists of series: which lists are fetched, and which matchers are cheaper to
//! check on the series themselves.
//!
//! A series without a label has it with the empty value. So the matchers on one label together
//! either keep the series of those values that satisfy all of them, or, if the empty value
//! satisfies them, take away the series of those values that do not.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::model::{MatchOp, Matcher};
use crate::storage::index::{
    BigEndianList, Candidates, IndexError, IndexTables, ListPlace, SliceCursor, collect_into,
    intersect_into, subtract, unite,
};

/// Length, count and checksum of a list.
const LIST_OVERHEAD_BYTES: u64 = 12;

/// The values of labels, and where the series of each are listed.
pub(super) trait Values {
    type Place;

    fn place(&self, name: &str, value: &str) -> Result<Option<Self::Place>, IndexError>;

    /// Walks over the values from `from` on until `each` returns false.
    fn places(
        &self,
        name: &str,
        from: &str,
        each: &mut dyn FnMut(&str, Self::Place) -> bool,
    ) -> Result<(), IndexError>;
}

impl Values for IndexTables {
    type Place = ListPlace;

    fn place(&self, name: &str, value: &str) -> Result<Option<ListPlace>, IndexError> {
        self.place(name, value)
    }

    fn places(
        &self,
        name: &str,
        from: &str,
        each: &mut dyn FnMut(&str, ListPlace) -> bool,
    ) -> Result<(), IndexError> {
        self.places(name, from, each)
    }
}

/// What the matchers on one label come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group<P> {
    /// Whether the lists keep series or take them away.
    pub(super) keeps: bool,
    pub(super) places: Vec<P>,
    /// The matchers, by their number.
    pub(super) matchers: Vec<usize>,
}

/// The groups of `matchers`, by the names of their labels; `None` if nothing can match.
pub(super) fn groups<V: Values>(
    values: &V,
    matchers: &[Matcher],
) -> Result<Option<Vec<Group<V::Place>>>, IndexError> {
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (number, matcher) in matchers.iter().enumerate() {
        // What every value satisfies says nothing.
        if matcher.op() != MatchOp::Regex || matcher.value() != ".*" {
            by_name.entry(matcher.name()).or_default().push(number);
        }
    }
    let mut groups = Vec::with_capacity(by_name.len());
    for (name, numbers) in by_name {
        let of_name: Vec<&Matcher> = numbers.iter().filter_map(|n| matchers.get(*n)).collect();
        let keeps = of_name.iter().any(|matcher| !matcher.matches_empty());
        let places = places(values, name, &of_name, keeps)?;
        if keeps && places.is_empty() {
            return Ok(None);
        }
        if !places.is_empty() {
            groups.push(Group { keeps, places, matchers: numbers });
        }
    }
    Ok(Some(groups))
}

/// The lists of those values that satisfy all matchers, or of those that do not.
fn places<V: Values>(
    values: &V,
    name: &str,
    matchers: &[&Matcher],
    keeps: bool,
) -> Result<Vec<V::Place>, IndexError> {
    let mut places = Vec::new();
    // The table has an entry without a name, which stands for all series.
    if name.is_empty() {
        return Ok(places);
    }
    let wanted = |value: &str| {
        !value.is_empty() && keeps == matchers.iter().all(|matcher| matcher.matches(value))
    };
    if let Some(texts) = few_values(matchers, keeps) {
        for value in texts.iter().filter(|value| wanted(value)) {
            places.extend(values.place(name, value)?);
        }
        return Ok(places);
    }
    let prefixes = matchers.iter().filter(|_| keeps).filter(|m| m.op() == MatchOp::Regex);
    let prefix = prefixes
        .filter_map(|matcher| match Candidates::of(matcher) {
            Candidates::Prefix(prefix) => Some(prefix),
            _ => None,
        })
        .max_by_key(String::len)
        .unwrap_or_default();
    values.places(name, &prefix, &mut |value, place| {
        if wanted(value) {
            places.push(place);
        }
        value.starts_with(&prefix)
    })?;
    Ok(places)
}

/// The values that come into question, if the texts of the matchers name them.
fn few_values(matchers: &[&Matcher], keeps: bool) -> Option<Vec<String>> {
    let named = |matcher: &&Matcher| match Candidates::of(matcher) {
        Candidates::Values(values) => Some(values),
        _ => None,
    };
    let is_negative =
        |matcher: &&Matcher| matches!(matcher.op(), MatchOp::NotEqual | MatchOp::NotRegex);
    if keeps {
        // Any one of them is enough, as all must hold.
        return matchers.iter().filter(|m| !is_negative(m)).find_map(named);
    }
    let mut all = Vec::new();
    for matcher in matchers {
        if !is_negative(matcher) {
            return None;
        }
        all.extend(named(matcher)?);
    }
    all.sort();
    all.dedup();
    Some(all)
}

fn ids_in(places: &[ListPlace]) -> u64 {
    places
        .iter()
        .map(|place| (place.end - place.start).saturating_sub(LIST_OVERHEAD_BYTES) / 4)
        .sum()
}

/// Takes those groups out whose lists cost more bytes than they save in series entries of
/// `entry_bytes` each; returns the matchers that are left to be checked. Thanos's model of the
/// cost: each group halves the series (`optimizePostingsFetchByDownloadedBytes`).
pub(super) fn defer(groups: &mut Vec<Group<ListPlace>>, entry_bytes: u64) -> Vec<usize> {
    groups.sort_by_key(|group| (!group.keeps, ids_in(&group.places)));
    let Some(first) = groups.first().filter(|group| group.keeps) else { return Vec::new() };
    let mut expected = ids_in(&first.places);
    let mut is_first = true;
    let mut unchecked = Vec::new();
    groups.retain(|group| {
        if std::mem::take(&mut is_first) {
            return true;
        }
        let ids = ids_in(&group.places);
        let saved = if group.keeps { expected / 2 } else { ids.min(expected) / 2 };
        if ids * 4 > saved.saturating_mul(entry_bytes) {
            unchecked.extend_from_slice(&group.matchers);
            return false;
        }
        expected -= saved;
        true
    });
    unchecked.sort_unstable();
    unchecked
}

/// The series that the groups leave; `lists` are those of all places of all groups, in order, and
/// `all` the list of all series, which is needed if no group keeps.
pub(super) fn combine(
    groups: &[Group<ListPlace>],
    all: Option<&Bytes>,
    lists: &[Bytes],
) -> Vec<u32> {
    let mut found: Option<Vec<u32>> = all.map(|list| {
        let mut ids = Vec::new();
        collect_into(BigEndianList::new(list), &mut ids);
        ids
    });
    let mut rest = lists;
    let mut united = Vec::with_capacity(groups.len());
    for group in groups {
        let (of_group, behind) = rest.split_at_checked(group.places.len()).unwrap_or((rest, &[]));
        rest = behind;
        let mut ids = Vec::new();
        of_group.iter().for_each(|list| collect_into(BigEndianList::new(list), &mut ids));
        if of_group.len() > 1 {
            unite(&mut ids);
        }
        united.push((group.keeps, ids));
    }
    for (_, ids) in united.iter().filter(|(keeps, _)| *keeps) {
        let next = match found {
            None => ids.clone(),
            Some(found) => {
                let mut common = Vec::new();
                intersect_into(&found, SliceCursor::new(&**ids), &mut common);
                common
            }
        };
        found = Some(next);
    }
    let mut found = found.unwrap_or_default();
    for (_, ids) in united.iter().filter(|(keeps, _)| !keeps) {
        subtract(&mut found, ids);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    impl Values for BTreeMap<String, Vec<String>> {
        type Place = String;

        fn place(&self, name: &str, value: &str) -> Result<Option<String>, IndexError> {
            Ok(self.get(name).and_then(|values| values.iter().find(|v| *v == value)).cloned())
        }

        fn places(
            &self,
            name: &str,
            from: &str,
            each: &mut dyn FnMut(&str, String) -> bool,
        ) -> Result<(), IndexError> {
            let mut values = self.get(name).cloned().unwrap_or_default();
            values.sort();
            let from = values.into_iter().filter(|value| value.as_str() >= from);
            let _ = from.into_iter().all(|value| each(&value.clone(), value));
            Ok(())
        }
    }

    #[derive(Deserialize)]
    struct Case {
        name: String,
        /// Name, operator, value.
        matchers: Vec<(String, String, String)>,
        label_values: BTreeMap<String, Vec<String>>,
        expected: Option<Vec<WantedGroup>>,
    }

    #[derive(Deserialize)]
    struct WantedGroup {
        name: String,
        add_all: bool,
        add_keys: Vec<String>,
        remove_keys: Vec<String>,
    }

    fn matcher((name, op, value): &(String, String, String)) -> Matcher {
        let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
        let op = ops.into_iter().find(|one| one.text() == op).unwrap();
        Matcher::new(name, op, value).unwrap()
    }

    #[test]
    fn matchers_become_the_groups_of_thanos() {
        let text = include_str!("../../../testdata/thanos/gateway/posting_groups.json");
        let cases: Vec<Case> = serde_json::from_str(text).unwrap();
        assert_eq!(cases.len(), 21);
        for case in cases {
            let matchers: Vec<Matcher> = case.matchers.iter().map(matcher).collect();
            let found = groups(&case.label_values, &matchers).unwrap();
            let Some(expected) = case.expected else {
                assert_eq!(found, None, "{}", case.name);
                continue;
            };
            let found: Vec<_> = found
                .unwrap_or_else(|| panic!("{}: nothing", case.name))
                .into_iter()
                .map(|group| (matchers[group.matchers[0]].name().to_owned(), group))
                .map(|(name, group)| (name, group.keeps, group.places))
                .collect();
            // A group that neither keeps nor takes away is not made.
            let expected: Vec<_> = expected
                .into_iter()
                .filter(|group| !group.add_all || !group.remove_keys.is_empty())
                .map(|g| (g.name, !g.add_all, if g.add_all { g.remove_keys } else { g.add_keys }))
                .collect();
            assert_eq!(found, expected, "{}", case.name);
        }
    }

    fn group(keeps: bool, ids: u64, matcher: usize) -> Group<ListPlace> {
        let place = ListPlace { start: 0, end: LIST_OVERHEAD_BYTES + ids * 4 };
        Group { keeps, places: vec![place], matchers: vec![matcher] }
    }

    #[test]
    fn lists_that_cost_more_than_they_save_are_left_out() {
        // Ten series of 100 bytes: a list of 100 ids saves 500 bytes, one of 10 000 does not.
        let mut groups = vec![group(true, 10_000, 0), group(true, 100, 1), group(true, 10, 2)];
        assert_eq!(defer(&mut groups, 100), [0]);
        let kept: Vec<usize> = groups.iter().map(|group| group.matchers[0]).collect();
        assert_eq!(kept, [2, 1]);
        // One that keeps is fetched in any case, before those that take away.
        let mut groups = vec![group(false, 3, 0), group(true, 10_000, 1)];
        assert_eq!(defer(&mut groups, 100), [0; 0]);
        assert!(groups[0].keeps);
        let mut groups = vec![group(false, 50_000, 0), group(true, 100, 1)];
        assert_eq!(defer(&mut groups, 100), [0]);
        // Nothing is known without one that keeps.
        let mut groups = vec![group(false, 50_000, 0)];
        assert_eq!(defer(&mut groups, 100), [0; 0]);
    }

    #[test]
    fn lists_are_united_in_a_group_and_cut_between_groups() {
        let list = |ids: &[u32]| {
            Bytes::from(ids.iter().flat_map(|id| id.to_be_bytes()).collect::<Vec<u8>>())
        };
        let place = ListPlace { start: 0, end: 0 };
        let group = |keeps, count| Group { keeps, places: vec![place; count], matchers: vec![] };
        let groups = [group(true, 2), group(true, 1), group(false, 1)];
        let lists = [list(&[1, 5, 9]), list(&[2, 5]), list(&[1, 2, 3, 5]), list(&[2])];
        assert_eq!(combine(&groups, None, &lists), [1, 5]);
        let all = list(&[1, 2, 3]);
        assert_eq!(combine(&groups[2..], Some(&all), &lists[3..]), [1, 3]);
        assert_eq!(combine(&[], Some(&all), &[]), [1, 2, 3]);
    }
}
