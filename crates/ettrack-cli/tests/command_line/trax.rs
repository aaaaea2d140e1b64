//! `ettrack trax` and `ettrack vot-workspace`. The official client and toolkit are in `make test-vot`.

use super::*;
use std::io::{BufRead, BufReader, Write};

/// The messages of a session over `count` pictures of a folder, and `quit`.
fn messages(folder: &Path, region: &str, count: usize) -> String {
    let mut messages = format!("@@TRAX:initialize \"{region}\"\n");
    for index in 0..count {
        let path = folder.join(format!("{index}.png"));
        messages.push_str(&format!("@@TRAX:frame \"file://{}\"\n", path.display()));
    }
    messages + "@@TRAX:quit\n"
}

fn session(arguments: &[&str], messages: &str) -> Output {
    let model = model();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ettrack"))
        .args(["trax", "--model", &model])
        .args(arguments)
        .env_remove("TRAX_SOCKET")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(messages.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

/// The answers `state`, as rows of numbers.
fn states(out: &str) -> Vec<Vec<f64>> {
    let states = out
        .lines()
        .filter_map(|line| line.strip_prefix("@@TRAX:state \""));
    let numbers = |line: &str| {
        line.split('"')
            .next()
            .unwrap()
            .split(',')
            .map(|n| n.parse().unwrap())
            .collect()
    };
    states.map(numbers).collect()
}

#[test]
fn answers_are_the_boxes_that_track_writes() {
    let folder = tempfile::tempdir().unwrap();
    let frames = folder.path().join("frames");
    pictures(&frames, 6);
    let (table, _) = expect(&track(&frames, &["--format=pysot", "--lost=off"]), 0);
    let expected: Vec<Vec<f64>> = table
        .lines()
        .map(|line| line.split(',').map(|n| n.parse().unwrap()).collect())
        .collect();
    let (out, _) = expect(&session(&[], &messages(&frames, ROI, 6)), 0);
    let hello = out.lines().next().unwrap();
    for part in [
        "trax.version=4",
        "trax.region=rectangle;polygon;mask;",
        "trax.image=path;memory;buffer;",
    ] {
        assert!(
            hello.starts_with("@@TRAX:hello ") && hello.contains(part),
            "{hello}"
        );
    }
    assert_eq!(states(&out), expected);
    assert!(
        out.contains("\"confidence=0.") && out.contains("\"state=tracking\""),
        "{out}"
    );
    // The same target as a polygon, and as early clients send it: image and region in one message.
    let (polygon, _) = expect(
        &session(&[], &messages(&frames, "20,20,44,20,44,40,20,40", 6)),
        0,
    );
    assert_eq!(states(&polygon), expected);
    let early = messages(&frames, ROI, 6).replacen(&format!("\"{ROI}\"\n@@TRAX:frame "), "", 1);
    let early = early.replacen("0.png\"", &format!("0.png\" \"{ROI}\""), 1);
    let (early, _) = expect(&session(&[], &early), 0);
    assert_eq!(states(&early), expected);
    let (corners, _) = expect(
        &session(&["--region=polygon"], &messages(&frames, ROI, 2)),
        0,
    );
    assert_eq!(
        states(&corners)[0],
        [20.0, 20.0, 44.0, 20.0, 44.0, 40.0, 20.0, 40.0]
    );
}

#[test]
fn a_client_at_a_socket_is_served_and_a_closed_connection_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 2);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let model = model();
    let child = Command::new(env!("CARGO_BIN_EXE_ettrack"))
        .args(["trax", "--model", &model])
        .env("TRAX_SOCKET", &port)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("@@TRAX:hello"));
    let text = messages(folder.path(), ROI, 2);
    stream
        .write_all(text.replace("@@TRAX:quit\n", "").as_bytes())
        .unwrap();
    for _ in 0..2 {
        assert!(lines.next().unwrap().unwrap().starts_with("@@TRAX:state"));
    }
    stream.shutdown(std::net::Shutdown::Both).unwrap();
    let (_, errors) = expect(&child.wait_with_output().unwrap(), 1);
    assert!(errors.contains("hung up after 2 frames"), "{errors}");
}

#[test]
fn the_client_gets_the_reason_of_a_refusal() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 2);
    let good = messages(folder.path(), ROI, 1);
    for (text, words) in [
        (
            format!("@@TRAX:initialize \"{ROI}\"\n{good}"),
            "one at a time",
        ),
        (good.replace(ROI, "1,2,3"), "is no region"),
        (good.replace(ROI, "960,20,24,20"), "outside the image"),
        (good.replace(ROI, "0"), "has no pixel"),
        (good.replace("0.png", "no.png"), "no.png"),
        (
            "@@TRAX:frame \"a.png\"\n".into(),
            "a frame came before a target",
        ),
        ("@@TRAX:frame \"a.png\" \"b.png\"\n".into(), "2 arguments"),
    ] {
        let (out, errors) = expect(&session(&[], &text), 2);
        let last = out.lines().last().unwrap();
        assert!(
            last.starts_with("@@TRAX:quit \"trax.reason=") && last.contains(words),
            "{text}: {out}"
        );
        assert!(errors.contains(words), "{errors}");
    }
}

#[test]
fn a_workspace_lists_models_and_keeps_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("work");
    let model = model();
    let write = |arguments: &[&str]| {
        let first = ["vot-workspace", dir.to_str().unwrap(), "--model", &model];
        ettrack(&[&first[..], arguments].concat())
    };
    expect(&write(&["--stack=vot2022/shorttermbox"]), 0);
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    assert!(read("config.yaml").contains("stack: vot2022/shorttermbox"));
    let list = read("trackers.ini");
    for part in [
        "protocol = trax",
        "command = /",
        " trax --model ",
        "--onnxruntime ",
    ] {
        assert!(list.contains(part), "{list}");
    }
    fs::write(
        dir.join("trackers.ini"),
        format!("[mine]\ncommand = mine\n\n{list}"),
    )
    .unwrap();
    let (_, errors) = expect(&write(&["--search-scale=2"]), 2);
    assert!(errors.contains("there is another section"), "{errors}");
    expect(&write(&["--search-scale=2", "--replace"]), 0);
    let list = read("trackers.ini");
    assert!(
        list.contains("[mine]\ncommand = mine\n") && list.contains("--search-scale=2"),
        "{list}"
    );
    let (_, errors) = expect(&write(&["--stack=vot2018/longterm", "--search-scale=2"]), 2);
    assert!(errors.contains("has a stack already"), "{errors}");
    let (_, errors) = expect(
        &ettrack(&["vot-workspace", dir.to_str().unwrap(), "--model=none"]),
        2,
    );
    assert!(errors.contains("none"), "{errors}");
}
