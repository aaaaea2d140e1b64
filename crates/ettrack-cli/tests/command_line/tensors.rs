//! `ettrack tensors`.

use super::*;

/// Shape and values of a NumPy file of single precision numbers, version 1.
fn numpy(path: &Path) -> (String, Vec<f32>) {
    let bytes = fs::read(path).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = text(&bytes[10..10 + length]);
    assert_eq!((10 + length) % 64, 0, "values begin at a multiple of 64");
    assert!(
        header.contains("'<f4'") && header.ends_with('\n'),
        "{header}"
    );
    let values = bytes[10 + length..].chunks_exact(4);
    let values = values.map(|value| f32::from_le_bytes(value.try_into().unwrap()));
    (header, values.collect())
}

#[test]
fn the_images_that_the_networks_read_are_written_with_their_inputs() {
    let folder = tempfile::tempdir().unwrap();
    let (flight, out) = (folder.path().join("flight"), folder.path().join("out"));
    let simulate = ettrack(&[
        "simulate",
        "--output",
        flight.to_str().unwrap(),
        "--width",
        "160",
        "--height",
        "120",
        "--frames",
        "9",
    ]);
    expect(&simulate, 0);
    let model = model();
    let write = || {
        ettrack(&[
            "tensors",
            "--dataset",
            "simulated",
            "--root",
            flight.to_str().unwrap(),
            "--model",
            &model,
            "--output",
            out.to_str().unwrap(),
            "--every",
            "3",
            "--most",
            "2",
        ])
    };
    expect(&write(), 0);
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join("index.json")).unwrap()).unwrap();
    let entries = index.as_array().unwrap();
    let frames: Vec<_> = entries.iter().map(|entry| entry["frame"].clone()).collect();
    assert_eq!(frames, [3, 6], "every third frame, two at most");
    let mut searches = Vec::new();
    for entry in entries {
        let side = entry["search_size"].as_u64().unwrap() as usize;
        let inputs = entry["inputs"].as_array().unwrap();
        let names: Vec<_> = inputs
            .iter()
            .map(|pair| pair[0].as_str().unwrap())
            .collect();
        assert_eq!(names, ["template", "search"]);
        let (header, search) = numpy(&out.join(inputs[1][1].as_str().unwrap()));
        assert!(
            header.contains(&format!("(1, 3, {side}, {side})")),
            "{header}"
        );
        assert_eq!(search.len(), 3 * side * side);
        // Normalised pixels of a picture are not all equal, and not far from 0.
        assert!(search.iter().all(|value| value.abs() < 4.0));
        assert!(search.iter().any(|value| *value != search[0]));
        searches.push(search);
    }
    assert_ne!(searches[0], searches[1], "each frame has its own image");

    let (_, errors) = expect(&write(), 2);
    assert!(
        errors.contains("expected a folder that is not there yet"),
        "{errors}"
    );
}
