//! The public tracker with a model of some kilobytes and random weights: wrong model folders, targets and frames are
//! refused, and boxes stay valid for any output of the network.

use std::path::{Path, PathBuf};

use ettrack::model::Constants;
use ettrack::{
    BoundingBox, Encoding, Frame, LostMode, TrackError, TrackState, Tracker, TrackerOptions,
};
use ettrack_sim::{Simulation, SimulationOptions};

use image::imageops;

fn micro_model() -> PathBuf {
    ettrack_testing::data("micro_model")
}

fn open(lost: LostMode) -> Tracker {
    let options = TrackerOptions::default().with_threads(1).with_lost(lost);
    Tracker::open(micro_model(), &options).expect("the model is part of the repository")
}

/// A picture with some structure, moved by `shift`.
fn picture(width: u32, height: u32, shift: u32) -> Vec<u8> {
    (0..width * height)
        .flat_map(|i| {
            let (x, y) = (i % width + shift, i / width);
            [
                ((x * 7) ^ (y * 3)) as u8,
                (x * y / 9) as u8,
                (x / 5 * 40 + y) as u8,
            ]
        })
        .collect()
}

const TARGET: BoundingBox = BoundingBox::new(60.0, 40.0, 30.0, 24.0);

/// A thermal camera uses a small part of the 16 bits. Its images must not be nearly black for the network.
#[test]
fn the_levels_of_16_bit_images_are_followed_unless_the_caller_sets_them() {
    let thermal = |shift: u32| -> Vec<u8> {
        let colours = picture(160, 120, shift);
        let (pixels, _) = colours.as_chunks::<3>();
        pixels
            .iter()
            .flat_map(|[red, ..]| (7000 + 3 * u16::from(*red)).to_le_bytes())
            .collect()
    };
    let boxes = |prepare: &mut dyn FnMut(Frame<'_>) -> Option<(u16, u16)>| {
        let mut tracker = open(LostMode::Off);
        // Twice, because the levels of an earlier target must not count.
        let mut runs = [(); 2].map(|()| {
            let mut boxes = Vec::new();
            for shift in 0..12 {
                let data = thermal(shift);
                let frame = Frame::packed(&data, 160, 120, Encoding::Mono16).expect("fits");
                let frame = match prepare(frame) {
                    None => frame,
                    Some((black, white)) => frame.with_levels(black, white),
                };
                if shift == 0 {
                    tracker.initialize(&frame, TARGET).expect("a target");
                } else {
                    boxes.push(tracker.update(&frame).expect("a track").bounding_box);
                }
            }
            boxes
        });
        assert_eq!(runs[0], runs[1]);
        std::mem::take(&mut runs[0])
    };
    let followed = boxes(&mut |_| None);
    // The range of the values, 7000 to 7765, with an eighth more at each end.
    let near = boxes(&mut |_| Some((6904, 7861)));
    let whole = boxes(&mut |_| Some((0, u16::MAX)));
    let apart = |one: &[BoundingBox], other: &[BoundingBox]| {
        one.iter()
            .zip(other)
            .map(|(a, b)| (a.x - b.x).abs().max((a.width - b.width).abs()))
            .fold(0.0, f64::max)
    };
    let (close, far) = (apart(&followed, &near), apart(&followed, &whole));
    assert!(
        close < 0.2 * far,
        "{close} to fitting levels, {far} to 0 and 65535"
    );
}

#[test]
fn boxes_are_valid_and_a_second_run_gives_the_same_ones() {
    let mut runs = Vec::new();
    let mut tracker = open(LostMode::FromModel);
    for _ in 0..2 {
        let first = picture(160, 120, 0);
        tracker
            .initialize(
                &Frame::packed(&first, 160, 120, Encoding::Rgb8).expect("fits"),
                TARGET,
            )
            .expect("a target");
        let mut boxes = Vec::new();
        for shift in 1..20 {
            let data = picture(160, 120, shift);
            let track = tracker
                .update(&Frame::packed(&data, 160, 120, Encoding::Rgb8).expect("fits"))
                .expect("a track");
            assert!(track.bounding_box.is_valid(), "{}", track.bounding_box);
            assert!(
                (0.0..=1.0).contains(&track.confidence),
                "{}",
                track.confidence
            );
            boxes.push((track.bounding_box, track.confidence, track.state));
        }
        runs.push(boxes);
    }
    assert_eq!(
        runs[0], runs[1],
        "the same frames give the same boxes after another target"
    );
}

