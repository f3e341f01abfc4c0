//! Keeps the house rules: which room may use which, and how long things may get.
//!
//! A rule that makes code worse is changed here, with its reason, not worked around.

use std::fs;
use std::path::{Path, PathBuf};

const LINES_PER_FILE_MAX: usize = 700;
const LINES_PER_FUNCTION_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;

/// Rooms by floor, lowest first. A room uses itself, the rooms of lower floors, and `error`.
const FLOORS: [&[&str]; 7] = [
    &["base"],
    &["model", "disk"],
    &["chunk"],
    &["series"],
    &["promql", "wire", "storage"],
    &["rules", "longterm"],
    &["hub", "agent"],
];

/// Rooms that see all floors and that no floor sees.
const OUTSIDE: [&str; 3] = ["testkit", "tidy", "lib"];

/// A text that may stand only in the named places (path prefixes below `src`), and the reason.
const BANNED: [(&str, &[&str], &str); 7] = [
    ("std::fs", &["disk/", "tidy.rs"], "files are touched through `disk::Disk`"),
    ("File::open", &["disk/", "tidy.rs"], "files are touched through `disk::Disk`"),
    ("SystemTime", &["base/clock.rs"], "time is read through `base::clock`"),
    ("Instant::now", &["base/clock.rs"], "time is read through `base::clock`"),
    ("unsafe {", &["disk/mmap.rs"], "`unsafe` stands in one file"),
    ("todo!(", &[], "unfinished code does not land"),
    ("dbg!(", &[], "a trace that was left behind"),
];

struct Source {
    /// Path below `src`, with forward slashes.
    path: String,
    lines: Vec<String>,
    /// Lines before the first `#[cfg(test)]` module: what the length rules count.
    code_lines: usize,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(read(&root, &path));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 20, "the sources were not found");
    found
}

fn read(root: &Path, path: &PathBuf) -> Source {
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let is_test_module = |pair: &[String]| {
        let opens = pair[1].trim_start().trim_start_matches("pub(crate) ").starts_with("mod ");
        pair[0].trim() == "#[cfg(test)]" && opens && pair[1].trim_end().ends_with('{')
    };
    let code_lines = lines.windows(2).position(is_test_module).unwrap_or(lines.len());
    let below = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
    Source { path: below, lines, code_lines }
}

impl Source {
    fn room(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap()
    }

    /// A file that holds only tests.
    fn is_test_file(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap();
        name == "tests.rs" || name.ends_with("_tests.rs") || self.path.contains("/tests/")
    }
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

fn may_use(from: &str, to: &str) -> bool {
    if from == to || to == "error" || OUTSIDE.contains(&from) {
        return true;
    }
    if from == "error" {
        return floor(to).is_some_and(|to| to <= 4);
    }
    matches!((floor(from), floor(to)), (Some(from), Some(to)) if to < from)
}

fn report(broken: Vec<String>) {
    assert!(broken.is_empty(), "{} rules broken:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn rooms_use_only_the_floors_below() {
    let mut broken = Vec::new();
    for source in sources() {
        if source.is_test_file() {
            continue;
        }
        for (index, line) in source.lines.iter().take(source.code_lines).enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for part in line.split("crate::").skip(1) {
                let to: String =
                    part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let is_room = floor(&to).is_some() || OUTSIDE.contains(&to.as_str());
                if is_room && !may_use(source.room(), &to) {
                    let (path, room, number) = (&source.path, source.room(), index + 1);
                    broken.push(format!("{path}:{number}: {room} must not use {to}"));
                }
            }
        }
    }
    report(broken);
}

#[test]
fn every_room_has_a_floor() {
    let known = |room: &str| floor(room).is_some() || OUTSIDE.contains(&room) || room == "error";
    let strange = sources().into_iter().filter(|source| !known(source.room()));
    report(strange.map(|source| format!("{}: no floor in tidy.rs", source.path)).collect());
}

#[test]
fn files_lines_and_functions_stay_short() {
    let mut broken = Vec::new();
    for source in sources() {
        let path = &source.path;
        if source.code_lines > LINES_PER_FILE_MAX && !source.is_test_file() {
            broken.push(format!("{path}: {} lines", source.code_lines));
        }
        for (index, line) in source.lines.iter().enumerate() {
            let columns = line.chars().count();
            // A table of test data may hold one long text a line.
            let is_data = line.trim_start().starts_with(['"', 'r', '(']);
            if columns > COLUMNS_MAX && !is_data {
                broken.push(format!("{path}:{}: {columns} columns", index + 1));
            }
        }
        if !source.is_test_file() {
            broken.extend(long_functions(&source));
        }
    }
    report(broken);
}

/// Relies on rustfmt: a function ends at the first line that closes its indentation.
fn long_functions(source: &Source) -> Vec<String> {
    let mut broken = Vec::new();
    let code = &source.lines[..source.code_lines];
    for (start, line) in code.iter().enumerate() {
        let text = line.trim_start();
        let is_function = ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "const fn "]
            .iter()
            .chain(&["pub const fn ", "async fn ", "pub async fn ", "pub(crate) async fn "])
            .chain(&["pub(super) async fn ", "pub(crate) const fn "])
            .any(|opening| text.starts_with(opening));
        if !is_function || text.ends_with(';') || text.ends_with('}') {
            continue;
        }
        let closing = format!("{}}}", " ".repeat(line.len() - text.len()));
        let length = code[start..].iter().position(|line| *line == closing).unwrap_or(0) + 1;
        if length > LINES_PER_FUNCTION_MAX {
            broken.push(format!("{}:{}: function of {length} lines", source.path, start + 1));
        }
    }
    broken
}

#[test]
fn banned_texts_stay_in_their_places() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| source.path != "tidy.rs") {
        for (index, line) in source.lines.iter().take(source.code_lines).enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for (text, places, reason) in BANNED {
                let allowed = places.iter().any(|place| source.path.starts_with(place));
                if line.contains(text) && !allowed {
                    broken.push(format!("{}:{}: {text}: {reason}", source.path, index + 1));
                }
            }
        }
    }
    report(broken);
}

#[test]
fn no_marker_of_unfinished_work_is_left() {
    let markers = ["TO", "FIX", "XX", "HA"].iter().zip(["DO", "ME", "X", "CK"]);
    let markers: Vec<String> = markers.map(|(head, tail)| format!("{head}{tail}")).collect();
    let mut broken = Vec::new();
    for source in sources() {
        for (index, line) in source.lines.iter().enumerate() {
            let words = |text: &str| {
                text.split(|c: char| !c.is_alphanumeric())
                    .any(|word| markers.iter().any(|marker| marker == word))
            };
            if words(line) {
                broken.push(format!("{}:{}: {}", source.path, index + 1, line.trim()));
            }
        }
    }
    report(broken);
}
