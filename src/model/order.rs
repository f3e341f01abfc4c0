//! The order of many label sets.

use super::labels::LabelsRef;

/// The indexes of label sets in the order of these, equal ones as they stand; nothing if all stand
/// in order already.
///
/// The sets of one answer mostly begin with the same labels, and differ in one value then. So they
/// are compared by the first bytes of that, as numbers, before they are compared in full.
#[must_use]
pub(crate) fn order_of(sets: &[LabelsRef<'_>]) -> Option<Vec<usize>> {
    if sets.is_sorted() {
        return None;
    }
    let mut keys = keys(sets);
    let set = |index: usize| sets.get(index).copied().unwrap_or(LabelsRef::from_encoded(""));
    keys.sort_unstable_by(|(a, at), (b, behind)| {
        a.cmp(b).then_with(|| set(*at).cmp(&set(*behind))).then(at.cmp(behind))
    });
    Some(keys.into_iter().map(|(_, index)| index).collect())
}

/// Numbers that are ordered as the sets are, but that different sets may have the same.
fn keys(sets: &[LabelsRef<'_>]) -> Vec<(u128, usize)> {
    let common = common_pairs(sets);
    let mut names = sets.iter().filter_map(|set| pair_behind(*set, common)).map(|pair| pair.0);
    let first = names.next();
    let is_one_name = names.all(|name| Some(name) == first);
    let key = |set: &LabelsRef<'_>| match pair_behind(*set, common) {
        Some((_, value)) if is_one_name => number_of(value),
        Some((name, _)) => number_of(name),
        None => 0,
    };
    sets.iter().map(key).zip(0..).collect()
}

/// How many bytes of all sets are the same, in whole pairs.
fn common_pairs(sets: &[LabelsRef<'_>]) -> usize {
    let Some(first) = sets.first() else { return 0 };
    let common = sets.iter().fold(first.encoded().len(), |common, set| {
        let pairs = first.encoded().bytes().zip(set.encoded().bytes()).take(common);
        pairs.take_while(|(a, b)| a == b).count()
    });
    let ends = first.encoded_pairs().scan(0, |end, pair| {
        *end += pair.len();
        Some(*end)
    });
    ends.take_while(|end| *end <= common).last().unwrap_or(0)
}

/// The pair that begins behind so many bytes of a set.
fn pair_behind(set: LabelsRef<'_>, bytes: usize) -> Option<(&str, &str)> {
    LabelsRef::from_encoded(set.encoded().get(bytes..)?).iter().next()
}

/// The first bytes of a text as a number.
fn number_of(text: &str) -> u128 {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(text.bytes()).for_each(|(into, byte)| *into = byte);
    u128::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::Labels;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sets_are_ordered_as_a_plain_sort_orders_them(
            common in prop::collection::btree_map("[ab]", "[xy]", 0..3),
            sets in prop::collection::vec(
                prop::collection::btree_map("[a-d]{1,2}", "[x-z\0é]{1,20}", 0..4), 0..30),
        ) {
            let sets: Vec<Labels> = sets
                .into_iter()
                .map(|mut set| {
                    set.extend(common.clone());
                    Labels::from_pairs(set).unwrap()
                })
                .collect();
            let mut wanted: Vec<usize> = (0..sets.len()).collect();
            wanted.sort_by(|a, b| sets[*a].cmp(&sets[*b]));
            let refs: Vec<_> = sets.iter().map(Labels::as_ref).collect();
            match order_of(&refs) {
                Some(order) => prop_assert_eq!(order, wanted),
                None => prop_assert!(wanted.is_sorted()),
            }
        }
    }
}
