//! The node's state as viewers see it, and targets that they choose in a shown image.

use super::{Clock, NodeCore, Output, Request};
use crate::history::Found;
use ettrack::follower::Inspection;
use ettrack::frame::Frame;
use ettrack::geometry::BoundingBox;
use ettrack::tracker::Track;
use ettrack_message::{Header, Stamp};

/// The place of a target in an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place {
    /// A box, pixels.
    Box(BoundingBox),
    /// A point, pixels. A first box is grown around it.
    Point(f64, f64),
}

/// The newest answer.
#[derive(Debug, Clone, Copy)]
pub struct Glance<'a> {
    /// Grows by one with each answer.
    pub number: u64,
    /// The answered image's header.
    pub header: &'a Header,
    /// Its width and height, pixels.
    pub size: (u32, u32),
    /// Id and track of the target.
    pub target: Option<(&'a str, &'a Track)>,
    /// Grows by one with each target that is chosen.
    pub choice: u64,
    /// Images that came so far.
    pub received: u64,
    /// Images that were dropped because a newer one replaced them.
    pub dropped: u64,
    /// Stamps of the oldest and the newest image that are kept.
    pub kept: Option<(Stamp, Stamp)>,
}

impl NodeCore {
    /// The newest answer; `None` before the first image.
    pub fn glance(&self) -> Option<Glance<'_>> {
        let (header, size) = self.newest.as_ref()?;
        Some(Glance {
            number: self.answers,
            header,
            size: *size,
            target: self
                .target
                .as_ref()
                .map(|target| (target.id.as_str(), &target.last)),
            choice: self.choices,
            received: self.statistics.received,
            dropped: self.statistics.dropped,
            kept: self.history.span(),
        })
    }

    /// Images that came so far.
    pub fn received(&self) -> u64 {
        self.statistics.received
    }

    /// The model in use.
    pub fn model(&self) -> &crate::ModelInfo {
        &self.model
    }

    /// The search region and the maps of the newest frame, while there is a target.
    pub fn inspection(&self) -> Option<Inspection<'_>> {
        self.target.as_ref()?;
        self.tracker.inspection()
    }

    /// Runs `work` on the pixels of the image that was answered last.
    pub fn with_newest<R>(&mut self, work: impl FnOnce(&Frame<'_>) -> R) -> Option<R> {
        let stamp = self.newest.as_ref()?.0.stamp;
        let position = self.kept(stamp)?;
        let done = self.with_kept(position, |_, _, frame| work(frame));
        done.ok().map(|(done, _)| done)
    }

    /// Runs `work` on the image that the target was chosen in and on the target's box there, while that image is kept.
    pub fn with_chosen<R>(&mut self, work: impl FnOnce(&Frame<'_>, BoundingBox) -> R) -> Option<R> {
        let (stamp, bounding_box) = self.chosen?;
        let position = self.kept(stamp)?;
        let done = self.with_kept(position, |_, _, frame| work(frame, bounding_box));
        done.ok().map(|(done, _)| done)
    }

    /// Chooses a target in the image with the stamp that a viewer was shown, or in the newest image. The target is then followed to
    /// the newest image, as for a stamped detection. An empty `id` gives the next number.
    ///
    /// # Errors
    /// The reason of the refusal, as a message for the viewer. The old target is tracked as before.
    pub fn choose_shown(
        &mut self,
        place: Place,
        stamp: Option<Stamp>,
        id: &str,
        clock: &dyn Clock,
        out: &mut Vec<Output>,
    ) -> Result<BoundingBox, String> {
        self.refusal = None;
        match self.find_shown(stamp) {
            Ok(stamp) => {
                let request = Request {
                    place,
                    id: id.to_owned(),
                    stamp: Some(stamp),
                    or_later: false,
                };
                self.choose(request, clock, out);
                match (self.refusal.take(), self.chosen) {
                    (Some(reason), _) => Err(reason),
                    (None, Some((_, bounding_box))) => Ok(bounding_box),
                    (None, None) => Err("target refused: its image is gone".into()),
                }
            }
            Err(reason) => {
                self.refuse(reason.clone(), clock, out);
                Err(reason)
            }
        }
    }

    /// The stamp of the kept image that was shown, or of the newest one.
    fn find_shown(&self, stamp: Option<Stamp>) -> Result<Stamp, String> {
        let newest = self
            .history
            .newest()
            .and_then(|newest| self.history.stamp(newest))
            .ok_or("target refused: no image has come yet")?;
        match stamp.map(|stamp| (stamp, self.history.find(stamp))) {
            None => Ok(newest),
            Some((stamp, Found::At(_))) => Ok(stamp),
            Some((stamp, Found::Ahead)) => Err(format!(
                "target refused: no image with the stamp {} has come yet",
                stamp.as_nanoseconds()
            )),
            Some((stamp, Found::TooOld | Found::Missing)) => Err(self.missing_frame(stamp)),
        }
    }
}
