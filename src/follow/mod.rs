//! An example of a program that uses the tracker's answers. It commands velocities that keep the target ahead and at a constant
//! distance.
//!
//! The most important rule is that the robot does not move without a target. The velocity goes to zero, at the limited
//! acceleration of any other change, if the target is lost or was never chosen, an answer is old or has no bearing, no answers
//! come, or answers come from two cameras. [`Follower`] uses no middleware and only the clock that it is given.

mod law;
mod place;
mod settings;

pub use law::Velocity;
pub use settings::Settings;

use std::time::Duration;

use crate::parameters::{Change, ParameterError, ParameterSet as _, Value};
use ettrack_message::{CameraInfo, PoseStamped, TargetState, TrackedTarget};

/// Why the follower does not follow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Idle {
    /// No answer has come for some time.
    #[error(
        "no message on tracked_target; start the tracker, or remap tracked_target to its topic"
    )]
    Silence,
    /// No target was chosen, or the target is not seen.
    #[error("the target is {0}")]
    NoTarget(&'static str),
    /// The answer's stamp is too old, or in the future.
    #[error(
        "tracked_target is stamped {milliseconds} ms before the clock, expected 0 to {most}; \
         set use_sim_time alike for camera, tracker and follower, or look why the tracker is slow"
    )]
    Stale {
        /// Age of the stamp, milliseconds. Negative if the stamp is in the future.
        milliseconds: i64,
        /// Largest accepted age, milliseconds.
        most: i64,
    },
    /// The answer has no bearing, for example because the camera is not calibrated.
    #[error(
        "tracked_target has no bearing; give the tracker a camera_info that fits its images (`bearing` in its diagnostics \
         says what is wrong)"
    )]
    NoBearing,
    /// Two trackers publish on one topic.
    #[error(
        "tracked_target comes from two cameras, {0:?} and {1:?}; give each tracker a namespace and remap tracked_target to one"
    )]
    TwoCameras(String, String),
}

/// Result of the newest answer.
#[derive(Debug, Clone)]
struct Seen {
    /// Time of arrival on the steady clock.
    at: Duration,
    /// The velocity for this target, or the reason why the follower does not follow.
    wanted: Result<Velocity, Idle>,
}

/// Follows one target.
#[derive(Debug)]
pub struct Follower {
    settings: Settings,
    seen: Option<Seen>,
    /// The camera of the answers, and the time of its last answer.
    camera: Option<(String, Duration)>,
    /// Time of the last answer of another camera, and the reason to report.
    mixed: Option<(Duration, Idle)>,
    velocity: Velocity,
    ticked: Option<Duration>,
    calibration: Option<CameraInfo>,
}

impl Follower {
    /// Creates a follower with a velocity of zero.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            seen: None,
            camera: None,
            mixed: None,
            velocity: Velocity::default(),
            ticked: None,
            calibration: None,
        }
    }

    /// Returns the present settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes several settings, or none of them.
    ///
    /// # Errors
    /// Returns the [`ParameterError`] of the first refused setting. A change of a setting that is read only at the start is
    /// refused, too.
    pub fn set(&mut self, changes: &[(&str, Value)]) -> Result<(), ParameterError> {
        let mut changed = self.settings.clone();
        for (name, value) in changes {
            let before = changed.get(name);
            if changed.set(name, value)? == Change::Start && changed.get(name) != before {
                let known = Settings::descriptors();
                let known = known.iter().find(|known| known.name == *name);
                return Err(ParameterError::StartOnly {
                    name: known.map_or("parameter", |known| known.name),
                });
            }
        }
        self.settings = changed;
        Ok(())
    }

    /// Takes the camera's calibration, which [`Follower::place`] needs.
    pub fn on_camera_info(&mut self, camera: CameraInfo) {
        self.calibration = Some(camera);
    }

    /// Returns the position of the target, computed from its bearing, its size in the image and its size in the world. Returns
    /// `None` if one of these or the calibration is missing, or if the target is not tracked.
    pub fn place(&self, target: &TrackedTarget) -> Option<PoseStamped> {
        place::place(
            target,
            self.calibration.as_ref()?,
            self.settings.target_meters,
            self.settings.image_rectified,
        )
    }

    fn silence(&self) -> Duration {
        Duration::from_secs_f64(self.settings.silence)
    }

    /// Takes an answer of the tracker. `steady` is its time of arrival on a clock that only runs forward. `now` is the time of
    /// the clock that stamps the images, nanoseconds.
    pub fn on_target(&mut self, target: &TrackedTarget, now: i64, steady: Duration) {
        let wanted = self.judge(target, now, steady);
        self.seen = Some(Seen { at: steady, wanted });
    }

    /// Follows one camera at a time. While the answers of two cameras are mixed, it follows neither.
    fn know_the_camera(&mut self, frame: &str, steady: Duration) -> Result<(), Idle> {
        let silence = self.silence();
        let is_recent = |at: Duration| steady.saturating_sub(at) < silence;
        match &self.camera {
            Some((camera, last)) if camera != frame && is_recent(*last) => {
                self.mixed = Some((steady, Idle::TwoCameras(camera.clone(), frame.to_owned())));
            }
            _ => self.camera = Some((frame.to_owned(), steady)),
        }
        match &self.mixed {
            Some((at, idle)) if is_recent(*at) => Err(idle.clone()),
            _ => Ok(()),
        }
    }

    fn judge(
        &mut self,
        target: &TrackedTarget,
        now: i64,
        steady: Duration,
    ) -> Result<Velocity, Idle> {
        self.know_the_camera(&target.header.frame_id, steady)?;
        let age = now.saturating_sub(target.header.stamp.as_nanoseconds());
        let most = i64::try_from(self.silence().as_nanos()).unwrap_or(i64::MAX);
        // A stamp may be slightly in the future, because the clocks of two computers differ a little.
        if !(-most / 5..=most).contains(&age) {
            return Err(Idle::Stale {
                milliseconds: age / 1_000_000,
                most: most / 1_000_000,
            });
        }
        if target.state != TargetState::Tracking {
            return Err(Idle::NoTarget(target.state.name()));
        }
        let bearing = target.bearing.ok_or(Idle::NoBearing)?;
        Ok(law::wanted(&self.settings, target, bearing))
    }

    /// Returns the velocity to command now, and the reason if the follower does not follow. Call it at a constant rate.
    pub fn tick(&mut self, steady: Duration) -> (Velocity, Option<Idle>) {
        let passed = self
            .ticked
            .replace(steady)
            .map_or(Duration::ZERO, |last| steady.saturating_sub(last));
        let seen = self
            .seen
            .as_ref()
            .filter(|seen| steady.saturating_sub(seen.at) <= self.silence());
        let wanted = seen.map_or(Err(Idle::Silence), |seen| seen.wanted.clone());
        let (aim, idle) = match wanted {
            Ok(velocity) => (velocity, None),
            Err(idle) => (Velocity::default(), Some(idle)),
        };
        // After a long stop of the process the step is limited, so that the velocity does not jump.
        let passed = passed.min(self.silence()).as_secs_f64();
        self.velocity = self.velocity.towards(&aim, &self.settings, passed);
        (self.velocity, idle)
    }
}

#[cfg(test)]
mod tests;
