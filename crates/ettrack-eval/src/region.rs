//! Regions in the text form of VOT's tools: a rectangle, a polygon, a mask, or a number with a special meaning.

use std::fmt;

/// A region in pixels; (0, 0) is the upper-left corner of the upper-left pixel.
#[derive(Debug, Clone, PartialEq)]
pub enum Region {
    /// No region: a frame without an answer (0), a start (1), a failure (2).
    Special(i64),
    /// Upper-left corner, width, height.
    Rectangle([f64; 4]),
    /// At least three corners.
    Polygon(Vec<(f64, f64)>),
    /// Which pixels belong to the target.
    Mask(Mask),
}

/// Pixels of a rectangle, run-length encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// Column and row of the upper-left pixel.
    pub offset: (i64, i64),
    /// Columns and rows.
    pub size: (u64, u64),
    /// Lengths of runs row by row, of pixels outside and inside by turns, outside first.
    pub runs: Vec<u64>,
}

/// The reason why a text is not a region.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{got:?} is no region; expected x,y,width,height, the corners of a polygon, a mask m…, or a number"
)]
pub struct RegionError {
    /// The start of the text.
    pub got: String,
}

impl Region {
    /// Reads a region.
    ///
    /// # Errors
    /// [`RegionError`] if the text is not a region, or if one of its numbers is not finite.
    pub fn parse(text: &str) -> Result<Self, RegionError> {
        let text = text.trim();
        Self::read(text).ok_or_else(|| RegionError {
            got: text.chars().take(60).collect(),
        })
    }

    fn read(text: &str) -> Option<Self> {
        // The files of VOT write a mask as `m…`. The TraX library writes `mask:…` and ends it with a comma.
        if let Some(mask) = text.strip_prefix("mask:") {
            return Mask::read(mask.strip_suffix(',').unwrap_or(mask)).map(Self::Mask);
        }
        if let Some(mask) = text.strip_prefix('m') {
            return Mask::read(mask).map(Self::Mask);
        }
        let numbers: Vec<f64> = text
            .split(',')
            .map(|number| number.trim().parse().ok().filter(|n: &f64| n.is_finite()))
            .collect::<Option<_>>()?;
        match numbers[..] {
            [special] => (special.fract() == 0.0).then_some(Self::Special(special as i64)),
            [x, y, width, height] => Some(Self::Rectangle([x, y, width, height])),
            _ if numbers.len() >= 6 && numbers.len().is_multiple_of(2) => {
                let corners = numbers.chunks_exact(2).map(|corner| (corner[0], corner[1]));
                Some(Self::Polygon(corners.collect()))
            }
            _ => None,
        }
    }

    /// The bounding rectangle: upper-left corner, width, height. `None` if there is no region or it has no pixel.
    pub fn bounds(&self) -> Option<[f64; 4]> {
        match self {
            Self::Special(_) => None,
            Self::Rectangle(rectangle) => Some(*rectangle),
            Self::Polygon(corners) => {
                let mut edges = [f64::MAX, f64::MAX, f64::MIN, f64::MIN];
                for (x, y) in corners {
                    edges = [
                        edges[0].min(*x),
                        edges[1].min(*y),
                        edges[2].max(*x),
                        edges[3].max(*y),
                    ];
                }
                let [left, top, right, bottom] = edges;
                Some([left, top, right - left, bottom - top])
            }
            Self::Mask(mask) => mask.bounds(),
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Special(code) => write!(formatter, "{code}"),
            Self::Rectangle([x, y, width, height]) => {
                write!(formatter, "{x:.4},{y:.4},{width:.4},{height:.4}")
            }
            Self::Polygon(corners) => {
                for (index, (x, y)) in corners.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(formatter, "{comma}{x:.4},{y:.4}")?;
                }
                Ok(())
            }
            Self::Mask(Mask { offset, size, runs }) => {
                // The TraX library would read `m…` as a polygon.
                write!(
                    formatter,
                    "mask:{},{},{},{}",
                    offset.0, offset.1, size.0, size.1
                )?;
                runs.iter().try_for_each(|run| write!(formatter, ",{run}"))
            }
        }
    }
}

