//! Targets that are chosen by regions and detections.

use ettrack::geometry::BoundingBox;
use ettrack_message::*;
use ettrack_node::Level;
use ettrack_node::parameters::Parameters;
use ettrack_testing::messages::*;

use super::fixture::*;

/// An image with a bright square on dark ground.
fn square_message(index: usize) -> Vec<u8> {
    let mut data = vec![20; 96 * 72 * 3];
    for (at, value) in data.iter_mut().enumerate() {
        let (x, y) = (at / 3 % 96, at / 3 / 96);
        if (40..56).contains(&x) && (24..40).contains(&y) {
            *value = 190;
        }
    }
    raw_message(index, 96, 72, &data)
}

fn point_message(stamp: Stamp, x: f64, y: f64) -> Vec<u8> {
    PointStamped {
        header: Header {
            stamp,
            frame_id: "camera_optical".into(),
        },
        point: Point { x, y, z: 0.0 },
    }
    .to_cdr()
}

#[test]
fn keeps_a_region_until_the_first_image() {
    let mut node = Bench::new();
    assert!(node.roi(ROI).is_empty());
    let first = target(&node.frame(0));
    assert_eq!(
        (first.state, first.header),
        (TargetState::Tracking, header(0))
    );
    assert_eq!(node.calls().len(), 1);
    assert!(Bench::new().roi(ROI).is_empty());
    let mut node = Bench::new();
    node.roi(ROI);
    assert_eq!(
        node.core.stop(&mut node.out),
        "the waiting request was dropped"
    );
    assert_eq!(target(&node.frame(0)).state, TargetState::Idle);
}

#[test]
fn does_not_number_a_target_with_the_id_given_last() {
    let mut node = Bench::new();
    node.frame(0);
    assert_eq!(target(&node.detection(stamp(0), "1")).target_id, "1");
    assert_eq!(target(&node.roi(ROI)).target_id, "2");
    assert_eq!(target(&node.detection(stamp(0), "3")).target_id, "3");
    node.core.stop(&mut node.out);
    node.out.clear();
    assert_eq!(target(&node.roi(ROI)).target_id, "4");
}

#[test]
fn does_not_count_a_bad_request_as_a_bad_image() {
    let mut node = Bench::with(Parameters {
        diagnostics_period: 0.1,
        ..Parameters::default()
    });
    node.frame(0);
    node.diagnostics(1.0).unwrap();
    let mut out = Vec::new();
    node.core.on_roi(&[1, 2, 3], &node.clock, &mut out);
    let status = node.diagnostics(0.1).unwrap();
    assert_eq!(
        (status.level, status.message.as_str()),
        (DiagnosticLevel::Warn, "1 bad messages")
    );
}

#[test]
fn tracks_the_old_target_when_a_waiting_one_is_refused() {
    let mut node = Bench::new();
    node.roi(ROI);
    node.frame(0);
    node.calls();
    let beyond = Detection2D {
        header: header(1),
        results: Vec::new(),
        bbox: BoundingBox::new(400.0, 6.0, 8.0, 4.0).into(),
        id: "beyond".into(),
    };
    node.core
        .on_detection(&beyond.to_cdr(), &node.clock, &mut node.out);
    let followed = target(&node.frame(1));
    assert!(matches!(node.calls()[..], [Call::Update(1)]));
    assert_eq!(
        (followed.target_id.as_str(), followed.state),
        ("1", TargetState::Tracking)
    );
}

#[test]
fn gives_the_old_target_up_if_the_network_fails_at_the_choice_of_a_new_one() {
    for waits in [false, true] {
        let mut node = Bench::new();
        node.frame(0);
        node.roi(ROI);
        let answer = if waits {
            node.core.newer_waits(true);
            node.roi(ROI);
            node.frame_of(1, 255)
        } else {
            node.frame_of(1, 255);
            node.roi(ROI)
        };
        assert_eq!(target(&answer).state, TargetState::Idle, "{answer:?}");
        let lines = logs(&answer);
        assert!(
            lines
                .iter()
                .any(|(_, line)| line.contains("out of memory; target 1 is given up")),
            "{lines:?}"
        );
        assert_eq!(target(&node.frame(2)).state, TargetState::Idle);
        node.roi(ROI);
        assert_eq!(target(&node.frame(3)).state, TargetState::Tracking);
    }
}

#[test]
fn grows_a_box_around_a_point_in_the_image_of_its_stamp() {
    let mut bench = Bench::new();
    for index in 1..=3 {
        bench.message(index, square_message(index));
    }
    bench.calls();
    let square = BoundingBox::new(40.0, 24.0, 16.0, 16.0);
    let is_square =
        |call: &Call| matches!(call, Call::Initialize(grown, _) if grown.iou(&square) > 0.6);
    let point = point_message(stamp(2), 47.0, 33.0);
    bench.core.on_point(&point, &bench.clock, &mut bench.out);
    let out = bench.settle();
    assert_eq!(target(&out).header.stamp, stamp(3), "caught up with");
    let calls = bench.calls();
    assert!(is_square(&calls[0]), "{calls:?}");
    assert_eq!(
        calls.len(),
        2,
        "one step from the second image to the third"
    );
    // Without a stamp, in the newest image.
    let pixel = Point {
        x: 47.0,
        y: 33.0,
        z: 0.0,
    };
    bench
        .core
        .on_pixel(&pixel.to_cdr(), &bench.clock, &mut bench.out);
    let out = bench.settle();
    assert_eq!(
        (target(&out).header.stamp, target(&out).target_id.as_str()),
        (stamp(3), "2")
    );
    let calls = bench.calls();
    assert!(is_square(&calls[0]) && calls.len() == 1, "{calls:?}");
    // One ahead of all images waits for its image.
    let point = point_message(stamp(5), 47.0, 33.0);
    bench.core.on_point(&point, &bench.clock, &mut bench.out);
    bench.settle();
    assert_eq!(target(&bench.message(4, square_message(4))).target_id, "2");
    assert_eq!(target(&bench.message(5, square_message(5))).target_id, "3");
}

