//! A region of a JPEG file has the pixels that it has in the whole picture, bit for bit, and the same files are refused.
#![allow(clippy::unwrap_used)] // helpers of tests count as plain functions for the lint
#![allow(unsafe_code)] // an allocator cannot be written without

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ettrack::frame::{ImageBuffer, Region};
use ettrack_picture::{decode_into, decode_region_into};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

thread_local! {
    /// Allocations of this thread; other tests run on other threads.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // The counter of a thread that ends is gone, and no test reads it.
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Pseudo-random numbers below a limit.
struct Random(u32);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) % limit.max(1)
    }

    /// A region of at most `most` pixels a side.
    fn region(&mut self, (width, height): (u32, u32), most: u32) -> Region {
        let (left, top) = (self.below(width), self.below(height));
        Region {
            left,
            top,
            right: (left + 1 + self.below(most)).min(width),
            bottom: (top + 1 + self.below(most)).min(height),
        }
    }
}

/// The bytes of a region.
fn cut(image: &ImageBuffer, region: &Region) -> Vec<u8> {
    let bytes = |x: u32| image.encoding.row_bytes(x);
    (region.top..region.bottom)
        .flat_map(|y| {
            let row = &image.data[y as usize * image.stride..][..image.stride];
            row[bytes(region.left)..bytes(region.right)].to_vec()
        })
        .collect()
}

/// Decodes `regions` of a file over leftovers of another picture and compares them with the whole picture. Returns how many
/// were decoded alone.
fn compare(file: &[u8], regions: impl IntoIterator<Item = Region>, what: &str) -> usize {
    let (mut whole, mut part) = (ImageBuffer::empty(), ImageBuffer::empty());
    decode_into(file, &mut whole).unwrap();
    let all = Region::whole((whole.width, whole.height));
    let mut alone = 0;
    for wanted in regions {
        part.data.clear();
        part.data.resize(whole.data.len(), 0xaa);
        let decoded = decode_region_into(file, &wanted, &mut part).unwrap();
        let wanted = wanted.grown(0, (whole.width, whole.height));
        assert!(decoded.contains(&wanted), "{what}, {wanted:?}: {decoded:?}");
        assert_eq!((part.width, part.height), (whole.width, whole.height));
        assert_eq!((part.stride, part.encoding), (whole.stride, whole.encoding));
        assert_eq!(part.data.len(), whole.data.len());
        assert!(
            cut(&part, &decoded) == cut(&whole, &decoded),
            "{what}, {wanted:?}"
        );
        alone += usize::from(decoded != all);
    }
    alone
}

/// A picture with edges, noise and slow changes.
fn picture(width: u32, height: u32, color: ColorType) -> Vec<u8> {
    let mut random = Random(7);
    let channels = if color == ColorType::Luma { 1 } else { 3 };
    (0..height)
        .flat_map(|y| (0..width).map(move |x| (x, y)))
        .flat_map(|(x, y)| {
            let noise = random.below(40);
            (0..channels as u32)
                .map(move |c| (x * (c + 1) + y * 2 + ((x / 9) ^ (y / 7)) * 31 * c + noise) as u8)
        })
        .collect()
}

fn encoded(
    (width, height): (u32, u32),
    color: ColorType,
    sampling: SamplingFactor,
    change: impl FnOnce(&mut Encoder<&mut Vec<u8>>),
) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 88);
    encoder.set_sampling_factor(sampling);
    change(&mut encoder);
    encoder
        .encode(
            &picture(width, height, color),
            width as u16,
            height as u16,
            color,
        )
        .unwrap();
    file
}

const SAMPLINGS: [SamplingFactor; 8] = [
    SamplingFactor::F_1_1,
    SamplingFactor::F_2_1,
    SamplingFactor::F_1_2,
    SamplingFactor::F_2_2,
    SamplingFactor::F_4_1,
    SamplingFactor::F_4_2,
    SamplingFactor::F_1_4,
    SamplingFactor::F_2_4,
];

#[test]
fn a_region_of_every_kind_of_jpeg_is_that_of_the_whole_picture() {
    let mut random = Random(1);
    let mut kinds = 0;
    for entry in std::fs::read_dir(ettrack_testing::data("jpeg")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "jpg") {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let file = std::fs::read(&path).unwrap();
        let size = ettrack_picture::size(&file).unwrap();
        let regions: Vec<Region> = (0..300).map(|_| random.region(size, 30)).collect();
        let alone = compare(&file, regions, &name);
        assert_eq!(
            alone == 0,
            name.contains("progressive"),
            "{name}: {alone} of 300"
        );
        kinds += 1;
    }
    assert_eq!(kinds, 17);
}

