//! `ettrack models` and `ettrack bench` on a small model.

use std::process::{Command, Output};

const MODEL: &str = "tests/data/micro_model";

fn ettrack(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ettrack"))
        .current_dir(ettrack_testing::repository(""))
        .args(arguments)
        .output()
        .expect("the command line runs")
}

#[test]
fn lists_all_models_and_fails_when_one_of_them_is_unusable() {
    let output = ettrack(&["models", MODEL]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        text.starts_with("ok") && text.contains("micro_model"),
        "{text}"
    );

    let folder = tempfile::tempdir().expect("a temporary folder");
    let broken = folder.path().join("broken");
    std::fs::create_dir(&broken).expect("made");
    std::fs::write(broken.join("model.yaml"), "format: 1\n").expect("written");
    let output = ettrack(&["models", "--json", MODEL, &folder.path().to_string_lossy()]);
    assert_eq!(output.status.code(), Some(1));
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(list[0]["error"].is_null());
    assert!(
        list[1]["error"]
            .as_str()
            .is_some_and(|error| error.contains("missing field")),
        "{list}"
    );

    let empty = tempfile::tempdir().expect("a temporary folder");
    let output = ettrack(&["models", &empty.path().to_string_lossy()]);
    assert_eq!(output.status.code(), Some(2), "no model is bad input");
}

/// Caches of models, Nix and stow make such folders.
#[cfg(unix)]
#[test]
fn opens_a_model_folder_whose_files_are_links() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (blobs, model) = (
        folder.path().join("blobs"),
        folder.path().join("micro_model"),
    );
    std::fs::create_dir(&blobs).expect("made");
    std::fs::create_dir(&model).expect("made");
    for (number, name) in ["model.yaml", "template.onnx", "track.onnx"]
        .iter()
        .enumerate()
    {
        let source = ettrack_testing::repository(MODEL).join(name);
        std::fs::copy(source, blobs.join(number.to_string())).expect("copied");
        std::os::unix::fs::symlink(format!("../blobs/{number}"), model.join(name)).expect("linked");
    }
    for path in [model.clone(), model.join("model.yaml")] {
        let output = ettrack(&["models", &path.to_string_lossy()]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.starts_with("ok"), "{text}");
    }
}

#[test]
fn refuses_an_onnx_file_with_external_data_by_that_reason() {
    use sha2::{Digest, Sha256};
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = folder.path().join("micro_model");
    std::fs::create_dir(&model).expect("made");
    let source = ettrack_testing::repository(MODEL);
    std::fs::copy(source.join("template.onnx"), model.join("template.onnx")).expect("copied");
    // The bytes of a tensor whose data lie in another file.
    let graph = b"\x0a\x08location\x12\x0ctrack.data\0\0";
    std::fs::write(model.join("track.onnx"), graph).expect("written");
    let manifest = std::fs::read_to_string(source.join("model.yaml")).expect("read");
    let (before, after) = manifest
        .split_once("{path: track.onnx, sha256: ")
        .expect("the file's entry");
    let digest = Sha256::digest(graph);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let manifest = format!(
        "{before}{{path: track.onnx, sha256: {digest}{}",
        &after[64..]
    );
    std::fs::write(model.join("model.yaml"), manifest).expect("written");
    let output = ettrack(&["models", &model.to_string_lossy()]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("(external data), expected all of them in this one"),
        "{text}"
    );
}

#[test]
fn bench_measures_every_model_in_the_list() {
    let output = ettrack(&[
        "bench", "--model", MODEL, "--model", MODEL, "--frames", "5", "--size", "64x48", "--json",
    ]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rows = report["models"].as_array().expect("rows");
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!(row["frames"], 5);
        assert_eq!(row["parameters"], 3145);
        assert!(
            row["network"]["median_ms"]
                .as_f64()
                .is_some_and(|ms| ms > 0.0),
            "{row}"
        );
        assert!(
            row["total"]["max_ms"].as_f64() >= row["total"]["median_ms"].as_f64(),
            "{row}"
        );
    }
    let output = ettrack(&["bench", "--model", "no/such/model"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no/such/model"));
    let output = ettrack(&["bench", "--model", MODEL, "--size", "0x0"]);
    assert_eq!(output.status.code(), Some(2));
}

/// On `cpu`, `fast` is refused except on ARM processors with bf16. So the result has `exact` or both.
#[test]
fn bench_measures_what_can_run_and_names_what_cannot() {
    let bench = |more: &[&str]| {
        let first = [
            "bench", "--model", MODEL, "--frames", "5", "--size", "64x48",
        ];
        ettrack(&[&first[..], more].concat())
    };
    let output = bench(&["--precision", "exact", "--precision", "fast", "--json"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rows = report["models"].as_array().expect("rows");
    assert_eq!(rows[0]["execution"], "cpu, exact (f32)");
    assert_eq!(rows[0]["ratio"], 1.0);
    if cfg!(target_arch = "x86_64") {
        assert_eq!(rows.len(), 1);
        let words = "not measured: micro_model, cpu, fast: provider cpu has no precision fast here";
        assert!(said.contains(words), "{said}");
        let output = bench(&["--precision", "fast"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("has no precision fast here"), "{said}");
    }
    let output = bench(&["--provider-option", "device_type=GPU"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&output.stderr)
            .contains("expected one --provider beside cpu, got 0")
    );
}

#[test]
fn a_report_describes_the_machine() {
    let output = ettrack(&["bench", "--report", "--frames", "5", "--size", "320x240"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    for words in [
        "ettrack: 0.",
        "processor: ",
        "system: ",
        "ONNX Runtime: 1.",
        "ettrack-nano  cpu, exact (f32)",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}