impl Mask {
    fn read(text: &str) -> Option<Self> {
        let numbers: Vec<i64> = text
            .split(',')
            .map(|number| number.trim().parse().ok())
            .collect::<Option<_>>()?;
        let [x, y, width, height, ref runs @ ..] = numbers[..] else {
            return None;
        };
        let size = (u64::try_from(width).ok()?, u64::try_from(height).ok()?);
        let runs: Vec<u64> = runs
            .iter()
            .map(|run| u64::try_from(*run).ok())
            .collect::<Option<_>>()?;
        let total = runs
            .iter()
            .try_fold(0_u64, |sum, run| sum.checked_add(*run))?;
        (total <= size.0.checked_mul(size.1)?).then_some(Self {
            offset: (x, y),
            size,
            runs,
        })
    }

    /// The rectangle around the pixels of the target.
    fn bounds(&self) -> Option<[f64; 4]> {
        let (width, _) = self.size;
        let mut edges: Option<[u64; 4]> = None;
        let mut start = 0;
        for (index, run) in self.runs.iter().enumerate() {
            let end = start + run;
            if index % 2 == 1 && *run > 0 {
                let (top, bottom) = (start / width, (end - 1) / width);
                let (left, right) = if top == bottom {
                    (start % width, (end - 1) % width)
                } else {
                    (0, width - 1)
                };
                let [l, t, r, b] = edges.unwrap_or([left, top, right, bottom]);
                edges = Some([l.min(left), t.min(top), r.max(right), b.max(bottom)]);
            }
            start = end;
        }
        let [left, top, right, bottom] = edges?;
        let (x, y) = (self.offset.0 as f64, self.offset.1 as f64);
        let span = |from: u64, to: u64| (to - from + 1) as f64;
        Some([
            x + left as f64,
            y + top as f64,
            span(left, right),
            span(top, bottom),
        ])
    }

    /// All pixels of a rectangle whose edges are rounded to whole pixels. At least one pixel belongs to it.
    pub fn of_rectangle([x, y, width, height]: [f64; 4]) -> Self {
        let whole = |from: f64, length: f64| {
            let first = from.round();
            let last = (from + length).round().max(first + 1.0);
            (first as i64, (last - first) as u64)
        };
        let ((left, columns), (top, rows)) = (whole(x, width), whole(y, height));
        Self {
            offset: (left, top),
            size: (columns, rows),
            runs: vec![0, columns * rows],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bounds(text: &str) -> Option<[f64; 4]> {
        Region::parse(text).unwrap().bounds()
    }

    #[test]
    fn each_kind_has_its_bounding_rectangle() {
        assert_eq!(bounds("1,2,3.5,4"), Some([1.0, 2.0, 3.5, 4.0]));
        assert_eq!(bounds("10,5,20,8,18,30,7,25"), Some([7.0, 5.0, 13.0, 25.0]));
        assert_eq!(bounds("1"), None);
        // Three columns: . # # / # # # / . . .
        assert_eq!(bounds("m10,20,3,3,1,5,3"), Some([10.0, 20.0, 3.0, 2.0]));
        assert_eq!(bounds("m10,20,3,3,1,1,7"), Some([11.0, 20.0, 1.0, 1.0]));
        assert_eq!(bounds("m10,20,3,3,9"), None);
    }

    #[test]
    fn a_rectangle_as_a_mask_has_its_bounds() {
        let mask = Mask::of_rectangle([9.6, 20.4, 5.0, 3.0]);
        assert_eq!(Region::Mask(mask).to_string(), "mask:10,20,5,3,0,15");
        for text in [
            "m10,20,5,3,0,15",
            "mask:10,20,5,3,0,15",
            "mask:10,20,5,3,0,15,",
        ] {
            let bounds = Region::parse(text).unwrap().bounds();
            assert_eq!(bounds, Some([10.0, 20.0, 5.0, 3.0]), "{text}");
        }
        let point = Mask::of_rectangle([1.0, 1.0, 0.1, 0.1]);
        assert_eq!(point.bounds(), Some([1.0, 1.0, 1.0, 1.0]));
    }

    #[test]
    fn refuses_other_text() {
        for text in [
            "",
            "1,2",
            "1,2,3",
            "1,2,3,4,5",
            "1,2,3,NaN",
            "m1,2,3",
            "m0,0,2,2,9",
            "m0,0,-1,2,0",
            "0.5",
            "x",
        ] {
            assert!(Region::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_region_or_an_error(text in "[m0-9,.-]{0,30}") {
            if let Ok(region) = Region::parse(&text) {
                let _ = region.bounds();
                prop_assert!(Region::parse(&region.to_string()).is_ok(), "{region}");
            }
        }
    }
}
