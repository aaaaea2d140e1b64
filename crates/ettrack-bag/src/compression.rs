//! Decompresses rosbag2's own compression: zstd of whole files or of single messages.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use tempfile::NamedTempFile;

use super::{BagError, LONGEST};

/// First bytes of a zstd frame. A CDR message cannot start with them: its first byte is 0.
pub const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Decompresses `path` into a temporary file that is removed when it is dropped.
pub fn unpack_file(path: &Path) -> Result<NamedTempFile, BagError> {
    let packed = File::open(path).map_err(|error| BagError::io(path, error))?;
    let mut decoder = zstd::Decoder::new(packed).map_err(|error| BagError::io(path, error))?;
    let mut unpacked =
        NamedTempFile::new().map_err(|error| BagError::io(&std::env::temp_dir(), error))?;
    // A cut file gives the part before the cut, which the reader of the format inside can use.
    if let Err(error) = io::copy(&mut decoder, &mut unpacked) {
        if error.kind() == io::ErrorKind::StorageFull {
            return Err(BagError::io(unpacked.path(), error));
        }
        tracing::warn!(
            "{}: cut or damaged: {error}; reading what comes before",
            path.display()
        );
    }
    Ok(unpacked)
}

/// Decompresses one message into `message`, whose memory is reused.
pub fn unpack_message(packed: &[u8], message: &mut Vec<u8>) -> Result<(), String> {
    message.clear();
    let decoder = zstd::Decoder::with_buffer(packed).map_err(|error| error.to_string())?;
    // One byte more than allowed, so that a message that is too long differs from one of exactly the limit.
    let length = decoder
        .take(LONGEST as u64 + 1)
        .read_to_end(message)
        .map_err(|error| format!("compressed message is damaged: {error}"))?;
    if length > LONGEST {
        return Err(format!(
            "compressed message: expected at most {LONGEST} bytes, got more"
        ));
    }
    Ok(())
}