#[test]
fn keeps_the_old_target_when_a_point_is_outside_the_image() {
    let mut bench = Bench::new();
    bench.message(1, square_message(1));
    bench.roi(ROI);
    for (x, y, words) in [
        (
            96.0,
            10.0,
            "the point 96, 10 lies outside the image of 96x72 pixels",
        ),
        (-1.0, 10.0, "outside the image"),
        (f64::NAN, 1.0, "expected a point in pixels"),
        (1.0, f64::INFINITY, "expected a point in pixels"),
    ] {
        let pixel = Point { x, y, z: 0.0 };
        bench
            .core
            .on_pixel(&pixel.to_cdr(), &bench.clock, &mut bench.out);
        bench.settle();
        let status = bench.diagnostics(1.0).unwrap();
        let refused = &status
            .values
            .iter()
            .find(|(key, _)| key == "last refused request")
            .unwrap()
            .1;
        assert!(refused.contains(words), "{refused}");
        assert_eq!(bench.core.state(), TargetState::Tracking);
    }
    bench
        .core
        .on_point(&[0, 1, 0, 0, 9], &bench.clock, &mut bench.out);
    bench
        .core
        .on_pixel(&[0, 1, 0, 0], &bench.clock, &mut bench.out);
    bench.settle();
    let status = bench.diagnostics(1.0).unwrap();
    let last = &status
        .values
        .iter()
        .find(|(key, _)| key == "last bad message")
        .unwrap()
        .1;
    assert!(last.contains("initial_pixel"), "{last}");
}

#[test]
fn refuses_a_detection_without_its_image_or_waits_for_it() {
    let parameters = Parameters {
        history_frames: 3,
        ..Parameters::default()
    };
    let mut node = Bench::with(parameters);
    for index in 0..6 {
        node.frame(index);
    }
    for old in [0, 2] {
        node.clock.now.set(node.clock.now.get() + 2_000_000_000);
        let out = node.detection(stamp(old), "");
        let [(Level::Warn, line)] = &logs(&out)[..] else {
            panic!("{out:?}")
        };
        assert!(
            line.contains("no image with its stamp") && line.contains("history_frames"),
            "{line}"
        );
    }
    assert_eq!(node.core.state(), TargetState::Idle);
    // It came before its image, so it waits.
    assert!(node.detection(stamp(7), "early").is_empty());
    assert_eq!(target(&node.frame(6)).state, TargetState::Idle);
    let found = target(&node.frame(7));
    assert_eq!(
        (found.state, found.target_id.as_str()),
        (TargetState::Tracking, "early")
    );
    // The image never comes.
    let between = Stamp {
        nanosec: stamp(8).nanosec + 5,
        ..stamp(8)
    };
    node.detection(between, "");
    node.clock.now.set(node.clock.now.get() + 2_000_000_000);
    node.frame(8);
    let out = node.frame(9);
    assert_eq!(target(&out).target_id, "early", "the old target goes on");
    assert!(
        logs(&out)[0].1.contains("no image with the stamp"),
        "{out:?}"
    );
}

#[test]
fn drops_a_waiting_request_when_a_newer_one_comes() {
    let mut node = Bench::new();
    node.frame(0);
    node.detection(stamp(2), "early");
    let waits_for = |node: &mut Bench| {
        let status = node.diagnostics(1.0).unwrap();
        status.value("target waits for").map(str::to_owned)
    };
    let seconds = stamp(2).as_nanoseconds() as f64 * 1e-9;
    let expected = format!("the image of {seconds:.3}");
    assert_eq!(waits_for(&mut node), Some(expected));
    let chosen = target(&node.roi(ROI));
    assert_eq!(chosen.state, TargetState::Tracking);
    assert_eq!(waits_for(&mut node), None);
    assert_eq!(
        target(&node.frame(2)).target_id,
        chosen.target_id,
        "its image comes too late"
    );
    // A refused request changes nothing.
    node.detection(stamp(4), "next");
    node.roi(RegionOfInterest { width: 0, ..ROI });
    assert_eq!(target(&node.frame(4)).target_id, "next");
}

#[test]
fn refuses_wrong_targets_with_the_reason_and_keeps_the_old_one() {
    let mut node = Bench::new();
    node.frame(0);
    target(&node.roi(ROI));
    for (roi, words) in [
        (RegionOfInterest { width: 0, ..ROI }, "width 0"),
        (RegionOfInterest { height: 0, ..ROI }, "height 0"),
        (
            RegionOfInterest {
                x_offset: 99,
                ..ROI
            },
            "outside the image",
        ),
    ] {
        node.clock.now.set(node.clock.now.get() + 2_000_000_000);
        let out = node.roi(roi);
        let [(Level::Warn, line)] = &logs(&out)[..] else {
            panic!("{out:?}")
        };
        assert!(line.contains(words), "{line}");
        let status = node.diagnostics(1.0).unwrap();
        assert!(
            status
                .value("last refused request")
                .unwrap()
                .contains(words)
        );
    }
    let out = node.detection(Stamp { sec: 0, nanosec: 1 }, "");
    assert_eq!(out.len(), 1);
    let next = target(&node.frame(1));
    assert_eq!(
        (next.state, next.target_id.as_str()),
        (TargetState::Tracking, "1")
    );
}
