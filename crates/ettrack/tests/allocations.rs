//! From the third frame on, a frame allocates no memory on this side of ONNX Runtime, so that a robot's frame time does
//! not depend on the allocator.
#![allow(unsafe_code)] // an allocator cannot be written without

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ettrack::{BoundingBox, Encoding, Frame, LostMode, Tracker, TrackerOptions};

thread_local! {
    /// Allocations of this thread; other tests run on other threads.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

fn count() {
    // The counter of a thread that ends is gone, and no test reads it.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn frames_after_the_second_allocate_nothing() {
    // The box moves through the image, so search regions grow, shrink and leave it. Each encoding has its own reader.
    // The default model learns to tell the target from look-alikes. Others take the cells outside the frame, or refresh a
    // second template in every second frame.
    let micro = ettrack_testing::data("micro_model");
    let learning = ettrack_testing::repository("models/ettrack-nano");
    let outside = ettrack_testing::data("outside_cells");
    let refreshed_outside = ettrack_testing::data("refreshed_outside");
    let refreshed_box = ettrack_testing::data("refreshed_box");
    for (encoding, lost, model) in [
        (Encoding::Rgb8, LostMode::Off, &micro),
        (Encoding::Nv12, LostMode::FromModel, &micro),
        (Encoding::BayerRggb8, LostMode::FromModel, &micro),
        (Encoding::Rgb8, LostMode::Off, &learning),
        (Encoding::Rgb8, LostMode::Off, &outside),
        (Encoding::Rgb8, LostMode::Off, &refreshed_outside),
        (Encoding::Rgb8, LostMode::Off, &refreshed_box),
    ] {
        let options = TrackerOptions::default().with_threads(1).with_lost(lost);
        let mut tracker =
            Tracker::open(model, &options).expect("the model is part of the repository");
        let (width, height) = (160_u32, 120_u32);
        let bytes = encoding.row_bytes(width) * encoding.stored_rows(height);
        let data: Vec<u8> = (0..bytes).map(|i| ((i * i) >> 5) as u8).collect();
        let frame = Frame::packed(&data, width, height, encoding).expect("it fits");
        tracker
            .initialize(&frame, BoundingBox::new(60.0, 40.0, 30.0, 24.0))
            .expect("a target");
        for number in 1..=60 {
            let before = COUNT.with(Cell::get);
            tracker.update(&frame).expect("a track");
            let allocations = COUNT.with(Cell::get) - before;
            assert!(
                number <= 2 || allocations == 0,
                "{encoding}, frame {number}: {allocations} allocations"
            );
        }
    }
    // The counter counts.
    let before = COUNT.with(Cell::get);
    drop(std::hint::black_box(vec![1_u8; 100]));
    assert_eq!(COUNT.with(Cell::get) - before, 1);
}
