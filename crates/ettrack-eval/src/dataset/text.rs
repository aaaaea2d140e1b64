//! Reads numbers from text files. Benchmarks separate them by commas, tabs, semicolons or blanks; all are accepted.

use std::path::Path;

use super::DatasetError;
use ettrack::geometry::BoundingBox;

fn fields(line: &str) -> impl Iterator<Item = &str> {
    line.split(|letter: char| letter == ',' || letter == ';' || letter.is_whitespace())
        .filter(|field| !field.is_empty())
}

/// Reads a text file in UTF-8.
fn read_text(path: &Path) -> Result<String, DatasetError> {
    std::fs::read_to_string(path).map_err(DatasetError::io(path))
}

/// All numbers of a file, whatever their rows and columns. `NaN` is allowed.
///
/// # Errors
/// [`DatasetError`] if the file cannot be read or has other text.
pub fn read_numbers(path: &Path) -> Result<Vec<f64>, DatasetError> {
    let text = read_text(path)?;
    let mut numbers = Vec::new();
    for (line, row) in (1..).zip(text.lines()) {
        for field in fields(row) {
            numbers.push(field.parse().map_err(|_| DatasetError::Text {
                path: path.to_owned(),
                line,
                expected: "a number".to_owned(),
                got: field.to_owned(),
            })?);
        }
    }
    Ok(numbers)
}

/// Flags, all in one line or one per line. Every number but 0 is true.
///
/// # Errors
/// [`DatasetError`] if the file cannot be read or has other text.
pub fn parse_flags(path: &Path) -> Result<Vec<bool>, DatasetError> {
    Ok(read_numbers(path)?
        .into_iter()
        .map(|number| number != 0.0)
        .collect())
}

/// Rows `x, y, width, height`, one per line. A line may also have the corners `x1, y1, x2, y2, x3, y3 …` of a polygon, which
/// becomes its bounding rectangle. Empty lines at the end are ignored. The numbers are returned as they are: the origin is
/// not converted, and `NaN` is kept.
///
/// # Errors
/// [`DatasetError`] if the file cannot be read or a line is malformed.
pub fn parse_boxes(path: &Path) -> Result<Vec<[f64; 4]>, DatasetError> {
    parse_rows(path, |numbers| match numbers {
        [x, y, width, height] => Some([*x, *y, *width, *height]),
        polygon if polygon.len() >= 6 && polygon.len() % 2 == 0 => {
            Some(bounding_rectangle(polygon))
        }
        _ => None,
    })
}

/// Rows of at least five numbers of which the second to fifth are left, top, right, bottom.
pub(super) fn parse_track_corners(path: &Path) -> Result<Vec<[f64; 4]>, DatasetError> {
    let text = read_text(path)?;
    rows(
        path,
        &text,
        "a track id and left, top, right, bottom",
        |line| {
            let mut numbers = fields(line).skip(1).map(str::parse::<f64>);
            let mut corner = || numbers.next()?.ok();
            let [left, top, right, bottom] = [corner()?, corner()?, corner()?, corner()?];
            Some([left, top, right - left, bottom - top])
        },
    )
}

fn parse_rows(
    path: &Path,
    make: impl Fn(&[f64]) -> Option<[f64; 4]>,
) -> Result<Vec<[f64; 4]>, DatasetError> {
    let text = read_text(path)?;
    rows(
        path,
        &text,
        "x, y, width, height or the corners of a polygon",
        |line| {
            let numbers: Option<Vec<f64>> = fields(line).map(|field| field.parse().ok()).collect();
            make(&numbers?)
        },
    )
}

fn rows(
    path: &Path,
    text: &str,
    expected: &str,
    make: impl Fn(&str) -> Option<[f64; 4]>,
) -> Result<Vec<[f64; 4]>, DatasetError> {
    text.trim_end()
        .lines()
        .zip(1..)
        .map(|(row, line)| {
            make(row).ok_or_else(|| DatasetError::Text {
                path: path.to_owned(),
                line,
                expected: expected.to_owned(),
                got: row.chars().take(80).collect(),
            })
        })
        .collect()
}

