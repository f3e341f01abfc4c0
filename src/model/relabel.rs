//! Rewriting label sets by rules: what `relabel_configs` and its siblings say.
//!
//! A [`Rule`] is what a user wrote; a [`Relabel`] is a rule that was checked and compiled.

use std::fmt;
use std::sync::Arc;

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use super::Labels;
use super::regex::{Regex, RegexError};

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Action {
    /// Writes the replacement to the target label if the source matches.
    #[default]
    Replace,
    /// Drops the set unless the source matches.
    Keep,
    /// Drops the set if the source matches.
    Drop,
    /// Drops the set unless the source equals the target label's value.
    KeepEqual,
    /// Drops the set if the source equals the target label's value.
    DropEqual,
    /// Writes a hash of the source, modulo `modulus`, to the target label.
    HashMod,
    /// Copies labels whose names match to the name that the replacement gives.
    LabelMap,
    /// Removes labels whose names match.
    LabelDrop,
    /// Removes labels whose names do not match.
    LabelKeep,
    /// Writes the source in lower case to the target label.
    Lowercase,
    /// Writes the source in upper case to the target label.
    Uppercase,
}

impl Action {
    const ALL: [Self; 11] = [
        Self::Replace,
        Self::Keep,
        Self::Drop,
        Self::KeepEqual,
        Self::DropEqual,
        Self::HashMod,
        Self::LabelMap,
        Self::LabelDrop,
        Self::LabelKeep,
        Self::Lowercase,
        Self::Uppercase,
    ];

    /// The action as it is written in a configuration.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::KeepEqual => "keepequal",
            Self::DropEqual => "dropequal",
            Self::HashMod => "hashmod",
            Self::LabelMap => "labelmap",
            Self::LabelDrop => "labeldrop",
            Self::LabelKeep => "labelkeep",
            Self::Lowercase => "lowercase",
            Self::Uppercase => "uppercase",
        }
    }
}

impl From<Action> for &'static str {
    fn from(action: Action) -> Self {
        action.text()
    }
}

impl TryFrom<String> for Action {
    type Error = RelabelError;

    fn try_from(text: String) -> Result<Self, RelabelError> {
        let known = Self::ALL.into_iter().find(|action| action.text().eq_ignore_ascii_case(&text));
        known.ok_or(RelabelError::UnknownAction(text))
    }
}

/// A rule as a user wrote it; what is `None` was left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Labels whose values are joined to the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_labels: Option<Vec<String>>,
    /// What stands between the joined values; `;` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// Pattern for the whole of the source or of a label's name; `(.*)` if left out. The inner
    /// `None` is a key without a value, which means the empty pattern.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub regex: Option<Option<String>>,
    /// Divisor of `hashmod`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modulus: Option<u64>,
    /// Label to write to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_label: Option<String>,
    /// Template to write; `$1` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement: Option<String>,
    /// What to do.
    pub action: Action,
}

fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Why a rule was refused, in Prometheus's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelabelError {
    /// No such action.
    UnknownAction(String),
    /// The pattern does not compile.
    Regex(RegexError),
    /// `hashmod` without a modulus.
    NoModulus,
    /// The action needs a target label.
    NoTarget(Action),
    /// The name is no label name.
    BadTarget(String, Action),
    /// The name is no label name.
    BadSource(String),
    /// The replacement is no label name.
    BadReplacement(String, Action),
    /// The action takes no replacement.
    Replacement(Action),
    /// The action takes nothing but source and target labels.
    OnlyLabels(Action),
    /// The action takes nothing but a pattern.
    OnlyRegex(Action),
}

