//! Grows a first box around a point, for users who tap on the target instead of drawing a box.
//!
//! A target differs in colour from its surroundings. So boxes of many sizes and shapes are placed around the point. The contrast
//! of a box is the difference between its colours and those of the ring around it; box and ring together have twice the area.
//! The edges of each box move a little as long as the contrast grows. Sizes and shapes that targets seldom have get a lower
//! weight. The result is the weighted mean of all boxes, because the best single box often covers only a part of the target.

use ettrack::frame::Frame;
use ettrack::geometry::BoundingBox;

/// Number of cells along a side of the grid of one size.
const GRID: usize = 60;

/// Side of a square box in the grid of its size, cells.
const UNIT: f64 = 20.0;

/// Number of levels of each colour.
const LEVELS: usize = 6;

/// Number of bins of a histogram.
const BINS: usize = LEVELS * LEVELS * LEVELS;

/// Smallest mean side of a box, pixels.
const SMALLEST: f64 = 12.0;

/// Ratio between two successive sizes.
const STEP: f64 = 1.25;

/// Ratios of width to height of the boxes.
const SHAPES: [f64; 7] = [0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8];

/// Most frequent mean side of targets as a part of the mean side of the image, and the spread of the logarithm of this ratio.
/// This and the following constants were chosen by cross-validation on 39 first frames.
const USUAL: (f64, f64) = (0.14, 0.9);

/// Most frequent logarithm of width over height, and its spread. People and things on the ground are tall.
const TALL: (f64, f64) = (-0.3, 0.6);

/// Power of a box's contrast in its weight.
const SHARPNESS: i32 = 3;

/// Number that is added to each contrast, so that a point in an area of one colour also gets a box.
const LEAST: f64 = 0.01;

/// Largest factor by which the area of a box may grow or shrink while its edges move.
const MOST_GROWTH: f64 = 1.3;

/// Largest number of moves of an edge.
const MOVES: usize = 40;

/// A box in cells: left, upper, right and lower side, the last two exclusive.
type Cells = [usize; 4];

/// Colours around the point in a grid for one size.
struct Grid {
    /// Colour bin of each cell. `None` outside the image.
    bins: Vec<Option<u16>>,
    /// Side of a cell, pixels.
    cell: f64,
    /// Upper-left corner of the grid, pixels.
    corner: (f64, f64),
}

/// Returns the likeliest box of a target around `point`, both in pixels of `frame`. `None` if the point lies outside the image.
///
/// The box lies inside the image and contains the point.
pub fn grow_box(frame: &Frame<'_>, point: (f64, f64)) -> Option<BoundingBox> {
    let (width, height) = (f64::from(frame.width()), f64::from(frame.height()));
    if !((0.0..width).contains(&point.0) && (0.0..height).contains(&point.1)) {
        return None;
    }
    let side = (width * height).sqrt();
    let largest = 0.8 * width.min(height);
    // Sums of weights, weighted centres and weighted logarithms of sides.
    let mut sums = [0.0; 5];
    let mut size = SMALLEST.min(largest);
    while size <= largest {
        let grid = Grid::around(frame, point, size / UNIT);
        for shape in SHAPES {
            let (contrast, cells) = grid.climb(start(shape));
            let Some(grown) = grid.pixels(cells).clamped(frame.width(), frame.height()) else {
                continue;
            };
            let weight = usual(&grown, side) * (contrast + LEAST).powi(SHARPNESS);
            let (x, y) = grown.center();
            let values = [1.0, x, y, grown.width.ln(), grown.height.ln()];
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += weight * value;
            }
        }
        size *= STEP;
    }
    let [weight, x, y, width, height] = sums;
    let mean = |sum: f64| sum / weight;
    let grown = BoundingBox::from_center((mean(x), mean(y)), mean(width).exp(), mean(height).exp());
    hold(grown, point).clamped(frame.width(), frame.height())
}

/// Returns a weight from 0 to 1 for the size and the shape of a box. `side` is the mean side of the image, pixels.
fn usual(grown: &BoundingBox, side: f64) -> f64 {
    let size = ((grown.area().sqrt() / side / USUAL.0).ln()) / USUAL.1;
    let shape = ((grown.width / grown.height).ln() - TALL.0) / TALL.1;
    (-0.5 * (size * size + shape * shape)).exp()
}

