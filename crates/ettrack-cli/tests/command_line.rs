//! The program from outside: what it prints, writes, refuses, and by which exit code.
#![allow(clippy::unwrap_used)] // helpers of tests count as plain functions for the lint

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use ettrack::geometry::BoundingBox;
use ettrack_bag::{Bag, BagWriter};
use ettrack_message::*;
use ettrack_testing::messages::*;
use ettrack_testing::not_run;

const WIDTH: u32 = 96;
const HEIGHT: u32 = 72;
const ROI: &str = "20,20,24,20";

fn ettrack(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ettrack"))
        .args(arguments)
        .output()
        .unwrap()
}

fn model() -> String {
    ettrack_testing::data("micro_model").display().to_string()
}

/// Runs `track` with the micro model.
fn track(source: &Path, arguments: &[&str]) -> Output {
    let model = model();
    let first = [
        "track",
        source.to_str().unwrap(),
        "--model",
        &model,
        "--roi",
        ROI,
    ];
    ettrack(&[&first, arguments].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Fails with the program's words unless the exit code is `code`.
fn expect(output: &Output, code: i32) -> (String, String) {
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{error}");
    assert!(!error.contains("panicked"), "{error}");
    (out, error)
}

fn frame(index: usize) -> Vec<u8> {
    pixels(WIDTH, HEIGHT, 60, (20 + 2 * index as u32, 20), 22)
}

/// A folder of `count` pictures named 0.png, 1.png, …, 10.png.
fn pictures(folder: &Path, count: usize) {
    fs::create_dir_all(folder).unwrap();
    for index in 0..count {
        image::save_buffer(
            folder.join(format!("{index}.png")),
            &frame(index),
            WIDTH,
            HEIGHT,
            image::ColorType::Rgb8,
        )
        .unwrap();
    }
}

/// A bag of the same pictures with calibration and a stamped detection in frame 2 that comes after frame 4.
fn bag(path: &Path, count: usize) {
    let mut bag = BagWriter::create(path).unwrap();
    let images = bag.add_topic("/cam/image_raw", Image::TYPE).unwrap();
    let cameras = bag.add_topic("/cam/camera_info", CameraInfo::TYPE).unwrap();
    let targets = bag
        .add_topic("/detector/target", Detection2D::TYPE)
        .unwrap();
    let camera = CameraInfo {
        header: header(0),
        width: WIDTH,
        height: HEIGHT,
        k: [100.0, 0.0, 47.5, 0.0, 100.0, 35.5, 0.0, 0.0, 1.0],
        ..CameraInfo::default()
    };
    bag.write(cameras, stamp(0).as_nanoseconds(), &camera.to_cdr())
        .unwrap();
    for index in 0..count {
        let time = stamp(index).as_nanoseconds() + 1_000_000;
        bag.write(
            images,
            time,
            &raw_message(index, WIDTH, HEIGHT, &frame(index)),
        )
        .unwrap();
        if index == 4 {
            let detection = Detection2D {
                header: header(2),
                results: Vec::new(),
                bbox: BoundingBox::new(24.0, 20.0, 24.0, 20.0).into(),
                id: "boat".into(),
            };
            bag.write(targets, time + 1, &detection.to_cdr()).unwrap();
        }
    }
    bag.finish().unwrap();
}

#[test]
fn a_folder_is_tracked_in_natural_order_in_every_layout() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("frames");
    pictures(&source, 12);
    fs::write(source.join("notes.txt"), "no picture").unwrap();
    let (csv, error) = expect(&track(&source, &[]), 0);
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines.len(), 13);
    assert_eq!(lines[0], "frame,x,y,w,h,confidence,state");
    assert_eq!(
        lines[1],
        "0,20.0000,20.0000,24.0000,20.0000,1.0000,tracking"
    );
    for (index, line) in lines[1..].iter().enumerate() {
        let fields: Vec<_> = line.split(',').collect();
        assert_eq!((fields.len(), fields[0]), (7, index.to_string().as_str()));
        for number in &fields[1..6] {
            assert_eq!(number.split_once('.').unwrap().1.len(), 4, "{line}");
        }
        assert!(["tracking", "lost"].contains(&fields[6]), "{line}");
    }
    assert!(error.contains("12 frames, lost in"), "{error}");

    // Boxes over the left or upper edge are written shifted inwards there, as the authors of this family do.
    let as_authors_write = |number: &str| {
        if number.starts_with('-') {
            "0.0000".to_owned()
        } else {
            number.to_owned()
        }
    };
    let expected: Vec<_> = lines[1..]
        .iter()
        .map(|line| {
            let fields: Vec<_> = line.split(',').collect();
            let [x, y] = [fields[1], fields[2]].map(as_authors_write);
            format!("{x},{y},{},{}", fields[3], fields[4])
        })
        .collect();
    assert!(csv.contains(",-"), "some box reaches over an edge");
    for (format, separator) in [("pysot", ","), ("got10k", ","), ("pytracking", "\t")] {
        let file = folder.path().join(format);
        let (out, _) = expect(
            &track(
                &source,
                &["--format", format, "--output", file.to_str().unwrap()],
            ),
            0,
        );
        assert_eq!(out, "");
        let written = fs::read_to_string(&file).unwrap();
        assert_eq!(
            written.lines().collect::<Vec<_>>(),
            expected
                .iter()
                .map(|line| line.replace(',', separator))
                .collect::<Vec<_>>(),
            "{format}"
        );
    }

    // The order shows in the boxes: the same frames as a bag, whose order is that of time.
    bag(&folder.path().join("bag"), 12);
    let (from_bag, _) = expect(&track(&folder.path().join("bag"), &[]), 0);
    assert_eq!(from_bag, csv);
    let (some, _) = expect(&track(&source, &["--skip", "3", "--frames", "4"]), 0);
    assert_eq!(
        some.lines()
            .skip(1)
            .map(|line| &line[..1])
            .collect::<Vec<_>>(),
        ["3", "4", "5", "6"]
    );
}

