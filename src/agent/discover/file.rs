//! Targets in files that others write.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::agent::scrape::told;
use crate::base::metrics::{Counter, Registry};
use crate::disk::SharedDisk;
use crate::wire::config::FileDiscovery;

use super::group::GroupText;
use super::{Sender, TargetGroup};

/// A change of a file is seen at the latest after this, however rare the refresh.
const LOOK_EVERY_MS: i64 = 5_000;

/// A file of targets is never larger.
const FILE_MAX_BYTES: u64 = 64 << 20;

type Groups = BTreeMap<Arc<str>, TargetGroup>;

/// The files of one `file_sd_configs` entry.
#[derive(Debug)]
pub(super) struct Files {
    config: FileDiscovery,
    disk: SharedDisk,
    read_errors: Counter,
    /// What each file said when it was last understood.
    known: HashMap<PathBuf, Groups>,
}

/// Reads the files again and again until `closing` is told.
pub(super) async fn run(mut files: Files, mut sender: Sender, mut closing: watch::Receiver<bool>) {
    let pause = files.config.refresh_interval_ms.min(LOOK_EVERY_MS).unsigned_abs();
    loop {
        // Targets are few and files small, but a disk may take its time.
        let read = tokio::task::spawn_blocking(move || {
            let groups = files.read();
            (files, groups)
        });
        let Ok((back, groups)) = read.await else { return };
        files = back;
        if !sender.tell(groups).await {
            return;
        }
        tokio::select! {
            biased;
            () = told(&mut closing) => return,
            () = tokio::time::sleep(Duration::from_millis(pause)) => {}
        }
    }
}

impl Files {
    pub(super) fn new(config: FileDiscovery, disk: SharedDisk, registry: &Registry) -> Self {
        let read_errors = registry
            .counter("prometheus_sd_file_read_errors_total", "Files that could not be read.");
        Self { config, disk, read_errors, known: HashMap::new() }
    }

    /// What all files say. A file that cannot be understood keeps its last word; one that is gone
    /// has none.
    fn read(&mut self) -> Groups {
        let mut now = HashMap::new();
        for path in self.paths() {
            match read_file(&self.disk, &path) {
                Ok(groups) => {
                    now.insert(path, groups);
                }
                Err(error) => {
                    self.read_errors.inc();
                    tracing::error!(file = %path.display(), error, "reading targets failed");
                    if let Some(groups) = self.known.remove(&path) {
                        now.insert(path, groups);
                    }
                }
            }
        }
        self.known = now;
        self.known.values().flatten().map(|(name, group)| (name.clone(), group.clone())).collect()
    }

    /// The files that are there now.
    fn paths(&self) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        for pattern in &self.config.files {
            let name = pattern.file_name().unwrap_or_default().to_string_lossy();
            let Some((start, end)) = name.split_once('*') else {
                if self.disk.exists(pattern) {
                    paths.push(pattern.clone());
                }
                continue;
            };
            let dir = pattern.parent().filter(|dir| !dir.as_os_str().is_empty());
            // A folder that is not there yet has no files.
            let entries = self.disk.list(dir.unwrap_or(Path::new("."))).unwrap_or_default();
            for entry in entries {
                let name = &entry.name;
                let fits = name.len() >= start.len() + end.len()
                    && name.starts_with(start)
                    && name.ends_with(end);
                if fits && !entry.is_dir {
                    paths.push(pattern.with_file_name(name));
                }
            }
        }
        paths
    }
}

fn read_file(disk: &SharedDisk, path: &Path) -> Result<Groups, String> {
    let problem = |error: io::Error| error.to_string();
    let len_bytes = disk.open(path).and_then(|file| file.len_bytes()).map_err(problem)?;
    if len_bytes > FILE_MAX_BYTES {
        return Err(format!("a file of {len_bytes} bytes is too large"));
    }
    let bytes = disk.read(path).map_err(problem)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "not valid UTF-8".to_owned())?;
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    let groups: Option<Vec<GroupText>> = if is_json {
        serde_json::from_str(text).map_err(|error| error.to_string())?
    } else {
        let options = serde_saphyr::options! { with_snippet: false };
        serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())?
    };
    let place = path.to_string_lossy();
    let named = |(index, group): (usize, GroupText)| {
        let source = Arc::from(format!("{place}:{index}"));
        Ok((source, group.group("__meta_filepath", &place)?))
    };
    groups.unwrap_or_default().into_iter().enumerate().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{RealDisk, write_atomic};

    fn files(dir: &Path) -> Files {
        let config = FileDiscovery {
            files: vec![dir.join("t*.yml"), dir.join("one.json")],
            refresh_interval_ms: 1,
        };
        Files::new(config, RealDisk::shared(), &Registry::new())
    }

    fn write(path: &Path, text: &str) {
        write_atomic(&RealDisk, path, text.as_bytes()).unwrap();
    }

    fn addresses(groups: &Groups) -> Vec<&str> {
        let targets = groups.values().flat_map(|group| &group.targets);
        targets.map(|target| target.get("__address__").unwrap()).collect()
    }

    #[test]
    fn yaml_and_json_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("t1.yml"), "- targets: ['a:1', b:2]\n  labels: {x: 7}\n- {}\n");
        write(&dir.path().join("one.json"), "[{\"targets\":\n\t[\"c:3\"]}]");
        write(&dir.path().join("other.yml"), "- targets: [d]\n");
        let groups = files(dir.path()).read();
        assert_eq!(addresses(&groups), ["c:3", "a:1", "b:2"]);
        let path = dir.path().join("t1.yml");
        let group = &groups[format!("{}:0", path.display()).as_str()];
        assert_eq!(group.labels.get("x"), Some("7"));
        assert_eq!(group.labels.get("__meta_filepath"), path.to_str());
    }

    #[test]
    fn a_pattern_without_a_folder_looks_into_the_present_one() {
        let config = FileDiscovery { files: vec!["Cargo.tom*".into()], refresh_interval_ms: 1 };
        let files = Files::new(config, RealDisk::shared(), &Registry::new());
        assert_eq!(files.paths(), [PathBuf::from("Cargo.toml")]);
    }

    #[test]
    fn a_broken_file_keeps_its_last_word_and_a_removed_one_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.yml");
        let mut files = files(dir.path());
        assert!(files.read().is_empty());
        write(&path, "- targets: [a]\n");
        assert_eq!(addresses(&files.read()), ["a"]);
        for broken in ["- target: [b]\n", "- targets: b\n", "\u{0}", "- targets: [b\n"] {
            write(&path, broken);
            assert_eq!(addresses(&files.read()), ["a"], "{broken:?}");
        }
        assert_eq!(files.read_errors.get(), 4);
        write(&path, "- targets: [b]\n");
        assert_eq!(addresses(&files.read()), ["b"]);
        crate::disk::Disk::remove_file(&RealDisk, &path).unwrap();
        assert!(files.read().is_empty());
    }
}
