//! A YAML text as a tree that knows its lines, before anything is made of it.
//!
//! Typed decoding would lose what a good error message needs: the line and the whole path of a key
//! that is merely invalid. A scalar keeps the text as it was written, since an unquoted `1.10` or
//! `0755` that stands where a string is wanted means those characters.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use serde_saphyr::options::NonFiniteFloatPolicy;

/// One value and the line on which it starts.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) kind: Kind,
}

/// What a value is.
#[derive(Clone)]
pub(super) enum Kind {
    Null,
    Scalar { text: String, quoted: bool },
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key of a table and its value.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) line: usize,
    pub(super) key: String,
    pub(super) value: Node,
}

impl Node {
    /// Every key that lies in tables only, as `outer.inner`, and its line. The parser bounds how
    /// deep tables lie in one another.
    pub(super) fn places(&self) -> Vec<(String, usize)> {
        let mut places = Vec::new();
        let mut waiting = vec![(String::new(), self)];
        while let Some((outer, node)) = waiting.pop() {
            let Kind::Table(entries) = &node.kind else { continue };
            for entry in entries {
                let dot = if outer.is_empty() { "" } else { "." };
                let path = format!("{outer}{dot}{}", entry.key);
                places.push((path.clone(), entry.line));
                waiting.push((path, &entry.value));
            }
        }
        places
    }
}

/// What the parser had to say of a text that is no YAML.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) line: Option<usize>,
    pub(super) what: String,
}

/// Reads one document; an empty text is [`Kind::Null`].
pub(super) fn read(text: &str) -> Result<Node, Refusal> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
    };
    let raw: Spanned<Raw> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let line = error.location().map(|location| location.line() as usize);
            // The parser's words carry the place once more, which the caller prints its own way.
            let what = error.to_string();
            let what = what.lines().next().unwrap_or_default();
            let end = what.find(" at line ").or_else(|| what.find(" (line ")).unwrap_or(what.len());
            Refusal { line, what: what.get(..end).unwrap_or(what).to_owned() }
        })?;
    Ok(settle(raw, text))
}

impl Node {
    /// What to call it in a message.
    pub(super) const fn noun(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Scalar { .. } => "a single value",
            Kind::List(_) => "a list",
            Kind::Table(_) => "a table of keys",
        }
    }

    /// The value as YAML text of one line, for a reader that wants a text. The parser bounds how
    /// deep it goes.
    pub(super) fn to_flow_text(&self) -> String {
        let mut out = String::new();
        self.write_flow(&mut out);
        out
    }

    fn write_flow(&self, out: &mut String) {
        match &self.kind {
            Kind::Null => out.push_str("null"),
            // A number or truth value stays one; all else is safe in quotes.
            Kind::Scalar { text, quoted: false } if is_plain(text) => out.push_str(text),
            Kind::Scalar { text, .. } => out.push_str(&quoted_json(text)),
            Kind::List(items) => {
                out.push('[');
                for item in items {
                    item.write_flow(out);
                    out.push_str(", ");
                }
                out.push(']');
            }
            Kind::Table(entries) => {
                out.push('{');
                for entry in entries {
                    out.push_str(&quoted_json(&entry.key));
                    out.push_str(": ");
                    entry.value.write_flow(out);
                    out.push_str(", ");
                }
                out.push('}');
            }
        }
    }

    /// The value of a key, if this is a table that has it and it is not null.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Kind::Table(entries) = &self.kind else { return None };
        let found = entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)?;
        (!matches!(found.kind, Kind::Null)).then_some(found)
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(&b))
}

fn quoted_json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A value as the parser sees it: plain scalars already turned into what YAML takes them for.
enum Raw {
    Null,
    Text(String),
    /// A plain scalar that YAML takes for a number or a truth value.
    Other(String),
    List(Vec<Spanned<Self>>),
    Table(Vec<(Spanned<String>, Spanned<Self>)>),
}

