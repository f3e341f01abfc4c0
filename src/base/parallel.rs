//! A bounded number of things at a time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Calls `work` for every item, at most `limit` at a time; the results are in the order of the
/// items.
///
/// Plain threads, since the work waits for a bucket: the pool that evaluates queries has as many
/// threads as there are processors, and one that waits there keeps a processor idle.
#[must_use]
pub fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    limit: usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    if items.len() < 2 || limit < 2 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return done };
            done.push((index, work(item)));
        }
    };
    let mut done = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..limit.min(items.len())).map(|_| scope.spawn(run)).collect();
        let mut all = run();
        for thread in threads {
            match thread.join() {
                Ok(part) => all.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// More jobs share the work better and are more work themselves.
const JOBS_PER_THREAD: usize = 8;

/// How many of `items` a job of [`share`] should be, so that all threads end at about the same
/// time.
#[must_use]
pub fn job_size(items: usize) -> usize {
    items.div_ceil(rayon::current_num_threads() * JOBS_PER_THREAD).max(1)
}

/// Does all jobs in the pool of the calling thread; an error is that of the first job that has
/// one. Each thread has memory `M` of its own.
///
/// The calling thread begins at once and others help as they wake up: what takes less than a
/// millisecond should not wait for them.
///
/// # Errors
/// Those of the jobs.
pub fn share<J: Send, M: Default, E: Send>(
    jobs: impl Iterator<Item = J> + Send,
    run: impl Fn(J, &mut M) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let (jobs, failed) = (Mutex::new(jobs.enumerate()), Mutex::new(None));
    let is_over = AtomicBool::new(false);
    let take_part = || {
        let mut memory = M::default();
        while !is_over.load(Ordering::Relaxed) {
            let Some((number, job)) = jobs.lock().next() else { return };
            let Err(error) = run(job, &mut memory) else { continue };
            // Jobs before this one were taken before it and come to their end.
            is_over.store(true, Ordering::Relaxed);
            let mut first = failed.lock();
            if first.as_ref().is_none_or(|(known, _)| number < *known) {
                *first = Some((number, error));
            }
        }
    };
    rayon::in_place_scope(|scope| {
        for _ in 1..rayon::current_num_threads() {
            scope.spawn(|_| take_part());
        }
        take_part();
    });
    failed.into_inner().map_or(Ok(()), |(_, error)| Err(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_is_done_once_and_the_first_error_is_told() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
        for failing in [0, 1, 37, 199, 200] {
            let mut done = [0_u8; 200];
            let told = pool.install(|| {
                share(done.chunks_mut(1).enumerate(), |(job, done), count: &mut usize| {
                    *count += 1;
                    done[0] += 1;
                    let is_bad = job >= failing && job % 2 == failing % 2;
                    if is_bad { Err(job) } else { Ok(()) }
                })
            });
            assert_eq!(told, if failing < 200 { Err(failing) } else { Ok(()) });
            assert!(done.iter().take(failing + 1).all(|times| *times == 1));
            assert!(done.iter().all(|times| *times <= 1));
        }
    }

    #[test]
    fn results_are_in_order_and_few_run_at_a_time() {
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let items: Vec<usize> = (0..50).collect();
        let results = in_parallel(&items, 4, |item| {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(std::time::Duration::from_millis(1));
            running.fetch_sub(1, Ordering::SeqCst);
            item * 2
        });
        assert!(results.into_iter().eq((0..50).map(|item| item * 2)));
        assert!((2..=4).contains(&most.load(Ordering::SeqCst)));
    }
}
