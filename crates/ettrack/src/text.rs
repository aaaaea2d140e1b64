//! What others send, in messages for people.

use std::borrow::Cow;

/// The most characters that are repeated of a text.
const MOST: usize = 64;

/// A text from outside in the form for a message: complete if it is short, else its beginning and its length.
pub fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MOST) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}… ({} bytes)", &text[..end], text.len())),
    }
}

/// A number from outside in the form for a message: with a power of ten if it would have many digits.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && size.is_finite() && !(1e-4..1e15).contains(&size) {
        format!("{value:e}")
    } else {
        format!("{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::{number, shortened};

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_its_length() {
        assert_eq!(shortened("rgb8"), "rgb8");
        assert_eq!(shortened(&"x".repeat(64)), "x".repeat(64));
        let long = "ä".repeat(1000);
        assert_eq!(
            shortened(&long),
            format!("{}… (2000 bytes)", "ä".repeat(64))
        );
    }

    #[test]
    fn numbers_keep_few_digits_and_their_value() {
        for (value, text) in [
            (0.0, "0"),
            (12.5, "12.5"),
            (-3.0, "-3"),
            (1e300, "1e300"),
            (1e-30, "1e-30"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(number(value), text);
        }
        for value in [f64::MAX, f64::MIN_POSITIVE, -1.0 / 3.0, 123_456_789.123] {
            assert!(number(value).len() < 25);
            assert_eq!(number(value).parse(), Ok(value));
        }
    }
}