#[test]
fn wrong_input_is_refused_by_code_2_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("frames");
    pictures(&source, 3);
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let model = model();
    let good = source.to_str().unwrap();
    let broken = folder.path().join("broken.mcap");
    fs::write(&broken, b"\x89MCAP0\r\n and then nothing of use").unwrap();
    for (arguments, words) in [
        (vec!["track", good, "--model", &model], "--roi"),
        (
            vec!["track", good, "--model", &model, "--roi", "1,2,3"],
            "got 3 numbers",
        ),
        (
            vec!["track", good, "--model", &model, "--roi", "1,2,NaN,4"],
            "not all numbers are finite",
        ),
        (
            vec!["track", good, "--model", &model, "--roi", "1,2,0,4"],
            "must be positive",
        ),
        (
            vec!["track", good, "--model", &model, "--roi", "-50,2,10,10"],
            "outside the image",
        ),
        (
            vec!["track", good, "--model", &model, "--roi", "960,2,10,10"],
            "outside the image",
        ),
        (
            vec!["track", good, "--model", "nowhere", "--roi", ROI],
            "nowhere",
        ),
        (
            vec!["track", "nowhere", "--model", &model, "--roi", ROI],
            "cannot read nowhere",
        ),
        (
            vec!["track", "/dev/video99", "--model", &model, "--roi", ROI],
            "/dev/video99",
        ),
        (
            vec![
                "track",
                empty.to_str().unwrap(),
                "--model",
                &model,
                "--roi",
                ROI,
            ],
            "expected pictures",
        ),
        (
            vec![
                "track",
                broken.to_str().unwrap(),
                "--model",
                &model,
                "--roi",
                ROI,
            ],
            "a topic of images",
        ),
        (
            vec![
                "track", good, "--model", &model, "--roi", ROI, "--skip", "9",
            ],
            "no frame after leaving out 9",
        ),
        (
            vec![
                "track",
                good,
                "--model",
                &model,
                "--roi",
                ROI,
                "--search-scale",
                "99",
            ],
            "search_scale is 99",
        ),
        (
            vec![
                "track",
                good,
                "--model",
                &model,
                "--roi",
                ROI,
                "--threads",
                "99999",
            ],
            "99999 is not in 0..=64",
        ),
        (
            vec![
                "replay", good, "--model", &model, "--roi", ROI, "--output", "x",
            ],
            "expected a bag",
        ),
        (
            vec!["replay", good, "--model", &model, "--output", "x"],
            "--roi",
        ),
    ] {
        let output = folder.path().join("never");
        let mut arguments = arguments;
        if arguments[0] == "track" {
            arguments.extend(["--output", output.to_str().unwrap()]);
        }
        let (out, error) = expect(&ettrack(&arguments), 2);
        assert!(error.contains(words), "{arguments:?}: {error}");
        assert!(out.is_empty() && !output.exists(), "{arguments:?}");
    }
}

