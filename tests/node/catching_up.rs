//! Targets that are chosen in older images and followed to the newest one.

use ettrack::geometry::BoundingBox;
use ettrack_message::*;
use ettrack_node::parameters::{Parameters, Value};
use ettrack_testing::messages::*;

use super::fixture::*;

#[test]
fn starts_a_stamped_detection_in_its_image_and_catches_up() {
    let mut node = Bench::new();
    for index in 0..5 {
        node.frame(index);
    }
    let caught_up = target(&node.detection(stamp(2), "car 7"));
    let expected = BoundingBox::new(4.5, 6.25, 8.0, 4.0);
    assert_eq!(
        node.calls(),
        [
            Call::Initialize(expected, 2),
            Call::Update(3),
            Call::Update(4)
        ]
    );
    assert_eq!(
        (caught_up.header, caught_up.target_id.as_str()),
        (header(4), "car 7")
    );
    assert_eq!(caught_up.bounding_box.center_x, 4.5 + 4.0 + 2.0);
    // The next image continues from there.
    assert_eq!(
        target(&node.frame(5)).bounding_box.center_x,
        4.5 + 4.0 + 3.0
    );
    // A detection without a stamp belongs to the newest image.
    node.calls();
    target(&node.detection(Stamp::default(), ""));
    assert_eq!(node.calls(), [Call::Initialize(expected, 5)]);
}

/// The camera sends three images while one is tracked, and the detection is 40 images old.
#[test]
fn takes_longer_steps_on_a_slow_processor() {
    let mut node = Bench::with(Parameters {
        history_frames: 50,
        ..Parameters::default()
    });
    for index in 0..40 {
        node.frame(index);
    }
    node.see(stamp(0), "late");
    let mut newest = 40;
    let answer = loop {
        assert!(node.core.is_behind());
        node.core.catch_up(&node.clock, &mut node.out);
        let out = std::mem::take(&mut node.out);
        if !out.is_empty() {
            break target(&out);
        }
        // Between two steps the node takes other messages.
        node.core
            .set_parameter("class_id", &Value::Text("target".into()), &mut node.out)
            .unwrap();
        node.overtaken(newest);
        node.overtaken(newest + 1);
        node.message_alone(newest + 2);
        newest += 3;
    };
    assert_eq!(answer.header, header(newest - 1));
    let seen: Vec<_> = node
        .calls()
        .iter()
        .map(|call| match call {
            Call::Initialize(_, image) | Call::Update(image) => i32::from(*image),
            Call::Configure(_) => panic!("nothing changed"),
        })
        .collect();
    assert_eq!(seen[0], 0);
    let steps: Vec<_> = seen.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(steps[0], 1, "{steps:?}");
    assert!(steps.iter().all(|step| (1..=7).contains(step)), "{steps:?}");
    // Catching up with 40 images takes about 80 images.
    assert!(newest < 90, "{newest}");
    // Then every image is answered again.
    assert_eq!(target(&node.frame(newest)).header, header(newest));
    let status = node.diagnostics(1.0).unwrap();
    let count = |name: &str| status.value(name).unwrap().parse::<usize>().unwrap();
    assert_eq!(count("frames received"), newest + 1);
    assert_eq!(
        count("frames processed") + count("frames dropped"),
        newest + 1
    );
}

#[test]
fn stops_catching_up_when_the_target_ends() {
    let behind = || {
        let mut node = Bench::new();
        for index in 0..5 {
            node.frame(index);
        }
        node.see(stamp(0), "late");
        node.core.catch_up(&node.clock, &mut node.out);
        node.message_alone(5);
        assert!(node.core.is_behind() && node.out.is_empty());
        node.calls();
        node
    };
    // The target is given up: immediately, and for the image that waits.
    let mut node = behind();
    node.core.stop(&mut node.out);
    assert_eq!(target(&std::mem::take(&mut node.out)).header, header(4));
    let idle = target(&node.settle());
    assert_eq!((idle.header, idle.state), (header(5), TargetState::Idle));
    // Another region belongs to the image that waits.
    let mut node = behind();
    let chosen = target(&node.roi(ROI));
    assert_eq!((chosen.header, chosen.confidence), (header(5), 1.0));
    assert!(matches!(node.calls()[..], [Call::Initialize(_, 5)]));
    // The node is disabled.
    let mut node = behind();
    node.core.enable(false, &mut node.out);
    assert!(!node.core.is_behind());
    // The source restarts. The remaining images of the old run are not tracked.
    let mut node = behind();
    node.overtaken(0);
    assert_eq!(target(&node.frame(1)).header, header(1));
    assert!(matches!(node.calls()[..], [Call::Update(1)]));
    // Images of another size.
    let mut node = behind();
    node.overtaken_message(6, raw_message(6, 64, 48, &vec![6; 64 * 48 * 3]));
    let out = node.message(7, raw_message(7, 64, 48, &vec![7; 64 * 48 * 3]));
    assert_eq!(target(&out).state, TargetState::Idle);
    assert!(logs(&out)[0].1.contains("choose it anew"), "{out:?}");
}

