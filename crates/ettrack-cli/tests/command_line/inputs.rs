//! Unusual inputs: videos with several streams, pipes, sizes that change, names with numbers, links to cameras, bags that were
//! moved, text of other systems, result files of other tools.

use super::*;
use std::io::Write;

/// Runs ffmpeg to make an input. If there is no ffmpeg, prints this and returns `None`.
fn ffmpeg(arguments: &[&str]) -> Option<()> {
    if ettrack_media::source::find_ffmpeg().is_err() {
        not_run("videos as people have them", "ffmpeg is not installed");
        return None;
    }
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-nostdin"])
        .args(arguments)
        .status()
        .unwrap();
    assert!(made.success(), "{arguments:?}");
    Some(())
}

/// Writes Motion JPEG of ffmpeg's test pattern with this size, rate and duration. Returns `None` if there is no ffmpeg.
fn motion_jpeg(pattern: &str, clip: &str) -> Option<()> {
    let source = format!("testsrc={pattern}");
    ffmpeg(&["-f", "lavfi", "-i", &source, "-c:v", "mjpeg", clip])
}

fn path(folder: &tempfile::TempDir, name: &str) -> String {
    folder.path().join(name).display().to_string()
}

/// The lines of a run's table after the heading.
fn rows(table: &str) -> Vec<String> {
    table.lines().skip(1).map(str::to_owned).collect()
}

const SMALL: &str = "testsrc=s=96x72:r=10:d=1";
const LARGE: &str = "testsrc=s=192x144:r=10:d=2";

#[test]
fn the_stream_that_a_player_shows_is_read_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let made = |name: &str, arguments: &[&str]| {
        let file = path(&folder, name);
        ffmpeg(&[arguments, &[file.as_str()]].concat()).map(|()| file)
    };
    let Some(cover) = made("cover.png", &["-f", "lavfi", "-i", SMALL, "-frames:v", "1"]) else {
        return;
    };
    let inputs = ["-f", "lavfi", "-i", SMALL, "-f", "lavfi", "-i", LARGE];
    let codec = ["-c:v", "mpeg4"];
    let covered = made(
        "covered.mp4",
        &[
            &[
                "-i", &cover, "-f", "lavfi", "-i", LARGE, "-map", "0", "-map", "1",
            ][..],
            &[
                "-c:v:0",
                "png",
                "-c:v:1",
                "mpeg4",
                "-disposition:v:0",
                "attached_pic",
            ],
        ]
        .concat(),
    );
    let both = ["-map", "0", "-map", "1"];
    let marks = |first: &'static str, second: &'static str| {
        ["-disposition:v:0", first, "-disposition:v:1", second]
    };
    let large = made(
        "large.mkv",
        &[&inputs[..], &both, &codec, &marks("0", "0")].concat(),
    );
    let default = made(
        "default.mkv",
        &[&inputs[..], &both, &codec, &marks("default", "0")].concat(),
    );
    for (file, frames, size) in [
        (covered, 20, "192x144"),
        (large, 20, "192x144"),
        (default, 10, "96x72"),
    ] {
        let file = file.unwrap();
        let (table, errors) = expect(&track(Path::new(&file), &["-v"]), 0);
        assert_eq!(rows(&table).len(), frames, "{file}: {errors}");
        assert!(
            errors.contains("reads stream") && errors.contains(size),
            "{errors}"
        );
    }
    let sound = made("sound.mka", &["-f", "lavfi", "-i", "sine=d=1"]).unwrap();
    let (_, errors) = expect(&track(Path::new(&sound), &[]), 2);
    assert!(errors.contains("expected a video, found audio"), "{errors}");
}

