//! Follows a target from the image that it was chosen in to the newest image.

use super::{Clock, NodeCore, Output, Seen};
use crate::history::Found;

impl NodeCore {
    /// Whether the target was not yet followed up to the newest image.
    pub fn is_behind(&self) -> bool {
        self.behind.is_some() || self.ahead.is_some()
    }

    /// Follows a target that was chosen in a kept image by one step towards the newest image. Answers the newest image when it is
    /// reached. Call it while [`NodeCore::is_behind`], and hand over new messages between two steps, so that they do not wait
    /// for the whole way.
    ///
    /// A step goes from one kept image to the next. If images arrived during the step before, it skips twice as many images as
    /// arrived. So each step comes nearer to the newest image, and steps are as short as possible.
    pub fn catch_up(&mut self, clock: &dyn Clock, out: &mut Vec<Output>) {
        self.one_step(clock, out);
        self.note_work_done(clock);
    }

    fn one_step(&mut self, clock: &dyn Clock, out: &mut Vec<Output>) {
        let arrived = self.arrived.replace(0).unwrap_or(0);
        let stride = usize::try_from(2 * arrived + 1).unwrap_or(usize::MAX);
        if let Some(position) = self.next_kept(stride) {
            let followed = self.with_kept(position, |core, header, frame| {
                core.follow(header.stamp, frame, clock, out);
            });
            match (followed, &mut self.target) {
                (Ok(((), seen)), _) => self.behind = Some(seen),
                // A bad image is skipped.
                (Err(_), Some(target)) => {
                    target.stamp = self.history.stamp(position).unwrap_or(target.stamp);
                }
                (Err(_), None) => {}
            }
        }
        if self.next_kept(1).is_some() {
            return;
        }
        let followed = self.behind.take();
        if let Some(message) = self.ahead.take() {
            self.answer(message, clock, out);
        } else if let Some(seen) = followed {
            // An image that was answered before the target was chosen may be newer than the image in which it was given up.
            let stamp = |seen: &Seen| seen.0.stamp;
            if self.newest.as_ref().map(stamp) <= Some(stamp(&seen)) {
                self.newest = Some(seen);
            }
            self.publish_newest(out);
        }
    }

    /// The kept image that is `stride` images after the one up to which the target was followed, at most the newest image. `None` if
    /// the target was followed up to the newest image.
    fn next_kept(&self, stride: usize) -> Option<usize> {
        let (Some(target), Some(_)) = (&self.target, &self.behind) else {
            return None;
        };
        let newest = self.history.newest()?;
        match self.history.find(target.stamp) {
            Found::At(position) => {
                (position < newest).then(|| position.saturating_add(stride).min(newest))
            }
            // Its image was dropped for lack of room.
            Found::TooOld => Some((stride - 1).min(newest)),
            // The source was restarted.
            Found::Ahead | Found::Missing => None,
        }
    }
}
