//! `ettrack track`: tracks one target through a folder, video, camera or bag.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use ettrack::error_chain;
use ettrack::frame::{Frame, ImageBuffer, Levels};
use ettrack::geometry::BoundingBox;
use ettrack::tracker::{Track, TrackError, TrackState, Tracker};
use ettrack_files::{PendingFile, is_same_file};
use ettrack_media::source::{self, FrameInfo, FrameSource, SourceError};
use ettrack_media::video::{VideoError, VideoWriter};

use image::RgbImage;

use crate::console::{self, BadInput};
use crate::interrupt;
use crate::progress;
use crate::roi::parse_roi;
use crate::tracker_args::{Lost, TrackerArgs, tell};

/// Track one target and print its box in every frame.
///
/// SOURCE is a folder of pictures (in the order of the numbers in their names), a video file or a camera such as /dev/video0
/// or 0 (both through ffmpeg), a pipe or - (read once, whole), or a ROS 2 bag (folder or file; sqlite3 or mcap). Ctrl-C ends
/// the run and keeps what was tracked.
///
/// A frame that cannot be read is reported and counted, and the target counts as lost in it. Frames that change
/// their size end the run with an error.
#[derive(Debug, Args)]
pub struct TrackArgs {
    /// Folder of pictures, video, camera (/dev/videoN, a link to it, or N), pipe, or bag.
    source: String,
    /// The target in the first frame: upper-left corner and size in pixels.
    #[arg(long, value_name = "X,Y,W,H", value_parser = parse_roi, allow_hyphen_values = true)]
    roi: BoundingBox,
    /// Model folder, or the name of the built-in model.
    #[arg(long, value_name = "DIR", default_value = ettrack_models::DEFAULT.name)]
    model: PathBuf,
    /// File for the boxes; standard output if not given.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Layout of the boxes.
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    /// Write the frames with the box drawn, as .gif or as a video that ffmpeg writes (.mp4, .mkv, .webm, .avi).
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Frames per second of the saved video; the source's rate if it is known, else 30.
    #[arg(long, value_name = "N", value_parser = parse_rate, requires = "save")]
    rate: Option<f64>,
    /// Topic of images, for a bag with several.
    #[arg(long, value_name = "TOPIC")]
    image_topic: Option<String>,
    /// Bits that images of 16 bits use, for example in bags of thermal cameras; 0: the levels of black and white adapt slowly to
    /// the images.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = parse_bits)]
    mono16_bits: i64,
    /// Skip this many frames at the beginning.
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: u64,
    /// Stop after this many frames.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    frames: Option<u64>,
    /// Whether the lost state is used.
    #[arg(long, value_enum, default_value_t = Lost::Model)]
    lost: Lost,
    #[command(flatten)]
    tracker: TrackerArgs,
}

/// Layouts of boxes, one line per frame, the first included, 4 decimals, 0-based pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// frame,x,y,w,h,confidence,state with a heading.
    Csv,
    /// x,y,w,h
    Pysot,
    /// x, y, w, h with tabs between them.
    Pytracking,
    /// x,y,w,h
    Got10k,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1000.0 => Ok(rate),
        _ => Err(format!(
            "{text:?} is no rate; expected pictures a second, more than 0 and at most 1000"
        )),
    }
}

fn parse_bits(text: &str) -> Result<i64, String> {
    match text.parse() {
        Ok(bits @ (0 | 8..=16)) => Ok(bits),
        _ => Err("expected 0, or 8 to 16".into()),
    }
}

impl Format {
    fn heading(self, out: &mut impl Write) -> std::io::Result<()> {
        match self {
            Self::Csv => writeln!(out, "frame,x,y,w,h,confidence,state"),
            Self::Pysot | Self::Pytracking | Self::Got10k => Ok(()),
        }
    }

    /// Layouts of evaluation toolkits have the boxes that the tracker's authors write; the csv layout has them unchanged.
    fn track_to_write(self, tracker: &Tracker, track: &Track) -> Track {
        let mut written = *track;
        match self {
            Self::Csv => {}
            Self::Pysot | Self::Pytracking | Self::Got10k => {
                written.bounding_box = tracker.as_authors_write(track.bounding_box);
            }
        }
        written
    }

    fn row(self, out: &mut impl Write, frame: u64, track: &Track) -> std::io::Result<()> {
        let BoundingBox {
            x,
            y,
            width,
            height,
        } = track.bounding_box;
        match self {
            Self::Csv => {
                let state = match track.state {
                    TrackState::Tracking => "tracking",
                    TrackState::Lost => "lost",
                };
                let confidence = track.confidence;
                writeln!(
                    out,
                    "{frame},{x:.4},{y:.4},{width:.4},{height:.4},{confidence:.4},{state}"
                )
            }
            Self::Pysot | Self::Got10k => writeln!(out, "{x:.4},{y:.4},{width:.4},{height:.4}"),
            Self::Pytracking => writeln!(out, "{x:.4}\t{y:.4}\t{width:.4}\t{height:.4}"),
        }
    }
}

