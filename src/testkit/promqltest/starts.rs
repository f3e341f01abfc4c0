//! Start times as scripts write them: `metric@st 0s -1mx3 -30s-1mx2 _`.

use nom::branch::alt;
use nom::character::complete::{char, digit1, one_of};
use nom::combinator::{all_consuming, map, map_opt, opt, recognize};
use nom::multi::many0_count;
use nom::sequence::{pair, preceded};
use nom::{IResult, Parser};

use crate::base::duration::parse_duration_ms;

/// A line that unfolds into more positions is refused.
const POSITIONS_MAX: usize = 1_000_000;

/// How far from its sample's time each start lies, in milliseconds; nothing where none is known.
pub(super) fn offsets(items: &str) -> Result<Vec<Option<i64>>, String> {
    let mut offsets = Vec::new();
    for text in items.split_ascii_whitespace() {
        let Ok((_, item)) = all_consuming(item).parse(text) else {
            return Err(format!("invalid ST item {text:?}"));
        };
        if offsets.len().saturating_add(item.count) > POSITIONS_MAX {
            return Err(format!("more than {POSITIONS_MAX} start times"));
        }
        let mut next = item.first_ms;
        for _ in 0..item.count {
            offsets.push(next);
            next = next.map(|offset_ms| offset_ms.saturating_add(item.step_ms));
        }
    }
    Ok(offsets)
}

struct Item {
    /// `None` for gaps.
    first_ms: Option<i64>,
    step_ms: i64,
    count: usize,
}

fn item(input: &str) -> IResult<&str, Item> {
    alt((gaps, stepped, repeated)).parse(input)
}

fn gaps(input: &str) -> IResult<&str, Item> {
    let item = |count: Option<usize>| {
        let count = count.unwrap_or(1);
        (count > 0).then_some(Item { first_ms: None, step_ms: 0, count })
    };
    map_opt(preceded(char('_'), opt(times)), item).parse(input)
}

/// `-30s-1mx2`: three positions, each a minute further back than the one before.
fn stepped(input: &str) -> IResult<&str, Item> {
    let item = |(first_ms, (sign, step_ms), more): (i64, (char, i64), usize)| Item {
        first_ms: Some(first_ms),
        step_ms: if sign == '-' { -step_ms } else { step_ms },
        count: more.saturating_add(1),
    };
    map((offset, pair(one_of("+-"), offset), times), item).parse(input)
}

fn repeated(input: &str) -> IResult<&str, Item> {
    let item = |(first_ms, more): (i64, Option<usize>)| Item {
        first_ms: Some(first_ms),
        step_ms: 0,
        count: more.unwrap_or(0).saturating_add(1),
    };
    map(pair(offset, opt(times)), item).parse(input)
}

/// `x5`
fn times(input: &str) -> IResult<&str, usize> {
    preceded(char('x'), map_opt(digit1, |digits: &str| digits.parse().ok())).parse(input)
}

/// A length of one unit, or 0, with or without a sign.
fn offset(input: &str) -> IResult<&str, i64> {
    let (input, sign) = opt(one_of("+-")).parse(input)?;
    // `x` stands before a count, never in a unit.
    let length = recognize(pair(digit1, many0_count(one_of("smhdwy"))));
    let (input, ms) = map_opt(length, |text: &str| parse_duration_ms(text).ok()).parse(input)?;
    Ok((input, if sign == Some('-') { -ms } else { ms }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_unfold() {
        let line = "_ _x2 -1m +30s 0 0x1 -30s-1mx2 1ms+1sx1";
        let want = [
            None,
            None,
            None,
            Some(-60_000),
            Some(30_000),
            Some(0),
            Some(0),
            Some(0),
            Some(-30_000),
            Some(-90_000),
            Some(-150_000),
            Some(1),
            Some(1001),
        ];
        assert_eq!(offsets(line).unwrap(), want);
        assert_eq!(offsets("-59999msx1").unwrap(), [Some(-59_999); 2]);
    }

    #[test]
    fn what_is_no_start_is_refused() {
        for item in ["1", "x2", "_x0", "1m+1m", "1m1s", "--1m", "1mx", "0x9999999999", "1y1x2"] {
            assert!(offsets(item).is_err(), "{item}");
        }
    }
}
