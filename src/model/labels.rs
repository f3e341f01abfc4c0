//! Label sets in one allocation: sorted names and values in a single string.
//!
//! | part    | text                                                                     |
//! |---------|--------------------------------------------------------------------------|
//! | label   | length of name, name, length of value, value; labels ascend by name        |
//! | length  | below 127: one char; else `\x7f` and four chars of seven bits, high first  |
//!
//! Every char of a length is ASCII, so the whole is valid UTF-8, slices need no second check, and
//! equality and hashing are one pass over bytes. Lengths stay below 2^28.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::base::quote::quoted;

/// The label that holds the metric's name.
pub const METRIC_NAME: &str = "__name__";

const LONG: u8 = 0x7f;
const LONGEST_BYTES: usize = (1 << 28) - 1;

/// Why a label set was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LabelError {
    /// The name appears twice.
    Duplicate(String),
    /// A name or value of more than 2^28 bytes.
    TooLong,
}

impl fmt::Display for LabelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate(name) => write!(f, "label name {name:?} is not unique"),
            Self::TooLong => f.write_str("label name or value is longer than 256 MiB"),
        }
    }
}

impl std::error::Error for LabelError {}

/// An immutable label set; cloning is a reference count.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<str>);

impl Labels {
    /// The set without labels.
    #[must_use]
    pub fn empty() -> Self {
        Self(Arc::from(""))
    }

    /// Collects pairs in any order; pairs with an empty value are left out.
    ///
    /// # Errors
    /// A name that appears twice, or a text of more than 2^28 bytes.
    pub fn from_pairs<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Result<Self, LabelError>
    where
        N: AsRef<str>,
        V: AsRef<str>,
    {
        let mut buf = LabelsBuf::new();
        for (name, value) in pairs {
            buf.push(name.as_ref(), value.as_ref());
        }
        Ok(buf.finish()?.to_labels())
    }

    /// A view that can be passed and compared without touching the reference count.
    #[must_use]
    #[inline]
    pub fn as_ref(&self) -> LabelsRef<'_> {
        LabelsRef(&self.0)
    }

    /// The value of `name`, if the set has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.as_ref().get(name)
    }

    /// The metric's name, or nothing.
    #[must_use]
    pub fn metric_name(&self) -> Option<&str> {
        self.get(METRIC_NAME)
    }

    /// The pairs, ascending by name.
    #[must_use]
    pub fn iter(&self) -> Pairs<'_> {
        self.as_ref().iter()
    }

    /// True for the set without labels.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many labels there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// The set without those labels for which `keep` is false.
    #[must_use]
    pub fn filter(&self, keep: impl FnMut(&str) -> bool) -> Self {
        let mut text = String::new();
        let kept = self.as_ref().filter(keep, &mut text);
        if kept.0.len() == self.0.len() { self.clone() } else { kept.to_labels() }
    }

    /// The set with `name` set to `value`; an empty value removes the label.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut text = String::with_capacity(self.0.len() + name.len() + value.len() + 2);
        let mut pending = !value.is_empty();
        for (known, old) in self.iter() {
            if pending && known >= name {
                put_pair(&mut text, name, value);
                pending = false;
            }
            if known != name {
                put_pair(&mut text, known, old);
            }
        }
        if pending {
            put_pair(&mut text, name, value);
        }
        Self(Arc::from(text))
    }

    /// True if somebody else holds the same memory.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Bytes that the set itself takes in memory.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.0.len() + 2 * size_of::<usize>()
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Prometheus's order: pair by pair, name before value, the shorter set first.
impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_ref().cmp(&other.as_ref())
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_ref(), f)
    }
}

/// A borrowed label set: what a hash table is searched with before anything is allocated.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LabelsRef<'a>(&'a str);

impl<'a> LabelsRef<'a> {
    /// An owned copy.
    #[must_use]
    pub fn to_labels(self) -> Labels {
        Labels(Arc::from(self.0))
    }

