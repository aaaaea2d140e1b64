//! A target box on the command line: `X,Y,W,H`.

use ettrack::geometry::BoundingBox;

/// Reads `X,Y,W,H`: upper-left corner and size in pixels, fractions allowed, (0, 0) the image's corner.
pub fn parse_roi(text: &str) -> Result<BoundingBox, String> {
    let expected = "expected X,Y,W,H in pixels, such as 120,80,64,48";
    let numbers: Vec<f64> = text
        .split(',')
        .map(|number| {
            number
                .trim()
                .parse()
                .map_err(|_| format!("{number:?} is no number; {expected}"))
        })
        .collect::<Result<_, _>>()?;
    let [x, y, width, height] = numbers[..] else {
        return Err(format!("got {} numbers; {expected}", numbers.len()));
    };
    if !numbers.iter().all(|number| number.is_finite()) {
        return Err(format!("not all numbers are finite; {expected}"));
    }
    if width <= 0.0 || height <= 0.0 {
        return Err(format!(
            "width {width} and height {height} must be positive; {expected}"
        ));
    }
    Ok(BoundingBox::new(x, y, width, height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_boxes_and_refuses_other_text_with_the_reason() {
        assert_eq!(
            parse_roi("1,2.5, 3,4"),
            Ok(BoundingBox::new(1.0, 2.5, 3.0, 4.0))
        );
        assert_eq!(
            parse_roi("-1,-2,3,4"),
            Ok(BoundingBox::new(-1.0, -2.0, 3.0, 4.0))
        );
        for (text, words) in [
            ("1,2,3", "got 3 numbers"),
            ("1,2,3,4,5", "got 5 numbers"),
            ("1,2,a,4", "\"a\" is no number"),
            ("", "\"\" is no number"),
            ("1,2,0,4", "width 0"),
            ("1,2,3,-4", "height -4"),
            ("1,2,NaN,4", "not all numbers are finite"),
            ("1,2,inf,4", "not all numbers are finite"),
        ] {
            let error = parse_roi(text).unwrap_err();
            assert!(
                error.contains(words) && error.contains("X,Y,W,H"),
                "{error}"
            );
        }
    }
}