/// The output of the rows.
enum Rows {
    Stdout(Box<dyn Write>),
    File(BufWriter<File>, PendingFile, PathBuf),
}

impl Rows {
    fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self::Stdout(Box::new(console::stdout())));
        };
        let pending = PendingFile::create(path)?;
        let file = File::create(pending.path())
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self::File(BufWriter::new(file), pending, path.to_owned()))
    }

    /// Writes a row by `write`. Standard output is flushed after each row, for programs that read it during the run.
    fn write(
        &mut self,
        write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Stdout(out) => {
                write(out)?;
                out.flush()?;
            }
            Self::File(file, _, path) => {
                write(file).with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<()> {
        if let Self::File(mut file, pending, path) = self {
            file.flush()
                .with_context(|| format!("cannot write {}", path.display()))?;
            pending.commit()?;
        }
        Ok(())
    }
}

/// The result of a run.
#[derive(Debug, Default)]
struct Summary {
    frames: u64,
    lost: u64,
    unreadable: u64,
    /// Frames of a video that were damaged and came in part or not at all.
    damaged: u64,
    /// Frames of a camera that were dropped because the tracker was busy.
    overtaken: u64,
    updates: u32,
    time: Duration,
}

impl TrackArgs {
    /// Runs the subcommand.
    pub fn run(self) -> anyhow::Result<()> {
        // First, because the checks write files that are removed at the end of the program.
        interrupt::watch()?;
        self.check_outputs()?;
        let mut source = source::open(&self.source, self.image_topic.as_deref())
            .map_err(|error| BadInput::of(&error))?;
        self.check_source(source.files())?;
        let mut tracker = self.open_tracker()?;
        let mut levels = Levels::default();

        let mut image = ImageBuffer::empty();
        for _ in 0..self.skip {
            ensure!(!interrupt::came(), "interrupted before the first frame");
            match source.next_into(&mut image) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) if error.is_about_one_frame() => {
                    tracing::warn!("{}", error_chain(&error));
                }
                Err(error) => return Err(BadInput::of(&error).into()),
            }
        }
        let first = source
            .next_into(&mut image)
            .map_err(|error| BadInput::of(&error))?
            .with_context(|| {
                BadInput(format!(
                    "{}: no frame after leaving out {}",
                    self.source, self.skip
                ))
            })?;
        let frame = image
            .frame()
            .with_context(|| BadInput(first.name.clone()))?;
        let frame = levels.follow(frame, self.mono16_bits);
        tracker.initialize(&frame, self.roi).with_context(|| {
            BadInput(format!("--roi in frame {} ({})", first.index, first.name))
        })?;

        let mut rows = Rows::open(self.output.as_deref())?;
        let mut video = self.open_video(source.as_ref(), &frame)?;
        let mut track = Track::chosen(self.roi);
        if let Some(video) = &mut video {
            video.push(&frame, &track)?;
        }
        // Rows that were written before a failure are kept.
        let mut failure = rows
            .write(|mut out| self.format.heading(&mut out))
            .and_then(|()| rows.write(|mut out| self.format.row(&mut out, first.index, &track)))
            .err();

        let total = source
            .frame_count()
            .map(|count| count.saturating_sub(self.skip));
        let total = [total, self.frames].into_iter().flatten().min();
        let bar = progress::bar(total);
        bar.set_position(1);
        let mut summary = Summary {
            frames: 1,
            ..Summary::default()
        };
        let mut index = first.index;
        while failure.is_none()
            && self.frames.is_none_or(|most| summary.frames < most)
            && !interrupt::came()
        {
            index += 1;
            let outcome = match source.next_into(&mut image) {
                Ok(None) => break,
                Ok(Some(info)) => {
                    summary.overtaken += info.index.saturating_sub(index);
                    index = info.index;
                    let started = Instant::now();
                    let mut seen_as = |frame| levels.follow(frame, self.mono16_bits);
                    follow(&mut tracker, &image, &info, &mut seen_as).and_then(|(frame, seen)| {
                        track = seen;
                        summary.time += started.elapsed();
                        summary.updates += 1;
                        video
                            .as_mut()
                            .map_or(Ok(()), |video| video.push(&frame, &track))
                    })
                }
                Err(error) if error.is_about_one_frame() => {
                    bar.suspend(|| tracing::warn!("{}", error_chain(&error)));
                    (track.state, track.confidence) = (TrackState::Lost, 0.0);
                    summary.unreadable += 1;
                    // The video has one picture per row.
                    let repeated = video.as_mut().map_or(Ok(()), |video| video.repeat(&track));
                    repeated.map_err(Into::into)
                }
                // The source ended: there is no row of this frame.
                Err(error) => {
                    failure = Some(if matches!(error, SourceError::SizeChanged { .. }) {
                        BadInput::of(&error).into()
                    } else {
                        error.into()
                    });
                    break;
                }
            };
            let row = self.format.track_to_write(&tracker, &track);
            failure = outcome
                .and_then(|()| rows.write(|mut out| self.format.row(&mut out, index, &row)))
                .err();
            if failure.is_some() {
                break;
            }
            summary.frames += 1;
            summary.lost += u64::from(track.state == TrackState::Lost);
            bar.set_position(summary.frames);
        }
        bar.finish_and_clear();
        summary.damaged = source.damaged_frames();
        let rows = rows.finish();
        let video = video.map_or(Ok(()), |video| video.writer.finish());
        summary.say();
        failure.map_or(Ok(()), Err)?;
        rows?;
        Ok(video?)
    }

    /// The two output files must differ, and the video must be of a kind that can be written.
    fn check_outputs(&self) -> anyhow::Result<()> {
        if let (Some(rows), Some(video)) = (&self.output, &self.save) {
            ensure!(
                !is_same_file(rows, video),
                BadInput(format!(
                    "--output {} and --save {} are one file: expected two",
                    rows.display(),
                    video.display()
                ))
            );
        }
        match &self.save {
            Some(video) => VideoWriter::check(video).with_context(|| BadInput("--save".into())),
            None => Ok(()),
        }
    }

    /// No output may replace a file of the source (`read`).
    fn check_source(&self, read: &[PathBuf]) -> anyhow::Result<()> {
        for (option, path) in [("--output", &self.output), ("--save", &self.save)] {
            let Some(path) = path else { continue };
            ensure!(
                !read.iter().any(|read| is_same_file(read, path)),
                BadInput(format!(
                    "{option} {} is a file of the source {}: expected another one",
                    path.display(),
                    self.source
                ))
            );
        }
        Ok(())
    }

    fn open_tracker(&self) -> anyhow::Result<Tracker> {
        let folder = ettrack_models::open(&self.model).map_err(|error| BadInput::of(&error))?;
        let options = self.tracker.options(&folder, self.lost)?;
        let tracker =
            Tracker::from_model(folder, &options).map_err(|error| BadInput::of(&error))?;
        tell(&tracker);
        Ok(tracker)
    }

    fn open_video(
        &self,
        source: &dyn FrameSource,
        frame: &Frame<'_>,
    ) -> anyhow::Result<Option<Annotated>> {
        let Some(path) = &self.save else {
            return Ok(None);
        };
        let rate = self.rate.or(source.frame_rate()).unwrap_or(30.0);
        Ok(Some(Annotated {
            writer: VideoWriter::create(path, frame.width(), frame.height(), rate)?,
            last: ettrack_picture::to_rgb_image(frame),
        }))
    }
}

