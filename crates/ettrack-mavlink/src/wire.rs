//! Decodes messages from bytes and encodes them to bytes.

use std::collections::VecDeque;
use std::io::Read;

use mavlink::dialects::common::{COMMAND_ACK_DATA, MavMessage, MavResult};
use mavlink::error::ParserError;
use mavlink::{
    MAVLinkMessageRaw, MAVLinkV2MessageRaw, MavHeader, MavlinkReader, MavlinkVersion, MessageData,
};

use crate::command::Command;
use crate::counts::Counts;
use crate::key::Key;
use crate::numbers;

/// Incompatibility flag of a signed message.
const SIGNED: u8 = 1;

/// Address of a component: its system id and its component id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// System id of the vehicle or ground station.
    pub system: u8,
    /// Component id within the system.
    pub component: u8,
}

/// The content of a received message that a camera needs.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// COMMAND_LONG or COMMAND_INT.
    Command(Command),
    /// GIMBAL_MANAGER_STATUS.
    GimbalManager {
        /// Device id of the gimbal.
        device: u8,
        /// Component with primary control of the gimbal. Zeros: no component has it.
        control: Address,
    },
    /// Any other message, with its id.
    Other(u32),
}

/// A received message with its sender.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// The sender.
    pub from: Address,
    /// The sender's sequence number, modulo 256.
    pub sequence: u8,
    /// The content.
    pub message: Incoming,
}

/// A message to send.
#[derive(Debug, Clone, PartialEq)]
pub enum Outgoing {
    /// Any message except an acknowledgement.
    Message(Box<MavMessage>),
    /// An acknowledgement.
    Ack(Ack),
}

/// COMMAND_ACK for any command number, also one that the dialect does not know.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ack {
    /// Number of the command.
    pub command: u16,
    /// Result of the command.
    pub result: MavResult,
    /// Sender of the command.
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
        // Command, result, progress, a second result that cameras do not use, sender of the command.
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

/// Encodes messages to one receiver and numbers them.
#[derive(Debug, Default)]
pub struct Encoder {
    sequence: u8,
}

impl Encoder {
    /// Encodes a message with the next sequence number, and signs it if there is a key.
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

/// Received bytes that the reader has not taken yet.
#[derive(Default)]
struct Queue(VecDeque<u8>);

impl Read for Queue {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

/// Finds messages in a stream of bytes that comes in pieces of any size.
pub struct StreamReader(MavlinkReader<Queue>);

impl Default for StreamReader {
    fn default() -> Self {
        Self(MavlinkReader::new(Queue::default()))
    }
}

impl StreamReader {
    /// Takes the next bytes and calls `each` with every message that they complete.
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

/// Calls `each` with every message in a packet. A message does not go on in the next packet.
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
    // The end of the bytes is the only possible error here. The reader keeps an incomplete message.
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

/// Decodes a message. Returns `None` if the sender's system id is above 255: today's ground stations and autopilots use none.
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

/// Returns a payload of fixed length. Adds the zeros that senders cut at its end, and drops bytes that a later version added.
fn padded<const LENGTH: usize>(payload: &[u8]) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    let length = payload.len().min(LENGTH);
    bytes[..length].copy_from_slice(&payload[..length]);
    bytes
}
