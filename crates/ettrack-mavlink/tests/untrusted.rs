//! Tests with arbitrary input: nothing panics, and every chosen target lies in the picture.
#![allow(clippy::unwrap_used)] // helpers of tests count as plain functions for the lint

use std::time::Duration;

use ettrack_mavlink::wire::{Address, Encoder, Outgoing, StreamReader, read_packet};
use ettrack_mavlink::{
    Actions, Camera, CameraOptions, Counts, GimbalOptions, Observation, Place, Route, Stream,
    TargetState, Wish, numbers,
};
use mavlink::dialects::common::MavMessage;
use mavlink::{MAVLinkV2MessageRaw, MavHeader, MavlinkVersion, Message, MessageData};
use proptest::prelude::*;

const ROUTE: Route = Route {
    link: 0,
    peer: None,
};

fn camera() -> Camera {
    Camera::new(CameraOptions {
        stream: Some(Stream::at("rtp://127.0.0.1:5600").unwrap()),
        gimbal: Some(GimbalOptions {
            device: 0,
            gain: 1.0,
            fastest: 0.5,
        }),
        ..CameraOptions::default()
    })
}

fn observation(number: u64) -> Observation {
    Observation {
        number,
        stamp: number as i64,
        size: (640, 480),
        state: TargetState::Tracking,
        bounding_box: Some([10.0, 20.0, 30.0, 40.0]),
        bearing: Some([0.0, 0.0, 1.0]),
    }
}

/// COMMAND_LONG with any command number. The type of the crate `mavlink` holds only known ones.
struct Raw([u8; 33]);

impl MessageData for Raw {
    type Message = MavMessage;
    const ID: u32 = numbers::COMMAND_LONG;
    const NAME: &'static str = "COMMAND_LONG";
    const EXTRA_CRC: u8 = 152;
    const ENCODED_LEN: usize = 33;

    fn ser(&self, _: MavlinkVersion, payload: &mut [u8]) -> usize {
        payload[..33].copy_from_slice(&self.0);
        mavlink::utils::remove_trailing_zeroes(&self.0)
    }

    fn deser(_: MavlinkVersion, _: &[u8]) -> Result<Self, mavlink::error::ParserError> {
        Ok(Self([0; 33]))
    }
}

fn packet(
    command: u16,
    parameters: [f32; 7],
    to: (u8, u8),
    from: (u8, u8),
    sequence: u8,
) -> Vec<u8> {
    let mut payload = [0; 33];
    for (field, parameter) in payload.chunks_mut(4).zip(parameters) {
        field.copy_from_slice(&parameter.to_le_bytes());
    }
    payload[28..30].copy_from_slice(&command.to_le_bytes());
    (payload[30], payload[31]) = to;
    let mut raw = MAVLinkV2MessageRaw::new();
    let header = MavHeader {
        system_id: from.0.into(),
        component_id: from.1,
        sequence,
    };
    raw.serialize_message_data(header, &Raw(payload));
    raw.raw_bytes().to_vec()
}

fn check(actions: &Actions) {
    for wish in &actions.wishes {
        let inside = 0.0..=1.0;
        match wish {
            Wish::Choose {
                place: Place::Point { x, y },
                ..
            } => {
                assert!(inside.contains(x) && inside.contains(y));
            }
            Wish::Choose {
                place:
                    Place::Rectangle {
                        left,
                        top,
                        right,
                        bottom,
                    },
                ..
            } => {
                assert!(
                    [left, top, right, bottom]
                        .into_iter()
                        .all(|side| inside.contains(side))
                );
                assert!(left < right && top < bottom);
            }
            Wish::Stop { .. } => {}
        }
    }
    let own = Address {
        system: 1,
        component: 100,
    };
    for (_, message) in &actions.messages {
        let raw = Encoder::default().encode(message, own, None);
        // No command may move the vehicle: the only one that is sent asks for control of a gimbal.
        if let Outgoing::Message(message) = message
            && message.message_id() == numbers::COMMAND_LONG
        {
            let payload = raw.payload();
            assert_eq!(
                u16::from_le_bytes([payload[28], payload[29]]),
                numbers::DO_GIMBAL_MANAGER_CONFIGURE
            );
        }
        assert!(raw.has_valid_crc::<MavMessage>());
    }
}

