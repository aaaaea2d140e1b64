//! What a decoding ffmpeg writes to its standard error: its errors, how many frames are damaged, and the size of each frame
//! before it is scaled.
//!
//! ffmpeg scales a stream whose pictures change their size to the size of the first, and says nothing. Its filter
//! `showinfo` writes a line with the true size for each frame, before the frame itself is written.

use std::process::ChildStderr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::StderrTail;

/// How long to wait for the line of a frame that has arrived already.
const PATIENCE: Duration = Duration::from_millis(500);

/// Options of ffmpeg that make it write what is read here: every message with its level, none left out.
pub(super) const OPTIONS: [&str; 3] = ["-nostats", "-loglevel", "repeat+level+info"];

/// Parts of messages about a frame that is damaged and was decoded in part, or that could not be decoded.
const DAMAGE: [&str; 4] = [
    "corrupt decoded frame",
    "Error while decoding stream",
    "Error submitting packet to decoder",
    "Error submitting a packet to decoder",
];

/// Width and height in pixels.
type Size = (u32, u32);

/// The log of one ffmpeg.
#[derive(Debug)]
pub(super) struct DecoderLog {
    errors: StderrTail,
    sizes: Sizes,
}

/// The sizes that the log has told so far. Copies see the same log.
#[derive(Debug, Clone)]
pub(super) struct Sizes(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Frames with a line so far.
    frames: u64,
    first: Option<Size>,
    /// The first frame of another size.
    other: Option<(u64, Size)>,
    damaged: u64,
    ended: bool,
    /// Set when a frame came without a line: this ffmpeg writes none.
    silent: bool,
}

impl Seen {
    /// A panic in the other thread cannot leave a field half changed, so a poisoned lock can be used.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line in; returns it if it belongs into messages.
    fn take(&self, line: &str) -> Option<String> {
        let (level, text) = split_level(line);
        let is_info = matches!(level, Some("info" | "verbose" | "debug" | "trace"));
        let mut state = self.state();
        if let Some(size) = is_info.then(|| frame_size(text)).flatten() {
            let first = *state.first.get_or_insert(size);
            if size != first && state.other.is_none() {
                state.other = Some((state.frames, size));
            }
            state.frames += 1;
            self.changed.notify_all();
            return None;
        }
        if DAMAGE.iter().any(|part| text.contains(part)) {
            state.damaged += 1;
        }
        let is_error = matches!(level, None | Some("error" | "fatal" | "panic"));
        is_error.then(|| without_level(line))
    }
}

impl DecoderLog {
    /// Starts to read `stream`, until it ends.
    pub fn read(stream: ChildStderr) -> std::io::Result<Self> {
        let seen = Arc::new(Seen::default());
        // Tells those who wait when the thread ends, however it ends.
        struct End(Arc<Seen>);
        impl Drop for End {
            fn drop(&mut self) {
                self.0.state().ended = true;
                self.0.changed.notify_all();
            }
        }
        let end = End(Arc::clone(&seen));
        let errors = StderrTail::read_with(stream, move |line| end.0.take(line))?;
        Ok(Self {
            errors,
            sizes: Sizes(seen),
        })
    }

    /// The last error messages so far, joined to one.
    pub fn last_lines(&self) -> String {
        self.errors.last_lines()
    }

    /// Frames that are damaged so far. Some of them were decoded in part, others have no picture.
    pub fn damaged(&self) -> u64 {
        self.sizes.0.state().damaged
    }

    /// The sizes of the frames.
    pub fn sizes(&self) -> &Sizes {
        &self.sizes
    }
}

impl Sizes {
    /// The first size and that of frame `index`, which has arrived, if they differ.
    pub fn changed_size(&self, index: u64) -> Option<(Size, Size)> {
        let mut state = self.0.state();
        if state.silent {
            return None;
        }
        if state.frames <= index {
            let waiting = |state: &mut State| state.frames <= index && !state.ended;
            (state, _) = self
                .0
                .changed
                .wait_timeout_while(state, PATIENCE, waiting)
                .unwrap_or_else(PoisonError::into_inner);
            state.silent = state.frames <= index;
        }
        let (at, other) = state.other?;
        (at <= index).then_some((state.first?, other))
    }
}

