//! `ettrack eval`, `sequences` and `presence`.

use super::*;

/// A sequence in OTB's layout below `root` with the frames of `pictures`.
pub(super) fn sequence(root: &Path, name: &str, count: usize) {
    pictures(&root.join(name).join("img"), count);
    let truth: String = (0..count)
        .map(|k| format!("{},20,22,22\n", 20 + 2 * k))
        .collect();
    fs::write(root.join(name).join("groundtruth_rect.txt"), truth).unwrap();
}

#[test]
fn an_evaluation_reports_what_it_ran_and_continues_after_a_failed_sequence() {
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

    // Results of other sequences are kept.
    let (_, errors) = expect(&eval(&["--sequence=Couple", "--fresh"]), 0);
    assert!(!errors.contains("already done"), "{errors}");
    let (_, errors) = expect(&eval(&spatial), 0);
    assert!(errors.contains("12 of 12 runs"), "{errors}");

    // Results to compare with may be damaged.
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
fn a_benchmark_with_attributes_has_a_radar_of_all_trackers_and_figures_are_written_as_files() {
    let folder = tempfile::tempdir().unwrap();
    let (root, out) = (folder.path().join("otb"), folder.path().join("out"));
    sequence(&root, "Couple", 4);
    sequence(&root, "Deer", 4);
    fs::create_dir(root.join("att")).unwrap();
    fs::write(root.join("att/Couple.txt"), "1,1,1,0,0,0,0,0,0,0,0\n").unwrap();
    fs::write(root.join("att/Deer.txt"), "0,0,1,1,0,0,0,0,0,0,0\n").unwrap();
    // A tracker without a mistake.
    let theirs = folder.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    for name in ["Couple", "Deer"] {
        let truth = root.join(name).join("groundtruth_rect.txt");
        fs::copy(truth, theirs.join(format!("{name}.txt"))).unwrap();
    }
    let (model, compared) = (model(), format!("--compare={}", theirs.display()));
    let words = [
        "eval",
        "--dataset=otb100",
        "--figures",
        "--model",
        &model,
        &compared,
        "--root",
        root.to_str().unwrap(),
        "--output",
        out.to_str().unwrap(),
    ];
    expect(&ettrack(&words), 0);
    let report = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(report.contains("Success AUC by attribute") && report.contains("scale variation (2)"));
    let figure = |name: &str| fs::read_to_string(out.join("figures").join(name)).unwrap();
    let table = figure("success-auc-by-attribute.csv");
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows[0], "attribute,sequences,micro_model,theirs");
    let names: Vec<_> = rows[1..]
        .iter()
        .map(|row| row.split(',').next().unwrap())
        .collect();
    let expected = [
        "illumination variation",
        "occlusion",
        "out-of-plane rotation",
        "scale variation",
    ];
    assert_eq!(names, expected);
    assert!(
        rows[4].starts_with("scale variation,2,") && rows[4].ends_with(",0.9523809523809523"),
        "{table}"
    );
    let radar = figure("success-auc-by-attribute.svg");
    assert_eq!(radar.matches("<polygon class=\"line ").count(), 2);
    for name in ["success", "precision", "normalised-precision"] {
        assert!(
            figure(&format!("{name}.svg")).starts_with("<svg xmlns="),
            "{name}"
        );
    }
    assert_eq!(
        figure("success.csv").lines().next(),
        Some("overlap threshold,micro_model,theirs")
    );
    assert_eq!(figure("precision.csv").lines().count(), 1 + 51);
}