/// Moves the box as little as possible so that it contains the point.
fn hold(grown: BoundingBox, (x, y): (f64, f64)) -> BoundingBox {
    BoundingBox {
        x: grown.x.clamp(x - grown.width, x),
        y: grown.y.clamp(y - grown.height, y),
        ..grown
    }
}

/// Returns a box of this shape (width over height) in the middle of the grid.
fn start(shape: f64) -> Cells {
    let middle = GRID as f64 / 2.0;
    let (half_width, half_height) = (UNIT * shape.sqrt() / 2.0, UNIT / shape.sqrt() / 2.0);
    let cell = |at: f64| at.round().clamp(0.0, GRID as f64) as usize;
    [
        cell(middle - half_width),
        cell(middle - half_height),
        cell(middle + half_width),
        cell(middle + half_height),
    ]
}

impl Grid {
    fn around(frame: &Frame<'_>, point: (f64, f64), cell: f64) -> Self {
        let half = GRID as f64 * cell / 2.0;
        let corner = (point.0 - half, point.1 - half);
        let mut bins = Vec::with_capacity(GRID * GRID);
        for row in 0..GRID {
            for column in 0..GRID {
                let at = |k: usize| corner.0 + (column as f64 + k as f64 / 2.0 + 0.25) * cell;
                let down = |k: usize| corner.1 + (row as f64 + k as f64 / 2.0 + 0.25) * cell;
                bins.push(mean_bin(
                    frame,
                    [
                        (at(0), down(0)),
                        (at(1), down(0)),
                        (at(0), down(1)),
                        (at(1), down(1)),
                    ],
                ));
            }
        }
        Self { bins, cell, corner }
    }

    fn pixels(&self, [left, upper, right, lower]: Cells) -> BoundingBox {
        BoundingBox::new(
            self.corner.0 + left as f64 * self.cell,
            self.corner.1 + upper as f64 * self.cell,
            (right - left) as f64 * self.cell,
            (lower - upper) as f64 * self.cell,
        )
    }

    /// Returns how much the colours of a box differ from those of the ring around it: from 0 (equal) to 1.
    fn contrast(&self, cells: Cells) -> f64 {
        let [left, upper, right, lower] = cells;
        // Makes each side longer by a factor of sqrt(2), which doubles the area.
        let margin = |length: usize| ((length as f64 * 0.207).round() as usize).max(1);
        let (across, down) = (margin(right - left), margin(lower - upper));
        let (outer_left, outer_upper) = (left.saturating_sub(across), upper.saturating_sub(down));
        let (outer_right, outer_lower) = ((right + across).min(GRID), (lower + down).min(GRID));
        let mut inside = [0_u16; BINS];
        let mut outside = [0_u16; BINS];
        let (mut in_count, mut out_count) = (0_u32, 0_u32);
        for row in outer_upper..outer_lower {
            for column in outer_left..outer_right {
                let Some(bin) = self.bins[row * GRID + column] else {
                    continue;
                };
                if (left..right).contains(&column) && (upper..lower).contains(&row) {
                    inside[usize::from(bin)] += 1;
                    in_count += 1;
                } else {
                    outside[usize::from(bin)] += 1;
                    out_count += 1;
                }
            }
        }
        if in_count == 0 || out_count == 0 {
            return 0.0;
        }
        let alike: f64 = inside
            .iter()
            .zip(&outside)
            .map(|(&a, &b)| (f64::from(a) * f64::from(b)).sqrt())
            .sum();
        1.0 - alike / (f64::from(in_count) * f64::from(out_count)).sqrt()
    }

