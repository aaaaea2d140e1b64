//! Writes pictures as a GIF (by itself) or as a video (through ffmpeg).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use image::codecs::gif::{GifEncoder, Repeat};
use image::imageops::FilterType;
use image::{Delay, Frame as GifFrame, RgbImage};

use crate::source::{StderrTail, find_ffmpeg, own_times};
use ettrack_files::{OutputError, PendingFile};

/// Greatest width of a GIF in pixels; wider pictures are scaled down, because GIFs are large files.
const GIF_WIDTH: u32 = 480;
/// Most pictures per second in a GIF. At higher rates pictures are left out; the speed of the video stays the same.
const GIF_RATE: f64 = 15.0;
/// Extensions of files that hold one picture.
const PICTURES: [&str; 14] = [
    "png", "jpg", "jpeg", "bmp", "ppm", "pgm", "pbm", "pnm", "tif", "tiff", "tga", "exr", "jp2",
    "pam",
];
/// A size that every video format accepts.
const TRIAL_SIZE: (u32, u32) = (128, 96);
/// Last byte of a complete GIF.
const GIF_END: u8 = 0x3b;

/// Why a video cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum VideoError {
    /// The file name has no extension, which chooses the format.
    #[error(
        "{path} has no extension; expected .gif, or a video's that ffmpeg knows (.mp4, .mkv, .webm, .avi)"
    )]
    NoExtension {
        /// The file.
        path: PathBuf,
    },
    /// The name is that of a single picture.
    #[error(
        "{path} is the name of one picture; expected a video's (.gif, .mp4, .mkv, .webm, .avi)"
    )]
    Picture {
        /// The file.
        path: PathBuf,
    },
    /// The picture size or rate cannot be encoded.
    #[error(
        "cannot write a video of {width}x{height} pixels at {frames_per_second} pictures a second; expected positive numbers"
    )]
    Shape {
        /// Pixels per row.
        width: u32,
        /// Rows.
        height: u32,
        /// Pictures a second.
        frames_per_second: f64,
    },
    /// A picture has another size than the video.
    #[error(
        "the video's pictures are {expected_width}x{expected_height} pixels, but one of {width}x{height} came"
    )]
    SizeChanged {
        /// Pixels per row of the video.
        expected_width: u32,
        /// Rows of the video.
        expected_height: u32,
        /// Pixels per row of the picture.
        width: u32,
        /// Rows of the picture.
        height: u32,
    },
    /// ffmpeg cannot be started.
    #[error(
        "cannot start ffmpeg to write {path}; install ffmpeg, or choose a name that ends in .gif, which needs none"
    )]
    NoFfmpeg {
        /// The file that was to be written.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// ffmpeg failed.
    #[error("ffmpeg could not write {path}: {message}")]
    Ffmpeg {
        /// The file that was to be written.
        path: PathBuf,
        /// The last lines that ffmpeg wrote, or its exit status.
        message: String,
    },
    /// A GIF picture could not be encoded. The encoder's message holds its own causes, so they are not given again as a
    /// source.
    #[error("cannot encode {path}: {reason}")]
    Gif {
        /// The file that was to be written.
        path: PathBuf,
        /// The encoder's reason.
        reason: image::ImageError,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Writes pictures of one size as a video. The file appears with [`VideoWriter::finish`]; if the writer is dropped before,
/// nothing is left.
#[derive(Debug)]
pub struct VideoWriter {
    path: PathBuf,
    size: (u32, u32),
    pending: PendingFile,
    sink: Sink,
}

/// How the pictures get their times.
#[derive(Debug, Clone, Copy)]
enum Timing {
    /// At a constant rate.
    Constant,
    /// By the clock, when they are pushed.
    Live,
}

#[derive(Debug)]
enum Sink {
    Gif(GifSink),
    Ffmpeg(Ffmpeg),
}

impl VideoWriter {
    /// Opens a video of a live source for pictures of `width` x `height` pixels. Each picture is shown from the time at which it is
    /// pushed until the next one, whatever their rate is. `frames_per_second` is the highest rate. Otherwise as
    /// [`VideoWriter::create`]; a `.gif` has a constant rate. While the system's clock is set back, the picture stands still.
    ///
    /// # Errors
    /// As [`VideoWriter::create`].
    pub fn create_live(
        path: &Path,
        width: u32,
        height: u32,
        frames_per_second: f64,
    ) -> Result<Self, VideoError> {
        Self::begin(path, (width, height), frames_per_second, Timing::Live)
    }

    /// Opens a video for pictures of `width` x `height` pixels. The extension chooses the format: `.gif` is written without
    /// other programs (at most 480 pixels wide and 15 pictures a second), all others by `ffmpeg`.
    ///
    /// # Errors
    /// [`VideoError`] if the size or rate is not positive, the name has no extension, the file cannot be written, or ffmpeg
    /// cannot be started.
    pub fn create(
        path: &Path,
        width: u32,
        height: u32,
        frames_per_second: f64,
    ) -> Result<Self, VideoError> {
        Self::begin(path, (width, height), frames_per_second, Timing::Constant)
    }

    fn begin(
        path: &Path,
        (width, height): (u32, u32),
        frames_per_second: f64,
        timing: Timing,
    ) -> Result<Self, VideoError> {
        if width == 0 || height == 0 || !(frames_per_second.is_finite() && frames_per_second > 0.0)
        {
            return Err(VideoError::Shape {
                width,
                height,
                frames_per_second,
            });
        }
        let Some(extension) = path.extension() else {
            return Err(VideoError::NoExtension {
                path: path.to_owned(),
            });
        };
        Self::open(
            path,
            extension,
            PendingFile::create(path)?,
            (width, height),
            frames_per_second,
            timing,
        )
    }

    /// Checks whether a video can be written in the format of `path`, by writing a small one to a temporary folder.
    ///
    /// # Errors
    /// [`VideoError`] if not; it names `path`.
    pub fn check(path: &Path) -> Result<(), VideoError> {
        let Some(extension) = path.extension() else {
            return Err(VideoError::NoExtension {
                path: path.to_owned(),
            });
        };
        let folder = tempfile::tempdir().map_err(|source| OutputError {
            path: std::env::temp_dir(),
            source,
        })?;
        if PICTURES
            .iter()
            .any(|picture| extension.eq_ignore_ascii_case(picture))
        {
            return Err(VideoError::Picture {
                path: path.to_owned(),
            });
        }
        let trial = folder.path().join("trial").with_extension(extension);
        let pending = PendingFile::create(&trial)?;
        let mut video = Self::open(path, extension, pending, TRIAL_SIZE, 25.0, Timing::Constant)?;
        // Two, because a format of single pictures fails with the second.
        for _ in 0..2 {
            video.push(&RgbImage::new(TRIAL_SIZE.0, TRIAL_SIZE.1))?;
        }
        video.finish()
    }

    /// Writes to `pending`; messages name it `path`.
    fn open(
        path: &Path,
        extension: &OsStr,
        pending: PendingFile,
        (width, height): (u32, u32),
        frames_per_second: f64,
        timing: Timing,
    ) -> Result<Self, VideoError> {
        let sink = if extension.eq_ignore_ascii_case("gif") {
            Sink::Gif(GifSink::open(
                path,
                pending.path(),
                (width, height),
                frames_per_second,
            )?)
        } else {
            Sink::Ffmpeg(Ffmpeg::start(
                path,
                pending.path(),
                (width, height),
                frames_per_second,
                timing,
            )?)
        };
        Ok(Self {
            path: path.to_owned(),
            size: (width, height),
            pending,
            sink,
        })
    }

    /// Adds one picture of the size given to [`VideoWriter::create`].
    ///
    /// # Errors
    /// [`VideoError`] if the picture has another size or cannot be written.
    pub fn push(&mut self, picture: &RgbImage) -> Result<(), VideoError> {
        if picture.dimensions() != self.size {
            return Err(VideoError::SizeChanged {
                expected_width: self.size.0,
                expected_height: self.size.1,
                width: picture.width(),
                height: picture.height(),
            });
        }
        match &mut self.sink {
            Sink::Gif(gif) => gif.push(&self.path, picture),
            Sink::Ffmpeg(ffmpeg) => ffmpeg.push(&self.path, picture),
        }
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// [`VideoError`] if the file cannot be completed; then nothing is left.
    pub fn finish(self) -> Result<(), VideoError> {
        match self.sink {
            Sink::Gif(gif) => gif.finish(&self.path)?,
            Sink::Ffmpeg(ffmpeg) => ffmpeg.finish(&self.path)?,
        }
        Ok(self.pending.commit()?)
    }
}

struct GifSink {
    encoder: GifEncoder<BufWriter<File>>,
    temporary: PathBuf,
    size: (u32, u32),
    seconds_per_picture: f64,
    pushed: u64,
    kept: u64,
    /// End of the last picture in hundredths of a second, the unit of the format.
    end: f64,
}

impl std::fmt::Debug for GifSink {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("GifSink")
            .field("size", &self.size)
            .field("pushed", &self.pushed)
            .finish_non_exhaustive()
    }
}

impl GifSink {
    fn open(
        path: &Path,
        temporary: &Path,
        (width, height): (u32, u32),
        rate: f64,
    ) -> Result<Self, VideoError> {
        let file = File::create(temporary).map_err(|source| OutputError {
            path: path.to_owned(),
            source,
        })?;
        // 30 is the fastest palette search. With 256 colours the difference cannot be seen.
        let mut encoder = GifEncoder::new_with_speed(BufWriter::new(file), 30);
        encoder
            .set_repeat(Repeat::Infinite)
            .map_err(|reason| VideoError::Gif {
                path: path.to_owned(),
                reason,
            })?;
        let size = if width > GIF_WIDTH {
            let scaled = f64::from(height) * f64::from(GIF_WIDTH) / f64::from(width);
            (GIF_WIDTH, scaled.round().max(1.0) as u32)
        } else {
            (width, height)
        };
        Ok(Self {
            encoder,
            temporary: temporary.to_owned(),
            size,
            seconds_per_picture: 1.0 / rate,
            pushed: 0,
            kept: 0,
            end: 0.0,
        })
    }

    fn push(&mut self, path: &Path, picture: &RgbImage) -> Result<(), VideoError> {
        let now = self.pushed as f64 * self.seconds_per_picture;
        self.pushed += 1;
        // Half a picture of tolerance, so that rounding does not drop every second picture at exactly this rate.
        if now + 0.5 * self.seconds_per_picture < self.kept as f64 / GIF_RATE {
            return Ok(());
        }
        self.kept += 1;
        // The delay is the difference of rounded times, so rounding errors do not add up.
        let seconds = self.kept as f64 * self.seconds_per_picture.max(1.0 / GIF_RATE);
        let end = (seconds * 100.0).round();
        let delay = (end - self.end) * 10.0;
        self.end = end;
        let small = if picture.dimensions() == self.size {
            picture.clone()
        } else {
            image::imageops::resize(picture, self.size.0, self.size.1, FilterType::Triangle)
        };
        let rgba = image::DynamicImage::ImageRgb8(small).into_rgba8();
        let delay = Delay::from_numer_denom_ms(delay.round() as u32, 1);
        self.encoder
            .encode_frame(GifFrame::from_parts(rgba, 0, 0, delay))
            .map_err(|reason| VideoError::Gif {
                path: path.to_owned(),
                reason,
            })
    }

    fn finish(self, path: &Path) -> Result<(), VideoError> {
        // The encoder writes the end mark when it is dropped, which hides errors. So the file's last byte is checked.
        drop(self.encoder);
        let failed = |source| OutputError {
            path: path.to_owned(),
            source,
        };
        let mut file = File::open(&self.temporary).map_err(failed)?;
        let mut last = [0];
        file.seek(SeekFrom::End(-1))
            .and_then(|_| file.read_exact(&mut last))
            .map_err(failed)?;
        if last[0] == GIF_END {
            Ok(())
        } else {
            Err(failed(std::io::ErrorKind::WriteZero.into()).into())
        }
    }
}

#[derive(Debug)]
struct Ffmpeg {
    child: Child,
    input: Option<ChildStdin>,
    stderr: Option<StderrTail>,
}

impl Ffmpeg {
    fn start(
        path: &Path,
        temporary: &Path,
        (width, height): (u32, u32),
        rate: f64,
        timing: Timing,
    ) -> Result<Self, VideoError> {
        let (clock, times) = match timing {
            Timing::Constant => (None, None),
            Timing::Live => (
                Some(["-use_wallclock_as_timestamps", "1"]),
                // Otherwise ffmpeg encodes repeated pictures at a constant rate, and a slow encoder falls behind.
                Some(own_times(&find_ffmpeg().unwrap_or_default())),
            ),
        };
        let mut child = Command::new("ffmpeg")
            .args(["-nostdin", "-loglevel", "error", "-y"])
            .args(clock.iter().flatten())
            .args(["-f", "rawvideo", "-pix_fmt", "rgb24"])
            .args(["-video_size", &format!("{width}x{height}")])
            .args(["-framerate", &rate.to_string(), "-i", "pipe:0"])
            // Most players need 4:2:0 subsampling, which needs even sides.
            .args([
                "-vf",
                "pad=ceil(iw/2)*2:ceil(ih/2)*2",
                "-pix_fmt",
                "yuv420p",
            ])
            .args(times.iter().flatten())
            .arg(temporary)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C must not reach ffmpeg: this process handles it and ends ffmpeg itself.
            .process_group(0)
            .spawn()
            .map_err(|source| VideoError::NoFfmpeg {
                path: path.to_owned(),
                source,
            })?;
        let input = child.stdin.take();
        let stderr = child.stderr.take().map(StderrTail::read).transpose();
        let stderr = stderr.map_err(|source| VideoError::NoFfmpeg {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            child,
            input,
            stderr,
        })
    }

    fn push(&mut self, path: &Path, picture: &RgbImage) -> Result<(), VideoError> {
        let written = match &mut self.input {
            Some(input) => input.write_all(picture.as_raw()),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        };
        written.map_err(|error| {
            // ffmpeg has ended: its own message explains more than the broken pipe.
            self.input = None;
            let message = self.message();
            VideoError::Ffmpeg {
                path: path.to_owned(),
                message: if message.is_empty() {
                    error.to_string()
                } else {
                    message
                },
            }
        })
    }

    /// The last lines that ffmpeg wrote.
    fn message(&self) -> String {
        let stderr = self.stderr.as_ref();
        stderr.map(StderrTail::last_lines).unwrap_or_default()
    }

    fn finish(mut self, path: &Path) -> Result<(), VideoError> {
        drop(self.input.take());
        let ended = self.child.wait();
        let message = self.message();
        match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(VideoError::Ffmpeg {
                path: path.to_owned(),
                message: if message.is_empty() {
                    status.to_string()
                } else {
                    message
                },
            }),
            Err(error) => Err(VideoError::Ffmpeg {
                path: path.to_owned(),
                message: error.to_string(),
            }),
        }
    }
}

impl Drop for Ffmpeg {
    fn drop(&mut self) {
        // The process still runs only if the writer was dropped before the end.
        drop(self.input.take());
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{FrameSource as _, VideoSource, ffmpeg_tests};
    use image::AnimationDecoder;

    fn picture(index: u32, width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([(x + index) as u8, y as u8, (index * 20) as u8])
        })
    }

    #[test]
    fn a_live_video_has_each_picture_once_at_its_time() {
        if !ffmpeg_tests("live videos") {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("live.mp4");
        let mut video = VideoWriter::create_live(&path, 64, 48, 30.0).unwrap();
        for index in 0..4 {
            if index > 0 {
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
            video.push(&picture(index, 64, 48)).unwrap();
        }
        video.finish().unwrap();
        let mut source = VideoSource::open(&path).unwrap();
        let mut image = ettrack::frame::ImageBuffer::empty();
        let mut frames = 0;
        while source.next_into(&mut image).unwrap().is_some() {
            frames += 1;
        }
        assert_eq!(frames, 4);
        // About one per second, more if ffmpeg takes long to start and reads the first ones together. A constant rate would be 30.
        let rate = source.frame_rate().unwrap();
        assert!((0.5..10.0).contains(&rate), "{rate} pictures per second");
    }

    #[test]
    fn a_gif_keeps_its_speed_and_is_scaled_down() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gif");
        let mut video = VideoWriter::create(&path, 960, 100, 30.0).unwrap();
        for index in 0..10 {
            video.push(&picture(index, 960, 100)).unwrap();
        }
        assert!(!path.exists());
        video.finish().unwrap();
        let file = std::io::BufReader::new(File::open(&path).unwrap());
        let frames: Vec<_> = image::codecs::gif::GifDecoder::new(file)
            .unwrap()
            .into_frames()
            .map(Result::unwrap)
            .collect();
        assert_eq!(frames.len(), 5);
        // A third of a second, rounded to hundredths.
        let milliseconds: u32 = frames
            .iter()
            .map(|frame| frame.delay().numer_denom_ms())
            .map(|(numerator, denominator)| numerator / denominator)
            .sum();
        assert_eq!(milliseconds, 330);
        assert_eq!(frames[0].buffer().dimensions(), (480, 50));
    }

    #[test]
    fn refuses_wrong_sizes_and_names_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gif");
        assert!(matches!(
            VideoWriter::create(&path, 0, 10, 30.0),
            Err(VideoError::Shape { .. })
        ));
        assert!(matches!(
            VideoWriter::create(&folder.path().join("a"), 10, 10, 30.0),
            Err(VideoError::NoExtension { .. })
        ));
        let mut video = VideoWriter::create(&path, 10, 10, 30.0).unwrap();
        assert!(matches!(
            video.push(&picture(0, 11, 10)),
            Err(VideoError::SizeChanged { .. })
        ));
        drop(video);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn ffmpeg_writes_a_video_of_odd_size_and_its_errors_are_reported() {
        if !ffmpeg_tests("videos") {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp4");
        let mut video = VideoWriter::create(&path, 63, 41, 10.0).unwrap();
        for index in 0..5 {
            video.push(&picture(index, 63, 41)).unwrap();
        }
        video.finish().unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() > 500);

        let strange = folder.path().join("b.nosuchformat");
        let mut video = VideoWriter::create(&strange, 64, 64, 10.0).unwrap();
        let mut outcome = Ok(());
        for index in 0..200 {
            outcome = video.push(&picture(index, 64, 64));
            if outcome.is_err() {
                break;
            }
        }
        let error = outcome.and_then(|()| video.finish()).unwrap_err();
        assert!(matches!(error, VideoError::Ffmpeg { .. }), "{error}");
        assert!(!strange.exists());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
