//! Reading a body into memory that the caller owns, no more of it than allowed.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody};

/// Why a body was not read.
#[derive(Debug)]
pub(in crate::hub) enum BodyError {
    /// It is longer than allowed.
    TooLarge,
    /// It did not come in time.
    TooSlow,
    /// The connection failed.
    Broken(String),
}

/// How much of a body that is too large is read to no purpose. A client that still writes when the
/// connection ends does not see the refusal, and tries the same again.
const DISCARDED_BYTES_MAX: usize = 64 << 20;

/// Appends the body to `into`, which holds at most `limit_bytes` of it, even on an error.
pub(in crate::hub) async fn read_body(
    body: Body,
    limit_bytes: usize,
    patience: Duration,
    into: &mut Vec<u8>,
) -> Result<(), BodyError> {
    let announced = body.size_hint().lower();
    if announced <= limit_bytes as u64 {
        into.reserve(announced as usize);
    }
    let reading = read_frames(body, limit_bytes, into);
    tokio::time::timeout(patience, reading).await.unwrap_or(Err(BodyError::TooSlow))
}

async fn read_frames(
    mut body: Body,
    limit_bytes: usize,
    into: &mut Vec<u8>,
) -> Result<(), BodyError> {
    let mut room = limit_bytes;
    let mut discarded = 0;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|error| BodyError::Broken(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        match room.checked_sub(data.len()) {
            Some(rest) if discarded == 0 => {
                room = rest;
                into.extend_from_slice(&data);
            }
            _ => discarded += data.len(),
        }
        if discarded > DISCARDED_BYTES_MAX {
            break;
        }
    }
    if discarded == 0 { Ok(()) } else { Err(BodyError::TooLarge) }
}
