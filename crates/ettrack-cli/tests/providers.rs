//! Tests a library with OpenVINO through the command line: its boxes and maps are those of `cpu`, and errors in it are
//! refused with the name of the error's cause. If there is no such library (`make test-openvino` fetches one), the tests
//! print this.
#![allow(clippy::unwrap_used)] // helpers of tests count as plain functions for the lint

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ettrack_testing::{not_run, repository};

/// The folder of a library with OpenVINO.
const VARIABLE: &str = "ETTRACK_TEST_OPENVINO";

fn library() -> Option<PathBuf> {
    let folder =
        std::env::var_os(VARIABLE).map_or_else(|| repository(".ettrack/openvino"), PathBuf::from);
    let is_there = folder
        .join("libonnxruntime_providers_openvino.so")
        .is_file();
    if !is_there {
        let reason = format!("no {}; make test-openvino fetches it", folder.display());
        not_run("OpenVINO", &reason);
    }
    is_there.then_some(folder)
}

fn ettrack(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ettrack"))
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Tracks in the test's flight with `library`.
fn track(library: &Path, flight: &Path, arguments: &[&str]) -> Output {
    let frames = flight.join("img");
    let model = repository("models/ettrack-nano");
    let first = [
        "-v",
        "track",
        frames.to_str().unwrap(),
        "--roi",
        "150,110,30,20",
        "--model",
        model.to_str().unwrap(),
        "--onnxruntime",
        library.to_str().unwrap(),
    ];
    ettrack(&[&first, arguments].concat())
}

fn flight(folder: &Path) -> PathBuf {
    let flight = folder.join("flight");
    let output = ettrack(&[
        "simulate",
        "--output",
        flight.to_str().unwrap(),
        "--width",
        "320",
        "--height",
        "240",
        "--frames",
        "8",
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    flight
}

fn numbers(rows: &str) -> Vec<f64> {
    rows.lines()
        .skip(1)
        .flat_map(|row| row.split(',').skip(1).take(5).map(|n| n.parse().unwrap()))
        .collect()
}

fn refused(output: &Output, words: &[&str]) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert_eq!(text(&output.stdout), "", "no row is written: {error}");
    for word in words {
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[test]
fn boxes_equal_those_of_cpu_and_the_provider_is_named() {
    let Some(library) = library() else { return };
    let folder = tempfile::tempdir().unwrap();
    let flight = flight(folder.path());
    let cpu = track(&library, &flight, &[]);
    assert!(cpu.status.success(), "{}", text(&cpu.stderr));
    assert!(text(&cpu.stderr).contains("ettrack-nano, cpu, exact (f32), ONNX Runtime 1."));
    let exact = track(&library, &flight, &["--provider", "openvino"]);
    assert!(exact.status.success(), "{}", text(&exact.stderr));
    assert!(
        text(&exact.stderr).contains("ettrack-nano, openvino, exact (f32), ONNX Runtime 1."),
        "{}",
        text(&exact.stderr)
    );
    let (cpu, exact) = (numbers(&text(&cpu.stdout)), numbers(&text(&exact.stdout)));
    assert_eq!(cpu.len(), 8 * 5);
    // The maps differ by a few hundred-thousandths. The first search region is the same for both. Crops lie at steps of 1/32
    // pixel, and such a difference may move a later one by a step, which changes its box by hundredths of a pixel.
    for (index, (a, b)) in cpu.iter().zip(&exact).enumerate() {
        let most = if index < 2 * 5 { 0.001 } else { 0.05 };
        assert!((a - b).abs() < most, "{cpu:?}\n{exact:?}");
    }
}

#[test]
fn fast_runs_where_the_processor_has_it_and_is_refused_elsewhere() {
    let Some(library) = library() else { return };
    let folder = tempfile::tempdir().unwrap();
    let flight = flight(folder.path());
    let fast = track(
        &library,
        &flight,
        &["--provider", "openvino", "--precision", "fast"],
    );
    let said = text(&fast.stderr);
    if fast.status.success() {
        let is_said = ["(bf16)", "(f16)"]
            .iter()
            .any(|numbers| said.contains(numbers));
        assert!(said.contains("openvino, fast") && is_said, "{said}");
        assert_eq!(numbers(&text(&fast.stdout)).len(), 8 * 5);
    } else {
        refused(
            &fast,
            &["provider openvino has no precision fast here", "it needs"],
        );
    }
}

#[test]
fn an_option_that_the_provider_does_not_know_is_refused_by_name() {
    let Some(library) = library() else { return };
    let folder = tempfile::tempdir().unwrap();
    let flight = flight(folder.path());
    let with = |option: &str| {
        let arguments = ["--provider", "openvino", "--provider-option", option];
        track(&library, &flight, &arguments)
    };
    refused(
        &with("colour=red"),
        &["colour", "provider openvino of ONNX Runtime"],
    );
    refused(
        &with("num_of_threads=3"),
        &["num_of_threads", "`threads` decides"],
    );
    // ONNX Runtime itself would run the network on cpu without a message.
    refused(
        &with("device_type=ABC"),
        &["template.onnx", "it takes none of its"],
    );
    refused(
        &track(&library, &flight, &["--provider", "cuda"]),
        &[
            "does not have the provider cuda, it has cpu, openvino",
            "onnxruntime-gpu",
        ],
    );
}

/// Copies the library's folder, with links if the system supports them.
fn copy(library: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(library).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        fs::hard_link(&path, &target)
            .or_else(|_| fs::copy(&path, &target).map(|_| ()))
            .unwrap();
    }
}

/// Returns the files of a folder whose names contain `part`.
fn files(folder: &Path, part: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let found: Vec<_> = paths
        .filter(|path| path.file_name().unwrap().to_str().unwrap().contains(part))
        .collect();
    assert!(!found.is_empty(), "no {part} in {}", folder.display());
    found
}

#[test]
fn a_library_without_its_plug_ins_is_refused_with_the_reason() {
    let Some(library) = library() else { return };
    // Beside the binary, so that links can be made.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let flight = flight(folder.path());
    let arguments = ["--provider", "openvino"];

    let damaged = folder.path().join("no_plug_in");
    copy(&library, &damaged);
    for path in files(&damaged, "_cpu_plugin") {
        fs::remove_file(path).unwrap();
    }
    refused(
        &track(&damaged, &flight, &arguments),
        &[
            "OpenVINO's plug-in for CPU is missing: no libopenvino_",
            "_cpu_plugin.*",
            "make onnxruntime PROVIDER=openvino",
        ],
    );
    // The library itself is whole.
    let cpu = track(&damaged, &flight, &[]);
    assert!(cpu.status.success(), "{}", text(&cpu.stderr));

    let damaged = folder.path().join("no_openvino");
    copy(&library, &damaged);
    for path in files(&damaged, "libopenvino.so.") {
        fs::remove_file(path).unwrap();
    }
    refused(
        &track(&damaged, &flight, &arguments),
        &["libopenvino.so.", "cannot open shared object file"],
    );
}

#[test]
fn a_library_with_a_damaged_plug_in_is_refused_with_the_reason() {
    let Some(library) = library() else { return };
    // Beside the binary, so that links can be made.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let flight = flight(folder.path());
    let damaged = folder.path().join("damaged");
    for name in [
        "libonnxruntime_providers_openvino.so",
        "libopenvino_intel_cpu_plugin.so",
        "libopenvino_arm_cpu_plugin.so",
    ] {
        let whole = library.join(name);
        let Ok(bytes) = fs::read(&whole) else {
            continue;
        };
        let mut foreign = bytes.clone();
        // The processor in the ELF file's header is changed to another one.
        foreign[18] = 0x2a;
        let cut = &bytes[..bytes.len() - 1000];
        for (content, words) in [
            (&foreign[..], "another processor (ELF machine 42"),
            (cut, "it is cut"),
        ] {
            copy(&library, &damaged);
            fs::remove_file(damaged.join(name)).unwrap();
            fs::write(damaged.join(name), content).unwrap();
            refused(
                &track(&damaged, &flight, &["--provider", "openvino"]),
                &["provider openvino", "is incomplete", name, words],
            );
            fs::remove_dir_all(&damaged).unwrap();
        }
    }
}

#[test]
fn bench_compares_providers_with_the_difference_of_their_maps() {
    let Some(library) = library() else { return };
    let model = repository("models/ettrack-nano");
    let output = ettrack(&[
        "bench",
        "--model",
        model.to_str().unwrap(),
        "--onnxruntime",
        library.to_str().unwrap(),
        "--provider",
        "cpu",
        "--provider",
        "openvino",
        "--frames",
        "10",
        "--size",
        "320x240",
        "--json",
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = report["models"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (&rows[0]["provider"], &rows[0]["ratio"]),
        (&"cpu".into(), &1.0.into())
    );
    assert_eq!(rows[0].get("difference"), None);
    assert_eq!(rows[1]["execution"], "openvino, exact (f32)");
    let difference = |name: &str| rows[1]["difference"][name].as_f64().unwrap();
    assert!(
        difference("cls") < 1e-3 && difference("reg") < 1e-2,
        "{rows:?}"
    );
}

#[test]
fn evaluation_names_the_provider_and_does_not_use_results_of_another_precision() {
    let Some(library) = library() else { return };
    let folder = tempfile::tempdir().unwrap();
    let flight = flight(folder.path());
    let results = folder.path().join("results");
    let evaluate = |provider: &str| {
        let output = ettrack(&[
            "eval",
            "--dataset",
            "simulated",
            "--root",
            flight.to_str().unwrap(),
            "--model",
            repository("models/ettrack-nano").to_str().unwrap(),
            "--output",
            results.to_str().unwrap(),
            "--no-samples",
            "--onnxruntime",
            library.to_str().unwrap(),
            "--provider",
            provider,
        ]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let summary = fs::read(results.join("summary.json")).unwrap();
        let summary: serde_json::Value = serde_json::from_slice(&summary).unwrap();
        let said = summary["settings"]["execution"]
            .as_str()
            .unwrap()
            .to_owned();
        (said, text(&output.stderr))
    };
    assert_eq!(evaluate("cpu").0, "cpu, exact (f32)");
    let (said, words) = evaluate("openvino");
    assert_eq!(said, "openvino, exact (f32)");
    assert!(!words.contains("already done"), "{words}");
    assert!(evaluate("openvino").1.contains("already done"));
}
