//! A bucket that fails as a script says.
//!
//! # What can go wrong
//! - A request is refused before it has an effect, as with a 503.
//! - A request has its effect and the answer is lost, as with a timeout.
//! - The body of an answer ends early.
//! - A listing does not show what was written last.
//! - The program ends: from then on, nothing has an effect.
//!
//! Repetitions are requests of their own. Works over any bucket, real servers included.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Bucket, BucketError, ObjectInfo, Operation};

/// Objects written last that a late listing does not show.
const LATE_OBJECTS: usize = 3;

/// A request that is about to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which one it is since the faulty bucket was made, from 0.
    pub number: u64,
    /// Its kind.
    pub operation: Operation,
    /// The object or prefix.
    pub key: String,
}

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing special.
    None,
    /// Refused without effect.
    Refused,
    /// It has its effect, but the answer is lost.
    AnswerLost,
    /// The body of the answer ends early; requests without a body are answered.
    CutShort,
    /// A listing without the objects that were written last; other requests are answered.
    ListedLate,
    /// No effect, and none of any request from now on.
    Crash,
}

type Script = Box<dyn FnMut(&Request) -> Fault + Send>;

pub(super) struct Faults(Mutex<State>);

struct State {
    script: Script,
    number: u64,
    is_crashed: bool,
    now: Fault,
    written_last: Vec<String>,
}

/// A bucket beside another one, on the same objects, that fails as a script says.
#[derive(Clone)]
pub struct FaultyBucket {
    bucket: Bucket,
    faults: Arc<Faults>,
}

impl std::fmt::Debug for FaultyBucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultyBucket").field("bucket", &self.bucket).finish()
    }
}

impl FaultyBucket {
    /// Asks `script` before each request. Pauses between tries are left out.
    #[must_use]
    pub fn new(inner: &Bucket, script: impl FnMut(&Request) -> Fault + Send + 'static) -> Self {
        let faults = Arc::new(Faults(Mutex::new(State {
            script: Box::new(script),
            number: 0,
            is_crashed: false,
            now: Fault::None,
            written_last: Vec::new(),
        })));
        let bucket = inner.with(|parts| {
            parts.retry.first_pause = std::time::Duration::ZERO;
            parts.faults = Some(Arc::clone(&faults));
        });
        Self { bucket, faults }
    }

    /// The first `count` requests are answered, then the program ends.
    #[must_use]
    pub fn crashing_after(inner: &Bucket, count: u64) -> Self {
        let script = move |request: &Request| {
            if request.number < count { Fault::None } else { Fault::Crash }
        };
        Self::new(inner, script)
    }

    /// The handle that fails.
    #[must_use]
    pub fn bucket(&self) -> Bucket {
        self.bucket.clone()
    }

    /// Requests so far, repetitions included.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.faults.0.lock().number
    }

    /// True if the script has ended the program.
    #[must_use]
    pub fn is_crashed(&self) -> bool {
        self.faults.0.lock().is_crashed
    }
}

impl Faults {
    /// Does a request, or what the script makes of it. Requests of several threads are told apart
    /// by their order only: bodies and listings are changed for whichever comes next.
    pub(super) fn around<T>(
        &self,
        operation: Operation,
        key: &str,
        once: impl FnOnce() -> Result<T, BucketError>,
    ) -> Result<T, BucketError> {
        let fault = self.next(operation, key);
        let lost = |what: &str| Err(BucketError::unavailable(key, what));
        match fault {
            Fault::Refused => return lost("503 (injected)"),
            Fault::Crash => return lost("the program has ended (injected)"),
            Fault::None | Fault::AnswerLost | Fault::CutShort | Fault::ListedLate => {}
        }
        let outcome = once();
        let mut state = self.0.lock();
        state.now = Fault::None;
        if operation == Operation::Upload && outcome.is_ok() {
            state.written_last.push(key.to_owned());
        }
        if fault == Fault::AnswerLost { lost("timeout (injected)") } else { outcome }
    }

    fn next(&self, operation: Operation, key: &str) -> Fault {
        let mut state = self.0.lock();
        let request = Request { number: state.number, operation, key: key.to_owned() };
        state.number += 1;
        if state.is_crashed {
            return Fault::Crash;
        }
        let fault = (state.script)(&request);
        state.is_crashed = fault == Fault::Crash;
        state.now = fault;
        fault
    }

    pub(super) fn cut(&self, body: Bytes) -> Bytes {
        let is_cut = self.0.lock().now == Fault::CutShort;
        if is_cut { body.slice(..body.len() / 2) } else { body }
    }

    pub(super) fn hide(&self, mut listed: Vec<ObjectInfo>) -> Vec<ObjectInfo> {
        let state = self.0.lock();
        if state.now == Fault::ListedLate {
            let late = state.written_last.iter().rev().take(LATE_OBJECTS);
            let late: Vec<&String> = late.collect();
            listed.retain(|object| !late.contains(&&object.key));
        }
        listed
    }
}