#[test]
fn a_region_of_a_large_jpeg_is_that_of_the_whole_picture() {
    let mut random = Random(2);
    for size in [(640, 480), (333, 251), (97, 700)] {
        for (n, sampling) in SAMPLINGS.into_iter().enumerate() {
            for restart in [0, 3] {
                let file = encoded(size, ColorType::Rgb, sampling, |encoder| {
                    if restart > 0 {
                        encoder.set_restart_interval(restart);
                    }
                });
                let edges = [
                    (0, 0),
                    (size.0 - 9, 0),
                    (0, size.1 - 9),
                    (size.0 - 9, size.1 - 9),
                ];
                let edges = edges.map(|(left, top)| Region {
                    left,
                    top,
                    right: left + 9,
                    bottom: top + 9,
                });
                let others: Vec<Region> = (0..40).map(|_| random.region(size, 200)).collect();
                let alone = compare(
                    &file,
                    edges.into_iter().chain(others),
                    &format!("{size:?}, sampling {n}, restart {restart}"),
                );
                // The encoder writes the last four samplings in several scans, which are decoded whole.
                let is_expected = if n < 4 { alone >= 20 } else { alone == 0 };
                assert!(is_expected, "{size:?}, sampling {n}: {alone} of 44");
            }
        }
        let grey = encoded(size, ColorType::Luma, SamplingFactor::F_1_1, |_| ());
        let regions: Vec<Region> = (0..40).map(|_| random.region(size, 200)).collect();
        assert!(compare(&grey, regions, "grey") >= 20);
    }
}

#[test]
fn large_regions_and_other_files_are_decoded_whole() {
    let small = Region {
        left: 20,
        top: 30,
        right: 50,
        bottom: 60,
    };
    let half = Region {
        right: 128,
        ..Region::whole((256, 200))
    };
    let plain = encoded((256, 200), ColorType::Rgb, SamplingFactor::F_2_2, |_| ());
    assert_eq!(compare(&plain, [small], "plain"), 1);
    assert_eq!(compare(&plain, [half], "half of it"), 0);
    let progressive = encoded(
        (256, 200),
        ColorType::Rgb,
        SamplingFactor::F_2_2,
        |encoder| {
            encoder.set_progressive(true);
        },
    );
    assert_eq!(compare(&progressive, [small], "progressive"), 0);
    // The shortest EXIF block with an orientation: 6, turn clockwise by 90 degrees; and 1, upright.
    for (orientation, alone) in [(6, 0), (1, 1)] {
        let mut exif =
            b"\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
        let turned = [&plain[..2], &exif, &plain[2..]].concat();
        assert_eq!(compare(&turned, [small], "with an orientation"), alone);
    }
    let png = ettrack_testing::data("jpeg").join("420_odd.png");
    assert_eq!(compare(&std::fs::read(png).unwrap(), [small], "PNG"), 0);
}

#[test]
fn a_damaged_jpeg_is_refused_or_read_as_if_it_was_decoded_whole() {
    let mut random = Random(3);
    let (mut whole, mut part) = (ImageBuffer::empty(), ImageBuffer::empty());
    let (mut refused, mut alone, mut others) = (0, 0, Vec::new());
    for (sampling, restart) in [
        (SamplingFactor::F_2_2, 0),
        (SamplingFactor::F_2_1, 4),
        (SamplingFactor::F_1_1, 0),
    ] {
        let size = (120, 90);
        let file = encoded(size, ColorType::Rgb, sampling, |encoder| {
            if restart > 0 {
                encoder.set_restart_interval(restart);
            }
        });
        for round in 0..3000 {
            let mut damaged = file.clone();
            // The first rounds damage the header.
            let most = if round < 1000 { 640 } else { file.len() as u32 };
            for _ in 0..=random.below(3) {
                damaged[random.below(most) as usize] = random.below(256) as u8;
            }
            if round % 10 == 0 {
                damaged.truncate(random.below(file.len() as u32) as usize);
            }
            let wanted = random.region(size, 50);
            let expected = decode_into(&damaged, &mut whole);
            match (decode_region_into(&damaged, &wanted, &mut part), expected) {
                (Ok(decoded), Ok(())) => {
                    let size = (whole.width, whole.height);
                    assert_eq!((part.width, part.height), size, "round {round}");
                    assert!(decoded.contains(&wanted.grown(0, size)), "round {round}");
                    assert!(
                        cut(&part, &decoded) == cut(&whole, &decoded),
                        "round {round}"
                    );
                    alone += usize::from(decoded != Region::whole(size));
                }
                (Err(got), Err(expected)) => {
                    assert_eq!(got.to_string(), expected.to_string(), "round {round}");
                    refused += 1;
                }
                (got, expected) => {
                    others.push(format!("round {round}: {got:?}, whole: {expected:?}"))
                }
            }
        }
    }
    assert!(others.is_empty(), "{others:#?}");
    assert!(
        refused > 500 && alone > 500,
        "{refused} refused, {alone} alone"
    );
}

#[test]
fn decoding_a_region_allocates_nothing_once_its_buffer_is_large_enough() {
    let file = encoded((320, 240), ColorType::Rgb, SamplingFactor::F_2_2, |_| ());
    let mut part = ImageBuffer::empty();
    for round in 0..5 {
        let wanted = Region {
            left: 10 * round,
            top: 20,
            right: 10 * round + 100,
            bottom: 120,
        };
        let before = COUNT.with(Cell::get);
        let decoded = decode_region_into(&file, &wanted, &mut part).unwrap();
        let allocations = COUNT.with(Cell::get) - before;
        assert_eq!(decoded, wanted);
        assert!(
            round == 0 || allocations == 0,
            "round {round}: {allocations} allocations"
        );
    }
    // The counter counts.
    let before = COUNT.with(Cell::get);
    drop(std::hint::black_box(vec![1_u8; 100]));
    assert_eq!(COUNT.with(Cell::get) - before, 1);
}
