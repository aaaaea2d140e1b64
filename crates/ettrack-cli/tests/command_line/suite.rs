//! `ettrack suite`, and `presence` on a suite.

use super::evaluation::sequence;
use super::*;

/// A suite of two folders with one target each.
fn suite(folder: &Path, frames: usize) -> PathBuf {
    sequence(&folder.join("one"), "Couple", frames);
    sequence(&folder.join("two"), "Deer", frames);
    let path = folder.join("suite.yaml");
    let text = "benchmarks: [{dataset: otb100, root: one}, {dataset: otb100, root: two, sequences: [Deer]}]";
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_suite_gives_one_table_with_intervals_and_paired_differences() {
    let folder = tempfile::tempdir().unwrap();
    let (suite, out) = (suite(folder.path(), 4), folder.path().join("out"));
    let (suite, model) = (suite.to_str().unwrap(), model());
    let output = ["--output", out.to_str().unwrap()];
    let judge = |arguments: &[&str]| {
        let all = [&["suite", suite], &output[..], arguments].concat();
        ettrack(&all)
    };
    let (table, _) = expect(&judge(&["--model", &model, "--evaluation=ope,sre"]), 0);
    // Four measures of both folders together and of each.
    assert_eq!(table.lines().count(), 1 + 2 * 3 * 4, "{table}");
    for words in [
        "ope         all            success_auc         2",
        "sre         all            sr_75               2",
    ] {
        assert!(table.contains(words), "{words} in {table}");
    }
    assert!(out.join("sre/boxes/Deer@scale_8.txt").is_file());
    assert!(!table.contains("paired"), "{table}");

    // The results of the run are scored without a model. Compared with itself, a tracker has no difference.
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
    let nothing =
        "ope         success_auc         2  +0.000 [+0.000, +0.000]    0  micro_model less Itself";
    assert!(table.contains(nothing), "{table}");

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
    assert_eq!(summary["trackers"], serde_json::json!(["theirs"]));
    assert_eq!(summary["table"][0]["targets"], 1);
    assert!(summary["targets"]["theirs"]["ope"]["Couple"]["sr_75"].is_number());
    assert_eq!(summary["targets"]["theirs"]["ope"]["Couple"]["held"], 1.0);
    assert!(summary["failed"]["theirs"]["ope"]["Deer"].is_string());

    // If it is given for comparison, it only has fewer targets.
    let compared = format!("--compare={}", theirs.display());
    let (table, errors) = expect(&judge(&["--model", &model, &compared]), 0);
    assert!(
        errors.contains("warning: theirs: Deer: no boxes of it"),
        "{errors}"
    );
    assert!(
        table.contains("ope         success_auc         1  "),
        "{table}"
    );

    let (_, errors) = expect(&judge(&["--boxes", "nowhere"]), 2);
    assert!(
        errors.contains("expected a folder of result files"),
        "{errors}"
    );
}

#[test]
fn several_models_and_starts_of_a_file_come_into_one_report() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (suite(folder.path(), 4), folder.path().join("out"));
    let model = model();
    let text = fs::read_to_string(&path).unwrap()
        + &format!(
            "\nevaluations: [ope, sre]\nmodels: [{model}, {{model: {model}, label: wide, search_scale: 2}}]\n"
        );
    fs::write(&path, text).unwrap();
    let words = [
        "eval",
        "--suite",
        path.to_str().unwrap(),
        "--figures",
        "--output",
        out.to_str().unwrap(),
    ];
    let (table, _) = expect(&ettrack(&words), 0);
    assert!(table.contains("micro_model less wide"), "{table}");
    for file in [
        "micro_model/ope/boxes/Couple.txt",
        "wide/sre/boxes/Deer@scale_8.txt",
        "figures/success-auc-sre.svg",
        "figures/success-auc-ope.csv",
    ] {
        assert!(out.join(file).is_file(), "{file}");
    }
    let first = fs::read(out.join("summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&first).unwrap();
    assert_eq!(summary["settings"]["wide"]["search_scale"], 2.0);
    // Four measures in two evaluations, for the only pair.
    assert_eq!(summary["differences"].as_array().unwrap().len(), 8);
    let report = fs::read_to_string(out.join("report.html")).unwrap();
    for words in ["Paired differences", "AUC wide, sre", "otb100 in two"] {
        assert!(report.contains(words), "{words}");
    }

    // Finished runs are not run again, and give the same file.
    let (_, errors) = expect(&ettrack(&words), 0);
    assert!(
        errors.contains("12 of 12 runs were already done"),
        "{errors}"
    );
    assert_eq!(fs::read(out.join("summary.json")).unwrap(), first);

    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("label: wide", "label: micro_model")).unwrap();
    let (_, errors) = expect(&ettrack(&words), 2);
    assert!(
        errors.contains("two trackers are called micro_model"),
        "{errors}"
    );
    let alone = suite(&folder.path().join("other"), 4);
    let words = [
        "suite",
        alone.to_str().unwrap(),
        "--output",
        out.to_str().unwrap(),
    ];
    let (_, errors) = expect(&ettrack(&words), 2);
    assert!(
        errors.contains("expected a model: `models:` in"),
        "{errors}"
    );
}

#[test]
fn presence_measures_the_trackers_own_failures_on_a_suite() {
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
