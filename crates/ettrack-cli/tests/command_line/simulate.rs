//! `ettrack simulate`.

use super::*;

#[cfg(unix)]
#[test]
fn an_interrupted_simulation_leaves_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let is_empty = || fs::read_dir(folder.path()).unwrap().next().is_none();
    for format in ["folder", "bag"] {
        let mut simulate = Command::new(env!("CARGO_BIN_EXE_ettrack"))
            .args(["simulate", "--frames", "100000", "--width", "64"])
            .args(["--height", "64", "--format", format, "--output"])
            .arg(folder.path().join("flight"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Rendering may take any time before the first file.
        while is_empty() {
            let ended = simulate.try_wait().unwrap();
            assert!(ended.is_none(), "{format}: it never began: {ended:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        interrupt(&simulate);
        assert_eq!(simulate.wait().unwrap().code(), Some(1), "{format}");
        assert!(is_empty(), "{format}");
    }
}
