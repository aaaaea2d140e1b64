//! Reads videos through an `ffmpeg` process, which writes uncompressed frames into a pipe.

use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use ettrack::frame::{Encoding, ImageBuffer};
use ettrack_video::VideoError;

use super::decoder_log::{self, DecoderLog, Sizes};
use super::probe::{Probe, Stream, probe};
use super::stream::hide_password;
use super::{FrameInfo, FrameSource, SourceError};

/// The version of `ffmpeg`.
///
/// # Errors
/// [`SourceError::NoFfmpeg`] if it is not in PATH, [`SourceError::Ffmpeg`] if it cannot be started.
pub fn find_ffmpeg() -> Result<String, SourceError> {
    ettrack_video::find_ffmpeg().map_err(|error| match error {
        VideoError::NoFfmpeg => SourceError::NoFfmpeg,
        other => SourceError::Ffmpeg {
            name: "ffmpeg".into(),
            reason: ettrack::error_chain(&other),
        },
    })
}

fn start_error(error: std::io::Error) -> SourceError {
    match error.kind() {
        ErrorKind::NotFound => SourceError::NoFfmpeg,
        _ => SourceError::Ffmpeg {
            name: "ffmpeg".into(),
            reason: error.to_string(),
        },
    }
}

/// The option that makes ffmpeg write each frame of the file exactly once. It was renamed in version 5.1, and later
/// versions remove the old name.
fn every_frame(version: &str) -> [&'static str; 2] {
    if is_before(version, (5, 1)) {
        ["-vsync", "passthrough"]
    } else {
        ["-fps_mode", "passthrough"]
    }
}

/// The option that makes ffmpeg write frames at their own times and repeat none. Renamed like that of [`every_frame`].
pub(crate) fn own_times(version: &str) -> [&'static str; 2] {
    let [name, _] = every_frame(version);
    [name, "vfr"]
}

/// The filter that tells the size of each frame. Its sums cost time and can be switched off since version 4.3.
fn tell_sizes(version: &str) -> &'static str {
    if is_before(version, (4, 3)) {
        "showinfo"
    } else {
        "showinfo=checksum=0"
    }
}

/// Whether a version such as `5.1.6-0+deb12u1` is older than this one. Unreleased versions are not.
fn is_before(version: &str, than: (u32, u32)) -> bool {
    let mut numbers = version
        .split(|character: char| !character.is_ascii_digit())
        .map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < than,
        _ => false,
    }
}

/// The output of a running ffmpeg: binary PPM pictures, one per frame, because they hold their size.
pub(super) type Pictures = BufReader<ChildStdout>;

/// A running ffmpeg.
pub(super) struct Decoder {
    name: String,
    /// The input as ffmpeg got it, with its password.
    address: String,
    process: Child,
    log: DecoderLog,
}

