//! Recognises sources from the network or from a pipe.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Protocols of ffmpeg that carry pictures over a network.
const NETWORK: [&str; 9] = [
    "rtsp", "rtsps", "rtmp", "udp", "tcp", "srt", "rtp", "http", "https",
];

/// Extensions of recorded files in HTTP addresses. Other addresses are live streams.
const FILES: [&str; 8] = [
    ".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".ts", ".mpg",
];

/// The name of standard input.
const STANDARD_INPUT: &str = "-";

/// Whether a stream is live or recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The reader gets the newest frame.
    Live,
    /// The reader gets every frame once.
    Recorded,
}

/// Returns the kind of `source` if it is an address, `-` or a named pipe. Does not read from a pipe, because read bytes are lost.
pub(super) fn kind_of(source: &str) -> Option<Kind> {
    if source == STANDARD_INPUT {
        return Some(Kind::Recorded);
    }
    if let Some((protocol, rest)) = source.split_once("://") {
        let protocol = protocol.to_ascii_lowercase();
        if NETWORK.contains(&protocol.as_str()) {
            let path = rest.split(['?', '#']).next().unwrap_or_default();
            let path = path.to_ascii_lowercase();
            let is_file =
                protocol.starts_with("http") && FILES.iter().any(|end| path.ends_with(end));
            return Some(if is_file { Kind::Recorded } else { Kind::Live });
        }
    }
    let is_pipe = std::fs::metadata(Path::new(source)).is_ok_and(|data| {
        let kind = data.file_type();
        kind.is_fifo() || kind.is_socket()
    });
    (is_pipe || is_standard_input(source)).then_some(Kind::Recorded)
}

/// Returns the file behind standard input (`< clip.mp4`) if `source` names standard input. Unlike a pipe, a file can be probed
/// and read from any position.
pub(super) fn file_behind(source: &str) -> Option<PathBuf> {
    if source != STANDARD_INPUT && !is_standard_input(source) {
        return None;
    }
    let path = std::fs::canonicalize("/dev/stdin").ok()?;
    path.is_file().then_some(path)
}

/// Whether the path is one of the names of standard input. A child process can open them only if it inherits standard input.
fn is_standard_input(source: &str) -> bool {
    ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"].contains(&source)
}

/// Returns the name of a recorded stream for ffmpeg.
pub(super) fn ffmpeg_name(source: &str) -> String {
    if source == STANDARD_INPUT || is_standard_input(source) {
        "pipe:0".into()
    } else if source.contains("://") {
        source.into()
    } else {
        format!("file:{source}")
    }
}

/// Returns user name and password of an address, with the `@` after them. All before an `@` counts as such, because a password
/// may contain `?` and `#`.
fn credentials(source: &str) -> Option<&str> {
    let (_, rest) = source.split_once("://")?;
    let place = &rest[..rest.find('/').unwrap_or(rest.len())];
    place.rfind('@').map(|at| &place[..=at])
}

/// Returns an address without user name and password, for messages.
pub fn without_password(source: &str) -> String {
    match credentials(source) {
        Some(secret) => source.replacen(secret, "", 1),
        None => source.to_owned(),
    }
}

/// Returns `text` without the user name and password of the address `source`. Messages of ffmpeg repeat the address.
pub(crate) fn hide_password(source: &str, text: &str) -> String {
    match credentials(source) {
        Some(secret) => text.replace(secret, ""),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_pipes_are_told_from_files() {
        for (source, expected) in [
            ("rtsp://10.0.0.7:554/live", Some(Kind::Live)),
            ("HTTP://camera/video.mjpg", Some(Kind::Live)),
            ("https://host/clip.MP4?x=1", Some(Kind::Recorded)),
            ("udp://239.0.0.1:5000", Some(Kind::Live)),
            ("-", Some(Kind::Recorded)),
            ("clip.mp4", None),
            ("file:///etc/passwd", None),
            ("concat://a|b", None),
            ("/dev/video0", None),
            ("/dev/stdin", Some(Kind::Recorded)),
        ] {
            assert_eq!(kind_of(source), expected, "{source}");
        }
    }

    #[test]
    fn all_names_of_standard_input_are_inherited() {
        for name in ["-", "/dev/stdin", "/dev/fd/0"] {
            assert_eq!(ffmpeg_name(name), "pipe:0", "{name}");
        }
        assert_eq!(ffmpeg_name("/dev/fd/63"), "file:/dev/fd/63");
        assert_eq!(file_behind("clip.mp4"), None);
    }

    #[test]
    fn passwords_in_addresses_are_not_shown() {
        assert_eq!(
            without_password("rtsp://me:secret@10.0.0.7:554/a@b"),
            "rtsp://10.0.0.7:554/a@b"
        );
        assert_eq!(without_password("clip@home.mp4"), "clip@home.mp4");
        assert_eq!(
            without_password("rtsp://me:pa?s#s@10.0.0.7/live"),
            "rtsp://10.0.0.7/live"
        );
        assert_eq!(without_password("rtsp://cam@h/cam@1"), "rtsp://h/cam@1");
        let line = "rtsp://me:secret@10.0.0.7/live: Connection refused";
        assert_eq!(
            hide_password("rtsp://me:secret@10.0.0.7/live", line),
            "rtsp://10.0.0.7/live: Connection refused"
        );
    }
}