#[test]
fn the_same_picture_in_two_encodings_gives_the_same_box() {
    let rgb = picture(160, 120, 3);
    let bgra: Vec<u8> = rgb.chunks(3).flat_map(|p| [p[2], p[1], p[0], 77]).collect();
    let mut boxes = Vec::new();
    for (data, encoding) in [(&rgb, Encoding::Rgb8), (&bgra, Encoding::Bgra8)] {
        let mut tracker = open(LostMode::Off);
        let frame = Frame::packed(data, 160, 120, encoding).expect("fits");
        tracker.initialize(&frame, TARGET).expect("a target");
        boxes.push(tracker.update(&frame).expect("a track").bounding_box);
    }
    assert_eq!(boxes[0], boxes[1]);
}

#[test]
fn refuses_a_target_that_is_no_box_or_outside_the_image_and_keeps_the_old_one() {
    let data = picture(160, 120, 0);
    let frame = Frame::packed(&data, 160, 120, Encoding::Rgb8).expect("fits");
    let mut tracker = open(LostMode::Off);
    assert!(matches!(
        tracker.update(&frame),
        Err(TrackError::NotInitialized)
    ));
    tracker.initialize(&frame, TARGET).expect("a target");
    let wrong = [
        (160.0, 0.0, 10.0, 10.0),
        (-10.0, 0.0, 10.0, 10.0),
        (0.0, 120.0, 10.0, 10.0),
        (10.0, 10.0, 0.0, 10.0),
        (10.0, 10.0, 10.0, -1.0),
        (f64::NAN, 10.0, 10.0, 10.0),
        (10.0, 10.0, f64::INFINITY, 10.0),
        (0.0, 0.0, 1e9, 1e9),
    ];
    for (x, y, width, height) in wrong {
        let error = tracker
            .initialize(&frame, BoundingBox::new(x, y, width, height))
            .expect_err("no target");
        assert!(matches!(error, TrackError::Target { .. }), "{error}");
        assert!(error.to_string().contains("160x120"), "{error}");
    }
    assert_eq!(
        tracker.update(&frame).expect("the old target").state,
        TrackState::Tracking
    );
    // Partly outside, tiny, and larger than the image are accepted.
    for (x, y, width, height) in [
        (-5.0, -5.0, 10.0, 10.0),
        (80.0, 60.0, 0.01, 0.01),
        (-50.0, -50.0, 300.0, 300.0),
    ] {
        tracker
            .initialize(&frame, BoundingBox::new(x, y, width, height))
            .expect("a target");
        assert!(
            tracker
                .update(&frame)
                .expect("a track")
                .bounding_box
                .is_valid()
        );
    }
}

#[test]
fn refuses_a_frame_of_another_size_and_names_both_sizes() {
    let data = picture(160, 120, 0);
    let frame = Frame::packed(&data, 160, 120, Encoding::Rgb8).expect("fits");
    let mut tracker = open(LostMode::Off);
    tracker.initialize(&frame, TARGET).expect("a target");
    let other = Frame::packed(&data, 120, 160, Encoding::Rgb8).expect("fits");
    let error = tracker
        .update(&other)
        .expect_err("another size")
        .to_string();
    assert!(
        error.contains("120x160") && error.contains("160x120"),
        "{error}"
    );
    tracker.update(&frame).expect("the right size goes on");
}

#[test]
fn tracks_in_the_smallest_and_a_very_large_frame() {
    let mut tracker = open(LostMode::FromModel);
    let one = Frame::packed(&[1, 2, 3], 1, 1, Encoding::Rgb8).expect("fits");
    tracker
        .initialize(&one, BoundingBox::new(0.0, 0.0, 1.0, 1.0))
        .expect("a target");
    assert!(
        tracker
            .update(&one)
            .expect("a track")
            .bounding_box
            .is_valid()
    );
    let large = vec![9; 16384 * 16384];
    let large = Frame::packed(&large, 16384, 16384, Encoding::Mono8).expect("fits");
    tracker
        .initialize(&large, BoundingBox::new(100.0, 100.0, 16000.0, 16000.0))
        .expect("a target");
    assert!(
        tracker
            .update(&large)
            .expect("a track")
            .bounding_box
            .is_valid()
    );
}

