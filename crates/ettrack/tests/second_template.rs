//! A second template image that is refreshed: the network gets its cells outside the frame and the target's box in it, and
//! manifests and graphs that do not fit are refused.

use ettrack::model::Constants;
use ettrack::{BoundingBox, Encoding, Frame, LostMode, ModelFolder, Tracker, TrackerOptions};
use ettrack_testing::small_model::{changed, committed};

const SIZE: (u32, u32) = (100, 80);

/// An evenly gray frame. The score of the models is the mean level of the search image, 0 to 1, and black outside counts.
fn gray(level: u8) -> Vec<u8> {
    vec![level; (SIZE.0 * SIZE.1) as usize]
}

fn frame(bytes: &[u8]) -> Frame<'_> {
    Frame::packed(bytes, SIZE.0, SIZE.1, Encoding::Mono8).expect("it fits")
}

#[test]
fn a_network_gets_the_cells_of_the_second_template() {
    let mut tracker = committed("refreshed_outside");
    let bright = gray(255);
    // The box's centre has the shares of the templates' cells outside. They are zero, so the target goes half a region to
    // the upper left in each frame, until it is at the corner.
    let target = BoundingBox::new(45.0, 35.0, 10.0, 10.0);
    tracker
        .initialize(&frame(&bright), target)
        .expect("it fits");
    let mut seen = |bytes: &[u8]| {
        let track = tracker.update(&frame(bytes)).expect("a track");
        let outputs = tracker.inspect().outputs;
        (outputs[0][..2].to_vec(), track.bounding_box)
    };
    assert_eq!(seen(&bright).0, [0.0, 0.0]);
    // The second frame gives the second template: 20 pixels a side, from (0, -5) on. The upper one of two rows of cells is
    // outside.
    let (shares, found) = seen(&bright);
    assert_eq!(shares, [0.0, 0.0]);
    assert_eq!(found, BoundingBox::new(5.0, 0.0, 10.0, 10.0));
    let (shares, found) = seen(&bright);
    assert_eq!(shares, [0.0, 0.5]);
    assert_eq!(found, BoundingBox::new(0.0, 0.0, 10.0, 10.0));
    // The score of the fourth frame is not above 0.3, so the second template stays.
    seen(&gray(51));
    for _ in 5..=6 {
        assert_eq!(seen(&bright).0, [0.0, 0.5]);
    }
    // The sixth one gives a template at the corner: three of four cells are outside.
    assert_eq!(seen(&bright).0, [0.0, 0.75]);
    // With a new target both templates are those of its first frame again.
    let target = BoundingBox::new(0.0, 35.0, 10.0, 10.0);
    tracker
        .initialize(&frame(&bright), target)
        .expect("it fits");
    tracker.update(&frame(&bright)).expect("a track");
    assert_eq!(tracker.inspect().outputs[0][..2], [0.5, 0.5]);
}

/// The box in a template image of 16 pixels, with the centre half a pixel left of and above the image's.
fn box_in_template(found: &BoundingBox) -> [f32; 4] {
    let side = (2.0 * found.area().sqrt()).ceil();
    let [half_width, half_height] = [found.width, found.height].map(|length| 8.0 * length / side);
    [-half_width, -half_height, half_width, half_height].map(|place| (7.5 + place) as f32 / 16.0)
}

fn assert_close(ours: &[f32], expected: &[f32]) {
    assert_eq!(ours.len(), expected.len());
    let fits = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-6;
    assert!(ours.iter().zip(expected).all(fits), "{ours:?} {expected:?}");
}

#[test]
fn a_network_gets_the_targets_box_in_the_second_template() {
    let mut tracker = committed("refreshed_box");
    // Times the window of the best cell, 0.818, these scores are 0.327 and 0.286.
    let (above, below) = (gray(102), gray(89));
    let first = BoundingBox::new(45.0, 35.0, 10.0, 10.0);
    tracker.initialize(&frame(&above), first).expect("it fits");
    let mut seen = |bytes: &[u8]| {
        let track = tracker.update(&frame(bytes)).expect("a track");
        let boxes = tracker.inspect().outputs[2][..8].to_vec();
        assert_close(&boxes[..4], &box_in_template(&first));
        (boxes[4..].to_vec(), track.bounding_box)
    };
    // The box is twice as high as wide, once it is larger than the smallest box.
    seen(&above);
    let (second, found) = seen(&above);
    assert_close(&second, &box_in_template(&first));
    assert!((found.height / found.width - 2.0).abs() < 1e-6, "{found}");
    let expected = box_in_template(&found);
    assert!((expected[0] - box_in_template(&first)[0]).abs() > 0.05);
    // The network sees the box of the second frame from the third frame on. The score of the fourth frame is too low.
    for bytes in [&above, &below, &above] {
        assert_close(&seen(bytes).0, &expected);
    }
    // The sixth frame refreshes it. Its box has the same shape and another size, so the rounded window differs.
    let (second, found) = seen(&above);
    assert_close(&second, &expected);
    let (second, _) = seen(&above);
    assert_close(&second, &box_in_template(&found));
    assert!((second[0] - expected[0]).abs() > 1e-5, "{second:?}");
}

