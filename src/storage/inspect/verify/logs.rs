//! Logs, checkpoints, snapshots and head chunk files.

use std::path::Path;

use crate::model::LabelsBuf;
use crate::storage::head::mapped::{MappedError, scan_files};
use crate::storage::wal::{
    RecordError, RecordKind, RowDecoder, WalError, decode_exemplars, decode_metadata,
    decode_mmap_markers, decode_series, decode_tombstones, kind, survey,
};

use super::super::InspectError;
use super::Check;

pub(super) fn check_all(check: &mut Check<'_>, dir: &Path) -> Result<(), InspectError> {
    let mut decoder = Decoder::default();
    for name in ["wal", "wbl"] {
        let path = dir.join(name);
        check_log(check, &path, &mut |record| decoder.check(record))?;
    }
    for entry in check.list(dir)? {
        // A snapshot is framed as a log is; its records are its own.
        if entry.is_dir && entry.name.starts_with("chunk_snapshot.") {
            check_log(check, &dir.join(entry.name), &mut |_| Ok(()))?;
        }
    }
    check_head_chunks(check, &dir.join("chunks_head"))
}

fn check_log(
    check: &mut Check<'_>,
    dir: &Path,
    decode: &mut dyn FnMut(&[u8]) -> Result<(), RecordError>,
) -> Result<(), InspectError> {
    check.begin_part();
    if !check.disk.exists(dir) {
        return Ok(());
    }
    let mut damaged = Vec::new();
    let disk = check.disk;
    let read = survey(
        disk,
        dir,
        &mut |_, record| {
            check.verified.records += 1;
            decode(record)
        },
        &mut |corruption| damaged.push(corruption),
    );
    for corruption in damaged {
        let offset = Some(corruption.offset_bytes);
        check.found(&corruption.path, offset, corruption.fault.to_string());
    }
    match read {
        Ok(_) => {}
        Err(WalError::Io { path, source, .. }) => {
            return Err(InspectError::Io { path, error: source });
        }
        Err(error) => check.found(dir, None, error.to_string()),
    }
    let bytes = super::size_of(disk, dir, 0)?;
    check.advance(bytes);
    Ok(())
}

#[derive(Default)]
struct Decoder {
    labels: LabelsBuf,
    rows: RowDecoder,
}

impl Decoder {
    fn check(&mut self, record: &[u8]) -> Result<(), RecordError> {
        match kind(record) {
            RecordKind::Series => decode_series(record, &mut self.labels, |_, _| {}),
            RecordKind::Tombstones => decode_tombstones(record, |_, _, _| {}),
            RecordKind::Exemplars => decode_exemplars(record, &mut self.labels, |_| {}),
            RecordKind::Metadata => decode_metadata(record, |_| {}),
            RecordKind::MmapMarkers => decode_mmap_markers(record, |_, _| {}),
            RecordKind::Unknown(byte) => Err(RecordError::WrongKind(byte)),
            _ => match self.rows.decode(record, |_| {})? {
                0 => Ok(()),
                count => Err(RecordError::Refused(format!("{count} histograms that are none"))),
            },
        }
    }
}

fn check_head_chunks(check: &mut Check<'_>, dir: &Path) -> Result<(), InspectError> {
    check.begin_part();
    let disk = check.disk;
    let mut chunks = 0;
    let scanned = scan_files(&**disk, dir, &mut |_| chunks += 1);
    let report = match scanned {
        Ok(report) => report,
        Err(MappedError::Io { path, source, .. }) => {
            return Err(InspectError::Io { path, error: source });
        }
        Err(error) => {
            check.found(dir, None, error.to_string());
            return Ok(());
        }
    };
    check.verified.chunks += chunks;
    for (_, damage) in &report.damaged {
        check.found(&damage.path, Some(damage.offset_bytes), damage.fault.to_string());
    }
    for pair in report.files.windows(2) {
        if let [(before, _), (after, _)] = pair
            && before.checked_add(1) != Some(*after)
        {
            check.found(dir, None, format!("files are not sequential: {after} follows {before}"));
        }
    }
    check.advance(report.files.iter().map(|(_, bytes)| bytes).sum());
    Ok(())
}
