//! Checks the lengths in an mcap file before the file is read from its start.
//!
//! The reader of the mcap crate trusts the lengths in a file. It allocates memory for a record or a chunk before it knows
//! whether the file holds that much. And it loses its position if a record in an uncompressed chunk is longer than the
//! chunk. So this module first visits the header of each record. Reading stops at the first impossible length.

use std::io::{self, Read, Seek};
use std::ops::Range;

use mcap::records::op;

/// Bytes of a record's header: opcode and length.
const HEAD: u64 = 9;

/// Whether `packed` compressed bytes can become `unpacked` bytes. The highest ratio of the supported formats is zstd's: a
/// block of 128 KiB in four bytes.
pub fn can_unpack(packed: u64, unpacked: u64) -> bool {
    unpacked <= packed.saturating_mul((128 << 10) / 4)
}

/// The part of a file whose lengths are possible.
#[derive(Debug, Clone, Copy)]
pub struct ReadablePart {
    /// Offset in the file of the first chunk with an impossible length, or of the first record that is longer than its
    /// uncompressed chunk. The end of the range if there is neither; a cut file counts as readable up to its end.
    pub length: u64,
    /// Upper limit of the length of a record in this part, bytes.
    pub longest_record: u64,
}

/// Checks the records of `file` that lie in `range`.
pub fn readable_part(file: &mut (impl Read + Seek), range: Range<u64>) -> io::Result<ReadablePart> {
    let Range {
        start: mut at,
        end: length,
    } = range;
    let mut part = ReadablePart {
        length,
        longest_record: length.saturating_sub(at),
    };
    let Some(last) = length.checked_sub(HEAD) else {
        return Ok(part);
    };
    while at <= last {
        let (opcode, body) = head(file, at)?;
        if opcode == op::CHUNK
            && let Some(chunk) = chunk_head(file, length)?
        {
            if !can_unpack(chunk.size, chunk.unpacked) {
                part.length = at;
                break;
            }
            part.longest_record = part.longest_record.max(chunk.unpacked);
            let to = chunk.records.saturating_add(chunk.size);
            let mut at = chunk.records;
            while !chunk.is_packed && at < to.min(last + 1) {
                let after = at.saturating_add(HEAD).saturating_add(head(file, at)?.1);
                if after > to {
                    part.length = at;
                    return Ok(part);
                }
                at = after;
            }
        }
        at = at.saturating_add(HEAD).saturating_add(body);
    }
    Ok(part)
}

/// Offset of the end of the chunk at offset `at`; `None` if no chunk begins there.
pub fn chunk_end(file: &mut (impl Read + Seek), at: u64) -> io::Result<Option<u64>> {
    let (opcode, body) = head(file, at)?;
    Ok((opcode == op::CHUNK).then(|| at.saturating_add(HEAD).saturating_add(body)))
}

/// Opcode and body length of the record at offset `at`.
fn head(file: &mut (impl Read + Seek), at: u64) -> io::Result<(u8, u64)> {
    skip_to(file, at)?;
    let mut opcode = [0];
    file.read_exact(&mut opcode)?;
    Ok((opcode[0], number(file)?))
}

/// The header of a chunk.
struct ChunkHead {
    /// Bytes of its records after decompression.
    unpacked: u64,
    is_packed: bool,
    /// Offset of its records in the file.
    records: u64,
    /// Bytes of its records as stored.
    size: u64,
}

/// The header of the chunk whose body begins at the current position; `None` if the file ends within it.
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

/// Seeks by a relative step, which keeps the buffer of a buffered reader.
fn skip_to(file: &mut impl Seek, at: u64) -> io::Result<()> {
    let step = at as i64 - file.stream_position()? as i64;
    file.seek_relative(step)
}