impl fmt::Display for RelabelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownAction(text) => write!(f, "unknown relabel action {text:?}"),
            Self::Regex(error) => error.fmt(f),
            Self::NoModulus => {
                f.write_str("relabel configuration for hashmod requires non-zero modulus")
            }
            Self::NoTarget(action) => {
                let action = action.text();
                write!(f, "relabel configuration for {action} action requires 'target_label' value")
            }
            Self::BadTarget(name, action) => {
                write!(f, "{name:?} is invalid 'target_label' for {} action", action.text())
            }
            Self::BadSource(name) => write!(f, "{name:?} is not a valid label name"),
            Self::BadReplacement(name, action) => {
                write!(f, "{name:?} is invalid 'replacement' for {} action", action.text())
            }
            Self::Replacement(action) => {
                write!(f, "'replacement' can not be set for {} action", action.text())
            }
            Self::OnlyLabels(action) => write!(
                f,
                "{} action requires only 'source_labels' and `target_label`, and no other fields",
                action.text()
            ),
            Self::OnlyRegex(action) => {
                write!(f, "{} action requires only 'regex', and no other fields", action.text())
            }
        }
    }
}

impl std::error::Error for RelabelError {}

const SEPARATOR: &str = ";";
const REPLACEMENT: &str = "$1";

/// A rule, ready for use. Cloning is cheap.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Rule")]
pub struct Relabel(Arc<Checked>);

#[derive(Debug)]
struct Checked {
    source_labels: Vec<String>,
    separator: String,
    regex: Regex,
    modulus: u64,
    target_label: String,
    replacement: String,
    action: Action,
}

impl TryFrom<Rule> for Relabel {
    type Error = RelabelError;

    fn try_from(rule: Rule) -> Result<Self, RelabelError> {
        check(&rule)?;
        let pattern = match &rule.regex {
            None => "(.*)",
            Some(pattern) => pattern.as_deref().unwrap_or_default(),
        };
        let regex = Regex::anchored(pattern).map_err(RelabelError::Regex)?;
        Ok(Self(Arc::new(Checked {
            regex,
            source_labels: rule.source_labels.unwrap_or_default(),
            separator: rule.separator.unwrap_or_else(|| SEPARATOR.to_owned()),
            modulus: rule.modulus.unwrap_or_default(),
            target_label: rule.target_label.unwrap_or_default(),
            replacement: rule.replacement.unwrap_or_else(|| REPLACEMENT.to_owned()),
            action: rule.action,
        })))
    }
}

/// What upstream's `Config.Validate` refuses. Any text but the empty one is a label name.
fn check(rule: &Rule) -> Result<(), RelabelError> {
    use Action::{
        DropEqual, HashMod, KeepEqual, LabelDrop, LabelKeep, LabelMap, Lowercase, Replace,
        Uppercase,
    };
    let action = rule.action;
    let target = rule.target_label.as_deref().unwrap_or_default();
    let replacement = rule.replacement.as_deref().unwrap_or(REPLACEMENT);
    let modulus = rule.modulus.unwrap_or_default();
    let separated = rule.separator.as_deref().is_some_and(|text| text != SEPARATOR);
    let writes =
        matches!(action, Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual);
    if let Some(name) = rule.source_labels.iter().flatten().find(|name| name.is_empty()) {
        return Err(RelabelError::BadSource(name.clone()));
    }
    if action == HashMod && modulus == 0 {
        return Err(RelabelError::NoModulus);
    }
    if writes && target.is_empty() {
        return Err(RelabelError::NoTarget(action));
    }
    if matches!(action, Lowercase | Uppercase | KeepEqual | DropEqual) && replacement != REPLACEMENT
    {
        return Err(RelabelError::Replacement(action));
    }
    if action == LabelMap && replacement.is_empty() {
        return Err(RelabelError::BadReplacement(replacement.to_owned(), action));
    }
    if matches!(action, KeepEqual | DropEqual)
        && (rule.regex.is_some() || modulus != 0 || separated)
    {
        return Err(RelabelError::OnlyLabels(action));
    }
    let more = rule.source_labels.is_some() || !target.is_empty() || modulus != 0 || separated;
    if matches!(action, LabelDrop | LabelKeep) && (more || replacement != REPLACEMENT) {
        return Err(RelabelError::OnlyRegex(action));
    }
    Ok(())
}