fn bounding_rectangle(polygon: &[f64]) -> [f64; 4] {
    let mut edges = [f64::MAX, f64::MAX, f64::MIN, f64::MIN];
    for corner in polygon.chunks_exact(2) {
        if corner.iter().any(|number| number.is_nan()) {
            return [f64::NAN; 4];
        }
        edges[0] = edges[0].min(corner[0]);
        edges[1] = edges[1].min(corner[1]);
        edges[2] = edges[2].max(corner[0]);
        edges[3] = edges[3].max(corner[1]);
    }
    [edges[0], edges[1], edges[2] - edges[0], edges[3] - edges[1]]
}

/// A row as a 0-based box. `None` if it is not finite or has no area, which is how benchmarks mark an absent target.
pub(crate) fn to_box(row: [f64; 4], first_pixel: f64) -> Option<BoundingBox> {
    let [x, y, width, height] = row;
    let valid = row.iter().all(|number| number.is_finite()) && width > 0.0 && height > 0.0;
    valid.then(|| BoundingBox::new(x - first_pixel, y - first_pixel, width, height))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn accepts_all_separators() {
        let expected = vec![[1.0, 2.0, 3.5, 4.0], [5.0, 6.0, 7.0, 8.0]];
        for text in [
            "1,2,3.5,4\n5,6,7,8\n",
            "1\t2\t3.5\t4\r\n5\t6\t7\t8\r\n\r\n",
            "  1 2 3.5  4\n5 6 7 8",
            "1, 2, 3.5, 4\n5;6;7;8\n\n",
        ] {
            assert_eq!(
                parse_boxes(file(text).path()).unwrap(),
                expected,
                "{text:?}"
            );
        }
    }

    #[test]
    fn polygons_become_their_bounding_rectangles() {
        let rows = parse_boxes(file("10,5,20,8,18,30,7,25\n").path()).unwrap();
        assert_eq!(rows, [[7.0, 5.0, 13.0, 25.0]]);
    }

    #[test]
    fn rows_of_absent_targets_become_none() {
        let rows =
            parse_boxes(file("NaN,NaN,NaN,NaN\n0,0,0,0\n3,4,5,6\n3,4,-5,6\n").path()).unwrap();
        let boxes: Vec<_> = rows.into_iter().map(|row| to_box(row, 1.0)).collect();
        assert_eq!(
            boxes,
            [None, None, Some(BoundingBox::new(2.0, 3.0, 5.0, 6.0)), None]
        );
    }

    #[test]
    fn names_the_line_that_is_malformed() {
        let bad = file("1,2,3,4\n1,2,three,4\n");
        let error = parse_boxes(bad.path()).unwrap_err().to_string();
        assert!(
            error.contains(":2: expected x, y, width, height"),
            "{error}"
        );
        let error = parse_boxes(file("1,2,3\n").path()).unwrap_err().to_string();
        assert!(error.contains(":1:") && error.contains("1,2,3"), "{error}");
    }

    #[test]
    fn reads_corners_and_ignores_quoted_labels() {
        let rows = parse_track_corners(
            file("0 205 269 239 341 0 0 0 0 \"ball\"\n0 206 270 240 342 1 0 0 1 \"ball\"\n").path(),
        )
        .unwrap();
        assert_eq!(rows[0], [205.0, 269.0, 34.0, 72.0]);
        assert_eq!(rows.len(), 2);
    }

    #[test]
    fn reads_flags_in_one_line_or_several() {
        assert_eq!(
            parse_flags(file("0,1,0\n").path()).unwrap(),
            [false, true, false]
        );
        assert_eq!(parse_flags(file("0\n8\n").path()).unwrap(), [false, true]);
    }
}
