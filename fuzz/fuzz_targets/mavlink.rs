//! Fuzzes the MAVLink camera with arbitrary bytes, as packets and as a stream. Every chosen target must lie in the picture.
#![no_main]

use std::time::Duration;

use ettrack_mavlink::wire::{StreamReader, read_packet};
use ettrack_mavlink::{
    Actions, Camera, CameraOptions, Counts, GimbalOptions, Observation, Outcome, Place, Route,
    TargetState, Wish,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|pieces: Vec<Vec<u8>>| {
    let options = CameraOptions {
        gimbal: Some(GimbalOptions {
            device: 0,
            gain: 1.0,
            fastest: 0.5,
        }),
        ..CameraOptions::default()
    };
    let (mut camera, mut actions) = (Camera::new(options), Actions::default());
    let (mut reader, mut counts) = (StreamReader::default(), Counts::default());
    let route = Route {
        link: 0,
        peer: None,
    };
    for (number, piece) in pieces.iter().enumerate() {
        let now = Duration::from_millis(40 * number as u64);
        let observation = Observation {
            number: number as u64,
            stamp: number as i64,
            size: (640, 480),
            state: TargetState::Tracking,
            bounding_box: Some([1.0, 2.0, 3.0, 4.0]),
            bearing: Some([0.6, 0.0, 0.8]),
        };
        camera.observe(observation, now, &mut actions);
        let mut received = Vec::new();
        read_packet(piece, None, &mut counts, |message| received.push(message));
        reader.read(piece, None, &mut counts, |message| received.push(message));
        for message in &received {
            camera.receive(message, route, now, &mut actions);
        }
        camera.tick(now, &mut actions);
        for wish in std::mem::take(&mut actions.wishes) {
            let inside = 0.0..=1.0;
            let ticket = match wish {
                Wish::Choose { ticket, place, .. } => {
                    match place {
                        Place::Point { x, y } => {
                            assert!(inside.contains(&x) && inside.contains(&y));
                        }
                        Place::Rectangle {
                            left,
                            top,
                            right,
                            bottom,
                        } => {
                            assert!(left < right && top < bottom);
                            assert!([left, top, right, bottom].iter().all(|side| inside.contains(side)));
                        }
                    }
                    ticket
                }
                Wish::Stop { ticket } => ticket,
            };
            camera.answered(ticket, Outcome::Done, now, &mut actions);
        }
        // The camera sends at most a few messages for each received message.
        assert!(actions.messages.len() <= 4 * received.len() + 200);
        actions = Actions::default();
    }
});