    /// The set in its encoding, to be kept in a text of many sets.
    pub(crate) const fn encoded(self) -> &'a str {
        self.0
    }

    /// Reads back what [`LabelsRef::encoded`] gave.
    pub(crate) const fn from_encoded(text: &'a str) -> Self {
        Self(text)
    }

    /// The pairs in their encoding, which behind one another are that of the set.
    pub(crate) fn encoded_pairs(self) -> impl Iterator<Item = &'a str> {
        let mut rest = self.iter();
        std::iter::from_fn(move || {
            let before = rest.0;
            rest.next()?;
            before.get(..before.len() - rest.0.len())
        })
    }

    /// The set without those labels for which `keep` is false. Copied to `spare` only if what is
    /// left does not lie in one piece.
    pub(crate) fn filter(self, mut keep: impl FnMut(&str) -> bool, spare: &'a mut String) -> Self {
        spare.clear();
        let (whole, mut rest) = (self.0, self.iter());
        // What is kept last.
        let (mut from, mut to) = (0, 0);
        loop {
            let start = whole.len() - rest.0.len();
            let Some((name, _)) = rest.next() else { break };
            if !keep(name) {
                continue;
            }
            if start != to {
                spare.push_str(whole.get(from..to).unwrap_or_default());
                from = start;
            }
            to = whole.len() - rest.0.len();
        }
        let last = whole.get(from..to).unwrap_or_default();
        if spare.is_empty() {
            return Self(last);
        }
        spare.push_str(last);
        Self(spare)
    }

    /// A hash for tables in memory. Not stable between versions, never written to disk.
    #[must_use]
    #[inline]
    pub fn hash(self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(self.0.as_bytes())
    }

    /// The value of `name`, if the set has it.
    #[must_use]
    pub fn get(self, name: &str) -> Option<&'a str> {
        self.iter().find(|pair| pair.0 == name).map(|pair| pair.1)
    }

    /// The pairs, ascending by name.
    #[must_use]
    pub const fn iter(self) -> Pairs<'a> {
        Pairs(self.0)
    }

    /// True for the set without labels.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

impl PartialOrd for LabelsRef<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for LabelsRef<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl fmt::Debug for LabelsRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `{a="b", c="d"}`, as Prometheus prints a label set in its messages; a name that is no legacy
/// label name is quoted.
impl fmt::Display for LabelsRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let value = quoted(value);
            if is_legacy_label_name(name) {
                write!(f, "{comma}{name}={value}")?;
            } else {
                write!(f, "{comma}{}={value}", quoted(name))?;
            }
        }
        f.write_str("}")
    }
}

/// True for `[a-zA-Z_][a-zA-Z0-9_]*`: a name that PromQL reads without quotes.
#[must_use]
pub fn is_legacy_label_name(name: &str) -> bool {
    let starts = |byte: u8| byte == b'_' || byte.is_ascii_alphabetic();
    name.bytes().enumerate().all(|(i, b)| starts(b) || (i > 0 && b.is_ascii_digit()))
        && !name.is_empty()
}

/// Iterates over the pairs of a label set.
#[derive(Debug, Clone)]
pub struct Pairs<'a>(&'a str);

impl<'a> Pairs<'a> {
    #[inline]
    fn text(&mut self) -> Option<&'a str> {
        let (&first, rest) = self.0.as_bytes().split_first()?;
        let (length, skip) = if first < LONG {
            (usize::from(first), 1)
        } else {
            let digits = rest.first_chunk::<4>()?;
            (digits.iter().fold(0, |sum, digit| sum << 7 | usize::from(*digit)), 5)
        };
        let text = self.0.get(skip..skip + length)?;
        self.0 = self.0.get(skip + length..)?;
        Some(text)
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let name = self.text()?;
        let value = self.text()?;
        Some((name, value))
    }
}