#[test]
fn a_stream_that_changes_its_size_ends_the_run_at_that_frame() {
    let folder = tempfile::tempdir().unwrap();
    // Its decoder holds no frame back: that of MPEG-2 loses the last one before the change.
    let clip = path(&folder, "clip.mjpeg");
    let mut stream = Vec::new();
    // The third has the same number of pixels as the first.
    for (index, size) in ["320x240", "160x120", "240x320"].iter().enumerate() {
        let part = path(&folder, &format!("{index}.mjpeg"));
        let Some(()) = motion_jpeg(&format!("s={size}:r=20:d=1"), &part) else {
            return;
        };
        stream.push(fs::read(&part).unwrap());
    }
    for (second, other) in [(1, "160x120"), (2, "240x320")] {
        fs::write(&clip, [stream[0].as_slice(), &stream[second]].concat()).unwrap();
        let (table, errors) = expect(&track(Path::new(&clip), &[]), 2);
        assert_eq!(rows(&table).len(), 20, "{errors}");
        let words = format!("frame 20 is {other} pixels, the frames before it 320x240");
        assert!(errors.contains(&words), "{errors}");
    }
}

#[test]
fn pipes_are_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let clip = path(&folder, "clip.mjpeg");
    let Some(()) = motion_jpeg("s=96x72:r=10:d=4", &clip) else {
        return;
    };
    let (from_file, _) = expect(&track(Path::new(&clip), &[]), 0);
    assert_eq!(rows(&from_file).len(), 40);
    let model = model();
    let program = env!("CARGO_BIN_EXE_ettrack");
    let options = format!("--model '{model}' --roi {ROI}");
    let fifo = path(&folder, "fifo");
    for command in [
        format!("cat '{clip}' | '{program}' track - {options}"),
        format!("cat '{clip}' | '{program}' track /dev/stdin {options}"),
        format!("'{program}' track <(cat '{clip}') {options}"),
        format!("'{program}' track - {options} < '{clip}'"),
        format!("mkfifo '{fifo}'; cat '{clip}' > '{fifo}' & '{program}' track '{fifo}' {options}"),
    ] {
        let output = Command::new("bash")
            .args(["-c", &command])
            .output()
            .unwrap();
        let (table, _) = expect(&output, 0);
        assert_eq!(table, from_file, "{command}");
    }
    // A bag cannot be read from a pipe: it is read in more than one place.
    bag(&folder.path().join("bag"), 3);
    let file = fs::read_dir(folder.path().join("bag"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mcap = file
        .into_iter()
        .find(|path| path.extension().is_some_and(|e| e == "mcap"))
        .unwrap();
    let command = format!(
        "'{program}' replay <(cat '{}') {options} --output '{}'",
        mcap.display(),
        path(&folder, "answers")
    );
    let output = Command::new("bash")
        .args(["-c", &command])
        .output()
        .unwrap();
    let (_, errors) = expect(&output, 2);
    assert!(errors.contains("a pipe or a device"), "{errors}");
}

#[test]
fn damaged_frames_of_a_video_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let clip = path(&folder, "clip.mjpeg");
    let Some(()) = motion_jpeg("s=96x72:r=10:d=2", &clip) else {
        return;
    };
    let mut bytes = fs::read(&clip).unwrap();
    let starts: Vec<usize> = bytes
        .windows(3)
        .enumerate()
        .filter_map(|(at, window)| (window == [0xff, 0xd8, 0xff]).then_some(at))
        .collect();
    assert_eq!(starts.len(), 20);
    for index in [5, 9] {
        // Bits per sample, in the header of the frame: no decoder knows 99.
        let header = bytes[starts[index]..]
            .windows(2)
            .position(|window| window == [0xff, 0xc0])
            .unwrap();
        bytes[starts[index] + header + 4] = 99;
    }
    fs::write(&clip, bytes).unwrap();
    let (table, errors) = expect(&track(Path::new(&clip), &[]), 0);
    assert!(errors.contains("2 damaged in the video"), "{errors}");
    assert_eq!(rows(&table).len(), 18, "{table}");
}

