//! Messages of `builtin_interfaces` and `std_msgs`.

use super::{CdrError, CdrReader, CdrWriter};

/// `builtin_interfaces/msg/Time`: seconds and nanoseconds since the epoch of the clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stamp {
    /// Whole seconds.
    pub sec: i32,
    /// Nanoseconds within the second.
    pub nanosec: u32,
}

impl Stamp {
    /// Nanoseconds since the epoch.
    pub const fn as_nanoseconds(self) -> i64 {
        self.sec as i64 * 1_000_000_000 + self.nanosec as i64
    }

    /// From nanoseconds since the epoch, limited to the range of 32 bits of seconds.
    pub fn from_nanoseconds(nanoseconds: i64) -> Self {
        let seconds = nanoseconds.div_euclid(1_000_000_000);
        match i32::try_from(seconds) {
            Ok(sec) => Self {
                sec,
                nanosec: nanoseconds.rem_euclid(1_000_000_000) as u32,
            },
            Err(_) if seconds < 0 => Self {
                sec: i32::MIN,
                nanosec: 0,
            },
            Err(_) => Self {
                sec: i32::MAX,
                nanosec: 999_999_999,
            },
        }
    }

    pub(super) fn read(reader: &mut CdrReader<'_>) -> Result<Self, CdrError> {
        Ok(Self {
            sec: reader.i32("header.stamp.sec")?,
            nanosec: reader.u32("header.stamp.nanosec")?,
        })
    }

    pub(super) fn write(self, writer: &mut CdrWriter) {
        writer.i32(self.sec);
        writer.u32(self.nanosec);
    }
}

/// `std_msgs/msg/Header`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// Time of the data, for an image the time of capture.
    pub stamp: Stamp,
    /// Coordinate frame of the data, for an image the camera's optical frame.
    pub frame_id: String,
}

impl Header {
    pub(super) fn read(reader: &mut CdrReader<'_>) -> Result<Self, CdrError> {
        Ok(Self {
            stamp: Stamp::read(reader)?,
            frame_id: reader.string("header.frame_id")?.to_owned(),
        })
    }

    pub(super) fn write(&self, writer: &mut CdrWriter) {
        self.stamp.write(writer);
        writer.string(&self.frame_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converts_stamps_to_nanoseconds_and_back() {
        for stamp in [
            Stamp { sec: 0, nanosec: 0 },
            Stamp {
                sec: -1,
                nanosec: 999_999_999,
            },
            Stamp {
                sec: 1_700_000_000,
                nanosec: 7,
            },
            Stamp {
                sec: i32::MAX,
                nanosec: 999_999_999,
            },
        ] {
            assert_eq!(Stamp::from_nanoseconds(stamp.as_nanoseconds()), stamp);
        }
        assert_eq!(Stamp::from_nanoseconds(i64::MAX).sec, i32::MAX);
        assert_eq!(Stamp::from_nanoseconds(i64::MIN).sec, i32::MIN);
    }
}
