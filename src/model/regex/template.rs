//! Replacement templates as Go's `Regexp.Expand` reads them.

/// A group that a template names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group<'a> {
    Number(usize),
    Name(&'a str),
}

/// Appends `template` to `out` with each group replaced by what `captured` says of it.
pub(super) fn expand<'a>(
    template: &str,
    out: &mut String,
    captured: impl Fn(Group<'_>) -> &'a str,
) {
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((group, after)) = group(rest) {
            out.push_str(captured(group));
            rest = after;
        } else {
            // What names no group is text.
            out.push('$');
        }
    }
    out.push_str(rest);
}

/// The group named at the start of `text`, and what stands behind it. Without braces the name is
/// as long as it can be: `$1x` is the group `1x`.
fn group(text: &str) -> Option<(Group<'_>, &str)> {
    let inside = text.strip_prefix('{').unwrap_or(text);
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let end = inside.find(|c| !is_word(c)).unwrap_or(inside.len());
    let (name, mut rest) = inside.split_at(end);
    if inside.len() < text.len() {
        rest = rest.strip_prefix('}')?;
    }
    if name.is_empty() {
        return None;
    }
    let padded = name.len() > 1 && name.starts_with('0');
    let is_number = !padded && name.len() < 9 && name.bytes().all(|b| b.is_ascii_digit());
    let number = name.parse().ok().filter(|_| is_number);
    Some((number.map_or(Group::Name(name), Group::Number), rest))
}
