//! Reads cameras through `ffmpeg`. A reader always gets the newest frame.
//!
//! A camera driver queues up to 32 frames and drops new frames while the queue is full. A reader that is slower than the
//! camera would therefore stay seconds behind. So a thread reads each frame at once, and replaces a frame that was not
//! taken by the next one.

use std::io::BufRead;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ettrack::frame::ImageBuffer;

use super::ffmpeg::{Decoder, read_ppm, size_change};
use super::{FrameInfo, FrameSource, SourceError};

/// How long to wait for a frame. Some cameras take seconds to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// The number that Linux gives to the driver of all Video4Linux devices.
const VIDEO4LINUX: u64 = 81;

/// The camera that `path` names, directly, through links (`/dev/v4l/by-id/…`, names that udev gives), or by its number
/// alone if there is no file of that name: `0` is `/dev/video0`.
pub(super) fn device_of(path: &Path) -> Option<PathBuf> {
    let text = path.to_str()?;
    if is_number(text) && std::fs::symlink_metadata(path).is_err() {
        return Some(format!("/dev/video{text}").into());
    }
    if is_video_name(path) {
        return Some(path.to_owned());
    }
    let at_the_end = std::fs::canonicalize(path).ok()?;
    let data = std::fs::metadata(&at_the_end).ok()?;
    let is_camera = data.file_type().is_char_device() && (data.rdev() >> 8) & 0xfff == VIDEO4LINUX;
    (is_camera || is_video_name(&at_the_end)).then_some(at_the_end)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_video_name(path: &Path) -> bool {
    path.to_str()
        .and_then(|path| path.strip_prefix("/dev/video"))
        .is_some_and(is_number)
}

/// The frames of a Video4Linux camera. Each call gives the newest frame; [`FrameInfo::index`] also counts those that were
/// replaced.
///
/// A camera has no end: it is an error if it stops or is unplugged.
pub struct CameraSource {
    newest: Arc<Newest>,
    /// Ends ffmpeg when the source is dropped, which also ends the thread that reads.
    decoder: Decoder,
}

impl CameraSource {
    /// Starts the camera `device`, such as `/dev/video0`.
    ///
    /// # Errors
    /// [`SourceError`] if the device or ffmpeg is missing. A device that cannot be read is reported with the first frame.
    pub fn open(device: &Path) -> Result<Self, SourceError> {
        let io = |source| SourceError::Io {
            path: device.to_owned(),
            source,
        };
        std::fs::metadata(device).map_err(io)?;
        let input = ["-fflags", "nobuffer", "-f", "v4l2", "-i"].map(std::ffi::OsStr::new);
        let mut arguments = input.to_vec();
        arguments.push(device.as_os_str());
        Self::start(&device.display().to_string(), &arguments)
    }

    /// Starts reading a live stream from the network, such as `rtsp://10.0.0.7/live`.
    ///
    /// # Errors
    /// [`SourceError::NoFfmpeg`]. If ffmpeg cannot read the stream, this shows with the first frame.
    pub fn open_stream(address: &str) -> Result<Self, SourceError> {
        let mut arguments = vec!["-fflags", "nobuffer", "-flags", "low_delay"];
        if address.starts_with("rtsp") {
            // Over UDP a lost packet is a broken picture.
            arguments.extend(["-rtsp_transport", "tcp"]);
        }
        arguments.extend(["-i", address]);
        let arguments: Vec<_> = arguments.into_iter().map(std::ffi::OsStr::new).collect();
        Self::start(&super::stream::without_password(address), &arguments)
    }

    fn start(name: &str, arguments: &[&std::ffi::OsStr]) -> Result<Self, SourceError> {
        let (decoder, pictures) = Decoder::start(name, arguments, None)?;
        let newest = Arc::new(Newest::default());
        let filled = Arc::clone(&newest);
        let sizes = decoder.sizes();
        std::thread::Builder::new()
            .name("camera".into())
            .spawn(move || filled.fill_from(pictures, |index| size_change(&sizes, index)))
            .map_err(|source| SourceError::Io {
                path: name.into(),
                source,
            })?;
        Ok(Self { newest, decoder })
    }
}

impl FrameSource for CameraSource {
    fn next_into(&mut self, image: &mut ImageBuffer) -> Result<Option<FrameInfo>, SourceError> {
        match self.newest.take(image, PATIENCE) {
            Ok(index) => Ok(Some(self.decoder.frame(index))),
            Err(End::SizeChanged(reason)) => Err(self.decoder.size_changed(reason)),
            Err(End::Failed(reason)) => Err(self.decoder.failure(&reason)),
        }
    }

    fn frame_count(&self) -> Option<u64> {
        None
    }

    fn is_live(&self) -> bool {
        true
    }
}

/// A slot for one picture, between the thread that reads and the one that tracks.
#[derive(Default)]
struct Newest {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    image: ImageBuffer,
    /// Whether `image` was not taken yet.
    is_new: bool,
    /// Pictures read so far.
    count: u64,
    end: Option<End>,
}

/// Why there are no more pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    /// The size of the pictures has changed.
    SizeChanged(String),
    /// The camera gives no more pictures, or they cannot be read.
    Failed(String),
}