fn number() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => -0.5_f32..1.5,
        2 => 0.0_f32..1.0,
        1 => any::<f32>(),
        1 => Just(f32::NAN),
        1 => prop_oneof![Just(0.0), Just(1.0), Just(-1.0), Just(100.0), Just(275.0), Just(276.0), Just(259.0)],
    ]
}

fn command_number() -> impl Strategy<Value = u16> {
    prop_oneof![
        6 => prop_oneof![
            Just(numbers::CAMERA_TRACK_POINT), Just(numbers::CAMERA_TRACK_RECTANGLE), Just(numbers::CAMERA_STOP_TRACKING),
            Just(numbers::SET_MESSAGE_INTERVAL), Just(numbers::GET_MESSAGE_INTERVAL), Just(numbers::REQUEST_MESSAGE),
        ],
        1 => 500_u16..530,
        1 => any::<u16>(),
    ]
}

proptest! {
    #[test]
    fn survives_any_bytes_and_reads_a_command_after_them(
        garbage in proptest::collection::vec(any::<u8>(), 0..600),
        marker in proptest::bool::ANY,
    ) {
        let mut garbage = garbage;
        if marker && garbage.len() > 2 {
            // Makes the bytes look like the beginning of a message.
            garbage[0] = 0xfd;
            garbage[2] = 0;
        }
        let mut counts = Counts::default();
        read_packet(&garbage, None, &mut counts, |_| {});
        let mut reader = StreamReader::default();
        reader.read(&garbage, None, &mut counts, |_| {});
        // The longest message that the bytes may have begun ends within 300 bytes.
        let command = packet(numbers::REQUEST_MESSAGE, [259.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], (1, 100), (255, 190), 7);
        let mut heard = 0;
        for _ in 0..12 {
            reader.read(&command, None, &mut counts, |_| heard += 1);
        }
        prop_assert!(heard >= 1);
        heard = 0;
        read_packet(&command, None, &mut counts, |_| heard += 1);
        prop_assert_eq!(heard, 1);
    }

    #[test]
    fn reads_the_same_messages_from_pieces_of_any_size(cuts in proptest::collection::vec(1_usize..40, 1..60)) {
        let stream: Vec<u8> = (0..20)
            .flat_map(|sequence| packet(numbers::CAMERA_STOP_TRACKING, [0.0; 7], (1, 100), (255, 190), sequence))
            .collect();
        let (mut reader, mut counts, mut rest) = (StreamReader::default(), Counts::default(), stream.as_slice());
        let mut sequences = Vec::new();
        for cut in cuts.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            reader.read(piece, None, &mut counts, |received| sequences.push(received.sequence));
            rest = after;
        }
        prop_assert_eq!(sequences, (0..20).collect::<Vec<u8>>());
    }

    #[test]
    fn keeps_wishes_inside_the_picture_and_counts_every_command(
        commands in proptest::collection::vec(
            (command_number(), proptest::array::uniform7(number()), 0_u8..3, prop_oneof![Just(0_u8), Just(100), Just(101)], any::<u8>(), 0_u64..400),
            1..60,
        ),
    ) {
        let mut camera = camera();
        let mut counts = Counts::default();
        let mut now = Duration::ZERO;
        let mut asked = 0;
        let mut actions = Actions::default();
        for (turn, (command, parameters, system, component, sequence, wait)) in commands.into_iter().enumerate() {
            now += Duration::from_millis(wait);
            camera.observe(observation(turn as u64), now, &mut actions);
            let bytes = packet(command, parameters, (system, component), (255, 190), sequence);
            if system != 2 && component == 100 {
                asked += 1;
            }
            read_packet(&bytes, None, &mut counts, |received| camera.receive(&received, ROUTE, now, &mut actions));
            camera.tick(now, &mut actions);
            check(&actions);
            let acks = actions.messages.iter().filter(|(_, message)| matches!(message, Outgoing::Ack(_))).count();
            prop_assert!(acks <= 2);
            for wish in std::mem::take(&mut actions.wishes) {
                let (Wish::Choose { ticket, .. } | Wish::Stop { ticket }) = wish;
                camera.answered(ticket, ettrack_mavlink::Outcome::Done, now, &mut actions);
            }
            actions = Actions::default();
        }
        let done = camera.counts();
        prop_assert!(done.accepted + done.refused + done.repeated >= asked, "{done} of {asked}");
    }
}