#[test]
fn refuses_a_setting_out_of_range_and_names_the_range() {
    for search_scale in [0.0, 0.9, 9.0, f64::NAN] {
        let options = TrackerOptions::default().with_search_scale(search_scale);
        let error = Tracker::open(micro_model(), &options)
            .expect_err("out of range")
            .to_string();
        assert!(
            error.contains("search_scale") && error.contains("1..=8"),
            "{error}"
        );
    }
    let options = TrackerOptions::default().with_constants("vot");
    let error = Tracker::open(micro_model(), &options)
        .expect_err("no such set")
        .to_string();
    assert!(
        error.contains("vot") && error.contains("default"),
        "{error}"
    );
    let mut tracker = open(LostMode::FromModel);
    tracker.set_search_scale(4.0).expect("in range");
    let mut settings = tracker.lost_settings().clone();
    settings.lost_below = 1.5;
    let error = tracker
        .set_lost_mode(&LostMode::Settings(settings))
        .expect_err("out of range")
        .to_string();
    assert!(
        error.contains("lost_below") && error.contains("1.5"),
        "{error}"
    );
}

#[test]
fn boxes_are_valid_with_the_largest_search_scale() {
    for lost in [LostMode::Off, LostMode::FromModel] {
        let mut tracker = open(lost);
        tracker.set_search_scale(8.0).expect("in range");
        let first = picture(160, 120, 0);
        let first = Frame::packed(&first, 160, 120, Encoding::Rgb8).expect("fits");
        tracker.initialize(&first, TARGET).expect("a target");
        for shift in 1..20 {
            let data = picture(160, 120, 9 * shift);
            let frame = Frame::packed(&data, 160, 120, Encoding::Rgb8).expect("fits");
            let track = tracker.update(&frame).expect("a track");
            assert!(track.bounding_box.is_valid(), "{}", track.bounding_box);
        }
    }
}

/// With the shipped model, because a network of random weights finds no target.
#[test]
fn finds_a_target_outside_the_usual_region_with_a_larger_search_scale() {
    let options = SimulationOptions {
        seed: 2,
        ..SimulationOptions::default()
    };
    let flight = Simulation::new(options).expect("a flight");
    let first = flight.frame(0);
    let target = first.target.expect("the target is in the first frame");
    // The camera turns between two frames: the target moves by more than half the usual region's side.
    let (width, height, turn) = (440, first.picture.height(), 140);
    let seen_from = |x| imageops::crop_imm(&first.picture, x, 0, width, height).to_image();
    let [before, after] = [0, turn].map(seen_from);
    let target_after = BoundingBox {
        x: target.x - f64::from(turn),
        ..target
    };
    let mut overlaps = Vec::new();
    for search_scale in [1.0, 2.0] {
        let options = TrackerOptions::default()
            .with_threads(1)
            .with_lost(LostMode::Off)
            .with_search_scale(search_scale);
        let model = ettrack_testing::repository("models/ettrack-nano");
        let mut tracker =
            Tracker::open(model, &options).expect("the model is part of the repository");
        let [before, after] = [&before, &after]
            .map(|picture| Frame::packed(picture, width, height, Encoding::Rgb8).expect("fits"));
        tracker.initialize(&before, target).expect("a target");
        // While the target is seen, only the authors' region is searched.
        let track = tracker.update(&before).expect("a track");
        let usual = tracker.inspect().window.side;
        assert!(
            track.bounding_box.iou(&target) > 0.7,
            "{}",
            track.bounding_box
        );
        // The side of the model's region in sides of the target, whose shape it has.
        let boxes = (1.0 + 2.0 * 0.6) * 224.0 / 127.0;
        let side = target.width.max(target.height) * boxes;
        assert!(
            (f64::from(usual) / side - 1.0).abs() < 0.1,
            "{usual}, {side}"
        );
        assert!(f64::from(turn) > target.width * boxes / 2.0);
        let track = tracker.update(&after).expect("a track");
        overlaps.push(track.bounding_box.iou(&target_after));
    }
    assert!(overlaps[0] < 0.1 && overlaps[1] > 0.6, "{overlaps:?}");
}

/// A copy of the model folder with one file changed.
fn changed(file: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> (tempfile::TempDir, PathBuf) {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let folder = temporary.path().join("micro_model");
    std::fs::create_dir(&folder).expect("made");
    for entry in std::fs::read_dir(micro_model()).expect("the folder") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), folder.join(entry.file_name())).expect("copied");
    }
    let path = folder.join(file);
    let bytes = change(std::fs::read(&path).expect("read"));
    std::fs::write(&path, bytes).expect("written");
    (temporary, folder)
}

