//! Natural order of names: `2.jpg` before `10.jpg`.

use std::cmp::Ordering;
use std::ffi::OsStr;

/// Compares names so that digits in a row count as one number. Names that differ only in leading zeros are compared as
/// bytes, so the order is total.
pub fn natural_order(a: &OsStr, b: &OsStr) -> Ordering {
    let (mut left, mut right) = (a.as_encoded_bytes(), b.as_encoded_bytes());
    while let (Some(&first), Some(&second)) = (left.first(), right.first()) {
        if first.is_ascii_digit() && second.is_ascii_digit() {
            let (number, rest) = split_number(left);
            let (other, other_rest) = split_number(right);
            // Without leading zeros the longer number is the greater one. Numbers may be longer than any integer type.
            match number
                .len()
                .cmp(&other.len())
                .then_with(|| number.cmp(other))
            {
                Ordering::Equal => (left, right) = (rest, other_rest),
                different => return different,
            }
        } else if first == second {
            (left, right) = (&left[1..], &right[1..]);
        } else {
            return first.cmp(&second);
        }
    }
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

/// The digits at the start, without leading zeros, and what follows them.
fn split_number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let zeros = digits
        .iter()
        .position(|digit| *digit != b'0')
        .unwrap_or(digits.len());
    (&digits[zeros..], rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(mut names: Vec<&str>) -> Vec<&str> {
        names.sort_by(|a, b| natural_order(OsStr::new(a), OsStr::new(b)));
        names
    }

    #[test]
    fn sorts_digits_as_numbers() {
        assert_eq!(
            sorted(vec!["10.jpg", "2.jpg", "1.jpg"]),
            ["1.jpg", "2.jpg", "10.jpg"]
        );
        assert_eq!(
            sorted(vec!["b_10_2", "b_9_11", "b_9_3", "a"]),
            ["a", "b_9_3", "b_9_11", "b_10_2"]
        );
        assert_eq!(
            sorted(vec!["img1", "img01", "img", "img001a"]),
            ["img", "img01", "img1", "img001a"]
        );
        // Longer than any integer type.
        assert_eq!(
            sorted(vec![
                "99999999999999999999999999999999999999999",
                "100000000000000000000000000000000000000000"
            ])[0],
            "99999999999999999999999999999999999999999"
        );
    }

    proptest! {
        #[test]
        fn the_order_is_total(names in prop::collection::vec("[a0-2._]{0,6}", 3)) {
            let compare = |a: &str, b: &str| natural_order(OsStr::new(a), OsStr::new(b));
            let [a, b, c] = [&names[0], &names[1], &names[2]];
            prop_assert_eq!(compare(a, b), compare(b, a).reverse());
            prop_assert_eq!(compare(a, b) == Ordering::Equal, a == b);
            if compare(a, b).is_le() && compare(b, c).is_le() {
                prop_assert!(compare(a, c).is_le());
            }
        }
    }
}
