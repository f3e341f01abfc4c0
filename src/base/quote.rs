//! Texts in double quotes as Go's `%q` writes them, since Prometheus's messages are made of those.

/// Appends `bytes` in double quotes. What can be printed stays; quotes, backslashes and the usual
/// controls get their letter, everything else its number: `\x7f` below 128 and for bytes that are
/// no UTF-8, `\u` and `\U` above.
pub fn quote(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            put_char(out, c, '"');
        }
        for byte in chunk.invalid() {
            push_hex(out, 'x', u32::from(*byte), 2);
        }
    }
    out.push('"');
}

/// [`quote`] into a text of its own.
#[must_use]
pub fn quoted(bytes: impl AsRef<[u8]>) -> String {
    let mut out = String::new();
    quote(&mut out, bytes.as_ref());
    out
}

/// One character in single quotes.
#[must_use]
pub fn quoted_char(c: char) -> String {
    let mut out = String::from('\'');
    put_char(&mut out, c, '\'');
    out.push('\'');
    out
}

fn put_char(out: &mut String, c: char, quote: char) {
    let letter = match c {
        '\\' => Some(c),
        _ if c == quote => Some(c),
        '\x07' => Some('a'),
        '\x08' => Some('b'),
        '\x0c' => Some('f'),
        '\n' => Some('n'),
        '\r' => Some('r'),
        '\t' => Some('t'),
        '\x0b' => Some('v'),
        _ => None,
    };
    let code = u32::from(c);
    match letter {
        Some(letter) => out.extend(['\\', letter]),
        None if is_printable(c) => out.push(c),
        None if code < 0x80 => push_hex(out, 'x', code, 2),
        None if code < 0x1_0000 => push_hex(out, 'u', code, 4),
        None => push_hex(out, 'U', code, 8),
    }
}

/// Go prints letters, marks, numbers, punctuation, symbols and the ASCII space. The standard
/// library keeps the same table for its escapes; it is asked behind another character, since it
/// escapes a combining mark in front.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    let mut bytes = [b'a', 0, 0, 0, 0];
    let Some(rest) = bytes.get_mut(1..) else { return false };
    let length = 1 + c.encode_utf8(rest).len();
    let text = bytes.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.is_some_and(|text| text.escape_debug().nth(1) == Some(c))
}

fn push_hex(out: &mut String, letter: char, value: u32, digits: u32) {
    out.extend(['\\', letter]);
    for place in (0..digits).rev() {
        out.push(char::from_digit(value >> (4 * place) & 0xf, 16).unwrap_or('0'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_as_go_quotes_them() {
        let table: [(&[u8], &str); 9] = [
            (b"", r#""""#),
            (b"a'b\"c\\d", r#""a'b\"c\\d""#),
            (b"\x00\x07\x08\x0c\n\r\t\x0b\x1b\x7f", r#""\x00\a\b\f\n\r\t\v\x1b\x7f""#),
            ("Größe 10€ 日本".as_bytes(), r#""Größe 10€ 日本""#),
            (b"a\xc5z\xff", r#""a\xc5z\xff""#),
            ("e\u{301}".as_bytes(), "\"e\u{301}\""),
            ("\u{a0}\u{200b}\u{feff}".as_bytes(), r#""\u00a0\u200b\ufeff""#),
            ("\u{10ffff}".as_bytes(), r#""\U0010ffff""#),
            ("😀".as_bytes(), "\"😀\""),
        ];
        for (bytes, want) in table {
            assert_eq!(quoted(bytes), want);
        }
        assert_eq!(quoted("\u{e000}\u{fe0f}\u{378}"), "\"\\ue000\u{fe0f}\\u0378\"");
        assert_eq!((quoted_char('\'').as_str(), quoted_char('"').as_str()), (r"'\''", "'\"'"));
    }
}
