//! How far an mcap file can be read from its front.
//!
//! The reader of the mcap crate takes lengths for granted: it makes room for a record or a chunk before it looks whether
//! there is so much, and loses count of where it is where a record leads out of an uncompressed chunk. So the file is
//! walked over first, from head to head. Whatever follows what cannot be is not read.

use std::io::{self, Read, Seek};
use std::ops::Range;

use mcap::records::op;

/// Bytes of a record before its body: opcode and length.
const HEAD: u64 = 9;

/// Whether `packed` bytes may be `unpacked` bytes long when they are unpacked: the best that any of the formats does is
/// zstd's block of 128 KiB that four bytes stand for.
pub fn can_unpack(packed: u64, unpacked: u64) -> bool {
    unpacked <= packed.saturating_mul((128 << 10) / 4)
}

/// How far a file can be trusted.
#[derive(Debug, Clone, Copy)]
pub struct Sound {
    /// Bytes of the file before the first chunk that cannot be as long as it says, or the first record that leads out of
    /// its uncompressed chunk; up to the end of the range where it is sound, or only cut.
    pub length: u64,
    /// No record in these bytes is longer.
    pub longest_record: u64,
}

/// Walks over the records of `file` that lie in `range`.
pub fn sound(file: &mut (impl Read + Seek), range: Range<u64>) -> io::Result<Sound> {
    let Range {
        start: mut at,
        end: length,
    } = range;
    let mut sound = Sound {
        length,
        longest_record: length.saturating_sub(at),
    };
    let Some(last) = length.checked_sub(HEAD) else {
        return Ok(sound);
    };
    while at <= last {
        let (opcode, body) = head(file, at)?;
        if opcode == op::CHUNK
            && let Some(chunk) = chunk_head(file, length)?
        {
            if !can_unpack(chunk.size, chunk.unpacked) {
                sound.length = at;
                break;
            }
            sound.longest_record = sound.longest_record.max(chunk.unpacked);
            let to = chunk.records.saturating_add(chunk.size);
            let mut at = chunk.records;
            while !chunk.is_packed && at < to.min(last + 1) {
                let after = at.saturating_add(HEAD).saturating_add(head(file, at)?.1);
                if after > to {
                    sound.length = at;
                    return Ok(sound);
                }
                at = after;
            }
        }
        at = at.saturating_add(HEAD).saturating_add(body);
    }
    Ok(sound)
}

/// Where the chunk at `at` ends; `None` where no chunk begins there.
pub fn chunk_end(file: &mut (impl Read + Seek), at: u64) -> io::Result<Option<u64>> {
    let (opcode, body) = head(file, at)?;
    Ok((opcode == op::CHUNK).then(|| at.saturating_add(HEAD).saturating_add(body)))
}

/// Opcode and length of the body of the record at `at`.
fn head(file: &mut (impl Read + Seek), at: u64) -> io::Result<(u8, u64)> {
    skip_to(file, at)?;
    let mut opcode = [0];
    file.read_exact(&mut opcode)?;
    Ok((opcode[0], number(file)?))
}

/// What a chunk says of itself.
struct ChunkHead {
    /// Bytes of its records once they are unpacked.
    unpacked: u64,
    is_packed: bool,
    /// Where its records begin.
    records: u64,
    /// Their bytes as they are stored.
    size: u64,
}

/// The head of the chunk whose body begins here; `None` where the file ends before.
fn chunk_head(file: &mut (impl Read + Seek), length: u64) -> io::Result<Option<ChunkHead>> {
    // Two times, the unpacked size, a checksum; then the compression's name and the records' size.
    const UNPACKED: u64 = 8 + 8;
    const NAME: u64 = UNPACKED + 8 + 4;
    let body = file.stream_position()?;
    let name = body + NAME + 4;
    if name > length {
        return Ok(None);
    }
    skip_to(file, body + UNPACKED)?;
    let unpacked = number(file)?;
    skip_to(file, body + NAME)?;
    let mut name_length = [0; 4];
    file.read_exact(&mut name_length)?;
    let name_length = u64::from(u32::from_le_bytes(name_length));
    let records = name + name_length + 8;
    if records > length {
        return Ok(None);
    }
    skip_to(file, name + name_length)?;
    Ok(Some(ChunkHead {
        unpacked,
        is_packed: name_length > 0,
        records,
        size: number(file)?,
    }))
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
