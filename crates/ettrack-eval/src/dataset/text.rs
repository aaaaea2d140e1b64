//! Reads numbers from text files, as people really have them: with a byte order mark or in UTF-16, with any line end, and
//! with commas, tabs, semicolons or blanks between the numbers. A line with another number of columns than the format has
//! is refused; nothing is guessed.

use std::borrow::Cow;
use std::path::Path;

use super::DatasetError;
use crate::region::Region;
use ettrack::geometry::BoundingBox;

/// First line of the rows that `ettrack track` writes. Its boxes count pixels from 0.
const TRACK_HEADING: &str = "frame,x,y,w,h,confidence,state";

/// The fields of a line. Blanks and tabs in a row are one separator, a comma or semicolon is one each. `None` if there is
/// nothing between two separators. One separator at the end of the line is allowed.
fn fields(line: &str) -> Option<Vec<&str>> {
    let line = line.trim();
    let line = line.strip_suffix([',', ';']).unwrap_or(line).trim_end();
    let mut fields = Vec::new();
    for part in line.split([',', ';']) {
        let before = fields.len();
        fields.extend(part.split_whitespace());
        if fields.len() == before && !line.is_empty() {
            return None;
        }
    }
    Some(fields)
}

/// The numbers of a line; `None` if a field is empty or no number.
fn numbers(line: &str) -> Option<Vec<f64>> {
    let fields = fields(line)?;
    fields.into_iter().map(|field| field.parse().ok()).collect()
}

/// The text of a file in UTF-8 or, with its byte order mark, in UTF-16.
///
/// # Errors
/// [`DatasetError`] if the file cannot be read or is in another encoding.
pub(crate) fn read_text(path: &Path) -> Result<String, DatasetError> {
    let bytes = std::fs::read(path).map_err(DatasetError::io(path))?;
    decode(&bytes).ok_or_else(|| DatasetError::Text {
        path: path.to_owned(),
        line: 1,
        expected: "text in UTF-8 or UTF-16".to_owned(),
        got: String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned(),
    })
}

fn decode(bytes: &[u8]) -> Option<String> {
    let wide = |rest: &[u8], number: fn([u8; 2]) -> u16| {
        let (pairs, odd) = rest.as_chunks::<2>();
        let letters: Vec<u16> = pairs.iter().map(|pair| number(*pair)).collect();
        String::from_utf16(&letters).ok().filter(|_| odd.is_empty())
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        _ => String::from_utf8(bytes.to_vec()).ok(),
    }
}

/// The lines of a text with any line end: of Unix, of Windows, of old Macs, and the double one of a file that was converted
/// twice. Byte order marks are left out, also those of files that were put together.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let all = rest?;
        let Some(end) = all.find(['\n', '\r']) else {
            rest = None;
            // Nothing follows the last line end.
            return (!all.is_empty()).then_some(all);
        };
        let (line, after) = all.split_at(end);
        let ends = ["\r\r\n", "\r\n", "\n", "\r"];
        rest = ends.iter().find_map(|end| after.strip_prefix(end));
        Some(line)
    })
    .map(|line| line.trim_matches('\u{feff}'))
}

/// The lines without empty ones at the end, each with its 1-based number.
fn rows_of(text: &str) -> Vec<(usize, &str)> {
    let mut rows: Vec<_> = (1..).zip(lines(text)).collect();
    while rows.last().is_some_and(|(_, row)| row.trim().is_empty()) {
        rows.pop();
    }
    rows
}

fn malformed(path: &Path, line: usize, expected: &str, got: &str) -> DatasetError {
    DatasetError::Text {
        path: path.to_owned(),
        line,
        expected: expected.to_owned(),
        got: got.chars().take(80).collect(),
    }
}

