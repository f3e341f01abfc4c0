//! The one place with `unsafe`: mapping a file into memory.

use std::fs::File;
use std::io;

use bytes::Bytes;
use memmap2::Mmap;

/// The bytes of `file`, mapped; an empty file gives no map but empty bytes.
#[expect(unsafe_code, reason = "mapping a file is unsafe by nature; the promise is in `disk`")]
pub(super) fn map(file: &File) -> io::Result<Bytes> {
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: callers map only files that are never written again (see the promises of `disk`),
    // and the data directory's lock keeps other writers out. A process that shortens the file
    // nevertheless makes reads fault; it cannot be defended against from inside.
    let mapped = unsafe { Mmap::map(file)? };
    Ok(Bytes::from_owner(mapped))
}
