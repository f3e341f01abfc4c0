//! Days since the epoch as dates of the Gregorian calendar, and back. Years may be as far as one
//! likes; time zones are somebody else's.

/// Year, month and day of the day that is `day` days after the epoch. Eras of 400 years begin in
/// March, so that the leap day is their last.
#[must_use]
pub const fn date_of_day(day: i128) -> (i128, i128, i128) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day_of_month)
}

/// Days from the epoch to a date.
#[must_use]
pub const fn day_of_date(year: i128, month: i128, day_of_month: i128) -> i128 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * march_month + 2) / 5 + day_of_month - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_days_have_their_dates() {
        for (day, date) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (11_016, (2000, 2, 29)),
            (19_782, (2024, 2, 29)),
            (-719_468, (0, 3, 1)),
        ] {
            assert_eq!(date_of_day(day), date);
        }
    }

    proptest! {
        #[test]
        fn dates_come_back_as_days(day in -1_000_000_000_000_i128..1_000_000_000_000) {
            let (year, month, day_of_month) = date_of_day(day);
            prop_assert_eq!(day_of_date(year, month, day_of_month), day);
            let (next_year, next_month, next_day) = date_of_day(day + 1);
            let follows = (next_year, next_month, next_day) > (year, month, day_of_month);
            prop_assert!(follows);
        }
    }
}
