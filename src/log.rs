//! Log lines that may come with every frame, at most one a second of a kind.

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Things that happen as they should.
    Info,
    /// Somebody should look.
    Warn,
    /// Something does not work.
    Error,
}

/// Nanoseconds between two lines of one kind.
const PERIOD: i64 = 1_000_000_000;

/// Lets one line of a kind through per second and counts the others.
#[derive(Debug, Default)]
pub struct Limiter {
    last: Option<i64>,
    held_back: u64,
}

impl Limiter {
    /// The line, with the number of those held back before it, if it may be said at `now` (nanoseconds).
    ///
    /// A clock that was set back does not silence it.
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
    fn one_line_a_second_with_the_number_of_the_others() {
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
