//! Intervals at which receivers get messages.

use std::time::Duration;

use crate::numbers;
use crate::wire::Address;

/// Shortest interval between two messages. Shorter requests are raised to it.
pub(crate) const SHORTEST: Duration = Duration::from_millis(10);

/// Largest number of intervals that are kept.
const MOST: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Entry {
    who: Address,
    message: u32,
    interval: Duration,
    due: Duration,
}

impl Entry {
    /// Returns how much a status may be early or late to be sent together with a frame. So each status describes a new frame if
    /// frames and statuses have about the same rate.
    fn slack(&self) -> Duration {
        if self.message == numbers::CAMERA_TRACKING_IMAGE_STATUS {
            self.interval / 4
        } else {
            Duration::ZERO
        }
    }

    fn advance(&mut self, now: Duration) {
        self.due += self.interval;
        if self.due < now {
            self.due = now + self.interval;
        }
    }
}

/// The intervals that receivers have asked for.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    entries: Vec<Entry>,
}

impl Rates {
    /// Sets the interval at which `who` gets `message`. `None` stops it. If there are too many intervals, removes the oldest one.
    pub fn set(&mut self, who: Address, message: u32, interval: Option<Duration>, now: Duration) {
        self.entries
            .retain(|entry| entry.who != who || entry.message != message);
        let Some(interval) = interval else {
            return;
        };
        if self.entries.len() == MOST {
            self.entries.remove(0);
        }
        self.entries.push(Entry {
            who,
            message,
            interval: interval.max(SHORTEST),
            due: now,
        });
    }

    /// Returns the interval at which `who` gets `message`.
    pub fn of(&self, who: Address, message: u32) -> Option<Duration> {
        self.entries
            .iter()
            .find(|entry| entry.who == who && entry.message == message)
            .map(|entry| entry.interval)
    }

    /// Calls `each` for every message that is due. If a frame has come, looks only at tracking statuses; if that frame is urgent,
    /// all of them are due.
    pub fn take(
        &mut self,
        now: Duration,
        frame_came: bool,
        is_urgent: bool,
        mut each: impl FnMut(Address, u32),
    ) {
        for entry in &mut self.entries {
            let is_status = entry.message == numbers::CAMERA_TRACKING_IMAGE_STATUS;
            let is_due = if frame_came {
                is_status && (is_urgent || now + entry.slack() >= entry.due)
            } else {
                now >= entry.due + entry.slack()
            };
            if is_due {
                if is_urgent {
                    entry.due = now;
                }
                entry.advance(now);
                each(entry.who, entry.message);
            }
        }
    }

    /// Returns the time at which the next message is due.
    pub fn next(&self) -> Option<Duration> {
        self.entries
            .iter()
            .map(|entry| entry.due + entry.slack())
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: Address = Address {
        system: 255,
        component: 190,
    };
    const STATUS: u32 = numbers::CAMERA_TRACKING_IMAGE_STATUS;

    /// Returns how many statuses are sent in ten seconds on a frame and by the clock. Both rates are per second.
    fn statuses(frames: u64, asked: u64) -> (usize, usize) {
        let mut rates = Rates::default();
        let micros = Duration::from_micros;
        rates.set(WHO, STATUS, Some(micros(1_000_000 / asked)), Duration::ZERO);
        let (mut of_frames, mut of_clock) = (0, 0);
        let mut next_frame = Duration::ZERO;
        let mut number = 0_u64;
        for now in (0..10_000).map(Duration::from_millis) {
            if now >= next_frame {
                number += 1;
                // The times of frames vary by some milliseconds.
                next_frame = micros(number * 1_000_000 / frames + number * 7919 % 5000);
                rates.take(now, true, false, |_, _| of_frames += 1);
            }
            rates.take(now, false, false, |_, _| of_clock += 1);
        }
        (of_frames, of_clock)
    }

    #[test]
    fn sends_a_status_with_each_frame_if_the_rates_are_equal() {
        let (of_frames, of_clock) = statuses(30, 30);
        assert!(of_frames >= 290 && of_clock <= 5, "{of_frames} {of_clock}");
        let (of_frames, of_clock) = statuses(30, 5);
        assert!(
            (48..=51).contains(&(of_frames + of_clock)),
            "{of_frames} {of_clock}"
        );
        let (of_frames, of_clock) = statuses(10, 30);
        assert!(
            (290..=301).contains(&(of_frames + of_clock)),
            "{of_frames} {of_clock}"
        );
    }

    #[test]
    fn limits_the_number_and_the_length_of_intervals() {
        let mut rates = Rates::default();
        for system in 0..=255 {
            let who = Address {
                system,
                component: 1,
            };
            rates.set(who, STATUS, Some(Duration::ZERO), Duration::ZERO);
        }
        assert_eq!(rates.entries.len(), MOST);
        let newest = Address {
            system: 255,
            component: 1,
        };
        assert_eq!(rates.of(newest, STATUS), Some(SHORTEST));
        rates.set(newest, STATUS, None, Duration::ZERO);
        assert_eq!(rates.of(newest, STATUS), None);
    }
}