#[test]
fn an_unreadable_frame_is_counted_and_a_change_of_size_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("frames");
    pictures(&source, 5);
    let picture = jpeg(WIDTH, HEIGHT, &frame(2));
    fs::write(source.join("2.jpg"), &picture[..picture.len() / 2]).unwrap();
    fs::remove_file(source.join("2.png")).unwrap();
    let (csv, error) = expect(&track(&source, &[]), 0);
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines.len(), 6);
    assert!(
        lines[3].starts_with("2,") && lines[3].ends_with(",0.0000,lost"),
        "{csv}"
    );
    assert!(
        error.contains("frame 2 (2.jpg): jpeg is cut")
            && error.contains("(1 of them could not be read)"),
        "{error}"
    );

    image::save_buffer(source.join("4.png"), &[9; 30], 5, 2, image::ColorType::Rgb8).unwrap();
    let output = folder.path().join("boxes.csv");
    let (_, error) = expect(&track(&source, &["--output", output.to_str().unwrap()]), 2);
    assert!(
        error.contains("frame 4 (4.png)") && error.contains("5x2") && error.contains("96x72"),
        "{error}"
    );
    let one = ["--output", output.to_str().unwrap(), "--save"];
    let twice = track(&source, &[&one[..], &[output.to_str().unwrap()]].concat());
    let (_, refusal) = expect(&twice, 2);
    assert!(refusal.contains("are one file: expected two"), "{refusal}");
    // What was tracked until then is kept, whole.
    assert_eq!(fs::read_to_string(&output).unwrap().lines().count(), 1 + 4);
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        2,
        "no temporary file is left"
    );
}

#[test]
fn no_source_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    pictures(&at("frames"), 3);
    bag(&at("bag"), 3);
    fs::copy(at("bag/bag_0.mcap"), at("flight.mcap")).unwrap();
    // What a file is, its first bytes say.
    fs::copy(at("flight.mcap"), at("flight.gif")).unwrap();
    std::os::unix::fs::symlink("flight.mcap", at("link.csv")).unwrap();
    std::os::unix::fs::symlink("rows.gif", at("rows")).unwrap();
    for (source, option, path) in [
        ("frames", "--output", "frames/1.png"),
        ("bag", "--output", "bag/bag_0.mcap"),
        ("bag", "--output", "bag/metadata.yaml"),
        ("flight.mcap", "--output", "frames/../flight.mcap"),
        ("flight.mcap", "--output", "link.csv"),
        ("flight.gif", "--save", "flight.gif"),
        ("link.csv", "--output", "flight.mcap"),
    ] {
        let before = fs::read(at(path)).unwrap();
        let output = track(&at(source), &[option, at(path).to_str().unwrap()]);
        let (_, error) = expect(&output, 2);
        let words = format!("{option} {} is a file of the source", at(path).display());
        assert!(error.contains(&words), "{error}");
        assert_eq!(fs::read(at(path)).unwrap(), before, "{source} {path}");
    }
    let [rows, video] = ["rows", "rows.gif"].map(|name| at(name).to_str().unwrap().to_owned());
    let output = track(&at("frames"), &["--output", &rows, "--save", &video]);
    let (_, error) = expect(&output, 2);
    assert!(error.contains("are one file: expected two"), "{error}");
    assert!(!at("rows.gif").exists());
    // Beside its source anything may lie, and be written again.
    let rows = at("frames/rows.csv");
    for _ in 0..2 {
        expect(
            &track(&at("frames"), &["--output", rows.to_str().unwrap()]),
            0,
        );
    }
}

