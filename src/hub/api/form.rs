//! Parameters of a request: from the body of a form, then from the address.

/// Pairs of names and values, those of the body first. A name may stand many times.
#[derive(Debug, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads `query`, the address behind `?`, and `body`, which is empty unless a form was sent.
    pub(super) fn read(query: &str, body: &str) -> Self {
        let pairs = body.split('&').chain(query.split('&'));
        Self(pairs.filter_map(pair).collect())
    }

    /// The first value of `name`; empty if there is none, which is the same everywhere.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|pair| pair.0 == name).map_or("", |pair| &pair.1)
    }

    /// All values of `name`.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |pair| pair.0 == name).map(|pair| pair.1.as_str())
    }
}

/// Drops a pair that is not well formed, as Go's `url.ParseQuery` does.
fn pair(text: &str) -> Option<(String, String)> {
    if text.is_empty() || text.contains(';') {
        return None;
    }
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    Some((unescape(name, true)?, unescape(value, true)?))
}

/// The path of an address with its `%41` replaced; nothing if it is malformed.
pub(in crate::hub) fn unescape_path(path: &str) -> Option<String> {
    unescape(path, false)
}

/// Replaces `%41`, and `+` by a blank if `plus_is_blank`; nothing if a `%` is not followed by
/// two hexadecimal digits. Bytes that are no UTF-8 become the replacement character.
fn unescape(text: &str, plus_is_blank: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let (high, low) = (hex(rest.next()?)?, hex(rest.next()?)?);
                high << 4 | low
            }
            b'+' if plus_is_blank => b' ',
            byte => byte,
        });
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => Some(String::from_utf8_lossy(error.as_bytes()).into_owned()),
    }
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_comes_before_the_address() {
        let form = Form::read("a=1&b=2&m%5B%5D=x", "a=3&m[]=y+%2B");
        assert_eq!(form.get("a"), "3");
        assert_eq!(form.get("b"), "2");
        assert_eq!(form.get("c"), "");
        assert_eq!(form.all("m[]").collect::<Vec<_>>(), ["y +", "x"]);
    }

    #[test]
    fn a_malformed_pair_is_left_out() {
        let form = Form::read("a=%zz&a=%4&a=1;b=2&&b&=c&a=ok&a=%ff", "");
        assert_eq!(form.all("a").collect::<Vec<_>>(), ["ok", "\u{fffd}"]);
        assert_eq!(form.all("b").collect::<Vec<_>>(), [""]);
    }
}
