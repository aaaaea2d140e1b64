//! `ettrack track`: sources, layouts, videos, refusals.

use super::*;

#[test]
fn tracks_a_folder_in_natural_order_in_every_layout() {
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

    // In these layouts, boxes over the left or upper edge are shifted inwards, as the authors of this family do.
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

    // A bag of the same frames is ordered by time. Equal boxes show that the folder was read in that order.
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
fn refuses_wrong_input_with_exit_code_2_and_writes_nothing() {
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
fn counts_an_unreadable_frame_and_ends_at_a_change_of_size() {
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
    // The rows that were tracked before are complete.
    assert_eq!(fs::read_to_string(&output).unwrap().lines().count(), 1 + 4);
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        2,
        "no temporary file is left"
    );
}

#[test]
fn never_overwrites_a_file_of_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    pictures(&at("frames"), 3);
    bag(&at("bag"), 3);
    fs::copy(at("bag/bag_0.mcap"), at("flight.mcap")).unwrap();
    // A file's kind is told by its first bytes.
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
    // Files beside the source may be overwritten.
    let rows = at("frames/rows.csv");
    for _ in 0..2 {
        expect(
            &track(&at("frames"), &["--output", rows.to_str().unwrap()]),
            0,
        );
    }
}

#[test]
fn refuses_a_constant_that_the_model_does_not_have_by_its_name() {
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
fn settings_of_the_confidence_act_while_the_lost_state_is_off() {
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
fn refuses_a_video_that_cannot_be_written_before_the_work() {
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
fn reports_a_full_disk_with_the_name_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 2);
    let (_, error) = expect(&track(folder.path(), &["--output", "/dev/full"]), 1);
    assert!(error.contains("cannot write /dev/full"), "{error}");
}

#[cfg(unix)]
#[test]
fn can_be_interrupted_while_it_skips_frames() {
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
    // After this line the program only skips frames.
    let mut said = std::io::BufReader::new(track.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("micro_model") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut said, &mut line).unwrap() > 0);
    }
    interrupt(&track);
    // If it had reached the first frame, it would have tracked it and ended with exit code 0.
    assert_eq!(track.wait().unwrap().code(), Some(1));
}

#[test]
fn ends_with_exit_code_0_when_its_reader_closes_the_pipe() {
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
fn reads_and_writes_videos_through_ffmpeg_or_says_that_it_is_missing() {
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
        // Without a folder, because ffmpeg takes every per cent sign of a path for a pattern.
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

#[test]
fn tracks_with_the_built_in_model_from_any_folder() {
    let folder = tempfile::tempdir().unwrap();
    pictures(&folder.path().join("frames"), 4);
    let run = |model: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_ettrack"))
            .current_dir(folder.path())
            .args(["track", "frames", "--roi", ROI])
            .args(model)
            .output()
            .unwrap()
    };
    let (built_in, _) = expect(&run(&[]), 0);
    assert_eq!(built_in.lines().count(), 5);
    // The folder of the repository holds the same model.
    let on_disk = ettrack_testing::repository("models/ettrack-nano");
    let (same, _) = expect(&run(&["--model", on_disk.to_str().unwrap()]), 0);
    assert_eq!(built_in, same);
    let (_, error) = expect(&run(&["--model", "models/of-nobody"]), 2);
    assert!(error.contains("built-in models: ettrack-nano"), "{error}");
}