/// Tracks one frame, with its levels of grey, and returns the frame with its track.
fn follow<'a>(
    tracker: &mut Tracker,
    image: &'a ImageBuffer,
    info: &FrameInfo,
    seen_as: &mut dyn FnMut(Frame<'a>) -> Frame<'a>,
) -> anyhow::Result<(Frame<'a>, Track)> {
    let frame = image.frame().with_context(|| BadInput(info.name.clone()))?;
    let frame = seen_as(frame);
    let track = tracker.update(&frame).map_err(|error| {
        let place = format!("frame {} ({})", info.index, info.name);
        match error {
            // The network failed on a good frame, for example for want of memory.
            TrackError::Model(_) => anyhow::Error::new(error).context(place),
            _ => anyhow::Error::new(error).context(BadInput(place)),
        }
    })?;
    Ok((frame, track))
}

/// The video that is written.
struct Annotated {
    writer: VideoWriter,
    /// The last frame that could be read, without drawing.
    last: RgbImage,
}

impl Annotated {
    /// Adds a frame with its track.
    fn push(&mut self, frame: &Frame<'_>, track: &Track) -> anyhow::Result<()> {
        self.last = ettrack_picture::to_rgb_image(frame);
        Ok(self.repeat(track)?)
    }

    /// Adds the last frame again, in place of one that cannot be read.
    fn repeat(&mut self, track: &Track) -> Result<(), VideoError> {
        let mut picture = self.last.clone();
        ettrack_picture::draw_track(&mut picture, track);
        self.writer.push(&picture)
    }
}

impl Summary {
    fn say(&self) {
        let Self {
            frames,
            lost,
            unreadable,
            damaged,
            overtaken,
            updates,
            time,
        } = self;
        let mut line = format!("{frames} frames, lost in {lost}");
        if *unreadable > 0 {
            line.push_str(&format!(" ({unreadable} of them could not be read)"));
        }
        if *damaged > 0 {
            line.push_str(&format!(", {damaged} damaged in the video"));
        }
        if *overtaken > 0 {
            line.push_str(&format!(", {overtaken} more overtaken"));
        }
        if *updates > 0 {
            let each = time.as_secs_f64() / f64::from(*updates);
            line.push_str(&format!(
                "; {:.2} ms per frame ({:.1} frames per second)",
                each * 1e3,
                1.0 / each
            ));
        }
        eprintln!("{line}");
    }
}