#[test]
fn pictures_are_read_in_the_order_of_the_numbers_in_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original");
    pictures(&original, 6);
    let (expected, _) = expect(&track(&original, &[]), 0);
    for names in [
        ["9", "10", "99", "100", "101", "1000"],
        ["0.9", "0.95", "1.0", "1.05", "1.1", "10.0"],
        ["7_5", "7_33333333", "7_100000000", "8_0", "10_0", "10_1"],
        ["7.5", "7.33333333", "7.100000000", "8.0", "10.0", "10.1"],
        ["01", "2", "003", "04", "0005", "00010"],
    ] {
        let named = folder.path().join(names[1]);
        fs::create_dir(&named).unwrap();
        for (index, name) in names.iter().enumerate() {
            fs::copy(
                original.join(format!("{index}.png")),
                named.join(format!("{name}.png")),
            )
            .unwrap();
        }
        let (table, errors) = expect(&track(&named, &[]), 0);
        assert_eq!(table, expected, "{names:?}");
        assert!(!errors.contains("two orders"), "{names:?}: {errors}");
    }
    let doubtful = folder.path().join("doubtful");
    fs::create_dir(&doubtful).unwrap();
    for (index, name) in ["1.25", "1.5", "1.75"].iter().enumerate() {
        fs::copy(
            original.join(format!("{index}.png")),
            doubtful.join(format!("{name}.png")),
        )
        .unwrap();
    }
    let (_, errors) = expect(&track(&doubtful, &[]), 0);
    assert!(
        errors.contains("two orders of the pictures are possible"),
        "{errors}"
    );
}

/// A folder with a program `ffmpeg` that writes down its arguments and gives twenty black pictures a second.
fn false_ffmpeg(folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let program = folder.join("ffmpeg");
    let script = "#!/bin/sh\n[ \"$1\" = -version ] && { echo ffmpeg version 5.1.9; exit 0; }\n\
                  echo \"$@\" >> \"$0.arguments\"\n\
                  for i in $(seq 100); do\n\
                  { printf 'P6\\n96 72\\n255\\n'; head -c 20736 /dev/zero; } || exit\n\
                  sleep 0.05\ndone\n";
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program.with_extension("arguments")
}

#[test]
fn a_camera_is_known_through_links_and_by_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = false_ffmpeg(folder.path());
    let search = format!(
        "{}:{}",
        folder.path().display(),
        std::env::var("PATH").unwrap()
    );
    let run = |source: &str| {
        let model = model();
        Command::new(env!("CARGO_BIN_EXE_ettrack"))
            .args([
                "track",
                source,
                "--model",
                &model,
                "--roi",
                ROI,
                "--frames=2",
            ])
            .env("PATH", &search)
            .current_dir(folder.path())
            .output()
            .unwrap()
    };
    let (_, errors) = expect(&run("977"), 2);
    assert!(errors.contains("cannot read /dev/video977"), "{errors}");

    // A device of Video4Linux under another name, as udev makes them.
    let device = folder.path().join("node");
    let made = Command::new("mknod")
        .args([device.to_str().unwrap(), "c", "81", "97"])
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        not_run("cameras through links", "making a device needs root");
        return;
    }
    std::os::unix::fs::symlink(&device, folder.path().join("by-id")).unwrap();
    std::os::unix::fs::symlink("by-id", folder.path().join("cam")).unwrap();
    let link = folder.path().join("cam");
    for source in [link.to_str().unwrap(), "cam", "node"] {
        expect(&run(source), 0);
        let given = fs::read_to_string(&arguments).unwrap();
        assert!(
            given.contains("-f v4l2 -i ") && !given.contains("file:"),
            "{given}"
        );
        fs::remove_file(&arguments).unwrap();
    }
}

#[test]
fn a_video_is_not_saved_as_one_picture_and_this_is_refused_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("frames");
    pictures(&source, 3);
    for name in ["x.png", "x.JPG", "x.bmp"] {
        let file = path(&folder, name);
        let boxes = path(&folder, "boxes.csv");
        let (table, errors) = expect(&track(&source, &["--save", &file, "--output", &boxes]), 2);
        assert!(
            table.is_empty() && errors.contains("the name of one picture"),
            "{errors}"
        );
        assert!(!Path::new(&file).exists() && !Path::new(&boxes).exists());
    }
}

