//! Limits log lines that could come with every frame to one per second of each kind.

/// Severity of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Normal events.
    Info,
    /// Something that a user should check.
    Warn,
    /// Something does not work.
    Error,
}

/// Nanoseconds between two lines of one kind.
const PERIOD: i64 = 1_000_000_000;

/// Passes one line of each kind per second and counts the others.
#[derive(Debug, Default)]
pub struct Limiter {
    last: Option<i64>,
    held_back: u64,
}

impl Limiter {
    /// Returns the line, with the number of lines suppressed before it, if it may be logged at `now` (nanoseconds).
    ///
    /// A clock that was set back does not suppress lines.
    pub fn pass(&mut self, now: i64, line: impl FnOnce() -> String) -> Option<String> {
        if self
            .last
            .is_some_and(|last| (0..PERIOD).contains(&now.saturating_sub(last)))
        {
            self.held_back += 1;
            return None;
        }
        self.last = Some(now);
        let line = line();
        Some(match std::mem::take(&mut self.held_back) {
            0 => line,
            count => format!("{line} (and {count} more since the last such line)"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_one_line_a_second_and_counts_the_others() {
        let mut limiter = Limiter::default();
        let line = || "bad".to_owned();
        assert_eq!(limiter.pass(0, line).unwrap(), "bad");
        for tenth in 1..10 {
            assert_eq!(limiter.pass(tenth * PERIOD / 10, line), None);
        }
        assert_eq!(
            limiter.pass(PERIOD, line).unwrap(),
            "bad (and 9 more since the last such line)"
        );
        assert_eq!(limiter.pass(-5, line).unwrap(), "bad", "a clock set back");
    }
}