#[test]
fn a_constant_that_the_model_lacks_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 2);
    // The micro model's windows are square.
    for key in ["kept_shape", "momentum"] {
        let output = track(folder.path(), &["--set", &format!("{key}=0.5")]);
        let (_, error) = expect(&output, 2);
        let words = format!("--set {key}: expected window_influence, penalty_k, learning_rate, ");
        assert!(error.contains(&words), "{error}");
    }
}

#[test]
fn settings_of_the_confidence_act_with_the_logic_off() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 4);
    let rows = |arguments: &[&str]| {
        expect(
            &track(folder.path(), &[&["--lost", "off"], arguments].concat()),
            0,
        )
        .0
    };
    let plain = rows(&[]);
    assert_ne!(plain, rows(&["--set", "lost.weights.bias=2"]));
    let sure = [
        "--set",
        "lost.weights.bias=-99",
        "--set",
        "lost.enabled=true",
    ];
    assert!(!rows(&sure).contains("lost"), "off is off");
}

#[test]
fn a_saved_video_has_a_picture_for_every_row() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("frames");
    pictures(&source, 5);
    fs::write(source.join("2.png"), "no picture").unwrap();
    let video = folder.path().join("out.gif");
    let arguments = ["--save", video.to_str().unwrap(), "--rate", "10"];
    let (csv, _) = expect(&track(&source, &arguments), 0);
    assert_eq!(csv.lines().count(), 1 + 5);
    let file = std::io::BufReader::new(fs::File::open(&video).unwrap());
    let decoder = image::codecs::gif::GifDecoder::new(file).unwrap();
    let shown: Vec<_> = image::AnimationDecoder::into_frames(decoder)
        .map(|frame| frame.unwrap().into_buffer())
        .collect();
    assert_eq!(shown.len(), 5);
    assert_ne!(shown[1], shown[2], "the state is drawn on it");
}

