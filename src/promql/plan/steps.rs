//! The instants at which an expression is evaluated.

/// Instants `start_ms`, `start_ms + step_ms`, … The grid of a query or of a subquery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Steps {
    /// The first instant.
    pub(crate) start_ms: i64,
    /// Distance of instants, at least 1.
    pub(crate) step_ms: i64,
    /// How many there are; 0 for a subquery whose window holds no instant of its grid.
    pub(crate) count: usize,
    /// True if the span has no length: the value is a vector, in evaluation order.
    pub(crate) instant: bool,
}

impl Steps {
    /// The one instant `time_ms`.
    pub(crate) const fn once(time_ms: i64) -> Self {
        Self { start_ms: time_ms, step_ms: 1, count: 1, instant: true }
    }

    /// All instants from `start_ms` that are not behind `end_ms`; `None` if they cannot be counted.
    pub(crate) fn between(start_ms: i64, end_ms: i64, step_ms: i64) -> Option<Self> {
        let step_ms = step_ms.max(1);
        let count = if end_ms < start_ms {
            0
        } else {
            usize::try_from(end_ms.checked_sub(start_ms)? / step_ms).ok()?.checked_add(1)?
        };
        Some(Self { start_ms, step_ms, count, instant: start_ms == end_ms })
    }

    /// The instant with this index.
    #[inline]
    pub(crate) const fn at(self, index: usize) -> i64 {
        self.start_ms + index as i64 * self.step_ms
    }

    /// The last instant.
    pub(crate) const fn last_ms(self) -> i64 {
        self.at(self.count.saturating_sub(1))
    }

    /// The same grid with its first instant only.
    pub(crate) const fn first_only(self) -> Self {
        Self { count: if self.count == 0 { 0 } else { 1 }, instant: true, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_counts_only_if_a_step_meets_it() {
        let steps = Steps::between(0, 25, 10).unwrap();
        assert_eq!((steps.count, steps.last_ms(), steps.instant), (3, 20, false));
        assert_eq!(Steps::between(0, 20, 10).unwrap().count, 3);
        assert_eq!(Steps::between(5, 4, 10).unwrap().count, 0);
    }

    #[test]
    fn a_span_that_overflows_is_refused() {
        assert_eq!(Steps::between(i64::MIN, i64::MAX, 1), None);
    }
}
