//! Counters of messages and commands.

/// Numbers of messages, packets and commands since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Received messages with the right checksum.
    pub received: u64,
    /// Received messages that are not for this component or that it does not use.
    pub ignored: u64,
    /// Received messages without the right signature. Counted only if there is a key.
    pub unsigned: u64,
    /// Commands that were accepted and done.
    pub accepted: u64,
    /// Commands that were refused, for any reason.
    pub refused: u64,
    /// Repeated commands. They are not done again; if the first one has its result, they get the same answer.
    pub repeated: u64,
    /// Packets that were dropped because too many waited.
    pub flooded: u64,
    /// Sent messages, counted once for each receiver.
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
