//! The order of the pictures of one folder, by what the numbers in their names mean.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What the digits behind a point are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    /// Decimals: `1.5` comes after `1.25`.
    Decimal,
    /// A number of its own, such as nanoseconds: `1.5` comes before `1.25`.
    Count,
}

/// A part of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a [u8]),
    /// Digits without leading zeros, and those behind a point.
    Number(&'a [u8], Option<&'a [u8]>),
}

/// Sorts pictures by the numbers in their names and returns what is doubtful about the order, in words for the user.
///
/// Digits in a row are one number, whatever its width and leading zeros. Digits behind a point are decimals, unless the
/// names show that they are a number of their own: `7.9` and `7.10`, or seconds and nanoseconds without leading zeros.
pub fn sort_frames(files: &mut [PathBuf]) -> Option<String> {
    let point = meaning_of_points(files);
    let meant = point.unwrap_or(Point::Decimal);
    files.sort_by(|a, b| compare(a, b, meant));
    let doubt = if point.is_none() {
        let mut other = files.to_vec();
        other.sort_by(|a, b| compare(a, b, Point::Count));
        let differs = files.iter().zip(&other).position(|(a, b)| a != b);
        differs.map(|index| {
            format!(
                "two orders of the pictures are possible: digits behind the point are read as decimals, so {} comes before {}; \
                 if they are a number of their own, write all with the same number of digits",
                name(&files[index]),
                name(&other[index])
            )
        })
    } else {
        None
    };
    doubt
        .or_else(|| equal_numbers(files))
        .or_else(|| several_series(files))
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn stem(path: &Path) -> &[u8] {
    path.file_stem().unwrap_or_default().as_encoded_bytes()
}

/// The parts of a name without its extension.
fn pieces(name: &[u8]) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.first() {
        let digits = first.is_ascii_digit();
        let end = rest
            .iter()
            .position(|byte| byte.is_ascii_digit() != digits)
            .unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        pieces.push(if digits {
            Piece::Number(piece, None)
        } else {
            Piece::Text(piece)
        });
        rest = after;
    }
    // Two numbers with a point between are one number with decimals; three, such as a date, are not.
    let is_point = |piece: Option<&Piece<'_>>| piece == Some(&Piece::Text(b"."));
    let mut joined = Vec::with_capacity(pieces.len());
    let mut at = 0;
    while at < pieces.len() {
        let in_chain = at >= 2 && is_point(pieces.get(at - 1)) || is_point(pieces.get(at + 3));
        match (pieces[at], pieces.get(at + 2)) {
            (Piece::Number(whole, _), Some(Piece::Number(behind, _)))
                if is_point(pieces.get(at + 1)) && !in_chain =>
            {
                joined.push(Piece::Number(without_zeros(whole), Some(behind)));
                at += 3;
            }
            (Piece::Number(whole, _), _) => {
                joined.push(Piece::Number(without_zeros(whole), None));
                at += 1;
            }
            (text, _) => {
                joined.push(text);
                at += 1;
            }
        }
    }
    joined
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros..]
}

/// Compares whole numbers without leading zeros. They may be longer than any integer type.
fn compare_whole(a: &[u8], b: &[u8]) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn compare_behind(a: &[u8], b: &[u8], point: Point) -> Ordering {
    match point {
        Point::Count => compare_whole(without_zeros(a), without_zeros(b)),
        Point::Decimal => {
            let significant = |digits: &[u8]| {
                digits
                    .iter()
                    .rposition(|digit| *digit != b'0')
                    .map_or(0, |last| last + 1)
            };
            a[..significant(a)].cmp(&b[..significant(b)])
        }
    }
}

/// By the numbers alone.
fn compare_numbers(a: &Path, b: &Path, point: Point) -> Ordering {
    let (left, right) = (pieces(stem(a)), pieces(stem(b)));
    for (left, right) in left.iter().zip(&right) {
        let order = match (left, right) {
            (Piece::Number(a, behind_a), Piece::Number(b, behind_b)) => compare_whole(a, b)
                .then_with(|| {
                    compare_behind(
                        behind_a.unwrap_or_default(),
                        behind_b.unwrap_or_default(),
                        point,
                    )
                }),
            (Piece::Text(a), Piece::Text(b)) => a.cmp(b),
            // As in natural order: digits come before letters.
            (Piece::Number(..), Piece::Text(text)) => b'0'.cmp(&text[0]),
            (Piece::Text(text), Piece::Number(..)) => text[0].cmp(&b'0'),
        };
        if order.is_ne() {
            return order;
        }
    }
    left.len().cmp(&right.len())
}

fn compare(a: &Path, b: &Path, point: Point) -> Ordering {
    compare_numbers(a, b, point).then_with(|| a.cmp(b))
}

/// What the names show about digits behind a point; `None` where both meanings are possible.
fn meaning_of_points(files: &[PathBuf]) -> Option<Point> {
    let names: Vec<_> = files.iter().map(|file| pieces(stem(file))).collect();
    let behind: Vec<&[u8]> = names
        .iter()
        .flatten()
        .filter_map(|piece| match piece {
            Piece::Number(_, behind) => *behind,
            Piece::Text(_) => None,
        })
        .collect();
    let lengths = || behind.iter().map(|digits| digits.len());
    let (Some(shortest), Some(longest)) = (lengths().min(), lengths().max()) else {
        return Some(Point::Decimal);
    };
    if shortest == longest {
        return Some(Point::Decimal); // Both meanings give one order.
    }
    // A number of its own that is not filled up never starts with 0; decimals that are cut never end with 0.
    let padded = || {
        behind
            .iter()
            .filter(|digits| digits.len() > 1 && digits[0] == b'0')
    };
    let starts = padded().next().is_some();
    let ends = behind
        .iter()
        .any(|digits| digits.len() > 1 && digits.ends_with(b"0"));
    match (starts, ends) {
        (true, false) => Some(Point::Decimal),
        (false, true) => Some(Point::Count),
        // Filled up to a width that later numbers exceed: 7.08, 7.10, 7.100.
        (true, true) if shortest > 1 && padded().all(|digits| digits.len() == shortest) => {
            Some(Point::Count)
        }
        _ => None,
    }
}

