//! Counts what the node does, and builds its diagnostics messages.

use std::time::Duration;

use hdrhistogram::Histogram;

use ettrack_message::{
    DiagnosticArray, DiagnosticLevel, DiagnosticStatus, Header, Stamp, TargetState,
};

use super::ModelInfo;
use super::parameters::Parameters;

/// Counts since the start, and the times of one period.
#[derive(Debug)]
pub struct Statistics {
    pub received: u64,
    pub processed: u64,
    pub dropped: u64,
    pub bad: u64,
    pub tracking_errors: u64,
    pub last_bad: Option<String>,
    pub last_refused: Option<String>,
    /// Arrival of the last image, whether usable or not, or the end of the work on it, nanoseconds.
    pub last_image: Option<i64>,
    /// From the stamp of the last frame to its result, nanoseconds.
    pub last_age: Option<i64>,
    period: Period,
}

#[derive(Debug)]
struct Period {
    since: i64,
    processed: u64,
    bad: u64,
    /// Bad images among these messages.
    bad_images: u64,
    /// Microseconds from the start of work on a frame to its result.
    latency: Histogram<u32>,
}

/// Seconds without an image after which a report says so. If the warning is switched off, the default applies.
fn patience(no_image_timeout: f64) -> f64 {
    if no_image_timeout > 0.0 {
        no_image_timeout
    } else {
        Parameters::default().no_image_timeout
    }
}

/// The longest latency that is measured, microseconds: one minute. Longer ones count as this.
const LONGEST: u64 = 60_000_000;

impl Period {
    fn new(since: i64) -> Option<Self> {
        // Three significant digits up to a minute take 100 KiB.
        let latency = Histogram::new_with_max(LONGEST, 3).ok()?;
        Some(Self {
            since,
            processed: 0,
            bad: 0,
            bad_images: 0,
            latency,
        })
    }
}

/// The node's state, in addition to the counts.
pub struct Situation<'a> {
    pub node_name: &'a str,
    pub enabled: bool,
    pub state: TargetState,
    pub target_id: &'a str,
    pub confidence: f32,
    pub frame_id: &'a str,
    pub image: Option<(u32, u32)>,
    /// Whether there are bearings.
    pub bearing: &'a str,
    /// Whether a target waits for its image, and the stamp of that image if it is not the next one.
    pub waiting: Option<Option<Stamp>>,
    pub model: &'a ModelInfo,
    pub search_scale: f64,
    /// Seconds without an image before a warning; 0 for no warning.
    pub no_image_timeout: f64,
}

impl Statistics {
    /// Empty statistics that start at `now`.
    pub fn new(now: i64) -> Option<Self> {
        Some(Self {
            received: 0,
            processed: 0,
            dropped: 0,
            bad: 0,
            tracking_errors: 0,
            last_bad: None,
            last_refused: None,
            last_image: None,
            last_age: None,
            period: Period::new(now)?,
        })
    }

    /// Counts a frame that was answered, and how long that took if it was measured.
    pub fn processed(&mut self, latency: Option<Duration>) {
        self.processed += 1;
        self.period.processed += 1;
        if let Some(latency) = latency {
            let microseconds = u64::try_from(latency.as_micros()).unwrap_or(LONGEST);
            self.period.latency.saturating_record(microseconds.max(1));
        }
    }

    /// Counts a message that could not be used.
    pub fn bad(&mut self, reason: String) {
        self.bad += 1;
        self.period.bad += 1;
        self.last_bad = Some(reason);
    }

    /// Counts an image that could not be used.
    pub fn bad_image(&mut self, reason: String) {
        self.bad_images(1, reason);
    }

    /// Counts images that could not be used, with the reason for the last one.
    pub fn bad_images(&mut self, images: u64, reason: String) {
        self.period.bad_images += images;
        self.bad += images;
        self.period.bad += images;
        self.last_bad = Some(reason);
    }

    /// Seconds since the last image, or since `started` if no image has come.
    pub fn silence(&self, now: i64, started: i64) -> f64 {
        now.saturating_sub(self.last_image.unwrap_or(started)) as f64 * 1e-9
    }

    /// Nanoseconds since the last report.
    pub fn period_length(&self, now: i64) -> i64 {
        now.saturating_sub(self.period.since)
    }