#[test]
fn manifests_and_graphs_that_do_not_fit_are_refused() {
    let (outside, with_box) = ("refreshed_outside", "refreshed_box");
    for name in [outside, with_box] {
        changed(name, &[]).expect("unchanged it opens");
    }
    for (name, changes, words) in [
        (
            outside,
            &[("second_template_outside", "mask")][..],
            "the list of inputs is template, second_template, search, template_outside, second_template_outside, search_outside, expected search, search_outside, template, second_template, template_outside, mask",
        ),
        (
            outside,
            &[("  refreshed_outside_input: second_template_outside\n", "")],
            "template.refreshed_outside_input is missing, expected a name with template.outside_input and template.refreshed_input, else none",
        ),
        (
            outside,
            &[("  outside_input: template_outside\n", "")],
            "template.refreshed_outside_input is second_template_outside, expected a name with template.outside_input",
        ),
        (
            outside,
            &[
                ("  refreshed_input: second_template\n", ""),
                ("  refreshed_from: last\n", ""),
            ],
            "template.refreshed_outside_input is second_template_outside, expected a name with template.outside_input and template.refreshed_input",
        ),
        (
            outside,
            &[("  refreshed_input: second_template\n", "")],
            "template.refreshed_from is without template.refreshed_input, expected a model with a second template image",
        ),
        (
            outside,
            &[("refreshed_from: last", "refreshed_from: first")],
            "unknown variant `first`, expected `best` or `last`",
        ),
        (
            outside,
            &[("second_template_outside", "template_outside")],
            "*.input is template_outside twice, expected tensors of different names",
        ),
        (
            outside,
            &[(
                "update_above: 0.3",
                "update_above: 0.3\n    score_decay: 0.9",
            )],
            "tracking.default.score_decay is 0.9, expected nothing: without `template.refreshed_input`, `outputs.score` and `template.refreshed_from: best` it does nothing",
        ),
        (
            outside,
            &[("    update_interval: 2\n", "")],
            "tracking.*.update_interval is missing, expected given, for the family single_box",
        ),
        (
            outside,
            &[(
                "tracking:\n",
                "tracking:\n  other:\n    update_above: 0.3\n    update_interval: 2.5\n",
            )],
            "tracking.*.update_interval is 2.5, expected a whole number",
        ),
        (
            with_box,
            &[("    update_above: 0.3\n", "")],
            "tracking.*.update_above is missing, expected given, for the family centre_head",
        ),
        (
            with_box,
            &[("update_interval: 2", "update_interval: 2.5")],
            "tracking.*.update_interval is 2.5, expected a whole number",
        ),
        (
            with_box,
            &[("second_template_box", "place")],
            "the list of inputs is template, second_template, search, template_box, second_template_box, expected search, template, second_template, template_box, place",
        ),
        (
            with_box,
            &[("  refreshed_box_input: second_template_box\n", "")],
            "template.refreshed_box_input is missing, expected a name with template.box_input and template.refreshed_input, else none",
        ),
        (
            with_box,
            &[
                ("  box_input: template_box\n", ""),
                ("  refreshed_box_input: second_template_box\n", ""),
            ],
            "the list of inputs is template, second_template, search, template_box, second_template_box, expected search, template, second_template",
        ),
        (
            with_box,
            &[
                ("box_input: template_box", "outside_input: template_box"),
                (
                    "refreshed_box_input: second_template_box",
                    "refreshed_outside_input: second_template_box",
                ),
            ],
            "template.outside_input is template_box, expected nothing: in the family centre_head",
        ),
    ] {
        let error = changed(name, changes).expect_err(words);
        assert!(error.contains(words), "{error}\nexpected: {words}");
    }
}

/// `score_decay` acts with the other rule.
#[test]
fn the_best_frame_of_an_interval_may_also_refresh_a_second_template_with_a_box() {
    let best = ("refreshed_from: last", "refreshed_from: best");
    let decay = (
        "update_above: 0.3",
        "update_above: 0.3\n    score_decay: 0.9",
    );
    let mut tracker = changed("refreshed_box", &[best, decay]).expect("it fits");
    let first = BoundingBox::new(45.0, 35.0, 10.0, 10.0);
    tracker
        .initialize(&frame(&gray(102)), first)
        .expect("it fits");
    // The first frame gives the template, and the second one shows it.
    let found = tracker.update(&frame(&gray(102))).expect("a track");
    let expected = box_in_template(&found.bounding_box);
    for level in [80, 80, 80] {
        tracker.update(&frame(&gray(level))).expect("a track");
    }
    assert_close(&tracker.inspect().outputs[2][4..8], &expected);
    // No frame of the next interval was good enough, so it is the first template again.
    tracker.update(&frame(&gray(80))).expect("a track");
    assert_close(
        &tracker.inspect().outputs[2][4..8],
        &box_in_template(&first),
    );
}

#[test]
fn the_constants_of_the_rule_can_be_overridden() {
    let model = ModelFolder::open(ettrack_testing::data("refreshed_box")).expect("it is committed");
    let never = Constants::from_iter([("update_interval", 1000.0)]);
    let options = TrackerOptions::default()
        .with_threads(1)
        .with_lost(LostMode::Off)
        .with_overrides(never);
    let mut tracker = Tracker::from_model(model, &options).expect("it fits");
    let first = BoundingBox::new(45.0, 35.0, 10.0, 10.0);
    tracker
        .initialize(&frame(&gray(102)), first)
        .expect("it fits");
    for _ in 0..4 {
        tracker.update(&frame(&gray(102))).expect("a track");
        let seen = &tracker.inspect().outputs[2][4..8];
        assert_close(seen, &box_in_template(&first));
    }
}