/// All numbers of a file, whatever their rows and columns. `NaN` is allowed.
///
/// # Errors
/// [`DatasetError`] if the file cannot be read or has other text.
pub fn read_numbers(path: &Path) -> Result<Vec<f64>, DatasetError> {
    let text = read_text(path)?;
    let mut all = Vec::new();
    for (line, row) in rows_of(&text) {
        let row_fields = fields(row).ok_or_else(|| malformed(path, line, "a number", row))?;
        for field in row_fields {
            let number = field.parse();
            all.push(number.map_err(|_| malformed(path, line, "a number", field))?);
        }
    }
    Ok(all)
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

/// Rows `x, y, width, height`, one per line. Empty lines at the end are ignored. The numbers are returned as they are: the
/// origin is not converted, and `NaN` is kept.
///
/// # Errors
/// [`DatasetError`] if the file cannot be read or a line has another number of columns.
pub fn parse_boxes(path: &Path) -> Result<Vec<[f64; 4]>, DatasetError> {
    let text = read_text(path)?;
    rows(path, &text, "x, y, width, height", |line| {
        numbers(line)?.try_into().ok()
    })
}

/// Rows of VOT's regions, one per line, as their bounding rectangles: `x, y, width, height`, the corners
/// `x1, y1, x2, y2, x3, y3 …` of a polygon, a mask `m…`, or one number if the target has no region (`NaN`).
///
/// # Errors
/// [`DatasetError`] if the file cannot be read or a line is malformed.
pub fn parse_regions(path: &Path) -> Result<Vec<[f64; 4]>, DatasetError> {
    let text = read_text(path)?;
    let expected = "x, y, width, height, the corners of a polygon, or a mask";
    rows(path, &text, expected, |line| {
        // Separators may differ as in other files; a mask has commas only.
        let line = match numbers(line) {
            Some(numbers) if numbers.iter().any(|number| number.is_nan()) => {
                let known = [1, 4].contains(&numbers.len()) || numbers.len() % 2 == 0;
                return known.then_some([f64::NAN; 4]);
            }
            Some(_) => Cow::Owned(fields(line)?.join(",")),
            None => Cow::Borrowed(line),
        };
        let region = Region::parse(&line).ok()?;
        Some(region.bounds().unwrap_or([f64::NAN; 4]))
    })
}

/// The boxes of a tracker, one per frame.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultRows {
    /// `x, y, width, height` as they are.
    pub rows: Vec<[f64; 4]>,
    /// Whether the state in each row is lost. `None` if the rows have no state.
    pub lost: Option<Vec<bool>>,
    /// Whether the file says that pixels count from 0: it has the heading of `ettrack track`.
    pub from_zero: bool,
}

/// The boxes that a tracker wrote: rows as [`parse_boxes`] reads them, or what `ettrack track` writes, with its heading.
///
/// # Errors
/// [`DatasetError`] if the file cannot be read, a line is malformed, or a frame is missing.
pub fn parse_results(path: &Path) -> Result<ResultRows, DatasetError> {
    let text = read_text(path)?;
    let has_heading = lines(&text)
        .next()
        .is_some_and(|line| line.trim() == TRACK_HEADING);
    if !has_heading {
        return Ok(ResultRows {
            rows: parse_boxes(path)?,
            lost: None,
            from_zero: false,
        });
    }
    let (mut rows, mut lost) = (Vec::new(), Vec::new());
    for (line, row) in rows_of(&text).into_iter().skip(1) {
        let expected = || format!("{TRACK_HEADING} of frame {}", rows.len());
        let found = fields(row).and_then(|fields| {
            let [frame, x, y, width, height, _confidence, state] = fields[..] else {
                return None;
            };
            let is_next = frame.parse::<usize>().ok()? == rows.len();
            let is_lost = match state {
                "tracking" => false,
                "lost" => true,
                _ => return None,
            };
            let number = |text: &str| text.parse::<f64>().ok();
            let values = [number(x)?, number(y)?, number(width)?, number(height)?];
            is_next.then_some((values, is_lost))
        });
        let (values, is_lost) = found.ok_or_else(|| malformed(path, line, &expected(), row))?;
        rows.push(values);
        lost.push(is_lost);
    }
    Ok(ResultRows {
        rows,
        lost: Some(lost),
        from_zero: true,
    })
}

/// Rows of VATIC, as Need for Speed publishes them: track id, left, top, right, bottom, frame, lost, occluded, generated,
/// and a label in quotation marks.
pub(super) fn parse_track_corners(path: &Path) -> Result<Vec<[f64; 4]>, DatasetError> {
    let text = read_text(path)?;
    let expected =
        "a track id, left, top, right, bottom, frame, three flags, and a label in quotation marks";
    rows(path, &text, expected, |line| {
        let (front, label) = line.split_once('"')?;
        let [_, left, top, right, bottom, _, _, _, _] = numbers(front)?[..] else {
            return None;
        };
        label
            .trim_end()
            .ends_with('"')
            .then_some([left, top, right - left, bottom - top])
    })
}

