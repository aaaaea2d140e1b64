//! `ettrack replay` and `ettrack score`.

use super::*;

/// All messages of one type of a bag, with their times.
fn read<M>(path: &Path, topic: &str, read: impl Fn(&[u8]) -> M) -> Vec<(i64, M)> {
    let mut messages = Bag::open(path).unwrap().messages(&[topic]).unwrap();
    let mut found = Vec::new();
    while let Some(message) = messages.next_message() {
        found.push((message.log_time, read(message.data)));
    }
    found
}

fn replay(bag: &Path, output: &Path, arguments: &[&str]) -> Output {
    let model = model();
    let first = [
        "replay",
        bag.to_str().unwrap(),
        "--model",
        &model,
        "--threads",
        "1",
        "--output",
        output.to_str().unwrap(),
    ];
    ettrack(&[&first, arguments].concat())
}

#[test]
fn a_replay_answers_every_image_with_the_same_bytes_every_time() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("in");
    bag(&source, 12);
    let out = folder.path().join("out");
    let (_, error) = expect(&replay(&source, &out, &["--roi", ROI]), 0);
    assert!(error.contains("12 images: tracking in"), "{error}");
    let targets = read(&out, "/tracked_target", |bytes| {
        TrackedTarget::from_cdr(bytes).unwrap()
    });
    let detections = read(&out, "/detections", |bytes| {
        Detection2DArray::from_cdr(bytes).unwrap()
    });
    assert_eq!((targets.len(), detections.len()), (12, 12));

    // The boxes are those of `track`.
    let (csv, _) = expect(&track(&source, &[]), 0);
    for (index, (line, (time, target))) in csv.lines().skip(1).zip(&targets).enumerate() {
        let fields: Vec<_> = line.split(',').collect();
        let numbers: Vec<f64> = fields[1..6]
            .iter()
            .map(|number| number.parse().unwrap())
            .collect();
        let got = BoundingBox::from(target.bounding_box);
        for (got, expected) in [got.x, got.y, got.width, got.height].iter().zip(&numbers) {
            assert!(
                (got - expected).abs() < 1e-3,
                "frame {index}: {got:?} {line}"
            );
        }
        assert!((f64::from(target.confidence) - numbers[4]).abs() < 1e-3);
        assert_eq!(target.state.name().to_lowercase(), fields[6]);
        assert_eq!(
            (target.header.clone(), *time),
            (header(index), stamp(index).as_nanoseconds() + 1_000_000)
        );
        assert!(
            target.bearing.is_some(),
            "camera_info lies beside the images"
        );
    }
    let diagnostics = read(&out, "/diagnostics", |bytes| {
        DiagnosticArray::from_cdr(bytes).unwrap()
    });
    assert_eq!(diagnostics.len(), 1, "one a second of the bag's time");
    assert_eq!(
        diagnostics[0].1.status[0].value("latency p50 (ms)"),
        None,
        "times would differ from run to run"
    );

    fs::create_dir(folder.path().join("again")).unwrap();
    let again = folder.path().join("again/out");
    expect(&replay(&source, &again, &["--roi", ROI]), 0);
    for file in ["out_0.mcap", "metadata.yaml"] {
        assert_eq!(
            fs::read(out.join(file)).unwrap(),
            fs::read(again.join(file)).unwrap(),
            "{file}"
        );
    }
    let (_, error) = expect(&replay(&source, &out, &["--roi", ROI]), 2);
    assert!(error.contains("exists already"), "{error}");
}

