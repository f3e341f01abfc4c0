//! Label patterns in Go's dialect, always matched against the whole value.
//!
//! A pattern is taken apart when it is compiled: one that stands for a few texts becomes a set
//! ([`Regex::set_matches`]), one that begins with a text has a prefix ([`Regex::prefix`]), so that
//! an index can look values up instead of trying them all.

mod dialect;
mod template;

use std::fmt;
use std::sync::{Arc, OnceLock};

use regex_automata::meta;
use regex_automata::util::captures::Captures;
use regex_syntax::hir::literal::{ExtractKind, Extractor, Seq};
use regex_syntax::hir::{Dot, Hir, HirKind, Look};

/// A pattern that Go's regexp package would refuse, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegexError(pub String);

impl fmt::Display for RegexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error parsing regexp: {}", self.0)
    }
}

impl std::error::Error for RegexError {}

/// A compiled pattern; cloning is a reference count.
#[derive(Clone)]
pub struct Regex(Arc<Inner>);

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Regex").field(&self.0.pattern).finish()
    }
}

struct Inner {
    pattern: Box<str>,
    group_names: Vec<Option<String>>,
    shape: Shape,
    prefix: Option<Box<str>>,
    hir: Hir,
    /// Every group captures the whole text, as in `(.*)`.
    captures_all: bool,
    /// Compiled at once where a match needs it, else with the first expansion.
    engine: OnceLock<Option<meta::Regex>>,
}

/// What a pattern is, if that can be told without an engine.
enum Shape {
    /// Exactly these texts, ascending.
    Set(Vec<Arc<str>>),
    /// `.*`
    Anything,
    /// `.+`
    NotEmpty,
    /// `prefix.*`
    Prefix,
    /// Everything else.
    Other,
}

/// Beyond this a set is not worth its look-ups; Prometheus's bound.
const SET_MATCHES_MAX: usize = 256;
/// Patterns come from users, so what they may cost has a bound.
const ENGINE_BYTES_MAX: usize = 32 << 20;

impl Regex {
    /// Compiles `^(?s:pattern)$`.
    ///
    /// # Errors
    /// A pattern that Go's regexp package would refuse, in its words, or one that is too large.
    pub fn anchored(pattern: &str) -> Result<Self, RegexError> {
        let translated = dialect::translate(pattern)?;
        let mut parser = regex_syntax::ParserBuilder::new();
        parser.utf8(false).dot_matches_new_line(true).nest_limit(4 * 1000);
        let parsed = parser.build().parse(&translated.text);
        let hir = parsed.map_err(|_| RegexError(format!("expression too large: `{pattern}`")))?;
        let (shape, prefix) = take_apart(&hir);
        let inner = Inner {
            pattern: pattern.into(),
            group_names: translated.group_names,
            shape,
            prefix,
            captures_all: captures_all(&hir),
            hir,
            engine: OnceLock::new(),
        };
        let needs_engine = matches!(inner.shape, Shape::Other);
        if needs_engine && inner.engine().is_none() {
            return Err(RegexError(format!("expression too large: `{pattern}`")));
        }
        Ok(Self(Arc::new(inner)))
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.0.pattern
    }

    /// True if the whole of `text` matches.
    #[must_use]
    #[inline]
    pub fn is_match(&self, text: &str) -> bool {
        match &self.0.shape {
            Shape::Set(set) => set.binary_search_by(|known| (**known).cmp(text)).is_ok(),
            Shape::Anything => true,
            Shape::NotEmpty => !text.is_empty(),
            Shape::Prefix => text.starts_with(self.prefix().unwrap_or_default()),
            Shape::Other => {
                text.starts_with(self.prefix().unwrap_or_default())
                    && self.0.engine().is_some_and(|engine| engine.is_match(text))
            }
        }
    }

    /// All texts that match, ascending, if they are few and can be listed.
    #[must_use]
    pub fn set_matches(&self) -> Option<&[Arc<str>]> {
        match &self.0.shape {
            Shape::Set(set) => Some(set),
            _ => None,
        }
    }