impl Newest {
    /// A panic in the other thread cannot leave a field half changed, so a poisoned lock can be used.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads pictures until they end, or until `refusal` gives a reason against the picture of this number.
    fn fill_from(&self, mut pictures: impl BufRead, refusal: impl Fn(u64) -> Option<String>) {
        let mut image = ImageBuffer::empty();
        let mut number = 0;
        loop {
            let read = read_ppm(&mut pictures, &mut image);
            let refused = matches!(read, Ok(true)).then(|| refusal(number)).flatten();
            number += 1;
            let mut state = self.state();
            match read {
                Ok(true) if refused.is_some() => state.end = refused.map(End::SizeChanged),
                Ok(true) => {
                    std::mem::swap(&mut state.image, &mut image);
                    state.is_new = true;
                    state.count += 1;
                }
                Ok(false) => {
                    let reason = format!("it ended after {} frames", state.count);
                    state.end = Some(End::Failed(reason));
                }
                Err(error) => state.end = Some(End::Failed(error.to_string())),
            }
            self.changed.notify_one();
            if state.end.is_some() {
                return;
            }
        }
    }

    /// Waits for a picture that was not taken yet and returns its 0-based number, or the reason why there is none.
    fn take(&self, image: &mut ImageBuffer, patience: Duration) -> Result<u64, End> {
        let (mut state, _) = self
            .changed
            .wait_timeout_while(self.state(), patience, |state| {
                !state.is_new && state.end.is_none()
            })
            .unwrap_or_else(PoisonError::into_inner);
        if state.is_new {
            std::mem::swap(&mut state.image, image);
            state.is_new = false;
            return Ok(state.count - 1);
        }
        Err(state.end.clone().unwrap_or_else(|| {
            End::Failed(format!("no frame for {} seconds", patience.as_secs_f64()))
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};

    use super::*;

    #[test]
    fn recognizes_names_of_cameras() {
        for (path, expected) in [
            ("/dev/video0", Some("/dev/video0")),
            ("/dev/video12", Some("/dev/video12")),
            ("0", Some("/dev/video0")),
            ("12", Some("/dev/video12")),
            ("/dev/video", None),
            ("/dev/video0.mp4", None),
            ("/dev/null", None),
            ("20210625", None),
        ] {
            let expected = expected.map(PathBuf::from);
            assert_eq!(device_of(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn follows_links_to_a_camera_that_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("front");
        std::os::unix::fs::symlink("/dev/null", &link).expect("a link");
        assert_eq!(device_of(&link), None);
        let file = folder.path().join("0");
        std::fs::write(&file, "").expect("a file");
        assert_eq!(device_of(&file), None, "a file of that name is the source");
    }

    #[test]
    fn gives_a_slow_reader_the_newest_frame_and_reports_the_end_as_an_error() {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        let newest = Arc::new(Newest::default());
        let filled = Arc::clone(&newest);
        let thread = std::thread::spawn(move || filled.fill_from(BufReader::new(reader), |_| None));
        let mut image = ImageBuffer::empty();
        let mut send = |grey: u8| {
            writer
                .write_all(&[b"P6\n1 1\n255\n".as_slice(), &[grey; 3]].concat())
                .expect("written");
        };
        send(10);
        assert_eq!(newest.take(&mut image, PATIENCE), Ok(0));
        assert_eq!(image.data, [10; 3]);
        for grey in [20, 30, 40] {
            send(grey);
        }
        while newest.state().count < 4 {
            std::thread::yield_now();
        }
        assert_eq!(newest.take(&mut image, PATIENCE), Ok(3));
        assert_eq!(image.data, [40; 3]);
        let silence = newest.take(&mut image, Duration::from_millis(1));
        assert_eq!(
            silence,
            Err(End::Failed("no frame for 0.001 seconds".into()))
        );
        // A frame that came before the end is still given.
        send(50);
        drop(writer);
        thread.join().expect("no panic");
        assert_eq!(newest.take(&mut image, PATIENCE), Ok(4));
        let end = newest.take(&mut image, PATIENCE);
        assert_eq!(end, Err(End::Failed("it ended after 5 frames".into())));
    }

    #[test]
    fn a_picture_of_another_size_ends_it_as_a_change_of_size() {
        let newest = Newest::default();
        let pictures = b"P6\n1 1\n255\nabcP6\n1 1\n255\nabc".as_slice();
        newest.fill_from(pictures, |index| (index == 1).then(|| "it grew".into()));
        let mut image = ImageBuffer::empty();
        assert_eq!(newest.take(&mut image, PATIENCE), Ok(0));
        let end = newest.take(&mut image, PATIENCE);
        assert_eq!(end, Err(End::SizeChanged("it grew".into())));
    }
}