#[test]
fn drops_a_request_of_the_previous_run_when_a_bag_restarts() {
    let mut node = Bench::new();
    for index in 0..50 {
        node.frame(index);
    }
    node.detection(stamp(55), "old run");
    node.roi(ROI);
    node.detection(stamp(60), "old run");
    let out = node.frame(0);
    assert_eq!(target(&out).target_id, "1");
    assert!(logs(&out)[0].1.contains("set back"), "{out:?}");
    for index in 1..70 {
        assert_eq!(target(&node.frame(index)).target_id, "1");
    }
}

#[test]
fn keeps_a_replaced_image_for_detections_and_counts_it() {
    let mut node = Bench::new();
    node.frame(0);
    node.overtaken(1);
    // A bad image is skipped.
    node.overtaken_message(2, raw_message(2, 32, 24, &[1; 7]));
    node.frame(3);
    target(&node.detection(stamp(1), ""));
    assert!(matches!(
        node.calls()[..],
        [Call::Initialize(_, 1), Call::Update(3)]
    ));
    let status = node.diagnostics(1.0).unwrap();
    assert_eq!(
        (
            status.value("frames received"),
            status.value("frames dropped")
        ),
        (Some("4"), Some("2"))
    );
    assert_eq!(status.value("frames processed"), Some("2"));
}

#[test]
fn catches_up_with_a_target_whose_image_was_replaced() {
    // A region before any image belongs to the first image, although three come at once.
    let mut node = Bench::new();
    assert_eq!(node.roi(ROI), []);
    node.overtaken(0);
    node.overtaken(1);
    let first = target(&node.frame(2));
    assert!(matches!(
        node.calls()[..],
        [Call::Initialize(_, 0), Call::Update(1), Call::Update(2)]
    ));
    assert_eq!(
        (first.header, first.state),
        (header(2), TargetState::Tracking)
    );

    // A detection may come before its image, if images are slower than detections.
    node.detection(stamp(4), "ahead");
    node.frame(3);
    node.calls();
    node.overtaken(4);
    assert_eq!(target(&node.frame(5)).target_id, "ahead");
    assert!(matches!(
        node.calls()[..],
        [Call::Initialize(_, 4), Call::Update(5)]
    ));
}

#[test]
fn answers_a_request_in_the_newer_image_that_waits() {
    let mut node = Bench::new();
    node.roi(ROI);
    node.frame(0);
    node.calls();
    // A region belongs to the newest image.
    node.overtaken(1);
    node.core.newer_waits(true);
    assert_eq!(node.roi(ROI), []);
    assert_eq!(target(&node.frame(2)).target_id, "2");
    assert!(matches!(node.calls()[..], [Call::Initialize(_, 2)]));
    // A detection is followed to it. The images between are not answered.
    node.overtaken(3);
    node.overtaken(4);
    node.core.newer_waits(true);
    node.see(stamp(3), "seen");
    assert_eq!(node.out, []);
    assert_eq!(target(&node.frame(5)).target_id, "seen");
    assert!(matches!(
        node.calls()[..],
        [Call::Initialize(_, 3), Call::Update(4), Call::Update(5)]
    ));
    // If no image waits, the last one is the newest.
    assert_eq!(target(&node.roi(ROI)).header, header(5));
}

#[test]
fn uses_the_next_good_image_when_a_replaced_one_is_bad() {
    let bad = |node: &mut Bench, index: usize| {
        node.overtaken_message(index, raw_message(index, 32, 24, &[1; 7]));
    };
    // A region belongs to the next image.
    let mut node = Bench::new();
    node.roi(ROI);
    bad(&mut node, 0);
    assert_eq!(target(&node.frame(1)).state, TargetState::Tracking);
    assert!(matches!(node.calls()[..], [Call::Initialize(_, 1)]));
    // This also holds if the image is not kept.
    let mut node = Bench::with(Parameters {
        history_frames: 1,
        ..Parameters::default()
    });
    node.roi(ROI);
    bad(&mut node, 0);
    bad(&mut node, 1);
    target(&node.frame(2));
    assert!(matches!(node.calls()[..], [Call::Initialize(_, 2)]));
    // A detection belongs only to the image with its stamp.
    node.detection(stamp(4), "");
    bad(&mut node, 4);
    node.frame(5);
    let status = node.diagnostics(1.0).unwrap();
    let refused = status.value("last refused request").unwrap();
    assert!(
        refused.starts_with("target refused: its image"),
        "{refused}"
    );
}
