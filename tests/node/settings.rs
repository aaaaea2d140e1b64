//! Parameters and models that change while the node runs.

use ettrack::geometry::BoundingBox;
use ettrack_message::*;
use ettrack_node::Output;
use ettrack_node::parameters::{ParameterError, Parameters, Value};
use ettrack_testing::messages::*;

use super::fixture::*;

#[test]
fn changes_live_parameters_and_refuses_the_others() {
    let mut node = Bench::new();
    let mut set = |name: &str, value: Value| node.core.set_parameter(name, &value, &mut node.out);
    set("search_scale", Value::Integer(2)).unwrap();
    set("confidence_threshold", Value::Float(0.5)).unwrap();
    set("class_id", Value::Text("boat".into())).unwrap();
    set("lost_after_frames", Value::Integer(7)).unwrap();
    assert!(matches!(
        set("search_scale", Value::Float(99.0)),
        Err(ParameterError::Range { .. })
    ));
    assert!(matches!(
        set("image_queue_depth", Value::Integer(3)),
        Err(ParameterError::StartOnly { .. })
    ));
    set("image_queue_depth", Value::Integer(5)).unwrap();
    assert!(matches!(
        set("confidence_threshold", Value::Float(0.99)),
        Err(ParameterError::Tracker(_))
    ));
    assert_eq!(
        node.core.parameters().confidence_threshold,
        0.5,
        "the refused value was not taken"
    );
    let calls = node.calls();
    assert_eq!(
        calls.len(),
        3,
        "the class is nothing to the tracker: {calls:?}"
    );
    let Call::Configure(last) = &calls[2] else {
        panic!("{calls:?}")
    };
    assert_eq!(
        (last.search_scale, last.confidence_threshold),
        (2.0, Some(0.5))
    );
    assert_eq!(
        (last.lost_after_frames, last.recovery_threshold),
        (Some(7), None)
    );
}

#[test]
fn sets_several_parameters_or_none() {
    let mut node = Bench::new();
    let model = ("model_path", Value::Text("models/other".into()));
    let wider = ("search_scale", Value::Integer(2));
    let too_wide = ("search_scale", Value::Float(40.0));
    let before = node.core.parameters().clone();
    let refused = node
        .core
        .set_parameters(&[model.clone(), wider.clone(), too_wide], &mut node.out)
        .unwrap_err();
    assert!(refused.to_string().contains("search_scale"), "{refused}");
    assert_eq!(*node.core.parameters(), before);
    assert_eq!(
        node.out,
        [],
        "neither the new model is loaded nor the old one anew"
    );
    let settings = |calls: Vec<Call>| match calls.last() {
        Some(Call::Configure(settings)) => settings.search_scale,
        other => panic!("{other:?}"),
    };
    assert_eq!(settings(node.calls()), before.search_scale);

    node.core
        .set_parameters(&[model.clone(), wider], &mut node.out)
        .unwrap();
    // The event has the present value: the whole number that was sent is a floating-point number here.
    let told = Output::ParametersSet(vec![
        (model.0.into(), model.1),
        ("search_scale".into(), Value::Float(2.0)),
    ]);
    assert_eq!(node.out, [Output::LoadModel, told]);
    assert_eq!(settings(node.calls()), 2.0);
}

#[test]
fn gives_the_target_to_a_model_loaded_in_the_background() {
    let mut node = Bench::new();
    node.frame(0);
    node.roi(ROI);
    node.frame(1);
    node.core
        .set_parameter(
            "model_path",
            &Value::Text("models/other".into()),
            &mut node.out,
        )
        .unwrap();
    assert_eq!(std::mem::take(&mut node.out), [Output::LoadModel]);

    // The model is opened anew for another precision, too.
    node.core
        .set_parameter("precision", &Value::Text("fast".into()), &mut node.out)
        .unwrap();
    assert_eq!(std::mem::take(&mut node.out), [Output::LoadModel]);

    // A model cannot be loaded. The old one stays, and the parameters say how it was opened.
    node.core
        .refuse_model("models/other: no such folder", &mut node.out);
    let out = std::mem::take(&mut node.out);
    assert!(logs(&out)[0].1.contains("test stays in use"));
    let back = (
        "model_path".to_owned(),
        Value::Text(Parameters::default().model_path),
    );
    assert!(
        matches!(&out[0], Output::ParametersSet(set) if set.contains(&back)),
        "{out:?}"
    );
    assert_eq!(node.core.parameters().precision, "exact");
    assert_eq!(
        node.core.parameters().model_path,
        Parameters::default().model_path
    );
    assert_eq!(target(&node.frame(2)).state, TargetState::Tracking);

    node.core
        .set_parameter(
            "model_path",
            &Value::Text("models/other".into()),
            &mut node.out,
        )
        .unwrap();
    node.out.clear();
    let calls = node.replace_model();
    let taken = target(&std::mem::take(&mut node.out));
    assert_eq!(
        (taken.state, taken.target_id.as_str(), taken.header),
        (TargetState::Tracking, "1", header(2))
    );
    let calls = calls.lock().unwrap().clone();
    assert_eq!(
        calls[1],
        Call::Initialize(BoundingBox::new(6.0, 6.0, 8.0, 4.0), 2)
    );
    assert_eq!(node.diagnostics(1.0).unwrap().value("model"), Some("other"));
}

/// Under load, images are replaced while the model is loaded.
#[test]
fn gives_the_target_to_a_new_model_in_the_image_of_its_box() {
    let expected = Call::Initialize(BoundingBox::new(5.0, 6.0, 8.0, 4.0), 1);
    for bytes in [
        raw_message(3, 32, 24, &vec![3; 32 * 24 * 3]),
        raw_message(3, 64, 48, &vec![3; 64 * 48 * 3]),
    ] {
        let mut node = Bench::new();
        node.frame(0);
        node.roi(ROI);
        node.frame(1);
        node.overtaken(2);
        node.overtaken_message(3, bytes);
        node.core.newer_waits(true);
        let calls = node.replace_model();
        assert_eq!(target(&node.settle()).header, header(1));
        assert_eq!(calls.lock().unwrap()[1], expected);
        let next = target(&node.frame(4));
        assert_eq!(
            (next.state, next.target_id.as_str()),
            (TargetState::Tracking, "1")
        );
    }
    // The source was restarted, so the image of the box is gone. The next image is used.
    let mut node = Bench::new();
    node.frame(5);
    node.roi(ROI);
    node.overtaken(0);
    let calls = node.replace_model();
    assert_eq!(logs(&node.settle()).len(), 1, "said, and nothing answered");
    target(&node.frame(1));
    assert!(matches!(
        calls.lock().unwrap()[1..],
        [Call::Initialize(_, 1)]
    ));
}
