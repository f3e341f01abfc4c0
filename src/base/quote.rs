//! Texts in quotes, as Go's `%q` writes them: what messages and printed queries look like.

use std::fmt::Write as _;

/// `text` in double quotes, with escapes where it is not printable.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    quote_into(&mut out, text);
    out
}

/// Appends `text` in double quotes.
pub fn quote_into(out: &mut String, text: &str) {
    out.push('"');
    text.chars().for_each(|c| escape(out, c, '"'));
    out.push('"');
}

/// `bytes` in double quotes; what is no UTF-8 is written as `\xNN`.
#[must_use]
pub fn quote_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| escape(&mut out, c, '"'));
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}

/// One character in single quotes.
#[must_use]
pub fn quote_char(c: char) -> String {
    let mut out = String::from('\'');
    escape(&mut out, c, '\'');
    out.push('\'');
    out
}

fn escape(out: &mut String, c: char, quote: char) {
    let short = match c {
        '\x07' => 'a',
        '\x08' => 'b',
        '\x0c' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\x0b' => 'v',
        '\\' => '\\',
        _ if c == quote => quote,
        _ => return escape_unnamed(out, c),
    };
    out.push('\\');
    out.push(short);
}

fn escape_unnamed(out: &mut String, c: char) {
    let code = u32::from(c);
    let _ = match code {
        0x20..0x7f => return out.push(c),
        0..0x80 => write!(out, "\\x{code:02x}"),
        _ if is_printable(c) => return out.push(c),
        0..0x1_0000 => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

/// The standard library's table of printable characters is that of Go (letters, marks, numbers,
/// punctuation, symbols); it is reached through its escapes, behind another character, since a
/// mark is escaped only in front.
fn is_printable(c: char) -> bool {
    let mut text = [b'a', 0, 0, 0, 0];
    let Some(rest) = text.get_mut(1..) else { return false };
    let length = 1 + c.encode_utf8(rest).len();
    let text = text.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.is_some_and(|text| text.escape_debug().nth(1) == Some(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_look_as_go_writes_them() {
        let cases = [
            ("", r#""""#),
            ("a'b", r#""a'b""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("\x07\x08\x0c\n\r\t\x0b\0\x7f", r#""\a\b\f\n\r\t\v\x00\x7f""#),
            ("é世\u{301}😀", "\"é世\u{301}😀\""),
            ("\u{a0}\u{feff}\u{200b}\u{e000}", r#""\u00a0\ufeff\u200b\ue000""#),
            ("\u{10ffff}", r#""\U0010ffff""#),
        ];
        for (text, want) in cases {
            assert_eq!(quote(text), want);
        }
        assert_eq!(quote_bytes(b"a\xc5z"), r#""a\xc5z""#);
        assert_eq!((quote_char('\'').as_str(), quote_char('"').as_str()), (r"'\''", "'\"'"));
    }
}