fn refusal(folder: &Path) -> String {
    Tracker::open(folder, &TrackerOptions::default())
        .expect_err("a wrong model")
        .to_string()
}

/// A centre head chooses by the score alone, so a constant would do nothing.
#[test]
fn refuses_constants_for_a_centre_head() {
    let (_temporary, folder) = changed("model.yaml", |bytes| {
        let bytes = edit("family: anchor_free", "family: centre_head")(bytes);
        let bytes = edit("  context: 0.5", "  factor: 2.0")(bytes);
        let bytes = edit("  exemplar_size: 32", "  factor: 4.0")(bytes);
        let maps = "  size: {name: size}\n  offset: {name: offset}";
        let bytes = edit("  boxes: {name: reg}", maps)(bytes);
        edit(
            "default: {window_influence: 0.225, penalty_k: 0.007, learning_rate: 0.616}",
            "default: {}",
        )(bytes)
    });
    // Without constants the manifest is accepted, and the graph of another family is refused.
    let message = refusal(&folder);
    assert!(message.contains("track.onnx"), "{message}");
    let overrides = Constants::from_iter([("penalty_k", 0.5)]);
    let options = TrackerOptions::default().with_overrides(overrides);
    let message = Tracker::open(&folder, &options)
        .expect_err("a constant")
        .to_string();
    assert!(
        message.contains("tracking.*.penalty_k is 0.5, expected nothing"),
        "{message}"
    );
}

fn edit(from: &'static str, to: &'static str) -> impl FnOnce(Vec<u8>) -> Vec<u8> {
    move |bytes| {
        let text = String::from_utf8(bytes).expect("text");
        assert!(text.contains(from), "{from} is in the manifest");
        text.replacen(from, to, 1).into_bytes()
    }
}

#[test]
fn refuses_wrong_model_folders_and_names_the_key_and_both_values() {
    let missing = refusal(Path::new("no/such/model"));
    assert!(missing.contains("no/such/model"), "{missing}");

    let cases: [(&'static str, &'static str, &[&str]); 19] = [
        ("format: 1", "format: 2", &["format", "2", "1"]),
        (
            "name: micro_model",
            "name: other",
            &["name", "other", "micro_model"],
        ),
        (
            "family: anchor_free",
            "family: anchor",
            &["anchor", "anchor_free"],
        ),
        (
            "  context: 0.5\n",
            "",
            &["template.context", "missing", "anchor_free"],
        ),
        (
            "family: anchor_free",
            "family: centre_head",
            &["template.context", "0.5", "nothing", "centre_head"],
        ),
        (
            "  context: 0.5\n",
            "  context: 0.5\n  window: round\n",
            &["round", "square", "box"],
        ),
        ("stride: 16", "strid: 16", &["strid", "stride"]),
        ("stride: 16", "stride: 0", &["search.stride", "0", "1..=64"]),
        ("stride: 16", "stride: 8", &["cls", "4", "8"]),
        ("size: 32", "size: 48", &["template", "32", "48"]),
        ("sizes: [64, 80]", "sizes: []", &["search.sizes", "[]"]),
        ("sizes: [64, 80]", "sizes: [64]", &["small_target_area"]),
        ("sizes: [64, 80]", "sizes: [64, 4096]", &["4096", "2048"]),
        ("{name: cls,", "{name: klass,", &["klass", "cls"]),
        ("scale: 255.0", "scale: 0", &["input.scale", "0"]),
        (
            "path: track.onnx",
            "path: ../track.onnx",
            &["../track.onnx"],
        ),
        (
            "window_influence: 0.225",
            "kept_shape: 0.5, window_influence: 0.225",
            &["kept_shape", "0.5", "window: box"],
        ),
        (
            "window_influence: 0.225",
            "kept_shape: 1.5, window_influence: 0.225",
            &["kept_shape", "1.5", "0..=1"],
        ),
        (
            "window_influence: 0.225",
            "window_influence: 7",
            &["window_influence", "7", "0..=1"],
        ),
    ];
    for (from, to, words) in cases {
        let (_temporary, folder) = changed("model.yaml", edit(from, to));
        let message = refusal(&folder);
        for word in words {
            assert!(
                message.contains(word),
                "{to:?} gives {message:?} without {word:?}"
            );
        }
    }
    let (_temporary, folder) = changed("model.yaml", |bytes| {
        let box_window = edit("  context: 0.5\n", "  context: 0.5\n  window: box\n")(bytes);
        edit("family: anchor_free", "family: centre_head")(box_window)
    });
    let message = refusal(&folder);
    assert!(
        message.contains("template.window is box, expected nothing"),
        "{message}"
    );
    let (_temporary, folder) = changed("model.yaml", |mut bytes| {
        bytes.truncate(200);
        bytes
    });
    assert!(refusal(&folder).contains("model.yaml"));
}

