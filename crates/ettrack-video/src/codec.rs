//! Video codecs and their names.

/// A video codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// H.264 in Annex B format.
    H264,
    /// H.265 in Annex B format.
    H265,
    /// VP8.
    Vp8,
    /// VP9.
    Vp9,
    /// AV1.
    Av1,
}

impl Codec {
    /// Returns the codec with this name. `name` is the name of the codec or of an ffmpeg encoder, such as `libx264` or
    /// `hevc_nvenc`. Returns `None` for other names.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let is = |part: &str| name.contains(part);
        if is("264") {
            Some(Self::H264)
        } else if is("265") || is("hevc") {
            Some(Self::H265)
        } else if is("vp8") || name == "libvpx" {
            Some(Self::Vp8)
        } else if is("vp9") {
            Some(Self::Vp9)
        } else if is("av1") {
            Some(Self::Av1)
        } else {
            None
        }
    }

    /// Returns the four-letter code of the codec in container files.
    pub(crate) fn four_letters(self) -> [u8; 4] {
        *match self {
            Self::H264 => b"H264",
            Self::H265 => b"HEVC",
            Self::Vp8 => b"VP80",
            Self::Vp9 => b"VP90",
            Self::Av1 => b"AV01",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Codec;

    #[test]
    fn knows_a_codec_by_its_name_and_by_the_names_of_its_encoders() {
        for (name, expected) in [
            ("h264", Some(Codec::H264)),
            ("libx264", Some(Codec::H264)),
            ("H264_nvenc", Some(Codec::H264)),
            ("hevc", Some(Codec::H265)),
            ("h265", Some(Codec::H265)),
            ("vp9", Some(Codec::Vp9)),
            ("libvpx", Some(Codec::Vp8)),
            ("libsvtav1", Some(Codec::Av1)),
            ("mjpeg", None),
            ("", None),
        ] {
            assert_eq!(Codec::named(name), expected, "{name}");
        }
    }
}
