//! A histogram as text.

use std::fmt;

use crate::base::gonum::format_float_g;

use super::bucket::Bucket;
use super::value::FloatRef;

/// `{count:3, sum:4.5, (1,2]:3}`, as Prometheus writes it: empty buckets are left out.
impl fmt::Display for FloatRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::from("{count:");
        format_float_g(&mut out, self.count);
        out.push_str(", sum:");
        format_float_g(&mut out, self.sum);
        let mut below: Vec<Bucket> = self.side(false).map(|(_, bucket)| bucket).collect();
        below.reverse();
        let zero = (self.zero_count != 0.0 && !self.is_custom()).then(|| self.zero_bucket());
        let above = self.side(true).map(|(_, bucket)| bucket);
        for bucket in below.into_iter().chain(zero).chain(above) {
            if bucket.count != 0.0 {
                push(&mut out, &bucket);
            }
        }
        out.push('}');
        f.write_str(&out)
    }
}

fn push(out: &mut String, bucket: &Bucket) {
    out.push_str(if bucket.is_lower_inclusive { ", [" } else { ", (" });
    format_float_g(out, bucket.lower);
    out.push(',');
    format_float_g(out, bucket.upper);
    out.push_str(if bucket.is_upper_inclusive { "]:" } else { "):" });
    format_float_g(out, bucket.count);
}

#[cfg(test)]
mod tests {
    use super::super::value::tests::{custom, of};

    #[test]
    fn buckets_are_written_from_the_lowest_on() {
        let some = of(0, (0.001, 2.0), &[(0, 1.0), (1, 0.0), (2, 2.5)], &[(0, 1.0), (3, 4.0)]);
        let text = "{count:10.5, sum:15.75, [-8,-4):4, [-1,-0.5):1, [-0.001,0.001]:2, \
                    (0.5,1]:1, (2,4]:2.5}";
        assert_eq!(some.as_ref().to_string(), text);
        let some = custom(&[5.0], &[1e7, 2.0]);
        let text = "{count:1.0000002e+07, sum:1.0000002e+07, [-Inf,5]:1e+07, (5,+Inf]:2}";
        assert_eq!(some.as_ref().to_string(), text);
    }
}
