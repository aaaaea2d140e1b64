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
        Codec::Vp9 => is_vp9_key(*data.first()?),
        // Without a sequence header the sender's mark counts: a running decoder may have the header already.
        Codec::Av1 => has_av1_sequence(data).then_some(true),
    }
}

/// Whether a VP9 frame with this first byte is a key frame. From the highest bit on, it has the mark 10, two bits of the profile
/// (and a zero in profile 3), whether only an earlier frame is shown, and whether the frame is no key frame.
fn is_vp9_key(first: u8) -> Option<bool> {
    if first >> 6 != 0b10 {
        return None;
    }
    let shift = if first >> 4 & 3 == 3 { 1 } else { 2 };
    Some(first >> shift & 3 == 0)
}

/// Whether an AV1 packet has a sequence header, without which no decoder can begin. Most encoders send one with each key frame.
fn has_av1_sequence(data: &[u8]) -> bool {
    const SEQUENCE_HEADER: u8 = 1;
    let mut rest = Some(data);
    while let Some((first, after)) = rest.and_then(<[u8]>::split_first) {
        if first >> 7 != 0 {
            return false;
        }
        if first >> 3 & 15 == SEQUENCE_HEADER {
            return true;
        }
        let (has_extension, has_size) = (first >> 2 & 1 == 1, first >> 1 & 1 == 1);
        // Without a size, the unit takes all that is left.
        rest = after
            .get(usize::from(has_extension)..)
            .filter(|_| has_size)
            .and_then(leb128)
            .and_then(|(size, after)| after.get(size..));
    }
    false
}

/// Reads a number that is written in groups of seven bits, the lowest first, and returns it with the bytes after it.
fn leb128(data: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (place, byte) in data.iter().take(8).enumerate() {
        value |= usize::from(byte & 127) << (7 * place);
        if byte & 128 == 0 {
            return Some((value, &data[place + 1..]));
        }
    }
    None
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
        // Key frame, other frame, earlier frame; the last two in profiles 0 and 3.
        assert_eq!(stands_alone(Codec::Vp9, &[0x82]), Some(true));
        assert_eq!(stands_alone(Codec::Vp9, &[0x86]), Some(false));
        assert_eq!(stands_alone(Codec::Vp9, &[0x88]), Some(false));
        assert_eq!(stands_alone(Codec::Vp9, &[0xb1]), Some(true));
        assert_eq!(stands_alone(Codec::Vp9, &[0xb2]), Some(false));
        assert_eq!(stands_alone(Codec::Vp9, &[0x12]), None);
        // A temporal delimiter, then a sequence header or a frame.
        assert_eq!(
            stands_alone(Codec::Av1, &[0x12, 0, 0x0a, 1, 7, 0x32, 1, 9]),
            Some(true)
        );
        assert_eq!(stands_alone(Codec::Av1, &[0x12, 0, 0x32, 0x81, 0, 9]), None);
        assert_eq!(stands_alone(Codec::Av1, &[0x12, 5]), None);
        assert_eq!(stands_alone(Codec::Av1, &[0xff]), None);
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