    /// The report of the period that ends at `now`, stamped `stamp` (of the images' clock); the next period starts.
    pub fn report(&mut self, now: i64, stamp: i64, situation: &Situation<'_>) -> DiagnosticArray {
        let seconds = self.period_length(now) as f64 * 1e-9;
        let silence = self.last_image.map(|last| self.silence(now, last));
        let (level, message) = self.judge(situation, silence);
        let mut values = Vec::new();
        let mut add = |key: &str, value: String| values.push((key.to_owned(), value));
        add("state", situation.state.name().to_owned());
        add("enabled", situation.enabled.to_string());
        add("target id", situation.target_id.to_owned());
        add("confidence", format!("{:.3}", situation.confidence));
        if let Some(stamp) = situation.waiting {
            let image = stamp.map_or("the next image".to_owned(), |stamp| {
                format!("the image of {:.3}", stamp.as_nanoseconds() as f64 * 1e-9)
            });
            add("target waits for", image);
        }
        if let Some((width, height)) = situation.image {
            add("image size", format!("{width}x{height}"));
        }
        add("bearing", situation.bearing.to_owned());
        add("frames received", self.received.to_string());
        add("frames processed", self.processed.to_string());
        add("frames dropped", self.dropped.to_string());
        add("bad messages", self.bad.to_string());
        add("tracking errors", self.tracking_errors.to_string());
        if seconds > 0.0 {
            add(
                "rate (Hz)",
                format!("{:.2}", self.period.processed as f64 / seconds),
            );
        }
        // Without a running clock (in a replay) nothing was measured, so no times are reported.
        if !self.period.latency.is_empty() {
            let milliseconds = |microseconds: u64| format!("{:.2}", microseconds as f64 * 1e-3);
            add(
                "latency p50 (ms)",
                milliseconds(self.period.latency.value_at_quantile(0.5)),
            );
            add(
                "latency p95 (ms)",
                milliseconds(self.period.latency.value_at_quantile(0.95)),
            );
            add("latency max (ms)", milliseconds(self.period.latency.max()));
            if let Some(age) = self.last_age {
                add(
                    "age of the last frame (ms)",
                    format!("{:.2}", age as f64 * 1e-6),
                );
            }
        }
        if self.period.bad == 0 && self.period.processed > 0 {
            // The period had no bad message, so the old reason is cleared.
            self.last_bad = None;
        }
        add("model", situation.model.name.clone());
        add("onnxruntime", situation.model.runtime.clone());
        add("execution", situation.model.execution.clone());
        add("search scale", situation.search_scale.to_string());
        add(
            "last bad message",
            self.last_bad.clone().unwrap_or_default(),
        );
        add(
            "last refused request",
            self.last_refused.clone().unwrap_or_default(),
        );
        self.period.since = now;
        (
            self.period.processed,
            self.period.bad,
            self.period.bad_images,
        ) = (0, 0, 0);
        self.period.latency.reset();
        let status = DiagnosticStatus {
            level,
            name: format!("{}: tracker", situation.node_name),
            message,
            hardware_id: situation.frame_id.to_owned(),
            values,
        };
        let header = Header {
            stamp: Stamp::from_nanoseconds(stamp),
            frame_id: String::new(),
        };
        DiagnosticArray {
            header,
            status: vec![status],
        }
    }

    /// The level and the summary line. `silence` is the time since the last image in seconds, if one came.
    fn judge(&self, situation: &Situation<'_>, silence: Option<f64>) -> (DiagnosticLevel, String) {
        use DiagnosticLevel::{Error, Ok, Warn};
        // A period may be shorter than the time between two images of a slow camera.
        let is_silent =
            silence.is_none_or(|silence| silence >= patience(situation.no_image_timeout));
        if !situation.enabled {
            (Ok, "disabled".into())
        } else if self.period.bad_images > 0 && self.period.processed == 0 {
            (
                Error,
                format!("no usable image, {} bad ones", self.period.bad_images),
            )
        } else if self.period.processed == 0 && is_silent {
            (Warn, "no images".into())
        } else if self.period.bad > 0 {
            (Warn, format!("{} bad messages", self.period.bad))
        } else {
            match situation.state {
                TargetState::Idle => (Ok, "idle: waiting for a target".into()),
                TargetState::Tracking => (Ok, "tracking".into()),
                TargetState::Lost => (Warn, "target lost".into()),
            }
        }
    }
}