#[test]
fn a_replay_takes_its_target_from_a_topic_and_its_parameters_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("in");
    bag(&source, 8);
    let out = folder.path().join("out");
    let parameters = folder.path().join("params.yaml");
    fs::write(
        &parameters,
        "/**:\n  ros__parameters:\n    search_scale: 2\n    class_id: boat\n    colour: red\n",
    )
    .unwrap();
    let arguments = [
        "--roi-topic",
        "/detector/target",
        "--params",
        parameters.to_str().unwrap(),
        "--overlay",
    ];
    let (_, error) = expect(&replay(&source, &out, &arguments), 0);
    assert!(error.contains("no parameter \"colour\""), "{error}");
    let targets = read(&out, "/tracked_target", |bytes| {
        TrackedTarget::from_cdr(bytes).unwrap()
    });
    let states: Vec<_> = targets
        .iter()
        .map(|(_, target)| (target.header.stamp, target.state == TargetState::Idle))
        .collect();
    // Frames 0 to 4 idle; then the detection, answered under frame 4's header; then frames 5 to 7.
    let expected: Vec<_> = [0, 1, 2, 3, 4]
        .map(|index| (stamp(index), true))
        .into_iter()
        .chain([4, 5, 6, 7].map(|index| (stamp(index), false)))
        .collect();
    assert_eq!(states, expected);
    assert!(
        targets[5..]
            .iter()
            .all(|(_, target)| target.target_id == "boat")
    );
    let overlays = read(&out, "/tracker/overlay", |bytes| {
        Image::from_cdr(bytes).unwrap().frame().unwrap().width()
    });
    assert_eq!(overlays.len(), 9);

    let nothing = folder.path().join("nothing");
    for (arguments, words) in [
        (
            ["--roi-topic", "/cam/image_raw"],
            "expected sensor_msgs/msg/RegionOfInterest",
        ),
        (["--roi-topic", "/nothing"], "no topic \"/nothing\""),
        (["--roi", "500,500,9,9"], "outside the image"),
    ] {
        let (_, error) = expect(&replay(&source, &nothing, &arguments), 2);
        assert!(error.contains(words) && !nothing.exists(), "{error}");
    }
}

#[test]
fn a_true_box_without_area_means_that_the_target_is_out_of_sight() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("in"), folder.path().join("out"));
    bag(&source, 4);
    expect(&replay(&source, &out, &["--roi", ROI]), 0);
    let file = folder.path().join("truth.txt");
    let [without_area, not_a_number, in_sight] =
        ["0,0,0,0", "NaN,NaN,NaN,NaN", "1,1,9,9"].map(|last| {
            fs::write(&file, format!("{ROI}\n{ROI}\n{ROI}\n{last}\n")).unwrap();
            let [out, source, file] = [&out, &source, &file].map(|path| path.to_str().unwrap());
            let arguments = ["score", out, "--bag", source, "--truth", file, "--json"];
            expect(&ettrack(&arguments), 0).0
        });
    assert_eq!(without_area, not_a_number);
    assert_ne!(without_area, in_sight);
}

/// Reads a replayed bag with the Python packages that other people use.
#[test]
fn other_bag_readers_read_the_same_messages() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("in");
    bag(&source, 12);
    let out = folder.path().join("out");
    expect(&replay(&source, &out, &["--roi", ROI]), 0);
    let python = std::env::var_os("ETTRACK_TEST_PYTHON")
        .map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/check_bag.py");
    let output = match Command::new(&python).arg(script).arg(&out).output() {
        Ok(output) if output.status.code() != Some(3) => output,
        Ok(output) => {
            let lacks = text(&output.stderr);
            let reason = format!("{}: {}", python.display(), lacks.trim());
            not_run("bags in other readers", &reason);
            return;
        }
        Err(error) => {
            let reason = format!("{}: {error}", python.display());
            not_run("bags in other readers", &reason);
            return;
        }
    };
    let (json, _) = expect(&output, 0);
    let messages: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    let theirs: Vec<_> = messages
        .iter()
        .filter(|message| message["topic"] == "/tracked_target")
        .collect();
    let ours = read(&out, "/tracked_target", |bytes| {
        TrackedTarget::from_cdr(bytes).unwrap()
    });
    assert_eq!((theirs.len(), messages.len()), (ours.len(), 12 + 12 + 1));
    for (theirs, (time, ours)) in theirs.iter().zip(&ours) {
        assert_eq!(theirs["time"], *time);
        assert_eq!(theirs["stamp"], ours.header.stamp.as_nanoseconds());
        assert_eq!(theirs["frame_id"], "camera_optical");
        assert_eq!(theirs["state"], ours.state as u8);
        let bbox = ours.bounding_box;
        let numbers = [bbox.center_x, bbox.center_y, bbox.size_x, bbox.size_y];
        assert_same(&theirs["box"], &numbers);
        assert_same(&theirs["offset"], &[ours.offset_x, ours.offset_y]);
        assert_eq!(theirs["bearing_valid"], true);
    }
    let found = messages
        .iter()
        .find(|message| message["topic"] == "/detections")
        .unwrap();
    assert_eq!(found["detections"][0]["class"], "target");
    assert_eq!(found["detections"][0]["orientation_w"], 1.0);
    let diagnostics = messages
        .iter()
        .find(|message| message["topic"] == "/diagnostics")
        .unwrap();
    assert_eq!(diagnostics["values"]["model"], "micro_model");
}
