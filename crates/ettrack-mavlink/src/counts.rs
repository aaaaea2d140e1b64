//! What came and went.

/// How many of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Whole messages that came, each with the right checksum.
    pub received: u64,
    /// Of them: not for this component, or of no interest to it.
    pub ignored: u64,
    /// Without the right signature, where a key is given.
    pub unsigned: u64,
    /// Commands that were done.
    pub accepted: u64,
    /// Commands that were refused, of any reason.
    pub refused: u64,
    /// Commands that came again and were answered again without being done again.
    pub repeated: u64,
    /// Packets that were dropped because more came than could be read.
    pub flooded: u64,
    /// Messages that were sent, one for each ground station.
    pub sent: u64,
    /// Messages that could not be sent.
    pub unsent: u64,
}

impl std::fmt::Display for Counts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} messages received, {} ignored, {} without the right signature, {} packets dropped; commands: {} accepted, {} \
             refused, {} repeated; {} messages sent, {} not",
            self.received,
            self.ignored,
            self.unsigned,
            self.flooded,
            self.accepted,
            self.refused,
            self.repeated,
            self.sent,
            self.unsent
        )
    }
}