impl Decoder {
    /// Starts ffmpeg with the options `input`, the last of which names the input; returns its output too. Without `stream`, the number of a stream, ffmpeg
    /// chooses: attached pictures last, then the default stream, then the largest.
    pub(super) fn start(
        name: &str,
        input: &[&std::ffi::OsStr],
        stream: Option<u64>,
    ) -> Result<(Self, Pictures), SourceError> {
        let version = find_ffmpeg()?;
        let map = stream.map(|index| ["-map".to_owned(), format!("0:{index}")]);
        let mut process = Command::new("ffmpeg")
            .args(["-hide_banner", "-nostdin"])
            .args(decoder_log::OPTIONS)
            .args(input)
            .args(map.iter().flatten())
            .args(["-an", "-sn", "-dn"])
            .args(["-vf", tell_sizes(&version)])
            .args(every_frame(&version))
            .args(["-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "-"])
            .stdin(if input.contains(&std::ffi::OsStr::new("pipe:0")) {
                Stdio::inherit()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C must not reach ffmpeg: this process handles it and ends ffmpeg itself.
            .process_group(0)
            .spawn()
            .map_err(start_error)?;
        let failed = |reason: String| SourceError::Ffmpeg {
            name: name.into(),
            reason,
        };
        let (Some(output), Some(messages)) = (process.stdout.take(), process.stderr.take()) else {
            return Err(failed("its output cannot be read".into()));
        };
        let decoder = Self {
            name: name.to_owned(),
            address: input
                .last()
                .map_or_else(String::new, |input| input.to_string_lossy().into_owned()),
            process,
            log: DecoderLog::read(messages).map_err(|error| failed(error.to_string()))?,
        };
        Ok((decoder, BufReader::with_capacity(1 << 16, output)))
    }

    /// Number and name of a frame.
    pub(super) fn frame(&self, index: u64) -> FrameInfo {
        FrameInfo {
            index,
            stamp_ns: None,
            name: self.name.clone(),
        }
    }

    /// The sizes of the frames, for the thread that reads them.
    pub(super) fn sizes(&self) -> Sizes {
        self.log.sizes().clone()
    }

    /// Waits until ffmpeg, whose output has ended, exits; returns its status.
    fn wait(&mut self) -> Result<ExitStatus, SourceError> {
        self.process
            .wait()
            .map_err(|error| self.failure(&error.to_string()))
    }

    /// The error for a picture of another size.
    pub(super) fn size_changed(&self, reason: String) -> SourceError {
        SourceError::SizeChanged {
            name: self.name.clone(),
            reason,
        }
    }

    /// The last lines that ffmpeg wrote, without the password of the input.
    fn last_lines(&self) -> String {
        hide_password(&self.address, &self.log.last_lines())
    }

    /// An error with the reason `error` and the last lines that ffmpeg wrote.
    pub(super) fn failure(&self, error: &str) -> SourceError {
        let lines = self.last_lines();
        let reason = if lines.is_empty() {
            error.to_owned()
        } else {
            format!("{error}; {lines}")
        };
        SourceError::Ffmpeg {
            name: self.name.clone(),
            reason,
        }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // ffmpeg must not keep running. Both calls fail if it has ended already, which is fine.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Limit of one picture in bytes.
const LONGEST: usize = 1 << 30;

/// Reads one binary PPM picture; `false` at the end of the stream.
pub(super) fn read_ppm(input: &mut impl BufRead, image: &mut ImageBuffer) -> std::io::Result<bool> {
    let bad = |reason: String| std::io::Error::new(ErrorKind::InvalidData, reason);
    let mut header = Vec::new();
    // The magic number and three fields, each followed by white space: "P6\n640 480\n255\n".
    let mut fields = 0;
    let mut in_field = false;
    while fields < 4 {
        let mut byte = [0];
        if input.read(&mut byte)? == 0 {
            return if header.is_empty() {
                Ok(false)
            } else {
                Err(bad("stream ends within a picture".into()))
            };
        }
        header.push(byte[0]);
        if byte[0].is_ascii_whitespace() {
            fields += usize::from(in_field);
            in_field = false;
        } else {
            in_field = true;
        }
        if header.len() > 64 {
            return Err(bad("expected a PPM picture, got other data".into()));
        }
    }
    let text = String::from_utf8_lossy(&header);
    let mut words = text.split_ascii_whitespace();
    let (Some("P6"), Some(Ok(width)), Some(Ok(height)), Some("255")) = (
        words.next(),
        words.next().map(str::parse::<u32>),
        words.next().map(str::parse::<u32>),
        words.next(),
    ) else {
        return Err(bad(format!(
            "expected a PPM picture of 8-bit colour, got {text:?}"
        )));
    };
    let length = (width as usize)
        .saturating_mul(height as usize)
        .saturating_mul(3);
    if length > LONGEST {
        return Err(bad(format!(
            "picture is {width}x{height}, expected at most {LONGEST} bytes"
        )));
    }
    image.data.resize(length, 0);
    input.read_exact(&mut image.data)?;
    (image.width, image.height, image.stride) = (width, height, width as usize * 3);
    (image.encoding, image.big_endian) = (Encoding::Rgb8, false);
    Ok(true)
}

/// The frames of a video file.
pub struct VideoSource {
    /// `None` for a stream.
    file: Option<PathBuf>,
    decoder: Decoder,
    pictures: Pictures,
    next: u64,
    frames: Option<u64>,
    rate: Option<f64>,
    damage: Vec<String>,
}

impl VideoSource {
    /// Starts reading the stream of `path` that a player would show: no attached picture, the default stream before others,
    /// the largest of equal ones.
    ///
    /// # Errors
    /// [`SourceError`] if the file has no video, or ffmpeg is missing or cannot be started. A file that it cannot read is
    /// reported with the first frame.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let name = path.display().to_string();
        // "file:" keeps ffmpeg from taking a name with a colon for a protocol.
        let mut url = std::ffi::OsString::from("file:");
        url.push(path);
        let stream = match probe(&url) {
            Probe::Video(stream) => Some(stream),
            Probe::NoVideo(found) => {
                return Err(SourceError::NoVideo {
                    path: path.to_owned(),
                    found,
                });
            }
            Probe::Unknown => None,
        };
        if let Some(stream) = &stream {
            let Stream {
                index,
                description,
                of,
                ..
            } = stream;
            tracing::info!("{name}: reads stream {index}, {description}, of {of} videos in it");
        }
        let index = stream.as_ref().map(|stream| stream.index);
        let (decoder, pictures) = Decoder::start(&name, &["-i".as_ref(), &url], index)?;
        let stream = stream.unwrap_or_default();
        Ok(Self {
            file: Some(path.to_owned()),
            decoder,
            pictures,
            next: 0,
            frames: stream.frames,
            rate: stream.rate,
            damage: Vec::new(),
        })
    }

    /// Starts reading a recorded stream: `-` for standard input, a named pipe, or an address. Nothing of it is read twice, so
    /// its rate and length stay unknown.
    ///
    /// # Errors
    /// As [`VideoSource::open`].
    pub fn open_stream(source: &str) -> Result<Self, SourceError> {
        let url = std::ffi::OsString::from(super::stream::ffmpeg_name(source));
        let name = super::stream::without_password(source);
        let (decoder, pictures) = Decoder::start(&name, &["-i".as_ref(), &url], None)?;
        Ok(Self {
            file: None,
            decoder,
            pictures,
            next: 0,
            frames: None,
            rate: None,
            damage: Vec::new(),
        })
    }

    /// Called at the end of the pictures. No frame at all is an error; messages of ffmpeg after some frames are a warning.
    fn end(&mut self) -> Result<(), SourceError> {
        let status = self.decoder.wait()?;
        if self.next == 0 {
            return Err(self.decoder.failure(&format!("no frames ({status})")));
        }
        let lines = self.decoder.last_lines();
        let name = &self.decoder.name;
        let damaged = self.decoder.log.damaged();
        if damaged > 0 {
            self.damage
                .push(format!("{name}: {damaged} damaged frames"));
        }
        if let Some(frames) = self.frames.filter(|frames| *frames > self.next) {
            self.damage.push(format!(
                "{name}: its header counts {frames} frames, {} could be read",
                self.next
            ));
        }
        for damage in &self.damage {
            tracing::warn!("{damage}");
        }
        if !lines.is_empty() || !status.success() {
            tracing::warn!(
                "{name}: after {} frames ffmpeg reported: {lines} ({status})",
                self.next
            );
        }
        Ok(())
    }
}

/// What is wrong with frame `index`, which has arrived: its size is not that of the first.
pub(super) fn size_change(sizes: &Sizes, index: u64) -> Option<String> {
    let ((width, height), (new_width, new_height)) = sizes.changed_size(index)?;
    Some(format!(
        "frame {index} is {new_width}x{new_height} pixels, the frames before it {width}x{height}; expected one size, \
         because a box in pixels of one means nothing in the other"
    ))
}

impl FrameSource for VideoSource {
    fn next_into(&mut self, image: &mut ImageBuffer) -> Result<Option<FrameInfo>, SourceError> {
        match read_ppm(&mut self.pictures, image) {
            Ok(true) => {
                if let Some(reason) = size_change(self.decoder.log.sizes(), self.next) {
                    return Err(self.decoder.size_changed(reason));
                }
                self.next += 1;
                Ok(Some(self.decoder.frame(self.next - 1)))
            }
            Ok(false) => self.end().map(|()| None),
            Err(error) => Err(self.decoder.failure(&error.to_string())),
        }
    }

    fn frame_count(&self) -> Option<u64> {
        self.frames
    }

    fn frame_rate(&self) -> Option<f64> {
        self.rate
    }

    fn files(&self) -> &[PathBuf] {
        self.file.as_slice()
    }

    fn damage(&self) -> &[String] {
        &self.damage
    }

    fn damaged_frames(&self) -> u64 {
        self.decoder.log.damaged()
    }
}

/// Whether ffmpeg is installed, so that tests of `what` can run. Otherwise prints that they do not.
#[cfg(test)]
pub(crate) fn ffmpeg_tests(what: &str) -> bool {
    let is_there = find_ffmpeg().is_ok();
    if !is_there {
        // Directly to standard error, because the test harness hides what a passing test prints.
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            format!("not tested: {what}: ffmpeg is not installed\n").as_bytes(),
        );
    }
    is_there
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses_the_option_for_every_frame_by_version() {
        for (version, expected) in [
            ("4.4.2-0ubuntu0.22.04.1", "-vsync"),
            ("5.0.1", "-vsync"),
            ("5.1.6-0+deb12u1", "-fps_mode"),
            ("7.0", "-fps_mode"),
            ("N-109000-gdeadbeef", "-fps_mode"),
        ] {
            assert_eq!(every_frame(version)[0], expected, "{version}");
        }
    }

    #[test]
    fn reads_pictures_one_by_one_and_refuses_a_cut_stream() {
        let stream = [
            b"P6\n2 1\n255\n".as_slice(),
            &[1, 2, 3, 4, 5, 6],
            b"P6\n1 1\n255\n",
            &[7, 8, 9],
        ]
        .concat();
        let mut input = stream.as_slice();
        let mut image = ImageBuffer::empty();
        assert!(read_ppm(&mut input, &mut image).unwrap());
        assert_eq!(
            (image.width, image.height, image.data.as_slice()),
            (2, 1, [1, 2, 3, 4, 5, 6].as_slice())
        );
        assert!(read_ppm(&mut input, &mut image).unwrap());
        assert_eq!(
            (image.width, image.height, image.data.as_slice()),
            (1, 1, [7, 8, 9].as_slice())
        );
        assert!(!read_ppm(&mut input, &mut image).unwrap());
        for length in 1..16 {
            read_ppm(&mut &stream[..length], &mut image).unwrap_err();
        }
        read_ppm(&mut [b'x'; 99].as_slice(), &mut image).unwrap_err();
        read_ppm(&mut b"P6\n99999 99999\n255\n".as_slice(), &mut image).unwrap_err();
    }
}
