//! The `ffmpeg` process that decodes packets.
//!
//! The process reads packets as an IVF file, because ffmpeg reads this format packet by packet for any codec. Numbers of packets
//! take the place of times. The process writes pictures as raw RGB. The filter `showinfo` writes a line with the number and the
//! size of each picture before it.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};

use ettrack::frame::{Encoding, ImageBuffer};

use crate::{Codec, VideoError};

/// Largest number of packets in the queue: two seconds of a usual camera.
const WAITING: usize = 64;

/// Largest number of packets whose stamps are kept for their pictures.
const UNDER_WAY: usize = 4 * WAITING;

/// Number of error lines that are kept.
const LINES: usize = 3;

/// Largest number of bytes that are read as one line.
const LONGEST_LINE: u64 = 1 << 16;

/// Largest size of a picture, bytes.
const LARGEST: usize = 1 << 30;

/// A decoded picture.
#[derive(Debug)]
pub struct Picture {
    /// The packet's stamp, nanoseconds.
    pub stamp: i64,
    /// The pixels, `rgb8`.
    pub image: ImageBuffer,
}

/// State that is shared with the reading threads.
#[derive(Default)]
struct Shared {
    /// Numbers and stamps of the packets whose pictures may still come.
    stamps: Mutex<VecDeque<(u64, i64)>>,
    errors: Mutex<VecDeque<String>>,
    ended: AtomicBool,
}

impl Shared {
    /// Returns the stamp of packet `number`. Forgets the packets before it, because their pictures do not come anymore.
    fn stamp_of(&self, number: u64) -> Option<i64> {
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        while stamps.front().is_some_and(|(before, _)| *before < number) {
            stamps.pop_front();
        }
        let (found, stamp) = stamps.pop_front()?;
        (found == number).then_some(stamp)
    }
}

/// A running ffmpeg process and its threads.
pub(crate) struct Process {
    child: Child,
    packets: SyncSender<Vec<u8>>,
    shared: Arc<Shared>,
    next: u64,
}

/// Returns the version of `ffmpeg`.
///
/// # Errors
/// Returns [`VideoError::NoFfmpeg`] if `ffmpeg` is not in PATH, and [`VideoError::Start`] if it cannot be started.
pub fn find_ffmpeg() -> Result<String, VideoError> {
    let output = Command::new("ffmpeg")
        .arg("-version")
        .stdin(Stdio::null())
        .output()
        .map_err(start_error)?;
    let text = String::from_utf8_lossy(&output.stdout);
    // "ffmpeg version 5.1.6-0+deb12u1 Copyright (c) …"
    Ok(text
        .split_whitespace()
        .nth(2)
        .unwrap_or("unknown")
        .to_owned())
}

/// Returns the option that makes ffmpeg write each picture once. Version 5.1 renamed it, and later versions removed the old name.
fn each_picture_once(version: &str) -> [&'static str; 2] {
    let mut numbers = version
        .split(|character: char| !character.is_ascii_digit())
        .map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < (5, 1) => ["-vsync", "passthrough"],
        _ => ["-fps_mode", "passthrough"],
    }
}

fn start_error(error: std::io::Error) -> VideoError {
    match error.kind() {
        ErrorKind::NotFound => VideoError::NoFfmpeg,
        _ => VideoError::Start(error),
    }
}