/// Applies `rules` in order. `None` if one of them drops the set.
#[must_use]
pub fn relabel(rules: &[Relabel], labels: &Labels) -> Option<Labels> {
    if rules.is_empty() {
        return Some(labels.clone());
    }
    let mut draft = Draft { base: labels, changes: Vec::new() };
    let mut source = String::new();
    for Relabel(rule) in rules {
        source.clear();
        draft.join(rule, &mut source);
        if !apply(rule, &source, &mut draft) {
            return None;
        }
    }
    Some(draft.finish())
}

/// Applies one rule; false if it drops the set.
fn apply(rule: &Checked, source: &str, draft: &mut Draft<'_>) -> bool {
    let Checked { regex, target_label: target, replacement, .. } = rule;
    match rule.action {
        Action::Keep => return regex.is_match(source),
        Action::Drop => return !regex.is_match(source),
        Action::KeepEqual => return draft.get(target) == source,
        Action::DropEqual => return draft.get(target) != source,
        Action::Replace => {
            let mut name = String::new();
            let mut value = String::new();
            let matches = regex.expand(source, target, &mut name);
            if matches && !name.is_empty() {
                regex.expand(source, replacement, &mut value);
                draft.set(name, value);
            }
        }
        Action::HashMod => {
            draft.set(target.clone(), (hash(source) % rule.modulus.max(1)).to_string());
        }
        Action::Lowercase => draft.set(target.clone(), source.chars().map(lower).collect()),
        Action::Uppercase => draft.set(target.clone(), source.chars().map(upper).collect()),
        Action::LabelMap => {
            for (name, value) in draft.pairs() {
                let copy = regex.replace(&name, replacement);
                if let Some(copy) = copy.filter(|copy| !copy.is_empty()) {
                    draft.set(copy, value);
                }
            }
        }
        Action::LabelDrop | Action::LabelKeep => {
            let keeps = rule.action == Action::LabelKeep;
            for (name, _) in draft.pairs() {
                if regex.is_match(&name) != keeps {
                    draft.set(name, String::new());
                }
            }
        }
    }
    true
}

/// A label set while rules change it. A label with an empty value is not there.
struct Draft<'a> {
    base: &'a Labels,
    changes: Vec<(String, String)>,
}

impl Draft<'_> {
    fn get(&self, name: &str) -> &str {
        let changed = self.changes.iter().find(|change| change.0 == name);
        match changed {
            Some((_, value)) => value,
            None => self.base.get(name).unwrap_or_default(),
        }
    }

    fn set(&mut self, name: String, value: String) {
        match self.changes.iter_mut().find(|change| change.0 == name) {
            Some(change) => change.1 = value,
            None => self.changes.push((name, value)),
        }
    }

    fn join(&self, rule: &Checked, source: &mut String) {
        for (index, name) in rule.source_labels.iter().enumerate() {
            if index > 0 {
                source.push_str(&rule.separator);
            }
            source.push_str(self.get(name));
        }
    }

    fn is_changed(&self, name: &str) -> bool {
        self.changes.iter().any(|change| change.0 == name)
    }

    /// The labels that are there now, in a copy that later changes leave alone.
    fn pairs(&self) -> Vec<(String, String)> {
        let kept = self.base.iter().filter(|pair| !self.is_changed(pair.0));
        let kept = kept.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let added = self.changes.iter().filter(|change| !change.1.is_empty()).cloned();
        kept.chain(added).collect()
    }

    fn finish(self) -> Labels {
        if self.changes.is_empty() {
            return self.base.clone();
        }
        // Names are unique by construction, and only a text of 256 MiB could be refused.
        Labels::from_pairs(self.pairs()).unwrap_or_default()
    }
}

/// The last eight bytes of the MD5 sum, as upstream always used them.
fn hash(text: &str) -> u64 {
    let sum = Md5::digest(text.as_bytes());
    sum.last_chunk::<8>().map_or(0, |tail| u64::from_be_bytes(*tail))
}

/// Go maps each char to one char, where the full mapping may need several.
fn lower(c: char) -> char {
    let mut mapped = c.to_lowercase();
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ if c == 'İ' => 'i',
        _ => c,
    }
}