fn rows(
    path: &Path,
    text: &str,
    expected: &str,
    make: impl Fn(&str) -> Option<[f64; 4]>,
) -> Result<Vec<[f64; 4]>, DatasetError> {
    rows_of(text)
        .into_iter()
        .map(|(line, row)| make(row).ok_or_else(|| malformed(path, line, expected, row)))
        .collect()
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
            "1,\t2 3.5; 4,\n5 , 6\t,7 8;\n",
            // Byte order marks, line ends of old Macs, a file converted twice, two files put together.
            "\u{feff}1,2,3.5,4\n5,6,7,8",
            "1,2,3.5,4\r5,6,7,8\r",
            "1,2,3.5,4\r\r\n5,6,7,8\r\r\n",
            "\u{feff}1,2,3.5,4\n\u{feff}5,6,7,8\n",
        ] {
            assert_eq!(
                parse_boxes(file(text).path()).unwrap(),
                expected,
                "{text:?}"
            );
        }
    }

    #[test]
    fn reads_utf_16_with_its_byte_order_mark() {
        let letters: Vec<u16> = "\u{feff}1,2,3,4\r\n5,6,7,8\r\n".encode_utf16().collect();
        for bytes in [
            letters
                .iter()
                .flat_map(|l| l.to_le_bytes())
                .collect::<Vec<_>>(),
            letters.iter().flat_map(|l| l.to_be_bytes()).collect(),
        ] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &bytes).unwrap();
            let rows = parse_boxes(file.path()).unwrap();
            assert_eq!(rows, [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]);
            std::fs::write(file.path(), &bytes[..bytes.len() - 1]).unwrap();
            let error = parse_boxes(file.path()).unwrap_err().to_string();
            assert!(error.contains("UTF-16"), "{error}");
        }
    }

    #[test]
    fn refuses_rows_with_another_number_of_columns_with_file_and_line() {
        let refused = [
            ("1,2,3,4,5", 2),
            ("1,2,3", 2),
            ("1,,2,3,4", 2),
            (",1,2,3,4", 2),
            ("1,2,3,4,,", 2),
            ("", 2),
            // Decimal commas of a spreadsheet.
            ("1,5;2,5;30,0;40,0", 2),
            ("1,5;2;30;40", 2),
            ("10,5,20,8,18,30,7,25", 2),
            ("x,y,w,h", 2),
        ];
        for (row, line) in refused {
            let bad = file(&format!("1,2,3,4\n{row}\n1,2,3,4\n"));
            let error = parse_boxes(bad.path()).unwrap_err().to_string();
            let place = format!(
                "{}:{line}: expected x, y, width, height",
                bad.path().display()
            );
            assert!(error.contains(&place), "{row:?}: {error}");
        }
    }

    #[test]
    fn reads_what_track_writes_and_refuses_rows_that_are_not_the_next_frame() {
        let rows = "frame,x,y,w,h,confidence,state\n0,1,2,3,4,1.0,tracking\n1,5,6,7,8,0.2,lost\n";
        let read = parse_results(file(rows).path()).unwrap();
        assert!(
            read.from_zero && read.rows[1] == [5.0, 6.0, 7.0, 8.0],
            "{read:?}"
        );
        assert_eq!(read.lost, Some(vec![false, true]));
        let gap = rows.replace("\n1,5", "\n2,5");
        let error = parse_results(file(&gap).path()).unwrap_err().to_string();
        assert!(error.contains(":3: expected frame,x,y,w,h"), "{error}");
        let plain = parse_results(file("1,2,3,4\n").path()).unwrap();
        assert!(!plain.from_zero);
    }

    #[test]
    fn regions_become_their_bounding_rectangles() {
        let text = "10,5,20,8,18,30,7,25\n1\t2\t3\t4\nm4,6,2,2,0,4\nNaN\nNaN,NaN,NaN,NaN\n0\n";
        let rows = parse_regions(file(text).path()).unwrap();
        assert_eq!(
            rows[..3],
            [
                [7.0, 5.0, 13.0, 25.0],
                [1.0, 2.0, 3.0, 4.0],
                [4.0, 6.0, 2.0, 2.0]
            ]
        );
        assert!(
            rows[3..].iter().flatten().all(|number| number.is_nan()),
            "{rows:?}"
        );
        for bad in ["1,2\n", "1,2,3\n", "1,2,3,4,5,6,7\n", "m1,2\n"] {
            assert!(parse_regions(file(bad).path()).is_err(), "{bad:?}");
        }
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
        for bad in [
            "0 205 269 239 341\n",
            "0 205 269 239 341 0 0 0 0 0 \"ball\"\n",
            "0 205 269 239 341 0 0 0 0 ball\n",
        ] {
            assert!(parse_track_corners(file(bad).path()).is_err(), "{bad:?}");
        }
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