#[test]
fn scores_the_boxes_and_times_of_another_tracker_on_the_listed_sequences() {
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

    // A perfect tracker at two frames per second.
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
fn presence_records_the_features_behind_the_confidence_of_each_frame() {
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
    // All frames except the first, for both edits. The board covers and uncovers the target over two frames in the middle.
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
    // The features differ from frame to frame.
    let scores: std::collections::BTreeSet<_> =
        rows[1..].iter().map(|row| row[of("score")]).collect();
    assert!(scores.len() > 10, "{scores:?}");
}

#[test]
fn shards_give_the_summary_of_a_single_run_byte_for_byte_and_holes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("otb");
    for (name, count) in [
        ("Couple", 6),
        ("Deer", 4),
        ("Skiing", 5),
        ("Trans", 3),
        ("Walking", 7),
    ] {
        sequence(&root, name, count);
    }
    let model = model();
    let run = |output: &str, arguments: &[&str]| {
        let output = folder.path().join(output);
        let first = [
            "eval",
            "--dataset=otb100",
            "--root",
            root.to_str().unwrap(),
            "--no-samples",
        ];
        let paths = ["--model", &model, "--output", output.to_str().unwrap()];
        ettrack(&[&first[..], &paths, arguments].concat())
    };
    let summary = |output: &str| fs::read(folder.path().join(output).join("summary.json")).unwrap();
    let (table, _) = expect(&run("single", &["--json"]), 0);
    assert_eq!(table.as_bytes(), summary("single"));

    for shard in ["1/4", "2/4", "4/4"] {
        let (table, errors) = expect(&run("shards", &["--shard", shard]), 0);
        assert!(
            table.is_empty() && errors.contains(&format!("shard {shard} is done")),
            "{errors}"
        );
    }
    let (_, errors) = expect(&run("shards", &["--merge"]), 1);
    assert!(
        errors.contains("no result; run its shard again") && errors.contains("nothing is written"),
        "{errors}"
    );
    assert!(!folder.path().join("shards/summary.json").exists());

    // The last part by another model's settings.
    expect(
        &run("shards", &["--shard=3/4", "--set=window_influence=0.1"]),
        0,
    );
    let (_, errors) = expect(&run("shards", &["--merge"]), 1);
    assert!(errors.contains("another model, other settings"), "{errors}");

    // Two writers of the same part, at the same time.
    let again = || run("shards", &["--shard=3/4"]);
    std::thread::scope(|scope| {
        let other = scope.spawn(again);
        expect(&again(), 0);
        expect(&other.join().unwrap(), 0);
    });
    expect(&run("shards", &["--merge"]), 0);
    assert_eq!(text(&summary("shards")), text(&summary("single")));
    let (_, errors) = expect(&run("shards", &["--shard=5/4"]), 2);
    assert!(errors.contains("expected I/N"), "{errors}");
}

/// Runs what is submitted at once, as `sbatch` would on one machine.
const SBATCH: &str = r#"#!/bin/bash
for word in "$@"; do
    case $word in --array=*) range=${word#--array=} ;; --wrap=*) wrap=${word#--wrap=} ;; esac
done
if [ -n "$range" ]; then
    for index in $(seq "${range%-*}" "${range#*-}"); do SLURM_ARRAY_TASK_ID=$index bash -c "$wrap" >&2; done
else
    bash -c "$wrap" >&2
fi
echo 7
"#;

/// Takes the place of GNU parallel: one command after the other.
const PARALLEL: &str = r#"#!/bin/bash
while read -r index; do bash -c "${1//\{\}/$index}" || exit 1; done
"#;

#[test]
fn the_scripts_for_clusters_give_the_summary_of_a_single_run() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("otb with a blank");
    for (name, count) in [("Couple", 4), ("Deer", 3), ("Skiing", 5)] {
        sequence(&root, name, count);
    }
    let programs = folder.path().join("bin");
    fs::create_dir(&programs).unwrap();
    for (name, text) in [("sbatch", SBATCH), ("parallel", PARALLEL)] {
        fs::write(programs.join(name), text).unwrap();
        fs::set_permissions(programs.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let model = model();
    let options = |output: &str| {
        let output = folder.path().join(output).display().to_string();
        let root = root.display().to_string();
        [
            "--dataset=otb100",
            "--root",
            &root,
            "--model",
            &model,
            "--no-samples",
            "--output",
            &output,
        ]
        .map(str::to_owned)
    };
    let summary =
        |output: &str| fs::read_to_string(folder.path().join(output).join("summary.json")).unwrap();
    let single = Command::new(env!("CARGO_BIN_EXE_ettrack"))
        .arg("eval")
        .args(options("single"))
        .output();
    expect(&single.unwrap(), 0);
    for script in ["slurm.sh", "parallel.sh"] {
        let output = Command::new(ettrack_testing::repository("scripts/cluster").join(script))
            .arg("4")
            .args(options(script))
            .env("ETTRACK", env!("CARGO_BIN_EXE_ettrack"))
            .env(
                "PATH",
                format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()),
            )
            .output()
            .unwrap();
        expect(&output, 0);
        assert_eq!(summary(script), summary("single"), "{script}");
    }
}