    /// Moves edges by one or two cells as long as the contrast grows. The box keeps the point inside and about its size.
    fn climb(&self, start: Cells) -> (f64, Cells) {
        let middle = GRID / 2;
        let mut best = (self.contrast(start), start);
        for _ in 0..MOVES {
            let mut next = best;
            for edge in 0..4 {
                for step in [-2_isize, -1, 1, 2] {
                    let mut cells = best.1;
                    let Some(moved) = cells[edge].checked_add_signed(step) else {
                        continue;
                    };
                    cells[edge] = moved;
                    let [left, upper, right, lower] = cells;
                    let fits = left < middle && upper < middle && right > middle && lower > middle;
                    if !fits || right > GRID || lower > GRID {
                        continue;
                    }
                    let area = ((right - left) * (lower - upper)) as f64 / (UNIT * UNIT);
                    if !(1.0 / MOST_GROWTH..=MOST_GROWTH).contains(&area) {
                        continue;
                    }
                    let contrast = self.contrast(cells);
                    if contrast > next.0 + 1e-3 {
                        next = (contrast, cells);
                    }
                }
            }
            if next.1 == best.1 {
                break;
            }
            best = next;
        }
        best
    }
}

/// Returns the bin of the mean colour at some points. `None` if all of them lie outside the image.
fn mean_bin(frame: &Frame<'_>, points: [(f64, f64); 4]) -> Option<u16> {
    let mut sums = [0_u32; 3];
    let mut count = 0;
    for (x, y) in points {
        if x < 0.0 || y < 0.0 {
            continue;
        }
        if let Some(rgb) = frame.rgb(x as u32, y as u32) {
            for (sum, channel) in sums.iter_mut().zip(rgb) {
                *sum += u32::from(channel);
            }
            count += 1;
        }
    }
    if count == 0 {
        return None;
    }
    let level = |sum: u32| (sum / count) as usize * LEVELS / 256;
    let bin = (level(sums[0]) * LEVELS + level(sums[1])) * LEVELS + level(sums[2]);
    u16::try_from(bin).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ettrack::frame::Encoding;
    use proptest::prelude::*;

    fn picture(width: u32, height: u32, target: &BoundingBox) -> Vec<u8> {
        let mut data = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let inside = f64::from(x) >= target.x
                    && f64::from(x) < target.right()
                    && f64::from(y) >= target.y
                    && f64::from(y) < target.bottom();
                let grain = ((x * 7 + y * 13) % 11) as u8;
                data.extend(if inside {
                    [200 + grain, 60, 40]
                } else {
                    [70, 110 + grain, 80]
                });
            }
        }
        data
    }

    #[test]
    fn finds_a_box_of_one_colour_from_a_point_inside() {
        for target in [
            BoundingBox::new(100.0, 80.0, 40.0, 90.0),
            BoundingBox::new(200.0, 120.0, 24.0, 24.0),
            BoundingBox::new(30.0, 100.0, 150.0, 80.0),
        ] {
            let data = picture(320, 240, &target);
            let frame = Frame::new(&data, 320, 240, 960, Encoding::Rgb8).unwrap();
            let (x, y) = target.center();
            for point in [(x, y), (x + 0.15 * target.width, y - 0.1 * target.height)] {
                let grown = grow_box(&frame, point).unwrap();
                assert!(grown.iou(&target) > 0.6, "{target} from {point:?}: {grown}");
            }
        }
    }

    #[test]
    fn returns_no_box_for_a_point_outside_the_image() {
        let data = [0; 30 * 20 * 3];
        let frame = Frame::new(&data, 30, 20, 90, Encoding::Rgb8).unwrap();
        for point in [
            (-1.0, 5.0),
            (30.0, 5.0),
            (5.0, 20.0),
            (f64::NAN, 5.0),
            (f64::INFINITY, 5.0),
        ] {
            assert_eq!(grow_box(&frame, point), None, "{point:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn grows_a_box_that_contains_the_point_and_lies_in_the_image(
            width in 1_u32..200, height in 1_u32..200, x in 0.0..1.0, y in 0.0..1.0, seed: u8,
        ) {
            let data: Vec<u8> = (0..width * height * 3).map(|k| (k as u8).wrapping_mul(seed)).collect();
            let frame = Frame::new(&data, width, height, width as usize * 3, Encoding::Rgb8).unwrap();
            let point = (x * f64::from(width), y * f64::from(height));
            let grown = grow_box(&frame, point).unwrap();
            prop_assert!(grown.is_valid() && grown.x >= 0.0 && grown.y >= 0.0);
            prop_assert!(grown.right() <= f64::from(width) && grown.bottom() <= f64::from(height));
            prop_assert!(grown.x <= point.0 && point.0 <= grown.right() && grown.y <= point.1 && point.1 <= grown.bottom());
        }
    }
}