#[test]
fn refuses_swapped_and_damaged_files_by_their_checksums() {
    let template = std::fs::read(micro_model().join("template.onnx")).expect("read");
    let (_temporary, folder) = changed("track.onnx", |_| template);
    let message = refusal(&folder);
    assert!(
        message.contains("track.onnx") && message.contains("sha256"),
        "{message}"
    );
    let (_temporary, folder) = changed("template.onnx", |mut bytes| {
        bytes.truncate(bytes.len() / 2);
        bytes
    });
    assert!(refusal(&folder).contains("template.onnx"));
}

#[test]
fn refuses_swapped_files_with_matching_checksums_by_their_tensors() {
    let (_temporary, folder) = changed("model.yaml", |bytes| {
        let text = String::from_utf8(bytes).expect("text");
        text.replace("path: template.onnx", "path: X")
            .replace("path: track.onnx", "path: template.onnx")
            .replace("path: X", "path: track.onnx")
            .into_bytes()
    });
    // The checksums still belong to the other files.
    assert!(refusal(&folder).contains("sha256"));
    let text = std::fs::read_to_string(folder.join("model.yaml")).expect("read");
    let sums: Vec<&str> = text
        .split("sha256: ")
        .skip(1)
        .map(|rest| &rest[..64])
        .collect();
    let swapped = text
        .replace(sums[0], "FIRST")
        .replace(sums[1], sums[0])
        .replace("FIRST", sums[1]);
    std::fs::write(folder.join("model.yaml"), swapped).expect("written");
    let message = refusal(&folder);
    assert!(
        message.contains("track.onnx") && message.contains("inputs"),
        "{message}"
    );
}

#[test]
fn refuses_a_file_that_is_no_onnx_graph() {
    let (_temporary, folder) = changed("track.onnx", |_| b"no network".to_vec());
    let text = std::fs::read_to_string(folder.join("model.yaml")).expect("read");
    let sums: Vec<&str> = text
        .split("sha256: ")
        .skip(1)
        .map(|rest| &rest[..64])
        .collect();
    let digest = sha256(b"no network");
    std::fs::write(folder.join("model.yaml"), text.replace(sums[1], &digest)).expect("written");
    let message = refusal(&folder);
    assert!(
        message.contains("track.onnx") && message.contains("ONNX Runtime"),
        "{message}"
    );
}

/// Two messages of a protocol buffer after one another are read as one, so what is appended is a part of the graph.
#[test]
fn refuses_a_scale_of_eight_bit_numbers_that_cannot_be_by_its_name() {
    // graph { node { input: "x", "x_scale"; op_type: "QuantizeLinear" } initializer { FLOAT, "x_scale", raw: 0.0 } }
    let node = b"\x0a\x01x\x0a\x07x_scale\x22\x0eQuantizeLinear";
    let scale = b"\x10\x01\x42\x07x_scale\x4a\x04\0\0\0\0";
    let field = |key: u8, content: &[u8]| [&[key, content.len() as u8], content].concat();
    let graph = [field(0x0a, node), field(0x2a, scale)].concat();
    let (_temporary, folder) = changed("track.onnx", |bytes| [bytes, field(0x3a, &graph)].concat());
    let track = std::fs::read(folder.join("track.onnx")).expect("read");
    let yaml = std::fs::read_to_string(folder.join("model.yaml")).expect("read");
    let old = yaml.split("sha256: ").nth(2).expect("two files")[..64].to_owned();
    std::fs::write(
        folder.join("model.yaml"),
        yaml.replace(&old, &sha256(&track)),
    )
    .expect("written");
    let message = refusal(&folder);
    let words = "the scale x_scale is 0, expected a finite number above 0";
    assert!(
        message.contains("track.onnx") && message.contains(words),
        "{message}"
    );
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn a_tracker_can_be_sent_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Tracker>();
}
