//! Series by their number, [`PAGE_SERIES`] to a page.
//!
//! Neighbours in number began together, so they are scraped together: a batch takes one lock for
//! many of them, and finds them behind one another in memory. A page has room for those that it
//! has: what is left of a page after the others are gone takes little.

use parking_lot::{Mutex, MutexGuard};

use crate::series::SeriesRef;

use super::series::Series;

/// As many as a word has bits.
pub(super) const PAGE_SERIES: u64 = 64;

/// The number of the page on which a series stands.
#[inline]
pub(super) const fn page_of(series: SeriesRef) -> u64 {
    series.0 / PAGE_SERIES
}

#[inline]
const fn place_of(series: SeriesRef) -> u32 {
    (series.0 % PAGE_SERIES) as u32
}

/// Some series and their lock.
#[derive(Debug, Default)]
pub(super) struct Page(Mutex<PageSeries>);

impl Page {
    /// Held for one look or one change, never while anything is read, written or decoded.
    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, PageSeries> {
        self.0.lock()
    }
}

/// The series of a page.
#[derive(Debug, Default)]
pub(super) struct PageSeries {
    /// A bit a series that is there, lowest number lowest.
    present: u64,
    /// Those that are there, by number.
    series: Vec<Series>,
}

impl PageSeries {
    /// Where in `series` the place is, if it is taken.
    #[inline]
    const fn index(&self, place: u32) -> Option<usize> {
        if self.present >> place & 1 == 0 {
            return None;
        }
        Some(self.count_before(place))
    }

    #[inline]
    const fn count_before(&self, place: u32) -> usize {
        let before = (1 << place) - 1;
        // No gap before it: so it is for most, and counting bits takes longer than to see that.
        if self.present & before == before {
            return place as usize;
        }
        (self.present & before).count_ones() as usize
    }

    /// Only the place in the page is looked at: the page is that of the series.
    #[inline]
    pub(super) fn get(&self, series: SeriesRef) -> Option<&Series> {
        self.series.get(self.index(place_of(series))?)
    }

    /// As [`PageSeries::get`].
    #[inline]
    pub(super) fn get_mut(&mut self, series: SeriesRef) -> Option<&mut Series> {
        let index = self.index(place_of(series))?;
        self.series.get_mut(index)
    }

    /// Puts a series into its place; false if that is taken.
    pub(super) fn insert(&mut self, series: SeriesRef, new: Series) -> bool {
        let place = place_of(series);
        if self.index(place).is_some() {
            return false;
        }
        self.series.insert(self.count_before(place), new);
        self.present |= 1 << place;
        true
    }

    /// Takes those out for which `is_wanted` is false, and hands them to `gone`.
    pub(super) fn retain(
        &mut self,
        number: u64,
        mut is_wanted: impl FnMut(&mut Series) -> bool,
        mut gone: impl FnMut(SeriesRef, &Series),
    ) {
        let Self { present, series } = self;
        let before = *present;
        let mut places = places(before);
        series.retain_mut(|series| {
            let place = places.next().unwrap_or_default();
            let is_wanted = is_wanted(series);
            if !is_wanted {
                *present &= !(1 << place);
                gone(SeriesRef(number * PAGE_SERIES + u64::from(place)), series);
            }
            is_wanted
        });
        if *present != before {
            series.shrink_to_fit();
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.present == 0
    }

    /// All series with their numbers, `number` being that of the page.
    pub(super) fn iter_mut(
        &mut self,
        number: u64,
    ) -> impl Iterator<Item = (SeriesRef, &mut Series)> {
        let first = number * PAGE_SERIES;
        places(self.present)
            .map(move |place| SeriesRef(first + u64::from(place)))
            .zip(&mut self.series)
    }

    /// Bytes that the page takes in memory, series included.
    pub(super) fn memory_bytes(&self) -> usize {
        let series: usize = self.series.iter().map(Series::memory_bytes).sum();
        size_of::<Page>() + self.series.capacity() * size_of::<Series>() + series
    }
}

/// The numbers of the bits that are set, lowest first.
fn places(mut bits: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let place = bits.trailing_zeros();
        bits &= bits.wrapping_sub(1);
        (place < u64::BITS).then_some(place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Labels;
    use crate::storage::head::symbols::Symbols;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn series(name: u64) -> Series {
        let labels = Labels::from_pairs([("n", name.to_string())]).unwrap();
        Series::new(labels.as_ref().hash(), Symbols::default().share(labels.as_ref()))
    }

    proptest! {
        #[test]
        fn a_page_is_a_map_from_numbers_to_series(steps: Vec<(u8, bool)>) {
            let (mut page, mut model) = (PageSeries::default(), BTreeMap::new());
            for (place, is_new) in steps {
                let number = SeriesRef(5 * PAGE_SERIES + u64::from(place) % PAGE_SERIES);
                if is_new {
                    let is_free = !model.contains_key(&number);
                    prop_assert_eq!(page.insert(number, series(number.0)), is_free);
                    model.insert(number, number.0.to_string());
                } else {
                    let name = number.0.to_string();
                    let is_wanted = |series: &mut Series| series.labels.get("n") != Some(&*name);
                    page.retain(5, is_wanted, |gone, _| assert_eq!(gone, number));
                    model.remove(&number);
                }
                let all = page.iter_mut(5);
                let name = |series: &mut Series| series.labels.get("n").unwrap().to_owned();
                let all: Vec<_> = all.map(|(number, series)| (number, name(series))).collect();
                prop_assert_eq!(&all, &model.clone().into_iter().collect::<Vec<_>>());
                let found = page.get(number).map(|series| series.labels.get("n").unwrap());
                prop_assert_eq!(found, model.get(&number).map(String::as_str));
                prop_assert_eq!(page.is_empty(), model.is_empty());
            }
        }
    }

    #[test]
    fn a_series_takes_three_lines_and_what_a_sample_touches_two() {
        assert_eq!(size_of::<Series>(), 192);
        assert_eq!(std::mem::offset_of!(Series, open), 64);
        assert_eq!(std::mem::offset_of!(Series, labels), 128);
    }
}
