//! The tracker as the node sets it.

use crate::tracker::lost::LostSettings;
use crate::tracker::{LostMode, TrackError, Tracker};

use super::{NodeTracker, TrackerSettings};

impl NodeTracker for Tracker {
    fn configure(&mut self, settings: &TrackerSettings) -> Result<(), TrackError> {
        let old = self.lost_settings().clone();
        let lost = settings.over(&self.manifest().lost);
        self.set_lost_mode(&LostMode::Settings(lost))?;
        self.set_search_scale(settings.search_scale)
            .or_else(|error| {
                self.set_lost_mode(&LostMode::Settings(old))?;
                Err(error)
            })
    }
}

impl TrackerSettings {
    /// The model's settings with those put over them that are given here.
    pub fn over(&self, model: &LostSettings) -> LostSettings {
        LostSettings {
            enabled: self.lost_detection,
            lost_below: self.confidence_threshold.unwrap_or(model.lost_below),
            found_above: self.recovery_threshold.unwrap_or(model.found_above),
            lost_after: self.lost_after_frames.unwrap_or(model.lost_after),
            found_after: self.found_after_frames.unwrap_or(model.found_after),
            widen_most: self.widest_search.unwrap_or(model.widen_most),
            ..model.clone()
        }
    }
}