#[inline]
fn put_text(out: &mut String, text: &str) {
    let length = text.len();
    if length < usize::from(LONG) {
        out.push(char::from(length as u8));
    } else {
        out.push(char::from(LONG));
        for shift in [21, 14, 7, 0] {
            out.push(char::from((length >> shift) as u8 & 0x7f));
        }
    }
    out.push_str(text);
}

fn put_pair(out: &mut String, name: &str, value: &str) {
    put_text(out, name);
    put_text(out, value);
}

/// A reusable workbench for label sets: push pairs in any order, then [`finish`](Self::finish).
///
/// Pairs that arrive in order (as remote write sends them) are encoded once and never moved.
#[derive(Debug, Default, Clone)]
pub struct LabelsBuf {
    text: String,
    /// Where each pair starts, and how long its name's prefix and name are.
    spans: Vec<(u32, u32)>,
    sorted: bool,
    too_long: bool,
    scratch: String,
}

impl LabelsBuf {
    /// An empty workbench.
    #[must_use]
    pub fn new() -> Self {
        Self { sorted: true, ..Self::default() }
    }

    /// Forgets all pairs, keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.spans.clear();
        self.sorted = true;
        self.too_long = false;
    }

    /// Forgets all but the first `kept` of the `pushed` pairs. False if they are not known one by
    /// one any more; then all are forgotten.
    pub(crate) fn keep_first(&mut self, kept: usize, pushed: usize) -> bool {
        if self.spans.len() != pushed || !self.sorted || self.too_long {
            self.clear();
            return false;
        }
        if let Some((start, _)) = self.spans.get(kept) {
            self.text.truncate(*start as usize);
            self.spans.truncate(kept);
        }
        true
    }

    /// Adds a pair; one with an empty value is left out, as an absent label is the same.
    #[inline]
    pub fn push(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        let grown = self.text.len() + name.len() + value.len();
        if grown > LONGEST_BYTES {
            self.too_long = true;
            return;
        }
        if let Some(last) = self.spans.last() {
            self.sorted &= self.name_at(*last) < name;
        }
        let start = self.text.len();
        put_text(&mut self.text, name);
        self.spans.push((start as u32, (self.text.len() - start) as u32));
        put_text(&mut self.text, value);
    }

    fn name_at(&self, (start, length): (u32, u32)) -> &str {
        let end = (start + length) as usize;
        let text = self.text.get(start as usize..end).unwrap_or_default();
        Pairs(text).text().unwrap_or_default()
    }

    /// Sorts what was pushed and gives a view of it, valid until the next change.
    ///
    /// # Errors
    /// A name that was pushed twice, or a text of more than 2^28 bytes.
    pub fn finish(&mut self) -> Result<LabelsRef<'_>, LabelError> {
        if self.too_long {
            return Err(LabelError::TooLong);
        }
        if !self.sorted {
            self.sort()?;
        }
        Ok(LabelsRef(&self.text))
    }

    fn sort(&mut self) -> Result<(), LabelError> {
        let mut pairs: Vec<(&str, &str)> = Pairs(&self.text).collect();
        pairs.sort_unstable();
        let twice = pairs.windows(2).find_map(|pair| match pair {
            [(first, _), (second, _)] if first == second => Some((*first).to_owned()),
            _ => None,
        });
        if let Some(name) = twice {
            return Err(LabelError::Duplicate(name));
        }
        self.scratch.clear();
        for (name, value) in pairs {
            put_pair(&mut self.scratch, name, value);
        }
        std::mem::swap(&mut self.text, &mut self.scratch);
        self.spans.clear();
        self.sorted = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).unwrap()
    }

    #[test]
    fn pairs_are_sorted_and_empty_values_left_out() {
        let set = labels(&[("b", "2"), ("a", "1"), ("c", "")]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
        assert_eq!(set.to_string(), r#"{a="1", b="2"}"#);
    }

    #[test]
    fn a_name_twice_is_refused_in_any_order() {
        for pairs in [[("a", "1"), ("a", "1")], [("a", "1"), ("a", "2")]] {
            let got = Labels::from_pairs(pairs);
            assert_eq!(got, Err(LabelError::Duplicate("a".into())));
        }
        let got = Labels::from_pairs([("a", "1"), ("b", "1"), ("a", "2")]);
        assert_eq!(got, Err(LabelError::Duplicate("a".into())));
    }

    #[test]
    fn the_shorter_set_comes_first() {
        assert!(labels(&[("a", "1")]) < labels(&[("a", "1"), ("b", "1")]));
        assert!(labels(&[("a", "2")]) > labels(&[("a", "10")]));
        assert!(labels(&[]) < labels(&[("a", "1")]));
    }

    proptest! {
        #[test]
        fn a_filtered_set_is_the_set_of_what_is_kept(
            pairs in btree_map("[a-e]{1,2}", "[a-z]{1,3}", 0..8), kept in any::<u32>(),
        ) {
            let set = Labels::from_pairs(&pairs).unwrap();
            let place = |name: &str| name.bytes().map(u32::from).sum::<u32>() % 32;
            let keep = |name: &str| kept >> place(name) & 1 == 1;
            let wanted = Labels::from_pairs(pairs.iter().filter(|pair| keep(pair.0))).unwrap();
            prop_assert_eq!(&set.filter(keep), &wanted);
            let mut spare = String::from("what was there before");
            prop_assert_eq!(set.as_ref().filter(keep, &mut spare), wanted.as_ref());
        }

        #[test]
        fn a_set_can_begin_like_the_one_before(
            first in btree_map("[a-e]{1,2}", "[a-z]{0,2}", 0..8),
            second in btree_map("[a-e]{1,2}", "[a-z]{0,2}", 0..8),
            reversed: bool,
        ) {
            let pairs = |set: &std::collections::BTreeMap<String, String>| {
                let mut pairs: Vec<_> = set.clone().into_iter().collect();
                if reversed {
                    pairs.reverse();
                }
                pairs
            };
            let (first, second) = (pairs(&first), pairs(&second));
            let mut buf = LabelsBuf::new();
            first.iter().for_each(|(name, value)| buf.push(name, value));
            buf.finish().unwrap();
            let alike = first.iter().zip(&second).take_while(|(a, b)| a == b).count();
            let kept = if buf.keep_first(alike, first.len()) { alike } else { 0 };
            second.iter().skip(kept).for_each(|(name, value)| buf.push(name, value));
            let wanted = Labels::from_pairs(second).unwrap();
            prop_assert_eq!(buf.finish().unwrap(), wanted.as_ref());
        }
    }

    #[test]
    fn with_sets_replaces_and_removes() {
        let set = labels(&[("b", "2"), ("d", "4")]);
        assert_eq!(set.with("a", "1"), labels(&[("a", "1"), ("b", "2"), ("d", "4")]));
        assert_eq!(set.with("d", "5"), labels(&[("b", "2"), ("d", "5")]));
        assert_eq!(set.with("e", "5"), labels(&[("b", "2"), ("d", "4"), ("e", "5")]));
        assert_eq!(set.with("b", ""), labels(&[("d", "4")]));
    }

    proptest! {
        #[test]
        fn any_pairs_come_back_in_order(pairs in btree_map("\\PC{0,200}", "\\PC{1,200}", 0..8)) {
            let set = Labels::from_pairs(pairs.iter().rev()).unwrap();
            let got: Vec<_> = set.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            prop_assert_eq!(got, pairs.clone().into_iter().collect::<Vec<_>>());
            for (name, value) in &pairs {
                prop_assert_eq!(set.get(name), Some(value.as_str()));
            }
            let set = set.as_ref();
            prop_assert_eq!(set.encoded_pairs().collect::<String>(), set.encoded());
            let one_by_one = set.encoded_pairs().map(LabelsRef::from_encoded);
            let one_by_one: Vec<_> = one_by_one.flat_map(LabelsRef::iter).collect();
            prop_assert_eq!(one_by_one, set.iter().collect::<Vec<_>>());
        }
    }
}