#[test]
fn a_bag_of_ros_1_is_refused_by_name_with_the_way_to_convert_it() {
    let folder = tempfile::tempdir().unwrap();
    let bag = folder.path().join("old/flight.bag");
    fs::create_dir(folder.path().join("old")).unwrap();
    fs::write(&bag, b"#ROSBAG V2.0\nand so on").unwrap();
    for source in [bag.clone(), folder.path().join("old")] {
        let (_, errors) = expect(&track(&source, &[]), 2);
        assert!(
            errors.contains("a bag of ROS 1") && errors.contains("rosbags-convert --src"),
            "{errors}"
        );
    }
}

#[test]
fn a_missing_model_is_named_with_its_path_and_the_bundled_one_is_found_from_any_folder() {
    let folder = tempfile::tempdir().unwrap();
    pictures(&folder.path().join("frames"), 2);
    let run = |model: &str| {
        Command::new(env!("CARGO_BIN_EXE_ettrack"))
            .args(["track", "frames", "--roi", ROI, "--model", model])
            .current_dir(folder.path())
            .output()
            .unwrap()
    };
    for model in [
        "ettrack-nano",
        "models/ettrack-nano",
        "./models/ettrack-nano",
        "../models/ettrack-nano/",
    ] {
        expect(&run(model), 0);
    }
    let (_, errors) = expect(&run("models/none"), 2);
    let place = folder.path().canonicalize().unwrap().join("models/none");
    assert!(
        errors.contains(place.to_str().unwrap()) && errors.contains("ettrack-nano"),
        "{errors}"
    );
}

