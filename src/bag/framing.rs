//! How far an mcap file can be read from its front.
//!
//! The reader of the mcap crate takes each record's length for granted: one that leads out of an uncompressed chunk
//! makes it lose count of where it is. Whatever follows such a record is not read.

use std::io::{self, Read, Seek};

use mcap::records::op;

/// Bytes of a record before its body: opcode and length.
const HEAD: u64 = 9;

/// Bytes of `file` before the first record that leads out of its uncompressed chunk; all `length` of a sound file, or
/// of one that is only cut.
pub fn sound_length(file: &mut (impl Read + Seek), length: u64) -> io::Result<u64> {
    let Some(last) = length.checked_sub(HEAD) else {
        return Ok(length);
    };
    let mut at = mcap::MAGIC.len() as u64;
    while at <= last {
        let (opcode, body) = head(file, at)?;
        if opcode == op::CHUNK
            && let Some((from, to)) = uncompressed_records(file, length)?
        {
            let mut at = from;
            while at < to.min(last + 1) {
                let after = at.saturating_add(HEAD).saturating_add(head(file, at)?.1);
                if after > to {
                    return Ok(at);
                }
                at = after;
            }
        }
        at = at.saturating_add(HEAD).saturating_add(body);
    }
    Ok(length)
}

/// Opcode and length of the body of the record at `at`.
fn head(file: &mut (impl Read + Seek), at: u64) -> io::Result<(u8, u64)> {
    skip_to(file, at)?;
    let mut opcode = [0];
    file.read_exact(&mut opcode)?;
    Ok((opcode[0], number(file)?))
}

/// First byte and end of the records of the chunk whose body begins here; `None` where they are compressed, or the file
/// ends before.
fn uncompressed_records(
    file: &mut (impl Read + Seek),
    length: u64,
) -> io::Result<Option<(u64, u64)>> {
    // Two times, the uncompressed size, a checksum; then the compression's name, empty, and the records' size.
    const NAME: u64 = 8 + 8 + 8 + 4;
    let body = file.stream_position()?;
    let from = body + NAME + 4 + 8;
    if from > length {
        return Ok(None);
    }
    skip_to(file, body + NAME)?;
    let mut name_length = [0; 4];
    file.read_exact(&mut name_length)?;
    if name_length != [0; 4] {
        return Ok(None);
    }
    let size = number(file)?;
    Ok(Some((from, from.saturating_add(size))))
}

fn number(file: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// By a step, which keeps what a buffered reader holds.
fn skip_to(file: &mut impl Seek, at: u64) -> io::Result<()> {
    let step = at as i64 - file.stream_position()? as i64;
    file.seek_relative(step)
}
