//! Which cells of a network's image lie outside the frame, as STARK's crop says it (Yan et al., ICCV 2021).

use super::sampling::{Resize, Sampling, Warp};
use super::{Padding, View};
use crate::frame::Frame;

/// Writes 1 for each cell of `view` that lies outside the frame and 0 for the others: row-major, a cell for every `stride`
/// pixels along both axes of an image of `size` pixels a side.
///
/// Of a cell its first pixel counts. It lies outside if the interpolation takes any share of it from outside the image. With
/// [`Padding::drops_last`] the image's last column (row) also counts as outside where the crop leaves it out.
///
/// # Panics
/// Where `cells` does not hold (size / stride)^2 numbers.
pub fn outside(
    frame: &Frame<'_>,
    view: View,
    padding: &Padding,
    size: usize,
    stride: usize,
    cells: &mut [f32],
) {
    let side = size / stride;
    assert_eq!(cells.len(), side * side, "cells of {size} x {size} pixels");
    match view {
        View::Pixels(window) => {
            let sampling = Resize::new(frame, &window, padding, size);
            fill(&sampling, side, stride, cells);
        }
        View::SubPixel(window) => fill(&Warp::new(frame, &window, size), side, stride, cells),
    }
}

fn fill(sampling: &impl Sampling, side: usize, stride: usize, cells: &mut [f32]) {
    let (width, height) = sampling.extent();
    let crosses = |(first, last): (i64, i64), pixels: i64| first < 0 || last >= pixels;
    for (row, cells) in cells.chunks_exact_mut(side).enumerate() {
        let is_outside = crosses(sampling.rows_of(row * stride), height);
        for (column, cell) in cells.iter_mut().enumerate() {
            let is_outside = is_outside || crosses(sampling.columns_of(column * stride), width);
            *cell = f32::from(u8::from(is_outside));
        }
    }
}
