//! rosbag2's own compression: whole files or single messages, by zstd.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use tempfile::NamedTempFile;

use super::{BagError, LONGEST};

/// First bytes of a zstd frame. No CDR message starts so: its first byte is 0.
pub const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Unpacks `path` into a temporary file that is removed when dropped.
pub fn unpack_file(path: &Path) -> Result<NamedTempFile, BagError> {
    let packed = File::open(path).map_err(|error| BagError::io(path, error))?;
    let mut decoder = zstd::Decoder::new(packed).map_err(|error| BagError::io(path, error))?;
    let mut unpacked =
        NamedTempFile::new().map_err(|error| BagError::io(&std::env::temp_dir(), error))?;
    // A cut file gives what came before the cut: the storage inside is read as far as it goes.
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

/// Unpacks one message into `message`, whose memory is reused.
pub fn unpack_message(packed: &[u8], message: &mut Vec<u8>) -> Result<(), String> {
    message.clear();
    let decoder = zstd::Decoder::with_buffer(packed).map_err(|error| error.to_string())?;
    // One byte more than allowed tells a message that is too long from one that just fits.
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
