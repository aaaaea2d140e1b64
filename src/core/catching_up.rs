//! From the image that a target was chosen in to the newest one.

use super::{Clock, NodeCore, Output, Seen};
use crate::history::Found;

impl NodeCore {
    /// Whether [`NodeCore::catch_up`] has something to do.
    pub fn is_behind(&self) -> bool {
        self.behind.is_some() || self.ahead.is_some()
    }

    /// Follows a target that was chosen in a kept image one step towards the newest image, and answers that one when it is
    /// reached. To be called while [`NodeCore::is_behind`], with what came meanwhile handed over between two steps, so that
    /// nobody waits for all of it.
    ///
    /// A step goes from one kept image to the next. Where images come faster than that, it leaves out twice as many as came
    /// during the step before: so it gets nearer with each, by steps as short as that allows.
    pub fn catch_up(&mut self, clock: &dyn Clock, out: &mut Vec<Output>) {
        let arrived = self.arrived.replace(0).unwrap_or(0);
        let stride = usize::try_from(2 * arrived + 1).unwrap_or(usize::MAX);
        if let Some(position) = self.next_kept(stride) {
            let followed = self.with_kept(position, |core, header, frame| {
                core.follow(header.stamp, frame, clock, out);
            });
            match (followed, &mut self.target) {
                (Ok(((), seen)), _) => self.behind = Some(seen),
                // One that is bad is passed over.
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
            // The images that were answered before the target was chosen may be newer than the one it was given up in.
            let stamp = |seen: &Seen| seen.0.stamp;
            if self.newest.as_ref().map(stamp) <= Some(stamp(&seen)) {
                self.newest = Some(seen);
            }
            self.publish_newest(out);
        }
    }

    /// The kept image `stride` after the one that the target was followed to, or the newest one; `None` where it was followed
    /// to that.
    fn next_kept(&self, stride: usize) -> Option<usize> {
        let (Some(target), Some(_)) = (&self.target, &self.behind) else {
            return None;
        };
        let newest = self.history.newest()?;
        match self.history.find(target.stamp) {
            Found::At(position) => {
                (position < newest).then(|| position.saturating_add(stride).min(newest))
            }
            // Its image had to make room.
            Found::TooOld => Some((stride - 1).min(newest)),
            // The source has begun anew.
            Found::Ahead | Found::Missing => None,
        }
    }
}