struct RawVisitor;

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Other(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Other(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Other(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Other(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = table.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Table(entries))
    }
}

/// Puts the written text back in place of what YAML took it for.
fn settle(raw: Spanned<Raw>, source: &str) -> Node {
    let span = raw.defined.span();
    let written = || {
        let (start, length) = (span.byte_offset()?, span.byte_len()?);
        let start = usize::try_from(start).ok()?;
        source.get(start..start.checked_add(usize::try_from(length).ok()?)?)
    };
    let line = raw.referenced.line() as usize;
    let kind = match raw.value {
        Raw::Null => Kind::Null,
        Raw::Text(text) => {
            let quoted = written().is_some_and(|written| written.trim() != text);
            Kind::Scalar { text, quoted }
        }
        Raw::Other(read) => {
            let text = written().map(|text| text.trim().to_owned());
            Kind::Scalar { text: text.unwrap_or(read), quoted: false }
        }
        Raw::List(items) => {
            Kind::List(items.into_iter().map(|item| settle(item, source)).collect())
        }
        Raw::Table(entries) => {
            let entry = |(key, value): (Spanned<String>, _)| Entry {
                line: key.referenced.line() as usize,
                key: key.value,
                value: settle(value, source),
            };
            Kind::Table(entries.into_iter().map(entry).collect())
        }
    };
    Node { line, kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(node: &Node, key: &str) -> (String, bool, usize) {
        match &node.get(key).unwrap().kind {
            Kind::Scalar { text, quoted } => (text.clone(), *quoted, node.get(key).unwrap().line),
            _ => panic!("{key} is {}", node.noun()),
        }
    }

    #[test]
    fn scalars_keep_the_text_as_written() {
        let source = "a: 0755\nb: 1.10 # é\nc: yes\nd: \"5\"\ne: 'x y'\nf: é1\ng: 1_000\n\
                      h: 1e5\ni: &x 0x1F\nj: *x\nk: |\n  two\n  lines\nl: 1e999\nm: !!str 5\n";
        let tree = read(source).unwrap();
        let expected = [
            ("a", "0755", false, 1),
            ("b", "1.10", false, 2),
            ("c", "yes", false, 3),
            ("d", "5", true, 4),
            ("e", "x y", true, 5),
            ("f", "é1", false, 6),
            ("g", "1_000", false, 7),
            ("h", "1e5", false, 8),
            ("i", "0x1F", false, 9),
            ("j", "0x1F", false, 10),
            ("k", "two\nlines\n", true, 12),
            ("l", "1e999", false, 14),
        ];
        for (key, value, quoted, line) in expected {
            assert_eq!(text(&tree, key), (value.to_owned(), quoted, line), "{key}");
        }
    }

    #[test]
    fn a_value_can_be_written_as_text_again() {
        let source = "a: {b: 0755, c: \"5\", d: 'x: y', e: [1, ~, ä], f: {}}\ng: |\n  k: v\n  l\n";
        let tree = read(source).unwrap();
        let text = tree.to_flow_text();
        assert_eq!(
            text,
            r#"{"a": {"b": 0755, "c": "5", "d": "x: y", "e": [1, null, "ä", ], "f": {}, }, "g": "k: v\nl\n", }"#
        );
        assert_eq!(read(&text).unwrap().to_flow_text(), text);
    }

    #[test]
    fn an_empty_text_is_null() {
        for source in ["", "\n# nothing here\n", "---\n"] {
            assert!(matches!(read(source).unwrap().kind, Kind::Null), "{source:?}");
        }
    }

    #[test]
    fn a_key_twice_is_refused_with_its_line() {
        let refusal = read("a: 1\nb: 2\na: 3\n").err().unwrap();
        assert_eq!(refusal.line, Some(3), "{}", refusal.what);
        assert!(refusal.what.contains("duplicate"), "{}", refusal.what);
    }

    #[test]
    fn broken_yaml_is_refused_with_its_line() {
        let refusal = read("a:\n  - b\n c: [\n").err().unwrap();
        assert!(refusal.line.is_some(), "{}", refusal.what);
    }
}
