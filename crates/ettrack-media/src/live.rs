//! Sends live pictures as an H.264 stream through an ffmpeg process.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use image::RgbImage;

use crate::source::{StderrTail, find_ffmpeg, hide_password, without_password};

/// Time after which the last picture is sent again if no newer one comes, so that a new viewer soon sees a picture.
const REPEAT: Duration = Duration::from_millis(100);

/// Pause before ffmpeg is started again.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a stream cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The address is not that of a stream.
    #[error(
        "{0:?}: expected rtp://HOST:PORT, udp://HOST:PORT, tcp://HOST:PORT or rtsp://HOST:PORT/PATH"
    )]
    Address(String),
    /// ffmpeg was not found.
    #[error("a stream needs ffmpeg")]
    NoFfmpeg(#[source] crate::source::SourceError),
    /// A thread cannot be started.
    #[error("a thread cannot be started")]
    Thread(#[source] std::io::Error),
}

#[derive(Debug, Default)]
struct Desk {
    /// The newest picture, and whether the stream is to end.
    waiting: Mutex<(Option<RgbImage>, bool)>,
    changed: Condvar,
    /// The running ffmpeg. It lies here because the thread that writes to it waits while ffmpeg does not read, for example
    /// until a viewer connects. Only the end of ffmpeg ends this wait.
    child: Mutex<Option<Child>>,
}

impl Desk {
    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends ffmpeg if it is running. Pictures that it has not sent yet are dropped, because the stream is live.
    fn end_child(&self) {
        if let Some(mut child) = self.child().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn is_closed(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.unwrap_or_else(PoisonError::into_inner).1
    }
}

/// A running stream. Dropping it ends the stream. If pictures come faster than ffmpeg encodes them, only the newest one is sent.
#[derive(Debug)]
pub struct LiveStream {
    desk: Arc<Desk>,
    writer: Option<JoinHandle<()>>,
}

/// Returns ffmpeg's name for the format of a stream to this address.
fn form(address: &str) -> Result<&'static str, LiveError> {
    match address.split_once("://") {
        Some(("rtp", rest)) if !rest.is_empty() => Ok("rtp"),
        Some(("udp" | "tcp", rest)) if !rest.is_empty() => Ok("mpegts"),
        Some(("rtsp", rest)) if !rest.is_empty() => Ok("rtsp"),
        _ => Err(LiveError::Address(without_password(address))),
    }
}

impl LiveStream {
    /// Starts a stream to `address`: RTP (`rtp://`), MPEG-TS (`udp://`, `tcp://`), or RTSP to a server (`rtsp://`). `rate` is the
    /// approximate number of pictures per second. If ffmpeg ends, it is started again.
    ///
    /// # Errors
    /// Returns a [`LiveError`] if the address is not that of a stream, ffmpeg is missing, or a thread cannot be started.
    pub fn start(address: &str, rate: f64) -> Result<Self, LiveError> {
        let form = form(address)?;
        find_ffmpeg().map_err(LiveError::NoFfmpeg)?;
        let desk = Arc::new(Desk::default());
        let sender = Sender {
            desk: Arc::clone(&desk),
            address: address.to_owned(),
            form,
            rate,
        };
        let writer = std::thread::Builder::new()
            .name("stream".into())
            .spawn(move || sender.run())
            .map_err(LiveError::Thread)?;
        Ok(Self {
            desk,
            writer: Some(writer),
        })
    }

    /// Passes the newest picture to the stream. Never waits for ffmpeg.
    pub fn push(&self, picture: RgbImage) {
        self.put(|waiting| waiting.0 = Some(picture));
    }

    fn put(&self, change: impl FnOnce(&mut (Option<RgbImage>, bool))) {
        let mut waiting = self
            .desk
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        change(&mut waiting);
        self.desk.changed.notify_one();
    }
}

impl Drop for LiveStream {
    fn drop(&mut self) {
        self.put(|waiting| waiting.1 = true);
        self.desk.end_child();
        if let Some(writer) = self.writer.take() {
            // A panic was already reported.
            let _ = writer.join();
        }
    }
}

/// The thread that writes to ffmpeg.
struct Sender {
    desk: Arc<Desk>,
    address: String,
    form: &'static str,
    rate: f64,
}

impl Sender {
    fn run(self) {
        let mut picture: Option<RgbImage> = None;
        let mut process: Option<Process> = None;
        let mut not_before = Instant::now();
        while let Some(newer) = self.next() {
            if newer.is_some() {
                picture = newer;
            }
            let Some(picture) = &picture else {
                continue;
            };
            if process
                .as_ref()
                .is_some_and(|process| process.size != picture.dimensions())
            {
                process = None;
            }
            if process.is_none() && Instant::now() >= not_before {
                not_before = Instant::now() + PAUSE;
                process = self.start(picture.dimensions());
            }
            let outcome = match &mut process {
                Some(process) => process.write(picture),
                None => Ok(()),
            };
            if let Err(reason) = outcome
                && !self.desk.is_closed()
            {
                tracing::warn!(
                    "the stream to {} broke: {}",
                    without_password(&self.address),
                    hide_password(&self.address, &reason)
                );
                process = None;
                not_before = Instant::now() + PAUSE;
            }
        }
    }

    /// Waits for the newest picture and returns it. Returns `Some(None)` if none came for a while, and `None` at the end.
    fn next(&self) -> Option<Option<RgbImage>> {
        let waiting = self
            .desk
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (mut waiting, _) = self
            .desk
            .changed
            .wait_timeout_while(waiting, REPEAT, |waiting| waiting.0.is_none() && !waiting.1)
            .unwrap_or_else(PoisonError::into_inner);
        (!waiting.1).then(|| waiting.0.take())
    }

    fn start(&self, (width, height): (u32, u32)) -> Option<Process> {
        let mut command = Command::new("ffmpeg");
        command
            .args(["-nostdin", "-loglevel", "error"])
            // The time of a picture is the time at which it came.
            .args(["-use_wallclock_as_timestamps", "1"])
            .args(["-f", "rawvideo", "-pix_fmt", "rgb24"])
            .args(["-video_size", &format!("{width}x{height}")])
            .args(["-framerate", &self.rate.to_string(), "-i", "pipe:0"])
            // 4:2:0 needs even sides.
            .args([
                "-vf",
                "pad=ceil(iw/2)*2:ceil(ih/2)*2",
                "-pix_fmt",
                "yuv420p",
            ])
            .args([
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-tune",
                "zerolatency",
            ])
            // One key frame per second, so that a new viewer soon sees a picture.
            .args(["-g", &format!("{:.0}", self.rate.max(1.0))])
            .args(["-flush_packets", "1"]);
        if self.form == "rtsp" {
            command.args(["-rtsp_transport", "tcp"]);
        }
        if self.form == "mpegts" {
            command.args(["-muxdelay", "0", "-muxpreload", "0"]);
        }
        let spawned = command
            .args(["-f", self.form])
            .arg(&self.address)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C must not reach ffmpeg: this process handles it and ends ffmpeg itself.
            .process_group(0)
            .spawn();
        match spawned {
            Ok(mut child) => {
                let process = Process {
                    input: child.stdin.take(),
                    stderr: child
                        .stderr
                        .take()
                        .and_then(|stderr| StderrTail::read(stderr).ok()),
                    desk: Arc::clone(&self.desk),
                    size: (width, height),
                };
                *self.desk.child() = Some(child);
                // A stream that was dropped before this line did not see this ffmpeg.
                (!self.desk.is_closed()).then_some(process)
            }
            Err(error) => {
                tracing::warn!("ffmpeg was not started for the stream: {error}");
                None
            }
        }
    }
}

struct Process {
    input: Option<ChildStdin>,
    stderr: Option<StderrTail>,
    desk: Arc<Desk>,
    size: (u32, u32),
}

impl Process {
    fn write(&mut self, picture: &RgbImage) -> Result<(), String> {
        let written = match &mut self.input {
            Some(input) => input.write_all(picture.as_raw()),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        };
        written.map_err(|error| {
            let said = self.stderr.as_ref().map(StderrTail::last_lines);
            said.filter(|said| !said.is_empty())
                .unwrap_or_else(|| error.to_string())
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        self.desk.end_child();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ffmpeg_tests;

    #[test]
    fn chooses_the_format_of_the_stream_by_its_address() {
        for (address, expected) in [
            ("rtp://127.0.0.1:5600", "rtp"),
            ("udp://127.0.0.1:5600", "mpegts"),
            ("rtsp://127.0.0.1:8554/live", "rtsp"),
        ] {
            assert_eq!(form(address).unwrap(), expected);
        }
        for address in ["clip.mp4", "file:///tmp/a.ts", "rtp://", ""] {
            assert!(
                matches!(form(address), Err(LiveError::Address(_))),
                "{address}"
            );
        }
    }

    #[test]
    fn ends_at_once_while_nobody_reads_the_stream() {
        if !ffmpeg_tests("the end of a stream") {
            return;
        }
        // ffmpeg waits for a viewer. Until then it does not read the pictures, which are larger than a pipe.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let address = format!("tcp://127.0.0.1:{port}?listen");
        let stream = LiveStream::start(&address, 10.0).unwrap();
        stream.push(RgbImage::new(1280, 720));
        let patience = Instant::now() + Duration::from_secs(30);
        while stream.desk.child().is_none() {
            assert!(Instant::now() < patience, "ffmpeg was not started");
            std::thread::sleep(Duration::from_millis(10));
        }
        // The thread is writing by now. If it is not, this test shows nothing, but does not fail.
        std::thread::sleep(Duration::from_millis(500));
        let begun = Instant::now();
        drop(stream);
        let taken = begun.elapsed();
        assert!(taken < Duration::from_secs(10), "{taken:?}");
    }

    #[test]
    fn sends_a_stream_and_restarts_it_for_a_new_size() {
        if !ffmpeg_tests("streams") {
            return;
        }
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let port = socket.local_addr().unwrap().port();
        let stream = LiveStream::start(&format!("udp://127.0.0.1:{port}"), 10.0).unwrap();
        let mut packet = [0; 2000];
        for size in [(64, 48), (63, 41)] {
            stream.push(RgbImage::new(size.0, size.1));
            let length = socket.recv(&mut packet).unwrap();
            // Each packet of MPEG-TS begins with this byte.
            assert_eq!((packet[0], length % 188), (0x47, 0));
        }
    }
}
