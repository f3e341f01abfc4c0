//! Any text is a pattern or an error; what is known of a pattern without running it holds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use promlite::model::regex::Regex;

fuzz_target!(|input: (&str, &str, &str)| {
    let (pattern, text, template) = input;
    let Ok(regex) = Regex::anchored(pattern) else { return };
    // A template with a group in it makes the engine decide.
    let decided = regex.replace(text, "$0").is_some();
    assert_eq!(regex.is_match(text), decided, "{pattern:?} {text:?}");
    assert!(!decided || text.starts_with(regex.prefix().unwrap_or_default()));
    for member in regex.set_matches().unwrap_or_default() {
        assert_eq!(regex.replace(member, "$0").as_deref(), Some(&**member), "{pattern:?}");
    }
    let _ = regex.replace(text, template);
});
