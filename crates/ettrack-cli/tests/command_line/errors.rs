//! Error messages of all commands: complete, with the system's reason, and nothing said twice.

use super::*;
use ettrack_eval::dataset::DATASETS;

/// Runs a command that fails with exit code `code`, and checks that each of `parts` is printed exactly once.
fn expect_once(arguments: &[&str], code: i32, parts: &[&str]) {
    let (_, error) = expect(&ettrack(arguments), code);
    for part in parts {
        assert_eq!(error.matches(part).count(), 1, "{part:?} in {error}");
    }
}

#[test]
fn a_suite_refuses_the_multi_start_experiment() {
    let folder = tempfile::tempdir().unwrap();
    evaluation::sequence(&folder.path().join("otb"), "Couple", 4);
    let suite = folder.path().join("suite.yaml");
    fs::write(&suite, "benchmarks:\n  - {dataset: otb100, root: otb}\n").unwrap();
    let output = folder.path().join("out");
    let arguments = [
        "suite",
        suite.to_str().unwrap(),
        "--model",
        &model(),
        "--output",
    ];
    let more = [output.to_str().unwrap(), "--evaluation=multistart"];
    let (_, error) = expect(&ettrack(&[&arguments[..], &more].concat()), 2);
    assert!(error.contains("expected ope, sre or tre"), "{error}");
    assert!(!output.exists());
}

#[test]
fn a_source_without_any_frame_ends_serve_and_mavlink() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("0.png"), b"no picture").unwrap();
    let (source, model) = (folder.path().to_str().unwrap(), model());
    for more in [
        &["serve", "--address=127.0.0.1:0"],
        &["mavlink", "--connect=udpin:127.0.0.1:0"],
    ] {
        let arguments = [&more[..], &[source, "--model", &model]].concat();
        let (_, error) = expect(&ettrack(&arguments), 2);
        assert!(
            error.contains("error: ") && error.contains("it has no frames"),
            "{error}"
        );
    }
}

#[test]
fn a_missing_input_is_named_with_the_systems_reason_once() {
    const REASON: &str = "No such file or directory";
    let model = model();
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("output");
    let output = output.to_str().unwrap();
    let commands: &[&[&str]] = &[
        &["track", "no/source.mp4", "--roi", ROI, "--model", &model],
        &[
            "replay", "no/bag", "--roi", ROI, "--model", &model, "--output", output,
        ],
        &[
            "score",
            "no/answers",
            "--bag",
            "no/bag",
            "--truth",
            "no/truth.txt",
        ],
        &[
            "eval",
            "--dataset=otb100",
            "--root=no/data",
            "--model",
            &model,
            "--output",
            output,
        ],
        &["sequences", "--dataset=otb100", "--root=no/data"],
        &[
            "presence",
            "--dataset=otb100",
            "--root=no/data",
            "--model",
            &model,
        ],
        &["models", "no/models"],
    ];
    for command in commands {
        let (_, error) = expect(&ettrack(command), 2);
        assert_eq!(error.matches(REASON).count(), 1, "{command:?}: {error}");
        assert_eq!(error.matches("no/").count(), 1, "{command:?}: {error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn an_output_that_cannot_be_written_is_named_with_the_systems_reason_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let below = file.join("flight");
    for format in ["folder", "bag"] {
        expect_once(
            &[
                "simulate",
                "--frames=2",
                "--width=64",
                "--height=64",
                "--format",
                format,
                "--output",
                below.to_str().unwrap(),
            ],
            1,
            &["file/flight", "os error"],
        );
    }
}

#[test]
fn broken_frames_and_truth_files_are_explained_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let images = root.join("Deer/img");
    pictures(&images, 2);
    fs::write(images.join("0.png"), b"\x89PNG\r\n\x1a\nno more").unwrap();
    let model = model();
    expect_once(
        &[
            "track",
            images.to_str().unwrap(),
            "--roi",
            ROI,
            "--model",
            &model,
        ],
        2,
        &["frame 0 (0.png)", "picture is damaged"],
    );
    fs::write(root.join("Deer/groundtruth_rect.txt"), "1,2,three,4\n").unwrap();
    expect_once(
        &[
            "sequences",
            "--dataset=otb100",
            "--root",
            root.to_str().unwrap(),
        ],
        1,
        &["Deer: ", "groundtruth_rect.txt:1", "1,2,three,4"],
    );
}

#[test]
fn an_unknown_data_set_is_refused_with_the_list_and_aliases_are_accepted() {
    let (_, error) = expect(&ettrack(&["sequences", "--dataset=otb99", "--root=."]), 2);
    let (help, _) = expect(&ettrack(&["sequences", "--help"]), 0);
    for dataset in DATASETS {
        assert!(error.contains(dataset.name), "{error}");
        assert!(help.contains(dataset.name), "{help}");
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    expect_once(
        &["sequences", "--dataset=otb2015", "--root", root],
        2,
        &["does not hold otb100: expected <sequence>/groundtruth_rect.txt"],
    );
}
