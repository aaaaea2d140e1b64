//! Cells outside the frame: they are the authors' of STARK, a network that takes them gets them, and manifests and graphs
//! that do not fit are refused.

use ettrack::crop::{Padding, SearchWindow, outside};
use ettrack::{BoundingBox, Encoding, Frame};
use ettrack_testing::parity::goldens;
use ettrack_testing::small_model::{changed, committed};
use ndarray::Array2;

const STARK: Padding = Padding {
    color: [0; 3],
    drops_last: true,
};

/// Six boxes inside, across and beyond the borders of one frame.
#[test]
fn cells_outside_equal_the_authors() {
    let mut npz = goldens(&ettrack_testing::data("family").join("outside.npz"));
    let boxes: Array2<f64> = npz.by_name("boxes").expect("boxes");
    let bytes = vec![0; 3 * 320 * 240];
    let frame = Frame::packed(&bytes, 320, 240, Encoding::Rgb8).expect("it fits");
    let mut cells_outside = 0;
    for (case, row) in boxes.rows().into_iter().enumerate() {
        for (kind, factor, size) in [("t", 2.0, 128), ("s", 5.0, 320)] {
            let side = ((row[2] * row[3]).sqrt() * factor).ceil();
            let corner = [0, 1].map(|axis| row[axis] + 0.5 * row[axis + 2] - 0.5 * side);
            let window = SearchWindow::from_corner((corner[0], corner[1]), side as u32);
            let mut cells = vec![9.0; (size / 16) * (size / 16)];
            outside(&frame, window.into(), &STARK, size, 16, &mut cells);
            let expected: Array2<u8> = npz.by_name(&format!("{kind}_{case}")).expect("cells");
            let expected: Vec<f32> = expected.iter().map(|&cell| f32::from(cell)).collect();
            assert_eq!(cells, expected, "case {case} {kind}");
            cells_outside += cells.iter().filter(|&&cell| cell == 1.0).count();
        }
    }
    assert!(cells_outside > 500, "{cells_outside}");
}

/// A cell lies outside if its first pixel takes any share of a pixel outside.
#[test]
fn the_smallest_share_from_outside_counts() {
    let bytes = vec![0; 40 * 40];
    let frame = Frame::packed(&bytes, 40, 40, Encoding::Mono8).expect("it fits");
    let padding = Padding::new([0; 3]);
    // Output pixels 0, 8, 16 and 24 are 0.25, 10.25, 20.25 and 30.25 pixels from the window's first pixel.
    let first_column = |x: i64| {
        let window = SearchWindow { x, y: 0, side: 40 };
        let mut cells = [0.0; 16];
        outside(&frame, window.into(), &padding, 32, 8, &mut cells);
        assert_eq!(cells[..4], cells[12..], "all rows are alike");
        [cells[0], cells[1], cells[2], cells[3]]
    };
    assert_eq!(first_column(0), [0.0, 0.0, 0.0, 0.0]);
    assert_eq!(first_column(-1), [1.0, 0.0, 0.0, 0.0]);
    assert_eq!(first_column(-10), [1.0, 0.0, 0.0, 0.0]);
    assert_eq!(first_column(-11), [1.0, 1.0, 0.0, 0.0]);
    // The pixel at 30.25 takes a quarter of pixel 31 of the window, which is the frame's pixel 40.
    assert_eq!(first_column(8), [0.0, 0.0, 0.0, 0.0]);
    assert_eq!(first_column(9), [0.0, 0.0, 0.0, 1.0]);
    // A window that ends at the border or beyond it loses the last column, if the padding says so.
    let window = SearchWindow {
        x: 8,
        y: 0,
        side: 40,
    };
    let mut cells = [0.0; 16];
    outside(&frame, window.into(), &STARK, 32, 8, &mut cells);
    assert_eq!(cells[..4], [0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn a_network_gets_the_cells_of_template_and_search_image() {
    let mut tracker = committed("outside_cells");
    let bytes = vec![0; 100 * 80];
    let frame = Frame::packed(&bytes, 100, 80, Encoding::Mono8).expect("it fits");
    let mut seen = |target| {
        tracker.initialize(&frame, target).expect("a target");
        tracker.update(&frame).expect("a track");
        tracker.inspect().outputs[0].clone()
    };
    // The search window has 40 pixels a side and lies inside.
    let inside = seen(BoundingBox::new(45.0, 35.0, 10.0, 10.0));
    assert_eq!(inside, [0.0, 0.0, 0.0, 0.0]);
    // It begins 15 pixels to the left of the frame, and the template window 5 pixels. The first two of four columns of
    // cells lie outside, and the first of two.
    let left = seen(BoundingBox::new(0.0, 35.0, 10.0, 10.0));
    assert_eq!(left, [0.5, 0.5, 0.0, 0.5]);
    // The last column (row) of cells begins 30 pixels after the window's first one.
    let corner = seen(BoundingBox::new(90.0, 70.0, 10.0, 10.0));
    assert_eq!(corner[2..], [1.0, 1.0]);
}

#[test]
fn manifests_and_graphs_that_do_not_fit_are_refused() {
    changed("outside_cells", &[]).expect("unchanged it opens");
    for (changes, words) in [
        (
            &[("  outside_input: search_outside\n", "")][..],
            "the list of inputs",
        ),
        (
            &[(
                "outside_input: search_outside",
                "outside_input: template_outside",
            )],
            "*.input is template_outside twice, expected tensors of different names",
        ),
        (
            &[("outside_input: search_outside", "outside_input: mask")],
            "expected one called mask",
        ),
        (
            &[(
                "outside_input: search_outside",
                "outside_input: search_outside\n  cells: 4",
            )],
            "search.cells is 4, expected nothing: in the family single_box it does nothing",
        ),
        (
            &[("stride: 8", "stride: 4")],
            "search_outside is Tensor<f32>(1, 4, 4), expected Tensor<f32>[1, 8, 8]",
        ),
        (
            &[("stride: 8", "stride: 12")],
            "template.size is [16] at a stride of 12, expected multiples of search.stride",
        ),
        (
            &[
                ("stride: 8", "stride: 12"),
                ("  outside_input: template_outside\n", ""),
            ],
            "search.sizes is [32] at a stride of 12, expected multiples of search.stride",
        ),
        (
            &[("  size: 16", "  refreshed_input: second\n  size: 16")],
            "template.refreshed_outside_input is missing, expected a name with template.outside_input and template.refreshed_input",
        ),
        (
            &[("family: single_box", "family: centre_head")],
            "template.outside_input is template_outside, expected nothing: in the family centre_head",
        ),
    ] {
        let error = changed("outside_cells", changes).expect_err(words);
        assert!(error.contains(words), "{error}\nexpected: {words}");
    }
}