#[test]
fn score_and_boxes_read_what_track_writes() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("otb");
    evaluation::sequence(&root, "Couple", 6);
    let model = model();
    let results = |name: &str| folder.path().join(name);
    let eval = |arguments: &[&str], output: &str| {
        let output = path(&folder, output);
        let first = [
            "eval",
            "--dataset=otb100",
            "--root",
            root.to_str().unwrap(),
            "--output",
            &output,
        ];
        expect(&ettrack(&[&first[..], arguments].concat()), 0);
        let text = fs::read(Path::new(&output).join("summary.json")).unwrap();
        let summary: serde_json::Value = serde_json::from_slice(&text).unwrap();
        summary["mean"]["success_auc"].as_f64().unwrap()
    };
    let expected = eval(&["--model", &model], "run");
    // The first box of the truth, counted from 0.
    let roi = "19,19,22,22";
    for (format, file) in [
        ("csv", "Couple.csv"),
        ("csv", "Couple.txt"),
        ("pysot", "Couple.txt"),
        ("pytracking", "Couple.txt"),
    ] {
        let boxes = results(&format!("{format}-{file}"));
        fs::create_dir(&boxes).unwrap();
        let images = root.join("Couple/img");
        let file = boxes.join(file);
        let arguments = [
            "track",
            images.to_str().unwrap(),
            "--model",
            &model,
            "--roi",
            roi,
            "--lost=off",
        ];
        let output = ["--format", format, "--output", file.to_str().unwrap()];
        expect(&ettrack(&[&arguments[..], &output].concat()), 0);
        let auc = eval(&["--boxes", boxes.to_str().unwrap()], "scored");
        // CSV has the boxes as they are, others are cut at the image as the authors cut them. The same numbers, counted from 1:
        let expected = if format == "csv" {
            let plain = results(&format!("plain-{}", boxes.file_name().unwrap().display()));
            fs::create_dir(&plain).unwrap();
            let text: String = rows(&fs::read_to_string(&file).unwrap())
                .iter()
                .map(|row| {
                    let n: Vec<f64> = row
                        .split(',')
                        .skip(1)
                        .take(4)
                        .map(|n| n.parse().unwrap())
                        .collect();
                    format!("{},{},{},{}\n", n[0] + 1.0, n[1] + 1.0, n[2], n[3])
                })
                .collect();
            fs::write(plain.join("Couple.txt"), text).unwrap();
            eval(&["--boxes", plain.to_str().unwrap()], "plain")
        } else {
            expected
        };
        assert!((auc - expected).abs() < 1e-3, "{format}: {auc} {expected}");
    }

    let flight = folder.path().join("flight");
    bag(&flight, 6);
    let truth = results("truth.txt");
    let lines: String = (0..6)
        .map(|k| format!("{},20,22,22\r\n", 20 + 2 * k))
        .collect();
    fs::write(&truth, format!("\u{feff}{lines}")).unwrap();
    let boxes = results("boxes.csv");
    expect(&track(&flight, &["--output", boxes.to_str().unwrap()]), 0);
    let score = |answers: &Path| {
        let arguments = [
            "score",
            answers.to_str().unwrap(),
            "--bag",
            flight.to_str().unwrap(),
            "--json",
        ];
        let (json, _) = expect(
            &ettrack(&[&arguments[..], &["--truth", truth.to_str().unwrap()]].concat()),
            0,
        );
        serde_json::from_str::<serde_json::Value>(&json).unwrap()
    };
    let scored = score(&boxes);
    assert_eq!(
        (&scored["images"], &scored["answered"]),
        (&6.into(), &6.into())
    );
    // The same table with the boxes of the truth.
    let table = fs::read_to_string(&boxes).unwrap();
    let heading = table.lines().next().unwrap();
    let right: String = (0..6)
        .map(|k| {
            format!(
                "{k},{}.0000,20.0000,22.0000,22.0000,1.0000,tracking\n",
                20 + 2 * k
            )
        })
        .collect();
    let with_a_loss = right.replace("1.0000,tracking\n4,", "0.1000,lost\n4,");
    for (rows, lost) in [(&right, 0), (&with_a_loss, 1)] {
        fs::write(&boxes, format!("{heading}\n{rows}")).unwrap();
        let scored = score(&boxes);
        assert_eq!(
            (&scored["scores"]["ao"], &scored["lost"]),
            (&1.0.into(), &lost.into())
        );
    }
    let perfect = results("perfect.txt");
    fs::write(&perfect, lines).unwrap();
    assert_eq!(score(&perfect)["scores"]["ao"], 1.0);
}

#[test]
fn truth_of_other_systems_is_read_and_wrong_columns_are_refused_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("otb");
    let rows = ["20,20,22,22", "22,20,22,22", "24,20,22,22", "26,20,22,22"];
    for (name, text) in [
        ("Marked", format!("\u{feff}{}\n", rows.join("\n"))),
        ("Windows", rows.join("\r\n")),
        ("Mac", rows.join("\r")),
        (
            "Mixed",
            rows.join("\n")
                .replacen(',', "\t", 1)
                .replacen(',', "; ", 1),
        ),
    ] {
        evaluation::sequence(&root, name, 4);
        fs::write(root.join(name).join("groundtruth_rect.txt"), text).unwrap();
    }
    let list = || {
        ettrack(&[
            "sequences",
            "--dataset=otb100",
            "--root",
            root.to_str().unwrap(),
        ])
    };
    let (lines, _) = expect(&list(), 0);
    assert_eq!(lines.lines().count(), 4);
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_same(&line["first_box"], &[19.0, 19.0, 22.0, 22.0]);
    }
    evaluation::sequence(&root, "Wide", 4);
    let wide = rows.join("\n").replace("24,20", "24,20,1");
    fs::write(root.join("Wide/groundtruth_rect.txt"), wide).unwrap();
    let (_, errors) = expect(&list(), 1);
    assert!(
        errors.contains("Wide/groundtruth_rect.txt:3: expected x, y, width, height"),
        "{errors}"
    );
}

