//! A part of a long evaluation, for one of several machines or processes.

use std::fmt;
use std::str::FromStr;

use crate::dataset::SequenceEntry;

/// Part `number` of `of`, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    number: usize,
    of: usize,
}

/// The text is not a shard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no shard; expected I/N with 1 <= I <= N, such as 2/4")]
pub struct ShardError(String);

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let parse = || {
            let (number, of) = text.split_once('/')?;
            let shard = Self {
                number: number.trim().parse().ok()?,
                of: of.trim().parse().ok()?,
            };
            (1..=shard.of).contains(&shard.number).then_some(shard)
        };
        parse().ok_or_else(|| ShardError(text.to_owned()))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.number, self.of)
    }
}

impl Shard {
    /// Returns the runs of this part, in their order. The same runs give the same parts on every machine. Together the parts
    /// contain each run once. Their numbers of frames are as equal as possible without dividing runs.
    pub fn of(self, runs: Vec<SequenceEntry>) -> Vec<SequenceEntry> {
        // A run that cannot be listed needs no time.
        let frames = |entry: &SequenceEntry| entry.frames.list().map_or(0, |frames| frames.len());
        let sizes: Vec<usize> = runs.iter().map(frames).collect();
        let parts = parts(&sizes, self.of);
        let part = runs.into_iter().zip(parts);
        part.filter(|(_, part)| *part == self.number - 1)
            .map(|(entry, _)| entry)
            .collect()
    }
}

/// Returns the part of each run. Longest runs first, each goes to the part with the fewest frames so far.
fn parts(sizes: &[usize], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|run| (std::cmp::Reverse(sizes[*run]), *run));
    let mut loads = vec![(0_usize, 0_usize); count];
    let mut parts = vec![0; sizes.len()];
    for run in order {
        // Of parts with equal numbers of frames it is the one with the fewest runs, then the first.
        let least = (0..count).min_by_key(|part| loads[*part]).unwrap_or(0);
        loads[least].0 += sizes[run];
        loads[least].1 += 1;
        parts[run] = least;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_parts_and_refuses_other_text() {
        assert_eq!("2/4".parse::<Shard>().unwrap().to_string(), "2/4");
        for text in ["0/4", "5/4", "1", "1/0", "a/b", "-1/2", ""] {
            let error = text.parse::<Shard>().unwrap_err().to_string();
            assert!(error.contains("expected I/N"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn parts_are_balanced_and_hold_each_run_once(sizes in prop::collection::vec(1_usize..900, 0..60), count in 1_usize..9) {
            let parts = parts(&sizes, count);
            prop_assert_eq!(parts.len(), sizes.len());
            let load = |part: usize| (0..sizes.len()).filter(|run| parts[*run] == part).map(|run| sizes[run]).sum::<usize>();
            let loads: Vec<_> = (0..count).map(load).collect();
            prop_assert_eq!(loads.iter().sum::<usize>(), sizes.iter().sum::<usize>());
            let longest = sizes.iter().copied().max().unwrap_or(0);
            prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= longest);
        }
    }
}
