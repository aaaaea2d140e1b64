//! Finds out whether a JPEG file is so plain that a region of it can be decoded alone.

use image::metadata::Orientation;

use crate::picture::LONGEST_SIDE;

const START: [u8; 2] = [0xff, 0xd8];
const BASELINE_FRAME: u8 = 0xc0;
const HUFFMAN_TABLES: u8 = 0xc4;
const QUANTISATION_TABLES: u8 = 0xdb;
const RESTART_INTERVAL: u8 = 0xdd;
const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: u8 = 0xd9;
const COMMENT: u8 = 0xfe;
const APPLICATION: std::ops::RangeInclusive<u8> = 0xe0..=0xef;
const EXIF: (u8, &[u8]) = (0xe1, b"Exif\0\0");

/// Bytes that are searched for markers at once.
const BLOCK: usize = 64;

/// Width and height of an upright baseline JPEG file of one scan that has its end. `None` for all other files.
///
/// Nothing but restart markers may stand in the scan. Otherwise the decoder could find an error behind the region.
pub(crate) fn size(data: &[u8]) -> Option<(u32, u32)> {
    let mut rest = data.strip_prefix(&START)?;
    let mut frame = None;
    loop {
        let &[0xff, marker, high, low] = rest.first_chunk()? else {
            return None;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let content = rest.get(4..2 + length)?;
        rest = &rest[2 + length..];
        match marker {
            BASELINE_FRAME if frame.is_none() => frame = Some(read_frame(content)?),
            START_OF_SCAN => {
                let (size, components) = frame?;
                let is_only_scan = content.first() == Some(&components);
                return (is_only_scan && ends_after_its_scan(rest)).then_some(size);
            }
            HUFFMAN_TABLES | QUANTISATION_TABLES | RESTART_INTERVAL | COMMENT => {}
            marker if APPLICATION.contains(&marker) => {
                if marker == EXIF.0 && content.strip_prefix(EXIF.1).is_some_and(is_turned) {
                    return None;
                }
            }
            _ => return None,
        }
    }
}

/// Width, height and number of components of a frame header. `None` if the pixels have other than 8 bits, or samples are spread
/// over other than one, two or four pixels: the decoder that reads headers for whole pictures refuses these.
fn read_frame(content: &[u8]) -> Option<((u32, u32), u8)> {
    let &[8, y1, y0, x1, x0, count] = content.first_chunk()? else {
        return None;
    };
    let [width, height] = [[x1, x0], [y1, y0]].map(|two| u32::from(u16::from_be_bytes(two)));
    let sides = 1..=LONGEST_SIDE;
    let is_possible = sides.contains(&width) && sides.contains(&height) && matches!(count, 1 | 3);
    let (components, rest) = content[6..].as_chunks::<3>();
    let is_complete = components.len() == usize::from(count) && rest.is_empty();
    let is_sampled = components.iter().all(|[_, sampling, table]| {
        [sampling >> 4, sampling & 15]
            .iter()
            .all(|n| matches!(n, 1 | 2 | 4))
            && *table < 4
    });
    (is_possible && is_complete && is_sampled).then_some(((width, height), count))
}

fn is_turned(exif: &[u8]) -> bool {
    Orientation::from_exif_chunk(exif).is_some_and(|turn| turn != Orientation::NoTransforms)
}

/// Whether the first marker of a scan that is no restart marker is the end marker.
fn ends_after_its_scan(scan: &[u8]) -> bool {
    let is_marker = |first: u8, second: u8| first == 0xff && second != 0 && second & 0xf8 != 0xd0;
    let mut from = 0;
    while from + 1 < scan.len() {
        let end = (from + BLOCK).min(scan.len() - 1);
        let (first, second) = (&scan[from..end], &scan[from + 1..=end]);
        let pairs = || first.iter().zip(second);
        // Without a way out of the loop, the compiler makes vector instructions of it.
        if pairs().fold(false, |any, (a, b)| any | is_marker(*a, *b)) {
            let found = pairs().find(|(a, b)| is_marker(**a, **b));
            return found.is_some_and(|(_, marker)| *marker == END_OF_IMAGE);
        }
        from = end;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{ends_after_its_scan, size};

    #[test]
    fn only_restart_markers_may_stand_in_a_scan() {
        let scan = |at: usize, bytes: &[u8]| {
            let mut scan = vec![7; 200];
            scan[at..at + bytes.len()].copy_from_slice(bytes);
            scan.extend([0xff, 0xd9, 0, 0]);
            ends_after_its_scan(&scan)
        };
        for at in [0, 1, 62, 63, 64, 65, 127, 198] {
            assert!(scan(at, &[0xff, 0x00]) && scan(at, &[0xff, 0xd0]) && scan(at, &[0xff, 0xd7]));
            assert!(
                !scan(at, &[0xff, 0xc4]) && !scan(at, &[0xff, 0xda]) && !scan(at, &[0xff, 0xd8])
            );
            assert!(
                scan(at, &[0xff, 0xd9]),
                "what follows the end does not count"
            );
        }
        assert!(!ends_after_its_scan(&[7; 100]) && !ends_after_its_scan(&[]));
    }

    #[test]
    fn cut_headers_are_no_plain_file() {
        let file = std::fs::read(ettrack_testing::data("jpeg").join("420_odd.jpg")).unwrap();
        assert!(size(&file).is_some());
        for length in 0..file.len() {
            assert_eq!(size(&file[..length]), None, "cut at {length}");
        }
    }
}