/// The level in `[part @ 0x55] [level] text` or `[level] text`, and the text.
fn split_level(line: &str) -> (Option<&str>, &str) {
    const LEVELS: [&str; 8] = [
        "panic", "fatal", "error", "warning", "info", "verbose", "debug", "trace",
    ];
    let mut rest = line.trim_end();
    while let Some((mark, after)) = rest
        .strip_prefix('[')
        // A line without text ends with its mark.
        .and_then(|inner| {
            inner
                .split_once("] ")
                .or(inner.strip_suffix(']').map(|mark| (mark, "")))
        })
    {
        if LEVELS.contains(&mark) {
            return (Some(mark), after);
        }
        rest = after;
    }
    (None, line)
}

/// The line as ffmpeg writes it without levels.
fn without_level(line: &str) -> String {
    match split_level(line) {
        (Some(level), text) => {
            let end = line.find(&format!("[{level}] ")).unwrap_or(0);
            format!("{}{text}\n", &line[..end])
        }
        _ => line.to_owned(),
    }
}

/// The size in a line of `showinfo` about a frame: `n: 0 pts: 0 … s:320x240 …`.
fn frame_size(text: &str) -> Option<Size> {
    if !text.starts_with("n:") {
        return None;
    }
    text.split_ascii_whitespace().find_map(|word| {
        let (width, height) = word.strip_prefix("s:")?.split_once('x')?;
        Some((width.parse().ok()?, height.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: &str =
        "[Parsed_showinfo_0 @ 0x55] [info] n:   8 pts:  36000 fmt:yuv420p sar:0/1 s:320x240 i:P\n";

    fn log() -> (DecoderLog, Arc<Seen>) {
        let seen = Arc::new(Seen::default());
        let errors = StderrTail::read(std::io::empty()).unwrap();
        let log = DecoderLog {
            errors,
            sizes: Sizes(Arc::clone(&seen)),
        };
        (log, seen)
    }

    #[test]
    fn sizes_and_damage_are_counted_and_errors_are_kept_as_they_are_without_levels() {
        let (log, seen) = log();
        assert_eq!(seen.take(FRAME), None);
        assert_eq!(seen.take("[info] Stream mapping:\n"), None);
        // After the side data of x264 and x265, showinfo writes an empty line.
        assert_eq!(seen.take("[Parsed_showinfo_0 @ 0x55] [info] \n"), None);
        let text = "[h264 @ 0x1] [error] error while decoding MB 18 14, bytestream 350\n";
        let kept = seen.take(text).unwrap();
        assert_eq!(
            kept,
            "[h264 @ 0x1] error while decoding MB 18 14, bytestream 350\n"
        );
        let damage = "[warning] bad.mp4: corrupt decoded frame in stream 0\n";
        assert_eq!(seen.take(damage), None);
        assert_eq!(seen.take("no level\n").as_deref(), Some("no level\n"));
        assert_eq!(log.damaged(), 1);
        assert_eq!(log.sizes().changed_size(0), None);
        assert_eq!(seen.take(&FRAME.replace("320x240", "160x120")), None);
        assert_eq!(log.sizes().changed_size(0), None);
        assert_eq!(log.sizes().changed_size(1), Some(((320, 240), (160, 120))));
    }

    #[test]
    fn an_ffmpeg_that_writes_no_sizes_is_waited_for_once() {
        let (log, _) = log();
        let start = std::time::Instant::now();
        for index in 0..100 {
            assert_eq!(log.sizes().changed_size(index), None);
        }
        assert!(start.elapsed() < PATIENCE * 3, "{:?}", start.elapsed());
    }
}
