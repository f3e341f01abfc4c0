//! Sums and means of histograms over windows.

use crate::model::histogram::float::{
    FloatHistogram, FloatRef, FloatRows, Mean, Overlays, Sliding, Total,
};
use crate::promql::functions::window::Window;

use super::findings::{Findings, Hints};
use super::rows::Rows;

/// Adds up windows, or takes their means. A compensated sum cannot slide: where counts may round,
/// each window is walked.
pub(super) struct Sums {
    is_mean: bool,
    sliding: Option<Sliding>,
    total: Total,
    mean: Mean,
    overlays: Overlays,
}

impl Sums {
    pub(super) fn new(is_mean: bool, rows: &Rows<'_>) -> Self {
        Self {
            is_mean,
            sliding: Sliding::new(&rows.rows),
            total: Total::default(),
            mean: Mean::default(),
            overlays: Overlays::default(),
        }
    }

    /// The result for one window, pushed to `into`.
    pub(super) fn window(
        &mut self,
        rows: &Rows<'_>,
        window: Window,
        into: &mut FloatRows,
        findings: &mut Findings,
    ) {
        let mut hints = Hints::default();
        let sliding = self.sliding.as_mut();
        let slid = sliding.and_then(|sliding| {
            let span = (window.lo, window.hi);
            sliding.window(&rows.rows, span, self.is_mean, |hint| hints.add(hint))
        });
        if let Some(result) = slid {
            findings.collides |= hints.collide();
            return into.push(window.step, result);
        }
        let Some((first, rest)) =
            rows.rows.get(window.lo..window.hi).and_then(|rows| rows.split_first())
        else {
            return;
        };
        let (mut found, mut hints) = (Findings::default(), Hints::default());
        hints.add(first.hint);
        let Some(result) = self.add_up(first, rest, &mut found, &mut hints) else {
            // Of what does not go together nothing else is said.
            findings.incompatible = true;
            return;
        };
        found.collides = hints.collide();
        into.push(window.step, result.as_ref());
        findings.merge(found);
    }

    fn add_up(
        &mut self,
        first: &FloatRef<'_>,
        rest: &[FloatRef<'_>],
        found: &mut Findings,
        hints: &mut Hints,
    ) -> Option<&FloatHistogram> {
        let Self { is_mean, total, mean, overlays, .. } = self;
        if *is_mean {
            mean.set(*first);
        } else {
            total.set(*first);
        }
        for one in rest {
            hints.add(one.hint);
            found.part(if *is_mean {
                mean.add(*one, overlays)
            } else {
                total.add(*one, overlays)
            })?;
        }
        Some(if *is_mean { mean.finish() } else { total.finish() })
    }
}