    /// A text, not empty, with which everything that matches begins.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        self.0.prefix.as_deref()
    }

    /// If `text` matches, appends `template` to `out` with `$1`, `${1}`, `$name` and `${name}`
    /// replaced by what the groups captured and `$$` by `$`, and returns true. A group that does
    /// not exist or captured nothing is the empty text.
    pub fn expand(&self, text: &str, template: &str, out: &mut String) -> bool {
        if !template.contains('$') {
            let matches = self.is_match(text);
            if matches {
                out.push_str(template);
            }
            return matches;
        }
        if self.0.captures_all {
            let matches = self.is_match(text);
            if matches {
                template::expand(template, out, |group| self.whole(text, group));
            }
            return matches;
        }
        let Some(engine) = self.0.engine() else { return false };
        let mut captures = engine.create_captures();
        engine.captures(text, &mut captures);
        if !captures.is_match() {
            return false;
        }
        template::expand(template, out, |group| self.captured(text, &captures, group));
        true
    }

    /// The template with its groups replaced, if `text` matches.
    #[must_use]
    pub fn replace(&self, text: &str, template: &str) -> Option<String> {
        let mut out = String::new();
        self.expand(text, template, &mut out).then_some(out)
    }

    /// What a group captured that captures everything, if there is such a group.
    fn whole<'a>(&self, text: &'a str, group: template::Group<'_>) -> &'a str {
        let names = &self.0.group_names;
        let is_known = match group {
            template::Group::Number(number) => number <= names.len(),
            template::Group::Name(name) => names.iter().any(|known| known.as_deref() == Some(name)),
        };
        if is_known { text } else { "" }
    }

    fn captured<'a>(
        &self,
        text: &'a str,
        captures: &Captures,
        group: template::Group<'_>,
    ) -> &'a str {
        let names = self.0.group_names.iter().zip(1..);
        let span = match group {
            template::Group::Number(number) => captures.get_group(number),
            // A name may be given to several groups; the first that captured something counts.
            template::Group::Name(name) => names
                .filter(|(known, _)| known.as_deref() == Some(name))
                .find_map(|(_, index)| captures.get_group(index)),
        };
        span.and_then(|span| text.get(span.start..span.end)).unwrap_or_default()
    }
}

impl Inner {
    fn engine(&self) -> Option<&meta::Regex> {
        let build = || {
            let ends = [Hir::look(Look::Start), self.hir.clone(), Hir::look(Look::End)];
            let config = meta::Config::new().nfa_size_limit(Some(ENGINE_BYTES_MAX));
            meta::Builder::new().configure(config).build_from_hir(&Hir::concat(ends.into())).ok()
        };
        self.engine.get_or_init(build).as_ref()
    }
}

/// The shape of an expression and the text with which all its matches begin.
fn take_apart(hir: &Hir) -> (Shape, Option<Box<str>>) {
    let mut extractor = Extractor::new();
    extractor.kind(ExtractKind::Prefix).limit_class(SET_MATCHES_MAX).limit_repeat(64);
    extractor.limit_literal_len(1 << 12).limit_total(SET_MATCHES_MAX);
    let literals = extractor.extract(hir);
    // An assertion such as `\b` or `^` is passed over by the extractor, so a set would be too wide.
    if hir.properties().look_set().is_empty()
        && let Some(set) = exact_set(&literals)
    {
        let prefix = common_prefix(&literals);
        return (Shape::Set(set), prefix);
    }
    let prefix = common_prefix(&literals);
    let mut hir = hir;
    while let HirKind::Capture(group) = hir.kind() {
        hir = &group.sub;
    }
    let shape = match hir.kind() {
        _ if is_any(hir, 0) => Shape::Anything,
        _ if is_any(hir, 1) => Shape::NotEmpty,
        HirKind::Concat(parts) => match parts.as_slice() {
            [head, tail] if is_any(tail, 0) && is_literal(head, prefix.as_deref()) => Shape::Prefix,
            _ => Shape::Other,
        },
        _ => Shape::Other,
    };
    (shape, prefix)
}

/// True if all groups of a pattern lie around all of it. An engine is expensive to make, and
/// `(.*)` is what most replacements of labels ask for.
fn captures_all(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Capture(group) => captures_all(&group.sub),
        _ => hir.properties().explicit_captures_len() == 0,
    }
}

fn exact_set(literals: &Seq) -> Option<Vec<Arc<str>>> {
    let literals = literals.literals()?;
    if literals.len() > SET_MATCHES_MAX || !literals.iter().all(|literal| literal.is_exact()) {
        return None;
    }
    let text = |bytes| std::str::from_utf8(bytes).ok().map(Arc::from);
    let mut set: Vec<Arc<str>> =
        literals.iter().map(|literal| text(literal.as_bytes())).collect::<Option<_>>()?;
    set.sort_unstable();
    set.dedup();
    Some(set)
}

fn common_prefix(literals: &Seq) -> Option<Box<str>> {
    let bytes = literals.longest_common_prefix()?;
    let valid = bytes.utf8_chunks().next()?.valid();
    (!valid.is_empty()).then(|| valid.into())
}

fn is_any(hir: &Hir, least: u32) -> bool {
    match hir.kind() {
        HirKind::Capture(capture) => is_any(&capture.sub, least),
        HirKind::Repetition(repetition) => {
            (repetition.min, repetition.max) == (least, None)
                && *repetition.sub == Hir::dot(Dot::AnyChar)
        }
        _ => false,
    }
}

fn is_literal(hir: &Hir, text: Option<&str>) -> bool {
    match hir.kind() {
        HirKind::Literal(literal) => Some(&*literal.0) == text.map(str::as_bytes),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
