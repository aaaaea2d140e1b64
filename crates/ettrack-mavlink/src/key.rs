//! The key of signed messages.

use std::path::{Path, PathBuf};

use mavlink::{SigningConfig, SigningData};

/// Key that signs outgoing messages. Incoming messages must be signed with it, too.
pub struct Key(pub(crate) SigningData);

/// Why a file gives no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        error: std::io::Error,
    },
    /// The file holds something else.
    #[error("{}: expected 64 hexadecimal digits", path.display())]
    Text {
        /// The file.
        path: PathBuf,
    },
}

impl Key {
    /// Creates a key from 32 bytes for the link with this number.
    pub fn new(key: [u8; 32], link: u8) -> Self {
        Self(SigningData::from_config(SigningConfig::new(
            key, link, true, false,
        )))
    }

    /// Reads the key of link 0 from a file with 64 hexadecimal digits. Arguments and parameters only name the file, because
    /// other users of the machine can read them.
    ///
    /// # Errors
    /// Returns a [`KeyError`] if the file cannot be read or holds something else.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let text = std::fs::read_to_string(path).map_err(|error| KeyError::Read {
            path: path.to_owned(),
            error,
        })?;
        let key = bytes_of(text.trim()).ok_or_else(|| KeyError::Text {
            path: path.to_owned(),
        })?;
        Ok(Self::new(key, 0))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Key")
    }
}

fn bytes_of(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| digit.to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| 16 * byte + digit))
        .collect();
    (digits.len() == 64)
        .then(|| bytes.try_into().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_only_keys_of_64_hexadecimal_digits() {
        let text = "00ff".repeat(16);
        let key = bytes_of(&text).expect("a key");
        assert_eq!((key[0], key[1], key[31]), (0, 255, 255));
        for wrong in ["", "00", &text[1..], &"g".repeat(64), &"0".repeat(66)] {
            assert_eq!(bytes_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn names_the_file_that_gives_no_key() {
        for (path, words) in [
            ("/nowhere/key", "cannot read"),
            ("/dev/null", "64 hexadecimal"),
        ] {
            let error = Key::read(Path::new(path)).expect_err("no key").to_string();
            assert!(error.contains(path) && error.contains(words), "{error}");
        }
    }
}
