//! `ettrack suite`, and `presence` on a suite.

use super::evaluation::sequence;
use super::*;

/// A suite of two folders with a target each.
fn suite(folder: &Path, frames: usize) -> PathBuf {
    sequence(&folder.join("one"), "Couple", frames);
    sequence(&folder.join("two"), "Deer", frames);
    let path = folder.join("suite.yaml");
    let text = "benchmarks: [{dataset: otb100, root: one}, {dataset: otb100, root: two, sequences: [Deer]}]";
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_suite_is_judged_in_one_table_with_intervals_and_paired_differences() {
    let folder = tempfile::tempdir().unwrap();
    let (suite, out) = (suite(folder.path(), 4), folder.path().join("out"));
    let (suite, model) = (suite.to_str().unwrap(), model());
    let output = ["--output", out.to_str().unwrap()];
    let judge = |arguments: &[&str]| {
        let all = [&["suite", suite], &output[..], arguments].concat();
        ettrack(&all)
    };
    let (table, _) = expect(&judge(&["--model", &model, "--evaluation=ope,sre"]), 0);
    assert_eq!(table.lines().count(), 1 + 2 * 3, "{table}");
    for words in [
        "ope         success_auc         2",
        "sre         sr_75               2",
    ] {
        assert!(table.contains(words), "{words} in {table}");
    }
    assert!(out.join("sre/boxes/Deer@scale_8.txt").is_file());
    assert!(!table.contains("paired"), "{table}");

    // What was run is there, and is judged without a model; against itself there is no difference.
    let before = fs::metadata(out.join("ope/boxes/Deer.txt"))
        .unwrap()
        .modified()
        .unwrap();
    let against = format!("--compare=Itself={}", out.display());
    let (table, _) = expect(&judge(&["--model", &model, &against]), 0);
    let after = fs::metadata(out.join("ope/boxes/Deer.txt"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(before, after);
    let nothing = "+0.000 [+0.000, +0.000]  0 of 2";
    assert!(table.lines().nth(1).unwrap().contains(nothing), "{table}");

    // A tracker that makes no mistake on one target, and has no result of the other.
    let theirs = folder.path().join("theirs");
    fs::create_dir_all(theirs.join("ope/boxes")).unwrap();
    let truth = folder.path().join("one/Couple/groundtruth_rect.txt");
    fs::copy(truth, theirs.join("ope/boxes/Couple.txt")).unwrap();
    let (table, errors) = expect(&judge(&["--boxes", theirs.to_str().unwrap()]), 1);
    assert!(errors.contains("Deer: no boxes of it"), "{errors}");
    assert!(table.contains("0.952 [0.952, 0.952]"), "{table}");
    let text = fs::read_to_string(out.join("summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(summary["tracker"], "theirs");
    assert_eq!(summary["table"][0]["targets"], 1);
    assert!(summary["targets"]["ope"]["Couple"]["sr_75"].is_number());
    assert!(summary["failed"]["ope"]["Deer"].is_string());

    let (_, errors) = expect(&judge(&["--boxes", "nowhere"]), 2);
    assert!(errors.contains("expected a folder of results"), "{errors}");
}

#[test]
fn presence_judges_the_trackers_own_failures_on_a_suite() {
    let folder = tempfile::tempdir().unwrap();
    let (suite, features) = (suite(folder.path(), 12), folder.path().join("features.csv"));
    let model = model();
    let output = ettrack(&[
        "presence",
        "--failures",
        suite.to_str().unwrap(),
        "--evaluation=sre",
        "--json",
        "--model",
        &model,
        "--features",
        features.to_str().unwrap(),
    ]);
    let (text, _) = expect(&output, 0);
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    let count = |of: &serde_json::Value, name: &str| of["counts"][name].as_u64().unwrap();
    let (all, deer) = (&answer["total"], &answer["targets"]["Deer"]);
    let frames = count(all, "on_frames") + count(all, "off_frames");
    assert!(frames > 0 && frames <= 2 * 12 * 11, "{text}");
    assert!(
        count(deer, "on_frames") <= count(all, "on_frames"),
        "{text}"
    );
    let table = fs::read_to_string(features).unwrap();
    assert_eq!(table.lines().count(), 1 + 2 * 12 * 11);
    assert!(table.contains("Deer,scale_8,11,"), "{table}");

    let both = [
        "presence",
        "--failures",
        "x",
        "--dataset=otb100",
        "--model",
        &model,
    ];
    let (_, errors) = expect(&ettrack(&both), 2);
    assert!(errors.contains("cannot be used with"), "{errors}");
}
