//! From publishing a camera image to receiving the box, with the real middleware between two processes:
//! `cargo bench --features ros --bench ros_latency` where ROS 2 is sourced.
//!
//! Starts the node, publishes 1280x720 `bgr8` images at 30 Hz, and prints percentiles twice: without a target, where
//! the tracker itself takes no time, so that all of it is transport and the node's own work; and with one, beside the
//! node's own measure of a frame. `ETTRACK_NODE` names another node to be measured, to compare two.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::HashMap;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ettrack_message::{
    DiagnosticArray, FromCdr, Header, Image, Message, RegionOfInterest, Stamp, TargetState, ToCdr,
    TrackedTarget,
};
use futures::executor::LocalPool;
use futures::future;
use futures::stream::StreamExt;
use futures::task::LocalSpawnExt;
use r2r::QosProfile;

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 720;
const RATE: f64 = 30.0;
const FRAMES: usize = 600;
/// Frames at the start that are not counted: discovery, first allocations.
const WARM_UP: usize = 60;

#[derive(Default)]
struct Heard {
    /// When the answer to the image with this stamp came, and its state.
    answers: HashMap<Stamp, (Instant, TargetState)>,
    diagnostics: Option<DiagnosticArray>,
}

/// Ends the node with the bench.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn node_to_measure() -> std::ffi::OsString {
    std::env::var_os("ETTRACK_NODE").unwrap_or_else(|| env!("CARGO_BIN_EXE_ettrack_node").into())
}

fn main() {
    let _node = Node(Command::new(node_to_measure()).spawn().unwrap());
    let context = r2r::Context::create().unwrap();
    let mut node = r2r::Node::create(context, "latency_bench", "").unwrap();
    let images = node
        .create_publisher_untyped("image", Image::TYPE, QosProfile::sensor_data())
        .unwrap();
    let rois = node
        .create_publisher_untyped(
            "initial_roi",
            RegionOfInterest::TYPE,
            QosProfile::default().keep_last(1),
        )
        .unwrap();
    let targets = node
        .subscribe_raw("tracked_target", TrackedTarget::TYPE, QosProfile::default())
        .unwrap();
    let diagnostics = node
        .subscribe_raw("/diagnostics", DiagnosticArray::TYPE, QosProfile::default())
        .unwrap();

    let heard = Arc::new(Mutex::new(Heard::default()));
    let ended = Arc::new(AtomicBool::new(false));
    let spinning = {
        let (heard, ended) = (Arc::clone(&heard), Arc::clone(&ended));
        std::thread::spawn(move || {
            let mut pool = LocalPool::new();
            let ear = Arc::clone(&heard);
            let on_target = targets.for_each(move |bytes| {
                let now = Instant::now();
                let target = TrackedTarget::from_cdr(&bytes).unwrap();
                let mut heard = ear.lock().unwrap();
                heard
                    .answers
                    .insert(target.header.stamp, (now, target.state));
                future::ready(())
            });
            let on_diagnostics = diagnostics.for_each(move |bytes| {
                heard.lock().unwrap().diagnostics = DiagnosticArray::from_cdr(&bytes).ok();
                future::ready(())
            });
            pool.spawner().spawn_local(on_target).unwrap();
            pool.spawner().spawn_local(on_diagnostics).unwrap();
            while !ended.load(Ordering::Relaxed) {
                node.spin_once(Duration::from_millis(20));
                pool.run_until_stalled();
            }
        })
    };

    let mut film = Film {
        heard: &heard,
        images: &images,
        shot: 0,
    };
    let idle = film.shoot(TargetState::Idle);
    report("without a target: transport and the node", &idle);
    let roi = RegionOfInterest {
        x_offset: 560,
        y_offset: 300,
        width: 120,
        height: 100,
        do_rectify: false,
    };
    rois.publish_raw(&roi.to_cdr()).unwrap();
    let tracking = film.shoot(TargetState::Tracking);
    report("with a target, the tracker's time included", &tracking);
    if let Some(status) = heard
        .lock()
        .unwrap()
        .diagnostics
        .as_ref()
        .and_then(|array| array.status.first())
    {
        for key in ["latency p50 (ms)", "latency p95 (ms)", "latency max (ms)"] {
            println!(
                "  the node's own {key}: {}",
                status.value(key).unwrap_or("-")
            );
        }
    }
    ended.store(true, Ordering::Relaxed);
    spinning.join().unwrap();
}

struct Film<'a> {
    heard: &'a Mutex<Heard>,
    images: &'a r2r::PublisherUntyped,
    shot: usize,
}

impl Film<'_> {
    /// Milliseconds from publishing to the answer, of the counted images that were answered in this state (lost counts
    /// as tracking: the same work is done).
    fn shoot(&mut self, wanted: TargetState) -> Vec<f64> {
        let pixels: Vec<u8> = (0..WIDTH * HEIGHT * 3)
            .map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let mut message = Image {
            header: Header {
                stamp: Stamp::default(),
                frame_id: "camera".into(),
            },
            height: HEIGHT,
            width: WIDTH,
            encoding: "bgr8",
            is_bigendian: false,
            step: WIDTH * 3,
            data: &pixels,
        }
        .to_cdr();
        let begun = Instant::now();
        let mut sent = Vec::new();
        for frame in 0..WARM_UP + FRAMES {
            self.shot += 1;
            let stamp = Stamp::from_nanoseconds(self.shot as i64 * 1_000_000);
            // The stamp is all that changes. Writing the pixels anew would keep a core from the node.
            message[4..8].copy_from_slice(&stamp.sec.to_le_bytes());
            message[8..12].copy_from_slice(&stamp.nanosec.to_le_bytes());
            sleep(Duration::from_secs_f64(frame as f64 / RATE).saturating_sub(begun.elapsed()));
            let now = Instant::now();
            self.images.publish_raw(&message).unwrap();
            if frame >= WARM_UP {
                sent.push((stamp, now));
            }
        }
        sleep(Duration::from_secs(1));
        let heard = self.heard.lock().unwrap();
        sent.iter()
            .filter_map(|(stamp, sent)| {
                let (came, state) = heard.answers.get(stamp)?;
                let fits = (*state == TargetState::Idle) == (wanted == TargetState::Idle);
                fits.then(|| came.duration_since(*sent).as_secs_f64() * 1e3)
            })
            .collect()
    }
}

fn report(title: &str, milliseconds: &[f64]) {
    let mut sorted = milliseconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |quantile: f64| {
        sorted
            .get(((sorted.len() as f64 * quantile) as usize).min(sorted.len().saturating_sub(1)))
            .copied()
            .unwrap_or(f64::NAN)
    };
    println!(
        "{title}: {} of {FRAMES} images answered, median {:.2} ms, p95 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
        sorted.len(),
        at(0.5),
        at(0.95),
        at(0.99),
        at(1.0)
    );
}
