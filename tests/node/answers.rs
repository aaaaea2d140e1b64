//! What the node publishes for each image.

use ettrack::geometry::BoundingBox;
use ettrack_message::*;
use ettrack_node::parameters::Value;
use ettrack_node::{Level, Output};
use ettrack_testing::messages::*;

use super::fixture::*;

/// An adapter runs the core on its own thread.
#[test]
fn can_be_moved_between_threads() {
    fn assert_send<T: Send>(_: &T) {}
    assert_send(&Bench::new().core);
}

#[test]
fn answers_each_image_under_its_header_idle_tracking_lost_and_found() {
    let mut node = Bench::new();
    let idle = target(&node.frame(0));
    assert_eq!(
        idle,
        TrackedTarget {
            header: header(0),
            ..TrackedTarget::default()
        }
    );

    // A region is applied to the newest image and answered immediately.
    let chosen = target(&node.roi(ROI));
    assert_eq!(
        (chosen.state, chosen.target_id.as_str()),
        (TargetState::Tracking, "1")
    );
    assert_eq!((chosen.header, chosen.confidence), (header(0), 1.0));
    assert_eq!(
        (chosen.bounding_box.center_x, chosen.bounding_box.center_y),
        (8.0, 8.0)
    );
    assert_eq!(
        (chosen.offset_x, chosen.offset_y),
        (2.0 * 8.0 / 32.0 - 1.0, 2.0 * 8.0 / 24.0 - 1.0)
    );
    assert_eq!(chosen.bearing, None, "no camera_info");

    let next = target(&node.frame(1));
    assert_eq!(
        (next.state, next.header, next.bounding_box.center_x),
        (TargetState::Tracking, header(1), 9.0)
    );
    assert_eq!(next.confidence, 0.9);
    let lost = target(&node.frame_of(2, 210));
    assert_eq!(
        (lost.state, lost.target_id.as_str(), lost.confidence),
        (TargetState::Lost, "1", 0.1)
    );
    assert_eq!(target(&node.frame(3)).state, TargetState::Tracking);
    assert_eq!(node.core.state(), TargetState::Tracking);

    // A new region at any time is a new target.
    assert_eq!(target(&node.roi(ROI)).target_id, "2");
    let expected = BoundingBox::new(4.0, 6.0, 8.0, 4.0);
    assert_eq!(
        node.calls(),
        [
            Call::Initialize(expected, 0),
            Call::Update(1),
            Call::Update(210),
            Call::Update(3),
            Call::Initialize(expected, 3),
        ]
    );

    assert_eq!(node.core.stop(&mut node.out), "stopped following target 2");
    let out = std::mem::take(&mut node.out);
    assert_eq!(
        (target(&out).state, target(&out).header),
        (TargetState::Idle, header(3))
    );
    assert_eq!(target(&node.frame(4)).state, TargetState::Idle);
    assert_eq!(node.core.stop(&mut node.out), "no target to stop");
}

#[test]
fn reports_a_failing_tracker_and_counts_the_target_as_lost() {
    let mut node = Bench::new();
    node.frame(0);
    node.roi(ROI);
    let out = node.frame_of(1, 255);
    let failed = target(&out);
    assert_eq!((failed.state, failed.confidence), (TargetState::Lost, 0.0));
    assert!(matches!(&logs(&out)[..], [(Level::Error, _)]), "{out:?}");
    assert_eq!(target(&node.frame(2)).state, TargetState::Tracking);
    assert_eq!(
        node.diagnostics(1.0).unwrap().value("tracking errors"),
        Some("1")
    );
}