fn equal_numbers(files: &[PathBuf]) -> Option<String> {
    let pair = files
        .windows(2)
        .find(|pair| compare_numbers(&pair[0], &pair[1], Point::Decimal).is_eq())?;
    Some(format!(
        "two orders of the pictures are possible: {} and {} have the same number and are read in this order",
        name(&pair[0]),
        name(&pair[1])
    ))
}

/// Whether there are several rows of pictures, such as those of a left and a right camera.
fn several_series(files: &[PathBuf]) -> Option<String> {
    let mut series: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for file in files {
        let mut shape = Vec::new();
        for piece in pieces(stem(file)) {
            match piece {
                Piece::Text(text) => shape.extend_from_slice(text),
                Piece::Number(..) => shape.push(b'#'),
            }
        }
        *series.entry(shape).or_default() += 1;
    }
    let rows: Vec<_> = series.iter().filter(|(_, count)| **count > 1).collect();
    if rows.len() < 2 {
        return None;
    }
    let shapes: Vec<_> = rows
        .iter()
        .take(4)
        .map(|(shape, count)| format!("{} ({count})", String::from_utf8_lossy(shape)))
        .collect();
    Some(format!(
        "two orders of the pictures are possible: their names are of several kinds, {}, and are read one kind after the other",
        shapes.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(names: &[&str]) -> (Vec<String>, Option<String>) {
        let mut files: Vec<PathBuf> = names
            .iter()
            .rev()
            .map(|name| format!("frames/{name}.png").into())
            .collect();
        let doubt = sort_frames(&mut files);
        let stems = files
            .iter()
            .map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned());
        (stems.collect(), doubt)
    }

    /// The names are in their true order, and no doubt is reported.
    fn is_order(names: &[&str]) {
        let (order, doubt) = sorted(names);
        assert_eq!(
            (order.as_slice(), doubt),
            (names.map_to_owned().as_slice(), None)
        );
    }

    trait MapToOwned {
        fn map_to_owned(&self) -> Vec<String>;
    }

    impl MapToOwned for &[&str] {
        fn map_to_owned(&self) -> Vec<String> {
            self.iter().map(|name| (*name).to_owned()).collect()
        }
    }

    #[test]
    fn whole_numbers_of_any_width_are_read_as_numbers() {
        is_order(&["1", "2", "10", "100"]);
        is_order(&["0001", "0999", "1000", "10000"]);
        is_order(&["img", "img1", "img2", "img10"]);
        is_order(&["frame", "frame (1)", "frame (2)", "frame (10)"]);
        is_order(&["2021.06.25_9", "2021.06.25_10", "2021.10.01_1"]);
    }

    #[test]
    fn digits_behind_a_point_are_decimals() {
        is_order(&["0.0", "0.033", "0.0667", "0.1", "0.133", "1.0", "1.5"]);
        is_order(&["1305031102.043", "1305031102.4", "1305031103.25"]);
        is_order(&[
            "1700000000.000000005",
            "1700000000.100000000",
            "1700000001.000000000",
        ]);
        is_order(&["9.5", "10.25"]);
    }

    #[test]
    fn digits_behind_a_point_are_nanoseconds_where_the_names_show_it() {
        is_order(&["17.5", "17.33333333", "17.100000000", "18.0"]);
        is_order(&["7.1", "7.2", "7.9", "7.10", "7.11"]);
        is_order(&["7.08", "7.10", "7.99", "7.100"]);
    }

    #[test]
    fn seconds_and_nanoseconds_with_a_line_between_are_two_numbers() {
        is_order(&[
            "1700000000_5",
            "1700000000_33333333",
            "1700000000_100000000",
            "1700000001_0",
        ]);
        is_order(&["9-999999999", "10-000000000"]);
    }

    #[test]
    fn a_doubtful_order_is_reported() {
        let (order, doubt) = sorted(&["1.25", "1.5", "1.75", "2.5"]);
        assert_eq!(order, ["1.25", "1.5", "1.75", "2.5"]);
        let doubt = doubt.expect("1.5 could be five nanoseconds");
        assert!(
            doubt.contains("two orders") && doubt.contains("1.25.png"),
            "{doubt}"
        );
        let (_, doubt) = sorted(&["01", "1", "2"]);
        assert!(doubt.expect("equal numbers").contains("01.png and 1.png"));
        let (order, doubt) = sorted(&["left_1", "left_2", "right_1", "right_2"]);
        assert_eq!(order[1], "left_2");
        assert!(doubt.expect("two rows").contains("left_# (2), right_# (2)"));
    }

    proptest! {
        #[test]
        fn the_order_is_total(names in prop::collection::vec("[a0-2._]{1,6}", 3)) {
            for point in [Point::Decimal, Point::Count] {
                let files: Vec<PathBuf> = names.iter().map(|name| format!("{name}.png").into()).collect();
                let [a, b, c] = [&files[0], &files[1], &files[2]];
                prop_assert_eq!(compare(a, b, point), compare(b, a, point).reverse());
                prop_assert_eq!(compare(a, b, point) == Ordering::Equal, a == b);
                if compare(a, b, point).is_le() && compare(b, c, point).is_le() {
                    prop_assert!(compare(a, c, point).is_le(), "{:?}", files);
                }
            }
        }
    }
}
