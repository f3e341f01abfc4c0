//! Thanos's tables of how matchers on one label come together, which lists of series are fetched,
//! and what is made of them.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;

use crate::model::{MatchOp, Matcher};
use crate::storage::index::{IndexError, ListPlace};

use super::postings::{Group, Values, combine, defer, groups};

fn cases<T: for<'a> Deserialize<'a>>(text: &str) -> Vec<T> {
    serde_json::from_str(text).unwrap()
}

/// How many series each value of each label has.
#[derive(Deserialize)]
struct Lists(BTreeMap<String, BTreeMap<String, u64>>);

/// A place whose list has so many series, between its length and its checksum.
fn place(count: u64) -> ListPlace {
    ListPlace { start: 0, end: 12 + count * 4 }
}

impl Values for Lists {
    type Place = ListPlace;

    fn place(&self, name: &str, value: &str) -> Result<Option<ListPlace>, IndexError> {
        Ok(self.0.get(name).and_then(|values| values.get(value)).map(|count| place(*count)))
    }

    fn places(
        &self,
        name: &str,
        from: &str,
        each: &mut dyn FnMut(&str, ListPlace) -> bool,
    ) -> Result<(), IndexError> {
        let values = self.0.get(name).into_iter().flatten();
        let mut values = values.filter(|(value, _)| value.as_str() >= from);
        values.all(|(value, count)| each(value, place(*count)));
        Ok(())
    }
}

/// The values that a label must have, or must not have.
#[derive(Deserialize)]
struct Keys {
    #[serde(default)]
    name: String,
    keeps: bool,
    keys: Vec<String>,
}

impl Keys {
    fn matcher(&self, name: &str) -> Matcher {
        let text = self.keys.join("|");
        let made = match (self.keeps, text.is_empty()) {
            (true, true) => Matcher::new(name, MatchOp::Equal, "none has this"),
            (false, true) => Matcher::new(name, MatchOp::Regex, ".*"),
            (true, false) => Matcher::new(name, MatchOp::Regex, &text),
            (false, false) => Matcher::new(name, MatchOp::NotRegex, &text),
        };
        made.unwrap()
    }
}

#[derive(Deserialize)]
struct Merged {
    name: String,
    a: Keys,
    b: Keys,
    expected: Keys,
}

#[test]
fn matchers_on_one_label_come_together_as_there() {
    let text = include_str!("../../../testdata/thanos/gateway/merged_groups.json");
    let cases: Vec<Merged> = cases(text);
    for case in &cases {
        let keys = case.a.keys.iter().chain(&case.b.keys).cloned();
        // Lists that can be told from one another.
        let keys: BTreeMap<String, u64> = keys.chain(["zzz".to_owned()]).zip(1..).collect();
        let wanted: Vec<ListPlace> = {
            let mut names = case.expected.keys.clone();
            names.sort();
            names.iter().map(|name| place(keys[name])).collect()
        };
        let lists = Lists(BTreeMap::from([("a".to_owned(), keys)]));
        let found = groups(&lists, &[case.a.matcher("a"), case.b.matcher("a")]).unwrap();
        match found.as_deref() {
            None => assert!(case.expected.keeps && wanted.is_empty(), "{}", case.name),
            Some([]) => assert!(!case.expected.keeps && wanted.is_empty(), "{}", case.name),
            Some([group]) => {
                let found = (group.keeps, &group.places);
                assert_eq!(found, (case.expected.keeps, &wanted), "{}", case.name);
            }
            Some(_) => panic!("{}: more than one group", case.name),
        }
    }
    assert_eq!(cases.len(), 13);
}

#[derive(Deserialize)]
struct Lazy {
    name: String,
    lists: Lists,
    groups: Vec<Keys>,
    entry_bytes: u64,
    /// The labels whose matchers are left to be checked on series; none if nothing matches.
    deferred: Option<Vec<String>>,
    deferred_here: Option<Vec<String>>,
}

#[test]
fn lists_that_cost_more_than_they_save_are_those_of_thanos() {
    let cases: Vec<Lazy> = cases(include_str!("../../../testdata/thanos/gateway/lazy.json"));
    let mut differing = 0;
    for case in &cases {
        let matchers: Vec<Matcher> =
            case.groups.iter().map(|group| group.matcher(&group.name)).collect();
        let found = groups(&case.lists, &matchers).unwrap();
        assert_eq!(found.is_none(), case.deferred.is_none(), "{}", case.name);
        let Some(mut found) = found else { continue };
        let all: Vec<usize> = found.iter().flat_map(|group| group.matchers.clone()).collect();
        let deferred = defer(&mut found, case.entry_bytes);
        let mut names: Vec<&str> = deferred.iter().map(|n| matchers[*n].name()).collect();
        names.sort_unstable();
        assert_eq!(names, *case.deferred_here.as_ref().unwrap(), "{}", case.name);
        // Whatever is chosen: each matcher is satisfied once, by a list or by a look at the series.
        let mut kept: Vec<usize> = found.iter().flat_map(|group| group.matchers.clone()).collect();
        kept.extend(&deferred);
        kept.sort_unstable();
        let mut all = all;
        all.sort_unstable();
        assert_eq!(kept, all, "{}", case.name);
        // What is worth nothing there is worth nothing here.
        let theirs = case.deferred.as_ref().unwrap();
        assert!(theirs.iter().all(|name| names.contains(&name.as_str())), "{}", case.name);
        differing += usize::from(names != *theirs);
    }
    assert_eq!((cases.len(), differing), (18, 9));
}

#[derive(Deserialize)]
struct Fetched {
    name: String,
    lists: Vec<Vec<u32>>,
    groups: Vec<FetchedGroup>,
    expected: Vec<u32>,
}

#[derive(Deserialize)]
struct FetchedGroup {
    keeps: bool,
    /// How many lists it has.
    keys: usize,
    lazy: bool,
}

#[test]
fn fetched_lists_leave_the_series_that_they_leave_there() {
    let text = include_str!("../../../testdata/thanos/gateway/merged_lists.json");
    let cases: Vec<Fetched> = cases(text);
    for case in &cases {
        let fetched = case.groups.iter().filter(|group| !group.lazy);
        let groups: Vec<Group<ListPlace>> = fetched
            .map(|group| Group {
                keeps: group.keeps,
                places: vec![place(0); group.keys],
                matchers: Vec::new(),
            })
            .collect();
        let bytes =
            |ids: &Vec<u32>| -> Bytes { ids.iter().flat_map(|id| id.to_be_bytes()).collect() };
        let lists: Vec<Bytes> = case.lists.iter().map(bytes).collect();
        assert_eq!(combine(&groups, None, &lists), case.expected, "{}", case.name);
    }
    assert_eq!(cases.len(), 7);
}
