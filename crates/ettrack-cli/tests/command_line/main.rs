//! The program as a user runs it: what it prints and writes, what it refuses, and its exit codes.
#![allow(clippy::unwrap_used)] // helpers of tests count as plain functions for the lint

mod errors;
mod evaluation;
mod inputs;
mod replay;
mod simulate;
mod suite;
mod tensors;
mod track;
mod trax;

use ettrack::geometry::BoundingBox;
use ettrack_bag::{Bag, BagWriter};
use ettrack_message::*;
use ettrack_testing::messages::*;
use ettrack_testing::not_run;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

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

/// Panics with the program's output unless the exit code is `code`.
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

#[cfg(unix)]
fn interrupt(child: &std::process::Child) {
    // The shell's built-in `kill`, because not every machine has the program.
    let sent = Command::new("sh")
        .args(["-c", &format!("kill -INT {}", child.id())])
        .status();
    assert!(sent.unwrap().success());
}

/// Equal except for the last digit, which JSON rounds.
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