#[test]
fn results_of_other_tools_are_found_under_their_names_and_compared_over_the_common_sequences() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("otb");
    evaluation::sequence(&root, "Deer", 4);
    evaluation::sequence(&root, "Jogging", 4);
    let truth = root.join("Jogging/groundtruth_rect.txt");
    let text = fs::read_to_string(&truth).unwrap();
    fs::rename(&truth, root.join("Jogging/groundtruth_rect.1.txt")).unwrap();
    fs::write(root.join("Jogging/groundtruth_rect.2.txt"), &text).unwrap();
    evaluation::sequence(&root, "Human4", 4);
    fs::rename(
        root.join("Human4/groundtruth_rect.txt"),
        root.join("Human4/groundtruth_rect.2.txt"),
    )
    .unwrap();
    fs::write(root.join("Human4/groundtruth_rect.1.txt"), "").unwrap();
    let eval = |arguments: &[&str], code| {
        let output = path(&folder, "out");
        let first = [
            "eval",
            "--dataset=otb100",
            "--root",
            root.to_str().unwrap(),
            "--output",
            &output,
        ];
        expect(&ettrack(&[&first[..], arguments].concat()), code)
    };
    for (tool, names) in [
        ("got10k", ["Jogging.1", "Jogging.2", "Human4"]),
        (
            "pytracking/etrack/default_000",
            ["Jogging_1", "Jogging_2", "Human4_2"],
        ),
        ("pysot", ["Jogging-1", "Jogging-2", "Human4-2"]),
    ] {
        let results = folder.path().join(tool);
        fs::create_dir_all(&results).unwrap();
        for name in names.into_iter().chain(["Deer"]) {
            fs::write(results.join(format!("{name}.txt")), text.replace(',', "\t")).unwrap();
        }
        let given = folder.path().join(tool.split('/').next().unwrap());
        let (table, _) = eval(&["--boxes", given.to_str().unwrap()], 0);
        for name in ["Jogging-1", "Jogging-2", "Human4-2", "Deer"] {
            let row = table.lines().find(|row| row.starts_with(name)).unwrap();
            assert!(row.contains("0.952"), "{tool}: {row}");
        }
    }
    let ours = path(&folder, "got10k");
    let theirs = folder.path().join("pysot");
    fs::remove_file(theirs.join("Deer.txt")).unwrap();
    let compare = format!("--compare=Theirs={}", theirs.display());
    let (table, errors) = eval(&["--boxes", &ours, &compare], 0);
    assert!(
        errors.contains("compared over the 3 of 4 sequences")
            && errors.contains("Theirs has none of Deer"),
        "{errors}"
    );
    assert!(table.contains("got10k, 3 common sequences"), "{table}");
    let report = fs::read_to_string(folder.path().join("out/report.html")).unwrap();
    assert!(report.contains("compared over the 3 of 4 sequences"));
}

#[test]
fn a_run_is_redone_when_the_content_of_a_picture_changed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("otb");
    evaluation::sequence(&root, "Couple", 4);
    evaluation::sequence(&root, "Deer", 4);
    let (output, model) = (path(&folder, "out"), model());
    let eval = || {
        let first = ["eval", "--dataset=otb100", "--root", root.to_str().unwrap()];
        expect(
            &ettrack(&[&first[..], &["--model", &model, "--output", &output]].concat()),
            0,
        )
        .1
    };
    eval();
    assert!(eval().contains("2 of 2 sequences were already done"));
    let picture = root.join("Deer/img/2.png");
    let content = fs::read(&picture).unwrap();
    let other = fs::read(root.join("Deer/img/1.png")).unwrap();
    fs::File::create(&picture)
        .unwrap()
        .write_all(&other)
        .unwrap();
    assert!(eval().contains("1 of 2 sequences were already done"));
    // Written anew with the same content, as a copy of the data set has it.
    fs::remove_file(&picture).unwrap();
    fs::write(&picture, other).unwrap();
    assert!(eval().contains("2 of 2 sequences were already done"));
    assert_ne!(content, fs::read(&picture).unwrap());
}