#[test]
fn a_video_that_cannot_be_written_is_refused_before_all_else() {
    let folder = tempfile::tempdir().unwrap();
    let save = |name: &str| {
        let video = folder.path().join(name);
        let output = track(Path::new("nowhere"), &["--save", video.to_str().unwrap()]);
        let (_, error) = expect(&output, 2);
        assert!(!video.exists());
        error
    };
    let error = save("video");
    assert!(error.contains("video has no extension"), "{error}");
    if ettrack_media::source::find_ffmpeg().is_ok() {
        let error = save("video.nosuchformat");
        assert!(error.contains("ffmpeg could not write"), "{error}");
        assert!(error.contains("video.nosuchformat"), "{error}");
    }
    let error = save("video.gif");
    assert!(error.contains("cannot read nowhere"), "{error}");
    let (_, error) = expect(&track(folder.path(), &["--rate", "5"]), 2);
    assert!(error.contains("--save"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_with_the_files_name() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 2);
    let (_, error) = expect(&track(folder.path(), &["--output", "/dev/full"]), 1);
    assert!(error.contains("cannot write /dev/full"), "{error}");
}

#[cfg(unix)]
fn interrupt(child: &std::process::Child) {
    // The shell's own: not every machine has the program.
    let sent = Command::new("sh")
        .args(["-c", &format!("kill -INT {}", child.id())])
        .status();
    assert!(sent.unwrap().success());
}

#[cfg(unix)]
#[test]
fn frames_that_are_left_out_can_be_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("picture.png");
    let image = image::RgbImage::from_fn(1000, 1000, |x, y| image::Rgb([x as u8, y as u8, 7]));
    image.save(&picture).unwrap();
    let source = folder.path().join("frames");
    fs::create_dir(&source).unwrap();
    for index in 0..3000 {
        std::os::unix::fs::symlink(&picture, source.join(format!("{index}.png"))).unwrap();
    }
    let mut track = Command::new(env!("CARGO_BIN_EXE_ettrack"))
        .args(["-v", "track", source.to_str().unwrap()])
        .args(["--model", &model(), "--roi", ROI, "--skip", "2999"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Once the model is there, only frames are left out.
    let mut said = std::io::BufReader::new(track.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("micro_model") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut said, &mut line).unwrap() > 0);
    }
    interrupt(&track);
    // Had it gone on to the first frame, it would have tracked that and ended well.
    assert_eq!(track.wait().unwrap().code(), Some(1));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 30);
    let model = model();
    let saved = tempfile::tempdir().unwrap();
    let gif = saved.path().join("tracked.gif");
    let mut child = Command::new(env!("CARGO_BIN_EXE_ettrack"))
        .args([
            "track",
            folder.path().to_str().unwrap(),
            "--model",
            &model,
            "--roi",
            ROI,
            "--save",
            gif.to_str().unwrap(),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    expect(&output, 0);
    assert!(
        fs::read(&gif).unwrap().starts_with(b"GIF89a"),
        "what was saved is kept"
    );
}

#[test]
fn videos_are_read_and_written_through_ffmpeg_or_its_absence_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("frames");
    pictures(&source, 6);
    let video = folder.path().join("video.mkv");
    let model = model();

    fs::write(&video, "any").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ettrack"))
        .args([
            "track",
            video.to_str().unwrap(),
            "--model",
            &model,
            "--roi",
            ROI,
        ])
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    let (_, error) = expect(&output, 2);
    assert!(
        error.contains("`ffmpeg`, which was not found in PATH; install it"),
        "{error}"
    );

    let gif = folder.path().join("out.gif");
    let (csv, _) = expect(&track(&source, &["--save", gif.to_str().unwrap()]), 0);
    assert!(fs::read(&gif).unwrap().starts_with(b"GIF89a"));
    if ettrack_media::source::find_ffmpeg().is_err() {
        not_run("videos as sources", "ffmpeg is not installed");
        return;
    }
    let made = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-y", "-framerate", "10", "-i"])
        // A bare name: ffmpeg takes every per cent sign of a path for a pattern.
        .arg("%d.png")
        .current_dir(&source)
        .args(["-c:v", "ffv1", "-pix_fmt", "bgr0"])
        .arg(&video)
        .status()
        .unwrap();
    assert!(made.success());
    let (from_video, _) = expect(&track(&video, &[]), 0);
    assert_eq!(from_video, csv, "a lossless video gives the same boxes");
    let annotated = folder.path().join("out.mp4");
    expect(&track(&video, &["--save", annotated.to_str().unwrap()]), 0);
    let (rows, _) = expect(&track(&annotated, &[]), 0);
    assert_eq!(rows.lines().count(), 7, "the written video has all frames");

    let cut = folder.path().join("cut.mkv");
    let bytes = fs::read(&video).unwrap();
    fs::write(&cut, &bytes[..bytes.len() * 2 / 3]).unwrap();
    let (rows, _) = expect(&track(&cut, &[]), 0);
    assert!((2..7).contains(&rows.lines().count()), "{rows}");
    fs::write(&cut, &bytes[..40]).unwrap();
    let (_, error) = expect(&track(&cut, &[]), 2);
    assert!(error.contains("ffmpeg could not read it"), "{error}");
}

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
fn a_replay_answers_every_image_and_is_the_same_every_time() {
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

    // Box by box what `track` gives.
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

/// Equal but for the last digit, which is rounded on the way through JSON.
fn assert_same(theirs: &serde_json::Value, ours: &[f64]) {
    let theirs: Vec<f64> = serde_json::from_value(theirs.clone()).unwrap();
    assert_eq!(theirs.len(), ours.len());
    for (theirs, ours) in theirs.iter().zip(ours) {
        assert!(
            (theirs - ours).abs() < 1e-12 * ours.abs().max(1.0),
            "{theirs} {ours}"
        );
    }
}

#[test]
fn a_truth_without_area_is_no_target() {
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

/// Reads a replayed bag by the packages that others read bags with.
#[test]
fn other_readers_read_the_same() {
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

/// A sequence of OTB's layout under `root`, of a target that `pictures` moves.
fn sequence(root: &Path, name: &str, count: usize) {
    pictures(&root.join(name).join("img"), count);
    let truth: String = (0..count)
        .map(|k| format!("{},20,22,22\n", 20 + 2 * k))
        .collect();
    fs::write(root.join(name).join("groundtruth_rect.txt"), truth).unwrap();
}

#[test]
fn an_evaluation_says_what_it_ran_and_goes_on_after_what_fails() {
    let folder = tempfile::tempdir().unwrap();
    let (root, out) = (folder.path().join("otb"), folder.path().join("out"));
    sequence(&root, "Couple", 4);
    sequence(&root, "Deer", 4);
    fs::write(root.join("Deer/img/2.png"), "no picture").unwrap();
    let model = model();
    let eval = |arguments: &[&str]| {
        let paths = [root.to_str().unwrap(), "--output", out.to_str().unwrap()];
        let all = ["eval", "--dataset=otb100", "--model", &model, "--root"];
        ettrack(&[&all[..], &paths, arguments].concat())
    };
    let report = || fs::read_to_string(out.join("report.html")).unwrap();

    let (table, errors) = expect(&eval(&[]), 1);
    assert!(table.contains("Couple"), "{table}");
    assert!(
        errors.contains("Deer") && errors.contains("1 of 2 sequences have no result"),
        "{errors}"
    );
    for text in [
        "One-pass evaluation, 1 sequences, 4 frames",
        "Sequences without a result: 1",
        "<th>sequence</th>",
        "mean over the sequences",
    ] {
        assert!(report().contains(text), "{text}");
    }

    let spatial = ["--evaluation=sre", "--sequence=Couple"];
    expect(&eval(&spatial), 0);
    for text in [
        "Spatial robustness evaluation, 12 runs, 48 frames",
        "<h2>Runs</h2>",
        "<td>Couple@scale_8</td>",
        "of all frames of its runs, the benchmark's is the mean over the sequences",
    ] {
        assert!(report().contains(text), "{text}");
    }
    let (_, errors) = expect(&eval(&spatial), 0);
    assert!(
        errors.contains("12 of 12 runs were already done"),
        "{errors}"
    );

    // Only what is run again is forgotten.
    let (_, errors) = expect(&eval(&["--sequence=Couple", "--fresh"]), 0);
    assert!(!errors.contains("already done"), "{errors}");
    let (_, errors) = expect(&eval(&spatial), 0);
    assert!(errors.contains("12 of 12 runs"), "{errors}");

    // What it is compared with may be broken.
    let theirs = folder.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    fs::write(theirs.join("Couple.txt"), "1,2,3,NaN\n").unwrap();
    let compare = format!("--compare=Theirs={}", theirs.display());
    let (_, errors) = expect(&eval(&["--sequence=Couple", &compare]), 0);
    assert!(errors.contains("warning: Theirs: Couple: "), "{errors}");
    assert!(out.join("summary.json").is_file());

    let (_, errors) = expect(&eval(&["--subset=test"]), 2);
    assert!(errors.contains("otb100 has no subset"), "{errors}");
}

#[test]
fn another_tracker_runs_on_what_is_listed_and_is_scored_with_its_times() {
    let folder = tempfile::tempdir().unwrap();
    let (root, theirs) = (folder.path().join("otb"), folder.path().join("theirs"));
    sequence(&root, "Couple", 4);
    sequence(&root, "Deer", 4);
    fs::write(root.join("Deer/groundtruth_rect.txt"), "1,2,3\n").unwrap();
    let root = root.to_str().unwrap();
    let list = |arguments: &[&str]| {
        ettrack(
            &[
                &["sequences", "--dataset=otb100", "--root", root],
                arguments,
            ]
            .concat(),
        )
    };

    let (lines, errors) = expect(&list(&[]), 1);
    assert!(
        errors.contains("Deer") && errors.contains("1 of 2 sequences cannot be read"),
        "{errors}"
    );
    let line: serde_json::Value = serde_json::from_str(lines.trim()).unwrap();
    assert_eq!(
        (&line["name"], &line["first_pixel"]),
        (&"Couple".into(), &1.0.into())
    );
    assert_same(&line["first_box"], &[19.0, 19.0, 22.0, 22.0]);
    let frames: Vec<PathBuf> = serde_json::from_value(line["frames"].clone()).unwrap();
    assert!(frames.len() == 4 && frames.iter().all(|frame| frame.is_file()));
    let (lines, _) = expect(&list(&["--evaluation=sre", "--sequence=Couple"]), 0);
    assert!(lines.lines().count() == 12 && lines.contains("Couple@scale_8"));

    // A tracker that makes no mistake, at two frames a second.
    fs::create_dir_all(theirs.join("boxes")).unwrap();
    fs::create_dir_all(theirs.join("times")).unwrap();
    let truth = Path::new(root).join("Couple/groundtruth_rect.txt");
    fs::copy(truth, theirs.join("boxes/Couple.txt")).unwrap();
    fs::write(theirs.join("times/Couple_time.txt"), "9\n0.5\n0.5\n0.5\n").unwrap();
    let out = folder.path().join("out");
    let theirs = theirs.to_str().unwrap();
    let paths = ["--boxes", theirs, "--output", out.to_str().unwrap()];
    let eval = [
        "eval",
        "--dataset=otb100",
        "--sequence=Couple",
        "--root",
        root,
    ];
    let (table, _) = expect(&ettrack(&[&eval[..], &paths].concat()), 0);
    let row = table.lines().find(|row| row.starts_with("Couple")).unwrap();
    assert!(row.contains("0.952") && row.ends_with(" 2.0"), "{row}");

    fs::write(Path::new(theirs).join("times/Couple_time.txt"), "soon").unwrap();
    let (_, errors) = expect(&ettrack(&[&eval[..], &paths].concat()), 1);
    assert!(
        errors.contains("Couple_time.txt:1: expected a number"),
        "{errors}"
    );
}

#[test]
fn presence_records_what_each_frames_confidence_is_made_of() {
    let folder = tempfile::tempdir().unwrap();
    sequence(&folder.path().join("otb"), "Couple", 45);
    let table = folder.path().join("features.csv");
    let model = model();
    let output = ettrack(&[
        "presence",
        "--dataset=otb100",
        "--root",
        folder.path().join("otb").to_str().unwrap(),
        "--model",
        &model,
        "--edit=board,paint",
        "--features",
        table.to_str().unwrap(),
    ]);
    expect(&output, 0);
    let table = fs::read_to_string(table).unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split(',').collect())
        .collect();
    let of = |name: &str| rows[0].iter().position(|column| *column == name).unwrap();
    // All frames but the first of both edits. The board leaves and comes again over two frames in the middle.
    assert_eq!(rows.len(), 1 + 2 * 44);
    let count = |name: &str, value: &str| {
        rows[1..]
            .iter()
            .filter(|row| row[of(name)] == value)
            .count()
    };
    assert_eq!((count("edit", "board"), count("edit", "paint")), (44, 44));
    assert_eq!(
        (count("sight", "absent"), count("sight", "partly")),
        (2 * 16, 18)
    );
    for row in &rows[1..] {
        assert_eq!(row.len(), rows[0].len());
        let number = |name: &str| row[of(name)].parse::<f64>().unwrap();
        assert!((-6.0..=6.0).contains(&number("score")), "{row:?}");
        for share in ["overlap", "confidence", "second", "spread", "agreement"] {
            assert!((0.0..=1.0).contains(&number(share)), "{share}: {row:?}");
        }
    }
    // What was recorded is what was seen on that frame, not one number for all.
    let scores: std::collections::BTreeSet<_> =
        rows[1..].iter().map(|row| row[of("score")]).collect();
    assert!(scores.len() > 10, "{scores:?}");
}

#[cfg(unix)]
#[test]
fn a_flight_that_is_interrupted_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let is_empty = || fs::read_dir(folder.path()).unwrap().next().is_none();
    for format in ["folder", "bag"] {
        let mut simulate = Command::new(env!("CARGO_BIN_EXE_ettrack"))
            .args(["simulate", "--frames", "100000", "--width", "64"])
            .args(["--height", "64", "--format", format, "--output"])
            .arg(folder.path().join("flight"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // However long the world takes to make.
        while is_empty() {
            let ended = simulate.try_wait().unwrap();
            assert!(ended.is_none(), "{format}: it never began: {ended:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        interrupt(&simulate);
        assert_eq!(simulate.wait().unwrap().code(), Some(1), "{format}");
        assert!(is_empty(), "{format}");
    }
}
