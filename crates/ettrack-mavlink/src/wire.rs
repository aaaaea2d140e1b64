//! Bytes to messages and back.

use std::collections::VecDeque;
use std::io::Read;

use mavlink::dialects::common::{COMMAND_ACK_DATA, MavMessage, MavResult};
use mavlink::error::ParserError;
use mavlink::{
    MAVLinkMessageRaw, MAVLinkV2MessageRaw, MavHeader, MavlinkReader, MavlinkVersion, MessageData,
    SigningConfig, SigningData,
};

use crate::command::Command;
use crate::counts::Counts;
use crate::numbers;

/// Flag of a signed message.
const SIGNED: u8 = 1;

/// A component of a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// The vehicle's or ground station's number.
    pub system: u8,
    /// The component's number within it.
    pub component: u8,
}

/// A message, as far as a camera needs to know it.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// COMMAND_LONG or COMMAND_INT.
    Command(Command),
    /// GIMBAL_MANAGER_STATUS.
    GimbalManager {
        /// The gimbal.
        device: u8,
        /// Who has primary control of it; zeros: nobody.
        control: Address,
    },
    /// Any other.
    Other(u32),
}

/// A message and who sent it.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// Who sent it.
    pub from: Address,
    /// The sender's number of it, modulo 256.
    pub sequence: u8,
    /// What it says.
    pub message: Incoming,
}

/// A message to be sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Outgoing {
    /// Any but an acknowledgement.
    Message(Box<MavMessage>),
    /// An acknowledgement.
    Ack(Ack),
}

/// COMMAND_ACK for any number of a command, also one that the dialect does not know.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ack {
    /// The command.
    pub command: u16,
    /// What became of it.
    pub result: MavResult,
    /// Who asked.
    pub to: Address,
}

impl MessageData for Ack {
    type Message = MavMessage;
    const ID: u32 = COMMAND_ACK_DATA::ID;
    const NAME: &'static str = COMMAND_ACK_DATA::NAME;
    const EXTRA_CRC: u8 = COMMAND_ACK_DATA::EXTRA_CRC;
    const ENCODED_LEN: usize = COMMAND_ACK_DATA::ENCODED_LEN;

    fn ser(&self, _version: MavlinkVersion, payload: &mut [u8]) -> usize {
        let [low, high] = self.command.to_le_bytes();
        // Command, result, progress, a second result that cameras do not use, who asked.
        let bytes = [
            low,
            high,
            self.result as u8,
            0,
            0,
            0,
            0,
            0,
            self.to.system,
            self.to.component,
        ];
        payload[..bytes.len()].copy_from_slice(&bytes);
        mavlink::utils::remove_trailing_zeroes(&bytes)
    }

    fn deser(version: MavlinkVersion, payload: &[u8]) -> Result<Self, ParserError> {
        let known = COMMAND_ACK_DATA::deser(version, payload)?;
        Ok(Self {
            command: known.command as u16,
            result: known.result,
            to: Address {
                system: known.target_system,
                component: known.target_component,
            },
        })
    }
}

/// A key that signs what is sent, and that all that comes must be signed with.
pub struct Key(SigningData);

impl Key {
    /// A key of 32 bytes for the link with this number.
    pub fn new(key: [u8; 32], link: u8) -> Self {
        Self(SigningData::from_config(SigningConfig::new(
            key, link, true, false,
        )))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Key")
    }
}

/// Writes messages, with the numbers of one receiver's stream.
#[derive(Debug, Default)]
pub struct Encoder {
    sequence: u8,
}

impl Encoder {
    /// The bytes of a message, and their number.
    pub fn encode(
        &mut self,
        message: &Outgoing,
        from: Address,
        key: Option<&Key>,
    ) -> MAVLinkV2MessageRaw {
        let header = MavHeader {
            system_id: u32::from(from.system),
            component_id: from.component,
            sequence: self.sequence,
        };
        self.sequence = self.sequence.wrapping_add(1);
        let mut raw = MAVLinkV2MessageRaw::new();
        if key.is_some() {
            *raw.incompatibility_flags_mut() |= SIGNED;
        }
        match message {
            Outgoing::Message(message) => raw.serialize_message(header, &**message),
            Outgoing::Ack(ack) => raw.serialize_message_data(header, ack),
        }
        if let Some(Key(signing)) = key {
            signing.sign_message(&mut raw);
        }
        raw
    }
}

/// Bytes that came and were not read yet.
#[derive(Default)]
struct Queue(VecDeque<u8>);

impl Read for Queue {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

/// Finds messages in a stream of bytes, wherever it is cut.
pub struct StreamReader(MavlinkReader<Queue>);

impl Default for StreamReader {
    fn default() -> Self {
        Self(MavlinkReader::new(Queue::default()))
    }
}

impl StreamReader {
    /// Takes the next bytes and gives the messages that are complete with them.
    pub fn read(
        &mut self,
        bytes: &[u8],
        key: Option<&Key>,
        counts: &mut Counts,
        each: impl FnMut(Received),
    ) {
        self.0.get_mut().0.extend(bytes);
        drain(&mut self.0, key, counts, each);
    }
}

/// The messages of one packet, which holds whole ones: what is cut at its end is no part of the next one.
pub fn read_packet(
    bytes: &[u8],
    key: Option<&Key>,
    counts: &mut Counts,
    each: impl FnMut(Received),
) {
    drain(
        &mut MavlinkReader::with_capacity(bytes.len(), bytes),
        key,
        counts,
        each,
    );
}

fn drain<R: Read>(
    reader: &mut MavlinkReader<R>,
    key: Option<&Key>,
    counts: &mut Counts,
    mut each: impl FnMut(Received),
) {
    // The end of the bytes is the only error here; the reader keeps a message that is not complete.
    while let Ok(raw) = reader.read_any_raw_message::<MavMessage>() {
        counts.received += 1;
        let is_signed = |Key(signing): &Key| match &raw {
            MAVLinkMessageRaw::V1(_) => false,
            MAVLinkMessageRaw::V2(raw) => signing.verify_signature(raw),
        };
        if !key.is_none_or(is_signed) {
            counts.unsigned += 1;
        } else if let Some(received) = decode(&raw) {
            each(received);
        } else {
            counts.ignored += 1;
        }
    }
}

/// `None` for a sender whose number is no camera's business: systems above 255 are no ground stations or autopilots of today.
fn decode(raw: &MAVLinkMessageRaw) -> Option<Received> {
    let message = match raw.message_id() {
        numbers::COMMAND_LONG => Incoming::Command(Command::from_long(&padded(raw.payload()))),
        numbers::COMMAND_INT => Incoming::Command(Command::from_int(&padded(raw.payload()))),
        numbers::GIMBAL_MANAGER_STATUS => {
            // Time and flags (4 bytes each), gimbal, primary control, secondary control.
            let bytes: [u8; 13] = padded(raw.payload());
            Incoming::GimbalManager {
                device: bytes[8],
                control: Address {
                    system: bytes[9],
                    component: bytes[10],
                },
            }
        }
        other => Incoming::Other(other),
    };
    Some(Received {
        from: Address {
            system: u8::try_from(raw.system_id()).ok()?,
            component: raw.component_id(),
        },
        sequence: raw.sequence(),
        message,
    })
}

/// Zeros at the end of a payload are not sent; bytes that a later version added are cut.
fn padded<const LENGTH: usize>(payload: &[u8]) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    let length = payload.len().min(LENGTH);
    bytes[..length].copy_from_slice(&payload[..length]);
    bytes
}