#[test]
fn ignores_everything_while_disabled() {
    let mut node = Bench::new();
    node.frame(0);
    node.roi(ROI);
    assert!(
        node.core
            .enable(false, &mut node.out)
            .starts_with("disabled")
    );
    assert_eq!(
        target(&std::mem::take(&mut node.out)).state,
        TargetState::Idle
    );
    assert!(
        node.core
            .enable(false, &mut node.out)
            .starts_with("was disabled")
    );
    let seen = node.core.glance().expect("the last answer");
    assert!(seen.target.is_none() && seen.kept.is_none());
    node.calls();
    assert!(node.frame(1).is_empty());
    let out = node.roi(ROI);
    assert!(logs(&out)[0].1.contains("disabled"), "{out:?}");
    assert!(node.calls().is_empty());
    assert_eq!(node.diagnostics(1.0).unwrap().message, "disabled");
    assert_eq!(node.core.enable(true, &mut node.out), "enabled");
    assert!(node.core.glance().is_none(), "an old image is not shown");
    assert_eq!(
        target(&node.frame(2)).state,
        TargetState::Idle,
        "an old target does not come back"
    );
}

#[test]
fn draws_the_overlay_once_for_the_newest_answered_image() {
    let mut node = Bench::new();
    let drawn = |node: &mut Bench| {
        node.core.draw_overlay(&mut node.out);
        std::mem::take(&mut node.out)
    };
    assert_eq!(drawn(&mut node), [], "no image yet");
    node.frame(0);
    node.roi(ROI);
    node.frame(1);
    let out = drawn(&mut node);
    let [
        Output::Overlay {
            header: shown,
            width: 32,
            height: 24,
            data,
        },
    ] = &out[..]
    else {
        panic!("{out:?}")
    };
    assert_eq!((shown, data.len()), (&header(1), 32 * 24 * 3));
    assert!(data.iter().any(|value| *value != 1), "the box is drawn");
    assert_eq!(drawn(&mut node), [], "no new image");
    // A replaced image was not answered.
    node.overtaken(2);
    node.core.stop(&mut node.out);
    node.out.clear();
    assert!(
        matches!(&drawn(&mut node)[..], [Output::Overlay { header: shown, .. }] if *shown == header(1))
    );
    node.core
        .set_parameter("publish_overlay", &Value::Bool(false), &mut node.out)
        .unwrap();
    node.frame(3);
    assert_eq!(drawn(&mut node), [], "switched off");
}

#[test]
fn gives_a_bearing_with_a_calibrated_camera() {
    let mut node = Bench::new();
    let camera = CameraInfo {
        width: 32,
        height: 24,
        k: [10.0, 0.0, 15.5, 0.0, 10.0, 11.5, 0.0, 0.0, 1.0],
        ..CameraInfo::default()
    };
    node.core
        .on_camera_info(&camera.to_cdr(), &node.clock, &mut node.out);
    assert_eq!(target(&node.frame(0)).bearing, None, "idle");
    // Centre (26, 12): 10 pixels right of the principal point at a focal length of 10.
    let out = node.roi(RegionOfInterest {
        x_offset: 22,
        y_offset: 8,
        width: 8,
        height: 8,
        do_rectify: false,
    });
    let [x, y, z] = target(&out).bearing.unwrap();
    let half = 0.5_f64.sqrt();
    assert!(
        (x - half).abs() < 1e-12 && y.abs() < 1e-12 && (z - half).abs() < 1e-12,
        "{x} {y} {z}"
    );
    let status = node.diagnostics(1.0).unwrap();
    assert_eq!(status.value("bearing"), Some("given"));
    // An unknown lens gives no bearing.
    let unknown = CameraInfo {
        distortion_model: "fisheye of my own".into(),
        d: vec![0.1],
        ..camera.clone()
    };
    node.core
        .on_camera_info(&unknown.to_cdr(), &node.clock, &mut node.out);
    let reason = node.diagnostics(1.0).unwrap();
    let reason = reason.value("bearing").unwrap();
    assert!(reason.contains("unknown distortion model"), "{reason}");
    // A calibration for another image size would give a wrong direction.
    let other = CameraInfo {
        width: 64,
        height: 48,
        ..camera
    };
    node.core
        .on_camera_info(&other.to_cdr(), &node.clock, &mut node.out);
    let out = node.frame(1);
    assert_eq!(target(&out).bearing, None);
    let [(Level::Warn, line)] = &logs(&out)[..] else {
        panic!("{out:?}")
    };
    assert!(
        line.contains("images of 32x24") && line.contains("64x48"),
        "{line}"
    );
    assert!(logs(&node.frame(2)).is_empty(), "said once");
}
