//! Detects images that the middleware lost, from their stamps. A camera's images are evenly spaced in time. If many are missing
//! between those that arrive, the middleware has lost them.

/// Number of images for one decision, and the nanoseconds that they must span.
const IMAGES: usize = 31;
const SPAN: i64 = 3_000_000_000;
/// Longest time between two images of a stream, nanoseconds. Longer is a pause.
const PAUSE: i64 = 2_000_000_000;
/// Part of the images that must arrive. It is low, because stamps jitter and cameras change their rate.
const ENOUGH: f64 = 0.6;
/// Nanoseconds between two warnings.
const QUIET: i64 = 60_000_000_000;

/// How many of the sent images arrived in some time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// Images that arrived.
    pub came: u64,
    /// Images that were sent, estimated from the spacing of the stamps.
    pub sent: u64,
}

/// Watches the stamps of the images that are tracked.
#[derive(Debug, Default)]
pub struct Flow {
    /// Nanoseconds between consecutive images of the current time span. The memory is reused.
    spacings: Vec<i64>,
    /// Stamp of the first image of the span, and the number of images that had arrived until then.
    first: Option<(i64, u64)>,
    newest: i64,
    warned: Option<i64>,
}

impl Flow {
    /// Takes the stamp of a tracked image, nanoseconds, and the number of images received so far. Returns the loss, at most once
    /// a minute of the clock `now`.
    pub fn saw(&mut self, stamp: i64, received: u64, now: i64) -> Option<Loss> {
        let spacing = stamp.saturating_sub(self.newest);
        self.newest = stamp;
        let Some((start, before)) = self.first else {
            self.restart(stamp, received);
            return None;
        };
        if !(1..=PAUSE).contains(&spacing) {
            self.restart(stamp, received);
            return None;
        }
        self.spacings.push(spacing);
        let span = stamp.saturating_sub(start);
        if self.spacings.len() < IMAGES || span < SPAN {
            return None;
        }
        let quarter = self.spacings.len() / 4;
        let usual = *self.spacings.select_nth_unstable(quarter).1;
        let loss = Loss {
            came: received.saturating_sub(before),
            sent: u64::try_from(span / usual).unwrap_or(0),
        };
        self.restart(stamp, received);
        let is_quiet = self
            .warned
            .is_some_and(|warned| (0..QUIET).contains(&now.saturating_sub(warned)));
        if is_quiet || loss.came as f64 >= ENOUGH * loss.sent as f64 {
            return None;
        }
        self.warned = Some(now);
        Some(loss)
    }

    fn restart(&mut self, stamp: i64, received: u64) {
        self.first = Some((stamp, received));
        self.spacings.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    /// Losses that are reported in ten seconds of a 30 Hz camera. `comes` tells which of its images arrive.
    fn watch(comes: impl Fn(i64) -> bool, stamp: impl Fn(i64) -> i64) -> Vec<Loss> {
        let mut flow = Flow::default();
        let mut received = 0;
        (0..300)
            .filter(|picture| comes(*picture))
            .filter_map(|picture| {
                received += 1;
                flow.saw(SECOND + stamp(picture), received, stamp(picture))
            })
            .collect()
    }

    #[test]
    fn reports_once_that_half_of_the_images_are_missing() {
        // Two images arrive, the next two are lost.
        let losses = watch(|picture| picture % 4 < 2, |picture| picture * SECOND / 30);
        assert_eq!(losses.len(), 1, "{losses:?}");
        let part = losses[0].came as f64 / losses[0].sent as f64;
        assert!((0.4..0.6).contains(&part), "{losses:?}");
    }

    #[test]
    fn reports_nothing_for_jittering_stamps_and_few_losses() {
        let trembling = |picture: i64| picture * SECOND / 30 + picture * 7919 % 17 * 1_000_000;
        assert_eq!(watch(|_| true, trembling), []);
        assert_eq!(
            watch(|picture| picture % 10 > 0, trembling),
            [],
            "a loss of one tenth is not reported"
        );
    }

    #[test]
    fn does_not_count_pauses_and_stamps_that_go_back_as_losses() {
        let jumps = |picture: i64| picture * SECOND / 30 + picture / 60 * 5 * SECOND;
        assert_eq!(watch(|_| true, jumps), []);
        assert_eq!(watch(|_| true, |picture| picture % 50 * SECOND / 30), []);
    }

    #[test]
    fn does_not_count_received_but_untracked_images_as_lost() {
        let mut flow = Flow::default();
        for picture in 0..300 {
            // Every second image is replaced by a newer one before it is tracked.
            let loss = flow.saw(picture * 2 * SECOND / 30, 2 * picture as u64, picture);
            assert_eq!(loss, None);
        }
    }
}