impl Process {
    pub fn start(
        codec: Codec,
        receive: Arc<dyn Fn(Picture) + Send + Sync>,
    ) -> Result<Self, VideoError> {
        static VERSION: OnceLock<String> = OnceLock::new();
        // The version is asked for only once, because the thread that takes packets waits for it.
        let version = match VERSION.get() {
            Some(version) => version,
            None => VERSION.get_or_init({
                let version = find_ffmpeg()?;
                || version
            }),
        };
        let mut child = Command::new("ffmpeg")
            .args(["-hide_banner", "-nostdin", "-nostats"])
            .args(["-loglevel", "repeat+level+info"])
            // ffmpeg must not read ahead. The first packet contains all that it needs.
            .args(["-flags", "low_delay", "-probesize", "32"])
            .args(["-analyzeduration", "0", "-fpsprobesize", "0"])
            // More threads would delay pictures.
            .args(["-threads", "1", "-f", "ivf", "-i", "pipe:0"])
            .args(["-map", "0:v:0", "-vf", "showinfo=checksum=0"])
            .args(each_picture_once(version))
            // More threads for writing would delay pictures, too.
            .args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-threads", "1"])
            .args(["-flush_packets", "1", "pipe:1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C must not reach ffmpeg: this process ends it.
            .process_group(0)
            .spawn()
            .map_err(start_error)?;
        let broken = || VideoError::Start(std::io::Error::from(ErrorKind::BrokenPipe));
        let input = child.stdin.take().ok_or_else(broken)?;
        let output = child.stdout.take().ok_or_else(broken)?;
        let messages = child.stderr.take().ok_or_else(broken)?;
        let shared = Arc::new(Shared::default());
        let (packets, waiting) = sync_channel(WAITING);
        let (found, lines) = mpsc::channel();
        let process = Self {
            child,
            packets,
            shared: Arc::clone(&shared),
            next: 0,
        };
        let thread = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(name.into())
                .spawn(work)
                .map_err(VideoError::Start)
        };
        thread(
            "video packets",
            Box::new(move || write_packets(codec, input, &waiting)),
        )?;
        let told = Arc::clone(&shared);
        thread(
            "video messages",
            Box::new(move || read_lines(BufReader::new(messages), &told, &found)),
        )?;
        thread(
            "video pictures",
            Box::new(move || {
                read_pictures(output, &lines, &shared, receive.as_ref());
                shared.ended.store(true, Ordering::Release);
            }),
        )?;
        Ok(process)
    }

    /// Queues a packet. Returns `false` if the queue is full.
    pub fn push(&mut self, stamp: i64, data: &[u8]) -> bool {
        let mut stamps = self
            .shared
            .stamps
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if stamps.len() >= UNDER_WAY {
            stamps.pop_front();
        }
        let mut bytes = Vec::with_capacity(12 + data.len());
        // The length fits, because the caller has checked it against a much lower limit.
        bytes.extend_from_slice(&(data.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.next.to_le_bytes());
        bytes.extend_from_slice(data);
        let is_taken = self.packets.try_send(bytes).is_ok();
        if is_taken {
            stamps.push_back((self.next, stamp));
            self.next += 1;
        }
        is_taken
    }

    /// Whether the process delivers no more pictures.
    pub fn has_ended(&self) -> bool {
        self.shared.ended.load(Ordering::Acquire)
    }

    /// Returns the last error messages of ffmpeg.
    pub fn last_words(&self) -> String {
        let errors = self
            .shared
            .errors
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if errors.is_empty() {
            return "it gave no reason".into();
        }
        errors.iter().cloned().collect::<Vec<_>>().join("; ")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The threads end with the process. A failure of these calls is no problem: then the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes the file header and then each packet. Ends if there are no more packets or ffmpeg has closed its input.
fn write_packets(codec: Codec, mut input: ChildStdin, packets: &Receiver<Vec<u8>>) {
    let mut head = Vec::from(*b"DKIF\0\0\x20\0");
    head.extend_from_slice(&codec.four_letters());
    // Width and height (0, because the packets contain them), time base of 1/1000, number of frames, four unused bytes.
    for (value, bytes) in [(0_u32, 2), (0, 2), (1000, 4), (1, 4), (0, 4), (0, 4)] {
        head.extend_from_slice(&value.to_le_bytes()[..bytes]);
    }
    let mut write = |bytes: &[u8]| input.write_all(bytes).and_then(|()| input.flush());
    if write(&head).is_err() {
        return;
    }
    for packet in packets {
        if write(&packet).is_err() {
            return;
        }
    }
}

/// Number, width and height of the next picture.
type Announced = (u64, u32, u32);

/// Reads the messages of ffmpeg until it ends. Passes on the announced pictures and keeps the last errors.
fn read_lines(mut messages: impl BufRead, shared: &Shared, found: &mpsc::Sender<Announced>) {
    let mut line = Vec::new();
    loop {
        line.clear();
        match messages
            .by_ref()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)
        {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
        let text = String::from_utf8_lossy(&line);
        if let Some(announced) = announced(&text) {
            if found.send(announced).is_err() {
                return;
            }
        } else if text.contains("[error]") || text.contains("[fatal]") {
            let mut errors = shared.errors.lock().unwrap_or_else(PoisonError::into_inner);
            if errors.len() == LINES {
                errors.pop_front();
            }
            errors.push_back(text.trim().chars().take(200).collect());
        }
    }
}

/// Returns the number and the size from a line of `showinfo`. `None` for other lines.
fn announced(line: &str) -> Option<Announced> {
    if !line.contains("showinfo") {
        return None;
    }
    let number = line.split_once(" pts:")?.1.split_whitespace().next()?;
    let (width, height) = line
        .split_once(" s:")?
        .1
        .split_whitespace()
        .next()?
        .split_once('x')?;
    Some((
        number.parse().ok()?,
        width.parse().ok()?,
        height.parse().ok()?,
    ))
}

/// Reads pictures until ffmpeg ends, and calls `receive` with each.
fn read_pictures(
    mut output: impl Read,
    lines: &Receiver<Announced>,
    shared: &Shared,
    receive: &(dyn Fn(Picture) + Send + Sync),
) {
    for (number, width, height) in lines {
        let row = width as usize * 3;
        let bytes = row.saturating_mul(height as usize);
        if bytes == 0 || bytes > LARGEST {
            return;
        }
        let mut data = vec![0; bytes];
        if output.read_exact(&mut data).is_err() {
            return;
        }
        let mut image = ImageBuffer::empty();
        (image.width, image.height, image.stride) = (width, height, row);
        (image.encoding, image.data) = (Encoding::Rgb8, data);
        if let Some(stamp) = shared.stamp_of(number) {
            receive(Picture { stamp, image });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_announcement_of_a_picture_from_old_and_new_versions() {
        for (line, expected) in [
            (
                "[Parsed_showinfo_0 @ 0x55] [info] n:   3 pts:     41 pts_time:0.041   pos:  10 fmt:yuv420p sar:1/1 s:640x480 i:P",
                Some((41, 640, 480)),
            ),
            (
                "[Parsed_showinfo_0 @ 0x55] [info] n:   0 pts:      0 pts_time:0       duration:      1 duration_time:0.001 fmt:yuv420p cl:left sar:0/1 s:8x6 i:P iskey:1 type:I",
                Some((0, 8, 6)),
            ),
            (
                "[Parsed_showinfo_0 @ 0x55] [info] color_range:unknown color_space:unknown",
                None,
            ),
            ("[info] Input #0, ivf, from 'pipe:0': pts: 1 s:1x1", None),
        ] {
            assert_eq!(announced(line), expected, "{line}");
        }
    }

    #[test]
    fn forgets_packets_without_a_picture() {
        let shared = Shared::default();
        shared
            .stamps
            .lock()
            .unwrap()
            .extend([(0, 10), (1, 11), (2, 12)]);
        assert_eq!(shared.stamp_of(1), Some(11));
        assert_eq!(shared.stamp_of(1), None);
        assert!(shared.stamps.lock().unwrap().is_empty());
    }
}
