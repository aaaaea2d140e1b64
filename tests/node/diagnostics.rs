//! The node's diagnostics and warnings.

use std::time::Duration;

use ettrack_message::*;
use ettrack_node::Output;
use ettrack_node::parameters::Value;

use super::fixture::*;

#[test]
fn reports_state_rate_and_latency() {
    let mut node = Bench::new();
    node.clock.running.set(Some(Duration::ZERO));
    assert!(node.diagnostics(0.5).is_none(), "once a period");
    let silent = node.diagnostics(0.5).unwrap();
    assert_eq!(
        (silent.level, silent.message.as_str()),
        (DiagnosticLevel::Warn, "no images")
    );
    assert_eq!(silent.value("bearing"), Some("none: no camera_info"));
    node.roi(ROI);
    let start = node.clock.now.get();
    for index in 20..30 {
        node.frame(index);
    }
    node.clock.now.set(start + 1_000_000_000);
    let status = node.diagnostics(0.0).unwrap();
    assert_eq!(
        (status.level, status.message.as_str()),
        (DiagnosticLevel::Ok, "tracking")
    );
    assert_eq!(status.name, "tracker: tracker");
    assert_eq!(status.hardware_id, "camera_optical");
    for (key, value) in [
        ("state", "TRACKING"),
        ("rate (Hz)", "10.00"),
        ("latency p50 (ms)", "5.00"),
        ("latency max (ms)", "5.00"),
        ("image size", "32x24"),
        ("model", "test"),
        ("execution", "cpu, exact (f32)"),
    ] {
        let got = status.value(key).unwrap();
        assert!(
            got == value || key.starts_with("latency") && got.starts_with("5.0"),
            "{key}: {got}"
        );
    }
    node.frame_of(31, 210);
    node.clock.now.set(start + 2_000_000_000);
    let status = node.diagnostics(0.0).unwrap();
    assert_eq!(
        (status.level, status.message.as_str()),
        (DiagnosticLevel::Warn, "target lost")
    );
    // A camera that is slower than the reports does not count as silent.
    let status = node.diagnostics(1.0).unwrap();
    assert_eq!(status.message, "target lost");
    let status = node.diagnostics(3.0).unwrap();
    assert_eq!(status.message, "no images");
    node.message(32, vec![]);
    let status = node.diagnostics(5.0).unwrap();
    assert_eq!(status.level, DiagnosticLevel::Error, "{}", status.message);
}

#[test]
fn warns_once_of_missing_images_until_they_come_again() {
    let mut node = Bench::new();
    let silences = |node: &mut Bench, seconds: f64| {
        node.clock
            .now
            .set(node.clock.now.get() + (seconds * 1e9) as i64);
        node.core.tick(&node.clock, &mut node.out);
        std::mem::take(&mut node.out)
            .into_iter()
            .filter(|output| matches!(output, Output::NoImages(_)))
            .count()
    };
    assert_eq!(silences(&mut node, 2.9), 0);
    assert_eq!(silences(&mut node, 0.2), 1);
    assert_eq!(silences(&mut node, 10.0), 0);
    node.frame(200);
    assert_eq!(silences(&mut node, 1.0), 0);
    assert_eq!(silences(&mut node, 3.0), 1);
    node.frame(300);
    // Refused and ignored images do not count as silence.
    for enabled in [true, false] {
        node.core.enable(enabled, &mut node.out);
        for _ in 0..5 {
            assert_eq!(silences(&mut node, 1.0), 0);
            node.core.on_image(
                ImageMessage::Cdr {
                    transport: Transport::Raw,
                    bytes: Vec::new(),
                },
                &node.clock,
                &mut node.out,
            );
        }
    }
    node.core.enable(true, &mut node.out);
    assert_eq!(silences(&mut node, 1.0), 0);
    node.core
        .set_parameter("no_image_timeout", &Value::Integer(0), &mut node.out)
        .unwrap();
    assert_eq!(silences(&mut node, 100.0), 0);
}
