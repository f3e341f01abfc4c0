//! Reading, work and writing beside one another.
//!
//! Useful for: what is read and written in order, while the work between the two knows no order.
//! Not useful for: work that is done before a thread has woken up for it.

/// What goes through together. Its memory is used again.
pub(super) trait Stretch: Default + Send {
    /// True if there is nothing in it.
    fn is_empty(&self) -> bool;
}

/// Takes stretches through three steps: `read` fills an empty one, and leaves it empty at the end;
/// `work` is free to use all threads; `write` empties it. While one stretch is worked on, the next
/// one is read and the one before it is written, so that three are in memory. Stretches are read
/// and written in order, however many threads there are. `between` is called before each by the
/// caller's thread.
///
/// # Errors
/// The first one of any step; the others are not called any more.
pub(super) fn convey<S: Stretch, E: Send>(
    mut read: impl FnMut(&mut S) -> Result<(), E> + Send,
    work: impl Fn(&mut S) + Sync,
    mut write: impl FnMut(&mut S) -> Result<(), E> + Send,
    mut between: impl FnMut() -> Result<(), E>,
) -> Result<(), E> {
    let (mut ahead, mut at_hand, mut behind) = (S::default(), S::default(), S::default());
    between()?;
    read(&mut ahead)?;
    loop {
        std::mem::swap(&mut behind, &mut at_hand);
        std::mem::swap(&mut at_hand, &mut ahead);
        if at_hand.is_empty() && behind.is_empty() {
            return Ok(());
        }
        between()?;
        let (written, ((), read)) = rayon::join(
            || if behind.is_empty() { Ok(()) } else { write(&mut behind) },
            || rayon::join(|| work(&mut at_hand), || read(&mut ahead)),
        );
        written?;
        read?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::ThreadPoolBuilder;
    use rayon::prelude::*;

    impl Stretch for Vec<u32> {
        fn is_empty(&self) -> bool {
            Self::is_empty(self)
        }
    }

    fn squares(count: u32, bad: u32) -> Result<Vec<u32>, u32> {
        let (mut next, mut written) = (0, Vec::new());
        convey(
            |stretch: &mut Vec<u32>| {
                assert!(stretch.is_empty());
                let end = (next + 7).min(count);
                stretch.extend(next..end);
                next = end;
                Ok(())
            },
            |stretch| stretch.par_iter_mut().for_each(|number| *number *= *number),
            |stretch| {
                if stretch.contains(&(bad * bad)) {
                    return Err(bad);
                }
                written.append(stretch);
                Ok(())
            },
            || Ok(()),
        )?;
        Ok(written)
    }

    #[test]
    fn order_is_kept_and_the_first_error_ends_it() {
        for threads in [1, 2, 8] {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for count in [0, 1, 7, 8, 500] {
                let wanted: Vec<u32> = (0..count).map(|number| number * number).collect();
                assert_eq!(pool.install(|| squares(count, 9999)), Ok(wanted));
            }
            assert_eq!(pool.install(|| squares(500, 250)), Err(250));
        }
    }
}