fn upper(c: char) -> char {
    let mut mapped = c.to_uppercase();
    let offset = match (mapped.next(), mapped.next()) {
        (Some(one), None) => return one,
        // Greek letters with an iota below have an upper case of one char too.
        _ if matches!(c, '\u{1f80}'..='\u{1faf}') && u32::from(c) & 8 == 0 => 8,
        _ if matches!(c, '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}') => 9,
        _ => 0,
    };
    char::from_u32(u32::from(c) + offset).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(json: &str) -> Vec<Relabel> {
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
    }

    fn labels(text: &str) -> Labels {
        let pairs = text.split_whitespace().map(|pair| pair.split_once('=').unwrap());
        Labels::from_pairs(pairs.map(|(name, value)| (name, value.replace("\\n", "\n")))).unwrap()
    }

    fn check_table(table: &[(&str, &str, Option<&str>)]) {
        for (input, json, want) in table {
            let got = relabel(&rules(json), &labels(input));
            assert_eq!(got, want.map(labels), "{input} {json}");
        }
    }

    #[test]
    fn replace_writes_what_the_source_gives() {
        check_table(&[
            (
                "a=foo b=bar",
                r#"[{"source_labels":["a"],"regex":"f(.*)","target_label":"d","replacement":"ch${1}-ch$1"}]"#,
                Some("a=foo b=bar d=choo-choo"),
            ),
            (
                "a=foo b=bar c=baz",
                r#"[{"source_labels":["a","b"],"regex":"f(.*);(.*)r","target_label":"a","replacement":"b${1}${2}m"},{"source_labels":["c","a"],"regex":"(b).*b(.*)ba(.*)","target_label":"d","replacement":"$1$2$2$3"}]"#,
                Some("a=boobam b=bar c=baz d=boooom"),
            ),
            (
                "a=boo",
                r#"[{"source_labels":["a"],"regex":"f","target_label":"b","replacement":"bar"}]"#,
                Some("a=boo"),
            ),
            (
                "a=abc",
                r#"[{"source_labels":["a"],"regex":".*(b).*","target_label":"d"}]"#,
                Some("a=abc d=b"),
            ),
            (
                "a=foo f=baz",
                r#"[{"source_labels":["a"],"regex":"(f).*","target_label":"$1","replacement":"$2"}]"#,
                Some("a=foo"),
            ),
            (
                "a=x-name-v",
                r#"[{"source_labels":["a"],"regex":"x-([^-]+)-(.+)","target_label":"${1}","replacement":"${2}"}]"#,
                Some("a=x-name-v name=v"),
            ),
            (
                "a=x-name-v",
                r#"[{"source_labels":["a"],"regex":"x-([^-]+)-(.+)","target_label":"${1}","replacement":"${3}"}]"#,
                Some("a=x-name-v"),
            ),
            (
                "a=x-name-v",
                r#"[{"source_labels":["a"],"regex":"x-([^-]+)-(.+)","target_label":"${3}","replacement":"${1}"}]"#,
                Some("a=x-name-v"),
            ),
            (
                "t=path:/s,job:j,label:foo=bar",
                r#"[{"source_labels":["t"],"regex":"(?:.+,|^)path:(/[^,]+).*","target_label":"p"},{"source_labels":["t"],"regex":"(?:.+,|^)label:([^=]+)=([^,]+).*","replacement":"${2}","target_label":"${1}"}]"#,
                Some("t=path:/s,job:j,label:foo=bar p=/s foo=bar"),
            ),
            (
                "a=one\\ntwo b=x",
                r#"[{"source_labels":["a"],"regex":"one.*two","target_label":"d.é","replacement":"match${1}"}]"#,
                Some("a=one\\ntwo b=x d.é=match"),
            ),
            (
                "a=12",
                r#"[{"source_labels":["a"],"regex":"(1)(?P<two>2)","target_label":"l_$1","replacement":"v_$two"}]"#,
                Some("a=12 l_1=v_2"),
            ),
            ("a=1", r#"[{"target_label":"b","replacement":"static"}]"#, Some("a=1 b=static")),
            ("a=1 b=2", r#"[{"target_label":"b","replacement":""}]"#, Some("a=1")),
            (
                "a=1 b=2",
                r#"[{"regex":null,"source_labels":["a"],"target_label":"b","replacement":"x"}]"#,
                Some("a=1 b=2"),
            ),
            (
                "a=1 b=2",
                r#"[{"source_labels":["a","none","b"],"separator":"-","target_label":"c"}]"#,
                Some("a=1 b=2 c=1--2"),
            ),
            ("a=1", r#"[]"#, Some("a=1")),
        ]);
    }

    #[test]
    fn keep_and_drop_look_at_the_whole_source() {
        check_table(&[
            (
                "a=foo",
                r#"[{"source_labels":["a"],"regex":".*o.*","action":"drop"},{"target_label":"b","replacement":"x"}]"#,
                None,
            ),
            ("a=foo", r#"[{"source_labels":["a"],"regex":"f|o","action":"drop"}]"#, Some("a=foo")),
            ("a=foo", r#"[{"source_labels":["a"],"regex":"no","action":"KEEP"}]"#, None),
            ("a=foo", r#"[{"source_labels":["a"],"regex":"f.*","action":"Keep"}]"#, Some("a=foo")),
            (
                "a=1 b=1 c=2",
                r#"[{"source_labels":["a"],"target_label":"b","action":"keepequal"}]"#,
                Some("a=1 b=1 c=2"),
            ),
            (
                "a=1 b=1 c=2",
                r#"[{"source_labels":["a"],"target_label":"c","action":"keepequal"}]"#,
                None,
            ),
            (
                "a=1 b=1 c=2",
                r#"[{"source_labels":["a"],"target_label":"b","action":"dropequal"}]"#,
                None,
            ),
            (
                "a=1 b=1 c=2",
                r#"[{"source_labels":["a"],"target_label":"c","action":"dropequal"}]"#,
                Some("a=1 b=1 c=2"),
            ),
            ("a=1", r#"[{"source_labels":["x"],"target_label":"y","action":"dropequal"}]"#, None),
        ]);
    }

    #[test]
    fn names_are_mapped_dropped_and_kept() {
        check_table(&[
            (
                "a=1 b1=2 b2=3",
                r#"[{"regex":"(b.*)","replacement":"bar_${1}","action":"labelmap"}]"#,
                Some("a=1 b1=2 b2=3 bar_b1=2 bar_b2=3"),
            ),
            (
                "__meta_my_a=1 __meta_o=2",
                r#"[{"regex":"__meta_(my.*)","action":"labelmap"}]"#,
                Some("__meta_my_a=1 __meta_o=2 my_a=1"),
            ),
            ("a=1 b1=2 b2=3", r#"[{"regex":"(b.*)","action":"labelkeep"}]"#, Some("b1=2 b2=3")),
            ("a=1 b1=2 b2=3", r#"[{"regex":"(b.*)","action":"labeldrop"}]"#, Some("a=1")),
            (
                "p=foo q=9091",
                r#"[{"regex":"^p$","action":"labeldrop"},{"source_labels":["q"],"regex":"(.+)","replacement":"metrics","target_label":"p"},{"source_labels":["p"],"regex":"^metrics$","action":"keep"}]"#,
                Some("p=metrics q=9091"),
            ),
            (
                "a=1",
                r#"[{"regex":"a","replacement":"b","action":"labelmap"},{"regex":"(b)","replacement":"c_$1","action":"labelmap"},{"regex":"a|b","action":"labeldrop"}]"#,
                Some("c_b=1"),
            ),
        ]);
    }

    #[test]
    fn hashes_are_those_of_prometheus() {
        check_table(&[
            (
                "c=baz",
                r#"[{"source_labels":["c"],"target_label":"d","action":"hashmod","modulus":1000}]"#,
                Some("c=baz d=976"),
            ),
            (
                "a=foo\\nbar",
                r#"[{"source_labels":["a"],"target_label":"b","action":"hashmod","modulus":1000}]"#,
                Some("a=foo\\nbar b=734"),
            ),
        ]);
    }

    #[test]
    fn cases_are_changed_char_by_char() {
        check_table(&[
            (
                "f=bAr1Foo",
                r#"[{"source_labels":["f"],"target_label":"u","action":"uppercase"},{"source_labels":["f"],"target_label":"l","action":"lowercase"}]"#,
                Some("f=bAr1Foo u=BAR1FOO l=bar1foo"),
            ),
            (
                "f=ßéᾀᾳ",
                r#"[{"source_labels":["f"],"target_label":"u","action":"uppercase"}]"#,
                Some("f=ßéᾀᾳ u=ßÉᾈᾼ"),
            ),
            (
                "f=İÉΣ",
                r#"[{"source_labels":["f"],"target_label":"u","action":"lowercase"}]"#,
                Some("f=İÉΣ u=iéσ"),
            ),
        ]);
    }

    #[test]
    fn wrong_rules_are_refused_in_prometheus_words() {
        let table = [
            (r#"{}"#, "relabel configuration for replace action requires 'target_label' value"),
            (
                r#"{"action":"lowercase"}"#,
                "relabel configuration for lowercase action requires 'target_label' value",
            ),
            (
                r#"{"action":"hashmod","target_label":"a"}"#,
                "relabel configuration for hashmod requires non-zero modulus",
            ),
            (
                r#"{"action":"uppercase","target_label":"a","replacement":"x"}"#,
                "'replacement' can not be set for uppercase action",
            ),
            (
                r#"{"action":"labelmap","replacement":""}"#,
                r#""" is invalid 'replacement' for labelmap action"#,
            ),
            (
                r#"{"action":"keepequal","target_label":"a","regex":"(.*)"}"#,
                "keepequal action requires only 'source_labels' and `target_label`, and no other fields",
            ),
            (
                r#"{"action":"dropequal","target_label":"a","separator":","}"#,
                "dropequal action requires only 'source_labels' and `target_label`, and no other fields",
            ),
            (
                r#"{"action":"labeldrop","source_labels":["a"]}"#,
                "labeldrop action requires only 'regex', and no other fields",
            ),
            (
                r#"{"action":"labelkeep","modulus":2}"#,
                "labelkeep action requires only 'regex', and no other fields",
            ),
            (r#"{"action":"nothing"}"#, r#"unknown relabel action "nothing""#),
            (r#"{"action":"keep","source_labels":[""]}"#, r#""" is not a valid label name"#),
            (r#"{"action":"keep","regex":"("}"#, "error parsing regexp: missing closing ): `(`"),
            (r#"{"action":"keep","regexp":"a"}"#, "unknown field `regexp`"),
        ];
        for (json, want) in table {
            let got = serde_json::from_str::<Relabel>(json).unwrap_err().to_string();
            assert!(got.starts_with(want), "{json}: {got}");
        }
        assert!(serde_json::from_str::<Relabel>(r#"{"target_label":"0${3}"}"#).is_ok());
    }

    #[cfg(any(feature = "agent", feature = "hub"))]
    #[test]
    fn rules_are_read_from_yaml() {
        let yaml = "- source_labels: [a, b]\n  regex: 8080\n  action: Drop\n\
            - regex:\n  replacement: on\n  target_label: t\n\
            - source_labels:\n  - a\n  modulus: 4\n  target_label: shard\n  action: hashmod\n";
        let rules: Vec<Relabel> = serde_saphyr::from_str(yaml).unwrap();
        let got = relabel(&rules, &labels("a=1")).unwrap();
        assert_eq!(got, labels("a=1 t=on shard=3"));
        assert_eq!(relabel(&rules, &labels("a=80 b=80")).unwrap().get("t"), Some("on"));
        let dropping = "- {source_labels: [a, b], separator: '', regex: 8080, action: drop}";
        let rules: Vec<Relabel> = serde_saphyr::from_str(dropping).unwrap();
        assert!(relabel(&rules, &labels("a=80 b=80")).is_none());
    }
}
