//! Reads from the bytes of a packet whether it can be decoded alone, and its parameter set.

use crate::Codec;

/// Returns the units of an Annex B stream: the bytes between two start codes (00 00 01).
fn units(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = skip_start_code(data);
    std::iter::from_fn(move || {
        let unit = rest?;
        let end = find_start_code(unit);
        rest = end.and_then(|end| skip_start_code(&unit[end..]));
        Some(&unit[..end.unwrap_or(unit.len())])
    })
}

fn find_start_code(data: &[u8]) -> Option<usize> {
    data.windows(3).position(|three| three == [0, 0, 1])
}

fn skip_start_code(data: &[u8]) -> Option<&[u8]> {
    find_start_code(data).map(|at| &data[at + 3..])
}

/// Whether the packet can be decoded without earlier packets. `None` if its bytes do not show it.
pub(crate) fn stands_alone(codec: Codec, data: &[u8]) -> Option<bool> {
    let mut kinds = units(data).filter_map(|unit| unit.first().map(|first| (first, unit)));
    match codec {
        // Key pictures (5). A stream with gradual refresh has none; there, decoding begins at a parameter set (7).
        Codec::H264 => Some(kinds.any(|(first, _)| matches!(first & 31, 5 | 7))),
        // Random access pictures (16 to 23) and the sequence parameter set (33).
        Codec::H265 => Some(kinds.any(|(first, _)| matches!(first >> 1 & 63, 16..=23 | 33))),
        // The first bit of a frame is 0 in a key frame.
        Codec::Vp8 => data.first().map(|first| first & 1 == 0),
        Codec::Vp9 | Codec::Av1 => None,
    }
}

/// Returns the parameter set, which contains the size of the pictures. `None` if the packet has none.
pub(crate) fn parameters(codec: Codec, data: &[u8]) -> Option<&[u8]> {
    match codec {
        Codec::H264 => units(data).find(|unit| unit.first().is_some_and(|first| first & 31 == 7)),
        Codec::H265 => {
            units(data).find(|unit| unit.first().is_some_and(|first| first >> 1 & 63 == 33))
        }
        Codec::Vp8 | Codec::Vp9 | Codec::Av1 => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detects_key_frames_by_their_units() {
        let of = |kinds: &[u8]| -> Vec<u8> {
            kinds
                .iter()
                .flat_map(|kind| [0, 0, 0, 1, *kind, 9, 9])
                .collect()
        };
        assert_eq!(
            stands_alone(Codec::H264, &of(&[0x67, 0x68, 0x65])),
            Some(true)
        );
        assert_eq!(stands_alone(Codec::H264, &of(&[0x09, 0x41])), Some(false));
        assert_eq!(stands_alone(Codec::H265, &of(&[0x26])), Some(true));
        assert_eq!(stands_alone(Codec::H265, &of(&[0x02])), Some(false));
        assert_eq!(stands_alone(Codec::Vp8, &[0x10]), Some(true));
        assert_eq!(stands_alone(Codec::Av1, &[0x12]), None);
        assert_eq!(stands_alone(Codec::H264, &[]), Some(false));
        assert_eq!(stands_alone(Codec::H264, &[0, 0, 1]), Some(false));
    }

    #[test]
    fn returns_a_parameter_set_without_start_codes_and_other_units() {
        let data = [0, 0, 1, 0x67, 7, 7, 0, 0, 1, 0x65, 1];
        assert_eq!(
            parameters(Codec::H264, &data),
            Some([0x67, 7, 7].as_slice())
        );
        assert_eq!(parameters(Codec::H264, &[0, 0, 1, 0x41]), None);
    }
}
