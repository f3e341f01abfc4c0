//! How far apart are the samples of a scraper?

/// So many distances are looked at.
const DISTANCES: usize = 8;

/// The median of the last few distances up to the sample `index`, the lower one of two. At the
/// beginning of a series the next ones have to do. Nothing of a single sample.
pub(super) fn pace(times: &[i64], index: usize) -> Option<i64> {
    let behind = (index.saturating_add(1)).max(DISTANCES + 1).min(times.len());
    let near = times.get(behind.saturating_sub(DISTANCES + 1)..behind)?;
    let mut distances = [i64::MAX; DISTANCES];
    for (distance, pair) in distances.iter_mut().zip(near.windows(2)) {
        if let [before, after] = pair {
            *distance = after.saturating_sub(*before);
        }
    }
    let count = near.len().checked_sub(2)?;
    distances.sort_unstable();
    distances.get(count / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_does_not_change_the_pace() {
        let times = [0, 15, 30, 45, 600, 615, 630, 1200, 1215, 1230];
        assert!((0..times.len()).all(|index| pace(&times, index) == Some(15)));
        assert_eq!(pace(&times[3..5], 0), Some(555));
        assert_eq!((pace(&times[..1], 0), pace(&[], 0)), (None, None));
    }

    #[test]
    fn it_follows_a_new_interval_after_half_of_the_distances() {
        let slow = (1..=8).map(|n| 135 + 60 * n);
        let times: Vec<i64> = (0..10).map(|n| 15 * n).chain(slow).collect();
        assert_eq!(pace(&times, 13), Some(15));
        assert_eq!(pace(&times, 14), Some(60));
    }
}
